//! `examine`: is this machine, this folder and this store fit to be relied on? Each answer with what may be
//! done about it.

mod bundle;
mod disk;
mod machine;
mod store;

use std::path::{Path, PathBuf};

use barkeeper_records::{Clock as _, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

pub use bundle::{BundleError, write_bundle};

use crate::clock::SystemClock;
use crate::config::Config;

/// The form of the report: grows when a field changes its meaning, not when one is added.
const SCHEMA_VERSION: u32 = 1;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It works, and may not go on working.
    Warning,
    /// It does not work, or data is in danger.
    Failed,
    /// It could not be looked at.
    Skipped,
}

impl CheckState {
    /// `ok`, `warning`, `failed`, `skipped`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// An instant to the second.
fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.nanos() - at.nanos().rem_euclid(1_000_000_000))
}

/// `1 file`, `2 files`.
fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Which: `folder`, `place`, `space`, `rename`, `fsync`, `clock`, `owner`, `settings`, `integrity`,
    /// `segments`, `former_states`, `backups`, `targets`, `program`.
    pub name: &'static str,
    /// How it came out.
    pub state: CheckState,
    /// What was seen, for people.
    pub detail: String,
    /// What may be done, where something should.
    pub hint: Option<String>,
    /// What was measured, for programs.
    pub values: Map<String, Value>,
}

impl Check {
    fn new(name: &'static str, state: CheckState, detail: impl Into<String>) -> Self {
        Self { name, state, detail: detail.into(), hint: None, values: Map::new() }
    }

    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, CheckState::Ok, detail)
    }

    fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, CheckState::Warning, detail)
    }

    fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, CheckState::Failed, detail)
    }

    fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, CheckState::Skipped, detail)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn value(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DoctorReport {
    /// The form of this report, 1.
    pub schema_version: u32,
    /// The program's version.
    pub version: String,
    /// The operating system and the processor.
    pub platform: String,
    /// The store's folder.
    pub folder: PathBuf,
    /// When it was looked at.
    pub at: Timestamp,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

impl DoctorReport {
    /// Whether stored bytes are damaged or missing.
    pub fn is_damaged(&self) -> bool {
        let of_bytes = |check: &&Check| matches!(check.name, "integrity" | "segments");
        self.checks.iter().filter(of_bytes).any(|check| check.state == CheckState::Failed)
    }

    /// How many checks came out like this.
    pub fn count(&self, state: CheckState) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }
}

/// What is looked at, and how closely.
#[derive(Debug, Clone)]
pub struct DoctorSettings {
    /// The store's folder.
    pub folder: PathBuf,
    /// The program's version.
    pub version: String,
    /// Whether everything that is stored is read.
    pub full: bool,
    /// Folders that cloud services copy, as the system's settings tell them.
    pub cloud_folders: Vec<PathBuf>,
    /// How commands name the store: nothing, or ` --store DIR`.
    pub with_store: String,
}

/// Looks at everything. Works while another process has the store, and says what it could not see then.
/// Leaves nothing behind. `progress` hears of bytes or parts read and in all.
pub fn examine(settings: &DoctorSettings, progress: &mut dyn FnMut(u64, u64)) -> DoctorReport {
    let folder: &Path = &settings.folder;
    let mut checks = vec![machine::program(settings)];
    let drift = machine::Drift::begin();
    let config = Config::load(folder);
    checks.push(disk::folder(folder, &settings.with_store));
    let usable = checks.last().is_some_and(|check| check.state == CheckState::Ok);
    checks.push(disk::place(settings, config.as_ref().ok()));
    checks.push(disk::space(folder));
    if usable {
        checks.push(disk::rename(folder));
        checks.push(disk::fsync(folder));
    } else {
        for name in ["rename", "fsync"] {
            checks.push(Check::skipped(name, "nothing can be written there"));
        }
    }
    checks.push(store::settings(config.as_ref().err()));
    let config = config.unwrap_or_default();
    let looked = store::look(settings, &config, progress);
    let backups = store::backups(settings, &config);
    checks.push(machine::clock(&drift, looked.newest.max(backups.newest)));
    checks.push(machine::owner(folder, &looked.held, looked.exists));
    checks.push(looked.integrity);
    checks.push(looked.segments);
    checks.push(looked.former);
    checks.push(backups.check);
    checks.push(store::targets(settings, &config));
    DoctorReport {
        schema_version: SCHEMA_VERSION,
        version: settings.version.clone(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        folder: settings.folder.clone(),
        at: SystemClock.now(),
        checks,
    }
}
