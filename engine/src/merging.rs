//! Merging: several segments become one, row for row what they say together.
//!
//! The inputs are read as streams, an instrument or a day at a time. The output is written by the publish
//! protocol, read back and held against the inputs: every row of theirs is in it, or was replaced by a
//! higher version of theirs, or is hidden by a range tombstone, and the digests say so exactly. One commit
//! then swaps them. The inputs' files go to the trash, from where [`Store::undo`] brings them back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barkeeper_records::{
    AdjustmentTag, Digest, InstrumentId, Interval, RangeTombstone, SeriesKey, Timestamp, Version,
};
use barkeeper_storage::{Axis, BarHasher, Dataset, Segment, SegmentEntry, SegmentWriter, VersionedBar};

use crate::error::{MaintenanceError, ReadResult, missing};
use crate::manifest::Manifest;
use crate::publication::{Common, Prepared, discard};
use crate::sabotage::Sabotage;
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::upkeep::{Swap, Upkeep};

/// Count and sums over rows: of keys and contents as in every digest, and of versions with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    digest: Digest,
    versions: u64,
}

impl Tally {
    fn add(&mut self, hash: i64, version: Version) {
        self.digest.add(hash);
        self.versions = self.versions.wrapping_add((hash as u64 | 1).wrapping_mul(version.raw()));
    }

    fn merge(&mut self, other: &Self) {
        self.digest.merge(&other.digest);
        self.versions = self.versions.wrapping_add(other.versions);
    }
}

/// Where every row of the inputs of one axis went.
#[derive(Debug, Default)]
struct Account {
    inputs: Vec<Tally>,
    kept: Tally,
    superseded: Tally,
    removed: Tally,
    span: Option<(Timestamp, Timestamp)>,
}

/// A row with its hash and the place that orders it among rows that are merged together.
type Hashed<K> = (K, VersionedBar, i64);

impl Account {
    /// Leaves of rows one a key, the highest version, and none that is removed.
    fn settle<K: Ord>(
        &mut self,
        mut rows: Vec<Hashed<K>>,
        is_removed: impl Fn(&K, &VersionedBar) -> bool,
    ) -> Vec<(K, VersionedBar)> {
        rows.sort_by(|(a, x, _), (b, y, _)| a.cmp(b).then(y.version.cmp(&x.version)));
        let mut kept: Vec<(K, VersionedBar)> = Vec::with_capacity(rows.len());
        let mut last_removed: Option<K> = None;
        for (key, row, hash) in rows {
            let known =
                kept.last().is_some_and(|(last, _)| *last == key) || last_removed.as_ref() == Some(&key);
            if known {
                self.superseded.add(hash, row.version);
            } else if is_removed(&key, &row) {
                self.removed.add(hash, row.version);
                last_removed = Some(key);
            } else {
                self.kept.add(hash, row.version);
                let (first, last) = self.span.unwrap_or((row.bar.ts, row.bar.ts));
                self.span = Some((first.min(row.bar.ts), last.max(row.bar.ts)));
                kept.push((key, row));
            }
        }
        kept
    }

    /// Holds what was read against the manifest, and what became of it against what was read.
    fn check(&self, inputs: &[Arc<Segment>]) -> Result<(), MaintenanceError> {
        let mut sum = Tally::default();
        for (input, tally) in inputs.iter().zip(&self.inputs) {
            if tally.digest != input.entry().digest {
                return Err(unlike(format!(
                    "{} does not give the rows of its entry",
                    input.path().display()
                )));
            }
            sum.merge(tally);
        }
        let mut told = self.kept;
        told.merge(&self.superseded);
        told.merge(&self.removed);
        if told == sum { Ok(()) } else { Err(unlike("rows are not accounted for".to_owned())) }
    }
}

const fn unlike(detail: String) -> MaintenanceError {
    MaintenanceError::Unlike { detail }
}

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
    let snapshot = Snapshot::take(inner)?;
    let manifest = inner.segments.manifest(snapshot.view())?;
    let Some(Dataset::Bars { interval, adjustment }) = chosen.first().map(|entry| entry.dataset) else {
        return Ok(Merged::default());
    };
    let twins = twins_of(&manifest, chosen)?;
    let open = |entries: &[SegmentEntry]| -> ReadResult<Vec<Arc<Segment>>> {
        entries.iter().map(|entry| inner.segments.segment(snapshot.view(), entry)).collect()
    };
    let (by_instrument, by_day) = (open(chosen)?, open(&twins)?);
    let mut versions: BTreeSet<Option<Version>> = chosen.iter().map(|entry| entry.version).collect();
    let version = versions.pop_first().filter(|_| versions.is_empty()).flatten();
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
    merging.swap(chosen, twins, outputs, &account)
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
        let mut account = Account { inputs: vec![Tally::default(); inputs.len()], ..Account::default() };
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
        let entry = segment.entry();
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
        let span = (entry.rows > 0).then_some((entry.first, entry.last));
        let same = found == account.kept && entry.rows == account.kept.digest.count && span == account.span;
        if same || self.inner.is_broken(Sabotage::TrustTheOutput) {
            self.inner.step("read back")
        } else {
            Err(unlike(format!("{} does not hold the rows that were merged", segment.path().display())))
        }
    }

    fn swap(
        &self,
        chosen: &[SegmentEntry],
        twins: Vec<SegmentEntry>,
        outputs: Vec<Prepared>,
        account: &Account,
    ) -> Result<Merged, MaintenanceError> {
        let inner = self.inner;
        let bytes = outputs.iter().map(Prepared::bytes).sum();
        let (superseded, removed) = (account.superseded.digest.count, account.removed.digest.count);
        let inputs = chosen.iter().cloned().chain(twins).collect();
        let until = inner.grace_end();
        if inner.is_broken(Sabotage::DeleteBeforeTheCommit) {
            let place = |entry: &SegmentEntry| inner.dir.join(entry.path());
            discard(&chosen.iter().map(place).collect::<Vec<_>>());
        }
        inner.step("before the commit")?;
        let swap = Swap { inputs, outputs, superseded, removed, now: inner.options.clock.now(), until };
        inner.change_manifest(Upkeep::Swap(Box::new(swap)))?;
        inner.step("after the commit")?;
        Ok(Merged { rows: account.kept.digest.count, bytes, superseded, removed })
    }
}
