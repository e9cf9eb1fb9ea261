//! Replay against a model: every bar in the order in which it became known, from whatever tier.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;

use barkeeper::{Known, KnownRow, ReplayRequest};
use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, InstrumentId, Interval, IntervalUnit, MarketTrade, SeriesKey, Tick, Timestamp,
};
use barkeeper_tests::market::Market;
use barkeeper_tests::model::Model;
use barkeeper_tests::past::Past;
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};

const HOUR: i64 = 3_600_000_000_000;

/// When a bar became known, worked out for the venues of the market alone.
fn known_at(series: &SeriesKey, bar: &Bar) -> Timestamp {
    let after = match (series.interval.nanos(), series.instrument.venue()) {
        (Some(nanos), _) => nanos,
        // 15:00 and 15:15 in Shanghai, midnight in UTC.
        (None, "SZ" | "SH" | "BJ" | "CZCE") => 7 * HOUR,
        (None, "CFFEX") => 7 * HOUR + HOUR / 4,
        (None, _) => 24 * HOUR,
    };
    Timestamp::from_nanos(bar.ts.nanos() + after)
}

/// Bars of a model that a question asks for, in the order of becoming known.
fn expected(
    model: &Model,
    kinds: &[(Interval, AdjustmentTag)],
    wanted: impl Fn(&InstrumentId) -> bool,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Known> {
    let mut all = Vec::new();
    for (series, bars) in &model.bars {
        if !kinds.contains(&(series.interval, series.adjustment)) || !wanted(&series.instrument) {
            continue;
        }
        for (bar, _) in bars.values() {
            let at = known_at(series, bar);
            if (from..=to).contains(&at) {
                let SeriesKey { interval, adjustment, instrument } = *series;
                let row = KnownRow::Bar { interval, adjustment, bar: *bar };
                all.push(Known { at, instrument, row });
            }
        }
    }
    all.sort_by_key(|known| known.bar().map(|(series, bar)| (known.at, series, bar.ts)));
    all
}

/// The same with market trades and ticks behind the bars of an instant.
fn with_streams(
    model: &Model,
    bars: Vec<Known>,
    wanted: impl Fn(&InstrumentId) -> bool,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Known> {
    let known = |instrument: &InstrumentId, at: Timestamp, row: KnownRow| {
        let inside = wanted(instrument) && (from..=to).contains(&at);
        inside.then_some(Known { at, instrument: *instrument, row })
    };
    let trades = model.streams.market_trades.iter();
    let ticks = model.streams.ticks.iter();
    let mut all = bars;
    all.extend(trades.filter_map(|((one, at), (row, _))| known(one, at.ts, KnownRow::MarketTrade(*row))));
    all.extend(ticks.filter_map(|((one, at), (row, _))| known(one, at.ts, KnownRow::Tick(*row))));
    // Bars, trades and ticks stand in this order, each by its key: sorting by the instant keeps that.
    all.sort_by_key(|known| known.at);
    all
}

#[test]
fn a_replay_is_the_sorted_model() {
    let seed = seed("a_replay_is_the_sorted_model");
    let mut compared = 0;
    for round in 0..rounds(6, 150) as u64 {
        let mut rng = Rng::new(seed + round);
        let count = *rng.pick(&[6, 30, 72]);
        let mut past = Past::new(Market { days: rng.within(5, 40), ..Market::new(count) });
        for _ in 0..3 {
            past.live(&mut rng, 20);
            let snapshot = past.store.snapshot().unwrap();
            for _ in 0..8 {
                let kinds: BTreeSet<_> =
                    (0..rng.within(1, 4)).map(|_| *rng.pick(&past.market.kinds)).collect();
                let kinds: Vec<_> = kinds.into_iter().collect();
                let list: BTreeSet<_> =
                    (0..rng.within(1, count)).map(|_| *rng.pick(&past.market.instruments)).collect();
                let listed = rng.chance(40);
                let moment = |rng: &mut Rng| {
                    let day = Market::day(rng.below(past.market.days)).label().nanos();
                    Timestamp::from_nanos(day + rng.below(24) as i64 * HOUR)
                };
                let from = if rng.chance(50) { moment(&mut rng) } else { Timestamp::MIN };
                let to = if rng.chance(50) { moment(&mut rng) } else { Timestamp::MAX };
                let mut request = ReplayRequest::of(kinds[0].0, kinds[0].1)
                    .from(from)
                    .to(to)
                    .threads(rng.within(1, 3))
                    .unit_rows(*rng.pick(&[1, 30, 5_000]));
                for (interval, adjustment) in &kinds {
                    request = request.and(*interval, *adjustment);
                }
                let streams = rng.chance(50);
                if streams {
                    request = request.and_ticks().and_market_trades();
                }
                if listed {
                    request = request.instruments(list.iter().copied());
                }
                let found: Vec<Known> = snapshot.replay(&request).unwrap().map(Result::unwrap).collect();
                let wanted = |instrument: &InstrumentId| !listed || list.contains(instrument);
                let mut expected = expected(&past.model, &kinds, wanted, from, to);
                if streams {
                    expected = with_streams(&past.model, expected, wanted, from, to);
                }
                assert_eq!(found.len(), expected.len(), "{request:?}");
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!(found, expected, "{request:?}");
                }
                compared += found.len();
            }
        }
    }
    assert!(compared > 1_000, "{compared} bars were compared");
}

#[test]
fn at_one_instant_come_bars_then_trades_then_ticks() {
    let mut past = Past::new(Market::new(6));
    let instrument = past.market.instruments[0];
    let series = SeriesKey { interval: Interval::MINUTE, adjustment: AdjustmentTag::Raw, instrument };
    let bar = Market::bar(&series, Market::moment(Interval::MINUTE, 0, 0), 0);
    past.import(&[(series, vec![bar])]);
    let at = known_at(&series, &bar);
    let trade =
        |sequence| MarketTrade { ts: at, sequence, price: 1.0, quantity: 2.0, ..MarketTrade::default() };
    let before = Timestamp::from_nanos(at.nanos() - 1);
    let tick = |ts, sequence| Tick { ts, sequence, last: 3.0, ..Tick::default() };
    past.import_events(
        vec![(instrument, tick(at, 0)), (instrument, tick(before, 7))],
        vec![(instrument, trade(9)), (instrument, trade(4))],
    );
    let snapshot = past.store.snapshot().unwrap();
    let request = ReplayRequest::ticks().and_market_trades().and(Interval::MINUTE, AdjustmentTag::Raw);
    let found: Vec<KnownRow> = snapshot.replay(&request).unwrap().map(|known| known.unwrap().row).collect();
    let expected = [
        KnownRow::Tick(tick(before, 7)),
        KnownRow::Bar { interval: series.interval, adjustment: series.adjustment, bar },
        KnownRow::MarketTrade(trade(4)),
        KnownRow::MarketTrade(trade(9)),
        KnownRow::Tick(tick(at, 0)),
    ];
    assert_eq!(found, expected);
    assert_eq!(snapshot.replay(&ReplayRequest::market_trades().to(before)).unwrap().count(), 0);
}

#[test]
fn daily_and_weekly_bars_never_come_before_the_minutes_of_their_days() {
    let mut past = Past::new(Market::new(12));
    let week = Interval::new(1, IntervalUnit::Week).unwrap();
    let mut runs = Vec::new();
    for instrument in past.market.instruments.clone() {
        for interval in [Interval::MINUTE, Interval::DAY, week] {
            let series = SeriesKey { interval, adjustment: AdjustmentTag::Raw, instrument };
            // 2024-01-02 is a Tuesday: four days, and a week that is labelled by its first day.
            let moments = match interval {
                Interval::MINUTE => {
                    (0..4).flat_map(|day| (0..30).map(move |n| Market::moment(interval, day, n))).collect()
                }
                Interval::DAY => (0..4).map(|day| Market::moment(interval, day, 0)).collect(),
                _ => vec![Market::moment(interval, 0, 0)],
            };
            let bars: Vec<Bar> = moments.iter().map(|moment| Market::bar(&series, *moment, 0)).collect();
            runs.push((series, BarRun::new(series, bars).unwrap().bars().to_vec()));
        }
    }
    past.import(&runs);
    let request = ReplayRequest::of(week, AdjustmentTag::Raw)
        .and(Interval::DAY, AdjustmentTag::Raw)
        .and(Interval::MINUTE, AdjustmentTag::Raw);
    let snapshot = past.store.snapshot().unwrap();
    let found: Vec<Known> = snapshot.replay(&request).unwrap().map(Result::unwrap).collect();
    assert_eq!(found.len(), 12 * (4 * 30 + 4 + 1));
    assert!(found.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let mut seen: std::collections::BTreeMap<InstrumentId, usize> = std::collections::BTreeMap::new();
    for known in &found {
        let minutes = seen.entry(known.instrument).or_default();
        let (series, bar) = known.bar().unwrap();
        match series.interval {
            Interval::MINUTE => *minutes += 1,
            Interval::DAY => {
                let day = usize::try_from(bar.trading_day.days() - 19_724).unwrap();
                assert_eq!(*minutes, (day + 1) * 30, "{known:?}");
            }
            _ => assert_eq!(*minutes, 120, "{known:?}"),
        }
    }
}
