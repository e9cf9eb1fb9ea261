//! Backups: what is restored is the model at the backup's LSN, what is damaged is named before anything is
//! touched, and what is removed is never the last good one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::sync::{Arc, Mutex};

use barkeeper::{
    BackupError, BackupOptions, BackupRepository, PruneOptions, RestoreOptions, Retention, SealOptions,
    Store, TestOutcome,
};
use barkeeper_records::{Lsn, Operation, PositionKey};
use barkeeper_tests::backups::{Place, contents, holds, restore};
use barkeeper_tests::folder::{copy, files_below, options, scratch, turn};
use barkeeper_tests::seed::{rounds, seed};

const FORCE: RestoreOptions = RestoreOptions { force: true };

#[test]
fn a_restored_store_is_the_model_at_the_lsn_of_its_backup() {
    let seed = seed("a_restored_store_is_the_model_at_the_lsn_of_its_backup");
    for round in 0..rounds(3, 40) as u64 {
        let mut place = Place::new(seed + round);
        let mut names = Vec::new();
        for _ in 0..3 {
            place.relax();
            let report = place.back_up();
            place.folded();
            assert_eq!(report.lsn, place.model.lsn);
            names.push(report.name);
            place.go_on(8);
            place.seal();
        }
        place.close();
        for name in &names {
            place.check_backup(name);
        }
    }
}

#[test]
fn writers_and_seals_go_on_while_a_backup_is_made() {
    let seed = seed("writers_and_seals_go_on_while_a_backup_is_made");
    let mut place = Place::new(seed);
    let backups = place.backups();
    // At each step of the creation the same store is written to and sealed by another thread.
    let store = Arc::new(
        Store::open(
            &{
                place.close();
                place.folder()
            },
            options(&place.clock),
        )
        .unwrap(),
    );
    let (writer, target) =
        (store.clone(), PositionKey::main("alpha".parse_account(), "000001.SZ".parse().unwrap()));
    let written = Arc::new(Mutex::new(0_u32));
    let count = written.clone();
    backups.on_step(move |_, name| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let set = Operation::SetHeldDays { key: target.clone(), days: 1_000 + *count };
        writer.commit(barkeeper_records::Batch::of(set)).unwrap();
        if name == "the database is there" {
            writer.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
        false
    });
    let report = store.back_up(&backups, &BackupOptions::default(), &mut |_, _| {}).unwrap();
    let written = *written.lock().unwrap();
    assert!(written > 4, "{written} commits");
    // One commit came before the snapshot: the step at which the creation had begun.
    assert_eq!(report.lsn.0, place.model.lsn.0 + 1);
    drop(backups);
    Arc::into_inner(store).unwrap().close().unwrap();
    place.commit_to_model(PositionKey::main("alpha".parse_account(), "000001.SZ".parse().unwrap()), 1_001);
    place.check_backup(&report.name);
}

/// Short ways that only these tests need.
trait Short {
    fn parse_account(&self) -> barkeeper_records::AccountId;
}

impl Short for str {
    fn parse_account(&self) -> barkeeper_records::AccountId {
        barkeeper_records::AccountId::new(self).unwrap()
    }
}

#[test]
fn two_backups_of_an_unchanged_store_cost_almost_nothing() {
    let place = Place::new(1);
    let first = place.back_up();
    assert_eq!(first.new_bytes, first.bytes);
    turn(&place.clock, 60_000);
    let second = place.back_up();
    assert_eq!((second.new_bytes, second.files), (0, first.files));
    assert_ne!(first.name, second.name);
    let list = place.backups().list().unwrap();
    assert_eq!(list.iter().map(|one| one.own_bytes).collect::<Vec<_>>(), [0, 0]);
    let info = place.backups().info().unwrap();
    assert_eq!((info.backups, info.bytes, info.shared_bytes), (2, first.bytes, first.bytes));
    place.check_backup(&second.name);
    // The same LSN, but a request id more: no commit, and yet another database.
    let again = barkeeper_records::Batch::new().request("desk", "nothing");
    place.store().commit(again).unwrap();
    let third = place.back_up();
    assert_eq!(third.lsn, second.lsn);
    assert!(third.new_bytes > 0 && third.new_bytes < third.bytes);
    place.check_backup(&third.name);
}

#[test]
#[cfg(unix)]
fn segments_are_shared_and_linked_only_when_asked() {
    use std::os::unix::fs::MetadataExt as _;
    let place = Place::new(2);
    let linked = BackupRepository::at(&place.dir.path().join("linked"));
    let options = BackupOptions { link: true, ..BackupOptions::default() };
    place.store().back_up(&linked, &options, &mut |_, _| {}).unwrap();
    place.back_up();
    let links = |dir: &str| -> Vec<u64> {
        let files = files_below(&place.dir.path().join(dir).join("files")).unwrap();
        let segments = files.iter().filter(|path| path.extension().is_some_and(|end| end == "parquet"));
        segments.map(|path| fs::metadata(path).unwrap().nlink()).collect()
    };
    assert!(!links("linked").is_empty() && links("linked").iter().all(|links| *links == 2));
    assert!(!links("backups").is_empty() && links("backups").iter().all(|links| *links == 1));
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone_without_force() {
    let mut place = Place::new(3);
    let name = place.back_up().name;
    place.close();
    let before = contents(&place.folder());
    assert!(matches!(
        restore(&place, &name, &place.folder(), RestoreOptions::default()),
        Err(BackupError::NotEmpty { .. })
    ));
    let other = place.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter.txt"), "dear").unwrap();
    assert!(matches!(
        restore(&place, &name, &other, RestoreOptions::default()),
        Err(BackupError::NotEmpty { .. })
    ));
    assert_eq!(contents(&place.folder()), before);
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    // Forced, the store comes beside what lies there.
    restore(&place, &name, &other, FORCE).unwrap();
    assert_eq!(fs::read_to_string(other.join("letter.txt")).unwrap(), "dear");
    assert!(matches!(restore(&place, "000009", &other, FORCE), Err(BackupError::NoBackup { .. })));
    let nowhere = BackupRepository::at(&place.dir.path().join("nowhere"));
    let gone = nowhere.restore("latest", &other, FORCE, turn(&place.clock, 0), &mut |_, _| {});
    assert!(matches!(gone, Err(BackupError::NoRepository { .. })));
}

#[test]
fn a_store_in_use_is_not_replaced_and_its_owner_is_named() {
    let place = Place::new(4);
    let name = place.back_up().name;
    let refused = restore(&place, &name, &place.folder(), FORCE).unwrap_err();
    assert!(refused.to_string().contains("is in use by barkeeper"), "{refused}");
    Store::open(&place.dir.path().join("store"), options(&place.clock)).unwrap_err();
}

#[test]
fn restored_in_place_and_undone_twice_everything_is_as_it_was() {
    let mut place = Place::new(5);
    let backup = place.back_up();
    let then = place.model.clone();
    place.go_on(12);
    place.seal();
    place.close();
    let now = place.model.clone();
    let before = fs::read(place.folder().join("store.redb")).unwrap();
    let plan = place
        .backups()
        .plan_restore("latest", &place.folder(), options(&place.clock), &mut |_, _| {})
        .unwrap();
    assert_eq!((plan.lsn_now, plan.lsn_then), (Some(now.lsn), then.lsn));
    assert!(plan.datasets.iter().any(|one| one.same == Some(false)), "{plan:?}");
    let kept = restore(&place, &backup.name, &place.folder(), FORCE).unwrap();
    assert!(kept.starts_with(place.folder()) && kept.join("store.redb").is_file());
    holds(&place.folder(), &place.clock, &then, Lsn(1_000_000_000));
    // What is restored is not what is undone into: commits in between are kept aside as well.
    let backups = place.backups();
    let aside = backups.undo_restore(&place.folder(), turn(&place.clock, 0)).unwrap().unwrap();
    assert!(!kept.exists() && aside.is_dir());
    assert_eq!(fs::read(place.folder().join("store.redb")).unwrap().len(), before.len());
    holds(&place.folder(), &place.clock, &now, now.lsn);
    backups.undo_restore(&place.folder(), turn(&place.clock, 0)).unwrap();
    holds(&place.folder(), &place.clock, &then, Lsn(1_000_000_000));
    backups.undo_restore(&place.folder(), turn(&place.clock, 0)).unwrap();
    holds(&place.folder(), &place.clock, &now, now.lsn);
    let nothing = backups.undo_restore(&place.dir.path().join("backups"), turn(&place.clock, 0));
    assert!(matches!(nothing, Err(BackupError::NothingToUndo { .. })));
}

#[test]
fn each_restore_is_a_new_incarnation_above_all_that_is_known() {
    let mut place = Place::new(6);
    let first = place.back_up();
    place.go_on(3);
    place.close();
    let (folder, backups) = (place.folder(), place.backups());
    let mut last = (1, place.model.lsn);
    for round in 0..4 {
        let now = turn(&place.clock, if round % 2 == 0 { -86_400_000 } else { 60_000 });
        let done = backups.restore(&first.name, &folder, FORCE, now, &mut |_, _| {}).unwrap();
        assert!(done.epoch > last.0 && done.next_behind > last.1, "{done:?}");
        assert_eq!(done.lsn, first.lsn);
        let store = Store::open(&folder, options(&place.clock)).unwrap();
        let feed = store.feed();
        assert_eq!(feed.identity().unwrap().epoch, done.epoch);
        let key = PositionKey::main("alpha".parse_account(), "000001.SZ".parse().unwrap());
        let set = Operation::SetHeldDays { key, days: 77 + round };
        let receipt = store.commit(barkeeper_records::Batch::of(set)).unwrap();
        assert_eq!(receipt.lsn.0, done.next_behind.0 + 1);
        // Everything between the backup and the new beginning is lost, and nothing else.
        for (lsn, lost) in [
            (1, false),
            (first.lsn.0, false),
            (first.lsn.0 + 1, true),
            (done.next_behind.0, false),
            (receipt.lsn.0, false),
        ] {
            assert_eq!(feed.kept_before(Lsn(lsn)).unwrap(), lost.then_some(first.lsn), "{lsn}");
        }
        last = (done.epoch, receipt.lsn);
        drop(feed);
        if round == 1 {
            let report = store.back_up(&backups, &BackupOptions::default(), &mut |_, _| {}).unwrap();
            assert_eq!(report.lsn, receipt.lsn);
        }
        store.close().unwrap();
    }
    // Where the database can no longer tell how far it had come, the folder remembers.
    std::fs::write(folder.join("store.redb"), [7; 9_000]).unwrap();
    for aside in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if aside.file_name().unwrap().to_string_lossy().starts_with("before-restore-") {
            barkeeper_storage::remove_folder(&aside).unwrap();
        }
    }
    let done = backups.restore(&first.name, &folder, FORCE, turn(&place.clock, 0), &mut |_, _| {}).unwrap();
    assert!(done.epoch > last.0 && done.next_behind > last.1, "{done:?}");
    // In a folder without the former store, the other backups tell it.
    let elsewhere = place.dir.path().join("elsewhere");
    let done = backups.restore("1", &elsewhere, FORCE, turn(&place.clock, 0), &mut |_, _| {}).unwrap();
    assert_eq!((done.epoch, done.next_behind), (4, Lsn(3_000_000_000)));
}

#[test]
fn a_damaged_store_gives_no_backup_and_its_older_ones_stay() {
    let mut place = Place::new(8);
    let good = place.back_up();
    place.go_on(4);
    place.seal();
    place.close();
    let segment = files_below(&place.folder().join("bars")).unwrap().pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 16;
    fs::write(&segment, &bytes).unwrap();
    place.open();
    let known = contents(&place.dir.path().join("backups/files"));
    let made = place.store().back_up(&place.backups(), &BackupOptions::default(), &mut |_, _| {});
    // A segment that an older backup has is not read again; a new one is.
    match made {
        Err(BackupError::Damaged { path, .. }) => assert_eq!(path, segment),
        other => panic!("{segment:?}: {other:?} with {} known contents", known.len()),
    }
    place.check_backup(&good.name);
    assert_eq!(place.backups().list().unwrap().len(), 1);
}

#[test]
fn damage_by_hand_is_named_and_mended_by_a_restore() {
    let mut place = Place::new(9);
    let backup = place.back_up();
    place.close();
    let model = place.model.clone();
    let segment = files_below(&place.folder().join("bars")).unwrap().remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let found = Store::verify(&place.folder(), options(&place.clock), &mut |_, _| {}).unwrap().findings;
    let name = segment.file_name().unwrap().to_str().unwrap();
    // The file is named, and the one with the same rows on the other axis is not.
    assert!(found.iter().any(|finding| finding.damage && finding.place.ends_with(name)), "{found:?}");
    let of_files = found.iter().filter(|finding| finding.place.ends_with(".parquet"));
    assert!(
        of_files.clone().all(|finding| finding.place.ends_with(name)) && of_files.count() == 1,
        "{found:?}"
    );
    let kept = restore(&place, &backup.name, &place.folder(), FORCE).unwrap();
    holds(&place.folder(), &place.clock, &model, Lsn(1_000_000_000));
    assert_eq!(fs::read(kept.join(segment.strip_prefix(place.folder()).unwrap())).unwrap(), bytes);
    // A database of which nothing is left is no hindrance either, and neither is one that is gone.
    fs::write(place.folder().join("store.redb"), b"nothing of it is left").unwrap();
    restore(&place, &backup.name, &place.folder(), FORCE).unwrap();
    holds(&place.folder(), &place.clock, &model, Lsn(2_000_000_000));
    fs::remove_file(place.folder().join("store.redb")).unwrap();
    restore(&place, &backup.name, &place.folder(), FORCE).unwrap();
    holds(&place.folder(), &place.clock, &model, Lsn(3_000_000_000));
}

#[test]
fn what_is_removed_is_never_the_newest_nor_the_last_good_one() {
    let mut place = Place::new(10);
    let mut names = Vec::new();
    for _ in 0..6 {
        names.push(place.back_up().name);
        place.go_on(2);
        turn(&place.clock, 86_400_000);
    }
    place.check_backup(&names[1]);
    let rules = Retention { days: Some(0), last: 2 };
    let dry = place
        .backups()
        .prune(&rules, turn(&place.clock, 0), PruneOptions { dry_run: true, ..PruneOptions::default() })
        .unwrap();
    assert_eq!(place.backups().list().unwrap().len(), 6);
    let done = place.backups().prune(&rules, turn(&place.clock, 0), PruneOptions::default()).unwrap();
    assert_eq!((&dry.backups, dry.files, dry.bytes), (&done.backups, done.files, done.bytes));
    assert!(done.bytes > 0);
    let left: Vec<String> = place.backups().list().unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(left, [&names[1], &names[4], &names[5]].map(Clone::clone));
    // Nothing is left that nobody needs.
    let again = place.backups().prune(&rules, turn(&place.clock, 0), PruneOptions::default()).unwrap();
    assert_eq!((again.removed, again.files), (0, 0));
    for name in &left {
        place.check_backup(name);
    }
    // Now that a newer one is known to be good, the older one may go.
    let last = place.backups().prune(&rules, turn(&place.clock, 0), PruneOptions::default()).unwrap();
    assert_eq!(last.backups.iter().map(|one| one.kept).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn a_damaged_store_comes_back_from_an_undo_as_it_was() {
    const PAGE: usize = 4_096;
    let mut place = Place::new(19);
    let backup = place.back_up();
    place.go_on(5);
    place.close();
    let folder = place.folder();
    let names = ["store.redb", "store.sums"].map(|name| folder.join(name));
    let sound = names.clone().map(|file| fs::read(file).unwrap());
    let pages = 1..sound[0].len() / PAGE;
    let full = |page: &usize| sound[0][page * PAGE..(page + 1) * PAGE].iter().any(|byte| *byte != 0);
    let (mut opened, mut spare) = (0, 0);
    for page in pages.filter(full) {
        let mut bytes = sound[0].clone();
        bytes[page * PAGE + 9] ^= 1;
        fs::write(&names[0], bytes).unwrap();
        fs::write(&names[1], &sound[1]).unwrap();
        let verify = || Store::verify(&folder, options(&place.clock), &mut |_, _| {}).unwrap();
        let found = verify();
        let damaged = names.clone().map(|file| fs::read(file).unwrap());
        restore(&place, &backup.name, &folder, FORCE).unwrap();
        // Looked at before, as a plan does, it keeps its bytes as well.
        place.backups().plan_undo(&folder, None, options(&place.clock), true, &mut |_, _| {}).unwrap();
        place.backups().undo_restore(&folder, turn(&place.clock, 1)).unwrap();
        assert!(names.clone().map(|file| fs::read(file).unwrap()) == damaged, "page {page}");
        let again = verify();
        if found.spare_pages == 0 {
            assert_eq!(again.findings, found.findings, "page {page}");
        }
        opened += usize::from(again.lsn > Lsn(0) && found.spare_pages == 0);
        // redb takes a page that nothing stands on for what it writes when it closes: then it is whole again.
        spare += found.spare_pages;
        for aside in fs::read_dir(&folder).unwrap().map(|one| one.unwrap().path()) {
            if aside.file_name().unwrap().to_str().unwrap().starts_with("before-restore-") {
                barkeeper_storage::remove_folder(&aside).unwrap();
            }
        }
    }
    assert!(opened > 0 && spare > 0, "{opened} opened, {spare} spare");
}

#[test]
fn a_folder_of_backups_belongs_to_one_store_and_one_writer() {
    let (place, other) = (Place::new(12), Place::new(13));
    place.back_up();
    let refused = other.store().back_up(&place.backups(), &BackupOptions::default(), &mut |_, _| {});
    assert!(matches!(refused, Err(BackupError::OtherStore { .. })), "{refused:?}");
    let letters = scratch();
    fs::write(letters.path().join("letter.txt"), "dear").unwrap();
    let refused = place.store().back_up(
        &BackupRepository::at(letters.path()),
        &BackupOptions::default(),
        &mut |_, _| {},
    );
    assert!(matches!(refused, Err(BackupError::NotARepository { .. })), "{refused:?}");
    let backups = place.backups();
    let (second, clock) = (place.backups(), place.clock.clone());
    backups.on_step(move |_, _| {
        let busy = second.prune(&Retention::default(), turn(&clock, 0), PruneOptions::default());
        assert!(matches!(busy, Err(BackupError::Busy { .. })), "{busy:?}");
        false
    });
    place.store().back_up(&backups, &BackupOptions::default(), &mut |_, _| {}).unwrap();
}

#[test]
fn files_of_tools_come_along_and_never_replace_those_that_are_there() {
    let mut place = Place::new(14);
    fs::create_dir(place.folder().join("sync")).unwrap();
    fs::write(place.folder().join("sync/replica.json"), "old").unwrap();
    let extras = vec!["sync/replica.json".into(), "none.toml".into(), "../backups".into()];
    let options = BackupOptions { extras, ..BackupOptions::default() };
    place.store().back_up(&place.backups(), &options, &mut |_, _| {}).unwrap();
    fs::write(place.folder().join("sync/replica.json"), "new").unwrap();
    place.close();
    restore(&place, "latest", &place.folder(), FORCE).unwrap();
    assert_eq!(fs::read_to_string(place.folder().join("sync/replica.json")).unwrap(), "new");
    let elsewhere = place.dir.path().join("elsewhere");
    restore(&place, "1", &elsewhere, RestoreOptions::default()).unwrap();
    assert_eq!(fs::read_to_string(elsewhere.join("sync/replica.json")).unwrap(), "old");
    // A copy of the folder of backups is as good as the folder.
    let copied = place.dir.path().join("copied");
    copy(&place.dir.path().join("backups"), &copied).unwrap();
    let tested = BackupRepository::at(&copied).verify(
        "latest",
        barkeeper_tests::folder::options(&place.clock),
        &mut |_, _| {},
    );
    assert_eq!(tested.unwrap().outcome, TestOutcome::Verified);
}
