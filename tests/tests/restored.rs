//! A restored store and its SQLite replica: nothing is overwritten on either side before a person decides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where something is not as it must be"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use barkeeper::{BackupOptions, BackupRepository, RestoreOptions, Store, StoreOptions};
use barkeeper_records::{AccountId, Batch, Clock, FixedClock, Lsn, Operation, PositionKey, Timestamp};
use barkeeper_sync::sqlite::{SqliteConfig, SqliteSink};
use barkeeper_sync::{
    CheckOptions, Fork, MemoryFile, Options, QuarantineReason, Reached, RepairOptions, Replicator,
    Resolution, State, Verdict,
};
use rusqlite::Connection;
use tempfile::TempDir;

struct Desk {
    dir: TempDir,
    clock: Arc<FixedClock>,
    seed: u64,
}

impl Desk {
    fn new() -> Self {
        let clock = Arc::new(FixedClock::new("2026-11-20T02:00:00Z".parse().unwrap()));
        let desk = Self { dir: tempfile::tempdir().unwrap(), clock, seed: 1 };
        let store = Store::create(&desk.path("store"), desk.options()).unwrap();
        store.feed().register_target("replica").unwrap();
        store.close().unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self) -> StoreOptions {
        StoreOptions { background: false, ..StoreOptions::new(self.clock.clone()) }
    }

    fn open(&self, folder: &str) -> Store {
        Store::open(&self.path(folder), self.options()).unwrap()
    }

    /// Sets held days of positions, one commit each.
    fn write(&self, folder: &str, positions: std::ops::Range<u32>, days: u32) -> Lsn {
        let store = self.open(folder);
        let mut lsn = Lsn(0);
        for n in positions {
            self.clock.set(Timestamp::from_nanos(self.clock.now().nanos() + 1_000_000_000));
            let set = Operation::SetHeldDays { key: key(n), days };
            lsn = store.commit(Batch::of(set)).unwrap().lsn;
        }
        store.close().unwrap();
        lsn
    }

    fn back_up(&self, folder: &str) {
        let store = self.open(folder);
        let backups = BackupRepository::at(&self.path("backups"));
        store.back_up(&backups, &BackupOptions::default(), &mut |_, _| {}).unwrap();
        store.close().unwrap();
    }

    fn restore(&self, backup: &str, folder: &str) -> Lsn {
        let backups = BackupRepository::at(&self.path("backups"));
        let force = RestoreOptions { force: true };
        let done = backups.restore(backup, &self.path(folder), force, self.clock.now(), &mut |_, _| {});
        done.unwrap().next_behind
    }

    /// A replicator of a process of its own; what it remembers lies beside the store's folder.
    fn replicator(&mut self, store: &Store, folder: &str) -> Replicator {
        self.seed += 1;
        let options = Options { verify_every: None, ..Options::of("replica", self.seed) };
        let memory = MemoryFile::new(self.path(&format!("{folder}.memory.json")));
        let clock: Arc<dyn Clock> = self.clock.clone();
        let sink = SqliteSink::new(SqliteConfig::of(self.path("replica.sqlite"))).unwrap();
        Replicator::new(store.feed(), Box::new(sink), clock, memory, options)
    }

    fn sync(&mut self, folder: &str) -> (Reached, State) {
        let store = self.open(folder);
        let mut replicator = self.replicator(&store, folder);
        let reached = replicator.run_until_current(&AtomicBool::new(false), &mut |_, _| {});
        (reached, replicator.state().clone())
    }

    fn synced(&mut self, folder: &str) {
        let (reached, state) = self.sync(folder);
        assert_eq!(reached, Reached::Current, "{state:?}");
    }

    fn check(&mut self, folder: &str) -> Verdict {
        let store = self.open(folder);
        let options = CheckOptions::default();
        self.replicator(&store, folder).check(&options, &AtomicBool::new(false)).unwrap().verdict
    }

    /// Everything that stands in the replica, bookkeeping included.
    fn replica(&self) -> Vec<String> {
        let connection = Connection::open(self.path("replica.sqlite")).unwrap();
        let mut found = Vec::new();
        for table in ["bk_positions", "bk_sync", "bk_meta"] {
            let mut rows = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = rows.column_count();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values = (0..columns).map(|place| format!("{:?}", row.get_ref(place).unwrap()));
                found.push(format!("{table}: {}", values.collect::<Vec<_>>().join(" ")));
            }
        }
        found
    }
}

fn key(n: u32) -> PositionKey {
    let instrument = format!("{:06}.SZ", n + 1).parse().unwrap();
    PositionKey::main(AccountId::new("desk").unwrap(), instrument)
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

#[test]
fn a_target_that_has_nothing_that_was_lost_goes_on() {
    let mut desk = Desk::new();
    desk.write("store", 0..20, 1);
    desk.synced("store");
    let head = desk.write("store", 0..5, 2);
    desk.back_up("store");
    desk.write("store", 5..9, 9);
    // The replica stands before the backup's end: what was lost never reached it.
    let next = desk.restore("latest", "store");
    assert_eq!((head, next), (Lsn(25), Lsn(1_000_000_000)));
    desk.synced("store");
    assert_eq!(desk.check("store"), Verdict::Agree);
    assert_eq!(desk.write("store", 0..1, 7), Lsn(1_000_000_001));
    desk.synced("store");
    assert_eq!(desk.check("store"), Verdict::Agree);
}

#[test]
fn a_target_that_has_what_was_lost_waits_for_a_person_untouched() {
    let mut desk = Desk::new();
    desk.write("store", 0..20, 1);
    desk.synced("store");
    desk.back_up("store");
    desk.write("store", 15..25, 2);
    desk.synced("store");
    desk.restore("latest", "store");
    let before = desk.replica();
    let lost = QuarantineReason::Forked(Fork::Restored { there: Lsn(30), kept: Lsn(20) });
    assert_eq!(desk.sync("store"), (Reached::Blocked, State::Quarantine(lost.clone())));
    // Commits of the new incarnation change nothing about that, and nothing is sent.
    desk.write("store", 0..3, 5);
    assert_eq!(desk.sync("store"), (Reached::Blocked, State::Quarantine(lost.clone())));
    assert_eq!(desk.replica(), before);

    // A person decides for the store: it takes the stream, and what only the target has stays there.
    let store = desk.open("store");
    let mut replicator = desk.replicator(&store, "store");
    assert_eq!(replicator.run_until_current(&AtomicBool::new(false), &mut |_, _| {}), Reached::Blocked);
    replicator.resolve(Resolution::KeepLocal).unwrap();
    assert_eq!(replicator.run_until_current(&AtomicBool::new(false), &mut |_, _| {}), Reached::Current);
    let rows = |desk: &Desk| desk.replica().iter().filter(|row| row.starts_with("bk_positions")).count();
    assert_eq!(rows(&desk), 25);
    let save_to = desk.path("saved.jsonl");
    let options = RepairOptions { save_to: save_to.clone(), allow_large: true, dry_run: false };
    let (_, after) = replicator.repair(&options, &AtomicBool::new(false)).unwrap();
    assert_eq!(after.verdict, Verdict::Agree);
    let saved = std::fs::read_to_string(save_to).unwrap();
    assert!((21..=25).all(|n| saved.contains(&format!("{n:06}.SZ"))), "{saved}");
    drop((replicator, store));
    assert_eq!(desk.check("store"), Verdict::Agree);
}

#[test]
fn a_decision_that_was_cut_off_is_asked_for_again() {
    let mut desk = Desk::new();
    desk.write("store", 0..9, 1);
    desk.back_up("store");
    desk.write("store", 0..9, 2);
    desk.synced("store");
    desk.restore("latest", "store");
    for steps in 0..12 {
        let store = desk.open("store");
        let mut replicator = desk.replicator(&store, "store");
        assert_ne!(replicator.run_until_current(&AtomicBool::new(false), &mut |_, _| {}), Reached::Stopped);
        replicator.resolve(Resolution::KeepLocal).unwrap();
        for _ in 0..steps {
            replicator.step();
        }
    }
    let (reached, state) = desk.sync("store");
    assert_eq!(reached, Reached::Current, "{state:?}");
}

#[test]
fn the_store_that_was_restored_elsewhere_and_the_former_one_never_write_both() {
    let mut desk = Desk::new();
    desk.write("store", 0..20, 1);
    desk.synced("store");
    desk.back_up("store");
    // The replica has nothing that the backup lacks: the restored store may take the stream.
    desk.restore("latest", "elsewhere");
    copy(&desk.path("store.memory.json"), &desk.path("elsewhere.memory.json"));
    desk.write("elsewhere", 0..5, 3);
    desk.synced("elsewhere");
    // The former one finds it taken.
    desk.write("store", 10..15, 4);
    let (reached, state) = desk.sync("store");
    assert_eq!(reached, Reached::Blocked);
    assert!(
        matches!(state, State::Quarantine(QuarantineReason::Forked(Fork::OtherCopy { held })) if held.epoch == 2),
        "{state:?}"
    );
    desk.synced("elsewhere");
    assert_eq!(desk.check("elsewhere"), Verdict::Agree);
    // A second restore of the same backup is a third store: it does not take from the first one unasked.
    desk.restore("1", "third");
    copy(&desk.path("store.memory.json"), &desk.path("third.memory.json"));
    desk.write("third", 0..5, 8);
    let before = desk.replica();
    let (reached, state) = desk.sync("third");
    assert_eq!(reached, Reached::Blocked, "{state:?}");
    assert!(matches!(state, State::Quarantine(QuarantineReason::Forked(_))), "{state:?}");
    assert_eq!(desk.replica(), before);
}

#[test]
fn an_undone_restore_leaves_the_target_as_if_nothing_had_been() {
    let mut desk = Desk::new();
    desk.write("store", 0..20, 1);
    desk.synced("store");
    desk.back_up("store");
    desk.write("store", 0..9, 2);
    desk.synced("store");
    desk.restore("latest", "store");
    assert_eq!(desk.sync("store").0, Reached::Blocked);
    let backups = BackupRepository::at(&desk.path("backups"));
    backups.undo_restore(&desk.path("store"), desk.clock.now()).unwrap();
    desk.write("store", 3..7, 6);
    desk.synced("store");
    assert_eq!(desk.check("store"), Verdict::Agree);
}

#[test]
fn a_version_clock_never_falls_behind_the_former_store() {
    let desk = Desk::new();
    desk.write("store", 0..3, 1);
    desk.back_up("store");
    // The former clock had run far ahead; the new one is right.
    let right = desk.clock.now();
    desk.clock.set("2036-01-01T00:00:00Z".parse().unwrap());
    desk.write("store", 0..3, 2);
    desk.clock.set(right);
    desk.restore("latest", "store");
    desk.write("store", 0..1, 3);
    let store = desk.open("store");
    let rows = store.feed().rows(
        barkeeper_records::Table::Positions,
        &[vec!["desk", "main", "000001.SZ"]
            .into_iter()
            .map(|text| barkeeper_records::Value::Text(text.into()))
            .collect()],
    );
    let version = rows.unwrap().remove(0).unwrap().version;
    assert!(version.time() >= "2036-01-01T00:00:00Z".parse().unwrap(), "{}", version.time());
}
