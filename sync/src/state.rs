//! What a target is doing and why: modes, states, reasons, status.

use std::fmt;

use barkeeper_records::{Lsn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::claim::Claim;
use crate::error::ErrorClass;
use crate::report::Verdict;

/// What a person wants of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing is sent and nothing is asked.
    LocalOnly,
    /// The target is brought up to the log, and compared now and then.
    #[default]
    Replicate,
    /// The target is compared now and then, and nothing is changed there.
    VerifyOnly,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalOnly => "local-only",
            Self::Replicate => "replicate",
            Self::VerifyOnly => "verify-only",
        })
    }
}

/// How a target forked from the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum Fork {
    /// Another copy of the store writes the stream.
    OtherCopy {
        /// Who may write.
        held: Claim,
    },
    /// The target is ahead of everything that the store committed.
    Ahead {
        /// Where the target stands.
        there: Lsn,
        /// The store's last commit.
        head: Lsn,
    },
    /// The store was restored from a backup, and the target holds commits that the backup does not.
    Restored {
        /// Where the target stands.
        there: Lsn,
        /// The last commit that both have.
        kept: Lsn,
    },
    /// The target has another history up to the same place.
    OtherHistory {
        /// Where they were compared.
        at: Lsn,
    },
}

/// Why a person has to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
#[non_exhaustive]
pub enum QuarantineReason {
    /// Store and target went different ways.
    Forked(Fork),
    /// It is another database than the store knows.
    NewDatabase,
    /// Its tables cannot be used.
    Schema,
    /// Rights are missing.
    Authorisation,
    /// The settings are wrong.
    Configuration,
    /// Another store has the same device number.
    Device,
    /// The target's database is damaged.
    Damaged,
    /// What the store remembers of the target cannot be read.
    Memory,
    /// The target refused more rows than is plausible.
    Poison {
        /// How many.
        rows: u64,
    },
    /// Too much of a bucket differs to be mended without asking.
    Divergence {
        /// How many rows differ in the worst bucket.
        differences: u64,
        /// Of how many.
        rows: u64,
    },
}

/// What a target is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Switched off.
    LocalOnly,
    /// Opening a connection.
    Connecting,
    /// Taking the stream and comparing positions.
    Handshake,
    /// Copying buckets, because the log does not reach back to where the target stands.
    Bootstrap,
    /// Shipping the log.
    CatchUp,
    /// Current.
    Live,
    /// Comparing digests.
    Verify,
    /// Waiting after an error.
    Degraded,
    /// A person has to decide.
    Quarantine(QuarantineReason),
    /// Ending.
    Draining,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalOnly => "switched off",
            Self::Connecting => "connecting",
            Self::Handshake => "taking the stream",
            Self::Bootstrap => "copying buckets",
            Self::CatchUp => "catching up",
            Self::Live => "live",
            Self::Verify => "comparing",
            Self::Degraded => "waiting after an error",
            Self::Quarantine(_) => "in quarantine",
            Self::Draining => "ending",
        })
    }
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// To what.
    pub to: State,
    /// Why.
    pub why: String,
}

/// An error that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorNote {
    /// When.
    pub at: Timestamp,
    /// What may be done about it; `None` where it was not the target's.
    pub class: Option<ErrorClass>,
    /// In words.
    pub text: String,
}

/// Everything that can be said of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetStatus {
    /// Its name.
    pub target: String,
    /// The kind of database.
    pub kind: &'static str,
    /// What a person wants of it.
    pub mode: Mode,
    /// What it is doing.
    pub state: State,
    /// The store's last commit.
    pub head: Lsn,
    /// How far the target was brought, as far as is known.
    pub acknowledged: Lsn,
    /// How many commits it lacks.
    pub lag: u64,
    /// Rows that it refused and that are not there.
    pub poisoned: u64,
    /// When it is tried again, after an error.
    pub retry_at: Option<Timestamp>,
    /// The last error, even if it is over.
    pub last_error: Option<ErrorNote>,
    /// When it was last compared, and what came out.
    pub last_check: Option<(Timestamp, Verdict)>,
    /// When it was last proven to agree.
    pub last_agreement: Option<Timestamp>,
    /// The last changes of state, oldest first, at most 32.
    pub history: Vec<Transition>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_modes_are_words() {
        let state = State::Quarantine(QuarantineReason::Forked(Fork::OtherHistory { at: Lsn(7) }));
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            r#"{"state":"quarantine","reason":"forked","how":"other_history","at":7}"#
        );
        assert_eq!(serde_json::to_string(&State::CatchUp).unwrap(), r#"{"state":"catch_up"}"#);
        assert_eq!(serde_json::from_str::<Mode>("\"verify-only\"").unwrap(), Mode::VerifyOnly);
    }
}
