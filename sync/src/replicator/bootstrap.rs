//! Copying buckets where the log does not reach back far enough: a new target, or one that fell behind.

use std::collections::{HashMap, VecDeque};

use barkeeper_records::{Bucket, Change, Cursor, LogBounds, Lsn, Row, Table, Value};

use super::{Replicator, Step, Trouble};
use crate::keys::page_rows;
use crate::state::State;

/// Rows in one transaction at the target.
const PAGE_ROWS: usize = 25_000;
/// The order in which tables are copied: what is small and what people look at first comes first.
const COPIED: [Table; 8] = [
    Table::Books,
    Table::Positions,
    Table::Trades,
    Table::StrategySnapshots,
    Table::Factors,
    Table::Bars,
    Table::Ticks,
    Table::MarketTrades,
];

/// What is to be copied.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where the target stands while it is copied to.
    after: Lsn,
    /// Where it stands when everything is there.
    next: Cursor,
    chain: u64,
    /// What is left; `None` before the deleted ranges are there.
    buckets: Option<VecDeque<Bucket>>,
    /// The last key of the first bucket that is there already.
    behind: Option<Vec<Value>>,
}

/// What is read for one transaction.
struct CopyPage {
    changes: Vec<Change>,
    /// How many of the planned buckets were read to their ends.
    finished: usize,
    /// The last key of the bucket behind them, where a part of it was read.
    behind: Option<Vec<Value>>,
}

impl Replicator {
    /// Plans to copy every bucket that changed behind an LSN. A plan that was interrupted is kept.
    pub(super) fn plan_copy(&mut self, after: Lsn, bounds: &LogBounds) {
        if self.plan.as_ref().is_none_or(|plan| plan.after != after) {
            let next = Cursor { lsn: bounds.head, within: Vec::new() };
            self.plan = Some(Plan { after, next, chain: bounds.head_chain, buckets: None, behind: None });
        }
    }

    /// Copies one page: first the deleted ranges, then rows; after the last one the watermark jumps.
    pub(super) fn copy_page(&mut self) -> Result<Step, Trouble> {
        let Some(mut plan) = self.plan.take() else {
            self.go(State::Connecting, "nothing is planned");
            return Ok(Step::Failed);
        };
        let done = self.copy_planned(&mut plan);
        let buckets_left = plan.buckets.as_ref().map_or(0, VecDeque::len);
        let is_over = matches!(done, Ok(None));
        if !is_over {
            self.plan = Some(plan);
        }
        let rows = done?.unwrap_or(0);
        if is_over {
            self.go(State::CatchUp, "every bucket is there");
        }
        Ok(Step::Copied { rows, buckets_left })
    }

    /// Answers how many rows went, `None` once the watermark has jumped.
    fn copy_planned(&mut self, plan: &mut Plan) -> Result<Option<usize>, Trouble> {
        let Some(buckets) = &mut plan.buckets else {
            plan.buckets = Some(self.copy_ranges(plan.after)?);
            return Ok(Some(0));
        };
        if buckets.is_empty() {
            self.ship(&[], &plan.next, plan.chain)?;
            return Ok(None);
        }
        let page = self.read_page(buckets, plan.behind.clone())?;
        let standing = self.at.clone();
        self.ship(&page.changes, &standing, 0)?;
        buckets.drain(..page.finished);
        plan.behind = page.behind;
        Ok(Some(page.changes.len()))
    }

    /// Ships the deleted ranges and answers the buckets to copy. In this order, because a range may hide a
    /// row of the target whose content equals that of a newer row of the store: digests do not tell them
    /// apart before the range is there.
    fn copy_ranges(&mut self, after: Lsn) -> Result<VecDeque<Bucket>, Trouble> {
        let ranges = self.feed.range_tombstones(after)?;
        let changes: Vec<Change> = ranges.into_iter().map(Change::DeleteRange).collect();
        let standing = self.at.clone();
        self.ship(&changes, &standing, 0)?;
        let mut buckets = VecDeque::new();
        for table in COPIED {
            let there: HashMap<Bucket, _> = if after == Lsn(0) {
                // An earlier copy may have been broken off by the end of a process.
                self.sink.digests(table)?.into_iter().collect()
            } else {
                HashMap::new()
            };
            for one in self.feed.digests(table)? {
                let is_there = one.digest.count > 0 && there.get(&one.bucket) == Some(&one.digest);
                if (after == Lsn(0) || one.last_lsn > after) && !is_there {
                    buckets.push_back(one.bucket);
                }
            }
        }
        Ok(buckets)
    }

    /// Rows of the next buckets, up to a page.
    fn read_page(&self, buckets: &VecDeque<Bucket>, behind: Option<Vec<Value>>) -> Result<CopyPage, Trouble> {
        let mut page = CopyPage { changes: Vec::new(), finished: 0, behind };
        let mut bytes = 0;
        while let Some(bucket) = buckets.get(page.finished) {
            if page.changes.len() >= PAGE_ROWS || bytes >= self.options.page_bytes {
                break;
            }
            let limit = page_rows(bucket.table);
            let rows = self.feed.bucket_rows(bucket, page.behind.as_deref(), limit)?;
            let is_last = rows.len() < limit;
            page.behind = rows.last().filter(|_| !is_last).map(|row| row.key.clone());
            page.finished += usize::from(is_last);
            bytes += rows.iter().map(weight).sum::<usize>();
            page.changes.extend(rows.into_iter().map(Change::Put));
        }
        Ok(page)
    }
}

/// About how many bytes a row takes.
fn weight(row: &Row) -> usize {
    let texts = row.key.iter().chain(&row.values).map(|value| match value {
        Value::Text(text) => text.len(),
        _ => 8,
    });
    40 + texts.sum::<usize>()
}
