//! Sealing ticks and market trades: hot chunks move to segments, and nothing that changes meanwhile is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use barkeeper_records::{Digest, InstrumentId, Timestamp, Version};
use barkeeper_storage::{ChunkKind, EventChunk, EventHasher, EventWriter, VersionedEvent, keys};

use super::read::settle;
use super::{Event, slab_of};
use crate::error::{MaintenanceError, ReadResult, missing};
use crate::publication::Prepared;
use crate::report::SealReport;
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::tables::Tab;
use crate::upkeep::{HotValue, Upkeep};
use crate::view::View;

/// Rows that one publication moves at the most, give or take a chunk: some 60 MB of ticks in memory.
const SEAL_ROWS: usize = 262_144;

/// Rows by instrument, each ascending.
pub(crate) type EventRows<T> = BTreeMap<InstrumentId, Vec<VersionedEvent<T>>>;

/// The chunks of one round, in the order in which they are read.
const TIERS: [(Tab, ChunkKind); 2] =
    [(Tab::EventSlabs, ChunkKind::Slab), (Tab::EventBlocks, ChunkKind::Block)];

/// Seals the hot rows of a dataset whose chunks end before an instant.
pub(crate) fn seal_events<T: Event>(
    inner: &Arc<Inner>,
    before: Option<Timestamp>,
    report: &mut SealReport,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), MaintenanceError> {
    for (tab, kind) in TIERS {
        let mut from = Some(keys::event_table(T::TABLE));
        while let Some(start) = from {
            let snapshot = Snapshot::take(inner)?;
            let mut rows = EventRows::<T>::new();
            let mut values = Vec::new();
            from = read_chunks(&snapshot, tab, kind, &start, before, &mut rows, &mut values)?;
            leave_new(&snapshot, &mut rows)?;
            drop(snapshot);
            if values.is_empty() {
                continue;
            }
            let count: u64 = values.iter().map(|value| value.rows).sum();
            progress(report.rows, report.rows + count);
            let prepared = inner.prepare_events(&rows, None)?;
            if !prepared.is_empty() {
                report.segments += prepared.len() as u64;
                report.bytes += prepared.iter().map(Prepared::bytes).sum::<u64>();
                inner.step("before the commit")?;
                inner.upkeep(Upkeep::Publish(prepared))?;
                inner.step("after the commit")?;
            }
            let removed = inner.remove_hot(values)?;
            report.rows += removed.rows;
            report.stayed += removed.stayed;
            report.lsn = removed.lsn;
            progress(report.rows, report.rows);
        }
    }
    Ok(())
}

/// Whether there are hot chunks that end before an instant, judged by where they begin.
pub(crate) fn has_old_events<T: Event>(snapshot: &Snapshot, before: Timestamp) -> ReadResult<bool> {
    let mut old = false;
    let all = keys::event_table(T::TABLE);
    let end = keys::event_slabs_of(T::TABLE, slab_of(before)).min(keys::after_prefix(&all));
    snapshot.view().scan(Tab::EventSlabs, &all, &end, false, &mut |_, _| {
        old = true;
        Ok(ControlFlow::Break(()))
    })?;
    if !old {
        snapshot.view().scan_prefix(Tab::EventBlocks, &all, &mut |key, _| {
            let (_, _, place) = keys::read_event(key).ok_or_else(|| missing("block key"))?;
            old = place.ts < before;
            Ok(if old { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(old)
}

/// Reads chunks from a key on; answers the key to go on from where there are too many for one publication.
fn read_chunks<T: Event>(
    snapshot: &Snapshot,
    tab: Tab,
    kind: ChunkKind,
    start: &[u8],
    before: Option<Timestamp>,
    rows: &mut EventRows<T>,
    values: &mut Vec<HotValue>,
) -> ReadResult<Option<Vec<u8>>> {
    let end = keys::after_prefix(&keys::event_table(T::TABLE));
    let (mut total, mut next) = (0, None);
    snapshot.view().scan(tab, start, &end, false, &mut |key, value| {
        if total >= SEAL_ROWS {
            next = Some(key.to_vec());
            return Ok(ControlFlow::Break(()));
        }
        let chunk = EventChunk::read::<T>(kind, key, value)?;
        let mut found = Vec::with_capacity(chunk.len());
        chunk.each::<T>(|instrument, row| found.push((instrument, row)))?;
        if before.is_some_and(|before| found.iter().any(|(_, row)| row.event.place().ts >= before)) {
            return Ok(ControlFlow::Continue(()));
        }
        total += found.len();
        values.push(HotValue::of(tab, key, value, found.len()));
        for (instrument, row) in found {
            rows.entry(instrument).or_default().push(row);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(next)
}

/// Leaves one row a place, the highest version, none that is removed and none that segments have.
fn leave_new<T: Event>(snapshot: &Snapshot, rows: &mut EventRows<T>) -> ReadResult<()> {
    for (instrument, rows) in rows.iter_mut() {
        let times = || rows.iter().map(|row| row.event.place().ts);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { continue };
        settle(rows, &snapshot.events().tombstones::<T>(instrument, first, last)?);
        let sealed = snapshot.events().sealed::<T>(instrument, first, last)?;
        if !sealed.is_empty() {
            rows.retain(|row| {
                let same = sealed.binary_search_by_key(&row.event.place(), |other| other.event.place());
                same.ok().and_then(|at| sealed.get(at)).is_none_or(|other| other.version < row.version)
            });
        }
    }
    rows.retain(|_, rows| !rows.is_empty());
    Ok(())
}

impl Inner {
    /// Writes rows as segments, one for each part of time, and moves them to their places. `version` is a
    /// placeholder where the publishing commit gives all rows theirs.
    pub(crate) fn prepare_events<T: Event>(
        &self,
        rows: &EventRows<T>,
        version: Option<Version>,
    ) -> Result<Vec<Prepared>, MaintenanceError> {
        let mut parts: BTreeSet<i32> = BTreeSet::new();
        let part = |row: &VersionedEvent<T>| T::partition(row.event.place().ts);
        for rows in rows.values() {
            parts.extend(rows.chunk_by(|a, b| part(a) == part(b)).filter_map(|run| run.first().map(part)));
        }
        let mut prepared = Vec::new();
        for number in parts {
            let runs = || {
                rows.iter().flat_map(|(instrument, rows)| {
                    let runs = rows.chunk_by(|a, b| part(a) == part(b));
                    runs.filter(|run| run.first().map(part) == Some(number)).map(|run| (*instrument, run))
                })
            };
            let versions: BTreeSet<Version> =
                runs().flat_map(|(_, run)| run.iter().map(|row| row.version)).collect();
            let uniform =
                version.or_else(|| if versions.len() == 1 { versions.first().copied() } else { None });
            let fill = |writer: &mut EventWriter<T>| {
                let mut digest = Digest::default();
                for (instrument, run) in runs() {
                    let mut hasher = EventHasher::<T>::new(&instrument);
                    for row in run {
                        digest.add(hasher.hash(&row.event));
                    }
                    writer.push(instrument, run)?;
                }
                Ok(digest)
            };
            match self.prepare_event_segment(uniform, fill) {
                Ok(one) => prepared.push(one),
                Err(error) => {
                    let places: Vec<_> = prepared.iter().map(|one| self.place(one)).collect();
                    crate::publication::discard(&places);
                    return Err(error);
                }
            }
        }
        Ok(prepared)
    }
}
