//! Backups: made at one LSN while the store is in use, tested by restoring them, removed by rules that
//! never take the last good one, restored whole or not at all.

mod bad;
mod create;
mod database;
mod error;
mod former;
mod incarnation;
mod list;
mod lock;
mod manifest;
mod peek;
mod plan;
mod prune;
mod repository;
mod restore;
mod summary;
mod swap;
mod test;

pub use create::{BackupOptions, BackupReport};
pub use error::BackupError;
pub use former::{FormerState, former_states};
pub use list::{BackupInfo, RepositoryInfo};
pub use manifest::{BackupFile, BackupManifest, FileKind};
pub use plan::{DatasetChange, RestorePlan, UndoPlan};
pub use prune::{PruneOptions, PruneReport, Pruned, Retention};
pub use repository::BackupRepository;
pub use restore::{RestoreOptions, RestoreReport};
pub use test::{BackupTest, Outcome as TestOutcome, TestedBackup};

pub(crate) use incarnation::damage_of_note;
pub(crate) use swap::{RESTORING, SafetyCopy, clear};
