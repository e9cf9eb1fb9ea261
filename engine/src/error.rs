//! Errors of the engine, one enum for each family of operations.

use std::io;
use std::path::PathBuf;

use barkeeper_records::{
    BarError, CalendarError, EventError, EventPlace, FactorError, InstrumentId, Lsn, PositionError,
    PositionKey, Precondition, SeriesKey, StrategySnapshotError, Timestamp, TradeError, TradeId, TradingDay,
};
use barkeeper_storage::{Damage, SegmentError};
use serde::{Deserialize, Serialize};

/// Who has a store open, as its `owner.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The process id.
    pub pid: u32,
    /// The program's name.
    pub program: String,
    /// When it opened the store.
    pub since: Timestamp,
}

/// Why a store could not be created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store in the folder.
    #[error("there is no store in {}", path.display())]
    NotFound {
        /// The folder.
        path: PathBuf,
    },
    /// The database is gone, and other files of a store are there.
    #[error("{} is missing, and files of its store are still there", path.display())]
    DatabaseMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is a store, or something else, in the folder.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is none for a store, and the options do not allow it.
    #[error("{} is no place for a store: {why}", path.display())]
    Shared {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: crate::place::SharedFolder,
    },
    /// Another process has the store open.
    #[error("the store in {} is in use{}", path.display(), by(owner.as_ref()))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who, where it is known.
        owner: Option<Owner>,
    },
    /// The store was written by a program that is too old.
    #[error(
        "the store has format {found}; this program reads formats from {oldest} on: open it once with an older \
         release that reads both, or with the one that wrote it, and copy its rows into a new store"
    )]
    Older {
        /// The store's format.
        found: u32,
        /// The oldest format known.
        oldest: u32,
    },
    /// The store was written by a newer program.
    #[error("the store has format {found}; this program reads formats up to {known}")]
    Newer {
        /// The store's format.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// The operating system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The database file is damaged.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// A segment that the manifest names is missing or another file.
    #[error("a published segment cannot be read: {0}")]
    Segment(#[from] SegmentError),
}

fn by(owner: Option<&Owner>) -> String {
    owner.map_or_else(String::new, |o| format!(" by {} (process {}, since {})", o.program, o.pid, o.since))
}

/// Why a read failed. The store stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The database file could not be read.
    #[error("store.redb: {source}")]
    Io {
        /// What the operating system said.
        source: io::Error,
    },
    /// The database file is damaged.
    #[error("store.redb is damaged: {detail}")]
    Damaged {
        /// What does not fit.
        detail: String,
    },
    /// A stored value is not what was written.
    #[error("store.redb is damaged: {0}")]
    Value(#[from] Damage),
    /// A segment could not be read, or is not what was published.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The snapshot was held too long and has let its pages go.
    #[error(
        "the snapshot was held for {held} s and expired after {limit} s: take a new one, or scan, which holds no pages"
    )]
    Expired {
        /// For how many seconds it was held.
        held: u64,
        /// How many seconds a snapshot may be held.
        limit: u64,
    },
    /// Parts of a scan do not decode, or do not fit each other.
    #[error("a part of a scan does not decode: {detail}")]
    Decode {
        /// What does not fit.
        detail: String,
    },
    /// A scan asks for a column that its table does not have.
    #[error("there is no column '{name}': expected one of {expected}")]
    Column {
        /// What was asked for.
        name: String,
        /// What there is.
        expected: String,
    },
    /// Too many snapshots and scans are open at once.
    #[error("{limit} snapshots and scans are open: drop those that are done")]
    Snapshots {
        /// How many may be open.
        limit: usize,
    },
    /// A corporate action takes more than a share was worth, so there is no price to adjust to.
    #[error(
        "the corporate action of {instrument} on {ex_day} takes more than a share was worth the day before"
    )]
    Factor {
        /// Of which instrument.
        instrument: InstrumentId,
        /// On which ex-day.
        ex_day: TradingDay,
    },
    /// Bars that were adjusted at their source, or are longer than a day, cannot be adjusted on read.
    #[error("bars of {series} cannot be adjusted on read: only raw bars up to one day can")]
    NotAdjustable {
        /// Which series.
        series: SeriesKey,
    },
    /// An input or output error ended the snapshot. The database was opened anew: take another snapshot.
    #[error("an input or output error ended the snapshot: take another one")]
    Reopen,
}

impl ReadError {
    /// Whether stored bytes are damaged or gone, as opposed to unreachable.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Decode { .. } | Self::Value(_) => true,
            Self::Segment(error) => error.is_damage(),
            _ => false,
        }
    }
}

/// `1 bar`, `2 bars`.
fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Why a batch was not committed. Nothing of it is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A precondition does not hold.
    #[error("the precondition does not hold: {0}")]
    Precondition(Precondition),
    /// The position is open already.
    #[error("{0} is open already")]
    PositionOpen(PositionKey),
    /// The position is not open.
    #[error("{0} is not open")]
    PositionNotOpen(PositionKey),
    /// The position does not exist.
    #[error("{0} does not exist")]
    NoPosition(PositionKey),
    /// More was to be taken than is held.
    #[error("{key} holds {held}, less than {asked}")]
    TooLittle {
        /// Which position.
        key: PositionKey,
        /// What it holds.
        held: rust_decimal::Decimal,
        /// What was to be taken.
        asked: rust_decimal::Decimal,
    },
    /// The quantity of an addition or reduction is not above zero.
    #[error("{key}: the quantity is {quantity}, not above zero")]
    Quantity {
        /// Which position.
        key: PositionKey,
        /// What was given.
        quantity: rust_decimal::Decimal,
    },
    /// The row to be voided does not exist, or is void already.
    #[error("trade {0} does not exist or is void already")]
    NoTrade(TradeId),
    /// A trade id that stands for another record already.
    #[error("trade {0} is stored already with other content")]
    TradeDiffers(TradeId),
    /// A broker's number that stands for another fill of the account and day already.
    #[error(
        "external_id '{external_id}' stands for trade {first} already, with another instrument, kind, price or quantity"
    )]
    ExternalIdDiffers {
        /// The broker's number.
        external_id: String,
        /// The record that carries it.
        first: TradeId,
    },
    /// A trade record that cannot be.
    #[error(transparent)]
    Trade(#[from] TradeError),
    /// A position that cannot be.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// A strategy's state that cannot be.
    #[error(transparent)]
    StrategySnapshot(#[from] StrategySnapshotError),
    /// A bar that cannot be.
    #[error(transparent)]
    Bar(#[from] BarError),
    /// A tick or market trade that cannot be.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Ticks or market trades exist with other content, and the batch says to stop.
    #[error("other content is stored for {rows} of the {what}, the first of {instrument} at {first}")]
    EventConflict {
        /// `ticks` or `market trades`.
        what: &'static str,
        /// How many rows differ.
        rows: u64,
        /// Of which instrument the first is.
        instrument: InstrumentId,
        /// The first row that differs.
        first: EventPlace,
    },
    /// A corporate action that cannot be.
    #[error(transparent)]
    Factor(#[from] FactorError),
    /// Bars of one cross-section with different `ts`, or an instrument that stands twice in it.
    #[error("a cross-section holds one ts and every instrument once; {instrument} at {ts} does not fit")]
    CrossSection {
        /// Which instrument.
        instrument: barkeeper_records::InstrumentId,
        /// Its `ts`.
        ts: Timestamp,
    },
    /// Bars exist with other content, and the batch says to stop.
    #[error(
        "other content is stored for {} of {series} series, the first in {} at {} (largest change of a close: {largest:.2} %)", counted(*bars, "bar"), first.0, first.1
    )]
    Conflict {
        /// How many bars differ.
        bars: u64,
        /// In how many series.
        series: u64,
        /// The largest change of a close price, in per cent of the stored one.
        largest: f64,
        /// The first bar that differs.
        first: (barkeeper_records::SeriesKey, Timestamp),
    },
    /// More operations, bars or bytes than a batch may have.
    #[error("{what}: {found}, more than {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// The calendar cannot place the clock's time.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// The version clock has come to its end, in 2089.
    #[error("the version clock has come to its end")]
    ClockExhausted,
    /// Little room is left on the disk: bars, ticks and imports stop, trades, positions and snapshots go on. Nothing of the batch
    /// is stored.
    #[error(
        "too little room on the disk for bars: {free} bytes are free, {needed} are needed; the ledger goes on"
    )]
    LowSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be free, with the reserve that is kept back where that was given up.
        needed: u64,
    },
    /// The disk is full. Nothing was written; reads go on.
    #[error("the disk is full: nothing was written")]
    DiskFull,
    /// What is stored could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A commit failed in the middle, and the disk takes no writes that would take it back: it is not there while this
    /// process lives, and may be there when the store is opened after its end. A request id makes a retry harmless.
    #[error("the commit failed, and the disk takes no writes: {detail}")]
    Failed {
        /// What the database said.
        detail: String,
    },
    /// The disk failed, or another batch of the same commit met damage: nothing of this one is stored, and it may be given
    /// again.
    #[error("nothing of the batch is stored: {detail}")]
    NotStored {
        /// What was met.
        detail: String,
    },
    /// Too many targets.
    #[error("the store has {0} targets already")]
    Targets(usize),
    /// The series was changed again and again while an import was prepared.
    #[error("the series were changed {0} times while the import was prepared")]
    Contended(u32),
    /// A published file could not be written or put in place.
    #[error(transparent)]
    Maintenance(Box<MaintenanceError>),
}

/// What a commit answers.
pub(crate) type CommitResult<T> = Result<T, CommitError>;
/// What a read answers.
pub(crate) type ReadResult<T> = Result<T, ReadError>;

/// Why sealing, publishing or verifying failed. No row is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintenanceError {
    /// The operating system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The folder to publish into is not empty.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Live files alone do not hold every row exactly once.
    #[error(
        "the files alone are not exact: {hot} rows are hot and {overlaps} series overlap or have removed bars"
    )]
    NotExact {
        /// Rows that are not in a file yet.
        hot: u64,
        /// Series of which more than one file, or a removal, speaks.
        overlaps: u64,
    },
    /// What a merge wrote is not what it read. Nothing was changed.
    #[error("what was merged is not what was read: {detail}")]
    Unlike {
        /// What differs.
        detail: String,
    },
    /// The last merge cannot be undone. Nothing was changed.
    #[error("the last merge cannot be undone: {detail}")]
    NotUndone {
        /// Why.
        detail: String,
    },
    /// The database could not be compacted. What is stored stays as it is.
    #[error("store.redb cannot be compacted: {detail}")]
    Compact {
        /// Why.
        detail: String,
    },
    /// The store is being closed.
    #[error("the store is being closed")]
    Stopped,
    /// A file could not be written, or is not what was written.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// What is stored could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The commit that publishes failed.
    #[error(transparent)]
    Commit(Box<CommitError>),
    /// The store could not be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// Cut off by a test.
    #[cfg(feature = "fault-injection")]
    #[error("cut off at step {0} by a test")]
    Cut(usize),
}

impl MaintenanceError {
    /// Whether a test has cut it off, as a crash does: nothing is tidied up then.
    #[cfg(feature = "fault-injection")]
    pub(crate) const fn is_cut(&self) -> bool {
        matches!(self, Self::Cut(_))
    }

    /// Whether a test has cut it off.
    #[cfg(not(feature = "fault-injection"))]
    #[expect(clippy::unused_self, reason = "the same signature as under test")]
    pub(crate) const fn is_cut(&self) -> bool {
        false
    }
}

impl From<CommitError> for MaintenanceError {
    fn from(error: CommitError) -> Self {
        Self::Commit(Box::new(error))
    }
}

impl From<MaintenanceError> for CommitError {
    fn from(error: MaintenanceError) -> Self {
        match error {
            MaintenanceError::Commit(inner) => *inner,
            MaintenanceError::Read(inner) => Self::Read(inner),
            MaintenanceError::Io { source, .. }
            | MaintenanceError::Segment(SegmentError::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Self::DiskFull
            }
            other => Self::Maintenance(Box::new(other)),
        }
    }
}

impl From<OpenError> for MaintenanceError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

pub(crate) fn read_error(error: impl Into<redb::Error>) -> ReadError {
    match error.into() {
        redb::Error::Io(source) => ReadError::Io { source },
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => ReadError::Reopen,
        other => ReadError::Damaged { detail: other.to_string() },
    }
}

pub(crate) fn commit_error(error: impl Into<redb::Error>) -> CommitError {
    match error.into() {
        redb::Error::Io(source) if source.kind() == io::ErrorKind::StorageFull => CommitError::DiskFull,
        redb::Error::PreviousIo => CommitError::Read(ReadError::Reopen),
        other => CommitError::Failed { detail: other.to_string() },
    }
}

/// Shorthand for a lookup that found nothing at a place that must have something.
pub(crate) fn missing(what: &'static str) -> ReadError {
    ReadError::Value(Damage::Layout { what, detail: "a value that must be there is missing" })
}

/// The LSN that a store has before its first commit.
pub(crate) const NOTHING: Lsn = Lsn(0);

/// Decoded parts of a scan that do not fit each other.
pub(crate) fn scan_error(detail: &str) -> ReadError {
    ReadError::Decode { detail: detail.to_owned() }
}
