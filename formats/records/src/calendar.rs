//! `Calendar`: which days are trading days, and to which one an instant belongs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Weekday;
use serde::{Deserialize, Serialize};

use crate::time::{TimeError, Timestamp, TradingDay};

/// Why a calendar could not be made or asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarError {
    /// The text is no calendar.
    #[error("'{text}' is no calendar: expected cn_a, cn_futures or utc")]
    Kind {
        /// What was given.
        text: String,
    },
    /// The instant cannot be placed on the calendar's clock.
    #[error(transparent)]
    Time(#[from] TimeError),
}

/// The kinds of calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarKind {
    /// Chinese stock exchanges: Monday to Friday less holidays, day sessions, clock of Shanghai.
    #[default]
    CnA,
    /// Chinese futures exchanges: the same days; a night session belongs to the next trading day.
    CnFutures,
    /// Every day, midnight to midnight UTC (crypto).
    Utc,
}

/// A stretch of the local clock, in minutes after midnight, whose trading day is not its date.
#[derive(Debug, Clone, Copy)]
struct NightSession {
    /// From this minute on, the next trading day.
    evening_from: i16,
    /// Before this minute, the trading day that the evening before already belonged to.
    morning_until: i16,
}

/// Chinese futures open their night session at 21:00 (auction from 20:55) and end it by 02:30.
const CN_NIGHT: NightSession = NightSession { evening_from: 20 * 60, morning_until: 4 * 60 };

impl CalendarKind {
    const fn zone(self) -> &'static str {
        match self {
            Self::CnA | Self::CnFutures => "Asia/Shanghai",
            Self::Utc => "UTC",
        }
    }

    const fn night(self) -> Option<NightSession> {
        match self {
            Self::CnFutures => Some(CN_NIGHT),
            Self::CnA | Self::Utc => None,
        }
    }
}

impl fmt::Display for CalendarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CnA => "cn_a",
            Self::CnFutures => "cn_futures",
            Self::Utc => "utc",
        })
    }
}

impl FromStr for CalendarKind {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        match text {
            "cn_a" => Ok(Self::CnA),
            "cn_futures" => Ok(Self::CnFutures),
            "utc" => Ok(Self::Utc),
            _ => Err(CalendarError::Kind { text: text.to_owned() }),
        }
    }
}

/// A calendar: a kind and, where it is known, the list of open days. Inside the list's first and last
/// day the list decides; outside it, and without one, every Monday to Friday is open (`utc`: every day).
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    kind: CalendarKind,
    open_days: Arc<[TradingDay]>,
}

impl Calendar {
    /// A calendar that knows weekdays only.
    pub fn new(kind: CalendarKind) -> Self {
        Self { kind, open_days: Arc::default() }
    }

    /// A calendar with a list of open days, in any order.
    pub fn with_open_days(kind: CalendarKind, mut days: Vec<TradingDay>) -> Self {
        days.sort_unstable();
        days.dedup();
        Self { kind, open_days: days.into() }
    }

    /// The kind.
    pub const fn kind(&self) -> CalendarKind {
        self.kind
    }

    /// The zone of the calendar's clock.
    pub const fn zone(&self) -> &'static str {
        self.kind.zone()
    }

    /// Whether a day is a trading day.
    pub fn is_open(&self, day: TradingDay) -> bool {
        if self.kind == CalendarKind::Utc {
            return true;
        }
        match (self.open_days.first(), self.open_days.last()) {
            (Some(first), Some(last)) if (*first..=*last).contains(&day) => {
                self.open_days.binary_search(&day).is_ok()
            }
            _ => !matches!(day.date().weekday(), Weekday::Saturday | Weekday::Sunday),
        }
    }

    /// The first trading day after a day.
    pub fn next_open(&self, day: TradingDay) -> TradingDay {
        let mut next = day.next();
        while !self.is_open(next) && next < TradingDay::MAX {
            next = next.next();
        }
        next
    }

    /// The trading days after `from` and before `to`, at most `limit` of them, the latest ones.
    pub fn open_between(&self, from: TradingDay, to: TradingDay, limit: usize) -> Vec<TradingDay> {
        let mut days = Vec::new();
        let mut day = to.previous();
        while day > from && days.len() < limit {
            if self.is_open(day) {
                days.push(day);
            }
            day = day.previous();
        }
        days.reverse();
        days
    }

    /// The date on the calendar's clock at an instant, trading day or not.
    ///
    /// # Errors
    /// `Time` for an instant that no clock can show.
    pub fn date_of(&self, instant: Timestamp) -> Result<TradingDay, CalendarError> {
        let civil = instant.in_zone(self.kind.zone())?;
        let day = TradingDay::from_date(civil.date());
        Ok(day.ok_or_else(|| TimeError::OutOfRange { text: civil.to_string() })?)
    }

    /// The trading day to which an instant belongs; `None` on a day that is none.
    ///
    /// Friday 21:05 on a futures exchange belongs to Monday, and so does Saturday 01:00.
    ///
    /// # Errors
    /// `Time` for an instant that no clock can show.
    pub fn trading_day_of(&self, instant: Timestamp) -> Result<Option<TradingDay>, CalendarError> {
        let date = self.date_of(instant)?;
        let time = instant.in_zone(self.kind.zone())?.time();
        let minute = i16::from(time.hour()) * 60 + i16::from(time.minute());
        match self.kind.night() {
            Some(night) if minute >= night.evening_from => Ok(Some(self.next_open(date))),
            Some(night) if minute < night.morning_until => Ok(Some(self.next_open(date.previous()))),
            _ => Ok(self.is_open(date).then_some(date)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> TradingDay {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn weekdays_are_open_and_the_list_decides_inside_its_range() {
        let weekdays = Calendar::new(CalendarKind::CnA);
        assert!(weekdays.is_open(day("2024-10-01")) && !weekdays.is_open(day("2024-10-05")));
        let days = vec![day("2024-10-09"), day("2024-09-30"), day("2024-10-08")];
        let listed = Calendar::with_open_days(CalendarKind::CnA, days);
        assert!(!listed.is_open(day("2024-10-01")) && listed.is_open(day("2024-10-10")));
        assert_eq!(listed.next_open(day("2024-09-30")), day("2024-10-08"));
        assert_eq!(
            listed.open_between(day("2024-09-27"), day("2024-10-09"), 9),
            [day("2024-09-30"), day("2024-10-08")]
        );
    }

    #[test]
    fn a_night_session_belongs_to_the_next_trading_day() {
        let futures = Calendar::new(CalendarKind::CnFutures);
        for (instant, expected) in [
            ("2024-03-01T21:05:00+08:00", "2024-03-04"),
            ("2024-03-02T01:00:00+08:00", "2024-03-04"),
            ("2024-03-04T09:00:00+08:00", "2024-03-04"),
            ("2024-03-04T21:00:00+08:00", "2024-03-05"),
        ] {
            assert_eq!(futures.trading_day_of(at(instant)), Ok(Some(day(expected))), "{instant}");
        }
        assert_eq!(futures.trading_day_of(at("2024-03-02T10:00:00+08:00")), Ok(None));
    }

    #[test]
    fn the_day_is_the_venues_and_never_the_hosts() {
        let stocks = Calendar::new(CalendarKind::CnA);
        assert_eq!(stocks.trading_day_of(at("2024-03-03T16:30:00Z")), Ok(Some(day("2024-03-04"))));
        assert_eq!(
            Calendar::new(CalendarKind::Utc).trading_day_of(at("2024-03-03T16:30:00Z")),
            Ok(Some(day("2024-03-03")))
        );
    }
}
