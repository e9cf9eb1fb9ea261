//! Durable commits of a fill and what goes with it, alone and many at once.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use barkeeper::Store;
use barkeeper_records::{
    AccountId, Batch, BookId, ExtremeUpdate, Operation, PositionKey, StrategyId, Timestamp,
};

use crate::counting::{Counting, DiskWork};
use crate::desk::{Desk, Scratch, options};
use crate::floors;
use crate::market::{Shape, accounts, fill, weekday};
use crate::measure::{Timing, in_turn, nanos, time};
use crate::parts::ledger::hold;
use crate::row::{Floor, Row};

/// Bytes of rows, index entries, digests, log and the head that one of these commits writes.
const COMMIT_BYTES: usize = 1_700 + STATE_BYTES;
/// Bytes of a strategy's state that is saved with each fill, and of one that is saved alone.
const STATE_BYTES: usize = 500;
const LARGE_STATE_BYTES: usize = 10_000;
/// Commits that are under way at once.
const FLIGHT: usize = 256;

/// A fill, what it does to the position, and the extremes of the tick.
pub(crate) fn traded(shape: Shape, accounts: &[AccountId], n: u64) -> Result<Batch> {
    let mut trade = fill(shape, accounts, n)?;
    trade.trading_day = weekday(2);
    let (account, instrument) = (trade.account.clone(), trade.instrument);
    let key = PositionKey::main(account.clone(), instrument);
    let (quantity, price) = (trade.quantity, Some(trade.price));
    let high = 300.0 + n as f64 / 100.0;
    Ok(Batch::of(Operation::RecordTrade(trade))
        .with(Operation::AddPosition { key, quantity, price })
        .with(Operation::UpdateExtremes {
            account,
            book: BookId::main(),
            updates: vec![ExtremeUpdate { instrument, high, low: 9.0 }],
        })
        .with(state(n, STATE_BYTES)?))
}

fn strategy() -> Result<StrategyId> {
    Ok(StrategyId::new("bench")?)
}

/// The nth state of a strategy: JSON of about this many bytes.
fn state(n: u64, bytes: usize) -> Result<Operation> {
    let notes = "x".repeat(bytes.saturating_sub(48));
    let body = format!("{{\"n\":{n},\"entry\":10.25,\"notes\":\"{notes}\"}}");
    let saved_at = Timestamp::from_nanos(weekday(300).label().nanos() + n as i64 * 1_000_000);
    Ok(Operation::SaveStrategySnapshot { strategy: strategy()?, saved_at, schema_version: 1, body })
}

/// A state of 10 KB, saved beside a forced write and loaded.
fn states(scratch: &Scratch) -> Result<()> {
    let store = Store::create(&scratch.dir.path().join("states"), options())?;
    let mut write = floors::Forced::new(scratch.dir.path())?;
    let (save, floor) = in_turn(
        300,
        |call| -> Result<()> {
            Ok(store.commit(Batch::of(state(call as u64, LARGE_STATE_BYTES)?)).map(drop)?)
        },
        |call| Ok(write.force(call)?),
    )?;
    let floor = Floor { what: "one write and fsync", timing: floor };
    Row::of("save_state", "save a strategy's state of 10 KB, durable", save).beside(floor).print()?;
    let strategy = strategy()?;
    let found = store.snapshot()?.strategy_snapshot(&strategy, None)?.context("no state is there")?;
    ensure!(found.body.len().abs_diff(LARGE_STATE_BYTES) < 64, "{} bytes", found.body.len());
    let load = time(5_000, |_| -> Result<()> {
        black_box(store.snapshot()?.strategy_snapshot(&strategy, None)?);
        Ok(())
    })?;
    let floor = floors::copy(found.body.as_bytes());
    Row::of("load_state", "load a strategy's state of 10 KB", load).beside(floor).print()?;
    store.close()?;

    let raw = floors::redb_of(&scratch.dir.path().join("state.redb"), &BTreeMap::new())?;
    let bytes = vec![7; LARGE_STATE_BYTES];
    let plain = time(300, |call| floors::redb_commit(&raw, call, &bytes))?;
    Row::of("save_state_redb", "10 KB in a one-table redb commit", plain).print()?;
    let folder = scratch.dir.path().join("counted-states");
    std::fs::create_dir(&folder)?;
    let (store, work) = counted(&folder)?;
    let names = ["save_state_written", "save_state_in_sync", "save_state_beside_sync"];
    disk_work(names, "the save of a state", &work, |n| {
        Ok(store.commit(Batch::of(state(n, LARGE_STATE_BYTES)?)).map(drop)?)
    })?;
    store.close()?;
    Ok(())
}

fn counted(folder: &Path) -> Result<(Store, DiskWork)> {
    let (file, syncs) = Counting::open(&folder.join("counted.redb"))?;
    Ok((Store::on_backend(file, &folder.join("counted"), options())?, syncs))
}

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let scratch = desk.scratch()?;
    let accounts = accounts()?;
    let store = Store::create(&scratch.store(), options())?;
    hold(&store, &accounts)?;
    // With a target, each commit writes its change log as well.
    store.feed().register_target("bench")?;
    let raw = floors::redb_of(&scratch.dir.path().join("floor.redb"), &BTreeMap::new())?;
    let bytes = [7; COMMIT_BYTES];
    let (ours, floor) = in_turn(
        1_000,
        |call| -> Result<()> { Ok(store.commit(traded(desk.shape, &accounts, call as u64)?).map(drop)?) },
        |call| floors::redb_commit(&raw, call, &bytes),
    )?;
    let floor = Floor { what: "a one-table redb commit of as many bytes", timing: floor };
    let what = "durable commit of a trade, its position, an extreme, a state and the log";
    Row::of("commit", what, ours).beside(floor).print()?;
    store.close()?;

    states(&scratch)?;

    let (store, syncs) = counted(scratch.dir.path())?;
    hold(&store, &accounts)?;
    alone(desk, &store, &syncs, &accounts)?;
    let names = ["commit_written", "commit_in_sync", "commit_beside_sync"];
    disk_work(names, "the commit of a trade", &syncs, |n| {
        Ok(store.commit(traded(desk.shape, &accounts, 300 + n)?).map(drop)?)
    })?;
    together(desk, &store, &syncs, &accounts)?;
    store.close()?;
    Ok(())
}

fn alone(desk: &Desk, store: &Store, syncs: &DiskWork, accounts: &[AccountId]) -> Result<()> {
    let mut most = 0;
    let mut all = 0;
    for n in 0..200 {
        let before = syncs.syncs();
        store.commit(traded(desk.shape, accounts, n)?)?;
        // Growing the file takes a sync of its own, now and then.
        most = most.max(syncs.syncs() - before);
        all += syncs.syncs() - before;
    }
    let what = format!("syncs of one such commit, mean of 200 (the most: {most})");
    Row::value("commit_syncs", what, all as f64 / 200.0, "syncs").out_of(200).print()
}

/// Where the time of commits goes: what they write, and how long the disk takes to confirm it.
fn disk_work(
    names: [&'static str; 3],
    what: &str,
    work: &DiskWork,
    mut commit: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    const CALLS: usize = 300;
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    let (writes, bytes) = (work.writes(), work.bytes());
    for n in 0..CALLS as u64 {
        let before = work.sync_ns();
        let start = Instant::now();
        commit(n)?;
        let all = nanos(start.elapsed());
        let sync = work.sync_ns() - before;
        inside.push(sync);
        outside.push(all.saturating_sub(sync));
    }
    let [wrote, synced, beside] = names;
    let each = |count: u64| count as f64 / CALLS as f64;
    let pieces = each(work.writes() - writes);
    let text = format!("{what}: written in {pieces:.1} pieces, mean of {CALLS}");
    Row::value(wrote, text, each(work.bytes() - bytes) / 1e3, "KB").out_of(CALLS).print()?;
    Row::of(synced, format!("{what}: inside its sync"), Timing::of(inside)).print()?;
    Row::of(beside, format!("{what}: outside its sync"), Timing::of(outside)).print()
}

fn together(desk: &Desk, store: &Store, syncs: &DiskWork, accounts: &[AccountId]) -> Result<()> {
    let (next, stop) = (AtomicU64::new(1_000), AtomicBool::new(false));
    let before = syncs.syncs();
    let begun = Instant::now();
    let done = std::thread::scope(|scope| -> Result<u64> {
        let work = || -> Result<u64> {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                store.commit(traded(desk.shape, accounts, next.fetch_add(1, Ordering::Relaxed))?)?;
                done += 1;
            }
            Ok(done)
        };
        let threads: Vec<_> = (0..FLIGHT).map(|_| scope.spawn(work)).collect();
        std::thread::sleep(Duration::from_secs(4));
        stop.store(true, Ordering::Relaxed);
        let mut all = 0;
        for thread in threads {
            all += thread.join().ok().context("a thread panicked")??;
        }
        Ok(all)
    })?;
    let share = done as f64 / (syncs.syncs() - before).max(1) as f64;
    let what = format!("commits that share a sync with {FLIGHT} in flight");
    Row::value("commits_per_sync", what, share, "commits").out_of(usize::try_from(done)?).print()?;
    let each = begun.elapsed().as_secs_f64() / done.max(1) as f64 * 1e9;
    #[allow(clippy::cast_possible_truncation, reason = "nanoseconds of one commit")]
    let timing = Timing { calls: usize::try_from(done)?, ..Timing::once(each as u64) };
    Row::of("commit_share", format!("time of one commit with {FLIGHT} in flight"), timing).print()
}
