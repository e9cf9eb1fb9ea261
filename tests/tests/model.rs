//! The whole API of a store against a model in maps: random batches, imports, sealing, reopening,
//! snapshots held meanwhile, and a clock that jumps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::sync::Arc;

use barkeeper::{
    CommitError, ImportReceipt, MaintenanceBudget, MaintenanceError, MergeOptions, SealOptions, Snapshot,
    Store,
};
use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Batch, Cursor, FixedClock, ImportRecord, Interval, IntervalUnit, Lsn,
    OnConflict, Operation, PositionKey, SeriesKey, Table, Timestamp, Version,
};
use barkeeper_tests::digests;
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{clock, options, scratch, turn, verify};
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, Refused, same_answer};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tempfile::TempDir;

const TARGET: &str = "replica";

/// One thing that happens to a store. Numbers are seeds of what exactly.
#[derive(Debug, Clone, Copy)]
enum Step {
    Commit(u64),
    Relax(u64),
    Import(u64),
    Seal(u64),
    Merge(u64),
    Undo,
    Maintain(u64),
    Reopen,
    Hold,
    Acknowledge(u64),
    Turn(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => any::<u64>().prop_map(Step::Commit),
        3 => any::<u64>().prop_map(Step::Relax),
        4 => any::<u64>().prop_map(Step::Import),
        4 => any::<u64>().prop_map(Step::Seal),
        3 => any::<u64>().prop_map(Step::Merge),
        2 => Just(Step::Undo),
        2 => any::<u64>().prop_map(Step::Maintain),
        1 => Just(Step::Reopen),
        2 => Just(Step::Hold),
        2 => any::<u64>().prop_map(Step::Acknowledge),
        3 => prop_oneof![4 => 1_i64..90_000, 1 => -5_000_i64..0].prop_map(Step::Turn),
    ]
}

/// A store in a folder, and what it must hold.
struct World {
    dir: TempDir,
    clock: Arc<FixedClock>,
    store: Option<Store>,
    model: Model,
    market: Market,
    acknowledged: Lsn,
    held: Vec<(Snapshot, Model)>,
}

impl World {
    fn new(market: Market) -> Self {
        let (dir, clock) = (scratch(), clock());
        let store = Store::create(dir.path(), options(&clock)).unwrap();
        store.feed().register_target(TARGET).unwrap();
        let (model, held) = (Model::default(), Vec::new());
        Self { dir, clock, store: Some(store), model, market, acknowledged: Lsn(0), held }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Commit(seed) => self.commit(seed),
            Step::Relax(seed) => self.relax(seed),
            Step::Import(seed) => self.import(seed),
            Step::Seal(seed) => self.seal(seed),
            Step::Merge(seed) => self.maintain(|store| {
                let mut rng = Rng::new(seed);
                let interval = rng.chance(30).then_some(Interval::DAY);
                store.merge(&MergeOptions { interval, whole: rng.chance(80) }, &mut |_, _| {}).map(drop)
            }),
            Step::Undo => self.maintain(|store| match store.undo(false) {
                Err(MaintenanceError::NotUndone { .. }) => Ok(()),
                done => done.map(drop),
            }),
            Step::Maintain(seed) => {
                // Now and then so much later that trash is emptied and tombstones are dropped.
                let mut rng = Rng::new(seed);
                if rng.chance(50) {
                    // What is older than a week leaves the log, acknowledged or not.
                    self.store().feed().acknowledge(TARGET, self.model.lsn);
                    self.acknowledged = self.model.lsn;
                    turn(&self.clock, *rng.pick(&[1, 8, 190]) * 86_400_000);
                }
                self.maintain(|store| {
                    store.maintain(MaintenanceBudget::default())?;
                    if rng.chance(40) { store.empty_trash(rng.chance(50)).map(drop) } else { Ok(()) }
                })
            }
            Step::Reopen => self.reopen(),
            Step::Hold => {
                self.held.push((self.store().snapshot().map_err(|e| e.to_string())?, self.model.clone()));
                Ok(())
            }
            Step::Acknowledge(seed) => {
                let lsn = Rng::new(seed).below(usize::try_from(self.model.lsn.0).unwrap_or(0) + 1);
                let lsn = Lsn(lsn as u64);
                self.store().feed().acknowledge(TARGET, lsn);
                self.acknowledged = self.acknowledged.max(lsn);
                Ok(())
            }
            Step::Turn(millis) => {
                turn(&self.clock, millis);
                Ok(())
            }
        }
    }

    fn commit(&mut self, seed: u64) -> Result<(), String> {
        let now = turn(&self.clock, 0);
        let batch = Workload::new(self.market.clone(), seed).batch(&self.model);
        let expected = self.model.apply(&batch, now);
        same_answer(&self.store().commit(batch), &expected)
    }

    fn relax(&mut self, seed: u64) -> Result<(), String> {
        let (mut rng, mut workload) = (Rng::new(seed), Workload::new(self.market.clone(), seed));
        let account = rng.pick(&self.market.accounts).clone();
        let book = rng.pick(&self.market.books).clone();
        let updates = workload.extremes();
        let plain: Vec<_> = updates.iter().map(|one| (one.instrument, one.high, one.low)).collect();
        let found = self.store().update_extremes(&account, &book, &updates).map_err(|e| e.to_string())?;
        let expected = self.model.relax(&account, &book, &plain);
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found} positions were widened and not {expected}"))
        }
    }

    fn import(&mut self, seed: u64) -> Result<(), String> {
        let mut workload = Workload::new(self.market.clone(), seed);
        let mut rng = Rng::new(seed);
        let on_conflict = *rng.pick(&[OnConflict::Replace, OnConflict::Keep, OnConflict::Refuse]);
        let runs: Vec<_> = (0..rng.within(1, 6)).map(|_| workload.run(40)).collect();
        self.import_runs(&runs, on_conflict).map(drop)
    }

    fn import_runs(
        &mut self,
        runs: &[(SeriesKey, Vec<Bar>)],
        on_conflict: OnConflict,
    ) -> Result<Option<ImportReceipt>, String> {
        let now = turn(&self.clock, 0);
        let found = self.store().import_bars(bar_runs(runs), Vec::new(), on_conflict);
        let expected = self.model.import(runs, on_conflict, now);
        match (found, expected) {
            (Ok(found), Ok(counts)) => {
                let same = [found.inserted, found.replaced, found.kept, found.unchanged] == counts;
                if same && found.lsn == self.model.lsn {
                    return Ok(Some(found));
                }
                Err(format!("the import answered {found:?}, the model {counts:?} at LSN {}", self.model.lsn))
            }
            (Err(found), Err(expected)) if Refused::of(&found) == Some(expected) => Ok(None),
            (found, expected) => Err(format!("the import answered {found:?}, the model {expected:?}")),
        }
    }

    fn seal(&mut self, seed: u64) -> Result<(), String> {
        let mut rng = Rng::new(seed);
        let part = SealOptions {
            interval: rng.chance(30).then(|| rng.pick(&self.market.kinds).0),
            before: rng.chance(40).then(|| Market::day(rng.below(self.market.days)).label()),
        };
        let whole = part.interval.is_none() && part.before.is_none();
        let report = self.store().seal(&part, &mut |_, _| {}).map_err(|e| e.to_string())?;
        if report.lsn.is_some() {
            // Every commit takes relaxed values along, that of a publication as well.
            let now = turn(&self.clock, 0);
            self.model.fold(now);
        }
        let hot = self.store().stats().map_err(|e| e.to_string())?.hot_bars;
        if report.stayed > 0 || (whole && hot > 0) {
            return Err(format!("{hot} bars are hot after {report:?}"));
        }
        Ok(())
    }

    /// Maintenance changes no row, but its commits take relaxed values along, as every commit does.
    fn maintain(&mut self, work: impl FnOnce(&Store) -> Result<(), MaintenanceError>) -> Result<(), String> {
        let now = turn(&self.clock, 0);
        work(self.store()).map_err(|error| error.to_string())?;
        let lsn = Snapshot::lsn(&self.store().snapshot().map_err(|error| error.to_string())?);
        if lsn > self.model.lsn {
            self.model.fold(now);
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), String> {
        let now = turn(&self.clock, 0);
        self.held.clear();
        if let Some(store) = self.store.take() {
            store.close().map_err(|e| e.to_string())?;
        }
        self.model.fold(now);
        self.store = Some(Store::open(self.dir.path(), options(&self.clock)).map_err(|e| e.to_string())?);
        Ok(())
    }

    fn examine(&self, depth: Depth) -> Result<(), String> {
        let snapshot = self.store().snapshot().map_err(|e| e.to_string())?;
        Examination::of(&self.model, &snapshot, depth).perfect()?;
        digests::agree(&self.model, self.store().feed().as_ref())?;
        self.read_log()
    }

    /// What the target has not acknowledged yet can be read to the end.
    fn read_log(&self) -> Result<(), String> {
        let feed = self.store().feed();
        let bounds = feed.bounds().map_err(|e| e.to_string())?;
        if bounds.tail.0 > self.acknowledged.0 + 1 {
            return Err(format!("the log begins at {}, {} is acknowledged", bounds.tail, self.acknowledged));
        }
        let mut cursor = Cursor { lsn: Lsn(bounds.tail.0 - 1), within: Vec::new() };
        loop {
            let page = feed.read(&cursor, 10_000).map_err(|e| e.to_string())?;
            cursor = page.next;
            if !page.more {
                break;
            }
        }
        let same = cursor.lsn == self.model.lsn && bounds.head == self.model.lsn;
        if same {
            Ok(())
        } else {
            Err(format!("the log was read to {}, it ends at {}", cursor.lsn, bounds.head))
        }
    }

    fn finish(mut self) -> Result<(), String> {
        for (snapshot, model) in &self.held {
            Examination::of(model, snapshot, Depth::Paths)
                .perfect()
                .map_err(|error| format!("a snapshot of LSN {} that was held: {error}", model.lsn))?;
        }
        self.reopen()?;
        self.examine(Depth::Paths)?;
        drop(self.store.take());
        verify(self.dir.path(), options(&self.clock)).map(drop)
    }
}

fn bar_runs(runs: &[(SeriesKey, Vec<Bar>)]) -> Vec<BarRun> {
    runs.iter().map(|(series, bars)| BarRun::new(*series, bars.clone()).unwrap()).collect()
}

fn play(market: &Market, steps: &[Step]) -> Result<(), String> {
    let mut world = World::new(market.clone());
    for (number, step) in steps.iter().enumerate() {
        let done = world.step(*step).and_then(|()| world.examine(Depth::Paths));
        done.map_err(|error| format!("step {number}, {step:?}: {error}"))?;
        if number % 2 == 0 {
            turn(&world.clock, 7);
        }
    }
    world.finish()
}

fn run_random(seed: u64, cases: usize, market: &Market, most: usize) {
    let config = Config {
        cases: u32::try_from(cases).unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 100,
        ..Config::default()
    };
    let steps = prop::collection::vec(step(), 1..most);
    let played =
        TestRunner::new(config).run(&steps, |steps| play(market, &steps).map_err(TestCaseError::fail));
    played.unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
}

#[test]
fn a_store_is_its_model_after_every_random_step() {
    let seed = seed("a_store_is_its_model_after_every_random_step");
    // Few instruments, so that operations meet; then enough that slabs have chunks.
    run_random(seed, rounds(24, 600), &Market { days: 20, ..Market::new(6) }, 50);
    run_random(seed, rounds(6, 150), &Market { days: 30, ..Market::new(72) }, 30);
    // So few days that batches correct what they have just written.
    run_random(seed, rounds(10, 250), &Market { days: 5, ..Market::new(20) }, 30);
}

#[test]
fn bulk_imports_meet_what_is_hot_sealed_and_removed() {
    let seed = seed("bulk_imports_meet_what_is_hot_sealed_and_removed");
    for round in 0..rounds(2, 30) as u64 {
        let mut rng = Rng::new(seed + round);
        let market = Market { days: 320, ..Market::new(72) };
        let mut world = World::new(market.clone());
        for part in 0..3 {
            for _ in 0..12 {
                world.commit(rng.bits()).unwrap();
                turn(&world.clock, 3);
            }
            if part == 1 {
                world.seal(rng.bits()).unwrap();
            }
            world.step(Step::Hold).unwrap();
            let interval = if part == 2 { Interval::MINUTE } else { Interval::DAY };
            let runs = bulk(&market, interval, rng.below(3));
            let on_conflict = *rng.pick(&[OnConflict::Replace, OnConflict::Keep]);
            let receipt = world.import_runs(&runs, on_conflict).unwrap().unwrap();
            assert!(receipt.segments > 0 || part > 0, "{receipt:?}");
            world.examine(Depth::Rows).unwrap();
        }
        world.finish().unwrap();
    }
}

/// More than 20,000 bars of one interval, each with the content of a variant.
fn bulk(market: &Market, interval: Interval, variant: usize) -> Vec<(SeriesKey, Vec<Bar>)> {
    let bars = |instrument| {
        let series = SeriesKey { interval, adjustment: AdjustmentTag::Raw, instrument };
        let moment = |number| {
            if interval.is_daily_or_longer() {
                Market::moment(interval, number, 0)
            } else {
                // Across the end of January: two partitions.
                Market::moment(interval, 25 + number / 40, number % 40)
            }
        };
        let bars = (0..310).map(|number| Market::bar(&series, moment(number), variant)).collect();
        (series, BarRun::new(series, bars).unwrap().bars().to_vec())
    };
    market.instruments.iter().map(|instrument| bars(*instrument)).collect()
}

#[test]
fn equal_content_changes_nothing() {
    let seed = seed("equal_content_changes_nothing");
    let mut world = World::new(Market { days: 320, ..Market::new(72) });
    let mut rng = Rng::new(seed);
    for _ in 0..60 {
        world.commit(rng.bits()).unwrap();
        turn(&world.clock, 3);
    }
    let runs = bulk(&world.market, Interval::DAY, 1);
    world.import_runs(&runs, OnConflict::Replace).unwrap();
    world.seal(0).unwrap();
    let feed = world.store().feed();
    let before = (world.model.lsn, digests::kept(feed.as_ref()).unwrap(), feed.bounds().unwrap());
    let mut again = Batch::new();
    let model = world.model.clone();
    for (series, bars) in model.bars.iter().take(30) {
        let bars = bars.values().map(|(bar, _)| *bar).collect();
        let run = BarRun::new(*series, bars).unwrap();
        again = again.with(Operation::PutBars { run, on_conflict: OnConflict::Refuse });
    }
    let section = model.cross_section((Interval::DAY, AdjustmentTag::Raw), Market::day(3).label());
    again = again.with(Operation::PutCrossSection {
        interval: Interval::DAY,
        adjustment: AdjustmentTag::Raw,
        bars: section,
        on_conflict: OnConflict::Refuse,
    });
    for position in model.positions.values() {
        again = again.with(Operation::SetPosition(position.clone()));
    }
    for trade in model.trades.values() {
        again = again.with(Operation::RecordTrade(trade.clone()));
    }
    for ((account, book), day) in &model.books {
        let (account, book) = (account.clone(), book.clone());
        again = again.with(Operation::SetIncrementedOn { account, book, day: *day });
    }
    turn(&world.clock, 1_000);
    let receipt = world.store().commit(again).unwrap();
    assert!(!receipt.changed && receipt.lsn == before.0, "{receipt:?}");
    let counts = world.import_runs(&runs, OnConflict::Refuse).unwrap().unwrap();
    assert_eq!((counts.unchanged, counts.segments), (22_320, 0));
    let after = (
        world.store().snapshot().unwrap().lsn(),
        digests::kept(feed.as_ref()).unwrap(),
        feed.bounds().unwrap(),
    );
    assert_eq!(before, after);
    world.examine(Depth::Rows).unwrap();
}

#[test]
fn stores_that_loaded_the_same_in_another_order_agree() {
    let seed = seed("stores_that_loaded_the_same_in_another_order_agree");
    let mut rng = Rng::new(seed);
    let market = Market { days: 320, ..Market::new(72) };
    let (mut one, mut other) = (World::new(market.clone()), World::new(market.clone()));
    let runs = bulk(&market, Interval::DAY, 0);
    let minutes = bulk(&market, Interval::MINUTE, 2);
    one.import_runs(&runs, OnConflict::Refuse).unwrap();
    one.seal(0).unwrap();
    one.import_runs(&minutes, OnConflict::Refuse).unwrap();
    // The other one gets overlapping parts, small and large, by every way in, and seals in between.
    let mut parts: Vec<Vec<(SeriesKey, Vec<Bar>)>> = minutes.chunks(10).map(<[_]>::to_vec).collect();
    let halves = runs.iter().map(|(series, bars)| (*series, bars[100..].to_vec()));
    parts.push(halves.collect());
    parts.extend(runs.chunks(9).map(<[_]>::to_vec));
    while !parts.is_empty() {
        let part = parts.swap_remove(rng.below(parts.len()));
        turn(&other.clock, rng.within(1, 500) as i64);
        if rng.chance(50) {
            other.import_runs(&part, OnConflict::Refuse).unwrap();
        } else {
            for (series, bars) in part {
                let run = BarRun::new(series, bars).unwrap();
                let put = Operation::PutBars { run, on_conflict: OnConflict::Refuse };
                other.store().commit(Batch::of(put.clone())).unwrap();
                other.model.apply(&Batch::of(put), turn(&other.clock, 0)).unwrap();
            }
        }
        if rng.chance(30) {
            other.seal(rng.bits()).unwrap();
        }
    }
    let digest = |world: &World| digests::kept(world.store().feed().as_ref()).unwrap();
    assert_eq!(digest(&one), digest(&other));
    assert_ne!(one.store().feed().bounds().unwrap().head, other.store().feed().bounds().unwrap().head);
    one.finish().unwrap();
    other.finish().unwrap();
}

#[test]
fn a_batch_may_correct_its_own_cross_section() {
    let market = Market::new(24);
    let mut world = World::new(market.clone());
    let mut workload = Workload::new(market.clone(), 1);
    let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
    let bars = workload.section(interval, adjustment, 3, 0, 24);
    let series = SeriesKey { interval, adjustment, instrument: bars[5].0 };
    let corrected = Bar { close: bars[5].1.close + 1.0, ..bars[5].1 };
    let run = BarRun::new(series, vec![corrected]).unwrap();
    let batch = Batch::new()
        .with(Operation::PutCrossSection { interval, adjustment, bars, on_conflict: OnConflict::Replace })
        .with(Operation::PutBars { run, on_conflict: OnConflict::Replace });
    let expected = world.model.apply(&batch, turn(&world.clock, 0));
    same_answer(&world.store().commit(batch), &expected).unwrap();
    world.examine(Depth::Paths).unwrap();
    world.finish().unwrap();
}

#[test]
fn bars_that_stand_closer_than_their_interval_are_all_there() {
    // The first hour of a session that opens at 09:30 may end at 10:00; the next bar starts then.
    let mut world = World::new(Market::new(1));
    let interval = Interval::new(1, IntervalUnit::Hour).unwrap();
    let series =
        SeriesKey { interval, adjustment: AdjustmentTag::Raw, instrument: world.market.instruments[0] };
    let minutes = [0, 30, 90, 150, 210, 270, 330, 390];
    let moments = [0, 1].map(|day| {
        let (open, day) = Market::moment(interval, day, 0);
        minutes.map(|minute| (Timestamp::from_nanos(open.nanos() + minute * 60_000_000_000), day))
    });
    let bars = moments.iter().flatten().map(|moment| Market::bar(&series, *moment, 0)).collect();
    let run = BarRun::new(series, bars).unwrap();
    let batch = Batch::of(Operation::PutBars { run, on_conflict: OnConflict::Replace });
    world.model.apply(&batch, turn(&world.clock, 0)).unwrap();
    world.store().commit(batch).unwrap();
    world.examine(Depth::Paths).unwrap();
    world.seal(0).unwrap();
    let store = world.store();
    for (ts, _) in moments.into_iter().flatten() {
        let found = store.snapshot().unwrap().bars(&series, ts, Timestamp::MAX).unwrap();
        assert_eq!(found.first().map(|bar| bar.ts), Some(ts), "bars from {ts} on");
    }
    world.finish().unwrap();
}

#[test]
fn a_long_log_leaves_no_gap_when_its_only_target_is_forgotten() {
    let world = World::new(Market::new(1));
    let store = world.store();
    for part in 0..3_usize {
        let mut batch = Batch::new();
        for number in 0..4_500 {
            let account = format!("account-{part}-{number}").parse().unwrap();
            let key = PositionKey::main(account, world.market.instruments[0]);
            batch = batch.with(Operation::SetHeldDays { key, days: 1 });
        }
        store.commit(batch).unwrap();
    }
    store.feed().forget_target(TARGET).unwrap();
    for days in 2..6 {
        let key = PositionKey::main(world.market.accounts[0].clone(), world.market.instruments[0]);
        store.commit(Batch::of(Operation::SetHeldDays { key, days })).unwrap();
    }
    let World { dir, clock, store, .. } = world;
    drop(store);
    verify(dir.path(), options(&clock)).unwrap();
}

#[test]
fn a_stamped_bar_is_still_known_as_it_was() {
    let mut world = World::new(Market::new(1));
    let series = SeriesKey::daily(world.market.instruments[0]);
    let bar = Market::bar(&series, Market::moment(Interval::DAY, 0, 0), 0).born(Interval::DAY).unwrap();
    world.import_runs(&[(series, vec![bar])], OnConflict::Replace).unwrap();
    let then = turn(&world.clock, 10);
    turn(&world.clock, 10_000);
    // A forced repair gives the row a version above the target's; its content was known before.
    let key = barkeeper_storage::rowview::bar_key(&series, bar.ts);
    world.store().feed().stamp(Table::Bars, &[key], Version::floor_of(turn(&world.clock, 0))).unwrap();
    let snapshot = world.store().snapshot().unwrap();
    let known = snapshot.bars_as_of(&series, Timestamp::MIN, Timestamp::MAX, then).unwrap();
    assert_eq!(known, [bar], "as of {then}");
}

#[test]
fn the_longest_intervals_are_read_like_any_other() {
    for unit in
        [IntervalUnit::Second, IntervalUnit::Hour, IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month]
    {
        let mut world = World::new(Market::new(1));
        let interval = Interval::new(999, unit).unwrap();
        let series =
            SeriesKey { interval, adjustment: AdjustmentTag::Raw, instrument: world.market.instruments[0] };
        let bars = [0, 40, 70].map(|day| {
            let day = Market::day(day);
            Market::bar(&series, (day.label(), day), 0)
        });
        world
            .import_runs(
                &[(series, BarRun::new(series, bars.to_vec()).unwrap().bars().to_vec())],
                OnConflict::Keep,
            )
            .unwrap();
        world.examine(Depth::Paths).unwrap();
        world.seal(0).unwrap();
        world.finish().unwrap();
    }
}

#[test]
fn a_refused_import_names_what_differs_and_changes_nothing() {
    let mut world = World::new(Market { days: 320, ..Market::new(72) });
    let runs = bulk(&world.market, Interval::DAY, 0);
    world.import_runs(&runs, OnConflict::Refuse).unwrap();
    let mut other = bulk(&world.market, Interval::DAY, 0);
    for (_, bars) in other.iter_mut().take(3) {
        bars[7].close *= 2.0;
        bars[9].volume += 1.0;
    }
    let note = ImportRecord {
        hash: "0".repeat(64),
        source: "test".to_owned(),
        file: "a.csv".to_owned(),
        rows: 1,
        rejected: 0,
        quality: bar_runs(&other)[0].quality(),
    };
    let refused =
        world.store().import_bars(bar_runs(&other), vec![note.clone()], OnConflict::Refuse).unwrap_err();
    let CommitError::Conflict { bars: 6, series: 3, largest, first } = refused else { panic!("{refused}") };
    assert!((largest - 100.0).abs() < 1e-6 && first == (other[0].0, other[0].1[7].ts), "{largest} {first:?}");
    assert!(world.store().snapshot().unwrap().imports().unwrap().is_empty());
    assert_eq!(world.store().snapshot().unwrap().lsn(), Lsn(1));
    let kept = world.store().import_bars(bar_runs(&other), vec![note], OnConflict::Keep).unwrap();
    assert_eq!((kept.kept, kept.unchanged, kept.lsn), (6, 22_314, Lsn(1)));
    assert_eq!(world.store().snapshot().unwrap().imports().unwrap().len(), 1);
    world.examine(Depth::Rows).unwrap();
}
