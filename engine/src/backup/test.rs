//! Testing a backup: it is restored into a scratch folder, opened, verified, and compared with its
//! manifest. A backup that was never restored is a hope.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barkeeper_records::{Lsn, Timestamp};
use barkeeper_storage::remove_folder;
use serde::{Deserialize, Deserializer, Serialize};

use crate::backup::bad::{Bad, bad_in};
use crate::backup::database::content_of;
use crate::backup::error::{BackupError, at};
use crate::backup::manifest::{BackupManifest, FileKind};
use crate::backup::repository::{
    BackupRepository, FILES, Listed, MANIFESTS, PARTIAL, TESTS, copy_hashed, hashed, need_space, number_of,
    replace,
};
use crate::backup::restore::{make_parent, same};
use crate::options::StoreOptions;
use crate::report::VerifyReport;
use crate::snapshot::Snapshot;
use crate::store::Store;

/// What came out when a backup was tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[non_exhaustive]
pub enum Outcome {
    /// It was restored, opened and read whole, and it is what was backed up.
    Verified,
    /// It cannot be restored, or what was restored is not what was backed up.
    Failed {
        /// The file that is to blame, inside the repository or inside the store.
        file: String,
        /// What is wrong with it.
        detail: String,
    },
    /// It could not be tried; that says nothing of the backup.
    Inconclusive {
        /// Why.
        why: String,
    },
}

/// A test of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestedBackup {
    /// Which backup.
    pub name: String,
    /// When it was tested.
    pub at: Timestamp,
    /// The last commit in it; 0 where its manifest cannot be read.
    pub lsn: Lsn,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What the restored store's own verification read; `None` where it did not come to that.
    pub read: Option<VerifyReport>,
    /// Whether the outcome was written down in the repository.
    pub remembered: bool,
}

/// What is known of the tests of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupTest {
    /// When it was last tested.
    pub at: Timestamp,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// When it was last found good; `None` where it was found bad since, but for a content that may be mended.
    #[serde(deserialize_with = "stated")]
    pub verified_at: Option<Timestamp>,
    /// BLAKE3 of the manifest that was tested: another one was not.
    pub manifest: String,
}

impl BackupTest {
    /// What is known of a backup whose bad content was mended since: that it was good before, or nothing.
    fn without_failure(self) -> Option<Self> {
        let at = self.verified_at?;
        Some(Self { at, outcome: Outcome::Verified, ..self })
    }
}

/// A value that may be null and must be there: a damaged name of it must not look like a bad outcome.
fn stated<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Option::deserialize(from)
}

impl BackupRepository {
    /// Restores a backup (`latest`, a number or a name) into a scratch folder of the repository, opens it,
    /// reads everything, and compares digests and contents with the manifest. The outcome is remembered in
    /// the repository. Takes as much space as the backup's database, and where links are not possible as
    /// all of it.
    ///
    /// # Errors
    /// `NoRepository`, `NoBackup`, `Busy`; everything else is an outcome.
    pub fn verify(
        &self,
        backup: &str,
        options: StoreOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<TestedBackup, BackupError> {
        let _lock = self.lock_shared()?;
        let (name, read) = self.asked(backup)?;
        let now = options.clock.now();
        let lsn = read.as_ref().map_or(Lsn(0), |manifest| manifest.lsn);
        let scratch = self.path(PARTIAL, &format!("test-{name}-{}", std::process::id()));
        let tried = read.and_then(|manifest| self.try_out(&manifest, &scratch, options, progress));
        // What cannot be removed now is removed by the next creation.
        drop(remove_folder(&scratch));
        let mut noted = Ok(());
        let (outcome, read) = match tried {
            Ok((outcome, read)) => (outcome, Some(read)),
            Err(error) => {
                noted = self.note_bad(&error, &name, now);
                (self.judge(&error, &scratch), None)
            }
        };
        let mut tested = TestedBackup { name, at: now, lsn, outcome, read, remembered: false };
        // A test that failed on a content counts by the note of it.
        tested.remembered = noted.and_then(|()| self.remember(&tested)).is_ok();
        Ok(tested)
    }

    fn asked(&self, backup: &str) -> Result<Listed, BackupError> {
        let number: Option<u64> = backup.parse().ok();
        let found = self.manifests()?.into_iter().rev().find(|(name, read)| {
            backup == "latest" || name == backup || number.is_some_and(|n| number_of(name, read) == n)
        });
        found.ok_or_else(|| BackupError::NoBackup { name: backup.to_owned(), path: self.folder().to_owned() })
    }

    fn try_out(
        &self,
        manifest: &BackupManifest,
        scratch: &Path,
        options: StoreOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Outcome, VerifyReport), BackupError> {
        self.present(manifest)?;
        let bad = self.bad_contents()?;
        fs::create_dir_all(scratch).map_err(at(scratch))?;
        let of_kind = |kind| manifest.files.iter().filter(move |file| file.kind == kind);
        need_space(scratch, of_kind(FileKind::Database).map(|file| file.bytes).sum())?;
        let total = manifest.bytes() * 2;
        let mut done = 0;
        for file in &manifest.files {
            let (from, to) = (self.path(FILES, &file.object()), scratch.join(&file.path));
            make_parent(&to)?;
            let linked = file.kind == FileKind::Segment && fs::hard_link(&from, &to).is_ok();
            let found = if linked { hashed(&from)? } else { copy_hashed(&from, &to, &mut |_| {})? };
            same(&from, file, &found)?;
            if bad.contains_key(&file.object()) {
                // Where that cannot be written down, it still counts as bad.
                drop(self.clear_bad(&file.object()));
            }
            done += file.bytes;
            progress(done, total);
        }
        let half = manifest.bytes();
        // Backups may lie where no store may, and nobody writes to the scratch store.
        let options = StoreOptions { background: false, allow_shared_folder: true, ..options };
        let read = Store::verify(
            scratch,
            StoreOptions { background: false, ..options.clone() },
            &mut |done, all| {
                progress(half + half / all.max(1) * done.min(all), total);
            },
        )?;
        if let Some(first) = read.findings.first() {
            let detail = format!("{} (findings: {})", first.detail, read.findings.len());
            return Ok((Outcome::Failed { file: first.place.clone(), detail }, read));
        }
        let store = Store::open(scratch, options)?;
        let snapshot = Snapshot::take(store.inner())?;
        let differs = |detail: &str| Outcome::Failed {
            file: format!("{MANIFESTS}/{}.json", manifest.name),
            detail: detail.to_owned(),
        };
        let outcome = if snapshot.lsn() != manifest.lsn {
            differs("it names another LSN than the database")
        } else if snapshot.datasets()? != manifest.datasets {
            differs("it names other digests than the database")
        } else if content_of(&snapshot)? != manifest.content {
            differs("it names other contents than the database")
        } else {
            Outcome::Verified
        };
        Ok((outcome, read))
    }

    /// Notes a content that is not what it was, or cannot be read: all backups that name it are concerned.
    pub(crate) fn note_bad(&self, error: &BackupError, by: &str, now: Timestamp) -> Result<(), BackupError> {
        let (path, detail) = match error {
            BackupError::Damaged { path, detail } => (path, detail.clone()),
            BackupError::Missing { path } => (path, "it is missing".to_owned()),
            BackupError::Io { path, source } => (path, source.to_string()),
            _ => return Ok(()),
        };
        let is_content = path.parent() == Some(&self.folder().join(FILES)) && self.must_exist().is_ok();
        match path.file_name().and_then(|name| name.to_str()).filter(|_| is_content) {
            Some(object) => self.mark_bad(object, &Bad { by: by.to_owned(), at: now, detail }),
            None => Ok(()),
        }
    }

    /// What an error says of the backup: that it is bad, or nothing.
    fn judge(&self, error: &BackupError, scratch: &Path) -> Outcome {
        let why = || Outcome::Inconclusive { why: error.to_string() };
        let gone = self.must_exist().is_err();
        match error {
            _ if gone || error.is_full() => why(),
            BackupError::Damaged { path, detail } => {
                Outcome::Failed { file: self.shown(path), detail: detail.clone() }
            }
            BackupError::Missing { path } => {
                Outcome::Failed { file: self.shown(path), detail: "it is missing".to_owned() }
            }
            BackupError::Io { path, source } if !path.starts_with(scratch) => {
                Outcome::Failed { file: self.shown(path), detail: source.to_string() }
            }
            _ if error.is_damage() => {
                Outcome::Failed { file: crate::folder::DATABASE.to_owned(), detail: error.to_string() }
            }
            _ => why(),
        }
    }

    /// A path inside the repository.
    fn shown(&self, path: &Path) -> String {
        let inside: PathBuf = path.strip_prefix(self.folder()).unwrap_or(path).to_owned();
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        if inside.is_absolute() { inside.display().to_string() } else { parts.join("/") }
    }

    fn manifest_hash(&self, name: &str) -> Result<String, BackupError> {
        Ok(hashed(&self.path(MANIFESTS, &format!("{name}.json")))?.1)
    }

    /// What is known of a backup's tests; `None` where it was never tested as it is now.
    pub(crate) fn test_of(&self, name: &str) -> Option<BackupTest> {
        let bytes = fs::read(self.path(TESTS, &format!("{name}.json"))).ok()?;
        let test: BackupTest = serde_json::from_slice(&bytes).ok()?;
        (self.manifest_hash(name).ok()? == test.manifest).then_some(test)
    }

    /// What is known of each of these, by its own tests and by what tests of others found of what both share.
    pub(crate) fn tests_of(&self, all: &[Listed]) -> Result<Vec<Option<BackupTest>>, BackupError> {
        let bad = self.bad_contents()?;
        let judge = |(name, read): &Listed| {
            let own = self.test_of(name);
            let failed = own.as_ref().and_then(|test| match &test.outcome {
                Outcome::Failed { file, .. } => Some(file.starts_with(&format!("{FILES}/"))),
                _ => None,
            });
            let noted = read.as_ref().ok().and_then(|manifest| bad_in(manifest, &bad));
            let (file, known) = match (failed, noted) {
                (Some(true), None) => return own?.without_failure(),
                (Some(false), _) | (None, None) => return own,
                (_, Some(noted)) => noted,
            };
            let at = known.as_ref().map(|bad| bad.at).or_else(|| own.as_ref().map(|test| test.at));
            let detail = match known {
                Some(bad) if bad.by == *name => bad.detail.clone(),
                Some(bad) => format!("{}, as was found when {} was read", bad.detail, bad.by),
                None => "it was found bad, and how cannot be read".to_owned(),
            };
            Some(BackupTest {
                at: at.unwrap_or_default(),
                outcome: Outcome::Failed { file, detail },
                verified_at: None,
                manifest: self.manifest_hash(name).unwrap_or_default(),
            })
        };
        Ok(all.iter().map(judge).collect())
    }

    /// Whether a backup was tested, and what came out cannot be read, or is not told of this manifest.
    pub(crate) fn is_test_lost(&self, name: &str) -> bool {
        match fs::metadata(self.path(TESTS, &format!("{name}.json"))) {
            Ok(_) => self.test_of(name).is_none(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    fn remember(&self, tested: &TestedBackup) -> Result<(), BackupError> {
        let before = self.test_of(&tested.name);
        let tried = !matches!(tested.outcome, Outcome::Inconclusive { .. });
        if !tried && before.as_ref().is_some_and(|test| matches!(test.outcome, Outcome::Failed { .. })) {
            return Ok(());
        }
        let before = before.and_then(|test| test.verified_at);
        let prefix = format!("{FILES}/");
        let bad = self.bad_contents()?;
        let test = BackupTest {
            at: tested.at,
            outcome: tested.outcome.clone(),
            verified_at: match tested.outcome {
                Outcome::Verified => Some(tested.at),
                // The content may be mended, and then it is good again.
                Outcome::Failed { ref file, .. }
                    if file.strip_prefix(&prefix).is_some_and(|object| bad.contains_key(object)) =>
                {
                    before
                }
                Outcome::Failed { .. } => None,
                Outcome::Inconclusive { .. } => before,
            },
            manifest: self.manifest_hash(&tested.name)?,
        };
        let text = serde_json::to_string_pretty(&test).unwrap_or_default() + "\n";
        replace(&self.path(TESTS, &format!("{}.json", tested.name)), text.as_bytes())
    }
}
