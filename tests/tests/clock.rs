//! Clocks that jump, stand still or are changed by law: whatever the machine's clock shows, commits follow each
//! other without gap, the last one is the one that is read, and nothing that is of use is taken for old.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use barkeeper::{
    MaintenanceBudget, MergeOptions, PruneOptions, ReadError, Retention, SealOptions, Store, StoreOptions,
};
use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Batch, Calendar, CalendarKind, Clock, FixedClock, Interval, Lsn, OnConflict,
    Operation, PositionKey, SeriesKey, Timestamp, TradingDay,
};
use barkeeper_sync::sqlite::{SqliteConfig, SqliteSink};
use barkeeper_sync::{MemoryFile, Options, Reached, Replicator};
use barkeeper_tests::backups::Place;
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{START, clock, files_below, live_files, options, scratch, turn, verify};
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, same_answer};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 8_766 * HOUR;

/// What clocks do: they stand still, are set back and forth, sleep for a night and wake up after years.
const JUMPS: [i64; 10] = [0, 0, 1, -1, -HOUR, HOUR, 8 * HOUR, -8 * HOUR, 10 * YEAR, -10 * YEAR];
const KINDS: [(Interval, AdjustmentTag); 1] = [(Interval::DAY, AdjustmentTag::Raw)];

/// Turns a clock by any jump that leaves it between 2021 and 2080: versions begin in 2020 and end in 2089.
fn jump(clock: &FixedClock, rng: &mut Rng) -> Timestamp {
    let by = *rng.pick(&JUMPS);
    let shown = turn(clock, by);
    let (first, last) = ("2021-01-01T00:00:00Z".parse().unwrap(), "2080-01-01T00:00:00Z".parse().unwrap());
    if (first..=last).contains(&shown) { shown } else { turn(clock, -by) }
}

fn series() -> SeriesKey {
    SeriesKey::daily("000001.SZ".parse().unwrap())
}

fn put(series: SeriesKey, bars: Vec<Bar>) -> Batch {
    let run = BarRun::new(series, bars).unwrap();
    Batch::of(Operation::PutBars { run, on_conflict: OnConflict::Replace })
}

fn held(days: u32) -> Batch {
    let key = PositionKey::main("alpha".parse().unwrap(), "000001.SZ".parse().unwrap());
    Batch::of(Operation::SetHeldDays { key, days })
}

/// The bars of some days of the market, the first of which has this number.
fn days(first: usize, count: usize) -> Vec<Bar> {
    let series = series();
    (first..first + count).map(|day| Market::bar(&series, Market::moment(Interval::DAY, day, 0), 0)).collect()
}

#[test]
fn a_history_is_its_model_whatever_the_clock_does() {
    let seed = seed("a_history_is_its_model_whatever_the_clock_does");
    for round in 0..rounds(2, 40) as u64 {
        let (dir, clock, mut rng) = (scratch(), clock(), Rng::new(seed + round));
        let mut store = Store::create(dir.path(), options(&clock)).unwrap();
        store.feed().register_target("replica").unwrap();
        let mut workload = Workload::new(Market { days: 20, ..Market::new(8) }, seed + round);
        let (mut model, mut version) = (Model::default(), None);
        for step in 0..120 {
            let now = jump(&clock, &mut rng);
            let batch = workload.batch(&model);
            let expected = model.apply(&batch, now);
            same_answer(&store.commit(batch), &expected)
                .unwrap_or_else(|error| panic!("round {round}, step {step}, {now}: {error}"));
            // The model's version is that of the store: an instant that never goes back.
            assert!(version <= Some(model.version), "{now}");
            version = Some(model.version);
            match rng.below(25) {
                0 => drop(store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap()),
                1 => {
                    drop(store.merge(&MergeOptions { interval: None, whole: true }, &mut |_, _| {}).unwrap());
                }
                2 => drop(store.maintain(MaintenanceBudget::default()).unwrap()),
                3 => {
                    store.close().unwrap();
                    store = Store::open(dir.path(), options(&clock)).unwrap();
                }
                4 => {
                    let snapshot = store.snapshot().unwrap();
                    Examination::of(&model, &snapshot, Depth::Rows).perfect().unwrap();
                }
                _ => {}
            }
        }
        // Nothing is lost by leaving it at the oldest time either.
        clock.set("2021-01-01T00:00:00Z".parse().unwrap());
        store.maintain(MaintenanceBudget::default()).unwrap();
        let snapshot = store.snapshot().unwrap();
        Examination::of(&model, &snapshot, Depth::Paths).perfect().unwrap();
        drop(snapshot);
        store.close().unwrap();
        assert_eq!(verify(dir.path(), options(&clock)).unwrap().lsn, model.lsn);
    }
}

#[test]
fn of_two_contents_the_later_commit_counts_even_if_its_clock_is_earlier() {
    let (dir, clock) = (scratch(), clock());
    let store = Store::create(dir.path(), options(&clock)).unwrap();
    let day = days(3, 1)[0];
    for (number, by) in [0, -HOUR, 10 * YEAR, -10 * YEAR, 0, -HOUR].into_iter().enumerate() {
        turn(&clock, by);
        let close = number as f64 + 1.0;
        let receipt = store.commit(put(series(), vec![Bar { close, high: 99.0, ..day }])).unwrap();
        assert_eq!(receipt.lsn, Lsn(number as u64 + 1));
        if number % 2 == 1 {
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
        assert_eq!(store.last_bars(&series(), 5).unwrap()[0].close, close, "{}", clock.now());
    }
}

#[test]
fn retention_takes_no_live_file_for_old() {
    let (dir, clock) = (scratch(), clock());
    let store = Store::create(dir.path(), options(&clock)).unwrap();
    for (part, by) in [10 * YEAR, -2 * YEAR, -HOUR, 30 * YEAR].into_iter().enumerate() {
        store.commit(put(series(), days(part * 5, 5))).unwrap();
        store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        turn(&clock, by);
    }
    // Merged while the clock is ahead, so that the trash is filled as well.
    store.merge(&MergeOptions { interval: None, whole: true }, &mut |_, _| {}).unwrap();
    let live = live_files(&store, &KINDS).unwrap();
    store.close().unwrap();
    // An orphan that is younger, by its name, than anything the clock could show.
    let orphan = live[0].with_file_name("7zzzzzzzzz0000000000000000.parquet");
    fs::copy(&live[0], &orphan).unwrap();
    for by in [0, -40 * YEAR, 50 * YEAR, -10 * YEAR, -HOUR] {
        turn(&clock, by);
        let store = Store::open(dir.path(), options(&clock)).unwrap();
        store.maintain(MaintenanceBudget::default()).unwrap();
        assert_eq!(live_files(&store, &KINDS).unwrap(), live, "{}", clock.now());
        assert!(live.iter().all(|file| file.is_file()), "{}", clock.now());
        let bars = store.snapshot().unwrap().bars(&series(), Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!(bars.len(), 20, "{}", clock.now());
        store.close().unwrap();
        let trash = files_below(&dir.path().join("trash")).unwrap();
        assert!(trash.iter().any(|file| file.file_name() == orphan.file_name()), "{trash:?}");
    }
    verify(dir.path(), options(&clock)).unwrap();
}

#[test]
fn pruning_backups_leaves_the_newest_and_the_last_good_one_after_any_jump() {
    for by in [-HOUR, 10 * YEAR, -2 * YEAR, 0, 31 * DAY] {
        let mut place = Place::new(5);
        let good = place.back_up().name;
        let backups = place.backups();
        place.check_backup(&good);
        for _ in 0..3 {
            turn(&place.clock, DAY);
            place.go_on(2);
            place.back_up();
        }
        turn(&place.clock, by);
        place.go_on(2);
        let newest = place.back_up().name;
        for rules in [Retention::default(), Retention { days: Some(0), last: 0 }] {
            backups.prune(&rules, place.clock.now(), PruneOptions::default()).unwrap();
            let left: Vec<String> = backups.list().unwrap().into_iter().map(|one| one.name).collect();
            assert!(left.contains(&newest) && left.contains(&good), "{by}: {left:?}");
        }
        // The number decides which one is the newest, and not the time.
        assert_eq!(backups.list().unwrap().last().map(|one| one.name.clone()), Some(newest.clone()));
        place.check_backup(&newest);
        place.check_backup(&good);
    }
}

#[test]
fn saved_states_come_back_in_the_order_of_their_own_times() {
    let (dir, clock) = (scratch(), clock());
    let store = Store::create(dir.path(), options(&clock)).unwrap();
    let strategy: barkeeper_records::StrategyId = "breakout".parse().unwrap();
    for (number, by) in [0, -HOUR, 10 * YEAR, -10 * YEAR].into_iter().enumerate() {
        turn(&clock, by);
        // The time of a state is the strategy's, whatever the machine shows.
        let saved_at = Timestamp::from_nanos(START.nanos() + number as i64 * 1_000_000_000);
        let save = Operation::SaveStrategySnapshot {
            strategy: strategy.clone(),
            saved_at,
            schema_version: 1,
            body: format!("{{\"n\":{number}}}"),
        };
        store.commit(Batch::of(save)).unwrap();
    }
    let found = store.snapshot().unwrap().strategy_snapshots(&strategy, None, None, 9).unwrap();
    let bodies: Vec<&str> = found.iter().map(|state| state.body.as_str()).collect();
    assert_eq!(bodies, ["{\"n\":3}", "{\"n\":2}", "{\"n\":1}", "{\"n\":0}"]);
}

/// A machine: its wall clock can be set, its steady one only goes on.
struct Machine {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl Machine {
    fn new() -> Arc<Self> {
        Arc::new(Self { wall: AtomicI64::new(START.nanos()), steady: AtomicI64::new(7) })
    }

    /// Sets the wall clock by milliseconds, as a person or a suspended night does.
    fn set(&self, by: i64) {
        self.wall.fetch_add(by * 1_000_000, Ordering::SeqCst);
    }

    /// Time passes that the wall clock does not show.
    fn pass(&self, seconds: i64) {
        self.steady.fetch_add(seconds * 1_000_000_000, Ordering::SeqCst);
    }
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.wall.load(Ordering::SeqCst))
    }

    fn steady(&self) -> i64 {
        self.steady.load(Ordering::SeqCst)
    }
}

#[test]
fn a_snapshot_expires_by_the_steady_clock_alone() {
    let (dir, machine) = (scratch(), Machine::new());
    let age = Duration::from_secs(60);
    let options = StoreOptions {
        background: false,
        reserve_bytes: 0,
        snapshot_age: age,
        ..StoreOptions::new(machine.clone())
    };
    let store = Store::create(dir.path(), options).unwrap();
    store.commit(held(1)).unwrap();
    let snapshot = store.snapshot().unwrap();
    for by in [-HOUR, 10 * YEAR, 8 * HOUR, -20 * YEAR] {
        machine.set(by);
        store.commit(held(2)).unwrap();
        assert_eq!(snapshot.all_positions(true).unwrap()[0].held_days, Some(1), "after {by} ms");
    }
    // The wall clock stands still.
    machine.pass(61);
    store.commit(held(3)).unwrap();
    let expired = snapshot.all_positions(true).unwrap_err();
    assert!(matches!(expired, ReadError::Expired { .. }), "{expired}");
}

/// A store and what keeps its SQLite replica in step.
struct Replicated {
    store: Store,
    replicator: Replicator,
    lsn: Lsn,
}

impl Replicated {
    fn new(dir: &Path, clock: &Arc<FixedClock>) -> Self {
        let store = Store::create(&dir.join("store"), options(clock)).unwrap();
        store.feed().register_target("replica").unwrap();
        let sink = SqliteSink::new(SqliteConfig::of(dir.join("replica.sqlite"))).unwrap();
        let memory = MemoryFile::new(dir.join("replica.json"));
        let replicator =
            Replicator::new(store.feed(), Box::new(sink), clock.clone(), memory, Options::of("replica", 1));
        Self { store, replicator, lsn: Lsn(0) }
    }

    fn commit(&mut self, days: u32) {
        let lsn = self.store.commit(held(days)).unwrap().lsn;
        assert_eq!(lsn.0, self.lsn.0 + 1);
        self.lsn = lsn;
    }

    fn catch_up(&mut self, what: &str) {
        let before = self.replicator.status().acknowledged;
        let reached = self.replicator.run_until_current(&AtomicBool::new(false), &mut |_, _| {});
        let status = self.replicator.status();
        assert_eq!(reached, Reached::Current, "{what}: {status:?}");
        assert!(status.acknowledged == self.lsn && status.acknowledged >= before, "{what}: {status:?}");
    }

    fn must_agree(&mut self, what: &str) {
        let report =
            self.replicator.check(&barkeeper_sync::CheckOptions::default(), &AtomicBool::new(false)).unwrap();
        assert_eq!(report.verdict, barkeeper_sync::Verdict::Agree, "{what}: {report:?}");
    }
}

#[test]
fn a_target_is_kept_in_step_whatever_the_clock_does() {
    let seed = seed("a_target_is_kept_in_step_whatever_the_clock_does");
    let (dir, clock, mut rng) = (scratch(), clock(), Rng::new(seed));
    let mut pair = Replicated::new(dir.path(), &clock);
    let mut days = 0;
    for round in 0..rounds(20, 300) {
        for _ in 0..rng.within(1, 3) {
            jump(&clock, &mut rng);
            days += 1;
            pair.commit(days);
        }
        jump(&clock, &mut rng);
        pair.catch_up(&format!("round {round}, {}", clock.now()));
    }
    pair.must_agree("at the end");
}

#[test]
fn a_log_that_a_jump_makes_old_is_replaced_by_digests() {
    for by in [10 * YEAR, -10 * YEAR / 5, -HOUR, 8 * DAY] {
        let (dir, clock) = (scratch(), clock());
        let mut pair = Replicated::new(dir.path(), &clock);
        pair.commit(1);
        pair.catch_up("before the jump");
        for days in 2..9 {
            pair.commit(days);
            turn(&clock, if days == 5 { by } else { 3 });
        }
        pair.catch_up(&format!("after {by} ms"));
        pair.must_agree(&format!("after {by} ms"));
        // And when the clock is set right.
        turn(&clock, -by);
        pair.commit(9);
        pair.catch_up(&format!("after {by} ms and back"));
        pair.must_agree(&format!("after {by} ms and back"));
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Summer time moved Shanghai's clock on the nights to 1986-05-04 and 1991-09-15, among others: by then it was an
/// hour ahead. Bars are instants and trading days are the venue's, so that no hour is missing or there twice.
#[test]
fn the_summer_time_of_shanghai_neither_loses_nor_doubles_a_bar() {
    let stocks = Calendar::new(CalendarKind::CnA);
    for (instant, shown, day) in [
        ("1988-07-01T09:30:00+09:00", "1988-07-01T00:30:00Z", "1988-07-01"),
        ("1988-12-01T09:30:00+08:00", "1988-12-01T01:30:00Z", "1988-12-01"),
        // An hour before midnight by the winter's clock it is midnight by the summer's.
        ("1991-08-05T15:30:00Z", "1991-08-05T15:30:00Z", "1991-08-06"),
        ("1991-12-05T15:30:00Z", "1991-12-05T15:30:00Z", "1991-12-05"),
    ] {
        assert_eq!(at(instant), at(shown));
        assert_eq!(stocks.trading_day_of(at(instant)).unwrap(), Some(day.parse().unwrap()), "{instant}");
    }
    let (dir, clock) = (scratch(), clock());
    let store = Store::create(dir.path(), options(&clock)).unwrap();
    let minutes = SeriesKey { interval: Interval::MINUTE, ..series() };
    // Four hours around the two changes of 1991, a bar a minute: one hour of the wall clock is missing in spring,
    // and one is there twice in autumn.
    let mut bars = Vec::new();
    for first in ["1991-04-13T16:00:00Z", "1991-09-14T15:00:00Z"] {
        for minute in 0..240 {
            let ts = Timestamp::from_nanos(at(first).nanos() + minute * 60_000_000_000);
            let day = stocks.date_of(ts).unwrap();
            bars.push(Market::bar(&minutes, (ts, day), 0));
        }
    }
    let daily: Vec<TradingDay> = (0..300).map(|n| TradingDay::from_days(7_730 + n).unwrap()).collect();
    let labels: Vec<Bar> = daily.iter().map(|day| Market::bar(&series(), (day.label(), *day), 0)).collect();
    let born = |series, bars| BarRun::new(series, bars).unwrap().bars().to_vec();
    let (bars, labels) = (born(minutes, bars), born(series(), labels));
    store.commit(put(minutes, bars.clone())).unwrap();
    store.commit(put(series(), labels.clone())).unwrap();
    for sealed in [false, true] {
        if sealed {
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
        let snapshot = store.snapshot().unwrap();
        let all = |series: &SeriesKey| snapshot.bars(series, Timestamp::MIN, Timestamp::MAX).unwrap();
        for (found, written) in [(all(&minutes), &bars), (all(&series()), &labels)] {
            assert_eq!(found.len(), written.len());
            assert!(found.iter().zip(written).all(|(found, written)| {
                found.ts == written.ts
                    && found.trading_day == written.trading_day
                    && found.same_content(written)
            }));
        }
    }
}

/// Friday's night session is Monday's, on both sides of midnight, hot and sealed, and the time at which the
/// machine stands changes nothing about it.
#[test]
fn a_night_session_keeps_its_trading_day_whatever_the_machine_shows() {
    let futures = Calendar::new(CalendarKind::CnFutures);
    let (dir, clock) = (scratch(), clock());
    let with_calendar = || StoreOptions { calendar: futures.clone(), ..options(&clock) };
    let store = Store::create(dir.path(), with_calendar()).unwrap();
    let series = SeriesKey { interval: Interval::MINUTE, ..SeriesKey::daily("rb2410.SHFE".parse().unwrap()) };
    let monday: TradingDay = "2024-03-04".parse().unwrap();
    let mut bars = Vec::new();
    for first in ["2024-03-01T21:00:00+08:00", "2024-03-02T00:00:00+08:00", "2024-03-04T09:00:00+08:00"] {
        for minute in 0..60 {
            let ts = Timestamp::from_nanos(at(first).nanos() + minute * 60_000_000_000);
            assert_eq!(futures.trading_day_of(ts).unwrap(), Some(monday), "{ts}");
            bars.push(Market::bar(&series, (ts, monday), 0));
        }
    }
    store.commit(put(series, bars.clone())).unwrap();
    for (by, seal) in [(0, false), (-HOUR, true), (10 * YEAR, false), (-12 * YEAR, false)] {
        turn(&clock, by);
        if seal {
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
        let found = store.snapshot().unwrap().bars(&series, Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!(found.len(), bars.len());
        assert!(found.iter().all(|bar| bar.trading_day == monday));
    }
}
