//! `Adjustment`: how bars are made comparable across corporate actions when they are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bar::Bar;
use crate::factor::FactorEvent;
use crate::time::TradingDay;

/// Which prices stay as traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// All of them.
    #[default]
    None,
    /// The latest (前复权, qfq): earlier ones are scaled to them.
    Forward,
    /// The first (后复权, hfq): later ones are scaled to them.
    Backward,
}

impl Direction {
    const ALL: [(Self, &'static str); 3] =
        [(Self::None, "none"), (Self::Forward, "forward"), (Self::Backward, "backward")];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(one, _)| one == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

/// The text names no direction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no adjustment of a read: expected none, forward or backward")]
pub struct DirectionError {
    /// What was given.
    pub text: String,
}

impl FromStr for Direction {
    type Err = DirectionError;

    fn from_str(text: &str) -> Result<Self, DirectionError> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(one, _)| *one).ok_or_else(|| DirectionError { text: text.to_owned() })
    }
}

/// How bars are adjusted when they are read. Turnover and open interest are never touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Adjustment {
    /// Which prices stay as traded.
    pub direction: Direction,
    /// The day from which one looks: events with a later ex-day are not known, and bars of later trading
    /// days are left out. `None` looks from the last event.
    pub as_of: Option<TradingDay>,
    /// Whether volume is adjusted as well: by the number of shares that one share turned into, so cash
    /// dividends leave it alone.
    pub volume: bool,
}

impl Adjustment {
    /// Bars as they are stored.
    pub const NONE: Self = Self { direction: Direction::None, as_of: None, volume: false };
    /// The latest price as traded, seen from the last event.
    pub const FORWARD: Self = Self { direction: Direction::Forward, as_of: None, volume: false };
    /// The first price as traded.
    pub const BACKWARD: Self = Self { direction: Direction::Backward, as_of: None, volume: false };

    /// The same, seen from a day.
    #[must_use]
    pub const fn as_of(self, day: TradingDay) -> Self {
        Self { as_of: Some(day), ..self }
    }

    /// The same with volume.
    #[must_use]
    pub const fn with_volume(self) -> Self {
        Self { volume: true, ..self }
    }
}

/// One event with what it does to prices and to the number of shares, both cumulated from the first on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    ex_day: TradingDay,
    price: f64,
    shares: f64,
}

/// The events of one instrument, ready to be applied to bars of any interval up to a day.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Factors {
    steps: Vec<Step>,
}

impl Factors {
    /// Joins events, ascending by ex-day, each with the last close before it. Where there is no such
    /// close there are no earlier prices to compare with, and an event that states no factor is left out.
    ///
    /// # Errors
    /// The first event whose terms make no price of the close.
    pub fn of(events: &[(FactorEvent, Option<f64>)]) -> Result<Self, FactorEvent> {
        let mut steps = Vec::with_capacity(events.len());
        let (mut price, mut shares) = (1.0, 1.0);
        for (event, close) in events {
            let step = match (close, event.factor) {
                (Some(close), _) => event.price_step(*close).ok_or(*event)?,
                (None, Some(factor)) => factor,
                (None, None) => continue,
            };
            price *= step;
            shares *= event.share_step();
            steps.push(Step { ex_day: event.ex_day, price, shares });
        }
        Ok(Self { steps })
    }

    /// Price and share factor that hold on a day: those of the last event up to it.
    fn on(&self, day: TradingDay) -> (f64, f64) {
        let behind = self.steps.partition_point(|step| step.ex_day <= day);
        let last = behind.checked_sub(1).and_then(|place| self.steps.get(place));
        last.map_or((1.0, 1.0), |step| (step.price, step.shares))
    }

    /// Adjusts bars in place and leaves out those that `as_of` hides.
    pub fn apply(&self, adjustment: Adjustment, bars: &mut Vec<Bar>) {
        if let Some(day) = adjustment.as_of {
            bars.retain(|bar| bar.trading_day <= day);
        }
        if adjustment.direction == Direction::None {
            return;
        }
        let scale = self.scale(adjustment);
        for bar in bars {
            let (price, volume) = scale(bar.trading_day);
            for number in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
                *number *= price;
            }
            bar.volume *= volume;
        }
    }

    /// By what the prices and the volume of a bar are multiplied, by its trading day.
    pub fn scale(&self, adjustment: Adjustment) -> impl Fn(TradingDay) -> (f64, f64) + '_ {
        let (base_price, base_shares) = match (adjustment.direction, adjustment.as_of) {
            (Direction::None | Direction::Backward, _) => (1.0, 1.0),
            (Direction::Forward, Some(day)) => self.on(day),
            (Direction::Forward, None) => {
                self.steps.last().map_or((1.0, 1.0), |step| (step.price, step.shares))
            }
        };
        move |day| {
            if adjustment.direction == Direction::None {
                return (1.0, 1.0);
            }
            let (price, shares) = self.on(day);
            // A number divided by itself is exactly 1, so prices that stay as traded keep their bits.
            (price / base_price, if adjustment.volume { base_shares / shares } else { 1.0 })
        }
    }
}
