//! Bulk imports: bars of many series in one commit, large amounts straight to segments.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use barkeeper_records::{
    AdjustmentTag, Bar, BarError, BarRun, Batch, Bucket, Digest, ImportRecord, InstrumentId, Interval, Lsn,
    OnConflict, Operation, Outcome, SeriesKey, Table, Timestamp, Version,
};
use barkeeper_storage::{BarHasher, LogEntry, RevisionV1, keys, rowview};

use crate::error::{CommitError, CommitResult, MaintenanceError};
use crate::ops_bars::Plan;
use crate::publication::{Common, Prepared, discard};
use crate::report::ImportReceipt;
use crate::session::{Session, Touches};
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::tables::Tab;
use crate::tails::{Tails, Touch};

/// Imports with fewer new bars than this go to the hot tier.
const BULK_BARS: usize = 20_000;
/// How often an import is prepared anew because somebody else wrote to its series.
const ATTEMPTS: u32 = 4;

/// A bulk import that waits for its commit.
pub(crate) struct ImportPlan {
    read_at: Lsn,
    series: Vec<SeriesPlan>,
    prepared: Vec<Prepared>,
    imports: Arc<[ImportRecord]>,
}

impl ImportPlan {
    /// Whether another batch of the same group has changed a series of the import.
    pub(crate) fn meets(&self, touches: &Touches) -> bool {
        self.series.iter().any(|one| touches.contains_key(&one.series))
    }
}

/// What an import does to one series, worked out before the commit.
struct SeriesPlan {
    series: SeriesKey,
    /// What is to be imported.
    bars: Arc<Vec<Bar>>,
    /// Whether none of them can be stored: then they stand in `bars` alone, and `plan` is empty.
    new: bool,
    plan: Plan,
    digests: Vec<(Bucket, Digest)>,
}

impl SeriesPlan {
    fn inserts(&self) -> &[Bar] {
        if self.new { &self.bars } else { &self.plan.inserts }
    }

    fn is_empty(&self) -> bool {
        self.inserts().is_empty() && self.plan.replaces.is_empty()
    }

    /// What is written, ascending by `ts`.
    fn written(&self) -> Cow<'_, [Bar]> {
        if self.plan.replaces.is_empty() {
            return Cow::Borrowed(self.inserts());
        }
        let mut bars = self.plan.inserts.clone();
        bars.extend(self.plan.replaces.iter().map(|(bar, _)| *bar));
        bars.sort_by_key(|bar| bar.ts);
        Cow::Owned(bars)
    }
}

/// The bars of an import by series; no copy is made of them before they are written.
type Wanted = BTreeMap<SeriesKey, Arc<Vec<Bar>>>;

pub(crate) fn import_bars(
    inner: &Arc<Inner>,
    runs: Vec<BarRun>,
    imports: &Arc<[ImportRecord]>,
    on_conflict: OnConflict,
) -> CommitResult<ImportReceipt> {
    let bars: u64 = runs.iter().map(|run| run.bars().len() as u64).sum();
    inner.space.for_bars(bars * barkeeper_records::limits::SEALED_ROW_BYTES)?;
    let series = gather(runs, on_conflict)?;
    for _ in 0..ATTEMPTS {
        let snapshot = Snapshot::take(inner)?;
        let plans = compare(&snapshot, &series, on_conflict)?;
        let read_at = snapshot.lsn();
        drop(snapshot);
        let mut receipt = count(&plans, read_at);
        let new = receipt.inserted + receipt.replaced;
        if new < BULK_BARS as u64 {
            receipt.lsn = import_small(inner, plans, imports, on_conflict)?;
            return Ok(receipt);
        }
        let prepared = prepare(inner, &plans)?;
        receipt.segments = prepared.len() as u64;
        let places: Vec<_> = prepared.iter().map(|one| inner.place(one)).collect();
        let plan = ImportPlan { read_at, series: plans, prepared, imports: imports.clone() };
        inner.step("before the commit")?;
        match publish(inner, plan) {
            Ok(lsn) => {
                inner.step("after the commit")?;
                receipt.lsn = lsn;
                return Ok(receipt);
            }
            Err(CommitError::Contended(_)) => discard(&places),
            Err(error) => return Err(error),
        }
    }
    Err(CommitError::Contended(ATTEMPTS))
}

fn publish(inner: &Inner, plan: ImportPlan) -> CommitResult<Lsn> {
    let task = crate::commit::Task::Import(Box::new(plan));
    inner.submit(task).map(|receipt| receipt.lsn)
}

/// Joins the runs of each series; of two contents of one bar the later run's wins, or the first where
/// bars are to be kept.
fn gather(runs: Vec<BarRun>, on_conflict: OnConflict) -> CommitResult<Wanted> {
    let mut all: BTreeMap<SeriesKey, Vec<Bar>> = BTreeMap::new();
    for run in runs {
        let bars = match all.entry(run.series()) {
            Entry::Vacant(free) => {
                free.insert(run.into_bars());
                continue;
            }
            Entry::Occupied(taken) => taken.into_mut(),
        };
        let joined = bars.last().zip(run.bars().first()).is_some_and(|(last, first)| last.ts >= first.ts);
        bars.extend_from_slice(run.bars());
        if !joined {
            continue;
        }
        bars.sort_by_key(|bar| bar.ts);
        let mut clean: Vec<Bar> = Vec::with_capacity(bars.len());
        for bar in bars.iter() {
            match clean.last_mut() {
                Some(last) if last.ts == bar.ts => match on_conflict {
                    _ if last.same_content(bar) => {}
                    OnConflict::Refuse => return Err(BarError::Duplicate { ts: bar.ts }.into()),
                    OnConflict::Replace => *last = *bar,
                    OnConflict::Keep => {}
                },
                _ => clean.push(*bar),
            }
        }
        *bars = clean;
    }
    Ok(all.into_iter().map(|(series, bars)| (series, Arc::new(bars))).collect())
}

fn compare(snapshot: &Snapshot, wanted: &Wanted, on_conflict: OnConflict) -> CommitResult<Vec<SeriesPlan>> {
    let mut plans = Vec::with_capacity(wanted.len());
    for (series, bars) in wanted {
        let (Some(first), Some(last)) = (bars.first(), bars.last()) else { continue };
        let known = snapshot.series(series)?.is_some_and(|s| s.first <= last.ts && first.ts <= s.last);
        let plan = if known {
            Plan::of(bars, &snapshot.merged().range(series, first.ts, last.ts)?, on_conflict)
        } else {
            Plan::default()
        };
        let (bars, digests) = (bars.clone(), Vec::new());
        plans.push(SeriesPlan { series: *series, bars, new: !known, plan, digests });
    }
    if on_conflict == OnConflict::Refuse {
        Plan::refuse(plans.iter().map(|one| (&one.series, &one.plan)))?;
    }
    digest_all(&mut plans);
    Ok(plans)
}

/// Hashes what changes, on all processors.
fn digest_all(plans: &mut [SeriesPlan]) {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = plans.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        for part in plans.chunks_mut(share) {
            scope.spawn(|| {
                for one in part {
                    one.digests = digests(one);
                }
            });
        }
    });
}

fn digests(one: &SeriesPlan) -> Vec<(Bucket, Digest)> {
    let series = &one.series;
    let mut hasher = BarHasher::new(series);
    let mut periods: BTreeMap<i32, Digest> = BTreeMap::new();
    for bars in one.inserts().chunk_by(|a, b| rowview::period_of(a.ts) == rowview::period_of(b.ts)) {
        let Some(first) = bars.first() else { continue };
        let digest = periods.entry(rowview::period_of(first.ts)).or_default();
        for bar in bars {
            digest.add(hasher.hash(bar));
        }
    }
    for (bar, old) in &one.plan.replaces {
        let digest = periods.entry(rowview::period_of(bar.ts)).or_default();
        digest.remove(hasher.hash(&old.bar));
        digest.add(hasher.hash(bar));
    }
    let group = rowview::bar_group(series);
    let bucket = |period| Bucket { table: Table::Bars, group: group.clone(), period };
    periods.into_iter().map(|(period, digest)| (bucket(period), digest)).collect()
}

fn count(plans: &[SeriesPlan], lsn: Lsn) -> ImportReceipt {
    let sum = |f: fn(&SeriesPlan) -> u64| plans.iter().map(f).sum();
    ImportReceipt {
        lsn,
        inserted: sum(|one| one.inserts().len() as u64),
        replaced: sum(|one| one.plan.replaces.len() as u64),
        kept: sum(|one| one.plan.kept),
        unchanged: sum(|one| one.plan.unchanged),
        segments: 0,
    }
}

fn import_small(
    inner: &Inner,
    plans: Vec<SeriesPlan>,
    imports: &[ImportRecord],
    on_conflict: OnConflict,
) -> CommitResult<Lsn> {
    let mut batch = Batch::new();
    for one in plans.into_iter().filter(|one| !one.is_empty()) {
        // Only the bars that differ from what was read; the batch compares them again inside the commit.
        let run = BarRun::new(one.series, one.written().into_owned()).map_err(|(_, error)| error)?;
        batch = batch.with(Operation::PutBars { run, on_conflict });
    }
    for import in imports {
        batch = batch.with(Operation::RecordImport(import.clone()));
    }
    inner.submit(crate::commit::Task::Batch(batch)).map(|receipt| receipt.lsn)
}

/// Months of one segment: bars shorter than a day are partitioned by month.
pub(crate) fn partition(interval: Interval, ts: Timestamp) -> i32 {
    if interval.is_daily_or_longer() {
        return 0;
    }
    barkeeper_records::TradingDay::of_utc(ts).map_or(0, |day| {
        let date = day.date();
        i32::from(date.year()) * 12 + i32::from(date.month())
    })
}

/// What goes to one segment and its twin.
type Part<'a> = (Vec<(InstrumentId, Cow<'a, [Bar]>)>, Digest);

fn prepare(inner: &Inner, plans: &[SeriesPlan]) -> Result<Vec<Prepared>, MaintenanceError> {
    let mut parts: BTreeMap<(Interval, AdjustmentTag, i32), Part<'_>> = BTreeMap::new();
    for one in plans.iter().filter(|one| !one.is_empty()) {
        let SeriesKey { interval, adjustment, instrument } = one.series;
        let mut hasher = BarHasher::new(&one.series);
        let months: Vec<Cow<'_, [Bar]>> = match one.written() {
            Cow::Borrowed(bars) => by_month(interval, bars).map(Cow::Borrowed).collect(),
            Cow::Owned(bars) => by_month(interval, &bars).map(|bars| Cow::Owned(bars.to_vec())).collect(),
        };
        let whole = months.len() == 1 && one.plan.replaces.is_empty();
        for bars in months {
            let Some(first) = bars.first() else { continue };
            let part = parts.entry((interval, adjustment, partition(interval, first.ts))).or_default();
            if whole {
                // The same rows as in the series' buckets, which are hashed already.
                one.digests.iter().for_each(|(_, digest)| part.1.merge(digest));
            } else {
                bars.iter().for_each(|bar| part.1.add(hasher.hash(bar)));
            }
            part.0.push((instrument, bars));
        }
    }
    let mut prepared = Vec::new();
    for ((interval, adjustment, _), (rows, digest)) in parts {
        // The publishing commit gives the version.
        let common = Common { interval, adjustment, version: Some(Version::ZERO), digest };
        match inner.prepare_segments(common, &rows) {
            Ok(segments) => prepared.extend(segments),
            Err(error) => {
                discard(&prepared.iter().map(|one| inner.place(one)).collect::<Vec<_>>());
                return Err(error);
            }
        }
    }
    Ok(prepared)
}

/// Ascending bars, a segment's month each; all of them together where months have no segments.
fn by_month(interval: Interval, bars: &[Bar]) -> impl Iterator<Item = &[Bar]> {
    bars.chunk_by(move |a, b| partition(interval, a.ts) == partition(interval, b.ts))
}

impl Session<'_, '_> {
    pub(crate) fn publish_import(&mut self, plan: ImportPlan, tails: &Tails) -> CommitResult<Outcome> {
        if plan.series.iter().any(|one| tails.changed(&one.series) > plan.read_at) {
            return Err(CommitError::Contended(1));
        }
        let (mut inserted, mut replaced) = (0, 0);
        for one in &plan.series {
            if one.is_empty() {
                continue;
            }
            for (bucket, digest) in &one.digests {
                self.digests.merge(bucket.clone(), digest);
            }
            for (bar, old) in &one.plan.replaces {
                let key = keys::revision(&one.series, bar.ts, self.version.raw());
                self.staged.put_row(Tab::Revisions, key, &RevisionV1::of(old, self.version));
            }
            self.count_in(&one.series, one.inserts())?;
            self.touch(one.series, Touch::Change);
            inserted += one.inserts().len() as u64;
            replaced += one.plan.replaces.len() as u64;
            let all =
                one.inserts().iter().chain(one.plan.replaces.iter().map(|(bar, _)| bar)).map(|bar| bar.ts);
            if let (Some(from), Some(to)) = (all.clone().min(), all.max()) {
                self.log(LogEntry::Series { series: one.series, from, to });
            }
        }
        for import in plan.imports.iter() {
            self.record_import(import)?;
        }
        let version = self.version;
        self.publish(plan.prepared, Some(version))?;
        Ok(Outcome::Bars { inserted, replaced, kept: 0, unchanged: 0, deleted: 0 })
    }
}
