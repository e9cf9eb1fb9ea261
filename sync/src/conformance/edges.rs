//! Cases about values: digests, extremes, pages.

use std::collections::BTreeMap;

use barkeeper_records::{Bucket, Change, Digest, Row, Table, Timestamp, TradingDay, Value, limits};
use barkeeper_storage::{row_hash, rowview};

use super::sample::{
    bar, bar_key, book, extreme_trades, factor, market_trade, position, row, series, small_version, state,
    tick, tombstone, trade, trade_values,
};
use super::streams::{greeted, live, ship};
use super::{Failure, Remote, expect, expect_true};
use crate::error::SinkError;
use crate::sink::{Content, RemoteRow, Sink};

/// Bars whose numbers and instants are as odd as a store lets them be.
fn extreme_bars() -> Vec<(Vec<Value>, Vec<Value>)> {
    let numbers = [
        0.0,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        f64::MAX,
        f64::MIN,
        0.1 + 0.2,
        1e15,
        9_007_199_254_740_993.0,
        -3.0,
        1.0 / 3.0,
    ];
    let period = limits::PERIOD_NS;
    let instants =
        [i64::MIN, i64::MIN + 1, -period - 1, -period, -period + 1, -1, 0, 1, period - 1, period, i64::MAX];
    let mut bars = Vec::new();
    for instrument in ["000001.SZ", "000002.SZ", "BTC/USDT.BINANCE", "A.NYSE", "rb2410.SHFE", "RB2410.SHFE"] {
        let series = series(instrument, "1m");
        for (ts, number) in instants.into_iter().zip(numbers) {
            bars.push((bar_key(&series, ts), bar(number, 1.0)));
        }
    }
    // The number itself in every column, and the ends of the calendar.
    for (key, values) in &mut bars {
        let number = values.get(1).cloned().unwrap_or(Value::Null);
        for value in values.iter_mut().skip(1) {
            value.clone_from(&number);
        }
        let is_early = matches!(key.last(), Some(Value::Int(ts)) if *ts < 0);
        if let Some(day) = values.first_mut() {
            *day = Value::Day(if is_early { TradingDay::MIN } else { TradingDay::MAX });
        }
    }
    bars
}

fn extreme_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |table, pairs: Vec<(Vec<Value>, Vec<Value>)>| {
        rows.extend(pairs.into_iter().map(|(key, values)| row(table, key, values, 7, 1)));
    };
    add(Table::Bars, extreme_bars());
    add(Table::Trades, extreme_trades());
    add(Table::Trades, vec![(trade(0), trade_values("a", 0, 0)), (trade(1), trade_values("A", -1, 1))]);
    add(
        Table::Positions,
        vec![
            position("国金证券-主", "000001.SZ", Some(f64::MAX)),
            position("a'b", "000001.SZ", None),
            position("A'b", "000001.SZ", Some(5e-324)),
        ],
    );
    add(
        Table::Factors,
        vec![
            factor("000001.SZ", -106_751, None),
            factor("000001.SZ", 106_751, Some(f64::MAX)),
            factor("IF2403.CFFEX", 0, Some(5e-324)),
            factor("BTCUSDT.BINANCE", 19_724, Some(2.0)),
        ],
    );
    add(Table::Ticks, (0..4).map(tick).collect());
    add(Table::MarketTrades, (0..6).map(market_trade).collect());
    add(Table::Books, vec![book("é", -106_751), book("e\u{301}", 106_751), book("E", 0), book("a_%", -1)]);
    let long = format!("\"{}\"", "状态🐉'\\".repeat(100_000));
    add(
        Table::StrategySnapshots,
        vec![
            state("轮动", i64::MIN, 0, "{}"),
            state("轮动", i64::MAX, 4_294_967_295, "null"),
            state("a'b", 0, 1, &long),
            state("A'b", 0, 1, " {\"a\": \"\\u0000\"}\r\n"),
        ],
    );
    rows
}

fn by_bucket(rows: &[Row]) -> BTreeMap<Bucket, Digest> {
    let mut digests: BTreeMap<Bucket, Digest> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.deleted) {
        if let Some(bucket) = rowview::bucket_of(row) {
            digests.entry(bucket).or_default().add(row.row_hash);
        }
    }
    digests
}

fn put_all(sink: &mut dyn Sink, rows: &[Row]) -> Result<(), SinkError> {
    let changes: Vec<Change> = rows.iter().cloned().map(Change::Put).collect();
    ship(sink, &changes, 0, 1).map(|_| ())
}

pub(super) fn digests_are_those_of_the_store(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let mut rows = extreme_rows();
    // Hashes at the ends of their range: the target must neither overflow nor lose a sign.
    for (ts, hash) in [(1, i64::MIN), (2, i64::MAX), (3, -1), (4, i64::MIN), (5, i64::MAX)] {
        let key = bar_key(&series("HASH.LOCAL", "1h"), ts);
        rows.push(Row { row_hash: hash, ..row(Table::Bars, key, bar(1.0, 1.0), 7, 1) });
    }
    rows.push(tombstone(Table::Bars, bar_key(&series("GONE.LOCAL", "1h"), 0), 7, 1));
    put_all(&mut *sink, &rows)?;
    let expected = by_bucket(&rows);
    for table in Table::ALL {
        let found: BTreeMap<Bucket, Digest> =
            sink.digests(table)?.into_iter().filter(|(_, digest)| digest.count > 0).collect();
        let here = expected.iter().filter(|(bucket, _)| bucket.table == table);
        let here: BTreeMap<Bucket, Digest> = here.map(|(bucket, digest)| (bucket.clone(), *digest)).collect();
        expect("digests of a table", &found, &here)?;
    }
    Ok(())
}

fn same_bits(a: &[Value], b: &[Value]) -> bool {
    let same = |(a, b): (&Value, &Value)| match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

pub(super) fn extreme_values_come_back(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let rows = extreme_rows();
    put_all(&mut *sink, &rows)?;
    let mut seen = 0;
    for bucket in by_bucket(&rows).keys() {
        for found in sink.rows(bucket, None, usize::MAX)? {
            let sent = rows.iter().find(|row| row.table == bucket.table && row.key == found.key);
            let Some(sent) = sent else {
                expect("a key that was sent", &Some(found.key), &None)?;
                continue;
            };
            let Content::Live(values) = &found.content else {
                expect("the content of a row", &found.content, &Content::Live(sent.values.clone()))?;
                continue;
            };
            if !same_bits(values, &sent.values) {
                expect("the columns of a row", values, &sent.values)?;
                expect("the bits of its doubles", &false, &true)?;
            }
            let hashed = row_hash(bucket.table, &found.key, values);
            expect("the hash of a row", &(found.row_hash, hashed), &(sent.row_hash, sent.row_hash))?;
            expect("the version of a row", &found.version, &sent.version)?;
            seen += 1;
        }
    }
    expect("rows that came back", &seen, &rows.len())
}

pub(super) fn pages_of_a_bucket_join(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let mut rows = extreme_rows();
    rows.push(tombstone(Table::Bars, bar_key(&series("000001.SZ", "1m"), 7), 7, 1));
    rows.push(tombstone(Table::Positions, position("a'b", "600000.SH", None).0, 7, 1));
    put_all(&mut *sink, &rows)?;
    for bucket in by_bucket(&rows).keys() {
        let whole = sink.rows(bucket, None, usize::MAX)?;
        for limit in [1, 2, 3, 7] {
            let mut joined: Vec<RemoteRow> = Vec::new();
            loop {
                let after = joined.last().map(|row| row.key.clone());
                let page = sink.rows(bucket, after.as_deref(), limit)?;
                let is_last = page.len() < limit;
                joined.extend(page);
                if is_last {
                    break;
                }
            }
            expect("the pages of a bucket", &joined, &whole)?;
        }
        let is_sorted = whole.is_sorted_by(|a, b| crate::compare_keys(&a.key, &b.key).is_lt());
        expect_true("the order of keys", is_sorted)?;
    }
    Ok(())
}

pub(super) fn what_cannot_be_kept_is_refused(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let odd = [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let key = bar_key(&series("000001.SZ", "1m"), 0);
    let mut wrong = vec![
        row(Table::Books, book("a", 1).0, vec![Value::Int(5)], 9, 1),
        row(Table::Books, book("a", 1).0, Vec::new(), 9, 1),
        row(Table::Bars, book("a", 1).0, bar(1.0, 1.0), 9, 1),
        Row { deleted: true, ..row(Table::Bars, key.clone(), bar(1.0, 1.0), 9, 1) },
    ];
    wrong.extend(odd.map(|number| row(Table::Bars, key.clone(), bar(number, 0.0), 9, 1)));
    for (at, row) in wrong.into_iter().enumerate() {
        let sent = row.clone();
        match ship(&mut *sink, &[Change::Put(row)], 0, 0) {
            Err(SinkError::Refused { change, reason }) => {
                expect_true("the row that is named", change.is_none_or(|at| at == 0))?;
                expect_true("a reason in words", !reason.is_empty())?;
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {
                // Kept, then: bit for bit, or it would differ for ever.
                let bucket = rowview::bar_bucket(&series("000001.SZ", "1m"), Timestamp::default());
                let found = sink.rows(&bucket, None, 1)?.into_iter().next().map(|row| row.content);
                let is_same =
                    matches!(&found, Some(Content::Live(values)) if same_bits(values, &sent.values));
                expect_true("bits of an odd number", at >= 4 && is_same)?;
                let buried = Row { version: small_version(9), ..tombstone(Table::Bars, key.clone(), 9, 1) };
                sink.force(&crate::sink::Force { rows: &[buried], deletes: &[] })?;
            }
        }
    }
    expect("live rows", &live(&mut *sink, Table::Bars)?, &0)
}
