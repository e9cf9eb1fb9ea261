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
    buckets: VecDeque<Bucket>,
    /// The last key of the first bucket that is there already.
    behind: Option<Vec<Value>>,
}

impl Replicator {
    /// Plans to copy every bucket that changed behind an LSN. A plan that was interrupted is kept.
    pub(super) fn plan_copy(&mut self, after: Lsn, bounds: &LogBounds) -> Result<(), Trouble> {
        if self.plan.as_ref().is_some_and(|plan| plan.after == after) {
            return Ok(());
        }
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
        let next = Cursor { lsn: bounds.head, within: Vec::new() };
        self.plan = Some(Plan { after, next, chain: bounds.head_chain, buckets, behind: None });
        Ok(())
    }

    /// Copies one page; the last one ships the deleted ranges and lets the watermark jump.
    pub(super) fn copy_page(&mut self) -> Result<Step, Trouble> {
        let Some(mut plan) = self.plan.take() else {
            self.go(State::Connecting, "nothing is planned");
            return Ok(Step::Failed);
        };
        let done = self.copy_planned(&mut plan);
        let is_over = matches!(done, Ok((_, true)));
        let buckets_left = plan.buckets.len();
        if !is_over {
            self.plan = Some(plan);
        }
        let (rows, _) = done?;
        if is_over {
            self.go(State::CatchUp, "every bucket is there");
        }
        Ok(Step::Copied { rows, buckets_left })
    }

    /// Answers how many rows went, and whether that was all.
    fn copy_planned(&mut self, plan: &mut Plan) -> Result<(usize, bool), Trouble> {
        let (changes, behind, left) = self.read_page(plan)?;
        if changes.is_empty() && left.is_empty() {
            let ranges = self.feed.range_tombstones(plan.after)?;
            let changes: Vec<Change> = ranges.into_iter().map(Change::DeleteRange).collect();
            self.ship(&changes, &plan.next, plan.chain)?;
            return Ok((0, true));
        }
        let standing = self.at.clone();
        self.ship(&changes, &standing, 0)?;
        plan.behind = behind;
        plan.buckets = left;
        Ok((changes.len(), false))
    }

    /// Rows of the next buckets, up to a page; the last key of a bucket that was not read to its end; and
    /// the buckets that are left.
    #[expect(clippy::type_complexity, reason = "the three parts of what is read, taken apart at once")]
    fn read_page(&self, plan: &Plan) -> Result<(Vec<Change>, Option<Vec<Value>>, VecDeque<Bucket>), Trouble> {
        let (mut changes, mut bytes) = (Vec::new(), 0);
        let (mut behind, mut left) = (plan.behind.clone(), plan.buckets.clone());
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
        Ok((changes, behind, left))
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
