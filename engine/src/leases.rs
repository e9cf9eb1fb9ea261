//! Leases: a file that an open snapshot may still read is neither moved nor deleted.
//!
//! Every snapshot holds the lease that is current when it begins. A commit that takes segments out of the
//! manifest passes to a new lease; until the old one is held by nobody, those segments stay where they are.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What a snapshot holds.
pub(crate) type Lease = Arc<()>;

/// The leases of a store.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    current: RwLock<Lease>,
    /// Leases that were passed, with the generation of the manifest that their holders may not see.
    passed: Mutex<Vec<(u64, Lease)>>,
}

impl Leases {
    /// The current lease. A snapshot takes it before its transaction begins.
    pub(crate) fn take(&self) -> Lease {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Passes to a new lease when the commit that made a generation of the manifest is durable.
    pub(crate) fn pass(&self, generation: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::take(&mut *current);
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).push((generation, old));
    }

    /// The first generation that some open snapshot may not see: what it or a later one retired is needed.
    pub(crate) fn needed(&self) -> Option<u64> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.retain(|(_, lease)| Arc::strong_count(lease) > 1);
        passed.iter().map(|(generation, _)| *generation).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_snapshot_may_read_is_needed_until_it_is_dropped() {
        let leases = Leases::default();
        let first = leases.take();
        leases.pass(4);
        let second = leases.take();
        leases.pass(5);
        assert_eq!(leases.needed(), Some(4));
        drop(first);
        assert_eq!(leases.needed(), Some(5));
        leases.pass(6);
        assert_eq!(leases.needed(), Some(5), "nobody holds the third lease");
        drop(second);
        assert_eq!(leases.needed(), None);
    }
}
