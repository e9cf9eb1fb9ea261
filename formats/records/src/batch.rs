//! `Batch`: named operations that are committed together or not at all.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::bar::{AdjustmentTag, Bar, BarRun, Quality, SeriesKey};
use crate::change::Lsn;
use crate::factor::FactorEvent;
use crate::instrument::InstrumentId;
use crate::interval::Interval;
use crate::market_trade::MarketTrade;
use crate::names::{AccountId, BookId, StrategyId};
use crate::position::{ExtremeUpdate, Position, PositionKey};
use crate::strategy_snapshot::StrategySnapshotKey;
use crate::tick::Tick;
use crate::time::{Timestamp, TradingDay};
use crate::trade::{TradeId, TradeRecord};

/// Names one attempt to commit: a client and the id it gave. A batch that is sent again with the same
/// request id is answered with the first commit's LSN and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Who sends, 1 to 64 bytes.
    pub client: String,
    /// The client's own id of the request, 1 to 64 bytes.
    pub id: String,
}

/// What to do with bars that exist with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// The new bar wins; the old one moves to the revisions.
    #[default]
    Replace,
    /// The stored bar stays.
    Keep,
    /// The whole batch is refused, with counts.
    Refuse,
}

/// Where a file came from and what was in it, kept so that a person can ask later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRecord {
    /// BLAKE3 of the file's bytes, 64 hexadecimal digits.
    pub hash: String,
    /// The source's name, such as `tdx-day`.
    pub source: String,
    /// The file's name, without folders.
    pub file: String,
    /// Rows taken in.
    pub rows: u64,
    /// Rows left out, each named in the import's report.
    pub rejected: u64,
    /// What is odd about the bars.
    pub quality: Quality,
}

/// One named operation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Appends a line to the trade log. A known `trade_id`, or a known `external_id` of the account and
    /// day, writes nothing and answers [`Outcome::TradeExists`]; with another content it is refused.
    RecordTrade(TradeRecord),
    /// Voids an earlier line by a new one.
    VoidTrade {
        /// The id of the new line.
        trade_id: TradeId,
        /// The line that is void from now on.
        voids: TradeId,
        /// When.
        ts: Timestamp,
        /// Why.
        remark: String,
    },
    /// Opens a position: held days 0, extremes unknown. Refused where it is open already.
    OpenPosition {
        /// Which.
        key: PositionKey,
        /// The trading day of the entry.
        day: TradingDay,
        /// How much, where known.
        quantity: Option<Decimal>,
        /// At which price, where known.
        price: Option<Decimal>,
    },
    /// Adds to an open position: the days go on, the cost is averaged.
    AddPosition {
        /// Which.
        key: PositionKey,
        /// How much more.
        quantity: Decimal,
        /// At which price, where known.
        price: Option<Decimal>,
    },
    /// Takes from an open position; what is left stays open. Refused where less is held.
    ReducePosition {
        /// Which.
        key: PositionKey,
        /// How much less.
        quantity: Decimal,
    },
    /// Closes an open position: it stays as a record and no longer counts days.
    ClosePosition {
        /// Which.
        key: PositionKey,
    },
    /// Sets a whole position, open or closed, as an import or a person says it is.
    SetPosition(Position),
    /// Sets the held days of a position, creating it where there is none.
    SetHeldDays {
        /// Which.
        key: PositionKey,
        /// Trading days since the entry.
        days: u32,
    },
    /// Removes a position.
    DeletePosition {
        /// Which.
        key: PositionKey,
    },
    /// Adds one day to every open position of a book, at most once a trading day.
    IncrementHeldDays {
        /// Whose.
        account: AccountId,
        /// In which book.
        book: BookId,
        /// The trading day; `None` asks the store's clock and calendar.
        day: Option<TradingDay>,
        /// Whether trading days that were missed since the last increment are added as well.
        catch_up: bool,
    },
    /// Sets the trading day of a book's last increment, as an import says it is.
    SetIncrementedOn {
        /// Whose.
        account: AccountId,
        /// In which book.
        book: BookId,
        /// The day.
        day: TradingDay,
    },
    /// Raises highest and lowers lowest prices of open positions; instruments that are not held are skipped.
    UpdateExtremes {
        /// Whose.
        account: AccountId,
        /// In which book.
        book: BookId,
        /// The prices of one tick.
        updates: Vec<ExtremeUpdate>,
    },
    /// Sets the extremes of a position to what they are, up or down; `None` leaves one as it is.
    SetExtremes {
        /// Which.
        key: PositionKey,
        /// The highest price.
        highest: Option<f64>,
        /// The lowest price.
        lowest: Option<f64>,
    },
    /// Puts bars of one series.
    PutBars {
        /// The bars.
        run: BarRun,
        /// What to do with bars that exist with other content.
        on_conflict: OnConflict,
    },
    /// Puts the bars of many instruments at one `ts`.
    PutCrossSection {
        /// The length of the bars.
        interval: Interval,
        /// How their prices were adjusted.
        adjustment: AdjustmentTag,
        /// One bar an instrument, all with the same `ts`.
        bars: Vec<(InstrumentId, Bar)>,
        /// What to do with bars that exist with other content.
        on_conflict: OnConflict,
    },
    /// Removes the bars of a series from `from` (included) to `to` (excluded).
    DeleteBars {
        /// The series.
        series: SeriesKey,
        /// The first `ts` that goes.
        from: Timestamp,
        /// The first `ts` that stays.
        to: Timestamp,
    },
    /// Puts ticks of any instruments and instants.
    PutTicks {
        /// The ticks, in any order; exact repetitions count once.
        ticks: Vec<(InstrumentId, Tick)>,
        /// What to do with ticks that exist with other content.
        on_conflict: OnConflict,
    },
    /// Removes the ticks of an instrument from `from` (included) to `to` (excluded), at most 200,000.
    DeleteTicks {
        /// Of which instrument.
        instrument: InstrumentId,
        /// The first `ts` that goes.
        from: Timestamp,
        /// The first `ts` that stays.
        to: Timestamp,
    },
    /// Puts market trades of any instruments and instants.
    PutMarketTrades {
        /// The trades, in any order; exact repetitions count once.
        trades: Vec<(InstrumentId, MarketTrade)>,
        /// What to do with trades that exist with other content.
        on_conflict: OnConflict,
    },
    /// Removes the market trades of an instrument from `from` (included) to `to` (excluded), at most 200,000.
    DeleteMarketTrades {
        /// Of which instrument.
        instrument: InstrumentId,
        /// The first `ts` that goes.
        from: Timestamp,
        /// The first `ts` that stays.
        to: Timestamp,
    },
    /// Sets what happened to an instrument on an ex-day, over what was said of that day before.
    SetFactor(FactorEvent),
    /// Removes what is said of an ex-day.
    DeleteFactor {
        /// Of which instrument.
        instrument: InstrumentId,
        /// The ex-day.
        ex_day: TradingDay,
    },
    /// Notes where imported rows came from.
    RecordImport(ImportRecord),
    /// Saves a strategy's state as the next one of its instant; a state that is saved for this instant
    /// already, with the same content, changes nothing. Answers [`Outcome::Saved`].
    SaveStrategySnapshot {
        /// Whose.
        strategy: StrategyId,
        /// When.
        saved_at: Timestamp,
        /// The strategy's own number of the layout of `body`.
        schema_version: u32,
        /// One JSON value, at most 4 MiB.
        body: String,
    },
    /// Removes a saved state.
    DeleteStrategySnapshot {
        /// Which.
        key: StrategySnapshotKey,
    },
}

/// What must hold for a batch to be committed, checked inside the commit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Precondition {
    /// The position is open.
    PositionOpen(PositionKey),
    /// There is no open position.
    PositionNotOpen(PositionKey),
    /// The trade record is not there yet.
    TradeAbsent(TradeId),
    /// Nothing was committed since this LSN.
    HeadIs(Lsn),
}

impl fmt::Display for Precondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PositionOpen(key) => write!(f, "{key} is open"),
            Self::PositionNotOpen(key) => write!(f, "{key} is not open"),
            Self::TradeAbsent(id) => write!(f, "trade {id} is not there yet"),
            Self::HeadIs(lsn) => write!(f, "nothing was committed since LSN {lsn}"),
        }
    }
}

/// Operations that are committed together or not at all, in this order, under one LSN.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Names the attempt, so that a retry commits once.
    pub request: Option<RequestId>,
    /// All must hold.
    pub preconditions: Vec<Precondition>,
    /// What to do.
    pub operations: Vec<Operation>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// A batch of one operation.
    pub fn of(operation: Operation) -> Self {
        Self { operations: vec![operation], ..Self::default() }
    }

    /// Adds an operation.
    #[must_use]
    pub fn with(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Adds a precondition.
    #[must_use]
    pub fn when(mut self, precondition: Precondition) -> Self {
        self.preconditions.push(precondition);
        self
    }

    /// Names the attempt.
    #[must_use]
    pub fn request(mut self, client: &str, id: &str) -> Self {
        self.request = Some(RequestId { client: client.to_owned(), id: id.to_owned() });
        self
    }
}

/// Why the daily increment did nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
#[non_exhaustive]
pub enum Refusal {
    /// It was done for this day, or for a later one, already.
    AlreadyDone {
        /// The day of the last increment.
        last: TradingDay,
    },
    /// The day is no trading day.
    NotATradingDay {
        /// The day that was asked for.
        day: TradingDay,
        /// The next trading day.
        next: TradingDay,
    },
    /// The day lies more than 31 days ahead of the clock.
    TooFarAhead {
        /// The day that was asked for.
        day: TradingDay,
        /// The clock's date.
        today: TradingDay,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyDone { last } => write!(f, "already done for {last}"),
            Self::NotATradingDay { day, next } => {
                write!(f, "{day} is no trading day; the next one is {next}")
            }
            Self::TooFarAhead { day, today } => {
                write!(f, "{day} lies more than 31 days ahead of the clock, which shows {today}")
            }
        }
    }
}

/// What the daily increment did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncrementOutcome {
    /// True when the days were counted up now.
    pub done: bool,
    /// The trading day that was asked for or that the clock showed.
    pub day: TradingDay,
    /// How many open positions were counted up.
    pub positions: u64,
    /// Trading days since the last increment that nobody counted; at most 366, the latest.
    pub missed: Vec<TradingDay>,
    /// Whether the missed days were added as well.
    pub caught_up: bool,
    /// Why nothing was done.
    pub refusal: Option<Refusal>,
}

/// What an operation did, in the order of the batch's operations.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It changed something.
    Done,
    /// Everything was as asked already.
    Unchanged,
    /// The trade record was there already, under this id.
    TradeExists {
        /// The id under which it stands.
        trade_id: TradeId,
        /// Whose number it carries, for a match by `external_id`.
        strategy: Option<StrategyId>,
    },
    /// What the daily increment did.
    Increment(IncrementOutcome),
    /// What happened to bars.
    Bars {
        /// Bars that were not there.
        inserted: u64,
        /// Bars that were there with other content and were replaced.
        replaced: u64,
        /// Bars that were there with other content and stayed.
        kept: u64,
        /// Bars that were there with this content, or were removed before.
        unchanged: u64,
        /// Bars that were removed.
        deleted: u64,
    },
    /// A strategy's state is stored under this number of its instant.
    Saved {
        /// The number.
        sequence: u32,
        /// Whether it was there already.
        known: bool,
    },
    /// What happened to ticks or market trades.
    Events {
        /// Rows that were not there.
        inserted: u64,
        /// Rows that were there with other content and were replaced.
        replaced: u64,
        /// Rows that were there with other content and stayed.
        kept: u64,
        /// Rows that were there with this content.
        unchanged: u64,
        /// Rows that were removed.
        deleted: u64,
    },
    /// How many positions got a new extreme.
    Extremes {
        /// Positions that changed.
        changed: u64,
    },
}
