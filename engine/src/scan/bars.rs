//! Bars as a scan reads them.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field};
use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, SeriesKey, Timestamp};
use barkeeper_storage::{ChunkView, RowFile, SegmentEntry, VersionedBar, keys};

use super::dataset::{Cell, Dataset, Removed, Stream, first_fields, scan_wanted};
use super::hot::Found;
use super::request::{Instruments, ScanRequest};
use crate::error::{ReadResult, missing};
use crate::merge::read_tombstone;
use crate::ops_bars::delta_row;
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

/// The place of the first number.
const NUMBERS: usize = 3;

/// Bars of one interval and adjustment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bars {
    pub(super) interval: Interval,
    pub(super) adjustment: AdjustmentTag,
}

impl Bars {
    const fn series(self, instrument: InstrumentId) -> SeriesKey {
        SeriesKey { interval: self.interval, adjustment: self.adjustment, instrument }
    }

    fn slabs(self, snapshot: &Snapshot, found: &mut Found<'_>) -> ReadResult<()> {
        let request = found.request();
        let from = keys::slab(self.interval, self.adjustment, request.from);
        let to = keys::after_prefix(&keys::slab(self.interval, self.adjustment, request.to));
        snapshot.view().scan(Tab::Slabs, &from, &to, false, &mut |key, value| {
            let (_, _, ts, first) = keys::read_chunk(key).ok_or_else(|| missing("chunk key"))?;
            if request.instruments.reaches(&first) {
                for row in ChunkView::read(key, ts, value)?.rows() {
                    let (instrument, bar) = row?;
                    offer(found, instrument, &bar);
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn delta(self, snapshot: &Snapshot, found: &mut Found<'_>) -> ReadResult<()> {
        let request = found.request();
        let mut visit = |key: &[u8], value: &[u8]| {
            let (series, row) = delta_row(key, value)?;
            offer(found, series.instrument, &row);
            Ok(ControlFlow::Continue(()))
        };
        if let Instruments::List(list) = &request.instruments {
            for instrument in list {
                let series = self.series(*instrument);
                let to = keys::after_prefix(&keys::bar(&series, request.to));
                let from = keys::bar(&series, request.from);
                snapshot.view().scan(Tab::Delta, &from, &to, false, &mut visit)?;
            }
            return Ok(());
        }
        let all = keys::bars_of(self.interval, self.adjustment);
        snapshot.view().scan_prefix(Tab::Delta, &all, &mut visit)
    }
}

fn offer(found: &mut Found<'_>, instrument: InstrumentId, row: &VersionedBar) {
    let bar = &row.bar;
    let values = bar.numbers();
    let number = |place: usize| place.checked_sub(NUMBERS).and_then(|place| values.get(place)).copied();
    found.offer(instrument, (bar.ts, 0), row.version, |place| match number(place) {
        Some(number) => Cell::Number(number),
        None => Cell::Day(bar.trading_day.days()),
    });
}

impl Dataset for Bars {
    fn dataset(&self) -> barkeeper_storage::Dataset {
        barkeeper_storage::Dataset::Bars { interval: self.interval, adjustment: self.adjustment }
    }

    fn fields(&self) -> Vec<Field> {
        let mut fields = first_fields().to_vec();
        fields.push(Field::new("trading_day", DataType::Date32, false));
        fields.extend(Bar::NUMBERS.map(|name| Field::new(name, DataType::Float64, false)));
        fields
    }

    fn is_sequenced(&self) -> bool {
        false
    }

    fn has_days(&self) -> bool {
        self.interval.is_daily_or_longer()
    }

    fn streams(&self, snapshot: &Snapshot, wanted: &Instruments) -> ReadResult<Vec<Stream>> {
        let series = match wanted {
            Instruments::List(list) if list.len() < 256 => {
                let mut found = Vec::new();
                for instrument in list {
                    found.extend(snapshot.series(&self.series(*instrument))?);
                }
                found
            }
            _ => snapshot.all_series(Some(self.interval), Some(self.adjustment))?,
        };
        let stream = |one: &crate::report::SeriesSummary| Stream {
            instrument: one.series.instrument,
            first: one.first,
            last: one.last,
        };
        Ok(series.iter().map(stream).collect())
    }

    fn open(&self, snapshot: &Snapshot, entry: &SegmentEntry) -> ReadResult<Arc<dyn RowFile>> {
        Ok(snapshot.inner().segments.segment(snapshot.view(), entry)?)
    }

    fn hot(&self, snapshot: &Snapshot, found: &mut Found<'_>) -> ReadResult<()> {
        self.slabs(snapshot, found)?;
        self.delta(snapshot, found)
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
            let tombstone = read_tombstone(key, value)?;
            if let (true, Some(place)) =
                (tombstone.from <= to && tombstone.to > from, place_of(&tombstone.series.instrument))
            {
                removed.ranges.entry(place).or_default().push(tombstone);
            }
            Ok(ControlFlow::Continue(()))
        };
        let all = keys::bars_of(self.interval, self.adjustment);
        let of_one = |instrument: &InstrumentId| keys::series(&self.series(*instrument));
        scan_wanted(snapshot, Tab::Tombstones, &request.instruments, of_one, &all, &mut visit)?;
        Ok(removed)
    }

    fn coded(&self, _: usize, _: &[u8]) -> Option<ArrayRef> {
        None
    }
}
