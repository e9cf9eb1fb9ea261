//! `BackupManifest`: what a backup holds, in a small file with a checksum of its own.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use barkeeper_records::{Digest, Lsn, Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::backup::error::BackupError;

/// The newest form of manifests and of the folder that this program reads and writes.
pub(crate) const FORMAT: u32 = 1;

/// What a file of a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// `store.redb`.
    Database,
    /// A Parquet segment.
    Segment,
    /// A file of a tool's, such as its settings.
    Extra,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its place in the store's folder, with forward slashes.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content, 64 hexadecimal digits.
    pub blake3: String,
}

impl BackupFile {
    /// The name under which the content lies in `files/`.
    pub(crate) fn object(&self) -> String {
        object_name(self.kind, &self.blake3)
    }

    /// Whether the path stays inside a store's folder, on every system.
    fn is_inside(&self) -> bool {
        let path = Path::new(&self.path);
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        plain && !self.path.is_empty() && !self.path.contains(['\\', ':', '\0'])
    }

    fn is_hash(&self) -> bool {
        self.blake3.len() == 64 && self.blake3.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
}

/// The name of a content in `files/`: its BLAKE3 and an ending for the eyes of people.
pub(crate) fn object_name(kind: FileKind, blake3: &str) -> String {
    let ending = match kind {
        FileKind::Database => "redb",
        FileKind::Segment => "parquet",
        FileKind::Extra => "bin",
    };
    format!("{blake3}.{ending}")
}

/// What a backup holds: one state of a store, at one LSN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BackupManifest {
    /// The form of this file, 1.
    pub format: u32,
    /// The backup's name, `000007-20261121T003235Z`: its number and when it was made.
    pub name: String,
    /// One more than the highest that was there: backups are ordered by it and not by a clock.
    pub number: u64,
    /// When it was made, by the clock of the store.
    pub at: Timestamp,
    /// The program that made it.
    pub program: String,
    /// The store's id, 32 hexadecimal digits.
    pub store_id: String,
    /// The store's format.
    pub store_format: u32,
    /// The store's epoch: how often it was restored, and 1.
    pub epoch: u64,
    /// The last commit in it.
    pub lsn: Lsn,
    /// The highest version that the store had given or seen.
    pub version: Version,
    /// The highest LSN that a target had acknowledged.
    pub acknowledged: Lsn,
    /// BLAKE3 of all entries of all tables, 64 hexadecimal digits.
    pub content: String,
    /// The live rows of each dataset: how many, and their digest.
    pub datasets: BTreeMap<String, Digest>,
    /// Its files, `store.redb` first.
    pub files: Vec<BackupFile>,
}

/// The first line of a manifest's file.
#[derive(Serialize, Deserialize)]
struct Seal {
    barkeeper_backup: u32,
    blake3: String,
}

impl Seal {
    /// The first line, and what is behind it.
    fn before(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let at = bytes.iter().position(|byte| *byte == b'\n')?;
        Some((serde_json::from_slice(bytes.get(..at)?).ok()?, bytes.get(at + 1..)?))
    }

    fn fits(&self, body: &[u8]) -> bool {
        blake3::hash(body).to_hex().as_str() == self.blake3
    }
}

impl BackupManifest {
    /// Length of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// The file: a line with the checksum of what follows, then the manifest as JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists of them have a JSON form.
        let body = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        let blake3 = blake3::hash(body.as_bytes()).to_hex().to_string();
        let seal = serde_json::to_string(&Seal { barkeeper_backup: FORMAT, blake3 }).unwrap_or_default();
        format!("{seal}\n{body}").into_bytes()
    }

    /// Whether the checksum fits, whatever it is the checksum of: a manifest of a newer program, or of another name.
    pub(crate) fn is_as_written(bytes: &[u8]) -> bool {
        Seal::before(bytes).is_some_and(|(seal, body)| seal.barkeeper_backup > FORMAT || seal.fits(body))
    }

    /// Reads the content of the file at `path`, which must have the backup's name.
    ///
    /// # Errors
    /// `Damaged` for what was not written so, `Newer` for what a newer program wrote.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, BackupError> {
        let damaged =
            |detail: &str| BackupError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
        let (seal, body) = Seal::before(bytes).ok_or_else(|| damaged("its first line is no checksum"))?;
        if seal.barkeeper_backup > FORMAT {
            return Err(BackupError::Newer {
                path: path.to_owned(),
                found: seal.barkeeper_backup,
                known: FORMAT,
            });
        }
        if seal.barkeeper_backup != FORMAT {
            return Err(damaged("its first line names a form that was never written"));
        }
        if !seal.fits(body) {
            return Err(damaged("the checksum does not fit"));
        }
        let manifest: Self = serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))?;
        if path.file_stem().is_none_or(|stem| stem != manifest.name.as_str()) {
            return Err(damaged("it is the manifest of another backup"));
        }
        // The checksum is no protection against a hand that writes it anew.
        match manifest.files.iter().find(|file| !file.is_inside() || !file.is_hash()) {
            Some(file) => Err(damaged(&format!("it names the file '{}'", file.path))),
            None => Ok(manifest),
        }
    }
}

/// The name of a backup: `000007-20261121T003235Z`.
pub(crate) fn backup_name(number: u64, at: Timestamp) -> String {
    format!("{number:06}-{}", stamp(at))
}

/// An instant for file names: `20261121T003235Z`.
pub(crate) fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default();
    let plain: String = seconds.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    plain + "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> BackupManifest {
        let at = "2026-11-21T00:32:35.5Z".parse().unwrap();
        let file = |path: &str, kind| BackupFile {
            path: path.to_owned(),
            kind,
            bytes: 7,
            blake3: blake3::hash(path.as_bytes()).to_hex().to_string(),
        };
        BackupManifest {
            format: FORMAT,
            name: backup_name(7, at),
            number: 7,
            at,
            program: "test".to_owned(),
            store_id: "00".repeat(16),
            store_format: 1,
            epoch: 1,
            lsn: Lsn(60),
            version: Version::ZERO,
            acknowledged: Lsn(50),
            content: "00".repeat(32),
            datasets: BTreeMap::from([("trades".to_owned(), Digest::default())]),
            files: vec![file("store.redb", FileKind::Database), file("bars/1d/x.parquet", FileKind::Segment)],
        }
    }

    #[test]
    fn a_manifest_is_read_back_and_any_flipped_bit_is_damage() {
        let manifest = manifest();
        assert_eq!(manifest.name, "000007-20261121T003235Z");
        let path = Path::new("manifests/000007-20261121T003235Z.json");
        let bytes = manifest.to_bytes();
        assert_eq!(BackupManifest::from_bytes(path, &bytes).unwrap(), manifest);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(BackupManifest::from_bytes(path, &flipped).is_err(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(BackupManifest::from_bytes(path, &bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(BackupManifest::from_bytes(Path::new("manifests/000008.json"), &bytes).is_err());
    }

    #[test]
    fn lengths_that_no_disk_has_are_summed_without_overflow() {
        let mut manifest = manifest();
        manifest.files.iter_mut().for_each(|file| file.bytes = u64::MAX);
        assert_eq!(manifest.bytes(), u64::MAX);
    }

    #[test]
    fn a_manifest_that_leads_out_of_the_folder_is_refused() {
        for path in ["../store.redb", "/etc/passwd", "a/../../b", "C:evil", "a\\b", "", "a/./../b"] {
            let mut manifest = manifest();
            path.clone_into(&mut manifest.files[1].path);
            let file = format!("{}.json", manifest.name);
            let read = BackupManifest::from_bytes(Path::new(&file), &manifest.to_bytes());
            assert!(matches!(read, Err(BackupError::Damaged { .. })), "{path}: {read:?}");
        }
        let mut manifest = manifest();
        manifest.files[0].blake3 = "../../x".to_owned();
        let file = format!("{}.json", manifest.name);
        assert!(BackupManifest::from_bytes(Path::new(&file), &manifest.to_bytes()).is_err());
    }
}
