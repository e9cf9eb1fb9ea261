//! Segments of ticks and market trades as scans read them: pages by time, columns as Arrow batches.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use barkeeper_records::Version;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use crate::eventsegment::{BEFORE, EventSegment, MOST_RESERVED, StoredEvent, TS, schema};
use crate::index::{RunV1, SegmentIndexV1};
use crate::manifest::SegmentEntry;
use crate::pages::{PageSpan, RowFile};
use crate::verified::{SegmentError, guarded};

impl<T: StoredEvent> EventSegment<T> {
    /// The pages of `ts` in one row group that hold some of the rows, cut to them, and whether each holds no
    /// others; `None` where the file does not tell.
    fn group_pages(
        &self,
        number: usize,
        group: &Range<u64>,
        rows: &Range<u64>,
    ) -> Option<Vec<(PageSpan, bool)>> {
        let index = self.metadata().page_index_for_row_group(number);
        let Some(ColumnIndexMetaData::INT64(times)) = index.column_index(TS) else { return None };
        let locations = index.offset_index(TS)?.page_locations();
        let row_of = |page: usize| {
            let first = locations.get(page).map(|location| u64::try_from(location.first_row_index));
            first.map_or(Some(group.end), |first| group.start.checked_add(first.ok()?))
        };
        let mut pages = Vec::new();
        for page in 0..locations.len() {
            let all = row_of(page)?..row_of(page + 1)?;
            let (start, end) = (all.start.max(rows.start), all.end.min(rows.end));
            if start < end {
                let (first, last) = (*times.min_value(page)?, *times.max_value(page)?);
                pages.push((PageSpan { start, end, first, last }, (start..end) == all));
            }
        }
        Some(pages)
    }

    /// Reads what the file has of the wanted columns, all ranges behind each other.
    fn read_stored(
        &self,
        rows: &[Range<u64>],
        columns: BTreeSet<usize>,
        total: usize,
    ) -> Result<Vec<(usize, ArrayRef)>, SegmentError> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let batch_rows = total.min(MOST_RESERVED);
        let batches = guarded(self.path(), || {
            let batches = self.reader(rows, columns.iter().copied(), batch_rows)?;
            batches.collect::<Result<Vec<RecordBatch>, _>>()
        })?;
        let batch = match batches.as_slice() {
            [] if total == 0 => RecordBatch::new_empty(Arc::new(
                schema::<T>(true)
                    .project(&columns.iter().copied().collect::<Vec<_>>())
                    .map_err(|e| self.damaged(&e.to_string()))?,
            )),
            [only] => only.clone(),
            [first, ..] => arrow_select::concat::concat_batches(&first.schema(), &batches)
                .map_err(|e| self.damaged(&e.to_string()))?,
            [] => return Err(self.damaged("fewer rows than its index says")),
        };
        if batch.num_rows() != total {
            return Err(self.damaged("fewer rows than its index says"));
        }
        Ok(columns.into_iter().zip(batch.columns().iter().cloned()).collect())
    }
}

impl<T: StoredEvent> RowFile for EventSegment<T> {
    fn entry(&self) -> &SegmentEntry {
        Self::entry(self)
    }

    fn index(&self) -> &SegmentIndexV1 {
        Self::index(self)
    }

    fn pages_of(&self, run: &RunV1) -> Vec<PageSpan> {
        let rows = run.start..run.start.saturating_add(u64::from(run.rows));
        let mut spans = Vec::new();
        let mut start = 0;
        for (number, group) in self.metadata().row_groups().iter().enumerate() {
            let group = start..u64::saturating_add(start, u64::try_from(group.num_rows()).unwrap_or(0));
            start = group.end;
            let inside = rows.start.max(group.start)..rows.end.min(group.end);
            if !inside.is_empty() {
                // Without an index of pages the whole may hold any time of the run.
                let whole =
                    PageSpan { start: inside.start, end: inside.end, first: run.first, last: run.last };
                let pages = guarded(self.path(), || Ok(self.group_pages(number, &group, &inside)));
                spans.extend(pages.ok().flatten().unwrap_or_else(|| vec![(whole, false)]));
            }
        }
        let exact = |place: Option<usize>| {
            let found = place.and_then(|place| spans.get(place));
            found.filter(|(_, is_whole)| *is_whole).map(|(span, _)| *span)
        };
        let sharpened = spans.iter().enumerate().map(|(place, (span, is_whole))| {
            let (mut first, mut last) = (span.first.max(run.first), span.last.min(run.last));
            if !is_whole {
                // Times of other instruments say nothing, but rows of one ascend from page to page.
                first = exact(place.checked_sub(1)).map_or(first, |before| first.max(before.last));
                last = exact(place.checked_add(1)).map_or(last, |behind| last.min(behind.first));
            }
            PageSpan { first, last, ..*span }
        });
        sharpened.collect()
    }

    fn read_ranges(&self, rows: &[Range<u64>], columns: &[usize]) -> Result<Vec<RecordBatch>, SegmentError> {
        let version_place = BEFORE + T::NUMBERS.len() + T::EXTRA.len();
        let schema = schema::<T>(true).project(columns).map_err(|e| self.damaged(&e.to_string()))?;
        let schema = Arc::new(schema);
        let mut total = 0_u64;
        let mut done = 0;
        for range in rows {
            if range.start < done || range.end < range.start || range.end > self.entry().rows {
                return Err(self.damaged("rows are asked for that it does not have"));
            }
            (total, done) = (total + (range.end - range.start), range.end);
        }
        let total = usize::try_from(total).map_err(|_| self.damaged("too many rows"))?;
        let uniform = self.entry().version.map(Version::raw);
        let is_stored = |place: &usize| *place != version_place || uniform.is_none();
        let stored = self.read_stored(rows, columns.iter().copied().filter(is_stored).collect(), total)?;
        let array = |place: &usize| -> Result<ArrayRef, SegmentError> {
            if let (false, Some(version)) = (is_stored(place), uniform) {
                return Ok(Arc::new(UInt64Array::from_value(version, total)));
            }
            let found = stored.iter().find(|(one, _)| one == place).map(|(_, array)| array.clone());
            found.ok_or_else(|| self.damaged("a column is missing"))
        };
        let arrays = columns.iter().map(array).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(total));
        let all = RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(|e| self.damaged(&e.to_string()))?;
        let mut at = 0;
        let slice = |range: &Range<u64>| {
            let length = usize::try_from(range.end - range.start).unwrap_or(0);
            at += length;
            all.slice(at - length, length)
        };
        Ok(rows.iter().map(slice).collect())
    }
}
