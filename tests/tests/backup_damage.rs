//! Damage of backups: it is named before anything is touched, it counts against all backups that share it, and it is
//! written anew from the store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::PathBuf;

use barkeeper::{
    BackupError, BackupInfo, BackupOptions, PruneOptions, RestoreOptions, Retention, TestOutcome,
};
use barkeeper_tests::backups::{Place, contents, flip, restore, shared_segment};
use barkeeper_tests::folder::{files_below, options, turn};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::seed;

const FORCE: RestoreOptions = RestoreOptions { force: true };

/// What is done to a file of a backup.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Missing,
    Truncated,
    Flipped,
    Longer,
}

#[test]
fn a_damaged_backup_is_named_and_refused_before_anything_is_touched() {
    let seed = seed("a_damaged_backup_is_named_and_refused_before_anything_is_touched");
    let mut rng = Rng::new(seed);
    let mut place = Place::new(seed);
    let good = place.back_up();
    place.go_on(6);
    place.seal();
    place.go_on(2);
    let bad = place.back_up();
    // Another store stands where it is restored into: one of its own would have the good segments still.
    let mut other = Place::new(seed + 1);
    other.close();
    let folder = other.folder();
    let before = contents(&folder);
    let root = place.dir.path().join("backups");
    let only_bad: Vec<PathBuf> = files_below(&root.join("files")).unwrap();
    let manifest = root.join(format!("manifests/{}.json", bad.name));
    let named = fs::read_to_string(&manifest).unwrap();
    let victims: Vec<&PathBuf> = only_bad
        .iter()
        .filter(|path| named.contains(path.file_stem().unwrap().to_str().unwrap()))
        .chain([&manifest])
        .collect();
    assert!(victims.len() > 3, "{victims:?}");
    for victim in victims {
        let whole = fs::read(victim).unwrap();
        for harm in [Harm::Missing, Harm::Truncated, Harm::Flipped, Harm::Longer] {
            if matches!(harm, Harm::Missing) && victim == &manifest {
                continue;
            }
            let mut bytes = whole.clone();
            match harm {
                Harm::Missing => fs::remove_file(victim).unwrap(),
                Harm::Truncated => bytes.truncate(rng.below(whole.len())),
                Harm::Flipped => bytes[rng.below(whole.len())] ^= 1 << rng.below(8),
                Harm::Longer => bytes.push(0),
            }
            if !matches!(harm, Harm::Missing) {
                fs::write(victim, &bytes).unwrap();
            }
            let refused = restore(&place, &bad.name, &folder, FORCE).unwrap_err();
            assert!(refused.is_damage(), "{harm:?}: {refused}");
            let file = victim.file_name().unwrap().to_str().unwrap();
            assert!(refused.to_string().contains(file), "{harm:?}: {refused}");
            assert_eq!(contents(&folder), before, "{harm:?} of {file}");
            let elsewhere = place.dir.path().join("elsewhere");
            restore(&place, &bad.name, &elsewhere, RestoreOptions::default()).unwrap_err();
            assert!(!elsewhere.exists());
            let tested = place.backups().verify(&bad.name, options(&place.clock), &mut |_, _| {}).unwrap();
            let TestOutcome::Failed { file: told, .. } = &tested.outcome else {
                panic!("{harm:?}: {tested:?}")
            };
            assert!(told.ends_with(file), "{told} is not {file}");
            fs::write(victim, &whole).unwrap();
        }
    }
    // Two contents that change places have the right lengths of each other at best.
    let segments: Vec<&PathBuf> =
        only_bad.iter().filter(|path| path.extension().unwrap() == "parquet").collect();
    let (one, two) = (fs::read(segments[0]).unwrap(), fs::read(segments[1]).unwrap());
    fs::write(segments[0], &two).unwrap();
    fs::write(segments[1], &one).unwrap();
    assert!(restore(&place, &bad.name, &folder, FORCE).unwrap_err().is_damage());
    fs::write(segments[0], &one).unwrap();
    fs::write(segments[1], &two).unwrap();
    for name in [&good.name, &bad.name] {
        place.check_backup(name);
    }
}

#[test]
fn a_manifest_that_is_another_ones_is_damage() {
    let place = Place::new(7);
    let first = place.back_up();
    let mut later = place;
    later.go_on(3);
    let second = later.back_up();
    let manifests = later.dir.path().join("backups/manifests");
    let path = |name: &str| manifests.join(format!("{name}.json"));
    fs::copy(path(&first.name), path(&second.name)).unwrap();
    let tested = later.backups().verify(&second.name, options(&later.clock), &mut |_, _| {}).unwrap();
    assert!(matches!(tested.outcome, TestOutcome::Failed { .. }), "{tested:?}");
    // An unreadable manifest may need any content: none goes as long as it lies there.
    later.go_on(2);
    later.back_up();
    let before = files_below(&later.dir.path().join("backups/files")).unwrap();
    let rules = Retention { days: Some(0), last: 1 };
    let report =
        later.backups().prune(&rules, turn(&later.clock, 100 * 86_400_000), PruneOptions::default()).unwrap();
    assert_eq!((report.removed, report.files), (1, 0));
    assert_eq!(report.unreadable, std::slice::from_ref(&second.name));
    assert_eq!(files_below(&later.dir.path().join("backups/files")).unwrap(), before);
    // Asked to, it goes, and its contents with it.
    let dry = PruneOptions { dry_run: true, damaged: true };
    let prune = |how| later.backups().prune(&rules, turn(&later.clock, 0), how).unwrap();
    let stays = || (prune(dry).removed, prune(dry).unreadable.len()) == (0, 1);
    // Its checksum fits: it may be one that somebody has renamed.
    assert!(stays());
    flip(&path(&second.name));
    // As long as the others are not whole, it may be the best that there is.
    let newest = later.backups().list().unwrap().pop().unwrap().name;
    let names = fs::read_to_string(path(&newest)).unwrap();
    let is_named = |file: &PathBuf| names.contains(file.file_stem().unwrap().to_str().unwrap());
    let content = before.into_iter().find(is_named).unwrap();
    fs::rename(&content, later.dir.path().join("away")).unwrap();
    assert!(stays());
    fs::rename(later.dir.path().join("away"), &content).unwrap();
    let told = prune(dry);
    assert_eq!(prune(dry), told);
    let done = prune(PruneOptions { dry_run: false, ..dry });
    assert_eq!(done, told);
    assert_eq!((done.removed, done.files > 0, done.unreadable.is_empty()), (1, true, true), "{done:?}");
    assert!(done.backups.iter().any(|one| one.name == second.name && one.why == "its manifest is damaged"));
    let left = later.backups().list().unwrap();
    assert_eq!(left.len(), 1);
    later.check_backup(&left[0].name);
    // The only one, or one of a newer program, stays, whatever was asked.
    let whole = fs::read_to_string(path(&left[0].name)).unwrap();
    fs::write(path(&left[0].name), &whole[1..]).unwrap();
    assert!(stays());
    fs::write(path(&left[0].name), &whole).unwrap();
    let last = later.back_up();
    let newer = fs::read_to_string(path(&last.name)).unwrap().replacen(
        "\"barkeeper_backup\":1",
        "\"barkeeper_backup\":9",
        1,
    );
    fs::write(path(&last.name), newer).unwrap();
    let kept = prune(dry);
    assert_eq!((kept.removed, kept.unreadable), (0, vec![last.name]));
}

fn outcome(place: &Place, backup: &str) -> TestOutcome {
    place.backups().verify(backup, options(&place.clock), &mut |_, _| {}).unwrap().outcome
}

#[test]
fn a_damaged_content_of_earlier_backups_is_written_anew_from_the_store() {
    let mut place = Place::new(15);
    let first = place.back_up();
    let (content, segment) = shared_segment(&place, &first.name);
    let whole = fs::read(&content).unwrap();
    let name = content.file_name().unwrap().to_str().unwrap();
    for harm in [Harm::Flipped, Harm::Truncated] {
        match harm {
            Harm::Truncated => fs::write(&content, &whole[..whole.len() / 2]).unwrap(),
            _ => flip(&content),
        }
        place.go_on(2);
        let failed = outcome(&place, &first.name);
        assert!(matches!(&failed, TestOutcome::Failed { file, .. } if file.ends_with(name)), "{failed:?}");
        let made = place.back_up();
        assert_eq!(made.mended, [format!("files/{name}")], "{harm:?}");
        assert!(made.damaged.is_empty() && made.new_bytes < made.bytes, "{made:?}");
        assert_eq!(fs::read(&content).unwrap(), whole, "{harm:?}");
        place.check_backup(&made.name);
        place.check_backup(&first.name);
        assert!(place.back_up().mended.is_empty());
    }
    // Where the store has lost it too, both are named, and both stay as they are.
    for harm in [Harm::Flipped, Harm::Missing] {
        fs::write(&content, &whole).unwrap();
        flip(&content);
        let bad = fs::read(&content).unwrap();
        let sound = fs::read(&segment).unwrap();
        match harm {
            // Moved: a file that is open keeps its name on Windows until it is closed.
            Harm::Missing => fs::rename(&segment, place.dir.path().join("away")).unwrap(),
            _ => flip(&segment),
        }
        let listed = place.backups().list().unwrap().len();
        let made = place.store().back_up(&place.backups(), &BackupOptions::default(), &mut |_, _| {});
        let refused = made.unwrap_err();
        assert!(refused.is_damage(), "{refused}");
        for path in [&content, &segment] {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(refused.to_string().contains(name), "{harm:?}: {refused}");
        }
        assert_eq!(fs::read(&content).unwrap(), bad);
        // What was found counts from now on against all that share it.
        let known = place.backups().list().unwrap();
        assert!(known.len() == listed && known.iter().all(BackupInfo::is_bad), "{known:?}");
        fs::write(&segment, sound).unwrap();
    }
    let last = place.back_up();
    assert_eq!(last.mended.len(), 1);
    assert!(!place.backups().list().unwrap().iter().any(BackupInfo::is_bad));
    place.check_backup(&last.name);
    // A content that is gone comes back in the same way, and is told of.
    fs::remove_file(&content).unwrap();
    let quick = BackupOptions { quick: true, ..BackupOptions::default() };
    let made = place.store().back_up(&place.backups(), &quick, &mut |_, _| {}).unwrap();
    assert_eq!((made.mended, made.new_bytes), (vec![format!("files/{name}")], whole.len() as u64));
    place.check_backup(&first.name);
}

#[test]
fn what_a_restore_finds_damaged_counts_against_all_that_share_it() {
    let mut place = Place::new(20);
    let first = place.back_up();
    place.go_on(2);
    let second = place.back_up();
    let (content, _) = shared_segment(&place, &first.name);
    let bad = |place: &Place| -> Vec<bool> {
        place.backups().list().unwrap().iter().map(BackupInfo::is_bad).collect()
    };
    for harm in [Harm::Flipped, Harm::Missing] {
        assert_eq!(bad(&place), [false, false]);
        let whole = fs::read(&content).unwrap();
        match harm {
            Harm::Missing => fs::remove_file(&content).unwrap(),
            _ => flip(&content),
        }
        let into = place.dir.path().join("into");
        let refused = restore(&place, &second.name, &into, RestoreOptions::default()).unwrap_err();
        assert!(refused.is_damage() && !into.exists(), "{harm:?}: {refused}");
        assert_eq!(bad(&place), [true, true], "{harm:?}");
        let told = place.backups().list().unwrap().remove(0).tested.unwrap().outcome;
        assert!(
            matches!(&told, TestOutcome::Failed { detail, .. } if detail.contains(&second.name)),
            "{told:?}"
        );
        // Put back by hand, it is good again once somebody has read it.
        fs::write(&content, whole).unwrap();
        restore(&place, &first.name, &into, RestoreOptions::default()).unwrap();
        barkeeper_storage::remove_folder(&into).unwrap();
    }
    // A disk that is too full for a restore, and a folder in its way, say nothing of the backup.
    let taken = place.dir.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("letter"), "dear").unwrap();
    assert!(restore(&place, "latest", &taken, RestoreOptions::default()).is_err());
    assert_eq!(bad(&place), [false, false]);
}

#[test]
fn a_damaged_database_of_an_earlier_backup_is_not_taken_for_a_new_one() {
    let place = Place::new(16);
    let first = place.back_up();
    let databases = || -> Vec<PathBuf> {
        let files = files_below(&place.dir.path().join("backups/files")).unwrap();
        files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "redb")).collect()
    };
    flip(&databases()[0]);
    assert!(matches!(outcome(&place, &first.name), TestOutcome::Failed { .. }));
    let second = place.back_up();
    assert_eq!(second.lsn, first.lsn);
    place.check_backup(&second.name);
    // Written anew it has the same bytes, or it is another file, which later backups share.
    assert_eq!(databases().len() == 1, second.mended.len() == 1, "{second:?}");
}

#[test]
#[cfg(unix)]
fn a_content_that_is_a_link_is_replaced_and_not_written_through() {
    use std::os::unix::fs::MetadataExt as _;
    let place = Place::new(17);
    let first = place.back_up();
    let (content, segment) = shared_segment(&place, &first.name);
    // The damaged content has another name, which must keep its bytes.
    flip(&content);
    let bad = fs::read(&content).unwrap();
    let elsewhere = place.dir.path().join("elsewhere.parquet");
    fs::hard_link(&content, &elsewhere).unwrap();
    let options = BackupOptions { link: true, ..BackupOptions::default() };
    let made = place.store().back_up(&place.backups(), &options, &mut |_, _| {}).unwrap();
    assert_eq!(made.mended.len(), 1, "{made:?}");
    assert_eq!(fs::read(&elsewhere).unwrap(), bad);
    let inode = |path: &PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&content), inode(&segment));
    place.check_backup(&first.name);
    // Unread, nothing is noticed, as asked.
    flip(&segment);
    let quick = BackupOptions { quick: true, ..BackupOptions::default() };
    assert!(place.store().back_up(&place.backups(), &quick, &mut |_, _| {}).unwrap().mended.is_empty());
    // The store's own bytes, damaged through either name, are no cure, and nothing is removed of them.
    let refused = place.store().back_up(&place.backups(), &options, &mut |_, _| {}).unwrap_err();
    assert!(refused.is_damage() && refused.to_string().contains(segment.to_str().unwrap()), "{refused}");
    assert!(segment.is_file() && content.is_file());
    // What is known to be bad is read from then on.
    assert!(place.store().back_up(&place.backups(), &quick, &mut |_, _| {}).unwrap_err().is_damage());
}

#[test]
fn what_a_test_finds_bad_is_bad_for_all_that_share_it_until_it_is_mended() {
    let mut place = Place::new(18);
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(place.back_up().name);
        place.go_on(2);
        turn(&place.clock, 86_400_000);
    }
    place.check_backup(&names[0]);
    let (content, _) = shared_segment(&place, &names[0]);
    flip(&content);
    // A clock that went back makes no old test a newer one.
    turn(&place.clock, -10 * 86_400_000);
    assert!(matches!(outcome(&place, &names[1]), TestOutcome::Failed { .. }));
    // A test that could not be tried takes nothing back.
    let partial = place.dir.path().join("backups/partial");
    barkeeper_storage::remove_folder(&partial).unwrap();
    fs::write(&partial, "in the way").unwrap();
    assert!(matches!(outcome(&place, &names[1]), TestOutcome::Inconclusive { .. }));
    fs::remove_file(&partial).unwrap();
    fs::create_dir(&partial).unwrap();
    let bad = |place: &Place| {
        let known = place.backups().list().unwrap();
        for one in &known {
            let tested = one.tested.clone().unwrap();
            let TestOutcome::Failed { file, detail } = &tested.outcome else { panic!("{tested:?}") };
            assert!(file.ends_with(content.file_name().unwrap().to_str().unwrap()), "{file}");
            assert_eq!(detail.contains(&names[1]), one.name != names[1], "{detail}");
            assert_eq!(tested.verified_at, None);
        }
        let info = place.backups().info().unwrap();
        assert_eq!((info.last_verified, info.damaged, info.failed), (None, 0, known.len() as u64));
    };
    bad(&place);
    // The one that was good may be mended yet. That the other, whose test found the damage, is gone makes no
    // difference to those that share it.
    let rules = Retention { days: Some(0), last: 0 };
    for kept in [&[true, false, true][..], &[true, true]] {
        let done =
            place.backups().prune(&rules, turn(&place.clock, 0), PruneOptions::default()).unwrap().backups;
        assert_eq!(done.iter().map(|one| one.kept).collect::<Vec<_>>(), kept, "{done:?}");
        bad(&place);
    }
    assert_eq!(place.back_up().mended.len(), 1);
    let info = place.backups().info().unwrap();
    assert_eq!((info.last_verified.unwrap().name, info.failed), (names[0].clone(), 0));
    place.check_backup(&names[0]);
    // A content that comes back whole is good when somebody has read it.
    flip(&content);
    assert!(matches!(outcome(&place, "latest"), TestOutcome::Failed { .. }));
    assert_eq!(place.backups().info().unwrap().failed, 3);
    flip(&content);
    assert_eq!(outcome(&place, &names[2]), TestOutcome::Verified);
    let known = place.backups().list().unwrap();
    let good = |one: &BackupInfo| one.tested.as_ref().is_some_and(|test| test.verified_at.is_some());
    assert_eq!(known.iter().map(good).collect::<Vec<_>>(), [true, true, false], "{known:?}");
    // So is one that was good and whose own test found the damage; until then it is not removed.
    flip(&content);
    assert!(matches!(outcome(&place, &names[0]), TestOutcome::Failed { .. }));
    assert_eq!(place.backups().info().unwrap().failed, 3);
    let kept = place.backups().prune(&rules, turn(&place.clock, 0), PruneOptions::default()).unwrap().backups;
    assert_eq!(kept.iter().map(|one| one.kept).collect::<Vec<_>>(), [true; 3], "{kept:?}");
    // What is known to be bad is looked at by those as well who read nothing twice.
    let quick = BackupOptions { quick: true, ..BackupOptions::default() };
    let made = place.store().back_up(&place.backups(), &quick, &mut |_, _| {}).unwrap();
    assert_eq!(made.mended.len(), 1);
    let known = place.backups().list().unwrap();
    assert_eq!(known.iter().map(good).collect::<Vec<_>>(), [true, true, false, false], "{known:?}");
}

#[test]
fn a_description_that_is_damaged_or_lost_is_written_anew_for_the_store_of_the_manifests_alone() {
    let (place, other) = (Place::new(20), Place::new(21));
    place.back_up();
    let file = place.dir.path().join("backups/repository.json");
    let sound = fs::read(&file).unwrap();
    for lost in [true, false] {
        if lost {
            fs::remove_file(&file).unwrap();
        } else {
            fs::write(&file, b"{\"format\": 1, \xff").unwrap();
        }
        let taken = other.store().back_up(&place.backups(), &BackupOptions::default(), &mut |_, _| {});
        let refused = taken.unwrap_err();
        assert_eq!(matches!(refused, BackupError::OtherStore { .. }), lost, "{refused}");
        place.back_up();
        assert_eq!(fs::read(&file).unwrap(), sound);
    }
}

#[test]
fn a_test_that_cannot_be_tried_takes_nothing_from_a_good_one() {
    let place = Place::new(11);
    let name = place.back_up().name;
    place.check_backup(&name);
    let root = place.dir.path().join("backups");
    // A file where the scratch folder would be made.
    barkeeper_storage::remove_folder(&root.join("partial")).unwrap();
    fs::write(root.join("partial"), "in the way").unwrap();
    let tested = place.backups().verify(&name, options(&place.clock), &mut |_, _| {}).unwrap();
    assert!(matches!(tested.outcome, TestOutcome::Inconclusive { .. }), "{tested:?}");
    let known = place.backups().list().unwrap().remove(0).tested.unwrap();
    assert!(matches!(known.outcome, TestOutcome::Inconclusive { .. }) && known.verified_at.is_some());
}
