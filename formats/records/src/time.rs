//! Points in time: `Timestamp`, an instant in UTC nanoseconds, and `TradingDay`, a venue's day.

use std::fmt;
use std::str::FromStr;

use jiff::civil;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Nanoseconds in a day.
pub(crate) const DAY_NS: i64 = 86_400_000_000_000;

/// Why a time or a day could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// The text is no day in one of the accepted forms.
    #[error("'{text}' is no day: expected YYYY-MM-DD or YYYYMMDD")]
    Day {
        /// What was given.
        text: String,
    },
    /// The text is no instant in RFC 3339.
    #[error("'{text}' is no instant: expected RFC 3339, such as 2024-01-02T09:31:00+08:00")]
    Instant {
        /// What was given.
        text: String,
    },
    /// The value lies outside the years 1678 to 2261, which 64-bit nanoseconds can hold.
    #[error("{text} lies outside the years 1678 to 2261")]
    OutOfRange {
        /// What was given.
        text: String,
    },
    /// The zone is not in the time-zone database.
    #[error("'{zone}' is no time zone of the IANA database")]
    Zone {
        /// What was given.
        zone: String,
    },
}

/// An instant: nanoseconds since 1970-01-01T00:00:00Z, from the year 1678 to 2261.
///
/// For bars of one day and longer it is a label, the trading day at 00:00 UTC, and not an instant.
/// Shown and read as RFC 3339 in UTC with as many fractional digits as are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant that lies this many nanoseconds after the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The instant that lies this many milliseconds after the epoch; `None` beyond the year 2261.
    pub const fn from_millis(millis: i64) -> Option<Self> {
        match millis.checked_mul(1_000_000) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The civil date and time of this instant in a zone of the IANA database.
    ///
    /// # Errors
    /// `Zone` where the database has no such zone.
    pub fn in_zone(self, zone: &str) -> Result<civil::DateTime, TimeError> {
        let zone_of = TimeZone::get(zone).map_err(|_| TimeError::Zone { zone: zone.to_owned() })?;
        let instant = jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .map_err(|_| TimeError::OutOfRange { text: self.0.to_string() })?;
        Ok(zone_of.to_datetime(instant))
    }

    /// The instant of a civil date and time in a zone; of two candidates in a fold the earlier one.
    ///
    /// # Errors
    /// `Zone` for an unknown zone, `OutOfRange` for a time that nanoseconds cannot hold.
    pub fn from_civil(civil: civil::DateTime, zone: &str) -> Result<Self, TimeError> {
        let zone_of = TimeZone::get(zone).map_err(|_| TimeError::Zone { zone: zone.to_owned() })?;
        let out = |_| TimeError::OutOfRange { text: civil.to_string() };
        let instant = zone_of.to_ambiguous_timestamp(civil).earlier().map_err(out)?;
        i64::try_from(instant.as_nanosecond())
            .map(Self)
            .map_err(|_| TimeError::OutOfRange { text: civil.to_string() })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let instant: jiff::Timestamp =
            text.parse().map_err(|_| TimeError::Instant { text: text.to_owned() })?;
        i64::try_from(instant.as_nanosecond())
            .map(Self)
            .map_err(|_| TimeError::OutOfRange { text: text.to_owned() })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A venue's trading day, without a zone: days since 1970-01-01, years 1678 to 2261.
///
/// Shown as `YYYY-MM-DD`; read as `YYYY-MM-DD`, `YYYY/MM/DD` or `YYYYMMDD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TradingDay(i32);

impl TradingDay {
    /// The first day whose start a `Timestamp` can hold (1677-09-22).
    pub const MIN: Self = Self(-106_751);
    /// The last day whose start a `Timestamp` can hold (2262-04-11).
    pub const MAX: Self = Self(106_751);

    /// The day of a calendar date; `None` where there is no such date or it lies outside the range.
    pub fn from_ymd(year: i16, month: i8, day: i8) -> Option<Self> {
        Self::from_date(civil::Date::new(year, month, day).ok()?)
    }

    /// The day that lies this many days after 1970-01-01; `None` outside the range.
    pub fn from_days(days: i32) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&days).then_some(Self(days))
    }

    /// The day of a number such as 20240131; `None` where it is no date.
    pub fn from_yyyymmdd(number: u32) -> Option<Self> {
        let year = i16::try_from(number / 10_000).ok()?;
        let month = i8::try_from(number / 100 % 100).ok()?;
        let day = i8::try_from(number % 100).ok()?;
        Self::from_ymd(year, month, day)
    }

    /// The day of a civil date; `None` outside the range.
    pub fn from_date(date: civil::Date) -> Option<Self> {
        let epoch = civil::date(1970, 1, 1);
        let days = epoch.until(date).ok()?.get_days();
        Self::from_days(days)
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The label that daily bars of this day carry: the day at 00:00 UTC.
    pub const fn label(self) -> Timestamp {
        Timestamp(self.0 as i64 * DAY_NS)
    }

    /// The day in which an instant lies in UTC; `None` outside the range.
    pub fn of_utc(instant: Timestamp) -> Option<Self> {
        Self::from_days(i32::try_from(instant.nanos().div_euclid(DAY_NS)).ok()?)
    }

    /// The civil date.
    pub fn date(self) -> civil::Date {
        let span = jiff::Span::new().days(self.0);
        civil::date(1970, 1, 1).saturating_add(span)
    }

    /// The day after; saturates at the end of the range.
    #[must_use]
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(Self::MAX.0))
    }

    /// The day before; saturates at the start of the range.
    #[must_use]
    pub fn previous(self) -> Self {
        Self((self.0 - 1).max(Self::MIN.0))
    }
}

impl fmt::Display for TradingDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date())
    }
}

impl FromStr for TradingDay {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError::Day { text: text.to_owned() };
        let mut digits = String::with_capacity(8);
        let separators: Vec<char> = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        let shaped = match separators.as_slice() {
            [] => text.len() == 8,
            ['-', '-'] | ['/', '/'] => {
                let lengths: Vec<usize> = text.split(['-', '/']).map(str::len).collect();
                lengths == [4, 2, 2]
            }
            _ => false,
        };
        if !shaped {
            return Err(bad());
        }
        digits.extend(text.chars().filter(char::is_ascii_digit));
        let number: u32 = digits.parse().map_err(|_| bad())?;
        Self::from_yyyymmdd(number).ok_or_else(bad)
    }
}

impl Serialize for TradingDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TradingDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_in_every_accepted_form_and_no_other() {
        let day = TradingDay::from_ymd(2021, 5, 14).unwrap();
        for text in ["2021-05-14", "20210514", "2021/05/14"] {
            assert_eq!(text.parse::<TradingDay>(), Ok(day), "{text}");
        }
        for text in ["2021-5-14", "20210532", "2021-05/14", "210514", "", "2021-02-30", "+2021514"] {
            assert!(text.parse::<TradingDay>().is_err(), "{text}");
        }
        assert_eq!(day.to_string(), "2021-05-14");
        assert_eq!(day.label().to_string(), "2021-05-14T00:00:00Z");
    }

    #[test]
    fn the_range_of_days_is_the_range_of_labels() {
        assert!(TradingDay::MAX.label().nanos() > 0 && TradingDay::MIN.label().nanos() < 0);
        assert_eq!(TradingDay::from_days(106_752), None);
        assert_eq!(TradingDay::of_utc(TradingDay::MIN.label()), Some(TradingDay::MIN));
    }

    #[test]
    fn civil_time_goes_through_the_zone() {
        let civil = civil::date(2025, 1, 2).at(9, 31, 5, 0);
        let instant = Timestamp::from_civil(civil, "Asia/Shanghai").unwrap();
        assert_eq!(instant.to_string(), "2025-01-02T01:31:05Z");
        assert_eq!(instant.in_zone("Asia/Shanghai").unwrap(), civil);
        assert!(matches!(instant.in_zone("Mars/Base"), Err(TimeError::Zone { .. })));
    }
}
