//! Putting ticks and market trades: what is there is compared, new rows go to slabs or blocks.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use barkeeper_records::{
    Bucket, Digest, EventError, EventPlace, InstrumentId, OnConflict, Outcome, Timestamp, limits,
};
use barkeeper_storage::{
    CHUNK_EVENTS, ChunkKind, EventChunk, EventHasher, EventStatsV1, EventTombstoneV1, LogEntry,
    STATS_PER_PAGE, SeriesStat, VersionedEvent, encode_events, keys, rowview,
};

use super::read::{Events, settle};
use super::{Event, slab_of};
use crate::error::{CommitError, CommitResult, ReadResult};
use crate::session::Session;
use crate::tables::Tab;
use crate::view::{Staged, View};

/// Rows of one instrument from which on an append of them is a run of its own and goes to blocks.
const RUN_ROWS: usize = 16;
/// Rows of a slab at the least; fewer go to blocks.
const SLAB_ROWS: usize = 16;
/// Rows of a block at the most.
const BLOCK_ROWS: usize = 128;
/// Rows of one log record at the most, so that a page of the feed can hold them.
const LOG_ROWS: usize = 20_000;

/// What rows would do to a stream.
#[derive(Debug)]
pub(crate) struct EventPlan<T> {
    /// Rows that are not there, ascending.
    pub(crate) inserts: Vec<T>,
    /// Rows that are there with other content, and what is there, ascending.
    pub(crate) replaces: Vec<(T, VersionedEvent<T>)>,
    pub(crate) kept: u64,
    pub(crate) unchanged: u64,
    /// Rows that differ, and the first of them.
    pub(crate) conflicts: Option<(u64, EventPlace)>,
}

impl<T: Event> EventPlan<T> {
    /// Compares rows with what is stored; both ascending.
    pub(crate) fn of(events: &[T], stored: &[VersionedEvent<T>], on_conflict: OnConflict) -> Self {
        let (inserts, replaces) = (Vec::with_capacity(events.len()), Vec::new());
        let mut plan = Self { inserts, replaces, kept: 0, unchanged: 0, conflicts: None };
        let mut stored = stored.iter().peekable();
        for event in events {
            let place = event.place();
            while stored.next_if(|old| old.event.place() < place).is_some() {}
            match stored.next_if(|old| old.event.place() == place) {
                None => plan.inserts.push(*event),
                Some(old) if old.event.same_content(event) => plan.unchanged += 1,
                Some(old) => {
                    plan.conflicts.get_or_insert((0, place)).0 += 1;
                    if on_conflict == OnConflict::Keep {
                        plan.kept += 1;
                    } else {
                        plan.replaces.push((*event, *old));
                    }
                }
            }
        }
        plan
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.inserts.is_empty() && self.replaces.is_empty()
    }

    /// What the plan adds to each bucket.
    pub(crate) fn digests(&self, instrument: &InstrumentId) -> Vec<(Bucket, Digest)> {
        let mut hasher = EventHasher::<T>::new(instrument);
        let mut periods: BTreeMap<i32, Digest> = BTreeMap::new();
        for event in &self.inserts {
            periods.entry(rowview::period_of(event.place().ts)).or_default().add(hasher.hash(event));
        }
        for (event, old) in &self.replaces {
            let digest = periods.entry(rowview::period_of(event.place().ts)).or_default();
            digest.remove(hasher.hash(&old.event));
            digest.add(hasher.hash(event));
        }
        let group = instrument.group();
        let bucket = |period| Bucket { table: T::TABLE, group: group.to_owned(), period };
        periods.into_iter().map(|(period, digest)| (bucket(period), digest)).collect()
    }

    /// The new rows with a version, ascending.
    pub(crate) fn rows(&self, version: barkeeper_records::Version) -> Vec<VersionedEvent<T>> {
        let all = self.inserts.iter().chain(self.replaces.iter().map(|(event, _)| event));
        let mut rows: Vec<_> = all.map(|event| VersionedEvent { event: *event, version }).collect();
        if !self.replaces.is_empty() {
            rows.sort_by_key(|row| row.event.place());
        }
        rows
    }
}

/// Checks rows and gathers them by instrument, each ascending; exact repetitions are dropped.
pub(crate) fn gather<T: Event>(
    events: impl IntoIterator<Item = (InstrumentId, T)>,
) -> Result<BTreeMap<InstrumentId, Vec<T>>, EventError> {
    let mut all: BTreeMap<InstrumentId, Vec<T>> = BTreeMap::new();
    for (instrument, event) in events {
        all.entry(instrument).or_default().push(event.born()?);
    }
    for (instrument, rows) in &mut all {
        if rows.is_sorted_by(|a, b| a.place() < b.place()) {
            continue;
        }
        rows.sort_by_key(MarketPlace::of);
        let mut twice = None;
        rows.dedup_by(|next, before| {
            let same = next.place() == before.place();
            if same && !next.same_content(before) {
                twice = Some(next.place());
            }
            same
        });
        if let Some(EventPlace { ts, sequence }) = twice {
            return Err(EventError::Duplicate { what: T::WHAT, instrument: *instrument, ts, sequence });
        }
    }
    Ok(all)
}

/// The sort key of a row.
struct MarketPlace;

impl MarketPlace {
    fn of<T: Event>(event: &T) -> EventPlace {
        event.place()
    }
}

/// An error where rows differ and the batch says to stop.
pub(crate) fn refuse<'p, T: Event>(
    plans: impl Iterator<Item = (&'p InstrumentId, &'p EventPlan<T>)>,
) -> CommitResult<()> {
    let mut found: Option<(u64, InstrumentId, EventPlace)> = None;
    for (instrument, plan) in plans {
        if let Some((count, place)) = plan.conflicts {
            found.get_or_insert((0, *instrument, place)).0 += count;
        }
    }
    match found {
        None => Ok(()),
        Some((rows, instrument, first)) => {
            Err(CommitError::EventConflict { what: T::WHAT, rows, instrument, first })
        }
    }
}

/// The most rows that batches may bring.
pub(crate) fn check_size(events: usize) -> CommitResult<()> {
    let limit = limits::BATCH_EVENTS;
    if events > limit {
        Err(CommitError::Limit { what: "ticks and market trades of a batch", found: events, limit })
    } else {
        Ok(())
    }
}

impl<'a, 'txn> Session<'a, 'txn> {
    /// The merged view of streams as this batch sees it.
    pub(crate) fn event_view(&self) -> Events<'_, Staged<'a, 'txn>> {
        Events { view: &self.staged, segments: self.segments }
    }

    /// First, last and count of a stream; a count of 0 where it has no rows.
    pub(crate) fn event_stat<T: Event>(&mut self, instrument: &InstrumentId) -> ReadResult<SeriesStat> {
        let number = self.number(instrument)?;
        let place = (T::TABLE, number / STATS_PER_PAGE);
        if let Some(page) = self.events.stats.get(&place) {
            return Ok(page.get(number));
        }
        let key = keys::event_stats(place.0, place.1);
        let page: EventStatsV1 = self.staged.row(Tab::EventStats, &key)?.unwrap_or_default();
        let stat = page.get(number);
        self.events.stats.insert(place, page);
        Ok(stat)
    }

    pub(crate) fn set_event_stat<T: Event>(
        &mut self,
        instrument: &InstrumentId,
        stat: SeriesStat,
    ) -> ReadResult<()> {
        self.event_stat::<T>(instrument)?;
        let number = self.number(instrument)?;
        self.events.stats.entry((T::TABLE, number / STATS_PER_PAGE)).or_default().set(number, stat);
        Ok(())
    }

    /// Compares rows with what is stored, without a look at it where nothing can be there.
    fn plan_events<T: Event>(
        &mut self,
        instrument: &InstrumentId,
        events: &[T],
        on_conflict: OnConflict,
    ) -> CommitResult<EventPlan<T>> {
        let span = events.first().map(MarketPlace::of).zip(events.last().map(MarketPlace::of));
        let Some((first, last)) = span else { return Ok(EventPlan::of(&[], &[], on_conflict)) };
        let stat = self.event_stat::<T>(instrument)?;
        let apart = stat.count == 0 || first.ts.nanos() > stat.last || last.ts.nanos() < stat.first;
        let stored =
            if apart { Vec::new() } else { self.event_view().range(instrument, first.ts, last.ts)? };
        Ok(EventPlan::of(events, &stored, on_conflict))
    }

    pub(crate) fn put_events<T: Event>(
        &mut self,
        events: &[(InstrumentId, T)],
        on_conflict: OnConflict,
    ) -> CommitResult<Outcome> {
        let mut plans = Vec::new();
        for (instrument, events) in gather(events.iter().copied())? {
            plans.push((instrument, self.plan_events(&instrument, &events, on_conflict)?));
        }
        if on_conflict == OnConflict::Refuse {
            refuse(plans.iter().map(|(instrument, plan)| (instrument, plan)))?;
        }
        // A row that this very batch wrote before is corrected under a higher version.
        let own = plans.iter().flat_map(|(_, plan)| &plan.replaces);
        if own.into_iter().any(|(_, old)| old.version >= self.version) {
            self.advance()?;
        }
        let [mut inserted, mut replaced, mut kept, mut unchanged] = [0; 4];
        let mut pooled = Vec::new();
        for (instrument, plan) in &plans {
            inserted += plan.inserts.len() as u64;
            replaced += plan.replaces.len() as u64;
            kept += plan.kept;
            unchanged += plan.unchanged;
            if plan.is_empty() {
                continue;
            }
            self.account_for_events(instrument, plan)?;
            if plan.replaces.is_empty() && plan.inserts.len() < RUN_ROWS {
                let version = self.version;
                pooled.extend(
                    plan.inserts.iter().map(|event| (*instrument, VersionedEvent { event: *event, version })),
                );
            } else {
                self.put_block(instrument, plan.rows(self.version))?;
            }
        }
        self.put_pooled(pooled)?;
        Ok(Outcome::Events { inserted, replaced, kept, unchanged, deleted: 0 })
    }

    /// Everything that a plan changes beside the rows themselves: statistics and digests.
    pub(crate) fn account_for_events<T: Event>(
        &mut self,
        instrument: &InstrumentId,
        plan: &EventPlan<T>,
    ) -> CommitResult<()> {
        self.account_for_stream(instrument, plan, &plan.digests(instrument))
    }

    /// The same with digests that were computed before.
    pub(crate) fn account_for_stream<T: Event>(
        &mut self,
        instrument: &InstrumentId,
        plan: &EventPlan<T>,
        digests: &[(Bucket, Digest)],
    ) -> CommitResult<()> {
        for (bucket, digest) in digests {
            self.digests.merge(bucket.clone(), digest);
        }
        self.events.streams.insert((T::TABLE, *instrument));
        let (Some(first), Some(last)) = (plan.inserts.first(), plan.inserts.last()) else { return Ok(()) };
        let mut stat = self.event_stat::<T>(instrument)?;
        let (first, last) = (first.place().ts.nanos(), last.place().ts.nanos());
        if stat.count == 0 {
            stat = SeriesStat { count: 0, first, last };
        }
        stat.count += plan.inserts.len() as u64;
        stat.first = stat.first.min(first);
        stat.last = stat.last.max(last);
        self.set_event_stat::<T>(instrument, stat)?;
        Ok(())
    }

    /// Notes rows of one instrument for the log, in parts that a page can hold.
    pub(crate) fn log_events<T: Event>(&mut self, instrument: &InstrumentId, rows: &[VersionedEvent<T>]) {
        for part in rows.chunks(LOG_ROWS) {
            if let (Some(from), Some(to)) = (part.first(), part.last()) {
                let (from, to) = (from.event.place().ts, to.event.place().ts);
                let (first, last) = (*instrument, *instrument);
                self.log(LogEntry::Events { table: T::TABLE, first, last, from, to });
            }
        }
    }

    /// Puts rows of many instruments, a few of each: into slabs, or what is too little for one into blocks.
    fn put_pooled<T: Event>(&mut self, rows: Vec<(InstrumentId, VersionedEvent<T>)>) -> CommitResult<()> {
        let mut slabs: BTreeMap<Timestamp, Vec<(InstrumentId, VersionedEvent<T>)>> = BTreeMap::new();
        for row in rows {
            slabs.entry(slab_of(row.1.event.place().ts)).or_default().push(row);
        }
        for (start, rows) in slabs {
            if rows.len() < SLAB_ROWS {
                for run in rows.chunk_by(|a, b| a.0 == b.0) {
                    if let Some((instrument, _)) = run.first() {
                        self.put_block(instrument, run.iter().map(|(_, row)| *row).collect())?;
                    }
                }
                continue;
            }
            let ordinal = self.events.slabs;
            self.events.slabs += 1;
            // A chunk never ends inside an instrument, so that one seek finds all of its rows.
            let mut chunk: Vec<(InstrumentId, VersionedEvent<T>)> =
                Vec::with_capacity(CHUNK_EVENTS + RUN_ROWS);
            for run in rows.chunk_by(|a, b| a.0 == b.0) {
                if chunk.len() >= CHUNK_EVENTS {
                    self.put_slab_chunk(start, ordinal, &chunk);
                    chunk.clear();
                }
                chunk.extend_from_slice(run);
            }
            self.put_slab_chunk(start, ordinal, &chunk);
        }
        Ok(())
    }

    fn put_slab_chunk<T: Event>(
        &mut self,
        start: Timestamp,
        ordinal: u32,
        rows: &[(InstrumentId, VersionedEvent<T>)],
    ) {
        let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else { return };
        let slab = keys::EventSlab { table: T::TABLE, start, lsn: self.lsn, ordinal, first: *first };
        let key = slab.chunk(first);
        let value = encode_events(ChunkKind::Slab, &key, rows);
        self.staged.put(Tab::EventSlabs, key, value);
        let times = || rows.iter().map(|(_, row)| row.event.place().ts);
        let (from, to) = (times().min().unwrap_or(start), times().max().unwrap_or(start));
        self.log(LogEntry::Events { table: T::TABLE, first: *first, last: *last, from, to });
    }

    /// Puts rows of one instrument, ascending, over those of the same places.
    pub(crate) fn put_block<T: Event>(
        &mut self,
        instrument: &InstrumentId,
        rows: Vec<VersionedEvent<T>>,
    ) -> CommitResult<()> {
        let span = rows.first().zip(rows.last()).map(|(a, b)| (a.event.place(), b.event.place()));
        let Some((first, last)) = span else { return Ok(()) };
        self.log_events(instrument, &rows);
        self.events.streams.insert((T::TABLE, *instrument));
        let start = self.event_view().block_before::<T>(instrument, first)?;
        let mut end = keys::event(T::TABLE, instrument, last);
        end.push(0);
        let mut merged = Vec::new();
        let mut old = Vec::new();
        self.staged.scan(Tab::EventBlocks, &start, &end, false, &mut |key, value| {
            EventChunk::read::<T>(ChunkKind::Block, key, value)?.each(|_, row| merged.push(row))?;
            old.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        // A full block behind which all new rows stand stays as it is.
        let appended = merged.last().is_some_and(|row: &VersionedEvent<T>| row.event.place() < first);
        if appended && old.len() == 1 && merged.len() >= BLOCK_ROWS {
            merged.clear();
            old.clear();
        }
        for key in old {
            self.staged.remove(Tab::EventBlocks, key);
        }
        merged.extend(rows);
        settle(&mut merged, &[]);
        for part in merged.chunks(BLOCK_ROWS) {
            let Some(first) = part.first() else { continue };
            let key = keys::event(T::TABLE, instrument, first.event.place());
            let rows: Vec<_> = part.iter().map(|row| (*instrument, *row)).collect();
            let value = encode_events(ChunkKind::Block, &key, &rows);
            self.staged.put(Tab::EventBlocks, key, value);
        }
        Ok(())
    }

    /// Gives a row a new version without changing it, so that it wins over what a target has; a tombstone
    /// where there is none.
    pub(crate) fn stamp_event<T: Event>(
        &mut self,
        instrument: &InstrumentId,
        place: EventPlace,
    ) -> CommitResult<()> {
        let version = self.version;
        match self.event_view().at::<T>(instrument, place)? {
            Some(row) => self.put_block(instrument, vec![VersionedEvent { version, ..row }])?,
            None => self.bury_event::<T>(instrument, place),
        }
        self.digests.touch(rowview::event_bucket(T::TABLE, instrument, place.ts));
        Ok(())
    }

    pub(crate) fn bury_event<T: Event>(&mut self, instrument: &InstrumentId, place: EventPlace) {
        let key = keys::event(T::TABLE, instrument, place);
        self.staged.put_row(Tab::EventTombstones, key.clone(), &EventTombstoneV1::of(self.version));
        self.events.streams.insert((T::TABLE, *instrument));
        self.log_key(T::TABLE, key);
    }
}
