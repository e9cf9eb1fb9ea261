//! Sealing: hot bars move to segments, and nothing that changes meanwhile is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use barkeeper_records::{
    AdjustmentTag, Digest, InstrumentId, Interval, Outcome, RangeTombstone, SeriesKey, Timestamp, Version,
};
use barkeeper_storage::{BarHasher, ChunkView, VersionedBar, checksum, keys};

use crate::commit::Task;
use crate::error::{CommitResult, MaintenanceError, ReadResult, missing};
use crate::import::partition;
use crate::ops_bars::delta_row;
use crate::publication::{Common, Prepared, Rows};
use crate::report::{SealOptions, SealReport};
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::store::{Inner, Store};
use crate::tables::Tab;
use crate::view::View;

/// Rows that one publication moves at the most, so that the writer is not held for long.
const SEAL_ROWS: usize = 1_000_000;

/// Segments of hot rows that wait for their commit.
pub(crate) struct SealPlan {
    prepared: Vec<Prepared>,
    /// What was read: table, key, checksum of the value, rows in it.
    read: Vec<(Tab, Vec<u8>, u64, u64)>,
}

/// The rows of one segment (and its twin): all of them, or those of a month.
#[derive(Default)]
struct Part {
    rows: Rows,
    digest: Digest,
    versions: BTreeSet<Version>,
}

/// The hot bars of one interval and adjustment.
#[derive(Default)]
struct Hot {
    rows: BTreeMap<InstrumentId, Vec<VersionedBar>>,
    read: Vec<(Tab, Vec<u8>, u64, u64)>,
    total: usize,
}

impl Store {
    /// Moves hot bars to segments by the publish protocol. Readers and writers go on; what is corrected
    /// meanwhile stays hot and wins. `progress` hears of rows done and rows in all.
    ///
    /// # Errors
    /// Every variant of [`MaintenanceError`] but `NotEmpty` and `NotExact`. What was published before stays published.
    pub fn seal(
        &self,
        options: &SealOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<SealReport, MaintenanceError> {
        let mut report = SealReport::default();
        let kinds = hot_kinds(&Snapshot::take(self.inner())?)?;
        for (interval, adjustment) in kinds {
            if options.interval.is_none_or(|wanted| wanted == interval) {
                seal_kind(self.inner(), interval, adjustment, options.before, &mut report, progress)?;
            }
        }
        Ok(report)
    }
}

/// The intervals and adjustments that have hot bars.
pub(crate) fn hot_kinds(snapshot: &Snapshot) -> ReadResult<BTreeSet<(Interval, AdjustmentTag)>> {
    let mut kinds = BTreeSet::new();
    for tab in [Tab::Slabs, Tab::Delta] {
        let mut from = Vec::new();
        loop {
            let mut next = None;
            snapshot.view().scan(tab, &from, &[], false, &mut |key, _| {
                let kind = if tab == Tab::Slabs {
                    keys::read_chunk(key).map(|(interval, adjustment, ..)| (interval, adjustment))
                } else {
                    keys::read_bar(key).map(|(series, _)| (series.interval, series.adjustment))
                };
                next = Some(kind.ok_or_else(|| missing("bar key"))?);
                Ok(ControlFlow::Break(()))
            })?;
            let Some((interval, adjustment)) = next else { break };
            from = keys::after_prefix(&keys::bars_of(interval, adjustment));
            kinds.insert((interval, adjustment));
        }
    }
    Ok(kinds)
}

fn seal_kind(
    inner: &Arc<Inner>,
    interval: Interval,
    adjustment: AdjustmentTag,
    before: Option<Timestamp>,
    report: &mut SealReport,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), MaintenanceError> {
    let mut from = Timestamp::MIN;
    loop {
        let snapshot = Snapshot::take(inner)?;
        let (hot, next) = read_hot(&snapshot, interval, adjustment, from, before)?;
        drop(snapshot);
        if hot.total > 0 {
            let total = report.rows + hot.total as u64;
            progress(report.rows, total);
            publish_hot(inner, interval, adjustment, hot, report)?;
            progress(report.rows, report.rows);
        }
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

/// Reads hot bars from `from` on, about as many as one publication moves; answers where to go on.
fn read_hot(
    snapshot: &Snapshot,
    interval: Interval,
    adjustment: AdjustmentTag,
    from: Timestamp,
    before: Option<Timestamp>,
) -> ReadResult<(Hot, Option<Timestamp>)> {
    let mut hot = Hot::default();
    let prefix = keys::bars_of(interval, adjustment);
    let end = before.map_or_else(|| keys::after_prefix(&prefix), |ts| keys::slab(interval, adjustment, ts));
    let mut next = None;
    let mut current = None;
    snapshot.view().scan(
        Tab::Slabs,
        &keys::slab(interval, adjustment, from),
        &end,
        false,
        &mut |key, value| {
            let (_, _, ts, _) = keys::read_chunk(key).ok_or_else(|| missing("chunk key"))?;
            if hot.total >= SEAL_ROWS && current != Some(ts) {
                next = Some(ts);
                return Ok(ControlFlow::Break(()));
            }
            current = Some(ts);
            let chunk = ChunkView::read(key, ts, value)?;
            for row in chunk.rows() {
                let (instrument, row) = row?;
                hot.rows.entry(instrument).or_default().push(row);
            }
            hot.total += chunk.len();
            hot.read.push((Tab::Slabs, key.to_vec(), checksum(0, key, value), chunk.len() as u64));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    let until = next.or(before).unwrap_or(Timestamp::MAX);
    snapshot.view().scan_prefix(Tab::Delta, &prefix, &mut |key, value| {
        let (series, row) = delta_row(key, value)?;
        let in_part = row.bar.ts >= from && (row.bar.ts < until || until == Timestamp::MAX);
        if in_part {
            hot.rows.entry(series.instrument).or_default().push(row);
            hot.total += 1;
            hot.read.push((Tab::Delta, key.to_vec(), checksum(0, key, value), 1));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (instrument, rows) in &mut hot.rows {
        let series = SeriesKey { interval, adjustment, instrument: *instrument };
        let removed = snapshot.merged().tombstones(&series)?;
        settle(rows, &removed);
    }
    hot.rows.retain(|_, rows| !rows.is_empty());
    Ok((hot, next))
}

/// Leaves one row a `ts`, the highest version, and none that is removed.
fn settle(rows: &mut Vec<VersionedBar>, removed: &[RangeTombstone]) {
    rows.sort_by(|a, b| a.bar.ts.cmp(&b.bar.ts).then(b.version.cmp(&a.version)));
    rows.dedup_by_key(|row| row.bar.ts);
    rows.retain(|row| {
        !removed.iter().any(|t| t.from <= row.bar.ts && row.bar.ts < t.to && row.version < t.version)
    });
}

fn publish_hot(
    inner: &Arc<Inner>,
    interval: Interval,
    adjustment: AdjustmentTag,
    hot: Hot,
    report: &mut SealReport,
) -> Result<(), MaintenanceError> {
    let mut parts: BTreeMap<i32, Part> = BTreeMap::new();
    for (instrument, bars) in hot.rows {
        let mut hasher = BarHasher::new(&SeriesKey { interval, adjustment, instrument });
        for row in bars {
            let part = parts.entry(partition(interval, row.bar.ts)).or_default();
            part.digest.add(hasher.hash(&row.bar));
            if part.versions.len() < 2 {
                part.versions.insert(row.version);
            }
            match part.rows.last_mut() {
                Some((last, rows)) if *last == instrument => rows.push(row),
                _ => part.rows.push((instrument, vec![row])),
            }
        }
    }
    let mut prepared = Vec::new();
    for part in parts.into_values() {
        let uniform = if part.versions.len() == 1 { part.versions.first().copied() } else { None };
        let common = Common { interval, adjustment, version: uniform, digest: part.digest };
        prepared.extend(inner.prepare_segments(common, &part.rows)?);
    }
    let (count, bytes) = (prepared.len() as u64, prepared.iter().map(Prepared::bytes).sum::<u64>());
    inner.step("before the commit")?;
    let receipt = inner.submit(Task::Seal(Box::new(SealPlan { prepared, read: hot.read })))?;
    inner.step("after the commit")?;
    if let Some(Outcome::Bars { deleted, kept, .. }) = receipt.outcomes.first() {
        report.rows += deleted;
        report.stayed += kept;
    }
    report.segments += count;
    report.bytes += bytes;
    report.lsn = Some(receipt.lsn);
    Ok(())
}

impl Session<'_, '_> {
    /// Enters the segments and removes the hot values that are byte for byte what was read.
    pub(crate) fn publish_seal(&mut self, plan: SealPlan) -> CommitResult<Outcome> {
        let (mut moved, mut stayed) = (0, 0);
        for (tab, key, sum, rows) in plan.read {
            let same =
                self.staged.with(tab, &key, |value| value.is_some_and(|v| checksum(0, &key, v) == sum))?;
            if same {
                self.staged.remove(tab, key);
                moved += rows;
            } else {
                stayed += rows;
            }
        }
        self.publish(plan.prepared, None)?;
        Ok(Outcome::Bars { inserted: 0, replaced: 0, kept: stayed, unchanged: 0, deleted: moved })
    }
}
