//! `MarketTrade`: one public trade.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::{EventPlace, MarketEvent};
use crate::schema::Table;
use crate::time::{Timestamp, TradingDay};

/// Who took the price: the side of the order that came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Side {
    /// The source does not say, or it was neither (an auction).
    #[default]
    Unknown = 0,
    /// The buyer.
    Buy = 1,
    /// The seller.
    Sell = 2,
}

/// The text names no side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no side: expected unknown, buy or sell")]
pub struct SideError {
    /// What was given.
    pub text: String,
}

impl Side {
    /// All sides.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Buy, Self::Sell];

    /// `unknown`, `buy` or `sell`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Side {
    type Err = SideError;

    fn from_str(text: &str) -> Result<Self, SideError> {
        let found = Self::ALL.into_iter().find(|side| side.as_str() == text);
        found.ok_or_else(|| SideError { text: text.to_owned() })
    }
}

/// One public trade, or several of one order at one price that the venue sums up.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct MarketTrade {
    /// The venue's time of the trade, UTC.
    pub ts: Timestamp,
    /// The venue's number, else the row's ordinal among the trades of one instant, from 0.
    pub sequence: u64,
    /// The venue's day. A night session belongs to the next one.
    pub trading_day: TradingDay,
    /// In the quote currency.
    pub price: f64,
    /// Shares, contracts or base units; never negative.
    pub quantity: f64,
    /// In the quote currency, never in thousands; 0 where the source does not say.
    pub turnover: f64,
    /// Who took the price.
    pub side: Side,
    /// Whether the row sums up several trades and its sequence numbers such sums (`aggTrades`). One
    /// instrument has either these or single trades: both would count everything twice.
    pub aggregated: bool,
}

impl MarketEvent for MarketTrade {
    const TABLE: Table = Table::MarketTrades;
    const WHAT: &'static str = "market trades";
    const NUMBERS: &'static [&'static str] = &["price", "quantity", "turnover"];
    const AMOUNTS: &'static [&'static str] = &["quantity"];
    const UNTOLD: &'static [&'static str] = &["turnover"];

    fn place(&self) -> EventPlace {
        EventPlace { ts: self.ts, sequence: self.sequence }
    }

    fn trading_day(&self) -> TradingDay {
        self.trading_day
    }

    fn number(&self, place: usize) -> f64 {
        [self.price, self.quantity, self.turnover].get(place).copied().unwrap_or(0.0)
    }

    fn code(&self) -> u8 {
        self.side as u8 | u8::from(self.aggregated) << 2
    }

    fn from_parts(place: EventPlace, trading_day: TradingDay, numbers: &[f64], code: u8) -> Option<Self> {
        let [price, quantity, turnover] = *numbers.first_chunk::<3>()?;
        let side = Side::ALL.into_iter().find(|side| *side as u8 == code & 3)?;
        let (ts, sequence, aggregated) = (place.ts, place.sequence, code >> 2 == 1);
        let trade = Self { ts, sequence, trading_day, price, quantity, turnover, side, aggregated };
        (code < 8).then_some(trade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventError;

    #[test]
    fn parts_make_the_trade_again_and_other_codes_none() {
        for side in Side::ALL {
            for aggregated in [false, true] {
                let trade =
                    MarketTrade { price: -1.5, quantity: 2.0, side, aggregated, ..MarketTrade::default() };
                let numbers = [trade.price, trade.quantity, trade.turnover];
                let again = MarketTrade::from_parts(trade.place(), trade.trading_day, &numbers, trade.code());
                assert_eq!(again, Some(trade));
                assert_eq!(side.to_string().parse(), Ok(side));
            }
        }
        for code in [3, 7, 8, 255] {
            let made = MarketTrade::from_parts(
                EventPlace { ts: Timestamp::MIN, sequence: 0 },
                TradingDay::default(),
                &[0.0; 3],
                code,
            );
            assert_eq!(made, None, "{code}");
        }
        assert!("Buy".parse::<Side>().is_err());
    }

    #[test]
    fn birth_refuses_a_negative_quantity() {
        let wrong = MarketTrade { quantity: -1.0, ..MarketTrade::default() };
        assert_eq!(wrong.born(), Err(EventError::Negative { field: "quantity", value: -1.0 }));
    }
}
