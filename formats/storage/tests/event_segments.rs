//! Segments of ticks and market trades: their pages tell times, ranges of rows read as what was written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::ops::Range;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use barkeeper_records::{InstrumentId, MarketTrade, Side, Timestamp, TradingDay, Version};
use barkeeper_storage::{
    Axis, EventSegment, EventWriter, RowFile, SegmentError, StoredEvent, VersionedEvent,
};
use proptest::prelude::*;

/// Rows of each instrument; there are two.
const ROWS: i64 = 5_000;
/// Columns of market trades with the version behind them.
const ALL: usize = 10;

fn row(number: i64) -> VersionedEvent<MarketTrade> {
    let event = MarketTrade {
        ts: Timestamp::from_nanos(number / 3 * 1_000_000),
        sequence: number.unsigned_abs(),
        trading_day: TradingDay::default(),
        price: number as f64 / 8.0,
        quantity: (number % 7) as f64,
        turnover: 0.0,
        side: if number % 2 == 0 { Side::Buy } else { Side::Sell },
        aggregated: number % 3 == 0,
    };
    VersionedEvent { event, version: Version::from_raw(number.unsigned_abs() % 5).unwrap() }
}

fn open(path: &Path, version: Option<Version>) -> EventSegment<MarketTrade> {
    let mut writer = EventWriter::create(path, version).unwrap();
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    for name in ["BTC.BINANCE", "ETH.BINANCE"] {
        let instrument: InstrumentId = name.parse().unwrap();
        // One instrument in two parts, with one `ts` on both sides.
        let (first, second) = rows.split_at(1_000);
        assert_eq!(first[999].event.ts, second[0].event.ts);
        writer.push(instrument, first).unwrap();
        writer.push(instrument, second).unwrap();
        assert!(writer.push(instrument, second).is_err(), "they are written already");
    }
    let written = writer.finish().unwrap();
    let entry = written.entry(1, Axis::Instrument, MarketTrade::DATASET, version);
    EventSegment::open(path, entry, written.index).unwrap()
}

/// Rows of a batch of `version`, `price`, `ts`, `sequence`, `side` and `aggregated`, in this order.
fn shown(batch: &RecordBatch) -> Vec<VersionedEvent<MarketTrade>> {
    let row = |at: usize| {
        let number = batch.column(3).as_primitive::<Int64Type>().value(at);
        let mut found = row(number);
        let version = batch.column(0).as_primitive::<UInt64Type>().value(at);
        found.version = Version::from_raw(version).unwrap();
        found.event.price = batch.column(1).as_primitive::<Float64Type>().value(at);
        let ts = batch.column(2).as_primitive::<TimestampNanosecondType>().value(at);
        found.event.ts = Timestamp::from_nanos(ts);
        found.event.side = batch.column(4).as_string::<i32>().value(at).parse().unwrap();
        found.event.aggregated = batch.column(5).as_boolean().value(at);
        found
    };
    (0..batch.num_rows()).map(row).collect()
}

fn expected(rows: &Range<u64>, version: Option<Version>) -> Vec<VersionedEvent<MarketTrade>> {
    let number = |at: u64| i64::try_from(at).unwrap() % ROWS;
    let uniform = |row: VersionedEvent<MarketTrade>| match version {
        Some(version) => VersionedEvent { version, ..row },
        None => row,
    };
    rows.clone().map(|at| uniform(row(number(at)))).collect()
}

#[test]
fn few_pages_of_a_stream_may_hold_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    let segment = open(&dir.path().join("x.parquet"), None);
    for (_, run) in segment.index().instruments() {
        let pages = segment.pages_of(&run);
        assert_eq!(
            (pages[0].start, pages[pages.len() - 1].end),
            (run.start, run.start + u64::from(run.rows))
        );
        assert!(pages.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].last <= pair[1].first));
        for at in [0, 700_000_000, 1_200_000_000, 1_666_000_000] {
            let moment = Timestamp::from_nanos(at);
            let rows = segment.narrow(&run, moment, moment);
            let first = run.start + u64::try_from(at / 1_000_000 * 3).unwrap();
            assert!(rows.contains(&first) && rows.contains(&(first + 1)), "{at}: {rows:?}");
            assert!(rows.end - rows.start <= 2 * 1_024, "{at}: {rows:?}");
        }
        assert!(segment.narrow(&run, Timestamp::MAX, Timestamp::MAX).is_empty());
    }
}

#[test]
fn rows_and_columns_that_it_does_not_have_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let segment = open(&dir.path().join("x.parquet"), None);
    let all = 0..2 * ROWS.unsigned_abs();
    for (rows, column) in
        [([0..1, 1..all.end + 1], 4), ([5..9, 3..4], 4), ([3..5, 4..6], 4), ([0..1, 1..2], ALL)]
    {
        let found = segment.read_ranges(&rows, &[column]);
        assert!(matches!(found, Err(SegmentError::Damaged { .. })), "{rows:?} {column}");
    }
    assert_eq!(segment.read_ranges(std::slice::from_ref(&all), &[]).unwrap()[0].num_rows(), 10_000);
    assert_eq!(segment.read_ranges(&[7..7, 9..9], &[4, 9]).unwrap()[1].num_rows(), 0);
    assert!(segment.read_ranges(&[], &[4]).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ranges_read_as_what_was_written(cuts in prop::collection::btree_set(0_u64..10_000, 0..12), same in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let version = same.then(|| Version::from_raw(9).unwrap());
        let segment = open(&dir.path().join("x.parquet"), version);
        let cuts: Vec<u64> = cuts.into_iter().collect();
        let ranges: Vec<Range<u64>> = cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        let found = segment.read_ranges(&ranges, &[9, 4, 1, 2, 7, 8]).unwrap();
        prop_assert_eq!(found.len(), ranges.len());
        for (batch, rows) in found.iter().zip(&ranges) {
            prop_assert_eq!(shown(batch), expected(rows, version));
        }
    }
}
