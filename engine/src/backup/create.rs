//! `Store::back_up`: a backup at one LSN, while writers go on.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::PoisonError;

use barkeeper_records::{Lsn, Timestamp, Version};
use barkeeper_storage::SegmentEntry;
use serde::Serialize;

use crate::backup::bad::Bad;
use crate::backup::database::{content_of, copy_database};
use crate::backup::error::{BackupError, at};
use crate::backup::manifest::{BackupFile, BackupManifest, FORMAT, FileKind, backup_name, object_name};
use crate::backup::repository::{
    BackupRepository, FILES, Listed, MANIFESTS, PARTIAL, copy_hashed, hashed, need_space, number_of, replace,
};
use crate::commit::Task;
use crate::error::missing;
use crate::folder::{self, DATABASE, STAGING, TRASH};
use crate::report::Finding;
use crate::session::read_head;
use crate::snapshot::Snapshot;
use crate::store::Store;

/// How a backup is made.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// Files of the store's folder that are no part of the store and are to be kept with it, such as
    /// settings: relative to the folder. One that does not exist or lies outside is left out.
    pub extras: Vec<PathBuf>,
    /// Hard-links segments instead of copying them, where the repository lies on the store's volume. That
    /// costs no space and protects from mistakes, but not from damage: the bytes are the same ones.
    pub link: bool,
    /// Leaves segments unread whose contents an earlier backup has, and those contents too. Otherwise all of
    /// them are read, so that a damaged store and a damaged backup are noticed; what fits is not copied again.
    pub quick: bool,
}

/// What a backup cost and holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// Its name.
    pub name: String,
    /// The last commit in it.
    pub lsn: Lsn,
    /// When it was made.
    pub at: Timestamp,
    /// Its files.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Length of the files that no backup had before.
    pub new_bytes: u64,
    /// Files of the store that are damaged or missing and whose contents an earlier backup has: this backup
    /// names those contents, the store needs a restore.
    pub damaged: Vec<Finding>,
    /// Contents of earlier backups, inside the repository, that were damaged or missing and were written anew from
    /// the store: every backup that names them has them again.
    pub mended: Vec<String>,
}

type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// A creation under way.
struct Creation<'a> {
    repository: &'a BackupRepository,
    link: bool,
    quick: bool,
    /// Contents that earlier backups name, with the newest one of these.
    earlier: HashMap<String, String>,
    now: Timestamp,
    damaged: Vec<Finding>,
    mended: Vec<String>,
    done: u64,
    total: u64,
    new_bytes: u64,
    progress: Progress<'a>,
}

impl Store {
    /// Makes a backup of the store as it is now: everything in it is of one LSN, relaxed values
    /// included. Writers and readers go on meanwhile. `progress` hears of bytes done and bytes in all.
    ///
    /// Every value's checksum and every segment's BLAKE3 is verified on the way; the copy of the database is
    /// checked whole. A damaged segment whose content an earlier backup has is told of in the report, and so is
    /// a damaged content of an earlier backup, which is written anew. The backup is there when this returns, or
    /// not at all.
    ///
    /// # Errors
    /// `OtherStore`, `NotARepository`, `Busy`, `NoSpace`, `Io`; `Read`, `Missing` and `Damaged` where the store
    /// itself is damaged, and no backup has what is lost; `Commit` where relaxed values cannot be written.
    pub fn back_up(
        &self,
        repository: &BackupRepository,
        options: &BackupOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<BackupReport, BackupError> {
        let inner = self.inner();
        let identity = &inner.identity;
        let store_id = format!("{:032x}", identity.store_id);
        repository.prepare(&store_id)?;
        let _lock = repository.lock_alone()?;
        repository.clean_partial()?;
        let earlier = repository.manifests()?;
        let number = earlier.iter().map(|(name, read)| number_of(name, read)).max().unwrap_or(0) + 1;
        repository.step("begun")?;

        inner.submit(Task::Fold)?;
        let snapshot = Snapshot::take(inner)?;
        let head = read_head(snapshot.view())?;
        let segments = inner.segments.manifest(snapshot.view())?;
        let now = inner.options.clock.now();
        let database = fs::metadata(self.folder().join(DATABASE)).map_or(0, |data| data.len());
        let fresh = |entry: &&SegmentEntry| !repository.path(FILES, &object_of(entry)).exists();
        let wanted: u64 = segments.entries.iter().filter(fresh).map(|entry| entry.bytes).sum();
        if !options.link {
            need_space(repository.folder(), database + wanted)?;
        }
        // What is there already is read twice: in the store and in the repository.
        let all: u64 = segments.entries.iter().map(|entry| entry.bytes).sum();
        let read = if options.quick { wanted } else { all + (all - wanted) };
        let mut creation = Creation {
            repository,
            link: options.link,
            quick: options.quick,
            earlier: named(&earlier),
            now,
            damaged: Vec::new(),
            mended: Vec::new(),
            done: 0,
            total: database + read,
            new_bytes: 0,
            progress,
        };

        let mut files = Vec::with_capacity(segments.entries.len() + 1);
        let twin = same_state(&earlier, &store_id, identity.epoch, snapshot.lsn());
        let (database, content) = creation.database(&snapshot, twin)?;
        files.push(database);
        repository.step("the database is there")?;
        for entry in &segments.entries {
            files.push(creation.segment(self.folder(), entry)?);
        }
        for extra in &options.extras {
            files.extend(creation.extra(self.folder(), extra)?);
        }
        let folder = repository.folder().join(FILES);
        folder::sync_dir(&folder).map_err(at(&folder))?;
        repository.step("every file is there")?;

        let targets = inner.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let acknowledged = targets.acknowledged.values().copied().max().unwrap_or_default();
        drop(targets);
        let manifest = BackupManifest {
            format: FORMAT,
            name: backup_name(number, now),
            number,
            at: now,
            program: inner.options.program.clone(),
            store_id,
            store_format: identity.format,
            epoch: identity.epoch,
            lsn: snapshot.lsn(),
            version: Version::from_raw(head.version).ok_or_else(|| missing("version"))?,
            acknowledged,
            content,
            datasets: snapshot.datasets()?,
            files,
        };
        replace(&repository.path(MANIFESTS, &format!("{}.json", manifest.name)), &manifest.to_bytes())?;
        repository.step("the backup is there")?;
        Ok(BackupReport {
            lsn: manifest.lsn,
            at: now,
            files: manifest.files.len() as u64,
            bytes: manifest.bytes(),
            new_bytes: creation.new_bytes,
            damaged: creation.damaged,
            mended: creation.mended,
            name: manifest.name,
        })
    }
}

/// An earlier backup of the same commit, whose database may be the very same.
fn same_state<'a>(earlier: &'a [Listed], store_id: &str, epoch: u64, lsn: Lsn) -> Option<&'a BackupManifest> {
    let readable = earlier.iter().rev().filter_map(|(_, read)| read.as_ref().ok());
    readable.into_iter().find(|one| one.store_id == store_id && one.epoch == epoch && one.lsn == lsn)
}

fn object_of(entry: &SegmentEntry) -> String {
    object_name(FileKind::Segment, &hex(&entry.blake3))
}

pub(crate) fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

impl Creation<'_> {
    fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        (self.progress)(self.done.min(self.total), self.total);
    }

    /// The copy of the database; that of an earlier backup where nothing has changed since.
    fn database(
        &mut self,
        snapshot: &Snapshot,
        twin: Option<&BackupManifest>,
    ) -> Result<(BackupFile, String), BackupError> {
        if let Some(twin) = twin
            && let Some(file) = twin.files.iter().find(|file| file.kind == FileKind::Database)
            && self.found(file) == Found::Whole
            && content_of(snapshot)? == twin.content
        {
            return Ok((file.clone(), twin.content.clone()));
        }
        let partial = self.repository.path(PARTIAL, DATABASE);
        let content = copy_database(snapshot, &partial, &mut |bytes| self.advance(bytes))?;
        self.repository.step("the database is copied")?;
        let (bytes, blake3) = hashed(&partial)?;
        let file = BackupFile { path: DATABASE.to_owned(), kind: FileKind::Database, bytes, blake3 };
        let found = self.found(&file);
        self.keep(&partial, &file, &found)?;
        Ok((file, content))
    }

    fn segment(&mut self, store: &Path, entry: &SegmentEntry) -> Result<BackupFile, BackupError> {
        let file = BackupFile {
            path: entry.path(),
            kind: FileKind::Segment,
            bytes: entry.bytes,
            blake3: hex(&entry.blake3),
        };
        // A file that was replaced meanwhile waits elsewhere until nobody needs it.
        let places = [
            PathBuf::from(&file.path),
            Path::new(TRASH).join(entry.file_name()),
            Path::new(STAGING).join(entry.file_name()),
        ];
        let place = places.iter().map(|place| store.join(place)).find(|place| place.is_file());
        let known = self.found(&file);
        if !self.quick && known != Found::Nothing {
            self.advance(file.bytes);
        }
        if known == Found::Whole {
            if !self.quick {
                self.look_at(place.as_deref(), &file);
            }
            return Ok(file);
        }
        let lost = |path: PathBuf, detail: &str| {
            let too = match &known {
                Found::Damaged(why) => {
                    let content = self.repository.path(FILES, &file.object());
                    format!(", and {} of earlier backups is damaged as well: {why}", content.display())
                }
                _ => String::new(),
            };
            BackupError::Damaged { path, detail: format!("{detail}{too}; no backup was made") }
        };
        let Some(place) = place else {
            let path = store.join(&file.path);
            return Err(match known {
                Found::Damaged(_) => lost(path, "it is missing"),
                _ => BackupError::Missing { path },
            });
        };
        let partial = self.repository.path(PARTIAL, &entry.file_name());
        let found = if self.link && fs::hard_link(&place, &partial).is_ok() {
            hashed(&partial)?
        } else {
            copy_hashed(&place, &partial, &mut |_| {})?
        };
        self.repository.step("a segment is copied")?;
        if found != (file.bytes, file.blake3.clone()) {
            return Err(lost(place, "its BLAKE3 is not the published one"));
        }
        self.keep(&partial, &file, &known)?;
        self.advance(file.bytes);
        Ok(file)
    }

    /// Reads a segment whose content the repository has, for the store's own sake.
    fn look_at(&mut self, place: Option<&Path>, file: &BackupFile) {
        let wrong = match place.map(hashed) {
            None => Some("it is missing".to_owned()),
            Some(Ok(found)) if found == (file.bytes, file.blake3.clone()) => None,
            Some(Ok(_)) => Some("its BLAKE3 is not the published one".to_owned()),
            Some(Err(error)) => Some(error.to_string()),
        };
        let found = |detail| Finding { place: file.path.clone(), detail, damage: true };
        self.damaged.extend(wrong.map(found));
        self.advance(file.bytes);
    }

    fn extra(&mut self, store: &Path, path: &Path) -> Result<Option<BackupFile>, BackupError> {
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(None);
        }
        let from = store.join(path);
        match fs::metadata(&from) {
            Ok(data) if data.is_file() => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&from)(error)),
            _ => return Ok(None),
        }
        let partial = self.repository.path(PARTIAL, "extra");
        let (bytes, blake3) = copy_hashed(&from, &partial, &mut |_| {})?;
        let parts: Vec<String> =
            path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let file = BackupFile { path: parts.join("/"), kind: FileKind::Extra, bytes, blake3 };
        match self.found(&file) {
            Found::Whole => fs::remove_file(&partial).map_err(at(&partial))?,
            found => self.keep(&partial, &file, &found)?,
        }
        Ok(Some(file))
    }

    /// What the repository has of a content. Damage is noted for all backups that name it.
    fn found(&self, file: &BackupFile) -> Found {
        let found = self.look_for(file);
        let wrong = match &found {
            Found::Whole => None,
            Found::Damaged(detail) => Some(detail.clone()),
            Found::Nothing => Some("it is missing".to_owned()),
        };
        if let (Some(detail), Some(by)) = (wrong, self.earlier.get(&file.object())) {
            let bad = Bad { by: by.clone(), at: self.now, detail };
            // Where that cannot be written down, the next test finds it.
            drop(self.repository.mark_bad(&file.object(), &bad));
        }
        found
    }

    /// By its length alone where nothing is to be read twice.
    fn look_for(&self, file: &BackupFile) -> Found {
        let place = self.repository.path(FILES, &file.object());
        match fs::metadata(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Damaged(error.to_string()),
            Ok(data) if data.len() != file.bytes => {
                return Found::Damaged(format!("it has {} bytes instead of {}", data.len(), file.bytes));
            }
            // What was found bad is read all the same.
            Ok(_) if self.quick && !self.repository.is_bad(&file.object()) => return Found::Whole,
            Ok(_) => {}
        }
        match hashed(&place) {
            Ok(found) if found == (file.bytes, file.blake3.clone()) => {
                // Where that cannot be written down, it still counts as bad.
                drop(self.repository.clear_bad(&file.object()));
                Found::Whole
            }
            Ok(_) => Found::Damaged("its BLAKE3 is not the one in its name".to_owned()),
            Err(error) => Found::Damaged(error.to_string()),
        }
    }

    /// Gives a finished content its name. A damaged one gives way to it as a whole: its bytes, which the store
    /// may share by a hard link, are never written to.
    fn keep(&mut self, partial: &Path, file: &BackupFile, before: &Found) -> Result<(), BackupError> {
        let place = self.repository.path(FILES, &file.object());
        folder::rename_durably(partial, &place).map_err(at(&place))?;
        drop(self.repository.clear_bad(&file.object()));
        if *before == Found::Nothing {
            self.new_bytes += file.bytes;
        }
        if *before != Found::Whole && self.earlier.contains_key(&file.object()) {
            self.mended.push(format!("{FILES}/{}", file.object()));
        }
        self.repository.step("a file is kept")
    }
}

/// What the repository has of a content.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Whole,
    /// It is there, and it is not what it was; why.
    Damaged(String),
}

/// The contents that backups name, each with the newest one of these.
fn named(all: &[Listed]) -> HashMap<String, String> {
    let readable = all.iter().filter_map(|(_, read)| read.as_ref().ok());
    readable.flat_map(|one| one.files.iter().map(|file| (file.object(), one.name.clone()))).collect()
}

/// Which backups name each content.
pub(crate) fn users<'a>(
    manifests: impl Iterator<Item = &'a BackupManifest>,
) -> HashMap<String, (u64, HashSet<&'a str>)> {
    let mut users: HashMap<String, (u64, HashSet<&str>)> = HashMap::new();
    for manifest in manifests {
        for file in &manifest.files {
            let entry = users.entry(file.object()).or_insert_with(|| (file.bytes, HashSet::new()));
            entry.1.insert(&manifest.name);
        }
    }
    users
}
