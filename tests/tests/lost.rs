//! Stores whose database is gone, or whose files are damaged: named as such, kept aside, brought back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use barkeeper::{
    BackupError, BackupOptions, BackupRepository, OpenError, ReadError, RestoreOptions, Store, TestOutcome,
};
use barkeeper_records::{Batch, Clock as _, Lsn, Operation, PositionKey, Version};
use barkeeper_storage::SegmentError;
use barkeeper_tests::backups::{Place, contents, holds};
use barkeeper_tests::folder::{files_below, options, turn};

const FORCE: RestoreOptions = RestoreOptions { force: true };

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[40] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_store_without_its_database_is_no_folder_without_a_store() {
    let mut place = Place::new(1);
    place.seal();
    let backup = place.back_up();
    place.go_on(12);
    place.seal();
    place.close();
    let (folder, backups) = (place.folder(), place.backups());
    fs::remove_file(folder.join("store.redb")).unwrap();
    let opened = Store::open(&folder, options(&place.clock));
    assert!(matches!(opened, Err(OpenError::DatabaseMissing { .. })), "{opened:?}");
    let verified = Store::verify(&folder, options(&place.clock), &mut |_, _| {}).unwrap_err();
    assert!(verified.to_string().contains("store.redb is missing"), "{verified}");
    let plan = backups.plan_restore("latest", &folder, options(&place.clock), &mut |_, _| {}).unwrap();
    assert!(plan.unreadable.unwrap().contains("missing") && plan.lsn_now.is_none());

    // What only the lost database knew would go to the trash: it is kept aside first.
    let bars = contents(&folder.join("bars"));
    let done = backups.restore(&backup.name, &folder, FORCE, turn(&place.clock, 0), &mut |_, _| {}).unwrap();
    let kept = done.safety_copy.unwrap();
    assert_eq!(contents(&kept.join("bars")), bars);
    let undone = backups.undo_restore(&folder, turn(&place.clock, 0));
    assert!(matches!(undone, Err(BackupError::NoFormerDatabase { .. })), "{undone:?}");
    holds(&folder, &place.clock, &place.at[&backup.lsn], done.next_behind);
    assert_eq!(contents(&kept.join("bars")), bars);
    let nowhere = Store::open(&place.dir.path().join("nowhere"), options(&place.clock));
    assert!(matches!(nowhere, Err(OpenError::NotFound { .. })), "{nowhere:?}");
}

#[test]
fn a_segment_that_is_gone_is_damage() {
    let gone = |kind: std::io::ErrorKind| {
        ReadError::Segment(SegmentError::Io { path: "bars/x.parquet".into(), source: kind.into() })
    };
    assert!(gone(std::io::ErrorKind::NotFound).is_damage());
    assert!(!gone(std::io::ErrorKind::PermissionDenied).is_damage());
}

#[test]
fn a_backup_of_a_damaged_store_names_what_is_damaged_and_is_whole() {
    let mut place = Place::new(2);
    place.seal();
    place.back_up();
    let segments = files_below(&place.folder().join("bars")).unwrap();
    flip(&segments[0]);
    // Moved, not removed: a file that is open keeps its name on Windows until it is closed.
    fs::rename(&segments[1], place.dir.path().join("away")).unwrap();
    let quick = BackupOptions { quick: true, ..BackupOptions::default() };
    let report = place.store().back_up(&place.backups(), &quick, &mut |_, _| {}).unwrap();
    assert_eq!(report.damaged, []);
    let report = place.back_up();
    let mut named: Vec<&str> = report.damaged.iter().map(|one| one.place.as_str()).collect();
    named.sort_unstable();
    let shown = |path: &Path| path.strip_prefix(place.folder()).unwrap().display().to_string();
    assert_eq!(named, [shown(&segments[0]).replace('\\', "/"), shown(&segments[1]).replace('\\', "/")]);
    place.close();
    // Counts and digests stand in the database, which is whole: only reading shows it.
    let folder = place.folder();
    let plan =
        place.backups().plan_restore("latest", &folder, options(&place.clock), &mut |_, _| {}).unwrap();
    assert_eq!(plan.lsn_now, Some(plan.lsn_then));
    assert!(plan.findings.len() >= 2, "{plan:?}");
    assert!(plan.datasets.iter().any(|one| one.dataset.starts_with("bars") && one.same == Some(false)));
    // What the backup names is what earlier ones hold of it, so it mends the store.
    let tested = place.backups().verify(&report.name, options(&place.clock), &mut |_, _| {}).unwrap();
    assert_eq!(tested.outcome, TestOutcome::Verified);
    let now = turn(&place.clock, 0);
    let done = place.backups().restore(&report.name, &folder, FORCE, now, &mut |_, _| {}).unwrap();
    holds(&folder, &place.clock, &place.model, done.next_behind);
    let plan =
        place.backups().plan_restore("latest", &folder, options(&place.clock), &mut |_, _| {}).unwrap();
    assert!(plan.findings.is_empty() && plan.datasets.iter().all(|one| one.same == Some(true)), "{plan:?}");
}

#[test]
fn an_undo_is_told_before_it_takes_commits_away_and_former_states_are_counted() {
    let mut place = Place::new(3);
    let backup = place.back_up();
    place.go_on(8);
    place.seal();
    place.close();
    let (folder, backups) = (place.folder(), place.backups());
    let was = place.model.lsn;
    let plan_undo = |verify| backups.plan_undo(&folder, None, options(&place.clock), verify, &mut |_, _| {});
    let nothing = plan_undo(true);
    assert!(matches!(nothing, Err(BackupError::NothingToUndo { .. })), "{nothing:?}");
    let done = backups.restore(&backup.name, &folder, FORCE, turn(&place.clock, 0), &mut |_, _| {}).unwrap();
    let store = Store::open(&folder, options(&place.clock)).unwrap();
    for days in 1..4 {
        let key = PositionKey::main("alpha".parse().unwrap(), "000001.SZ".parse().unwrap());
        store.commit(Batch::of(Operation::SetHeldDays { key, days })).unwrap();
    }
    let states = store.former_states().unwrap();
    assert!(states.len() == 1 && states[0].undoable && states[0].own_bytes > 0, "{states:?}");
    assert!(states[0].own_bytes <= states[0].bytes);
    let space = store.stats().unwrap().space;
    assert_eq!((space.former_states, space.former_bytes), (1, states[0].own_bytes));
    store.close().unwrap();
    let before = contents(&folder);
    let plan = plan_undo(true).unwrap();
    assert_eq!(plan.findings, []);
    assert_eq!(
        (plan.commits, plan.lsn_now, plan.lsn_then, plan.unreadable),
        (Some(3), Some(Lsn(done.next_behind.0 + 3)), Some(was), None)
    );
    assert!(plan.datasets.iter().any(|one| one.same == Some(false)), "{:?}", plan.datasets);
    let segments = |all: &std::collections::BTreeMap<std::path::PathBuf, (usize, u64)>| {
        all.keys().filter(|path| !path.starts_with("trash")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(segments(&contents(&folder)), segments(&before), "nothing was changed");
    // What would come back may be the very damage that was restored for.
    let segments = files_below(&states[0].path.join("bars")).unwrap();
    flip(&segments[0]);
    assert_eq!(plan_undo(false).unwrap().findings, []);
    let plan = plan_undo(true).unwrap();
    assert!(!plan.findings.is_empty(), "{plan:?}");
    let store = Store::open(&folder, options(&place.clock)).unwrap();
    store.remove_former_states().unwrap();
    assert_eq!(store.stats().unwrap().space.former_states, 0);
    store.close().unwrap();
    let nothing = backups.undo_restore(&folder, turn(&place.clock, 0));
    assert!(matches!(nothing, Err(BackupError::NothingToUndo { .. })), "{nothing:?}");
}

/// The version of the only position that the tests below write.
fn version(store: &Store) -> Version {
    store.snapshot().unwrap().newest_version().unwrap()
}

#[test]
fn versions_go_on_above_those_of_a_database_that_cannot_tell() {
    let mut place = Place::new(4);
    place.back_up();
    // The clock runs ahead, commits are made, it is set right, and the database is lost.
    turn(&place.clock, 30 * 86_400_000);
    place.go_on(3);
    let lost = version(place.store());
    place.close();
    let (folder, backups) = (place.folder(), place.backups());
    let written = Duration::from_nanos(u64::try_from(place.clock.now().nanos()).unwrap());
    let file = folder.join("store.redb");
    fs::write(&file, [7; 9_000]).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(UNIX_EPOCH + written).unwrap();
    for other in ["store.sums", "owner.json"] {
        fs::remove_file(folder.join(other)).unwrap();
    }
    turn(&place.clock, -30 * 86_400_000);
    let commit = |folder: &Path| {
        let store = Store::open(folder, options(&place.clock)).unwrap();
        let key = PositionKey::main("alpha".parse().unwrap(), "000001.SZ".parse().unwrap());
        store.commit(Batch::of(Operation::SetHeldDays { key, days: 5 })).unwrap();
        let version = version(&store);
        store.close().unwrap();
        version
    };
    backups.restore("latest", &folder, FORCE, place.clock.now(), &mut |_, _| {}).unwrap();
    let given = commit(&folder);
    assert!(given > lost, "{given:?} after {lost:?}");
    // The folder remembers it for the next time, when nothing else does.
    for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("before-restore-") {
            barkeeper_storage::remove_folder(&entry).unwrap();
        } else if entry.is_file() && name != "incarnation.json" {
            fs::remove_file(entry).unwrap();
        }
    }
    let backups = BackupRepository::at(backups.folder());
    backups.restore("1", &folder, FORCE, place.clock.now(), &mut |_, _| {}).unwrap();
    let again = commit(&folder);
    assert!(again > lost, "{again:?} after {lost:?}");
}
