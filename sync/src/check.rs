//! `check`: whether a target holds what the store holds, proven by digest, bucket by bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use barkeeper_records::{Bucket, BucketDigest, ChangeFeed, Digest, FeedError, Lsn, Table};

use crate::compare::{compare, read_there};
use crate::error::SinkError;
use crate::report::{BucketDifference, CheckReport, Difference, KindCounts, Unsettled, Verdict, Why};
use crate::sink::Sink;

/// How often a bucket is looked at that is being written, or that the target has not caught up with.
const ROUNDS: u32 = 3;

/// Why a comparison could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The target could not be read.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The store could not be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// A side did not answer in the order of keys, so that nothing can be said.
    #[error("{side} answered the rows of bucket {bucket} out of order")]
    Order {
        /// Which side.
        side: &'static str,
        /// Which bucket.
        bucket: Bucket,
    },
    /// It was told to stop.
    #[error("stopped before the end")]
    Stopped,
}

/// What to compare and how much of it to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOptions {
    /// Read every row and hash it again: finds columns that were edited by hand, which leave the stored
    /// hash alone. Default true; buckets whose digests differ are always read.
    pub deep: bool,
    /// The most differences that are listed; all are counted. Default 1,000.
    pub list: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { deep: true, list: 1_000 }
    }
}

/// Compares all buckets of all tables; what is being written meanwhile is looked at again, up to three
/// times.
///
/// # Errors
/// Every variant of [`CheckError`].
pub fn check(
    feed: &dyn ChangeFeed,
    sink: &mut dyn Sink,
    options: &CheckOptions,
    stop: &AtomicBool,
) -> Result<CheckReport, CheckError> {
    let mut checker = Checker::new(options.clone());
    for _ in 0..ROUNDS {
        if checker.round(feed, sink, stop)? {
            break;
        }
    }
    Ok(checker.report())
}

/// A comparison in rounds, for whoever can bring the target up to the log in between.
#[derive(Debug)]
pub struct Checker {
    options: CheckOptions,
    /// `None` before the first round: everything.
    pending: Option<BTreeMap<Bucket, Why>>,
    agreeing: u64,
    rows_here: u64,
    rows_there: u64,
    rows_of_other_devices: u64,
    differing: Vec<BucketDifference>,
    differences: Vec<Difference>,
}

/// What came out for one bucket in one round.
enum Outcome {
    Agrees { of_others: u64 },
    Differs { kinds: KindCounts, listed: Vec<Difference> },
    Open(Why),
}

/// The digests of one table on both sides, and where the target stood before they were taken.
struct Sides {
    here: BTreeMap<Bucket, BucketDigest>,
    there: BTreeMap<Bucket, Digest>,
    watermark: Lsn,
    others: Vec<u16>,
}

impl Sides {
    /// The watermark is read first: what it covers is in the digests that follow.
    fn read(feed: &dyn ChangeFeed, sink: &mut dyn Sink, table: Table) -> Result<Self, CheckError> {
        let state = sink.observe(feed.identity()?.store_id)?;
        let (watermark, others) =
            state.map_or((Lsn(0), Vec::new()), |state| (state.cursor.lsn, state.other_devices));
        let here = last_changes(feed, table)?;
        Ok(Self { here, there: sink.digests(table)?.into_iter().collect(), watermark, others })
    }

    fn local(&self, bucket: &Bucket) -> (Digest, Lsn) {
        self.here.get(bucket).map_or((Digest::default(), Lsn(0)), |one| (one.digest, one.last_lsn))
    }

    fn remote(&self, bucket: &Bucket) -> Digest {
        self.there.get(bucket).copied().unwrap_or_default()
    }
}

fn last_changes(feed: &dyn ChangeFeed, table: Table) -> Result<BTreeMap<Bucket, BucketDigest>, FeedError> {
    Ok(feed.digests(table)?.into_iter().map(|one| (one.bucket.clone(), one)).collect())
}

impl Checker {
    /// A comparison that has not begun.
    pub const fn new(options: CheckOptions) -> Self {
        Self {
            options,
            pending: None,
            agreeing: 0,
            rows_here: 0,
            rows_there: 0,
            rows_of_other_devices: 0,
            differing: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// Compares what has not been settled yet; answers whether nothing is left.
    ///
    /// # Errors
    /// Every variant of [`CheckError`].
    pub fn round(
        &mut self,
        feed: &dyn ChangeFeed,
        sink: &mut dyn Sink,
        stop: &AtomicBool,
    ) -> Result<bool, CheckError> {
        let before = self.pending.take();
        let mut pending = BTreeMap::new();
        for table in Table::ALL {
            if stop.load(Relaxed) {
                return Err(CheckError::Stopped);
            }
            let sides = Sides::read(feed, sink, table)?;
            let mut buckets: BTreeSet<&Bucket> = sides.here.keys().chain(sides.there.keys()).collect();
            if let Some(before) = &before {
                buckets.retain(|bucket| before.contains_key(bucket));
            }
            let mut outcomes = Vec::new();
            for bucket in buckets {
                outcomes.push((bucket, self.look(feed, sink, &sides, bucket, stop)?));
            }
            let after = last_changes(feed, table)?;
            for (bucket, outcome) in outcomes {
                let now = after.get(bucket).map_or(Lsn(0), |one| one.last_lsn);
                if now == sides.local(bucket).1 {
                    if let Some(why) = self.settle(&sides, bucket, outcome) {
                        pending.insert(bucket.clone(), why);
                    }
                } else {
                    pending.insert(bucket.clone(), Why::Changing);
                }
            }
        }
        let settled = pending.is_empty();
        self.pending = Some(pending);
        Ok(settled)
    }

    fn look(
        &self,
        feed: &dyn ChangeFeed,
        sink: &mut dyn Sink,
        sides: &Sides,
        bucket: &Bucket,
        stop: &AtomicBool,
    ) -> Result<Outcome, CheckError> {
        let ((local, last_change), remote) = (sides.local(bucket), sides.remote(bucket));
        let is_equal = local == remote;
        if is_equal && (!self.options.deep || local.count == 0) {
            return Ok(Outcome::Agrees { of_others: 0 });
        }
        if last_change > sides.watermark {
            return Ok(Outcome::Open(Why::Behind));
        }
        if is_equal {
            let reading = read_there(sink, bucket, stop)?;
            if reading.sound && reading.digest == local {
                return Ok(Outcome::Agrees { of_others: 0 });
            }
        }
        let (mut kinds, mut listed) = (KindCounts::default(), Vec::new());
        let room = self.options.list.saturating_sub(self.differences.len());
        let of_others = compare(feed, sink, bucket, &sides.others, stop, &mut |_, difference| {
            kinds.note(difference.kind);
            if listed.len() < room {
                listed.push(difference);
            }
            Ok::<(), CheckError>(())
        })?;
        Ok(match (kinds.total(), of_others) {
            (0, 0) => Outcome::Open(Why::LocalDigest),
            (0, of_others) => Outcome::Agrees { of_others },
            _ => Outcome::Differs { kinds, listed },
        })
    }

    /// Takes an outcome into the result; answers why it cannot.
    fn settle(&mut self, sides: &Sides, bucket: &Bucket, outcome: Outcome) -> Option<Why> {
        let (rows_here, rows_there) = (sides.local(bucket).0.count, sides.remote(bucket).count);
        match outcome {
            Outcome::Open(why) => return Some(why),
            Outcome::Agrees { of_others } => {
                self.agreeing += 1;
                self.rows_of_other_devices += of_others;
            }
            Outcome::Differs { kinds, listed } => {
                let room = self.options.list.saturating_sub(self.differences.len());
                self.differences.extend(listed.into_iter().take(room));
                self.differing.push(BucketDifference {
                    bucket: bucket.clone(),
                    rows_here,
                    rows_there,
                    kinds,
                });
            }
        }
        self.rows_here += rows_here;
        self.rows_there += rows_there;
        None
    }

    /// What was found. Before the first round: that nothing can be said.
    pub fn report(self) -> CheckReport {
        let begun = self.pending.is_some();
        let unsettled: Vec<Unsettled> = self
            .pending
            .unwrap_or_default()
            .into_iter()
            .map(|(bucket, why)| Unsettled { bucket, why })
            .collect();
        let mut kinds = KindCounts::default();
        for bucket in &self.differing {
            kinds.add(&bucket.kinds);
        }
        let verdict = match (self.differing.is_empty(), unsettled.is_empty() && begun) {
            (false, _) => Verdict::Differ,
            (true, true) => Verdict::Agree,
            (true, false) => Verdict::CouldNotTell,
        };
        CheckReport {
            verdict,
            deep: self.options.deep,
            agreeing: self.agreeing,
            rows_here: self.rows_here,
            rows_there: self.rows_there,
            rows_of_other_devices: self.rows_of_other_devices,
            kinds,
            differing: self.differing,
            differences: self.differences,
            unsettled,
        }
    }
}
