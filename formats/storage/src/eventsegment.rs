//! Segments of ticks or market trades: immutable Parquet files, by instrument, `ts` and sequence.
//!
//! Columns: `instrument` (text), `ts` (timestamp, ns, UTC), `sequence` (i64), `trading_day` (date), the
//! numbers of the rows (doubles), for market trades `side` (text) and `aggregated` (boolean), and
//! `version` (u64) where rows differ in it. LZ4 raw over dictionaries: such rows repeat themselves.

use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use barkeeper_records::{
    EventPlace, InstrumentId, MarketEvent, MarketTrade, Side, Tick, Timestamp, TradingDay, Value, Version,
};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::eventchunk::VersionedEvent;
use crate::hashing::HashingFile;
use crate::index::{RunV1, SegmentIndexV1};
use crate::manifest::{Dataset, SegmentEntry};
use crate::segment_writer::WrittenSegment;
use crate::verified::{SegmentError, VerifiedFile, guarded};

const BATCH_ROWS: usize = 16_384;
/// Rows of a page: few, so that a scan by time decodes little of an instrument's day that it does not want.
const PAGE_ROWS: usize = 1_024;
const GROUP_ROWS: usize = 262_144;
/// The layout of the files, in their metadata.
const LAYOUT: u8 = 1;
/// Rows that room is made for before they are seen.
pub(crate) const MOST_RESERVED: usize = 1 << 16;
/// The columns before the numbers: instrument, ts, sequence, trading day.
pub(crate) const BEFORE: usize = 4;
pub(crate) const TS: usize = 1;

/// A market event that has segments of its own.
pub trait StoredEvent: MarketEvent {
    /// The dataset of its segments.
    const DATASET: Dataset;
    /// The columns behind the numbers.
    const EXTRA: &'static [&'static str];

    /// The columns behind the numbers, as targets see them and hashes cover them.
    fn extra_values(&self) -> Vec<Value>;

    /// The columns behind the numbers of many rows.
    fn extra_columns(codes: &[u8]) -> Vec<ArrayRef>;

    /// The code of a row of such columns; `None` for what no row has.
    fn extra_code(columns: &[ArrayRef], row: usize) -> Option<u8>;
}

impl StoredEvent for Tick {
    const DATASET: Dataset = Dataset::Ticks;
    const EXTRA: &'static [&'static str] = &[];

    fn extra_values(&self) -> Vec<Value> {
        Vec::new()
    }

    fn extra_columns(_: &[u8]) -> Vec<ArrayRef> {
        Vec::new()
    }

    fn extra_code(_: &[ArrayRef], _: usize) -> Option<u8> {
        Some(0)
    }
}

impl StoredEvent for MarketTrade {
    const DATASET: Dataset = Dataset::MarketTrades;
    const EXTRA: &'static [&'static str] = &["side", "aggregated"];

    fn extra_values(&self) -> Vec<Value> {
        vec![Value::Text(self.side.as_str().to_owned()), Value::Int(i64::from(self.aggregated))]
    }

    fn extra_columns(codes: &[u8]) -> Vec<ArrayRef> {
        let side = |code: &u8| Side::ALL.into_iter().find(|side| *side as u8 == code & 3).unwrap_or_default();
        let sides: StringArray = codes.iter().map(|code| Some(side(code).as_str())).collect();
        let aggregated: BooleanArray = codes.iter().map(|code| Some(code >> 2 == 1)).collect();
        vec![Arc::new(sides), Arc::new(aggregated)]
    }

    fn extra_code(columns: &[ArrayRef], row: usize) -> Option<u8> {
        let [sides, aggregated] = columns else { return None };
        let sides = sides.as_string_opt::<i32>().filter(|sides| row < sides.len())?;
        let aggregated = aggregated.as_boolean_opt().filter(|column| row < column.len())?;
        let side: Side = sides.value(row).parse().ok()?;
        Some(side as u8 | u8::from(aggregated.value(row)) << 2)
    }
}

pub(crate) fn schema<T: StoredEvent>(version_column: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("instrument", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("sequence", DataType::Int64, false),
        Field::new("trading_day", DataType::Date32, false),
    ];
    fields.extend(T::NUMBERS.iter().map(|name| Field::new(*name, DataType::Float64, false)));
    let extra = T::extra_columns(&[]);
    fields.extend(
        T::EXTRA
            .iter()
            .zip(&extra)
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), false)),
    );
    if version_column {
        fields.push(Field::new("version", DataType::UInt64, false));
    }
    Arc::new(Schema::new(fields))
}

fn properties<T: StoredEvent>() -> WriterProperties {
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS / 4)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(format!("barkeeper {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![
            pair("barkeeper.layout", LAYOUT.to_string()),
            pair("barkeeper.dataset", T::DATASET.folder()),
            pair("barkeeper.axis", "instrument".to_owned()),
        ]))
        .build()
}

/// Writes one segment of ticks or market trades, an instrument a call.
pub struct EventWriter<T> {
    path: PathBuf,
    version: Option<Version>,
    writer: ArrowWriter<HashingFile>,
    schema: SchemaRef,
    rows: Vec<(InstrumentId, VersionedEvent<T>)>,
    names: Vec<String>,
    runs: Vec<RunV1>,
    total: u64,
    /// The last row of the last instrument.
    place: Option<EventPlace>,
    span: Option<[i64; 4]>,
}

impl<T> std::fmt::Debug for EventWriter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventWriter")
            .field("path", &self.path)
            .field("rows", &self.total)
            .finish_non_exhaustive()
    }
}

impl<T: StoredEvent> EventWriter<T> {
    /// Begins a segment in a file that must not exist yet. `version` is that of all rows, where it is one.
    ///
    /// # Errors
    /// `Io`.
    pub fn create(path: &Path, version: Option<Version>) -> Result<Self, SegmentError> {
        let sink = HashingFile::create(path)?;
        let schema = schema::<T>(version.is_none());
        let writer = ArrowWriter::try_new(sink, schema.clone(), Some(properties::<T>()))
            .map_err(|e| SegmentError::parquet(path, e))?;
        let rows = Vec::with_capacity(BATCH_ROWS);
        let (path, names, runs) = (path.to_owned(), Vec::new(), Vec::new());
        let (total, place, span) = (0, None, None);
        Ok(Self { path, version, writer, schema, rows, names, runs, total, place, span })
    }

    /// Appends the rows of one instrument, ascending by `ts` and sequence; instruments come in text order,
    /// and one that comes again goes on where it stopped.
    ///
    /// # Errors
    /// `Io`, `Damaged` where rows are out of order or the encoder refuses.
    pub fn push(&mut self, instrument: InstrumentId, rows: &[VersionedEvent<T>]) -> Result<(), SegmentError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let (first, place) = (first.event.place(), last.event.place());
        let again = self.names.last().is_some_and(|name| name.as_str() == instrument.as_str());
        let ascends = again || self.names.last().is_none_or(|name| name.as_str() < instrument.as_str());
        let behind = !again || self.place.is_none_or(|place| place < first);
        if !ascends || !behind || !rows.is_sorted_by(|a, b| a.event.place() < b.event.place()) {
            return Err(self.refused("rows to be written are out of order"));
        }
        let count = u32::try_from(rows.len()).map_err(|_| self.refused("too many rows of one instrument"))?;
        let (first, last) = (first.ts.nanos(), place.ts.nanos());
        self.place = Some(place);
        if let Some(run) = self.runs.last_mut().filter(|_| again) {
            run.last = last;
            run.rows = run.rows.saturating_add(count);
        } else {
            self.names.push(instrument.to_string());
            self.runs.push(RunV1 { start: self.total, rows: count, first, last });
        }
        for row in rows {
            let day = i64::from(row.event.trading_day().days());
            let ts = row.event.place().ts.nanos();
            let [low, high, low_day, high_day] = self.span.unwrap_or([ts, ts, day, day]);
            self.span = Some([low.min(ts), high.max(ts), low_day.min(day), high_day.max(day)]);
            self.total += 1;
            self.rows.push((instrument, *row));
            if self.rows.len() >= BATCH_ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn refused(&self, detail: &str) -> SegmentError {
        SegmentError::Damaged { path: self.path.clone(), detail: detail.to_owned() }
    }

    fn flush(&mut self) -> Result<(), SegmentError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let places: Vec<EventPlace> = rows.iter().map(|(_, row)| row.event.place()).collect();
        let names: StringArray = rows.iter().map(|(instrument, _)| Some(instrument.as_str())).collect();
        let ts = TimestampNanosecondArray::from_iter_values(places.iter().map(|place| place.ts.nanos()));
        let sequences = Int64Array::from_iter_values(places.iter().map(|place| place.sequence as i64));
        let days = Date32Array::from_iter_values(rows.iter().map(|(_, row)| row.event.trading_day().days()));
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(names), Arc::new(ts.with_timezone("UTC")), Arc::new(sequences), Arc::new(days)];
        for place in 0..T::NUMBERS.len() {
            let numbers = rows.iter().map(|(_, row)| row.event.number(place));
            columns.push(Arc::new(Float64Array::from_iter_values(numbers)));
        }
        let codes: Vec<u8> = rows.iter().map(|(_, row)| row.event.code()).collect();
        columns.extend(T::extra_columns(&codes));
        if self.version.is_none() {
            let versions = rows.iter().map(|(_, row)| row.version.raw());
            columns.push(Arc::new(UInt64Array::from_iter_values(versions)));
        }
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        let batch = batch.map_err(|e| self.refused(&e.to_string()))?;
        self.writer.write(&batch).map_err(|e| SegmentError::parquet(&self.path, e))?;
        self.rows = rows;
        self.rows.clear();
        Ok(())
    }

    /// Writes the footer, forces the file to the disk, reopens it and checks its footer against what was
    /// written.
    ///
    /// # Errors
    /// `Io`, `Damaged` where the reopened file is not what was written.
    pub fn finish(mut self) -> Result<WrittenSegment, SegmentError> {
        self.flush()?;
        let path = self.path;
        let sink = self.writer.into_inner().map_err(|e| SegmentError::parquet(&path, e))?;
        let hashed = sink.finish()?;
        let [first, last, first_day, last_day] = self.span.unwrap_or_default();
        let day = |days: i64| i32::try_from(days).ok().and_then(TradingDay::from_days).unwrap_or_default();
        let file = VerifiedFile::open(&path, hashed.bytes, hashed.blocks.clone().into())?;
        let rows = load(&path, &file)?.metadata().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(self.total) {
            let detail = format!("{rows} rows in the footer, {} written", self.total);
            return Err(SegmentError::Damaged { path, detail });
        }
        Ok(WrittenSegment {
            rows: self.total,
            first: Timestamp::from_nanos(first),
            last: Timestamp::from_nanos(last),
            first_day: day(first_day),
            last_day: day(last_day),
            bytes: hashed.bytes,
            blake3: hashed.blake3,
            index: SegmentIndexV1::of(self.names, self.runs, hashed.blocks),
        })
    }
}

fn load(path: &Path, file: &VerifiedFile) -> Result<ArrowReaderMetadata, SegmentError> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    guarded(path, || ArrowReaderMetadata::load(file, options).map_err(|e| SegmentError::parquet(path, e)))
}

/// An open segment of ticks or market trades; every byte is verified when it is read.
pub struct EventSegment<T> {
    path: PathBuf,
    entry: SegmentEntry,
    index: SegmentIndexV1,
    file: VerifiedFile,
    metadata: ArrowReaderMetadata,
    of: PhantomData<T>,
}

impl<T> std::fmt::Debug for EventSegment<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSegment").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<T: StoredEvent> EventSegment<T> {
    /// Opens a published file and checks its length and footer.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn open(path: &Path, entry: SegmentEntry, index: SegmentIndexV1) -> Result<Self, SegmentError> {
        let file = VerifiedFile::open(path, entry.bytes, index.blocks())?;
        let metadata = load(path, &file)?;
        index
            .check()
            .map_err(|damage| SegmentError::Damaged { path: path.to_owned(), detail: damage.to_string() })?;
        let rows = metadata.metadata().file_metadata().num_rows();
        let columns = metadata.schema().fields().len();
        let wanted = BEFORE + T::NUMBERS.len() + T::EXTRA.len() + usize::from(entry.version.is_none());
        if u64::try_from(rows) != Ok(entry.rows) || columns != wanted || entry.dataset != T::DATASET {
            let detail = format!(
                "{rows} rows and {columns} columns in the footer, {} {} with {wanted} columns in the manifest",
                entry.rows, entry.dataset
            );
            return Err(SegmentError::Damaged { path: path.to_owned(), detail });
        }
        Ok(Self { path: path.to_owned(), entry, index, file, metadata, of: PhantomData })
    }

    /// Its manifest entry.
    pub const fn entry(&self) -> &SegmentEntry {
        &self.entry
    }

    /// Where its runs stand.
    pub const fn index(&self) -> &SegmentIndexV1 {
        &self.index
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What its footer says.
    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    pub(crate) fn damaged(&self, detail: &str) -> SegmentError {
        SegmentError::Damaged { path: self.path.clone(), detail: detail.to_owned() }
    }

    /// The rows of an instrument from `from` to `to`, both included, ascending.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn range(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<VersionedEvent<T>>, SegmentError> {
        let Some(run) = self.index.of_instrument(instrument) else { return Ok(Vec::new()) };
        if run.last < from.nanos() || run.first > to.nanos() {
            return Ok(Vec::new());
        }
        let mut rows = run.start..run.start.saturating_add(u64::from(run.rows));
        if run.first < from.nanos() || run.last > to.nanos() {
            // The times are few bytes; of the other columns only what is asked for is read.
            let times = self.times(rows.clone())?;
            let place = |count: usize| rows.start.saturating_add(count as u64);
            let start = place(times.partition_point(|ts| *ts < from.nanos()));
            let end = place(times.partition_point(|ts| *ts <= to.nanos()));
            rows = start..end;
        }
        self.rows(rows)
    }

    /// Reads columns of ranges of rows, which ascend and do not overlap, as they stand in the file.
    pub(crate) fn reader(
        &self,
        rows: &[Range<u64>],
        columns: impl IntoIterator<Item = usize>,
        batch_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, SegmentError>> + '_, SegmentError> {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (mut groups, mut selectors) = (Vec::new(), Vec::new());
        let mut start = 0;
        for (number, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let end = u64::saturating_add(start, u64::try_from(group.num_rows()).unwrap_or(0));
            let first = rows.partition_point(|range| range.end <= start);
            let inside = rows.get(first..).unwrap_or_default().iter().take_while(|range| range.start < end);
            let mut at = start;
            for range in inside {
                let (from, to) = (range.start.max(at), range.end.min(end));
                selectors.push(RowSelector::skip(size(from - at)));
                selectors.push(RowSelector::select(size(to.saturating_sub(from))));
                at = to.max(from);
            }
            if at > start {
                groups.push(number);
                selectors.push(RowSelector::skip(size(end - at)));
            }
            start = end;
        }
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
                .with_row_groups(groups)
                .with_row_selection(RowSelection::from(selectors))
                .with_projection(ProjectionMask::leaves(self.metadata.parquet_schema(), columns))
                .with_batch_size(batch_rows.max(1))
                .build()
                .map_err(|e| SegmentError::parquet(&self.path, e))?;
        Ok(reader.map(|batch| batch.map_err(|e| self.damaged(&e.to_string()))))
    }

    fn times(&self, rows: Range<u64>) -> Result<Vec<i64>, SegmentError> {
        let mut times = Vec::with_capacity(self.reserved(&rows)?);
        guarded(&self.path, || {
            for batch in self.reader(std::slice::from_ref(&rows), [TS], BATCH_ROWS)? {
                let batch = batch?;
                let column = batch.columns().first();
                let column = column.and_then(|c| c.as_primitive_opt::<TimestampNanosecondType>());
                let column = column.ok_or_else(|| self.damaged("a column of another type"))?;
                times.extend_from_slice(column.values());
            }
            Ok(())
        })?;
        Ok(times)
    }

    /// Room for a range of rows, which must be there, and for no more than a forged file may ask for.
    fn reserved(&self, rows: &Range<u64>) -> Result<usize, SegmentError> {
        let count = rows.end.checked_sub(rows.start).filter(|_| rows.end <= self.entry.rows);
        let count = count.ok_or_else(|| self.damaged("rows are asked for that it does not have"))?;
        Ok(usize::try_from(count).unwrap_or(MOST_RESERVED).min(MOST_RESERVED))
    }

    /// A range of rows, ascending by instrument, `ts` and sequence. The index says whose they are.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn rows(&self, rows: Range<u64>) -> Result<Vec<VersionedEvent<T>>, SegmentError> {
        let wanted = rows.end.saturating_sub(rows.start);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let columns = BEFORE + T::NUMBERS.len() + T::EXTRA.len() + usize::from(self.entry.version.is_none());
        let mut found = Vec::with_capacity(self.reserved(&rows)?);
        let batch_rows = BATCH_ROWS.min(found.capacity());
        guarded(&self.path, || {
            for batch in self.reader(std::slice::from_ref(&rows), TS..columns, batch_rows)? {
                self.take(&batch?, &mut found).ok_or_else(|| self.damaged("a value that no row has"))?;
            }
            Ok(())
        })?;
        if found.len() as u64 == wanted {
            Ok(found)
        } else {
            Err(self.damaged("fewer rows than its index says"))
        }
    }

    fn take(&self, batch: &RecordBatch, found: &mut Vec<VersionedEvent<T>>) -> Option<()> {
        let mut columns = batch.columns().iter();
        let ts = columns.next()?.as_primitive_opt::<TimestampNanosecondType>()?.values();
        let sequences = columns.next()?.as_primitive_opt::<Int64Type>()?.values();
        let days = columns.next()?.as_primitive_opt::<Date32Type>()?.values();
        let mut numbers: Vec<&[f64]> = Vec::with_capacity(T::NUMBERS.len());
        for _ in T::NUMBERS {
            numbers.push(columns.next()?.as_primitive_opt::<Float64Type>()?.values());
        }
        let mut extra = Vec::with_capacity(T::EXTRA.len());
        for _ in T::EXTRA {
            extra.push(columns.next()?.clone());
        }
        let versions = match self.entry.version {
            Some(_) => None,
            None => Some(columns.next()?.as_primitive_opt::<UInt64Type>()?.values()),
        };
        let mut values = Vec::with_capacity(numbers.len());
        for row in 0..batch.num_rows() {
            let sequence = u64::try_from(*sequences.get(row)?).ok()?;
            let place = EventPlace { ts: Timestamp::from_nanos(*ts.get(row)?), sequence };
            values.clear();
            for column in &numbers {
                values.push(*column.get(row)?);
            }
            let day = TradingDay::from_days(*days.get(row)?)?;
            let event = T::from_parts(place, day, &values, T::extra_code(&extra, row)?)?;
            let version = match (self.entry.version, versions) {
                (Some(version), _) => version,
                (None, Some(versions)) => Version::from_raw(*versions.get(row)?)?,
                (None, None) => return None,
            };
            found.push(VersionedEvent { event, version });
        }
        Some(())
    }
}
