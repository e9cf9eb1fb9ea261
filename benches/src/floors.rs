//! Floors: what the machine itself takes, measured in the same run and in the same folder.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, TableDefinition};

use crate::measure::{Timing, time};
use crate::row::Floor;

/// The one table of a raw redb file.
pub(crate) const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("floor");

/// Bytes and places of a forced write.
const BLOCK: usize = 4_096;
const PLACES: usize = 256;

/// Copying what a read returned.
pub(crate) fn copy<T: Clone>(found: &[T]) -> Floor {
    let timed: Result<Timing, Infallible> = time(2_000, |_| {
        drop(black_box(black_box(found).to_vec()));
        Ok(())
    });
    let timing = match timed {
        Ok(timing) => timing,
        Err(never) => match never {},
    };
    Floor { what: "copy of the same bytes", timing }
}

/// A file of the folder in which 4 KB are written in place and forced to the disk; gone with this value.
#[derive(Debug)]
pub(crate) struct Forced {
    path: PathBuf,
    file: File,
}

impl Forced {
    pub(crate) fn new(folder: &Path) -> std::io::Result<Self> {
        let path = folder.join("floor.bin");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
        file.write_all(&vec![0; BLOCK * PLACES])?;
        file.sync_all()?;
        Ok(Self { path, file })
    }

    pub(crate) fn force(&mut self, call: usize) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start((call % PLACES * BLOCK) as u64))?;
        self.file.write_all(&[0x5a; BLOCK])?;
        self.file.sync_data()
    }
}

impl Drop for Forced {
    fn drop(&mut self) {
        // The folder goes as a whole; the file goes before only to save space.
        drop(std::fs::remove_file(&self.path));
    }
}

/// A write of 4 KB in place in the folder and a sync.
pub(crate) fn fsync(folder: &Path, calls: usize) -> anyhow::Result<Floor> {
    let mut file = Forced::new(folder)?;
    let timing = time(calls, |call| file.force(call))?;
    Ok(Floor { what: "one write and fsync", timing })
}

/// A raw redb file with one table of these entries.
pub(crate) fn redb_of(path: &Path, entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> anyhow::Result<Database> {
    let db = Database::create(path)?;
    let txn = db.begin_write()?;
    {
        let mut table = txn.open_table(TABLE)?;
        for (key, value) in entries {
            table.insert(key.as_slice(), value.as_slice())?;
        }
    }
    txn.commit()?;
    Ok(db)
}

/// One get of a raw redb file, its read transaction and table opened for it.
pub(crate) fn redb_get(db: &Database, keys: &[Vec<u8>]) -> anyhow::Result<Floor> {
    let timing = time(10_000, |call| -> anyhow::Result<()> {
        let Some(key) = keys.get(call % keys.len().max(1)) else { return Ok(()) };
        let table = db.begin_read()?.open_table(TABLE)?;
        let value = table.get(key.as_slice())?;
        black_box(value.map(|value| value.value().len()));
        Ok(())
    })?;
    Ok(Floor { what: "a raw redb get", timing })
}

/// A range over all entries of a raw redb file.
pub(crate) fn redb_range(db: &Database) -> anyhow::Result<Floor> {
    let timing = time(2_000, |_| -> anyhow::Result<()> {
        let table = db.begin_read()?.open_table(TABLE)?;
        let mut bytes = 0;
        for entry in table.range::<&[u8]>(..)? {
            let (key, value) = entry?;
            bytes += key.value().len() + value.value().len();
        }
        black_box(bytes);
        Ok(())
    })?;
    Ok(Floor { what: "a raw redb range", timing })
}

/// A durable commit of one entry of `bytes` bytes.
pub(crate) fn redb_commit(db: &Database, call: usize, bytes: &[u8]) -> anyhow::Result<()> {
    let txn = db.begin_write()?;
    {
        let mut table = txn.open_table(TABLE)?;
        table.insert((call as u64).to_be_bytes().as_slice(), bytes)?;
    }
    txn.commit()?;
    Ok(())
}
