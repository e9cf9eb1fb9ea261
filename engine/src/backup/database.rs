//! Copying `store.redb` through a read transaction: table by table into a new file, every checksum
//! verified on the way. A raw copy of a live file often cannot be opened.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use barkeeper_storage::ContentHasher;
use redb::Database;

use crate::backup::error::{BackupError, redb_at};
use crate::backup::repository::sync_file;
use crate::error::{ReadError, ReadResult};
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::verify::check_row;
use crate::view::View;

/// Bytes that one transaction of a copy takes in.
const PART_BYTES: usize = 32 << 20;
/// Pages of a copy that are kept in memory.
const CACHE_BYTES: usize = 64 << 20;

/// The content hash of a snapshot, without copying it.
pub(crate) fn content_of(snapshot: &Snapshot) -> ReadResult<String> {
    let mut content = ContentHasher::new();
    for tab in Tab::ALL {
        content.table(tab.name());
        snapshot.view().scan_prefix(*tab, &[], &mut |key, value| {
            content.entry(key, value);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(content.hex())
}

/// Writes the tables of a snapshot into a new database file, forces it to the disk, has redb check it
/// whole, and answers its content hash. Needs about 64 MiB of memory, however large the store is.
///
/// # Errors
/// `Read` where a stored value is damaged: no backup is made of what cannot be trusted.
pub(crate) fn copy_database(
    snapshot: &Snapshot,
    to: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<String, BackupError> {
    let known: BTreeSet<&str> = Tab::ALL.iter().map(|tab| tab.name()).collect();
    let unknown = snapshot.view().tables()?.into_iter().find(|name| !known.contains(name.as_str()));
    if let Some(name) = unknown {
        let detail = format!("it has the table {name}, which this program does not know");
        return Err(ReadError::Damaged { detail }.into());
    }
    let copied = catch_unwind(AssertUnwindSafe(|| copy_tables(snapshot, to, progress)));
    let content = copied.unwrap_or_else(|_| Err(broken(to)))?;
    check(to)?;
    Ok(content)
}

fn broken(path: &Path) -> BackupError {
    BackupError::Damaged {
        path: path.to_owned(),
        detail: "a page of the database does not decode".to_owned(),
    }
}

fn copy_tables(snapshot: &Snapshot, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<String, BackupError> {
    let wrong = |error: redb::Error| redb_at(to, error);
    let db = Database::builder().set_cache_size(CACHE_BYTES).create(to).map_err(|e| wrong(e.into()))?;
    let mut content = ContentHasher::new();
    for tab in Tab::ALL {
        content.table(tab.name());
        let mut from = Some(Vec::new());
        while let Some(start) = from.take() {
            let txn = db.begin_write().map_err(|e| wrong(e.into()))?;
            let mut bytes = 0;
            // A table without entries comes into being with its first one.
            let mut table = None;
            let mut failed = None;
            snapshot.view().scan(*tab, &start, &[], false, &mut |key, value| {
                if bytes >= PART_BYTES {
                    from = Some(key.to_vec());
                    return Ok(ControlFlow::Break(()));
                }
                check_row(*tab, key, value)?;
                content.entry(key, value);
                bytes += key.len() + value.len();
                let done = match &mut table {
                    Some(table) => insert(table, key, value),
                    slot => txn
                        .open_table(tab.definition())
                        .map_err(redb::Error::from)
                        .and_then(|opened| insert(slot.insert(opened), key, value)),
                };
                if let Err(error) = done {
                    failed = Some(error);
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            drop(table);
            if let Some(error) = failed {
                return Err(wrong(error));
            }
            txn.commit().map_err(|e| wrong(e.into()))?;
            progress(bytes as u64);
        }
    }
    Ok(content.hex())
}

fn insert(
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    value: &[u8],
) -> Result<(), redb::Error> {
    table.insert(key, value)?;
    Ok(())
}

/// Has redb check a file that nobody has open, page by page, and forces it to the disk.
pub(crate) fn check(path: &Path) -> Result<(), BackupError> {
    let whole = catch_unwind(AssertUnwindSafe(|| {
        let mut db = Database::builder().set_cache_size(CACHE_BYTES).open(path)?;
        Ok::<_, redb::Error>(db.check_integrity()?)
    }));
    match whole {
        Ok(Ok(true)) => sync_file(path),
        Ok(Ok(false)) => Err(BackupError::Damaged {
            path: path.to_owned(),
            detail: "pages do not fit their checksums".to_owned(),
        }),
        Ok(Err(error)) => Err(redb_at(path, error)),
        Err(_) => Err(broken(path)),
    }
}
