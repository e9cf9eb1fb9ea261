//! Values of the command line that records have no words for: a day or an instant, a side of a range.

use std::str::FromStr;

use barkeeper_records::{InstrumentId, Interval, TimeError, Timestamp, TradingDay};
use clap::ValueEnum;

/// `YYYY-MM-DD`, RFC 3339, or `YYYY-MM-DD HH:MM:SS` on the clock of the venue that is meant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum When {
    Day(TradingDay),
    Instant(Timestamp),
    Local(TradingDay, String),
}

impl FromStr for When {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        if let Ok(day) = text.parse() {
            return Ok(Self::Day(day));
        }
        if let Ok(instant) = text.parse() {
            return Ok(Self::Instant(instant));
        }
        let split = text.split_once([' ', 'T']);
        let local = split.and_then(|(day, time)| Some((day.parse::<TradingDay>().ok()?, time)));
        match local {
            // Whether the time is one is seen with the zone; its shape is seen here.
            Some((day, time)) if format!("1970-01-01T{time}Z").parse::<Timestamp>().is_ok() => {
                Ok(Self::Local(day, time.to_owned()))
            }
            _ => Err(TimeError::Instant { text: text.to_owned() }),
        }
    }
}

impl When {
    /// The instant on a clock; a day begins at midnight.
    pub(crate) fn instant(&self, zone: &str) -> Result<Timestamp, TimeError> {
        match self {
            Self::Instant(instant) => Ok(*instant),
            Self::Day(day) => on_clock(*day, "00:00:00", zone),
            Self::Local(day, time) => on_clock(*day, time, zone),
        }
    }

    /// The first instant behind it: the next midnight for a day, the next nanosecond for an instant.
    pub(crate) fn behind(&self, zone: &str) -> Result<Timestamp, TimeError> {
        match self {
            Self::Day(day) => on_clock(day.next(), "00:00:00", zone),
            _ => Ok(Timestamp::from_nanos(self.instant(zone)?.nanos().saturating_add(1))),
        }
    }
}

fn on_clock(day: TradingDay, time: &str, zone: &str) -> Result<Timestamp, TimeError> {
    let as_utc: Timestamp = format!("{day}T{time}Z").parse()?;
    Timestamp::from_civil(as_utc.in_zone("UTC")?, zone)
}

/// The first and the last `ts` of a range of bars: labels for daily bars, instants on the venue's clock else.
pub(crate) fn bar_range(
    interval: Interval,
    instrument: InstrumentId,
    from: Option<&When>,
    to: Option<&When>,
) -> Result<(Timestamp, Timestamp), TimeError> {
    let zone = if interval.is_daily_or_longer() { "UTC" } else { instrument.zone() };
    let first = from.map_or(Ok(Timestamp::MIN), |when| when.instant(zone))?;
    let behind = to.map_or(Ok(Timestamp::MAX), |when| when.behind(zone))?;
    let last = if to.is_some() { behind.nanos().saturating_sub(1) } else { behind.nanos() };
    Ok((first, Timestamp::from_nanos(last)))
}

/// What an import does with rows that are stored with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Conflict {
    /// Say how many, and write nothing of what shares the commit
    #[default]
    Stop,
    /// Take the new rows; of bars, ticks and market trades the old ones stay as revisions
    Replace,
    /// Keep the stored rows
    Keep,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(text: &str) -> When {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_read_on_the_venues_clock() {
        let shanghai = "Asia/Shanghai";
        for text in [
            "2024-01-02T01:31:00Z",
            "2024-01-02T09:31:00+08:00",
            "2024-01-02 09:31:00",
            "2024-01-02T09:31:00",
        ] {
            assert_eq!(when(text).instant(shanghai).unwrap().to_string(), "2024-01-02T01:31:00Z", "{text}");
        }
        assert_eq!(when("20240102").instant(shanghai).unwrap().to_string(), "2024-01-01T16:00:00Z");
        for text in ["", "now", "2024-01-02 9:31", "2024-13-02", "2024-01-02 25:00:00"] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_of_days_holds_its_last_day() {
        let stock: InstrumentId = "000001.SZ".parse().unwrap();
        let day = when("2024-01-02");
        let (from, to) = bar_range(Interval::DAY, stock, Some(&day), Some(&day)).unwrap();
        let label: TradingDay = "2024-01-02".parse().unwrap();
        assert!(from == label.label() && to > from && to < label.next().label());
        let (from, to) = bar_range(Interval::MINUTE, stock, Some(&day), Some(&day)).unwrap();
        assert_eq!(
            (from.to_string().as_str(), to.to_string().as_str()),
            ("2024-01-01T16:00:00Z", "2024-01-02T15:59:59.999999999Z")
        );
        let all = bar_range(Interval::DAY, stock, None, None).unwrap();
        assert_eq!(all, (Timestamp::MIN, Timestamp::MAX));
    }
}
