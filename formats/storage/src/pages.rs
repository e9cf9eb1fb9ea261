//! `RowFile`: what a scan asks of a segment, and which of its pages may hold a time.

use std::ops::Range;

use arrow_array::RecordBatch;
use barkeeper_records::Timestamp;

use crate::index::{RunV1, SegmentIndexV1};
use crate::manifest::SegmentEntry;
use crate::segment::Segment;
use crate::verified::SegmentError;

/// A page's part of a run of one instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSpan {
    /// First row, counted over the whole file.
    pub start: u64,
    /// Behind the last row.
    pub end: u64,
    /// A `ts` that is not above any of its rows.
    pub first: i64,
    /// A `ts` that is not below any of its rows.
    pub last: i64,
}

/// A segment of any dataset.
pub trait RowFile: std::fmt::Debug + Send + Sync {
    /// Its manifest entry.
    fn entry(&self) -> &SegmentEntry;

    /// Where its runs stand.
    fn index(&self) -> &SegmentIndexV1;

    /// The pages that hold a run of one instrument, in the order of rows, cut to the run.
    fn pages_of(&self, run: &RunV1) -> Vec<PageSpan>;

    /// Columns of ranges of rows, a batch for each range, in the order asked for. Ranges ascend and do not
    /// overlap. The places are those of the file; the one behind all others is the version, which is
    /// there for every segment.
    ///
    /// # Errors
    /// `Io`, `Damaged`; `Damaged` also for rows and columns that the segment does not have.
    fn read_ranges(&self, rows: &[Range<u64>], columns: &[usize]) -> Result<Vec<RecordBatch>, SegmentError>;

    /// The rows of a run of one instrument that may lie from `from` to `to`, both included: whole pages.
    fn narrow(&self, run: &RunV1, from: Timestamp, to: Timestamp) -> Range<u64> {
        let (from, to) = (from.nanos(), to.nanos());
        if from <= run.first && run.last <= to {
            return run.start..run.start.saturating_add(u64::from(run.rows));
        }
        let pages = self.pages_of(run);
        let mut inside = pages.iter().filter(|page| page.last >= from && page.first <= to);
        let Some(first) = inside.next() else { return run.start..run.start };
        first.start..inside.next_back().unwrap_or(first).end
    }
}

impl RowFile for Segment {
    fn entry(&self) -> &SegmentEntry {
        Self::entry(self)
    }

    fn index(&self) -> &SegmentIndexV1 {
        Self::index(self)
    }

    fn pages_of(&self, run: &RunV1) -> Vec<PageSpan> {
        let (start, end) = (run.start, run.start.saturating_add(u64::from(run.rows)));
        let index = self.index();
        let mut page = index.page_behind(start).saturating_sub(1);
        let mut spans = Vec::new();
        while let Some(place) = index.page(page).filter(|place| place.row < end) {
            let behind = index.page(page + 1).map_or(end, |next| next.row);
            spans.push(PageSpan {
                start: place.row.max(start),
                end: behind.min(end),
                first: place.first.max(run.first),
                last: place.last.min(run.last),
            });
            page += 1;
        }
        spans
    }

    fn read_ranges(&self, rows: &[Range<u64>], columns: &[usize]) -> Result<Vec<RecordBatch>, SegmentError> {
        rows.iter().map(|range| self.read_batch(range.clone(), columns)).collect()
    }
}
