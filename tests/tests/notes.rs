//! Rot of the small files beside the database, the segments and the sums: notes, the reserve, what a repository of
//! backups says of itself and of its tests. Whatever becomes of them, the store holds what it held, and so do its
//! backups; the one note on which anything may depend later is a finding of `verify`.

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

use barkeeper::{BackupRepository, OpenError, PruneOptions, RestoreOptions, Retention, Store, TestOutcome};
use barkeeper_records::Clock as _;
use barkeeper_tests::backups::{Place, holds};
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{copy, files_below, options, scratch, turn, verify};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use tempfile::TempDir;

const FORCE: RestoreOptions = RestoreOptions { force: true };
const INCARNATION: &str = "incarnation.json";

/// Every way in which a small file may be harmed, and what is in it then: flipped bits, lost and zeroed ends, the
/// content of another file, none.
fn harmed(bytes: &[u8], other: &[u8], rng: &mut Rng, flips: usize) -> Vec<(String, Option<Vec<u8>>)> {
    let mut all = vec![
        ("lost".to_owned(), None),
        ("empty".to_owned(), Some(Vec::new())),
        ("zeroed".to_owned(), Some(vec![0; bytes.len()])),
        ("swapped with another".to_owned(), Some(other.to_vec())),
        ("grown".to_owned(), Some([bytes, [0; 100].as_slice()].concat())),
    ];
    let bits = bytes.len() * 8;
    for _ in 0..flips.min(bits) {
        let bit = rng.below(bits);
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        all.push((format!("bit {bit} flipped"), Some(flipped)));
    }
    for _ in 0..flips.min(bytes.len()) / 4 {
        let len = rng.below(bytes.len());
        all.push((format!("cut to {len} bytes"), Some(bytes[..len].to_vec())));
    }
    all
}

fn put(file: &Path, content: Option<&Vec<u8>>) {
    match content {
        Some(bytes) => fs::write(file, bytes).unwrap(),
        None => fs::remove_file(file).unwrap(),
    }
}

/// A store that was restored once, closed, and its backups.
fn restored(seed: u64) -> Place {
    let mut place = Place::new(seed);
    let report = place.back_up();
    place.check_backup(&report.name);
    place.go_on(4);
    place.back_up();
    place.close();
    let done =
        place.backups().restore("1", &place.folder(), FORCE, turn(&place.clock, 3), &mut |_, _| {}).unwrap();
    place.model = place.at[&report.lsn].clone();
    place.model.lsn = done.next_behind;
    place
}

fn copied(from: &Path) -> TempDir {
    let into = scratch();
    copy(from, into.path()).unwrap();
    into
}

#[test]
fn damaged_notes_of_a_store_are_harmless_or_found() {
    let seed = seed("damaged_notes_of_a_store_are_harmless_or_found");
    let (place, mut rng) = (restored(seed), Rng::new(seed));
    let folder = place.folder();
    let owner = fs::read(folder.join("owner.json"));
    fs::write(folder.join("owner.json"), owner.unwrap_or_else(|_| b"{\"pid\":1}".to_vec())).unwrap();
    verify(&folder, options(&place.clock)).unwrap();
    // These stores keep nothing back; whatever lies there means nothing.
    fs::write(folder.join("reserve"), [1; 5_000]).unwrap();
    let note = fs::read(folder.join(INCARNATION)).unwrap();
    let mut tried = 0;
    for name in ["owner.json", "reserve", INCARNATION] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let other = if name == INCARNATION { b"{}".to_vec() } else { note.clone() };
        for (what, content) in harmed(&bytes, &other, &mut rng, rounds(8, 400)) {
            let dir = copied(&folder);
            put(&dir.path().join(name), content.as_ref());
            let place_of = format!("{name}: {what}");
            // A whole note that is gone is not missed: the database says the same.
            let must_be_found = name == INCARNATION && content.is_some_and(|content| content != bytes);
            let report = Store::verify(dir.path(), options(&place.clock), &mut |_, _| {}).unwrap();
            let found = report.findings.iter().any(|finding| finding.place == INCARNATION && finding.damage);
            assert_eq!(
                (found, report.findings.len()),
                (must_be_found, usize::from(must_be_found)),
                "{place_of}"
            );
            let store = Store::open(dir.path(), options(&place.clock)).unwrap();
            let examined = Examination::of(&place.model, &store.snapshot().unwrap(), Depth::Rows);
            examined.perfect().unwrap_or_else(|error| panic!("{place_of}: {error}"));
            tried += 1;
        }
    }
    println!("{tried} damages");
}

#[test]
fn whoever_finds_a_store_in_use_is_told_so_whatever_the_owners_note_says() {
    let (mut place, mut rng) = (Place::new(3), Rng::new(3));
    let note = place.folder().join("owner.json");
    let bytes = fs::read(&note).unwrap();
    for (what, content) in harmed(&bytes, b"[]", &mut rng, 40) {
        put(&note, content.as_ref());
        let refused = Store::open(&place.folder(), options(&place.clock)).map(drop).unwrap_err();
        assert!(matches!(refused, OpenError::InUse { .. }), "{what}: {refused}");
    }
    place.close();
    place.open();
    assert_eq!(fs::read(&note).unwrap().first(), Some(&b'{'), "it is written anew");
}

#[test]
fn after_a_damaged_note_a_restore_still_goes_on_above_all_that_can_be_read() {
    let seed = seed("after_a_damaged_note_a_restore_still_goes_on_above_all_that_can_be_read");
    let (place, mut rng) = (restored(seed), Rng::new(seed));
    let bytes = fs::read(place.folder().join(INCARNATION)).unwrap();
    for (what, content) in harmed(&bytes, b"{\"epoch\":1,\"lsn\":0}", &mut rng, rounds(6, 100)) {
        let dir = copied(place.dir.path());
        let (folder, backups) = (dir.path().join("store"), BackupRepository::at(&dir.path().join("backups")));
        put(&folder.join(INCARNATION), content.as_ref());
        let done = backups.restore("2", &folder, FORCE, place.clock.now(), &mut |_, _| {}).unwrap();
        assert_eq!(done.epoch, 3, "{what}");
        assert!(done.next_behind > place.model.lsn, "{what}: {done:?}");
        verify(&folder, options(&place.clock)).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[test]
fn damaged_notes_of_a_repository_cost_no_backup() {
    let seed = seed("damaged_notes_of_a_repository_cost_no_backup");
    let mut place = Place::new(seed);
    let good = place.back_up();
    place.check_backup(&good.name);
    for _ in 0..2 {
        turn(&place.clock, 40 * 86_400_000);
        place.go_on(3);
        place.back_up();
    }
    let newest = place.backups().list().unwrap().last().unwrap().name.clone();
    let (root, mut rng) = (place.dir.path().join("backups"), Rng::new(seed));
    let mut notes: Vec<PathBuf> = files_below(&root.join("tests")).unwrap();
    notes.extend([root.join("repository.json"), root.join("lock")]);
    assert!(notes.len() >= 3, "{notes:?}");
    for note in notes {
        let inside = note.strip_prefix(&root).unwrap();
        let bytes = fs::read(&note).unwrap();
        for (what, content) in harmed(&bytes, b"{\"format\":1}", &mut rng, rounds(10, 200)) {
            let what = format!("{}: {what}", inside.display());
            let dir = copied(&root);
            put(&dir.path().join(inside), content.as_ref());
            let backups = BackupRepository::at(dir.path());
            // A note of a test that is gone tells of no test; one that cannot be read may have told of a good one.
            let keeps_good = content.is_some() || !inside.starts_with("tests");
            let pruned = backups.prune(
                &Retention { days: Some(0), last: 0 },
                place.clock.now(),
                PruneOptions::default(),
            );
            if let Err(error) = &pruned {
                // A format that no program knows yet is none to remove anything from.
                assert!(inside.ends_with("repository.json"), "{what}: {error}");
                continue;
            }
            let left: Vec<String> = backups.list().unwrap().into_iter().map(|one| one.name).collect();
            assert!(left.contains(&newest), "{what}: {left:?}");
            assert!(!keeps_good || left.contains(&good.name), "{what}: {left:?}");
            let unread = |one: &barkeeper::BackupInfo| one.name == good.name && one.tested.is_none();
            let lost = backups.list().unwrap().iter().any(|one| unread(one) && one.test_lost);
            assert_eq!(lost, backups.list().unwrap().iter().any(unread) && content.is_some(), "{what}");
            let tested = backups.verify(&newest, options(&place.clock), &mut |_, _| {}).unwrap();
            assert_eq!(tested.outcome, TestOutcome::Verified, "{what}");
        }
    }
    // The backups themselves are what they were.
    let into = place.dir.path().join("again");
    let done = place
        .backups()
        .restore(&good.name, &into, RestoreOptions::default(), place.clock.now(), &mut |_, _| {})
        .unwrap();
    holds(&into, &place.clock, &place.at[&good.lsn], done.next_behind);
}
