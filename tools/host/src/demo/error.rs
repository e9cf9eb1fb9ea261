//! `DemoError`: why the demo could not go on. A check that does not hold is no error but a finding.

use std::io;

use barkeeper::{CommitError, MaintenanceError, ReadError};

use crate::config::ConfigError;
use crate::import::ImportError;
use crate::open::StartError;
use crate::sync::SyncError;

/// Why the demo could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A file could not be written or read.
    #[error("the demo's files: {0}")]
    Io(#[from] io::Error),
    /// The store could not be made or opened.
    #[error("the demo's store: {0}")]
    Start(#[from] StartError),
    /// Its configuration could not be edited.
    #[error("the demo's settings: {0}")]
    Config(#[from] ConfigError),
    /// The import stopped.
    #[error("the demo's import: {0}")]
    Import(#[from] ImportError),
    /// A commit failed.
    #[error("a commit of the demo: {0}")]
    Commit(#[from] CommitError),
    /// A read failed.
    #[error("a read of the demo: {0}")]
    Read(#[from] ReadError),
    /// Sealing or verifying failed.
    #[error("the demo's store: {0}")]
    Maintenance(#[from] MaintenanceError),
    /// The replica.
    #[error("the demo's replica: {0}")]
    Sync(#[from] SyncError),
    /// The writer that is to be killed did not write.
    #[error("the writer process: {detail}")]
    Writer {
        /// What happened.
        detail: String,
    },
}
