//! Finds the files that an import was given: those that were named, and everything below folders.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders inside each other that are followed; deeper ones are a loop or a mistake.
const DEEPEST: usize = 64;
/// Files of one import; all their paths are kept in memory.
const MOST_FILES: usize = 1_000_000;

/// Why files could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// Nothing has this name.
    #[error("there is no file or folder {}", path.display())]
    NotFound {
        /// What was named.
        path: PathBuf,
    },
    /// A folder that cannot be listed, or a file without readable attributes.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// More folders inside each other than are followed.
    #[error("{}: more than 64 folders inside each other", path.display())]
    TooDeep {
        /// The deepest.
        path: PathBuf,
    },
    /// More files than one import takes.
    #[error("more than 1,000,000 files: import parts of the folder")]
    TooMany,
}

/// A file to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Whether it was named itself, so that not knowing it is an error.
    pub(crate) named: bool,
}

/// Finds all files, each once, in the order of the arguments and below folders in the order of names.
pub(crate) fn walk(paths: &[PathBuf]) -> Result<Vec<Found>, WalkError> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        let meta = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => WalkError::NotFound { path: path.clone() },
            _ => WalkError::Io { path: path.clone(), source },
        })?;
        if meta.is_dir() {
            folder(path, 0, &mut found, &mut seen)?;
        } else if seen.insert(path.clone()) {
            found.push(Found { path: path.clone(), bytes: meta.len(), named: true });
        }
    }
    Ok(found)
}

fn folder(
    path: &Path,
    depth: usize,
    found: &mut Vec<Found>,
    seen: &mut BTreeSet<PathBuf>,
) -> Result<(), WalkError> {
    if depth > DEEPEST {
        return Err(WalkError::TooDeep { path: path.to_owned() });
    }
    let io_error = |source| WalkError::Io { path: path.to_owned(), source };
    let entries: Result<Vec<_>, _> = fs::read_dir(path).map_err(io_error)?.collect();
    let mut entries = entries.map_err(io_error)?;
    // A store is no source: its own files would be listed as not recognised.
    if entries.iter().any(|entry| entry.file_name() == "store.redb") {
        return Ok(());
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(|source| WalkError::Io { path: path.clone(), source })?;
        if kind.is_dir() {
            folder(&path, depth + 1, found, seen)?;
            continue;
        }
        // A link to a folder could lead back up; a link to a file is that file.
        let meta = fs::metadata(&path).map_err(|source| WalkError::Io { path: path.clone(), source })?;
        if meta.is_file() && seen.insert(path.clone()) {
            found.push(Found { path, bytes: meta.len(), named: false });
        }
        if found.len() > MOST_FILES {
            return Err(WalkError::TooMany);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_once_in_order_and_stores_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b/2.csv", "b/1.csv", "a.day", ".hidden/x.csv", "mystore/store.redb", "mystore/y.csv"] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let named = root.path().join("b/2.csv");
        let found = walk(&[named.clone(), root.path().to_owned()]).unwrap();
        let names: Vec<_> =
            found.iter().map(|f| (f.path.strip_prefix(root.path()).unwrap(), f.named)).collect();
        let expected = [("b/2.csv", true), ("a.day", false), ("b/1.csv", false)];
        assert_eq!(names, expected.map(|(name, named)| (Path::new(name), named)));
        let error = walk(&[root.path().join("none")]).unwrap_err();
        assert!(matches!(error, WalkError::NotFound { .. }));
    }
}
