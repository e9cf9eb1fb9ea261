//! Barkeeper, the embedded store of a trading desktop: positions, trades and bars in one folder, in
//! process, without a server.
//!
//! One process opens a store ([`Store::open`]); its threads share it by reference. Writes go in as a
//! [`Batch`](barkeeper_records::Batch) that is committed whole or not at all; when
//! [`Store::commit`] returns, they survive a killed process and a power loss. Reads go through a
//! [`Snapshot`] at one LSN and never wait for a writer.

/// The Rust code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod backup;
mod commit;
mod compact;
mod digests;
mod error;
mod events;
#[cfg(feature = "fault-injection")]
mod fault;
mod feed;
mod feed_states;
mod files;
mod folder;
#[cfg(feature = "polars")]
mod frames;
mod hot;
mod import;
mod leases;
mod maintenance;
mod manifest;
mod merge;
mod merge_account;
mod merge_policy;
mod merging;
mod open_files;
mod ops_bars;
mod ops_factors;
mod ops_positions;
mod ops_snapshots;
mod ops_trades;
mod options;
mod overlay;
mod pages;
mod place;
mod presence;
mod publication;
mod readers;
mod recover;
mod replay;
mod report;
mod sabotage;
mod scan;
mod seal;
mod session;
mod snapshot;
mod space;
mod stats;
mod store;
mod strays;
mod summary;
mod sums;
mod tables;
mod tails;
mod tombstones;
mod trades;
mod trash;
mod turnover;
mod undo;
mod upkeep;
mod verify;
mod view;
mod weight;

pub use backup::{
    BackupError, BackupFile, BackupInfo, BackupManifest, BackupOptions, BackupReport, BackupRepository,
    BackupTest, DatasetChange, FileKind, FormerState, PruneOptions, PruneReport, Pruned, RepositoryInfo,
    RestoreOptions, RestorePlan, RestoreReport, Retention, TestOutcome, TestedBackup, UndoPlan,
    former_states,
};
pub use barkeeper_records as records;
pub use barkeeper_storage::{Axis, Dataset};
pub use compact::{CompactOptions, CompactReport, Space};
pub use error::{CommitError, MaintenanceError, OpenError, Owner, ReadError};
pub use events::EventSummary;
#[cfg(feature = "polars")]
pub use frames::{Compared, SqlError, read_error};
pub use maintenance::{
    MaintenanceBudget, MaintenanceOptions, MaintenanceReport, MergeOptions, MergePlan, MergeReport,
};
pub use options::{OnCheck, StoreOptions};
pub use place::{SharedFolder, shared_folder};
/// The version of polars whose frames [`Snapshot::lazy`] gives.
#[cfg(feature = "polars")]
pub use polars;
pub use replay::{Known, KnownRow, Replay, ReplayRequest};
pub use report::{
    FileSet, Finding, ImportReceipt, OpenSnapshot, PublishReport, Receipt, Revision, SealOptions, SealReport,
    SeriesSummary, SnapshotKind, StoreStats, SummaryBasis, SummaryBy, SummaryRow, TradeQuery, VerifyReport,
    WriteState,
};
#[cfg(feature = "fault-injection")]
pub use sabotage::Sabotage;
pub use scan::{Instruments, Scan, ScanOrder, ScanRequest, ScanTable};
pub use snapshot::Snapshot;
pub use store::Store;
pub use trash::{TrashReport, TrashedFile};
pub use undo::UndoReport;
