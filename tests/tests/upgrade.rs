//! Stores of other versions: those of older ones open and hold what they held, those of newer ones, and of ones
//! that are too old, are refused and stay as they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use barkeeper::{
    BackupError, BackupOptions, BackupRepository, OpenError, RestoreOptions, Store, TestOutcome,
};
use barkeeper_records::{Batch, Clock as _, Operation, PositionKey};
use barkeeper_storage::{IdentityV1, OLDEST_STORE_FORMAT, STORE_FORMAT, StoredRow};
use barkeeper_tests::fixture::{self, COMMAND};
use barkeeper_tests::folder::{clock, files_below, options, scratch, verify};
use redb::{Database, ReadableDatabase, TableDefinition};

const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
/// What all fixtures together may take in the repository.
const MOST_BYTES: u64 = 200 * 1024;

/// All files of a store beside its database.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let of_database = |file: &PathBuf| file.ends_with("store.redb") || file.ends_with("store.sums");
    let files = files_below(dir).unwrap().into_iter().filter(|file| !of_database(file));
    files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

/// Writes another format into the identity of a store.
fn set_format(dir: &Path, format: u32) {
    let database = Database::open(dir.join("store.redb")).unwrap();
    let bytes = {
        let table = database.begin_read().unwrap().open_table(META).unwrap();
        table.get(b"identity".as_slice()).unwrap().unwrap().value().to_vec()
    };
    let identity = IdentityV1::from_bytes(b"identity", &bytes).unwrap();
    let other = IdentityV1 { format, ..identity }.to_bytes(b"identity");
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(b"identity".as_slice(), other.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    // The sums are those of the database before.
    drop(fs::remove_file(dir.join("store.sums")));
}

/// A small store, closed.
fn store_of_format(format: u32) -> tempfile::TempDir {
    let (dir, clock) = (scratch(), clock());
    let store = Store::create(dir.path(), options(&clock)).unwrap();
    store.commit(held(1)).unwrap();
    store.close().unwrap();
    set_format(dir.path(), format);
    dir
}

fn key() -> PositionKey {
    PositionKey::main("国金".parse().unwrap(), "000001.SZ".parse().unwrap())
}

fn held(days: u32) -> Batch {
    Batch::of(Operation::SetHeldDays { key: key(), days })
}

/// Opens a store that must be refused again and again, and looks whether anything in it has changed.
fn refused(dir: &Path) -> OpenError {
    let clock = clock();
    let open = || Store::open(dir, options(&clock)).map(drop).unwrap_err();
    let (files, tables) = (content(dir), fixture::tables(dir));
    let first = open();
    for _ in 0..3 {
        assert_eq!(open().to_string(), first.to_string());
        assert!(Store::verify(dir, options(&clock), &mut |_, _| {}).is_err());
    }
    // redb writes its own header whenever it opens a file, and the sums follow it.
    assert!(fixture::tables(dir) == tables, "the database was changed");
    assert_eq!(content(dir), files);
    first
}

#[test]
fn an_undo_puts_no_store_back_that_would_not_open() {
    let (dir, clock) = (store_of_format(STORE_FORMAT), clock());
    let (folder, backups) = (dir.path(), BackupRepository::at(&dir.path().join("backups")));
    let store = Store::open(folder, options(&clock)).unwrap();
    store.back_up(&backups, &BackupOptions::default(), &mut |_, _| {}).unwrap();
    store.close().unwrap();
    set_format(folder, OLDEST_STORE_FORMAT - 1);
    let now = clock.now();
    backups.restore("latest", folder, RestoreOptions { force: true }, now, &mut |_, _| {}).unwrap();
    let tables = fixture::tables(folder);
    let plan = backups.plan_undo(folder, None, options(&clock), true, &mut |_, _| {});
    for refused in [plan.map(drop), backups.undo_restore(folder, now).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(&error, BackupError::FormerFormat { .. }), "{error:?}");
        assert!(error.to_string().contains("is not put back: the store has format"), "{error}");
    }
    assert!(fixture::tables(folder) == tables && !folder.join("restoring").exists());
    let store = Store::open(folder, options(&clock)).unwrap();
    assert_eq!(store.position(&key()).unwrap().unwrap().held_days, Some(1));
}

#[test]
fn a_store_of_a_newer_format_is_refused_with_both_numbers_and_stays_as_it_is() {
    let dir = store_of_format(9);
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Newer { found: 9, known: STORE_FORMAT }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("format 9") && text.contains(&format!("up to {STORE_FORMAT}")), "{text}");
}

#[test]
fn a_store_that_is_too_old_is_refused_with_the_way_out_and_stays_as_it_is() {
    let dir = store_of_format(OLDEST_STORE_FORMAT - 1);
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Older { oldest: OLDEST_STORE_FORMAT, .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("from {OLDEST_STORE_FORMAT} on")) && text.contains("open it once"),
        "{text}"
    );
    // With its own number it is what it was.
    set_format(dir.path(), STORE_FORMAT);
    let store = Store::open(dir.path(), options(&clock())).unwrap();
    assert_eq!(store.position(&key()).unwrap().unwrap().held_days, Some(1));
}

#[test]
fn stores_of_older_versions_open_and_hold_what_they_held() {
    for format in OLDEST_STORE_FORMAT..=STORE_FORMAT {
        let path = fixture::path(format);
        let told = fs::read_to_string(path.with_extension("txt"));
        let told = told.unwrap_or_else(|error| panic!("{}: {error}; write it: {COMMAND}", path.display()));
        let (dir, clock) = (scratch(), clock());
        fixture::unpack(&path.with_extension("zip"), dir.path());
        let folder = dir.path().join("store");
        let fragile = |what: &str| {
            format!("format {format}: {what}. Before the first release, after a change of layout: {COMMAND}")
        };
        let report = verify(&folder, options(&clock)).unwrap_or_else(|error| panic!("{}", fragile(&error)));
        let store = Store::open(&folder, options(&clock))
            .unwrap_or_else(|error| panic!("{}", fragile(&error.to_string())));
        assert_eq!(fixture::told(&store), told, "{}", fragile("it does not hold what it held"));
        // It goes on from there.
        let receipt = store.commit(held(9)).unwrap();
        assert_eq!(receipt.lsn.0, report.lsn.0 + 1);
        assert_eq!(store.position(&key()).unwrap().unwrap().held_days, Some(9));
        store.close().unwrap();
        verify(&folder, options(&clock)).unwrap();
    }
}

#[test]
fn backups_of_older_versions_are_restored() {
    for format in OLDEST_STORE_FORMAT..=STORE_FORMAT {
        let (dir, clock) = (scratch(), clock());
        fixture::unpack(&fixture::path(format).with_extension("zip"), dir.path());
        let backups = BackupRepository::at(&dir.path().join("backups"));
        let all = backups.list().unwrap();
        assert!(!all.is_empty(), "format {format}: no backup; {COMMAND}");
        for one in all {
            let tested = backups.verify(&one.name, options(&clock), &mut |_, _| {}).unwrap();
            assert_eq!(tested.outcome, TestOutcome::Verified, "format {format}: {tested:?}; {COMMAND}");
            let into = dir.path().join("restored");
            let now = clock.now();
            backups.restore(&one.name, &into, RestoreOptions::default(), now, &mut |_, _| {}).unwrap();
            verify(&into, options(&clock)).unwrap();
        }
    }
}

/// The tables that the format's page names.
fn documented() -> Vec<String> {
    let page = include_str!("../../formats/FORMAT.md");
    let section = page.split("## 5. Tables").nth(1).unwrap().split("## 6.").next().unwrap();
    let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn the_newest_fixture_has_something_in_every_table_and_all_of_them_are_small() {
    let dir = scratch();
    fixture::unpack(&fixture::path(STORE_FORMAT).with_extension("zip"), dir.path());
    let tables: Vec<String> = fixture::tables(&dir.path().join("store")).into_keys().collect();
    assert_eq!(tables, documented(), "write it anew: {COMMAND}");
    for part in ["bars", "ticks", "market_trades", "trash"] {
        let files = files_below(&dir.path().join("store").join(part)).unwrap();
        assert!(!files.is_empty(), "no file below {part}; write it anew: {COMMAND}");
    }
    let files = files_below(&fixture::folder()).unwrap();
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes of fixtures");
}
