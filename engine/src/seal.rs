//! Sealing: hot bars move to segments, and nothing that changes meanwhile is lost.
//!
//! One commit enters the segments; later ones remove the hot values, a bounded part each. In between a
//! row stands in both tiers with equal bytes, which every reader is prepared for. A seal that is cut off
//! there leaves rows that the next one finds in segments already: it removes them and writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use barkeeper_records::{
    AdjustmentTag, Digest, InstrumentId, Interval, MarketTrade, RangeTombstone, SeriesKey, Tick, Timestamp,
    Version,
};
use barkeeper_storage::{Axis, BarHasher, ChunkView, VersionedBar, keys};

use crate::error::{MaintenanceError, ReadResult, missing};
use crate::events::seal_events;
use crate::import::partition;
use crate::ops_bars::delta_row;
use crate::publication::{Common, Prepared, Rows};
use crate::report::{SealOptions, SealReport};
use crate::snapshot::Snapshot;
use crate::store::{Inner, Store};
use crate::tables::Tab;
use crate::upkeep::{HotValue, Upkeep};
use crate::view::View;

/// Rows of slabs, and again of the delta, that one publication takes at the most: some 50 MB in memory.
const SEAL_ROWS: usize = 262_144;

/// The rows of one segment (and its twin): all of them, or those of a month.
#[derive(Default)]
struct Part {
    rows: Rows,
    digest: Digest,
    versions: BTreeSet<Version>,
}

/// Hot bars of one interval and adjustment, and the values in which they were read.
#[derive(Default)]
struct Hot {
    rows: BTreeMap<InstrumentId, Vec<VersionedBar>>,
    values: Vec<HotValue>,
}

/// One seal of one interval and adjustment.
struct Sealing<'a> {
    inner: &'a Arc<Inner>,
    interval: Interval,
    adjustment: AdjustmentTag,
    before: Option<Timestamp>,
    report: &'a mut SealReport,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Store {
    /// Moves hot bars to segments by the publish protocol. Readers and writers go on; what is corrected
    /// meanwhile stays hot and wins. `progress` hears of rows done and rows in all, as far as they are known.
    ///
    /// # Errors
    /// Every variant of [`MaintenanceError`] but `NotEmpty` and `NotExact`. What was published before stays published.
    pub fn seal(
        &self,
        options: &SealOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<SealReport, MaintenanceError> {
        let _alone = self.inner().maintaining();
        seal(self.inner(), options, progress)
    }
}

/// Seals; the caller sees to it that no other maintenance goes on.
pub(crate) fn seal(
    inner: &Arc<Inner>,
    options: &SealOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SealReport, MaintenanceError> {
    inner.space.for_bars(0)?;
    let mut report = SealReport::default();
    if options.interval.is_none() {
        seal_events::<Tick>(inner, options.before, &mut report, progress)?;
        seal_events::<MarketTrade>(inner, options.before, &mut report, progress)?;
    }
    let kinds = hot_kinds(&Snapshot::take(inner)?)?;
    for (interval, adjustment) in kinds {
        if options.interval.is_none_or(|wanted| wanted == interval) {
            let before = options.before;
            let report = &mut report;
            let mut one = Sealing { inner, interval, adjustment, before, report, progress: &mut *progress };
            one.run()?;
        }
    }
    Ok(report)
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

impl Hot {
    fn push(&mut self, instrument: InstrumentId, row: VersionedBar) {
        self.rows.entry(instrument).or_default().push(row);
    }

    fn count(&self) -> u64 {
        self.values.iter().map(|value| value.rows).sum()
    }
}

impl Sealing<'_> {
    fn run(&mut self) -> Result<(), MaintenanceError> {
        // Slabs in the order of time, with the delta of the same stretch; then what is left of a large delta.
        let mut from = Some(Timestamp::MIN);
        while let Some(start) = from {
            let snapshot = Snapshot::take(self.inner)?;
            let (mut hot, next) = self.read_stretch(&snapshot, start)?;
            self.settle(&snapshot, &mut hot)?;
            drop(snapshot);
            self.move_to_segments(hot)?;
            from = next;
        }
        let mut from = Some(keys::bars_of(self.interval, self.adjustment));
        while let Some(start) = from {
            let snapshot = Snapshot::take(self.inner)?;
            let mut hot = Hot::default();
            from = self.read_delta(&snapshot, &start, Timestamp::MIN, None, &mut hot)?;
            self.settle(&snapshot, &mut hot)?;
            drop(snapshot);
            self.move_to_segments(hot)?;
        }
        Ok(())
    }

    /// Reads hot bars from `from` on, about as many as one publication moves; answers where to go on.
    fn read_stretch(&self, snapshot: &Snapshot, from: Timestamp) -> ReadResult<(Hot, Option<Timestamp>)> {
        let (interval, adjustment) = (self.interval, self.adjustment);
        let mut hot = Hot::default();
        let prefix = keys::bars_of(interval, adjustment);
        let end = self
            .before
            .map_or_else(|| keys::after_prefix(&prefix), |ts| keys::slab(interval, adjustment, ts));
        let (mut total, mut next, mut current) = (0, None, None);
        let start = keys::slab(interval, adjustment, from);
        snapshot.view().scan(Tab::Slabs, &start, &end, false, &mut |key, value| {
            let (_, _, ts, _) = keys::read_chunk(key).ok_or_else(|| missing("chunk key"))?;
            if total >= SEAL_ROWS && current != Some(ts) {
                next = Some(ts);
                return Ok(ControlFlow::Break(()));
            }
            current = Some(ts);
            let chunk = ChunkView::read(key, ts, value)?;
            for row in chunk.rows() {
                let (instrument, row) = row?;
                hot.push(instrument, row);
            }
            total += chunk.len();
            hot.values.push(HotValue::of(Tab::Slabs, key, value, chunk.len()));
            Ok(ControlFlow::Continue(()))
        })?;
        self.read_delta(snapshot, &prefix, from, next, &mut hot)?;
        Ok((hot, next))
    }

    /// Reads the delta's bars behind a key, those from `from` to before `until`; answers the key where it
    /// stopped because there are too many for one publication.
    fn read_delta(
        &self,
        snapshot: &Snapshot,
        start: &[u8],
        from: Timestamp,
        until: Option<Timestamp>,
        hot: &mut Hot,
    ) -> ReadResult<Option<Vec<u8>>> {
        let end = keys::after_prefix(&keys::bars_of(self.interval, self.adjustment));
        let until = until.or(self.before);
        let (mut total, mut next) = (0, None);
        snapshot.view().scan(Tab::Delta, start, &end, false, &mut |key, value| {
            let (_, ts) = keys::read_bar(key).ok_or_else(|| missing("bar key"))?;
            if ts < from || until.is_some_and(|until| ts >= until) {
                return Ok(ControlFlow::Continue(()));
            }
            if total >= SEAL_ROWS {
                next = Some(key.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            let (series, row) = delta_row(key, value)?;
            hot.push(series.instrument, row);
            hot.values.push(HotValue::of(Tab::Delta, key, value, 1));
            total += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(next)
    }

    /// Publishes what no segment holds yet, then removes the hot values.
    fn move_to_segments(&mut self, hot: Hot) -> Result<(), MaintenanceError> {
        if hot.values.is_empty() {
            return Ok(());
        }
        let moved = self.report.rows;
        (self.progress)(moved, moved + hot.count());
        if !hot.rows.is_empty() {
            self.publish(hot.rows)?;
        }
        let removed = self.inner.remove_hot(hot.values)?;
        self.report.rows += removed.rows;
        self.report.stayed += removed.stayed;
        self.report.lsn = removed.lsn;
        (self.progress)(self.report.rows, self.report.rows);
        Ok(())
    }

    /// Leaves one row a key, the highest version, none that is removed and none that segments have.
    fn settle(&self, snapshot: &Snapshot, hot: &mut Hot) -> ReadResult<()> {
        let times = || hot.rows.values().flatten().map(|row| row.bar.ts);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
        let manifest = self.inner.segments.manifest(snapshot.view())?;
        let mut segments = manifest.of(self.interval, self.adjustment, Axis::Instrument);
        let overlaps = segments.any(|entry| entry.first <= last && first <= entry.last);
        for (instrument, rows) in &mut hot.rows {
            let series =
                SeriesKey { interval: self.interval, adjustment: self.adjustment, instrument: *instrument };
            settle(rows, &snapshot.merged().tombstones(&series)?);
            if let (true, Some(first), Some(last)) = (overlaps, rows.first(), rows.last()) {
                let sealed = snapshot.merged().sealed(&series, first.bar.ts, last.bar.ts)?;
                rows.retain(|row| {
                    let same = sealed.binary_search_by_key(&row.bar.ts, |other| other.bar.ts);
                    let other = same.ok().and_then(|place| sealed.get(place));
                    other.is_none_or(|other| other.version < row.version)
                });
            }
        }
        hot.rows.retain(|_, rows| !rows.is_empty());
        Ok(())
    }

    fn publish(&mut self, rows: BTreeMap<InstrumentId, Vec<VersionedBar>>) -> Result<(), MaintenanceError> {
        let (interval, adjustment) = (self.interval, self.adjustment);
        let mut parts: BTreeMap<i32, Part> = BTreeMap::new();
        for (instrument, bars) in rows {
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
            prepared.extend(self.inner.prepare_segments(common, &part.rows)?);
        }
        let (count, bytes) = (prepared.len() as u64, prepared.iter().map(Prepared::bytes).sum::<u64>());
        self.inner.step("before the commit")?;
        self.inner.upkeep(Upkeep::Publish(prepared))?;
        self.inner.step("after the commit")?;
        self.report.segments += count;
        self.report.bytes += bytes;
        Ok(())
    }
}

/// Leaves one row a `ts`, the highest version, and none that is removed.
fn settle(rows: &mut Vec<VersionedBar>, removed: &[RangeTombstone]) {
    rows.sort_by(|a, b| a.bar.ts.cmp(&b.bar.ts).then(b.version.cmp(&a.version)));
    rows.dedup_by_key(|row| row.bar.ts);
    rows.retain(|row| {
        !removed.iter().any(|t| t.from <= row.bar.ts && row.bar.ts < t.to && row.version < t.version)
    });
}
