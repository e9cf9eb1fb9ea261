//! Backups as the settings want them: the function of a scheduler, and what comes along with the store.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use barkeeper::{BackupOptions, RestoreOptions, Retention, SealOptions, TestOutcome};
use barkeeper_host::{
    Config, InitSettings, Opened, backup_options, create, open, restore_backup, scheduled_backup,
};
use barkeeper_records::{Bar, BarRun, Batch, OnConflict, Operation, PositionKey, SeriesKey, TradingDay};
use barkeeper_sync::Mode;

fn desk(dir: &Path, settings: &str) -> Opened {
    let folder = dir.join("store");
    drop(create(&folder, &InitSettings::default(), "test").unwrap());
    let file = folder.join("barkeeper.toml");
    let text = fs::read_to_string(&file).unwrap() + settings;
    fs::write(&file, text).unwrap();
    open(&folder, "test").unwrap()
}

fn write(opened: &Opened, days: u32) {
    let key = PositionKey::main("desk".parse().unwrap(), "000001.SZ".parse().unwrap());
    opened.store.commit(Batch::of(Operation::SetHeldDays { key, days })).unwrap();
}

#[test]
fn a_scheduled_backup_is_made_tested_in_its_turn_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let opened = desk(dir.path(), "\n[backup]\nfolder = \"../kept\"\nkeep_last = 2\nverify_every = 3\n");
    let mut tested = Vec::new();
    for round in 1..=7 {
        write(&opened, round);
        let done = scheduled_backup(&opened, &mut |_, _| {}).unwrap();
        assert!(done.is_good(), "{done:?}");
        if let Some(test) = &done.tested {
            assert_eq!(test.as_ref().unwrap().outcome, TestOutcome::Verified);
            tested.push(round);
        }
        assert_eq!(done.created.lsn.0, u64::from(round));
    }
    // The first one, because none was ever tested, and then every third.
    assert_eq!(tested, [1, 4, 7]);
    let repository = opened.config.backup.repository(opened.store.folder(), None);
    assert!(dir.path().join("kept/manifests").is_dir());
    let numbers: Vec<u64> = repository.list().unwrap().iter().map(|one| one.number).collect();
    assert_eq!(numbers, [6, 7]);
}

#[test]
fn a_test_that_fails_removes_nothing_and_hides_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let opened = desk(dir.path(), "\n[backup]\nkeep_last = 1\nverify_every = 1\n");
    write(&opened, 1);
    let day = TradingDay::from_days(19_800).unwrap();
    let bar = Bar::from_numbers(day.label(), day, [1.0, 1.0, 1.0, 1.0, 100.0, 100.0, 0.0]);
    let run = BarRun::new(SeriesKey::daily("000001.SZ".parse().unwrap()), vec![bar]).unwrap();
    opened.store.commit(Batch::of(Operation::PutBars { run, on_conflict: OnConflict::Refuse })).unwrap();
    opened.store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    scheduled_backup(&opened, &mut |_, _| {}).unwrap();
    // The second backup of the same state shares this content.
    let files = opened.store.folder().join("backups/files");
    let database = fs::read_dir(files).unwrap().map(|entry| entry.unwrap().path());
    let database: Vec<PathBuf> = database.filter(|path| path.extension().unwrap() == "redb").collect();
    let whole = fs::read(&database[0]).unwrap();
    let mut bytes = whole.clone();
    bytes[5_000] ^= 1;
    fs::write(&database[0], &bytes).unwrap();
    let mended = scheduled_backup(&opened, &mut |_, _| {}).unwrap();
    assert!(mended.is_good() && mended.created.mended.len() == 1, "{mended:?}");
    assert_eq!(fs::read(&database[0]).unwrap(), whole);
    // Damaged again when the backup has passed it, while it reads the segments: before its test.
    let done = scheduled_backup(&opened, &mut |_, _| fs::write(&database[0], &bytes).unwrap()).unwrap();
    assert!(!done.is_good() && done.pruned.is_none(), "{done:?}");
    let test = done.tested.unwrap().unwrap();
    assert!(matches!(test.outcome, TestOutcome::Failed { .. }), "{test:?}");
    // A new state is a new content.
    write(&opened, 2);
    assert!(scheduled_backup(&opened, &mut |_, _| {}).unwrap().is_good());
}

#[test]
fn settings_come_along_and_their_targets_are_switched_off_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let opened = desk(
        dir.path(),
        "\n[targets.replica]\nkind = \"sqlite\"\npath = \"../replica.sqlite\"   # beside the store\n",
    );
    let folder = opened.store.folder().to_owned();
    fs::create_dir(folder.join("sync")).unwrap();
    for name in ["replica.json", "replica.status.json", "letter.txt"] {
        fs::write(folder.join("sync").join(name), "{}").unwrap();
    }
    let options = backup_options(&folder, false).unwrap();
    assert_eq!(options.extras, [PathBuf::from("barkeeper.toml"), Path::new("sync").join("replica.json")]);
    write(&opened, 3);
    let repository = opened.config.backup.repository(&folder, None);
    opened.store.back_up(&repository, &options, &mut |_, _| {}).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    let restored =
        restore_backup(&repository, "latest", &elsewhere, RestoreOptions::default(), &mut |_, _| {}).unwrap();
    assert_eq!((restored.switched_off.as_slice(), restored.report.epoch), (&["replica".to_owned()][..], 2));
    let settings = Config::load(&elsewhere).unwrap();
    assert!(settings.targets.values().all(|target| target.mode == Mode::LocalOnly));
    assert!(fs::read_to_string(elsewhere.join("barkeeper.toml")).unwrap().contains("# beside the store"));
    // In place, the settings stay what they are.
    drop(opened);
    let force = RestoreOptions { force: true };
    let restored = restore_backup(&repository, "latest", &folder, force, &mut |_, _| {}).unwrap();
    assert_eq!((restored.switched_off.len(), restored.targets.as_slice()), (0, &["replica".to_owned()][..]));
    let settings = Config::load(&folder).unwrap();
    assert!(settings.targets.values().all(|target| target.mode == Mode::Replicate));
    assert_eq!(BackupOptions::default().extras.len(), 0);
}

#[test]
fn rules_given_on_the_spot_count_before_those_of_the_settings() {
    let of = |text: &str| Config::parse(text, Path::new("barkeeper.toml")).unwrap().backup;
    let nothing = of("");
    assert_eq!(nothing.retention(None, None), Retention { days: Some(30), last: 1 });
    assert_eq!(nothing.retention(None, Some(4)), Retention { days: None, last: 4 });
    let settings = of("[backup]\nkeep_days = 90\nkeep_last = 9\n");
    assert_eq!(settings.retention(None, None), Retention { days: Some(90), last: 9 });
    assert_eq!(settings.retention(Some(7), None), Retention { days: Some(7), last: 1 });
    let wrong = Config::parse("[backup]\nkeep_day = 3\n", Path::new("barkeeper.toml")).unwrap_err();
    assert!(wrong.to_string().contains("keep_day"), "{wrong}");
}
