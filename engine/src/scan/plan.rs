//! `BarPlan`: what a scan of bars reads, found out once: its instruments, segments, hot rows and removed
//! ranges. It holds no page of the database; the segments stay open as long as it lives.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int32DictionaryArray, RecordBatch, RecordBatchOptions, StringArray,
    TimestampNanosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, RangeTombstone, SeriesKey, Timestamp};
use barkeeper_storage::{Axis, RunV1, Segment, keys};

use super::hot::{HotRows, Plain};
use super::request::{Instruments, ScanOrder, ScanRequest};
use crate::error::{ReadError, ReadResult, scan_error};
use crate::merge::read_tombstone;
use crate::report::SeriesSummary;
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

/// The columns of bars, in the order of the schema.
const COLUMNS: [&str; 10] = [
    "instrument",
    "ts",
    "trading_day",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "turnover",
    "open_interest",
];
/// Rows that one instrument's page has.
const PAGE_ROWS: u64 = 1_024;
/// Rows of the day axis that are sorted by instrument in memory.
const REGROUP_ROWS: u64 = 1_000_000;

/// A column that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BarColumn {
    Instrument,
    Ts,
    Plain(Plain),
}

/// A segment and its wanted runs.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) segment: Arc<Segment>,
    /// By place of the instrument, or by `ts` on the day axis.
    runs: Vec<(i64, RunV1)>,
}

impl Cold {
    pub(super) fn runs_of(&self, groups: &Range<i64>) -> &[(i64, RunV1)] {
        let start = self.runs.partition_point(|(group, _)| *group < groups.start);
        let end = self.runs.partition_point(|(group, _)| *group < groups.end);
        self.runs.get(start..end).unwrap_or_default()
    }

    pub(super) fn runs(&self) -> &[(i64, RunV1)] {
        &self.runs
    }
}

/// How a scan goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Blocks of instruments, each over the whole time.
    Series,
    /// Windows of time, each over all instruments and then sorted by time.
    Windows,
    /// The day axis as it stands.
    Days,
    /// A short stretch of the day axis, sorted by instrument.
    Regrouped,
}

/// What a scan of bars reads.
pub(super) struct BarPlan {
    pub(super) axis: Axis,
    pub(super) way: Way,
    pub(super) plain: Vec<Plain>,
    /// Whether `ts` must be read: it was asked for, or rows are sorted by it.
    pub(super) with_ts: bool,
    pub(super) cold: Vec<Cold>,
    pub(super) hot: HotRows,
    pub(super) from: i64,
    pub(super) to: i64,
    /// How many instruments there are.
    pub(super) instruments: usize,
    names: Vec<InstrumentId>,
    dictionary: Arc<StringArray>,
    columns: Vec<BarColumn>,
    schema: SchemaRef,
    removed: BTreeMap<i64, Vec<RangeTombstone>>,
}

impl BarPlan {
    pub(super) fn new(
        snapshot: &Snapshot,
        kind: (Interval, AdjustmentTag),
        request: &ScanRequest,
    ) -> ReadResult<Self> {
        let (columns, schema) = columns_of(request)?;
        let mut plain = Vec::new();
        for column in &columns {
            if let BarColumn::Plain(one) = column
                && !plain.contains(one)
            {
                plain.push(*one);
            }
        }
        let series = series_of(snapshot, kind, request)?;
        let names: Vec<InstrumentId> = series.iter().map(|one| one.series.instrument).collect();
        let dictionary = Arc::new(StringArray::from_iter_values(names.iter().map(InstrumentId::as_str)));
        let from = series.iter().map(|one| one.first).min().unwrap_or(request.from).max(request.from);
        let to = series.iter().map(|one| one.last).max().unwrap_or(request.from).min(request.to);
        let with_ts = columns.contains(&BarColumn::Ts);
        let mut plan = Self {
            axis: Axis::Instrument,
            way: Way::Series,
            plain,
            with_ts,
            cold: Vec::new(),
            hot: HotRows::default(),
            from: from.nanos(),
            to: to.nanos(),
            instruments: names.len(),
            names,
            dictionary,
            columns,
            schema,
            removed: BTreeMap::new(),
        };
        if plan.names.is_empty() || from > to {
            plan.instruments = 0;
            return Ok(plan);
        }
        plan.cold = plan.segments(snapshot, kind, Axis::Instrument)?;
        plan.choose(snapshot, kind, request)?;
        plan.removed = plan.tombstones(snapshot, kind, request)?;
        let by_time = plan.axis == Axis::Day;
        plan.hot = HotRows::copy(snapshot, kind, request, &plan.plain, &plan.names, by_time)?;
        plan.with_ts |= plan.way == Way::Windows;
        Ok(plan)
    }

    /// Chooses the axis by the rows that would have to be decoded.
    fn choose(
        &mut self,
        snapshot: &Snapshot,
        kind: (Interval, AdjustmentTag),
        request: &ScanRequest,
    ) -> ReadResult<()> {
        let by_time = request.order == ScanOrder::Time;
        self.way = if by_time { Way::Windows } else { Way::Series };
        let cache = &snapshot.inner().segments;
        let manifest = cache.manifest(snapshot.view())?;
        let twins = manifest.of(kind.0, kind.1, Axis::Instrument).all(|entry| entry.twin.is_some());
        if !kind.0.is_daily_or_longer() || !twins || self.cold.is_empty() {
            return Ok(());
        }
        let by_instrument: u64 =
            self.cold.iter().flat_map(|cold| &cold.runs).map(|(_, run)| self.decoded(run)).sum();
        let days = self.segments(snapshot, kind, Axis::Day)?;
        let by_day: u64 = days.iter().flat_map(|cold| &cold.runs).map(|(_, run)| u64::from(run.rows)).sum();
        if by_time && by_instrument * 4 >= by_day {
            self.way = Way::Days;
        } else if !by_time && by_day <= REGROUP_ROWS && by_day * 4 <= by_instrument {
            self.way = Way::Regrouped;
        } else {
            return Ok(());
        }
        self.axis = Axis::Day;
        self.cold = days;
        Ok(())
    }

    /// About how many rows of a run are decoded.
    fn decoded(&self, run: &RunV1) -> u64 {
        Self::decoded_between(run, self.from, self.to)
    }

    /// About how many rows of a run are decoded for a stretch of time.
    pub(super) fn decoded_between(run: &RunV1, from: i64, to: i64) -> u64 {
        let (from, to) = (run.first.max(from), run.last.min(to));
        if from > to {
            return 0;
        }
        if from == run.first && to == run.last {
            return u64::from(run.rows);
        }
        let part = (to.saturating_sub(from)) as f64 / (run.last.saturating_sub(run.first)).max(1) as f64;
        #[expect(clippy::cast_possible_truncation, reason = "an estimate below the rows of a run")]
        let rows = (f64::from(run.rows) * part.clamp(0.0, 1.0)) as u64;
        (rows + PAGE_ROWS).min(u64::from(run.rows))
    }

    fn segments(
        &self,
        snapshot: &Snapshot,
        (interval, adjustment): (Interval, AdjustmentTag),
        axis: Axis,
    ) -> ReadResult<Vec<Cold>> {
        let cache = &snapshot.inner().segments;
        let mut found = Vec::new();
        for entry in cache.manifest(snapshot.view())?.of(interval, adjustment, axis) {
            if entry.last.nanos() < self.from || entry.first.nanos() > self.to {
                continue;
            }
            let segment = cache.segment(snapshot.view(), entry)?;
            let index = segment.index();
            let mut runs: Vec<(i64, RunV1)> = Vec::new();
            if axis == Axis::Day {
                let (from, to) = (Timestamp::from_nanos(self.from), Timestamp::from_nanos(self.to));
                runs.extend(index.of_time(from, to).iter().map(|run| (run.first, *run)));
            } else if self.names.len() < 64 {
                let run_of = |(place, name)| Some((place_of(place), index.of_instrument(name)?));
                runs.extend(self.names.iter().enumerate().filter_map(run_of));
            } else {
                let mut names = self.names.iter().enumerate().peekable();
                for (instrument, run) in index.instruments() {
                    while names.next_if(|(_, name)| **name < instrument).is_some() {}
                    if let Some((place, _)) = names.next_if(|(_, name)| **name == instrument) {
                        runs.push((place_of(place), run));
                    }
                }
            }
            runs.retain(|(_, run)| run.first <= self.to && run.last >= self.from);
            if !runs.is_empty() {
                found.push(Cold { segment, runs });
            }
        }
        Ok(found)
    }

    fn tombstones(
        &self,
        snapshot: &Snapshot,
        (interval, adjustment): (Interval, AdjustmentTag),
        request: &ScanRequest,
    ) -> ReadResult<BTreeMap<i64, Vec<RangeTombstone>>> {
        let mut removed: BTreeMap<i64, Vec<RangeTombstone>> = BTreeMap::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            let tombstone = read_tombstone(key, value)?;
            let inside = tombstone.from.nanos() <= self.to && tombstone.to.nanos() > self.from;
            if let (true, Ok(place)) = (inside, self.names.binary_search(&tombstone.series.instrument)) {
                removed.entry(place_of(place)).or_default().push(tombstone);
            }
            Ok(ControlFlow::Continue(()))
        };
        if let Instruments::List(list) = &request.instruments {
            for instrument in list {
                let series = SeriesKey { interval, adjustment, instrument: *instrument };
                snapshot.view().scan_prefix(Tab::Tombstones, &keys::series(&series), &mut visit)?;
            }
        } else {
            snapshot.view().scan_prefix(Tab::Tombstones, &keys::bars_of(interval, adjustment), &mut visit)?;
        }
        Ok(removed)
    }

    /// Whether bars of a group from `first` to `last` may have been removed.
    pub(super) fn is_removed(&self, group: i64, first: i64, last: i64) -> bool {
        if self.axis == Axis::Day {
            let covers = |t: &RangeTombstone| t.from.nanos() <= group && group < t.to.nanos();
            return self.removed.values().flatten().any(covers);
        }
        let meets = |t: &RangeTombstone| t.from.nanos() <= last && first < t.to.nanos();
        self.removed.get(&group).is_some_and(|all| all.iter().any(meets))
    }

    /// Whether a removed range hides a row.
    pub(super) fn hides(&self, key: i64, ts: i64, version: u64) -> bool {
        let hides =
            |t: &RangeTombstone| t.from.nanos() <= ts && ts < t.to.nanos() && version < t.version.raw();
        self.removed.get(&key).is_some_and(|all| all.iter().any(hides))
    }

    /// The place of a name in the dictionary, -1 where it is not in it.
    pub(super) fn key_of(&self, name: &str) -> i32 {
        let place = self.names.binary_search_by(|one| one.as_str().cmp(name));
        place.ok().and_then(|place| i32::try_from(place).ok()).unwrap_or(-1)
    }

    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A batch of the columns that were asked for.
    pub(super) fn assemble(
        &self,
        keys: Vec<i32>,
        ts: Vec<i64>,
        plain: &[ArrayRef],
    ) -> ReadResult<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(keys.len()));
        let bad = |error: arrow_schema::ArrowError| scan_error(&error.to_string());
        let mut keys = Some(keys);
        let mut times = Some(ts);
        let mut instruments: Option<ArrayRef> = None;
        let mut ts: Option<ArrayRef> = None;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            arrays.push(match column {
                BarColumn::Instrument => {
                    if instruments.is_none() {
                        let keys = Int32Array::from(keys.take().unwrap_or_default());
                        let names = Int32DictionaryArray::try_new(keys, self.dictionary.clone());
                        instruments = Some(Arc::new(names.map_err(bad)?));
                    }
                    instruments.clone().ok_or_else(|| scan_error("a column is missing"))?
                }
                BarColumn::Ts => ts
                    .get_or_insert_with(|| {
                        let times = TimestampNanosecondArray::from(times.take().unwrap_or_default());
                        Arc::new(times.with_timezone("UTC"))
                    })
                    .clone(),
                BarColumn::Plain(one) => {
                    let place = self.plain.iter().position(|plain| plain == one).unwrap_or(usize::MAX);
                    plain.get(place).cloned().ok_or_else(|| scan_error("a column is missing"))?
                }
            });
        }
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(bad)
    }
}

fn place_of(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// The series that a request may touch, in the order of instruments.
fn series_of(
    snapshot: &Snapshot,
    (interval, adjustment): (Interval, AdjustmentTag),
    request: &ScanRequest,
) -> ReadResult<Vec<SeriesSummary>> {
    let mut series = match &request.instruments {
        Instruments::List(list) if list.len() < 256 => {
            let mut found = Vec::new();
            for instrument in list {
                let key = SeriesKey { interval, adjustment, instrument: *instrument };
                found.extend(snapshot.series(&key)?);
            }
            found
        }
        _ => snapshot.all_series(Some(interval), Some(adjustment))?,
    };
    series.retain(|one| {
        request.instruments.wants(&one.series.instrument)
            && one.first <= request.to
            && one.last >= request.from
    });
    series.sort_by_key(|one| one.series.instrument);
    Ok(series)
}

/// The fields of all columns of bars.
fn fields() -> Vec<Field> {
    let names = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    COLUMNS
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let kind = match place {
                0 => names.clone(),
                1 => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
                2 => DataType::Date32,
                _ => DataType::Float64,
            };
            Field::new(*name, kind, false)
        })
        .collect()
}

fn columns_of(request: &ScanRequest) -> ReadResult<(Vec<BarColumn>, SchemaRef)> {
    let fields = fields();
    let all = || COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    let mut columns = Vec::new();
    let mut wanted = Vec::new();
    for name in request.columns.clone().unwrap_or_else(all) {
        let place = COLUMNS.iter().position(|column| **column == *name);
        let field = place.and_then(|place| fields.get(place));
        let (Some(place), Some(field)) = (place, field) else {
            return Err(ReadError::Column { name, expected: COLUMNS.join(", ") });
        };
        columns.push(match place {
            0 => BarColumn::Instrument,
            1 => BarColumn::Ts,
            2 => BarColumn::Plain(Plain::Day),
            _ => BarColumn::Plain(Plain::Number(place - (COLUMNS.len() - Bar::NUMBERS.len()))),
        });
        wanted.push(field.clone());
    }
    Ok((columns, Arc::new(Schema::new(wanted))))
}
