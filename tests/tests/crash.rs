//! Power cuts: the database's writes are cut off at every sync and between, and what is left must open
//! to a whole commit, the last acknowledged one or the one that was in flight.

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
use std::time::Duration;

use barkeeper::{CommitError, OpenError, Store};
use barkeeper_records::{
    Batch, Bucket, ChangeFeed, Cursor, FixedClock, Lsn, Operation, PositionKey, RequestId, Table,
};
use barkeeper_tests::digests;
use barkeeper_tests::disk::{Disk, Survival, Trace};
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{clock, options, scratch, turn, verify};
use barkeeper_tests::guard::guarded;
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, same_answer};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;
use tempfile::TempDir;

const TARGET: &str = "replica";

/// What was acknowledged, and after how many requests to the disk.
struct Acknowledged {
    requests: usize,
    model: Arc<Model>,
    request: Option<(RequestId, Lsn)>,
}

/// A workload that ran on a disk, from the making of the store to its closing.
struct Run {
    dir: TempDir,
    clock: Arc<FixedClock>,
    trace: Trace,
    acknowledged: Vec<Acknowledged>,
    workload: Workload,
}

fn open(disk: Disk, dir: &Path, clock: &Arc<FixedClock>) -> Result<Store, String> {
    let opened = guarded(|| Store::on_backend(disk, dir, options(clock)));
    opened?.map_err(|error| format!("it does not open: {error}"))
}

/// Runs `commits` batches on a disk and notes what was acknowledged when.
fn record(disk: &Disk, seed: u64, commits: usize) -> Run {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let mut rng = Rng::new(seed);
    let store = open(disk.clone(), dir.path(), &clock).unwrap();
    store.feed().register_target(TARGET).unwrap();
    let mut workload = Workload::new(Market::new(72), rng.bits());
    let mut model = Model::default();
    let note = |model: &Model, request| Acknowledged {
        requests: disk.requests(),
        model: Arc::new(model.clone()),
        request,
    };
    let mut acknowledged = vec![note(&model, None)];
    for _ in 0..commits {
        let now = turn(&clock, rng.within(1, 60) as i64);
        if rng.chance(30) {
            relax(&store, &mut model, &mut workload, &mut rng);
        }
        let batch = workload.batch(&model);
        let expected = model.apply(&batch, now);
        let found = store.commit(batch.clone());
        same_answer(&found, &expected).unwrap();
        let request = batch.request.zip(expected.ok().map(|answer| answer.lsn));
        acknowledged.push(note(&model, request));
    }
    relax(&store, &mut model, &mut workload, &mut rng);
    let now = turn(&clock, 1);
    store.close().unwrap();
    model.fold(now);
    acknowledged.push(note(&model, None));
    Run { dir, clock, trace: disk.trace(), acknowledged, workload }
}

fn relax(store: &Store, model: &mut Model, workload: &mut Workload, rng: &mut Rng) {
    let account = rng.pick(&workload.market.accounts).clone();
    let book = rng.pick(&workload.market.books).clone();
    let updates = workload.extremes();
    let plain: Vec<_> = updates.iter().map(|one| (one.instrument, one.high, one.low)).collect();
    let changed = store.update_extremes(&account, &book, &updates).unwrap();
    assert_eq!(changed, model.relax(&account, &book, &plain));
}

/// How thoroughly what a cut left is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Rows.
    Rows,
    /// Rows, digests, log, requests; then the store goes on.
    Whole,
}

impl Run {
    /// The states in which a store may be found that was cut off after this many requests.
    fn possible(&self, cut: usize) -> (&Acknowledged, Option<&Acknowledged>) {
        let behind = self.acknowledged.iter().position(|one| one.requests > cut);
        let behind = behind.unwrap_or(self.acknowledged.len());
        (&self.acknowledged[behind - 1], self.acknowledged.get(behind))
    }

    /// Cuts the power after `cut` requests and looks at what is left. Answers what recovery asked of the disk.
    fn cut(&self, cut: usize, survival: Survival, look: Look, rng: &mut Rng) -> Result<Trace, String> {
        let image = self.trace.image(cut, survival, rng);
        let place = |error| format!("cut after request {cut} of {}, {survival:?}: {error}", self.trace.len());
        self.look(image, cut, look, rng).map_err(place)
    }

    fn look(&self, image: Vec<u8>, cut: usize, look: Look, rng: &mut Rng) -> Result<Trace, String> {
        let disk = Disk::holding(image);
        let store = open(disk.clone(), self.dir.path(), &self.clock)?;
        let recovery = disk.trace();
        guarded(|| self.examine(&store, cut, look, rng))??;
        Ok(recovery)
    }

    fn examine(&self, store: &Store, cut: usize, look: Look, rng: &mut Rng) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let snapshot = store.snapshot().map_err(|error| text(&error))?;
        let (last, flying) = self.possible(cut);
        let lsn = snapshot.lsn();
        let found = [Some(last), flying].into_iter().flatten().find(|one| one.model.lsn == lsn);
        let found = found.ok_or_else(|| {
            let flying = flying.map(|one| one.model.lsn);
            format!("it opens at LSN {lsn}; {} was acknowledged, {flying:?} in flight", last.model.lsn)
        })?;
        Examination::of(&found.model, &snapshot, Depth::Rows).perfect()?;
        drop(snapshot);
        if look == Look::Rows {
            return Ok(());
        }
        digests::agree(&found.model, store.feed().as_ref())?;
        read_log(store.feed().as_ref(), lsn)?;
        if let Some((request, first)) = &last.request {
            let again =
                Batch::of(Operation::DeletePosition { key: some_position(&self.workload.market, rng) });
            let again = again.request(&request.client, &request.id);
            let receipt = store.commit(again).map_err(|error| text(&error))?;
            if !receipt.replayed || receipt.lsn != *first {
                return Err(format!("the request {request:?} of LSN {first} was answered with {receipt:?}"));
            }
        }
        self.go_on(store, &found.model)
    }

    /// Commits on top of what was found.
    fn go_on(&self, store: &Store, found: &Model) -> Result<(), String> {
        let (mut model, mut workload) = (found.clone(), self.workload.clone());
        for _ in 0..3 {
            let now = turn(&self.clock, 1);
            let batch = workload.batch(&model);
            let expected = model.apply(&batch, now);
            same_answer(&store.commit(batch), &expected)?;
        }
        let snapshot = store.snapshot().map_err(|error| error.to_string())?;
        Examination::of(&model, &snapshot, Depth::Rows).perfect()
    }
}

fn some_position(market: &Market, rng: &mut Rng) -> PositionKey {
    market.position(rng)
}

/// Reads the log from its first commit to its last: no LSN is missing.
fn read_log(feed: &dyn ChangeFeed, head: Lsn) -> Result<(), String> {
    let bounds = feed.bounds().map_err(|error| error.to_string())?;
    if bounds.head != head || bounds.tail > Lsn(1) {
        return Err(format!("the log goes from {} to {}, the head is {head}", bounds.tail, bounds.head));
    }
    let mut cursor = Cursor::default();
    loop {
        let page = feed.read(&cursor, 20_000).map_err(|error| error.to_string())?;
        cursor = page.next;
        if !page.more {
            break;
        }
    }
    let chain = feed.chain_at(head).map_err(|error| error.to_string())?;
    if cursor.lsn != head || chain != Some(bounds.head_chain) {
        return Err(format!("the log was read to {}, the head is {head}", cursor.lsn));
    }
    Ok(())
}

/// Cuts everywhere; answers how many images were looked at, or the first that was not a whole commit.
fn cut_everywhere(run: &Run, rng: &mut Rng, images_at_sync: usize, between: usize) -> Result<usize, String> {
    let first = run.acknowledged[0].requests;
    let mut images = 0;
    let mut look = |cut, survival, depth, rng: &mut Rng| -> Result<Trace, String> {
        images += 1;
        run.cut(cut, survival, depth, rng)
    };
    for sync in run.trace.syncs().into_iter().filter(|sync| *sync >= first) {
        look(sync + 1, Survival::Nothing, Look::Rows, rng)?;
        look(sync, Survival::Nothing, Look::Rows, rng)?;
        look(sync, Survival::All, Look::Rows, rng)?;
        for number in 0..images_at_sync {
            let depth = if number == 0 { Look::Whole } else { Look::Rows };
            look(sync, Survival::Random, depth, rng)?;
        }
    }
    for _ in 0..between {
        let cut = rng.within(first, run.trace.len());
        look(cut, Survival::Random, Look::Rows, rng)?;
    }
    Ok(images)
}

#[test]
fn a_power_cut_at_every_sync_leaves_a_whole_commit() {
    let seed = seed("a_power_cut_at_every_sync_leaves_a_whole_commit");
    let mut images = 0;
    for round in 0..rounds(2, 40) as u64 {
        let run = record(&Disk::new(), seed + round, 60);
        let mut rng = Rng::new(seed ^ round);
        images += cut_everywhere(&run, &mut rng, 2, 60).unwrap();
    }
    println!("{images} images");
}

#[test]
fn a_second_cut_during_recovery_leaves_a_whole_commit() {
    let seed = seed("a_second_cut_during_recovery_leaves_a_whole_commit");
    let mut rng = Rng::new(seed);
    let mut images = 0;
    for round in 0..rounds(1, 20) as u64 {
        let run = record(&Disk::new(), seed + round, 50);
        let first = run.acknowledged[0].requests;
        for _ in 0..60 {
            let cut = rng.within(first, run.trace.len());
            let recovery = run.cut(cut, Survival::Random, Look::Rows, &mut rng).unwrap();
            let mut cuts = recovery.syncs();
            cuts.extend((0..2).map(|_| rng.within(0, recovery.len())));
            for second in cuts {
                let image = recovery.image(second, Survival::Random, &mut rng);
                let place = format!("cut after request {cut}, then after request {second} of recovery");
                let look = if rng.chance(20) { Look::Whole } else { Look::Rows };
                run.look(image, cut, look, &mut rng).map_err(|error| format!("{place}: {error}")).unwrap();
                images += 1;
            }
        }
    }
    println!("{images} images of a second cut");
    assert!(images > 0);
}

#[test]
fn what_a_cut_leaves_opens_from_a_file_as_well_and_verifies() {
    let seed = seed("what_a_cut_leaves_opens_from_a_file_as_well_and_verifies");
    let run = record(&Disk::new(), seed, 40);
    let (mut rng, first) = (Rng::new(seed), run.acknowledged[0].requests);
    for _ in 0..rounds(30, 1_000) {
        let cut = rng.within(first, run.trace.len());
        let dir = scratch();
        std::fs::write(dir.path().join("store.redb"), run.trace.image(cut, Survival::Random, &mut rng))
            .unwrap();
        let place = format!("cut after request {cut}");
        let store = Store::open(dir.path(), options(&run.clock));
        let store = store.map_err(|error| format!("{place}: {error}")).unwrap();
        run.examine(&store, cut, Look::Rows, &mut rng).map_err(|error| format!("{place}: {error}")).unwrap();
        // Let go without closing, as most programs end.
        drop(store);
        verify(dir.path(), options(&run.clock)).map_err(|error| format!("{place}: {error}")).unwrap();
    }
}

/// What a cut while a store is made leaves: no sync was acknowledged, so it may be anything.
fn unmade(run: &Run, rng: &mut Rng) -> Vec<(String, Vec<u8>)> {
    let mut images = Vec::new();
    for cut in 0..run.acknowledged[0].requests {
        for survival in [Survival::Nothing, Survival::All, Survival::Random, Survival::Random] {
            let image = run.trace.image(cut, survival, rng);
            images.push((format!("cut after request {cut}, {survival:?}"), image));
        }
    }
    images
}

#[test]
fn a_cut_while_the_store_is_made_is_no_panic() {
    let seed = seed("a_cut_while_the_store_is_made_is_no_panic");
    let run = record(&Disk::new(), seed, 1);
    let (mut opened, mut refused) = (0, 0);
    for (place, image) in unmade(&run, &mut Rng::new(seed)) {
        match open(Disk::holding(image), run.dir.path(), &run.clock) {
            Ok(store) => {
                assert_eq!(store.snapshot().unwrap().lsn(), Lsn(0), "{place}");
                opened += 1;
            }
            Err(error) => {
                assert!(!error.contains("panic"), "{place}: {error}");
                refused += 1;
            }
        }
    }
    println!("{opened} opened as an empty store, {refused} were refused");
    assert!(opened > 0);
}

#[test]
fn a_store_whose_making_was_cut_off_can_be_made_again() {
    let seed = seed("a_store_whose_making_was_cut_off_can_be_made_again");
    let run = record(&Disk::new(), seed, 1);
    let images = unmade(&run, &mut Rng::new(seed));
    let (mut stuck, all) = (Vec::new(), images.len());
    for (place, image) in images {
        let dir = tempfile::tempdir().unwrap();
        for part in ["bars", "staging", "trash"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        // The database gets its own name when it is whole.
        std::fs::write(dir.path().join("store.redb.new"), image).unwrap();
        let opened = Store::open(dir.path(), options(&run.clock));
        assert!(matches!(opened, Err(OpenError::NotFound { .. })), "{place}: {opened:?}");
        let made = Store::create(dir.path(), options(&run.clock));
        if let Err(error) = made {
            stuck.push(format!("{place}: {error}"));
        }
    }
    assert!(
        stuck.is_empty(),
        "{} of {all} folders can be neither opened nor made, such as {}",
        stuck.len(),
        stuck[0]
    );
}

#[test]
fn a_lying_disk_is_found_out() {
    let seed = seed("a_lying_disk_is_found_out");
    let honest = record(&Disk::new(), seed, 30);
    let middle = honest.acknowledged[15].requests;
    for from in [0, middle] {
        let run = record(&Disk::lying(from), seed, 30);
        let found = cut_everywhere(&run, &mut Rng::new(seed), 2, 60);
        let error = found.expect_err("the harness takes a disk that loses what it confirmed for a good one");
        println!("a disk that lies from request {from} on: {error}");
    }
}

#[test]
fn a_commit_syncs_exactly_once_and_what_changes_nothing_not_at_all() {
    let seed = seed("a_commit_syncs_exactly_once_and_what_changes_nothing_not_at_all");
    let (dir, clock, disk) = (tempfile::tempdir().unwrap(), clock(), Disk::new());
    let store = open(disk.clone(), dir.path(), &clock).unwrap();
    let mut workload = Workload::new(Market::new(72), seed);
    let mut model = Model::default();
    let mut kinds = [0; 3];
    for _ in 0..rounds(150, 3_000) {
        let now = turn(&clock, 5);
        let batch = workload.batch(&model);
        let noted = batch.request.is_some() || batch.operations.iter().any(is_import);
        let before = (disk.syncs(), disk.grown());
        let answer = model.apply(&batch, now);
        same_answer(&store.commit(batch), &answer).unwrap();
        let (kind, expected) = match &answer {
            Ok(answer) if answer.changed => (0, 1),
            Ok(answer) if noted && !answer.replayed => (1, 1),
            _ => (2, 0),
        };
        // An import that is known already may be all that a batch notes.
        // redb makes a longer file durable before anything refers to it, so growth costs a sync of its own.
        let syncs = disk.syncs() - before.0 - (disk.grown() - before.1);
        assert!(syncs == expected || (kind == 1 && syncs == 0), "{syncs} syncs: {answer:?}");
        kinds[kind] += 1;
    }
    println!("{} changed rows, {} left a note, {} wrote nothing", kinds[0], kinds[1], kinds[2]);
    assert!(kinds.iter().all(|count| *count > 0));
}

fn is_import(operation: &Operation) -> bool {
    matches!(operation, Operation::RecordImport(_))
}

#[test]
fn commits_of_many_threads_share_syncs() {
    const THREADS: u32 = 8;
    let seed = seed("commits_of_many_threads_share_syncs");
    let (dir, clock, disk) = (tempfile::tempdir().unwrap(), clock(), Disk::new());
    let store = open(disk.clone(), dir.path(), &clock).unwrap();
    store.feed().register_target(TARGET).unwrap();
    disk.sync_takes(Duration::from_millis(1));
    let market = Market::new(72);
    let (each, before) = (u32::try_from(rounds(25, 200)).unwrap(), disk.syncs());
    let lsns = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (store, market, mut rng) = (&store, &market, Rng::new(seed + u64::from(thread)));
                scope.spawn(move || {
                    let commit = |days: u32| {
                        let key = some_position(market, &mut rng);
                        let batch = Batch::of(Operation::SetHeldDays { key, days: days * THREADS + thread });
                        store.commit(batch).unwrap().lsn
                    };
                    (0..each).map(commit).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let (commits, syncs) = (lsns.len(), disk.syncs() - before);
    println!("{commits} commits, {syncs} syncs");
    assert!(syncs < commits, "{commits} commits of {THREADS} threads took {syncs} syncs");
    let mut lsns: Vec<u64> = lsns.iter().map(|lsn| lsn.0).collect();
    lsns.sort_unstable();
    let expected: Vec<u64> = (1..=commits as u64).collect();
    assert_eq!(lsns, expected, "every commit has an LSN of its own, without gaps");
    read_log(store.feed().as_ref(), Lsn(commits as u64)).unwrap();
}

#[test]
fn a_failing_disk_is_an_error_and_loses_nothing_that_was_acknowledged() {
    let seed = seed("a_failing_disk_is_an_error_and_loses_nothing_that_was_acknowledged");
    let mut rng = Rng::new(seed);
    let (mut failures, mut kept) = (0, 0);
    for round in 0..rounds(60, 2_000) {
        let (dir, clock, disk) = (tempfile::tempdir().unwrap(), clock(), Disk::new());
        let store = open(disk.clone(), dir.path(), &clock).unwrap();
        let mut workload = Workload::new(Market::new(24), rng.bits());
        let mut model = Model::default();
        disk.fail_at(disk.requests() + rng.within(1, 150), round % 2 == 0);
        // What failed without a word on its fate may be there after the end of the process.
        let mut flying = None;
        for _ in 0..40 {
            let now = turn(&clock, 5);
            let batch = workload.batch(&model);
            let mut next = model.clone();
            let expected = next.apply(&batch, now);
            match store.commit(batch) {
                Err(CommitError::DiskFull | CommitError::NotStored { .. } | CommitError::Read(_)) => {
                    failures += 1;
                }
                Err(CommitError::Failed { .. }) => {
                    failures += 1;
                    flying = Some(next);
                }
                found => {
                    same_answer(&found, &expected).unwrap();
                    model = next;
                }
            }
            assert_eq!(store.snapshot().unwrap().lsn(), model.lsn);
        }
        drop(store);
        let store = open(Disk::holding(disk.bytes()), dir.path(), &clock).unwrap();
        let snapshot = store.snapshot().unwrap();
        let found = [Some(model), flying].into_iter().flatten().find(|one| one.lsn == snapshot.lsn());
        let found = found.unwrap_or_else(|| panic!("it opens at LSN {}", snapshot.lsn()));
        Examination::of(&found, &snapshot, Depth::Rows).perfect().unwrap();
        digests::agree(&found, store.feed().as_ref()).unwrap();
        kept += 1;
    }
    println!("{failures} commits failed, {kept} stores were whole");
    assert!(failures > 0);
}

#[test]
fn every_bucket_names_the_last_commit_that_changed_it() {
    let run = record(&Disk::new(), seed("every_bucket_names_the_last_commit_that_changed_it"), 40);
    let image = run.trace.image(run.trace.len(), Survival::All, &mut Rng::new(0));
    let store = open(Disk::holding(image), run.dir.path(), &run.clock).unwrap();
    let models: Vec<_> =
        run.acknowledged.iter().map(|one| (one.model.lsn, digests::expected(&one.model))).collect();
    for table in Table::ALL {
        for one in store.feed().digests(table).unwrap() {
            let at = |bucket: &Bucket, place: usize| models[place].1.get(bucket).copied().unwrap_or_default();
            let changed =
                (1..models.len()).rev().find(|place| at(&one.bucket, *place) != at(&one.bucket, place - 1));
            let last = changed.map_or(Lsn(0), |place| models[place].0);
            // A commit may change a bucket and leave its digest as it was.
            assert!(one.last_lsn >= last, "{} says {}, {last} changed it", one.bucket, one.last_lsn);
        }
    }
}
