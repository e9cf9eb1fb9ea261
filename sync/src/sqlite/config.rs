//! `SqliteConfig`: the settings of a SQLite target.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The longest wait for a lock in milliseconds: stopping has to take effect within 3 s.
const LONGEST_WAIT_MS: u64 = 2_500;
/// The largest page cache in MiB.
const LARGEST_CACHE_MIB: u32 = 1_024;

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No file is named.
    #[error("path is empty")]
    NoPath,
    /// A name that SQLite takes for something else than a file.
    #[error("path '{}' is no plain file name: SQLite reads a leading ':' or 'file:' in another way", path.display())]
    SpecialPath {
        /// What was given.
        path: PathBuf,
    },
    /// The store itself.
    #[error("path '{}' is the store's own file; name another one", path.display())]
    OwnStore {
        /// What was given.
        path: PathBuf,
    },
    /// A number outside its range.
    #[error("{name} is {value}, expected {least} to {most}")]
    OutOfRange {
        /// Which setting.
        name: &'static str,
        /// What was given.
        value: u64,
        /// The lowest that is accepted.
        least: u64,
        /// The highest that is accepted.
        most: u64,
    },
}

/// The settings of a SQLite target.
///
/// ```
/// use barkeeper_sync::sqlite::SqliteConfig;
/// let config: SqliteConfig = toml::from_str("path = 'replica.sqlite'")?;
/// assert_eq!((config.busy_timeout_ms, config.cache_mib), (2_000, 64));
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// The database file. It is made when it does not exist; its folder has to. On a disk of this
    /// machine: SQLite's locks do not hold on network drives.
    pub path: PathBuf,
    /// How long to wait for another program's lock, in milliseconds, 0 to 2,500; default 2,000.
    #[serde(default = "default_wait")]
    pub busy_timeout_ms: u64,
    /// Memory for pages, in MiB, 1 to 1,024; default 64.
    #[serde(default = "default_cache")]
    pub cache_mib: u32,
}

const fn default_wait() -> u64 {
    2_000
}

const fn default_cache() -> u32 {
    64
}

impl SqliteConfig {
    /// The defaults for a file.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), busy_timeout_ms: default_wait(), cache_mib: default_cache() }
    }

    /// Checks every setting without touching the disk.
    ///
    /// # Errors
    /// Every variant of [`ConfigError`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        let path = || self.path.clone();
        let text = self.path.to_string_lossy();
        if text.is_empty() {
            return Err(ConfigError::NoPath);
        }
        if text.starts_with(':') || text.to_ascii_lowercase().starts_with("file:") {
            return Err(ConfigError::SpecialPath { path: path() });
        }
        if self.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("redb")) {
            return Err(ConfigError::OwnStore { path: path() });
        }
        let ranges = [
            ("busy_timeout_ms", self.busy_timeout_ms, 0, LONGEST_WAIT_MS),
            ("cache_mib", u64::from(self.cache_mib), 1, u64::from(LARGEST_CACHE_MIB)),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::OutOfRange { name, value, least, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_setting_is_refused_before_any_connection() {
        assert!(toml::from_str::<SqliteConfig>("path = 'a.sqlite'\npaht = 1").is_err());
        assert!(toml::from_str::<SqliteConfig>("cache_mib = 3").is_err());
        let check = |path: &str| SqliteConfig::of(path).validate();
        assert_eq!(check(""), Err(ConfigError::NoPath));
        assert!(matches!(check(":memory:"), Err(ConfigError::SpecialPath { .. })));
        assert!(matches!(check("FILE:x?mode=ro"), Err(ConfigError::SpecialPath { .. })));
        assert!(matches!(check("mystore/store.redb"), Err(ConfigError::OwnStore { .. })));
        assert_eq!(check("数据/replica.db"), Ok(()));
        let slow = SqliteConfig { busy_timeout_ms: 60_000, ..SqliteConfig::of("a.db") };
        assert!(matches!(slow.validate(), Err(ConfigError::OutOfRange { name: "busy_timeout_ms", .. })));
    }
}
