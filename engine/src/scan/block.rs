//! `Block`: rows of a stretch of instruments, or of a stretch of time, from every tier, merged.
//!
//! Rows of one instrument (on the day axis: of one `ts`) are a *group*. A group of which one source
//! speaks, or several one after the other, is copied piece by piece as it was decoded; where sources
//! overlap or rows were removed, its rows are merged one by one, the highest version winning.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow_schema::{DataType, Field};
use barkeeper_records::Timestamp;
use barkeeper_storage::Axis;

use super::dataset::{INSTRUMENT, SEQUENCE, TS};
use super::plan::{Cold, Plan};
use crate::error::{ReadResult, scan_error};

/// Rows between two wanted ranges of a file that are decoded along with them.
const GAP_ROWS: u64 = 512;
/// Merged rows: places of instruments in the dictionary, `ts` where it was asked for, and the columns
/// that are copied as they stand.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) keys: Vec<i32>,
    pub(super) ts: Vec<i64>,
    pub(super) columns: Vec<ArrayRef>,
}

/// Which groups, and which times of them.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Places of instruments; on the day axis `ts`.
    pub(super) groups: Range<i64>,
    /// First and last `ts`.
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Rows that one source has of one group.
#[derive(Debug, Clone)]
struct Span {
    group: i64,
    /// The cold source; none for hot rows.
    cold: Option<usize>,
    rows: Range<u64>,
    first: i64,
    last: i64,
    /// Whether all rows lie in the wanted time.
    whole: bool,
    mixed: bool,
    /// Where they were decoded.
    source: usize,
    at: usize,
}

/// Decoded rows of one source.
struct Source<'a> {
    columns: Cow<'a, [ArrayRef]>,
    keys: Cow<'a, [i32]>,
    ts: Cow<'a, [i64]>,
    sequences: Cow<'a, [i64]>,
    versions: Cow<'a, [u64]>,
}

/// Neighbouring rows of one source.
#[derive(Debug, Clone, Copy)]
struct Piece {
    source: usize,
    start: usize,
    rows: usize,
}

/// A row of a group that is merged: its `ts` and sequence, on the day axis its instrument; the highest
/// version first; and where it was decoded.
type Candidate = ((i64, i64), std::cmp::Reverse<u64>, usize, usize);

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Plan {
    /// Reads and merges a part. `ts` is filled where `with_ts` says so.
    pub(super) fn read(&self, part: &Part, with_ts: bool) -> ReadResult<Block> {
        let mut spans = self.spans(part);
        self.mark_mixed(&mut spans);
        let needs_ts =
            self.axis == Axis::Instrument && (with_ts || spans.iter().any(|span| span.mixed || !span.whole));
        let sources = self.decode(&mut spans, needs_ts)?;
        let mut builder = Builder {
            plan: self,
            part,
            sources: &sources,
            with_ts,
            block: Block::default(),
            pieces: Vec::new(),
        };
        let mut rest = spans.as_slice();
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|span| span.group == first.group).count();
            let (group, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            if first.mixed {
                builder.merge(group);
            } else {
                builder.append(group);
            }
            rest = behind;
        }
        builder.finish()
    }

    /// Which rows of which source lie in a part, by group and time.
    fn spans(&self, part: &Part) -> Vec<Span> {
        let mut spans = Vec::new();
        let by_day = self.axis == Axis::Day;
        let span = |group: i64, cold, rows: Range<u64>, first: i64, last: i64| Span {
            group,
            cold,
            rows,
            first,
            last,
            whole: by_day || (part.from <= first && last <= part.to),
            mixed: false,
            source: 0,
            at: 0,
        };
        for (number, cold) in self.cold.iter().enumerate() {
            for (group, run) in cold.runs_of(&part.groups) {
                if !by_day && (run.first > part.to || run.last < part.from) {
                    continue;
                }
                let (from, to) = (Timestamp::from_nanos(part.from), Timestamp::from_nanos(part.to));
                let whole = run.start..run.start + u64::from(run.rows);
                let rows = if by_day { whole } else { cold.file.narrow(run, from, to) };
                if !rows.is_empty() {
                    spans.push(span(*group, Some(number), rows, run.first, run.last));
                }
            }
        }
        for (group, rows) in self.hot.groups_of(part.groups.start, part.groups.end) {
            let mut rows = rows.clone();
            if !by_day {
                let ts = self.hot.ts.get(rows.clone()).unwrap_or_default();
                let start = ts.partition_point(|ts| *ts < part.from);
                let end = ts.partition_point(|ts| *ts <= part.to);
                rows = rows.start + start..rows.start + end;
            }
            let ts = |row: usize| self.hot.ts.get(row).copied();
            if let (false, Some(first), Some(last)) =
                (rows.is_empty(), ts(rows.start), ts(rows.end.saturating_sub(1)))
            {
                let (first, last) = if by_day { (0, 0) } else { (first, last) };
                spans.push(span(*group, None, rows.start as u64..rows.end as u64, first, last));
            }
        }
        spans.sort_by_key(|span| (span.group, span.first));
        spans
    }

    /// Marks the groups whose rows must be merged one by one.
    fn mark_mixed(&self, spans: &mut [Span]) {
        let by_day = self.axis == Axis::Day;
        for group in spans.chunk_by_mut(|a, b| a.group == b.group) {
            let overlap = group.windows(2).any(|pair| match pair {
                [a, b] => by_day || b.first <= a.last,
                _ => false,
            });
            // A longer span may reach over its neighbour.
            let mut end = i64::MIN;
            let nested = group.iter().any(|span| {
                let inside = !by_day && span.first <= end;
                end = end.max(span.last);
                inside
            });
            let removed = group.iter().any(|span| self.is_removed(span.group, span.first, span.last));
            if overlap || nested || removed {
                for span in group.iter_mut() {
                    span.mixed = true;
                }
            }
        }
    }

    /// Decodes what spans name, neighbouring ranges of a file at once, and says where each stands.
    fn decode(&self, spans: &mut [Span], needs_ts: bool) -> ReadResult<Vec<Source<'_>>> {
        let mut sources = Vec::new();
        for (number, cold) in self.cold.iter().enumerate() {
            let mut places: Vec<usize> = (0..spans.len())
                .filter(|place| spans.get(*place).is_some_and(|span| span.cold == Some(number)))
                .collect();
            places.sort_by_key(|place| spans.get(*place).map_or(0, |span| span.rows.start));
            let versions = places.iter().any(|place| spans.get(*place).is_some_and(|span| span.mixed));
            let mut open: Option<(Range<u64>, usize)> = None;
            let mut ranges = Vec::new();
            for place in places {
                let Some(span) = spans.get_mut(place) else { continue };
                let near = open.as_ref().is_some_and(|(range, _)| span.rows.start <= range.end + GAP_ROWS);
                match &mut open {
                    Some((range, _)) if near => range.end = range.end.max(span.rows.end),
                    _ => {
                        ranges.extend(open.take().map(|(range, _)| range));
                        open = Some((span.rows.clone(), sources.len() + ranges.len()));
                    }
                }
                if let Some((range, source)) = &open {
                    span.source = *source;
                    span.at = size(span.rows.start - range.start);
                }
            }
            ranges.extend(open.map(|(range, _)| range));
            if !ranges.is_empty() {
                sources.extend(self.decode_ranges(cold, &ranges, needs_ts, versions)?);
            }
        }
        for span in spans.iter_mut().filter(|span| span.cold.is_none()) {
            span.source = sources.len();
            span.at = size(span.rows.start);
        }
        sources.push(Source {
            columns: Cow::Borrowed(&self.hot.columns),
            keys: Cow::Borrowed(&self.hot.keys),
            ts: Cow::Borrowed(&self.hot.ts),
            sequences: Cow::Borrowed(&self.hot.sequences),
            versions: Cow::Borrowed(&self.hot.versions),
        });
        Ok(sources)
    }

    /// Decodes ranges of rows of a file; `versions` says whether rows will be merged one by one.
    fn decode_ranges(
        &self,
        cold: &Cold,
        rows: &[Range<u64>],
        ts: bool,
        versions: bool,
    ) -> ReadResult<Vec<Source<'static>>> {
        let by_day = self.axis == Axis::Day;
        let sequences = versions && self.sequenced;
        let mut places = self.plain.clone();
        places.extend(by_day.then_some(INSTRUMENT));
        places.extend(ts.then_some(TS));
        places.extend(sequences.then_some(SEQUENCE));
        places.extend(versions.then_some(self.fields.len()));
        let batches = cold.file.read_ranges(rows, &places)?;
        let source = |batch: RecordBatch| {
            let (columns, others) =
                batch.columns().split_at_checked(self.plain.len()).ok_or_else(|| other_type(TS))?;
            let mut others = others.iter();
            let mut source = Source {
                columns: Cow::Owned(columns.to_vec()),
                keys: Cow::Borrowed(&[]),
                ts: Cow::Borrowed(&[]),
                sequences: Cow::Borrowed(&[]),
                versions: Cow::Borrowed(&[]),
            };
            if by_day {
                source.keys = Cow::Owned(self.keys_of(others.next().ok_or_else(|| other_type(INSTRUMENT))?)?);
            }
            if ts {
                let times = others.next().and_then(|one| one.as_primitive_opt::<TimestampNanosecondType>());
                source.ts = Cow::Owned(times.ok_or_else(|| other_type(TS))?.values().to_vec());
            }
            if sequences {
                let column = others.next().and_then(|one| one.as_primitive_opt::<Int64Type>());
                source.sequences = Cow::Owned(column.ok_or_else(|| other_type(SEQUENCE))?.values().to_vec());
            }
            if versions {
                let column = others.next().and_then(|one| one.as_primitive_opt::<UInt64Type>());
                let column = column.ok_or_else(|| other_type(self.fields.len()))?;
                source.versions = Cow::Owned(column.values().to_vec());
            }
            Ok(source)
        };
        batches.into_iter().map(source).collect()
    }

    /// The places of instruments in the scan's dictionary; -1 for those that are not wanted.
    fn keys_of(&self, column: &ArrayRef) -> ReadResult<Vec<i32>> {
        let bad = || other_type(INSTRUMENT);
        let names = column.as_dictionary_opt::<Int32Type>().ok_or_else(bad)?;
        let values = names.values().as_string_opt::<i32>().ok_or_else(bad)?;
        let places: Vec<i32> = values.iter().map(|name| name.map_or(-1, |name| self.key_of(name))).collect();
        let place = |key: &i32| usize::try_from(*key).ok().and_then(|key| places.get(key)).copied();
        names.keys().values().iter().map(|key| place(key).ok_or_else(bad)).collect()
    }
}

fn other_type(place: usize) -> crate::error::ReadError {
    scan_error(&format!("column {place} of a segment has another type"))
}

/// Puts a block together.
struct Builder<'a> {
    plan: &'a Plan,
    part: &'a Part,
    sources: &'a [Source<'a>],
    with_ts: bool,
    block: Block,
    pieces: Vec<Piece>,
}

impl Builder<'_> {
    fn push(&mut self, source: usize, start: usize, rows: usize) {
        if rows == 0 {
            return;
        }
        match self.pieces.last_mut() {
            Some(last) if last.source == source && last.start + last.rows == start => last.rows += rows,
            _ => self.pieces.push(Piece { source, start, rows }),
        }
    }

    /// Takes the rows of a group whose spans follow each other.
    fn append(&mut self, group: &[Span]) {
        for span in group {
            let Some(source) = self.sources.get(span.source) else { continue };
            let (mut start, mut end) = (span.at, span.at + size(span.rows.end - span.rows.start));
            if !span.whole {
                let ts = source.ts.get(start..end).unwrap_or_default();
                end = start + ts.partition_point(|ts| *ts <= self.part.to);
                start += ts.partition_point(|ts| *ts < self.part.from);
            }
            if self.plan.axis == Axis::Instrument {
                let key = i32::try_from(span.group).unwrap_or(-1);
                self.block.keys.resize(self.block.keys.len() + end.saturating_sub(start), key);
                if self.with_ts {
                    self.block.ts.extend_from_slice(source.ts.get(start..end).unwrap_or_default());
                }
                self.push(span.source, start, end.saturating_sub(start));
                continue;
            }
            let keys = source.keys.get(start..end).unwrap_or_default();
            for wanted in keys.chunk_by(|a, b| (*a < 0) == (*b < 0)) {
                if wanted.first().is_some_and(|key| *key >= 0) {
                    self.block.keys.extend_from_slice(wanted);
                    if self.with_ts {
                        self.block.ts.resize(self.block.ts.len() + wanted.len(), span.group);
                    }
                    self.push(span.source, start, wanted.len());
                }
                start += wanted.len();
            }
        }
    }

    /// Takes of each row of a group the content with the highest version, unless it was removed.
    fn merge(&mut self, group: &[Span]) {
        let by_day = self.plan.axis == Axis::Day;
        let mut rows: Vec<Candidate> = Vec::new();
        for span in group {
            let Some(source) = self.sources.get(span.source) else { continue };
            for row in span.at..span.at + size(span.rows.end - span.rows.start) {
                let version = std::cmp::Reverse(source.versions.get(row).copied().unwrap_or_default());
                let inner = if by_day {
                    source.keys.get(row).map(|key| i64::from(*key)).filter(|key| *key >= 0)
                } else {
                    source.ts.get(row).copied().filter(|ts| (self.part.from..=self.part.to).contains(ts))
                };
                let sequence = source.sequences.get(row).copied().unwrap_or_default();
                rows.extend(inner.map(|inner| ((inner, sequence), version, span.source, row)));
            }
        }
        rows.sort_unstable();
        rows.dedup_by_key(|(inner, _, _, _)| *inner);
        let Some(first) = group.first() else { return };
        for ((inner, sequence), version, source, row) in rows {
            let (key, ts) = if by_day { (inner, first.group) } else { (first.group, inner) };
            if self.plan.hides(key, ts, sequence, version.0) {
                continue;
            }
            self.block.keys.push(i32::try_from(key).unwrap_or(-1));
            if self.with_ts {
                self.block.ts.push(ts);
            }
            self.push(source, row, 1);
        }
    }

    fn finish(mut self) -> ReadResult<Block> {
        for place in 0..self.plan.plain.len() {
            let column = self.column(place)?;
            self.block.columns.push(column);
        }
        // Blocks of a window wait side by side.
        self.block.keys.shrink_to_fit();
        self.block.ts.shrink_to_fit();
        Ok(self.block)
    }

    fn column(&self, place: usize) -> ReadResult<ArrayRef> {
        let array = |source: usize| {
            let found = self.sources.get(source).and_then(|source| source.columns.get(place));
            found.ok_or_else(|| scan_error("a column is missing"))
        };
        let slice = |piece: &Piece| -> ReadResult<ArrayRef> {
            let array = array(piece.source)?;
            let fits = piece.start + piece.rows <= array.len();
            if fits { Ok(array.slice(piece.start, piece.rows)) } else { Err(scan_error("rows are missing")) }
        };
        if let [only] = self.pieces.as_slice() {
            return slice(only);
        }
        let rows = self.block.keys.len();
        if rows == 0 {
            let field = self.plan.plain.get(place).and_then(|place| self.plan.fields.get(*place));
            return Ok(new_empty_array(field.map_or(&DataType::Null, Field::data_type)));
        }
        if self.pieces.len() > rows / 16 {
            let arrays: Vec<&dyn Array> = (0..self.sources.len())
                .map(|source| Ok(array(source)?.as_ref()))
                .collect::<ReadResult<_>>()?;
            let mut picked = Vec::with_capacity(rows);
            for piece in &self.pieces {
                slice(piece)?;
                picked.extend((piece.start..piece.start + piece.rows).map(|row| (piece.source, row)));
            }
            return arrow_select::interleave::interleave(&arrays, &picked)
                .map_err(|error| scan_error(&error.to_string()));
        }
        let slices: Vec<ArrayRef> = self.pieces.iter().map(slice).collect::<ReadResult<_>>()?;
        let slices: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
        arrow_select::concat::concat(&slices).map_err(|error| scan_error(&error.to_string()))
    }
}

/// Rows of blocks in another order than they were read in, or in the same.
pub(super) struct Sheaf {
    blocks: Vec<Block>,
    /// Which row of which block comes when; none: the one block as it is.
    order: Option<Vec<(u32, u32)>>,
    rows: usize,
}

impl Sheaf {
    /// One block as it is.
    pub(super) fn plain(block: Block) -> Self {
        Self { rows: block.keys.len(), blocks: vec![block], order: None }
    }

    /// Rows of blocks by `ts`; rows of one `ts` stay in the order of the blocks.
    pub(super) fn by_time(blocks: Vec<Block>) -> Self {
        Self::sorted(blocks, |block| &block.ts)
    }

    /// Rows of a block by instrument; rows of one stay in their order.
    pub(super) fn by_key(block: Block) -> Self {
        let keys: Vec<i64> = block.keys.iter().map(|key| i64::from(*key)).collect();
        let mut sheaf = Self::sorted(vec![Block { ts: keys, ..Block::default() }], |block| &block.ts);
        sheaf.blocks = vec![block];
        sheaf
    }

    fn sorted(blocks: Vec<Block>, value: impl Fn(&Block) -> &Vec<i64>) -> Self {
        // A counting sort: the distinct values are few, and a row's is mostly the one behind that of the
        // row before it.
        let mut distinct: Vec<i64> = Vec::new();
        for block in &blocks {
            let mut missing = Vec::new();
            let mut next = 0;
            for one in value(block) {
                let place = find(&distinct, next, *one);
                match place {
                    Ok(place) => next = place + 1,
                    Err(_) => missing.push(*one),
                }
            }
            if !missing.is_empty() {
                distinct.append(&mut missing);
                distinct.sort_unstable();
                distinct.dedup();
            }
        }
        let mut ends = vec![0_usize; distinct.len() + 1];
        let mut places = Vec::new();
        for block in &blocks {
            let mut next = 0;
            for one in value(block) {
                let place = find(&distinct, next, *one).unwrap_or(0);
                next = place + 1;
                places.push(u32::try_from(place).unwrap_or(u32::MAX));
                if let Some(count) = ends.get_mut(place + 1) {
                    *count += 1;
                }
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut order = vec![(0, 0); places.len()];
        let mut places = places.into_iter();
        for (number, block) in blocks.iter().enumerate() {
            for row in 0..value(block).len() {
                let Some(place) = places.next().and_then(|place| usize::try_from(place).ok()) else { break };
                let Some(at) = ends.get_mut(place) else { continue };
                if let Some(slot) = order.get_mut(*at) {
                    *slot =
                        (u32::try_from(number).unwrap_or(u32::MAX), u32::try_from(row).unwrap_or(u32::MAX));
                }
                *at += 1;
            }
        }
        Self { rows: order.len(), blocks, order: Some(order) }
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Some of its rows as a batch.
    pub(super) fn batch(&self, plan: &Plan, rows: Range<usize>) -> ReadResult<RecordBatch> {
        let missing = || scan_error("rows are missing");
        let Some(order) = &self.order else {
            let block = self.blocks.first().ok_or_else(missing)?;
            let keys = block.keys.get(rows.clone()).ok_or_else(missing)?;
            let ts = block.ts.get(rows.clone()).unwrap_or_default();
            let columns: Vec<ArrayRef> =
                block.columns.iter().map(|column| column.slice(rows.start, rows.len())).collect();
            return plan.assemble(keys.to_vec(), ts.to_vec(), &columns);
        };
        let order = order.get(rows).ok_or_else(missing)?;
        let picked: Vec<(usize, usize)> =
            order.iter().map(|(block, row)| (*block as usize, *row as usize)).collect();
        let of = |(block, row): &(usize, usize)| Some((self.blocks.get(*block)?, *row));
        let keys = picked.iter().map(|at| of(at).and_then(|(block, row)| block.keys.get(row).copied()));
        let keys: Vec<i32> = keys.collect::<Option<_>>().ok_or_else(missing)?;
        let ts = if plan.with_ts {
            let ts = picked.iter().map(|at| of(at).and_then(|(block, row)| block.ts.get(row).copied()));
            ts.collect::<Option<_>>().ok_or_else(missing)?
        } else {
            Vec::new()
        };
        let column = |place: usize| -> ReadResult<ArrayRef> {
            let arrays: Option<Vec<&dyn Array>> =
                self.blocks.iter().map(|block| Some(block.columns.get(place)?.as_ref())).collect();
            arrow_select::interleave::interleave(&arrays.ok_or_else(missing)?, &picked)
                .map_err(|error| scan_error(&error.to_string()))
        };
        let columns: Vec<ArrayRef> = (0..plan.plain.len()).map(column).collect::<ReadResult<_>>()?;
        plan.assemble(keys, ts, &columns)
    }
}

fn find(sorted: &[i64], guess: usize, value: i64) -> Result<usize, usize> {
    if sorted.get(guess) == Some(&value) { Ok(guess) } else { sorted.binary_search(&value) }
}
