//! Replication of a store to other databases: bringing them up to the change log with exactly-once
//! effect, and proving by digest that they agree.
//!
//! A [`Replicator`] reads a [`ChangeFeed`](barkeeper_records::ChangeFeed) and drives one [`Sink`], a kind
//! of database: [`sqlite::SqliteSink`]. Both are blocking; whoever owns the store gives each target a
//! thread of its own. What a target holds is compared with the store by [`check`] and mended by [`repair`].
//!
//! Architecture invariant: nothing here is called by a read or a write of the store, and no sink knows
//! another. The clock, random numbers and paths are passed in.

mod backoff;
mod bucket;
mod check;
mod claim;
mod compare;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod json;
mod keys;
mod memory;
mod repair;
mod replicator;
mod report;
mod saved;
mod sink;
pub mod sqlite;
mod state;
mod text;

pub use backoff::Backoff;
pub use check::{CheckError, CheckOptions, Checker, check};
pub use claim::{Claim, ClaimDecision};
pub use error::{ErrorClass, PermanentKind, SchemaFault, SinkError};
pub use keys::compare_keys;
pub use memory::{MemoryError, MemoryFile};
pub use repair::{Left, RepairError, RepairOptions, RepairReport, repair};
pub use replicator::{Options, Reached, Replicator, ReplicatorError, Resolution, Step};
pub use report::{
    BucketDifference, CheckReport, Difference, DifferenceKind, KindCounts, Unsettled, Verdict, Why,
};
pub use sink::{
    Access, Applied, Content, Force, Guarantee, Hello, Poisoned, RemoteRow, RemoteState, Shipment, Sink,
    tombstone_version,
};
pub use state::{ErrorNote, Fork, Mode, QuarantineReason, State, TargetStatus, Transition};
