//! Removing ticks and market trades: a tombstone a row, because a stream is corrected row by row.

use std::ops::ControlFlow;

use barkeeper_records::{Digest, InstrumentId, Outcome, Timestamp, limits};
use barkeeper_storage::{EventHasher, rowview};

use super::Event;
use crate::error::{CommitError, CommitResult};
use crate::session::Session;

/// Rows of one window while a stream is counted anew.
const WINDOW: usize = 65_536;

impl Session<'_, '_> {
    /// Removes the rows of an instrument from `from` (included) to `to` (excluded).
    pub(crate) fn delete_events<T: Event>(
        &mut self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> CommitResult<Outcome> {
        let stat = self.event_stat::<T>(instrument)?;
        let first = Timestamp::from_nanos(stat.first).max(from);
        let last = Timestamp::from_nanos(stat.last.min(to.nanos().saturating_sub(1)));
        let mut places = Vec::new();
        let mut digest = Vec::new();
        let mut hasher = EventHasher::<T>::new(instrument);
        if stat.count > 0 && from < to && first <= last {
            let limit = limits::BATCH_EVENTS;
            self.event_view().walk::<T>(instrument, first, last, WINDOW, &mut |rows| {
                for row in rows {
                    let place = row.event.place();
                    digest.push((rowview::period_of(place.ts), hasher.hash(&row.event)));
                    places.push(place);
                }
                Ok(if places.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if places.len() > limit {
                let what = "ticks and market trades that one batch removes";
                return Err(CommitError::Limit { what, found: places.len(), limit });
            }
        }
        let deleted = places.len() as u64;
        if deleted == 0 {
            return Ok(Outcome::Events { inserted: 0, replaced: 0, kept: 0, unchanged: 0, deleted });
        }
        // Rows that this batch put before are hidden as well, and rows that it puts after are not.
        self.advance()?;
        for (period, hash) in digest {
            let mut change = Digest::default();
            change.remove(hash);
            let group = instrument.group().to_owned();
            self.digests.merge(barkeeper_records::Bucket { table: T::TABLE, group, period }, &change);
        }
        for place in places {
            self.bury_event::<T>(instrument, place);
        }
        self.recount_events::<T>(instrument)?;
        Ok(Outcome::Events { inserted: 0, replaced: 0, kept: 0, unchanged: 0, deleted })
    }

    fn recount_events<T: Event>(&mut self, instrument: &InstrumentId) -> CommitResult<()> {
        let mut stat = self.event_stat::<T>(instrument)?;
        let (first, last) = (Timestamp::from_nanos(stat.first), Timestamp::from_nanos(stat.last));
        stat.count = 0;
        self.event_view().walk::<T>(instrument, first, last, WINDOW, &mut |rows| {
            if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
                if stat.count == 0 {
                    stat.first = first.event.place().ts.nanos();
                }
                stat.last = last.event.place().ts.nanos();
            }
            stat.count += rows.len() as u64;
            Ok(ControlFlow::Continue(()))
        })?;
        self.set_event_stat::<T>(instrument, stat)?;
        Ok(())
    }
}
