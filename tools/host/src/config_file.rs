//! `ConfigFile`: edits `barkeeper.toml` and keeps a person's comments and order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barkeeper_records::{AccountId, CalendarKind};
use barkeeper_sync::Mode;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::config::{CONFIG_FILE, Config, ConfigError, TargetConfig, TargetKind, TargetName, mode_name};
use crate::replace::replace;

/// What a new store's file says.
const TEMPLATE: &str = r#"# Read when the store is opened; `barkeeper sync` edits it and keeps comments.

[calendar]
# cn_a: Chinese stocks. cn_futures: with night sessions. utc: every day.
kind = "cn_a"
# A list of open days, one a line, relative to this folder. Without one every Monday to Friday is open.
# open_days = "open_days.csv"

[defaults]
# The account that is meant where a command names none.
account = "main"

# Where changes are sent.
# [targets.replica]
# kind = "sqlite"
# path = "replica.sqlite"
# mode = "replicate"    # or local-only, verify-only

# Where backups go, best on another disk, and how many days they are kept.
# [backup]
# folder = "backups"
# keep_days = 30
"#;

/// An opened configuration file. Nothing is written before [`ConfigFile::save`].
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    document: DocumentMut,
}

impl ConfigFile {
    /// Opens the file of a store's folder; a folder without one gets it when it is saved.
    ///
    /// # Errors
    /// `Io`; what [`Config::parse`] answers for a file that is wrong already.
    pub fn open(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join(CONFIG_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Self::of(&text, path),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Self::of("", path),
            Err(source) => Err(ConfigError::Io { path, source }),
        }
    }

    /// A new file with its defaults explained, for a folder that has none.
    ///
    /// # Errors
    /// None in practice: the template is checked by a test.
    pub fn template(folder: &Path) -> Result<Self, ConfigError> {
        Self::of(TEMPLATE, folder.join(CONFIG_FILE))
    }

    fn of(text: &str, path: PathBuf) -> Result<Self, ConfigError> {
        Config::parse(text, &path)?;
        let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            ConfigError::Syntax { path: path.clone(), detail: error.to_string().trim_end().to_owned() }
        })?;
        Ok(Self { path, document })
    }

    /// Sets `calendar.kind` and, where it is given, `calendar.open_days`.
    pub fn set_calendar(&mut self, kind: CalendarKind, open_days: Option<&str>) {
        let table = self.section("calendar");
        set(table, "kind", kind.to_string());
        if let Some(list) = open_days {
            set(table, "open_days", list.to_owned());
        }
    }

    /// Sets `store.allow_shared_folder`.
    pub fn allow_shared_folder(&mut self) {
        self.section("store").insert("allow_shared_folder", value(true));
    }

    /// Sets `defaults.account`.
    pub fn set_account(&mut self, account: &AccountId) {
        set(self.section("defaults"), "account", account.to_string());
    }

    /// Adds a target.
    ///
    /// # Errors
    /// `TargetExists`.
    pub fn add_target(&mut self, name: &TargetName, target: &TargetConfig) -> Result<(), ConfigError> {
        let path = self.path.clone();
        let targets = self.section("targets");
        targets.set_implicit(true);
        if targets.contains_key(name.as_str()) {
            return Err(ConfigError::TargetExists { path, name: name.to_string() });
        }
        let mut table = Table::new();
        table.insert("kind", value(target.kind.as_str()));
        match &target.kind {
            TargetKind::Sqlite(config) => {
                table.insert("path", value(config.path.to_string_lossy().into_owned()))
            }
        };
        table.insert("mode", value(mode_name(target.mode)));
        targets.insert(name.as_str(), Item::Table(table));
        Ok(())
    }

    /// Sets the mode of a target.
    ///
    /// # Errors
    /// `NoTarget`.
    pub fn set_mode(&mut self, name: &TargetName, mode: Mode) -> Result<(), ConfigError> {
        let path = self.path.clone();
        let targets = self.section("targets");
        let known = targets.iter().map(|(name, _)| name.to_owned()).collect();
        let table = targets.get_mut(name.as_str()).and_then(Item::as_table_like_mut);
        let Some(table) = table else {
            return Err(ConfigError::NoTarget { path, name: name.to_string(), known });
        };
        match table.get_mut("mode").and_then(Item::as_value_mut) {
            Some(old) => {
                let decor = old.decor().clone();
                *old = mode_name(mode).into();
                *old.decor_mut() = decor;
            }
            None => {
                table.insert("mode", value(mode_name(mode)));
            }
        }
        Ok(())
    }

    /// Removes a target.
    ///
    /// # Errors
    /// `NoTarget`.
    pub fn remove_target(&mut self, name: &TargetName) -> Result<(), ConfigError> {
        let path = self.path.clone();
        let targets = self.section("targets");
        if targets.remove(name.as_str()).is_some() {
            return Ok(());
        }
        let known = targets.iter().map(|(name, _)| name.to_owned()).collect();
        Err(ConfigError::NoTarget { path, name: name.to_string(), known })
    }

    /// What the file says as it stands now, written or not.
    ///
    /// # Errors
    /// What [`Config::parse`] answers.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config::parse(&self.document.to_string(), &self.path)
    }

    /// Checks the whole file again and writes it.
    ///
    /// # Errors
    /// What [`Config::parse`] answers; `Io`, and then the old file stands.
    pub fn save(&self) -> Result<(), ConfigError> {
        self.config()?;
        replace(&self.path, self.document.to_string().as_bytes())
            .map_err(|source| ConfigError::Io { path: self.path.clone(), source })
    }

    /// A top-level table, made where there is none.
    #[expect(clippy::expect_used, reason = "the item is made a table first")]
    fn section(&mut self, name: &str) -> &mut Table {
        let item = self.document.entry(name).or_insert_with(|| Item::Table(Table::new()));
        if !item.is_table() {
            // An inline table says the same; `Config::parse` has refused everything else.
            let old = std::mem::replace(item, Item::Table(Table::new()));
            if let Ok(table) = old.into_table() {
                *item = Item::Table(table);
            }
        }
        item.as_table_mut().expect("a table")
    }
}

/// Sets a key and keeps the comment behind its value.
fn set(table: &mut Table, key: &str, new: String) {
    let decor = table.get(key).and_then(Item::as_value).map(|old| old.decor().clone());
    let mut new = toml_edit::Value::from(new);
    if let Some(decor) = decor {
        *new.decor_mut() = decor;
    }
    match table.get_mut(key) {
        Some(item) => *item = Item::Value(new),
        None => {
            table.insert(key, Item::Value(new));
        }
    }
}

#[cfg(test)]
mod tests {
    use barkeeper_sync::sqlite::SqliteConfig;

    use super::*;

    fn name(text: &str) -> TargetName {
        text.parse().unwrap()
    }

    fn sqlite(path: &str) -> TargetConfig {
        TargetConfig { kind: TargetKind::Sqlite(SqliteConfig::of(path)), mode: Mode::Replicate }
    }

    #[test]
    fn the_template_says_what_the_defaults_are() {
        let folder = tempfile::tempdir().unwrap();
        ConfigFile::template(folder.path()).unwrap().save().unwrap();
        let config = Config::load(folder.path()).unwrap();
        assert_eq!(config.calendar.kind(), CalendarKind::CnA);
        assert_eq!(config.account.unwrap().as_str(), "main");
        assert!(config.targets.is_empty());
    }

    #[test]
    fn a_persons_words_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG_FILE);
        let text =
            "# mine\n[targets.a] # first\nkind = 'sqlite'\npath = 'a.db'\nmode = 'replicate'  # for now\n";
        fs::write(&path, text).unwrap();
        let mut file = ConfigFile::open(folder.path()).unwrap();
        file.set_mode(&name("a"), Mode::LocalOnly).unwrap();
        file.save().unwrap();
        let expected = text.replace("'replicate'", "\"local-only\"");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_target_is_added_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ConfigFile::template(folder.path()).unwrap();
        file.add_target(&name("replica"), &sqlite("a b/替身.sqlite")).unwrap();
        let again = file.add_target(&name("replica"), &sqlite("x"));
        assert!(matches!(again, Err(ConfigError::TargetExists { .. })));
        let unknown = file.set_mode(&name("b"), Mode::Replicate);
        assert!(matches!(unknown, Err(ConfigError::NoTarget { .. })));
        file.save().unwrap();
        let config = Config::load(folder.path()).unwrap();
        assert_eq!(config.targets.get(&name("replica")), Some(&sqlite("a b/替身.sqlite")));
        let text = fs::read_to_string(folder.path().join(CONFIG_FILE)).unwrap();
        assert!(text.contains("# Where changes are sent."), "{text}");
    }

    #[test]
    fn calendar_and_account_are_set_in_place() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("d.csv"), "2024-01-02\n").unwrap();
        let mut file = ConfigFile::template(folder.path()).unwrap();
        file.set_calendar(CalendarKind::CnFutures, Some("d.csv"));
        file.set_account(&AccountId::new("acc").unwrap());
        file.save().unwrap();
        let config = Config::load(folder.path()).unwrap();
        assert_eq!(config.calendar.kind(), CalendarKind::CnFutures);
        assert_eq!(config.account.unwrap().as_str(), "acc");
    }

    #[test]
    fn a_wrong_file_is_not_edited() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG_FILE), "[calendar]\nkind = 'x'\n").unwrap();
        assert!(matches!(ConfigFile::open(folder.path()), Err(ConfigError::Value { .. })));
    }
}
