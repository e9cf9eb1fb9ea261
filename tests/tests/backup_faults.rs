//! Backups that are cut off, killed, and made on full disks: every backup that is listed can be restored,
//! and a store that was to be replaced is the former one or the restored one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barkeeper::{
    BackupError, BackupOptions, BackupRepository, PruneOptions, RestoreOptions, Retention, SealOptions,
    Store, TestOutcome,
};
use barkeeper_records::{Batch, Clock as _, Lsn, Operation, PositionKey};
use barkeeper_tests::backups::{Place, contents, holds};
use barkeeper_tests::folder::{clock, copy, options, scratch, turn};
use barkeeper_tests::model::Model;
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};

const FORCE: RestoreOptions = RestoreOptions { force: true };
const CHILD: &str = "BARKEEPER_TEST_BACKUPS";

/// Cuts a piece of work off at one step; answers the steps that it came to.
fn cut_at(backups: &BackupRepository, cut: usize) -> Arc<Mutex<Vec<&'static str>>> {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = steps.clone();
    backups.on_step(move |number, name| {
        seen.lock().unwrap().push(name);
        number == cut
    });
    steps
}

fn all_are_good(place: &Place) -> Vec<String> {
    let all = place.backups().list().unwrap();
    for one in &all {
        let tested = place.backups().verify(&one.name, options(&place.clock), &mut |_, _| {}).unwrap();
        assert_eq!(tested.outcome, TestOutcome::Verified, "{tested:?}");
    }
    all.into_iter().map(|one| one.name).collect()
}

#[test]
fn a_creation_that_is_cut_off_at_any_step_leaves_every_listed_backup_whole() {
    let seed = seed("a_creation_that_is_cut_off_at_any_step_leaves_every_listed_backup_whole");
    let mut place = Place::new(seed);
    place.back_up();
    let mut known = 1;
    for cut in 0.. {
        place.go_on(2);
        place.seal();
        let backups = place.backups();
        let steps = cut_at(&backups, cut);
        let made = place.store().back_up(&backups, &BackupOptions::default(), &mut |_, _| {});
        let steps = steps.lock().unwrap().clone();
        let listed = place.backups().list().unwrap().len();
        // The manifest is the last thing that is written: without it there is no backup.
        known += usize::from(made.is_ok() || steps.last() == Some(&"the backup is there"));
        assert_eq!(listed, known, "cut at {cut}: {:?}", steps.last());
        if cut % 4 == 0 || made.is_ok() {
            all_are_good(&place);
        }
        if made.is_ok() {
            assert!(cut > 8, "{steps:?}");
            break;
        }
    }
    let last = place.back_up();
    place.check_backup(&last.name);
    // What the cut-off ones left behind goes with the next removal.
    let rules = Retention { days: Some(0), last: 1 };
    place.backups().prune(&rules, turn(&place.clock, 0), PruneOptions::default()).unwrap();
    let files = contents(&place.dir.path().join("backups/files")).len() as u64;
    assert_eq!(files, place.backups().list().unwrap().iter().map(|one| one.files).max().unwrap());
}

#[test]
fn a_restore_that_is_cut_off_at_any_step_leaves_the_former_store_or_the_restored_one() {
    let seed = seed("a_restore_that_is_cut_off_at_any_step_leaves_the_former_store_or_the_restored_one");
    let mut place = Place::new(seed);
    let backup = place.back_up();
    let then = place.model.clone();
    place.go_on(10);
    place.seal();
    place.go_on(2);
    place.close();
    let now = place.model.clone();
    let (mut former, mut restored) = (0, 0);
    for cut in 0.. {
        let dir = scratch();
        let folder = dir.path().join("store");
        copy(&place.folder(), &folder).unwrap();
        // A file that the backup heals, so that one is replaced as well.
        if cut % 2 == 0 {
            let segment = barkeeper_tests::folder::files_below(&folder.join("bars")).unwrap().remove(0);
            let mut bytes = fs::read(&segment).unwrap();
            bytes[40] ^= 1;
            fs::write(&segment, bytes).unwrap();
        }
        let backups = place.backups();
        let steps = cut_at(&backups, cut);
        let done = backups.restore(&backup.name, &folder, FORCE, turn(&place.clock, 0), &mut |_, _| {});
        let steps = steps.lock().unwrap().clone();
        let swapped = steps.contains(&"the store is in its place");
        let healed =
            cut % 2 == 1 || steps.iter().filter(|step| **step == "a file is in its place").count() > 0;
        if swapped {
            holds(&folder, &place.clock, &then, Lsn(1_000_000_000));
            restored += 1;
        } else if healed {
            holds(&folder, &place.clock, &now, now.lsn);
            former += 1;
        } else {
            // Damaged before, damaged after, and at the same commit.
            let store = Store::open(&folder, options(&place.clock)).unwrap();
            assert_eq!(store.snapshot().unwrap().lsn(), now.lsn);
            former += 1;
        }
        // What a restore that was cut off has gathered of the store that goes on is no state to go back to.
        let states = barkeeper::former_states(&folder).unwrap();
        assert_eq!(states.len(), usize::from(swapped), "cut at {cut}: {states:?}");
        assert!(!folder.join("restoring").exists() || cfg!(windows), "cut at {cut}");
        if !swapped {
            let none = place.backups().undo_restore(&folder, turn(&place.clock, 0));
            assert!(matches!(none, Err(BackupError::NothingToUndo { .. })), "{none:?}");
        }
        // Tried again, it comes to its end.
        let now = turn(&place.clock, 0);
        let again = place.backups().restore(&backup.name, &folder, FORCE, now, &mut |_, _| {}).unwrap();
        // An incarnation that was only announced may be skipped; one that was never is given again.
        assert!(again.next_behind > Lsn(if swapped { 1_000_000_000 } else { 0 }));
        holds(&folder, &place.clock, &then, again.next_behind);
        // And the first safety copy brings the former commits back, whatever happened in between.
        if done.is_ok() {
            place.backups().undo_restore(&folder, turn(&place.clock, 0)).unwrap();
            holds(&folder, &place.clock, &then, Lsn(1_000_000_000));
            break;
        }
    }
    assert!(former > 4 && restored > 0, "{former} times the former one, {restored} times the restored one");
}

#[test]
fn a_restore_into_a_new_folder_that_is_cut_off_leaves_none_or_all_of_it() {
    let mut place = Place::new(3);
    let backup = place.back_up();
    let model = place.model.clone();
    place.close();
    for cut in 0.. {
        let dir = scratch();
        let folder = dir.path().join("new");
        if cut % 2 == 0 {
            fs::create_dir(&folder).unwrap();
        }
        let backups = place.backups();
        cut_at(&backups, cut);
        let done = backups.restore(
            &backup.name,
            &folder,
            RestoreOptions::default(),
            turn(&place.clock, 0),
            &mut |_, _| {},
        );
        if folder.join("store.redb").exists() {
            holds(&folder, &place.clock, &model, Lsn(1_000_000_000));
        } else {
            assert!(!folder.exists() || fs::read_dir(&folder).unwrap().next().is_none());
            place
                .backups()
                .restore(
                    &backup.name,
                    &folder,
                    RestoreOptions::default(),
                    turn(&place.clock, 0),
                    &mut |_, _| {},
                )
                .unwrap();
            holds(&folder, &place.clock, &model, Lsn(1_000_000_000));
        }
        if done.is_ok() {
            assert!(cut > 4);
            break;
        }
    }
}

#[test]
fn an_undo_that_is_cut_off_at_any_step_leaves_one_of_both_stores() {
    let mut place = Place::new(4);
    let backup = place.back_up();
    let then = place.model.clone();
    place.go_on(6);
    place.seal();
    place.close();
    let now = place.model.clone();
    let backups = place.backups();
    backups.restore(&backup.name, &place.folder(), FORCE, turn(&place.clock, 0), &mut |_, _| {}).unwrap();
    for cut in 0.. {
        let dir = scratch();
        let folder = dir.path().join("store");
        copy(&place.folder(), &folder).unwrap();
        let backups = place.backups();
        let steps = cut_at(&backups, cut);
        let done = backups.undo_restore(&folder, turn(&place.clock, 0));
        let swapped = steps.lock().unwrap().contains(&"the store is in its place");
        let expected = if swapped { (&now, now.lsn) } else { (&then, Lsn(1_000_000_000)) };
        holds(&folder, &place.clock, expected.0, expected.1);
        if done.is_ok() {
            assert!(cut > 3);
            break;
        }
    }
}

/// Where damage of one page leaves a store that opens and answers in part: a store's database with that damage.
fn damaged_in_part(place: &Place) -> Vec<u8> {
    const PAGE: usize = 4_096;
    let dir = scratch();
    let folder = dir.path().join("store");
    copy(&place.folder(), &folder).unwrap();
    let names = ["store.redb", "store.sums"].map(|name| folder.join(name));
    let sound = names.clone().map(|file| fs::read(file).unwrap());
    for page in 1..sound[0].len() / PAGE {
        let mut bytes = sound[0].clone();
        bytes[page * PAGE + 9] ^= 1;
        fs::write(&names[0], &bytes).unwrap();
        fs::write(&names[1], &sound[1]).unwrap();
        let found = Store::verify(&folder, options(&place.clock), &mut |_, _| {}).unwrap();
        if found.lsn > Lsn(0) && found.spare_pages == 0 && !found.findings.is_empty() {
            return bytes;
        }
    }
    panic!("no page is damage of a part")
}

#[test]
fn a_damaged_store_whose_replacement_is_cut_off_at_any_step_answers_as_it_did() {
    let mut place = Place::new(8);
    let backup = place.back_up();
    place.go_on(6);
    place.close();
    let damaged = place.folder();
    fs::write(damaged.join("store.redb"), damaged_in_part(&place)).unwrap();
    let dir = scratch();
    let told = |folder: &Path| Store::verify(folder, options(&place.clock), &mut |_, _| {}).unwrap();
    let copied = |from: &Path, name: &str| {
        let folder = dir.path().join(name);
        drop(barkeeper_storage::remove_folder(&folder));
        copy(from, &folder).unwrap();
        folder
    };
    let former = told(&copied(&damaged, "looked-at"));
    let now = || turn(&place.clock, 0);
    let restore = |backups: &BackupRepository, folder: &Path| {
        backups.restore(&backup.name, folder, FORCE, now(), &mut |_, _| {})
    };
    let replaced = copied(&damaged, "replaced");
    restore(&place.backups(), &replaced).unwrap();
    for undo in [false, true] {
        for cut in 0.. {
            let folder = copied(if undo { &replaced } else { &damaged }, "store");
            let backups = place.backups();
            let steps = cut_at(&backups, cut);
            let ended = if undo {
                backups.undo_restore(&folder, now()).is_ok()
            } else {
                restore(&backups, &folder).is_ok()
            };
            let steps = steps.lock().unwrap().clone();
            let is_former = undo == steps.contains(&"the store is in its place");
            // Replaced again before anybody opens it, what is kept aside is whole as well.
            let again = copied(&folder, "again");
            restore(&place.backups(), &again).unwrap();
            place.backups().undo_restore(&again, now()).unwrap();
            for folder in [&folder, &again] {
                let found = told(folder);
                let at = format!("undo {undo}, cut at {cut}, after {:?}: {found:?}", steps.last());
                assert_eq!(found.findings.iter().any(|one| one.damage), is_former, "{at}");
                if is_former {
                    assert_eq!((found.lsn, &found.findings), (former.lsn, &former.findings), "{at}");
                }
                // On Windows a link to a file that is open stays until the next open.
                assert!(cfg!(windows) || !folder.join("restoring").exists(), "{at}");
            }
            if ended {
                assert!(cut > 4, "{steps:?}");
                break;
            }
        }
    }
}

#[test]
fn a_store_that_is_opened_in_the_moment_of_its_replacement_keeps_what_is_committed() {
    let mut place = Place::new(9);
    let backup = place.back_up();
    let then = place.model.clone();
    place.go_on(6);
    place.close();
    let (folder, clock) = (place.folder(), place.clock.clone());
    let backups = place.backups();
    let opened = Arc::new(Mutex::new(Vec::new()));
    let seen = opened.clone();
    backups.on_step(move |_, name| {
        if ["the sums are gone", "the lock is free"].contains(&name) {
            let tried = Store::open(&folder, options(&clock)).map(|store| store.close().unwrap());
            seen.lock().unwrap().push((name, tried));
        }
        false
    });
    let restore = |backups: &BackupRepository| {
        backups.restore(&backup.name, &place.folder(), FORCE, turn(&place.clock, 0), &mut |_, _| {})
    };
    let done = restore(&backups);
    let (mut given_way, mut epochs) = (false, 1);
    for (step, tried) in opened.lock().unwrap().drain(..) {
        // Where a system moves no file over one that is open, the lock ends before, and whoever takes it keeps the
        // store.
        if let Err(refused) = tried {
            let barkeeper::OpenError::InUse { owner: Some(owner), .. } = refused else { panic!("{refused}") };
            assert_eq!((owner.pid, owner.program.as_str()), (std::process::id(), "a restore"), "{step}");
        } else {
            assert!(cfg!(windows) && step == "the lock is free", "{step}");
            given_way = true;
        }
    }
    if given_way {
        assert!(done.is_err(), "{done:?}");
        holds(&place.folder(), &place.clock, &place.model, place.model.lsn);
        restore(&place.backups()).unwrap();
        epochs = 2;
    }
    println!("the lock was free before the rename: {given_way}");
    holds(&place.folder(), &place.clock, &then, Lsn(1_000_000_000 * epochs));
}

#[test]
fn a_removal_that_is_cut_off_at_any_step_leaves_every_listed_backup_whole() {
    let mut place = Place::new(5);
    for _ in 0..5 {
        place.back_up();
        place.go_on(3);
        place.seal();
    }
    let root = place.dir.path().join("backups");
    let whole = place.dir.path().join("whole");
    copy(&root, &whole).unwrap();
    let rules = Retention { days: None, last: 2 };
    for cut in 0.. {
        barkeeper_storage::remove_folder(&root).unwrap();
        copy(&whole, &root).unwrap();
        let backups = place.backups();
        cut_at(&backups, cut);
        let done = backups.prune(&rules, turn(&place.clock, 0), PruneOptions::default());
        let left = all_are_good(&place);
        assert!(left.len() >= 2);
        let again = place.backups().prune(&rules, turn(&place.clock, 0), PruneOptions::default()).unwrap();
        assert_eq!(again.backups.len() as u64 - again.removed, 2);
        assert_eq!(all_are_good(&place).len(), 2);
        if done.is_ok() {
            assert!(cut > 6);
            break;
        }
    }
}

/// What a child does until it is killed: it commits, seals, makes backups, tests and removes them, and
/// restores one of them over another folder's store.
fn work(root: &Path) {
    let clock = clock();
    let backups = BackupRepository::at(&root.join("backups"));
    let mut rng = Rng::new(u64::from(std::process::id()));
    let second = root.join("second");
    for round in 0_u32.. {
        let store = Store::open(&root.join("store"), options(&clock)).unwrap();
        turn(&clock, 3_600_000 * i64::from(round));
        for n in 0..3 {
            let key = PositionKey::main(
                barkeeper_records::AccountId::new("kill").unwrap(),
                "000001.SZ".parse().unwrap(),
            );
            store.commit(Batch::of(Operation::SetHeldDays { key, days: round * 10 + n })).unwrap();
        }
        store.back_up(&backups, &BackupOptions::default(), &mut |_, _| {}).unwrap();
        store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        store.close().unwrap();
        let rules = Retention { days: None, last: 1 + u32::try_from(rng.below(4)).unwrap() };
        backups.prune(&rules, clock.now(), PruneOptions::default()).unwrap();
        if rng.chance(30) {
            backups.verify("latest", options(&clock), &mut |_, _| {}).unwrap();
        }
        backups.restore("latest", &second, FORCE, clock.now(), &mut |_, _| {}).unwrap();
        if rng.chance(30) {
            backups.undo_restore(&second, clock.now()).unwrap();
        }
        // Otherwise the safety copies fill the disk.
        for entry in fs::read_dir(&second).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("before-restore") {
                barkeeper_storage::remove_folder(&entry.path()).unwrap();
            }
        }
    }
}

/// The child of the test below; by itself it does nothing.
#[test]
fn child() {
    if let Some(root) = env::var_os(CHILD) {
        work(Path::new(&root));
    }
}

#[test]
fn killed_at_any_moment_backups_are_whole_and_stores_are_one_of_two() {
    let seed = seed("killed_at_any_moment_backups_are_whole_and_stores_are_one_of_two");
    let mut rng = Rng::new(seed);
    let mut place = Place::new(seed);
    place.back_up();
    place.close();
    let root = place.dir.path().to_owned();
    let second = root.join("second");
    copy(&place.folder(), &second).unwrap();
    let mut backups_seen = 0;
    for kill in 0..rounds(25, 400) {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, &root)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(rng.within(20, 400) as u64));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        let told = child.wait_with_output().unwrap();
        assert!(ended.is_none(), "kill {kill}: {}", String::from_utf8_lossy(&told.stderr));
        let listed = place.backups().list().unwrap();
        assert!(!listed.is_empty(), "kill {kill}");
        assert!(listed.iter().all(|one| one.damaged.is_none()), "kill {kill}: {listed:?}");
        backups_seen += listed.len();
        let newest = &listed.last().unwrap().name;
        let tested = place.backups().verify(newest, options(&place.clock), &mut |_, _| {}).unwrap();
        assert_eq!(tested.outcome, TestOutcome::Verified, "kill {kill}: {tested:?}");
        for folder in [place.folder(), second.clone()] {
            barkeeper_tests::folder::verify(&folder, options(&place.clock))
                .map_err(|e| format!("kill {kill}: {e}"))
                .unwrap();
        }
    }
    all_are_good(&place);
    println!("{backups_seen} backups were listed after kills");
}

/// A small volume of its own; `None` where this system lets nobody make one.
struct Volume(PathBuf);

impl Volume {
    fn new(dir: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(dir.to_owned())),
            other => {
                println!("SKIPPED: no volume can be mounted here: {other:?}");
                None
            }
        }
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        let block = vec![1; 1 << 16];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&[1]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn backups_on_another_volume_are_copied_once_and_restored_from_there() {
    let mut place = Place::new(6);
    let Some(volume) = Volume::new(&place.dir.path().join("backups"), 200) else { return };
    let first = place.back_up();
    place.go_on(4);
    place.seal();
    let second = place.back_up();
    assert!(second.new_bytes < second.bytes, "{second:?}");
    // Asked to link, it copies, because links end at the volume.
    let options = BackupOptions { link: true, ..BackupOptions::default() };
    let linked = place.store().back_up(&place.backups(), &options, &mut |_, _| {}).unwrap();
    assert_eq!(linked.new_bytes, 0);
    place.close();
    for name in [&first.name, &second.name] {
        place.check_backup(name);
    }
    drop(volume);
    let gone =
        place.backups().verify("latest", barkeeper_tests::folder::options(&place.clock), &mut |_, _| {});
    assert!(matches!(gone, Err(BackupError::NoRepository { .. })), "{gone:?}");
}

#[test]
fn a_full_disk_leaves_the_store_and_older_backups_as_they_were() {
    let mut place = Place::new(7);
    let Some(volume) = Volume::new(&place.dir.path().join("backups"), 120) else { return };
    let good = place.back_up();
    place.go_on(5);
    place.seal();
    let before = contents(&place.folder());
    let full = |error: BackupError| assert!(error.is_full(), "{error}");
    // Full before it begins: told at once.
    volume.fill();
    full(place.store().back_up(&place.backups(), &BackupOptions::default(), &mut |_, _| {}).unwrap_err());
    volume.empty();
    // Full in the middle of the database, and in the middle of a segment.
    let full_in_redb = place.store().back_up(&place.backups(), &BackupOptions::default(), &mut |done, _| {
        if done < 1_000 && !volume.0.join("filler").exists() {
            volume.fill();
        }
    });
    full(full_in_redb.unwrap_err());
    volume.empty();
    for step in ["the database is copied", "the database is there", "a file is kept"] {
        let backups = place.backups();
        let dir = volume.0.clone();
        backups.on_step(move |_, name| {
            if name == step && !dir.join("filler").exists() {
                Volume(dir.clone()).fill_and_forget();
            }
            false
        });
        match place.store().back_up(&backups, &BackupOptions::default(), &mut |_, _| {}) {
            Err(error) => full(error),
            Ok(done) => panic!("a full disk took {done:?} at '{step}'"),
        }
        volume.empty();
    }
    assert_eq!(contents(&place.folder()), before);
    place.check_backup(&good.name);
    // A test that finds no room says nothing about the backup.
    volume.fill();
    let tested = place.backups().verify(&good.name, options(&place.clock), &mut |_, _| {}).unwrap();
    assert!(matches!(tested.outcome, TestOutcome::Inconclusive { .. }), "{tested:?}");
    assert!(!tested.remembered);
    volume.empty();
    // The way back is space.
    place.go_on(3);
    let last = place.back_up();
    place.check_backup(&last.name);
    let model: &Model = &place.model;
    assert_eq!(last.lsn, model.lsn);
}

impl Volume {
    /// Fills a volume that somebody else unmounts.
    fn fill_and_forget(self) {
        self.fill();
        std::mem::forget(self);
    }
}
