//! What maintenance changes in the database, in commits that hold the writer for a bounded time.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barkeeper_records::{Lsn, Outcome, Timestamp};
use barkeeper_storage::{
    MergeV1, RetiredSegment, RetiredV1, SegmentEntry, SegmentV1, StoredRow, checksum, keys,
};

use crate::commit::Task;
use crate::error::{CommitError, CommitResult, MaintenanceError, ReadError, ReadResult, missing};
use crate::maintenance::is_a_day;
use crate::manifest::{generation, key_of};
use crate::publication::Prepared;
use crate::report::Receipt;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::tables::Tab;
use crate::view::View;
use crate::weight::HotWeight;

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
    /// Segments leave the manifest, and others with the same rows enter it.
    Swap(Box<Swap>),
    /// The merge that made this generation is taken back; what it wrote stays in the trash until then.
    Undo { generation: u64, until: Timestamp },
    /// Segments that have left the manifest are given up for good.
    Forget { ids: Vec<u128>, now: Timestamp },
    /// Range tombstones go that hide nothing.
    DropTombstones(Vec<Vec<u8>>),
}

/// A merge that waits for its commit.
pub(crate) struct Swap {
    pub(crate) inputs: Vec<SegmentEntry>,
    pub(crate) outputs: Vec<Prepared>,
    pub(crate) superseded: u64,
    pub(crate) removed: u64,
    pub(crate) now: Timestamp,
    pub(crate) until: Timestamp,
}

/// What maintenance keeps in memory.
#[derive(Debug, Default)]
pub(crate) struct UpkeepState {
    /// Held by whoever seals, merges or takes away: one at a time.
    alone: Mutex<()>,
    /// Whether the store is being closed.
    pub(crate) closing: AtomicBool,
    /// When it last looked for what only time brings, by the steady clock.
    daily: Mutex<Option<i64>>,
    /// How much was hot when it was last weighed.
    pub(crate) weight: HotWeight,
    /// Why maintenance by the store's own thread failed last.
    error: Mutex<Option<String>>,
    #[cfg(feature = "fault-injection")]
    pub(crate) broken: Mutex<Vec<crate::sabotage::Sabotage>>,
}

impl UpkeepState {
    pub(crate) fn is_daily(&self, now: i64) -> bool {
        let last = *self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| is_a_day(last, now))
    }

    pub(crate) fn was_daily(&self, now: i64) {
        *self.daily.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Notes how the thread's maintenance went.
    pub(crate) fn note(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    pub(crate) fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    /// Commits a change of maintenance, after those who wait to commit already.
    pub(crate) fn upkeep(&self, change: Upkeep) -> Result<Receipt, MaintenanceError> {
        self.give_way();
        Ok(self.submit(Task::Upkeep(Box::new(change)))?)
    }

    /// Waits until no other maintenance goes on.
    pub(crate) fn maintaining(&self) -> MutexGuard<'_, ()> {
        self.upkeep.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails where the store is being closed: maintenance can go on another day.
    pub(crate) fn go_on(&self) -> Result<(), MaintenanceError> {
        if self.upkeep.closing.load(Ordering::SeqCst) { Err(MaintenanceError::Stopped) } else { Ok(()) }
    }

    /// Until when the files stay that are replaced now.
    pub(crate) fn grace_end(&self) -> Timestamp {
        let grace = i64::try_from(self.options.maintenance.grace.as_nanos()).unwrap_or(i64::MAX);
        Timestamp::from_nanos(self.options.clock.now().nanos().saturating_add(grace))
    }

    /// Commits a change that takes segments out of the manifest.
    pub(crate) fn change_manifest(self: &Arc<Self>, change: Upkeep) -> Result<(), MaintenanceError> {
        if let Err(error) = self.upkeep(change) {
            // Whether it is stored is not known: nothing is moved while a reader of now is open.
            self.leases.pass(0);
            return Err(error);
        }
        // Imports may have made later ones since; only maintenance retires, and one at a time.
        let generation = last_retirement(Snapshot::brief(self)?.view())?;
        self.leases.pass(generation);
        Ok(())
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
            Upkeep::Swap(swap) => self.swap(*swap),
            Upkeep::Undo { generation, until } => self.undo(generation, until),
            Upkeep::Forget { ids, now } => self.forget(&ids, now),
            Upkeep::DropTombstones(keys) => {
                for key in keys {
                    self.staged.remove(Tab::Tombstones, key);
                    self.noted = true;
                }
                Ok(Outcome::Done)
            }
        }
    }

    /// Takes a segment out of the manifest; its index stays for those who may want it back.
    fn retire(&mut self, entry: SegmentEntry, generation: u64, until: Timestamp) -> CommitResult<()> {
        let key = key_of(entry.id);
        let stored: Option<SegmentV1> = self.staged.row(Tab::Segments, &key)?;
        if stored != Some(SegmentV1::of(&entry)) {
            return Err(CommitError::Read(missing("segment that is to be replaced")));
        }
        self.staged.remove(Tab::Segments, key.clone());
        self.staged.put_row(Tab::Retired, key, &RetiredV1::of(&RetiredSegment { entry, generation, until }));
        Ok(())
    }

    fn next_generation(&mut self) -> CommitResult<u64> {
        Ok(generation(&self.staged)? + 1)
    }

    fn swap(&mut self, swap: Swap) -> CommitResult<Outcome> {
        let generation = self.next_generation()?;
        let Swap { inputs, outputs, superseded, removed, now, until } = swap;
        let merge = MergeV1 {
            merged_ms: now.millis(),
            until_ms: until.millis(),
            undone: false,
            inputs: inputs.iter().map(|entry| entry.id).collect(),
            outputs: outputs.iter().map(Prepared::id).collect(),
            superseded,
            removed,
        };
        for entry in inputs {
            self.retire(entry, generation, until)?;
        }
        self.publish(outputs, None)?;
        self.staged.put_row(Tab::Merges, keys::merge(generation), &merge);
        Ok(Outcome::Done)
    }

    fn undo(&mut self, of: u64, until: Timestamp) -> CommitResult<Outcome> {
        let generation = self.next_generation()?;
        let key = keys::merge(of);
        let Some(mut merge) = self.staged.row::<MergeV1>(Tab::Merges, &key)? else {
            return Err(CommitError::Read(missing("merge that is to be undone")));
        };
        for id in &merge.outputs {
            let row: Option<SegmentV1> = self.staged.row(Tab::Segments, &key_of(*id))?;
            let entry =
                row.ok_or_else(|| missing("output of a merge"))?.read(*id).map_err(ReadError::from)?;
            self.retire(entry, generation, until)?;
        }
        for id in &merge.inputs {
            let row: Option<RetiredV1> = self.staged.row(Tab::Retired, &key_of(*id))?;
            let retired =
                row.ok_or_else(|| missing("input of a merge"))?.read(*id).map_err(ReadError::from)?;
            self.staged.remove(Tab::Retired, key_of(*id));
            self.staged.put_row(Tab::Segments, key_of(*id), &SegmentV1::of(&retired.entry));
        }
        merge.undone = true;
        self.staged.put_row(Tab::Merges, key, &merge);
        self.publish(Vec::new(), None)?;
        Ok(Outcome::Done)
    }

    /// Forgets retired segments, and the merges that cannot be undone without them or whose time is over.
    fn forget(&mut self, ids: &[u128], now: Timestamp) -> CommitResult<Outcome> {
        for id in ids {
            self.staged.remove(Tab::Retired, key_of(*id));
            self.staged.remove(Tab::SegmentIndexes, key_of(*id));
        }
        let mut over = Vec::new();
        self.staged.scan_prefix(Tab::Merges, &[], &mut |key, value| {
            let merge = MergeV1::from_bytes(key, value)?;
            let gone = !merge.undone && merge.inputs.iter().any(|id| ids.contains(id));
            if gone || (merge.undone && merge.until_ms <= now.millis()) {
                over.push(key.to_vec());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for key in over {
            self.staged.remove(Tab::Merges, key);
        }
        self.noted = true;
        Ok(Outcome::Done)
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

/// The last generation of the manifest that retired a segment; 0 where none has.
fn last_retirement(view: &impl View) -> ReadResult<u64> {
    Ok(crate::trash::retired(view)?.values().map(|one| one.generation).max().unwrap_or(0))
}
