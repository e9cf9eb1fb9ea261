//! `Counting`: a file as redb wants it that counts how often it was forced to the disk.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

/// A file that counts its syncs. Clones of the counter are the same counter.
#[derive(Debug)]
pub(crate) struct Counting {
    file: FileBackend,
    syncs: Arc<AtomicU64>,
}

/// How often the file was forced to the disk so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Syncs(Arc<AtomicU64>);

impl Syncs {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Counting {
    pub(crate) fn open(path: &Path) -> anyhow::Result<(Self, Syncs)> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let syncs = Syncs::default();
        Ok((Self { file: FileBackend::new(file)?, syncs: syncs.0.clone() }, syncs))
    }
}

impl StorageBackend for Counting {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
