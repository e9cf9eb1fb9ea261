//! Places where a test cuts a publication off, and stores on a disk of a test's own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;

use crate::compact::{CompactOptions, CompactReport};
use crate::error::{MaintenanceError, OpenError};
use crate::folder::DATABASE;
use crate::hot::{Hot, damaged_structure};
use crate::options::StoreOptions;
use crate::store::Store;

pub(crate) type Hook = Box<dyn FnMut(usize, &'static str) -> bool + Send>;

/// What a test does at the steps of a publication.
#[derive(Default)]
pub(crate) struct Faults {
    hook: Mutex<Option<(Hook, usize)>>,
}

impl Faults {
    pub(crate) fn set(&self, hook: Hook) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some((hook, 0));
    }

    pub(crate) fn is_set(&self) -> bool {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn step(&self, name: &'static str) -> Result<(), MaintenanceError> {
        // The hook may commit to the same store, so it is not called under the lock.
        let taken = self.hook.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((mut hook, count)) = taken else { return Ok(()) };
        let cut = hook(count, name);
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some((hook, count + 1));
        if cut { Err(MaintenanceError::Cut(count)) } else { Ok(()) }
    }
}

impl Store {
    /// Creates or opens a store whose database lies on a storage backend of a test.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn on_backend(
        backend: impl StorageBackend,
        dir: &Path,
        options: StoreOptions,
    ) -> Result<Self, OpenError> {
        // The disk of the test is another one than that of the folder.
        let options = StoreOptions { reserve_bytes: 0, ..options };
        let hot = Hot::open(Box::new(backend), None, true, dir, &options)?;
        let opened = catch_unwind(AssertUnwindSafe(|| Self::begin(hot, dir, options)));
        opened.unwrap_or_else(|_| Err(damaged_structure(&dir.join(DATABASE))))
    }

    /// As [`Store::compact`], on the disk on which the store is open.
    ///
    /// # Errors
    /// As [`Store::compact`].
    pub fn compact_here(self, what: &CompactOptions) -> Result<CompactReport, MaintenanceError> {
        self.compact_open(*what, &mut |_, _| {})
    }

    /// Calls `hook` at every step of a publication with the step's number and name; true cuts it off there.
    pub fn on_step(&self, hook: impl FnMut(usize, &'static str) -> bool + Send + 'static) {
        self.inner().faults.set(Box::new(hook));
    }
}
