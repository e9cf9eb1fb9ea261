//! Damaged and newer bytes: an error, never data.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use barkeeper_records::{
    AdjustmentTag, Bar, Digest, InstrumentId, Interval, Lsn, PositionKey, SeriesKey, Timestamp, TradingDay,
    Version,
};
use barkeeper_storage::{
    Axis, BarV1, Damage, HeadV1, LinkV1, LogEntry, LogV1, PositionV1, Segment, SegmentEntry, SegmentIndexV1,
    SegmentKind, SegmentWriter, StoredRow, VersionedBar, checksum, keys,
};

fn series() -> SeriesKey {
    SeriesKey::daily("000001.SZ".parse().unwrap())
}

fn bar(day: i32, price: f64) -> VersionedBar {
    let day = TradingDay::from_days(day).unwrap();
    let numbers = [price, price * 1.01, price * 0.99, price, 100.0, price * 100.0, 0.0];
    VersionedBar { bar: Bar::from_numbers(day.label(), day, numbers), version: Version::from_raw(7).unwrap() }
}

fn flip<T: StoredRow + std::fmt::Debug>(key: &[u8], row: &T) {
    let bytes = row.to_bytes(key);
    let mut other = key.to_vec();
    other[0] ^= 1;
    assert!(T::from_bytes(&other, &bytes).is_err(), "another key: {row:?}");
    for bit in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(T::from_bytes(key, &wrong).is_err(), "bit {bit}: {row:?}");
    }
    for end in 0..bytes.len() {
        assert!(T::from_bytes(key, &bytes[..end]).is_err(), "{end} bytes: {row:?}");
    }
}

#[test]
fn any_flipped_bit_of_a_row_is_damage() {
    let ts = Timestamp::from_nanos(0);
    flip(&keys::bar(&series(), ts), &BarV1::of(&bar(0, 9.39)));
    let key = PositionKey::main("a".parse().unwrap(), series().instrument);
    flip(&keys::position(&key), &PositionV1::tombstone(Version::ZERO));
    flip(b"head", &HeadV1::default());
    // An index entry without a value still has a checksum over its key.
    flip(b"key", &LinkV1::default());
    let entry = LogEntry::Series { series: series(), from: ts, to: ts };
    flip(&keys::log(Lsn(1), 0), &LogV1::of(&entry, Lsn(1), Version::ZERO, ts, 0));
}

#[test]
fn a_newer_layout_is_refused_with_both_numbers() {
    let mut bytes = HeadV1::default().to_bytes(b"head");
    bytes[0] = 2;
    let body = bytes.len() - 8;
    let sum = checksum(b"head", &bytes[..body]);
    bytes[body..].copy_from_slice(&sum.to_le_bytes());
    let error = HeadV1::from_bytes(b"head", &bytes).unwrap_err();
    assert!(matches!(error, Damage::Newer { found: 2, known: 1, .. }), "{error}");
}

/// A segment of several blocks and row pages, and what it holds.
fn segment(path: &Path) -> (SegmentEntry, SegmentIndexV1, Vec<(InstrumentId, VersionedBar)>) {
    let kind = SegmentKind {
        axis: Axis::Instrument,
        interval: Interval::DAY,
        adjustment: AdjustmentTag::Raw,
        version: Version::from_raw(7),
    };
    let mut writer = SegmentWriter::create(path, kind).unwrap();
    let mut all = Vec::new();
    for (number, name) in ["000001.SZ", "600000.SH"].into_iter().enumerate() {
        let instrument = name.parse().unwrap();
        let bars: Vec<VersionedBar> =
            (0..1_500).map(|day| bar(day, 10.0 + (f64::from(day) + number as f64).sin())).collect();
        writer.push_series(instrument, &bars).unwrap();
        all.extend(bars.into_iter().map(|bar| (instrument, bar)));
    }
    let written = writer.finish().unwrap();
    let entry = SegmentEntry {
        id: 1,
        axis: kind.axis,
        twin: None,
        interval: kind.interval,
        adjustment: kind.adjustment,
        rows: written.rows,
        first: written.first,
        last: written.last,
        first_day: written.first_day,
        last_day: written.last_day,
        version: kind.version,
        bytes: written.bytes,
        blake3: written.blake3,
        digest: Digest::default(),
        lsn: Lsn(1),
    };
    (entry, written.index, all)
}

#[test]
fn a_damaged_segment_is_an_error_and_never_other_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment.parquet");
    let (entry, index, rows) = segment(&path);
    let good = fs::read(&path).unwrap();
    assert!(good.len() > 4 * 16 * 1024, "{} bytes", good.len());
    let read = || {
        let segment = Segment::open(&path, entry.clone(), index.clone())?;
        segment.read_rows(0..entry.rows)
    };
    assert_eq!(read().unwrap(), rows);
    let mut found = 0;
    for place in (0..good.len()).step_by(401).chain(good.len() - 64..good.len()) {
        let mut wrong = good.clone();
        wrong[place] ^= 1 << (place % 8);
        fs::write(&path, &wrong).unwrap();
        // Only a block that nobody needed may be wrong and go unseen.
        match read() {
            Ok(same) => assert!(same == rows, "byte {place}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > good.len() / 401 / 2, "{found} damaged files were refused");
    for length in [0, 1, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(read().is_err(), "{length} bytes");
    }
    let mut swapped = good[16_384..32_768].to_vec();
    swapped.extend_from_slice(&good[..16_384]);
    swapped.extend_from_slice(&good[32_768..]);
    fs::write(&path, &swapped).unwrap();
    assert!(read().is_err(), "two blocks in each other's place");
}
