//! Ticks and market trades as a scan reads them.

use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use barkeeper_records::{InstrumentId, Timestamp};
use barkeeper_storage::{
    ChunkKind, EventChunk, EventTombstoneV1, RowFile, SegmentEntry, StoredRow, VersionedEvent, keys,
};

use super::dataset::{Cell, Dataset, Removed, SEQUENCE, Stream, first_fields, scan_wanted};
use super::hot::Found;
use super::request::{Instruments, ScanRequest};
use crate::error::{ReadResult, missing};
use crate::events::{Event, EventSummary, slab_of};
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

const TRADING_DAY: usize = 3;
/// The place of the first number.
const NUMBERS: usize = 4;
/// Instruments from which on all summaries are read at once.
const MANY: usize = 256;

/// Ticks, or market trades.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventRows<T>(PhantomData<T>);

impl<T: Event> EventRows<T> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }

    fn offer(found: &mut Found<'_>, instrument: InstrumentId, row: &VersionedEvent<T>) {
        let event = &row.event;
        let place = event.place();
        let sequence = i64::try_from(place.sequence).unwrap_or(i64::MAX);
        found.offer(instrument, (place.ts, sequence), row.version, |column| match column {
            SEQUENCE => Cell::Int(sequence),
            TRADING_DAY => Cell::Day(event.trading_day().days()),
            _ => match column.checked_sub(NUMBERS).filter(|number| *number < T::NUMBERS.len()) {
                Some(number) => Cell::Number(event.number(number)),
                None => Cell::Code(event.code()),
            },
        });
    }
}

impl<T: Event> Dataset for EventRows<T> {
    fn dataset(&self) -> barkeeper_storage::Dataset {
        T::DATASET
    }

    fn fields(&self) -> Vec<Field> {
        let mut fields = first_fields().to_vec();
        fields.push(Field::new("sequence", DataType::Int64, false));
        fields.push(Field::new("trading_day", DataType::Date32, false));
        fields.extend(T::NUMBERS.iter().map(|name| Field::new(*name, DataType::Float64, false)));
        let extra = T::extra_columns(&[]);
        let extra = T::EXTRA.iter().zip(&extra);
        fields.extend(extra.map(|(name, column)| Field::new(*name, column.data_type().clone(), false)));
        fields
    }

    fn is_sequenced(&self) -> bool {
        true
    }

    fn has_days(&self) -> bool {
        false
    }

    fn streams(&self, snapshot: &Snapshot, wanted: &Instruments) -> ReadResult<Vec<Stream>> {
        let found: Vec<EventSummary> = match wanted {
            Instruments::List(list) if list.len() < MANY => {
                let found = list.iter().filter_map(|one| snapshot.event_summary::<T>(one).transpose());
                found.collect::<ReadResult<_>>()?
            }
            _ => snapshot.event_summaries::<T>()?,
        };
        let stream =
            |one: EventSummary| Stream { instrument: one.instrument, first: one.first, last: one.last };
        Ok(found.into_iter().map(stream).collect())
    }

    fn open(&self, snapshot: &Snapshot, entry: &SegmentEntry) -> ReadResult<Arc<dyn RowFile>> {
        Ok(snapshot.inner().segments.events::<T>(snapshot.view(), entry)?)
    }

    fn hot(&self, snapshot: &Snapshot, found: &mut Found<'_>) -> ReadResult<()> {
        let request = found.request();
        let slabs = keys::event_slabs_of(T::TABLE, slab_of(request.from));
        let behind = keys::after_prefix(&keys::event_slabs_of(T::TABLE, slab_of(request.to)));
        snapshot.view().scan(Tab::EventSlabs, &slabs, &behind, false, &mut |key, value| {
            let slab = keys::read_event_slab(key).ok_or_else(|| missing("slab key"))?;
            if request.instruments.reaches(&slab.first) {
                let chunk = EventChunk::read::<T>(ChunkKind::Slab, key, value)?;
                chunk.each::<T>(|instrument, row| Self::offer(found, instrument, &row))?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut visit = |key: &[u8], value: &[u8]| {
            let chunk = EventChunk::read::<T>(ChunkKind::Block, key, value)?;
            chunk.each::<T>(|instrument, row| Self::offer(found, instrument, &row))?;
            Ok(ControlFlow::Continue(()))
        };
        let all = keys::event_table(T::TABLE);
        let of_one = |instrument: &InstrumentId| keys::events_of(T::TABLE, instrument);
        scan_wanted(snapshot, Tab::EventBlocks, &request.instruments, of_one, &all, &mut visit)
    }

    fn removed(
        &self,
        snapshot: &Snapshot,
        request: &ScanRequest,
        place_of: &dyn Fn(&InstrumentId) -> Option<i64>,
        (from, to): (Timestamp, Timestamp),
    ) -> ReadResult<Removed> {
        let mut removed = Removed::default();
        let mut visit = |key: &[u8], value: &[u8]| {
            let (_, instrument, place) = keys::read_event(key).ok_or_else(|| missing("tombstone key"))?;
            if let (true, Some(at)) = ((from..=to).contains(&place.ts), place_of(&instrument)) {
                let version = EventTombstoneV1::from_bytes(key, value)?.read()?;
                removed.rows.entry(at).or_default().push((place, version));
            }
            Ok(ControlFlow::Continue(()))
        };
        let all = keys::event_table(T::TABLE);
        let of_one = |instrument: &InstrumentId| keys::events_of(T::TABLE, instrument);
        scan_wanted(snapshot, Tab::EventTombstones, &request.instruments, of_one, &all, &mut visit)?;
        Ok(removed)
    }

    fn coded(&self, place: usize, codes: &[u8]) -> Option<ArrayRef> {
        T::extra_columns(codes).into_iter().nth(place.checked_sub(NUMBERS + T::NUMBERS.len())?)
    }
}
