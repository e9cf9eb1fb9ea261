//! Bulk imports: bars of many series in one commit, large amounts straight to segments.

use std::collections::BTreeMap;
use std::sync::Arc;

use barkeeper_records::{
    AdjustmentTag, Bar, BarError, BarRun, Batch, Bucket, Digest, ImportRecord, Interval, Lsn, OnConflict,
    Operation, Outcome, SeriesKey, Table, Timestamp, Version,
};
use barkeeper_storage::{BarHasher, LogEntry, RevisionV1, VersionedBar, keys, rowview};

use crate::error::{CommitError, CommitResult, MaintenanceError};
use crate::ops_bars::Plan;
use crate::publication::{Common, Prepared, Rows, discard};
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
    plan: Plan,
    digests: Vec<(Bucket, Digest)>,
}

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
            receipt.lsn = import_small(inner, &series, plans, imports, on_conflict)?;
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
fn gather(runs: Vec<BarRun>, on_conflict: OnConflict) -> CommitResult<BTreeMap<SeriesKey, Vec<Bar>>> {
    let mut all: BTreeMap<SeriesKey, Vec<Bar>> = BTreeMap::new();
    for run in runs {
        let bars = all.entry(run.series()).or_default();
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
    Ok(all)
}

fn compare(
    snapshot: &Snapshot,
    series: &BTreeMap<SeriesKey, Vec<Bar>>,
    on_conflict: OnConflict,
) -> CommitResult<Vec<SeriesPlan>> {
    let mut plans = Vec::with_capacity(series.len());
    for (series, bars) in series {
        let (Some(first), Some(last)) = (bars.first(), bars.last()) else { continue };
        let known = snapshot.series(series)?.is_some_and(|s| s.first <= last.ts && first.ts <= s.last);
        let stored = if known { snapshot.merged().range(series, first.ts, last.ts)? } else { Vec::new() };
        let plan = Plan::of(bars, &stored, on_conflict);
        plans.push(SeriesPlan { series: *series, digests: digests(series, &plan), plan });
    }
    if on_conflict == OnConflict::Refuse {
        Plan::refuse(plans.iter().map(|one| (&one.series, &one.plan)))?;
    }
    Ok(plans)
}

fn digests(series: &SeriesKey, plan: &Plan) -> Vec<(Bucket, Digest)> {
    let mut hasher = BarHasher::new(series);
    let mut periods: BTreeMap<i32, Digest> = BTreeMap::new();
    for bar in &plan.inserts {
        periods.entry(rowview::period_of(bar.ts)).or_default().add(hasher.hash(bar));
    }
    for (bar, old) in &plan.replaces {
        let digest = periods.entry(rowview::period_of(bar.ts)).or_default();
        digest.remove(hasher.hash(&old.bar));
        digest.add(hasher.hash(bar));
    }
    let group = rowview::bar_group(series);
    let bucket = |period| Bucket { table: Table::Bars, group: group.clone(), period };
    periods.into_iter().map(|(period, digest)| (bucket(period), digest)).collect()
}

fn count(plans: &[SeriesPlan], lsn: Lsn) -> ImportReceipt {
    let sum = |f: fn(&Plan) -> u64| plans.iter().map(|one| f(&one.plan)).sum();
    ImportReceipt {
        lsn,
        inserted: sum(|plan| plan.inserts.len() as u64),
        replaced: sum(|plan| plan.replaces.len() as u64),
        kept: sum(|plan| plan.kept),
        unchanged: sum(|plan| plan.unchanged),
        segments: 0,
    }
}

fn import_small(
    inner: &Inner,
    series: &BTreeMap<SeriesKey, Vec<Bar>>,
    plans: Vec<SeriesPlan>,
    imports: &[ImportRecord],
    on_conflict: OnConflict,
) -> CommitResult<Lsn> {
    let mut batch = Batch::new();
    for one in plans.into_iter().filter(|one| !one.plan.is_empty()) {
        // Only the bars that differ from what was read; the batch compares them again inside the commit.
        let wanted = |ts: Timestamp| {
            one.plan.inserts.binary_search_by_key(&ts, |bar| bar.ts).is_ok()
                || one.plan.replaces.binary_search_by_key(&ts, |(bar, _)| bar.ts).is_ok()
        };
        let bars =
            series.get(&one.series).into_iter().flatten().filter(|bar| wanted(bar.ts)).copied().collect();
        let run = BarRun::new(one.series, bars).map_err(|(_, error)| error)?;
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

type Parts = BTreeMap<(Interval, AdjustmentTag, i32), (Rows, Digest)>;

fn prepare(inner: &Inner, plans: &[SeriesPlan]) -> Result<Vec<Prepared>, MaintenanceError> {
    let mut parts: Parts = BTreeMap::new();
    for one in plans {
        let mut hasher = BarHasher::new(&one.series);
        let mut bars: Vec<Bar> = one.plan.inserts.clone();
        bars.extend(one.plan.replaces.iter().map(|(bar, _)| *bar));
        bars.sort_by_key(|bar| bar.ts);
        for bar in bars {
            let SeriesKey { interval, adjustment, instrument } = one.series;
            let part = parts.entry((interval, adjustment, partition(interval, bar.ts))).or_default();
            part.1.add(hasher.hash(&bar));
            // The publishing commit gives the version.
            let row = VersionedBar { bar, version: Version::ZERO };
            match part.0.last_mut() {
                Some((last, rows)) if *last == instrument => rows.push(row),
                _ => part.0.push((instrument, vec![row])),
            }
        }
    }
    let mut prepared = Vec::new();
    for ((interval, adjustment, _), (rows, digest)) in parts {
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

impl Session<'_, '_> {
    pub(crate) fn publish_import(&mut self, plan: ImportPlan, tails: &Tails) -> CommitResult<Outcome> {
        if plan.series.iter().any(|one| tails.changed(&one.series) > plan.read_at) {
            return Err(CommitError::Contended(1));
        }
        let (mut inserted, mut replaced) = (0, 0);
        for one in &plan.series {
            if one.plan.is_empty() {
                continue;
            }
            for (bucket, digest) in &one.digests {
                self.digests.merge(bucket.clone(), digest);
            }
            for (bar, old) in &one.plan.replaces {
                let key = keys::revision(&one.series, bar.ts, self.version.raw());
                self.staged.put_row(Tab::Revisions, key, &RevisionV1::of(old, self.version));
            }
            self.count_in(&one.series, &one.plan.inserts)?;
            self.touch(one.series, Touch::Change);
            inserted += one.plan.inserts.len() as u64;
            replaced += one.plan.replaces.len() as u64;
            let all =
                one.plan.inserts.iter().chain(one.plan.replaces.iter().map(|(bar, _)| bar)).map(|bar| bar.ts);
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
