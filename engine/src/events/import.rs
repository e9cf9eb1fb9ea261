//! Bulk imports of ticks and market trades: straight to segments, in one commit.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use barkeeper_records::{
    Batch, Bucket, Digest, ImportRecord, InstrumentId, Lsn, OnConflict, Operation, Outcome, Version,
};
use barkeeper_storage::VersionedEvent;

use super::write::{EventPlan, gather, refuse};
use super::{Event, Streams};
use crate::commit::Task;
use crate::error::{CommitError, CommitResult};
use crate::publication::{Prepared, discard};
use crate::report::ImportReceipt;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::store::Inner;

/// Imports with fewer new rows than this go to the hot tier.
const BULK_EVENTS: usize = 50_000;
/// How often an import is prepared anew because somebody else wrote to its streams.
const ATTEMPTS: u32 = 4;

struct StreamPlan<T> {
    instrument: InstrumentId,
    plan: EventPlan<T>,
    digests: Vec<(Bucket, Digest)>,
}

/// A bulk import that waits for its commit.
pub(crate) struct EventImportPlan<T> {
    read_at: Lsn,
    streams: Vec<StreamPlan<T>>,
    prepared: Vec<Prepared>,
    imports: Arc<[ImportRecord]>,
}

impl<T: Event> EventImportPlan<T> {
    /// Whether an earlier batch of the same commit wrote to a stream of the import.
    pub(crate) fn meets(&self, touched: &Streams) -> bool {
        self.streams.iter().any(|one| touched.contains(&(T::TABLE, one.instrument)))
    }
}

/// Imports rows of many instruments in one commit.
pub(crate) fn import_events<T: Event>(
    inner: &Arc<Inner>,
    events: Vec<(InstrumentId, T)>,
    imports: &Arc<[ImportRecord]>,
    on_conflict: OnConflict,
    put: fn(Vec<(InstrumentId, T)>, OnConflict) -> Operation,
) -> CommitResult<ImportReceipt> {
    inner.space.for_bars(events.len() as u64 * barkeeper_records::limits::SEALED_ROW_BYTES)?;
    let streams = gather(events)?;
    for _ in 0..ATTEMPTS {
        let snapshot = Snapshot::take(inner)?;
        let read_at = snapshot.lsn();
        let plans = compare(&snapshot, &streams, on_conflict)?;
        drop(snapshot);
        let mut receipt = count(&plans, read_at);
        if receipt.inserted + receipt.replaced < BULK_EVENTS as u64 {
            receipt.lsn = import_small(inner, &plans, imports, on_conflict, put)?;
            return Ok(receipt);
        }
        let mut rows = BTreeMap::new();
        for one in &plans {
            // The publishing commit gives the version.
            let new: Vec<VersionedEvent<T>> = one.plan.rows(Version::ZERO);
            if !new.is_empty() {
                rows.insert(one.instrument, new);
            }
        }
        let prepared = inner.prepare_events(&rows, Some(Version::ZERO))?;
        drop(rows);
        receipt.segments = prepared.len() as u64;
        let places: Vec<_> = prepared.iter().map(|one| inner.place(one)).collect();
        let plan = EventImportPlan { read_at, streams: plans, prepared, imports: imports.clone() };
        inner.step("before the commit")?;
        match inner.submit(T::import_task(plan)) {
            Ok(done) => {
                inner.step("after the commit")?;
                receipt.lsn = done.lsn;
                return Ok(receipt);
            }
            Err(CommitError::Contended(_)) => discard(&places),
            Err(error) => return Err(error),
        }
    }
    Err(CommitError::Contended(ATTEMPTS))
}

fn compare<T: Event>(
    snapshot: &Snapshot,
    streams: &BTreeMap<InstrumentId, Vec<T>>,
    on_conflict: OnConflict,
) -> CommitResult<Vec<StreamPlan<T>>> {
    let mut plans = Vec::with_capacity(streams.len());
    for (instrument, events) in streams {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { continue };
        let (from, to) = snapshot.span_within::<T>(instrument, first.place().ts, last.place().ts)?;
        let stored = snapshot.events().range::<T>(instrument, from, to)?;
        let plan = EventPlan::of(events, &stored, on_conflict);
        plans.push(StreamPlan { instrument: *instrument, digests: plan.digests(instrument), plan });
    }
    if on_conflict == OnConflict::Refuse {
        refuse(plans.iter().map(|one| (&one.instrument, &one.plan)))?;
    }
    Ok(plans)
}

fn count<T>(plans: &[StreamPlan<T>], lsn: Lsn) -> ImportReceipt {
    let sum = |f: fn(&EventPlan<T>) -> u64| plans.iter().map(|one| f(&one.plan)).sum();
    ImportReceipt {
        lsn,
        inserted: sum(|plan| plan.inserts.len() as u64),
        replaced: sum(|plan| plan.replaces.len() as u64),
        kept: sum(|plan| plan.kept),
        unchanged: sum(|plan| plan.unchanged),
        segments: 0,
    }
}

fn import_small<T: Event>(
    inner: &Inner,
    plans: &[StreamPlan<T>],
    imports: &[ImportRecord],
    on_conflict: OnConflict,
    put: fn(Vec<(InstrumentId, T)>, OnConflict) -> Operation,
) -> CommitResult<Lsn> {
    let mut batch = Batch::new();
    // Only the rows that differ from what was read; the batch compares them again inside the commit.
    let wanted: Vec<(InstrumentId, T)> = plans
        .iter()
        .flat_map(|one| one.plan.rows(Version::ZERO).into_iter().map(|row| (one.instrument, row.event)))
        .collect();
    if !wanted.is_empty() {
        batch = batch.with(put(wanted, on_conflict));
    }
    for import in imports {
        batch = batch.with(Operation::RecordImport(import.clone()));
    }
    inner.submit(Task::Batch(batch)).map(|receipt| receipt.lsn)
}

impl Session<'_, '_> {
    pub(crate) fn publish_events<T: Event>(
        &mut self,
        plan: EventImportPlan<T>,
        inner: &Inner,
    ) -> CommitResult<Outcome> {
        let changed = inner.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |one: &StreamPlan<T>| changed.get(&(T::TABLE, one.instrument)).copied();
        if plan.streams.iter().filter_map(since).any(|lsn| lsn > plan.read_at) {
            return Err(CommitError::Contended(1));
        }
        drop(changed);
        let (mut inserted, mut replaced) = (0, 0);
        let version = self.version;
        for one in &plan.streams {
            if one.plan.is_empty() {
                continue;
            }
            self.account_for_stream(&one.instrument, &one.plan, &one.digests)?;
            self.log_events(&one.instrument, &one.plan.rows(version));
            inserted += one.plan.inserts.len() as u64;
            replaced += one.plan.replaces.len() as u64;
        }
        for import in plan.imports.iter() {
            self.record_import(import)?;
        }
        self.publish(plan.prepared, Some(version))?;
        Ok(Outcome::Events { inserted, replaced, kept: 0, unchanged: 0, deleted: 0 })
    }
}
