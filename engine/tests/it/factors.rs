//! Corporate actions: stored as events, logged like other rows, applied when bars are read.

use barkeeper::records::{
    Adjustment, AdjustmentTag, Bar, BarRun, Batch, Change, Cursor, FactorError, FactorEvent, Lsn, OnConflict,
    Operation, Outcome, SeriesKey, Table, TradingDay, Value, Version,
};
use barkeeper::{CommitError, ReadError, SealOptions};
use proptest::prelude::*;

use crate::common::{ALL, Desk, bar, daily, day, id, nth, put};

const SHARE: &str = "600000.SH";

fn on(ex_day: &str) -> FactorEvent {
    FactorEvent::on(id(SHARE), day(ex_day))
}

/// A desk with one close a day, from 2024-01-02 on.
fn desk(closes: &[(&str, f64)]) -> Desk {
    let desk = Desk::new();
    desk.run(put(daily(SHARE), closes.iter().map(|(on, close)| bar(day(on), *close)).collect()));
    desk
}

fn closes(desk: &Desk, adjustment: Adjustment) -> Vec<f64> {
    let snapshot = desk.store().snapshot().unwrap();
    let bars = snapshot.bars_adjusted(&daily(SHARE), ALL.0, ALL.1, adjustment).unwrap();
    bars.iter().map(|bar| bar.close).collect()
}

#[track_caller]
fn about(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} is not {expected}");
    }
}

#[test]
fn a_cash_dividend_scales_what_came_before() {
    let desk = desk(&[("2024-01-02", 9.0), ("2024-01-03", 10.0), ("2024-01-04", 9.6)]);
    // 10.00 less 0.50 compares with 9.50: what came before is worth 0.95 of its price.
    desk.run(Operation::SetFactor(FactorEvent { cash: 0.5, ..on("2024-01-04") }));
    about(&closes(&desk, Adjustment::FORWARD), &[9.0 * 0.95, 9.5, 9.6]);
    about(&closes(&desk, Adjustment::BACKWARD), &[9.0, 10.0, 9.6 / 0.95]);
    let volume = |adjustment| {
        let snapshot = desk.store().snapshot().unwrap();
        snapshot.bars_adjusted(&daily(SHARE), ALL.0, ALL.1, adjustment).unwrap()[0].volume
    };
    assert_eq!(volume(Adjustment::FORWARD.with_volume()), 1000.0, "no share became two");
}

#[test]
fn a_split_divides_prices_and_multiplies_volume_where_asked() {
    let desk = desk(&[("2024-01-02", 1000.0), ("2024-01-03", 101.0)]);
    desk.run(Operation::SetFactor(FactorEvent { bonus: 9.0, ..on("2024-01-03") }));
    about(&closes(&desk, Adjustment::FORWARD), &[100.0, 101.0]);
    about(&closes(&desk, Adjustment::BACKWARD), &[1000.0, 1010.0]);
    let snapshot = desk.store().snapshot().unwrap();
    let bars = |adjustment| snapshot.bars_adjusted(&daily(SHARE), ALL.0, ALL.1, adjustment).unwrap();
    let numbers = |bars: &[Bar]| bars.iter().map(|bar| (bar.volume, bar.turnover)).collect::<Vec<_>>();
    let raw = bars(Adjustment::NONE);
    assert_eq!(numbers(&bars(Adjustment::FORWARD)), numbers(&raw), "volume only where asked");
    let forward = bars(Adjustment::FORWARD.with_volume());
    assert_eq!(forward.iter().map(|bar| bar.volume).collect::<Vec<_>>(), [10_000.0, 1000.0]);
    let backward = bars(Adjustment::BACKWARD.with_volume());
    assert_eq!(backward.iter().map(|bar| bar.volume).collect::<Vec<_>>(), [1000.0, 100.0]);
    assert_eq!(forward[0].turnover, raw[0].turnover, "money stays money");
    // The same split as a source states it.
    let stated = FactorEvent { factor: Some(10.0), ..on("2024-01-03") };
    desk.run(Operation::SetFactor(stated));
    about(&closes(&desk, Adjustment::FORWARD), &[100.0, 101.0]);
}

#[test]
fn bonus_and_rights_make_the_exchanges_reference_price() {
    let desk = desk(&[("2024-01-02", 12.0), ("2024-01-03", 8.5)]);
    // 10 shares: 3.50 cash, 3 bonus, 2 rights at 5.00: (120 - 3.5 + 2 * 5) / 15 = 8.43333...
    let event = FactorEvent { cash: 0.35, bonus: 0.3, rights: 0.2, rights_price: 5.0, ..on("2024-01-03") };
    desk.run(Operation::SetFactor(event));
    about(&closes(&desk, Adjustment::FORWARD), &[126.5 / 15.0, 8.5]);
    about(&closes(&desk, Adjustment::BACKWARD), &[12.0, 8.5 * 12.0 / (126.5 / 15.0)]);
}

#[test]
fn events_on_consecutive_days_and_on_a_suspended_day() {
    let desk = desk(&[("2024-01-02", 20.0), ("2024-01-03", 9.0), ("2024-01-04", 8.0), ("2024-01-09", 4.1)]);
    // One into two on the 3rd, 1.00 on the 4th; on the 8th, without trading, one into two again.
    desk.run(Operation::SetFactor(FactorEvent { bonus: 1.0, ..on("2024-01-03") }));
    desk.run(Operation::SetFactor(FactorEvent { cash: 1.0, ..on("2024-01-04") }));
    desk.run(Operation::SetFactor(FactorEvent { bonus: 1.0, ..on("2024-01-08") }));
    let dividend = 8.0 / 9.0;
    about(
        &closes(&desk, Adjustment::FORWARD),
        &[20.0 * 0.5 * dividend * 0.5, 9.0 * dividend * 0.5, 4.0, 4.1],
    );
    about(&closes(&desk, Adjustment::BACKWARD), &[20.0, 18.0, 16.0 / dividend, 4.1 * 4.0 / dividend]);
}

#[test]
fn seen_from_a_day_nothing_later_is_known() {
    let desk = desk(&[("2024-01-02", 10.0), ("2024-01-03", 10.0), ("2024-01-04", 5.0), ("2024-01-05", 5.0)]);
    desk.run(Operation::SetFactor(FactorEvent { bonus: 1.0, ..on("2024-01-04") }));
    desk.run(Operation::SetFactor(FactorEvent { cash: 0.5, ..on("2024-01-05") }));
    let from = |on: &str| closes(&desk, Adjustment::FORWARD.as_of(day(on)));
    about(&from("2024-01-03"), &[10.0, 10.0]);
    about(&from("2024-01-04"), &[5.0, 5.0, 5.0]);
    about(&from("2024-01-05"), &[4.5, 4.5, 4.5, 5.0]);
    let snapshot = desk.store().snapshot().unwrap();
    let last = |on: &str, count| {
        let adjustment = Adjustment::FORWARD.as_of(day(on));
        let bars = snapshot.last_bars_adjusted(&daily(SHARE), count, adjustment).unwrap();
        bars.iter().map(|bar| bar.close).collect::<Vec<_>>()
    };
    about(&last("2024-01-04", 2), &[5.0, 5.0]);
    about(&last("2024-01-03", 9), &[10.0, 10.0]);
    assert!(last("2024-01-01", 9).is_empty());
}

#[test]
fn minute_bars_are_adjusted_by_their_trading_day() {
    let desk = desk(&[("2024-01-02", 10.0), ("2024-01-03", 5.0)]);
    let minutes = SeriesKey { interval: "1m".parse().unwrap(), ..daily(SHARE) };
    let at = |on: &str, ts: &str, close| Bar { ts: ts.parse().unwrap(), ..bar(day(on), close) };
    let bars =
        vec![at("2024-01-02", "2024-01-02T06:59:00Z", 10.0), at("2024-01-03", "2024-01-03T01:30:00Z", 5.1)];
    desk.run(put(minutes, bars));
    desk.run(Operation::SetFactor(FactorEvent { bonus: 1.0, ..on("2024-01-03") }));
    let snapshot = desk.store().snapshot().unwrap();
    let bars = snapshot.bars_adjusted(&minutes, ALL.0, ALL.1, Adjustment::FORWARD).unwrap();
    about(&bars.iter().map(|bar| bar.close).collect::<Vec<_>>(), &[5.0, 5.1]);
    // Without daily bars the series' own last close before the ex-day counts.
    desk.run(Operation::SetFactor(FactorEvent { cash: 1.0, ..on("2024-01-03") }));
    desk.run(Operation::DeleteBars { series: daily(SHARE), from: ALL.0, to: ALL.1 });
    let snapshot = desk.store().snapshot().unwrap();
    let bars = snapshot.bars_adjusted(&minutes, ALL.0, ALL.1, Adjustment::FORWARD).unwrap();
    about(&bars.iter().map(|bar| bar.close).collect::<Vec<_>>(), &[9.0, 5.1]);
}

#[test]
fn what_cannot_be_adjusted_is_an_error_and_adjusted_series_stay_apart() {
    // The event comes first: nothing is known yet that it contradicts.
    let desk = Desk::new();
    desk.run(Operation::SetFactor(FactorEvent { cash: 11.0, ..on("2024-01-03") }));
    desk.run(put(daily(SHARE), vec![bar(day("2024-01-02"), 10.0), bar(day("2024-01-03"), 5.0)]));
    let qfq = SeriesKey { adjustment: AdjustmentTag::Qfq, ..daily(SHARE) };
    desk.run(put(qfq, vec![bar(day("2024-01-02"), 3.0)]));
    let snapshot = desk.store().snapshot().unwrap();
    let read = |series: &SeriesKey| snapshot.bars_adjusted(series, ALL.0, ALL.1, Adjustment::FORWARD);
    assert!(matches!(read(&daily(SHARE)), Err(ReadError::Factor { .. })));
    assert!(matches!(read(&qfq), Err(ReadError::NotAdjustable { .. })));
    assert_eq!(snapshot.bars_adjusted(&qfq, ALL.0, ALL.1, Adjustment::NONE).unwrap()[0].close, 3.0);
    let weeks = SeriesKey { interval: "1w".parse().unwrap(), ..daily(SHARE) };
    assert!(matches!(read(&weeks), Err(ReadError::NotAdjustable { .. })));
    let wrong = desk.store().commit(Batch::of(Operation::SetFactor(on("2024-01-04"))));
    assert!(matches!(wrong, Err(CommitError::Factor(_))));
}

#[test]
fn what_takes_more_than_a_share_was_worth_is_refused_where_the_close_is_known() {
    let desk = desk(&[("2024-01-02", 10.0), ("2024-01-04", 12.0)]);
    let set = |event| desk.store().commit(Batch::of(Operation::SetFactor(event)));
    let lsn = desk.store().stats().unwrap().lsn;
    for seal in [false, true] {
        if seal {
            desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
        for cash in [10.0, 11.5] {
            let refused = set(FactorEvent { cash, ..on("2024-01-04") }).unwrap_err();
            let CommitError::Factor(FactorError::Worth { close, ex_day, .. }) = refused else {
                panic!("{refused}")
            };
            assert_eq!((close, ex_day), (10.0, day("2024-01-04")));
            assert!(refused.to_string().contains("600000.SH on 2024-01-04"), "{refused}");
        }
    }
    assert_eq!(desk.store().stats().unwrap().lsn, lsn, "nothing was written");
    // In one batch with the bars that make it right, or with rights that are paid for.
    let better = put(daily(SHARE), vec![bar(day("2024-01-03"), 11.6)]);
    desk.store()
        .commit(Batch::of(better).with(Operation::SetFactor(FactorEvent { cash: 11.5, ..on("2024-01-04") })))
        .unwrap();
    set(FactorEvent { cash: 12.0, rights: 1.0, rights_price: 1.0, ..on("2024-01-05") }).unwrap();
    set(FactorEvent { cash: 99.0, factor: Some(2.0), ..on("2024-01-08") }).unwrap();
    // Before the first bar no close is known.
    set(FactorEvent { cash: 99.0, ..on("2024-01-02") }).unwrap();
    desk.store().snapshot().unwrap().factors(&daily(SHARE), None).unwrap();
}

#[test]
fn events_are_rows_that_are_versioned_logged_digested_and_removed() {
    let mut desk = desk(&[("2024-01-02", 10.0)]);
    let feed = desk.store().feed();
    feed.register_target("one").unwrap();
    let event = FactorEvent { cash: 0.5, ..on("2024-01-04") };
    let first = desk.run(Operation::SetFactor(event));
    assert_eq!(desk.run(Operation::SetFactor(event)).outcomes, [Outcome::Unchanged]);
    desk.at("2026-11-20T03:00:00Z");
    let other = FactorEvent { cash: 0.6, ..event };
    desk.run(Operation::SetFactor(other));
    assert_eq!(desk.store().snapshot().unwrap().factor_events(id(SHARE)).unwrap(), [other]);
    let page = feed.read(&Cursor { lsn: Lsn(first.lsn.0 - 1), within: Vec::new() }, 1 << 20).unwrap();
    let shipped = page.changes.iter().filter_map(|change| match change {
        Change::Put(row) if row.table == Table::Factors => Some((row.values[0].clone(), row.deleted)),
        _ => None,
    });
    let shipped: Vec<_> = shipped.collect();
    assert_eq!(shipped.last(), Some(&(Value::Double(0.6), false)));
    let digests = feed.digests(Table::Factors).unwrap();
    assert_eq!((digests.len(), digests[0].digest.count), (1, 1));
    let rows = feed.bucket_rows(&digests[0].bucket, None, 10).unwrap();
    assert_eq!(rows.len(), 1);
    assert!(feed.bucket_rows(&digests[0].bucket, Some(&rows[0].key), 10).unwrap().is_empty());
    let above = Version::from_raw(rows[0].version.raw() + (1 << 30)).unwrap();
    feed.stamp(Table::Factors, &[rows[0].key.clone()], above).unwrap();
    let stamped = feed.rows(Table::Factors, &[rows[0].key.clone()]).unwrap();
    assert!(stamped[0].as_ref().is_some_and(|row| row.version > above && row.values == rows[0].values));
    desk.run(Operation::DeleteFactor { instrument: id(SHARE), ex_day: day("2024-01-04") });
    let gone = feed.rows(Table::Factors, &[rows[0].key.clone()]).unwrap();
    assert!(gone[0].as_ref().is_some_and(|row| row.deleted && row.version > above));
    assert_eq!(feed.digests(Table::Factors).unwrap()[0].digest.count, 0);
    let again = Operation::DeleteFactor { instrument: id(SHARE), ex_day: day("2024-01-04") };
    assert_eq!(desk.run(again).outcomes, [Outcome::Unchanged]);
    desk.run(Operation::SetFactor(other));
    drop(feed);
    desk.verify();
    assert_eq!(desk.store().stats().unwrap().factors, 1);
}

#[test]
fn without_an_adjustment_bars_are_answered_bit_for_bit() {
    let desk = desk(&[("2024-01-02", 0.1 + 0.2), ("2024-01-03", 1.0 / 3.0), ("2024-01-04", 5e-324)]);
    desk.run(Operation::SetFactor(FactorEvent { bonus: 0.7, ..on("2024-01-03") }));
    let snapshot = desk.store().snapshot().unwrap();
    let bits =
        |bars: Vec<Bar>| bars.into_iter().map(|bar| bar.numbers().map(f64::to_bits)).collect::<Vec<_>>();
    let raw = bits(snapshot.bars(&daily(SHARE), ALL.0, ALL.1).unwrap());
    assert_eq!(bits(snapshot.bars_adjusted(&daily(SHARE), ALL.0, ALL.1, Adjustment::NONE).unwrap()), raw);
    let forward = bits(snapshot.bars_adjusted(&daily(SHARE), ALL.0, ALL.1, Adjustment::FORWARD).unwrap());
    assert_eq!(forward[1..], raw[1..], "what came after the last event keeps its bits");
    let backward = bits(snapshot.bars_adjusted(&daily(SHARE), ALL.0, ALL.1, Adjustment::BACKWARD).unwrap());
    assert_eq!(backward[0], raw[0]);
}

fn any_event() -> impl Strategy<Value = (i32, FactorEvent)> {
    let terms = (0.0_f64..0.5, -0.5_f64..2.0, 0.01_f64..0.5, 0.0_f64..10.0);
    let stated = prop::option::weighted(0.3, 0.2_f64..5.0);
    (1_i32..40, terms, stated).prop_map(|(n, (cash, bonus, rights, rights_price), factor)| {
        let event = FactorEvent::on(id(SHARE), nth(n));
        (n, FactorEvent { cash: cash + 0.01, bonus, rights, rights_price, factor, ..event })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn forward_and_backward_series_have_equal_returns(
        prices in prop::collection::vec(5.0_f64..50.0, 2..40),
        events in prop::collection::vec(any_event(), 0..5),
        seal in any::<bool>(),
    ) {
        let desk = Desk::new();
        let bars = prices.iter().enumerate().map(|(n, price)| bar(nth(i32::try_from(n).unwrap()), *price));
        let run = BarRun::new(daily(SHARE), bars.collect()).unwrap();
        desk.run(Operation::PutBars { run, on_conflict: OnConflict::Replace });
        for (_, event) in &events {
            desk.run(Operation::SetFactor(*event));
        }
        if seal {
            desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
        let (forward, backward) = (closes(&desk, Adjustment::FORWARD), closes(&desk, Adjustment::BACKWARD));
        for (f, b) in forward.windows(2).zip(backward.windows(2)) {
            prop_assert!((f[1] / f[0] - b[1] / b[0]).abs() < 1e-9);
        }
        prop_assert_eq!(backward[0].to_bits(), prices[0].to_bits());
        let last: TradingDay = nth(i32::try_from(prices.len()).unwrap() - 1);
        let seen = closes(&desk, Adjustment::FORWARD.as_of(last));
        prop_assert_eq!(seen.last().unwrap().to_bits(), prices.last().unwrap().to_bits());
    }
}
