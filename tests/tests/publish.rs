//! The publish protocol, cut at every step and at every write of its commit: sealing changes nothing that
//! readers see, an import is in or not, and no file that may still be of use is deleted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barkeeper::{CommitError, MaintenanceError, SealOptions, Store};
use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Batch, FixedClock, Interval, OnConflict, Operation, SeriesKey,
};
use barkeeper_tests::disk::Survival;
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{copy, files_below, options, turn, verify};
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, same_answer};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::scene::{Scene, Template, lose_unforced};
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publication {
    Seal,
    ImportDays,
    ImportMinutes,
}

const ALL: [Publication; 3] = [Publication::Seal, Publication::ImportDays, Publication::ImportMinutes];

impl Publication {
    /// Publishes; `Ok` where it came to its end, an error where it was cut off.
    fn run(self, store: &Store, market: &Market) -> Result<(), MaintenanceError> {
        let runs = match self {
            Self::Seal => return store.seal(&SealOptions::default(), &mut |_, _| {}).map(drop),
            Self::ImportDays => bulk(market, Interval::DAY),
            Self::ImportMinutes => bulk(market, Interval::MINUTE),
        };
        let runs = runs.into_iter().map(|(series, bars)| BarRun::new(series, bars).unwrap()).collect();
        match store.import_bars(runs, Vec::new(), OnConflict::Replace) {
            Ok(receipt) => {
                assert!(receipt.segments > 0, "{receipt:?}");
                Ok(())
            }
            Err(CommitError::Maintenance(cut)) => Err(*cut),
            Err(other) => Err(other.into()),
        }
    }

    /// What a store must hold when it is done.
    fn apply(self, model: &Model, market: &Market, clock: &FixedClock) -> Model {
        let mut after = model.clone();
        let interval = match self {
            Self::Seal => return after,
            Self::ImportDays => Interval::DAY,
            Self::ImportMinutes => Interval::MINUTE,
        };
        after.import(&bulk(market, interval), OnConflict::Replace, turn(clock, 0)).unwrap();
        after
    }
}

/// 22,320 bars of one interval, over what is hot and sealed and beyond it.
fn bulk(market: &Market, interval: Interval) -> Vec<(SeriesKey, Vec<Bar>)> {
    let bars = |instrument| {
        let series = SeriesKey { interval, adjustment: AdjustmentTag::Raw, instrument };
        let moment = |number| match interval {
            Interval::DAY => Market::moment(interval, number, 0),
            // Across the end of January: two partitions.
            _ => Market::moment(interval, 25 + number / 40, number % 40),
        };
        let bars = (0..310).map(|number| Market::bar(&series, moment(number), 1)).collect();
        (series, BarRun::new(series, bars).unwrap().bars().to_vec())
    };
    market.instruments.iter().map(|instrument| bars(*instrument)).collect()
}

fn market() -> Market {
    let kinds = vec![(Interval::DAY, AdjustmentTag::Raw), (Interval::MINUTE, AdjustmentTag::Raw)];
    Market { days: 40, kinds, ..Market::new(72) }
}

/// Fills a store with bars that are sealed, and with newer ones that are hot and partly correct and remove them.
fn fill(store: &Store, clock: &FixedClock, seed: u64) -> Model {
    let mut workload = Workload::new(market(), seed);
    let mut model = Model::default();
    store.feed().register_target("replica").unwrap();
    let put = |model: &mut Model, batch: Batch| {
        let expected = model.apply(&batch, turn(clock, 3));
        same_answer(&store.commit(batch), &expected).unwrap();
    };
    for part in 0..2 {
        for day in 0..6 {
            let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
            let bars = workload.section(interval, adjustment, part * 4 + day, 0, 72);
            let all =
                Operation::PutCrossSection { interval, adjustment, bars, on_conflict: OnConflict::Replace };
            put(&mut model, Batch::of(all));
        }
        for _ in 0..15 {
            let batch = workload.batch(&model);
            put(&mut model, batch);
        }
        if part == 0 {
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
    }
    model
}

fn filled(seed: u64) -> Template {
    Template::new(options, |store, clock| fill(store, clock, seed))
}

/// Everything that must hold of a store after a cut. Answers the store.
fn recovered(
    image: Vec<u8>,
    dir: &Path,
    clock: &Arc<FixedClock>,
    possible: &[&Model],
) -> Result<(Store, Model), String> {
    let before = segment_names(dir, &["bars", "ticks", "market_trades", "staging", "trash"]);
    let found = barkeeper_tests::recovered::recovered(image, dir, options(clock), &market().kinds, possible)?;
    let after = segment_names(dir, &["bars", "ticks", "market_trades", "trash"]);
    if before != after {
        return Err(format!("there were {} files, {} are left", before.len(), after.len()));
    }
    Ok(found)
}

fn segment_names(dir: &Path, parts: &[&str]) -> Vec<PathBuf> {
    let mut names = Vec::new();
    for part in parts {
        let files = files_below(&dir.join(part)).unwrap();
        names.extend(files.iter().map(|file| PathBuf::from(file.file_name().unwrap())));
    }
    names.sort();
    names
}

#[test]
fn a_power_cut_at_every_step_loses_nothing() {
    let seed = seed("a_power_cut_at_every_step_loses_nothing");
    let mut rng = Rng::new(seed);
    let mut cuts = 0;
    for round in 0..rounds(1, 20) as u64 {
        let template = filled(seed + round);
        for what in ALL {
            let steps = template.scene().run(None, |store| what.run(store, &market()));
            let last = if what == Publication::Seal { "after a removal" } else { "after the commit" };
            assert_eq!(steps.last().map(|step| step.0), Some(last));
            for (number, (name, _)) in steps.iter().enumerate() {
                let scene = template.scene();
                let after = what.apply(&scene.model, &market(), &scene.clock);
                let seen = scene.run(Some(number), |store| what.run(store, &market()));
                let requests = seen[number].1;
                let Scene { dir, clock, disk, store, model } = scene;
                drop(store);
                lose_unforced(dir.path(), name, &mut rng).unwrap();
                let image = disk.trace().image(requests, Survival::Random, &mut rng);
                let possible = if *name == "after the commit" { &after } else { &model };
                let place = format!("{what:?} cut at step {number}, {name}");
                let (store, _) = recovered(image, dir.path(), &clock, &[possible])
                    .map_err(|error| format!("{place}: {error}"))
                    .unwrap();
                again(&store, what, &after, &place);
                cuts += 1;
            }
        }
    }
    println!("{cuts} cuts");
}

/// Publishes again after a cut: now it comes to its end. An import that is in already changes nothing.
fn again(store: &Store, what: Publication, after: &Model, place: &str) {
    if store.snapshot().unwrap().lsn() < after.lsn || what == Publication::Seal {
        what.run(store, &market()).unwrap_or_else(|error| panic!("{place}, again: {error}"));
    }
    if what == Publication::Seal {
        assert_eq!(store.stats().unwrap().hot_bars, 0, "{place}");
    }
    Examination::of(after, &store.snapshot().unwrap(), Depth::Rows)
        .perfect()
        .unwrap_or_else(|error| panic!("{place}, again: {error}"));
}

#[test]
fn a_power_cut_at_every_write_of_the_publishing_commit_loses_nothing() {
    let seed = seed("a_power_cut_at_every_write_of_the_publishing_commit_loses_nothing");
    let mut rng = Rng::new(seed);
    let mut images = 0;
    for round in 0..rounds(1, 20) as u64 {
        let template = filled(seed + round);
        for what in ALL {
            let scene = template.scene();
            let after = what.apply(&scene.model, &market(), &scene.clock);
            let steps = scene.run(None, |store| what.run(store, &market()));
            let Scene { dir, clock, disk, store, model } = scene;
            drop(store);
            let trace = disk.trace();
            let (mut seals, mut outcomes) = (0, [0, 0]);
            for pair in steps.windows(2).filter(|pair| pair[0].0 == "before the commit") {
                // Files of later commits of the same seal stand in the folder as well: they are orphans then.
                seals += 1;
                // The last request is the sync: one cut before it, one behind it, and some of those before.
                let (first, last) = (pair[0].1, pair[1].1);
                let mut cuts = vec![first, last - 1, last - 1, last - 1, last];
                cuts.extend((0..rounds(8, 60)).map(|_| rng.within(first, last)));
                for cut in cuts {
                    let copied = tempfile::tempdir().unwrap();
                    copy(dir.path(), copied.path()).unwrap();
                    let survival =
                        *rng.pick(&[Survival::Random, Survival::Random, Survival::Nothing, Survival::All]);
                    let image = trace.image(cut, survival, &mut rng);
                    let place = format!("{what:?} cut after request {cut}, {survival:?}");
                    let (store, found) = recovered(image, copied.path(), &clock, &[&after, &model])
                        .map_err(|error| format!("{place}: {error}"))
                        .unwrap();
                    outcomes[usize::from(found.lsn == after.lsn)] += 1;
                    drop(store);
                    images += 1;
                }
            }
            assert!(seals > 0);
            println!("{what:?}: {} times not in, {} times in", outcomes[0], outcomes[1]);
        }
    }
    println!("{images} images");
}

#[test]
fn a_publication_that_is_cut_off_leaves_a_folder_that_verifies() {
    let seed = seed("a_publication_that_is_cut_off_leaves_a_folder_that_verifies");
    let mut cuts = 0;
    let template = filled(seed);
    for what in ALL {
        let mut number = 0;
        loop {
            let (dir, clock) = template.on_files();
            let model = &template.model;
            let store = Store::open(dir.path(), options(&clock)).unwrap();
            let after = what.apply(model, &market(), &clock);
            store.on_step(move |step, _| step == number);
            let done = what.run(&store, &market());
            let in_now = store.snapshot().unwrap().lsn() == after.lsn;
            drop(store);
            let place = format!("{what:?} cut at step {number}");
            verify(dir.path(), options(&clock)).map_err(|error| format!("{place}: {error}")).unwrap();
            let store = Store::open(dir.path(), options(&clock)).unwrap();
            let expected = if in_now { &after } else { model };
            Examination::of(expected, &store.snapshot().unwrap(), Depth::Rows)
                .perfect()
                .map_err(|error| format!("{place}: {error}"))
                .unwrap();
            again(&store, what, &after, &place);
            drop(store);
            verify(dir.path(), options(&clock)).map_err(|error| format!("{place}, again: {error}")).unwrap();
            if done.is_ok() {
                break;
            }
            number += 1;
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 20);
}

#[test]
fn a_published_file_whose_move_was_lost_is_put_in_place() {
    let seed = seed("a_published_file_whose_move_was_lost_is_put_in_place");
    let template = filled(seed);
    let (dir, clock) = template.on_files();
    for file in files_below(&dir.path().join("bars")).unwrap() {
        fs::rename(&file, dir.path().join("staging").join(file.file_name().unwrap())).unwrap();
    }
    fs::remove_dir_all(dir.path().join("bars")).unwrap();
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    Examination::of(&template.model, &store.snapshot().unwrap(), Depth::Rows).perfect().unwrap();
    assert!(segment_names(dir.path(), &["staging", "trash"]).is_empty());
    drop(store);
    verify(dir.path(), options(&clock)).unwrap();
}

#[test]
fn orphans_wait_in_the_trash_and_files_of_others_are_left_alone() {
    let seed = seed("orphans_wait_in_the_trash_and_files_of_others_are_left_alone");
    let template = filled(seed);
    let (dir, clock) = template.on_files();
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    // Cut off when the first file of the second publication stands in its place.
    store.on_step(|step, name| step > 3 && name == "moved");
    Publication::Seal.run(&store, &market()).unwrap_err();
    drop(store);
    let foreign = ["bars/1d/notes.txt", "bars/1d/mine.parquet", "staging/x.parquet", "trash/keep.me"];
    for name in foreign {
        fs::write(dir.path().join(name), b"a person's own").unwrap();
    }
    let orphans = |part: &str| {
        let names = segment_names(dir.path(), &[part]);
        names.into_iter().filter(|name| name.to_string_lossy().len() == 34).count()
    };
    let open = || drop(Store::open(dir.path(), options(&clock)).unwrap());
    open();
    assert_eq!((orphans("trash"), orphans("staging")), (1, 0));
    open();
    turn(&clock, 6 * 86_400_000);
    open();
    assert_eq!(orphans("trash"), 1, "an orphan stays for a week");
    turn(&clock, 2 * 86_400_000);
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    assert_eq!(orphans("trash"), 0);
    for name in foreign {
        assert!(dir.path().join(name).is_file(), "{name} is gone");
    }
    Examination::of(&template.model, &store.snapshot().unwrap(), Depth::Rows).perfect().unwrap();
}
