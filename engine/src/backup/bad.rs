//! Contents that were found bad by who read them. What is known of them outlives the backup that was read: it
//! counts against every backup that names them, until somebody has read them whole or written them anew.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use barkeeper_records::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::error::{BackupError, at};
use crate::backup::manifest::BackupManifest;
use crate::backup::repository::{BackupRepository, FILES, TESTS, replace};

const ENDING: &str = ".bad";

/// What was found of a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bad {
    /// The backup that was tested or restored, or for which a new one looked at what it shares.
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) detail: String,
}

/// Bad contents by their names in `files/`; `None` where what was found of one cannot be read any more.
pub(crate) type BadContents = BTreeMap<String, Option<Bad>>;

impl BackupRepository {
    /// Every content that was found bad.
    pub(crate) fn bad_contents(&self) -> Result<BadContents, BackupError> {
        let dir = self.folder().join(TESTS);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BadContents::new()),
            entries => entries.map_err(at(&dir))?,
        };
        let mut bad = BadContents::new();
        for entry in entries {
            let entry = entry.map_err(at(&dir))?;
            let name = entry.file_name();
            if let Some(object) = name.to_str().and_then(|name| name.strip_suffix(ENDING)) {
                let said = fs::read(entry.path()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
                bad.insert(object.to_owned(), said);
            }
        }
        Ok(bad)
    }

    /// Whether a content was found bad.
    pub(crate) fn is_bad(&self, object: &str) -> bool {
        self.path(TESTS, &format!("{object}{ENDING}")).exists()
    }

    pub(crate) fn mark_bad(&self, object: &str, bad: &Bad) -> Result<(), BackupError> {
        let text = serde_json::to_string(bad).unwrap_or_default() + "\n";
        replace(&self.path(TESTS, &format!("{object}{ENDING}")), text.as_bytes())
    }

    /// Notes that a content was read whole, or is there no more.
    pub(crate) fn clear_bad(&self, object: &str) -> Result<(), BackupError> {
        let path = self.path(TESTS, &format!("{object}{ENDING}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
            _ => Ok(()),
        }
    }
}

/// The first bad content that a backup names, inside the repository, and what is known of it.
pub(crate) fn bad_in<'b>(
    manifest: &BackupManifest,
    bad: &'b BadContents,
) -> Option<(String, &'b Option<Bad>)> {
    let of = |object: String| bad.get(&object).map(|known| (format!("{FILES}/{object}"), known));
    manifest.files.iter().find_map(|file| of(file.object()))
}
