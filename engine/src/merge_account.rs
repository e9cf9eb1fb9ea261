//! `Account`: where every row of the inputs of a merge went, so that none is lost without being noticed.

use std::sync::Arc;

use barkeeper_records::{Digest, Timestamp, Version};
use barkeeper_storage::{RowFile, SegmentEntry, StoredEvent, VersionedBar, VersionedEvent};

use crate::error::MaintenanceError;
use crate::sabotage::Sabotage;
use crate::store::Inner;

/// Count and sums over rows: of keys and contents as in every digest, and of versions with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) digest: Digest,
    versions: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, hash: i64, version: Version) {
        self.digest.add(hash);
        self.versions = self.versions.wrapping_add((hash as u64 | 1).wrapping_mul(version.raw()));
    }

    fn merge(&mut self, other: &Self) {
        self.digest.merge(&other.digest);
        self.versions = self.versions.wrapping_add(other.versions);
    }
}

/// Where every row of the inputs of one axis went.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) inputs: Vec<Tally>,
    pub(crate) kept: Tally,
    pub(crate) superseded: Tally,
    pub(crate) removed: Tally,
    /// First and last `ts` of what is kept.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

/// A row that is merged.
pub(crate) trait MergedRow {
    /// Its version.
    fn version(&self) -> Version;

    /// Its `ts`.
    fn ts(&self) -> Timestamp;
}

impl MergedRow for VersionedBar {
    fn version(&self) -> Version {
        self.version
    }

    fn ts(&self) -> Timestamp {
        self.bar.ts
    }
}

impl<T: StoredEvent> MergedRow for VersionedEvent<T> {
    fn version(&self) -> Version {
        self.version
    }

    fn ts(&self) -> Timestamp {
        self.event.place().ts
    }
}

/// A row with its hash and the place that orders it among rows that are merged together.
pub(crate) type Hashed<K, R> = (K, R, i64);

impl Account {
    pub(crate) fn of(inputs: usize) -> Self {
        Self { inputs: vec![Tally::default(); inputs], ..Self::default() }
    }

    /// Leaves of rows one a key, the highest version, and none that is removed.
    pub(crate) fn settle<K: Ord, R: MergedRow>(
        &mut self,
        mut rows: Vec<Hashed<K, R>>,
        is_removed: impl Fn(&K, &R) -> bool,
    ) -> Vec<(K, R)> {
        rows.sort_by(|(a, x, _), (b, y, _)| a.cmp(b).then(y.version().cmp(&x.version())));
        let mut kept: Vec<(K, R)> = Vec::with_capacity(rows.len());
        let mut last_removed: Option<K> = None;
        for (key, row, hash) in rows {
            let known =
                kept.last().is_some_and(|(last, _)| *last == key) || last_removed.as_ref() == Some(&key);
            if known {
                self.superseded.add(hash, row.version());
            } else if is_removed(&key, &row) {
                self.removed.add(hash, row.version());
                last_removed = Some(key);
            } else {
                self.kept.add(hash, row.version());
                let ts = row.ts();
                let (first, last) = self.span.unwrap_or((ts, ts));
                self.span = Some((first.min(ts), last.max(ts)));
                kept.push((key, row));
            }
        }
        kept
    }

    /// Holds what was read against the manifest, and what became of it against what was read.
    pub(crate) fn check<F: RowFile + ?Sized>(&self, inputs: &[Arc<F>]) -> Result<(), MaintenanceError> {
        let mut sum = Tally::default();
        for (input, tally) in inputs.iter().zip(&self.inputs) {
            let entry = input.entry();
            if tally.digest != entry.digest {
                return Err(unlike(format!("{} does not give the rows of its entry", entry.path())));
            }
            sum.merge(tally);
        }
        let mut told = self.kept;
        told.merge(&self.superseded);
        told.merge(&self.removed);
        if told == sum { Ok(()) } else { Err(unlike("rows are not accounted for".to_owned())) }
    }

    /// Holds what was read of an output, with its entry, against what was to be written.
    pub(crate) fn compare(
        &self,
        inner: &Inner,
        entry: &SegmentEntry,
        found: &Tally,
    ) -> Result<(), MaintenanceError> {
        let span = (entry.rows > 0).then_some((entry.first, entry.last));
        let same = *found == self.kept && entry.rows == self.kept.digest.count && span == self.span;
        if same || inner.is_broken(Sabotage::TrustTheOutput) {
            inner.step("read back")
        } else {
            Err(unlike(format!("{} does not hold the rows that were merged", entry.path())))
        }
    }
}

pub(crate) const fn unlike(detail: String) -> MaintenanceError {
    MaintenanceError::Unlike { detail }
}
