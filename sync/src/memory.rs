//! `MemoryFile`: the little that a store has to remember about a target and the target cannot tell it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use barkeeper_storage::while_held;
use serde::{Deserialize, Serialize};

use crate::claim::{Claim, hex};

/// The form of the file; another one is refused.
const FORMAT: u32 = 1;
/// Claims without an answer that are remembered; beyond that the newest is asked for again.
const UNANSWERED: usize = 64;

/// Why the memory of a target could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is no memory of a target: {source}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another program version wrote it.
    #[error("{} has format {found}, this program knows 1", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// The format it has.
        found: u32,
    },
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetMemory {
    /// The form of the file.
    format: u32,
    /// Whose memory it is; another store's is not believed.
    #[serde(with = "hex")]
    pub(crate) store_id: u128,
    /// The database that the target was.
    pub(crate) incarnation: Option<String>,
    /// The claim that the target last confirmed.
    pub(crate) confirmed: Option<Claim>,
    /// The claims that were asked for since, written down before asking: an answer may get lost.
    pub(crate) asked: Vec<Claim>,
}

impl TargetMemory {
    /// A claim to ask for: a new one, as long as there is room to remember it.
    pub(crate) fn ask(&mut self, epoch: u64, owner: u128) -> Claim {
        if let Some(newest) = self.asked.get(UNANSWERED - 1) {
            return *newest;
        }
        // Above the unanswered ones as well: the target may turn up later in the state that one of them left.
        let known = self.confirmed.iter().chain(&self.asked).filter(|claim| claim.epoch == epoch);
        let generation = known.map(|claim| claim.generation).max().unwrap_or(0);
        let claim = Claim { epoch, generation: generation.saturating_add(1), owner };
        self.asked.push(claim);
        claim
    }

    /// Notes that the target confirmed a claim.
    pub(crate) fn confirm(&mut self, claim: Claim, incarnation: &str) {
        self.confirmed = Some(claim);
        self.asked.clear();
        self.incarnation = Some(incarnation.to_owned());
    }
}

/// A small file beside the store, one for each target: the incarnation and the claim of the target.
///
/// It has to be copied, moved and restored with the store: by it a copied folder is told from the one
/// that goes on. Without it the store can still begin a stream, but not continue one that is taken.
#[derive(Debug)]
pub struct MemoryFile {
    path: PathBuf,
}

impl MemoryFile {
    /// The memory in this file, which need not exist yet; its folder has to.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says of the store; empty where it does not exist or is of another store.
    pub(crate) fn load(&self, store_id: u128) -> Result<TargetMemory, MemoryError> {
        let empty = TargetMemory { format: FORMAT, store_id, ..TargetMemory::default() };
        let text = match while_held(&self.path, || fs::read_to_string(&self.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty),
            read => read.map_err(|source| self.io(source))?,
        };
        let memory: TargetMemory = serde_json::from_str(&text)
            .map_err(|source| MemoryError::Content { path: self.path.clone(), source })?;
        if memory.format != FORMAT {
            return Err(MemoryError::Format { path: self.path.clone(), found: memory.format });
        }
        Ok(if memory.store_id == store_id { memory } else { empty })
    }

    /// Replaces the file: written beside it and flushed, then renamed over it.
    pub(crate) fn save(&self, memory: &TargetMemory) -> Result<(), MemoryError> {
        let text = serde_json::to_string_pretty(memory)
            .map_err(|source| MemoryError::Content { path: self.path.clone(), source })?;
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = self.path.with_file_name(name);
        let write = || {
            let mut file = while_held(&beside, || File::create(&beside))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            drop(file);
            while_held(&self.path, || fs::rename(&beside, &self.path))
        };
        write().map_err(|source| self.io(source))
    }

    /// Replaces whatever the file holds by an empty memory.
    pub(crate) fn forget(&self, store_id: u128) -> Result<(), MemoryError> {
        self.save(&TargetMemory { format: FORMAT, store_id, ..TargetMemory::default() })
    }

    fn io(&self, source: io::Error) -> MemoryError {
        MemoryError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_there_again_and_only_for_its_store() {
        let folder = tempfile::tempdir().unwrap();
        let file = MemoryFile::new(folder.path().join("目标.json"));
        let mut memory = file.load(5).unwrap();
        assert_eq!(memory.confirmed, None);
        let claim = memory.ask(1, 99);
        assert_eq!((claim.generation, claim.owner), (1, 99));
        memory.incarnation = Some("abc".to_owned());
        file.save(&memory).unwrap();
        file.save(&memory).unwrap();
        assert_eq!(file.load(5).unwrap(), memory);
        assert_eq!(file.load(6).unwrap().incarnation, None);
    }

    #[test]
    fn unanswered_claims_are_kept_until_one_is_confirmed() {
        let mut memory = TargetMemory::default();
        let (first, second) = (memory.ask(1, 10), memory.ask(1, 20));
        assert_eq!(memory.asked, [first, second]);
        assert_eq!((first.generation, second.generation), (1, 2));
        memory.confirm(second, "x");
        assert_eq!(memory.ask(1, 30), Claim { epoch: 1, generation: 3, owner: 30 });
        assert_eq!(memory.ask(2, 40), Claim { epoch: 2, generation: 1, owner: 40 });
        for owner in 0..1_000 {
            memory.ask(1, owner);
        }
        assert_eq!(memory.asked.len(), UNANSWERED);
    }

    #[test]
    fn a_damaged_or_newer_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = MemoryFile::new(folder.path().join("t.json"));
        fs::write(file.path(), "{").unwrap();
        assert!(matches!(file.load(5), Err(MemoryError::Content { .. })));
        let newer = r#"{"format":2,"store_id":"05","incarnation":null,"confirmed":null,"asked":[]}"#;
        fs::write(file.path(), newer).unwrap();
        assert!(matches!(file.load(5), Err(MemoryError::Format { found: 2, .. })));
    }
}
