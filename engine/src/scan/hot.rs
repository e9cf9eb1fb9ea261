//! `HotRows`: the hot rows that a scan needs, copied, so that it holds no page of the database.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Float64Array, Int64Array, UInt32Array};
use arrow_schema::{DataType, Field};
use barkeeper_records::{InstrumentId, Timestamp, Version};

use super::dataset::{Cell, Dataset};
use super::request::ScanRequest;
use crate::error::{ReadResult, scan_error};
use crate::snapshot::Snapshot;

/// Hot rows in one order, no key twice, column by column.
#[derive(Debug, Default)]
pub(super) struct HotRows {
    /// Places of the instruments in the scan's dictionary.
    pub(super) keys: Vec<i32>,
    pub(super) ts: Vec<i64>,
    /// Empty where the dataset has none.
    pub(super) sequences: Vec<i64>,
    pub(super) versions: Vec<u64>,
    pub(super) columns: Vec<ArrayRef>,
    /// The rows of each instrument, or of each `ts`.
    pub(super) groups: Vec<(i64, Range<usize>)>,
}

/// Values of a column.
#[derive(Debug)]
enum Cells {
    Days(Vec<i32>),
    Ints(Vec<i64>),
    Numbers(Vec<f64>),
    Codes(Vec<u8>),
}

impl Cells {
    const fn of(field: &Field) -> Self {
        match field.data_type() {
            DataType::Date32 => Self::Days(Vec::new()),
            DataType::Int64 => Self::Ints(Vec::new()),
            DataType::Float64 => Self::Numbers(Vec::new()),
            _ => Self::Codes(Vec::new()),
        }
    }

    fn push(&mut self, cell: Cell) {
        match (self, cell) {
            (Self::Days(all), Cell::Day(day)) => all.push(day),
            (Self::Ints(all), Cell::Int(int)) => all.push(int),
            (Self::Numbers(all), Cell::Number(number)) => all.push(number),
            (Self::Codes(all), Cell::Code(code)) => all.push(code),
            // A column that is shorter than the others fails when it is arranged.
            _ => {}
        }
    }
}

/// Where a row was found: the number of its instrument, its key and its version.
struct Place {
    instrument: u32,
    ts: i64,
    sequence: i64,
    version: u64,
}

/// Hot rows as they are found.
pub(super) struct Found<'a> {
    request: &'a ScanRequest,
    plain: &'a [usize],
    ids: HashMap<InstrumentId, u32>,
    names: Vec<InstrumentId>,
    rows: Vec<Place>,
    cells: Vec<Cells>,
}

/// The order of a row among all: its group, its key in it, the highest version first; and where it stands.
type Order = (i64, (i64, i64), Reverse<u64>, u32);

impl<'a> Found<'a> {
    /// What is asked for.
    pub(super) const fn request(&self) -> &'a ScanRequest {
        self.request
    }

    /// Takes a row with its key of `ts` and sequence, if it is wanted. `cell` gives the value of a column.
    pub(super) fn offer(
        &mut self,
        instrument: InstrumentId,
        (ts, sequence): (Timestamp, i64),
        version: Version,
        cell: impl Fn(usize) -> Cell,
    ) {
        if ts < self.request.from || ts > self.request.to || !self.request.instruments.wants(&instrument) {
            return;
        }
        let names = &mut self.names;
        let instrument = *self.ids.entry(instrument).or_insert_with(|| {
            names.push(instrument);
            u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
        });
        self.rows.push(Place { instrument, ts: ts.nanos(), sequence, version: version.raw() });
        for (place, cells) in self.plain.iter().zip(&mut self.cells) {
            cells.push(cell(*place));
        }
    }
}

impl HotRows {
    /// Copies what a request needs out of a snapshot. `plain` are the wanted columns but instrument and
    /// `ts`, `names` the instruments of the scan, in text order; rows come by `ts` and instrument where
    /// `by_time` says so, else by instrument, `ts` and sequence.
    pub(super) fn copy(
        snapshot: &Snapshot,
        dataset: &impl Dataset,
        request: &ScanRequest,
        plain: &[usize],
        names: &[InstrumentId],
        by_time: bool,
    ) -> ReadResult<Self> {
        let fields = dataset.fields();
        let cells = plain.iter().filter_map(|place| fields.get(*place)).map(Cells::of).collect();
        let (ids, found_names, rows) = (HashMap::new(), Vec::new(), Vec::new());
        let mut found = Found { request, plain, ids, names: found_names, rows, cells };
        dataset.hot(snapshot, &mut found)?;
        let key = |name| names.binary_search(name).ok().and_then(|place| i32::try_from(place).ok());
        // An instrument that has no live row is in no dictionary; its rows are removed ones.
        let places: Vec<i32> = found.names.iter().map(|name| key(name).unwrap_or(-1)).collect();
        let place = |id: u32| usize::try_from(id).ok().and_then(|id| places.get(id)).copied().unwrap_or(-1);
        let mut order: Vec<Order> = Vec::with_capacity(found.rows.len());
        for (row, one) in found.rows.iter().enumerate() {
            let (key, row) = (i64::from(place(one.instrument)), u32::try_from(row).unwrap_or(u32::MAX));
            let (group, inner) = if by_time { (one.ts, (key, 0)) } else { (key, (one.ts, one.sequence)) };
            if key >= 0 {
                order.push((group, inner, Reverse(one.version), row));
            }
        }
        order.sort_unstable();
        order.dedup_by_key(|(group, inner, _, _)| (*group, *inner));
        let mut hot = Self::arrange(&order, by_time, dataset.is_sequenced());
        let rows = UInt32Array::from_iter_values(order.iter().map(|one| one.3));
        for (place, cells) in plain.iter().zip(found.cells) {
            let column: ArrayRef = match cells {
                Cells::Days(all) => Arc::new(Date32Array::from(all)),
                Cells::Ints(all) => Arc::new(Int64Array::from(all)),
                Cells::Numbers(all) => Arc::new(Float64Array::from(all)),
                Cells::Codes(all) => {
                    dataset.coded(*place, &all).ok_or_else(|| scan_error("a column is missing"))?
                }
            };
            let column = arrow_select::take::take(&column, &rows, None);
            hot.columns.push(column.map_err(|error| scan_error(&error.to_string()))?);
        }
        Ok(hot)
    }

    fn arrange(order: &[Order], by_time: bool, sequenced: bool) -> Self {
        let mut hot = Self::default();
        let key = |key: i64| i32::try_from(key).unwrap_or(-1);
        for (at, (group, (inner, sequence), version, _)) in order.iter().enumerate() {
            let (place, ts) = if by_time { (key(*inner), *group) } else { (key(*group), *inner) };
            hot.keys.push(place);
            hot.ts.push(ts);
            if sequenced {
                hot.sequences.push(*sequence);
            }
            hot.versions.push(version.0);
            match hot.groups.last_mut() {
                Some((last, rows)) if last == group => rows.end = at + 1,
                _ => hot.groups.push((*group, at..at + 1)),
            }
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
