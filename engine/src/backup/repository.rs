//! `BackupRepository`: the folder that holds the backups of one store, and how its files are written.
//!
//! ```text
//! repository.json                 whose backups these are
//! manifests/<name>.json           a backup is there as soon as its manifest is, and gone with it
//! files/<blake3>.<ending>         contents, each once, shared by all backups that name them
//! tests/<name>.json               what came out when a backup was last tested
//! tests/<blake3>.<ending>.bad     a content that was found bad, until it is read whole or written anew
//! partial/                        what is under way; nothing here counts
//! lock                            held alone by who writes or removes, together by who reads
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use barkeeper_storage::{remove_folder, while_held};
use serde::{Deserialize, Serialize};

use crate::backup::error::{BackupError, at};
use crate::backup::manifest::{BackupManifest, FORMAT};
use crate::folder;

pub(crate) const MANIFESTS: &str = "manifests";
pub(crate) const FILES: &str = "files";
pub(crate) const TESTS: &str = "tests";
pub(crate) const PARTIAL: &str = "partial";
const DESCRIPTION: &str = "repository.json";
const LOCK: &str = "lock";

/// The folder that holds the backups of one store. Any number of processes may use it.
///
/// A backup is there when its manifest is; what a cut-off creation leaves is taken away by the next one.
pub struct BackupRepository {
    dir: PathBuf,
    #[cfg(feature = "fault-injection")]
    faults: crate::fault::Faults,
}

impl std::fmt::Debug for BackupRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupRepository").field("folder", &self.dir).finish_non_exhaustive()
    }
}

/// Whose backups a folder holds.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    format: u32,
    store_id: String,
}

/// A manifest's file and what it says, or why it says nothing.
pub(crate) type Listed = (String, Result<BackupManifest, BackupError>);

impl BackupRepository {
    /// The backups in this folder, which need not exist before the first one is made.
    pub fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            #[cfg(feature = "fault-injection")]
            faults: crate::fault::Faults::default(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, part: &str, name: &str) -> PathBuf {
        self.dir.join(part).join(name)
    }

    /// Marks a step at which a test may cut off what is under way.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn step(&self, name: &'static str) -> Result<(), BackupError> {
        Ok(self.faults.step(name)?)
    }

    /// Marks a step at which a test may cut off what is under way.
    #[cfg(not(feature = "fault-injection"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the same signature as under test")]
    pub(crate) const fn step(&self, _name: &'static str) -> Result<(), BackupError> {
        Ok(())
    }

    /// Calls `hook` at every step of a creation, restore or removal with the step's number and name;
    /// true cuts it off there.
    #[cfg(feature = "fault-injection")]
    pub fn on_step(&self, hook: impl FnMut(usize, &'static str) -> bool + Send + 'static) {
        self.faults.set(Box::new(hook));
    }

    /// Makes the folder ready for the backups of a store, or makes sure that it is.
    pub(crate) fn prepare(&self, store_id: &str) -> Result<(), BackupError> {
        fs::create_dir_all(&self.dir).map_err(at(&self.dir))?;
        match self.description() {
            Ok(found) if found.store_id == store_id => {}
            Ok(found) => {
                let (path, asked) = (self.dir.clone(), store_id.to_owned());
                return Err(BackupError::OtherStore { path, found: found.store_id, asked });
            }
            // The manifests say the same.
            Err(BackupError::NoRepository { .. }) => match self.owner() {
                Some(found) if found != store_id => {
                    let (path, asked) = (self.dir.clone(), store_id.to_owned());
                    return Err(BackupError::OtherStore { path, found, asked });
                }
                _ => self.describe(store_id)?,
            },
            Err(BackupError::Damaged { .. }) if self.owner().is_some_and(|found| found == store_id) => {
                self.write_description(store_id)?;
            }
            Err(other) => return Err(other),
        }
        for part in [MANIFESTS, FILES, TESTS, PARTIAL] {
            let part = self.dir.join(part);
            fs::create_dir_all(&part).map_err(at(&part))?;
        }
        folder::sync_dir(&self.dir).map_err(at(&self.dir))
    }

    fn describe(&self, store_id: &str) -> Result<(), BackupError> {
        let ours = [MANIFESTS, FILES, TESTS, PARTIAL, LOCK, "repository.json.new"];
        for entry in fs::read_dir(&self.dir).map_err(at(&self.dir))? {
            let name = entry.map_err(at(&self.dir))?.file_name();
            if !ours.iter().any(|part| name == *part) {
                return Err(BackupError::NotARepository { path: self.dir.clone() });
            }
        }
        self.write_description(store_id)
    }

    fn write_description(&self, store_id: &str) -> Result<(), BackupError> {
        let description = Description { format: FORMAT, store_id: store_id.to_owned() };
        let text = serde_json::to_string(&description).unwrap_or_default() + "\n";
        replace(&self.dir.join(DESCRIPTION), text.as_bytes())
    }

    /// Whose backups these are, by the newest manifest that can be read; `None` where none can, or one is newer than
    /// this program.
    fn owner(&self) -> Option<String> {
        let all = self.manifests().ok()?;
        if all.iter().any(|(_, read)| matches!(read, Err(BackupError::Newer { .. }))) {
            return None;
        }
        Some(all.into_iter().rev().find_map(|(_, read)| read.ok())?.store_id)
    }

    fn description(&self) -> Result<Description, BackupError> {
        let path = self.dir.join(DESCRIPTION);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::NoRepository { path: self.dir.clone() });
            }
            Err(source) => return Err(BackupError::Io { path, source }),
        };
        let found: Description = serde_json::from_slice(&bytes)
            .map_err(|error| BackupError::Damaged { path: path.clone(), detail: error.to_string() })?;
        if found.format > FORMAT {
            return Err(BackupError::Newer { path, found: found.format, known: FORMAT });
        }
        Ok(found)
    }

    /// Makes sure that there are backups at all. The description may be lost: the manifests say the same.
    pub(crate) fn must_exist(&self) -> Result<(), BackupError> {
        match self.description() {
            Err(error @ BackupError::NoRepository { .. }) if !self.dir.join(MANIFESTS).is_dir() => Err(error),
            Err(error @ BackupError::Newer { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// The right to write and remove, until the answer is dropped.
    pub(crate) fn lock_alone(&self) -> Result<File, BackupError> {
        let path = self.dir.join(LOCK);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
        locked(file.try_lock(), &self.dir, &path)?;
        Ok(file)
    }

    /// The right to read, until the answer is dropped; none where the folder can only be read.
    pub(crate) fn lock_shared(&self) -> Result<Option<File>, BackupError> {
        let path = self.dir.join(LOCK);
        match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
            Ok(file) => {
                locked(file.try_lock_shared(), &self.dir, &path)?;
                Ok(Some(file))
            }
            Err(error) if cannot_write(&error) => Ok(None),
            Err(source) => Err(BackupError::Io { path, source }),
        }
    }

    /// All manifests, in the order of their names.
    pub(crate) fn manifests(&self) -> Result<Vec<Listed>, BackupError> {
        self.must_exist()?;
        let dir = self.dir.join(MANIFESTS);
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let name = entry.map_err(at(&dir))?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                names.insert(name.to_owned());
            }
        }
        let mut all: Vec<Listed> = Vec::new();
        for name in names {
            let read = self.manifest(&name);
            all.push((name, read));
        }
        all.sort_by_key(|(name, read)| (number_of(name, read), name.clone()));
        Ok(all)
    }

    pub(crate) fn manifest(&self, name: &str) -> Result<BackupManifest, BackupError> {
        let path = self.path(MANIFESTS, &format!("{name}.json"));
        match fs::read(&path) {
            Ok(bytes) => BackupManifest::from_bytes(&path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BackupError::NoBackup { name: name.to_owned(), path: self.dir.clone() })
            }
            Err(source) => Err(BackupError::Io { path, source }),
        }
    }

    /// The manifest that is meant: `latest`, a number, or a name.
    pub(crate) fn find(&self, asked: &str) -> Result<BackupManifest, BackupError> {
        let all = self.manifests()?;
        let number: Option<u64> = asked.parse().ok();
        let found = all.into_iter().rev().find(|(name, read)| {
            asked == "latest" || name == asked || number.is_some_and(|n| number_of(name, read) == n)
        });
        let missing = || BackupError::NoBackup { name: asked.to_owned(), path: self.dir.clone() };
        found.ok_or_else(missing)?.1
    }

    /// Takes away what was under way when a process ended.
    pub(crate) fn clean_partial(&self) -> Result<(), BackupError> {
        let dir = self.dir.join(PARTIAL);
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let entry = entry.map_err(at(&dir))?;
            let path = entry.path();
            let is_dir = entry.file_type().map_err(at(&path))?.is_dir();
            let gone =
                if is_dir { remove_folder(&path) } else { while_held(&path, || fs::remove_file(&path)) };
            gone.map_err(at(&path))?;
        }
        Ok(())
    }
}

/// A manifest's number; that of its file's name where it cannot be read.
pub(crate) fn number_of(name: &str, read: &Result<BackupManifest, BackupError>) -> u64 {
    let named = || name.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    read.as_ref().map_or_else(|_| named(), |manifest| manifest.number)
}

fn locked(tried: Result<(), TryLockError>, dir: &Path, path: &Path) -> Result<(), BackupError> {
    match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy { path: dir.to_owned() }),
        // Some network folders know no locks; whoever keeps backups there does it from one machine.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(source)) => Err(BackupError::Io { path: path.to_owned(), source }),
    }
}

fn cannot_write(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), NotFound | PermissionDenied | ReadOnlyFilesystem)
}

/// Writes beside a file, forces it to the disk and renames it over the file.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(at(&beside))?;
    folder::rename_durably(&beside, path).map_err(at(path))
}

/// Copies a file that is not there yet, forces it to the disk, and answers its length and BLAKE3.
pub(crate) fn copy_hashed(
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(u64, String), BackupError> {
    let mut source = open(from)?;
    let mut target = File::create_new(to).map_err(at(to))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        let read = source.read(&mut buffer).map_err(at(from))?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hasher.update(part);
        target.write_all(part).map_err(at(to))?;
        bytes += read as u64;
        progress(read as u64);
    }
    target.sync_all().map_err(at(to))?;
    Ok((bytes, hasher.finalize().to_hex().to_string()))
}

/// The length and BLAKE3 of a file.
pub(crate) fn hashed(path: &Path) -> Result<(u64, String), BackupError> {
    let mut file = open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).map_err(at(path))?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hasher.update(part);
        bytes += read as u64;
    }
    Ok((bytes, hasher.finalize().to_hex().to_string()))
}

/// Opens a file that must be there.
fn open(path: &Path) -> Result<File, BackupError> {
    while_held(path, || File::open(path)).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => BackupError::Missing { path: path.to_owned() },
        _ => BackupError::Io { path: path.to_owned(), source },
    })
}

/// Forces a file's content to the disk. Windows does so only for those who may write.
pub(crate) fn sync_file(path: &Path) -> Result<(), BackupError> {
    let file = OpenOptions::new().write(true).open(path).map_err(at(path))?;
    file.sync_all().map_err(at(path))
}

/// Makes sure that so many bytes are free, and a little more.
pub(crate) fn need_space(dir: &Path, needed: u64) -> Result<(), BackupError> {
    /// What stays free beside the backup, so that a store on the same disk goes on.
    const SPARE: u64 = 64 << 20;
    let needed = needed.saturating_add(SPARE);
    // A system that cannot tell is no reason not to try.
    let free = fs4::available_space(dir).unwrap_or(u64::MAX);
    if free < needed { Err(BackupError::NoSpace { path: dir.to_owned(), needed, free }) } else { Ok(()) }
}
