//! Scans of rows by instrument and time: a plan cut into units of work, each read by a thread and given out in batches.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::block::{Block, Part, Sheaf};
use super::dataset::Dataset;
use super::plan::{Plan, Way};
use super::pool::Pool;
use super::request::ScanRequest;
use crate::error::{ReadResult, scan_error};
use crate::snapshot::Snapshot;

/// Rows that a unit of work aims at, and bytes of them: some wait for their turn.
const UNIT_ROWS: u64 = 131_072;
const UNIT_BYTES: u64 = 11 * 1024 * 1024;
/// Bytes of the rows of a window that is sorted by time, about. One window is in memory at a time: two of
/// half the size would each decode the same pages again.
const WINDOW_BYTES: u64 = 128 * 1024 * 1024;
/// Steps of time by which windows are cut.
const STEPS: usize = 16_384;

/// A scan of rows by instrument and time.
pub(super) struct RowScan {
    plan: Arc<Plan>,
    pool: Pool<Sheaf>,
    open: Option<(Sheaf, usize)>,
    batch_rows: usize,
}

impl RowScan {
    pub(super) fn new(
        snapshot: &Snapshot,
        dataset: &impl Dataset,
        request: &ScanRequest,
    ) -> ReadResult<Self> {
        let plan = Arc::new(Plan::new(snapshot, dataset, request)?);
        let units = plan.units(request);
        let (count, inner, shared) = (units.len(), request.threads, plan.clone());
        // A window is large and read by several threads itself, so none is read ahead.
        let (threads, ahead) = match plan.way {
            _ if inner <= 1 => (0, 1),
            Way::Windows | Way::Regrouped => (0, 1),
            Way::Series | Way::Days => (if count > 1 { inner } else { 0 }, inner * 2),
        };
        let work = move |number: usize| {
            let unit = units.get(number).ok_or_else(|| scan_error("a unit of work is missing"))?;
            shared.sheaf(unit, inner)
        };
        let pool = Pool::new(count, threads, ahead, Arc::new(work));
        Ok(Self { plan, pool, open: None, batch_rows: request.batch_rows })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.plan.schema()
    }

    fn advance(&mut self) -> ReadResult<Option<RecordBatch>> {
        loop {
            if let Some((sheaf, at)) = &mut self.open {
                let rows = *at..at.saturating_add(self.batch_rows).min(sheaf.rows());
                if !rows.is_empty() {
                    *at = rows.end;
                    return sheaf.batch(&self.plan, rows).map(Some);
                }
            }
            self.open = None;
            match self.pool.next() {
                Some(sheaf) => self.open = Some((sheaf?, 0)),
                None => return Ok(None),
            }
        }
    }
}

impl Iterator for RowScan {
    type Item = ReadResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl Plan {
    fn units(&self, request: &ScanRequest) -> Vec<Part> {
        let unit_rows = request.unit_rows.unwrap_or_else(|| self.unit_rows());
        let (from, to) = (self.from, self.to);
        let all = 0..i64::try_from(self.instruments).unwrap_or(i64::MAX);
        if self.instruments == 0 {
            return Vec::new();
        }
        match self.way {
            Way::Series => {
                let mut units = Vec::new();
                for keys in self.key_ranges(&all, from, to, unit_rows) {
                    if self.rows_about(&keys, from, to) > unit_rows * 4 {
                        let windows = self.windows(&keys, unit_rows);
                        units.extend(windows.into_iter().map(|(from, to)| Part {
                            groups: keys.clone(),
                            from,
                            to,
                        }));
                    } else {
                        units.push(Part { groups: keys, from, to });
                    }
                }
                units
            }
            Way::Windows => {
                let bytes = WINDOW_BYTES / request.share.max(1);
                let rows = bytes / self.row_bytes();
                let rows = request.unit_rows.unwrap_or(rows);
                let windows = self.windows(&all, rows);
                windows.into_iter().map(|(from, to)| Part { groups: all.clone(), from, to }).collect()
            }
            Way::Days => self.day_ranges(unit_rows),
            Way::Regrouped => vec![Part { groups: from..to.saturating_add(1), from, to }],
        }
    }

    fn unit_rows(&self) -> u64 {
        (UNIT_BYTES / self.row_bytes()).min(UNIT_ROWS)
    }

    /// Reads a unit; `threads` may help with a window.
    fn sheaf(&self, unit: &Part, threads: usize) -> ReadResult<Sheaf> {
        match self.way {
            Way::Series | Way::Days => Ok(Sheaf::plain(self.read(unit, self.with_ts)?)),
            Way::Regrouped => Ok(Sheaf::by_key(self.read(unit, self.with_ts)?)),
            Way::Windows => {
                let parts = self.key_ranges(&unit.groups, unit.from, unit.to, self.unit_rows() / 2);
                let part = |keys: &Range<i64>| Part { groups: keys.clone(), from: unit.from, to: unit.to };
                let read = |keys: &Range<i64>| self.read(&part(keys), true);
                if threads <= 1 || parts.len() < 2 {
                    return Ok(Sheaf::by_time(parts.iter().map(read).collect::<ReadResult<_>>()?));
                }
                let next = AtomicUsize::new(0);
                let take = || {
                    let mut found: Vec<(usize, ReadResult<Block>)> = Vec::new();
                    while let Some((number, keys)) = Some(next.fetch_add(1, Ordering::Relaxed))
                        .and_then(|number| Some((number, parts.get(number)?)))
                    {
                        found.push((number, read(keys)));
                    }
                    found
                };
                let mut found = Vec::new();
                std::thread::scope(|scope| -> ReadResult<()> {
                    let helpers: Vec<_> = (1..threads.min(parts.len())).map(|_| scope.spawn(take)).collect();
                    found.extend(take());
                    for helper in helpers {
                        let others = helper.join();
                        found.extend(others.map_err(|_| scan_error("a part of a segment does not decode"))?);
                    }
                    Ok(())
                })?;
                found.sort_by_key(|(number, _)| *number);
                Ok(Sheaf::by_time(found.into_iter().map(|(_, block)| block).collect::<ReadResult<_>>()?))
            }
        }
    }

    /// Cuts places of instruments so that about so many rows are decoded for each range.
    fn key_ranges(&self, keys: &Range<i64>, from: i64, to: i64, rows: u64) -> Vec<Range<i64>> {
        let count = usize::try_from(keys.end - keys.start).unwrap_or(0);
        let mut sums = vec![0_u64; count];
        let mut add = |key: i64, rows: u64| {
            let place = usize::try_from(key - keys.start).ok();
            if let Some(sum) = place.and_then(|place| sums.get_mut(place)) {
                *sum += rows;
            }
        };
        for cold in &self.cold {
            for (key, run) in cold.runs_of(keys) {
                add(*key, Self::decoded_between(run, from, to));
            }
        }
        for (key, hot) in self.hot.groups_of(keys.start, keys.end) {
            add(*key, hot.len() as u64);
        }
        let mut ranges = Vec::new();
        let (mut start, mut sum) = (keys.start, 0);
        for (key, one) in keys.clone().zip(sums) {
            if sum > 0 && sum + one > rows {
                ranges.push(start..key);
                (start, sum) = (key, 0);
            }
            sum += one;
        }
        if start < keys.end {
            ranges.push(start..keys.end);
        }
        ranges
    }

    fn rows_about(&self, keys: &Range<i64>, from: i64, to: i64) -> u64 {
        let cold = self.cold.iter().flat_map(|cold| cold.runs_of(keys));
        let cold: u64 = cold.map(|(_, run)| Self::decoded_between(run, from, to)).sum();
        let hot: usize = self.hot.groups_of(keys.start, keys.end).iter().map(|(_, rows)| rows.len()).sum();
        cold + hot as u64
    }

    /// Cuts the whole time so that about so many rows of these instruments lie in each window.
    fn windows(&self, keys: &Range<i64>, rows: u64) -> Vec<(i64, i64)> {
        let span = self.to.saturating_sub(self.from).unsigned_abs();
        let step = i64::try_from(span / STEPS as u64 + 1).unwrap_or(i64::MAX);
        // Rows begin to flow at one step and end at another; what flows between is counted evenly.
        let mut flow = vec![0.0_f64; STEPS + 2];
        let place = |ts: i64| {
            let steps = ts.clamp(self.from, self.to).saturating_sub(self.from) / step;
            usize::try_from(steps).unwrap_or(STEPS).min(STEPS)
        };
        let mut add = |first: i64, last: i64, rows: f64| {
            let (start, end) = (place(first), place(last) + 1);
            let each = rows / (end - start) as f64;
            if let Some(slot) = flow.get_mut(start) {
                *slot += each;
            }
            if let Some(slot) = flow.get_mut(end) {
                *slot -= each;
            }
        };
        for cold in &self.cold {
            for (_, run) in cold.runs_of(keys) {
                for page in cold.file.pages_of(run) {
                    if page.last >= self.from && page.first <= self.to {
                        add(page.first, page.last, (page.end - page.start) as f64);
                    }
                }
            }
        }
        for (_, hot) in self.hot.groups_of(keys.start, keys.end) {
            for ts in self.hot.ts.get(hot.clone()).unwrap_or_default() {
                add(*ts, *ts, 1.0);
            }
        }
        let mut windows = Vec::new();
        let (mut start, mut sum, mut now) = (self.from, 0.0, 0.0);
        for (number, change) in (0_i64..).zip(&flow) {
            now += change;
            let begin = self.from.saturating_add(number.saturating_mul(step));
            if sum > 0.5 && sum + now > rows as f64 && begin > start && begin <= self.to {
                windows.push((start, begin - 1));
                (start, sum) = (begin, 0.0);
            }
            sum += now;
        }
        windows.push((start, self.to));
        windows
    }

    /// Cuts the day axis between two `ts`.
    fn day_ranges(&self, unit_rows: u64) -> Vec<Part> {
        let mut counts: Vec<(i64, u64)> = Vec::new();
        for cold in &self.cold {
            counts.extend(cold.runs().iter().map(|(ts, run)| (*ts, u64::from(run.rows))));
        }
        counts.extend(self.hot.groups.iter().map(|(ts, rows)| (*ts, rows.len() as u64)));
        counts.sort_unstable();
        let mut parts = Vec::new();
        let (mut start, mut sum) = (self.from, 0);
        for day in counts.chunk_by(|a, b| a.0 == b.0) {
            let (ts, rows) =
                (day.first().map_or(self.to, |one| one.0), day.iter().map(|one| one.1).sum::<u64>());
            if sum > 0 && sum + rows > unit_rows {
                parts.push(Part { groups: start..ts, from: start, to: ts - 1 });
                (start, sum) = (ts, 0);
            }
            sum += rows;
        }
        parts.push(Part { groups: start..self.to.saturating_add(1), from: start, to: self.to });
        parts
    }
}
