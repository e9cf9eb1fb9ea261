//! Merging segments of ticks or market trades, by the same rules as those of bars.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use barkeeper_records::{EventPlace, InstrumentId, Timestamp, Version};
use barkeeper_storage::{EventHasher, EventSegment, EventWriter, SegmentEntry, VersionedEvent};

use super::Event;
use crate::error::{MaintenanceError, ReadResult};
use crate::merge_account::{Account, Hashed, Tally};
use crate::merging::{Merged, uniform};
use crate::publication::{Prepared, discard};
use crate::sabotage::Sabotage;
use crate::snapshot::Snapshot;
use crate::store::Inner;

/// Rows of one input that are in memory at once: a month of one instrument's trades need not fit there.
const WINDOW: u64 = 16_384;

/// What one input has of one instrument, read a window at a time.
struct Run<'a, T> {
    segment: &'a EventSegment<T>,
    tally: &'a mut Tally,
    next: u64,
    end: u64,
    rows: VecDeque<Hashed<EventPlace, VersionedEvent<T>>>,
}

impl<T: Event> Run<'_, T> {
    /// Reads on where nothing is left in memory.
    fn fill(&mut self, hasher: &mut EventHasher<T>) -> Result<(), MaintenanceError> {
        if !self.rows.is_empty() || self.next >= self.end {
            return Ok(());
        }
        let end = self.end.min(self.next + WINDOW);
        for row in self.segment.rows(self.next..end)? {
            let hash = hasher.hash(&row.event);
            self.tally.add(hash, row.version);
            self.rows.push_back((row.event.place(), row, hash));
        }
        self.next = end;
        Ok(())
    }

    /// The last place up to which all rows are in memory; none where there are no others.
    fn known_to(&self) -> Option<EventPlace> {
        if self.next < self.end { self.rows.back().map(|(place, _, _)| *place) } else { None }
    }
}

/// Merges segments of one part of time.
pub(crate) fn merge_events<T: Event>(
    inner: &Arc<Inner>,
    chosen: &[SegmentEntry],
    tick: &mut dyn FnMut(u64),
) -> Result<Merged, MaintenanceError> {
    let snapshot = Snapshot::take(inner)?;
    let open = |entry| inner.segments.events::<T>(snapshot.view(), entry);
    let inputs: Vec<_> = chosen.iter().map(open).collect::<ReadResult<_>>()?;
    // The inputs are open and stay where they are: nobody else retires segments now.
    drop(snapshot);
    let mut account = Account::of(inputs.len());
    let prepared = inner.prepare_event_segment(uniform(chosen), |writer| {
        fill(inner, &inputs, writer, &mut account, tick)?;
        Ok(account.kept.digest)
    })?;
    let place = inner.place(&prepared);
    let checked = account.check(&inputs).and_then(|()| read_back::<T>(inner, &prepared, &account));
    if let Err(error) = checked {
        if !error.is_cut() {
            discard(&[place]);
        }
        return Err(error);
    }
    let mut outputs = vec![prepared];
    if account.kept == Tally::default() {
        // Every row was removed: nothing comes for the inputs.
        outputs.clear();
        discard(&[place]);
    }
    inner.swap_segments(chosen.to_vec(), outputs, &account)
}

fn fill<T: Event>(
    inner: &Arc<Inner>,
    inputs: &[Arc<EventSegment<T>>],
    writer: &mut EventWriter<T>,
    account: &mut Account,
    tick: &mut dyn FnMut(u64),
) -> Result<(), MaintenanceError> {
    let names = inputs.iter().flat_map(|input| input.index().instruments().map(|(name, _)| name));
    for instrument in names.collect::<BTreeSet<InstrumentId>>() {
        let mut hasher = EventHasher::<T>::new(&instrument);
        let mut tallies = std::mem::take(&mut account.inputs);
        let mut runs = Vec::new();
        for (segment, tally) in inputs.iter().zip(&mut tallies) {
            let Some(run) = segment.index().of_instrument(&instrument) else { continue };
            let (next, end) = (run.start, run.start + u64::from(run.rows));
            runs.push(Run { segment, tally, next, end, rows: VecDeque::new() });
        }
        loop {
            inner.go_on()?;
            for run in &mut runs {
                run.fill(&mut hasher)?;
            }
            let bound = runs.iter().filter_map(Run::known_to).min();
            let mut rows = Vec::new();
            for run in &mut runs {
                let count =
                    run.rows.partition_point(|(place, _, _)| bound.is_none_or(|bound| *place <= bound));
                rows.extend(run.rows.drain(..count));
            }
            if rows.is_empty() {
                break;
            }
            tick(rows.len() as u64);
            let removed = removed::<T>(inner, &instrument, &rows)?;
            let is_removed = |place: &EventPlace, row: &VersionedEvent<T>| {
                let found = removed.binary_search_by_key(place, |(place, _)| *place).ok();
                found.and_then(|at| removed.get(at)).is_some_and(|(_, version)| row.version < *version)
            };
            let rows = account.settle(rows, is_removed);
            let mut rows: Vec<VersionedEvent<T>> = rows.into_iter().map(|(_, row)| row).collect();
            if inner.is_broken(Sabotage::LoseARow) {
                rows.pop();
            }
            writer.push(instrument, &rows)?;
        }
        drop(runs);
        account.inputs = tallies;
    }
    Ok(())
}

/// The tombstones that may hide some of these rows.
fn removed<T: Event>(
    inner: &Arc<Inner>,
    instrument: &InstrumentId,
    rows: &[Hashed<EventPlace, VersionedEvent<T>>],
) -> ReadResult<Vec<(EventPlace, Version)>> {
    let times = || rows.iter().map(|(place, _, _)| place.ts);
    let (first, last) = (times().min(), times().max());
    let (first, last) = (first.unwrap_or(Timestamp::MAX), last.unwrap_or(Timestamp::MIN));
    Snapshot::take(inner)?.events().tombstones::<T>(instrument, first, last)
}

/// Reads the output as every reader will, and compares its rows with those that were to be written.
fn read_back<T: Event>(
    inner: &Arc<Inner>,
    prepared: &Prepared,
    account: &Account,
) -> Result<(), MaintenanceError> {
    let segment = prepared.open_events::<T>(&inner.place(prepared))?;
    let mut found = Tally::default();
    for (instrument, run) in segment.index().instruments() {
        let mut hasher = EventHasher::<T>::new(&instrument);
        let (mut start, end) = (run.start, run.start + u64::from(run.rows));
        while start < end {
            inner.go_on()?;
            let next = end.min(start + WINDOW);
            for row in segment.rows(start..next)? {
                found.add(hasher.hash(&row.event), row.version);
            }
            start = next;
        }
    }
    account.compare(inner, segment.entry(), &found)
}
