//! Which pages of a segment may hold a time: from the page index, without reading a row.

use std::ops::Range;

use barkeeper_records::Timestamp;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use crate::manifest::RunV1;
use crate::segment::Segment;

/// The place of `ts` in every segment of bars.
const TS: usize = 1;

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
        let (start, end) = (run.start, run.start + u64::from(run.rows));
        let whole = PageSpan { start, end, first: run.first, last: run.last };
        let mut spans = Vec::new();
        let mut first_row = 0;
        for (number, group) in self.file_metadata().row_groups().iter().enumerate() {
            let behind = first_row + u64::try_from(group.num_rows()).unwrap_or(0);
            if first_row < end && behind > start {
                let index = self.file_metadata().page_index_for_row_group(number);
                let (Some(places), Some(ColumnIndexMetaData::INT64(times))) =
                    (index.offset_index(TS), index.column_index(TS))
                else {
                    return vec![whole];
                };
                let places = places.page_locations();
                let at = |place: &PageLocation| first_row + u64::try_from(place.first_row_index).unwrap_or(0);
                let row = |page: usize| places.get(page).map_or(behind, at);
                let mut page = places.partition_point(|place| at(place) <= start).saturating_sub(1);
                while page < places.len() && row(page) < end {
                    let (low, high) = (times.min_value(page).copied(), times.max_value(page).copied());
                    spans.push(PageSpan {
                        start: row(page).max(start),
                        end: row(page + 1).min(end),
                        first: low.unwrap_or(run.first).max(run.first),
                        last: high.unwrap_or(run.last).min(run.last),
                    });
                    page += 1;
                }
            }
            first_row = behind;
        }
        if spans.is_empty() { vec![whole] } else { spans }
    }

    /// The rows of a run of one instrument that may lie from `from` to `to`, both included: whole pages.
    pub fn narrow(&self, run: &RunV1, from: Timestamp, to: Timestamp) -> Range<u64> {
        let (from, to) = (from.nanos(), to.nanos());
        if from <= run.first && run.last <= to {
            return run.start..run.start + u64::from(run.rows);
        }
        let pages = self.pages_of(run);
        let mut inside = pages.iter().filter(|page| page.last >= from && page.first <= to);
        let Some(first) = inside.next() else { return run.start..run.start };
        first.start..inside.next_back().unwrap_or(first).end
    }
}
