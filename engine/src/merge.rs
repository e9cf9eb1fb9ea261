//! The merged view of bars: delta, slabs and segments, of which the highest version wins.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use barkeeper_records::{
    AdjustmentTag, InstrumentId, Interval, RangeTombstone, SeriesKey, Timestamp, Version,
};
use barkeeper_storage::{Axis, BarV1, ChunkView, RunV1, Segment, StoredRow, TombstoneV1, VersionedBar, keys};

use crate::error::{ReadResult, missing};
use crate::manifest::SegmentCache;
use crate::tables::Tab;
use crate::view::View;

/// Reads of bars over a view and its segments.
pub(crate) struct Bars<'a, V> {
    pub(crate) view: &'a V,
    pub(crate) segments: &'a SegmentCache,
}

impl<V: View> Bars<'_, V> {
    /// The bars of a series from `from` to `to`, both included, ascending.
    pub(crate) fn range(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<Vec<VersionedBar>> {
        Ok(self.range_as(series, from, to, 0, |row| row)?.0)
    }

    /// The same, of each bar what `part` takes of it, with the number of rows that the hot tier had; `room` is
    /// left for what the caller puts behind them.
    pub(crate) fn range_as<T>(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        room: usize,
        part: impl Fn(VersionedBar) -> T,
    ) -> ReadResult<(Vec<T>, usize)> {
        let mut found = Winners::new(self.tombstones(series)?);
        self.hot(series, from, to, &mut found)?;
        found.sort();
        let hot = found.bars.len();
        let sealed = self.sealed_rows(series, from, to)?;
        // Most series stand in one segment and, behind it, in the hot tier.
        if let ([(segment, rows)], true) = (sealed.as_slice(), found.tombstones.is_empty()) {
            let mut bars = Vec::with_capacity(count_of(rows) + hot + room);
            let (mut last, mut ascending) = (None, true);
            segment.visit_series(rows.clone(), |row| {
                let ts = row.bar.ts;
                if (from..=to).contains(&ts) {
                    ascending &= last < Some(ts);
                    last = Some(ts);
                    bars.push(part(row));
                }
            })?;
            if ascending && found.bars.first().is_none_or(|first| last < Some(first.bar.ts)) {
                bars.extend(found.bars.into_iter().map(part));
                return Ok((bars, hot));
            }
        }
        offer_sealed(&sealed, from, to, &mut found)?;
        Ok((found.finish().into_iter().map(part).collect(), hot))
    }

    /// The last `count` bars of a series at or before `to`, ascending. `first` is the series' first
    /// `ts`: nothing lies before it.
    pub(crate) fn last(
        &self,
        series: &SeriesKey,
        to: Timestamp,
        first: Timestamp,
        count: usize,
    ) -> ReadResult<Vec<VersionedBar>> {
        // One instrument's newest bars are mostly in one place, so the window grows until it holds enough.
        let mut want = count;
        loop {
            let from = self.window_start(series, to, first, want)?;
            let mut found = Winners::new(self.tombstones(series)?);
            self.hot(series, from, to, &mut found)?;
            // Segments behind the newest hot bars need not be opened.
            let enough = found.nth_from_end(count).unwrap_or(from);
            self.cold(series, enough, to, &mut found)?;
            let mut bars = found.finish();
            if bars.len() >= count || from <= first {
                let surplus = bars.len().saturating_sub(count);
                bars.drain(..surplus);
                return Ok(bars);
            }
            want = want.saturating_mul(4).max(16);
        }
    }

    /// A `ts` from which on there are probably at least `count` bars.
    fn window_start(
        &self,
        series: &SeriesKey,
        to: Timestamp,
        first: Timestamp,
        count: usize,
    ) -> ReadResult<Timestamp> {
        let step = match series.interval.nanos() {
            // Sessions cover a fifth of the clock, and a weekend has two days.
            Some(nanos) => nanos.saturating_mul(5),
            None => (DAY_NANOS * 3 / 2).saturating_mul(days_of(series.interval)),
        };
        let span = step
            .saturating_mul(i64::try_from(count).unwrap_or(i64::MAX))
            .saturating_add(step.saturating_mul(10));
        let guess = Timestamp::from_nanos(to.nanos().saturating_sub(span)).max(first);
        // Bars that end long before `to` (a delisted stock) would make the window crawl back.
        Ok(if guess > first && self.is_empty_after(series, guess)? { first } else { guess })
    }

    fn is_empty_after(&self, series: &SeriesKey, from: Timestamp) -> ReadResult<bool> {
        let manifest = self.segments.manifest(self.view)?;
        for entry in manifest.of(series.interval, series.adjustment, Axis::Instrument) {
            if entry.last >= from {
                return Ok(false);
            }
        }
        let delta = self.view.last(
            Tab::Delta,
            &keys::bar(series, from),
            &keys::after_prefix(&keys::series(series)),
        )?;
        let prefix = keys::bars_of(series.interval, series.adjustment);
        let slab = keys::slab(series.interval, series.adjustment, from);
        let slabs = self.view.last(Tab::Slabs, &slab, &keys::after_prefix(&prefix))?;
        Ok(delta.is_none() && slabs.is_none())
    }

    /// All instruments' bars at one `ts`, in the order of instruments.
    pub(crate) fn cross_section(
        &self,
        interval: Interval,
        adjustment: AdjustmentTag,
        ts: Timestamp,
    ) -> ReadResult<Vec<(InstrumentId, VersionedBar)>> {
        self.cross_section_as(interval, adjustment, ts, |row| row)
    }

    /// The same, of each bar what `part` takes of it.
    pub(crate) fn cross_section_as<T>(
        &self,
        interval: Interval,
        adjustment: AdjustmentTag,
        ts: Timestamp,
        part: impl Fn(VersionedBar) -> T,
    ) -> ReadResult<Vec<(InstrumentId, T)>> {
        let mut hot = Vec::new();
        self.view.scan_prefix(Tab::Slabs, &keys::slab(interval, adjustment, ts), &mut |key, value| {
            for row in ChunkView::read(key, ts, value)?.rows() {
                hot.push(row?);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let delta = self.delta_at(interval, adjustment, ts)?;
        let removed = self.removals(interval, adjustment)?;
        let axis = if interval.is_daily_or_longer() { Axis::Day } else { Axis::Instrument };
        let manifest = self.segments.manifest(self.view)?;
        let mut sealed = Vec::new();
        for entry in manifest.of(interval, adjustment, axis) {
            if !(entry.first..=entry.last).contains(&ts) {
                continue;
            }
            let segment = self.segments.segment(self.view, entry)?;
            if axis == Axis::Day {
                for run in segment.index().of_time(ts, ts) {
                    sealed.push((segment.clone(), run.start..run.start + u64::from(run.rows)));
                }
            } else {
                sealed.push((segment, 0..entry.rows));
            }
        }
        // Most days stand in one segment and nowhere else.
        if let ([(segment, rows)], Axis::Day, true) =
            (sealed.as_slice(), axis, hot.is_empty() && delta.is_empty() && removed.is_empty())
        {
            return Ok(segment.read_rows_as(rows.clone(), part)?);
        }
        let mut parts: Vec<Vec<(InstrumentId, VersionedBar)>> = Vec::new();
        for (segment, rows) in sealed {
            let mut rows = segment.read_rows(rows)?;
            if axis == Axis::Instrument {
                rows.retain(|(_, row)| row.bar.ts == ts);
            }
            parts.push(rows);
        }
        parts.push(hot);
        parts.push(delta);
        parts.retain(|part| !part.is_empty());
        let mut rows = merge_parts(parts);
        if !removed.is_empty() {
            rows.retain(|(instrument, row)| {
                removed.get(instrument).is_none_or(|all| !all.iter().any(|t| hides(t, ts, row)))
            });
        }
        Ok(rows.into_iter().map(|(instrument, row)| (instrument, part(row))).collect())
    }

    fn delta_at(
        &self,
        interval: Interval,
        adjustment: AdjustmentTag,
        ts: Timestamp,
    ) -> ReadResult<Vec<(InstrumentId, VersionedBar)>> {
        let mut rows = Vec::new();
        let prefix = keys::bars_of(interval, adjustment);
        let end = keys::after_prefix(&prefix);
        let mut from = prefix;
        // The delta is ordered by series: seek to `ts` of each, and from there to the next series.
        loop {
            let mut seek = None;
            self.view.scan(Tab::Delta, &from, &end, false, &mut |key, value| {
                let (series, at) = keys::read_bar(key).ok_or_else(|| missing("bar key"))?;
                seek = Some(match at.cmp(&ts) {
                    std::cmp::Ordering::Less => keys::bar(&series, ts),
                    std::cmp::Ordering::Greater => keys::after_prefix(&keys::series(&series)),
                    std::cmp::Ordering::Equal => {
                        rows.push((series.instrument, BarV1::from_bytes(key, value)?.read(at)?));
                        keys::after_prefix(&keys::series(&series))
                    }
                });
                Ok(ControlFlow::Break(()))
            })?;
            match seek {
                Some(next) => from = next,
                None => return Ok(rows),
            }
        }
    }

    /// What was removed of an interval and adjustment.
    fn removals(
        &self,
        interval: Interval,
        adjustment: AdjustmentTag,
    ) -> ReadResult<BTreeMap<InstrumentId, Vec<RangeTombstone>>> {
        let mut removed: BTreeMap<InstrumentId, Vec<RangeTombstone>> = BTreeMap::new();
        for tombstone in self.tombstones_of(interval, adjustment)? {
            removed.entry(tombstone.series.instrument).or_default().push(tombstone);
        }
        Ok(removed)
    }

    /// Whether a row of a series from `from` to `to` has a version below this, visible or not, in any tier.
    pub(crate) fn any_below(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        version: Version,
    ) -> ReadResult<bool> {
        let mut found = Winners::new(Vec::new());
        self.cold(series, from, to, &mut found)?;
        self.hot(series, from, to, &mut found)?;
        Ok(found.bars.iter().any(|row| row.version < version))
    }

    /// The tombstones of an interval and adjustment, in the order of series.
    pub(crate) fn tombstones_of(
        &self,
        interval: Interval,
        adjustment: AdjustmentTag,
    ) -> ReadResult<Vec<RangeTombstone>> {
        let mut found = Vec::new();
        self.view.scan_prefix(Tab::Tombstones, &keys::bars_of(interval, adjustment), &mut |key, value| {
            found.push(read_tombstone(key, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The tombstones of a series.
    pub(crate) fn tombstones(&self, series: &SeriesKey) -> ReadResult<Vec<RangeTombstone>> {
        let mut found = Vec::new();
        self.view.scan_prefix(Tab::Tombstones, &keys::series(series), &mut |key, value| {
            found.push(read_tombstone(key, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The bars of a series that stand in segments from `from` to `to`, removed ones among them.
    pub(crate) fn sealed(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<Vec<VersionedBar>> {
        let mut found = Winners::new(Vec::new());
        self.cold(series, from, to, &mut found)?;
        Ok(found.finish())
    }

    fn cold(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        found: &mut Winners,
    ) -> ReadResult<()> {
        offer_sealed(&self.sealed_rows(series, from, to)?, from, to, found)
    }

    /// Where a series stands in segments, as far as it may lie between `from` and `to`.
    fn sealed_rows(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<Vec<(Arc<Segment>, Range<u64>)>> {
        let manifest = self.segments.manifest(self.view)?;
        let mut found = Vec::new();
        for entry in manifest.of(series.interval, series.adjustment, Axis::Instrument) {
            if entry.last < from || entry.first > to {
                continue;
            }
            let segment = self.segments.segment(self.view, entry)?;
            let Some(run) = segment.index().of_instrument(&series.instrument) else { continue };
            if run.last >= from.nanos() && run.first <= to.nanos() {
                found.push((segment, rows_of(&run, series.interval, from)));
            }
        }
        Ok(found)
    }

    fn hot(&self, series: &SeriesKey, from: Timestamp, to: Timestamp, found: &mut Winners) -> ReadResult<()> {
        self.slabs(series, from, to, found)?;
        let end = keys::after_prefix(&keys::bar(series, to));
        self.view.scan(Tab::Delta, &keys::bar(series, from), &end, false, &mut |key, value| {
            let (_, ts) = keys::read_bar(key).ok_or_else(|| missing("bar key"))?;
            found.offer(BarV1::from_bytes(key, value)?.read(ts)?);
            Ok(ControlFlow::Continue(()))
        })
    }

    fn slabs(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        found: &mut Winners,
    ) -> ReadResult<()> {
        let SeriesKey { interval, adjustment, instrument } = *series;
        let floor = keys::slab(interval, adjustment, from);
        let mut upper = successor(keys::chunk(interval, adjustment, to, &instrument));
        // No two slabs of days are closer than a day: the one before is mostly met at the first try.
        let step = if interval.is_daily_or_longer() { DAY_NANOS } else { 1 };
        // Backwards: the chunk that may hold the instrument is the last one of its slab that begins at
        // or before it. A seek that lands on a later chunk of an earlier slab is repeated inside it.
        loop {
            let mut next = None;
            self.view.scan(Tab::Slabs, &floor, &upper, true, &mut |key, value| {
                let (_, _, ts, first) = keys::read_chunk(key).ok_or_else(|| missing("chunk key"))?;
                let mut seek = ts;
                if first <= instrument {
                    if let Some(bar) = ChunkView::read(key, ts, value)?.find(&instrument)? {
                        found.offer(bar);
                    }
                    seek = Timestamp::from_nanos(ts.nanos().saturating_sub(step));
                }
                next = Some(successor(keys::chunk(interval, adjustment, seek, &instrument)));
                Ok(ControlFlow::Break(()))
            })?;
            match next {
                Some(key) if key > floor && key < upper => upper = key,
                _ => return Ok(()),
            }
        }
    }
}

/// Offers the rows that lie between `from` and `to`.
fn offer_sealed(
    sealed: &[(Arc<Segment>, Range<u64>)],
    from: Timestamp,
    to: Timestamp,
    found: &mut Winners,
) -> ReadResult<()> {
    for (segment, rows) in sealed {
        found.bars.reserve(count_of(rows));
        segment.visit_series(rows.clone(), |bar| {
            if (from..=to).contains(&bar.bar.ts) {
                found.offer(bar);
            }
        })?;
    }
    Ok(())
}

/// For how many of some rows room is made before they are read.
fn count_of(rows: &Range<u64>) -> usize {
    usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(0).min(RESERVED)
}

/// Bars for which room is made before they are read: the whole history of a daily series.
const RESERVED: usize = 16_384;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// The smallest key behind a key.
fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

const fn days_of(interval: Interval) -> i64 {
    let unit = match interval.unit() {
        barkeeper_records::IntervalUnit::Week => 7,
        barkeeper_records::IntervalUnit::Month => 31,
        _ => 1,
    };
    unit * interval.count() as i64
}

/// The rows of a run that may lie at or after `from`. Bars of a day and longer are at least a day apart;
/// shorter ones may stand closer than their interval (a first bar of a session that opens between hours).
fn rows_of(run: &RunV1, interval: Interval, from: Timestamp) -> Range<u64> {
    let end = run.start + u64::from(run.rows);
    if from.nanos() <= run.first || !interval.is_daily_or_longer() {
        return run.start..end;
    }
    let most = (run.last.saturating_sub(from.nanos()) / DAY_NANOS).saturating_add(1);
    let most = u64::try_from(most).unwrap_or(0);
    end.saturating_sub(most).max(run.start)..end
}

fn hides(tombstone: &RangeTombstone, ts: Timestamp, row: &VersionedBar) -> bool {
    tombstone.from <= ts && ts < tombstone.to && row.version < tombstone.version
}

pub(crate) fn read_tombstone(key: &[u8], value: &[u8]) -> ReadResult<RangeTombstone> {
    let (series, lsn) = keys::read_tombstone(key).ok_or_else(|| missing("tombstone key"))?;
    Ok(TombstoneV1::from_bytes(key, value)?.read(series, lsn)?)
}

/// Merges parts that are each ordered by instrument; the highest version of an instrument wins.
fn merge_parts(mut parts: Vec<Vec<(InstrumentId, VersionedBar)>>) -> Vec<(InstrumentId, VersionedBar)> {
    if parts.len() <= 1 {
        return parts.pop().unwrap_or_default();
    }
    let mut rows: Vec<_> = parts.into_iter().flatten().collect();
    rows.sort_by(|(a, x), (b, y)| a.cmp(b).then(y.version.cmp(&x.version)));
    rows.dedup_by_key(|(instrument, _)| *instrument);
    rows
}

/// Collects the bars of one series; the highest version of a `ts` wins.
struct Winners {
    tombstones: Vec<RangeTombstone>,
    bars: Vec<VersionedBar>,
    sorted: bool,
}

impl Winners {
    const fn new(tombstones: Vec<RangeTombstone>) -> Self {
        Self { tombstones, bars: Vec::new(), sorted: true }
    }

    fn offer(&mut self, bar: VersionedBar) {
        if self.tombstones.iter().any(|t| hides(t, bar.bar.ts, &bar)) {
            return;
        }
        self.sorted = self.sorted && self.bars.last().is_none_or(|last| last.bar.ts < bar.bar.ts);
        self.bars.push(bar);
    }

    fn sort(&mut self) {
        if !self.sorted {
            self.bars.sort_by(|a, b| a.bar.ts.cmp(&b.bar.ts).then(b.version.cmp(&a.version)));
            self.bars.dedup_by_key(|bar| bar.bar.ts);
            self.sorted = true;
        }
    }

    /// The `ts` of the bar of which there are `count` with those behind it.
    fn nth_from_end(&mut self, count: usize) -> Option<Timestamp> {
        self.sort();
        let place = self.bars.len().checked_sub(count)?;
        self.bars.get(place).map(|bar| bar.bar.ts)
    }

    fn finish(mut self) -> Vec<VersionedBar> {
        self.sort();
        self.bars
    }
}
