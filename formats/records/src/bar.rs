//! `Bar` and the series it belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::instrument::InstrumentId;
use crate::interval::Interval;
use crate::time::{Timestamp, TradingDay};

/// Why a bar was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BarError {
    /// NaN or an infinity.
    #[error("{field} is {value}, not a finite number")]
    NotFinite {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
    },
    /// A volume or open interest below zero.
    #[error("{field} is {value}, below zero")]
    Negative {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
    },
    /// A bar of one day or longer whose `ts` is not the label of its trading day.
    #[error("ts {ts} is not the label of the trading day {trading_day} (the day at 00:00 UTC)")]
    Label {
        /// What was given as `ts`.
        ts: Timestamp,
        /// What was given as the trading day.
        trading_day: TradingDay,
    },
    /// The adjustment is none that is known.
    #[error("'{text}' is no adjustment: expected raw, qfq or hfq")]
    Adjustment {
        /// What was given.
        text: String,
    },
    /// Two bars of one run have the same `ts` and different content.
    #[error("two different bars at {ts}")]
    Duplicate {
        /// The instant that stands twice.
        ts: Timestamp,
    },
}

/// How the prices of a series were adjusted at their source. Barkeeper's own prices are `raw`, as
/// traded; adjusted series are kept apart and never mix. The numbers are format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum AdjustmentTag {
    /// As traded.
    #[default]
    Raw = 0,
    /// Adjusted forward (前复权): today's price is as traded, earlier ones are scaled.
    Qfq = 1,
    /// Adjusted backward (后复权): the first price is as traded, later ones are scaled.
    Hfq = 2,
}

impl AdjustmentTag {
    /// All tags.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Qfq, Self::Hfq];

    /// `raw`, `qfq` or `hfq`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qfq => "qfq",
            Self::Hfq => "hfq",
        }
    }

    /// The number that stands in keys.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The tag of a number from [`Self::code`].
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| tag.code() == code)
    }
}

impl fmt::Display for AdjustmentTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AdjustmentTag {
    type Err = BarError;

    fn from_str(text: &str) -> Result<Self, BarError> {
        let found = Self::ALL.into_iter().find(|tag| tag.as_str() == text);
        found.ok_or_else(|| BarError::Adjustment { text: text.to_owned() })
    }
}

/// A series of bars: one instrument, one interval, one adjustment. Orders by interval, adjustment,
/// instrument, as the store's keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The length of a bar.
    pub interval: Interval,
    /// How the prices were adjusted.
    pub adjustment: AdjustmentTag,
    /// What is traded.
    pub instrument: InstrumentId,
}

impl SeriesKey {
    /// The unadjusted daily bars of an instrument.
    pub const fn daily(instrument: InstrumentId) -> Self {
        Self { interval: Interval::DAY, adjustment: AdjustmentTag::Raw, instrument }
    }
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.instrument, self.interval, self.adjustment)
    }
}

/// One bar (kline). All numbers are finite; zero is never negative zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Intraday: the instant the bar starts, UTC. One day and longer: its trading day at 00:00 UTC, a label.
    pub ts: Timestamp,
    /// The venue's day. A night session belongs to the next one.
    pub trading_day: TradingDay,
    /// First price, in the quote currency.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares (A-share stocks and funds), contracts (futures) or base units (crypto); never negative.
    pub volume: f64,
    /// In the quote currency, never in thousands.
    pub turnover: f64,
    /// Contracts; 0 where the venue has none.
    pub open_interest: f64,
}

impl Bar {
    /// The names of the seven numbers, in the order of [`Bar::numbers`].
    pub const NUMBERS: [&'static str; 7] =
        ["open", "high", "low", "close", "volume", "turnover", "open_interest"];

    /// The seven numbers, in a fixed order that is format.
    pub const fn numbers(&self) -> [f64; 7] {
        [self.open, self.high, self.low, self.close, self.volume, self.turnover, self.open_interest]
    }

    /// A bar of seven numbers in the order of [`Bar::NUMBERS`], unchecked.
    pub const fn from_numbers(ts: Timestamp, trading_day: TradingDay, n: [f64; 7]) -> Self {
        let [open, high, low, close, volume, turnover, open_interest] = n;
        Self { ts, trading_day, open, high, low, close, volume, turnover, open_interest }
    }

    /// Checks a bar and turns every -0.0 into 0.0.
    ///
    /// # Errors
    /// `NotFinite` for NaN and infinities, `Negative` for a volume or open interest below zero, `Label`
    /// where a bar of one day or longer does not carry its trading day's label.
    pub fn born(self, interval: Interval) -> Result<Self, BarError> {
        let mut numbers = self.numbers();
        for (value, field) in numbers.iter_mut().zip(Self::NUMBERS) {
            if !value.is_finite() {
                return Err(BarError::NotFinite { field, value: *value });
            }
            // Adding +0.0 turns -0.0 into 0.0 and leaves every other number as it is.
            *value += 0.0;
        }
        for (value, field) in [(self.volume, "volume"), (self.open_interest, "open_interest")] {
            if value < 0.0 {
                return Err(BarError::Negative { field, value });
            }
        }
        if interval.is_daily_or_longer() && self.ts != self.trading_day.label() {
            return Err(BarError::Label { ts: self.ts, trading_day: self.trading_day });
        }
        Ok(Self::from_numbers(self.ts, self.trading_day, numbers))
    }

    /// Whether both bars hold the same bits.
    pub fn same_content(&self, other: &Self) -> bool {
        self.ts == other.ts
            && self.trading_day == other.trading_day
            && self.numbers().map(f64::to_bits) == other.numbers().map(f64::to_bits)
    }
}

/// What is odd about the bars of a run and yet real: suspended days, negative adjusted prices,
/// funding rates. Counts of bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quality {
    /// A price below zero.
    pub negative_price: u64,
    /// A price of zero.
    pub zero_price: u64,
    /// A high below, or a low above, another price of the bar.
    pub price_order: u64,
    /// No volume.
    pub zero_volume: u64,
}

impl Quality {
    /// Counts what is odd about one bar.
    pub fn note(&mut self, bar: &Bar) {
        let prices = [bar.open, bar.high, bar.low, bar.close];
        self.negative_price += u64::from(prices.iter().any(|p| *p < 0.0));
        self.zero_price += u64::from(prices.contains(&0.0));
        let ordered = prices.iter().all(|p| *p <= bar.high && *p >= bar.low);
        self.price_order += u64::from(!ordered);
        self.zero_volume += u64::from(bar.volume == 0.0);
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.negative_price += other.negative_price;
        self.zero_price += other.zero_price;
        self.price_order += other.price_order;
        self.zero_volume += other.zero_volume;
    }
}

/// Bars of one series in the order of `ts`, each checked, none twice.
#[derive(Debug, Clone, PartialEq)]
pub struct BarRun {
    series: SeriesKey,
    bars: Vec<Bar>,
    quality: Quality,
}

impl BarRun {
    /// Checks the bars, sorts them by `ts` and drops exact repetitions.
    ///
    /// # Errors
    /// What [`Bar::born`] refuses, with the bar's place in `bars`; `Duplicate` for two different bars of one `ts`.
    pub fn new(series: SeriesKey, bars: Vec<Bar>) -> Result<Self, (usize, BarError)> {
        let mut born = Vec::with_capacity(bars.len());
        let mut quality = Quality::default();
        for (row, bar) in bars.into_iter().enumerate() {
            let bar = bar.born(series.interval).map_err(|error| (row, error))?;
            born.push((row, bar));
        }
        born.sort_by_key(|(_, bar)| bar.ts);
        let mut sorted: Vec<Bar> = Vec::with_capacity(born.len());
        for (row, bar) in born {
            match sorted.last() {
                Some(last) if last.same_content(&bar) => {}
                Some(last) if last.ts == bar.ts => return Err((row, BarError::Duplicate { ts: bar.ts })),
                _ => {
                    quality.note(&bar);
                    sorted.push(bar);
                }
            }
        }
        Ok(Self { series, bars: sorted, quality })
    }

    /// The series.
    pub const fn series(&self) -> SeriesKey {
        self.series
    }

    /// The bars, ascending by `ts`, no `ts` twice.
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// The bars themselves, ascending by `ts`, no `ts` twice.
    pub fn into_bars(self) -> Vec<Bar> {
        self.bars
    }

    /// What is odd about them.
    pub const fn quality(&self) -> Quality {
        self.quality
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(day: &str, close: f64) -> Bar {
        let day: TradingDay = day.parse().unwrap();
        Bar::from_numbers(day.label(), day, [close, close, close, close, 100.0, 1.0, 0.0])
    }

    fn series() -> SeriesKey {
        SeriesKey::daily("000001.SZ".parse().unwrap())
    }

    #[test]
    fn birth_refuses_what_is_no_number_and_keeps_what_is_only_odd() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let wrong = Bar { high: value, ..bar("2024-01-02", 1.0) };
            assert!(matches!(wrong.born(Interval::DAY), Err(BarError::NotFinite { field: "high", .. })));
        }
        let wrong = Bar { volume: -1.0, ..bar("2024-01-02", 1.0) };
        assert!(matches!(wrong.born(Interval::DAY), Err(BarError::Negative { field: "volume", .. })));
        let odd = Bar { low: -3.0, open: -0.0, volume: 0.0, ..bar("2024-01-02", 1.0) };
        let born = odd.born(Interval::DAY).unwrap();
        assert_eq!(born.open.to_bits(), 0.0_f64.to_bits());
        let run = BarRun::new(series(), vec![odd]).unwrap();
        let quality = run.quality();
        assert_eq!((quality.negative_price, quality.zero_price, quality.zero_volume), (1, 1, 1));
    }

    #[test]
    fn a_daily_bar_carries_its_label_and_a_minute_bar_an_instant() {
        let day: TradingDay = "2024-01-02".parse().unwrap();
        let late = Bar { ts: Timestamp::from_nanos(day.label().nanos() + 1), ..bar("2024-01-02", 1.0) };
        assert!(matches!(late.born(Interval::DAY), Err(BarError::Label { .. })));
        assert!(late.born(Interval::MINUTE).is_ok());
    }

    #[test]
    fn a_run_is_sorted_and_two_contents_of_one_key_are_an_error() {
        let run = BarRun::new(
            series(),
            vec![bar("2024-01-03", 2.0), bar("2024-01-02", 1.0), bar("2024-01-03", 2.0)],
        );
        let days: Vec<String> = run.unwrap().bars().iter().map(|b| b.trading_day.to_string()).collect();
        assert_eq!(days, ["2024-01-02", "2024-01-03"]);
        let error = BarRun::new(series(), vec![bar("2024-01-03", 2.0), bar("2024-01-03", 2.5)]).unwrap_err();
        assert!(matches!(error, (1, BarError::Duplicate { .. })));
    }
}
