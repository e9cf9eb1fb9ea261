//! Replacing the store of a folder: the former one is kept aside, and renaming `store.redb` is the moment
//! at which the new one counts.
//!
//! Segments are never changed and their names are never given twice, so those of both stores may lie side
//! by side: until the rename the former store has all of its files and some that it does not name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barkeeper_records::Timestamp;
use barkeeper_storage::{DatabaseHeader, HEADER_BYTES, is_held, while_held, while_held_in};

use crate::backup::error::{BackupError, at};
use crate::backup::incarnation::{Known, standing};
use crate::backup::manifest::stamp;
use crate::backup::repository::copy_hashed;
use crate::backup::restore::{MARKER, files_below, make_parent, sync_folders};
use crate::error::OpenError;
use crate::folder::{self, BARS, DATABASE, Named, STAGING, SUMS};
use crate::sums;

/// Where the new store is built, inside the folder.
pub(crate) const RESTORING: &str = "restoring";
/// Where the former one is put together, inside `restoring/`.
const BEFORE: &str = "before";
const SAFETY_COPY: &str = "before-restore-";

/// Folders of a store that are kept aside by the segments in them.
pub(crate) const KEPT: [&str; 4] = [BARS, "ticks", "market_trades", STAGING];

/// The names of former states in a store's folder: `before-restore-0001-20261121T003235Z`.
pub(crate) struct SafetyCopy;

impl SafetyCopy {
    /// Its name without the time.
    pub(crate) fn name(number: u64) -> String {
        format!("{SAFETY_COPY}{number:04}")
    }

    pub(crate) fn all(dir: &Path) -> Result<Vec<(u64, PathBuf)>, BackupError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            let entry = entry.map_err(at(dir))?;
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(SAFETY_COPY));
            let number = rest.and_then(|rest| rest.split('-').next()?.parse().ok());
            found.extend(number.map(|number| (number, entry.path())));
        }
        found.sort();
        Ok(found)
    }

    /// One that has a database: the newest one by its number, or the one that is named: `before-restore-0001`, its
    /// whole name, or its number.
    pub(crate) fn undoable(dir: &Path, name: Option<&str>) -> Result<PathBuf, BackupError> {
        let mut all = Self::all(dir)?;
        let found = match name {
            None => all.pop().ok_or_else(|| BackupError::NothingToUndo { path: dir.to_owned() })?,
            Some(name) => {
                let is = |(number, path): &(u64, PathBuf)| {
                    name == Self::name(*number)
                        || name.parse() == Ok(*number)
                        || path.file_name() == Some(name.as_ref())
                };
                let none = || BackupError::NoFormerState { name: name.to_owned(), path: dir.to_owned() };
                all.into_iter().find(is).ok_or_else(none)?
            }
        };
        if !found.1.join(DATABASE).is_file() {
            return Err(BackupError::NoFormerDatabase { path: found.1 });
        }
        Ok(found.1)
    }

    /// The place of the next one.
    pub(crate) fn next(dir: &Path, now: Timestamp) -> Result<PathBuf, BackupError> {
        let number = Self::all(dir)?.last().map_or(0, |(number, _)| *number) + 1;
        Ok(dir.join(format!("{}-{}", Self::name(number), stamp(now))))
    }
}

/// Takes away the folder in which a store was built. The marker goes last: without it no later restore would
/// dare to remove the rest.
pub(crate) fn remove_built(building: &Path) -> io::Result<()> {
    for entry in fs::read_dir(building)? {
        let entry = entry?;
        if entry.file_name() == MARKER {
            continue;
        }
        let is_dir = entry.file_type()?.is_dir();
        if is_dir { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    fs::remove_dir_all(building)
}

/// Locks the database of a folder, as every process does that opens it; `None` where there is none.
fn lock(dir: &Path) -> Result<Option<Arc<File>>, BackupError> {
    let path = dir.join(DATABASE);
    if !path.is_file() {
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(at(&path))?;
    let named = Named::of(&file, &path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) if named.holds() => Ok(Some(Arc::new(file))),
        Ok(()) | Err(TryLockError::WouldBlock) => Err(in_use(dir)),
        Err(TryLockError::Error(source)) => Err(BackupError::Io { path, source }),
    }
}

fn in_use(dir: &Path) -> BackupError {
    OpenError::InUse { path: dir.to_owned(), owner: folder::read_owner(dir) }.into()
}

/// The header and the length of a database; `None` where they cannot be read.
fn header_of(mut database: &File) -> Option<(DatabaseHeader, u64)> {
    let mut header = vec![0; HEADER_BYTES];
    database.seek(SeekFrom::Start(0)).and_then(|_| database.read_exact(&mut header)).ok()?;
    Some((DatabaseHeader::read(&header)?, database.metadata().ok()?.len()))
}

/// Puts the sums of a folder's database, which the caller has locked, in their place, where a replacement before this
/// one was cut off: they are kept aside with the database.
fn settle_sums(dir: &Path, database: &File) {
    let place = dir.join(SUMS);
    if let Some((header, len)) = header_of(database)
        && !sums::read(&place).is_some_and(|known| sums::fit(&known, header, len))
        && let Some(known) = sums::find(dir, header, len)
    {
        // Where that cannot be, an open still finds them.
        drop(folder::replace(&place, &known.to_bytes()));
    }
}

/// Takes the sums of a database away: they would refuse another one, and are made again where they are missing.
fn remove_sums(dir: &Path) -> Result<(), BackupError> {
    let sums = dir.join(SUMS);
    match while_held(&sums, || fs::remove_file(&sums)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&sums)(error)),
        _ => folder::sync_dir(dir).map_err(at(dir)),
    }
}

/// The right to replace the store of a folder: nobody can open it meanwhile.
pub(crate) struct Swap {
    dir: PathBuf,
    /// The former database, locked; `None` where there is none.
    lock: Option<Arc<File>>,
}

impl Swap {
    pub(crate) fn begin(dir: &Path) -> Result<Self, BackupError> {
        let lock = lock(dir)?;
        if let Some(file) = &lock {
            settle_sums(dir, file);
        }
        Ok(Self { dir: dir.to_owned(), lock })
    }

    /// Where the former store stands; `None` where there is none, or none that can be read.
    pub(crate) fn former(&self) -> Option<Known> {
        standing(self.lock.clone()?)
    }

    /// Puts what was built in place of what is there. Answers where that is kept from now on.
    pub(crate) fn finish(
        self,
        building: &Path,
        aside: &Path,
        step: &dyn Fn(&'static str) -> Result<(), BackupError>,
    ) -> Result<Option<PathBuf>, BackupError> {
        let files = self.present()?;
        let kept = !files.is_empty();
        if kept {
            let before = building.join(BEFORE);
            self.set_aside(&files, &before)?;
            step("the former state is gathered")?;
            folder::rename_durably(&before, aside).map_err(at(aside))?;
            step("the former state is kept")?;
        }
        for file in files_below(building)? {
            let relative = file.strip_prefix(building).unwrap_or(&file);
            if ![DATABASE, SUMS, MARKER].map(Path::new).contains(&relative) {
                let place = self.dir.join(relative);
                folder::rename_durably(&file, &place).map_err(at(&place))?;
                step("a file is in its place")?;
            }
        }
        // Those that are kept aside serve until the other database is there.
        remove_sums(&self.dir)?;
        step("the sums are gone")?;
        let sums = self.dir.join(SUMS);
        self.exchange(&building.join(DATABASE), step)?;
        step("the store is in its place")?;
        let known = building.join(SUMS);
        if known.is_file() {
            // A state that comes back: without its sums, damage of one page would be damage of all of it.
            folder::rename_durably(&known, &sums).map_err(at(&sums))?;
            step("the sums are in their place")?;
        }
        // What cannot be removed now is removed by the next open.
        drop(remove_built(building));
        Ok(kept.then(|| aside.to_owned()))
    }

    /// Renames a database over the one that is there, with the lock on that.
    fn exchange(
        self,
        from: &Path,
        step: &dyn Fn(&'static str) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let place = self.dir.join(DATABASE);
        let Some(held) = self.lock.filter(|_| cfg!(windows)) else {
            return folder::rename_durably(from, &place).map_err(at(&place));
        };
        match fs::rename(from, &place) {
            Err(error) if is_held(&error) => {}
            done => return done.map_err(at(&place)),
        }
        // This disk renames over no file that is open. Whoever opens the store from now on keeps it.
        let before = header_of(&held);
        drop(held);
        step("the lock is free")?;
        let holds = |error: &BackupError| matches!(error, BackupError::Io { source, .. } if is_held(source));
        while_held_in(&place, holds, || {
            let held = lock(&self.dir)?;
            if held.as_deref().and_then(header_of) != before {
                return Err(in_use(&self.dir));
            }
            drop(held);
            remove_sums(&self.dir)?;
            fs::rename(from, &place).map_err(at(&place))
        })
    }

    /// The files of the store that is there. Where its database is gone, its segments are all there is to
    /// know it by: the next open would take those for orphans that the restored store does not name.
    fn present(&self) -> Result<Vec<PathBuf>, BackupError> {
        let database = self.lock.iter().map(|_| DATABASE);
        let mut files: Vec<PathBuf> = database.chain([SUMS]).map(|name| self.dir.join(name)).collect();
        files.retain(|file| file.is_file());
        for part in KEPT {
            let part = self.dir.join(part);
            files.extend(folder::segment_files(&part).map_err(at(&part))?.into_iter().map(|(path, _)| path));
        }
        Ok(files)
    }

    /// Gathers files: links where the system has them, which cost no space.
    fn set_aside(&self, files: &[PathBuf], to: &Path) -> Result<(), BackupError> {
        for file in files {
            let place = to.join(file.strip_prefix(&self.dir).unwrap_or(file));
            make_parent(&place)?;
            if fs::hard_link(file, &place).is_err() {
                copy_hashed(file, &place, &mut |_| {})?;
            }
        }
        sync_folders(to)
    }
}
