//! Writing segments: immutable Parquet files of the bars of one interval and adjustment.
//!
//! Columns: `instrument` (text), `ts` (timestamp, ns, UTC), `trading_day` (date), `open high low close
//! volume turnover open_interest` (doubles), and `version` (u64) where rows differ in it. Pages end where
//! runs end, so that one instrument's bars, or one day's, are a page a column.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barkeeper_records::{
    AdjustmentTag, Bar, Digest, InstrumentId, Interval, Lsn, Timestamp, TradingDay, Version,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::barrows::VersionedBar;
use crate::encode::{self, Chunk};
use crate::hashing::HashingFile;
use crate::index::{Page, RunV1, SegmentIndexV1};
use crate::manifest::{Axis, Dataset, SegmentEntry};
use crate::segment::{load_metadata, pairs_of};
use crate::verified::{SegmentError, VerifiedFile};

/// Rows from which on a row group ends with its page. A dictionary serves a row group, so by day, where
/// a row group has all prices of a market in it, long ones are shorter.
const GROUP_ROWS: [usize; 2] = [262_144, 524_288];
/// Rows of a page at the most. A day is only read whole.
const PAGE_ROWS: [usize; 2] = [2_048, 16_384];
/// Rows from which on a page ends with its run.
const LEAST_PAGE_ROWS: usize = 512;

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

impl SegmentKind {
    fn of_axis(&self, [instrument, day]: [usize; 2]) -> usize {
        if self.axis == Axis::Day { day } else { instrument }
    }
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
    /// Runs, pages and block checksums.
    pub index: SegmentIndexV1,
}

impl WrittenSegment {
    /// The manifest's entry of the file: alone, of an empty digest and of no commit; who publishes it says those.
    pub fn entry(&self, id: u128, axis: Axis, dataset: Dataset, version: Option<Version>) -> SegmentEntry {
        SegmentEntry {
            id,
            axis,
            twin: None,
            dataset,
            rows: self.rows,
            first: self.first,
            last: self.last,
            first_day: self.first_day,
            last_day: self.last_day,
            version,
            bytes: self.bytes,
            blake3: self.blake3,
            digest: Digest::default(),
            lsn: Lsn(0),
        }
    }
}

fn schema(version_column: bool) -> String {
    let mut text = "message bars { required binary instrument (STRING); \
        required int64 ts (TIMESTAMP(NANOS,true)); required int32 trading_day (DATE);"
        .to_owned();
    for name in Bar::NUMBERS {
        text.push_str(" required double ");
        text.push_str(name);
        text.push(';');
    }
    if version_column {
        text.push_str(" required int64 version (INTEGER(64,false));");
    }
    text.push_str(" }");
    text
}

fn properties(kind: &SegmentKind) -> WriterProperties {
    let sorted = |column| SortingColumn { column_idx: column, descending: false, nulls_first: false };
    let order = if kind.axis == Axis::Day { [1, 0] } else { [0, 1] };
    let pairs = pairs_of(kind).into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value));
    WriterProperties::builder()
        .set_created_by(format!("barkeeper {}", env!("CARGO_PKG_VERSION")))
        .set_sorting_columns(Some(order.map(sorted).to_vec()))
        .set_key_value_metadata(Some(pairs.collect()))
        .build()
}

/// Rows on their way into a row group, column by column.
#[derive(Debug, Default)]
struct Group {
    /// Instruments in the order of their first row, and the place of each.
    list: Vec<InstrumentId>,
    places: HashMap<InstrumentId, u32>,
    /// Which instrument came behind which: days list much the same instruments.
    behind: Vec<u32>,
    names: Vec<u32>,
    ts: Vec<i64>,
    days: Vec<i32>,
    numbers: [Vec<f64>; 7],
    versions: Vec<u64>,
    pages: Vec<usize>,
    /// Rows of the page that has not ended.
    open: usize,
}

impl Group {
    fn place(&mut self, instrument: InstrumentId) -> u32 {
        let last = self.names.last().copied();
        let guess = last.and_then(|last| self.behind.get(last as usize)).copied();
        if let Some(guess) = guess.filter(|guess| self.list.get(*guess as usize) == Some(&instrument)) {
            return guess;
        }
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(instrument).or_insert(next);
        if place == next {
            self.list.push(instrument);
            self.behind.push(u32::MAX);
        }
        if let Some(behind) = last.and_then(|last| self.behind.get_mut(last as usize)) {
            *behind = place;
        }
        place
    }

    fn push(&mut self, place: u32, row: &VersionedBar, with_version: bool) {
        self.names.push(place);
        self.ts.push(row.bar.ts.nanos());
        self.days.push(row.bar.trading_day.days());
        for (column, number) in self.numbers.iter_mut().zip(row.bar.numbers()) {
            // Minus zero is no number of a bar, and would be another entry of a dictionary.
            column.push(number + 0.0);
        }
        if with_version {
            self.versions.push(row.version.raw());
        }
        self.open += 1;
    }

    fn end_page(&mut self) {
        if self.open > 0 {
            self.pages.push(std::mem::take(&mut self.open));
        }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.places.clear();
        self.behind.clear();
        self.names.clear();
        self.ts.clear();
        self.days.clear();
        for column in &mut self.numbers {
            column.clear();
        }
        self.versions.clear();
        self.pages.clear();
    }
}

/// Writes one segment. Rows come in the order of its axis, a run a call.
pub struct SegmentWriter {
    path: PathBuf,
    kind: SegmentKind,
    writer: SerializedFileWriter<HashingFile>,
    group: Group,
    names: Vec<String>,
    runs: Vec<RunV1>,
    pages: Vec<Page>,
    offsets: Vec<u32>,
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
        let parquet = |error| SegmentError::parquet(path, error);
        let schema = parse_message_type(&schema(kind.version.is_none())).map_err(parquet)?;
        let sink = HashingFile::create(path)?;
        let writer = SerializedFileWriter::new(sink, Arc::new(schema), Arc::new(properties(&kind)));
        Ok(Self {
            path: path.to_owned(),
            kind,
            writer: writer.map_err(parquet)?,
            group: Group::default(),
            names: Vec::new(),
            runs: Vec::new(),
            pages: Vec::new(),
            offsets: Vec::new(),
            total: 0,
            span: None,
        })
    }

    /// Appends the bars of one instrument, ascending by `ts`; instruments come in text order.
    ///
    /// # Errors
    /// `Io`, `Damaged` for rows out of order and where the encoder refuses.
    pub fn push_series<I>(&mut self, instrument: InstrumentId, bars: I) -> Result<(), SegmentError>
    where
        I: IntoIterator<Item: Borrow<VersionedBar>, IntoIter: Clone>,
    {
        let bars = bars.into_iter();
        let mut stamps = bars.clone().map(|row| row.borrow().bar.ts);
        let Some(first) = stamps.next() else { return Ok(()) };
        let (mut last, mut rows, mut ascends) = (first, 1_usize, true);
        for ts in stamps {
            ascends &= last < ts;
            (last, rows) = (ts, rows + 1);
        }
        if !ascends || self.names.last().is_some_and(|name| name.as_str() >= instrument.as_str()) {
            return Err(self.unordered());
        }
        self.begin_run(rows, first, last)?;
        self.names.push(instrument.to_string());
        for row in bars {
            self.push_row(instrument, row.borrow())?;
        }
        self.end_run()
    }

    /// Appends the bars of one `ts`, in the order of instruments; `ts` ascend from call to call.
    ///
    /// # Errors
    /// `Io`, `Damaged` for rows out of order and where the encoder refuses.
    pub fn push_day<I>(&mut self, ts: Timestamp, bars: I) -> Result<(), SegmentError>
    where
        I: IntoIterator<Item: Borrow<(InstrumentId, VersionedBar)>, IntoIter: Clone>,
    {
        let bars = bars.into_iter();
        let mut last: Option<InstrumentId> = None;
        let (mut rows, mut ascends) = (0, self.runs.last().is_none_or(|run| run.first < ts.nanos()));
        for row in bars.clone() {
            let (instrument, row) = row.borrow();
            ascends &= last.is_none_or(|last| last < *instrument) && row.bar.ts == ts;
            last = Some(*instrument);
            rows += 1;
        }
        if rows == 0 {
            return Ok(());
        }
        if !ascends {
            return Err(self.unordered());
        }
        self.begin_run(rows, ts, ts)?;
        for row in bars {
            let (instrument, row) = row.borrow();
            self.push_row(*instrument, row)?;
        }
        self.end_run()
    }

    fn unordered(&self) -> SegmentError {
        self.refused("rows to be written are out of order")
    }

    fn refused(&self, detail: &str) -> SegmentError {
        SegmentError::Damaged { path: self.path.clone(), detail: detail.to_owned() }
    }

    fn begin_run(&mut self, rows: usize, first: Timestamp, last: Timestamp) -> Result<(), SegmentError> {
        // Pages are found by 32-bit row numbers.
        let count = u32::try_from(rows).ok();
        let fits = u32::try_from(self.total.saturating_add(rows as u64)).is_ok();
        let Some(count) = count.filter(|_| fits) else {
            return Err(self.refused("more than 2^32 rows are to be written"));
        };
        self.runs.push(RunV1 { start: self.total, rows: count, first: first.nanos(), last: last.nanos() });
        if self.group.open + rows > self.kind.of_axis(PAGE_ROWS) {
            self.group.end_page();
        }
        Ok(())
    }

    fn push_row(&mut self, instrument: InstrumentId, row: &VersionedBar) -> Result<(), SegmentError> {
        let (ts, day) = (row.bar.ts.nanos(), i64::from(row.bar.trading_day.days()));
        let [first, last, first_day, last_day] = self.span.unwrap_or([ts, ts, day, day]);
        self.span = Some([first.min(ts), last.max(ts), first_day.min(day), last_day.max(day)]);
        self.total += 1;
        let place = self.group.place(instrument);
        self.group.push(place, row, self.kind.version.is_none());
        if self.group.open >= self.kind.of_axis(PAGE_ROWS) {
            self.group.end_page();
            self.flush_full()?;
        }
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), SegmentError> {
        if self.group.open >= LEAST_PAGE_ROWS {
            self.group.end_page();
        }
        self.flush_full()
    }

    fn flush_full(&mut self) -> Result<(), SegmentError> {
        let full = self.group.open == 0 && self.group.names.len() >= self.kind.of_axis(GROUP_ROWS);
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SegmentError> {
        self.group.end_page();
        if self.group.names.is_empty() {
            return Ok(());
        }
        let mut row = self.total - self.group.names.len() as u64;
        for ts in encode::parts(&self.group.ts, &self.group.pages) {
            let (first, last) = (ts.iter().min().copied(), ts.iter().max().copied());
            self.pages.push(Page { row, first: first.unwrap_or(0), last: last.unwrap_or(0) });
            row += ts.len() as u64;
        }
        let written = self.write_group();
        written.map_err(|error| SegmentError::parquet(&self.path, error))?;
        self.group.clear();
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let Group { list, names, ts, days, numbers, versions, pages, .. } = &self.group;
        let columns = self.writer.schema_descr().columns().to_vec();
        let mut chunks: Vec<Chunk> = Vec::with_capacity(columns.len());
        for (place, about) in columns.iter().enumerate() {
            chunks.push(match place {
                0 => {
                    let mut order: Vec<(&str, usize)> =
                        list.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
                    order.sort_unstable();
                    let mut rank = vec![0; list.len()];
                    for (to, (_, from)) in (0..).zip(&order) {
                        if let Some(slot) = rank.get_mut(*from) {
                            *slot = to;
                        }
                    }
                    let sorted: Vec<&str> = order.into_iter().map(|(name, _)| name).collect();
                    let rank = |name: &u32| rank.get(*name as usize).copied().unwrap_or_default();
                    let indices: Vec<u32> = names.iter().map(rank).collect();
                    encode::names(about, &sorted, &indices, pages)?
                }
                1 => encode::numbers(about, ts, pages, true, |least, most| {
                    Statistics::int64(least, most, None, Some(0), false)
                })?,
                2 => encode::numbers(about, days, pages, true, |least, most| {
                    Statistics::int32(least, most, None, Some(0), false)
                })?,
                10 => encode::numbers(about, versions, pages, false, |least, most| {
                    let signed = |value: Option<u64>| value.map(|value| value as i64);
                    Statistics::int64(signed(least), signed(most), None, Some(0), false)
                })?,
                _ => {
                    let values = numbers.get(place - 3).map(Vec::as_slice).unwrap_or_default();
                    encode::numbers(about, values, pages, false, |least, most| {
                        Statistics::double(least, most, None, Some(0), false)
                    })?
                }
            });
        }
        for page in 0..pages.len() {
            self.offsets.extend(chunks.iter().map(|chunk| chunk.offsets.get(page).copied().unwrap_or(0)));
        }
        let mut group = self.writer.next_row_group()?;
        for chunk in chunks {
            group.append_column(&chunk.bytes, chunk.close)?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes the footer, forces the file to the disk, reopens it and checks its footer against what
    /// was written.
    ///
    /// # Errors
    /// `Io`, `Damaged` where the reopened file is not what was written.
    pub fn finish(mut self) -> Result<WrittenSegment, SegmentError> {
        self.flush()?;
        let path = self.path.clone();
        let hashed = self.writer.into_inner().map_err(|e| SegmentError::parquet(&path, e))?.finish()?;
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
            index: index.with_pages(&self.pages, &self.offsets),
        };
        let file = VerifiedFile::open(&path, written.bytes, written.index.blocks())?;
        let rows = load_metadata(&path, &file)?.file_metadata().num_rows();
        if u64::try_from(rows) != Ok(written.rows) {
            let detail = format!("{rows} rows in the footer, {} written", written.rows);
            return Err(SegmentError::Damaged { path, detail });
        }
        Ok(written)
    }
}
