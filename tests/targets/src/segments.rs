//! Segment files: any bytes as a Parquet file with any index, whose checksums fit all the same, as only our own
//! writer could make them.

use std::fs;
use std::path::Path;

use barkeeper_records::{
    AdjustmentTag, Digest, Interval, Lsn, MarketTrade, Tick, Timestamp, TradingDay, Version,
};
use barkeeper_storage::{
    Axis, Dataset, EventSegment, RowFile, Segment, SegmentEntry, SegmentIndexV1, StoredEvent, StoredRow,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::stored::{read_index, sealed};

/// Bytes of a file that share a checksum.
const BLOCK: usize = 8 * 1024;
/// Places of all columns of bars.
const COLUMNS: [usize; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/// Rows that are asked for at once: a page may hold many equal ones in few bytes.
const ASKED: u64 = 1 << 17;

/// The parts of the target's bytes.
pub(crate) struct Forged<'a> {
    /// Bit 0: by time; bit 1: a column `version`; then bars, ticks or market trades.
    pub(crate) which: u8,
    /// Rows that the manifest tells of.
    pub(crate) rows: u32,
    /// The index as it is stored, without layout, blocks and checksum.
    pub(crate) index: &'a [u8],
    pub(crate) file: &'a [u8],
}

impl<'a> Forged<'a> {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let len = u16::try_from(self.index.len()).expect("a small index");
        [&[self.which], self.rows.to_le_bytes().as_slice(), &len.to_le_bytes(), self.index, self.file]
            .concat()
    }

    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (&[which], rest) = bytes.split_first_chunk::<1>()?;
        let (rows, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (index, file) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        Some(Self { which, rows: u32::from_le_bytes(*rows), index, file })
    }

    pub(crate) fn dataset(&self) -> Dataset {
        match self.which >> 2 & 3 {
            1 => Dataset::Ticks,
            2 => Dataset::MarketTrades,
            _ => Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw },
        }
    }

    /// The index with the checksums of the file's blocks.
    fn index(&self) -> Option<SegmentIndexV1> {
        let sums: Vec<u8> = self.file.chunks(BLOCK).flat_map(|block| xxh3_64(block).to_le_bytes()).collect();
        let sums = bincode::encode_to_vec(sums, bincode::config::standard()).expect("plain bytes");
        let body = [&[SegmentIndexV1::LAYOUT], self.index, &sums].concat();
        SegmentIndexV1::from_bytes(b"key", &sealed(SegmentIndexV1::KIND, b"key", &body)).ok()
    }

    fn entry(&self) -> SegmentEntry {
        SegmentEntry {
            id: 1,
            axis: if self.which & 1 == 0 { Axis::Instrument } else { Axis::Day },
            twin: None,
            dataset: self.dataset(),
            rows: u64::from(self.rows),
            first: Timestamp::from_nanos(0),
            last: Timestamp::from_nanos(i64::MAX),
            first_day: TradingDay::default(),
            last_day: TradingDay::default(),
            version: (self.which & 2 == 0).then_some(Version::ZERO),
            bytes: self.file.len() as u64,
            blake3: [0; 32],
            digest: Digest::default(),
            lsn: Lsn(1),
        }
    }
}

pub(crate) fn segments(bytes: &[u8]) -> bool {
    let Some(forged) = Forged::of(bytes) else { return false };
    let Some(index) = forged.index() else { return false };
    read_index(&index);
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let path = folder.path().join("segment.parquet");
    fs::write(&path, forged.file).expect("a file");
    match forged.dataset() {
        Dataset::Ticks => events::<Tick>(&path, forged.entry(), index),
        Dataset::MarketTrades => events::<MarketTrade>(&path, forged.entry(), index),
        _ => bars(&path, forged.entry(), index),
    }
}

fn bars(path: &Path, entry: SegmentEntry, index: SegmentIndexV1) -> bool {
    let rows = entry.rows.min(ASKED);
    let Ok(segment) = Segment::open(path, entry, index) else { return false };
    let whole = segment.read_rows(0..rows);
    if let Ok(found) = &whole {
        assert_eq!(found.len() as u64, rows);
    }
    if let Ok(found) = segment.read_series(rows / 2..rows) {
        assert_eq!(found.len() as u64, rows - rows / 2);
    }
    drop(segment.read_batch(rows / 3..rows, &COLUMNS));
    for run in segment.index().runs() {
        let spans = segment.pages_of(&run);
        let narrow = segment.narrow(&run, Timestamp::from_nanos(1), Timestamp::from_nanos(i64::MAX - 1));
        let end = narrow.end.min(narrow.start.saturating_add(ASKED));
        drop((spans, segment.read_series(narrow.start..end)));
    }
    whole.is_ok()
}

fn events<T: StoredEvent>(path: &Path, entry: SegmentEntry, index: SegmentIndexV1) -> bool {
    let rows = entry.rows.min(ASKED);
    let Ok(segment) = EventSegment::<T>::open(path, entry, index) else { return false };
    let whole = segment.rows(0..rows);
    if let Ok(found) = &whole {
        assert_eq!(found.len() as u64, rows);
    }
    let (from, to) = (Timestamp::from_nanos(1), Timestamp::from_nanos(i64::MAX - 1));
    let names: Vec<_> = segment.index().instruments().map(|(name, _)| name).collect();
    for name in names {
        drop(segment.range(&name, from, to));
    }
    drop(segment.read_ranges(&[0..rows / 3, rows / 2..rows], &[1, 3, 4, 2]));
    for run in segment.index().runs() {
        let spans = segment.pages_of(&run);
        let narrow = segment.narrow(&run, from, to);
        let end = narrow.end.min(narrow.start.saturating_add(ASKED));
        drop((spans, segment.read_ranges(std::slice::from_ref(&(narrow.start..end)), &[4])));
    }
    whole.is_ok()
}
