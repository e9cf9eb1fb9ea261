//! `Config`: what `barkeeper.toml` in a store's folder says, checked before anything is opened.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use barkeeper_records::{AccountId, Calendar, CalendarKind};
use barkeeper_sync::Mode;
use barkeeper_sync::sqlite::SqliteConfig;
use serde::Deserialize;

use crate::backup::BackupSettings;
use crate::open_days;

/// The file's name in the store's folder.
pub const CONFIG_FILE: &str = "barkeeper.toml";

/// Most characters of a target's name.
const TARGET_NAME_CHARS: usize = 32;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no TOML, or holds a key that there is not.
    #[error("{}: {detail}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// The place and what was expected there.
        detail: String,
    },
    /// A value that cannot be.
    #[error("{}: {key} is '{value}': expected {expected}", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key, from the root.
        key: String,
        /// What it says.
        value: String,
        /// What it could say.
        expected: String,
    },
    /// A key without which its section means nothing.
    #[error("{}: {key} is missing: expected {expected}", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Which key, from the root.
        key: String,
        /// What it could say.
        expected: String,
    },
    /// Settings of a target that its kind does not take.
    #[error("{}: {key}: {detail}", path.display())]
    Target {
        /// Which file.
        path: PathBuf,
        /// Which target, from the root.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// A line of the list of open days that holds no day.
    #[error("{}:{line}: '{text}' is no day: expected YYYY-MM-DD, or columns of which the last is one", path.display())]
    OpenDay {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// The file names no such target.
    #[error("{}: there is no target '{name}'{}", path.display(), known_targets(known))]
    NoTarget {
        /// Which file.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// The targets that there are.
        known: Vec<String>,
    },
    /// The file names the target already.
    #[error("{}: there is a target '{name}' already", path.display())]
    TargetExists {
        /// Which file.
        path: PathBuf,
        /// Its name.
        name: String,
    },
}

fn known_targets(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!(" (there are: {})", known.join(", ")) }
}

/// The word for a mode in configuration and on the command line.
pub const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::LocalOnly => "local-only",
        Mode::Replicate => "replicate",
        Mode::VerifyOnly => "verify-only",
    }
}

/// The mode of a word; `None` for another word.
pub fn mode_of(name: &str) -> Option<Mode> {
    [Mode::LocalOnly, Mode::Replicate, Mode::VerifyOnly].into_iter().find(|mode| mode_name(*mode) == name)
}

/// The name of a target: 1 to 32 small letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(String);

/// The text is no name of a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no name of a target: expected 1 to 32 small letters, digits, - and _, and no name that \
     Windows keeps for devices, such as con and aux"
)]
pub struct TargetNameError {
    /// What was given.
    pub text: String,
}

impl TargetName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for TargetName {
    type Err = TargetNameError;

    fn from_str(text: &str) -> Result<Self, TargetNameError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let fits = (1..=TARGET_NAME_CHARS).contains(&text.len()) && text.bytes().all(allowed);
        if fits && !is_device(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TargetNameError { text: text.to_owned() })
        }
    }
}

/// Whether Windows takes a file of this name, whatever its ending, for a device. A target has files in its name,
/// and a store may be moved from one system to another.
fn is_device(name: &str) -> bool {
    let port = name.strip_prefix("com").or_else(|| name.strip_prefix("lpt"));
    matches!(name, "con" | "prn" | "aux" | "nul")
        || port.is_some_and(|n| matches!(n.as_bytes(), [b'0'..=b'9']))
}

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetKind {
    /// An SQLite file; its path as the configuration names it, relative to the store's folder.
    Sqlite(SqliteConfig),
}

impl TargetKind {
    /// `sqlite`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
        }
    }
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetConfig {
    /// Where it is.
    pub kind: TargetKind,
    /// What it is told to do.
    pub mode: Mode,
}

/// What the file says, with defaults where it says nothing.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Which days are trading days.
    pub calendar: Calendar,
    /// The account that is meant where none is named.
    pub account: Option<AccountId>,
    /// Where changes go, by name.
    pub targets: BTreeMap<TargetName, TargetConfig>,
    /// Where backups go and which are kept.
    pub backup: BackupSettings,
    /// Whether the store may lie in a network folder, or one that a cloud service copies.
    pub allow_shared_folder: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    calendar: RawCalendar,
    defaults: RawDefaults,
    targets: BTreeMap<String, toml::Table>,
    backup: BackupSettings,
    store: RawStore,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawStore {
    allow_shared_folder: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawCalendar {
    kind: Option<String>,
    open_days: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawDefaults {
    account: Option<String>,
}

impl Config {
    /// Reads the file of a store's folder; a folder without one has the defaults.
    ///
    /// # Errors
    /// `Io`, `Syntax`, `Value`, `Missing`, `OpenDay`.
    pub fn load(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join(CONFIG_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Io { path, source }),
        }
    }

    /// Reads a text as it stands in `path`; paths in it are relative to the folder of that file.
    ///
    /// # Errors
    /// `Syntax`, `Value`, `Missing`; `Io` and `OpenDay` for the list of open days.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            detail: error.to_string().trim_end().to_owned(),
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let calendar = calendar(raw.calendar, folder, path)?;
        let account = raw.defaults.account.map(|name| read(path, "defaults.account", &name)).transpose()?;
        let mut targets = BTreeMap::new();
        for (name, raw) in raw.targets {
            let key = format!("targets.{name}");
            let config = target(raw, &key, path)?;
            targets.insert(read(path, &key, &name)?, config);
        }
        Ok(Self {
            calendar,
            account,
            targets,
            backup: raw.backup,
            allow_shared_folder: raw.store.allow_shared_folder,
        })
    }

    /// A target by name.
    ///
    /// # Errors
    /// `NoTarget` with the names that there are.
    pub fn target(&self, name: &TargetName, folder: &Path) -> Result<&TargetConfig, ConfigError> {
        self.targets.get(name).ok_or_else(|| ConfigError::NoTarget {
            path: folder.join(CONFIG_FILE),
            name: name.to_string(),
            known: self.targets.keys().map(ToString::to_string).collect(),
        })
    }
}

fn calendar(raw: RawCalendar, folder: &Path, path: &Path) -> Result<Calendar, ConfigError> {
    let kind: CalendarKind =
        raw.kind.map(|kind| read(path, "calendar.kind", &kind)).transpose()?.unwrap_or_default();
    match raw.open_days {
        Some(list) => Ok(Calendar::with_open_days(kind, open_days::load(&folder.join(list))?)),
        None => Ok(Calendar::new(kind)),
    }
}

/// `kind` and `mode` are ours; everything else is the sink's to read and to check.
fn target(mut raw: toml::Table, key: &str, path: &Path) -> Result<TargetConfig, ConfigError> {
    let mut word =
        |field: &str| raw.remove(field).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
    let (kind, mode) = (word("kind"), word("mode"));
    let wrong = |field: &str, value: &str, expected: &str| ConfigError::Value {
        path: path.to_owned(),
        key: format!("{key}.{field}"),
        value: value.to_owned(),
        expected: expected.to_owned(),
    };
    let mode = match mode.as_deref() {
        None => Mode::default(),
        Some(text) => {
            mode_of(text).ok_or_else(|| wrong("mode", text, "local-only, replicate or verify-only"))?
        }
    };
    let kind = match kind.as_deref() {
        Some("sqlite") => {
            let of =
                |detail: String| ConfigError::Target { path: path.to_owned(), key: key.to_owned(), detail };
            let config: SqliteConfig =
                raw.try_into().map_err(|error: toml::de::Error| of(error.message().to_owned()))?;
            config.validate().map_err(|error| of(error.to_string()))?;
            TargetKind::Sqlite(config)
        }
        Some(other) => return Err(wrong("kind", other, "sqlite")),
        None => {
            return Err(ConfigError::Missing {
                path: path.to_owned(),
                key: format!("{key}.kind"),
                expected: "sqlite".to_owned(),
            });
        }
    };
    Ok(TargetConfig { kind, mode })
}

/// Reads one value; the error of its type says what was expected.
fn read<T: FromStr>(path: &Path, key: &str, value: &str) -> Result<T, ConfigError>
where
    T::Err: fmt::Display,
{
    value.parse().map_err(|error: T::Err| {
        let text = error.to_string();
        let expected = text.split_once("expected ").map_or(text.as_str(), |(_, expected)| expected);
        ConfigError::Value {
            path: path.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("s/barkeeper.toml"))
    }

    fn message(text: &str) -> String {
        parse(text).unwrap_err().to_string().replace('\\', "/")
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config.calendar.kind(), CalendarKind::CnA);
        assert!(config.account.is_none() && config.targets.is_empty());
        let folder = tempfile::tempdir().unwrap();
        assert!(Config::load(folder.path()).unwrap().targets.is_empty());
    }

    #[test]
    fn everything_said_is_taken() {
        let text = "[calendar]\nkind = \"cn_futures\"\n[defaults]\naccount = \"国金\"\n\
            [targets.replica]\nkind = \"sqlite\"\npath = \"r.sqlite\"\nmode = \"verify-only\"\n";
        let config = parse(text).unwrap();
        assert_eq!(config.calendar.kind(), CalendarKind::CnFutures);
        assert_eq!(config.account.as_ref().unwrap().as_str(), "国金");
        let target = config.targets.get(&"replica".parse().unwrap()).unwrap();
        let kind = TargetKind::Sqlite(SqliteConfig::of("r.sqlite"));
        assert_eq!(target, &TargetConfig { kind, mode: Mode::VerifyOnly });
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        let cases = [
            ("[calendar]\nkind = \"us\"\n", "calendar.kind is 'us': expected cn_a, cn_futures or utc"),
            ("[defaults]\naccount = \"\"\n", "defaults.account is ''"),
            ("[targets.a]\nkind = \"mysql\"\n", "targets.a.kind is 'mysql': expected sqlite"),
            ("[targets.a]\npath = \"x\"\n", "targets.a.kind is missing: expected sqlite"),
            ("[targets.a]\nkind = \"sqlite\"\n", "targets.a: missing field `path`"),
            ("[targets.a]\nkind = \"sqlite\"\npath = \"\"\n", "targets.a: path is empty"),
            ("[targets.a]\nkind = 1\n", "targets.a.kind is '1': expected sqlite"),
            (
                "[targets.a]\nkind = \"sqlite\"\npath = \"x\"\nmode = \"on\"\n",
                "targets.a.mode is 'on': expected local-only, replicate or verify-only",
            ),
            (
                "[targets.\"A b\"]\nkind = \"sqlite\"\npath = \"x\"\n",
                "targets.A b is 'A b': expected 1 to 32",
            ),
            ("[calender]\n", "unknown field `calender`"),
            ("[targets.a]\nkind = \"sqlite\"\npath = \"x\"\nport = 1\n", "unknown field `port`"),
            ("[calendar\n", "TOML parse error at line 1"),
            ("[calendar]\nopen_days = \"none.csv\"\n", "s/none.csv: "),
        ];
        for (text, expected) in cases {
            let found = message(text);
            assert!(found.contains(expected), "{found}\nlacks {expected}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_answered_with_those_that_are() {
        let config = parse("[targets.replica]\nkind = \"sqlite\"\npath = \"r.sqlite\"\n").unwrap();
        let error = config.target(&"replca".parse().unwrap(), Path::new("s")).unwrap_err().to_string();
        assert!(error.ends_with("there is no target 'replca' (there are: replica)"), "{error}");
    }
}
