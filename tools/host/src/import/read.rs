//! Reads and parses files, several at a time, in bounded parts.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use barkeeper_records::ImportRecord;
use barkeeper_sources::{ImportOptions, SourceError, SourceFile, detect, file_hash};

use super::ReadFile;
use super::report::Refused;
use super::walk::Found;

/// Files of one part, and their bytes: what is in memory at a time beside the group of bars.
const PART_FILES: usize = 128;
const PART_BYTES: u64 = 64 * 1024 * 1024;
/// The largest file that is read into memory.
const FILE_BYTES: u64 = 1024 * 1024 * 1024;

/// What became of a file.
pub(super) enum Outcome {
    Read(Box<ReadFile>),
    /// Nothing of it is taken.
    Refused(Refused),
    /// It lay in a folder and no source knows it.
    Unrecognised(PathBuf),
}

/// Cuts the files into parts that fit memory; a larger file is a part of its own.
pub(super) fn parts(found: &[Found]) -> Vec<&[Found]> {
    let mut parts = Vec::new();
    let mut rest = found;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(PART_FILES).take_while(|file| {
            bytes += file.bytes;
            bytes <= PART_BYTES
        });
        let (part, behind) = rest.split_at(fitting.count().max(1));
        parts.push(part);
        rest = behind;
    }
    parts
}

/// Reads the files of a part on all processors; answers in their order.
pub(super) fn read(part: &[Found], options: &ImportOptions) -> Vec<Outcome> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(part.len());
    if threads < 2 {
        return part.iter().map(|found| read_one(found, options)).collect();
    }
    let share = part.len().div_ceil(threads);
    thread::scope(|scope| {
        let workers: Vec<_> =
            part.chunks(share).map(|files| (files, scope.spawn(move || read_all(files, options)))).collect();
        let join = |(files, worker): (&[Found], thread::ScopedJoinHandle<'_, Vec<Outcome>>)| {
            worker.join().unwrap_or_else(|_| files.iter().map(|file| broken(&file.path)).collect())
        };
        workers.into_iter().flat_map(join).collect()
    })
}

fn read_all(files: &[Found], options: &ImportOptions) -> Vec<Outcome> {
    files.iter().map(|found| read_one(found, options)).collect()
}

/// A parser that panics has a fault of ours; the file is left out like any other that cannot be read.
fn broken(path: &Path) -> Outcome {
    refuse(path, "reading the file failed inside the program; nothing of it was taken".to_owned())
}

fn refuse(path: &Path, reason: String) -> Outcome {
    Outcome::Refused(Refused { file: path.to_owned(), reason, option: None })
}

fn read_one(found: &Found, options: &ImportOptions) -> Outcome {
    let path = &found.path;
    if found.bytes > FILE_BYTES {
        return refuse(path, format!("{} bytes, more than the 1 GiB that is read at once", found.bytes));
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(path, error.to_string()),
    };
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    // A file named without its folder still lies in one, and the folder tells units and books.
    let full = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let folder = full.parent().map(|folder| folder.to_string_lossy());
    let file = SourceFile { name: &name, folder: folder.as_deref(), bytes: &bytes };
    let source = match detect(&file, options) {
        Ok(source) => source,
        Err(SourceError::Unrecognised { .. }) if !found.named => return Outcome::Unrecognised(path.clone()),
        Err(error) => return refuse(path, error.to_string()),
    };
    match source.parse(&file, options) {
        Ok(parsed) => {
            let record = ImportRecord {
                hash: file_hash(&bytes),
                source: parsed.source.to_owned(),
                file: name.into_owned(),
                rows: parsed.rows(),
                rejected: parsed.rejected.len() as u64,
                quality: parsed.quality,
            };
            Outcome::Read(Box::new(ReadFile { path: path.clone(), parsed, record }))
        }
        Err(error) => {
            let option = if let SourceError::Missing { option, .. } = error { Some(option) } else { None };
            Outcome::Refused(Refused { file: path.clone(), reason: error.to_string(), option })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: u64) -> Found {
        Found { path: "x".into(), bytes, named: false }
    }

    #[test]
    fn parts_are_bounded_by_files_and_by_bytes() {
        let small = vec![file(10); 300];
        let counts: Vec<usize> = parts(&small).iter().map(|part| part.len()).collect();
        assert_eq!(counts, [128, 128, 44]);
        let large = [file(10), file(PART_BYTES * 3), file(10), file(PART_BYTES), file(1)];
        let counts: Vec<usize> = parts(&large).iter().map(|part| part.len()).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1]);
        assert!(parts(&[]).is_empty());
    }
}
