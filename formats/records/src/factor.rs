//! `FactorEvent`: what happened to a share on an ex-day, so that prices before and after can be compared.

use serde::{Deserialize, Serialize};

use crate::instrument::InstrumentId;
use crate::time::TradingDay;

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FactorError {
    /// NaN or an infinity.
    #[error("{field} is {value}, not a finite number")]
    NotFinite {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
    },
    /// A number outside its range.
    #[error("{field} is {value}, expected {expected}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What it has to be.
        expected: &'static str,
    },
    /// An event that takes more than the share is worth.
    #[error(
        "the corporate action of {instrument} on {ex_day} leaves no price of the close before it, {close}: \
         expected less cash, or the close corrected first"
    )]
    Worth {
        /// Whose share.
        instrument: InstrumentId,
        /// On which ex-day.
        ex_day: TradingDay,
        /// The last close before it.
        close: f64,
    },
    /// An event that changes nothing.
    #[error("nothing is said to happen: expected cash, bonus, rights or a factor")]
    Nothing,
}

/// What happened to one share of an instrument on one ex-day. Stored prices stay as traded; readers who
/// ask for it get them adjusted by these events.
///
/// The price that compares with a close `c` of the day before is `(c - cash + rights * rights_price) /
/// (1 + bonus + rights)`, unless the source states a `factor`: then it is `c / factor`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FactorEvent {
    /// Whose share.
    pub instrument: InstrumentId,
    /// The first trading day without the right; one event a day, which sums up all that happened.
    pub ex_day: TradingDay,
    /// Cash for one share, in the quote currency, before tax; at least 0. Sources that state it for ten
    /// shares are divided by ten.
    pub cash: f64,
    /// New shares for one share that cost nothing (送股, 转增): 0.3 for 3 for 10, 9 for a split of 1 into
    /// 10, -0.9 for 10 made into 1; above -1.
    pub bonus: f64,
    /// New shares for one share that are paid for (配股); at least 0.
    pub rights: f64,
    /// The price of one of them, at least 0.
    pub rights_price: f64,
    /// The factor as the source states it: by how much earlier prices are to be divided; above 0. A step of
    /// a cumulative backward factor is its value from the ex-day on, divided by its value before.
    pub factor: Option<f64>,
}

impl FactorEvent {
    /// The names of the four terms, in the order of [`FactorEvent::terms`].
    pub const TERMS: [&'static str; 4] = ["cash", "bonus", "rights", "rights_price"];

    /// An event at which nothing happens yet, to be filled in.
    pub const fn on(instrument: InstrumentId, ex_day: TradingDay) -> Self {
        Self { instrument, ex_day, cash: 0.0, bonus: 0.0, rights: 0.0, rights_price: 0.0, factor: None }
    }

    /// The four terms, in a fixed order that is format.
    pub const fn terms(&self) -> [f64; 4] {
        [self.cash, self.bonus, self.rights, self.rights_price]
    }

    /// Checks an event and turns every -0.0 into 0.0.
    ///
    /// # Errors
    /// `NotFinite`, `Range` for a negative term, a bonus of -1 and below or a factor of 0 and below,
    /// a price of rights that there are not or more shares than can be counted, `Nothing` where nothing
    /// happens.
    pub fn born(self) -> Result<Self, FactorError> {
        let mut terms = self.terms();
        for (value, field) in terms.iter_mut().zip(Self::TERMS) {
            if !value.is_finite() {
                return Err(FactorError::NotFinite { field, value: *value });
            }
            let (lowest, expected) =
                if field == "bonus" { (-1.0, "a number above -1") } else { (0.0, "at least 0") };
            if *value < lowest || (field == "bonus" && *value <= lowest) {
                return Err(FactorError::Range { field, value: *value, expected });
            }
            // Adding +0.0 turns -0.0 into 0.0 and leaves every other number as it is.
            *value += 0.0;
        }
        if let Some(value) = self.factor {
            if !value.is_finite() {
                return Err(FactorError::NotFinite { field: "factor", value });
            }
            if value <= 0.0 {
                return Err(FactorError::Range { field: "factor", value, expected: "a number above 0" });
            }
        }
        let [cash, bonus, rights, rights_price] = terms;
        let shares = 1.0 + bonus + rights;
        if !(shares.is_finite() && (rights * rights_price).is_finite()) {
            let expected = "a number of shares that can be counted";
            return Err(FactorError::Range { field: "rights", value: rights, expected });
        }
        if rights == 0.0 && rights_price != 0.0 && (cash != 0.0 || bonus != 0.0 || self.factor.is_some()) {
            let (field, expected) = ("rights_price", "0 where there are no rights");
            return Err(FactorError::Range { field, value: rights_price, expected });
        }
        if self.factor.is_none() && cash == 0.0 && bonus == 0.0 && rights == 0.0 {
            return Err(FactorError::Nothing);
        }
        Ok(Self { cash, bonus, rights, rights_price, ..self })
    }

    /// Checks that an event is of a size that companies decide: at most 100 new shares for one, no more than 1,000
    /// shares made into one, and a factor from 0.001 to 1000. What lies beyond is a wrong unit or a slip.
    ///
    /// # Errors
    /// `Range`.
    pub fn plausible(&self) -> Result<(), FactorError> {
        let range = |field, value, expected| Err(FactorError::Range { field, value, expected });
        match *self {
            Self { bonus, .. } if !(-0.999..=100.0).contains(&bonus) => {
                range("bonus", bonus, "new shares for one share, from -0.999 to 100")
            }
            Self { rights, .. } if rights > 100.0 => {
                range("rights", rights, "new shares for one share, at most 100")
            }
            Self { factor: Some(factor), .. } if !(0.001..=1_000.0).contains(&factor) => {
                range("factor", factor, "a number from 0.001 to 1000")
            }
            _ => Ok(()),
        }
    }

    /// By how much earlier prices are to be divided, where `close` is the last price before the ex-day.
    /// `None` where the terms make no price of it: more cash than the share is worth.
    pub fn price_step(&self, close: f64) -> Option<f64> {
        let step = self.factor.unwrap_or_else(|| {
            let reference =
                (close - self.cash + self.rights * self.rights_price) / (1.0 + self.bonus + self.rights);
            close / reference
        });
        (step.is_finite() && step > 0.0).then_some(step)
    }

    /// Into how many shares one share turned; the factor where the source states nothing else.
    pub fn share_step(&self) -> f64 {
        match self.factor {
            Some(factor) if self.terms() == [0.0; 4] => factor,
            _ => 1.0 + self.bonus + self.rights,
        }
    }

    /// Whether both events hold the same bits.
    pub fn same_content(&self, other: &Self) -> bool {
        self.instrument == other.instrument
            && self.ex_day == other.ex_day
            && self.terms().map(f64::to_bits) == other.terms().map(f64::to_bits)
            && self.factor.map(f64::to_bits) == other.factor.map(f64::to_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> FactorEvent {
        FactorEvent::on("600000.SH".parse().unwrap(), "2024-06-20".parse().unwrap())
    }

    #[test]
    fn birth_refuses_what_cannot_happen() {
        assert_eq!(event().born(), Err(FactorError::Nothing));
        assert_eq!(FactorEvent { rights_price: 3.0, ..event() }.born(), Err(FactorError::Nothing));
        let wrong = [
            FactorEvent { cash: -0.1, ..event() },
            FactorEvent { bonus: -1.0, ..event() },
            FactorEvent { rights: -0.3, ..event() },
            FactorEvent { cash: f64::NAN, ..event() },
            FactorEvent { cash: 0.5, rights_price: 3.0, ..event() },
            FactorEvent { bonus: f64::MAX, rights: f64::MAX, ..event() },
            FactorEvent { rights: 1e200, rights_price: 1e200, ..event() },
            FactorEvent { factor: Some(0.0), ..event() },
            FactorEvent { factor: Some(f64::INFINITY), ..event() },
        ];
        for wrong in wrong {
            assert!(wrong.born().is_err(), "{wrong:?}");
        }
        let born = FactorEvent { cash: 0.5, bonus: -0.0, ..event() }.born().unwrap();
        assert_eq!(born.bonus.to_bits(), 0.0_f64.to_bits());
        assert!(FactorEvent { bonus: -0.9, ..event() }.born().is_ok());
    }

    #[test]
    fn what_no_company_decides_is_not_plausible() {
        for (bonus, rights, factor, field) in [
            (100.5, 0.0, None, "bonus"),
            (-0.9995, 0.0, None, "bonus"),
            (0.0, 101.0, None, "rights"),
            (0.0, 0.0, Some(1_000.5), "factor"),
            (0.0, 0.0, Some(0.0009), "factor"),
        ] {
            let found = FactorEvent { bonus, rights, factor, ..event() }.plausible();
            assert!(matches!(found, Err(FactorError::Range { field: of, .. }) if of == field), "{found:?}");
        }
        for (bonus, rights, factor) in [(100.0, 0.0, None), (-0.99, 100.0, None), (0.0, 0.0, Some(0.001))] {
            assert_eq!(FactorEvent { bonus, rights, factor, ..event() }.plausible(), Ok(()));
        }
    }

    #[test]
    fn steps_are_those_of_the_exchange() {
        // 10 shares: 3.5 cash, 3 bonus shares, 2 rights at 5.00; close 12.00: (120 - 3.5 + 10) / 15.
        let event = FactorEvent { cash: 0.35, bonus: 0.3, rights: 0.2, rights_price: 5.0, ..event() };
        let step = event.price_step(12.0).unwrap();
        assert!((12.0 / step - 126.5 / 15.0).abs() < 1e-12);
        assert!((event.share_step() - 1.5).abs() < 1e-15);
        assert_eq!(FactorEvent { cash: 12.0, ..event }.price_step(11.0), None);
        let stated = FactorEvent { factor: Some(2.0), ..FactorEvent::on(event.instrument, event.ex_day) };
        assert_eq!((stated.price_step(12.0), stated.share_step()), (Some(2.0), 2.0));
    }
}
