//! Operations on bars: put a run, put a cross-section, delete a range.

use std::collections::BTreeMap;

use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Bucket, InstrumentId, Interval, OnConflict, Outcome, RangeTombstone,
    SeriesKey, Table, Timestamp, limits,
};
use barkeeper_storage::{
    BarHasher, BarV1, CHUNK_INSTRUMENTS, ChunkView, LogEntry, RevisionV1, StoredRow, TombstoneV1,
    VersionedBar, encode_chunk, keys, rowview,
};

use crate::error::{CommitError, CommitResult, ReadResult, missing};
use crate::session::Session;
use crate::tables::Tab;
use crate::tails::Touch;
use crate::view::View;

/// A cross-section with fewer new bars than this goes to the delta.
const SLAB_MINIMUM: usize = 16;

/// What a run of bars would do to a series.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Bars that are not there, ascending.
    pub(crate) inserts: Vec<Bar>,
    /// Bars that are there with other content, and what is there, ascending.
    pub(crate) replaces: Vec<(Bar, VersionedBar)>,
    pub(crate) kept: u64,
    pub(crate) unchanged: u64,
    /// The largest change of a close, in per cent of what is stored.
    pub(crate) largest: f64,
    /// The first bar that differs.
    pub(crate) first_conflict: Option<Timestamp>,
}

impl Plan {
    /// Compares bars with what is stored; both ascending.
    pub(crate) fn of(bars: &[Bar], stored: &[VersionedBar], on_conflict: OnConflict) -> Self {
        let mut plan = Self::default();
        let mut stored = stored.iter().peekable();
        for bar in bars {
            while stored.next_if(|old| old.bar.ts < bar.ts).is_some() {}
            match stored.next_if(|old| old.bar.ts == bar.ts) {
                None => plan.inserts.push(*bar),
                Some(old) if old.bar.same_content(bar) => plan.unchanged += 1,
                Some(old) => plan.conflict(bar, old, on_conflict),
            }
        }
        plan
    }

    fn conflict(&mut self, bar: &Bar, old: &VersionedBar, on_conflict: OnConflict) {
        self.first_conflict.get_or_insert(bar.ts);
        let change = (bar.close - old.bar.close).abs() / old.bar.close.abs() * 100.0;
        self.largest = self.largest.max(if change.is_finite() { change } else { 0.0 });
        if on_conflict == OnConflict::Keep {
            self.kept += 1;
        } else {
            self.replaces.push((*bar, *old));
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.inserts.is_empty() && self.replaces.is_empty()
    }

    /// An error where bars differ and the batch says to stop.
    pub(crate) fn refuse<'p>(plans: impl Iterator<Item = (&'p SeriesKey, &'p Self)>) -> CommitResult<()> {
        let mut conflict: Option<(u64, u64, f64, (SeriesKey, Timestamp))> = None;
        for (series, plan) in plans {
            if let Some(ts) = plan.first_conflict {
                let (bars, count, largest, _) = conflict.get_or_insert((0, 0, 0.0, (*series, ts)));
                *bars += plan.replaces.len() as u64;
                *count += 1;
                *largest = largest.max(plan.largest);
            }
        }
        match conflict {
            None => Ok(()),
            Some((bars, series, largest, first)) => {
                Err(CommitError::Conflict { bars, series, largest, first })
            }
        }
    }
}

impl Session<'_, '_> {
    /// Compares a run with what is stored, without a look at the bars where none can be there.
    pub(crate) fn plan(
        &mut self,
        series: &SeriesKey,
        bars: &[Bar],
        on_conflict: OnConflict,
    ) -> CommitResult<Plan> {
        let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return Ok(Plan::default()) };
        let stat = self.stat(series)?;
        let apart = stat.count == 0 || first.ts.nanos() > stat.last || last.ts.nanos() < stat.first;
        let stored = if apart { Vec::new() } else { self.bars().range(series, first.ts, last.ts)? };
        Ok(Plan::of(bars, &stored, on_conflict))
    }

    pub(crate) fn put_bars(&mut self, run: &BarRun, on_conflict: OnConflict) -> CommitResult<Outcome> {
        let series = run.series();
        let plan = self.plan(&series, run.bars(), on_conflict)?;
        if on_conflict == OnConflict::Refuse {
            Plan::refuse(std::iter::once((&series, &plan)))?;
        }
        self.account_for(&series, &plan)?;
        for bar in plan.inserts.iter().chain(plan.replaces.iter().map(|(bar, _)| bar)) {
            self.put_delta(&series, bar);
        }
        let all = plan.inserts.iter().chain(plan.replaces.iter().map(|(bar, _)| bar)).map(|bar| bar.ts);
        if let (Some(from), Some(to)) = (all.clone().min(), all.max()) {
            self.log(LogEntry::Series { series, from, to });
        }
        Ok(outcome(&plan))
    }

    fn put_delta(&mut self, series: &SeriesKey, bar: &Bar) {
        let row = BarV1::of(&VersionedBar { bar: *bar, version: self.version });
        self.staged.put_row(Tab::Delta, keys::bar(series, bar.ts), &row);
    }

    /// Everything that a plan changes beside the bars themselves: statistics, digests, revisions, tails.
    pub(crate) fn account_for(&mut self, series: &SeriesKey, plan: &Plan) -> CommitResult<()> {
        if plan.is_empty() {
            return Ok(());
        }
        // A bar that this very batch wrote before is corrected under a higher version.
        if plan.replaces.iter().any(|(_, old)| old.version >= self.version) {
            self.advance()?;
        }
        let behind = self.stat(series)?;
        let mut hasher = BarHasher::new(series);
        let group = rowview::bar_group(series);
        let bucket = |ts| Bucket { table: Table::Bars, group: group.clone(), period: rowview::period_of(ts) };
        for bar in &plan.inserts {
            let hash = hasher.hash(bar);
            self.digests.add(bucket(bar.ts), hash);
        }
        for (bar, old) in &plan.replaces {
            let (before, after) = (hasher.hash(&old.bar), hasher.hash(bar));
            self.digest_bar(&bucket(bar.ts), Some(before), Some(after));
            let key = keys::revision(series, bar.ts, self.version.raw());
            self.staged.put_row(Tab::Revisions, key, &RevisionV1::of(old, self.version));
        }
        self.count_in(series, &plan.inserts)?;
        let appended = plan.replaces.is_empty()
            && plan.inserts.first().is_some_and(|bar| behind.count == 0 || bar.ts.nanos() > behind.last);
        match plan.inserts.as_slice() {
            [bar] if appended => self.touch(*series, Touch::Append(*bar)),
            _ => self.touch(*series, Touch::Change),
        }
        Ok(())
    }

    pub(crate) fn put_cross_section(
        &mut self,
        interval: Interval,
        adjustment: AdjustmentTag,
        bars: &[(InstrumentId, Bar)],
        on_conflict: OnConflict,
    ) -> CommitResult<Outcome> {
        let mut sorted: BTreeMap<InstrumentId, Bar> = BTreeMap::new();
        let ts = bars.first().map(|(_, bar)| bar.ts).unwrap_or_default();
        for (instrument, bar) in bars {
            let bar = bar.born(interval)?;
            if bar.ts != ts || sorted.insert(*instrument, bar).is_some() {
                return Err(CommitError::CrossSection { instrument: *instrument, ts: bar.ts });
            }
        }
        let mut plans = Vec::with_capacity(sorted.len());
        for (instrument, bar) in sorted {
            let series = SeriesKey { interval, adjustment, instrument };
            let plan = self.plan(&series, &[bar], on_conflict)?;
            plans.push((series, plan));
        }
        if on_conflict == OnConflict::Refuse {
            Plan::refuse(plans.iter().map(|(series, plan)| (series, plan)))?;
        }
        let mut fresh = Vec::with_capacity(plans.len());
        let mut total = Plan::default();
        let (mut inserted, mut replaced) = (0, 0);
        for (series, plan) in &plans {
            self.account_for(series, plan)?;
            for bar in &plan.inserts {
                fresh.push((series.instrument, VersionedBar { bar: *bar, version: self.version }));
            }
            for (bar, _) in &plan.replaces {
                self.put_delta(series, bar);
            }
            inserted += plan.inserts.len() as u64;
            replaced += plan.replaces.len() as u64;
            total.kept += plan.kept;
            total.unchanged += plan.unchanged;
        }
        self.put_fresh(interval, adjustment, ts, fresh)?;
        if inserted + replaced > 0 {
            self.log(LogEntry::CrossSection { interval, adjustment, ts });
        }
        Ok(Outcome::Bars { inserted, replaced, kept: total.kept, unchanged: total.unchanged, deleted: 0 })
    }

    /// Puts bars of instruments that have none at this `ts`: into a slab, or a few into the delta.
    fn put_fresh(
        &mut self,
        interval: Interval,
        adjustment: AdjustmentTag,
        ts: Timestamp,
        mut fresh: Vec<(InstrumentId, VersionedBar)>,
    ) -> CommitResult<()> {
        if fresh.len() < SLAB_MINIMUM {
            for (instrument, row) in &fresh {
                let series = SeriesKey { interval, adjustment, instrument: *instrument };
                self.staged.put_row(Tab::Delta, keys::bar(&series, row.bar.ts), &BarV1::of(row));
            }
            return Ok(());
        }
        let mut old = Vec::new();
        self.staged.scan_prefix(Tab::Slabs, &keys::slab(interval, adjustment, ts), &mut |key, value| {
            for row in ChunkView::read(key, ts, value)?.rows() {
                fresh.push(row?);
            }
            old.push(key.to_vec());
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        for key in old {
            self.staged.remove(Tab::Slabs, key);
        }
        // A removed bar may still stand in the old slab under a tombstone; the new one has the higher version.
        fresh.sort_by(|(a, x), (b, y)| a.cmp(b).then(y.version.cmp(&x.version)));
        fresh.dedup_by_key(|(instrument, _)| *instrument);
        for chunk in fresh.chunks(CHUNK_INSTRUMENTS) {
            if let Some((first, _)) = chunk.first() {
                let key = keys::chunk(interval, adjustment, ts, first);
                let value = encode_chunk(&key, chunk);
                self.staged.put(Tab::Slabs, key, value);
            }
        }
        Ok(())
    }

    pub(crate) fn delete_bars(
        &mut self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> CommitResult<Outcome> {
        let last = Timestamp::from_nanos(to.nanos().saturating_sub(1));
        let stored = if from < to { self.bars().range(series, from, last)? } else { Vec::new() };
        let deleted = stored.len() as u64;
        if deleted > 0 {
            let mut hasher = BarHasher::new(series);
            for row in &stored {
                let hash = hasher.hash(&row.bar);
                self.digests.remove(rowview::bar_bucket(series, row.bar.ts), hash);
            }
            self.hide(series, from, to)?;
            self.recount(series)?;
        }
        Ok(Outcome::Bars { inserted: 0, replaced: 0, kept: 0, unchanged: 0, deleted })
    }

    /// Writes a range tombstone that hides every lower version.
    fn hide(&mut self, series: &SeriesKey, from: Timestamp, to: Timestamp) -> CommitResult<()> {
        // Bars that this batch put before are hidden as well, and bars that it puts after are not.
        self.advance()?;
        let lsn = self.lsn;
        let tombstone = RangeTombstone { series: *series, from, to, version: self.version, lsn };
        let mut ordinal = 0;
        while self.staged.with(Tab::Tombstones, &keys::tombstone(series, lsn, ordinal), |v| v.is_some())? {
            ordinal += 1;
        }
        let key = keys::tombstone(series, lsn, ordinal);
        self.staged.put_row(Tab::Tombstones, key, &TombstoneV1::of(&tombstone));
        self.touch(*series, Touch::Change);
        self.log(LogEntry::Delete(tombstone));
        Ok(())
    }

    /// Counts a series anew after bars were removed.
    fn recount(&mut self, series: &SeriesKey) -> CommitResult<()> {
        let mut stat = self.stat(series)?;
        let (first, last) = (Timestamp::from_nanos(stat.first), Timestamp::from_nanos(stat.last));
        let left = self.bars().range(series, first, last)?;
        stat.count = left.len() as u64;
        if let (Some(first), Some(last)) = (left.first(), left.last()) {
            stat.first = first.bar.ts.nanos();
            stat.last = last.bar.ts.nanos();
        }
        self.set_stat(series, stat)?;
        Ok(())
    }

    /// Gives bars a new version without changing them, so that they win over what a target has.
    pub(crate) fn stamp_bar(&mut self, series: &SeriesKey, ts: Timestamp) -> CommitResult<()> {
        let stored = self.bars().range(series, ts, ts)?;
        if let Some(row) = stored.first() {
            // As of an instant before the stamp, the bar was known as well.
            let key = keys::revision(series, ts, self.version.raw());
            self.staged.put_row(Tab::Revisions, key, &RevisionV1::of(row, self.version));
            self.put_delta(series, &row.bar);
            self.digests.touch(rowview::bar_bucket(series, ts));
            self.touch(*series, Touch::Change);
            self.log(LogEntry::Series { series: *series, from: ts, to: ts });
        } else {
            let to = Timestamp::from_nanos(ts.nanos().saturating_add(1));
            self.hide(series, ts, to)?;
        }
        Ok(())
    }
}

/// The most bars that batches may bring to the hot tier.
pub(crate) fn check_size(bars: usize) -> CommitResult<()> {
    let limit = limits::BATCH_BARS;
    if bars > limit {
        Err(CommitError::Limit { what: "bars of a batch", found: bars, limit })
    } else {
        Ok(())
    }
}

fn outcome(plan: &Plan) -> Outcome {
    Outcome::Bars {
        inserted: plan.inserts.len() as u64,
        replaced: plan.replaces.len() as u64,
        kept: plan.kept,
        unchanged: plan.unchanged,
        deleted: 0,
    }
}

/// The bytes of a delta row, to compare what a seal read with what is stored now.
pub(crate) fn delta_row(key: &[u8], value: &[u8]) -> ReadResult<(SeriesKey, VersionedBar)> {
    let (series, ts) = keys::read_bar(key).ok_or_else(|| missing("bar key"))?;
    Ok((series, BarV1::from_bytes(key, value)?.read(ts)?))
}
