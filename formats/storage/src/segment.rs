//! Reading segments: immutable Parquet files of the bars of one interval and adjustment.
//!
//! Pages are found by the index that stands in the manifest and decoded here, without the general
//! reader. Every byte is verified before it is used.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use barkeeper_records::{Bar, InstrumentId, Timestamp, TradingDay, Version};
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::barrows::VersionedBar;
use crate::decode::{RLE_DICTIONARY, Scratch, Value, read_header, read_indices, read_values};
use crate::index::SegmentIndexV1;
use crate::manifest::{Axis, Dataset, SegmentEntry};
use crate::segment_writer::SegmentKind;
use crate::verified::{SegmentError, VerifiedFile, guarded};

/// The layout of the files, in their metadata.
const LAYOUT: u32 = 2;
/// Bytes of one read: pages that stand behind each other are read together.
const READ_BYTES: u64 = 1 << 20;

/// Rows that a page may have, so that a forged index makes nobody reserve what no file holds.
const MOST_PAGE_ROWS: u64 = 16_384;

/// The places of columns in the file.
pub(crate) const INSTRUMENT: usize = 0;
pub(crate) const TS: usize = 1;
pub(crate) const TRADING_DAY: usize = 2;
pub(crate) const NUMBERS: usize = 3;
pub(crate) const VERSION: usize = 10;

const LAYOUT_KEY: &str = "barkeeper.layout";

/// What a file says of itself in its footer.
pub(crate) fn pairs_of(kind: &SegmentKind) -> [(&'static str, String); 5] {
    [
        (LAYOUT_KEY, LAYOUT.to_string()),
        ("barkeeper.dataset", "bars".to_owned()),
        ("barkeeper.axis", if kind.axis == Axis::Day { "day" } else { "instrument" }.to_owned()),
        ("barkeeper.interval", kind.interval.to_string()),
        ("barkeeper.adjustment", kind.adjustment.to_string()),
    ]
}

pub(crate) fn load_metadata(path: &Path, file: &VerifiedFile) -> Result<ParquetMetaData, SegmentError> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    guarded(path, || reader.parse_and_finish(file).map_err(|e| SegmentError::parquet(path, e)))
}

/// The distinct values of a column chunk.
#[derive(Debug)]
pub(crate) enum Dictionary {
    Names(Vec<InstrumentId>),
    Days(Vec<i32>),
    Longs(Vec<i64>),
    Versions(Vec<u64>),
    Doubles(Vec<f64>),
}

/// Values that a column can hold.
pub(crate) trait Stored: Value {
    fn of(dictionary: &Dictionary) -> Option<&[Self]>;
}

macro_rules! stored {
    ($type:ty, $variant:ident) => {
        impl Stored for $type {
            fn of(dictionary: &Dictionary) -> Option<&[Self]> {
                if let Dictionary::$variant(values) = dictionary { Some(values) } else { None }
            }
        }
    };
}

stored!(i32, Days);
stored!(i64, Longs);
stored!(u64, Versions);
stored!(f64, Doubles);

/// A column chunk: where it stands, and its dictionary once somebody has asked for it.
#[derive(Debug)]
struct Chunk {
    bytes: Range<u64>,
    /// Where the data pages begin; a dictionary stands before them.
    data: u64,
    lz4: bool,
    dictionary: OnceLock<Dictionary>,
}

impl Chunk {
    fn of(column: &ColumnChunkMetaData) -> Option<Self> {
        let lz4 = match column.compression() {
            Compression::LZ4_RAW => true,
            Compression::UNCOMPRESSED => false,
            _ => return None,
        };
        let data = u64::try_from(column.data_page_offset()).ok()?;
        let start = column.dictionary_page_offset().map_or(Some(data), |at| u64::try_from(at).ok())?;
        let end = start.checked_add(u64::try_from(column.compressed_size()).ok()?)?;
        let dictionary = OnceLock::new();
        (start <= data && data <= end).then_some(Self { bytes: start..end, data, lz4, dictionary })
    }

    const fn has_dictionary(&self) -> bool {
        self.bytes.start < self.data
    }
}

/// A row group.
#[derive(Debug)]
struct Group {
    rows: Range<u64>,
    pages: Range<usize>,
    chunks: Vec<Chunk>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// An open segment: where its pages stand is in memory, every byte is verified when it is read.
pub struct Segment {
    path: PathBuf,
    entry: SegmentEntry,
    daily: bool,
    index: SegmentIndexV1,
    file: VerifiedFile,
    groups: Vec<Group>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Segment {
    /// Opens a published file of bars and checks its length, its footer and what it says of itself.
    ///
    /// # Errors
    /// `Io`; `Layout` for a file of another layout; `Damaged`, also for a file of another dataset.
    pub fn open(path: &Path, entry: SegmentEntry, index: SegmentIndexV1) -> Result<Self, SegmentError> {
        let damaged = |detail: String| SegmentError::Damaged { path: path.to_owned(), detail };
        index.check().map_err(|damage| damaged(damage.to_string()))?;
        let file = VerifiedFile::open(path, entry.bytes, index.blocks())?;
        let metadata = load_metadata(path, &file)?;
        let Dataset::Bars { interval, adjustment } = entry.dataset else {
            return Err(damaged(format!("{} in the manifest, read as bars", entry.dataset)));
        };
        let kind = SegmentKind { axis: entry.axis, interval, adjustment, version: entry.version };
        check_pairs(path, &metadata, &kind)?;
        let rows = metadata.file_metadata().num_rows();
        if u64::try_from(rows) != Ok(entry.rows) {
            return Err(damaged(format!("{rows} rows in the footer, {} in the manifest", entry.rows)));
        }
        let groups = groups_of(&metadata, &index, &kind);
        let groups = groups.ok_or_else(|| damaged("its footer does not fit its index".to_owned()))?;
        let daily = interval.is_daily_or_longer();
        Ok(Self { path: path.to_owned(), entry, daily, index, file, groups })
    }

    /// Its manifest entry.
    pub const fn entry(&self) -> &SegmentEntry {
        &self.entry
    }

    /// Where its runs stand.
    pub const fn index(&self) -> &SegmentIndexV1 {
        &self.index
    }

    /// Where its file stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn damaged(&self, detail: &str) -> SegmentError {
        SegmentError::Damaged { path: self.path.clone(), detail: detail.to_owned() }
    }

    /// Reads a range of rows of one instrument.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn read_series(&self, rows: Range<u64>) -> Result<Vec<VersionedBar>, SegmentError> {
        let mut bars = Vec::with_capacity(self.count(&rows)?);
        self.visit_series(rows, |bar| bars.push(bar))?;
        Ok(bars)
    }

    /// Reads a range of rows with their instruments.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn read_rows(&self, rows: Range<u64>) -> Result<Vec<(InstrumentId, VersionedBar)>, SegmentError> {
        self.read_rows_as(rows, |bar| bar)
    }

    /// The same, of each bar what `part` takes of it.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn read_rows_as<T>(
        &self,
        rows: Range<u64>,
        part: impl Fn(VersionedBar) -> T,
    ) -> Result<Vec<(InstrumentId, T)>, SegmentError> {
        let mut found = Vec::with_capacity(self.count(&rows)?);
        let mut names = Vec::with_capacity(found.capacity());
        self.read_names(rows.clone(), &mut names)?;
        let mut names = names.into_iter();
        self.visit_series(rows, |bar| {
            if let Some(name) = names.next() {
                found.push((name, part(bar)));
            }
        })?;
        Ok(found)
    }

    /// How many rows a range of rows has that the segment must have.
    pub(crate) fn count(&self, rows: &Range<u64>) -> Result<usize, SegmentError> {
        let count = rows.end.checked_sub(rows.start).and_then(|count| usize::try_from(count).ok());
        count
            .filter(|_| rows.end <= self.entry.rows)
            .ok_or_else(|| self.damaged("rows are asked for that it does not have"))
    }

    /// Hands over a range of rows, one after the other, without their instruments.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn visit_series(
        &self,
        rows: Range<u64>,
        mut each: impl FnMut(VersionedBar),
    ) -> Result<(), SegmentError> {
        let bad = || self.damaged("a value that no bar has");
        let count = self.count(&rows)?;
        let ts = self.read_ts(rows.clone())?;
        let days = if self.daily { Vec::new() } else { self.read_days(rows.clone())? };
        let mut numbers: [Vec<f64>; 7] = Default::default();
        for (place, column) in numbers.iter_mut().enumerate() {
            column.reserve_exact(count);
            self.read_column(NUMBERS + place, rows.clone(), column)?;
        }
        let mut versions = Vec::new();
        if self.entry.version.is_none() {
            self.read_column::<u64>(VERSION, rows, &mut versions)?;
        }
        let [open, high, low, close, volume, turnover, interest] = &numbers;
        let prices = open.iter().zip(high).zip(low).zip(close);
        let others = volume.iter().zip(turnover).zip(interest);
        let all = ts.iter().zip(prices).zip(others).enumerate();
        for (row, ((ts, (((open, high), low), close)), ((volume, turnover), interest))) in all {
            let ts = Timestamp::from_nanos(*ts);
            let day = if self.daily {
                TradingDay::of_utc(ts)
            } else {
                days.get(row).copied().and_then(TradingDay::from_days)
            };
            let version = match self.entry.version {
                Some(version) => version,
                None => versions.get(row).copied().and_then(Version::from_raw).ok_or_else(bad)?,
            };
            let numbers = [*open, *high, *low, *close, *volume, *turnover, *interest];
            let bar = Bar::from_numbers(ts, day.ok_or_else(bad)?, numbers);
            each(VersionedBar { bar, version });
        }
        Ok(())
    }

    pub(crate) fn read_ts(&self, rows: Range<u64>) -> Result<Vec<i64>, SegmentError> {
        let mut ts = Vec::with_capacity(self.count(&rows)?);
        self.read_column(TS, rows, &mut ts)?;
        Ok(ts)
    }

    pub(crate) fn read_days(&self, rows: Range<u64>) -> Result<Vec<i32>, SegmentError> {
        let mut days = Vec::with_capacity(self.count(&rows)?);
        self.read_column(TRADING_DAY, rows, &mut days)?;
        Ok(days)
    }

    fn read_names(&self, rows: Range<u64>, names: &mut Vec<InstrumentId>) -> Result<(), SegmentError> {
        self.read_name_places(rows, |places, list| {
            names.extend(places.iter().filter_map(|place| list.get(*place as usize)));
        })
    }

    /// Calls `each` with the instruments of each page's wanted rows: places in the list that follows.
    pub(crate) fn read_name_places(
        &self,
        rows: Range<u64>,
        mut each: impl FnMut(&[u32], &[InstrumentId]),
    ) -> Result<(), SegmentError> {
        self.pages(INSTRUMENT, rows, |chunk, page, wanted, scratch| {
            let Some(Dictionary::Names(list)) = chunk.dictionary.get() else { return None };
            match page {
                None => {
                    let places = vec![0; wanted.end - wanted.start];
                    each(&places, list);
                }
                Some((header, body)) => {
                    (header.encoding == RLE_DICTIONARY).then_some(())?;
                    read_indices(body, header.values, scratch.1)?;
                    let places = scratch.1.get(wanted)?;
                    places.iter().all(|place| (*place as usize) < list.len()).then_some(())?;
                    each(places, list);
                }
            }
            Some(())
        })
    }

    /// Appends the wanted rows of a column.
    pub(crate) fn read_column<T: Stored>(
        &self,
        column: usize,
        rows: Range<u64>,
        out: &mut Vec<T>,
    ) -> Result<(), SegmentError> {
        self.pages(column, rows, |chunk, page, wanted, scratch| {
            let dictionary = chunk.dictionary.get().and_then(T::of).unwrap_or_default();
            match page {
                None => {
                    let value = dictionary.first()?;
                    out.resize(out.len() + wanted.len(), *value);
                    Some(())
                }
                Some((header, body)) => {
                    read_values(&header, body, chunk.lz4, dictionary, wanted, scratch, out)
                }
            }
        })
    }

    /// Visits the pages of a column that hold wanted rows, with the wanted rows of each. A chunk whose
    /// rows are all the same is visited once, without a page.
    fn pages(
        &self,
        column: usize,
        rows: Range<u64>,
        mut visit: impl FnMut(
            &Chunk,
            Option<(crate::decode::PageHeader, &[u8])>,
            Range<usize>,
            (&mut Vec<u8>, &mut Vec<u32>),
        ) -> Option<()>,
    ) -> Result<(), SegmentError> {
        self.count(&rows)?;
        let bad = || self.damaged("a page that is not what its index says");
        SCRATCH.with_borrow_mut(|scratch| {
            let first = self.groups.partition_point(|group| group.rows.end <= rows.start);
            for group in self.groups.get(first..).unwrap_or_default() {
                let wanted = rows.start.max(group.rows.start)..rows.end.min(group.rows.end);
                if wanted.is_empty() {
                    break;
                }
                let chunk = group.chunks.get(column).ok_or_else(bad)?;
                if chunk.has_dictionary() && chunk.dictionary.get().is_none() {
                    let dictionary = self.read_dictionary(chunk, column, scratch)?;
                    // Somebody else may have been faster with the same.
                    drop(chunk.dictionary.set(dictionary));
                }
                let size = |rows: u64| usize::try_from(rows).map_err(|_| bad());
                if chunk.dictionary.get().is_some_and(Dictionary::is_constant) {
                    let all = 0..size(wanted.end - wanted.start)?;
                    visit(chunk, None, all, (&mut scratch.plain, &mut scratch.indices)).ok_or_else(bad)?;
                    continue;
                }
                let mut page = self.index.page_behind(wanted.start).saturating_sub(1);
                let end_of = |page: usize| {
                    if page + 1 < group.pages.end {
                        Some(chunk.bytes.start + self.index.offset(page + 1, column)?)
                    } else {
                        Some(chunk.bytes.end)
                    }
                };
                let end_row = |page: usize| {
                    if page + 1 < group.pages.end {
                        self.index.page(page + 1).map(|page| page.row)
                    } else {
                        Some(group.rows.end)
                    }
                };
                let mut row = self.index.page(page).ok_or_else(bad)?.row;
                while row < wanted.end {
                    let from = chunk.bytes.start + self.index.offset(page, column).ok_or_else(bad)?;
                    // As many pages as one read should cover, and at least one.
                    let (mut last, mut to) = (page, end_of(page).ok_or_else(bad)?);
                    while end_row(last).ok_or_else(bad)? < wanted.end {
                        let next = end_of(last + 1).ok_or_else(bad)?;
                        if next.saturating_sub(from) > READ_BYTES {
                            break;
                        }
                        (last, to) = (last + 1, next);
                    }
                    let length = size(to.checked_sub(from).ok_or_else(bad)?)?;
                    let mut bytes = self
                        .file
                        .read_into(from, length, &mut scratch.file)
                        .map_err(|e| SegmentError::parquet(&self.path, e))?;
                    for page in page..=last {
                        let end = end_row(page).ok_or_else(bad)?;
                        let (header, body) = read_header(bytes).ok_or_else(bad)?;
                        let (body, rest) = body.split_at_checked(header.stored).ok_or_else(bad)?;
                        bytes = rest;
                        if header.is_dictionary || Some(header.values as u64) != end.checked_sub(row) {
                            return Err(bad());
                        }
                        let part = size(wanted.start.max(row) - row)?..size(wanted.end.min(end) - row)?;
                        let scratch = (&mut scratch.plain, &mut scratch.indices);
                        visit(chunk, Some((header, body)), part, scratch).ok_or_else(bad)?;
                        row = end;
                    }
                    page = last + 1;
                }
            }
            Ok(())
        })
    }

    fn read_dictionary(
        &self,
        chunk: &Chunk,
        column: usize,
        scratch: &mut Scratch,
    ) -> Result<Dictionary, SegmentError> {
        let bad = || self.damaged("a dictionary that is none");
        let length = usize::try_from(chunk.data - chunk.bytes.start).map_err(|_| bad())?;
        let bytes = self
            .file
            .read_into(chunk.bytes.start, length, &mut scratch.file)
            .map_err(|e| SegmentError::parquet(&self.path, e))?;
        let (header, body) = read_header(bytes).ok_or_else(bad)?;
        if !header.is_dictionary || chunk.lz4 || body.len() != header.stored {
            return Err(bad());
        }
        let dictionary = match column {
            INSTRUMENT => Dictionary::Names(names_of(body).ok_or_else(bad)?),
            TS => Dictionary::Longs(entries(body)),
            TRADING_DAY => Dictionary::Days(entries(body)),
            VERSION => Dictionary::Versions(entries(body)),
            _ => Dictionary::Doubles(entries(body)),
        };
        if dictionary.len() == header.values && header.values > 0 { Ok(dictionary) } else { Err(bad()) }
    }
}

impl Dictionary {
    const fn len(&self) -> usize {
        match self {
            Self::Names(all) => all.len(),
            Self::Days(all) => all.len(),
            Self::Longs(all) => all.len(),
            Self::Versions(all) => all.len(),
            Self::Doubles(all) => all.len(),
        }
    }

    const fn is_constant(&self) -> bool {
        self.len() == 1
    }
}

fn entries<T: Value>(body: &[u8]) -> Vec<T> {
    body.chunks_exact(T::WIDTH).map(T::read).collect()
}

fn names_of(mut body: &[u8]) -> Option<Vec<InstrumentId>> {
    let mut names = Vec::new();
    while !body.is_empty() {
        let (len, rest) = body.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        names.push(InstrumentId::from_trusted(name)?);
        body = rest;
    }
    Some(names)
}

/// Compares what the file says of itself with what the manifest says of it.
fn check_pairs(path: &Path, metadata: &ParquetMetaData, kind: &SegmentKind) -> Result<(), SegmentError> {
    let pairs = metadata.file_metadata().key_value_metadata();
    let found = |key: &str| {
        let pair = pairs.into_iter().flatten().find(|pair| pair.key == key)?;
        pair.value.clone()
    };
    for (key, wanted) in pairs_of(kind) {
        let value = found(key).unwrap_or_else(|| "nothing".to_owned());
        if key == LAYOUT_KEY && value != wanted {
            return Err(SegmentError::Layout { path: path.to_owned(), found: value, known: LAYOUT });
        }
        if value != wanted {
            let detail = format!("{key} is {value}, not {wanted} as in the manifest");
            return Err(SegmentError::Damaged { path: path.to_owned(), detail });
        }
    }
    Ok(())
}

/// Whether each of these pages has rows, no more than a page may have, and the last one ends at a row.
fn pages_fit(index: &SegmentIndexV1, pages: Range<usize>, end: u64) -> bool {
    let start = |page| index.page(page).map(|page| page.row);
    pages.clone().all(|page| {
        let behind = if page + 1 < pages.end { start(page + 1) } else { Some(end) };
        let rows = behind.and_then(|behind| behind.checked_sub(start(page)?));
        rows.is_some_and(|rows| (1..=MOST_PAGE_ROWS).contains(&rows))
    })
}

fn groups_of(metadata: &ParquetMetaData, index: &SegmentIndexV1, kind: &SegmentKind) -> Option<Vec<Group>> {
    let mut groups = Vec::with_capacity(metadata.num_row_groups());
    let (mut row, mut page) = (0_u64, 0);
    let columns = VERSION + usize::from(kind.version.is_none());
    for group in metadata.row_groups() {
        let end = u64::try_from(group.num_rows()).ok().and_then(|rows| row.checked_add(rows))?;
        let behind = if end == row { page } else { index.page_behind(end - 1) };
        let begins = index.page(page)?.row == row && index.page(behind).is_none_or(|next| next.row == end);
        if !begins || !pages_fit(index, page..behind, end) || group.num_columns() != columns {
            return None;
        }
        let chunks = group.columns().iter().map(Chunk::of).collect::<Option<_>>()?;
        groups.push(Group { rows: row..end, pages: page..behind, chunks });
        (row, page) = (end, behind);
    }
    (page == index.pages()).then_some(groups)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use barkeeper_records::{AdjustmentTag, Interval};

    use super::*;
    use crate::index::{Page, RunV1};
    use crate::pages::RowFile;
    use crate::segment_writer::SegmentWriter;

    const ROWS: u64 = 6;

    /// A file of six bars of two instruments, and what the manifest would say of it.
    fn written(path: &Path) -> (SegmentEntry, SegmentIndexV1) {
        let (interval, adjustment, version) = (Interval::DAY, AdjustmentTag::Raw, Some(Version::ZERO));
        let kind = SegmentKind { axis: Axis::Instrument, interval, adjustment, version };
        let mut writer = SegmentWriter::create(path, kind).unwrap();
        for name in ["000001.SZ", "600000.SH"] {
            let bar = |day: i32| {
                let day = TradingDay::from_days(19_724 + day).unwrap();
                VersionedBar { bar: Bar::from_numbers(day.label(), day, [1.5; 7]), version: Version::ZERO }
            };
            writer.push_series(name.parse().unwrap(), (0..3).map(bar).collect::<Vec<_>>()).unwrap();
        }
        let written = writer.finish().unwrap();
        let entry = written.entry(1, Axis::Instrument, Dataset::Bars { interval, adjustment }, version);
        (entry, written.index)
    }

    #[test]
    fn an_index_whose_pages_fit_no_file_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let (entry, index) = written(&path);
        assert!(Segment::open(&path, entry.clone(), index.clone()).is_ok());
        for rows in [vec![0, 5, 3], vec![0, 0], vec![0, 7], vec![0, u64::from(u32::MAX)], vec![]] {
            let pages: Vec<Page> = rows.iter().map(|row| Page { row: *row, first: 0, last: 0 }).collect();
            let forged = SegmentIndexV1::of(Vec::new(), Vec::new(), index.blocks().to_vec());
            let forged = forged.with_pages(&pages, &vec![0; pages.len() * VERSION]);
            let opened = Segment::open(&path, entry.clone(), forged);
            assert!(matches!(opened, Err(SegmentError::Damaged { .. })), "{rows:?}: {opened:?}");
        }
    }

    /// A series of a full page and one of two rows, of two prices: a dictionary of them is as long as the
    /// last page, in another order.
    fn two_pages(path: &Path) -> (SegmentEntry, SegmentIndexV1, Vec<VersionedBar>) {
        let (entry, _) = written(&path.with_extension("other"));
        let (interval, adjustment, version) = (Interval::DAY, AdjustmentTag::Raw, Some(Version::ZERO));
        let kind = SegmentKind { axis: Axis::Instrument, interval, adjustment, version };
        let bar = |number: u32| {
            let day = TradingDay::from_days(19_724 + number.cast_signed()).unwrap();
            let random = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()) & 1 == 1;
            let high = number == 2_048 || (number < 2_048 && random);
            let numbers = [if high { 2.5 } else { 1.5 }; 7];
            VersionedBar { bar: Bar::from_numbers(day.label(), day, numbers), version: Version::ZERO }
        };
        let bars: Vec<VersionedBar> = (0..2_050).map(bar).collect();
        let mut writer = SegmentWriter::create(path, kind).unwrap();
        writer.push_series("000001.SZ".parse().unwrap(), bars.clone()).unwrap();
        let written = writer.finish().unwrap();
        let (first, last) = (written.first, written.last);
        let (first_day, last_day) = (written.first_day, written.last_day);
        let (rows, bytes, blake3) = (written.rows, written.bytes, written.blake3);
        (SegmentEntry { rows, first, last, first_day, last_day, bytes, blake3, ..entry }, written.index, bars)
    }

    #[test]
    fn a_page_that_is_not_what_its_index_says_is_damage_and_never_other_rows() {
        const CLOSE: usize = 6;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let (entry, index, bars) = two_pages(&path);
        assert!(index.pages() == 2 && index.offset(0, CLOSE).unwrap() > 0, "no dictionary");
        let forged = |rows: [u64; 2], close: u64| {
            let page = |row| Page { row, first: 0, last: i64::MAX };
            let offsets = (0..2 * VERSION).map(|place| match (place / VERSION, place % VERSION) {
                (1, CLOSE) => close,
                (page, column) => index.offset(page, column).unwrap(),
            });
            let offsets: Vec<u32> = offsets.map(|offset| u32::try_from(offset).unwrap()).collect();
            let forged = SegmentIndexV1::of(Vec::new(), Vec::new(), index.blocks().to_vec());
            Segment::open(&path, entry.clone(), forged.with_pages(&rows.map(page), &offsets)).unwrap()
        };
        let closes = index.offset(1, CLOSE).unwrap();
        let good = forged([0, 2_048], closes);
        assert_eq!(good.read_series(0..2_050).unwrap(), bars);
        // The rows of the second page would be their neighbours; the dictionary would be two rows.
        for (rows, close) in [([0, 2_047], closes), ([0, 2_048], 0)] {
            for wanted in [2_048..2_050, 2_049..2_050] {
                let found = forged(rows, close).read_series(wanted.clone());
                let damaged = matches!(found, Err(SegmentError::Damaged { .. }));
                assert!(damaged, "{rows:?} {close} {wanted:?}: {found:?}");
            }
        }
    }

    #[test]
    fn a_run_that_no_file_can_hold_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let (entry, index) = written(&path);
        let segment = Segment::open(&path, entry, index).unwrap();
        let run = RunV1 { start: u64::MAX - 1, rows: u32::MAX, first: 0, last: i64::MAX };
        assert!(segment.pages_of(&run).iter().all(|span| span.start >= run.start));
        let rows = segment.narrow(&run, Timestamp::MIN, Timestamp::MAX);
        assert!(matches!(segment.read_series(rows), Err(SegmentError::Damaged { .. })));
        assert_eq!(segment.read_series(0..ROWS).unwrap().len() as u64, ROWS);
    }
}
