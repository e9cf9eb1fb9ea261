//! `Failure`, exit codes of errors, and hints: what went wrong, for scripts and for people.

use std::error::Error;
use std::io;
use std::path::Path;

use barkeeper::{BackupError, CommitError, MaintenanceError, OpenError, ReadError, Store};
use barkeeper_host::{BackupFailure, ConfigError, ImportError, StartError, SyncError, WalkError};

use crate::exit::Exit;

/// An error of the command line itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// How the program ends with this error.
pub(crate) fn exit(error: &anyhow::Error) -> Exit {
    error.chain().find_map(exit_of).unwrap_or(Exit::Findings)
}

fn exit_of(cause: &(dyn Error + 'static)) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(error) = cause.downcast_ref::<StartError>() {
        return match error {
            StartError::Store(error) => Some(of_open(error)),
            StartError::Config(error) => Some(of_config(error)),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<OpenError>() {
        return Some(of_open(error));
    }
    if let Some(error) = cause.downcast_ref::<CommitError>() {
        return Some(of_commit(error));
    }
    if let Some(error) = cause.downcast_ref::<ReadError>() {
        return Some(of_read(error));
    }
    #[cfg(feature = "polars")]
    if let Some(error) = cause.downcast_ref::<barkeeper::SqlError>() {
        return Some(match error {
            barkeeper::SqlError::Read(error) => of_read(error),
            _ => Exit::Usage,
        });
    }
    if let Some(error) = cause.downcast_ref::<MaintenanceError>() {
        return Some(of_maintenance(error));
    }
    if let Some(error) = cause.downcast_ref::<BackupError>() {
        return Some(of_backup(error));
    }
    if let Some(error) = cause.downcast_ref::<BackupFailure>() {
        return match error {
            BackupFailure::Backup(error) => Some(of_backup(error)),
            BackupFailure::Config(error) => Some(of_config(error)),
            BackupFailure::Io { source, .. } => of_io(source),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return Some(of_config(error));
    }
    if let Some(ImportError::Walk(error)) = cause.downcast_ref::<ImportError>() {
        return Some(of_walk(error));
    }
    if let Some(error) = cause.downcast_ref::<SyncError>() {
        return of_sync(error);
    }
    cause.downcast_ref::<io::Error>().and_then(of_io)
}

fn of_open(error: &OpenError) -> Exit {
    match error {
        OpenError::NotFound { .. } => Exit::NotFound,
        OpenError::InUse { .. } => Exit::InUse,
        OpenError::Damaged { .. } | OpenError::DatabaseMissing { .. } | OpenError::Segment(_) => {
            Exit::Damaged
        }
        OpenError::Io { source, .. } => of_io(source).unwrap_or(Exit::Findings),
        _ => Exit::Findings,
    }
}

fn of_read(error: &ReadError) -> Exit {
    match error {
        _ if error.is_damage() => Exit::Damaged,
        ReadError::Reopen => Exit::Down,
        ReadError::Io { source } => of_io(source).unwrap_or(Exit::Findings),
        _ => Exit::Findings,
    }
}

fn of_commit(error: &CommitError) -> Exit {
    match error {
        CommitError::DiskFull | CommitError::LowSpace { .. } => Exit::DiskFull,
        CommitError::Failed { .. } => Exit::Down,
        CommitError::Read(error) => of_read(error),
        CommitError::NoPosition(_) | CommitError::NoTrade(_) => Exit::NotFound,
        CommitError::Maintenance(error) => of_maintenance(error),
        _ => Exit::Findings,
    }
}

fn of_maintenance(error: &MaintenanceError) -> Exit {
    match error {
        MaintenanceError::Open(error) => of_open(error),
        MaintenanceError::Read(error) => of_read(error),
        MaintenanceError::Commit(error) => of_commit(error),
        MaintenanceError::Segment(error) if error.is_damage() => Exit::Damaged,
        MaintenanceError::Io { source, .. } => of_io(source).unwrap_or(Exit::Findings),
        _ => Exit::Findings,
    }
}

fn of_backup(error: &BackupError) -> Exit {
    match error {
        BackupError::NoRepository { .. }
        | BackupError::NoBackup { .. }
        | BackupError::NothingToUndo { .. }
        | BackupError::NoFormerState { .. }
        | BackupError::NoFormerDatabase { .. } => Exit::NotFound,
        BackupError::Busy { .. } => Exit::InUse,
        BackupError::Open(error) => of_open(error),
        BackupError::Read(error) => of_read(error),
        BackupError::Commit(error) => of_commit(error),
        BackupError::Maintenance(error) => of_maintenance(error),
        _ if error.is_full() => Exit::DiskFull,
        _ if error.is_damage() => Exit::Damaged,
        BackupError::Io { source, .. } => of_io(source).unwrap_or(Exit::Findings),
        _ => Exit::Findings,
    }
}

fn of_config(error: &ConfigError) -> Exit {
    match error {
        ConfigError::NoTarget { .. } => Exit::NotFound,
        ConfigError::Io { source, .. } => of_io(source).unwrap_or(Exit::Findings),
        _ => Exit::Findings,
    }
}

fn of_walk(error: &WalkError) -> Exit {
    match error {
        WalkError::NotFound { .. } => Exit::NotFound,
        _ => Exit::Findings,
    }
}

fn of_sync(error: &SyncError) -> Option<Exit> {
    match error {
        SyncError::Config(error) => Some(of_config(error)),
        SyncError::Io { source, .. } => of_io(source),
        _ if error.is_unreachable() => Some(Exit::Unreachable),
        _ => error.could_not_tell().then_some(Exit::Unknown),
    }
}

fn of_io(error: &io::Error) -> Option<Exit> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Exit::DiskFull),
        io::ErrorKind::NotFound => Some(Exit::NotFound),
        _ => None,
    }
}

/// What may help, with a command that works.
/// `store` is the folder as the command line names it, `folder` the one that is meant.
pub(crate) fn hint(error: &anyhow::Error, store: Option<&Path>, folder: Option<&Path>) -> Option<String> {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    if let Some(hint) = failure.and_then(|failure| failure.hint.clone()) {
        return Some(hint);
    }
    let with_store =
        store.map_or_else(String::new, |folder| format!(" --store {}", crate::context::shown(folder)));
    let start = error.chain().find_map(|cause| cause.downcast_ref::<StartError>());
    if let Some(StartError::Store(OpenError::NotEmpty { .. })) = start {
        return Some("name a folder that is empty or does not exist yet".to_owned());
    }
    let backup = error.chain().find_map(|cause| match cause.downcast_ref::<BackupFailure>() {
        Some(BackupFailure::Backup(error)) => Some(error),
        _ => cause.downcast_ref::<BackupError>(),
    });
    let lost =
        folder.filter(|folder| matches!(Store::locate(folder), Err(OpenError::DatabaseMissing { .. })));
    if let (Some(BackupError::NoRepository { .. } | BackupError::NoFormerDatabase { .. }), Some(folder)) =
        (backup, lost)
    {
        return Some(barkeeper_host::way_back(folder, &with_store));
    }
    if let Some(hint) = backup.and_then(|error| backup_hint(error, &with_store)) {
        return Some(hint);
    }
    let shared = |cause: &(dyn Error + 'static)| {
        matches!(cause.downcast_ref::<OpenError>(), Some(OpenError::Shared { .. }))
            || matches!(cause.downcast_ref::<StartError>(), Some(StartError::Store(OpenError::Shared { .. })))
    };
    if error.chain().any(shared) {
        return Some(
            "name a folder on a local disk and keep backups there; `init --allow-shared-folder`, or \
             `allow_shared_folder = true` below [store] in barkeeper.toml, takes it all the same"
                .to_owned(),
        );
    }
    let back = || folder.map(|folder| barkeeper_host::way_back(folder, &with_store)).unwrap_or_default();
    let text = match exit(error) {
        Exit::NotFound if matches!(start, Some(StartError::Store(_))) => {
            format!("`barkeeper init{with_store}` makes a store there")
        }
        Exit::InUse => "close the other program, or wait until it is done".to_owned(),
        Exit::Damaged if is_missing(error) => back(),
        Exit::Damaged => {
            format!("nothing was changed; `barkeeper verify{with_store}` lists what is damaged; {}", back())
        }
        Exit::Down => {
            "run the command again: the store is opened anew and says what was committed".to_owned()
        }
        Exit::DiskFull if is_low(error) => {
            "free some space for bars; trades and positions are still taken".to_owned()
        }
        Exit::DiskFull => {
            "free some space: what is stored can be read meanwhile, and writing goes on by itself".to_owned()
        }
        Exit::Unreachable => {
            format!("`barkeeper sync status{with_store}` shows what is known of the targets")
        }
        _ => return conflict_hint(error),
    };
    Some(text)
}

fn backup_hint(error: &BackupError, with_store: &str) -> Option<String> {
    Some(match error {
        BackupError::NoRepository { .. } => {
            format!(
                "`barkeeper backup create{with_store}` makes one; --from DIR names another folder of backups"
            )
        }
        BackupError::NoBackup { .. } => format!("`barkeeper backup list{with_store}` shows what there is"),
        BackupError::OtherStore { .. } | BackupError::NotARepository { .. } => {
            "name a folder of this store's own, such as a new one in it".to_owned()
        }
        BackupError::Busy { .. } => "wait until the other one is done".to_owned(),
        BackupError::NothingToUndo { .. } => "there is nothing to put back".to_owned(),
        BackupError::NoFormerDatabase { .. } | BackupError::NoFormerState { .. } => {
            format!("`barkeeper backup list{with_store}` shows what can be gone back to")
        }
        BackupError::Missing { .. } | BackupError::Damaged { .. } => format!(
            "nothing was changed; `barkeeper backup list{with_store}` shows the other backups, `barkeeper verify{with_store}` reads the store"
        ),
        _ => return None,
    })
}

/// Whether the database is gone: nothing but a backup helps then.
fn is_missing(error: &anyhow::Error) -> bool {
    let is = |error: &OpenError| matches!(error, OpenError::DatabaseMissing { .. });
    error.chain().any(|cause| {
        cause.downcast_ref().is_some_and(is)
            || matches!(cause.downcast_ref(), Some(StartError::Store(error)) if is(error))
            || matches!(cause.downcast_ref(), Some(MaintenanceError::Open(error)) if is(error))
    })
}

/// Whether there is still room for trades and positions.
fn is_low(error: &anyhow::Error) -> bool {
    let commit = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<MaintenanceError>() {
        Some(MaintenanceError::Commit(inner)) => matches!(**inner, CommitError::LowSpace { .. }),
        _ => matches!(cause.downcast_ref(), Some(CommitError::LowSpace { .. })),
    };
    error.chain().any(commit)
}

fn conflict_hint(error: &anyhow::Error) -> Option<String> {
    let commit = error.chain().find_map(|cause| cause.downcast_ref::<CommitError>());
    match commit {
        Some(CommitError::Conflict { .. }) => Some(
            "give --on-conflict replace to take the new bars (the old ones stay as revisions), or --on-conflict keep"
                .to_owned(),
        ),
        _ => None,
    }
}
