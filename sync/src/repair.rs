//! `repair`: ships what a comparison found to differ, and nothing else.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use barkeeper_records::{ChangeFeed, FeedError, Row, Table, Timestamp, Value, Version};
use serde::Serialize;

use crate::check::CheckError;
use crate::compare::compare;
use crate::error::{ErrorClass, SinkError};
use crate::keys::is_possible;
use crate::report::{BucketDifference, CheckReport, Difference, DifferenceKind, KindCounts};
use crate::saved::SavedRows;
use crate::sink::{Force, Guarantee, Sink};

/// Rows that are mended in one transaction.
const BATCH_ROWS: usize = 1_000;
/// A version further ahead than this was not given by a clock that anybody keeps: 5 min in nanoseconds.
const SKEW_NS: i64 = 300 * 1_000_000_000;
/// The most rows that are listed as left.
const LEFT_ROWS: usize = 1_000;

/// Why a repair could not be finished. What was mended before stays mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// Store or target could not be compared.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// So much differs that a person has to agree first; nothing was written.
    #[error("{} of {} rows differ in bucket {} and more than 5 % in {} buckets", worst.kinds.total(), worst.size(), worst.bucket, buckets)]
    TooLarge {
        /// The bucket with most differences.
        worst: Box<BucketDifference>,
        /// How many buckets are like it.
        buckets: usize,
    },
    /// The rows that would be replaced could not be saved; they were not replaced.
    #[error("could not save the rows that would be replaced to {}: {source}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl From<SinkError> for RepairError {
    fn from(error: SinkError) -> Self {
        Self::Check(error.into())
    }
}

impl From<FeedError> for RepairError {
    fn from(error: FeedError) -> Self {
        Self::Check(error.into())
    }
}

/// How to repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairOptions {
    /// Where the rows are saved that exist only at the target and are replaced or removed: JSON, one row a
    /// line. Made when it is needed; a file that is there already is an error.
    pub save_to: PathBuf,
    /// Mend also where more than 5 % of a bucket of 20 rows or more differ.
    pub allow_large: bool,
    /// Change nothing, tell what would be done.
    pub dry_run: bool,
}

/// A row that was not mended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Left {
    /// What differs.
    pub difference: Difference,
    /// Why it stays.
    pub why: String,
}

/// What a repair did, or with `dry_run` would do.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct RepairReport {
    /// Nothing was changed.
    pub dry_run: bool,
    /// What was found, row by row, while mending.
    pub kinds: KindCounts,
    /// Rows written to the target.
    pub written: u64,
    /// Rows removed from the target.
    pub removed: u64,
    /// Rows saved before they were replaced or removed.
    pub saved: u64,
    /// Where, if any.
    pub saved_to: Option<PathBuf>,
    /// Rows of the store that got a version above the target's.
    pub stamped: u64,
    /// Rows that were replaced without raising the store's version, because the target's lies in the future.
    pub from_the_future: u64,
    /// How many rows stay as they are.
    pub left_rows: u64,
    /// The first of them.
    pub left: Vec<Left>,
}

/// Mends the buckets that a comparison found to differ. The sink must have shaken hands.
///
/// Rows are read again while mending, so that a row that was written since is shipped as it is now. What
/// the target has and the store does not, or has in a newer or edited form, is saved to a file first; where
/// its version is as high as the store's, the store's row is given a higher one in a logged commit, so that
/// it wins everywhere.
///
/// # Errors
/// Every variant of [`RepairError`].
pub fn repair(
    feed: &dyn ChangeFeed,
    sink: &mut dyn Sink,
    now: Timestamp,
    report: &CheckReport,
    options: &RepairOptions,
    stop: &AtomicBool,
) -> Result<RepairReport, RepairError> {
    let large = report.differing.iter().filter(|bucket| bucket.is_large());
    if !options.allow_large && !options.dry_run {
        let buckets = large.clone().count();
        if let Some(worst) = large.max_by_key(|bucket| bucket.kinds.total()) {
            return Err(RepairError::TooLarge { worst: Box::new(worst.clone()), buckets });
        }
    }
    let others = sink.observe(feed.identity()?.store_id)?.map_or_else(Vec::new, |state| state.other_devices);
    let mut mender = Mender {
        feed,
        now,
        saved: SavedRows::new(&options.save_to),
        report: RepairReport { dry_run: options.dry_run, ..RepairReport::default() },
    };
    for differing in &report.differing {
        let table = differing.bucket.table;
        let mut batch = Vec::new();
        compare(feed, sink, &differing.bucket, &others, stop, &mut |sink, difference| {
            batch.push(difference);
            if batch.len() < BATCH_ROWS {
                return Ok(());
            }
            mender.mend(sink, table, std::mem::take(&mut batch))
        })?;
        mender.mend(sink, table, batch)?;
    }
    Ok(mender.finish())
}

struct Mender<'a> {
    feed: &'a dyn ChangeFeed,
    now: Timestamp,
    saved: SavedRows,
    report: RepairReport,
}

impl Mender<'_> {
    fn mend(
        &mut self,
        sink: &mut dyn Sink,
        table: Table,
        differences: Vec<Difference>,
    ) -> Result<(), RepairError> {
        for difference in &differences {
            self.report.kinds.note(difference.kind);
        }
        let mut mendable = Vec::with_capacity(differences.len());
        for difference in differences {
            match self.obstacle(sink, &difference) {
                Some(why) => self.leave(difference, why),
                None => mendable.push(difference),
            }
        }
        if self.report.dry_run {
            self.plan(&mendable);
            return Ok(());
        }
        let lost: Vec<&Difference> = mendable.iter().filter(|one| one.loses()).collect();
        if let Err(source) = self.saved.keep(&lost, self.now) {
            return Err(RepairError::Save { path: self.saved.path().to_owned(), source });
        }
        self.stamp(table, &mendable)?;
        let (rows, deletes) = self.present(table, &mendable)?;
        match sink.force(&Force { rows: &rows, deletes: &deletes }) {
            Ok(()) => {
                self.report.written += rows.len() as u64;
                self.report.removed += deletes.len() as u64;
                Ok(())
            }
            Err(error) if error.class() == ErrorClass::Poison => {
                self.mend_one_by_one(sink, mendable, &rows, &deletes)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn obstacle(&self, sink: &dyn Sink, difference: &Difference) -> Option<&'static str> {
        if difference.kind == DifferenceKind::OtherDevice {
            Some("it is another desktop's row")
        } else if sink.guarantee() == Guarantee::Convergent && self.is_from_the_future(difference) {
            Some("its version lies in the future, and this target cannot take a version back")
        } else {
            None
        }
    }

    fn is_from_the_future(&self, difference: &Difference) -> bool {
        difference.version_there()
            > Version::floor_of(Timestamp::from_nanos(self.now.nanos().saturating_add(SKEW_NS)))
    }

    const fn needs_stamp(difference: &Difference) -> bool {
        matches!(difference.kind, DifferenceKind::NewerThere | DifferenceKind::SameVersionOtherContent)
    }

    /// Raises the store's rows above the versions that other desktops may have read from the target.
    fn stamp(&mut self, table: Table, differences: &[Difference]) -> Result<(), RepairError> {
        let (mut keys, mut above) = (Vec::new(), Version::ZERO);
        for difference in differences.iter().filter(|one| Self::needs_stamp(one)) {
            if self.is_from_the_future(difference) {
                // Following it would carry the store's own clock away.
                self.report.from_the_future += 1;
            } else {
                above = above.max(difference.version_there());
                keys.push(difference.key.clone());
            }
        }
        if !keys.is_empty() {
            self.feed.stamp(table, &keys, above)?;
            self.report.stamped += keys.len() as u64;
        }
        Ok(())
    }

    /// The store's rows as they are now, and the keys that it has not.
    #[expect(clippy::type_complexity, reason = "the two halves of a `Force`")]
    fn present(
        &self,
        table: Table,
        differences: &[Difference],
    ) -> Result<(Vec<Row>, Vec<(Table, Vec<Value>)>), RepairError> {
        let (mut keys, mut deletes) = (Vec::new(), Vec::new());
        for difference in differences {
            if is_possible(table, &difference.key) {
                keys.push(difference.key.clone());
            } else {
                deletes.push((table, difference.key.clone()));
            }
        }
        let mut rows = Vec::with_capacity(keys.len());
        for (row, key) in self.feed.rows(table, &keys)?.into_iter().zip(keys) {
            match row {
                Some(row) => rows.push(row),
                None => deletes.push((table, key)),
            }
        }
        Ok((rows, deletes))
    }

    fn mend_one_by_one(
        &mut self,
        sink: &mut dyn Sink,
        differences: Vec<Difference>,
        rows: &[Row],
        deletes: &[(Table, Vec<Value>)],
    ) -> Result<(), RepairError> {
        for difference in differences {
            let rows: Vec<Row> = rows.iter().filter(|row| row.key == difference.key).cloned().collect();
            let deletes: Vec<_> = deletes.iter().filter(|(_, key)| *key == difference.key).cloned().collect();
            match sink.force(&Force { rows: &rows, deletes: &deletes }) {
                Ok(()) => {
                    self.report.written += rows.len() as u64;
                    self.report.removed += deletes.len() as u64;
                }
                Err(error) if error.class() == ErrorClass::Poison => {
                    self.leave(difference, &error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn plan(&mut self, differences: &[Difference]) {
        for difference in differences {
            match difference.kind {
                DifferenceKind::ExtraThere => self.report.removed += 1,
                _ => self.report.written += 1,
            }
            self.report.saved += u64::from(difference.loses());
            if Self::needs_stamp(difference) {
                let count = if self.is_from_the_future(difference) {
                    &mut self.report.from_the_future
                } else {
                    &mut self.report.stamped
                };
                *count += 1;
            }
        }
    }

    fn leave(&mut self, difference: Difference, why: &str) {
        self.report.left_rows += 1;
        if self.report.left.len() < LEFT_ROWS {
            self.report.left.push(Left { difference, why: why.to_owned() });
        }
    }

    fn finish(mut self) -> RepairReport {
        if !self.report.dry_run {
            self.report.saved = self.saved.rows();
            self.report.saved_to = (self.saved.rows() > 0).then(|| Path::to_owned(self.saved.path()));
        }
        self.report
    }
}
