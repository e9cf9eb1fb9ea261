//! A zip file to hand to others: what the doctor saw, without secrets and without what is traded.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{DoctorReport, DoctorSettings};
use crate::config::{CONFIG_FILE, Config};
use crate::note::StatusNote;

/// Files of the store's folder that are listed at the most.
const LISTED: usize = 5_000;

/// Why no bundle was written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct BundleError {
    /// The file.
    pub path: PathBuf,
    /// What happened.
    pub source: io::Error,
}

/// Writes the report, the settings without anything that says who or where, the names and lengths of the
/// store's files, and the states of targets and backups. No account, no position, no trade, no bar, no path
/// of a user's is in it. A file that is there already is left alone.
///
/// # Errors
/// Where the file exists, or cannot be written.
pub fn write_bundle(
    report: &DoctorReport,
    settings: &DoctorSettings,
    home: Option<&Path>,
    path: &Path,
) -> Result<(), BundleError> {
    let failed = |source| BundleError { path: path.to_owned(), source };
    let hide = Hide::new(settings, home);
    let mut report = report.clone();
    // What is wrong with a setting is told with the setting.
    for check in report.checks.iter_mut().filter(|check| check.name == "settings") {
        check.state.as_str().clone_into(&mut check.detail);
    }
    let parts = [
        ("report.json", hide.value(&serde_json::to_value(&report).unwrap_or_default())),
        ("settings.json", hide.value(&redacted_settings(&settings.folder))),
        ("files.json", hide.value(&files(&settings.folder))),
        ("targets.json", hide.value(&targets(&settings.folder))),
    ];
    let file = File::create_new(path).map_err(failed)?;
    let mut zip = ZipWriter::new(file);
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, value) in parts {
        zip.start_file(name, options).map_err(|error| failed(error.into()))?;
        let text = serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
        zip.write_all(text.as_bytes()).map_err(failed)?;
    }
    let file = zip.finish().map_err(|error| failed(error.into()))?;
    file.sync_all().map_err(failed)
}

/// Names of folders that say who or where.
struct Hide(Vec<(String, &'static str)>);

impl Hide {
    fn new(settings: &DoctorSettings, home: Option<&Path>) -> Self {
        let absolute = std::path::absolute(&settings.folder).unwrap_or_else(|_| settings.folder.clone());
        let real = settings.folder.canonicalize().unwrap_or_else(|_| absolute.clone());
        let here = std::env::current_dir().ok();
        let mut known: Vec<(String, &'static str)> = Vec::new();
        for (path, word) in [
            (Some(real.as_path()), "<store>"),
            (Some(absolute.as_path()), "<store>"),
            (here.as_deref(), "<here>"),
            (home, "<home>"),
        ] {
            let text = path.map(|path| path.display().to_string()).filter(|text| text.len() > 1);
            known.extend(text.map(|text| (text, word)));
        }
        // The longest first: one may begin with another.
        known.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self(known)
    }

    fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (secret, word)| text.replace(secret, word))
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(all) => all.iter().map(|one| self.value(one)).collect(),
            Value::Object(all) => all.iter().map(|(name, one)| (self.text(name), self.value(one))).collect(),
            other => other.clone(),
        }
    }
}

/// What is harmless in the settings by name; everything else is only said to be there.
const HARMLESS: [&str; 6] = ["kind", "mode", "keep_days", "keep_last", "verify_every", "allow_shared_folder"];

fn redacted_settings(folder: &Path) -> Value {
    fn redacted(name: &str, value: &toml::Value) -> Value {
        match value {
            toml::Value::Table(table) => {
                table.iter().map(|(name, value)| (name.clone(), redacted(name, value))).collect()
            }
            toml::Value::Boolean(flag) => json!(flag),
            toml::Value::Integer(number) if HARMLESS.contains(&name) => json!(number),
            toml::Value::String(text) if HARMLESS.contains(&name) => json!(text),
            _ => json!("<hidden>"),
        }
    }
    let Ok(text) = fs::read_to_string(folder.join(CONFIG_FILE)) else { return Value::Null };
    match toml::from_str::<toml::Table>(&text) {
        Ok(table) => redacted("", &toml::Value::Table(table)),
        Err(_) => json!("<cannot be read>"),
    }
}

/// Names and lengths of the store's own files, not those of its backups.
fn files(folder: &Path) -> Value {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        let Ok(entries) = fs::read_dir(&at) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                if entry.file_name() != "backups" {
                    folders.push(path);
                }
            } else if found.len() < LISTED {
                let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                found.push(json!({ "file": name.replace('\\', "/"), "bytes": data.len() }));
            }
        }
    }
    Value::Array(found)
}

/// States and numbers of targets. What an error said may name hosts and files, so it is left out.
fn targets(folder: &Path) -> Value {
    let config = Config::load(folder).unwrap_or_default();
    let told = |(name, target): (&crate::config::TargetName, &crate::config::TargetConfig)| {
        let known = StatusNote::load(folder, name).ok().flatten().map(|note| {
            json!({
                "state": note.state,
                "acknowledged": note.acknowledged,
                "lag": note.lag,
                "poisoned": note.poisoned,
                "failed": note.last_error.is_some(),
                "noted_at": note.noted_at.to_string(),
            })
        });
        (name.to_string(), json!({ "kind": target.kind.as_str(), "known": known }))
    };
    Value::Object(config.targets.iter().map(told).collect())
}
