//! Which pages of a segment may hold a time: from its index, without reading a row.

use std::ops::Range;

use barkeeper_records::Timestamp;

use crate::index::RunV1;
use crate::segment::Segment;

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

impl Segment {
    /// The pages that hold a run of one instrument, in the order of rows, cut to the run.
    pub fn pages_of(&self, run: &RunV1) -> Vec<PageSpan> {
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

    /// The rows of a run of one instrument that may lie from `from` to `to`, both included: whole pages.
    pub fn narrow(&self, run: &RunV1, from: Timestamp, to: Timestamp) -> Range<u64> {
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
