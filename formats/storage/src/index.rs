//! `SegmentIndexV1`: where runs, pages and blocks of a segment stand.
//!
//! Everything of a fixed width stands in byte strings that are read in place: an index of 5,000
//! instruments is as fast to load as to copy.

use std::sync::Arc;

use barkeeper_records::{InstrumentId, Timestamp};
use bincode::{Decode, Encode};

use crate::envelope::{Damage, StoredRow};

/// Where the rows of one instrument (or of one `ts`) stand in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunV1 {
    /// The first row, counted from 0.
    pub start: u64,
    /// How many rows.
    pub rows: u32,
    /// First `ts`.
    pub first: i64,
    /// Last `ts`.
    pub last: i64,
}

/// Bytes of a stored run.
const RUN: usize = 28;

impl RunV1 {
    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.last.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (start, bytes) = bytes.split_first_chunk()?;
        let (rows, bytes) = bytes.split_first_chunk()?;
        let (first, bytes) = bytes.split_first_chunk()?;
        Some(Self {
            start: u64::from_le_bytes(*start),
            rows: u32::from_le_bytes(*rows),
            first: i64::from_le_bytes(*first),
            last: i64::from_le_bytes(*bytes.first_chunk()?),
        })
    }
}

/// A page: its first row, counted over the whole file, and the span of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) row: u64,
    /// Lowest `ts`.
    pub(crate) first: i64,
    /// Highest `ts`.
    pub(crate) last: i64,
}

/// Bytes of a stored page.
const PAGE: usize = 20;

impl Page {
    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&u32::try_from(self.row).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.last.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (row, bytes) = bytes.split_first_chunk()?;
        let (first, bytes) = bytes.split_first_chunk()?;
        Some(Self {
            row: u64::from(u32::from_le_bytes(*row)),
            first: i64::from_le_bytes(*first),
            last: i64::from_le_bytes(*bytes.first_chunk()?),
        })
    }
}

/// The runs, pages and blocks of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct SegmentIndexV1 {
    names: Vec<u8>,
    ends: Vec<u8>,
    runs: Vec<u8>,
    pages: Vec<u8>,
    offsets: Vec<u8>,
    blocks: Vec<u8>,
}

impl StoredRow for SegmentIndexV1 {
    const WHAT: &'static str = "segment index";
    const KIND: u8 = 22;
}

/// The number of some width at a place.
fn at<const N: usize>(bytes: &[u8], place: usize) -> Option<[u8; N]> {
    bytes.get(place.checked_mul(N)?..)?.first_chunk().copied()
}

impl SegmentIndexV1 {
    pub(crate) fn of(names: Vec<String>, runs: Vec<RunV1>, blocks: Vec<u64>) -> Self {
        let mut index = Self::default();
        for name in names {
            index.names.extend_from_slice(name.as_bytes());
            let end = u32::try_from(index.names.len()).unwrap_or(u32::MAX);
            index.ends.extend_from_slice(&end.to_le_bytes());
        }
        for run in runs {
            run.put(&mut index.runs);
        }
        index.blocks = blocks.into_iter().flat_map(u64::to_le_bytes).collect();
        index
    }

    /// With all pages, and where each begins in each column's chunk.
    pub(crate) fn with_pages(mut self, pages: &[Page], offsets: &[u32]) -> Self {
        for page in pages {
            page.put(&mut self.pages);
        }
        self.offsets = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        self
    }

    /// Whether its parts fit each other.
    ///
    /// # Errors
    /// `Layout`.
    pub fn check(&self) -> Result<(), Damage> {
        let bad = |detail| Err(Damage::Layout { what: Self::WHAT, detail });
        if !self.runs.len().is_multiple_of(RUN) || !self.blocks.len().is_multiple_of(8) {
            return bad("a run or a block that is cut off");
        }
        if !self.ends.is_empty() && self.ends.len() / 4 != self.runs.len() / RUN {
            return bad("not a run for every instrument");
        }
        let pages = self.pages.len() / PAGE;
        if !self.pages.len().is_multiple_of(PAGE) || !self.offsets.len().is_multiple_of(4 * pages.max(1)) {
            return bad("not an offset for every page and column");
        }
        Ok(())
    }

    /// XXH3-64 of every 8 KiB of the file.
    pub fn blocks(&self) -> Arc<[u64]> {
        let (sums, _) = self.blocks.as_chunks();
        sums.iter().map(|sum| u64::from_le_bytes(*sum)).collect()
    }

    fn name(&self, place: usize) -> Option<&[u8]> {
        let end = |place| at(&self.ends, place).and_then(|end| usize::try_from(u32::from_le_bytes(end)).ok());
        let start = if place == 0 { 0 } else { end(place - 1)? };
        self.names.get(start..end(place)?)
    }

    fn run(&self, place: usize) -> Option<RunV1> {
        RunV1::read(self.runs.get(place.checked_mul(RUN)?..)?)
    }

    const fn count(&self) -> usize {
        self.runs.len() / RUN
    }

    /// The first place for which something does not hold that holds for all before it.
    fn partition(count: usize, holds: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if holds(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The run of an instrument, in a segment clustered by instrument.
    pub fn of_instrument(&self, instrument: &InstrumentId) -> Option<RunV1> {
        let wanted = instrument.as_bytes();
        let names = self.ends.len() / 4;
        let place = Self::partition(names, |place| self.name(place).is_some_and(|name| name < wanted));
        if self.name(place)? == wanted { self.run(place) } else { None }
    }

    /// All instruments and their runs, in text order, in a segment clustered by instrument.
    pub fn instruments(&self) -> impl Iterator<Item = (InstrumentId, RunV1)> + '_ {
        let entry = |place| Some((InstrumentId::from_trusted(self.name(place)?)?, self.run(place)?));
        (0..self.ends.len() / 4).filter_map(entry)
    }

    /// The runs from `from` to `to`, both included, in a segment clustered by `ts`.
    pub fn of_time(&self, from: Timestamp, to: Timestamp) -> Vec<RunV1> {
        let first = |place| self.run(place).map_or(i64::MAX, |run| run.first);
        let start = Self::partition(self.count(), |place| first(place) < from.nanos());
        let end = Self::partition(self.count(), |place| first(place) <= to.nanos());
        (start..end).filter_map(|place| self.run(place)).collect()
    }

    /// All runs in the order of rows.
    pub fn runs(&self) -> Vec<RunV1> {
        let (runs, _) = self.runs.as_chunks::<RUN>();
        runs.iter().filter_map(|run| RunV1::read(run)).collect()
    }

    /// How many pages there are, in all row groups.
    pub(crate) const fn pages(&self) -> usize {
        self.pages.len() / PAGE
    }

    /// A page, counted over the whole file.
    pub(crate) fn page(&self, page: usize) -> Option<Page> {
        Page::read(self.pages.get(page.checked_mul(PAGE)?..)?)
    }

    /// The first page that begins behind a row.
    pub(crate) fn page_behind(&self, row: u64) -> usize {
        Self::partition(self.pages(), |page| self.page(page).is_some_and(|page| page.row <= row))
    }

    /// Where a page begins in a column's chunk.
    pub(crate) fn offset(&self, page: usize, column: usize) -> Option<u64> {
        let columns = (self.offsets.len() / 4).checked_div(self.pages())?;
        let place = page.checked_mul(columns)?.checked_add(column)?;
        if column >= columns {
            return None;
        }
        at(&self.offsets, place).map(|offset| u64::from(u32::from_le_bytes(offset)))
    }
}
