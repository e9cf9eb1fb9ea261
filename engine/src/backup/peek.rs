//! A database file that is only looked at. redb writes when it opens a database, and more when it repairs or
//! closes one; what it writes here stays in memory, so that a state that is kept aside keeps its bytes, and the
//! sums of its pages go on to fit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, Database, DatabaseError, StorageBackend};

const PAGE: usize = barkeeper_storage::PAGE_BYTES;
/// What redb may keep of a database that it repairs or reads here.
const CACHE_BYTES: usize = 64 << 20;

#[derive(Debug)]
struct Peek {
    file: Arc<File>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// How much of the file counts: what was cut off once is zeros.
    of_file: u64,
    /// Pages that were written, by their numbers.
    written: BTreeMap<u64, Vec<u8>>,
}

/// Opens a database without writing to its file, whose lock is the caller's business.
pub(crate) fn peek(file: Arc<File>) -> Result<Database, DatabaseError> {
    let len = file.metadata().map_err(redb::StorageError::from)?.len();
    let state = Mutex::new(State { len, of_file: len, written: BTreeMap::new() });
    Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(Peek { file, state })
}

/// The parts of pages that a range of bytes lies on: the page's number, where it begins there, and how long it is.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = usize::try_from(at % PAGE as u64).unwrap_or(0);
        let part = (PAGE - within).min(len - done);
        done += part;
        (part > 0).then_some((at / PAGE as u64, within, part))
    })
}

impl Peek {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as it would be, had all been written.
    fn page(&self, state: &State, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = state.written.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Vec::with_capacity(PAGE);
        let start = number * PAGE as u64;
        let there = state.of_file.saturating_sub(start).min(PAGE as u64);
        // The lock on the state keeps others from moving the file's place meanwhile.
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(start))?;
        file.take(there).read_to_end(&mut page)?;
        page.resize(PAGE, 0);
        Ok(page)
    }
}

impl StorageBackend for Peek {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (number, within, part) in parts(offset, rest.len()) {
            let page = self.page(&state, number)?;
            let (to, behind) = rest.split_at_mut(part);
            to.copy_from_slice(page.get(within..within + part).unwrap_or_default());
            rest = behind;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if len < state.len {
            // Page by page, as redb does: what lies behind the new end is gone.
            drop(state.written.split_off(&len.div_ceil(PAGE as u64)));
            state.of_file = state.of_file.min(len);
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut rest = data;
        for (number, within, part) in parts(offset, data.len()) {
            let mut page = self.page(&state, number)?;
            let (from, behind) = rest.split_at(part);
            if let Some(to) = page.get_mut(within..within + part) {
                to.copy_from_slice(from);
            }
            state.written.insert(number, page);
            rest = behind;
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]
mod tests {
    use proptest::prelude::*;
    use redb::{ReadableDatabase, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("t");

    #[test]
    fn a_database_that_is_looked_at_keeps_its_bytes_whatever_is_done_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        let put = |db: &Database, keys: std::ops::Range<u64>| {
            let txn = db.begin_write().unwrap();
            for key in keys {
                txn.open_table(TABLE).unwrap().insert(key, [7; 900].as_slice()).unwrap();
            }
            txn.commit().unwrap();
        };
        let db = Database::create(&path).unwrap();
        put(&db, 0..300);
        drop(db);
        let before = std::fs::read(&path).unwrap();
        let db = peek(Arc::new(File::open(&path).unwrap())).unwrap();
        put(&db, 300..3_000);
        let read = |db: &Database, key: u64| {
            let txn = db.begin_read().unwrap();
            txn.open_table(TABLE).unwrap().get(key).unwrap().map(|value| value.value().len())
        };
        assert_eq!((read(&db, 0), read(&db, 2_999), read(&db, 3_000)), (Some(900), Some(900), None));
        drop(db);
        assert!(std::fs::read(&path).unwrap() == before);
    }

    proptest! {
        #[test]
        fn it_reads_as_a_file_does_that_is_written_to(
            steps in prop::collection::vec((0..3_u8, 0..40_000_u64, 1..9_000_usize), 1..40),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            let mut model: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
            std::fs::write(&path, &model).unwrap();
            let len = model.len() as u64;
            let state = Mutex::new(State { len, of_file: len, written: BTreeMap::new() });
            let peek = Peek { file: Arc::new(File::open(&path).unwrap()), state };
            for (number, (what, offset, len)) in steps.into_iter().enumerate() {
                let start = usize::try_from(offset).unwrap();
                match what {
                    0 => {
                        // redb asks for whole pages.
                        let pages = offset / PAGE as u64 * PAGE as u64;
                        peek.set_len(pages).unwrap();
                        model.resize(usize::try_from(pages).unwrap(), 0);
                    }
                    1 => {
                        let data = vec![u8::try_from(number).unwrap() + 1; len];
                        peek.write(offset, &data).unwrap();
                        model.resize(model.len().max(start + len), 0);
                        model[start..start + len].copy_from_slice(&data);
                    }
                    _ => {
                        let mut out = vec![0; len];
                        let read = peek.read(offset, &mut out);
                        match model.get(start..start + len) {
                            Some(expected) => prop_assert!(read.is_ok() && out == expected),
                            None => prop_assert!(read.is_err()),
                        }
                    }
                }
                prop_assert_eq!(peek.len().unwrap(), model.len() as u64);
            }
        }
    }
}
