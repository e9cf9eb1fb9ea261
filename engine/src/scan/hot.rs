//! `HotRows`: the hot bars that a scan needs, copied, so that it holds no page of the database.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Float64Array};
use barkeeper_records::{AdjustmentTag, InstrumentId, Interval, SeriesKey};
use barkeeper_storage::{ChunkView, VersionedBar, keys};

use super::request::{Instruments, ScanRequest};
use crate::error::{ReadResult, missing};
use crate::ops_bars::delta_row;
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

/// A column of bars that is copied as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Day,
    Number(usize),
}

/// Hot rows in one order, no (instrument, `ts`) twice, column by column.
#[derive(Debug, Default)]
pub(super) struct HotRows {
    /// Places of the instruments in the scan's dictionary.
    pub(super) keys: Vec<i32>,
    pub(super) ts: Vec<i64>,
    pub(super) versions: Vec<u64>,
    pub(super) columns: Vec<ArrayRef>,
    /// The rows of each instrument, or of each `ts`.
    pub(super) groups: Vec<(i64, Range<usize>)>,
}

/// Rows as they are found.
struct Found<'a> {
    request: &'a ScanRequest,
    plain: &'a [Plain],
    ids: HashMap<InstrumentId, u32>,
    names: Vec<InstrumentId>,
    rows: Vec<(u32, i64, u64)>,
    days: Vec<i32>,
    numbers: Vec<Vec<f64>>,
}

impl Found<'_> {
    fn offer(&mut self, instrument: InstrumentId, row: &VersionedBar) {
        let ts = row.bar.ts;
        if ts < self.request.from || ts > self.request.to || !self.request.instruments.wants(&instrument) {
            return;
        }
        let names = &mut self.names;
        let id = *self.ids.entry(instrument).or_insert_with(|| {
            names.push(instrument);
            u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
        });
        self.rows.push((id, ts.nanos(), row.version.raw()));
        let values = row.bar.numbers();
        let mut number = self.numbers.iter_mut();
        for plain in self.plain {
            match plain {
                Plain::Day => self.days.push(row.bar.trading_day.days()),
                Plain::Number(place) => {
                    if let Some(column) = number.next() {
                        column.push(values.get(*place).copied().unwrap_or_default());
                    }
                }
            }
        }
    }
}

impl HotRows {
    /// Copies what a request needs out of a snapshot. `names` are the instruments of the scan, in text
    /// order; rows come by `ts` and instrument where `by_time` says so, else by instrument and `ts`.
    pub(super) fn copy(
        snapshot: &Snapshot,
        kind: (Interval, AdjustmentTag),
        request: &ScanRequest,
        plain: &[Plain],
        names: &[InstrumentId],
        by_time: bool,
    ) -> ReadResult<Self> {
        let numbers =
            plain.iter().filter(|one| matches!(one, Plain::Number(_))).map(|_| Vec::new()).collect();
        let mut found = Found {
            request,
            plain,
            ids: HashMap::new(),
            names: Vec::new(),
            rows: Vec::new(),
            days: Vec::new(),
            numbers,
        };
        slabs(snapshot, kind, &mut found)?;
        delta(snapshot, kind, &mut found)?;
        let key = |name| names.binary_search(name).ok().and_then(|place| i32::try_from(place).ok());
        // An instrument that has no live bar is in no dictionary; its rows are removed ones.
        let places: Vec<i32> = found.names.iter().map(|name| key(name).unwrap_or(-1)).collect();
        let place = |id: u32| usize::try_from(id).ok().and_then(|id| places.get(id)).copied().unwrap_or(-1);
        let mut order: Vec<(i64, i64, std::cmp::Reverse<u64>, u32)> = Vec::with_capacity(found.rows.len());
        for (row, (id, ts, version)) in found.rows.iter().enumerate() {
            let (key, row) = (place(*id), u32::try_from(row).unwrap_or(u32::MAX));
            let (group, inner) = if by_time { (*ts, i64::from(key)) } else { (i64::from(key), *ts) };
            if key >= 0 {
                order.push((group, inner, std::cmp::Reverse(*version), row));
            }
        }
        order.sort_unstable();
        order.dedup_by_key(|(group, inner, _, _)| (*group, *inner));
        Ok(Self::arrange(&found, &order, by_time))
    }

    fn arrange(found: &Found<'_>, order: &[(i64, i64, std::cmp::Reverse<u64>, u32)], by_time: bool) -> Self {
        let mut hot = Self::default();
        let key = |key: i64| i32::try_from(key).unwrap_or(-1);
        for (at, (group, inner, version, _)) in order.iter().enumerate() {
            let (place, ts) = if by_time { (key(*inner), *group) } else { (key(*group), *inner) };
            hot.keys.push(place);
            hot.ts.push(ts);
            hot.versions.push(version.0);
            match hot.groups.last_mut() {
                Some((last, rows)) if last == group => rows.end = at + 1,
                _ => hot.groups.push((*group, at..at + 1)),
            }
        }
        let rows = || order.iter().filter_map(|one| usize::try_from(one.3).ok());
        let mut numbers = found.numbers.iter();
        for plain in found.plain {
            hot.columns.push(match plain {
                Plain::Day => {
                    let days = rows().map(|row| found.days.get(row).copied().unwrap_or_default());
                    Arc::new(Date32Array::from_iter_values(days))
                }
                Plain::Number(_) => {
                    let column = numbers.next().map(Vec::as_slice).unwrap_or_default();
                    let values = rows().map(|row| column.get(row).copied().unwrap_or_default());
                    Arc::new(Float64Array::from_iter_values(values))
                }
            });
        }
        hot
    }

    /// The groups from `from` to before `to`.
    pub(super) fn groups_of(&self, from: i64, to: i64) -> &[(i64, Range<usize>)] {
        let start = self.groups.partition_point(|(group, _)| *group < from);
        let end = self.groups.partition_point(|(group, _)| *group < to);
        self.groups.get(start..end).unwrap_or_default()
    }
}

fn slabs(
    snapshot: &Snapshot,
    (interval, adjustment): (Interval, AdjustmentTag),
    found: &mut Found<'_>,
) -> ReadResult<()> {
    let request = found.request;
    let from = keys::slab(interval, adjustment, request.from);
    let to = keys::after_prefix(&keys::slab(interval, adjustment, request.to));
    snapshot.view().scan(Tab::Slabs, &from, &to, false, &mut |key, value| {
        let (_, _, ts, first) = keys::read_chunk(key).ok_or_else(|| missing("chunk key"))?;
        if request.instruments.reaches(&first) {
            for row in ChunkView::read(key, ts, value)?.rows() {
                let (instrument, bar) = row?;
                found.offer(instrument, &bar);
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

fn delta(
    snapshot: &Snapshot,
    (interval, adjustment): (Interval, AdjustmentTag),
    found: &mut Found<'_>,
) -> ReadResult<()> {
    let request = found.request;
    let mut visit = |key: &[u8], value: &[u8]| {
        let (series, row) = delta_row(key, value)?;
        found.offer(series.instrument, &row);
        Ok(ControlFlow::Continue(()))
    };
    if let Instruments::List(list) = &request.instruments {
        for instrument in list {
            let series = SeriesKey { interval, adjustment, instrument: *instrument };
            let to = keys::after_prefix(&keys::bar(&series, request.to));
            let from = keys::bar(&series, request.from);
            snapshot.view().scan(Tab::Delta, &from, &to, false, &mut visit)?;
        }
        return Ok(());
    }
    snapshot.view().scan_prefix(Tab::Delta, &keys::bars_of(interval, adjustment), &mut visit)
}
