//! The words of Barkeeper: what a bar, a trade, a position and a change are, and nothing else.
//!
//! Values are validated at birth, so that no other crate has to ask again. This crate does no I/O,
//! reads no clock and knows no other crate of the project.

mod adjust;
mod bar;
mod batch;
mod calendar;
mod change;
mod clock;
mod event;
mod factor;
mod instrument;
mod interval;
mod known;
pub mod limits;
mod market_trade;
mod money;
mod names;
mod position;
mod schema;
mod strategy_snapshot;
mod tick;
mod time;
mod trade;
mod venue;
mod version;

pub use adjust::{Adjustment, Direction, DirectionError, Factors};
pub use bar::{AdjustmentTag, Bar, BarError, BarRun, Quality, SeriesKey};
pub use batch::{
    Batch, ImportRecord, IncrementOutcome, OnConflict, Operation, Outcome, Precondition, Refusal, RequestId,
};
pub use calendar::{Calendar, CalendarError, CalendarKind};
pub use change::{
    Bucket, BucketDigest, Change, ChangeFeed, Cursor, Digest, FeedError, LogBounds, Lsn, Page,
    RangeTombstone, StoreIdentity,
};
pub use clock::{Clock, FixedClock};
pub use event::{EventError, EventPlace, MarketEvent};
pub use factor::{FactorError, FactorEvent};
pub use instrument::{InstrumentId, InstrumentIdError};
pub use interval::{Interval, IntervalError, IntervalUnit};
pub use market_trade::{MarketTrade, Side, SideError};
pub use money::{MoneyError, ledger_decimal, scaled, unscaled};
pub use names::{AccountId, BookId, NameError, StrategyId};
pub use position::{ExtremeUpdate, Position, PositionError, PositionKey, PositionStatus};
pub use schema::{Column, ColumnKind, Row, Table, TableSchema, Value};
pub use strategy_snapshot::{StrategySnapshot, StrategySnapshotError, StrategySnapshotKey};
pub use tick::{LEVELS, Tick};
pub use time::{TimeError, Timestamp, TradingDay};
pub use trade::{TradeError, TradeId, TradeKind, TradeRecord};
pub use venue::Venue;
pub use version::{Hlc, HlcError, Version};
