//! Replacing the store of a folder: the former one is kept aside, and renaming `store.redb` is the moment
//! at which the new one counts.
//!
//! Segments are never changed and their names are never given twice, so those of both stores may lie side
//! by side: until the rename the former store has all of its files and some that it does not name.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use barkeeper_records::Timestamp;
use barkeeper_storage::{
    DatabaseHeader, HEADER_BYTES, PageSums, is_held, remove_folder, while_held, while_held_in,
};

use crate::backup::error::{BackupError, at};
use crate::backup::incarnation::{Known, standing};
use crate::backup::lock::{Locked, in_use};
use crate::backup::manifest::stamp;
use crate::backup::repository::copy_hashed;
use crate::backup::restore::{MARKER, files_below, make_parent, sync_folders};
use crate::folder::{self, BARS, DATABASE, STAGING, SUMS};
use crate::sums;

/// Where the new store is built, inside the folder.
pub(crate) const RESTORING: &str = "restoring";
/// How the names of former states begin. They are put together inside `restoring/`.
const SAFETY_COPY: &str = "before-restore-";
/// The database that was built, once it may no longer replace another one.
const CANCELLED: &str = "store.redb.cancelled";

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
        kept_in(dir).map_err(at(dir))
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

/// Takes away the folder in which a store was built, with patience for who holds something in it or without. Its
/// database gets another name first, so that it replaces none any more, and outlasts the state that was gathered,
/// which would look like one that was replaced without it; the marker goes last: without it no later restore would
/// dare to remove the rest.
fn remove_built(building: &Path, patient: bool) -> io::Result<()> {
    let (database, cancelled) = (building.join(DATABASE), building.join(CANCELLED));
    if database.try_exists()? {
        folder::rename_durably(&database, &cancelled)?;
    }
    let remove_dir = |path: &Path| if patient { remove_folder(path) } else { fs::remove_dir_all(path) };
    let remove_file = |path: &Path| {
        if patient { while_held(path, || fs::remove_file(path)) } else { fs::remove_file(path) }
    };
    for (_, state) in kept_in(building)? {
        remove_dir(&state)?;
    }
    folder::sync_dir(building)?;
    for entry in fs::read_dir(building)? {
        let entry = entry?;
        if [MARKER, CANCELLED].iter().any(|last| entry.file_name() == *last) {
            continue;
        }
        let is_dir = entry.file_type()?.is_dir();
        if is_dir { remove_dir(&entry.path())? } else { remove_file(&entry.path())? }
    }
    if cancelled.try_exists()? {
        remove_file(&cancelled)?;
    }
    remove_dir(building)
}

/// Takes away a folder in which a store was built that replaced none.
pub(crate) fn discard(building: &Path) -> io::Result<()> {
    remove_built(building, true)
}

/// The former states in a folder, by their numbers.
fn kept_in(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(SAFETY_COPY));
        let number = rest.and_then(|rest| rest.split('-').next()?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort();
    Ok(found)
}

/// Moves the state that a replacement has replaced to its place, where that was cut off in between. Where the other
/// database still lies where it was built, nothing was replaced, and what lies beside it is of the store that goes on;
/// but for a store that has lost its database: then it may be all that there is of it.
fn settle(dir: &Path) -> io::Result<()> {
    let building = dir.join(RESTORING);
    let is_built = building.join(DATABASE).try_exists()? || building.join(CANCELLED).try_exists()?;
    let is_replaced = !is_built || !dir.join(DATABASE).try_exists()?;
    if !is_replaced || !building.try_exists()? {
        return Ok(());
    }
    for (_, state) in kept_in(&building)? {
        let name = state.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut place = dir.join(name);
        if place.try_exists()? {
            // A folder that was copied over another one.
            let next = kept_in(dir)?.last().map_or(0, |(number, _)| *number) + 1;
            let time = name.rsplit('-').next().unwrap_or_default();
            place = dir.join(format!("{}-{time}", SafetyCopy::name(next)));
        }
        folder::rename_durably(&state, &place)?;
    }
    Ok(())
}

/// Takes away what a restore or an undo has left in a folder whose lock the caller has, and keeps what it has replaced.
pub(crate) fn clear(dir: &Path) -> io::Result<()> {
    settle(dir)?;
    remove_built(&dir.join(RESTORING), false)
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
    // Those of a newer database refuse this one.
    let serve = |known: &PageSums, header: DatabaseHeader, len| {
        sums::fit(known, header, len) || known.transaction > header.transaction
    };
    if let Some((header, len)) = header_of(database)
        && !sums::read(&place).is_some_and(|known| serve(&known, header, len))
    {
        sums::left_aside(dir, header, len);
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
    lock: Option<Locked>,
}

impl Swap {
    pub(crate) fn begin(dir: &Path) -> Result<Self, BackupError> {
        let lock = Locked::take(dir)?;
        settle(dir).map_err(at(dir))?;
        if let Some(locked) = &lock {
            settle_sums(dir, locked.file());
        }
        Ok(Self { dir: dir.to_owned(), lock })
    }

    /// Notes who has the store meanwhile, for other processes to show.
    pub(crate) fn note_owner(&self, now: Timestamp) {
        if self.lock.is_some() {
            // Where that cannot be written down, they show who had it last.
            drop(folder::write_owner(&self.dir, "a restore", now));
        }
    }

    /// Takes away what was built, as far as that can be, and keeps what was replaced.
    pub(crate) fn clear(self) {
        drop(clear(&self.dir));
    }

    /// Where the former store stands; `None` where there is none, or none that can be read.
    pub(crate) fn former(&self) -> Option<Known> {
        standing(self.lock.as_ref()?.file().clone())
    }

    /// Puts what was built in place of what is there. Answers where that is kept from now on.
    pub(crate) fn finish(
        self,
        building: &Path,
        aside: &Path,
        step: &dyn Fn(&'static str) -> Result<(), BackupError>,
    ) -> Result<Option<PathBuf>, BackupError> {
        let files = self.present()?;
        let built = files_below(building)?;
        let kept = !files.is_empty();
        // As long as the new database lies beside it, it is no former state.
        let before = building.join(aside.file_name().unwrap_or_default());
        if kept {
            self.set_aside(&files, &before, &|file, place| fs::hard_link(file, place))?;
            step("the former state is gathered")?;
        }
        for file in built {
            let relative = file.strip_prefix(building).unwrap_or(&file);
            if ![DATABASE, SUMS, MARKER].map(Path::new).contains(&relative) {
                let place = self.dir.join(relative);
                folder::rename_durably(&file, &place).map_err(at(&place))?;
                step("a file is in its place")?;
            }
        }
        // Those that are kept aside serve until the other database is there.
        remove_sums(&self.dir)?;
        let (dir, sums) = (self.dir.clone(), self.dir.join(SUMS));
        self.exchange(&building.join(DATABASE), step)?;
        step("the store is in its place")?;
        drop(folder::sync_dir(building));
        // Whoever has opened the store in between does the rest, as the next open does what cannot be done now.
        let Ok(swap) = Self::begin(&dir) else { return Ok(kept.then(|| aside.to_owned())) };
        step("the former state is kept")?;
        let known = building.join(SUMS);
        if known.is_file() {
            // A state that comes back: without its sums, damage of one page would be damage of all of it.
            folder::rename_durably(&known, &sums).map_err(at(&sums))?;
            step("the sums are in their place")?;
        }
        swap.clear();
        Ok(kept.then(|| aside.to_owned()))
    }

    /// Renames a database over the one that is there, with the lock on that.
    fn exchange(
        self,
        from: &Path,
        step: &dyn Fn(&'static str) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let Self { dir, lock: mut held } = self;
        let place = dir.join(DATABASE);
        step("the sums are gone")?;
        if !cfg!(windows) {
            let done = folder::rename_durably(from, &place).map_err(at(&place));
            drop(held);
            return done;
        }
        let header = |held: &Option<Locked>| header_of(held.as_ref()?.file());
        let before = header(&held);
        let holds = |error: &BackupError| matches!(error, BackupError::Io { source, .. } if is_held(source));
        while_held_in(&place, holds, || {
            let now = match held.take() {
                Some(first) => Some(first),
                None => Locked::take(&dir)?,
            };
            // Whoever has opened the store since the last try keeps it.
            if header(&now) != before {
                return Err(in_use(&dir));
            }
            remove_sums(&dir)?;
            match fs::rename(from, &place) {
                Err(error) if is_held(&error) => {}
                done => return done.map_err(at(&place)),
            }
            // A disk that renames over no file that is open.
            drop(now);
            step("the lock is free")?;
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
    fn set_aside(
        &self,
        files: &[PathBuf],
        to: &Path,
        link: &dyn Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(), BackupError> {
        for file in files {
            let relative = file.strip_prefix(&self.dir).unwrap_or(file);
            let place = to.join(relative);
            make_parent(&place)?;
            if link(file, &place).is_ok() {
                continue;
            }
            match self.lock.as_ref().filter(|_| relative == Path::new(DATABASE)) {
                // Windows lets nobody read what is locked but who has locked it.
                Some(locked) => copy_open(locked.file(), &place).map_err(at(&place))?,
                None => drop(copy_hashed(file, &place, &mut |_| {})?),
            }
        }
        sync_folders(to)?;
        to.parent().map_or(Ok(()), |folder| folder::sync_dir(folder).map_err(at(folder)))
    }
}

/// Copies a file that is open, and forces the copy to the disk.
fn copy_open(mut from: &File, to: &Path) -> io::Result<()> {
    let mut copy = File::create_new(to)?;
    from.seek(SeekFrom::Start(0))?;
    io::copy(&mut from, &mut copy)?;
    copy.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_links_keeps_a_copy_of_the_locked_database() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        fs::write(dir.path().join(DATABASE), &content).unwrap();
        fs::write(dir.path().join(SUMS), "sums").unwrap();
        let swap = Swap::begin(dir.path()).unwrap();
        let before = dir.path().join("before");
        let none = |_: &Path, _: &Path| Err(io::ErrorKind::Unsupported.into());
        swap.set_aside(&swap.present().unwrap(), &before, &none).unwrap();
        assert_eq!(fs::read(before.join(DATABASE)).unwrap(), content);
        assert_eq!(fs::read_to_string(before.join(SUMS)).unwrap(), "sums");
        // Nobody else can open it meanwhile.
        assert!(matches!(Swap::begin(dir.path()), Err(BackupError::Open(_))));
    }
}
