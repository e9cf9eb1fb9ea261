//! Ticks and market trades: appended hot, corrected, sealed, read, shipped and removed.

use std::collections::BTreeMap;

use barkeeper::records::{
    Batch, Change, ChangeFeed, Cursor, EventError, EventPlace, InstrumentId, LEVELS, Lsn, MarketTrade,
    OnConflict, Operation, Outcome, Side, Table, Tick, Timestamp, TradingDay, Value, Version,
};
use barkeeper::{Axis, CommitError, Dataset, SealOptions, Store};
use proptest::prelude::*;

use crate::common::{ALL, Desk, day, id};

const SECOND: i64 = 1_000_000_000;

fn nanos(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(1_704_159_000 * SECOND + nanos)
}

fn tick(at: i64, sequence: u64, last: f64) -> Tick {
    let level = |step: f64| std::array::from_fn::<f64, LEVELS, _>(|n| last + step * (n as f64 + 1.0));
    Tick {
        ts: nanos(at),
        sequence,
        trading_day: day("2024-01-02"),
        last,
        volume: 100.0 * last,
        turnover: 100.0 * last * last,
        upper_limit: 11.0,
        lower_limit: 9.0,
        bid_prices: level(-0.01),
        bid_volumes: [100.0; LEVELS],
        ask_prices: level(0.01),
        ask_volumes: [300.0, 200.0, 100.0, 0.0, 0.0],
        ..Tick::default()
    }
}

fn trade(at: i64, sequence: u64, price: f64) -> MarketTrade {
    let side = if sequence.is_multiple_of(2) { Side::Buy } else { Side::Sell };
    let (ts, trading_day) = (nanos(at), day("2024-01-02"));
    MarketTrade {
        ts,
        sequence,
        trading_day,
        price,
        quantity: 0.5,
        turnover: price / 2.0,
        side,
        ..MarketTrade::default()
    }
}

fn put_ticks(ticks: Vec<(InstrumentId, Tick)>) -> Operation {
    Operation::PutTicks { ticks, on_conflict: OnConflict::Replace }
}

fn put_trades(trades: Vec<(InstrumentId, MarketTrade)>) -> Operation {
    Operation::PutMarketTrades { trades, on_conflict: OnConflict::Replace }
}

const fn events(inserted: u64, replaced: u64, kept: u64, unchanged: u64, deleted: u64) -> Outcome {
    Outcome::Events { inserted, replaced, kept, unchanged, deleted }
}

/// One tick of each of many instruments.
fn moment(count: usize, at: i64, last: f64) -> Vec<(InstrumentId, Tick)> {
    (0..count).map(|n| (id(&format!("{:06}.SZ", n + 1)), tick(at, 0, last + n as f64 / 100.0))).collect()
}

fn seal(store: &Store) -> u64 {
    store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap().rows
}

#[test]
fn ticks_of_a_whole_market_are_appended_sealed_and_read_as_one() {
    let mut desk = Desk::new();
    for second in 0..5 {
        let outcome = desk.run(put_ticks(moment(200, second * SECOND, 10.0 + second as f64))).outcomes;
        assert_eq!(outcome, [events(200, 0, 0, 0, 0)]);
    }
    let one = id("000150.SZ");
    let read = |store: &Store| {
        let snapshot = store.snapshot().unwrap();
        let ticks = snapshot.ticks(&one, ALL.0, ALL.1).unwrap();
        assert_eq!(
            ticks.iter().map(|tick| tick.last).collect::<Vec<_>>(),
            [11.49, 12.49, 13.49, 14.49, 15.49]
        );
        assert_eq!(snapshot.last_ticks(&one, 2).unwrap(), ticks[3..]);
        assert_eq!(snapshot.ticks(&one, nanos(SECOND), nanos(2 * SECOND)).unwrap(), ticks[1..3]);
        let span = snapshot.tick_summary(&one).unwrap().unwrap();
        assert_eq!((span.count, span.first, span.last), (5, nanos(0), nanos(4 * SECOND)));
        assert_eq!(snapshot.all_ticks().unwrap().len(), 200);
        assert!(snapshot.ticks(&id("999999.SZ"), ALL.0, ALL.1).unwrap().is_empty());
    };
    read(desk.store());
    assert_eq!(desk.store().stats().unwrap().hot_events, 1_000);
    assert_eq!(seal(desk.store()), 1_000);
    read(desk.store());
    let stats = desk.store().stats().unwrap();
    assert_eq!((stats.ticks, stats.hot_events, stats.segments), (1_000, 0, 1));
    // Cold and hot together.
    desk.run(put_ticks(moment(200, 5 * SECOND, 15.0)));
    assert_eq!(desk.store().snapshot().unwrap().ticks(&one, ALL.0, ALL.1).unwrap().len(), 6);
    desk.verify();
    desk.reopen();
    assert_eq!(desk.store().snapshot().unwrap().last_ticks(&one, 9).unwrap().len(), 6);
}

#[test]
fn the_same_key_counts_once_and_a_correction_wins_in_every_tier() {
    let mut desk = Desk::new();
    let one = id("000001.SZ");
    let rows = |desk: &Desk| {
        let snapshot = desk.store().snapshot().unwrap();
        let ticks = snapshot.ticks(&one, ALL.0, ALL.1).unwrap();
        ticks.iter().map(|tick| (tick.sequence, tick.last)).collect::<Vec<_>>()
    };
    desk.run(put_ticks(moment(30, 0, 10.0)));
    assert_eq!(desk.run(put_ticks(moment(30, 0, 10.0))).outcomes, [events(0, 0, 0, 30, 0)]);
    assert_eq!(desk.run(put_ticks(vec![(one, tick(0, 1, 10.5))])).outcomes, [events(1, 0, 0, 0, 0)]);
    desk.run(put_ticks(vec![(one, tick(0, 0, 10.1))]));
    assert_eq!(rows(&desk), [(0, 10.1), (1, 10.5)]);
    seal(desk.store());
    desk.run(put_ticks(vec![(one, tick(0, 0, 10.2))]));
    assert_eq!(rows(&desk), [(0, 10.2), (1, 10.5)]);
    seal(desk.store());
    assert_eq!(rows(&desk), [(0, 10.2), (1, 10.5)]);
    let keep = |on_conflict| {
        let ticks = vec![(one, tick(0, 0, 10.3)), (one, tick(0, 2, 10.6))];
        desk.store().commit(Batch::of(Operation::PutTicks { ticks, on_conflict }))
    };
    assert!(matches!(keep(OnConflict::Refuse), Err(CommitError::EventConflict { rows: 1, .. })));
    assert_eq!(keep(OnConflict::Keep).unwrap().outcomes, [events(1, 0, 1, 0, 0)]);
    // A batch corrects what it put itself.
    let batch =
        Batch::of(put_ticks(vec![(one, tick(9, 0, 1.0))])).with(put_ticks(vec![(one, tick(9, 0, 2.0))]));
    desk.store().commit(batch).unwrap();
    assert_eq!(rows(&desk), [(0, 10.2), (1, 10.5), (2, 10.6), (0, 2.0)]);
    desk.verify();
}

#[test]
fn what_cannot_be_is_refused_whole() {
    let desk = Desk::new();
    let one = id("000001.SZ");
    let commit = |ticks| desk.store().commit(Batch::of(put_ticks(ticks))).unwrap_err();
    let wrong = Tick { volume: -1.0, ..tick(1, 0, 1.0) };
    assert!(matches!(
        commit(vec![(one, tick(0, 0, 1.0)), (one, wrong)]),
        CommitError::Event(EventError::Negative { .. })
    ));
    let two = commit(vec![(one, tick(0, 0, 1.0)), (one, tick(0, 0, 2.0))]);
    assert!(matches!(two, CommitError::Event(EventError::Duplicate { .. })));
    let many = vec![(one, tick(0, 0, 1.0)); 200_001];
    assert!(matches!(commit(many), CommitError::Limit { .. }));
    assert!(desk.store().snapshot().unwrap().all_ticks().unwrap().is_empty());
    assert_eq!(desk.store().snapshot().unwrap().lsn(), Lsn(0));
}

#[test]
fn large_imports_go_to_segments_and_compare_with_what_is_there() {
    let mut desk = Desk::new();
    let coin = id("BTCUSDT.BINANCE");
    let many: Vec<_> =
        (0..60_000).map(|n| (coin, trade(n * 1_000_000, n as u64, 100.0 + (n % 7) as f64))).collect();
    desk.run(put_trades(vec![many[10], (coin, trade(20 * 1_000_000, 20, 1.0))]));
    let import = |on_conflict| desk.store().import_market_trades(many.clone(), Vec::new(), on_conflict);
    assert!(matches!(import(OnConflict::Refuse), Err(CommitError::EventConflict { rows: 1, .. })));
    let receipt = import(OnConflict::Keep).unwrap();
    assert_eq!((receipt.inserted, receipt.kept, receipt.unchanged, receipt.segments), (59_998, 1, 1, 1));
    let again = import(OnConflict::Keep).unwrap();
    assert_eq!((again.inserted, again.kept, again.unchanged), (0, 1, 59_999));
    assert_eq!(again.lsn, receipt.lsn);
    let snapshot = desk.store().snapshot().unwrap();
    let found = snapshot.market_trades(&coin, ALL.0, ALL.1).unwrap();
    assert_eq!(found.len(), 60_000);
    assert_eq!((found[20].price, found[21]), (1.0, many[21].1));
    let part = snapshot.market_trades(&coin, many[40_000].1.ts, many[40_009].1.ts).unwrap();
    assert_eq!(part, many[40_000..40_010].iter().map(|(_, trade)| *trade).collect::<Vec<_>>());
    assert_eq!(snapshot.last_market_trades(&coin, 3).unwrap(), found[59_997..]);
    drop(snapshot);
    desk.verify();
}

#[test]
fn removed_rows_are_gone_in_every_tier_and_may_come_again() {
    let mut desk = Desk::new();
    let one = id("IF2403.CFFEX");
    desk.run(put_ticks((0..40).map(|n| (one, tick(n * SECOND, 0, 1.0))).collect()));
    seal(desk.store());
    desk.run(put_ticks((40..50).map(|n| (one, tick(n * SECOND, 0, 1.0))).collect()));
    let delete = |from: i64, to: i64| Operation::DeleteTicks {
        instrument: one,
        from: nanos(from * SECOND),
        to: nanos(to * SECOND),
    };
    assert_eq!(desk.run(delete(35, 45)).outcomes, [events(0, 0, 0, 0, 10)]);
    assert_eq!(desk.run(delete(35, 45)).outcomes, [events(0, 0, 0, 0, 0)]);
    let count = |desk: &Desk| {
        let snapshot = desk.store().snapshot().unwrap();
        (
            snapshot.ticks(&one, ALL.0, ALL.1).unwrap().len(),
            snapshot.tick_summary(&one).unwrap().map(|s| s.count),
        )
    };
    assert_eq!(count(&desk), (40, Some(40)));
    desk.run(put_ticks(vec![(one, tick(36 * SECOND, 0, 3.0))]));
    assert_eq!(count(&desk), (41, Some(41)));
    seal(desk.store());
    assert_eq!(count(&desk), (41, Some(41)));
    desk.verify();
    assert_eq!(desk.run(delete(0, 99)).outcomes, [events(0, 0, 0, 0, 41)]);
    assert_eq!(count(&desk), (0, None));
    desk.verify();
}

/// The rows of a table as a target holds them that follows the feed in small pages.
fn follow(feed: &dyn ChangeFeed, table: Table) -> BTreeMap<String, (Vec<Value>, Version)> {
    let mut rows: BTreeMap<String, (Vec<Value>, Version)> = BTreeMap::new();
    let mut cursor = Cursor::default();
    loop {
        let page = feed.read(&cursor, 4_000).unwrap();
        for change in page.changes {
            let Change::Put(row) = change else { continue };
            if row.table == table {
                let key = format!("{:?}", row.key);
                if rows.get(&key).is_none_or(|(_, version)| *version < row.version) {
                    let hash = barkeeper_storage_hash(&row);
                    assert_eq!(row.row_hash, if row.deleted { 0 } else { hash });
                    rows.insert(key, (row.values, row.version));
                }
            }
        }
        assert!(page.more || page.next.within.is_empty());
        cursor = page.next;
        if !page.more {
            rows.retain(|_, (values, _)| !values.is_empty());
            return rows;
        }
    }
}

fn barkeeper_storage_hash(row: &barkeeper::records::Row) -> i64 {
    barkeeper_storage::row_hash(row.table, &row.key, &row.values)
}

fn bucketed(feed: &dyn ChangeFeed, table: Table) -> BTreeMap<String, (Vec<Value>, Version)> {
    let mut rows = BTreeMap::new();
    for digest in feed.digests(table).unwrap() {
        let (mut after, mut count) = (None::<Vec<Value>>, 0);
        loop {
            let page = feed.bucket_rows(&digest.bucket, after.as_deref(), 7).unwrap();
            assert!(page.is_sorted_by_key(|row| format!("{:?}", row.key[0])));
            count += page.iter().filter(|row| !row.deleted).count();
            let last = page.last().map(|row| row.key.clone());
            let full = page.len() == 7;
            let live = page.into_iter().filter(|row| !row.deleted);
            rows.extend(live.map(|row| (format!("{:?}", row.key), (row.values, row.version))));
            after = last;
            if !full {
                break;
            }
        }
        assert_eq!(count as u64, digest.digest.count, "{}", digest.bucket);
    }
    rows
}

#[test]
fn a_stamp_raises_versions_and_buries_what_is_not_there() {
    let desk = Desk::new();
    let feed = desk.store().feed();
    feed.register_target("one").unwrap();
    let one = id("000001.SZ");
    desk.run(put_trades(vec![(one, trade(0, 1, 5.0))]));
    seal(desk.store());
    let key =
        |sequence| vec![Value::Text(one.to_string()), Value::Int(nanos(0).nanos()), Value::Int(sequence)];
    let rows = feed.rows(Table::MarketTrades, &[key(1), key(2)]).unwrap();
    let (live, absent) = (rows[0].clone().unwrap(), rows[1].clone());
    assert_eq!((live.values.len(), absent), (6, None));
    let above = Version::from_raw(live.version.raw() + (1 << 40)).unwrap();
    feed.stamp(Table::MarketTrades, &[key(1), key(2)], above).unwrap();
    let rows = feed.rows(Table::MarketTrades, &[key(1), key(2)]).unwrap();
    let (live, buried) = (rows[0].clone().unwrap(), rows[1].clone().unwrap());
    assert!(live.version > above && !live.deleted);
    assert!(buried.version > above && buried.deleted);
    let bucket = feed.digests(Table::MarketTrades).unwrap()[0].bucket.clone();
    let all = feed.bucket_rows(&bucket, None, 10).unwrap();
    assert_eq!(all.iter().map(|row| row.deleted).collect::<Vec<_>>(), [false, true]);
    let behind = feed.bucket_rows(&bucket, Some(&all[0].key), 10).unwrap();
    assert_eq!(behind.len(), 1);
    assert_eq!(follow(&*feed, Table::MarketTrades).len(), 1);
}

#[test]
fn files_and_published_sets_hold_every_row_once() {
    let desk = Desk::new();
    let target = desk.dir.path().join("out");
    desk.run(put_ticks(moment(50, 0, 10.0)));
    seal(desk.store());
    let files = desk.store().files(Dataset::Ticks, Axis::Instrument).unwrap();
    assert_eq!((files.files.len(), files.rows, files.hot, files.overlaps), (1, 50, 0, 0));
    assert!(files.files[0].parent().unwrap().ends_with("ticks"));
    desk.run(put_ticks(moment(50, SECOND, 10.0)));
    let report = desk.store().publish(Dataset::Ticks, &target.join("linked")).unwrap();
    assert_eq!((report.linked, report.written, report.rows), (1, 1, 100));
    // A correction of a sealed row makes the files alone wrong, and the set is merged.
    desk.run(put_ticks(vec![(id("000001.SZ"), tick(0, 0, 3.0))]));
    let report = desk.store().publish(Dataset::Ticks, &target.join("merged")).unwrap();
    assert_eq!((report.linked, report.written, report.rows), (0, 1, 100));
    assert_eq!(desk.store().publish(Dataset::MarketTrades, &target.join("none")).unwrap().rows, 0);
}

#[derive(Debug, Clone)]
enum Step {
    Put { rows: Vec<(u8, i64, u64, u8)>, on_conflict: OnConflict, import: bool },
    Run { instrument: u8, from: i64, count: i64, price: u8 },
    Delete { instrument: u8, from: i64, to: i64 },
    Seal,
}

fn step() -> impl Strategy<Value = Step> {
    let at = prop_oneof![3 => 0_i64..150, 1 => 86_400 * 40_i64..86_400 * 40 + 3];
    let rows = prop::collection::vec((0_u8..25, at, 0_u64..2, 0_u8..4), 1..60);
    let on_conflict = prop::sample::select(vec![OnConflict::Replace, OnConflict::Keep, OnConflict::Refuse]);
    prop_oneof![
        5 => (rows, on_conflict, any::<bool>()).prop_map(|(rows, on_conflict, import)| Step::Put { rows, on_conflict, import }),
        2 => (0_u8..25, 0_i64..200, 16_i64..300, 0_u8..4)
            .prop_map(|(instrument, from, count, price)| Step::Run { instrument, from, count, price }),
        1 => (0_u8..25, 0_i64..150, 0_i64..200).prop_map(|(instrument, from, to)| Step::Delete { instrument, from, to }),
        2 => Just(Step::Seal),
    ]
}

type Model = BTreeMap<(InstrumentId, EventPlace), MarketTrade>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn random_histories_of_market_trades_are_their_model(steps in prop::collection::vec(step(), 1..14)) {
        let mut desk = Desk::new();
        let feed = desk.store().feed();
        feed.register_target("one").unwrap();
        let mut model = Model::new();
        let name = |n: u8| id(&format!("{:06}.{}", n, if n.is_multiple_of(2) { "SZ" } else { "SH" }));
        for step in steps {
            match step {
                Step::Put { rows, on_conflict, import } => {
                    let mut once = Model::new();
                    for (instrument, at, sequence, price) in rows {
                        let row = trade(at * SECOND, sequence, f64::from(price) + 0.25);
                        once.insert((name(instrument), EventPlace { ts: row.ts, sequence }), row);
                    }
                    let rows: Vec<_> = once.iter().map(|((instrument, _), row)| (*instrument, *row)).collect();
                    let conflict = once.iter().any(|(key, row)| model.get(key).is_some_and(|old| old != row));
                    let done = if import {
                        desk.store().import_market_trades(rows, Vec::new(), on_conflict).map(drop)
                    } else {
                        let put = Operation::PutMarketTrades { trades: rows, on_conflict };
                        desk.store().commit(Batch::of(put)).map(drop)
                    };
                    if conflict && on_conflict == OnConflict::Refuse {
                        let refused = matches!(done, Err(CommitError::EventConflict { .. }));
                        prop_assert!(refused);
                        continue;
                    }
                    done.unwrap();
                    for (key, row) in once {
                        if on_conflict == OnConflict::Keep {
                            model.entry(key).or_insert(row);
                        } else {
                            model.insert(key, row);
                        }
                    }
                }
                Step::Run { instrument, from, count, price } => {
                    let rows: Vec<_> = (from..from + count)
                        .map(|at| (name(instrument), trade(at * SECOND / 2, 0, f64::from(price))))
                        .collect();
                    for (instrument, row) in &rows {
                        model.insert((*instrument, EventPlace { ts: row.ts, sequence: 0 }), *row);
                    }
                    desk.run(put_trades(rows));
                }
                Step::Delete { instrument, from, to } => {
                    let (from, to) = (nanos(from * SECOND), nanos(to * SECOND));
                    let instrument = name(instrument);
                    model.retain(|(one, place), _| *one != instrument || place.ts < from || place.ts >= to);
                    desk.run(Operation::DeleteMarketTrades { instrument, from, to });
                }
                Step::Seal => {
                    seal(desk.store());
                }
            }
        }
        let snapshot = desk.store().snapshot().unwrap();
        for n in 0..25 {
            let instrument = name(n);
            let expected: Vec<MarketTrade> =
                model.iter().filter(|((one, _), _)| *one == instrument).map(|(_, row)| *row).collect();
            prop_assert_eq!(&snapshot.market_trades(&instrument, ALL.0, ALL.1).unwrap(), &expected);
            let (from, to) = (nanos(20 * SECOND), nanos(70 * SECOND));
            let part: Vec<_> = expected.iter().filter(|row| (from..=to).contains(&row.ts)).copied().collect();
            prop_assert_eq!(snapshot.market_trades(&instrument, from, to).unwrap(), part);
            let last = &expected[expected.len().saturating_sub(5)..];
            prop_assert_eq!(snapshot.last_market_trades(&instrument, 5).unwrap(), last);
            let span = snapshot.market_trade_summary(&instrument).unwrap();
            prop_assert_eq!(span.map_or(0, |span| span.count), expected.len() as u64);
        }
        drop(snapshot);
        let followed = follow(&*feed, Table::MarketTrades);
        prop_assert_eq!(followed.len(), model.len());
        prop_assert_eq!(followed, bucketed(&*feed, Table::MarketTrades));
        drop(feed);
        desk.verify();
        let _ = TradingDay::default();
    }
}
