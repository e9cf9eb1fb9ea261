//! `SinkError`: what went wrong at a target, and what may be done about it.

use barkeeper_records::{Bucket, Cursor};
use serde::Serialize;

use crate::claim::Claim;

/// The error of a driver, behind a type that is ours.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// What may be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// It may be gone at the next attempt.
    Temporary,
    /// The target stands where it was not expected: shake hands again.
    Elsewhere,
    /// A person has to change something.
    Permanent(PermanentKind),
    /// One row is to blame.
    Poison,
    /// Another copy of the store writes here.
    Fenced,
}

/// What a person has to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PermanentKind {
    /// The settings of the target.
    Configuration,
    /// Rights, passwords, certificates.
    Authorisation,
    /// The tables there.
    Schema,
    /// It is not the database that it was.
    NewDatabase,
    /// Another store has the same device number.
    Device,
    /// The database is damaged.
    Damaged,
}

/// How the tables of a target differ from what this program writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaFault {
    /// A newer program made them.
    #[error("its tables have version {found}, this program knows {known}")]
    Newer {
        /// What is there.
        found: u32,
        /// What this program writes.
        known: u32,
    },
    /// A column that cannot be added is missing.
    #[error("{table} has no column {column}")]
    Missing {
        /// Which table.
        table: String,
        /// Which column.
        column: String,
    },
    /// A column of another type.
    #[error("column {column} of {table} is {found}, expected {expected}")]
    Type {
        /// Which table.
        table: String,
        /// Which column.
        column: String,
        /// The type that is there.
        found: String,
        /// The type that is written.
        expected: String,
    },
    /// Another primary key.
    #[error("the primary key of {table} is ({found}), expected ({expected})")]
    Key {
        /// Which table.
        table: String,
        /// The key that is there.
        found: String,
        /// The key that is written.
        expected: String,
    },
    /// A bookkeeping value that cannot be read.
    #[error("{table} holds no usable {what}")]
    Bookkeeping {
        /// Which table.
        table: String,
        /// Which value.
        what: String,
    },
}

/// What went wrong at a target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// It could not be reached, or broke off.
    #[error("{action} failed: {source}")]
    Unreachable {
        /// What was being done.
        action: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// Somebody else holds a lock.
    #[error("{action} waited {waited_ms} ms for a lock that another program holds")]
    Busy {
        /// What was being done.
        action: &'static str,
        /// How long it waited.
        waited_ms: u64,
    },
    /// It has no room left.
    #[error("{action} failed, the target is full: {source}")]
    Full {
        /// What was being done.
        action: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// Nobody connected, or nobody shook hands.
    #[error("{action} before {before}")]
    NotReady {
        /// What was asked for.
        action: &'static str,
        /// What has to come first.
        before: &'static str,
    },
    /// Rights are missing.
    #[error("{action} is not allowed: {source}")]
    Denied {
        /// What was being done.
        action: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// The database belongs to another program.
    #[error("the database carries the application id {found:#x} of another program, expected {expected:#x}")]
    OtherProgram {
        /// The id that is there.
        found: i64,
        /// Ours.
        expected: i64,
    },
    /// The database is damaged, or is none.
    #[error("{action} failed, the database is damaged: {source}")]
    Damaged {
        /// What was being done.
        action: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// Its tables are not what this program writes.
    #[error(transparent)]
    Schema(#[from] SchemaFault),
    /// It is not the database that the store knows.
    #[error("the store knows this target as {expected}, found {}", found.as_deref().unwrap_or("an empty database"))]
    OtherDatabase {
        /// The incarnation that the store knows.
        expected: String,
        /// What is there.
        found: Option<String>,
    },
    /// Another store has the device number.
    #[error("device {device} belongs to the store {store}")]
    DeviceTaken {
        /// The number.
        device: u16,
        /// The other store.
        store: String,
    },
    /// Another copy of the store has the stream.
    #[error(
        "another copy of the store holds the stream: epoch {}, generation {}, owner {:032x}",
        held.epoch, held.generation, held.owner
    )]
    Fenced {
        /// Who may write.
        held: Claim,
    },
    /// The target stands where it was not expected.
    #[error("expected the target at LSN {}, it stands {}", expected.lsn, place(stands.as_ref()))]
    Elsewhere {
        /// Where it should stand.
        expected: Cursor,
        /// Where it stands; `None` where it knows nothing of the store.
        stands: Option<Cursor>,
    },
    /// The target refused a row.
    #[error("the target refused {}: {reason}", change.map_or_else(|| "a row".to_owned(), |at| format!("row {at} of the shipment")))]
    Refused {
        /// The place of the change in the shipment, where the target tells.
        change: Option<usize>,
        /// Why, in its words.
        reason: String,
    },
    /// A bucket that is none.
    #[error("'{bucket}' is no bucket")]
    Bucket {
        /// What was asked for.
        bucket: Bucket,
    },
}

fn place(cursor: Option<&Cursor>) -> String {
    cursor.map_or_else(|| "nowhere".to_owned(), |cursor| format!("at LSN {}", cursor.lsn))
}

impl SinkError {
    /// What may be done about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } | Self::Full { .. } | Self::NotReady { .. } => {
                ErrorClass::Temporary
            }
            Self::Denied { .. } => ErrorClass::Permanent(PermanentKind::Authorisation),
            Self::OtherProgram { .. } | Self::Bucket { .. } => {
                ErrorClass::Permanent(PermanentKind::Configuration)
            }
            Self::Damaged { .. } => ErrorClass::Permanent(PermanentKind::Damaged),
            Self::Schema(_) => ErrorClass::Permanent(PermanentKind::Schema),
            Self::OtherDatabase { .. } => ErrorClass::Permanent(PermanentKind::NewDatabase),
            Self::DeviceTaken { .. } => ErrorClass::Permanent(PermanentKind::Device),
            Self::Fenced { .. } => ErrorClass::Fenced,
            Self::Elsewhere { .. } => ErrorClass::Elsewhere,
            Self::Refused { .. } => ErrorClass::Poison,
        }
    }
}
