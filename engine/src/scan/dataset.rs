//! `Dataset`: what a scan asks of a table of rows by instrument and time, and what it learns from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, TimeUnit};
use barkeeper_records::{EventPlace, InstrumentId, RangeTombstone, Timestamp, Version};
use barkeeper_storage::{RowFile, SegmentEntry};

use super::hot::Found;
use super::request::{Instruments, ScanRequest};
use crate::error::ReadResult;
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::{View, Visit};

/// The places of the columns that every dataset has, in its scans and in its files.
pub(super) const INSTRUMENT: usize = 0;
pub(super) const TS: usize = 1;
/// The place of the column `sequence` where a dataset has it.
pub(super) const SEQUENCE: usize = 2;

/// An instrument and the span of its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) instrument: InstrumentId,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

/// A table of rows by instrument and time, hot and sealed.
pub(super) trait Dataset {
    /// Of which segments it is made.
    fn dataset(&self) -> barkeeper_storage::Dataset;

    /// Its columns, in the order of its files; the version stands behind them there.
    fn fields(&self) -> Vec<Field>;

    /// Whether several rows of an instrument may have one `ts`: a sequence tells them apart then.
    fn is_sequenced(&self) -> bool;

    /// Whether its segments stand on the axis of days as well.
    fn has_days(&self) -> bool;

    /// Instruments that may be wanted, in any order.
    fn streams(&self, snapshot: &Snapshot, wanted: &Instruments) -> ReadResult<Vec<Stream>>;

    /// An open segment.
    fn open(&self, snapshot: &Snapshot, entry: &SegmentEntry) -> ReadResult<Arc<dyn RowFile>>;

    /// Offers every hot row that may be wanted.
    fn hot(&self, snapshot: &Snapshot, found: &mut Found<'_>) -> ReadResult<()>;

    /// What was removed, of instruments whose place is known, between two instants, both included.
    fn removed(
        &self,
        snapshot: &Snapshot,
        request: &ScanRequest,
        place_of: &dyn Fn(&InstrumentId) -> Option<i64>,
        span: (Timestamp, Timestamp),
    ) -> ReadResult<Removed>;

    /// The column of a place that is no number, of the codes of many rows.
    fn coded(&self, place: usize, codes: &[u8]) -> Option<ArrayRef>;
}

/// A value of a hot row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    Day(i32),
    Int(i64),
    Number(f64),
    Code(u8),
}

/// Visits the rows of a table that belong to wanted instruments, or all of a prefix where that is not told.
pub(super) fn scan_wanted(
    snapshot: &Snapshot,
    tab: Tab,
    wanted: &Instruments,
    of_one: impl Fn(&InstrumentId) -> Vec<u8>,
    all: &[u8],
    visit: Visit<'_>,
) -> ReadResult<()> {
    let Instruments::List(list) = wanted else { return snapshot.view().scan_prefix(tab, all, visit) };
    for instrument in list {
        snapshot.view().scan_prefix(tab, &of_one(instrument), visit)?;
    }
    Ok(())
}

/// The fields of the columns `instrument` and `ts`.
pub(super) fn first_fields() -> [Field; 2] {
    let names = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let ts = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    [Field::new("instrument", names, false), Field::new("ts", ts, false)]
}

/// Removed rows, by place of their instrument.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// Ranges of time.
    pub(super) ranges: BTreeMap<i64, Vec<RangeTombstone>>,
    /// Single rows, ascending.
    pub(super) rows: BTreeMap<i64, Vec<(EventPlace, Version)>>,
}

impl Removed {
    /// Whether rows of an instrument from `first` to `last` may have been removed.
    pub(super) fn meets(&self, key: i64, first: i64, last: i64) -> bool {
        let inside = |t: &RangeTombstone| t.from.nanos() <= last && first < t.to.nanos();
        let single = |rows: &Vec<(EventPlace, Version)>| {
            let place = rows.partition_point(|(place, _)| place.ts.nanos() < first);
            rows.get(place).is_some_and(|(place, _)| place.ts.nanos() <= last)
        };
        self.ranges.get(&key).is_some_and(|all| all.iter().any(inside))
            || self.rows.get(&key).is_some_and(single)
    }

    /// Whether rows of any instrument at a `ts` may have been removed.
    pub(super) fn meets_day(&self, ts: i64) -> bool {
        self.ranges.values().flatten().any(|t| t.from.nanos() <= ts && ts < t.to.nanos())
    }

    /// Whether what was removed hides a row.
    pub(super) fn hides(&self, key: i64, ts: i64, sequence: i64, version: u64) -> bool {
        let covers =
            |t: &RangeTombstone| t.from.nanos() <= ts && ts < t.to.nanos() && version < t.version.raw();
        let place = |sequence| EventPlace { ts: Timestamp::from_nanos(ts), sequence };
        let single = |rows: &Vec<(EventPlace, Version)>| {
            let place = place(u64::try_from(sequence).unwrap_or(0));
            let found = rows.binary_search_by_key(&place, |(place, _)| *place).ok();
            found.and_then(|at| rows.get(at)).is_some_and(|(_, removed)| version < removed.raw())
        };
        self.ranges.get(&key).is_some_and(|all| all.iter().any(covers))
            || self.rows.get(&key).is_some_and(single)
    }
}
