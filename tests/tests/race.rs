//! What is written while something else is published, imported or read: nothing is lost, nothing is
//! counted twice, and every reader sees one commit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barkeeper::{CommitError, SealOptions, Store};
use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Batch, BookId, ExtremeUpdate, FixedClock, Interval, Lsn, OnConflict,
    Operation, Outcome, PositionKey, SeriesKey,
};
use barkeeper_tests::digests;
use barkeeper_tests::disk::Disk;
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{clock, live_files, options, segments_below, turn, verify};
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, same_answer};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;
use tempfile::TempDir;

/// Long enough for a thread that was started to stand in the queue. A test that comes too early passes.
const SOON: Duration = Duration::from_millis(150);

/// A store that its hooks may write to as well, and the model of what it holds.
struct Scene {
    dir: TempDir,
    clock: Arc<FixedClock>,
    store: Arc<Store>,
    model: Arc<Mutex<Model>>,
    market: Market,
}

impl Scene {
    fn new(days: usize, instruments: usize) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
        let store = Store::create(dir.path(), options(&clock)).unwrap();
        Self::over(dir, clock, store, days, instruments)
    }

    fn over(dir: TempDir, clock: Arc<FixedClock>, store: Store, days: usize, instruments: usize) -> Self {
        store.feed().register_target("replica").unwrap();
        let market = Market { days, ..Market::new(instruments) };
        Self { dir, clock, store: Arc::new(store), model: Arc::default(), market }
    }

    fn commit(&self, batch: Batch) {
        commit(&self.store, &self.model, &self.clock, batch);
    }

    /// Puts the daily bars of all instruments for some days.
    fn put_days(&self, days: std::ops::Range<usize>, variant: usize) {
        for day in days {
            self.commit(day_of_all(&self.market, day, variant));
        }
    }

    /// Calls `hook` at every step of a publication, with a store that the hook does not keep alive.
    fn on_step(
        &self,
        mut hook: impl FnMut(&Store, &Mutex<Model>, &FixedClock, usize, &'static str) -> bool + Send + 'static,
    ) {
        let (store, model, clock) = (Arc::downgrade(&self.store), self.model.clone(), self.clock.clone());
        self.store.on_step(move |number, name| {
            store.upgrade().is_some_and(|store| hook(&store, &model, &clock, number, name))
        });
    }

    fn examine(&self) {
        let model = self.model.lock().unwrap();
        Examination::of(&model, &self.store.snapshot().unwrap(), Depth::Paths).perfect().unwrap();
        digests::agree(&model, self.store.feed().as_ref()).unwrap();
    }

    fn finish(self) {
        self.examine();
        let Self { dir, clock, store, .. } = self;
        drop(Arc::into_inner(store).unwrap());
        verify(dir.path(), options(&clock)).unwrap();
    }
}

fn commit(store: &Store, model: &Mutex<Model>, clock: &FixedClock, batch: Batch) {
    let mut model = model.lock().unwrap();
    let expected = model.apply(&batch, turn(clock, 2));
    same_answer(&store.commit(batch), &expected).unwrap();
}

fn day_of_all(market: &Market, day: usize, variant: usize) -> Batch {
    let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
    let moment = Market::moment(interval, day, 0);
    let bar = |name| (name, Market::bar(&SeriesKey::daily(name), moment, variant));
    let bars = market.instruments.iter().map(|name| bar(*name)).collect();
    Batch::of(Operation::PutCrossSection { interval, adjustment, bars, on_conflict: OnConflict::Replace })
}

fn put(series: SeriesKey, days: &[usize], variant: usize) -> Operation {
    let bars = days
        .iter()
        .map(|day| Market::bar(&series, Market::moment(series.interval, *day, 0), variant))
        .collect();
    Operation::PutBars { run: BarRun::new(series, bars).unwrap(), on_conflict: OnConflict::Replace }
}

fn delete(series: SeriesKey, days: std::ops::Range<usize>) -> Operation {
    let (from, to) = (Market::day(days.start).label(), Market::day(days.end).label());
    Operation::DeleteBars { series, from, to }
}

/// 22,320 daily bars of one variant.
fn bulk(market: &Market, variant: usize) -> Vec<(SeriesKey, Vec<Bar>)> {
    let bars = |instrument| {
        let series = SeriesKey::daily(instrument);
        let bar = |day| Market::bar(&series, Market::moment(Interval::DAY, day, 0), variant);
        (series, BarRun::new(series, (0..310).map(bar).collect()).unwrap().bars().to_vec())
    };
    market.instruments.iter().map(|instrument| bars(*instrument)).collect()
}

fn bar_runs(runs: &[(SeriesKey, Vec<Bar>)]) -> Vec<BarRun> {
    runs.iter().map(|(series, bars)| BarRun::new(*series, bars.clone()).unwrap()).collect()
}

#[test]
fn what_is_written_between_a_seals_read_and_its_publish_wins() {
    for at in 0.. {
        let scene = Scene::new(40, 72);
        scene.put_days(0..5, 0);
        let series = |number: usize| SeriesKey::daily(scene.market.instruments[number]);
        scene.commit(Batch::of(put(series(1), &[1, 2, 9], 1)));
        let corrected = Batch::new()
            .with(put(series(0), &[0, 1], 2))
            .with(put(series(1), &[2, 9], 2))
            .with(delete(series(2), 1..4))
            .with(delete(series(1), 1..2))
            .with(put(series(3), &[20, 21], 0));
        let fresh = "ZZ.NEW".parse().unwrap();
        let more = Market {
            instruments: (0..20).map(|n| format!("NEW{n}.LOCAL").parse().unwrap()).collect(),
            ..scene.market.clone()
        };
        let new_in_slab = day_of_all(&more, 3, 0).with(put(SeriesKey::daily(fresh), &[0, 3], 0));
        let again = Batch::of(put(series(2), &[2], 2));
        let (sender, counted) = channel();
        let named = Arc::new(Mutex::new(""));
        let name = named.clone();
        scene.on_step(move |store, model, clock, number, step| {
            if number == at {
                *name.lock().unwrap() = step;
                for batch in [&corrected, &new_in_slab, &again] {
                    commit(store, model, clock, batch.clone());
                }
            }
            sender.send(number).unwrap();
            false
        });
        let report = scene.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        let steps = counted.try_iter().count();
        if steps <= at {
            assert!(at > 10, "{at} steps");
            break;
        }
        // Behind the removal nothing is left to be corrected; what is written then is hot for the next seal.
        let name = *named.lock().unwrap();
        assert!(name == "after a removal" || report.stayed > 0, "step {at} of {steps}: {report:?}");
        scene.examine();
        let store = &scene.store;
        let found = store
            .snapshot()
            .unwrap()
            .bars(&series(1), Market::day(2).label(), Market::day(2).label())
            .unwrap();
        assert_eq!(
            found,
            [Market::bar(&series(1), Market::moment(Interval::DAY, 2, 0), 2).born(Interval::DAY).unwrap()]
        );
        scene.store.on_step(|_, _| false);
        scene.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        assert_eq!(scene.store.stats().unwrap().hot_bars, 0);
        scene.finish();
    }
}

#[test]
fn random_batches_at_every_step_of_seals_and_imports_are_all_there() {
    let seed = seed("random_batches_at_every_step_of_seals_and_imports_are_all_there");
    let (mut contended, all) = (0, rounds(6, 150));
    for round in 0..all as u64 {
        let mut rng = Rng::new(seed + round);
        let scene = Scene::new(40, 72);
        let mut workload = Workload::new(scene.market.clone(), rng.bits());
        for _ in 0..25 {
            let batch = workload.batch(&scene.model.lock().unwrap());
            scene.commit(batch);
        }
        let runs = bulk(&scene.market, 1);
        let (imported, importing, mut inner) = (runs.clone(), Arc::new(AtomicBool::new(false)), rng.fork());
        let (is_import, mut left) = (importing.clone(), 40);
        scene.on_step(move |store, model, clock, _, name| {
            if name == "after the commit" && is_import.load(Ordering::SeqCst) {
                model.lock().unwrap().import(&imported, OnConflict::Replace, turn(clock, 0)).unwrap();
            }
            while left > 0 && inner.chance(40) {
                left -= 1;
                let batch = workload.batch(&model.lock().unwrap());
                commit(store, model, clock, batch);
            }
            false
        });
        scene.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        scene.examine();
        importing.store(true, Ordering::SeqCst);
        match scene.store.import_bars(bar_runs(&runs), Vec::new(), OnConflict::Replace) {
            Ok(receipt) => assert!(receipt.segments > 0),
            Err(CommitError::Contended(_)) => contended += 1,
            Err(error) => panic!("{error}"),
        }
        scene.finish();
    }
    println!("{contended} of {all} imports gave up");
}

#[test]
fn an_import_whose_series_is_written_meanwhile_is_prepared_again() {
    for on_conflict in [OnConflict::Replace, OnConflict::Keep, OnConflict::Refuse] {
        let scene = Scene::new(40, 72);
        scene.put_days(0..3, 0);
        let runs = bulk(&scene.market, 0);
        let names = scene.market.instruments.clone();
        let attempts = Arc::new(AtomicU64::new(0));
        let counter = attempts.clone();
        scene.on_step(move |store, model, clock, _, name| {
            if name == "before the commit" && counter.fetch_add(1, Ordering::SeqCst) == 0 {
                commit(store, model, clock, Batch::of(delete(SeriesKey::daily(names[3]), 0..2)));
                commit(store, model, clock, Batch::of(put(SeriesKey::daily(names[4]), &[1, 7], 2)));
            }
            false
        });
        let found = scene.store.import_bars(bar_runs(&runs), Vec::new(), on_conflict);
        let expected = scene.model.lock().unwrap().import(&runs, on_conflict, turn(&scene.clock, 0));
        match (found, expected) {
            (Ok(found), Ok(counts)) => {
                assert_eq!([found.inserted, found.replaced, found.kept, found.unchanged], counts);
                assert_eq!(found.lsn, scene.model.lock().unwrap().lsn);
                assert_eq!(attempts.load(Ordering::SeqCst), 2, "it is prepared twice");
            }
            (Err(CommitError::Conflict { bars: 2, series: 1, .. }), Err(_))
                if on_conflict == OnConflict::Refuse => {}
            (found, expected) => panic!("{on_conflict:?}: {found:?} and not {expected:?}"),
        }
        scene.finish();
    }
}

/// An import that finds its series changed whenever it wants to commit.
fn contended() -> Scene {
    let scene = Scene::new(40, 72);
    let name = scene.market.instruments[0];
    let mut days = 0;
    scene.on_step(move |store, model, clock, _, step| {
        if step == "before the commit" {
            days += 1;
            commit(store, model, clock, Batch::of(put(SeriesKey::daily(name), &[days], 2)));
        }
        false
    });
    let runs = bulk(&scene.market, 0);
    let refused = scene.store.import_bars(bar_runs(&runs), Vec::new(), OnConflict::Replace).unwrap_err();
    assert!(matches!(refused, CommitError::Contended(_)), "{refused}");
    scene.store.on_step(|_, _| false);
    scene
}

#[test]
fn an_import_that_gives_up_changes_nothing() {
    contended().finish();
}

#[test]
fn an_import_that_gives_up_leaves_no_files() {
    let scene = contended();
    let live = live_files(&scene.store, &scene.market.kinds).unwrap();
    assert_eq!(segments_below(scene.dir.path()).unwrap(), live);
    scene.finish();
}

/// A store on a disk whose syncs a test can hold, so that commits pile up behind one.
fn held(disk: &Disk) -> Scene {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let store = Store::on_backend(disk.clone(), dir.path(), options(&clock)).unwrap();
    let scene = Scene::over(dir, clock, store, 40, 72);
    scene.put_days(0..3, 0);
    scene
}

fn some_key(scene: &Scene) -> PositionKey {
    PositionKey::main(scene.market.accounts[0].clone(), scene.market.instruments[0])
}

#[test]
fn an_import_in_one_group_with_a_batch_of_its_series_counts_every_bar_once() {
    let disk = Disk::new();
    let scene = held(&disk);
    let runs = bulk(&scene.market, 0);
    let series = SeriesKey::daily(scene.market.instruments[4]);
    let written = Batch::of(put(series, &[1, 200], 2))
        .with(delete(SeriesKey::daily(scene.market.instruments[9]), 0..2));
    let (ready, is_ready) = channel();
    let (go, may_go) = channel::<()>();
    let mut attempts = 0;
    scene.store.on_step(move |_, name| {
        attempts += 1;
        if name == "before the commit" && attempts < 12 {
            ready.send(()).unwrap();
            may_go.recv().unwrap();
        }
        false
    });
    let store = &scene.store;
    let (imported, batch) = std::thread::scope(|scope| {
        let import = scope.spawn(|| store.import_bars(bar_runs(&runs), Vec::new(), OnConflict::Replace));
        is_ready.recv().unwrap();
        disk.hold();
        let first = scope
            .spawn(|| store.commit(Batch::of(Operation::SetHeldDays { key: some_key(&scene), days: 1 })));
        disk.wait_for_sync();
        let second = scope.spawn(|| store.commit(written.clone()));
        std::thread::sleep(SOON);
        go.send(()).unwrap();
        std::thread::sleep(SOON);
        disk.release();
        first.join().unwrap().unwrap();
        (import.join().unwrap().unwrap(), second.join().unwrap().unwrap())
    });
    let now = turn(&scene.clock, 0);
    {
        let mut model = scene.model.lock().unwrap();
        model.apply(&Batch::of(Operation::SetHeldDays { key: some_key(&scene), days: 1 }), now).unwrap();
        assert!(batch.lsn < imported.lsn, "{batch:?} {imported:?}");
        model.apply(&written, now).unwrap();
        model.import(&runs, OnConflict::Replace, now).unwrap();
    }
    scene.examine();
}

#[test]
fn two_imports_of_the_same_file_at_once_count_every_bar_once() {
    let disk = Disk::new();
    let scene = held(&disk);
    let runs = bulk(&scene.market, 0);
    let store = &scene.store;
    let (ready, is_ready) = channel();
    let receipts: Vec<_> = std::thread::scope(|scope| {
        let import = || store.import_bars(bar_runs(&runs), Vec::new(), OnConflict::Replace);
        scene.store.on_step(move |_, name| {
            if name == "before the commit" {
                // Nobody listens when an import is prepared again.
                ready.send(()).ok();
            }
            false
        });
        disk.hold();
        let first = scope
            .spawn(|| store.commit(Batch::of(Operation::SetHeldDays { key: some_key(&scene), days: 1 })));
        disk.wait_for_sync();
        let imports = [scope.spawn(import), scope.spawn(import)];
        // The hook is away while it is called, so a second step may pass without it.
        is_ready.recv().unwrap();
        std::thread::sleep(SOON * 8);
        disk.release();
        first.join().unwrap().unwrap();
        imports.map(|thread| thread.join().unwrap().unwrap()).into()
    });
    let inserted: u64 = receipts.iter().map(|receipt| receipt.inserted).sum();
    let now = turn(&scene.clock, 0);
    {
        let mut model = scene.model.lock().unwrap();
        model.apply(&Batch::of(Operation::SetHeldDays { key: some_key(&scene), days: 1 }), now).unwrap();
        let counts = model.import(&runs, OnConflict::Replace, now).unwrap();
        assert_eq!(inserted, counts[0], "{receipts:?}");
    }
    scene.examine();
}

#[test]
fn two_seals_at_once_move_every_bar_once() {
    let scene = Scene::new(40, 72);
    scene.put_days(0..6, 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| scene.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap());
        }
    });
    assert_eq!(scene.store.stats().unwrap().hot_bars, 0);
    scene.finish();
}

#[test]
fn of_many_callers_exactly_one_counts_a_trading_day() {
    let scene = Scene::new(40, 24);
    let (account, book) = (scene.market.accounts[0].clone(), BookId::main());
    let key = some_key(&scene);
    scene.commit(Batch::of(Operation::SetHeldDays { key: key.clone(), days: 0 }));
    let days: Vec<_> =
        (0..12).map(Market::day).filter(|day| scene.model.lock().unwrap().calendar.is_open(*day)).collect();
    for day in &days {
        let increment = Operation::IncrementHeldDays {
            account: account.clone(),
            book: book.clone(),
            day: Some(*day),
            catch_up: false,
        };
        let done = std::thread::scope(|scope| {
            let call = || scene.store.commit(Batch::of(increment.clone())).unwrap();
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(call)).collect();
            let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Increment(one) if one.done);
            threads
                .into_iter()
                .filter(|_| true)
                .map(|thread| thread.join().unwrap())
                .filter(|r| is_done(&r.outcomes[0]))
                .count()
        });
        assert_eq!(done, 1, "{day}");
        scene.model.lock().unwrap().apply(&Batch::of(increment), turn(&scene.clock, 0)).unwrap();
    }
    let position = scene.store.position(&key).unwrap().unwrap();
    assert_eq!(position.held_days, u32::try_from(days.len()).ok());
    scene.finish();
}

#[test]
fn relaxed_extremes_of_many_threads_are_all_taken_in() {
    let seed = seed("relaxed_extremes_of_many_threads_are_all_taken_in");
    let scene = Scene::new(40, 6);
    let (account, book) = (scene.market.accounts[0].clone(), BookId::main());
    for instrument in &scene.market.instruments {
        let key = PositionKey::main(account.clone(), *instrument);
        scene.commit(Batch::of(Operation::SetHeldDays { key, days: 0 }));
    }
    let (store, market, each) = (&scene.store, &scene.market, rounds(400, 20_000));
    let ends: Vec<(f64, f64)> = std::thread::scope(|scope| {
        let committer = scope.spawn(|| {
            for days in 1..60 {
                for instrument in &market.instruments {
                    let key = PositionKey::main(account.clone(), *instrument);
                    store.commit(Batch::of(Operation::SetHeldDays { key, days })).unwrap();
                }
            }
        });
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (account, book, mut rng) = (&account, &book, Rng::new(seed + thread));
                scope.spawn(move || {
                    let mut ends = vec![(f64::MIN, f64::MAX); market.instruments.len()];
                    for _ in 0..each {
                        let place = rng.below(market.instruments.len());
                        let (high, low) = (rng.within(1_000, 9_000) as f64, rng.within(1, 999) as f64);
                        let update = ExtremeUpdate { instrument: market.instruments[place], high, low };
                        store.update_extremes(account, book, &[update]).unwrap();
                        ends[place] = (ends[place].0.max(high), ends[place].1.min(low));
                        // Whatever others do meanwhile, what this thread has told is shown at once.
                        let key = PositionKey::main(account.clone(), market.instruments[place]);
                        let shown = store.position(&key).unwrap().unwrap();
                        assert!(
                            shown.highest >= Some(ends[place].0) && shown.lowest <= Some(ends[place].1),
                            "{shown:?}"
                        );
                    }
                    ends
                })
            })
            .collect();
        committer.join().unwrap();
        let all: Vec<Vec<(f64, f64)>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let widest = |place: usize| {
            all.iter().map(|ends| ends[place]).fold((f64::MIN, f64::MAX), |a, b| (a.0.max(b.0), a.1.min(b.1)))
        };
        (0..market.instruments.len()).map(widest).collect()
    });
    let Scene { dir, clock, store, market, .. } = scene;
    Arc::into_inner(store).unwrap().close().unwrap();
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    for (instrument, (high, low)) in market.instruments.iter().zip(ends) {
        let position = store.position(&PositionKey::main(account.clone(), *instrument)).unwrap().unwrap();
        assert_eq!((position.highest, position.lowest), (Some(high), Some(low)), "{instrument}");
    }
    drop(store);
    verify(dir.path(), options(&clock)).unwrap();
}

#[test]
fn every_reader_sees_one_commit_while_others_write_and_seal() {
    let scene = Scene::new(400, 20);
    let (commits, done) = (rounds(150, 2_000), AtomicBool::new(false));
    let (store, market) = (&scene.store, &scene.market);
    let key = some_key(&scene);
    let bar = |series: &SeriesKey, number: usize| Bar {
        close: number as f64,
        ..Market::bar(series, Market::moment(series.interval, number, 0), 0)
    };
    let looks = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (done, key) = (&done, &key);
                scope.spawn(move || {
                    let mut looks = 0_usize;
                    while !done.load(Ordering::SeqCst) {
                        let snapshot = store.snapshot().unwrap();
                        let days =
                            snapshot.position(key).unwrap().map_or(0, |p| p.held_days.unwrap() as usize);
                        assert_eq!(snapshot.lsn(), Lsn(days as u64));
                        for name in market.instruments.iter().skip(reader).step_by(3) {
                            let series = SeriesKey::daily(*name);
                            let last = snapshot.last_bars(&series, 3).unwrap();
                            let expected: Vec<f64> =
                                (1..=days).skip(days.saturating_sub(3)).map(|n| n as f64).collect();
                            let found: Vec<f64> = last.iter().map(|bar| bar.close).collect();
                            assert_eq!(found, expected, "{series} at LSN {days}");
                            assert_eq!(snapshot.series(&series).unwrap().map_or(0, |s| s.count), days as u64);
                        }
                        let section = snapshot.cross_section(
                            Interval::DAY,
                            AdjustmentTag::Raw,
                            Market::day(days).label(),
                        );
                        assert_eq!(section.unwrap().len(), if days == 0 { 0 } else { 20 });
                        looks += 1;
                    }
                    looks
                })
            })
            .collect();
        let sealer = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        for number in 1..=commits.min(390) {
            let mut batch =
                Batch::of(Operation::SetHeldDays { key: key.clone(), days: u32::try_from(number).unwrap() });
            if number % 2 == 0 {
                for name in &market.instruments {
                    let series = SeriesKey::daily(*name);
                    let run = BarRun::new(series, vec![bar(&series, number)]).unwrap();
                    batch = batch.with(Operation::PutBars { run, on_conflict: OnConflict::Refuse });
                }
            } else {
                let bars = market
                    .instruments
                    .iter()
                    .map(|name| (*name, bar(&SeriesKey::daily(*name), number)))
                    .collect();
                let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
                batch = batch.with(Operation::PutCrossSection {
                    interval,
                    adjustment,
                    bars,
                    on_conflict: OnConflict::Refuse,
                });
            }
            scene.commit(batch);
        }
        done.store(true, Ordering::SeqCst);
        sealer.join().unwrap();
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>()
    });
    println!("{looks} looks");
    scene.finish();
}

#[test]
fn a_seal_holds_the_writer_for_a_bounded_part_of_its_rows_a_commit() {
    /// Values that one commit may remove, and the rows of the largest value.
    const VALUES: u64 = 1_024;
    const CHUNK: u64 = 64;
    let scene = Scene::new(400, 72);
    // More values than one commit removes: chunks of slabs, and rows of the delta alone.
    scene.put_days(0..160, 0);
    for instrument in 0..10 {
        let series = SeriesKey::daily(scene.market.instruments[instrument]);
        scene.commit(Batch::of(put(series, &(160..400).collect::<Vec<_>>(), 0)));
    }
    let (sender, counted) = channel();
    let mut corrected = 0;
    scene.on_step(move |store, model, clock, _, step| {
        if step == "before a removal" || step == "after a removal" {
            sender.send((step, store.stats().unwrap().hot_bars)).unwrap();
        }
        if step == "after a removal" && corrected < 5 {
            // What is written between two removals stays, and is sealed by the next seal.
            corrected += 1;
            let series = SeriesKey::daily(model.lock().unwrap().bars.keys().next().unwrap().instrument);
            commit(store, model, clock, Batch::of(put(series, &[3, 399], corrected)));
        }
        false
    });
    let report = scene.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    let counts: Vec<(&str, u64)> = counted.try_iter().collect();
    let gone: Vec<u64> = counts.chunks(2).map(|pair| pair[0].1 - pair[1].1).collect();
    println!("{report:?}, rows that went a commit: {gone:?}");
    assert!(gone.len() > 2, "{gone:?}");
    assert!(gone.iter().all(|rows| *rows <= VALUES * CHUNK), "{gone:?}");
    // The rows of the delta are a value each.
    assert!(gone.iter().any(|rows| *rows > 0 && *rows <= VALUES), "{gone:?}");
    assert_eq!(gone.iter().sum::<u64>(), report.rows);
    scene.store.on_step(|_, _| false);
    scene.examine();
    scene.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    assert_eq!(scene.store.stats().unwrap().hot_bars, 0);
    scene.finish();
}

#[test]
fn a_seal_that_is_cut_off_between_its_removals_is_taken_up_without_writing_again() {
    let scene = Scene::new(400, 72);
    scene.put_days(0..40, 0);
    let before = scene.store.stats().unwrap().hot_bars;
    scene.on_step(|_, _, _, _, step| step == "before a removal");
    scene.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap_err();
    scene.examine();
    let segments = scene.store.stats().unwrap().segments;
    assert_eq!((segments, scene.store.stats().unwrap().hot_bars), (2, before));
    scene.store.on_step(|_, _| false);
    let report = scene.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    assert_eq!((report.rows, report.segments), (before, 0));
    assert_eq!((scene.store.stats().unwrap().segments, scene.store.stats().unwrap().hot_bars), (segments, 0));
    scene.finish();
}
