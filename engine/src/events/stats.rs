//! First, last and count of streams, exact without a scan.

use std::collections::HashMap;
use std::ops::ControlFlow;

use barkeeper_records::{InstrumentId, Timestamp};
use barkeeper_storage::{ChunkKind, EventChunk, EventStatsV1, STATS_PER_PAGE, SeriesStat, StoredRow, keys};
use serde::Serialize;

use super::Event;
use crate::error::{ReadResult, missing};
use crate::session::read_number;
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

/// First, last and count of an instrument's ticks or market trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EventSummary {
    /// The instrument.
    pub instrument: InstrumentId,
    /// How many rows, at least 1.
    pub count: u64,
    /// `ts` of the first.
    pub first: Timestamp,
    /// `ts` of the last.
    pub last: Timestamp,
}

fn summary(instrument: InstrumentId, stat: SeriesStat) -> Option<EventSummary> {
    let (first, last) = (Timestamp::from_nanos(stat.first), Timestamp::from_nanos(stat.last));
    (stat.count > 0).then_some(EventSummary { instrument, count: stat.count, first, last })
}

impl Snapshot {
    pub(crate) fn event_summary<T: Event>(
        &self,
        instrument: &InstrumentId,
    ) -> ReadResult<Option<EventSummary>> {
        let Some(number) = read_number(self.view(), instrument)? else { return Ok(None) };
        let key = keys::event_stats(T::TABLE, number / STATS_PER_PAGE);
        let page: Option<EventStatsV1> = self.view().row(Tab::EventStats, &key)?;
        Ok(page.and_then(|page| summary(*instrument, page.get(number))))
    }

    /// The part of a span in which an instrument has rows; an empty one where it has none.
    pub(crate) fn span_within<T: Event>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<(Timestamp, Timestamp)> {
        Ok(match self.event_summary::<T>(instrument)? {
            Some(span) => (from.max(span.first), to.min(span.last)),
            None => (Timestamp::MAX, Timestamp::MIN),
        })
    }

    /// All instruments that have rows, in text order.
    pub(crate) fn event_summaries<T: Event>(&self) -> ReadResult<Vec<EventSummary>> {
        let mut names = HashMap::new();
        self.view().scan_prefix(Tab::Instruments, &[], &mut |key, value| {
            let instrument = InstrumentId::from_trusted(key).ok_or_else(|| missing("instrument"))?;
            names.insert(barkeeper_storage::NumberV1::from_bytes(key, value)?.number, instrument);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut found = Vec::new();
        self.view().scan_prefix(Tab::EventStats, &keys::event_table(T::TABLE), &mut |key, value| {
            let (_, page) = keys::read_event_stats(key).ok_or_else(|| missing("statistics key"))?;
            let stats = EventStatsV1::from_bytes(key, value)?;
            for number in page * STATS_PER_PAGE..(page + 1) * STATS_PER_PAGE {
                if let Some(instrument) = names.get(&number) {
                    found.extend(summary(*instrument, stats.get(number)));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        found.sort_by_key(|summary| summary.instrument);
        Ok(found)
    }

    /// Rows in the hot tier.
    pub(crate) fn hot_events<T: Event>(&self) -> ReadResult<u64> {
        let mut count = 0;
        for (tab, kind) in [(Tab::EventSlabs, ChunkKind::Slab), (Tab::EventBlocks, ChunkKind::Block)] {
            self.view().scan_prefix(tab, &keys::event_table(T::TABLE), &mut |key, value| {
                count += EventChunk::read::<T>(kind, key, value)?.len() as u64;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(count)
    }
}
