//! Backups of an opened store as its configuration wants them, and the function that a scheduler calls.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barkeeper::{
    BackupError, BackupOptions, BackupReport, BackupRepository, PruneOptions, PruneReport, RestoreOptions,
    RestoreReport, Retention, TestOutcome, TestedBackup,
};
use barkeeper_records::Clock as _;
use barkeeper_sync::Mode;
use serde::{Deserialize, Serialize};

use crate::clock::SystemClock;
use crate::config::{CONFIG_FILE, Config, ConfigError, TargetName};
use crate::config_file::ConfigFile;
use crate::note;
use crate::open::{Opened, store_options};

/// The folder in the store that holds its backups where no other one is named.
const FOLDER: &str = "backups";
/// Every so many backups one is tested, where nothing else is said.
const VERIFY_EVERY: u64 = 7;

/// What `[backup]` in `barkeeper.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupSettings {
    /// Where backups go, relative to the store's folder; `backups` without it.
    pub folder: Option<PathBuf>,
    /// How many days backups are kept; 30 where neither this nor `keep_last` is said.
    pub keep_days: Option<u32>,
    /// How many of the newest are kept, however old.
    pub keep_last: Option<u32>,
    /// Every so many backups one is tested; 7 where nothing is said, 0 for never.
    pub verify_every: Option<u64>,
}

impl BackupSettings {
    /// The rules: those given here where there are any, else those of the configuration, else 30 days.
    pub fn retention(&self, days: Option<u32>, last: Option<u32>) -> Retention {
        let (days, last) = match (days, last) {
            (None, None) => (self.keep_days, self.keep_last),
            given => given,
        };
        match (days, last) {
            (None, None) => Retention::default(),
            (days, last) => Retention { days, last: last.unwrap_or(1) },
        }
    }

    /// The repository of a store: the one that is named, else the configured one, else `backups`.
    pub fn repository(&self, store: &Path, named: Option<&Path>) -> BackupRepository {
        let configured = || store.join(self.folder.as_deref().unwrap_or_else(|| Path::new(FOLDER)));
        BackupRepository::at(&named.map_or_else(configured, Path::to_owned))
    }
}

/// Why something about backups could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupFailure {
    /// The backups themselves.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What tools keep beside the store.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What a backup of a store holds beside the store: its settings, its list of open days, and what it
/// remembers of its targets.
///
/// # Errors
/// `Io`.
pub fn backup_options(store: &Path, link: bool) -> Result<BackupOptions, BackupFailure> {
    let mut extras = vec![PathBuf::from(CONFIG_FILE)];
    let text = fs::read_to_string(store.join(CONFIG_FILE)).unwrap_or_default();
    let settings: toml::Table = toml::from_str(&text).unwrap_or_default();
    let list = settings.get("calendar").and_then(|calendar| calendar.get("open_days")?.as_str());
    // A list elsewhere belongs to somebody else, who has it still.
    extras.extend(list.map(PathBuf::from).filter(|path| is_inside(path)));
    let memory = store.join(note::FOLDER);
    let io = |source| BackupFailure::Io { path: memory.clone(), source };
    match fs::read_dir(&memory) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(io)?.file_name();
                let text = name.to_string_lossy();
                let target = text.strip_suffix(".json").map(str::parse::<TargetName>);
                if matches!(target, Some(Ok(_))) {
                    extras.push(Path::new(note::FOLDER).join(name));
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    extras.sort();
    Ok(BackupOptions { extras, link, ..BackupOptions::default() })
}

fn is_inside(path: &Path) -> bool {
    path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// A restored store, and the targets that were switched off in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// What the restore did.
    #[serde(flatten)]
    pub report: RestoreReport,
    /// Targets of the restored settings, which are `local-only` until a person says which of two stores
    /// goes on with them.
    pub switched_off: Vec<String>,
    /// All targets that the store's settings name.
    pub targets: Vec<String>,
}

/// Restores a backup into a folder. Where the settings come from the backup, their targets are switched
/// off: the store that they belong to may still be at work.
///
/// # Errors
/// `Backup`; `Config` where the store is restored and its settings cannot be changed.
pub fn restore_backup(
    repository: &BackupRepository,
    backup: &str,
    into: &Path,
    options: RestoreOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, BackupFailure> {
    let report = repository.restore(backup, into, options, SystemClock.now(), progress)?;
    let config = Config::load(into).unwrap_or_default();
    let targets: Vec<String> = config.targets.keys().map(ToString::to_string).collect();
    let mut switched_off = Vec::new();
    if report.extras.iter().any(|path| path == CONFIG_FILE) {
        let mut file = ConfigFile::open(into)?;
        for name in config.targets.keys() {
            file.set_mode(name, Mode::LocalOnly)?;
            switched_off.push(name.to_string());
        }
        file.save()?;
    }
    Ok(Restored { report, switched_off, targets })
}

/// What a scheduled backup did. The parts are told one by one: a test that fails hides no backup that was
/// made.
#[derive(Debug)]
#[non_exhaustive]
pub struct ScheduledBackup {
    /// The backup.
    pub created: BackupReport,
    /// The test, where it was the turn of one.
    pub tested: Option<Result<TestedBackup, BackupError>>,
    /// What was removed; nothing is while the newest test has failed.
    pub pruned: Option<Result<PruneReport, BackupError>>,
}

impl ScheduledBackup {
    /// Whether everything went well.
    pub fn is_good(&self) -> bool {
        let tested = self
            .tested
            .as_ref()
            .is_none_or(|tested| tested.as_ref().is_ok_and(|tested| tested.outcome == TestOutcome::Verified));
        tested && self.created.damaged.is_empty() && self.pruned.as_ref().is_none_or(Result::is_ok)
    }
}

/// Makes a backup, tests it when it is the turn of one, and removes what no rule keeps. For a scheduler,
/// which waits and tells people; nothing here does.
///
/// # Errors
/// Where no backup was made.
pub fn scheduled_backup(
    opened: &Opened,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ScheduledBackup, BackupFailure> {
    let settings = &opened.config.backup;
    let repository = settings.repository(opened.store.folder(), None);
    let options = backup_options(opened.store.folder(), false)?;
    let created = opened.store.back_up(&repository, &options, progress)?;
    let every = settings.verify_every.unwrap_or(VERIFY_EVERY);
    let tested = if every > 0 && is_turn(&repository, every)? {
        let options = store_options(&opened.config, "barkeeper backup test");
        Some(repository.verify(&created.name, options, progress))
    } else {
        None
    };
    let failed = |tested: &Result<TestedBackup, BackupError>| {
        matches!(tested, Ok(TestedBackup { outcome: TestOutcome::Failed { .. }, .. }))
    };
    let pruned = if tested.as_ref().is_some_and(failed) {
        None
    } else {
        Some(repository.prune(&settings.retention(None, None), SystemClock.now(), PruneOptions::default()))
    };
    Ok(ScheduledBackup { created, tested, pruned })
}

/// Whether the newest backup is so many behind the last one that was found good, or none ever was.
fn is_turn(repository: &BackupRepository, every: u64) -> Result<bool, BackupError> {
    let info = repository.info()?;
    let newest = info.newest.map_or(0, |backup| backup.number);
    Ok(info.last_verified.is_none_or(|good| newest.saturating_sub(good.number) >= every))
}
