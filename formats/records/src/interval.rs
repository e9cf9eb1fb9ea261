//! `Interval`: how long a bar is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why an interval was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no interval: expected a count and a unit of s, m, h, d, w or mo, such as 1m, 15m, 1h, 1d"
)]
pub struct IntervalError {
    /// What was given.
    pub text: String,
}

/// The unit of an interval. The numbers are format: they stand in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum IntervalUnit {
    /// Seconds, `s`.
    Second = 1,
    /// Minutes, `m`.
    Minute = 2,
    /// Hours, `h`.
    Hour = 3,
    /// Trading days, `d`.
    Day = 4,
    /// Weeks, `w`.
    Week = 5,
    /// Calendar months, `mo`.
    Month = 6,
}

impl IntervalUnit {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Second, "s"),
        (Self::Minute, "m"),
        (Self::Hour, "h"),
        (Self::Day, "d"),
        (Self::Week, "w"),
        (Self::Month, "mo"),
    ];

    fn text(self) -> &'static str {
        Self::ALL.iter().find(|(unit, _)| *unit == self).map_or("", |(_, text)| text)
    }
}

/// The length of a bar: a count from 1 to 999 and a unit, written `1m`, `15m`, `1h`, `1d`, `1w`, `1mo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    unit: IntervalUnit,
    count: u16,
}

impl Interval {
    /// One trading day.
    pub const DAY: Self = Self { unit: IntervalUnit::Day, count: 1 };
    /// One minute.
    pub const MINUTE: Self = Self { unit: IntervalUnit::Minute, count: 1 };

    /// An interval of a count from 1 to 999; `None` outside.
    pub fn new(count: u16, unit: IntervalUnit) -> Option<Self> {
        (1..=999).contains(&count).then_some(Self { unit, count })
    }

    /// The unit.
    pub const fn unit(self) -> IntervalUnit {
        self.unit
    }

    /// How many units.
    pub const fn count(self) -> u16 {
        self.count
    }

    /// Whether `ts` of a bar is a label (the trading day at 00:00 UTC) and not an instant.
    pub const fn is_daily_or_longer(self) -> bool {
        matches!(self.unit, IntervalUnit::Day | IntervalUnit::Week | IntervalUnit::Month)
    }

    /// The length in nanoseconds of an interval shorter than a day; `None` for days and longer.
    pub const fn nanos(self) -> Option<i64> {
        let unit = match self.unit {
            IntervalUnit::Second => 1_000_000_000,
            IntervalUnit::Minute => 60_000_000_000,
            IntervalUnit::Hour => 3_600_000_000_000,
            _ => return None,
        };
        Some(unit * self.count as i64)
    }

    /// The number that stands in keys; its order is unit, then count.
    pub const fn code(self) -> u32 {
        (self.unit as u32) << 16 | self.count as u32
    }

    /// The interval of a number from [`Self::code`].
    pub fn from_code(code: u32) -> Option<Self> {
        let unit = IntervalUnit::ALL.iter().find(|(unit, _)| *unit as u32 == code >> 16)?.0;
        Self::new(u16::try_from(code & 0xffff).ok()?, unit)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{}", self.count, self.unit.text()))
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let bad = || IntervalError { text: text.to_owned() };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
        let unit = IntervalUnit::ALL.iter().find(|(_, name)| *name == unit).ok_or_else(bad)?.0;
        let count = count.parse().map_err(|_| bad())?;
        Self::new(count, unit).ok_or_else(bad)
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_code_round_trip() {
        for text in ["1s", "1m", "15m", "1h", "4h", "1d", "3d", "1w", "1mo", "999m"] {
            let interval: Interval = text.parse().unwrap();
            assert_eq!(interval.to_string(), text);
            assert_eq!(Interval::from_code(interval.code()), Some(interval));
        }
        for text in ["", "m", "0m", "1000m", "1M", "1x", "-1m", "1 m", "１m"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
        assert_eq!(Interval::from_code(0), None);
    }
}
