//! Copying buckets where the log does not reach back far enough: a new target, or one that fell behind.

use std::collections::{HashMap, VecDeque};

use barkeeper_records::{Bucket, Change, Cursor, LogBounds, Lsn, Row, Table, Value};

use super::{Replicator, Step, Trouble};
use crate::state::State;

/// Rows read from the store in one go.
const READ_ROWS: usize = 5_000;
/// Rows in one transaction at the target.
const PAGE_ROWS: usize = 25_000;

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
    /// The last key of a bucket that was not read to its end.
    behind: Option<Vec<Value>>,
    left: VecDeque<Bucket>,
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
        let done = match plan.buckets.take() {
            None => self.copy_ranges(plan.after).map(|buckets| (0, Some(buckets))),
            Some(buckets) => self.copy_rows(&mut plan, buckets),
        };
        let (rows, buckets) = match done {
            Ok(done) => done,
            Err(trouble) => {
                self.plan = Some(plan);
                return Err(trouble);
            }
        };
        let buckets_left = buckets.as_ref().map_or(0, VecDeque::len);
        if buckets.is_some() {
            self.plan = Some(Plan { buckets, ..plan });
        } else {
            self.ship(&[], &plan.next, plan.chain)?;
            self.go(State::CatchUp, "every bucket is there");
        }
        Ok(Step::Copied { rows, buckets_left })
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
        for table in [Table::Books, Table::Positions, Table::Trades, Table::Bars] {
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

    /// Ships a page of rows; answers how many, and what is left, if anything. A page that fails is
    /// planned again.
    #[expect(clippy::type_complexity, reason = "rows and buckets, as `copy_page` takes them apart at once")]
    fn copy_rows(
        &mut self,
        plan: &mut Plan,
        buckets: VecDeque<Bucket>,
    ) -> Result<(usize, Option<VecDeque<Bucket>>), Trouble> {
        if buckets.is_empty() {
            return Ok((0, None));
        }
        plan.buckets = Some(buckets.clone());
        let page = self.read_page(buckets, plan.behind.clone())?;
        let standing = self.at.clone();
        self.ship(&page.changes, &standing, 0)?;
        plan.behind = page.behind;
        Ok((page.changes.len(), Some(page.left)))
    }

    /// Rows of the next buckets, up to a page.
    fn read_page(
        &self,
        mut left: VecDeque<Bucket>,
        mut behind: Option<Vec<Value>>,
    ) -> Result<CopyPage, Trouble> {
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while let Some(bucket) = left.front() {
            if changes.len() >= PAGE_ROWS || bytes >= self.options.page_bytes {
                break;
            }
            let rows = self.feed.bucket_rows(bucket, behind.as_deref(), READ_ROWS)?;
            let is_last = rows.len() < READ_ROWS;
            behind = rows.last().filter(|_| !is_last).map(|row| row.key.clone());
            bytes += rows.iter().map(weight).sum::<usize>();
            changes.extend(rows.into_iter().map(Change::Put));
            if is_last {
                left.pop_front();
            }
        }
        Ok(CopyPage { changes, behind, left })
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
