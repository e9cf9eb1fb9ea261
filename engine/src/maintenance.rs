//! Background maintenance: seals, merges and empties the trash within a budget, in steps that hold no
//! writer for long.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use barkeeper_records::{Interval, MarketTrade, Tick, Timestamp};
use barkeeper_storage::{Dataset, MergeV1, SegmentEntry, StoredRow, keys};
use serde::{Serialize, Serializer};

use crate::error::{MaintenanceError, ReadResult, missing};
use crate::events::has_old_events;
use crate::manifest::generation;
use crate::merge_policy::{Want, choose, groups};
use crate::merging::merge;
use crate::report::{SealOptions, SealReport};
use crate::seal::{hot_kinds, seal};
use crate::snapshot::Snapshot;
use crate::store::{Inner, Store};
use crate::tables::Tab;
use crate::tombstones::drop_tombstones;
use crate::trash::{TrashReport, sweep};
use crate::view::View;
use crate::weight::hot_bytes;

/// How often the thread looks whether there is something to do.
const LOOK: Duration = Duration::from_secs(1);
/// For how many looks after the store was opened only much that is hot is something to do: most programs
/// that are started for one command have ended by then.
const QUIET_LOOKS: u32 = 60;
/// How long it leaves a store alone whose maintenance has failed.
const PAUSE: Duration = Duration::from_secs(60);
/// How often it looks for what only time brings: old hot bars, files whose time is over.
const DAILY_NS: i64 = 86_400 * 1_000_000_000;

/// When maintenance does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaintenanceOptions {
    /// Bytes of hot bars, ticks and market trades from which on they are sealed: 64 MiB by default.
    pub hot_bytes: u64,
    /// The age, by their `ts`, from which on hot rows are sealed, looked at once a day: 30 days by default.
    pub hot_age: Duration,
    /// How long files stay that merging has replaced, and a merge can be undone: 7 days by default.
    pub grace: Duration,
}

impl Default for MaintenanceOptions {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { hot_bytes: 64 << 20, hot_age: day * 30, grace: day * 7 }
    }
}

/// How much one call of [`Store::maintain`] does. What was begun is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaintenanceBudget {
    /// No merge is begun after this time: 2 s by default.
    pub time: Duration,
    /// Of merges that read more bytes than this together, only the first is done: 256 MiB by default.
    pub bytes: u64,
}

impl Default for MaintenanceBudget {
    fn default() -> Self {
        Self { time: Duration::from_secs(2), bytes: 256 << 20 }
    }
}

/// Which segments [`Store::merge`] merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeOptions {
    /// Only bars of this length; all of them, ticks and market trades where none is named.
    pub interval: Option<Interval>,
    /// Whether to leave one segment (on each axis) of an interval and adjustment, or of each month of them,
    /// of each day of ticks and of each month of market trades; else only what overlaps more than four times and what are eight or more of like size is merged.
    pub whole: bool,
}

/// Segments that would be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergePlan {
    /// What their rows are.
    #[serde(serialize_with = "as_text")]
    pub dataset: Dataset,
    /// `ts` of their first row.
    pub first: Timestamp,
    /// `ts` of their last row.
    pub last: Timestamp,
    /// Segments on one axis.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them and of their twins on the other axis.
    pub bytes: u64,
}

/// A dataset by its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
pub(crate) fn as_text<S: Serializer>(dataset: &Dataset, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(dataset)
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergeReport {
    /// What was merged.
    pub merged: MergePlan,
    /// Rows that are left, on one axis.
    pub rows: u64,
    /// Bytes of the new files.
    pub bytes: u64,
    /// Rows that a higher version among them replaced.
    pub superseded: u64,
    /// Rows that were removed before.
    pub removed: u64,
}

/// What maintenance did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MaintenanceReport {
    /// What was sealed.
    pub sealed: SealReport,
    /// What was merged.
    pub merges: Vec<MergeReport>,
    /// Range tombstones that were dropped.
    pub tombstones: u64,
    /// What became of the trash.
    pub trash: TrashReport,
    /// Whether something is left to do that the budget did not allow.
    pub more: bool,
}

/// One merge that is to be done.
struct Next {
    entries: Vec<SegmentEntry>,
    plan: MergePlan,
}

impl Store {
    /// Does what is due, within a budget: seals hot bars that are many or old, merges segments that overlap
    /// or are small and many, drops range tombstones that nothing needs, moves replaced files to the trash
    /// and deletes those whose time is over. No row changes. The thread of a store that was opened with
    /// [`StoreOptions::background`](crate::StoreOptions) calls it by itself.
    ///
    /// # Errors
    /// Every variant of [`MaintenanceError`] but `NotEmpty`, `NotExact` and `NotUndone`. What was done before stays.
    pub fn maintain(&self, budget: MaintenanceBudget) -> Result<MaintenanceReport, MaintenanceError> {
        maintain(self.inner(), budget)
    }

    /// Merges segments until none is left to be merged by these options. `progress` hears of rows read and
    /// rows in all. Merged files wait in the trash, and [`Store::undo`] brings them back.
    ///
    /// # Errors
    /// `Unlike` where what was written is not what was read; nothing changes then. `Io`, `Segment`, `Read`, `Commit`.
    pub fn merge(
        &self,
        options: &MergeOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<MergeReport>, MaintenanceError> {
        let inner = self.inner();
        let _alone = inner.maintaining();
        let mut reports = Vec::new();
        while let Some(next) = plans(inner, *options, &HashSet::new())?.into_iter().next() {
            reports.push(run(inner, next, progress)?);
        }
        if !reports.is_empty() {
            sweep(inner, false)?;
        }
        Ok(reports)
    }

    /// What [`Store::merge`] would merge first in each interval, adjustment and month.
    ///
    /// # Errors
    /// `Read`.
    pub fn merge_plan(&self, options: &MergeOptions) -> Result<Vec<MergePlan>, MaintenanceError> {
        let all = plans(self.inner(), *options, &HashSet::new())?;
        Ok(all.into_iter().map(|next| next.plan).collect())
    }
}

fn run(
    inner: &Arc<Inner>,
    next: Next,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<MergeReport, MaintenanceError> {
    // What is merged keeps its place until it can no longer be undone, and what it becomes may be as long.
    inner.space.for_bars(next.plan.bytes)?;
    let twins = next.entries.iter().any(|entry| entry.twin.is_some());
    let axes = if twins { 2 } else { 1 };
    let (mut done, all) = (0, next.plan.rows * axes);
    let merged = merge(inner, &next.entries, &mut |rows| {
        done += rows;
        progress(done, all);
    })?;
    let (rows, bytes) = (merged.rows, merged.bytes);
    Ok(MergeReport { merged: next.plan, rows, bytes, superseded: merged.superseded, removed: merged.removed })
}

/// The next merge of each group.
fn plans(inner: &Arc<Inner>, options: MergeOptions, left: &HashSet<u128>) -> ReadResult<Vec<Next>> {
    let snapshot = Snapshot::take(inner)?;
    let manifest = inner.segments.manifest(snapshot.view())?;
    let want = if options.whole { Want::One } else { Want::Rules };
    let mut all = Vec::new();
    for (group, members) in groups(&manifest.entries) {
        let is_wanted = |wanted| matches!(group.0, Dataset::Bars { interval, .. } if interval == wanted);
        if !options.interval.is_none_or(is_wanted) {
            continue;
        }
        let Some(chosen) = choose(&members, want, left) else { continue };
        let entries: Vec<SegmentEntry> = chosen.into_iter().cloned().collect();
        let twins: HashSet<u128> = entries.iter().filter_map(|entry| entry.twin).collect();
        let of_twins = manifest.entries.iter().filter(|entry| twins.contains(&entry.id));
        let plan = MergePlan {
            dataset: group.0,
            first: entries.iter().map(|entry| entry.first).min().unwrap_or_default(),
            last: entries.iter().map(|entry| entry.last).max().unwrap_or_default(),
            segments: entries.len() as u64,
            rows: entries.iter().map(|entry| entry.rows).sum(),
            bytes: entries.iter().chain(of_twins).map(|entry| entry.bytes).sum(),
        };
        all.push(Next { entries, plan });
    }
    Ok(all)
}

/// Segments that an undo brought back and that are not merged again before its time is over.
fn left_alone(inner: &Arc<Inner>) -> ReadResult<HashSet<u128>> {
    let now = inner.options.clock.now().millis();
    let mut left = HashSet::new();
    Snapshot::take(inner)?.view().scan_prefix(Tab::Merges, &[], &mut |key, value| {
        let merge = MergeV1::from_bytes(key, value)?;
        if merge.undone && merge.until_ms > now {
            left.extend(merge.inputs);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(left)
}

pub(crate) fn maintain(
    inner: &Arc<Inner>,
    budget: MaintenanceBudget,
) -> Result<MaintenanceReport, MaintenanceError> {
    let _alone = inner.maintaining();
    let mut report = MaintenanceReport::default();
    let worked = work(inner, budget, &mut report);
    // Whatever stopped the work: what waits in the trash goes when its time is over, and makes room.
    if !matches!(&worked, Err(error) if error.is_cut()) {
        report.trash = sweep(inner, false)?;
    }
    worked.map(|()| report)
}

fn work(
    inner: &Arc<Inner>,
    budget: MaintenanceBudget,
    report: &mut MaintenanceReport,
) -> Result<(), MaintenanceError> {
    let clock = &inner.options.clock;
    let begun = clock.steady();
    let is_over = || Duration::from_nanos(clock.steady().saturating_sub(begun).unsigned_abs()) >= budget.time;
    let daily = inner.upkeep.is_daily(begun);
    if hot_bytes(inner)? > inner.options.maintenance.hot_bytes {
        report.sealed = seal(inner, &SealOptions::default(), &mut |_, _| {})?;
    } else if let Some(before) = old_rows(inner, daily)? {
        report.sealed = seal(inner, &SealOptions { before: Some(before), interval: None }, &mut |_, _| {})?;
    }
    let left = left_alone(inner)?;
    let (options, mut read) = (MergeOptions::default(), 0);
    while let Some(next) = plans(inner, options, &left)?.into_iter().min_by_key(|next| next.plan.bytes) {
        if is_over() || (read > 0 && read + next.plan.bytes > budget.bytes) {
            report.more = true;
            break;
        }
        read += next.plan.bytes;
        report.merges.push(run(inner, next, &mut |_, _| {})?);
    }
    if daily {
        report.tombstones = drop_tombstones(inner)?;
        inner.upkeep.was_daily(begun);
    }
    Ok(())
}

/// The end of the rows that are hot for too long; `None` where there are none, or it is not the time to look.
fn old_rows(inner: &Arc<Inner>, daily: bool) -> ReadResult<Option<Timestamp>> {
    if !daily {
        return Ok(None);
    }
    let age = i64::try_from(inner.options.maintenance.hot_age.as_nanos()).unwrap_or(i64::MAX);
    let before = Timestamp::from_nanos(inner.options.clock.now().nanos().saturating_sub(age));
    let snapshot = Snapshot::take(inner)?;
    let mut old =
        has_old_events::<Tick>(&snapshot, before)? || has_old_events::<MarketTrade>(&snapshot, before)?;
    for (interval, adjustment) in hot_kinds(&snapshot)? {
        let prefix = keys::bars_of(interval, adjustment);
        let end = keys::slab(interval, adjustment, before);
        snapshot.view().scan(Tab::Slabs, &prefix, &end, false, &mut |_, _| {
            old = true;
            Ok(ControlFlow::Break(()))
        })?;
    }
    if !old {
        snapshot.view().scan_prefix(Tab::Delta, &[], &mut |key, _| {
            let (_, ts) = keys::read_bar(key).ok_or_else(|| missing("bar key"))?;
            old = ts < before;
            Ok(if old { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(old.then_some(before))
}

/// The thread that maintains a store; it ends when this is dropped.
pub(crate) struct Keeper {
    inner: std::sync::Weak<Inner>,
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.upkeep.closing.store(true, Ordering::SeqCst);
        }
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        if let Some(inner) = self.inner.upgrade() {
            inner.upkeep.closing.store(false, Ordering::SeqCst);
        }
    }
}

/// Starts the thread that maintains a store.
pub(crate) fn start_keeper(inner: &Arc<Inner>) -> io::Result<Keeper> {
    let stop = Arc::new((Mutex::new(false), Condvar::new()));
    let (signal, store) = (stop.clone(), Arc::downgrade(inner));
    let thread = std::thread::Builder::new().name("barkeeper-maintenance".to_owned()).spawn(move || {
        let (mut pause, mut seen, mut looks) = (LOOK, None, 0_u32);
        loop {
            let guard = signal.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = signal.1.wait_timeout_while(guard, pause, |stopped| !*stopped);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
            let Some(inner) = store.upgrade() else { return };
            looks = looks.saturating_add(1);
            pause = look(&inner, looks <= QUIET_LOOKS, &mut seen);
        }
    })?;
    Ok(Keeper { inner: Arc::downgrade(inner), stop, thread: Some(thread) })
}

/// Maintains a store where something may be due; answers how long to wait then. `seen` is the generation of
/// the manifest in which nothing was left to do.
fn look(inner: &Arc<Inner>, quiet: bool, seen: &mut Option<u64>) -> Duration {
    if inner.hot.has_failed() || inner.hot.read_only().is_some() {
        return PAUSE;
    }
    let done = is_due(inner, quiet, *seen).map_err(MaintenanceError::from).and_then(|due| {
        if due {
            let report = maintain(inner, MaintenanceBudget::default())?;
            let is_done = !report.more && report.trash.held == 0;
            *seen = if is_done { Some(generation(Snapshot::brief(inner)?.view())?) } else { None };
        }
        Ok(())
    });
    match done {
        Ok(()) => {
            inner.upkeep.note(None);
            LOOK
        }
        Err(MaintenanceError::Stopped) => LOOK,
        Err(error) => {
            // Nobody waits for an answer; `stats` tells it.
            inner.upkeep.note(Some(error.to_string()));
            PAUSE
        }
    }
}

fn is_due(inner: &Arc<Inner>, quiet: bool, seen: Option<u64>) -> ReadResult<bool> {
    if hot_bytes(inner)? > inner.options.maintenance.hot_bytes {
        return Ok(true);
    }
    let generation = generation(Snapshot::brief(inner)?.view())?;
    Ok(!quiet && (seen != Some(generation) || inner.upkeep.is_daily(inner.options.clock.steady())))
}

/// Whether a day has gone by between two times of the steady clock.
pub(crate) const fn is_a_day(since: i64, now: i64) -> bool {
    now.saturating_sub(since) >= DAILY_NS || now < since
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::fs;

    use barkeeper_records::{
        AdjustmentTag, Bar, Batch, FixedClock, InstrumentId, OnConflict, Operation, TradingDay,
    };

    use super::*;
    use crate::options::StoreOptions;

    fn opened(dir: &std::path::Path, hot_bytes: u64) -> Store {
        let clock = Arc::new(FixedClock::new("2026-11-20T02:00:00Z".parse().unwrap()));
        let maintenance = MaintenanceOptions { hot_bytes, ..MaintenanceOptions::default() };
        let options = StoreOptions { background: false, maintenance, ..StoreOptions::new(clock) };
        Store::create(dir, options).unwrap()
    }

    /// Commits bars of one day.
    fn commit_bars(store: &Store, day: &str, count: u32, close: f64) {
        let day: TradingDay = day.parse().unwrap();
        let bar = |number| {
            let instrument: InstrumentId = format!("{number:06}.SZ").parse().unwrap();
            (instrument, Bar::from_numbers(day.label(), day, [close; 7]))
        };
        let bars = (1..=count).map(bar).collect();
        let (interval, adjustment, on_conflict) = (Interval::DAY, AdjustmentTag::Raw, OnConflict::Replace);
        let operation = Operation::PutCrossSection { interval, adjustment, bars, on_conflict };
        store.commit(Batch::of(operation)).unwrap();
    }

    /// Commits a tick of each instrument.
    fn commit_ticks(store: &Store, second: i64, count: u32) {
        let day: TradingDay = "2026-11-19".parse().unwrap();
        let ts = Timestamp::from_nanos(day.label().nanos() + second * 1_000_000_000);
        let tick = |number: u32| {
            let instrument: InstrumentId = format!("{number:06}.SZ").parse().unwrap();
            let level =
                |salt: u32| std::array::from_fn(|level| f64::from(number * 7 + salt) + level as f64 / 8.0);
            let (bid_prices, ask_prices) = (level(1), level(2));
            (
                instrument,
                Tick {
                    ts,
                    trading_day: day,
                    last: f64::from(number),
                    bid_prices,
                    ask_prices,
                    ..Tick::default()
                },
            )
        };
        let (ticks, on_conflict) = ((1..=count).map(tick).collect(), OnConflict::Replace);
        store.commit(Batch::of(Operation::PutTicks { ticks, on_conflict })).unwrap();
    }

    fn segments(store: &Store) -> u64 {
        store.stats().unwrap().segments
    }

    #[test]
    fn segments_wait_until_a_store_was_open_for_a_while_and_much_that_is_hot_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = opened(dir.path(), 400);
        for close in 1..6 {
            commit_bars(&store, "2026-11-19", 1, f64::from(close));
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
        let mut seen = None;
        commit_bars(&store, "2026-11-19", 1, 6.0);
        assert_eq!(look(store.inner(), true, &mut seen), LOOK);
        assert_eq!((segments(&store), seen), (10, None), "one bar is little, and it is early");
        assert_eq!(look(store.inner(), false, &mut seen), LOOK);
        assert_eq!(segments(&store), 2);
        assert!(seen.is_some(), "nothing is left to do");
        let before = seen;
        assert_eq!(look(store.inner(), false, &mut seen), LOOK);
        assert_eq!((seen, segments(&store)), (before, 2));
        assert_eq!(store.stats().unwrap().hot_bars, 1);

        commit_bars(&store, "2026-11-18", 200, 1.0);
        assert_eq!(look(store.inner(), true, &mut seen), LOOK);
        assert_eq!(store.stats().unwrap().hot_bars, 0, "much is hot");
    }

    #[test]
    fn a_short_chunk_at_the_end_of_each_append_does_not_hide_how_much_is_hot() {
        let dir = tempfile::tempdir().unwrap();
        let store = opened(dir.path(), 100_000);
        // A chunk of 64 rows and one of a single row each time.
        let mut second = 0;
        while hot_bytes(store.inner()).unwrap() <= 100_000 {
            assert_eq!(
                store.maintain(MaintenanceBudget::default()).unwrap().sealed.rows,
                0,
                "second {second}"
            );
            commit_ticks(&store, second, 65);
            second += 1;
            assert!(second < 60, "so many ticks take more than 100,000 bytes");
        }
        let sealed = store.maintain(MaintenanceBudget::default()).unwrap().sealed.rows;
        assert_eq!(sealed, u64::try_from(second * 65).unwrap());
        assert_eq!(hot_bytes(store.inner()).unwrap(), 0);
    }

    #[test]
    fn maintenance_that_fails_is_told_waits_longer_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = opened(dir.path(), 1);
        commit_bars(&store, "2026-11-19", 1, 1.0);
        let staging = dir.path().join(crate::folder::STAGING);
        fs::remove_dir(&staging).unwrap();
        let mut seen = None;
        assert_eq!(look(store.inner(), false, &mut seen), PAUSE);
        let told = store.stats().unwrap().maintenance_error.unwrap();
        assert!(told.contains(crate::folder::STAGING), "{told}");
        assert_eq!((segments(&store), seen), (0, None));
        fs::create_dir(&staging).unwrap();
        assert_eq!(look(store.inner(), false, &mut seen), LOOK);
        assert_eq!((segments(&store), store.stats().unwrap().maintenance_error), (2, None));
    }
}
