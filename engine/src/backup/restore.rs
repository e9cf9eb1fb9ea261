//! Restoring: a backup becomes the store of a folder, whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barkeeper_records::{Lsn, Timestamp, Version};
use barkeeper_storage::{remove_folder, while_held};
use serde::Serialize;

use crate::backup::database::check;
use crate::backup::error::{BackupError, at};
use crate::backup::incarnation::{Known, begin_incarnation, guessed, note, noted, refused_format};
use crate::backup::manifest::{BackupFile, BackupManifest, FileKind};
use crate::backup::repository::{BackupRepository, FILES, copy_hashed, hashed, need_space};
use crate::backup::swap::{RESTORING, SafetyCopy, Swap, discard};
use crate::folder::{self, DATABASE, SUMS};

/// A file that says of a folder that a restore is at work in it.
pub(crate) const MARKER: &str = "restoring.json";

/// How a backup is restored.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreOptions {
    /// Whether a folder that is not empty may be restored into. What the store there held is kept aside.
    pub force: bool,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Which backup.
    pub backup: String,
    /// The folder.
    pub into: PathBuf,
    /// The last commit of the backup, which is the last one that the store has now.
    pub lsn: Lsn,
    /// LSNs go on behind this one, which is above all that targets have seen.
    pub next_behind: Lsn,
    /// The store's epoch now.
    pub epoch: u64,
    /// Files that were copied.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Files of tools that were restored as well: those that the folder did not have.
    pub extras: Vec<String>,
    /// Where the former state is kept; `None` where there was none.
    pub safety_copy: Option<PathBuf>,
}

impl BackupRepository {
    /// Restores a backup (`latest`, a number or a name) into a folder, which then holds the state of one
    /// LSN. Killed at any moment, the folder holds what it held before, or the restored store.
    ///
    /// Everything is copied beside, each file's BLAKE3 is compared with the manifest and the database is
    /// checked whole before anything of the folder changes. The restored store is a new incarnation: its
    /// epoch is higher than any known, its LSNs and versions go on above all that are known, so that its
    /// targets see what became of it.
    ///
    /// # Errors
    /// `NotEmpty` without `force`; `NoBackup`, `NoRepository`, `Missing` and `Damaged` before anything was
    /// touched; `Open` where another process has the store; `NoSpace`, `Io`.
    pub fn restore(
        &self,
        backup: &str,
        into: &Path,
        options: RestoreOptions,
        now: Timestamp,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RestoreReport, BackupError> {
        let _lock = self.lock_shared()?;
        let manifest = self.find(backup)?;
        let done = self.restore_found(&manifest, into, options, now, progress);
        if let Err(error) = &done {
            // Where that cannot be written down, the next test finds it.
            drop(self.note_bad(error, &manifest.name, now));
        }
        done
    }

    fn restore_found(
        &self,
        manifest: &BackupManifest,
        into: &Path,
        options: RestoreOptions,
        now: Timestamp,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RestoreReport, BackupError> {
        self.present(manifest)?;
        let fresh = is_fresh(into)?;
        if !fresh && !options.force {
            return Err(BackupError::NotEmpty { path: into.to_owned() });
        }
        let mut report = RestoreReport {
            backup: manifest.name.clone(),
            into: into.to_owned(),
            lsn: manifest.lsn,
            next_behind: Lsn(0),
            epoch: 0,
            files: 0,
            bytes: 0,
            extras: Vec::new(),
            safety_copy: None,
        };
        let known = self.known(manifest)?;
        let (building, done) = if fresh {
            let building = beside(into)?;
            make_ready(&building)?;
            (building.clone(), self.restore_fresh(manifest, &building, known, now, &mut report, progress))
        } else {
            let swap = Swap::begin(into)?;
            swap.note_owner(now);
            let building = into.join(RESTORING);
            make_ready(&building)?;
            (building, self.restore_over(manifest, swap, known, now, &mut report, progress))
        };
        // A process that is killed cannot tidy up, and neither does a test's cut.
        if done.as_ref().is_err_and(|error| !matches!(error, BackupError::Maintenance(_))) {
            // Where somebody else has the store by now, the next open does it.
            if fresh {
                drop(remove_folder(&building));
            } else if let Ok(swap) = Swap::begin(into) {
                swap.clear();
            }
        }
        done?;
        Ok(report)
    }

    /// Builds the store beside a folder that is empty or does not exist, and gives it the folder's name.
    fn restore_fresh(
        &self,
        manifest: &BackupManifest,
        building: &Path,
        known: Known,
        now: Timestamp,
        report: &mut RestoreReport,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), BackupError> {
        self.build(manifest, building, None, report, progress)?;
        self.renew(building, known, now, report)?;
        folder::make(building).map_err(at(building))?;
        sync_folders(building)?;
        self.step("the store is built")?;
        let into = report.into.clone();
        match while_held(&into, || fs::remove_dir(&into)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&into)(error)),
            _ => {}
        }
        folder::rename_durably(building, &into).map_err(at(&into))?;
        self.step("the store is in its place")?;
        let marker = into.join(MARKER);
        while_held(&marker, || fs::remove_file(&marker)).map_err(at(&marker))
    }

    /// Builds the store inside a folder, and then replaces the one that is there.
    fn restore_over(
        &self,
        manifest: &BackupManifest,
        swap: Swap,
        known: Known,
        now: Timestamp,
        report: &mut RestoreReport,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), BackupError> {
        let into = report.into.clone();
        let building = into.join(RESTORING);
        self.build(manifest, &building, Some(&into), report, progress)?;
        // A database that cannot tell is no reason to give a number twice: other files of the folder know.
        let former = match swap.former() {
            Some(former) => former,
            None => guessed(&into, now),
        };
        let known = known.and(former).and(noted(&into));
        let version = self.renew(&building, known, now, report)?;
        note(&into, Known { epoch: report.epoch, lsn: report.next_behind, version })?;
        sync_folders(&building)?;
        self.step("the store is built")?;
        let name = SafetyCopy::next(&into, now)?;
        report.safety_copy = swap.finish(&building, &name, &|step| self.step(step))?;
        Ok(())
    }

    /// Puts back what the last restore into this folder has replaced, byte for byte, and keeps aside what
    /// it replaces now: undone twice, everything is as it was. Answers where that is kept.
    ///
    /// # Errors
    /// `NothingToUndo`, `NoFormerDatabase`, `FormerFormat`; `Open` where another process has the store; `NoSpace`,
    /// `Io`.
    pub fn undo_restore(&self, folder: &Path, now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
        self.undo_restore_to(folder, None, now)
    }

    /// The same, to a former state that is named (`before-restore-0001`, or its number), which may be older than the
    /// last one.
    ///
    /// # Errors
    /// As [`BackupRepository::undo_restore`]; `NoFormerState`.
    pub fn undo_restore_to(
        &self,
        folder: &Path,
        former: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<PathBuf>, BackupError> {
        let swap = Swap::begin(folder)?;
        let former = SafetyCopy::undoable(folder, former)?;
        swap.note_owner(now);
        let building = folder.join(RESTORING);
        make_ready(&building)?;
        for file in files_below(&former)? {
            let relative = file.strip_prefix(&former).unwrap_or(&file);
            let (to, present) = (building.join(relative), folder.join(relative));
            let is_database = [DATABASE, SUMS].map(Path::new).contains(&relative);
            if !is_database && present.is_file() && hashed(&present)? == hashed(&file)? {
                continue;
            }
            make_parent(&to)?;
            // The database will be written to; the former state has to stay what it is until then.
            if is_database || fs::hard_link(&file, &to).is_err() {
                copy_hashed(&file, &to, &mut |_| {})?;
            }
        }
        if let Some(error) = refused_format(&building.join(DATABASE)) {
            discard(&building).map_err(at(&building))?;
            return Err(BackupError::FormerFormat { path: former, source: Box::new(error) });
        }
        sync_folders(&building)?;
        self.step("the former state is there")?;
        let name = SafetyCopy::next(folder, now)?;
        let kept = swap.finish(&building, &name, &|step| self.step(step))?;
        remove_folder(&former).map_err(at(&former))?;
        Ok(kept)
    }

    /// Makes sure that every file of a backup is there and has its length.
    pub(crate) fn present(&self, manifest: &BackupManifest) -> Result<(), BackupError> {
        for file in &manifest.files {
            let path = self.path(FILES, &file.object());
            match fs::metadata(&path) {
                Ok(data) if data.len() == file.bytes => {}
                Ok(data) => {
                    let detail = format!("it has {} bytes, {} were backed up", data.len(), file.bytes);
                    return Err(BackupError::Damaged { path, detail });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(BackupError::Missing { path });
                }
                Err(source) => return Err(BackupError::Io { path, source }),
            }
        }
        Ok(())
    }

    /// What all backups of the store tell of its incarnations.
    fn known(&self, manifest: &BackupManifest) -> Result<Known, BackupError> {
        let mut known = Known::default();
        for (_, read) in self.manifests()? {
            let Some(one) = read.ok().filter(|one| one.store_id == manifest.store_id) else { continue };
            known = known.and(Known {
                epoch: one.epoch,
                lsn: one.lsn.max(one.acknowledged),
                version: one.version,
            });
        }
        Ok(known)
    }

    /// Copies the files of a backup, less those that `present` has already with the same content.
    pub(crate) fn build(
        &self,
        manifest: &BackupManifest,
        into: &Path,
        present: Option<&Path>,
        report: &mut RestoreReport,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), BackupError> {
        let mut wanted: Vec<&BackupFile> = Vec::new();
        for file in &manifest.files {
            let there = present.map(|folder| folder.join(&file.path)).filter(|path| path.is_file());
            let keep = match (file.kind, there) {
                (FileKind::Segment, Some(path)) => hashed(&path)? == (file.bytes, file.blake3.clone()),
                (FileKind::Extra, Some(_)) => true,
                _ => false,
            };
            if !keep {
                wanted.push(file);
            }
        }
        let total = wanted.iter().map(|file| file.bytes).sum();
        need_space(into, total)?;
        let mut done = 0;
        for file in wanted {
            let (from, to) = (self.path(FILES, &file.object()), into.join(&file.path));
            make_parent(&to)?;
            let found = copy_hashed(&from, &to, &mut |bytes| {
                done += bytes;
                progress(done, total);
            })?;
            same(&from, file, &found)?;
            if self.is_bad(&file.object()) {
                // Where that cannot be written down, it still counts as bad.
                drop(self.clear_bad(&file.object()));
            }
            report.files += 1;
            report.bytes += file.bytes;
            if file.kind == FileKind::Extra {
                report.extras.push(file.path.clone());
            }
            self.step("a file is copied")?;
        }
        Ok(())
    }

    fn renew(
        &self,
        building: &Path,
        known: Known,
        now: Timestamp,
        report: &mut RestoreReport,
    ) -> Result<Version, BackupError> {
        let database = building.join(DATABASE);
        let begun = begin_incarnation(&database, known, now)?;
        (report.epoch, report.next_behind) = (begun.epoch, begun.lsn);
        self.step("the incarnation is new")?;
        check(&database)?;
        Ok(begun.version)
    }
}

/// Compares what was read with what the manifest says.
pub(crate) fn same(from: &Path, file: &BackupFile, found: &(u64, String)) -> Result<(), BackupError> {
    if found.0 == file.bytes && found.1 == file.blake3 {
        return Ok(());
    }
    let detail = format!("its BLAKE3 is not that of {} when it was backed up", file.path);
    Err(BackupError::Damaged { path: from.to_owned(), detail })
}

/// Whether a folder does not exist or is empty.
fn is_fresh(dir: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(at(dir)(error)),
    }
}

/// The folder beside another in which it is built.
fn beside(into: &Path) -> Result<PathBuf, BackupError> {
    let name = into.file_name().ok_or_else(|| at(into)(io::ErrorKind::InvalidInput.into()))?;
    let mut name = name.to_owned();
    name.push(".restoring");
    Ok(into.with_file_name(name))
}

/// Makes an empty folder to build in. What a cut-off restore left there is taken away, nothing else is.
pub(crate) fn make_ready(dir: &Path) -> Result<(), BackupError> {
    if !is_fresh(dir)? {
        if !dir.join(MARKER).is_file() {
            return Err(BackupError::NotEmpty { path: dir.to_owned() });
        }
        discard(dir).map_err(at(dir))?;
    }
    fs::create_dir_all(dir).map_err(at(dir))?;
    let marker = dir.join(MARKER);
    fs::write(&marker, "{}\n").map_err(at(&marker))
}

pub(crate) fn make_parent(path: &Path) -> Result<(), BackupError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(at(parent))
}

/// All files below a folder, sorted.
pub(crate) fn files_below(dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            let is_dir = entry.file_type().map_err(at(&folder))?.is_dir();
            if is_dir { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    Ok(found)
}

/// Forces the entries of a folder and of all folders in it to the disk.
pub(crate) fn sync_folders(dir: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        if entry.file_type().map_err(at(dir))?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    folder::sync_dir(dir).map_err(at(dir))
}
