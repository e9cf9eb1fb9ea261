//! `Plan`: what a scan reads, found out once: its instruments, segments, hot rows and removed rows. It
//! holds no page of the database; the segments stay open as long as it lives.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int32DictionaryArray, RecordBatch, RecordBatchOptions, StringArray,
    TimestampNanosecondArray,
};
use arrow_schema::{Field, Schema, SchemaRef};
use barkeeper_records::{InstrumentId, Timestamp};
use barkeeper_storage::{Axis, RowFile, RunV1};

use super::dataset::{Dataset, INSTRUMENT, Removed, Stream, TS};
use super::hot::HotRows;
use super::request::{ScanOrder, ScanRequest};
use crate::error::{ReadError, ReadResult, scan_error};
use crate::snapshot::Snapshot;

/// Rows that one instrument's page has.
const PAGE_ROWS: u64 = 1_024;
/// Rows of the day axis that are sorted by instrument in memory.
const REGROUP_ROWS: u64 = 1_000_000;

/// A segment and its wanted runs.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) file: Arc<dyn RowFile>,
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

/// What a scan reads.
pub(super) struct Plan {
    pub(super) axis: Axis,
    pub(super) way: Way,
    /// The wanted columns but instrument and `ts`, by place, none twice.
    pub(super) plain: Vec<usize>,
    /// Whether `ts` must be read: it was asked for, or rows are sorted by it.
    pub(super) with_ts: bool,
    /// Whether a sequence tells rows of one `ts` apart.
    pub(super) sequenced: bool,
    pub(super) cold: Vec<Cold>,
    pub(super) hot: HotRows,
    pub(super) from: i64,
    pub(super) to: i64,
    /// How many instruments there are.
    pub(super) instruments: usize,
    /// The columns of the dataset.
    pub(super) fields: Vec<Field>,
    names: Vec<InstrumentId>,
    dictionary: Arc<StringArray>,
    /// The wanted columns, by place.
    columns: Vec<usize>,
    schema: SchemaRef,
    removed: Removed,
}

impl Plan {
    pub(super) fn new(
        snapshot: &Snapshot,
        dataset: &impl Dataset,
        request: &ScanRequest,
    ) -> ReadResult<Self> {
        let fields = dataset.fields();
        let (columns, schema) = columns_of(&fields, request)?;
        let mut plain = Vec::new();
        for column in &columns {
            if ![INSTRUMENT, TS].contains(column) && !plain.contains(column) {
                plain.push(*column);
            }
        }
        let mut streams = dataset.streams(snapshot, &request.instruments)?;
        let wants = |one: &Stream| {
            request.instruments.wants(&one.instrument) && one.first <= request.to && one.last >= request.from
        };
        streams.retain(wants);
        streams.sort_by_key(|one| one.instrument);
        let names: Vec<InstrumentId> = streams.iter().map(|one| one.instrument).collect();
        let dictionary = Arc::new(StringArray::from_iter_values(names.iter().map(InstrumentId::as_str)));
        let from = streams.iter().map(|one| one.first).min().unwrap_or(request.from).max(request.from);
        let to = streams.iter().map(|one| one.last).max().unwrap_or(request.from).min(request.to);
        let with_ts = columns.contains(&TS);
        let mut plan = Self {
            axis: Axis::Instrument,
            way: Way::Series,
            plain,
            with_ts,
            sequenced: dataset.is_sequenced(),
            cold: Vec::new(),
            hot: HotRows::default(),
            from: from.nanos(),
            to: to.nanos(),
            instruments: names.len(),
            fields,
            names,
            dictionary,
            columns,
            schema,
            removed: Removed::default(),
        };
        if plan.names.is_empty() || from > to {
            plan.instruments = 0;
            return Ok(plan);
        }
        plan.cold = plan.segments(snapshot, dataset, Axis::Instrument)?;
        plan.choose(snapshot, dataset, request)?;
        let place_of = |name: &InstrumentId| plan.names.binary_search(name).ok().map(place_of);
        plan.removed = dataset.removed(snapshot, request, &place_of, (from, to))?;
        let by_time = plan.axis == Axis::Day;
        plan.hot = HotRows::copy(snapshot, dataset, request, &plan.plain, &plan.names, by_time)?;
        plan.with_ts |= plan.way == Way::Windows;
        Ok(plan)
    }

    /// Chooses the axis by the rows that would have to be decoded.
    fn choose(
        &mut self,
        snapshot: &Snapshot,
        dataset: &impl Dataset,
        request: &ScanRequest,
    ) -> ReadResult<()> {
        let by_time = request.order == ScanOrder::Time;
        self.way = if by_time { Way::Windows } else { Way::Series };
        let cache = &snapshot.inner().segments;
        let manifest = cache.manifest(snapshot.view())?;
        let mut entries = manifest.of_dataset(dataset.dataset(), Axis::Instrument);
        if !dataset.has_days() || !entries.all(|entry| entry.twin.is_some()) || self.cold.is_empty() {
            return Ok(());
        }
        let by_instrument: u64 =
            self.cold.iter().flat_map(|cold| &cold.runs).map(|(_, run)| self.decoded(run)).sum();
        let days = self.segments(snapshot, dataset, Axis::Day)?;
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

    fn segments(&self, snapshot: &Snapshot, dataset: &impl Dataset, axis: Axis) -> ReadResult<Vec<Cold>> {
        let cache = &snapshot.inner().segments;
        let mut found = Vec::new();
        for entry in cache.manifest(snapshot.view())?.of_dataset(dataset.dataset(), axis) {
            if entry.last.nanos() < self.from || entry.first.nanos() > self.to {
                continue;
            }
            let file = dataset.open(snapshot, entry)?;
            let index = file.index();
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
                found.push(Cold { file, runs });
            }
        }
        Ok(found)
    }

    /// Whether rows of a group from `first` to `last` may have been removed.
    pub(super) fn is_removed(&self, group: i64, first: i64, last: i64) -> bool {
        if self.axis == Axis::Day {
            self.removed.meets_day(group)
        } else {
            self.removed.meets(group, first, last)
        }
    }

    /// Whether what was removed hides a row.
    pub(super) fn hides(&self, key: i64, ts: i64, sequence: i64, version: u64) -> bool {
        self.removed.hides(key, ts, sequence, version)
    }

    /// Bytes of a decoded row, about.
    pub(super) const fn row_bytes(&self) -> u64 {
        20 + 8 * self.plain.len() as u64
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
            arrays.push(match *column {
                INSTRUMENT => {
                    if instruments.is_none() {
                        let keys = Int32Array::from(keys.take().unwrap_or_default());
                        let names = Int32DictionaryArray::try_new(keys, self.dictionary.clone());
                        instruments = Some(Arc::new(names.map_err(bad)?));
                    }
                    instruments.clone().ok_or_else(|| scan_error("a column is missing"))?
                }
                TS => ts
                    .get_or_insert_with(|| {
                        let times = TimestampNanosecondArray::from(times.take().unwrap_or_default());
                        Arc::new(times.with_timezone("UTC"))
                    })
                    .clone(),
                one => {
                    let place = self.plain.iter().position(|plain| *plain == one).unwrap_or(usize::MAX);
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

/// The wanted columns, by place, and their schema.
fn columns_of(fields: &[Field], request: &ScanRequest) -> ReadResult<(Vec<usize>, SchemaRef)> {
    let names = || fields.iter().map(|field| field.name().as_str());
    let (mut columns, mut wanted) = (Vec::new(), Vec::new());
    for name in request.columns.clone().unwrap_or_else(|| names().map(str::to_owned).collect()) {
        let Some((place, field)) = fields.iter().enumerate().find(|(_, field)| *field.name() == name) else {
            return Err(ReadError::Column { name, expected: names().collect::<Vec<_>>().join(", ") });
        };
        columns.push(place);
        wanted.push(field.clone());
    }
    Ok((columns, Arc::new(Schema::new(wanted))))
}
