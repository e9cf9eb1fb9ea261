//! `Position`: what a book knows of one instrument it holds or has held.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::instrument::InstrumentId;
use crate::money::{MoneyError, ledger_decimal};
use crate::names::{AccountId, BookId};
use crate::time::TradingDay;

/// Why a position was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// A price that is not a finite number above zero.
    #[error("{field} is {value}: expected a finite price above zero")]
    Price {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
    },
    /// A number with more decimals or digits than the ledger keeps.
    #[error("{field}: {source}")]
    Money {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        source: MoneyError,
    },
    /// The text is no status.
    #[error("'{text}' is no status of a position: expected open or closed")]
    Status {
        /// What was given.
        text: String,
    },
}

/// The key of a position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PositionKey {
    /// Whose.
    pub account: AccountId,
    /// In which strategy's view.
    pub book: BookId,
    /// Of what.
    pub instrument: InstrumentId,
}

impl PositionKey {
    /// A position of an account's `main` book.
    pub fn main(account: AccountId, instrument: InstrumentId) -> Self {
        Self { account, book: BookId::main(), instrument }
    }
}

impl fmt::Display for PositionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in book {} of account {}", self.instrument, self.book, self.account)
    }
}

/// Whether a position is held. The numbers are format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum PositionStatus {
    /// Held: its days count.
    Open = 1,
    /// Sold: kept as a record, skipped by the daily increment.
    Closed = 2,
}

impl PositionStatus {
    /// `open` or `closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    /// The number that stands in rows.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The status of a number from [`Self::code`].
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Open),
            2 => Some(Self::Closed),
            _ => None,
        }
    }
}

impl FromStr for PositionStatus {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err(PositionError::Status { text: text.to_owned() }),
        }
    }
}

/// A position. Days and prices may be known without a quantity, as SilverQuant's files keep them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The key.
    #[serde(flatten)]
    pub key: PositionKey,
    /// Held or sold.
    pub status: PositionStatus,
    /// Trading days since the entry: 0 on the day of the entry; `None` where unknown.
    pub held_days: Option<u32>,
    /// Highest price since the entry, in the quote currency.
    pub highest: Option<f64>,
    /// Lowest price since the entry, in the quote currency.
    pub lowest: Option<f64>,
    /// False where `lowest` came from a source that is known to have kept it wrongly.
    pub lowest_trusted: bool,
    /// Shares, contracts or base units; negative for a short position.
    pub quantity: Option<Decimal>,
    /// Average cost of one unit, fees not counted.
    pub cost: Option<Decimal>,
    /// The trading day of the entry.
    pub opened_on: Option<TradingDay>,
}

impl Position {
    /// An open position of which only its key is known, entered on `opened_on`, held for no day yet.
    pub const fn opened(key: PositionKey, opened_on: Option<TradingDay>) -> Self {
        Self {
            key,
            status: PositionStatus::Open,
            held_days: Some(0),
            highest: None,
            lowest: None,
            lowest_trusted: true,
            quantity: None,
            cost: None,
            opened_on,
        }
    }

    /// Checks a position and drops trailing zeros of its numbers.
    ///
    /// # Errors
    /// `Price` for an extreme that is no finite price above zero, `Money` for more than 8 decimals.
    pub fn born(mut self) -> Result<Self, PositionError> {
        for (field, value) in [("highest", self.highest), ("lowest", self.lowest)] {
            if let Some(value) = value {
                check_price(field, value)?;
            }
        }
        let money =
            |field, value| ledger_decimal(value).map_err(|source| PositionError::Money { field, source });
        self.quantity = self.quantity.map(|value| money("quantity", value)).transpose()?;
        self.cost = self.cost.map(|value| money("cost", value)).transpose()?;
        Ok(self)
    }
}

fn check_price(field: &'static str, value: f64) -> Result<(), PositionError> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(PositionError::Price { field, value }) }
}

/// One instrument's part of a tick: its highest and lowest price since the last one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExtremeUpdate {
    /// Of what.
    pub instrument: InstrumentId,
    /// Raises the position's highest price where it is above it.
    pub high: f64,
    /// Lowers the position's lowest price where it is below it.
    pub low: f64,
}

impl ExtremeUpdate {
    /// Checks both prices.
    ///
    /// # Errors
    /// `Price` for what is no finite price above zero.
    pub fn born(self) -> Result<Self, PositionError> {
        check_price("high", self.high)?;
        check_price("low", self.low)?;
        Ok(self)
    }
}
