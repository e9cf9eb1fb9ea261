//! What maintenance changes in the database, in commits that hold the writer for a bounded time.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use barkeeper_records::{Lsn, Outcome};
use barkeeper_storage::checksum;

use crate::commit::Task;
use crate::error::{CommitResult, MaintenanceError};
use crate::publication::Prepared;
use crate::report::Receipt;
use crate::session::Session;
use crate::store::Inner;
use crate::tables::Tab;
use crate::view::View;

/// Hot values that one commit removes at the most.
pub(crate) const STEP_VALUES: usize = 1_024;
/// Bytes of hot values that one commit removes, but for the last value of it.
pub(crate) const STEP_BYTES: usize = 2 << 20;

/// A hot value as it was read; it is removed only where it still is the same.
#[derive(Debug, Clone)]
pub(crate) struct HotValue {
    pub(crate) tab: Tab,
    pub(crate) key: Vec<u8>,
    /// Checksum over key and value.
    pub(crate) sum: u64,
    pub(crate) bytes: usize,
    pub(crate) rows: u64,
}

impl HotValue {
    pub(crate) fn of(tab: Tab, key: &[u8], value: &[u8], rows: usize) -> Self {
        let bytes = key.len() + value.len();
        Self { tab, key: key.to_vec(), sum: checksum(0, key, value), bytes, rows: rows as u64 }
    }
}

/// What became of hot values that were to be removed.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// Rows that went.
    pub(crate) rows: u64,
    /// Rows in values that were changed after they were read.
    pub(crate) stayed: u64,
    pub(crate) lsn: Option<Lsn>,
}

/// A change of maintenance that waits for its commit.
pub(crate) enum Upkeep {
    /// Segments enter the manifest.
    Publish(Vec<Prepared>),
    /// Hot values go whose rows stand in segments of the manifest.
    Remove(Vec<HotValue>),
}

impl Inner {
    /// Commits a change of maintenance, after those who wait to commit already.
    pub(crate) fn upkeep(&self, change: Upkeep) -> Result<Receipt, MaintenanceError> {
        self.give_way();
        Ok(self.submit(Task::Upkeep(Box::new(change)))?)
    }

    /// Waits until no other maintenance goes on.
    pub(crate) fn maintaining(&self) -> MutexGuard<'_, ()> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody commits, but not for long: under constant load it takes its turn with the rest.
    fn give_way(&self) {
        const PAUSES: usize = 50;
        for _ in 0..PAUSES {
            if !self.is_committing() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Removes hot values whose rows stand in segments, in commits of a bounded size each.
    pub(crate) fn remove_hot(&self, values: Vec<HotValue>) -> Result<Removed, MaintenanceError> {
        let mut removed = Removed::default();
        let mut values = values.into_iter().peekable();
        while values.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(value) = values.next_if(|_| part.len() < STEP_VALUES && bytes < STEP_BYTES) {
                bytes += value.bytes;
                part.push(value);
            }
            self.step("before a removal")?;
            let receipt = self.upkeep(Upkeep::Remove(part))?;
            self.step("after a removal")?;
            if let Some(Outcome::Bars { deleted, kept, .. }) = receipt.outcomes.first() {
                removed.rows += deleted;
                removed.stayed += kept;
            }
            removed.lsn = Some(receipt.lsn);
        }
        Ok(removed)
    }
}

impl Session<'_, '_> {
    pub(crate) fn upkeep(&mut self, change: Upkeep) -> CommitResult<Outcome> {
        match change {
            Upkeep::Publish(prepared) => {
                self.publish(prepared, None)?;
                Ok(Outcome::Done)
            }
            Upkeep::Remove(values) => self.remove_hot(values),
        }
    }

    /// Removes the hot values that are byte for byte what was read; others are newer and stay.
    fn remove_hot(&mut self, values: Vec<HotValue>) -> CommitResult<Outcome> {
        let (mut deleted, mut kept) = (0, 0);
        for HotValue { tab, key, sum, rows, .. } in values {
            let same =
                self.staged.with(tab, &key, |value| value.is_some_and(|v| checksum(0, &key, v) == sum))?;
            if same {
                self.staged.remove(tab, key);
                self.noted = true;
                deleted += rows;
            } else {
                kept += rows;
            }
        }
        Ok(Outcome::Bars { inserted: 0, replaced: 0, kept, unchanged: 0, deleted })
    }
}
