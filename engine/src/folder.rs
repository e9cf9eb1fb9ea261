//! The store's folder: its parts, the owner's note, durable renames.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use barkeeper_records::Timestamp;
use barkeeper_storage::while_held;

use crate::error::{OpenError, Owner};

pub(crate) const DATABASE: &str = "store.redb";
/// The database while its store is made.
pub(crate) const UNFINISHED: &str = "store.redb.new";
/// The sums of the database's pages, from its last close.
pub(crate) const SUMS: &str = "store.sums";
/// Bytes that are kept back for a full disk.
pub(crate) const RESERVE: &str = "reserve";
pub(crate) const OWNER: &str = "owner.json";
pub(crate) const BARS: &str = "bars";
pub(crate) const TICKS: &str = "ticks";
pub(crate) const MARKET_TRADES: &str = "market_trades";
pub(crate) const STAGING: &str = "staging";
pub(crate) const TRASH: &str = "trash";

/// A file that is open, and the name by which it was found.
pub(crate) struct Named {
    path: PathBuf,
    id: FileId,
}

/// Device and inode.
#[cfg(unix)]
type FileId = (u64, u64);
/// Volume and index of the file, which are its own as long as it is open.
#[cfg(not(unix))]
type FileId = same_file::Handle;

impl Named {
    pub(crate) fn of(file: &File, path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        let id = id_of(&file.metadata()?);
        #[cfg(not(unix))]
        let id = same_file::Handle::from_file(file.try_clone()?)?;
        Ok(Self { path: path.to_owned(), id })
    }

    /// Whether the name still leads to the file. Between the opening of a database and its lock it may have been
    /// replaced: then the lock is one on a state that is kept aside.
    pub(crate) fn holds(&self) -> bool {
        #[cfg(unix)]
        let now = fs::metadata(&self.path).map(|data| id_of(&data));
        #[cfg(not(unix))]
        let now = same_file::Handle::from_path(&self.path);
        now.is_ok_and(|now| now == self.id)
    }
}

#[cfg(unix)]
fn id_of(data: &fs::Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt as _;
    (data.dev(), data.ino())
}

/// Makes the folders that a store needs.
pub(crate) fn make(dir: &Path) -> io::Result<()> {
    for part in [BARS, TICKS, MARKET_TRADES, STAGING, TRASH] {
        fs::create_dir_all(dir.join(part))?;
    }
    Ok(())
}

/// Whether a folder holds nothing but what a cut-off making of a store leaves.
pub(crate) fn is_unmade(dir: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let part = [BARS, TICKS, MARKET_TRADES, STAGING, TRASH].iter().any(|part| name == *part);
        let empty_part = part && entry.file_type()?.is_dir() && fs::read_dir(entry.path())?.next().is_none();
        if !empty_part && name != UNFINISHED && name != SUMS {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The database of a folder that should hold a store.
pub(crate) fn database(dir: &Path) -> Result<PathBuf, OpenError> {
    let path = dir.join(DATABASE);
    if path.is_file() {
        Ok(path)
    } else if has_traces(dir) {
        Err(OpenError::DatabaseMissing { path })
    } else {
        Err(OpenError::NotFound { path: dir.to_owned() })
    }
}

/// Whether a store was once open in a folder: what is there was written by one.
fn has_traces(dir: &Path) -> bool {
    let has_segments = |part: &&str| segment_files(&dir.join(part)).is_ok_and(|files| !files.is_empty());
    dir.join(OWNER).is_file() || [BARS, TICKS, MARKET_TRADES, STAGING].iter().any(has_segments)
}

/// Forces a folder's entries to the disk, where the system has a way to.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    // The parent of a name without folders is empty and means the present folder.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Moves a file and forces the move to the disk.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    while_held(to, || fs::rename(from, to))?;
    // Where both are names of one file already, Unix leaves both.
    if fs::symlink_metadata(from).is_ok_and(|data| data.is_file()) {
        while_held(from, || fs::remove_file(from))?;
    }
    sync_dir(folder)?;
    if let Some(parent) = folder.parent() {
        sync_dir(parent)?;
    }
    Ok(())
}

/// Writes a file anew: beside it, forced to the disk, then in its place.
pub(crate) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut written = while_held(&fresh, || File::create(&fresh))?;
    written.write_all(content)?;
    written.sync_all()?;
    drop(written);
    rename_durably(&fresh, file)
}

/// Notes who has the store, for other processes to show.
pub(crate) fn write_owner(dir: &Path, program: &str, since: Timestamp) -> io::Result<()> {
    let owner = Owner { pid: std::process::id(), program: program.to_owned(), since };
    let path = dir.join(OWNER);
    let mut file = while_held(&path, || File::create(&path))?;
    file.write_all(serde_json::to_string(&owner)?.as_bytes())
}

/// Who has the store, where the note can be read.
pub(crate) fn read_owner(dir: &Path) -> Option<Owner> {
    serde_json::from_slice(&fs::read(dir.join(OWNER)).ok()?).ok()
}

/// All files below a folder whose names a segment may have, with their ids.
pub(crate) fn segment_files(dir: &Path) -> io::Result<Vec<(PathBuf, u128)>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Some(id) = entry.file_name().to_str().and_then(barkeeper_storage::id_of_file_name) {
                found.push((entry.path(), id));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_to_another_file_than_the_one_that_was_opened_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&path, "one").unwrap();
        fs::write(&other, "two").unwrap();
        let named = Named::of(&File::open(&path).unwrap(), &path).unwrap();
        assert!(named.holds());
        fs::rename(&path, dir.path().join("aside")).unwrap();
        assert!(!named.holds());
        fs::rename(&other, &path).unwrap();
        assert!(!named.holds());
    }

    #[test]
    fn a_file_that_is_moved_over_another_name_of_itself_has_one_name_left() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("trash/a"));
        fs::write(&from, "content").unwrap();
        fs::create_dir(dir.path().join("trash")).unwrap();
        fs::hard_link(&from, &to).unwrap();
        rename_durably(&from, &to).unwrap();
        assert!(!from.exists());
        assert_eq!(fs::read_to_string(&to).unwrap(), "content");
    }
}
