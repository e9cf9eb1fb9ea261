//! What backups there are, what each one costs, and what is known of it.

use barkeeper_records::{Lsn, Timestamp};
use serde::Serialize;

use crate::backup::create::users;
use crate::backup::error::BackupError;
use crate::backup::manifest::BackupManifest;
use crate::backup::repository::{BackupRepository, Listed, number_of};
use crate::backup::test::{BackupTest, Outcome};

/// A backup as `list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupInfo {
    /// Its name.
    pub name: String,
    /// Its number, by which backups are ordered.
    pub number: u64,
    /// When it was made; `None` where its manifest cannot be read, as all that follows.
    pub at: Option<Timestamp>,
    /// The last commit in it.
    pub lsn: Option<Lsn>,
    /// The store's epoch.
    pub epoch: Option<u64>,
    /// Its files.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Length of those that no other backup needs: what removing it gives back.
    pub own_bytes: u64,
    /// When it was last tested and what came out; what was found bad since of what it shares with
    /// others counts as well.
    pub tested: Option<BackupTest>,
    /// Whether it was tested, and what came out cannot be read any more.
    pub test_lost: bool,
    /// Why its manifest cannot be read.
    pub damaged: Option<String>,
}

/// All backups together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepositoryInfo {
    /// The folder.
    pub folder: std::path::PathBuf,
    /// How many there are.
    pub backups: u64,
    /// Of how many the manifest cannot be read.
    pub damaged: u64,
    /// How many were found bad: they, or another that shares the bad content.
    pub failed: u64,
    /// Length of all contents, each once.
    pub bytes: u64,
    /// Length of the contents that more than one backup needs.
    pub shared_bytes: u64,
    /// The first one.
    pub oldest: Option<BackupInfo>,
    /// The last one.
    pub newest: Option<BackupInfo>,
    /// The last one that was tested and found good.
    pub last_verified: Option<BackupInfo>,
}

impl BackupInfo {
    /// Whether its last test found it bad.
    pub fn is_bad(&self) -> bool {
        self.tested.as_ref().is_some_and(|test| matches!(test.outcome, Outcome::Failed { .. }))
    }
}

impl BackupRepository {
    /// All backups, oldest first.
    ///
    /// # Errors
    /// `NoRepository`, `Newer`, `Io`.
    pub fn list(&self) -> Result<Vec<BackupInfo>, BackupError> {
        let all = self.manifests()?;
        let readable = || all.iter().filter_map(|(_, read)| read.as_ref().ok());
        let users = users(readable());
        let own = |manifest: &BackupManifest| {
            let alone = manifest
                .files
                .iter()
                .filter(|file| users.get(&file.object()).is_none_or(|(_, by)| by.len() < 2));
            alone.map(|file| file.bytes).sum()
        };
        let info = |((name, read), tested): (&Listed, Option<BackupTest>)| {
            let manifest = read.as_ref().ok();
            BackupInfo {
                name: name.clone(),
                number: number_of(name, read),
                at: manifest.map(|m| m.at),
                lsn: manifest.map(|m| m.lsn),
                epoch: manifest.map(|m| m.epoch),
                files: manifest.map_or(0, |m| m.files.len() as u64),
                bytes: manifest.map_or(0, BackupManifest::bytes),
                own_bytes: manifest.map_or(0, own),
                test_lost: tested.is_none() && self.is_test_lost(name),
                tested,
                damaged: read.as_ref().err().map(ToString::to_string),
            }
        };
        Ok(all.iter().zip(self.tests_of(&all)?).map(info).collect())
    }

    /// How many backups there are, what they cost, the oldest, the newest, the last one that was found good.
    ///
    /// # Errors
    /// `NoRepository`, `Newer`, `Io`.
    pub fn info(&self) -> Result<RepositoryInfo, BackupError> {
        let manifests = self.manifests()?;
        let users = users(manifests.iter().filter_map(|(_, read)| read.as_ref().ok()));
        let all = self.list()?;
        let good = |one: &&BackupInfo| one.tested.as_ref().is_some_and(|test| test.verified_at.is_some());
        Ok(RepositoryInfo {
            folder: self.folder().to_owned(),
            backups: all.len() as u64,
            damaged: all.iter().filter(|one| one.damaged.is_some()).count() as u64,
            failed: all.iter().filter(|one| one.is_bad()).count() as u64,
            bytes: users.values().map(|(bytes, _)| bytes).sum(),
            shared_bytes: users.values().filter(|(_, by)| by.len() > 1).map(|(bytes, _)| bytes).sum(),
            oldest: all.first().cloned(),
            newest: all.last().cloned(),
            last_verified: all.iter().rev().find(good).cloned(),
        })
    }
}
