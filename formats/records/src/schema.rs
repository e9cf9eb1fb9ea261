//! Tables, columns and rows as targets see them.

use crate::time::TradingDay;
use crate::version::Version;

/// A table of the change log. The numbers are format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Table {
    /// Bars of every series.
    Bars = 1,
    /// The trade log.
    Trades = 2,
    /// Positions.
    Positions = 3,
    /// Books: the trading day of the last increment.
    Books = 4,
    /// Corporate actions by which prices are adjusted.
    Factors = 5,
    /// Saved states of strategies.
    StrategySnapshots = 6,
    /// Ticks.
    Ticks = 7,
    /// Market trades.
    MarketTrades = 8,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 8] = [
        Self::Bars,
        Self::Trades,
        Self::Positions,
        Self::Books,
        Self::Factors,
        Self::StrategySnapshots,
        Self::Ticks,
        Self::MarketTrades,
    ];

    /// The number that stands in log records, digests and hashes.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The table of a number from [`Self::code`].
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.code() == code)
    }

    /// Its columns.
    pub const fn schema(self) -> &'static TableSchema {
        match self {
            Self::Bars => &BARS,
            Self::Trades => &TRADES,
            Self::Positions => &POSITIONS,
            Self::Books => &BOOKS,
            Self::Factors => &FACTORS,
            Self::StrategySnapshots => &STRATEGY_SNAPSHOTS,
            Self::Ticks => &TICKS,
            Self::MarketTrades => &MARKET_TRADES,
        }
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Printable ASCII, compared byte by byte: keys and codes.
    Ascii,
    /// UTF-8, compared byte by byte.
    Text,
    /// UTF-8 of up to 4 MiB, in no key and in no index.
    LongText,
    /// A signed 64-bit integer.
    Int,
    /// Nanoseconds since 1970 UTC; targets show the venue's local time beside it.
    Nanos,
    /// A calendar date.
    Day,
    /// An IEEE double.
    Double,
    /// A decimal with 8 places.
    Decimal,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name in every target.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// What it means, for the column's comment.
    pub comment: &'static str,
}

/// The columns of a table. Bookkeeping columns (`version deleted device lsn row_hash`) are not among them.
#[derive(Debug, Clone, Copy)]
pub struct TableSchema {
    /// Which table.
    pub table: Table,
    /// Its name in every target.
    pub name: &'static str,
    /// The key, in the order of the primary key.
    pub key: &'static [Column],
    /// The other columns, in the order in which they are hashed.
    pub values: &'static [Column],
}

const fn col(name: &'static str, kind: ColumnKind, comment: &'static str) -> Column {
    Column { name, kind, nullable: false, comment }
}

const fn opt(name: &'static str, kind: ColumnKind, comment: &'static str) -> Column {
    Column { name, kind, nullable: true, comment }
}

use ColumnKind::{Ascii, Day, Decimal, Double, Int, LongText, Nanos, Text};

static BARS: TableSchema = TableSchema {
    table: Table::Bars,
    name: "bk_bars",
    key: &[
        col("interval", Ascii, "length of the bar: 1m, 1h, 1d, ..."),
        col("adjustment", Ascii, "raw (as traded), qfq or hfq"),
        col("instrument", Ascii, "SYMBOL.VENUE"),
        col(
            "ts",
            Nanos,
            "start of the bar in UTC nanoseconds; one day and longer: the trading day at 00:00 UTC",
        ),
    ],
    values: &[
        col("trading_day", Day, "the venue's day; a night session belongs to the next"),
        col("open", Double, "first price"),
        col("high", Double, "highest price"),
        col("low", Double, "lowest price"),
        col("close", Double, "last price"),
        col("volume", Double, "shares, contracts or base units"),
        col("turnover", Double, "in the quote currency"),
        col("open_interest", Double, "contracts; 0 where the venue has none"),
    ],
};

static TRADES: TableSchema = TableSchema {
    table: Table::Trades,
    name: "bk_trades",
    key: &[col("trade_id", Ascii, "26 characters of a ULID")],
    values: &[
        col("account", Text, "whose log"),
        col("book", Text, "the book whose position it moved"),
        col("instrument", Ascii, "SYMBOL.VENUE"),
        opt("strategy", Text, "who decided"),
        col("kind", Ascii, "buy_order, sell_order, buy_fill, sell_fill, cancel or void"),
        col("ts", Nanos, "when, UTC nanoseconds"),
        col("trading_day", Day, "the venue's day"),
        col("price", Decimal, "in the quote currency"),
        col("quantity", Decimal, "shares, contracts or base units"),
        opt("amount", Decimal, "money moved, where the source states it"),
        opt("fee", Decimal, "commission, taxes and other fees"),
        col("name", Text, "the instrument's name as the source wrote it"),
        col("remark", Text, "free remark"),
        col("source_text", Text, "the kind as the source wrote it"),
        opt("external_id", Text, "the broker's own number of the fill"),
        opt("voids", Ascii, "the trade_id that this row voids"),
    ],
};

static POSITIONS: TableSchema = TableSchema {
    table: Table::Positions,
    name: "bk_positions",
    key: &[
        col("account", Text, "whose"),
        col("book", Text, "in which strategy's view"),
        col("instrument", Ascii, "SYMBOL.VENUE"),
    ],
    values: &[
        col("status", Ascii, "open or closed"),
        opt("held_days", Int, "trading days since the entry"),
        opt("highest", Double, "highest price since the entry"),
        opt("lowest", Double, "lowest price since the entry"),
        col("lowest_trusted", Int, "0 where the source is known to have kept the lowest price wrongly"),
        opt("quantity", Decimal, "shares, contracts or base units"),
        opt("cost", Decimal, "average cost of one unit"),
        opt("opened_on", Day, "trading day of the entry"),
    ],
};

static BOOKS: TableSchema = TableSchema {
    table: Table::Books,
    name: "bk_books",
    key: &[col("account", Text, "whose"), col("book", Text, "which")],
    values: &[col("incremented_on", Day, "trading day of the last increment of held days")],
};

static FACTORS: TableSchema = TableSchema {
    table: Table::Factors,
    name: "bk_factors",
    key: &[
        col("instrument", Ascii, "SYMBOL.VENUE"),
        col("ex_day", Day, "the first trading day without the right"),
    ],
    values: &[
        col("cash", Double, "cash for one share, in the quote currency"),
        col("bonus", Double, "new shares for one share that cost nothing; 9 for a split of 1 into 10"),
        col("rights", Double, "new shares for one share that are paid for"),
        col("rights_price", Double, "the price of one of them"),
        opt("factor", Double, "by how much earlier prices are divided, where the source states it"),
    ],
};
static STRATEGY_SNAPSHOTS: TableSchema = TableSchema {
    table: Table::StrategySnapshots,
    name: "bk_strategy_snapshots",
    key: &[
        col("strategy", Text, "whose state"),
        col("saved_at", Nanos, "when, UTC nanoseconds"),
        col("sequence", Int, "0 for the first state of that instant, one more for each further one"),
    ],
    values: &[
        col("schema_version", Int, "the strategy's own number of the layout of the body"),
        col("body", LongText, "the state as JSON"),
    ],
};

/// The key of ticks and market trades.
const EVENT_KEY: &[Column] = &[
    col("instrument", Ascii, "SYMBOL.VENUE"),
    col("ts", Nanos, "the venue's time, UTC nanoseconds"),
    col("sequence", Int, "the venue's number, else the ordinal among the rows of one instant"),
];

static TICKS: TableSchema = TableSchema {
    table: Table::Ticks,
    name: "bk_ticks",
    key: EVENT_KEY,
    values: &[
        col("trading_day", Day, "the venue's day; a night session belongs to the next"),
        col("last", Double, "last price"),
        col("volume", Double, "traded since the start of the trading day: shares, contracts or base units"),
        col("turnover", Double, "traded since the start of the trading day, in the quote currency"),
        col("open_interest", Double, "contracts; 0 where the venue has none"),
        col("upper_limit", Double, "highest price that the day allows; 0 where there is none"),
        col("lower_limit", Double, "lowest price that the day allows; 0 where there is none"),
        col("bid_price_1", Double, "bid price of level 1, the best is 1; 0 where there is none"),
        col("bid_price_2", Double, "bid price of level 2, the best is 1; 0 where there is none"),
        col("bid_price_3", Double, "bid price of level 3, the best is 1; 0 where there is none"),
        col("bid_price_4", Double, "bid price of level 4, the best is 1; 0 where there is none"),
        col("bid_price_5", Double, "bid price of level 5, the best is 1; 0 where there is none"),
        col("bid_volume_1", Double, "bid volume of level 1, the best is 1; 0 where there is none"),
        col("bid_volume_2", Double, "bid volume of level 2, the best is 1; 0 where there is none"),
        col("bid_volume_3", Double, "bid volume of level 3, the best is 1; 0 where there is none"),
        col("bid_volume_4", Double, "bid volume of level 4, the best is 1; 0 where there is none"),
        col("bid_volume_5", Double, "bid volume of level 5, the best is 1; 0 where there is none"),
        col("ask_price_1", Double, "ask price of level 1, the best is 1; 0 where there is none"),
        col("ask_price_2", Double, "ask price of level 2, the best is 1; 0 where there is none"),
        col("ask_price_3", Double, "ask price of level 3, the best is 1; 0 where there is none"),
        col("ask_price_4", Double, "ask price of level 4, the best is 1; 0 where there is none"),
        col("ask_price_5", Double, "ask price of level 5, the best is 1; 0 where there is none"),
        col("ask_volume_1", Double, "ask volume of level 1, the best is 1; 0 where there is none"),
        col("ask_volume_2", Double, "ask volume of level 2, the best is 1; 0 where there is none"),
        col("ask_volume_3", Double, "ask volume of level 3, the best is 1; 0 where there is none"),
        col("ask_volume_4", Double, "ask volume of level 4, the best is 1; 0 where there is none"),
        col("ask_volume_5", Double, "ask volume of level 5, the best is 1; 0 where there is none"),
    ],
};

static MARKET_TRADES: TableSchema = TableSchema {
    table: Table::MarketTrades,
    name: "bk_market_trades",
    key: EVENT_KEY,
    values: &[
        col("trading_day", Day, "the venue's day; a night session belongs to the next"),
        col("price", Double, "in the quote currency"),
        col("quantity", Double, "shares, contracts or base units"),
        col("turnover", Double, "in the quote currency; 0 where the source does not say"),
        col("side", Ascii, "who took the price: buy, sell or unknown"),
        col("aggregated", Int, "1 where the row sums up several trades"),
    ],
};

/// One value of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// For `Int` and `Nanos`.
    Int(i64),
    /// For `Double`; finite.
    Double(f64),
    /// For `Decimal`: the number times 10^8.
    Decimal(i128),
    /// For `Ascii` and `Text`.
    Text(String),
    /// For `Day`.
    Day(TradingDay),
}

/// One row of a table with its bookkeeping.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which table.
    pub table: Table,
    /// The key, one value a key column.
    pub key: Vec<Value>,
    /// The other columns; empty for a tombstone.
    pub values: Vec<Value>,
    /// The row's version; the highest wins everywhere.
    pub version: Version,
    /// Whether the row is a tombstone.
    pub deleted: bool,
    /// The LSN under which it is shipped.
    pub lsn: crate::change::Lsn,
    /// The hash of key and values (`barkeeper-storage` computes it), 0 for a tombstone.
    pub row_hash: i64,
}
