//! `TradeRecord`: a line of an account's own trade log.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::instrument::InstrumentId;
use crate::limits;
use crate::money::{MoneyError, ledger_decimal};
use crate::names::{AccountId, BookId, StrategyId};
use crate::time::{Timestamp, TradingDay};

/// Why a trade record was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TradeError {
    /// A number with more decimals or digits than the ledger keeps.
    #[error("{field}: {source}")]
    Money {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        source: MoneyError,
    },
    /// A quantity below zero: the kind tells the side.
    #[error("quantity is {value}, below zero; the kind tells the side")]
    NegativeQuantity {
        /// What was given.
        value: Decimal,
    },
    /// A text longer than rows may hold.
    #[error("{field} has {bytes} bytes, more than {limit}")]
    TextTooLong {
        /// Which field.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The most it may have.
        limit: usize,
    },
    /// The text is no trade id.
    #[error("'{text}' is no trade id: expected the 26 characters of a ULID")]
    Id {
        /// What was given.
        text: String,
    },
    /// The text is no kind.
    #[error(
        "'{text}' is no kind of trade record: expected buy_order, sell_order, buy_fill, sell_fill, cancel or void"
    )]
    Kind {
        /// What was given.
        text: String,
    },
    /// A row of kind `void` names no row, or another kind names one.
    #[error("a row of kind {kind} {} name the row it voids", if *.kind == TradeKind::Void { "must" } else { "cannot" })]
    Voids {
        /// The kind of the row.
        kind: TradeKind,
    },
}

/// The 128-bit key of a trade record, written as the 26 characters of a ULID (Crockford base 32).
///
/// Live records carry a ULID that the caller makes before the first attempt, so that a retry is the
/// same record; imported ones carry a hash of their content and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TradeId(pub u128);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl fmt::Display for TradeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(26);
        for place in (0..26_u32).rev() {
            let digit = usize::try_from((self.0 >> (place * 5)) & 31).unwrap_or(0);
            text.push(CROCKFORD.get(digit).copied().map_or('0', char::from));
        }
        f.pad(&text)
    }
}

impl FromStr for TradeId {
    type Err = TradeError;

    fn from_str(text: &str) -> Result<Self, TradeError> {
        let bad = || TradeError::Id { text: text.to_owned() };
        if text.len() != 26 || !text.starts_with(|c: char| ('0'..='7').contains(&c)) {
            return Err(bad());
        }
        let mut value = 0_u128;
        for byte in text.bytes() {
            let digit = CROCKFORD.iter().position(|c| *c == byte.to_ascii_uppercase()).ok_or_else(bad)?;
            value = value << 5 | digit as u128;
        }
        Ok(Self(value))
    }
}

impl Serialize for TradeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TradeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What a line of the trade log says. The numbers are format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TradeKind {
    /// An order to buy (买入委托).
    BuyOrder = 1,
    /// An order to sell (卖出委托).
    SellOrder = 2,
    /// A fill of an order to buy (买入成交).
    BuyFill = 3,
    /// A fill of an order to sell (卖出成交).
    SellFill = 4,
    /// An order was cancelled (撤单).
    Cancel = 5,
    /// An earlier row is void; rows are never deleted.
    Void = 6,
}

impl TradeKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::BuyOrder, Self::SellOrder, Self::BuyFill, Self::SellFill, Self::Cancel, Self::Void];

    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuyOrder => "buy_order",
            Self::SellOrder => "sell_order",
            Self::BuyFill => "buy_fill",
            Self::SellFill => "sell_fill",
            Self::Cancel => "cancel",
            Self::Void => "void",
        }
    }

    /// Whether shares changed hands.
    pub const fn is_fill(self) -> bool {
        matches!(self, Self::BuyFill | Self::SellFill)
    }

    /// Whether it is an order, filled or not.
    pub const fn is_order(self) -> bool {
        matches!(self, Self::BuyOrder | Self::SellOrder)
    }

    /// The number that stands in rows.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind of a number from [`Self::code`].
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for TradeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TradeKind {
    type Err = TradeError;

    fn from_str(text: &str) -> Result<Self, TradeError> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| TradeError::Kind { text: text.to_owned() })
    }
}

/// One line of an account's trade log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeRecord {
    /// The key.
    pub trade_id: TradeId,
    /// Whose log.
    pub account: AccountId,
    /// The book whose position it moved.
    pub book: BookId,
    /// What was traded.
    pub instrument: InstrumentId,
    /// Who decided, where known.
    pub strategy: Option<StrategyId>,
    /// Order, fill, cancel or void.
    pub kind: TradeKind,
    /// When.
    pub ts: Timestamp,
    /// The venue's day.
    pub trading_day: TradingDay,
    /// Price in the quote currency, at most 8 decimals.
    pub price: Decimal,
    /// Shares, contracts or base units, at least 0.
    pub quantity: Decimal,
    /// Money moved where the source states it; else price times quantity (times the multiplier) is meant.
    pub amount: Option<Decimal>,
    /// Commission, taxes and other fees, where known.
    pub fee: Option<Decimal>,
    /// The instrument's name at the time, as the source wrote it.
    pub name: String,
    /// Free remark.
    pub remark: String,
    /// The kind as the source wrote it, empty for live records.
    pub source_text: String,
    /// The broker's own number of the fill (QMT `traded_id`, CTP `TradeID`), unique in an account and day.
    pub external_id: Option<String>,
    /// For a row of kind `void`, the row that it voids.
    pub voids: Option<TradeId>,
}

impl TradeRecord {
    /// Checks a record, drops trailing zeros of its numbers and takes an empty `external_id` for none.
    ///
    /// # Errors
    /// `Money` for more than 8 decimals, `NegativeQuantity`, `TextTooLong`, `Voids`.
    pub fn born(mut self) -> Result<Self, TradeError> {
        let money =
            |field, value| ledger_decimal(value).map_err(|source| TradeError::Money { field, source });
        self.price = money("price", self.price)?;
        self.quantity = money("quantity", self.quantity)?;
        self.amount = self.amount.map(|value| money("amount", value)).transpose()?;
        self.fee = self.fee.map(|value| money("fee", value)).transpose()?;
        self.external_id = self.external_id.filter(|number| !number.is_empty());
        if self.quantity.is_sign_negative() && !self.quantity.is_zero() {
            return Err(TradeError::NegativeQuantity { value: self.quantity });
        }
        if (self.kind == TradeKind::Void) != self.voids.is_some() {
            return Err(TradeError::Voids { kind: self.kind });
        }
        let texts = [
            ("name", self.name.len()),
            ("remark", self.remark.len()),
            ("source_text", self.source_text.len()),
            ("external_id", self.external_id.as_ref().map_or(0, String::len)),
        ];
        for (field, bytes) in texts {
            let limit = if field == "remark" { limits::REMARK_BYTES } else { limits::TEXT_BYTES };
            if bytes > limit {
                return Err(TradeError::TextTooLong { field, bytes, limit });
            }
        }
        Ok(self)
    }

    /// The money moved: what the source stated, else price times quantity.
    pub fn value(&self) -> Decimal {
        self.amount.unwrap_or_else(|| self.price.saturating_mul(self.quantity))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn trade_ids_round_trip_and_order_as_their_text(a in any::<u128>(), b in any::<u128>()) {
            let text = TradeId(a).to_string();
            prop_assert_eq!(text.parse::<TradeId>(), Ok(TradeId(a)));
            prop_assert_eq!(a.cmp(&b), text.cmp(&TradeId(b).to_string()));
        }
    }

    #[test]
    fn what_is_no_trade_id_is_refused() {
        for text in
            ["", "01ARZ3NDEKTSV4RRFFQ69G5FA", "81ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAU"]
        {
            assert!(text.parse::<TradeId>().is_err(), "{text}");
        }
    }
}
