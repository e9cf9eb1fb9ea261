//! Segments: immutable Parquet files of the bars of one interval and adjustment.
//!
//! Columns: `instrument` (text), `ts` (timestamp, ns, UTC), `trading_day` (date), `open high low close
//! volume turnover open_interest` (doubles, plain), and `version` (u64) where rows differ in it. LZ4
//! raw, pages of at most 1,024 rows, so that one instrument's bars are a few pages a column.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Date32Array, Float64Array, Int32Array, Int32DictionaryArray, RecordBatch,
    RecordBatchOptions, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, Timestamp, TradingDay, Version};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::barrows::VersionedBar;
use crate::hashing::HashingFile;
use crate::manifest::{Axis, RunV1, SegmentEntry, SegmentIndexV1};
use crate::verified::{SegmentError, VerifiedFile};

/// Rows that are buffered before they are encoded.
const BATCH_ROWS: usize = 65_536;
const PAGE_ROWS: usize = 1_024;
/// The layout of the files, in their metadata.
const LAYOUT: u8 = 1;
const GROUP_ROWS: usize = 262_144;

/// What the rows of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentKind {
    /// By what they are clustered.
    pub axis: Axis,
    /// The length of the bars.
    pub interval: Interval,
    /// How their prices were adjusted.
    pub adjustment: AdjustmentTag,
    /// The version of all rows, where it is one.
    pub version: Option<Version>,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct WrittenSegment {
    /// How many rows.
    pub rows: u64,
    /// First `ts`.
    pub first: Timestamp,
    /// Last `ts`.
    pub last: Timestamp,
    /// First trading day.
    pub first_day: TradingDay,
    /// Last trading day.
    pub last_day: TradingDay,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file.
    pub blake3: [u8; 32],
    /// Runs and block checksums.
    pub index: SegmentIndexV1,
}

fn schema(version_column: bool) -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Float64, false);
    let mut fields = vec![
        Field::new("instrument", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("trading_day", DataType::Date32, false),
    ];
    fields.extend(Bar::NUMBERS.map(number));
    if version_column {
        fields.push(Field::new("version", DataType::UInt64, false));
    }
    Arc::new(Schema::new(fields))
}

/// The columns of [`Segment::read_batch`].
fn batch_schema() -> Schema {
    let mut fields: Vec<Arc<Field>> = schema(true).fields().iter().cloned().collect();
    if let Some(instrument) = fields.first_mut() {
        let names = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        *instrument = Arc::new(Field::new("instrument", names, false));
    }
    Schema::new(fields)
}

fn properties(kind: &SegmentKind) -> WriterProperties {
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS / 4)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(false)
        .set_column_dictionary_enabled(ColumnPath::from("instrument"), true)
        .set_column_dictionary_enabled(ColumnPath::from("version"), true)
        .set_created_by(format!("barkeeper {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![
            pair("barkeeper.layout", LAYOUT.to_string()),
            pair("barkeeper.dataset", "bars".to_owned()),
            pair("barkeeper.axis", if kind.axis == Axis::Day { "day" } else { "instrument" }.to_owned()),
            pair("barkeeper.interval", kind.interval.to_string()),
            pair("barkeeper.adjustment", kind.adjustment.to_string()),
        ]));
    for name in ["ts", "trading_day"] {
        let encoding =
            if kind.axis == Axis::Instrument { Encoding::DELTA_BINARY_PACKED } else { Encoding::PLAIN };
        builder = builder.set_column_encoding(ColumnPath::from(name), encoding);
    }
    builder.build()
}

/// Writes one segment. Rows come in the order of its axis, a run a call.
pub struct SegmentWriter {
    path: PathBuf,
    kind: SegmentKind,
    writer: ArrowWriter<HashingFile>,
    schema: SchemaRef,
    rows: Vec<(InstrumentId, VersionedBar)>,
    names: Vec<String>,
    runs: Vec<RunV1>,
    total: u64,
    span: Option<[i64; 4]>,
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentWriter")
            .field("path", &self.path)
            .field("rows", &self.total)
            .finish_non_exhaustive()
    }
}

impl SegmentWriter {
    /// Begins a segment in a file that must not exist yet.
    ///
    /// # Errors
    /// `Io`.
    pub fn create(path: &Path, kind: SegmentKind) -> Result<Self, SegmentError> {
        let sink = HashingFile::create(path)?;
        let schema = schema(kind.version.is_none());
        let writer = ArrowWriter::try_new(sink, schema.clone(), Some(properties(&kind)))
            .map_err(|e| SegmentError::parquet(path, e))?;
        Ok(Self {
            path: path.to_owned(),
            kind,
            writer,
            schema,
            rows: Vec::with_capacity(BATCH_ROWS),
            names: Vec::new(),
            runs: Vec::new(),
            total: 0,
            span: None,
        })
    }

    /// Appends the bars of one instrument, ascending by `ts`; instruments come in text order.
    ///
    /// # Errors
    /// `Io`, `Damaged` where the encoder refuses.
    pub fn push_series(
        &mut self,
        instrument: InstrumentId,
        bars: &[VersionedBar],
    ) -> Result<(), SegmentError> {
        let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return Ok(()) };
        let ascends = self.names.last().is_none_or(|name| name.as_str() < instrument.as_str());
        if !ascends || !bars.is_sorted_by(|a, b| a.bar.ts < b.bar.ts) {
            return Err(self.unordered());
        }
        self.names.push(instrument.to_string());
        self.begin_run(bars.len(), first.bar.ts, last.bar.ts);
        for bar in bars {
            self.push_row(instrument, *bar)?;
        }
        Ok(())
    }

    /// Appends the bars of one `ts`, in the order of instruments; `ts` ascend from call to call.
    ///
    /// # Errors
    /// `Io`, `Damaged` where the encoder refuses.
    pub fn push_day(
        &mut self,
        ts: Timestamp,
        bars: &[(InstrumentId, VersionedBar)],
    ) -> Result<(), SegmentError> {
        if bars.is_empty() {
            return Ok(());
        }
        let ascends = self.runs.last().is_none_or(|run| run.first < ts.nanos());
        if !ascends || !bars.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(self.unordered());
        }
        self.begin_run(bars.len(), ts, ts);
        for (instrument, bar) in bars {
            self.push_row(*instrument, *bar)?;
        }
        Ok(())
    }

    fn unordered(&self) -> SegmentError {
        SegmentError::Damaged {
            path: self.path.clone(),
            detail: "rows to be written are out of order".to_owned(),
        }
    }

    fn begin_run(&mut self, rows: usize, first: Timestamp, last: Timestamp) {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.runs.push(RunV1 { start: self.total, rows, first: first.nanos(), last: last.nanos() });
    }

    fn push_row(&mut self, instrument: InstrumentId, row: VersionedBar) -> Result<(), SegmentError> {
        let (ts, day) = (row.bar.ts.nanos(), i64::from(row.bar.trading_day.days()));
        let [first, last, first_day, last_day] = self.span.unwrap_or([ts, ts, day, day]);
        self.span = Some([first.min(ts), last.max(ts), first_day.min(day), last_day.max(day)]);
        self.total += 1;
        self.rows.push((instrument, row));
        if self.rows.len() >= BATCH_ROWS { self.flush_rows() } else { Ok(()) }
    }

    fn flush_rows(&mut self) -> Result<(), SegmentError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = &self.rows;
        let instruments: StringArray = rows.iter().map(|(id, _)| Some(id.as_str())).collect();
        let ts = TimestampNanosecondArray::from_iter_values(rows.iter().map(|(_, row)| row.bar.ts.nanos()));
        let days = Date32Array::from_iter_values(rows.iter().map(|(_, row)| row.bar.trading_day.days()));
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(instruments), Arc::new(ts.with_timezone("UTC")), Arc::new(days)];
        for column in 0..Bar::NUMBERS.len() {
            let number = |row: &VersionedBar| row.bar.numbers().get(column).copied().unwrap_or_default();
            columns.push(Arc::new(Float64Array::from_iter_values(rows.iter().map(|(_, row)| number(row)))));
        }
        if self.kind.version.is_none() {
            let versions = UInt64Array::from_iter_values(rows.iter().map(|(_, row)| row.version.raw()));
            columns.push(Arc::new(versions));
        }
        let path = &self.path;
        let refused = |detail: String| SegmentError::Damaged { path: path.clone(), detail };
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(|e| refused(e.to_string()))?;
        self.writer.write(&batch).map_err(|e| SegmentError::parquet(path, e))?;
        self.rows.clear();
        Ok(())
    }

    /// Writes the footer, forces the file to the disk, reopens it and checks its footer against what
    /// was written.
    ///
    /// # Errors
    /// `Io`, `Damaged` where the reopened file is not what was written.
    pub fn finish(mut self) -> Result<WrittenSegment, SegmentError> {
        self.flush_rows()?;
        let path = self.path.clone();
        let sink = self.writer.into_inner().map_err(|e| SegmentError::parquet(&path, e))?;
        let hashed = sink.finish()?;
        let [first, last, first_day, last_day] = self.span.unwrap_or_default();
        let day = |days: i64| i32::try_from(days).ok().and_then(TradingDay::from_days).unwrap_or_default();
        let index = SegmentIndexV1::of(self.names, self.runs, hashed.blocks);
        let written = WrittenSegment {
            rows: self.total,
            first: Timestamp::from_nanos(first),
            last: Timestamp::from_nanos(last),
            first_day: day(first_day),
            last_day: day(last_day),
            bytes: hashed.bytes,
            blake3: hashed.blake3,
            index,
        };
        let file = VerifiedFile::open(&path, written.bytes, written.index.blocks().into())?;
        let rows = load_metadata(&path, &file)?.metadata().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(written.rows) {
            let detail = format!("{rows} rows in the footer, {} written", written.rows);
            return Err(SegmentError::Damaged { path, detail });
        }
        Ok(written)
    }
}

fn load_metadata(path: &Path, file: &VerifiedFile) -> Result<ArrowReaderMetadata, SegmentError> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    ArrowReaderMetadata::load(file, options).map_err(|e| SegmentError::parquet(path, e))
}

/// An open segment: footer and page index in memory, every byte verified when it is read.
pub struct Segment {
    path: PathBuf,
    entry: SegmentEntry,
    index: SegmentIndexV1,
    file: VerifiedFile,
    metadata: ArrowReaderMetadata,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Segment {
    /// Opens a published file and checks its length and footer.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn open(path: &Path, entry: SegmentEntry, index: SegmentIndexV1) -> Result<Self, SegmentError> {
        let file = VerifiedFile::open(path, entry.bytes, index.blocks().into())?;
        let metadata = load_metadata(path, &file)?;
        let rows = metadata.metadata().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(entry.rows) {
            let detail = format!("{rows} rows in the footer, {} in the manifest", entry.rows);
            return Err(SegmentError::Damaged { path: path.to_owned(), detail });
        }
        Ok(Self { path: path.to_owned(), entry, index, file, metadata })
    }

    /// Its manifest entry.
    pub const fn entry(&self) -> &SegmentEntry {
        &self.entry
    }

    /// Where its runs stand.
    pub const fn index(&self) -> &SegmentIndexV1 {
        &self.index
    }

    /// Footer and page index of its file.
    pub(crate) fn file_metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// Where its file stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a range of rows of one instrument.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn read_series(&self, rows: Range<u64>) -> Result<Vec<VersionedBar>, SegmentError> {
        let mut bars = Vec::with_capacity(usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(0));
        self.read(rows, false, |_, bar| bars.push(bar))?;
        Ok(bars)
    }

    /// Reads a range of rows with their instruments.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn read_rows(&self, rows: Range<u64>) -> Result<Vec<(InstrumentId, VersionedBar)>, SegmentError> {
        let mut found = Vec::with_capacity(usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(0));
        let mut nameless = false;
        self.read(rows, true, |instrument, bar| match instrument {
            Some(instrument) => found.push((instrument, bar)),
            None => nameless = true,
        })?;
        if nameless { Err(self.damaged("an instrument that is none")) } else { Ok(found) }
    }

    /// Reads columns of a range of rows, in the order asked for. The places are those of the file: 0
    /// `instrument` (as a dictionary), 1 `ts`, 2 `trading_day`, 3 to 9 the numbers, 10 `version`, which
    /// is there for every segment.
    ///
    /// # Errors
    /// `Io`, `Damaged`; `Damaged` also for rows and columns that the segment does not have.
    pub fn read_batch(&self, rows: Range<u64>, columns: &[usize]) -> Result<RecordBatch, SegmentError> {
        let all = batch_schema();
        let schema = all.project(columns).map_err(|e| self.damaged(&e.to_string()))?;
        let count = usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(usize::MAX);
        if rows.end > self.entry.rows || rows.start > rows.end {
            return Err(self.damaged("rows beyond its end are asked for"));
        }
        let mut found = Vec::with_capacity(count);
        self.read(rows, columns.contains(&0), |instrument, bar| found.push((instrument, bar)))?;
        let array = |place: &usize| -> Result<ArrayRef, SegmentError> {
            let bars = found.iter().map(|(_, row)| row);
            Ok(match place {
                0 => self.dictionary(&found)?,
                1 => Arc::new(
                    TimestampNanosecondArray::from_iter_values(bars.map(|row| row.bar.ts.nanos()))
                        .with_timezone("UTC"),
                ),
                2 => Arc::new(Date32Array::from_iter_values(bars.map(|row| row.bar.trading_day.days()))),
                10 => Arc::new(UInt64Array::from_iter_values(bars.map(|row| row.version.raw()))),
                _ => Arc::new(Float64Array::from_iter_values(
                    bars.map(|row| row.bar.numbers().get(place - 3).copied().unwrap_or_default()),
                )),
            })
        };
        let arrays = columns.iter().map(array).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)
            .map_err(|e| self.damaged(&e.to_string()))
    }

    fn dictionary(&self, rows: &[(Option<InstrumentId>, VersionedBar)]) -> Result<ArrayRef, SegmentError> {
        let mut places = HashMap::new();
        let mut names = Vec::new();
        let mut keys = Vec::with_capacity(rows.len());
        for (instrument, _) in rows {
            let instrument = instrument.ok_or_else(|| self.damaged("an instrument that is none"))?;
            keys.push(*places.entry(instrument).or_insert_with(|| {
                names.push(instrument.to_string());
                i32::try_from(names.len() - 1).unwrap_or(i32::MAX)
            }));
        }
        let names = Arc::new(StringArray::from_iter_values(&names));
        let array = Int32DictionaryArray::try_new(Int32Array::from(keys), names);
        Ok(Arc::new(array.map_err(|e| self.damaged(&e.to_string()))?))
    }

    fn damaged(&self, detail: &str) -> SegmentError {
        SegmentError::Damaged { path: self.path.clone(), detail: detail.to_owned() }
    }

    fn read(
        &self,
        rows: Range<u64>,
        instruments: bool,
        mut each: impl FnMut(Option<InstrumentId>, VersionedBar),
    ) -> Result<(), SegmentError> {
        let wanted = rows.end.saturating_sub(rows.start);
        if wanted == 0 {
            return Ok(());
        }
        let (groups, selection) = self.select(&rows);
        let skip = usize::from(!instruments);
        let columns = self.metadata.schema().fields().len();
        let projection = ProjectionMask::leaves(self.metadata.parquet_schema(), skip..columns);
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
                .with_row_groups(groups)
                .with_row_selection(selection)
                .with_projection(projection)
                .with_batch_size(usize::try_from(wanted).unwrap_or(BATCH_ROWS).min(BATCH_ROWS))
                .build()
                .map_err(|e| SegmentError::parquet(&self.path, e))?;
        let mut found = 0;
        for batch in reader {
            let batch = batch.map_err(|e| self.damaged(&e.to_string()))?;
            found += batch.num_rows() as u64;
            self.rows_of(&batch, skip, &mut each)?;
        }
        if found == wanted { Ok(()) } else { Err(self.damaged("fewer rows than its index says")) }
    }

    /// The row groups that hold a range of rows, and the rows inside them.
    fn select(&self, rows: &Range<u64>) -> (Vec<usize>, RowSelection) {
        let mut groups = Vec::new();
        let mut start = 0;
        let mut skipped = None;
        for (number, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let end = start + u64::try_from(group.num_rows()).unwrap_or(0);
            if start < rows.end && end > rows.start {
                skipped.get_or_insert(rows.start.saturating_sub(start));
                groups.push(number);
            }
            start = end;
        }
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let selectors = vec![
            RowSelector::skip(size(skipped.unwrap_or(0))),
            RowSelector::select(size(rows.end - rows.start)),
        ];
        (groups, RowSelection::from(selectors))
    }

    fn rows_of(
        &self,
        batch: &RecordBatch,
        skipped: usize,
        each: &mut impl FnMut(Option<InstrumentId>, VersionedBar),
    ) -> Result<(), SegmentError> {
        let bad = || self.damaged("a column of another type");
        let column = |place: usize| batch.columns().get(place - skipped).ok_or_else(bad);
        let names =
            if skipped == 0 { Some(column(0)?.as_string_opt::<i32>().ok_or_else(bad)?) } else { None };
        let ts = column(1)?.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(bad)?.values();
        let days = column(2)?.as_primitive_opt::<Date32Type>().ok_or_else(bad)?.values();
        let mut numbers: [&[f64]; 7] = [&[]; 7];
        for (place, slot) in numbers.iter_mut().enumerate() {
            *slot = column(place + 3)?.as_primitive_opt::<Float64Type>().ok_or_else(bad)?.values();
        }
        let versions = match self.entry.version {
            None => Some(column(10)?.as_primitive_opt::<UInt64Type>().ok_or_else(bad)?.values()),
            Some(_) => None,
        };
        for row in 0..batch.num_rows() {
            let at = |column: &[f64]| column.get(row).copied();
            let mut values = [0.0; 7];
            for (value, column) in values.iter_mut().zip(&numbers) {
                *value = at(column).ok_or_else(bad)?;
            }
            let ts = ts.get(row).copied().ok_or_else(bad)?;
            let day = days.get(row).copied().and_then(TradingDay::from_days).ok_or_else(bad)?;
            let version = match (self.entry.version, versions) {
                (Some(version), _) => version,
                (None, Some(column)) => {
                    column.get(row).copied().and_then(Version::from_raw).ok_or_else(bad)?
                }
                (None, None) => return Err(bad()),
            };
            let instrument = names
                .filter(|names| row < names.len())
                .and_then(|names| InstrumentId::from_trusted(names.value(row).as_bytes()));
            let bar = Bar::from_numbers(Timestamp::from_nanos(ts), day, values);
            each(instrument, VersionedBar { bar, version });
        }
        Ok(())
    }
}
