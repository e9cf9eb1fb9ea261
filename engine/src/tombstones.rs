//! Giving up range tombstones that nothing needs any more.

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use barkeeper_records::{Lsn, RangeTombstone, Timestamp};
use barkeeper_storage::{Axis, Dataset, SegmentIndexV1};

use crate::error::{MaintenanceError, ReadResult};
use crate::manifest::key_of;
use crate::merge::read_tombstone;
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::tables::Tab;
use crate::trash::{Retired, retired};
use crate::upkeep::{STEP_VALUES, Upkeep};
use crate::view::View;

/// How long a range tombstone is kept at least: 180 days, so that a device that comes back late is told.
const KEPT_MS: i64 = 180 * 86_400 * 1_000;

/// Drops the range tombstones that are older than 180 days, that every target has passed, and that hide no
/// row any more, neither in a live segment, nor hot, nor in a segment that an undo would bring back.
/// Answers how many. The caller sees to it that no other maintenance goes on.
pub(crate) fn drop_tombstones(inner: &Arc<Inner>) -> Result<u64, MaintenanceError> {
    let passed = {
        let targets = inner.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.acknowledged.values().min().copied()
    };
    let snapshot = Snapshot::take(inner)?;
    let mut old = Vec::new();
    let now = inner.options.clock.now();
    snapshot.view().scan_prefix(Tab::Tombstones, &[], &mut |key, value| {
        let tombstone = read_tombstone(key, value)?;
        if is_old(&tombstone, now, passed) {
            old.push((key.to_vec(), tombstone));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let retired = if old.is_empty() { Retired::new() } else { retired(snapshot.view())? };
    let mut useless = Vec::new();
    for (key, tombstone) in old {
        if !hides_a_row(&snapshot, &retired, &tombstone)? {
            useless.push(key);
        }
    }
    drop(snapshot);
    let dropped = useless.len() as u64;
    for part in useless.chunks(STEP_VALUES) {
        inner.step("before tombstones are dropped")?;
        inner.upkeep(Upkeep::DropTombstones(part.to_vec()))?;
        inner.step("after tombstones are dropped")?;
    }
    Ok(dropped)
}

fn is_old(tombstone: &RangeTombstone, now: Timestamp, passed: Option<Lsn>) -> bool {
    let age = now.millis().saturating_sub(tombstone.version.time().millis());
    age >= KEPT_MS && passed.is_none_or(|lsn| tombstone.lsn <= lsn)
}

fn hides_a_row(snapshot: &Snapshot, retired: &Retired, tombstone: &RangeTombstone) -> ReadResult<bool> {
    let series = &tombstone.series;
    let last = Timestamp::from_nanos(tombstone.to.nanos().saturating_sub(1));
    if snapshot.merged().any_below(series, tombstone.from, last, tombstone.version)? {
        return Ok(true);
    }
    let dataset = Dataset::Bars { interval: series.interval, adjustment: series.adjustment };
    for (id, one) in retired {
        let entry = &one.entry;
        let other = entry.dataset != dataset || entry.axis != Axis::Instrument;
        if other || entry.last < tombstone.from || entry.first > last {
            continue;
        }
        // Its rows are not looked at: it will be gone in a few days.
        let index: Option<SegmentIndexV1> = snapshot.view().row(Tab::SegmentIndexes, &key_of(*id))?;
        let run = index.and_then(|index| index.of_instrument(&series.instrument));
        if run.is_some_and(|run| run.first <= last.nanos() && tombstone.from.nanos() <= run.last) {
            return Ok(true);
        }
    }
    Ok(false)
}
