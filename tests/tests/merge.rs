//! Merging, undoing and the trash: cut off at every step, raced by batches at every step, broken on
//! purpose. No row is lost, and no reader sees a difference.

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
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barkeeper::{
    Axis, CompactOptions, Dataset, MaintenanceBudget, MaintenanceError, MaintenanceOptions, MergeOptions,
    MergeReport, Sabotage, SealOptions, Store, StoreOptions,
};
use barkeeper_records::{
    AdjustmentTag, BarRun, Batch, FixedClock, Interval, OnConflict, Operation, SeriesKey,
};
use barkeeper_tests::disk::Survival;
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{
    clock, copy, files_below, live_files, options, scratch, segments_below, turn, verify,
};
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, same_answer};
use barkeeper_tests::recovered::agrees;
use barkeeper_tests::rng::Rng;
use barkeeper_tests::scene::{Scene, Template, lose_unforced};
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::streams;
use barkeeper_tests::workload::Workload;

const DAY_MS: i64 = 86_400_000;
const WHOLE: MergeOptions = MergeOptions { interval: None, whole: true };

/// What is done to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Merge,
    Undo,
    EmptyTrash,
    Maintain,
}

impl Work {
    fn run(self, store: &Store) -> Result<(), MaintenanceError> {
        match self {
            Self::Merge => store.merge(&WHOLE, &mut |_, _| {}).map(drop),
            Self::Undo => store.undo(false).map(drop),
            Self::EmptyTrash => store.empty_trash(true).map(drop),
            Self::Maintain => store.maintain(MaintenanceBudget::default()).map(drop),
        }
    }
}

/// Each kind of work with what is done before it.
const ALL: [(&[Work], Work); 4] = [
    (&[], Work::Merge),
    (&[Work::Merge], Work::Undo),
    (&[Work::Merge], Work::EmptyTrash),
    (&[], Work::Maintain),
];

fn market() -> Market {
    let kinds = vec![(Interval::DAY, AdjustmentTag::Raw), (Interval::MINUTE, AdjustmentTag::Raw)];
    Market { days: 30, kinds, ..Market::new(20) }
}

/// Options with which everything hot is sealed by maintenance.
fn eager(clock: &Arc<FixedClock>) -> StoreOptions {
    let maintenance = MaintenanceOptions { hot_bytes: 1, ..MaintenanceOptions::default() };
    StoreOptions { maintenance, ..options(clock) }
}

/// Seals again and again what corrects and removes what was sealed before, so that segments overlap.
fn fill(store: &Store, clock: &FixedClock, seed: u64) -> Model {
    let mut workload = Workload::new(market(), seed);
    let mut model = Model::default();
    store.feed().register_target("replica").unwrap();
    for part in 0..6 {
        let put = |model: &mut Model, batch: Batch| {
            let expected = model.apply(&batch, turn(clock, 3));
            same_answer(&store.commit(batch), &expected).unwrap();
        };
        for (interval, adjustment) in market().kinds {
            let bars = workload.section(interval, adjustment, part, 0, 20);
            let all =
                Operation::PutCrossSection { interval, adjustment, bars, on_conflict: OnConflict::Replace };
            put(&mut model, Batch::of(all));
        }
        for operation in streams::section(&market(), part) {
            put(&mut model, Batch::of(operation));
        }
        for _ in 0..8 {
            let batch = workload.batch(&model);
            put(&mut model, batch);
        }
        // Of what was sealed before, something is removed for sure.
        let series = SeriesKey::daily(market().instruments[part]);
        let (from, to) = (Market::day(0).label(), Market::day(part).label());
        put(&mut model, Batch::of(Operation::DeleteBars { series, from, to }));
        if part < 5 {
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
    }
    model
}

fn filled(seed: u64) -> Template {
    Template::new(eager, |store, clock| fill(store, clock, seed))
}

/// A scene behind some work.
fn behind(template: &Template, before: &[Work]) -> Scene {
    let scene = template.scene();
    for work in before {
        work.run(&scene.store).unwrap();
    }
    scene
}

fn examine(scene: &Scene) -> Result<(), String> {
    agrees(&scene.store, &scene.model)
}

/// Opens what a cut left and holds all of it against the model.
fn recovered(image: Vec<u8>, dir: &Path, clock: &Arc<FixedClock>, model: &Model) -> Result<Store, String> {
    let opened = barkeeper_tests::recovered::recovered(image, dir, eager(clock), &market().kinds, &[model]);
    opened.map(|(store, _)| store)
}

#[test]
fn a_power_cut_at_every_step_of_maintenance_loses_nothing() {
    let seed = seed("a_power_cut_at_every_step_of_maintenance_loses_nothing");
    let mut rng = Rng::new(seed);
    let mut cuts = 0;
    for round in 0..rounds(1, 20) as u64 {
        let template = filled(seed + round);
        for (before, what) in ALL {
            let scene = behind(&template, before);
            let steps = scene.run(None, |store| what.run(store));
            examine(&scene).unwrap();
            assert!(steps.len() > 2, "{what:?}: {steps:?}");
            // Long runs cut at every step, short ones at some forty of each kind of work, others with every seed.
            let stride = steps.len().div_ceil(rounds(40, 1_000_000));
            let first = rng.below(stride);
            for (number, (name, _)) in steps.iter().enumerate().skip(first).step_by(stride) {
                let scene = behind(&template, before);
                let requests = scene.run(Some(number), |store| what.run(store))[number].1;
                let place = format!("{what:?} cut at step {number}, {name}");
                // A process that lives on after the error goes on as well.
                examine(&scene).unwrap_or_else(|error| panic!("{place}, without a cut: {error}"));
                let Scene { dir, clock, disk, store, model } = scene;
                drop(store);
                lose_unforced(dir.path(), name, &mut rng).unwrap();
                let image = disk.trace().image(requests, Survival::Random, &mut rng);
                let store = recovered(image, dir.path(), &clock, &model)
                    .map_err(|error| format!("{place}: {error}"))
                    .unwrap();
                again(&store, what, &model, &place);
                cuts += 1;
            }
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 60, "{cuts} cuts");
}

/// Works again after a cut; an undo that is done already is refused.
fn again(store: &Store, what: Work, model: &Model, place: &str) {
    match what.run(store) {
        Err(MaintenanceError::NotUndone { .. }) if what == Work::Undo => {}
        done => done.unwrap_or_else(|error| panic!("{place}, again: {error}")),
    }
    agrees(store, model).unwrap_or_else(|error| panic!("{place}, again: {error}"));
}

#[test]
fn a_power_cut_at_every_write_of_a_swap_loses_nothing() {
    let seed = seed("a_power_cut_at_every_write_of_a_swap_loses_nothing");
    let mut rng = Rng::new(seed);
    let template = filled(seed);
    let mut images = 0;
    for (before, what) in ALL {
        let scene = behind(&template, before);
        let begin = scene.disk.requests();
        scene.run(None, |store| what.run(store));
        let Scene { dir, clock, disk, store, model } = scene;
        drop(store);
        let (trace, end) = (disk.trace(), disk.requests());
        if what == Work::EmptyTrash {
            // Its files are deleted only behind the commit, so a cut inside of it leaves them in the trash.
            continue;
        }
        for _ in 0..rounds(25, 400) {
            let copied = scratch();
            copy(dir.path(), copied.path()).unwrap();
            let cut = rng.within(begin, end);
            let survival = *rng.pick(&[Survival::Random, Survival::Random, Survival::Nothing, Survival::All]);
            let place = format!("{what:?} cut after request {cut}, {survival:?}");
            recovered(trace.image(cut, survival, &mut rng), copied.path(), &clock, &model)
                .map_err(|error| format!("{place}: {error}"))
                .unwrap();
            images += 1;
        }
    }
    println!("{images} images");
}

#[test]
fn a_disk_that_fails_anywhere_in_maintenance_loses_nothing() {
    let seed = seed("a_disk_that_fails_anywhere_in_maintenance_loses_nothing");
    let mut rng = Rng::new(seed);
    let template = filled(seed);
    let mut failures = 0;
    for (before, what) in ALL {
        for round in 0..rounds(8, 100) {
            let scene = behind(&template, before);
            let first = scene.disk.requests();
            scene.disk.fail_at(first + rng.within(0, 60), round % 2 == 0);
            failures += usize::from(what.run(&scene.store).is_err());
            let Scene { dir, clock, disk, store, model } = scene;
            drop(store);
            let store = recovered(disk.bytes(), dir.path(), &clock, &model)
                .map_err(|error| format!("{what:?}, SEED={seed}: {error}"))
                .unwrap();
            again(&store, what, &model, "after a failing disk");
        }
    }
    println!("{failures} times it failed");
    assert!(failures > 0);
}

/// A batch or a correction at every single step of a merge and of an undo.
#[test]
fn what_is_written_at_any_step_of_a_merge_or_an_undo_is_there() {
    let seed = seed("what_is_written_at_any_step_of_a_merge_or_an_undo_is_there");
    let template = filled(seed);
    for (before, what) in ALL {
        for step_by in 0..rounds(3, 40) {
            let Scene { dir, clock, disk, store, model } = behind(&template, before);
            let (store, model) = (Arc::new(store), Arc::new(Mutex::new(model)));
            let mut workload = Workload::new(market(), seed + step_by as u64);
            let (weak, at, shared) = (Arc::downgrade(&store), clock.clone(), model.clone());
            store.on_step(move |number, _| {
                let Some(store) = weak.upgrade() else { return false };
                if number % (step_by + 1) == 0 {
                    let mut model = shared.lock().unwrap();
                    let series = SeriesKey::daily(market().instruments[number % 20]);
                    let bar = Market::bar(&series, Market::moment(Interval::DAY, number % 6, 0), number % 3);
                    let run = BarRun::new(series, vec![bar]).unwrap();
                    let put = Operation::PutBars { run, on_conflict: OnConflict::Replace };
                    for batch in [workload.batch(&model), Batch::of(put)] {
                        let expected = model.apply(&batch, turn(&at, 2));
                        same_answer(&store.commit(batch), &expected).unwrap();
                    }
                }
                false
            });
            what.run(&store).unwrap();
            store.on_step(|_, _| false);
            agrees(&store, &model.lock().unwrap()).map_err(|error| format!("{what:?}: {error}")).unwrap();
            drop(Arc::into_inner(store).unwrap());
            fs::write(dir.path().join("store.redb"), disk.bytes()).unwrap();
            verify(dir.path(), options(&clock)).map_err(|error| format!("{what:?}: {error}")).unwrap();
        }
    }
}

#[test]
fn a_snapshot_reads_the_files_of_its_time_whatever_is_merged_meanwhile() {
    let template = filled(7);
    let scene = behind(&template, &[]);
    let held = scene.store.snapshot().unwrap();
    let (before, kinds) = (live_files(&scene.store, &market().kinds).unwrap(), market().kinds);
    let first = scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap();
    assert!(first.len() > 1 && first.iter().any(|one| one.superseded > 0 && one.removed > 0), "{first:?}");
    for dataset in [Dataset::Ticks, Dataset::MarketTrades] {
        let merged =
            |one: &MergeReport| one.merged.dataset == dataset && one.superseded > 0 && one.removed > 0;
        assert!(first.iter().any(merged), "{dataset}: {first:?}");
    }
    let after = live_files(&scene.store, &kinds).unwrap();
    let files: Vec<_> = before.iter().filter(|file| !after.contains(file)).collect();
    let trash = scene.store.empty_trash(true).unwrap();
    assert_eq!((trash.deleted, trash.held), (0, files.len() as u64), "{trash:?}");
    assert!(files.iter().all(|file| file.exists()));
    Examination::of(&scene.model, &held, Depth::Paths).perfect().unwrap();
    assert_eq!(scene.store.trash().unwrap().len(), files.len());
    drop(held);
    let trash = scene.store.empty_trash(true).unwrap();
    assert_eq!((trash.moved, trash.deleted, trash.held), (files.len() as u64, files.len() as u64, 0));
    assert!(scene.store.trash().unwrap().is_empty() && !files.iter().any(|file| file.exists()));
    assert!(files_below(&scene.dir.path().join("trash")).unwrap().is_empty());
    let refused = scene.store.undo(false).unwrap_err();
    assert!(matches!(refused, MaintenanceError::NotUndone { .. }), "{refused}");
    assert!(after.len() < before.len());
    examine(&scene).unwrap();
}

#[test]
fn a_merge_is_undone_until_its_time_is_over_or_a_later_one_depends_on_it() {
    let template = filled(11);
    let scene = behind(&template, &[]);
    let kinds = market().kinds;
    let before = live_files(&scene.store, &kinds).unwrap();
    let merges = scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap();
    let told = scene.store.undo(true).unwrap();
    assert_ne!(live_files(&scene.store, &kinds).unwrap(), before);
    for number in 0..merges.len() {
        let report = scene.store.undo(false).unwrap();
        assert!(number > 0 || report == told, "{report:?} {told:?}");
        examine(&scene).unwrap();
    }
    assert_eq!(live_files(&scene.store, &kinds).unwrap(), before);
    let refused = scene.store.undo(false).unwrap_err();
    assert!(refused.to_string().contains("no merge"), "{refused}");
    // By itself maintenance does not do again what a person has undone; by request it is done.
    scene.store.maintain(MaintenanceBudget::default()).unwrap();
    scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap();
    turn(&scene.clock, 6 * DAY_MS);
    scene.store.undo(false).unwrap();
    turn(&scene.clock, 2 * DAY_MS);
    let refused = scene.store.undo(false).unwrap_err();
    assert!(refused.to_string().contains("over"), "{refused}");
    scene.store.maintain(MaintenanceBudget::default()).unwrap();
    examine(&scene).unwrap();
    turn(&scene.clock, 8 * DAY_MS);
    scene.store.maintain(MaintenanceBudget::default()).unwrap();
    assert!(scene.store.trash().unwrap().is_empty(), "{:?}", scene.store.trash());
    examine(&scene).unwrap();
}

#[test]
fn a_file_whose_way_back_was_lost_is_put_in_place_and_a_damaged_one_is_not_undone() {
    let template = filled(13);
    let Scene { dir, clock, disk, store, model } = behind(&template, &[Work::Merge, Work::Undo]);
    let live = live_files(&store, &market().kinds).unwrap();
    drop(store);
    for file in &live {
        fs::rename(file, dir.path().join("trash").join(file.file_name().unwrap())).unwrap();
    }
    drop(recovered(disk.bytes(), dir.path(), &clock, &model).unwrap());
    let scene = behind(&template, &[Work::Merge]);
    for file in files_below(&scene.dir.path().join("trash")).unwrap() {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    let refused = scene.store.undo(false).unwrap_err();
    assert!(
        matches!(&refused, MaintenanceError::NotUndone { detail } if detail.contains("damaged")),
        "{refused}"
    );
    examine(&scene).unwrap();
}

#[test]
fn a_merge_that_writes_something_else_is_found_out_and_changes_nothing() {
    let template = filled(17);
    let scene = behind(&template, &[]);
    let before = (live_files(&scene.store, &market().kinds).unwrap(), scene.store.stats().unwrap().lsn);
    scene.store.sabotage(&[Sabotage::LoseARow]);
    let found = scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap_err();
    assert!(matches!(found, MaintenanceError::Unlike { .. }), "{found}");
    scene.store.sabotage(&[]);
    // A bit that turns over between the writing and the reading is found by its checksum.
    let folder = scene.dir.path().to_owned();
    let live = before.0.clone();
    scene.store.on_step(move |_, name| {
        if name == "moved" {
            let new = segments_below(&folder).unwrap().into_iter().find(|file| !live.contains(file)).unwrap();
            let mut bytes = fs::read(&new).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&new, bytes).unwrap();
        }
        false
    });
    let found = scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap_err();
    assert!(matches!(found, MaintenanceError::Segment(_)), "{found}");
    scene.store.on_step(|_, _| false);
    let after = (live_files(&scene.store, &market().kinds).unwrap(), scene.store.stats().unwrap().lsn);
    assert_eq!(before, after);
    assert_eq!(segments_below(scene.dir.path()).unwrap(), before.0, "nothing is left over");
    examine(&scene).unwrap();
    scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap();
    examine(&scene).unwrap();
}

#[test]
fn a_damaged_input_stops_a_merge_and_leaves_nothing_behind() {
    let template = filled(29);
    let scene = behind(&template, &[]);
    let live = live_files(&scene.store, &market().kinds).unwrap();
    for file in &live {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }
    let found = scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap_err();
    assert!(matches!(found, MaintenanceError::Segment(_) | MaintenanceError::Read(_)), "{found}");
    assert_eq!(live_files(&scene.store, &market().kinds).unwrap(), live);
    assert_eq!(segments_below(scene.dir.path()).unwrap(), live);
    assert!(files_below(&scene.dir.path().join("staging")).unwrap().is_empty());
}

/// The tests above must fail where merging is broken; else they prove nothing.
#[test]
fn a_broken_merge_is_seen_by_these_tests() {
    let template = filled(19);
    let scene = behind(&template, &[]);
    scene.store.sabotage(&[Sabotage::LoseARow, Sabotage::TrustTheOutput]);
    scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap();
    let error = examine(&scene).expect_err("rows are missing and nobody sees it");
    println!("without the comparison: {error}");
    let scene = behind(&template, &[]);
    scene.store.sabotage(&[Sabotage::DeleteBeforeTheCommit]);
    let steps = Arc::new(Mutex::new(0));
    let requests = steps.clone();
    let disk = scene.disk.clone();
    scene.store.on_step(move |_, name| {
        *requests.lock().unwrap() = disk.requests();
        name == "before the commit"
    });
    scene.store.merge(&WHOLE, &mut |_, _| {}).unwrap_err();
    let Scene { dir, clock, disk, store, model } = scene;
    drop(store);
    let image = disk.trace().image(*steps.lock().unwrap(), Survival::Random, &mut Rng::new(1));
    let error = recovered(image, dir.path(), &clock, &model).expect_err("files are gone and nobody sees it");
    println!("deleted before the commit: {error}");
}

#[test]
fn segments_that_pile_up_are_merged_by_the_stores_own_maintenance() {
    let (dir, clock) = (scratch(), clock());
    let store = Store::create(dir.path(), eager(&clock)).unwrap();
    let mut model = Model::default();
    let market = market();
    let mut merges = 0;
    for variant in 0..20 {
        for instrument in &market.instruments {
            let series = SeriesKey::daily(*instrument);
            let bars =
                (0..20).map(|day| Market::bar(&series, Market::moment(Interval::DAY, day, 0), variant % 3));
            let run = BarRun::new(series, bars.collect()).unwrap();
            let batch = Batch::of(Operation::PutBars { run, on_conflict: OnConflict::Replace });
            model.apply(&batch, turn(&clock, 2)).unwrap();
            store.commit(batch).unwrap();
        }
        let report = store.maintain(MaintenanceBudget::default()).unwrap();
        assert!(report.sealed.rows > 0 && !report.more, "{report:?}");
        merges += report.merges.len();
        assert!(store.stats().unwrap().segments <= 8, "four on each axis");
    }
    assert!(merges > 3, "{merges}");
    agrees(&store, &model).unwrap();
    // What merging left behind is counted, and given back on request.
    let space = store.space().unwrap();
    assert!(space.superseded_rows > 0 && space.trash_bytes > 0, "{space:?}");
    drop(store);
    let what = CompactOptions { merge: true, empty_trash: true };
    let done = Store::compact(dir.path(), options(&clock), &what, &mut |_, _| {}).unwrap();
    assert!(done.after.database_bytes < done.before.database_bytes, "{done:?}");
    assert_eq!(
        (done.after.superseded_rows, done.after.trash_bytes, done.after.trash_files),
        (0, 0, 0),
        "{done:?}"
    );
    verify(dir.path(), options(&clock)).unwrap();
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    assert_eq!(store.stats().unwrap().segments, 2);
    agrees(&store, &model).unwrap();
}

#[test]
fn dead_rows_of_streams_are_counted_and_given_back() {
    let (dir, clock) = (scratch(), clock());
    let store = Store::create(dir.path(), eager(&clock)).unwrap();
    let mut model = Model::default();
    for part in 0..4 {
        for operation in streams::section(&market(), part) {
            let batch = Batch::of(operation);
            model.apply(&batch, turn(&clock, 2)).unwrap();
            store.commit(batch).unwrap();
        }
        // The store's own maintenance takes them as it takes bars.
        let sealed = store.maintain(MaintenanceBudget::default()).unwrap().sealed;
        assert_eq!((sealed.segments, sealed.stayed), (2, 0), "{sealed:?}");
    }
    let rows = |store: &Store, dataset| store.files(dataset, Axis::Instrument).unwrap().rows;
    let live = (model.streams.ticks.len() + model.streams.market_trades.len()) as u64;
    let space = store.space().unwrap();
    let sealed = rows(&store, Dataset::Ticks) + rows(&store, Dataset::MarketTrades);
    assert_eq!(space.superseded_rows, sealed - live);
    assert!(space.superseded_rows > live, "{space:?}");
    assert!((space.segment_bytes / 4..space.segment_bytes).contains(&space.superseded_bytes), "{space:?}");
    drop(store);
    let what = CompactOptions { merge: true, empty_trash: true };
    let done = Store::compact(dir.path(), options(&clock), &what, &mut |_, _| {}).unwrap();
    assert_eq!(
        (done.merges.len(), done.after.superseded_rows, done.after.trash_files),
        (2, 0, 0),
        "{done:?}"
    );
    assert!(done.after.segment_bytes < done.before.segment_bytes, "{done:?}");
    verify(dir.path(), options(&clock)).unwrap();
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    assert_eq!(rows(&store, Dataset::Ticks), model.streams.ticks.len() as u64);
    agrees(&store, &model).unwrap();
}

#[test]
fn a_range_tombstone_goes_when_its_rows_its_targets_and_180_days_are_gone() {
    let (dir, clock) = (scratch(), clock());
    let store = Store::create(dir.path(), eager(&clock)).unwrap();
    store.feed().register_target("replica").unwrap();
    let mut model = Model::default();
    let series = SeriesKey::daily(market().instruments[0]);
    let bars = (0..20).map(|day| Market::bar(&series, Market::moment(Interval::DAY, day, 0), 0)).collect();
    let run = BarRun::new(series, bars).unwrap();
    let (from, to) = (Market::day(5).label(), Market::day(9).label());
    let put = Operation::PutBars { run, on_conflict: OnConflict::Replace };
    for operation in [put, Operation::DeleteBars { series, from, to }] {
        if matches!(operation, Operation::DeleteBars { .. }) {
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
        let batch = Batch::of(operation);
        model.apply(&batch, turn(&clock, 2)).unwrap();
        store.commit(batch).unwrap();
    }
    let maintain = || store.maintain(MaintenanceBudget::default()).unwrap().tombstones;
    let count = || store.feed().range_tombstones(barkeeper_records::Lsn(0)).unwrap().len();
    turn(&clock, 181 * DAY_MS);
    store.feed().acknowledge("replica", model.lsn);
    assert_eq!((maintain(), count()), (0, 1), "its rows stand in a segment");
    // Another segment, so that there is something to merge; then the merge can be undone for a week.
    let more = Batch::of(Operation::PutBars {
        run: BarRun::new(series, vec![Market::bar(&series, Market::moment(Interval::DAY, 25, 0), 0)])
            .unwrap(),
        on_conflict: OnConflict::Replace,
    });
    model.apply(&more, turn(&clock, 2)).unwrap();
    store.commit(more).unwrap();
    store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    let merged = store.merge(&WHOLE, &mut |_, _| {}).unwrap();
    assert_eq!(merged.iter().map(|one| one.removed).sum::<u64>(), 4, "{merged:?}");
    turn(&clock, 2 * DAY_MS);
    assert_eq!((maintain(), count()), (0, 1), "an undo would bring its rows back");
    store.undo(false).unwrap();
    agrees(&store, &model).unwrap();
    store.merge(&WHOLE, &mut |_, _| {}).unwrap();
    turn(&clock, 8 * DAY_MS);
    maintain();
    turn(&clock, 2 * DAY_MS);
    store.feed().register_target("late").unwrap();
    assert_eq!((maintain(), count()), (0, 1), "a target has not passed it");
    store.feed().forget_target("late").unwrap();
    turn(&clock, 2 * DAY_MS);
    assert_eq!((maintain(), count()), (1, 0));
    agrees(&store, &model).unwrap();
    drop(store);
    verify(dir.path(), options(&clock)).unwrap();
}

#[test]
fn verify_names_files_that_the_store_knows_nothing_of() {
    let (dir, clock) = (scratch(), clock());
    drop(Store::create(dir.path(), options(&clock)).unwrap());
    fs::create_dir_all(dir.path().join("bars/1d")).unwrap();
    fs::write(dir.path().join("bars/1d/mine.parquet"), b"a person's own").unwrap();
    let report = Store::verify(dir.path(), options(&clock), &mut |_, _| {}).unwrap();
    let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
    assert!(finding.place.contains("mine.parquet") && !finding.damage, "{finding:?}");
}

#[test]
fn compaction_that_is_cut_off_or_fails_loses_nothing() {
    let seed = seed("compaction_that_is_cut_off_or_fails_loses_nothing");
    let mut rng = Rng::new(seed);
    let template = filled(seed);
    let what = CompactOptions::default();
    let Scene { dir, clock, disk, store, model } = behind(&template, &[Work::Merge]);
    let begin = disk.requests();
    let done = store.compact_here(&what).unwrap();
    println!("{} bytes before, {} after", done.before.database_bytes, done.after.database_bytes);
    let (trace, end) = (disk.trace(), disk.requests());
    assert!(disk.bytes().len() < template.bytes() && end > begin + 10);
    for _ in 0..rounds(60, 2_000) {
        let cut = rng.within(begin, end);
        let survival = *rng.pick(&[Survival::Random, Survival::Random, Survival::Nothing, Survival::All]);
        recovered(trace.image(cut, survival, &mut rng), dir.path(), &clock, &model)
            .map_err(|error| format!("cut after request {cut}, {survival:?}, SEED={seed}: {error}"))
            .unwrap();
    }
    let mut failures = 0;
    for round in 0..rounds(20, 300) {
        let Scene { dir, clock, disk, store, model } = behind(&template, &[Work::Merge]);
        disk.fail_at(disk.requests() + rng.within(0, end - begin), round % 2 == 0);
        failures += usize::from(store.compact_here(&what).is_err());
        recovered(disk.bytes(), dir.path(), &clock, &model)
            .map_err(|error| format!("a failing disk, SEED={seed}: {error}"))
            .unwrap();
    }
    assert!(failures > 3, "{failures}");
}

#[test]
fn readers_and_writers_go_on_while_everything_is_merged_undone_and_emptied() {
    let template = filled(23);
    let Scene { dir, clock, disk, store, model } = behind(&template, &[]);
    let (stop, stopped) = channel::<()>();
    let looks = std::thread::scope(|scope| {
        let (store, model) = (&store, &model);
        let reader = scope.spawn(move || {
            let mut looks = 0;
            while stopped.recv_timeout(Duration::ZERO) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let snapshot = store.snapshot().unwrap();
                Examination::of(model, &snapshot, Depth::Rows).perfect().unwrap();
                looks += 1;
            }
            looks
        });
        for _ in 0..rounds(3, 60) {
            for work in [Work::Maintain, Work::Merge, Work::Undo, Work::Merge, Work::EmptyTrash] {
                work.run(store).unwrap();
            }
            // Nothing is left to be merged, so that there is something to be undone.
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
            if store.undo(true).is_err() {
                break;
            }
        }
        drop(stop);
        reader.join().unwrap()
    });
    println!("{looks} looks");
    agrees(&store, &model).unwrap();
    drop(store);
    fs::write(dir.path().join("store.redb"), disk.bytes()).unwrap();
    verify(dir.path(), options(&clock)).unwrap();
}
