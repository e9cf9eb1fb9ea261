//! Files that should not be where they are, or are not what the store has of them: a part of `verify`.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barkeeper_storage::{hash_file, id_of_file_name};

use crate::error::{ReadError, ReadResult};
use crate::folder::{BARS, TRASH};
use crate::snapshot::Snapshot;
use crate::trash::retired;

impl Snapshot {
    /// Files below `bars/` that no entry of the store names, and retired files that an undo could not use.
    /// Each with what is wrong; nothing of it is damage to what is stored.
    pub(crate) fn strays(&self) -> ReadResult<Vec<(String, String)>> {
        let cache = &self.inner().segments;
        let retired = retired(self.view())?;
        let manifest = cache.manifest(self.view())?;
        let mut known: HashSet<u128> = manifest.entries.iter().map(|entry| entry.id).collect();
        known.extend(retired.keys());
        let mut found = Vec::new();
        let root = cache.root();
        for path in files_below(&root.join(BARS)).map_err(|source| ReadError::Io { source })? {
            let id = path.file_name().and_then(OsStr::to_str).and_then(id_of_file_name);
            if id.is_none_or(|id| !known.contains(&id)) {
                let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                found.push((shown, "a file that the store knows nothing of".to_owned()));
            }
        }
        let now = self.inner().options.clock.now();
        for one in retired.values().filter(|one| one.until > now) {
            let (place, trashed) =
                (root.join(one.entry.path()), root.join(TRASH).join(one.entry.file_name()));
            let file = if place.exists() { place } else { trashed };
            // One that is gone is missed by an undo alone: a restored backup has none of them.
            let detail = match hash_file(&file) {
                Ok(hash) if hash == one.entry.blake3 => continue,
                Err(_) if !file.exists() => continue,
                Ok(_) => "it is damaged: the merge that replaced it cannot be undone".to_owned(),
                Err(error) => format!("the merge that replaced it cannot be undone: {error}"),
            };
            found.push((format!("{TRASH}/{}", one.entry.file_name()), detail));
        }
        found.sort();
        Ok(found)
    }
}

fn files_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    Ok(found)
}
