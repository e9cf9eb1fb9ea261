//! `Readers`: the open snapshots of a store, what they hold, and when they expire.
//!
//! redb keeps every page that an open read transaction may see, so a reader that is forgotten makes the
//! file grow with each commit. A point snapshot is therefore let go after a while: its transaction stands
//! in a slot that it shares with this list, and who empties the slot ends it. A read that is going on at
//! that moment keeps the transaction to its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use barkeeper_records::{Lsn, limits};

use crate::error::{ReadError, ReadResult};
use crate::report::{OpenSnapshot, SnapshotKind};
use crate::view::ViewSlot;

#[derive(Debug, Default)]
struct Open {
    next: u64,
    held: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    kind: SnapshotKind,
    lsn: Lsn,
    since: i64,
    slot: Option<Arc<ViewSlot>>,
}

/// The open snapshots of a store.
#[derive(Debug)]
pub(crate) struct Readers {
    open: Mutex<Open>,
    /// Nanoseconds after which a point snapshot expires.
    age: i64,
}

/// A place in the list, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    readers: Arc<Readers>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = self.readers.open.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = open.held.remove(&self.number);
        drop(open);
        // The transaction, if it ends here, ends outside of the lock.
        drop(gone);
    }
}

impl Readers {
    pub(crate) fn new(age: std::time::Duration) -> Self {
        Self { open: Mutex::default(), age: i64::try_from(age.as_nanos()).unwrap_or(i64::MAX) }
    }

    /// Lists a snapshot. `now` is the steady clock's.
    pub(crate) fn register(
        self: &Arc<Self>,
        kind: SnapshotKind,
        lsn: Lsn,
        now: i64,
        slot: Option<Arc<ViewSlot>>,
    ) -> ReadResult<Registration> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if kind != SnapshotKind::Maintenance {
            let counted = |held: &&Held| held.kind != SnapshotKind::Maintenance;
            let (count, limit) = (open.held.len(), limits::OPEN_SNAPSHOTS);
            if count >= limit && open.held.values().filter(counted).count() >= limit {
                return Err(ReadError::Snapshots { limit });
            }
        }
        let number = open.next;
        open.next += 1;
        open.held.insert(number, Held { kind, lsn, since: now, slot });
        Ok(Registration { readers: self.clone(), number })
    }

    /// Ends the point snapshots that were held too long.
    pub(crate) fn expire(&self, now: i64) {
        let mut expired = Vec::new();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for held in open.held.values_mut() {
            let age = now.saturating_sub(held.since);
            if held.kind == SnapshotKind::Point && age > self.age {
                expired.extend(held.slot.take().map(|slot| (slot, age)));
            }
        }
        drop(open);
        for (slot, age) in expired {
            slot.expire(seconds(age), seconds(self.age));
        }
    }

    /// The open snapshots, the oldest first.
    pub(crate) fn list(&self, now: i64) -> Vec<OpenSnapshot> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |held: &Held| OpenSnapshot {
            kind: held.kind,
            lsn: held.lsn,
            seconds: seconds(now.saturating_sub(held.since)),
            expired: held.kind == SnapshotKind::Point && held.slot.is_none(),
        };
        open.held.values().map(shown).collect()
    }
}

fn seconds(nanos: i64) -> u64 {
    u64::try_from(nanos / 1_000_000_000).unwrap_or(0)
}
