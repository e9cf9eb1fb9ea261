//! `ScanRequest`: which rows and columns are read, and in which order.

use barkeeper_records::{AdjustmentTag, InstrumentId, Interval, Timestamp};

/// Rows of a batch where nothing else is asked for.
const BATCH_ROWS: usize = 65_536;
/// Rows of a batch at the most.
const MAX_BATCH_ROWS: usize = 1 << 20;
/// Threads at the most.
const MAX_THREADS: usize = 16;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanTable {
    /// Bars of one interval and adjustment, hot and sealed.
    Bars {
        /// The length of the bars.
        interval: Interval,
        /// How their prices were adjusted.
        adjustment: AdjustmentTag,
    },
    /// Ticks, hot and sealed.
    Ticks,
    /// Market trades, hot and sealed.
    MarketTrades,
    /// The trade records of every account.
    Trades,
}

/// Of which instruments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Instruments {
    /// All.
    #[default]
    All,
    /// These; one that has no rows adds none.
    List(Vec<InstrumentId>),
    /// Those whose name `SYMBOL.VENUE` begins so.
    Prefix(String),
}

/// In which order rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScanOrder {
    /// By instrument in text order, then by `ts`, then by sequence.
    #[default]
    Instrument,
    /// By `ts`, then by instrument, then by sequence.
    Time,
}

/// A scan: rows of one table as Arrow batches.
///
/// Columns of bars: `instrument` (dictionary of int32 and utf8; all batches of a scan share one
/// dictionary, in text order), `ts` (timestamp, ns, UTC), `trading_day` (date32), `open high low close
/// volume turnover open_interest` (float64). Columns of ticks: `instrument ts`, `sequence` (int64),
/// `trading_day`, `last volume turnover open_interest upper_limit lower_limit`, `bid_price_1` to
/// `bid_price_5`, and so `bid_volume_n ask_price_n ask_volume_n` (float64). Columns of market trades:
/// `instrument ts sequence trading_day price quantity turnover`, `side` (utf8: `unknown`, `buy`, `sell`),
/// `aggregated` (boolean). Columns of trade records: `trade_id account book instrument
/// strategy kind` (utf8), `ts`, `trading_day`, `price quantity amount fee` (decimal128(38, 8)), `name
/// remark source_text external_id voids` (utf8). Only `strategy amount fee external_id voids` may be null.
///
/// ```
/// use barkeeper::ScanRequest;
/// use barkeeper::records::{AdjustmentTag, Interval};
///
/// let closes = ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw)
///     .prefix("6")
///     .from("2024-01-01T00:00:00Z".parse().unwrap())
///     .columns(["instrument", "close"]);
/// # drop(closes);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRequest {
    pub(crate) table: ScanTable,
    pub(crate) instruments: Instruments,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) order: ScanOrder,
    pub(crate) batch_rows: usize,
    pub(crate) threads: usize,
    pub(crate) with_void: bool,
    /// Rows of a unit of work, where a test makes them small.
    pub(crate) unit_rows: Option<u64>,
    /// How many scans share the memory of one.
    pub(crate) share: u64,
}

impl ScanRequest {
    fn of(table: ScanTable) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            table,
            instruments: Instruments::All,
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            columns: None,
            order: ScanOrder::Instrument,
            batch_rows: BATCH_ROWS,
            threads: cores.min(4),
            with_void: false,
            unit_rows: None,
            share: 1,
        }
    }

    /// All bars of an interval and adjustment.
    pub fn bars(interval: Interval, adjustment: AdjustmentTag) -> Self {
        Self::of(ScanTable::Bars { interval, adjustment })
    }

    /// All ticks.
    pub fn ticks() -> Self {
        Self::of(ScanTable::Ticks)
    }

    /// All market trades.
    pub fn market_trades() -> Self {
        Self::of(ScanTable::MarketTrades)
    }

    /// All trade records but void ones and the rows that void them.
    pub fn trades() -> Self {
        Self::of(ScanTable::Trades)
    }

    /// What is read.
    pub const fn table(&self) -> ScanTable {
        self.table
    }

    /// Only of these instruments.
    #[must_use]
    pub fn instruments(mut self, instruments: impl IntoIterator<Item = InstrumentId>) -> Self {
        let mut list: Vec<_> = instruments.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        self.instruments = Instruments::List(list);
        self
    }

    /// Only of instruments whose name begins so.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.instruments = Instruments::Prefix(prefix.into());
        self
    }

    /// Only from this `ts` on.
    #[must_use]
    pub const fn from(mut self, from: Timestamp) -> Self {
        self.from = from;
        self
    }

    /// Only up to this `ts`, itself included.
    #[must_use]
    pub const fn to(mut self, to: Timestamp) -> Self {
        self.to = to;
        self
    }

    /// Only these columns, in this order; all where it is not said. Only these are decoded.
    #[must_use]
    pub fn columns<T: Into<String>>(mut self, columns: impl IntoIterator<Item = T>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// In which order; by instrument where it is not said.
    #[must_use]
    pub const fn order(mut self, order: ScanOrder) -> Self {
        self.order = order;
        self
    }

    /// Rows of a batch at the most: 65,536 by default, 1 to 1,048,576.
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.clamp(1, MAX_BATCH_ROWS);
        self
    }

    /// Threads that decode: as many as there are cores but at most 4 by default, 1 to 16. With 1 the
    /// caller's own thread decodes.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, MAX_THREADS);
        self
    }

    /// Leaves memory for other scans that run beside it.
    pub(crate) const fn share(mut self, scans: usize) -> Self {
        self.share = scans as u64;
        self
    }

    /// Makes units of work and windows of time so small, so that a test with few rows has many of them.
    #[cfg(feature = "fault-injection")]
    #[must_use]
    pub const fn unit_rows(mut self, rows: u64) -> Self {
        self.unit_rows = Some(rows);
        self
    }

    /// Of trade records: void ones and the rows that void them as well.
    #[must_use]
    pub const fn with_void(mut self, with_void: bool) -> Self {
        self.with_void = with_void;
        self
    }
}

impl Instruments {
    pub(crate) fn wants(&self, instrument: &InstrumentId) -> bool {
        match self {
            Self::All => true,
            Self::List(list) => list.binary_search(instrument).is_ok(),
            Self::Prefix(prefix) => instrument.as_str().starts_with(prefix.as_str()),
        }
    }

    /// Whether some wanted instrument may stand at or behind a name.
    pub(crate) fn reaches(&self, instrument: &InstrumentId) -> bool {
        match self {
            Self::All => true,
            Self::List(list) => list.last().is_some_and(|last| last >= instrument),
            Self::Prefix(prefix) => {
                instrument.as_str() <= prefix.as_str() || instrument.as_str().starts_with(prefix.as_str())
            }
        }
    }
}
