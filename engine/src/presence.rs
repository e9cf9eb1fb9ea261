//! Quick looks at a store: are its files there, how late is what it holds.

use std::fs;
use std::io;

use barkeeper_records::Version;

use crate::error::{MaintenanceError, ReadResult, missing};
use crate::report::Finding;
use crate::session::read_head;
use crate::snapshot::Snapshot;
use crate::store::Store;

impl Store {
    /// Compares the manifest with the folder: every live segment has to be there and have its length. Reads
    /// no segment; [`Store::verify`] does. Answers what does not fit and how many segments were looked at.
    ///
    /// # Errors
    /// `Read`, `Io`.
    pub fn missing_segments(&self) -> Result<(Vec<Finding>, u64), MaintenanceError> {
        let snapshot = Snapshot::take(self.inner())?;
        let manifest = self.inner().segments.manifest(snapshot.view())?;
        let mut findings = Vec::new();
        for entry in &manifest.entries {
            let path = self.folder().join(entry.path());
            let detail = match fs::metadata(&path) {
                Ok(data) if data.len() == entry.bytes => continue,
                Ok(data) => format!("it has {} bytes, {} were published", data.len(), entry.bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => "it is missing".to_owned(),
                Err(source) => return Err(MaintenanceError::Io { path, source }),
            };
            findings.push(Finding { place: entry.path(), detail, damage: true });
        }
        Ok((findings, manifest.entries.len() as u64))
    }
}

impl Snapshot {
    /// The highest version that the store has given or seen; its time is that of the newest commit, by the
    /// clock that the store had then.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn newest_version(&self) -> ReadResult<Version> {
        Version::from_raw(read_head(self.view())?.version).ok_or_else(|| missing("version"))
    }
}
