//! `BackupError`: why a backup could not be made, read, tested, removed or restored.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{CommitError, MaintenanceError, OpenError, ReadError};

/// Why a backup could not be made, read, tested, removed or restored. The store and all other backups are
/// as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There are no backups in the folder.
    #[error("there are no backups in {}", path.display())]
    NoRepository {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no such backup.
    #[error("there is no backup '{name}' in {}", path.display())]
    NoBackup {
        /// What was asked for.
        name: String,
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds the backups of another store.
    #[error("{} holds backups of the store {found}, not of {asked}", path.display())]
    OtherStore {
        /// The folder.
        path: PathBuf,
        /// Whose backups they are, 32 hexadecimal digits.
        found: String,
        /// The store that was to be backed up.
        asked: String,
    },
    /// The folder holds something else.
    #[error("{} is not empty and holds no backups", path.display())]
    NotARepository {
        /// The folder.
        path: PathBuf,
    },
    /// Another process works on the backups.
    #[error("another process is at work on the backups in {}", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A newer program wrote the backups.
    #[error("{} has format {found}; this program reads formats up to {known}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// A file of a backup, or one that was to be backed up, is not what was written.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// A file of a backup is gone.
    #[error("{} is missing", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The folder to restore into is not empty.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// No restore has left a former state in the store's folder.
    #[error("no restore has left a former state in {}", path.display())]
    NothingToUndo {
        /// The folder.
        path: PathBuf,
    },
    /// The last restore found no database, so the state that it kept is none that a store can go back to.
    #[error("the former state in {} has no store.redb: there is no store to go back to", path.display())]
    NoFormerDatabase {
        /// Where what was there is kept.
        path: PathBuf,
    },
    /// No restore has left a former state of that name.
    #[error("there is no former state '{name}' in {}", path.display())]
    NoFormerState {
        /// What was asked for.
        name: String,
        /// The folder.
        path: PathBuf,
    },
    /// A former state that this program would not open: putting it back would leave no store to work with.
    #[error("the former state in {} is not put back: {source}", path.display())]
    FormerFormat {
        /// Where it is kept.
        path: PathBuf,
        /// Why it would not be opened.
        source: Box<OpenError>,
    },
    /// Less space is free than will be needed.
    #[error("{}: {needed} bytes are needed, {free} are free", path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// About how many bytes.
        needed: u64,
        /// How many are free.
        free: u64,
    },
    /// The operating system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The store could not be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// What is stored could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What waited in memory could not be written.
    #[error(transparent)]
    Commit(Box<CommitError>),
    /// The store could not be verified.
    #[error(transparent)]
    Maintenance(Box<MaintenanceError>),
}

impl BackupError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Commit(error) => matches!(**error, CommitError::DiskFull),
            _ => false,
        }
    }

    /// Whether bytes of the backup or of the store are damaged or gone.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Missing { .. } => true,
            Self::Read(error) => error.is_damage(),
            Self::Open(error) => matches!(
                **error,
                OpenError::Damaged { .. } | OpenError::DatabaseMissing { .. } | OpenError::Segment(_)
            ),
            _ => false,
        }
    }
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<CommitError> for BackupError {
    fn from(error: CommitError) -> Self {
        Self::Commit(Box::new(error))
    }
}

impl From<MaintenanceError> for BackupError {
    fn from(error: MaintenanceError) -> Self {
        match error {
            MaintenanceError::Io { path, source } => Self::Io { path, source },
            MaintenanceError::Open(error) => Self::Open(error),
            MaintenanceError::Read(error) => Self::Read(error),
            MaintenanceError::Commit(error) => Self::Commit(error),
            other => Self::Maintenance(Box::new(other)),
        }
    }
}

/// An error of the operating system at a path.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |source| BackupError::Io { path: path.to_owned(), source }
}

/// An error of redb at a file of ours.
pub(crate) fn redb_at(path: &Path, error: impl Into<redb::Error>) -> BackupError {
    match error.into() {
        redb::Error::Io(source) => BackupError::Io { path: path.to_owned(), source },
        other => BackupError::Damaged { path: path.to_owned(), detail: other.to_string() },
    }
}
