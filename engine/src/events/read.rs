//! The merged view of a stream: blocks, slabs and segments, of which the highest version wins.

use std::ops::ControlFlow;
use std::sync::Arc;

use barkeeper_records::{EventPlace, InstrumentId, Timestamp, Version};
use barkeeper_storage::{
    Axis, ChunkKind, EventChunk, EventSegment, EventTombstoneV1, SegmentEntry, SegmentIndexV1, StoredRow,
    VersionedEvent, keys,
};

use super::{Event, slab_of};
use crate::error::{ReadResult, missing};
use crate::manifest::{SegmentCache, key_of};
use crate::tables::Tab;
use crate::view::View;

/// Reads of streams over a view and its segments.
pub(crate) struct Events<'a, V> {
    pub(crate) view: &'a V,
    pub(crate) segments: &'a SegmentCache,
}

/// The first window of a walk through a stream: rows of a busy stream's minute are few enough to hold.
const WINDOW_NS: i64 = 60_000_000_000;

impl SegmentCache {
    /// An open segment of events.
    pub(crate) fn events<T: Event>(
        &self,
        view: &impl View,
        entry: &SegmentEntry,
    ) -> ReadResult<Arc<EventSegment<T>>> {
        T::open(self).get(entry.id, || {
            let index: SegmentIndexV1 =
                view.row(Tab::SegmentIndexes, &key_of(entry.id))?.ok_or_else(|| missing("segment index"))?;
            Ok(EventSegment::open(&self.root().join(entry.path()), entry.clone(), index)?)
        })
    }
}

impl<V: View> Events<'_, V> {
    /// The rows of an instrument from `from` to `to`, both included, ascending.
    pub(crate) fn range<T: Event>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<Vec<VersionedEvent<T>>> {
        if from > to {
            return Ok(Vec::new());
        }
        let mut rows = self.sealed(instrument, from, to)?;
        self.slabs(instrument, from, to, &mut rows)?;
        self.blocks(instrument, from, to, &mut rows)?;
        settle(&mut rows, &self.tombstones::<T>(instrument, from, to)?);
        Ok(rows)
    }

    /// The rows that segments hold, the highest version of each.
    pub(crate) fn sealed<T: Event>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<Vec<VersionedEvent<T>>> {
        let mut rows = Vec::new();
        let manifest = self.segments.manifest(self.view)?;
        for entry in manifest.of_dataset(T::DATASET, Axis::Instrument) {
            if entry.last >= from && entry.first <= to {
                let mut found = self.segments.events::<T>(self.view, entry)?.range(instrument, from, to)?;
                rows.append(&mut found);
            }
        }
        settle(&mut rows, &[]);
        Ok(rows)
    }

    fn slabs<T: Event>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
        rows: &mut Vec<VersionedEvent<T>>,
    ) -> ReadResult<()> {
        let floor = keys::event_slabs_of(T::TABLE, slab_of(from));
        let mut upper = keys::after_prefix(&keys::event_slabs_of(T::TABLE, slab_of(to)));
        // Backwards: the chunk that may hold the instrument is the last one of its slab that begins at or
        // before it. A seek that lands on a later chunk is repeated inside the slab.
        loop {
            let mut next = None;
            self.view.scan(Tab::EventSlabs, &floor, &upper, true, &mut |key, value| {
                let slab = keys::read_event_slab(key).ok_or_else(|| missing("slab key"))?;
                next = Some(if slab.first <= *instrument {
                    let chunk = EventChunk::read::<T>(ChunkKind::Slab, key, value)?;
                    chunk.find(instrument, from, to, |row| rows.push(row))?;
                    slab.prefix()
                } else {
                    let mut key = slab.chunk(instrument);
                    key.push(0);
                    key
                });
                Ok(ControlFlow::Break(()))
            })?;
            match next {
                Some(key) if key > floor && key < upper => upper = key,
                _ => return Ok(()),
            }
        }
    }

    fn blocks<T: Event>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
        rows: &mut Vec<VersionedEvent<T>>,
    ) -> ReadResult<()> {
        let start = self.block_before::<T>(instrument, EventPlace { ts: from, sequence: 0 })?;
        let end = keys::after_prefix(&keys::events_until(T::TABLE, instrument, to));
        self.view.scan(Tab::EventBlocks, &start, &end, false, &mut |key, value| {
            EventChunk::read::<T>(ChunkKind::Block, key, value)?
                .find(instrument, from, to, |row| rows.push(row))?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The key of the block that may hold a place: the last that begins at or before it, else that place's.
    pub(crate) fn block_before<T: Event>(
        &self,
        instrument: &InstrumentId,
        place: EventPlace,
    ) -> ReadResult<Vec<u8>> {
        let key = keys::event(T::TABLE, instrument, place);
        let mut behind = key.clone();
        behind.push(0);
        let mut found = None;
        let prefix = keys::events_of(T::TABLE, instrument);
        self.view.scan(Tab::EventBlocks, &prefix, &behind, true, &mut |key, _| {
            found = Some(key.to_vec());
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found.unwrap_or(key))
    }

    /// The tombstones of an instrument's rows, ascending.
    pub(crate) fn tombstones<T: Event>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<Vec<(EventPlace, Version)>> {
        let mut found = Vec::new();
        let start = keys::event(T::TABLE, instrument, EventPlace { ts: from, sequence: 0 });
        let end = keys::after_prefix(&keys::events_until(T::TABLE, instrument, to));
        self.view.scan(Tab::EventTombstones, &start, &end, false, &mut |key, value| {
            let (_, _, place) = keys::read_event(key).ok_or_else(|| missing("tombstone key"))?;
            found.push((place, EventTombstoneV1::from_bytes(key, value)?.read()?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The row at a place.
    pub(crate) fn at<T: Event>(
        &self,
        instrument: &InstrumentId,
        place: EventPlace,
    ) -> ReadResult<Option<VersionedEvent<T>>> {
        let rows = self.range::<T>(instrument, place.ts, place.ts)?;
        Ok(rows.into_iter().find(|row| row.event.place() == place))
    }

    /// Walks through a stream in windows that hold about `rows` each, so that no stream has to fit memory;
    /// `visit` says whether to go on.
    pub(crate) fn walk<T: Event>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
        rows: usize,
        visit: &mut dyn FnMut(Vec<VersionedEvent<T>>) -> ReadResult<ControlFlow<()>>,
    ) -> ReadResult<()> {
        let mut start = from;
        let mut window = WINDOW_NS;
        while start <= to {
            let end = Timestamp::from_nanos(start.nanos().saturating_add(window)).min(to);
            let found = self.range::<T>(instrument, start, end)?;
            if found.len() * 4 < rows {
                window = window.saturating_mul(4);
            } else if found.len() > rows {
                window = (window / 4).max(1_000_000);
            }
            if !found.is_empty() && visit(found)?.is_break() {
                return Ok(());
            }
            if end.nanos() == i64::MAX {
                return Ok(());
            }
            start = Timestamp::from_nanos(end.nanos() + 1);
        }
        Ok(())
    }
}

/// Leaves one row a place, the highest version, and none that a tombstone hides.
pub(crate) fn settle<T: Event>(rows: &mut Vec<VersionedEvent<T>>, removed: &[(EventPlace, Version)]) {
    if !rows.is_sorted_by(|a, b| a.event.place() < b.event.place()) {
        rows.sort_by(|a, b| a.event.place().cmp(&b.event.place()).then(b.version.cmp(&a.version)));
        rows.dedup_by_key(|row| row.event.place());
    }
    if !removed.is_empty() {
        rows.retain(|row| {
            let hidden = removed.binary_search_by_key(&row.event.place(), |(place, _)| *place).ok();
            hidden.and_then(|at| removed.get(at)).is_none_or(|(_, version)| row.version >= *version)
        });
    }
}
