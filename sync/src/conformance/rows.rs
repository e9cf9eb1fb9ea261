//! Cases about rows: versions, tombstones, ranges.

use barkeeper_records::{Bucket, Change, Lsn, RangeTombstone, SeriesKey, Table, Timestamp, Value};
use barkeeper_storage::rowview;

use super::sample::{bar, bar_key, row, series, small_version, tombstone};
use super::streams::{all_rows, greeted, live, ship};
use super::{Failure, Remote, expect};
use crate::error::SinkError;
use crate::sink::{Content, Sink};

fn put(series: &SeriesKey, ts: i64, price: f64, version: u64) -> Change {
    Change::Put(row(Table::Bars, bar_key(series, ts), bar(price, 1.0), version, version))
}

fn bury(series: &SeriesKey, ts: i64, version: u64) -> Change {
    Change::Put(tombstone(Table::Bars, bar_key(series, ts), version, version))
}

fn bucket(series: &SeriesKey, ts: i64) -> Bucket {
    rowview::bar_bucket(series, Timestamp::from_nanos(ts))
}

/// The closing prices of a bucket by `ts`, `None` for tombstones.
fn closes(sink: &mut dyn Sink, buckets: &[Bucket]) -> Result<Vec<(i64, Option<f64>)>, SinkError> {
    let close = |content: &Content| match content {
        Content::Live(values) => match values.get(4) {
            Some(Value::Double(close)) => Some(*close),
            _ => Some(f64::NAN),
        },
        _ => None,
    };
    let ts = |key: &[Value]| match key.last() {
        Some(Value::Int(ts)) => *ts,
        _ => 0,
    };
    Ok(all_rows(sink, buckets)?.iter().map(|(key, content)| (ts(key), close(content))).collect())
}

pub(super) fn a_stale_row_loses(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let series = series("000001.SZ", "1m");
    let here = [bucket(&series, 0)];
    ship(&mut *sink, &[put(&series, 0, 2.0, 20)], 0, 1)?;
    ship(&mut *sink, &[put(&series, 0, 1.0, 10)], 1, 2)?;
    expect("after an older row", &closes(&mut *sink, &here)?, &vec![(0, Some(2.0))])?;
    ship(&mut *sink, &[put(&series, 0, 9.0, 20)], 2, 3)?;
    expect("after a row of the same version", &closes(&mut *sink, &here)?, &vec![(0, Some(2.0))])?;
    ship(&mut *sink, &[put(&series, 0, 3.0, 21)], 3, 4)?;
    expect("after a newer row", &closes(&mut *sink, &here)?, &vec![(0, Some(3.0))])
}

pub(super) fn a_tombstone_wins_over_older_rows_only(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let series = series("000001.SZ", "1m");
    let here = [bucket(&series, 0)];
    ship(&mut *sink, &[put(&series, 0, 1.0, 10), bury(&series, 0, 20), bury(&series, 5, 20)], 0, 1)?;
    expect("after a deletion", &closes(&mut *sink, &here)?, &vec![(0, None), (5, None)])?;
    expect("live rows", &live(&mut *sink, Table::Bars)?, &0)?;
    ship(&mut *sink, &[put(&series, 0, 2.0, 15), put(&series, 5, 2.0, 15)], 1, 2)?;
    expect("after late rows", &closes(&mut *sink, &here)?, &vec![(0, None), (5, None)])?;
    ship(&mut *sink, &[put(&series, 0, 3.0, 30)], 2, 3)?;
    expect("after a newer row", &closes(&mut *sink, &here)?, &vec![(0, Some(3.0)), (5, None)])?;
    ship(&mut *sink, &[bury(&series, 0, 25)], 3, 4)?;
    expect("after a late deletion", &closes(&mut *sink, &here)?, &vec![(0, Some(3.0)), (5, None)])
}

fn range(series: &SeriesKey, from: i64, to: i64, version: u64) -> Change {
    Change::DeleteRange(RangeTombstone {
        series: *series,
        from: Timestamp::from_nanos(from),
        to: Timestamp::from_nanos(to),
        version: small_version(version),
        lsn: Lsn(version),
    })
}

pub(super) fn a_deleted_range_hides_lower_versions(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let (one, other) = (series("000001.SZ", "1m"), series("000002.SZ", "1m"));
    let mut changes: Vec<Change> = (-5..5).map(|ts| put(&one, ts, 1.0, 10)).collect();
    changes.extend((-5..5).map(|ts| put(&other, ts, 2.0, 10)));
    changes.push(put(&one, 0, 3.0, 40));
    changes.push(put(&series("000001.SZ", "5m"), 0, 4.0, 10));
    ship(&mut *sink, &changes, 0, 1)?;
    ship(&mut *sink, &[range(&one, -3, 2, 30)], 1, 2)?;
    let here = [bucket(&one, -1), bucket(&one, 0)];
    let mut expected: Vec<(i64, Option<f64>)> = (-5..5).map(|ts| (ts, Some(1.0))).collect();
    for (ts, close) in &mut expected {
        match *ts {
            0 => *close = Some(3.0),
            -3..2 => *close = None,
            _ => {}
        }
    }
    let mut found = closes(&mut *sink, &here)?;
    found.retain(|(_, close)| *close != Some(2.0));
    expect("the series", &found, &expected)?;
    expect("live rows of all series", &live(&mut *sink, Table::Bars)?, &(10 - 4 + 10 + 1))?;
    ship(&mut *sink, &[put(&one, -2, 5.0, 20)], 2, 3)?;
    ship(&mut *sink, &[range(&one, -3, 2, 30)], 3, 4)?;
    expect("live rows after late rows", &live(&mut *sink, Table::Bars)?, &17)?;
    ship(&mut *sink, &[put(&one, -2, 6.0, 31)], 4, 5)?;
    expect("live rows after a newer one", &live(&mut *sink, Table::Bars)?, &18)
}

pub(super) fn order_inside_a_shipment_counts(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let series = series("000001.SZ", "1m");
    let changes = [
        put(&series, 5, 1.0, 10),
        put(&series, 3, 1.0, 10),
        put(&series, 1, 1.0, 10),
        range(&series, 0, 10, 20),
        put(&series, 2, 2.0, 30),
        put(&series, 1, 2.0, 30),
        put(&series, 2, 3.0, 40),
        // A row of the same commit as a range that stands before it.
        range(&series, 4, 6, 50),
        put(&series, 5, 5.0, 50),
    ];
    ship(&mut *sink, &changes, 0, 1)?;
    let here = [bucket(&series, 0)];
    let expected = vec![(1, Some(2.0)), (2, Some(3.0)), (3, None), (5, Some(5.0))];
    expect("the rows", &closes(&mut *sink, &here)?, &expected)?;
    ship(&mut *sink, &changes, 1, 1)?;
    expect("the rows after a replay", &closes(&mut *sink, &here)?, &expected)
}
