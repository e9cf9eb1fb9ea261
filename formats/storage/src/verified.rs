//! `VerifiedFile`: a segment file of which every byte is checked before it is returned.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use xxhash_rust::xxh3::xxh3_64;

use crate::held::while_held;

/// Bytes that share a checksum.
pub(crate) const BLOCK: u64 = 8 * 1024;

/// Why a segment could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The operating system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file has another layout than this program reads.
    #[error("{}: the file has layout {found}, this program reads layout {known}", path.display())]
    Layout {
        /// Which file.
        path: PathBuf,
        /// What the file says.
        found: String,
        /// What this program reads.
        known: u32,
    },
    /// The file is not the one that was published.
    #[error("{}: damaged: {detail}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
}

impl SegmentError {
    /// Whether the published bytes are damaged or gone, as opposed to unreachable.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Layout { .. } => false,
        }
    }

    pub(crate) fn parquet(path: &Path, error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(source) if source.kind() != io::ErrorKind::InvalidData => {
                    Self::Io { path: path.to_owned(), source: *source }
                }
                Ok(source) => Self::Damaged { path: path.to_owned(), detail: source.to_string() },
                Err(other) => Self::Damaged { path: path.to_owned(), detail: other.to_string() },
            },
            other => Self::Damaged { path: path.to_owned(), detail: other.to_string() },
        }
    }
}

/// Calls into the general reader of Parquet, which panics on some files that only a hand can have forged: their
/// checksums fit. Who reads gets an error.
pub(crate) fn guarded<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, SegmentError>,
) -> Result<T, SegmentError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let detail = "its pages or its footer do not decode".to_owned();
        Err(SegmentError::Damaged { path: path.to_owned(), detail })
    })
}

/// A file whose 8 KiB blocks have known checksums.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedFile {
    file: Arc<File>,
    len: u64,
    blocks: Arc<[u64]>,
}

impl VerifiedFile {
    pub(crate) fn open(path: &Path, len: u64, blocks: Arc<[u64]>) -> Result<Self, SegmentError> {
        let io = |source| SegmentError::Io { path: path.to_owned(), source };
        let file = while_held(path, || File::open(path)).map_err(io)?;
        let found = file.metadata().map_err(io)?.len();
        if found != len || blocks.len() as u64 != len.div_ceil(BLOCK) {
            let detail = format!("{found} bytes long, published with {len}");
            return Err(SegmentError::Damaged { path: path.to_owned(), detail });
        }
        Ok(Self { file: Arc::new(file), len, blocks })
    }

    fn read_verified(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = Vec::new();
        let skip = self.read_blocks(start, length, &mut bytes)?;
        Ok(Bytes::from(bytes).slice(skip..skip + length))
    }

    /// Reads a range through a buffer that is used again and again.
    pub(crate) fn read_into<'a>(
        &self,
        start: u64,
        length: usize,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], ParquetError> {
        let skip = self.read_blocks(start, length, buffer)?;
        Ok(buffer.get(skip..skip + length).unwrap_or_default())
    }

    /// Reads and verifies the blocks that hold a range; answers where in the buffer the range begins.
    fn read_blocks(&self, start: u64, length: usize, buffer: &mut Vec<u8>) -> Result<usize, ParquetError> {
        let end = start.saturating_add(length as u64);
        if end > self.len {
            return Err(ParquetError::EOF(format!("bytes {start}..{end} of {}", self.len)));
        }
        let first = start / BLOCK;
        let from = first * BLOCK;
        let to = end.div_ceil(BLOCK).saturating_mul(BLOCK).min(self.len);
        let bytes = buffer;
        bytes.resize(usize::try_from(to - from).unwrap_or(0), 0);
        read_at(&self.file, bytes, from).map_err(|e| ParquetError::External(Box::new(e)))?;
        let expected =
            usize::try_from(first).ok().and_then(|first| self.blocks.get(first..)).unwrap_or_default();
        let size = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        for (number, (block, sum)) in bytes.chunks(size).zip(expected).enumerate() {
            if xxh3_64(block) != *sum {
                let place = from + number as u64 * BLOCK;
                let detail = format!("the checksum of the 8 KiB at byte {place} does not fit");
                return Err(ParquetError::External(Box::new(io::Error::new(
                    io::ErrorKind::InvalidData,
                    detail,
                ))));
            }
        }
        Ok(usize::try_from(start - from).unwrap_or(0))
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    let (mut done, total) = (0, bytes.len());
    while done < total {
        let rest = bytes.get_mut(done..).unwrap_or_default();
        match file.seek_read(rest, offset + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}

impl Length for VerifiedFile {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for VerifiedFile {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let rest = usize::try_from(self.len.saturating_sub(start)).unwrap_or(usize::MAX);
        // Callers read a header and come back with a range; one block is enough for a header.
        let length = rest.min(usize::try_from(BLOCK).unwrap_or(rest));
        Ok(self.read_verified(start, length)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read_verified(start, length)
    }
}

/// Hashes a whole file with BLAKE3.
///
/// # Errors
/// `Io`.
pub fn hash_file(path: &Path) -> Result<[u8; 32], SegmentError> {
    let io = |source| SegmentError::Io { path: path.to_owned(), source };
    let mut file = while_held(path, || File::open(path)).map_err(io)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(io)?;
        if read == 0 {
            return Ok(*hasher.finalize().as_bytes());
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}
