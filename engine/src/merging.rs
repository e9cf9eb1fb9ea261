//! Merging: several segments become one, row for row what they say together.
//!
//! The inputs are read as streams, an instrument or a day at a time. The output is written by the publish
//! protocol, read back and held against the inputs: every row of theirs is in it, or was replaced by a
//! higher version of theirs, or is hidden by a range tombstone, and the digests say so exactly. One commit
//! then swaps them. The inputs' files go to the trash, from where [`Store::undo`] brings them back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barkeeper_records::{
    AdjustmentTag, Digest, InstrumentId, Interval, MarketTrade, RangeTombstone, SeriesKey, Tick, Timestamp,
    Version,
};
use barkeeper_storage::{Axis, BarHasher, Dataset, Segment, SegmentEntry, SegmentWriter, VersionedBar};

use crate::error::{MaintenanceError, ReadResult, missing};
use crate::events::merge_events;
use crate::manifest::Manifest;
use crate::merge_account::{Account, Tally, unlike};
use crate::publication::{Common, Prepared, discard};
use crate::sabotage::Sabotage;
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::upkeep::{Swap, Upkeep};

/// One merge: what it reads, opened.
struct Merging<'a> {
    inner: &'a Arc<Inner>,
    interval: Interval,
    adjustment: AdjustmentTag,
    removed: BTreeMap<InstrumentId, Vec<RangeTombstone>>,
    /// The version of all rows, where it is one.
    version: Option<Version>,
}

/// What one merge did, on one axis.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Merged {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) superseded: u64,
    pub(crate) removed: u64,
}

/// Merges segments of one group, given on the axis of instruments, with their twins. The caller sees to
/// it that no other maintenance goes on. `tick` hears of rows read.
pub(crate) fn merge(
    inner: &Arc<Inner>,
    chosen: &[SegmentEntry],
    tick: &mut dyn FnMut(u64),
) -> Result<Merged, MaintenanceError> {
    match chosen.first().map(|entry| entry.dataset) {
        Some(Dataset::Bars { interval, adjustment }) => {
            merge_bars(inner, (interval, adjustment), chosen, tick)
        }
        Some(Dataset::Ticks) => merge_events::<Tick>(inner, chosen, tick),
        Some(Dataset::MarketTrades) => merge_events::<MarketTrade>(inner, chosen, tick),
        _ => Ok(Merged::default()),
    }
}

/// The version of all rows of segments, where it is one.
pub(crate) fn uniform(chosen: &[SegmentEntry]) -> Option<Version> {
    let mut versions: BTreeSet<Option<Version>> = chosen.iter().map(|entry| entry.version).collect();
    versions.pop_first().filter(|_| versions.is_empty()).flatten()
}

fn merge_bars(
    inner: &Arc<Inner>,
    (interval, adjustment): (Interval, AdjustmentTag),
    chosen: &[SegmentEntry],
    tick: &mut dyn FnMut(u64),
) -> Result<Merged, MaintenanceError> {
    let snapshot = Snapshot::take(inner)?;
    let manifest = inner.segments.manifest(snapshot.view())?;
    let twins = twins_of(&manifest, chosen)?;
    let open = |entries: &[SegmentEntry]| -> ReadResult<Vec<Arc<Segment>>> {
        entries.iter().map(|entry| inner.segments.segment(snapshot.view(), entry)).collect()
    };
    let (by_instrument, by_day) = (open(chosen)?, open(&twins)?);
    let version = uniform(chosen);
    let mut removed: BTreeMap<InstrumentId, Vec<RangeTombstone>> = BTreeMap::new();
    for tombstone in snapshot.merged().tombstones_of(interval, adjustment)? {
        removed.entry(tombstone.series.instrument).or_default().push(tombstone);
    }
    // The inputs are open and stay where they are: nobody else retires segments now, and no page of the
    // database is held for as long as the merge takes.
    drop(snapshot);
    let merging = Merging { inner, interval, adjustment, removed, version };
    let mut outputs = Vec::new();
    let done = merging.write(&by_instrument, &by_day, &mut outputs, tick);
    let account = match done {
        Ok(account) => account,
        Err(error) => {
            if !error.is_cut() {
                discard(&outputs.iter().map(|one| inner.place(one)).collect::<Vec<_>>());
            }
            return Err(error);
        }
    };
    let inputs = chosen.iter().cloned().chain(twins).collect();
    inner.swap_segments(inputs, outputs, &account)
}

/// The segments with the same rows on the other axis.
fn twins_of(manifest: &Manifest, chosen: &[SegmentEntry]) -> Result<Vec<SegmentEntry>, MaintenanceError> {
    let ids: Vec<u128> = chosen.iter().filter_map(|entry| entry.twin).collect();
    let twin = |id: &u128| manifest.entries.iter().find(|entry| entry.id == *id).cloned();
    let twins: Vec<SegmentEntry> = ids.iter().filter_map(twin).collect();
    let all = twins.len() == ids.len() && (ids.is_empty() || ids.len() == chosen.len());
    if all { Ok(twins) } else { Err(missing("twin of a segment").into()) }
}

impl Merging<'_> {
    /// Writes and verifies the output on one axis or both. `outputs` has what stands in `bars/` also where
    /// it fails.
    fn write(
        &self,
        by_instrument: &[Arc<Segment>],
        by_day: &[Arc<Segment>],
        outputs: &mut Vec<Prepared>,
        tick: &mut dyn FnMut(u64),
    ) -> Result<Account, MaintenanceError> {
        let first = self.inner.new_id();
        let second = (!by_day.is_empty()).then(|| self.inner.new_id());
        let account = self.write_axis(Axis::Instrument, first, second, by_instrument, outputs, tick)?;
        if let Some(second) = second {
            let other = self.write_axis(Axis::Day, second, Some(first), by_day, outputs, tick)?;
            let same = other.kept == account.kept
                && other.superseded == account.superseded
                && other.removed == account.removed;
            if !same {
                return Err(unlike("the two axes do not hold the same rows".to_owned()));
            }
        }
        if account.kept == Tally::default() {
            // Every row was removed: nothing comes for the inputs.
            discard(&outputs.drain(..).map(|one| self.inner.place(&one)).collect::<Vec<_>>());
        }
        Ok(account)
    }

    fn write_axis(
        &self,
        axis: Axis,
        id: u128,
        twin: Option<u128>,
        inputs: &[Arc<Segment>],
        outputs: &mut Vec<Prepared>,
        tick: &mut dyn FnMut(u64),
    ) -> Result<Account, MaintenanceError> {
        let mut account = Account::of(inputs.len());
        let (interval, adjustment, version) = (self.interval, self.adjustment, self.version);
        let common = Common { interval, adjustment, version, digest: Digest::default() };
        let prepared = self.inner.prepare(common, axis, id, twin, |writer| match axis {
            Axis::Day => self.fill_days(inputs, writer, &mut account, tick),
            Axis::Instrument => self.fill_series(inputs, writer, &mut account, tick),
        })?;
        let prepared = prepared.with_digest(account.kept.digest);
        outputs.push(prepared.clone());
        account.check(inputs)?;
        self.read_back(&prepared, &account)?;
        Ok(account)
    }

    fn fill_series(
        &self,
        inputs: &[Arc<Segment>],
        writer: &mut SegmentWriter,
        account: &mut Account,
        tick: &mut dyn FnMut(u64),
    ) -> Result<(), MaintenanceError> {
        let (interval, adjustment) = (self.interval, self.adjustment);
        let names = inputs.iter().flat_map(|input| input.index().instruments().map(|(name, _)| name));
        for instrument in names.collect::<BTreeSet<InstrumentId>>() {
            self.inner.go_on()?;
            let mut hasher = BarHasher::new(&SeriesKey { interval, adjustment, instrument });
            let mut rows = Vec::new();
            for (input, tally) in inputs.iter().zip(&mut account.inputs) {
                let Some(run) = input.index().of_instrument(&instrument) else { continue };
                for row in input.read_series(run.start..run.start + u64::from(run.rows))? {
                    let hash = hasher.hash(&row.bar);
                    tally.add(hash, row.version);
                    rows.push((row.bar.ts, row, hash));
                }
            }
            tick(rows.len() as u64);
            let rows = account.settle(rows, |_, row| self.is_removed(&instrument, row));
            let mut rows: Vec<VersionedBar> = rows.into_iter().map(|(_, row)| row).collect();
            if self.inner.is_broken(Sabotage::LoseARow) {
                rows.pop();
            }
            writer.push_series(instrument, &rows)?;
        }
        Ok(())
    }

    fn fill_days(
        &self,
        inputs: &[Arc<Segment>],
        writer: &mut SegmentWriter,
        account: &mut Account,
        tick: &mut dyn FnMut(u64),
    ) -> Result<(), MaintenanceError> {
        let (interval, adjustment) = (self.interval, self.adjustment);
        let times = inputs.iter().flat_map(|input| input.index().runs()).map(|run| run.first);
        for ts in times.collect::<BTreeSet<i64>>() {
            self.inner.go_on()?;
            let ts = Timestamp::from_nanos(ts);
            let mut rows = Vec::new();
            for (input, tally) in inputs.iter().zip(&mut account.inputs) {
                for run in input.index().of_time(ts, ts) {
                    for (instrument, row) in input.read_rows(run.start..run.start + u64::from(run.rows))? {
                        let series = SeriesKey { interval, adjustment, instrument };
                        let hash = BarHasher::new(&series).hash(&row.bar);
                        tally.add(hash, row.version);
                        rows.push((instrument, row, hash));
                    }
                }
            }
            tick(rows.len() as u64);
            let mut rows = account.settle(rows, |instrument, row| self.is_removed(instrument, row));
            if self.inner.is_broken(Sabotage::LoseARow) {
                rows.pop();
            }
            writer.push_day(ts, &rows)?;
        }
        Ok(())
    }

    fn is_removed(&self, instrument: &InstrumentId, row: &VersionedBar) -> bool {
        let hides = |t: &RangeTombstone| t.from <= row.bar.ts && row.bar.ts < t.to && row.version < t.version;
        self.removed.get(instrument).is_some_and(|all| all.iter().any(hides))
    }

    /// Reads the output as every reader will, and compares its rows with those that were to be written.
    fn read_back(&self, prepared: &Prepared, account: &Account) -> Result<(), MaintenanceError> {
        let segment = prepared.open(&self.inner.place(prepared))?;
        let (interval, adjustment) = (self.interval, self.adjustment);
        let mut found = Tally::default();
        let mut hasher: Option<(InstrumentId, BarHasher)> = None;
        for run in segment.index().runs() {
            self.inner.go_on()?;
            for (instrument, row) in segment.read_rows(run.start..run.start + u64::from(run.rows))? {
                let known = hasher.take().filter(|(name, _)| *name == instrument);
                let (_, of_series) = hasher.insert(known.unwrap_or_else(|| {
                    (instrument, BarHasher::new(&SeriesKey { interval, adjustment, instrument }))
                }));
                found.add(of_series.hash(&row.bar), row.version);
            }
        }
        account.compare(self.inner, segment.entry(), &found)
    }
}

impl Inner {
    /// Commits that outputs take the place of inputs.
    pub(crate) fn swap_segments(
        self: &Arc<Self>,
        inputs: Vec<SegmentEntry>,
        outputs: Vec<Prepared>,
        account: &Account,
    ) -> Result<Merged, MaintenanceError> {
        let bytes = outputs.iter().map(Prepared::bytes).sum();
        let (superseded, removed) = (account.superseded.digest.count, account.removed.digest.count);
        let until = self.grace_end();
        if self.is_broken(Sabotage::DeleteBeforeTheCommit) {
            let place = |entry: &SegmentEntry| self.dir.join(entry.path());
            discard(&inputs.iter().map(place).collect::<Vec<_>>());
        }
        self.step("before the commit")?;
        let swap = Swap { inputs, outputs, superseded, removed, now: self.options.clock.now(), until };
        self.change_manifest(Upkeep::Swap(Box::new(swap)))?;
        self.step("after the commit")?;
        Ok(Merged { rows: account.kept.digest.count, bytes, superseded, removed })
    }
}
