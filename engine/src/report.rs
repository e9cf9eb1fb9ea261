//! What the engine answers beside records: receipts, queries, summaries, reports.

use std::path::PathBuf;

use barkeeper_records::{
    AccountId, Bar, BookId, InstrumentId, Interval, Lsn, Outcome, SeriesKey, StrategyId, Timestamp,
    TradeKind, TradingDay, Version,
};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::compact::Space;

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The LSN under which the batch is durable; the present head where nothing had to change.
    pub lsn: Lsn,
    /// One outcome an operation; empty for a request that was committed before.
    pub outcomes: Vec<Outcome>,
    /// Whether anything changed.
    pub changed: bool,
    /// Whether the request id was known: the batch was committed before, under `lsn`.
    pub replayed: bool,
}

/// What a bulk import of bars did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReceipt {
    /// The LSN of the commit; the present head where nothing had to change.
    pub lsn: Lsn,
    /// Bars that were not there.
    pub inserted: u64,
    /// Bars that were there with other content and were replaced.
    pub replaced: u64,
    /// Bars that were there with other content and stayed.
    pub kept: u64,
    /// Bars that were there already.
    pub unchanged: u64,
    /// Segments that were written, 0 where the rows went to the hot tier.
    pub segments: u64,
}

/// First, last and count of a series, exact without a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SeriesSummary {
    /// The series.
    pub series: SeriesKey,
    /// How many bars, at least 1.
    pub count: u64,
    /// `ts` of the first bar.
    pub first: Timestamp,
    /// `ts` of the last bar.
    pub last: Timestamp,
}

/// An older content of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Revision {
    /// The bar as it was.
    pub bar: Bar,
    /// The version that wrote it.
    pub known_from: Version,
    /// The version that replaced it.
    pub known_to: Version,
}

/// Which trade records are asked for. Empty fields ask for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TradeQuery {
    /// Whose; all accounts where none is named.
    pub account: Option<AccountId>,
    /// In which book.
    pub book: Option<BookId>,
    /// Of what.
    pub instrument: Option<InstrumentId>,
    /// By which strategy.
    pub strategy: Option<StrategyId>,
    /// Of which kinds; all but `void` where none is named.
    pub kinds: Vec<TradeKind>,
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub to: Option<Timestamp>,
    /// At most this many, the newest.
    pub limit: Option<usize>,
    /// Whether voided rows and the rows that void them are shown.
    pub with_void: bool,
}

/// By what a summary groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SummaryBy {
    /// Trading day.
    Day,
    /// Month of the trading day.
    Month,
    /// Year of the trading day.
    Year,
    /// Instrument.
    Instrument,
    /// Kind.
    Kind,
}

/// What the numbers of a summary count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SummaryBasis {
    /// Fills.
    Fills,
    /// Orders, because the account has no fills.
    Orders,
}

/// One group of a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SummaryRow {
    /// Whose.
    pub account: AccountId,
    /// What the numbers count.
    pub basis: SummaryBasis,
    /// The group: `2024-01-02`, `2024-01`, `2024`, an instrument or a kind.
    pub group: String,
    /// How many records.
    pub count: u64,
    /// How many of them bought.
    pub buys: u64,
    /// How many of them sold.
    pub sells: u64,
    /// Money that bought.
    pub bought: Decimal,
    /// Money that sold.
    pub sold: Decimal,
    /// Fees, where records name them.
    pub fees: Decimal,
    /// Profit realised by average cost, fees taken off; `None` where the cost of something that was
    /// sold is not known, and for orders.
    pub realised: Option<Decimal>,
}

/// Which bars are sealed.
#[derive(Debug, Clone, Default)]
pub struct SealOptions {
    /// Only bars of this interval; all of them, ticks and market trades where none is named.
    pub interval: Option<Interval>,
    /// Only bars, ticks and market trades before this instant.
    pub before: Option<Timestamp>,
}

/// What sealing did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SealReport {
    /// Rows that moved to segments.
    pub rows: u64,
    /// Segments that were published.
    pub segments: u64,
    /// Bytes of these segments.
    pub bytes: u64,
    /// Rows that changed while they were sealed and stay hot.
    pub stayed: u64,
    /// The LSN of the last publication; `None` where there was nothing to do.
    pub lsn: Option<Lsn>,
}

/// One thing that `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where: `store.redb`, a file's path, a table, a series.
    pub place: String,
    /// What is wrong.
    pub detail: String,
    /// Whether stored bytes are damaged; else the parts do not fit each other.
    pub damage: bool,
}

/// What `verify` read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifyReport {
    /// The last committed LSN.
    pub lsn: Lsn,
    /// Hot values whose checksum was verified.
    pub values: u64,
    /// Segments that were read whole.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Bars in the merged view.
    pub bars: u64,
    /// Trade records.
    pub trades: u64,
    /// Positions.
    pub positions: u64,
    /// Ticks in the merged view.
    pub ticks: u64,
    /// Market trades in the merged view.
    pub market_trades: u64,
    /// Corporate actions.
    pub factors: u64,
    /// Buckets whose digests were recomputed.
    pub buckets: u64,
    /// What is wrong; empty where all is well.
    pub findings: Vec<Finding>,
    /// Damaged pages of `store.redb`, where these are all findings and everything that is stored was read all the
    /// same and fits: nothing of it stands on them. [`Store::compact`](crate::Store::compact) leaves behind those that
    /// nothing stands on at all.
    pub spare_pages: u64,
}

/// The live files of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSet {
    /// Absolute paths, in the order of publication.
    pub files: Vec<PathBuf>,
    /// Rows in them.
    pub rows: u64,
    /// Rows that are hot and in none of them.
    pub hot: u64,
    /// Series of which more than one file, or a removal, speaks: reading the files alone would show a bar twice.
    pub overlaps: u64,
}

/// What `publish` wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishReport {
    /// The LSN at which the set was frozen.
    pub lsn: Lsn,
    /// Files that are hard links of live segments, or copies where links are not possible.
    pub linked: u64,
    /// Files that were written anew, with hot and merged rows.
    pub written: u64,
    /// Rows in all files.
    pub rows: u64,
    /// The files, relative to the folder.
    pub files: Vec<PathBuf>,
}

/// What an open snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// Taken by a caller for reads of keys and ranges; expires.
    Point,
    /// A scan: holds segments and copied rows, no page of the database.
    Scan,
    /// The store's own: sealing, verifying, publishing, a page of the change feed.
    Maintenance,
}

/// An open snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OpenSnapshot {
    /// What it is for.
    pub kind: SnapshotKind,
    /// What it sees.
    pub lsn: Lsn,
    /// For how many seconds it has been open.
    pub seconds: u64,
    /// Whether it has expired: it holds nothing, and reads of it fail.
    pub expired: bool,
}

/// Whether a store takes what is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WriteState {
    /// All of it.
    Writable,
    /// Trades, positions and snapshots, but no bars: there is little room on the disk.
    LedgerOnly {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be free for bars.
        needed: u64,
    },
    /// Nothing; what is stored is read.
    ReadOnly {
        /// Why: `disk full`, or what the operating system says.
        reason: String,
    },
}

impl std::fmt::Display for WriteState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Writable => f.write_str("writable"),
            Self::LedgerOnly { free, needed } => {
                write!(f, "low on space: no bars ({free} bytes are free, {needed} are needed)")
            }
            Self::ReadOnly { reason } => write!(f, "read-only: {reason}"),
        }
    }
}

/// Sizes and counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreStats {
    /// The store's folder.
    pub folder: PathBuf,
    /// The store's id, 32 hexadecimal digits.
    pub store_id: String,
    /// The device number.
    pub device: u16,
    /// The last committed LSN.
    pub lsn: Lsn,
    /// Whether the store takes what is written.
    pub writes: WriteState,
    /// Bytes of `store.redb`.
    pub hot_bytes: u64,
    /// Bars in the hot tier, slabs and delta together.
    pub hot_bars: u64,
    /// Bars in the merged view.
    pub bars: u64,
    /// Series of bars.
    pub series: u64,
    /// Live segments.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Bytes in `trash/` and `staging/`.
    pub garbage_bytes: u64,
    /// Trade records.
    pub trades: u64,
    /// Positions, open and closed.
    pub positions: u64,
    /// Older contents of bars.
    pub revisions: u64,
    /// Ticks in the merged view.
    pub ticks: u64,
    /// Market trades in the merged view.
    pub market_trades: u64,
    /// Ticks and market trades in the hot tier.
    pub hot_events: u64,
    /// Corporate actions by which prices are adjusted.
    pub factors: u64,
    /// First LSN that the change log holds.
    pub log_tail: Lsn,
    /// Bytes of the change log.
    pub log_bytes: u64,
    /// Targets for which the log is kept, and the LSN that each has acknowledged.
    pub targets: Vec<(String, Lsn)>,
    /// Open snapshots of this process, the oldest first.
    pub snapshots: Vec<OpenSnapshot>,
    /// Where the bytes are, and which of them are dead.
    pub space: Space,
    /// Why the store's own maintenance failed last; none where it is well.
    pub maintenance_error: Option<String>,
    /// The trading day of the last increment of each book.
    pub books: Vec<(AccountId, BookId, TradingDay)>,
}
