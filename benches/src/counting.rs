//! `Counting`: a file as redb wants it that counts what is written and forced to the disk.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::measure::nanos;

/// A file that counts what is done with it.
#[derive(Debug)]
pub(crate) struct Counting {
    file: FileBackend,
    work: DiskWork,
}

/// What was done with the file so far. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskWork(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    syncs: AtomicU64,
    sync_ns: AtomicU64,
    writes: AtomicU64,
    bytes: AtomicU64,
}

impl DiskWork {
    /// How often it was forced to the disk.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::SeqCst)
    }

    /// Nanoseconds in which it was forced to the disk.
    pub(crate) fn sync_ns(&self) -> u64 {
        self.0.sync_ns.load(Ordering::SeqCst)
    }

    /// How many pieces were written.
    pub(crate) fn writes(&self) -> u64 {
        self.0.writes.load(Ordering::SeqCst)
    }

    /// Bytes of all pieces that were written.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::SeqCst)
    }
}

impl Counting {
    pub(crate) fn open(path: &Path) -> anyhow::Result<(Self, DiskWork)> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let work = DiskWork::default();
        Ok((Self { file: FileBackend::new(file)?, work: work.clone() }, work))
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
        let start = Instant::now();
        let done = self.file.sync_data();
        self.work.0.syncs.fetch_add(1, Ordering::SeqCst);
        self.work.0.sync_ns.fetch_add(nanos(start.elapsed()), Ordering::SeqCst);
        done
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.work.0.writes.fetch_add(1, Ordering::SeqCst);
        self.work.0.bytes.fetch_add(data.len() as u64, Ordering::SeqCst);
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
