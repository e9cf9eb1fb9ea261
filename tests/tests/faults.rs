//! Faults of the disk: whatever operation fails, once or from then on, with EIO, ENOSPC or half of the bytes. No
//! commit that was acknowledged is lost, every failure is an error and no panic, and when the fault is gone the
//! same open store goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;
use std::sync::Arc;

use barkeeper::{CommitError, ReadError, Store};
use barkeeper_records::{Batch, FixedClock, Operation};
use barkeeper_tests::digests;
use barkeeper_tests::disk::{Disk, Fault};
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{clock, options, scratch, turn};
use barkeeper_tests::guard::guarded;
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, same_answer};
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;

const TARGET: &str = "replica";
/// How often a healthy disk may be asked before the store must answer: it looks at pages that it could not read ever
/// more rarely.
const PATIENCE: usize = 130;

/// A store that was closed, as the bytes of its database.
struct Closed {
    dir: tempfile::TempDir,
    clock: Arc<FixedClock>,
    image: Vec<u8>,
    model: Model,
    workload: Workload,
}

fn open(disk: &Disk, dir: &Path, clock: &Arc<FixedClock>) -> Result<Store, String> {
    let opened = guarded(|| Store::on_backend(disk.clone(), dir, options(clock)));
    opened.expect("no panic").map_err(|error| error.to_string())
}

impl Closed {
    fn new(seed: u64) -> Self {
        let (dir, clock, disk) = (scratch(), clock(), Disk::new());
        let store = open(&disk, dir.path(), &clock).unwrap();
        store.feed().register_target(TARGET).unwrap();
        let (mut model, mut workload) = (Model::default(), Workload::new(Market::new(40), seed));
        for _ in 0..40 {
            let batch = workload.batch(&model);
            let expected = model.apply(&batch, turn(&clock, 3));
            same_answer(&store.commit(batch), &expected).unwrap();
        }
        store.close().unwrap();
        Self { dir, clock, image: disk.bytes(), model, workload }
    }

    /// Opens it on a disk with a fault, works with it, and looks at it when the fault is gone. Answers whether the
    /// fault was met.
    fn run(&self, fault: Fault, at: usize, once: bool) -> Outcome {
        let disk = Disk::holding(self.image.clone());
        let place = format!("{fault:?} at operation {at}, {}", if once { "once" } else { "from then on" });
        disk.strike(fault, at, once);
        let mut outcome = Outcome::default();
        let store = match open(&disk, self.dir.path(), &self.clock) {
            Ok(store) => store,
            Err(error) => {
                assert!(disk.struck() > 0, "{place}: {error}");
                outcome.refused = 1;
                disk.heal();
                open(&disk, self.dir.path(), &self.clock)
                    .unwrap_or_else(|error| panic!("{place}: healed, {error}"))
            }
        };
        let (mut model, mut workload) = (self.model.clone(), self.workload.clone());
        for step in 0..8 {
            let now = turn(&self.clock, 3);
            let batch = workload.batch(&model);
            let mut next = model.clone();
            let expected = next.apply(&batch, now);
            match guarded(|| store.commit(batch)).expect(&place) {
                Err(
                    CommitError::DiskFull
                    | CommitError::NotStored { .. }
                    | CommitError::Failed { .. }
                    | CommitError::Read(_),
                ) => outcome.failed += 1,
                found => {
                    same_answer(&found, &expected)
                        .unwrap_or_else(|error| panic!("{place}, step {step}: {error}"));
                    model = next;
                }
            }
            outcome.unread += usize::from(Self::glance(&store, &model, &place));
        }
        outcome.struck = disk.struck();
        disk.heal();
        Self::settle(&store, &model, &place);
        // It is written to as well, with nothing in between.
        // One commit may still miss a page that could not be read, and has it looked at again.
        let key = workload.market.position(&mut rng());
        let batch = Batch::of(Operation::SetHeldDays { key, days: 7 });
        let missed = guarded(|| store.commit(batch.clone())).expect(&place);
        if !matches!(missed, Err(CommitError::Read(_))) {
            same_answer(&missed, &model.apply(&batch, turn(&self.clock, 0)))
                .unwrap_or_else(|error| panic!("{place}, healed: {error}"));
        }
        let expected = model.apply(&batch, turn(&self.clock, 3));
        same_answer(&store.commit(batch), &expected)
            .unwrap_or_else(|error| panic!("{place}, healed: {error}"));
        Self::settle(&store, &model, &place);
        let mut agreed = digests::agree(&model, store.feed().as_ref());
        for _ in 0..PATIENCE {
            agreed = agreed.or_else(|_| digests::agree(&model, store.feed().as_ref()));
        }
        agreed.unwrap_or_else(|error| panic!("{place}: {error}"));
        drop(store);
        let store = open(&Disk::holding(disk.bytes()), self.dir.path(), &self.clock).unwrap();
        Examination::of(&model, &store.snapshot().unwrap(), Depth::Rows).perfect().unwrap();
        outcome
    }

    /// What is read while the disk fails is what was written, or an error that says so. Answers whether it was one.
    fn glance(store: &Store, model: &Model, place: &str) -> bool {
        match guarded(|| store.snapshot()).expect(place) {
            Ok(snapshot) => {
                assert_eq!(snapshot.lsn(), model.lsn, "{place}");
                let seen = Examination::of(model, &snapshot, Depth::Rows);
                assert_eq!((seen.wrong.first(), seen.panics.first()), (None, None), "{place}");
                !seen.errors.is_empty()
            }
            Err(ReadError::Io { .. } | ReadError::Reopen | ReadError::Damaged { .. }) => true,
            Err(error) => panic!("{place}: {error}"),
        }
    }

    /// Reads until everything is there: the fault is gone, and nobody opened the store.
    fn settle(store: &Store, model: &Model, place: &str) {
        let mut last = String::new();
        for _ in 0..PATIENCE {
            let Ok(snapshot) = store.snapshot() else { continue };
            match Examination::of(model, &snapshot, Depth::Rows).perfect() {
                Ok(()) => return,
                Err(error) => last = error,
            }
        }
        panic!("{place}: the fault is gone, and still {last}");
    }
}

fn rng() -> barkeeper_tests::rng::Rng {
    barkeeper_tests::rng::Rng::new(5)
}

#[derive(Debug, Default)]
struct Outcome {
    refused: usize,
    failed: usize,
    unread: usize,
    struck: usize,
}

#[test]
fn whatever_operation_fails_nothing_acknowledged_is_lost_and_the_store_goes_on() {
    let closed =
        Closed::new(seed("whatever_operation_fails_nothing_acknowledged_is_lost_and_the_store_goes_on"));
    let step = if rounds(0, 1) == 1 { 1 } else { 5 };
    for fault in [Fault::Io, Fault::Writes, Fault::ShortReads, Fault::Full, Fault::Syncs] {
        let (mut sum, mut runs) = (Outcome::default(), 0);
        for once in [true, false] {
            // Until the work is done before the fault comes.
            for at in (0..).step_by(step) {
                let found = closed.run(fault, at, once);
                if found.struck + found.refused == 0 {
                    break;
                }
                runs += 1;
                sum.refused += found.refused;
                sum.failed += found.failed;
                sum.unread += found.unread;
            }
        }
        println!(
            "{fault:?}: {runs} runs, {} not opened, {} commits and {} looks with errors",
            sum.refused, sum.failed, sum.unread
        );
        // A database of another seed may have room for all of it, and is never told that the disk is full.
        assert!(runs > 0 || matches!(fault, Fault::Full));
    }
}

/// The disk takes no write any more: what is stored is read all the same, and the store says why it does not write.
#[test]
fn a_disk_that_takes_no_writes_is_read_and_written_again_when_it_does() {
    let closed = Closed::new(11);
    let disk = Disk::holding(closed.image.clone());
    let store = open(&disk, closed.dir.path(), &closed.clock).unwrap();
    let mut model = closed.model.clone();
    let key = closed.workload.market.position(&mut rng());
    for round in 0..3 {
        disk.strike(Fault::Writes, 0, false);
        for days in 0..3 {
            let batch = Batch::of(Operation::SetHeldDays { key: key.clone(), days: 100 + days });
            let failed = store.commit(batch).unwrap_err();
            let expected = matches!(failed, CommitError::Failed { .. } | CommitError::NotStored { .. });
            assert!(expected, "round {round}: {failed:?}");
            Examination::of(&model, &store.snapshot().unwrap(), Depth::Rows).perfect().unwrap();
        }
        disk.heal();
        let batch = Batch::of(Operation::SetHeldDays { key: key.clone(), days: 500 + round });
        let expected = model.apply(&batch, turn(&closed.clock, 3));
        same_answer(&store.commit(batch), &expected).unwrap();
        Examination::of(&model, &store.snapshot().unwrap(), Depth::Rows).perfect().unwrap();
    }
}

/// A snapshot from before the failure never shows what came after it.
#[test]
fn an_old_snapshot_is_right_or_ends_when_the_database_is_opened_anew() {
    let closed = Closed::new(12);
    let disk = Disk::holding(closed.image.clone());
    let store = open(&disk, closed.dir.path(), &closed.clock).unwrap();
    let old = store.snapshot().unwrap();
    disk.strike(Fault::Syncs, 0, true);
    let mut model = closed.model.clone();
    let mut workload = closed.workload.clone();
    let mut failed = 0;
    for _ in 0..20 {
        let batch = workload.batch(&model);
        let mut next = model.clone();
        let expected = next.apply(&batch, turn(&closed.clock, 3));
        match store.commit(batch) {
            Err(CommitError::NotStored { .. }) => failed += 1,
            found => {
                same_answer(&found, &expected).unwrap();
                model = next;
            }
        }
    }
    assert_eq!(failed, 1);
    let seen = Examination::of(&closed.model, &old, Depth::Rows);
    assert_eq!((seen.wrong.first(), seen.panics.first()), (None, None));
    drop(old);
    Examination::of(&model, &store.snapshot().unwrap(), Depth::Paths).perfect().unwrap();
}
