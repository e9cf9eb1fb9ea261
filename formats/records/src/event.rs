//! `MarketEvent`: what a tick and a market trade have in common: a place in an instrument's stream.

use std::fmt;

use crate::instrument::InstrumentId;
use crate::schema::Table;
use crate::time::{Timestamp, TradingDay};

/// Why a tick or a market trade was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// NaN or an infinity.
    #[error("{field} is {value}, not a finite number")]
    NotFinite {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
    },
    /// A volume, quantity or open interest below zero.
    #[error("{field} is {value}, below zero")]
    Negative {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
    },
    /// A sequence that no target can store.
    #[error("the sequence {sequence} does not fit 63 bits")]
    Sequence {
        /// What was given.
        sequence: u64,
    },
    /// Two rows of one key with different content.
    #[error("two different {what} of {instrument} at {ts} with the sequence {sequence}")]
    Duplicate {
        /// `ticks` or `market trades`.
        what: &'static str,
        /// Of which instrument.
        instrument: InstrumentId,
        /// At which instant.
        ts: Timestamp,
        /// Under which sequence.
        sequence: u64,
    },
}

/// The place of an event in its instrument's stream: instant, then sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPlace {
    /// When, UTC.
    pub ts: Timestamp,
    /// The venue's number, else the row's ordinal among those of one instant; at most 63 bits.
    pub sequence: u64,
}

impl fmt::Display for EventPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.ts, self.sequence)
    }
}

/// A row of a stream of market data: [`Tick`](crate::Tick) or [`MarketTrade`](crate::MarketTrade). Its key
/// is (instrument, ts, sequence).
pub trait MarketEvent: Copy + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The table of the change log.
    const TABLE: Table;
    /// What the rows are called.
    const WHAT: &'static str;
    /// The names of the numbers, in the order of [`MarketEvent::number`]; the order is format.
    const NUMBERS: &'static [&'static str];
    /// Those of them that are never negative.
    const AMOUNTS: &'static [&'static str];
    /// Those of them in which 0 stands where the source or the venue says nothing. Rows, files and targets hold
    /// the 0; lists, frames and SQL show no value.
    const UNTOLD: &'static [&'static str];

    /// Where it stands in its stream.
    fn place(&self) -> EventPlace;

    /// The venue's day. A night session belongs to the next one.
    fn trading_day(&self) -> TradingDay;

    /// One of the numbers; 0 for a place that none has.
    fn number(&self, place: usize) -> f64;

    /// Everything that is no number, packed into a byte.
    fn code(&self) -> u8;

    /// The event of its parts, unchecked; `None` for a code that no event has, or too few numbers.
    fn from_parts(place: EventPlace, trading_day: TradingDay, numbers: &[f64], code: u8) -> Option<Self>;

    /// Checks an event and turns every -0.0 into 0.0.
    ///
    /// # Errors
    /// `NotFinite` for NaN and infinities, `Negative` for an amount below zero, `Sequence` above 63 bits.
    fn born(self) -> Result<Self, EventError> {
        let place = self.place();
        if place.sequence > i64::MAX as u64 {
            return Err(EventError::Sequence { sequence: place.sequence });
        }
        let mut numbers = Vec::with_capacity(Self::NUMBERS.len());
        for (at, field) in Self::NUMBERS.iter().enumerate() {
            let value = self.number(at);
            if !value.is_finite() {
                return Err(EventError::NotFinite { field, value });
            }
            if value < 0.0 && Self::AMOUNTS.contains(field) {
                return Err(EventError::Negative { field, value });
            }
            // Adding +0.0 turns -0.0 into 0.0 and leaves every other number as it is.
            numbers.push(value + 0.0);
        }
        Ok(Self::from_parts(place, self.trading_day(), &numbers, self.code()).unwrap_or(self))
    }

    /// Whether both events hold the same bits.
    fn same_content(&self, other: &Self) -> bool {
        self.place() == other.place()
            && self.trading_day() == other.trading_day()
            && self.code() == other.code()
            && (0..Self::NUMBERS.len()).all(|at| self.number(at).to_bits() == other.number(at).to_bits())
    }
}
