//! Opens and creates stores with what their configuration says.

use std::path::Path;
use std::sync::Arc;

use barkeeper::{OnCheck, OpenError, Store, StoreOptions};
use barkeeper_records::{AccountId, CalendarKind};

use crate::clock::SystemClock;
use crate::config::{Config, ConfigError};
use crate::config_file::ConfigFile;

/// Why a store could not be opened or created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store itself.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// An open store and its configuration.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<Store>,
    /// What `barkeeper.toml` said when it was opened.
    pub config: Config,
}

/// What a new store is told.
#[derive(Debug, Clone, Default)]
pub struct InitSettings {
    /// Which days are trading days.
    pub calendar: CalendarKind,
    /// A list of open days, relative to the store's folder.
    pub open_days: Option<String>,
    /// The account that is meant where none is named; `main` without it.
    pub account: Option<AccountId>,
    /// Whether a network folder, or one that a cloud service copies, is taken.
    pub allow_shared_folder: bool,
}

/// What a store is opened with: the machine's clock and the configured calendar.
pub fn store_options(config: &Config, program: &str) -> StoreOptions {
    let mut options = StoreOptions::new(Arc::new(SystemClock));
    options.calendar = config.calendar.clone();
    program.clone_into(&mut options.program);
    options.allow_shared_folder = config.allow_shared_folder;
    options
}

/// Opens the store in a folder. `program` is what other processes are told about who has it.
///
/// # Errors
/// `Config` before anything is opened, `Store`.
pub fn open(folder: &Path, program: &str) -> Result<Opened, StartError> {
    open_watched(folder, program, None)
}

/// Opens a store as [`open`] does. `on_check` hears how far the check of a database has come that was not
/// closed: bytes checked, bytes in all.
///
/// # Errors
/// As [`open`].
pub fn open_watched(folder: &Path, program: &str, on_check: Option<OnCheck>) -> Result<Opened, StartError> {
    let config = Config::load(folder)?;
    let options = StoreOptions { on_check, ..store_options(&config, program) };
    let store = Store::open(folder, options)?;
    Ok(Opened { store: Arc::new(store), config })
}

/// Creates a store in a new or empty folder and writes its configuration.
///
/// # Errors
/// `Config` for a list of open days that cannot be read, before anything is made, and for a file that
/// cannot be written; `Store` where the folder is not empty or cannot be written.
pub fn create(folder: &Path, settings: &InitSettings, program: &str) -> Result<Opened, StartError> {
    let mut file = ConfigFile::template(folder)?;
    file.set_calendar(settings.calendar, settings.open_days.as_deref());
    if let Some(account) = &settings.account {
        file.set_account(account);
    }
    if settings.allow_shared_folder {
        file.allow_shared_folder();
    }
    let config = file.config()?;
    let store = Store::create(folder, store_options(&config, program))?;
    file.save()?;
    Ok(Opened { store: Arc::new(store), config })
}
