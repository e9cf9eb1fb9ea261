//! A full disk: a small file system of the test's own is filled. Bars stop first, trades go on into the reserve,
//! then nothing is written and all is read; when room comes back the same open store goes on by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use barkeeper::{
    CommitError, MaintenanceError, MergeOptions, OpenError, SealOptions, Store, StoreOptions, WriteState,
};
use barkeeper_records::{
    AdjustmentTag, BarRun, Batch, FixedClock, Interval, OnConflict, Operation, SeriesKey, Timestamp,
    TradeRecord,
};
use barkeeper_tests::folder::{clock, options, turn, verify};
use barkeeper_tests::market::Market;
use barkeeper_tests::workload::Workload;
use tempfile::TempDir;

const RESERVE: u64 = 4 << 20;

/// A file system in memory, which goes with the test.
struct Disk {
    place: TempDir,
}

impl Disk {
    /// `None` where the test may not mount one.
    fn mounted(bytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place.path()).output();
        match mount {
            Ok(done) if done.status.success() => Some(Self { place }),
            other => {
                println!("SKIPPED: no file system can be mounted here: {other:?}");
                None
            }
        }
    }

    fn store(&self) -> PathBuf {
        self.place.path().join("store")
    }

    /// Takes all room but `left` bytes with a file of this name.
    fn fill(&self, name: &str, left: u64) {
        let mut file = File::create(self.place.path().join(name)).unwrap();
        let block = vec![1_u8; 64 << 10];
        while file.write_all(&block).is_ok() {}
        file.sync_all().ok();
        let len = file.metadata().unwrap().len();
        file.set_len(len.saturating_sub(left)).unwrap();
    }

    fn free(&self, name: &str) {
        fs::remove_file(self.place.path().join(name)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(self.place.path()).status();
        assert!(std::thread::panicking() || done.is_ok_and(|done| done.success()), "it cannot be unmounted");
    }
}

/// What was acknowledged.
struct Ledger {
    store: Option<Store>,
    clock: Arc<FixedClock>,
    workload: Workload,
    trades: Vec<TradeRecord>,
    runs: Vec<BarRun>,
}

fn with_reserve(clock: &Arc<FixedClock>) -> StoreOptions {
    StoreOptions { reserve_bytes: RESERVE, ..options(clock) }
}

impl Ledger {
    fn new(dir: &Path) -> Self {
        let clock = clock();
        let store = Store::create(dir, with_reserve(&clock)).unwrap();
        let workload = Workload::new(Market::new(20), 3);
        Self { store: Some(store), clock, workload, trades: Vec::new(), runs: Vec::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn trade(&mut self) -> Result<(), CommitError> {
        turn(&self.clock, 3);
        let fill =
            TradeRecord { external_id: None, ..self.workload.fill(Market::day(self.trades.len() % 50)) };
        self.store().commit(Batch::of(Operation::RecordTrade(fill.clone())))?;
        self.trades.push(fill);
        Ok(())
    }

    fn bars(&mut self) -> Result<(), CommitError> {
        turn(&self.clock, 3);
        let number = self.runs.len();
        let instrument = self.workload.market.instruments[number % 20];
        let series = SeriesKey { interval: Interval::MINUTE, adjustment: AdjustmentTag::Raw, instrument };
        let bar = |place| Market::bar(&series, Market::moment(Interval::MINUTE, number, place), place % 3);
        let run = BarRun::new(series, (0..200).map(bar).collect()).unwrap();
        let on_conflict = OnConflict::Refuse;
        self.store().commit(Batch::of(Operation::PutBars { run: run.clone(), on_conflict }))?;
        self.runs.push(run);
        Ok(())
    }

    /// Everything that was acknowledged is read.
    fn look(&self) {
        let snapshot = self.store().snapshot().unwrap();
        for trade in &self.trades {
            assert_eq!(snapshot.trade(trade.trade_id).unwrap().as_ref(), Some(trade));
        }
        for run in &self.runs {
            let (first, last) = (run.bars()[0].ts, run.bars()[run.bars().len() - 1].ts);
            assert_eq!(snapshot.bars(&run.series(), first, last).unwrap(), run.bars());
        }
        let log = barkeeper::TradeQuery::default();
        assert_eq!(snapshot.trades(&log).unwrap().len(), self.trades.len());
        let series = snapshot.all_series(None, None).unwrap();
        let count: u64 = series.iter().map(|series| series.count).sum();
        assert_eq!(count, self.runs.len() as u64 * 200);
        let _: Timestamp = Timestamp::MIN;
    }

    fn state(&self) -> WriteState {
        self.store().stats().unwrap().writes
    }
}

#[test]
fn a_full_disk_stops_bars_then_the_rest_and_all_goes_on_when_there_is_room() {
    let Some(disk) = Disk::mounted(32 << 20) else { return };
    let dir = disk.store();
    let mut ledger = Ledger::new(&dir);
    let reserve = dir.join("reserve");
    for _ in 0..5 {
        ledger.trade().unwrap();
        ledger.bars().unwrap();
    }
    assert_eq!(ledger.state(), WriteState::Writable);
    assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE);
    for round in 0..2 {
        // Little room: bars stop, and say how much they need.
        disk.fill("other", RESERVE / 4);
        let low = ledger.bars().unwrap_err();
        assert!(
            matches!(low, CommitError::LowSpace { free, needed } if free < needed && needed == RESERVE / 2)
        );
        assert!(matches!(ledger.state(), WriteState::LedgerOnly { .. }));
        let sealed = ledger.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap_err();
        assert!(
            matches!(sealed, MaintenanceError::Commit(inner) if matches!(*inner, CommitError::LowSpace { .. }))
        );
        ledger.trade().unwrap();
        assert!(reserve.exists());
        // No room: the ledger goes on in the reserve.
        disk.fill("another", 0);
        for _ in 0..50 {
            ledger.trade().unwrap();
        }
        assert!(!reserve.exists());
        let low = ledger.bars().unwrap_err();
        assert!(
            matches!(low, CommitError::LowSpace { needed, .. } if needed == RESERVE / 2 + RESERVE),
            "{low:?}"
        );
        ledger.look();
        // The reserve is gone as well: nothing is written, and all is read.
        disk.fill("more", 0);
        for _ in 0..5 {
            assert!(matches!(ledger.trade(), Err(CommitError::DiskFull)));
            assert!(matches!(ledger.bars(), Err(CommitError::DiskFull)));
            ledger.look();
        }
        assert_eq!(ledger.state().to_string(), "read-only: disk full");
        if round == 1 {
            // It can be closed and opened as it is.
            drop(ledger.store.take());
            ledger.store = Some(Store::open(&dir, with_reserve(&ledger.clock)).unwrap());
            ledger.look();
            assert!(matches!(ledger.trade(), Err(CommitError::DiskFull)));
        }
        // A little room comes back: the ledger before anything else, then the reserve, then bars.
        disk.free("more");
        ledger.trade().unwrap();
        assert!(matches!(ledger.bars(), Err(CommitError::LowSpace { .. })) && !reserve.exists());
        disk.free("another");
        disk.free("other");
        ledger.bars().unwrap();
        assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE);
        assert_eq!(ledger.state(), WriteState::Writable);
        ledger.look();
    }
    drop(ledger.store.take());
    verify(&dir, with_reserve(&ledger.clock)).unwrap();
    ledger.store = Some(Store::open(&dir, with_reserve(&ledger.clock)).unwrap());
    ledger.look();
    drop(ledger.store.take());
}

#[test]
fn a_merge_begins_only_where_its_output_has_room() {
    let Some(disk) = Disk::mounted(32 << 20) else { return };
    let mut ledger = Ledger::new(&disk.store());
    for _ in 0..2 {
        for _ in 0..20 {
            ledger.bars().unwrap();
        }
        ledger.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    }
    let whole = MergeOptions { whole: true, ..MergeOptions::default() };
    let bytes = ledger.store().merge_plan(&whole).unwrap()[0].bytes;
    assert!(bytes > 128 << 10, "{bytes} bytes are too few for this test");
    // Enough for bars, and too little for the merge.
    disk.fill("other", RESERVE / 2 + bytes / 2);
    let before = ledger.store().stats().unwrap().segments;
    let error = ledger.store().merge(&whole, &mut |_, _| {}).unwrap_err();
    let MaintenanceError::Commit(inner) = &error else { panic!("{error:?}") };
    assert!(
        matches!(**inner, CommitError::LowSpace { needed, .. } if needed == RESERVE / 2 + bytes),
        "{error:?}"
    );
    assert_eq!(ledger.store().stats().unwrap().segments, before);
    ledger.bars().unwrap();
    disk.free("other");
    assert!(!ledger.store().merge(&whole, &mut |_, _| {}).unwrap().is_empty());
    ledger.look();
    drop(ledger.store.take());
}

/// Without a guard the disk fills up in the middle of commits.
#[test]
fn a_disk_that_fills_up_in_the_middle_of_a_commit_loses_nothing() {
    let Some(disk) = Disk::mounted(12 << 20) else { return };
    let dir = disk.store();
    let mut ledger = Ledger::new(&dir);
    drop(ledger.store.take());
    let unguarded = || options(&ledger.clock.clone());
    ledger.store = Some(Store::open(&dir, unguarded()).unwrap());
    assert!(!dir.join("reserve").exists());
    let full = |ledger: &mut Ledger| {
        for _ in 0..10_000 {
            match ledger.bars() {
                Ok(()) => {}
                Err(CommitError::DiskFull) => return,
                Err(other) => panic!("{other:?}"),
            }
        }
        panic!("the disk is not full");
    };
    full(&mut ledger);
    for _ in 0..3 {
        assert!(matches!(ledger.bars(), Err(CommitError::DiskFull)));
        assert_eq!(ledger.state().to_string(), "read-only: disk full");
        ledger.look();
    }
    // The database was opened anew again and again, and its lock was never let go.
    let other = Store::open(&dir, options(&ledger.clock)).map(drop).unwrap_err();
    assert!(matches!(other, OpenError::InUse { .. }), "{other:?}");
    println!("{} commits of bars", ledger.runs.len());
    assert!(ledger.runs.len() > 10);
    drop(ledger.store.take());
    ledger.store = Some(Store::open(&dir, options(&ledger.clock)).unwrap());
    ledger.look();
    drop(ledger.store.take());
}
