//! Ticks and market trades as rows of the change feed.

use std::ops::ControlFlow;

use barkeeper_records::{Bucket, EventPlace, InstrumentId, Lsn, Row, Timestamp, Value, Version, limits};
use barkeeper_storage::{EventHasher, EventTombstoneV1, VersionedEvent, keys, rowview};

use super::Event;
use crate::error::{ReadResult, missing};
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

fn live<T: Event>(
    instrument: &InstrumentId,
    row: &VersionedEvent<T>,
    lsn: Lsn,
    hasher: &mut EventHasher<T>,
) -> Row {
    Row {
        table: T::TABLE,
        key: rowview::event_key(instrument, row.event.place()),
        values: rowview::event_values(&row.event),
        version: row.version,
        deleted: false,
        lsn,
        row_hash: hasher.hash(&row.event),
    }
}

fn buried<T: Event>(instrument: &InstrumentId, place: EventPlace, version: Version, lsn: Lsn) -> Row {
    let key = rowview::event_key(instrument, place);
    Row { table: T::TABLE, key, values: Vec::new(), version, deleted: true, lsn, row_hash: 0 }
}

/// The row, or the tombstone, at a place.
fn row_at<T: Event>(
    snapshot: &Snapshot,
    instrument: &InstrumentId,
    place: EventPlace,
    lsn: Lsn,
) -> ReadResult<Option<Row>> {
    if let Some(row) = snapshot.events().at::<T>(instrument, place)? {
        return Ok(Some(live(instrument, &row, lsn, &mut EventHasher::new(instrument))));
    }
    let key = keys::event(T::TABLE, instrument, place);
    let Some(row) = snapshot.view().row::<EventTombstoneV1>(Tab::EventTombstones, &key)? else {
        return Ok(None);
    };
    Ok(Some(buried::<T>(instrument, place, row.read()?, lsn)))
}

/// The row that stands under a store key.
pub(crate) fn row_of_key<T: Event>(snapshot: &Snapshot, key: &[u8], lsn: Lsn) -> ReadResult<Option<Row>> {
    let (_, instrument, place) = keys::read_event(key).ok_or_else(|| missing("key of a log record"))?;
    row_at::<T>(snapshot, &instrument, place, lsn)
}

/// The row of a key as targets see it.
pub(crate) fn row_of_values<T: Event>(snapshot: &Snapshot, key: &[Value]) -> ReadResult<Option<Row>> {
    let (instrument, place) = rowview::event_key_of(key).ok_or_else(|| missing("key of a row"))?;
    row_at::<T>(snapshot, &instrument, place, snapshot.lsn())
}

/// What a log record names.
pub(crate) struct EventRange {
    pub(crate) first: InstrumentId,
    pub(crate) last: InstrumentId,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// Ships the rows that a log record names, from `resume` on; `put` answers false where no row fits any more.
/// Answers the place to go on from.
pub(crate) fn range_rows<T: Event>(
    snapshot: &Snapshot,
    range: &EventRange,
    lsn: Lsn,
    resume: Option<&str>,
    put: &mut dyn FnMut(Row) -> Result<(), Row>,
) -> ReadResult<Option<String>> {
    let resume = resume.map(parse_resume).transpose()?;
    let from = resume.map_or(range.first, |(instrument, _)| instrument);
    for instrument in instruments(snapshot, &from, &range.last)? {
        let start = resume.filter(|(one, _)| *one == instrument).map(|(_, place)| place);
        let mut hasher = EventHasher::new(&instrument);
        let since = start.map_or(range.from, |place| place.ts.max(range.from));
        for row in snapshot.events().range::<T>(&instrument, since, range.to)? {
            let place = row.event.place();
            if start.is_some_and(|start| place < start) {
                continue;
            }
            if put(live(&instrument, &row, lsn, &mut hasher)).is_err() {
                return Ok(Some(format!("{instrument} {} {}", place.ts.nanos(), place.sequence)));
            }
        }
    }
    Ok(None)
}

fn parse_resume(text: &str) -> ReadResult<(InstrumentId, EventPlace)> {
    let read = || {
        let mut parts = text.split(' ');
        let instrument = parts.next()?.parse().ok()?;
        let ts = Timestamp::from_nanos(parts.next()?.parse().ok()?);
        let sequence = parts.next()?.parse().ok()?;
        Some((instrument, EventPlace { ts, sequence }))
    };
    read().ok_or_else(|| missing("place inside a log record"))
}

/// The known instruments from one to another, both included.
fn instruments(snapshot: &Snapshot, from: &InstrumentId, to: &InstrumentId) -> ReadResult<Vec<InstrumentId>> {
    let mut end = to.as_bytes().to_vec();
    end.push(0);
    let mut found = Vec::new();
    snapshot.view().scan(Tab::Instruments, from.as_bytes(), &end, false, &mut |key, _| {
        found.push(InstrumentId::from_trusted(key).ok_or_else(|| missing("instrument"))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// The rows of a bucket behind a key, tombstones among them, in the order of keys, at most `limit`.
pub(crate) fn bucket_rows<T: Event>(
    snapshot: &Snapshot,
    bucket: &Bucket,
    after: Option<&[Value]>,
    limit: usize,
) -> ReadResult<Vec<Row>> {
    let after =
        after.map(|key| rowview::event_key_of(key).ok_or_else(|| missing("key of a row"))).transpose()?;
    let start = i64::from(bucket.period).saturating_mul(limits::PERIOD_NS);
    let first = Timestamp::from_nanos(start);
    let last = Timestamp::from_nanos(start.saturating_add(limits::PERIOD_NS - 1));
    let mut all = Vec::new();
    snapshot.view().scan_prefix(Tab::Instruments, bucket.group.as_bytes(), &mut |key, _| {
        all.push(InstrumentId::from_trusted(key).ok_or_else(|| missing("instrument"))?);
        Ok(ControlFlow::Continue(()))
    })?;
    let mut rows = Vec::new();
    for instrument in all {
        if after.is_some_and(|(done, _)| instrument < done) {
            continue;
        }
        let done = after.filter(|(done, _)| *done == instrument).map(|(_, place)| place);
        let from = done.map_or(first, |place| place.ts.max(first));
        let removed = snapshot.events().tombstones::<T>(&instrument, from, last)?;
        let mut removed =
            removed.into_iter().filter(|(place, _)| done.is_none_or(|done| *place > done)).peekable();
        let mut hasher = EventHasher::new(&instrument);
        let lsn = snapshot.lsn();
        let room = limit.saturating_sub(rows.len());
        let (from, to) = snapshot.span_within::<T>(&instrument, from, last)?;
        snapshot.events().walk::<T>(&instrument, from, to, room.min(8_192), &mut |found| {
            for row in found {
                let place = row.event.place();
                if done.is_some_and(|done| place <= done) {
                    continue;
                }
                while let Some((before, version)) = removed.next_if(|(one, _)| *one <= place) {
                    // A row that was put again stands above its tombstone.
                    if before < place {
                        rows.push(buried::<T>(&instrument, before, version, lsn));
                    }
                }
                rows.push(live(&instrument, &row, lsn, &mut hasher));
            }
            Ok(if rows.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if rows.len() < limit {
            rows.extend(removed.map(|(place, version)| buried::<T>(&instrument, place, version, lsn)));
        }
        if rows.len() >= limit {
            rows.truncate(limit);
            return Ok(rows);
        }
    }
    Ok(rows)
}
