//! The change log as sync sees it: `ChangeFeed`, `Change`, `Lsn`, digests.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bar::SeriesKey;
use crate::schema::{Row, Table, Value};
use crate::time::Timestamp;
use crate::version::Version;

/// A position in the change log: 1 for the first commit, one more for each, without gaps; 0 before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Who a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Random, made with the store.
    pub store_id: u128,
    /// The device number in versions, 0 to 4095.
    pub device: u16,
    /// Grows with each restore.
    pub epoch: u64,
}

/// What the log still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// The first LSN whose changes are still in the log; head + 1 where the log is empty.
    pub tail: Lsn,
    /// The last committed LSN.
    pub head: Lsn,
    /// The hash chain at the head.
    pub head_chain: u64,
}

/// How far a target has been brought: everything up to and with `lsn`, and of the commit behind it the
/// part that `within` names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The last LSN that was shipped whole.
    pub lsn: Lsn,
    /// The feed's own mark inside the next LSN; empty at its start. Opaque to everybody else, at most 256 bytes.
    pub within: Vec<u8>,
}

/// Bars of a series that were removed: everything in the range with a lower version is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeTombstone {
    /// The series.
    pub series: SeriesKey,
    /// The first `ts` that went.
    pub from: Timestamp,
    /// The first `ts` that stayed.
    pub to: Timestamp,
    /// Rows with a lower version are hidden.
    pub version: Version,
    /// The commit that removed them.
    pub lsn: Lsn,
}

/// One thing to do at a target. Doing it again, or late, changes nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Put the row (or its tombstone) unless the target's version is as high or higher.
    Put(Row),
    /// Turn every row of the range with a lower version into a tombstone of this version.
    DeleteRange(RangeTombstone),
}

/// A stretch of the log, read in one go.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What to do, in order.
    pub changes: Vec<Change>,
    /// Where the target stands when it is done.
    pub next: Cursor,
    /// The hash chain at `next.lsn`.
    pub chain: u64,
    /// Whether the log has more.
    pub more: bool,
}

/// A part of a table whose rows are digested together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// The table.
    pub table: Table,
    /// Bars: `interval/adjustment/` and the first three characters of the instrument. Factors,
    /// ticks, market trades: these characters. Others: the account.
    pub group: String,
    /// Bars, trades, ticks, market trades: `ts` divided by 30 days, rounded down. Others: 0.
    pub period: i32,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.table.schema().name, self.group, self.period)
    }
}

/// The digest of a set of live rows. Sums wrap; the order of rows does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    /// How many rows.
    pub count: u64,
    /// The sum of the low 32 bits of every row hash.
    pub low: u64,
    /// The sum of the high 32 bits of every row hash.
    pub high: u64,
}

impl Digest {
    /// Adds a row.
    pub const fn add(&mut self, row_hash: i64) {
        let bits = row_hash as u64;
        self.count = self.count.wrapping_add(1);
        self.low = self.low.wrapping_add(bits & 0xffff_ffff);
        self.high = self.high.wrapping_add(bits >> 32);
    }

    /// Takes a row away.
    pub const fn remove(&mut self, row_hash: i64) {
        let bits = row_hash as u64;
        self.count = self.count.wrapping_sub(1);
        self.low = self.low.wrapping_sub(bits & 0xffff_ffff);
        self.high = self.high.wrapping_sub(bits >> 32);
    }

    /// Adds the rows of another digest.
    pub const fn merge(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.low = self.low.wrapping_add(other.low);
        self.high = self.high.wrapping_add(other.high);
    }
}

/// A bucket, its digest, and the last commit that touched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketDigest {
    /// Which bucket.
    pub bucket: Bucket,
    /// Its live rows.
    pub digest: Digest,
    /// The last LSN that changed a row of it.
    pub last_lsn: Lsn,
}

/// Why the feed could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The log no longer holds what was asked for; the buckets do.
    #[error("the change log begins at LSN {tail}, after {asked}")]
    Trimmed {
        /// What was asked for.
        asked: Lsn,
        /// Where the log begins.
        tail: Lsn,
    },
    /// The asked position lies ahead of everything that was committed.
    #[error("LSN {asked} lies ahead of the store's head {head}")]
    Ahead {
        /// What was asked for.
        asked: Lsn,
        /// The last committed LSN.
        head: Lsn,
    },
    /// A cursor that this feed did not make.
    #[error("the cursor behind LSN {lsn} is not one of this log")]
    Cursor {
        /// Where it claims to stand.
        lsn: Lsn,
    },
    /// More targets than a store keeps cursors for.
    #[error("the store has 16 targets already")]
    TooManyTargets,
    /// The store could not be read or written.
    #[error(transparent)]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

/// The change log as the replicator reads it, and the few things that it asks of the store.
///
/// Every answer is of one snapshot: what is shipped was durable before. Rows are read when they are
/// asked for, so a page may hold rows newer than its LSN; versions make that harmless. What is
/// deliberately not here: waiting (the replicator polls), and writing data other than through `stamp`.
pub trait ChangeFeed: Send + Sync {
    /// Who the store is.
    ///
    /// # Errors
    /// `Store`.
    fn identity(&self) -> Result<StoreIdentity, FeedError>;

    /// Whether a commit was lost when the store was restored from a backup: the last LSN before it that
    /// the backup held. `None` for a commit that the store has, and for every one of a store that was
    /// never restored.
    ///
    /// # Errors
    /// `Store`.
    fn kept_before(&self, lsn: Lsn) -> Result<Option<Lsn>, FeedError>;

    /// What the log holds.
    ///
    /// # Errors
    /// `Store`.
    fn bounds(&self) -> Result<LogBounds, FeedError>;

    /// Makes the store keep its log for a target from now on; answers the last acknowledged LSN, 0 for a
    /// new one. Doing it again changes nothing.
    ///
    /// # Errors
    /// `TooManyTargets`, `Store`.
    fn register_target(&self, target: &str) -> Result<Lsn, FeedError>;

    /// Forgets a target: the log is no longer kept for it. An unknown one is no error.
    ///
    /// # Errors
    /// `Store`.
    fn forget_target(&self, target: &str) -> Result<(), FeedError>;

    /// Notes how far a target has come. A hint that may be lost: the target itself knows.
    fn acknowledge(&self, target: &str, lsn: Lsn);

    /// The hash chain at an LSN: what a target that stands there must have stored. `None` where the log
    /// no longer holds it. At LSN 0 the chain is 0.
    ///
    /// # Errors
    /// `Ahead`, `Store`.
    fn chain_at(&self, lsn: Lsn) -> Result<Option<u64>, FeedError>;

    /// The changes behind a cursor, at most about `max_bytes` of rows. A page ends between two LSNs, or
    /// inside one that is larger than a page.
    ///
    /// # Errors
    /// `Trimmed`, `Ahead`, `Cursor`, `Store`.
    fn read(&self, cursor: &Cursor, max_bytes: usize) -> Result<Page, FeedError>;

    /// The digests of all buckets of a table, in the order of buckets. Buckets without live rows may be
    /// there with a count of 0.
    ///
    /// # Errors
    /// `Store`.
    fn digests(&self, table: Table) -> Result<Vec<BucketDigest>, FeedError>;

    /// The rows of a bucket, tombstones among them, in the order of keys, those behind the key `after`, at most `limit`.
    ///
    /// # Errors
    /// `Store`.
    fn bucket_rows(
        &self,
        bucket: &Bucket,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<Row>, FeedError>;

    /// The present row of each key, `None` where there is neither a row nor a tombstone.
    ///
    /// # Errors
    /// `Store`.
    fn rows(&self, table: Table, keys: &[Vec<Value>]) -> Result<Vec<Option<Row>>, FeedError>;

    /// The range tombstones of commits behind an LSN.
    ///
    /// # Errors
    /// `Store`.
    fn range_tombstones(&self, after: Lsn) -> Result<Vec<RangeTombstone>, FeedError>;

    /// Gives the rows of these keys a version above `above` (a tombstone where there is no row), in one
    /// logged commit, so that a forced repair holds against what a target had. Answers its LSN.
    ///
    /// # Errors
    /// `Store`.
    fn stamp(&self, table: Table, keys: &[Vec<Value>], above: Version) -> Result<Lsn, FeedError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_forgets_what_is_taken_away_and_ignores_order() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        for hash in [1_i64, -5, i64::MIN, i64::MAX] {
            a.add(hash);
        }
        for hash in [i64::MAX, 1, i64::MIN, 77, -5] {
            b.add(hash);
        }
        assert_ne!(a, b);
        b.remove(77);
        assert_eq!(a, b);
    }
}
