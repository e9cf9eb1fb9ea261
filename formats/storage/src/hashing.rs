//! `HashingFile`: a segment file that hashes what is written to it, whole and block by block.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::held::while_held;
use crate::verified::{BLOCK, SegmentError};

/// What a finished file is: its length and its hashes.
#[derive(Debug)]
pub(crate) struct Hashed {
    pub(crate) bytes: u64,
    pub(crate) blake3: [u8; 32],
    pub(crate) blocks: Vec<u64>,
}

/// A file that must not have existed, and the hashes of what was written to it so far.
#[derive(Debug)]
pub(crate) struct HashingFile {
    path: PathBuf,
    file: File,
    whole: blake3::Hasher,
    block: Vec<u8>,
    blocks: Vec<u64>,
    len: u64,
}

impl HashingFile {
    /// Creates the file.
    ///
    /// # Errors
    /// `Io`, also where the file exists.
    pub(crate) fn create(path: &Path) -> Result<Self, SegmentError> {
        let io = |source| SegmentError::Io { path: path.to_owned(), source };
        let create = || OpenOptions::new().write(true).create_new(true).open(path);
        let file = while_held(path, create).map_err(io)?;
        let (whole, block, blocks) = (blake3::Hasher::new(), Vec::new(), Vec::new());
        Ok(Self { path: path.to_owned(), file, whole, block, blocks, len: 0 })
    }

    /// Forces the file to the disk and closes it.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn finish(mut self) -> Result<Hashed, SegmentError> {
        self.file.sync_all().map_err(|source| SegmentError::Io { path: self.path.clone(), source })?;
        if !self.block.is_empty() {
            self.blocks.push(xxh3_64(&self.block));
        }
        Ok(Hashed { bytes: self.len, blake3: *self.whole.finalize().as_bytes(), blocks: self.blocks })
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        let mut rest = bytes.get(..written).unwrap_or_default();
        self.whole.update(rest);
        self.len += rest.len() as u64;
        let size = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        while !rest.is_empty() {
            let room = (size - self.block.len()).min(rest.len());
            let (head, tail) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.block.extend_from_slice(head);
            rest = tail;
            if self.block.len() == size {
                self.blocks.push(xxh3_64(&self.block));
                self.block.clear();
            }
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
