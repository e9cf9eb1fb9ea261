//! Segments hold the rows that were written, bit for bit, whatever they are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, TimestampNanosecondType, UInt64Type};
use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, Timestamp, TradingDay, Version};
use barkeeper_storage::{
    Axis, Dataset, RowFile, Segment, SegmentEntry, SegmentError, SegmentIndexV1, SegmentKind, SegmentWriter,
    VersionedBar,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

type Row = (InstrumentId, VersionedBar);

fn instrument(number: u32) -> InstrumentId {
    format!("{number:06}.SZ").parse().unwrap()
}

fn row(number: u32, day: i32, numbers: [f64; 7], version: u64) -> Row {
    let day = TradingDay::from_days(day).unwrap();
    let bar = Bar::from_numbers(day.label(), day, numbers);
    (instrument(number), VersionedBar { bar, version: Version::from_raw(version).unwrap() })
}

fn kind(axis: Axis, version: Option<u64>) -> SegmentKind {
    let version = version.and_then(Version::from_raw);
    SegmentKind { axis, interval: Interval::DAY, adjustment: AdjustmentTag::Raw, version }
}

/// Writes rows that stand in the order of the axis.
fn write(path: &Path, kind: SegmentKind, rows: &[Row]) -> (SegmentEntry, SegmentIndexV1) {
    let mut writer = SegmentWriter::create(path, kind).unwrap();
    match kind.axis {
        Axis::Instrument => {
            for run in rows.chunk_by(|a, b| a.0 == b.0) {
                writer.push_series(run[0].0, run.iter().map(|row| row.1)).unwrap();
            }
        }
        Axis::Day => {
            for run in rows.chunk_by(|a, b| a.1.bar.ts == b.1.bar.ts) {
                writer.push_day(run[0].1.bar.ts, run).unwrap();
            }
        }
    }
    let written = writer.finish().unwrap();
    let entry = written.entry(
        1,
        kind.axis,
        Dataset::Bars { interval: kind.interval, adjustment: kind.adjustment },
        kind.version,
    );
    (entry, written.index)
}

/// The rows of a record batch with all columns; `version` where the batch has no column for it.
fn rows_of(batch: &RecordBatch, version: Option<Version>) -> Vec<Row> {
    let names: Vec<&str> = match batch.column(0).as_dictionary_opt::<Int32Type>() {
        Some(names) => {
            let values = names.values().as_string::<i32>();
            names.keys().values().iter().map(|key| values.value(usize::try_from(*key).unwrap())).collect()
        }
        None => batch.column(0).as_string::<i32>().iter().map(Option::unwrap).collect(),
    };
    let ts = batch.column(1).as_primitive::<TimestampNanosecondType>().values();
    let days = batch.column(2).as_primitive::<Date32Type>().values();
    let number = |place: usize, row: usize| batch.column(place).as_primitive::<Float64Type>().value(row);
    let row = |row: usize| {
        let numbers = std::array::from_fn(|place| number(place + 3, row));
        let day = TradingDay::from_days(days[row]).unwrap();
        let bar = Bar::from_numbers(Timestamp::from_nanos(ts[row]), day, numbers);
        let own = || Version::from_raw(batch.column(10).as_primitive::<UInt64Type>().value(row)).unwrap();
        (names[row].parse().unwrap(), VersionedBar { bar, version: version.unwrap_or_else(own) })
    };
    (0..batch.num_rows()).map(row).collect()
}

fn bits(rows: &[Row]) -> Vec<(InstrumentId, i64, i32, [u64; 7], u64)> {
    let bits = |(instrument, row): &Row| {
        let numbers = row.bar.numbers().map(f64::to_bits);
        (*instrument, row.bar.ts.nanos(), row.bar.trading_day.days(), numbers, row.version.raw())
    };
    rows.iter().map(bits).collect()
}

/// Writes rows and reads them in every way there is.
fn check(kind: SegmentKind, rows: &[Row], part: std::ops::Range<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment.parquet");
    let (entry, index) = write(&path, kind, rows);
    assert_eq!(entry.rows, rows.len() as u64);
    let segment = Segment::open(&path, entry, index.clone()).unwrap();
    assert_eq!(bits(&segment.read_rows(0..rows.len() as u64).unwrap()), bits(rows));
    let wanted = part.start as u64..part.end as u64;
    let bars: Vec<VersionedBar> = rows[part.clone()].iter().map(|row| row.1).collect();
    assert_eq!(segment.read_series(wanted.clone()).unwrap(), bars);
    let all: Vec<usize> = (0..=10).collect();
    let batch = segment.read_batch(wanted, &all).unwrap();
    assert_eq!(bits(&rows_of(&batch, None)), bits(&rows[part]));
    let mut start = 0;
    for run in index.runs() {
        assert_eq!(run.start, start);
        start += u64::from(run.rows);
        let spans = segment.pages_of(&run);
        assert_eq!((spans[0].start, spans[spans.len() - 1].end), (run.start, start));
        for span in spans {
            let rows = &rows[usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap()];
            assert!(rows.iter().all(|row| (span.first..=span.last).contains(&row.1.bar.ts.nanos())));
        }
    }
    assert_eq!(start, rows.len() as u64);
    // A program that knows Parquet and nothing of us reads the same.
    let file = fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 16);
    let found = reader.build().unwrap().map(Result::unwrap);
    let others: Vec<Row> = found.flat_map(|batch| rows_of(&batch, kind.version)).collect();
    assert_eq!(bits(&others), bits(rows));
}

/// Numbers of all kinds: cents, large and small ones, all bits, negative ones.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0_i32..3_000).prop_map(|cents| f64::from(cents) / 100.0),
        1 => Just(0.0),
        1 => prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(f64::MIN_POSITIVE), Just(5e-324)],
        2 => any::<f64>().prop_map(|number| if number.is_finite() { number + 0.0 } else { 1.0 }),
        1 => -1e9_f64..1e9,
    ]
}

prop_compose! {
    fn cells()(runs in 1_u32..40, days in 1_i32..60)
        (runs in Just(runs), cells in prop::collection::btree_map((0..runs, -2_000..days), (prop::array::uniform7(number()), 0_u64..4), 0..900))
        -> BTreeMap<(u32, i32), ([f64; 7], u64)> {
            let _ = runs;
            cells
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_are_read_as_they_were_written(cells in cells(), uniform: bool, from in 0_usize..1_000, to in 0_usize..1_000) {
        let version = |own: u64| if uniform { 7 } else { own };
        let mut rows: Vec<Row> =
            cells.iter().map(|((number, day), (numbers, own))| row(*number, *day, *numbers, version(*own))).collect();
        let at = |part: usize| rows.len() * part / 999;
        let part = at(from.min(to))..at(from.max(to));
        let uniform = uniform.then_some(7);
        check(kind(Axis::Instrument, uniform), &rows, part.clone());
        rows.sort_by_key(|(instrument, row)| (row.bar.ts, *instrument));
        check(kind(Axis::Day, uniform), &rows, part);
    }
}

#[test]
fn runs_of_every_length_are_read_across_pages_and_row_groups() {
    let price = |n: u32| f64::from(1_000 + n.wrapping_mul(2_654_435_761) % 700) / 100.0;
    let lengths = [1, 3, 511, 512, 513, 2_047, 2_048, 2_049, 5_000, 1, 1, 100_000, 100_000, 100_000, 7];
    let mut rows = Vec::new();
    for (number, length) in (0..).zip(lengths) {
        for day in 0..length {
            let n = number * 7_919 + u32::try_from(day).unwrap();
            let close = price(n);
            let volume = f64::from(n.wrapping_mul(2_246_822_519) >> 8);
            rows.push(row(
                number,
                day - 50_000,
                [close, close, close, close, volume, volume * close, 0.0],
                7,
            ));
        }
    }
    assert!(rows.len() > 300_000, "more than one row group");
    check(kind(Axis::Instrument, Some(7)), &rows, 262_000..270_000);
    rows.truncate(20_000);
    rows.sort_by_key(|(instrument, row)| (row.bar.ts, *instrument));
    check(kind(Axis::Day, Some(7)), &rows, 1..19_999);
}

#[test]
fn only_the_pages_that_may_hold_a_time_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment.parquet");
    let rows: Vec<Row> = (0..5_000).map(|day| row(1, day, [1.0; 7], 7)).collect();
    let (entry, index) = write(&path, kind(Axis::Instrument, Some(7)), &rows);
    let run = index.of_instrument(&instrument(1)).unwrap();
    let segment = Segment::open(&path, entry, index).unwrap();
    let at = |row: usize| rows[row].1.bar.ts;
    let (least, most) = (Timestamp::MIN, Timestamp::MAX);
    assert_eq!(segment.narrow(&run, least, most), 0..5_000);
    assert_eq!(segment.narrow(&run, at(0), at(4_999)), 0..5_000);
    assert_eq!(segment.narrow(&run, at(3_000), most), 2_048..5_000);
    assert_eq!(segment.narrow(&run, least, at(3_000)), 0..4_096);
    assert_eq!(segment.narrow(&run, at(2_048), at(4_095)), 2_048..4_096);
    assert_eq!(segment.narrow(&run, at(2_047), at(4_096)), 0..5_000);
    let before = Timestamp::from_nanos(at(0).nanos() - 1);
    assert!(segment.narrow(&run, least, before).is_empty());
}

#[test]
fn minus_zero_is_zero_and_no_row_is_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = [row(1, 0, [-0.0; 7], 7)];
    let (entry, index) = write(&folder.path().join("zeros"), kind(Axis::Instrument, Some(7)), &zeros);
    let segment = Segment::open(&folder.path().join("zeros"), entry, index).unwrap();
    let found = segment.read_series(0..1).unwrap()[0].bar.numbers();
    assert_eq!(found.map(f64::to_bits), [0; 7]);
    for axis in [Axis::Instrument, Axis::Day] {
        check(kind(axis, Some(7)), &[], 0..0);
    }
}

#[test]
fn rows_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment.parquet");
    let (entry, index) = write(&path, kind(Axis::Instrument, Some(7)), &[row(1, 0, [1.0; 7], 7)]);
    let segment = Segment::open(&path, entry, index).unwrap();
    assert!(segment.read_series(0..2).is_err());
    let backwards = std::ops::Range { start: 1, end: 0 };
    assert!(segment.read_rows(backwards.clone()).is_err() && segment.read_batch(backwards, &[1]).is_err());
}

#[test]
fn a_file_that_says_to_be_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment.parquet");
    let rows = [row(1, 0, [1.0; 7], 7), row(1, 1, [1.0; 7], 7)];
    let (entry, index) = write(&path, kind(Axis::Instrument, Some(7)), &rows);
    let by_day = SegmentEntry { axis: Axis::Day, ..entry.clone() };
    let error = Segment::open(&path, by_day, index.clone()).unwrap_err().to_string();
    assert!(error.contains("barkeeper.axis is instrument, not day"), "{error}");
    let adjusted = Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Qfq };
    let error = Segment::open(&path, SegmentEntry { dataset: adjusted, ..entry.clone() }, index.clone());
    assert!(error.unwrap_err().to_string().contains("barkeeper.adjustment is raw, not qfq"));
    let ticks = SegmentEntry { dataset: Dataset::Ticks, ..entry.clone() };
    assert!(matches!(Segment::open(&path, ticks, index.clone()), Err(SegmentError::Damaged { .. })));

    // The same file as a later program would have written it: sums of its blocks fit, its layout is another.
    let other = folder.path().join("other.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let key = b"barkeeper.layout";
    let at = bytes.windows(key.len()).position(|part| part == key).unwrap() + key.len();
    let place = at + bytes[at..].iter().position(|byte| *byte == b'2').unwrap();
    bytes[place] = b'9';
    fs::write(&other, &bytes).unwrap();
    let sums: Vec<u8> =
        bytes.chunks(8 * 1024).map(xxhash_rust::xxh3::xxh3_64).flat_map(u64::to_le_bytes).collect();
    let index = with_sums(&index, &sums);
    let error = Segment::open(&other, entry, index).unwrap_err();
    assert!(matches!(&error, SegmentError::Layout { found, known: 2, .. } if found == "9"), "{error}");
    assert!(error.to_string().contains("the file has layout 9, this program reads layout 2"), "{error}");
}

/// An index with other sums of blocks: they are its last field.
fn with_sums(index: &SegmentIndexV1, sums: &[u8]) -> SegmentIndexV1 {
    let standard = bincode::config::standard();
    let mut bytes = bincode::encode_to_vec(index, standard).unwrap();
    let old = bincode::encode_to_vec(sums, standard).unwrap();
    bytes.truncate(bytes.len() - old.len());
    bytes.extend(old);
    bincode::decode_from_slice(&bytes, standard).unwrap().0
}
