//! `StatusNote`: what is last known of a target, in a small file that any process may read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barkeeper_records::Timestamp;
use barkeeper_sync::{ErrorClass, State, TargetStatus, Verdict};
use serde::{Deserialize, Serialize};

use crate::config::{TargetName, mode_name};
use crate::replace::replace;

/// The folder in the store that holds what is remembered of targets.
pub(crate) const FOLDER: &str = "sync";

/// An error that happened at a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedError {
    /// When.
    pub at: Timestamp,
    /// In words.
    pub text: String,
    /// Whether it may be gone at the next attempt: the target could not be reached.
    pub temporary: bool,
}

/// What is last known of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusNote {
    /// Its name.
    pub target: String,
    /// The kind of database.
    pub kind: String,
    /// What a person wants of it.
    pub mode: String,
    /// What it was doing.
    pub state: String,
    /// Why it was.
    pub why: String,
    /// The store's last commit then.
    pub head: u64,
    /// How far the target had been brought.
    pub acknowledged: u64,
    /// How many commits it lacked.
    pub lag: u64,
    /// Rows that it refused.
    pub poisoned: u64,
    /// The last error, even if it is over.
    pub last_error: Option<NotedError>,
    /// When it was last compared, and what came out: `agree`, `differ` or `could_not_tell`.
    pub last_check: Option<(Timestamp, String)>,
    /// When it was last proven to agree.
    pub last_agreement: Option<Timestamp>,
    /// When this was noted.
    pub noted_at: Timestamp,
}

/// A verdict as a word.
pub(crate) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Agree => "agree",
        Verdict::Differ => "differ",
        Verdict::CouldNotTell => "could_not_tell",
    }
}

/// A state in words: `live`, `catch_up`, `quarantine: new_database`, ...
pub fn state_name(state: &State) -> String {
    let state = serde_json::to_value(state).unwrap_or_default();
    let part = |name: &str| state.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let words: Vec<String> = [part("state"), part("reason")].into_iter().flatten().collect();
    words.join(": ")
}

impl StatusNote {
    /// Removes what is noted of a target; nothing noted is no error.
    pub(crate) fn remove(store: &Path, target: &TargetName) -> io::Result<()> {
        match fs::remove_file(path(store, target)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn of(status: &TargetStatus, noted_at: Timestamp) -> Self {
        let last_error = status.last_error.as_ref().map(|error| NotedError {
            at: error.at,
            text: error.text.clone(),
            temporary: error.class == Some(ErrorClass::Temporary),
        });
        Self {
            target: status.target.clone(),
            kind: status.kind.to_owned(),
            mode: mode_name(status.mode).to_owned(),
            state: state_name(&status.state),
            why: status.history.last().map(|last| last.why.clone()).unwrap_or_default(),
            head: status.head.0,
            acknowledged: status.acknowledged.0,
            lag: status.lag,
            poisoned: status.poisoned,
            last_error,
            last_check: status.last_check.map(|(at, verdict)| (at, verdict_name(verdict).to_owned())),
            last_agreement: status.last_agreement,
            noted_at,
        }
    }

    /// Reads the note of a target; `None` where there is none, or none that this program can read.
    ///
    /// # Errors
    /// Whatever the operating system says of a file that is there.
    pub fn load(store: &Path, target: &TargetName) -> io::Result<Option<Self>> {
        match fs::read(path(store, target)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the note. What an earlier process knew and this one does not yet is kept.
    pub(crate) fn save(mut self, store: &Path, target: &TargetName) -> io::Result<()> {
        if let Some(old) = Self::load(store, target)? {
            self.last_check = self.last_check.or(old.last_check);
            self.last_agreement = self.last_agreement.or(old.last_agreement);
            self.last_error = self.last_error.or(old.last_error);
            if self.acknowledged == 0 {
                // Nobody has asked the target yet; it stands where it stood.
                self.acknowledged = old.acknowledged.min(self.head);
                self.lag = self.head - self.acknowledged;
            }
        }
        let text = serde_json::to_string_pretty(&self)?;
        replace(&path(store, target), text.as_bytes())
    }
}

fn path(store: &Path, target: &TargetName) -> PathBuf {
    store.join(FOLDER).join(format!("{target}.status.json"))
}

#[cfg(test)]
mod tests {
    use barkeeper_records::Lsn;
    use barkeeper_sync::{Mode, QuarantineReason, Transition};

    use super::*;

    fn status(state: State) -> TargetStatus {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        TargetStatus {
            target: "replica".to_owned(),
            kind: "sqlite",
            mode: Mode::Replicate,
            state: state.clone(),
            head: Lsn(9),
            acknowledged: Lsn(7),
            lag: 2,
            poisoned: 0,
            retry_at: None,
            last_error: None,
            last_check: None,
            last_agreement: None,
            history: vec![Transition { at, to: state, why: "because".to_owned() }],
        }
    }

    #[test]
    fn a_note_is_read_back_and_keeps_the_last_agreement() {
        let store = tempfile::tempdir().unwrap();
        fs::create_dir(store.path().join(FOLDER)).unwrap();
        let name: TargetName = "replica".parse().unwrap();
        assert_eq!(StatusNote::load(store.path(), &name).unwrap(), None);
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let proven = TargetStatus { last_agreement: Some(at), ..status(State::Live) };
        StatusNote::of(&proven, at).save(store.path(), &name).unwrap();
        let stopped = status(State::Quarantine(QuarantineReason::NewDatabase));
        StatusNote::of(&stopped, at).save(store.path(), &name).unwrap();
        let note = StatusNote::load(store.path(), &name).unwrap().unwrap();
        assert_eq!((note.state.as_str(), note.why.as_str()), ("quarantine: new_database", "because"));
        assert_eq!((note.last_agreement, note.lag), (Some(at), 2));
    }
}
