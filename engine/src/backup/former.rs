//! Former states: what restores have replaced and kept aside in the store's folder, until a person removes it.

use std::fs;
use std::path::{Path, PathBuf};

use barkeeper_storage::remove_folder;
use serde::Serialize;

use crate::backup::error::BackupError;
use crate::backup::restore::files_below;
use crate::backup::swap::SafetyCopy;
use crate::error::MaintenanceError;
use crate::folder::{DATABASE, SUMS};
use crate::store::Store;
use crate::trash::TrashReport;

/// A state that a restore has kept aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormerState {
    /// By what an undo names it: `before-restore-0001`.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// Length of its files.
    pub bytes: u64,
    /// Length of those that the store does not have any more: what removing it gives back.
    pub own_bytes: u64,
    /// Whether it has a database, without which no undo goes back to it.
    pub undoable: bool,
}

/// The former states in a store's folder, oldest first. The store need not be open, nor whole.
///
/// # Errors
/// `Io`.
pub fn former_states(dir: &Path) -> Result<Vec<FormerState>, BackupError> {
    let mut found = Vec::new();
    for (number, path) in SafetyCopy::all(dir)? {
        let (name, undoable) = (SafetyCopy::name(number), path.join(DATABASE).is_file());
        let mut state = FormerState { name, bytes: 0, own_bytes: 0, undoable, path };
        for file in files_below(&state.path)? {
            let length = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
            let relative = file.strip_prefix(&state.path).unwrap_or(&file);
            let bytes = length(&file);
            state.bytes += bytes;
            // Segments are linked where the system has links, and their names are never given twice.
            let is_segment = ![DATABASE, SUMS].map(Path::new).contains(&relative);
            let shared = is_segment && length(&dir.join(relative)) == bytes;
            state.own_bytes += if shared { 0 } else { bytes };
        }
        found.push(state);
    }
    Ok(found)
}

impl Store {
    /// The states that restores into this folder have kept aside, oldest first.
    ///
    /// # Errors
    /// `Io`.
    pub fn former_states(&self) -> Result<Vec<FormerState>, MaintenanceError> {
        former_states(self.folder()).map_err(|error| self.failed(error))
    }

    /// Removes all states that restores have kept aside. None of these restores can be undone then.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_former_states(&self) -> Result<TrashReport, MaintenanceError> {
        let _alone = self.inner().maintaining();
        let mut report = TrashReport::default();
        for state in self.former_states()? {
            let files = files_below(&state.path).map_err(|error| self.failed(error))?;
            remove_folder(&state.path)
                .map_err(|source| MaintenanceError::Io { path: state.path.clone(), source })?;
            report.deleted += files.len() as u64;
            report.bytes += state.own_bytes;
        }
        Ok(report)
    }

    fn failed(&self, error: BackupError) -> MaintenanceError {
        match error {
            BackupError::Io { path, source } => MaintenanceError::Io { path, source },
            other => {
                MaintenanceError::Io { path: self.folder().to_owned(), source: std::io::Error::other(other) }
            }
        }
    }
}
