//! The store itself: its settings, its bytes, its files, its backups, its targets.

use barkeeper::{BackupError, MaintenanceError, OpenError, Store, TestOutcome};
use barkeeper_records::{Clock as _, Timestamp, Version};

use super::machine::Held;
use super::{Check, CheckState, DoctorSettings, counted, second};
use crate::clock::SystemClock;
use crate::config::{Config, ConfigError};
use crate::note::StatusNote;
use crate::open::store_options;

/// Days after which the newest backup is an old one.
const OLD_DAYS: i64 = 7;
const DAY: i64 = 86_400_000_000_000;
/// Commits that a target may lack without being told.
const LAG: u64 = 1_000;

pub(super) fn settings(error: Option<&ConfigError>) -> Check {
    const NAME: &str = "settings";
    match error {
        None => Check::ok(NAME, "barkeeper.toml can be read"),
        Some(error) => Check::failed(NAME, error.to_string()).hint("correct the line that is named"),
    }
}

/// What a look into the store has shown.
pub(super) struct Looked {
    pub(super) exists: bool,
    /// Whether another process has it.
    pub(super) held: Held,
    pub(super) integrity: Check,
    pub(super) segments: Check,
    /// States that restores have kept aside.
    pub(super) former: Check,
    /// When the newest commit was made, by the clock of that time.
    pub(super) newest: Option<Timestamp>,
}

const INTEGRITY: &str = "integrity";
const SEGMENTS: &str = "segments";
const FORMER: &str = "former_states";

impl Looked {
    fn without(exists: bool, integrity: Check) -> Self {
        let segments = Check::skipped(SEGMENTS, "the store could not be opened");
        let former = Check::skipped(FORMER, "the store could not be opened");
        Self { exists, held: Held::Free, integrity, segments, former, newest: None }
    }
}

pub(super) fn look(settings: &DoctorSettings, config: &Config, progress: &mut dyn FnMut(u64, u64)) -> Looked {
    let folder = &settings.folder;
    let mut options = store_options(config, "barkeeper doctor");
    options.background = false;
    // That it lies there is told by another check.
    options.allow_shared_folder = true;
    let read = settings.full.then(|| Store::verify(folder, options.clone(), progress));
    let (findings, read): (u64, _) = match read {
        Some(Ok(report)) => (report.findings.len() as u64, Some(report)),
        Some(Err(MaintenanceError::Open(error))) => return unopened(*error, settings),
        Some(Err(error)) => {
            return Looked::without(true, Check::skipped(INTEGRITY, error.to_string()));
        }
        None => (0, None),
    };
    let store = match Store::open(folder, options) {
        Ok(store) => store,
        Err(error) => return unopened(error, settings),
    };
    let restore = restore_hint(settings);
    let integrity = match &read {
        Some(report) if findings > 0 => {
            let first = report.findings.first();
            let first = first.map_or_else(String::new, |one| format!("{}: {}", one.place, one.detail));
            Check::failed(INTEGRITY, format!("{}, the first: {first}", counted(findings, "finding")))
                .hint(crate::way_on(report, &settings.folder, &settings.with_store).replace('`', ""))
        }
        Some(report) => {
            Check::ok(INTEGRITY, format!("all of it was read at LSN {}, and it fits", report.lsn))
        }
        None => Check::ok(
            INTEGRITY,
            "the database opens; every page and file is compared when it is read, all of them by --full",
        )
        .hint(format!("barkeeper doctor --full{} reads everything", settings.with_store)),
    };
    let segments = match store.missing_segments() {
        Ok((missing, count)) => match missing.first() {
            None => Check::ok(
                SEGMENTS,
                format!("of {}, each is there and has its length", counted(count, "file")),
            ),
            Some(first) => {
                let detail = format!("{} of {count}: {}: {}", missing.len(), first.place, first.detail);
                Check::failed(SEGMENTS, detail).hint(restore)
            }
        }
        .value("segments", count),
        Err(error) => Check::failed(SEGMENTS, error.to_string()).hint(restore),
    };
    let former = former(&store, settings);
    let newest = store.snapshot().and_then(|snapshot| snapshot.newest_version()).ok();
    let newest = newest.filter(|version| *version > Version::ZERO).map(Version::time);
    // Nothing waits in memory; a disk that fails now was told of above.
    drop(store.close());
    Looked { exists: true, held: Held::Free, integrity, segments, former, newest }
}

/// What restores have kept aside, which nothing but a person removes.
fn former(store: &Store, settings: &DoctorSettings) -> Check {
    let states = match store.former_states() {
        Ok(states) => states,
        Err(error) => return Check::skipped(FORMER, error.to_string()),
    };
    let bytes: u64 = states.iter().map(|state| state.own_bytes).sum();
    let check = if states.is_empty() {
        Check::ok(FORMER, "no restore has left one")
    } else {
        let told = counted(states.len() as u64, "state");
        let detail = format!(
            "{told} before a restore, {} MiB; barkeeper trash --empty --former-states{} removes what is kept",
            bytes.div_ceil(1 << 20),
            settings.with_store
        );
        Check::ok(FORMER, detail)
    };
    check.value("former_states", states.len()).value("bytes", bytes)
}

fn restore_hint(settings: &DoctorSettings) -> String {
    crate::way_back(&settings.folder, &settings.with_store).replace('`', "")
}

fn unopened(error: OpenError, settings: &DoctorSettings) -> Looked {
    match error {
        OpenError::InUse { owner, .. } => {
            let why = "another process has the store open; it cannot be looked at meanwhile";
            let hint = "close the other program and run the doctor again";
            let mut looked = Looked::without(true, Check::skipped(INTEGRITY, why).hint(hint));
            looked.held = owner.map_or(Held::Unnamed, Held::By);
            looked
        }
        OpenError::NotFound { .. } => {
            let hint =
                format!("barkeeper init{} makes one; --store names one elsewhere", settings.with_store);
            Looked::without(false, Check::skipped(INTEGRITY, "there is no store").hint(hint))
        }
        OpenError::Newer { .. } => {
            let check = Check::failed(INTEGRITY, error.to_string()).hint("update this program");
            // A newer store is whole as far as anybody here can tell.
            let mut looked = Looked::without(true, check);
            looked.integrity.state = CheckState::Warning;
            looked
        }
        // The error says what may be done.
        OpenError::Older { .. } => Looked::without(true, Check::failed(INTEGRITY, error.to_string())),
        OpenError::Damaged { .. } | OpenError::DatabaseMissing { .. } | OpenError::Segment(_) => {
            Looked::without(true, Check::failed(INTEGRITY, error.to_string()).hint(restore_hint(settings)))
        }
        other => Looked::without(true, Check::skipped(INTEGRITY, other.to_string())),
    }
}

/// What is known of the backups.
pub(super) struct Backups {
    pub(super) check: Check,
    /// When the newest one was made.
    pub(super) newest: Option<Timestamp>,
}

pub(super) fn backups(settings: &DoctorSettings, config: &Config) -> Backups {
    const NAME: &str = "backups";
    let with_store = &settings.with_store;
    let create = format!("barkeeper backup create{with_store} --to DIR, best on another disk");
    let alone = |check| Backups { check, newest: None };
    let info = match config.backup.repository(&settings.folder, None).info() {
        Ok(info) => info,
        Err(BackupError::NoRepository { .. }) => {
            return alone(Check::warning(NAME, "there are no backups").hint(create));
        }
        Err(error) => return alone(Check::failed(NAME, error.to_string()).hint(create)),
    };
    let Some(newest) = info.newest else {
        return alone(Check::warning(NAME, "there are no backups").hint(create));
    };
    let verify = format!("barkeeper backup verify{with_store}");
    let made = newest.at.map(second);
    let days = made.map_or(0, |made| SystemClock.now().nanos().saturating_sub(made.nanos()) / DAY);
    let of = made.map_or_else(|| ", whose manifest cannot be read".to_owned(), |made| format!(" of {made}"));
    let told = format!("{}, the newest {}{of}", counted(info.backups, "backup"), newest.name);
    let outcome = newest.tested.as_ref().map(|test| &test.outcome);
    let check = if let Some(TestOutcome::Failed { file, detail }) = outcome {
        Check::failed(NAME, format!("{told}, which was found bad: {file}: {detail}")).hint(format!(
            "barkeeper backup create{with_store} makes a new one and mends what the store still has"
        ))
    } else if info.damaged > 0 {
        let detail = format!("{told}; the manifests of {} cannot be read", info.damaged);
        Check::failed(NAME, detail).hint(format!(
            "barkeeper backup list{with_store} names them, barkeeper backup prune{with_store} --damaged removes what is damaged"
        ))
    } else if days > OLD_DAYS {
        Check::warning(NAME, format!("{told}, {days} days ago")).hint(create)
    } else if let Some(good) = &info.last_verified {
        let at = good.tested.as_ref().and_then(|test| test.verified_at).map(second).unwrap_or_default();
        Check::ok(NAME, format!("{told}; {} was restored for a test at {at}", good.name))
    } else if newest.test_lost {
        Check::warning(NAME, format!("{told}, of whose test nothing can be read any more")).hint(verify)
    } else {
        Check::warning(NAME, format!("{told}; none was ever restored for a test")).hint(verify)
    };
    let verified = info.last_verified.map(|good| good.name);
    let check = check
        .value("backups", info.backups)
        .value("newest", newest.name)
        .value("newest_at", made.map(|made| made.to_string()))
        .value("last_verified", verified)
        .value("bytes", info.bytes);
    Backups { check, newest: made }
}

pub(super) fn targets(settings: &DoctorSettings, config: &Config) -> Check {
    const NAME: &str = "targets";
    let with_store = &settings.with_store;
    if config.targets.is_empty() {
        return Check::ok(NAME, "none is configured");
    }
    let mut wrong = Vec::new();
    let mut lags = serde_json::Map::new();
    for (name, target) in &config.targets {
        let mode = crate::config::mode_name(target.mode);
        if target.mode == barkeeper_sync::Mode::LocalOnly {
            continue;
        }
        match StatusNote::load(&settings.folder, name) {
            Ok(Some(note)) => {
                lags.insert(name.to_string(), note.lag.into());
                if note.state.starts_with("quarantine") {
                    wrong.push(format!("{name} waits for a person ({})", note.why));
                } else if note.lag > LAG {
                    wrong.push(format!("{name} lacks {}", counted(note.lag, "commit")));
                } else if note.poisoned > 0 {
                    wrong.push(format!("{name} has refused {}", counted(note.poisoned, "row")));
                }
            }
            Ok(None) => wrong.push(format!("{name} ({mode}) was never brought up")),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    let check = if wrong.is_empty() {
        Check::ok(NAME, format!("{} configured, none far behind", config.targets.len()))
    } else {
        Check::warning(NAME, wrong.join("; "))
            .hint(format!("barkeeper sync run{with_store}, then barkeeper sync status{with_store}"))
    };
    check.value("lag", lags)
}
