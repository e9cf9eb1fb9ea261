//! The lock on a store's database, as redb takes it: whoever opens the store meanwhile is told so.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend};

use crate::backup::error::{BackupError, at};
use crate::error::OpenError;
use crate::folder::{self, DATABASE, Named};
use crate::hot::open_error;

/// The database of a folder, locked until this is dropped.
pub(crate) struct Locked {
    file: Arc<File>,
    backend: Arc<FileBackend>,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Where that cannot be, the lock goes with the file.
        drop(self.backend.close());
    }
}

impl Locked {
    /// Locks the database of a folder; `None` where there is none.
    pub(crate) fn take(dir: &Path) -> Result<Option<Self>, BackupError> {
        let path = dir.join(DATABASE);
        if !path.is_file() {
            return Ok(None);
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(at(&path))?;
        let named = Named::of(&file, &path).map_err(at(&path))?;
        let reader = Arc::new(file.try_clone().map_err(at(&path))?);
        let refused = |error| BackupError::from(open_error(dir, error));
        let backend = Arc::new(FileBackend::new(file).map_err(refused)?);
        let locked = Self { file: reader, backend };
        let taken = Arc::new(AtomicBool::new(false));
        let only = LocksOnly { file: locked.backend.clone(), taken: taken.clone() };
        match Database::builder().create_with_backend(only) {
            Err(DatabaseError::Storage(redb::StorageError::Io(error))) if is_end(&error) => {}
            Err(error) => return Err(refused(error)),
            Ok(_) => return Err(at(&path)(io::Error::other("a database of nothing was opened"))),
        }
        if !taken.load(Ordering::SeqCst) {
            return Err(at(&path)(io::ErrorKind::Unsupported.into()));
        }
        if named.holds() { Ok(Some(locked)) } else { Err(in_use(dir)) }
    }

    /// The file, which nobody but its holder may read on Windows.
    pub(crate) const fn file(&self) -> &Arc<File> {
        &self.file
    }
}

/// The store of a folder is somebody else's.
pub(crate) fn in_use(dir: &Path) -> BackupError {
    OpenError::InUse { path: dir.to_owned(), owner: folder::read_owner(dir) }.into()
}

const END: &str = "the locks are taken, and nothing else is asked for";

fn end() -> io::Error {
    io::Error::other(END)
}

fn is_end(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.to_string() == END)
}

/// Lets redb take the locks that it takes when it opens a database, and keeps it from everything that comes after.
#[derive(Debug)]
struct LocksOnly {
    file: Arc<FileBackend>,
    /// Whether there is a lock at all: redb goes on without where a disk knows none.
    taken: Arc<AtomicBool>,
}

impl StorageBackend for LocksOnly {
    fn len(&self) -> io::Result<u64> {
        Err(end())
    }

    fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(end())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(end())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(end())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(end())
    }

    fn close(&self) -> io::Result<()> {
        // The locks stay.
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let taken = self.file.try_lock_range(start, end);
        self.taken.fetch_or(matches!(taken, Ok(true)), Ordering::SeqCst);
        taken
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn is_in_use(dir: &tempfile::TempDir) -> bool {
        let refused = Locked::take(dir.path()).map(drop).unwrap_err();
        matches!(refused, BackupError::Open(error) if matches!(*error, OpenError::InUse { .. }))
    }

    #[test]
    fn what_is_locked_is_no_ones_to_open_and_free_again_when_the_lock_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Locked::take(dir.path()).unwrap().is_none());
        let path = dir.path().join(DATABASE);
        let open = || Database::create(&path);
        drop(open().unwrap());
        for _ in 0..2 {
            let before = std::fs::read(&path).unwrap();
            let locked = Locked::take(dir.path()).unwrap().unwrap();
            assert!(matches!(open(), Err(DatabaseError::DatabaseAlreadyOpen)));
            assert!(is_in_use(&dir));
            drop(locked);
            assert!(std::fs::read(&path).unwrap() == before);
            let opened = open().unwrap();
            assert!(is_in_use(&dir));
            drop(opened);
        }
        // One that is no database is locked as well: it may have to be replaced.
        std::fs::write(&path, "no database").unwrap();
        assert!(Locked::take(dir.path()).unwrap().is_some());
    }
}
