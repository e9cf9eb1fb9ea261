//! When a bar became known: its end, or the close of the session that ended it.

use jiff::civil::{self, Weekday};

use crate::instrument::InstrumentId;
use crate::interval::{Interval, IntervalUnit};
use crate::time::{TimeError, Timestamp, TradingDay};
use crate::venue::Venue;

impl Interval {
    /// The instant at which a bar of an instrument became known: nobody could have traded on it before.
    ///
    /// Bars shorter than a day: `ts` and the interval. Daily bars: the close of the venue's day session
    /// on the trading day ([`Venue::close_of`]), for venues that never close midnight. Bars of several
    /// days: the close of the last day that the bar may reach to, because sources label weeks and months
    /// by their first or by their last day: the end of the calendar week or month of the trading day, of
    /// `n` days the last of `n` days on which the venue may trade.
    ///
    /// # Errors
    /// `OutOfRange` where it lies beyond the year 2261.
    pub fn known_at(
        self,
        instrument: &InstrumentId,
        ts: Timestamp,
        trading_day: TradingDay,
    ) -> Result<Timestamp, TimeError> {
        let out = || TimeError::OutOfRange { text: ts.to_string() };
        if let Some(nanos) = self.nanos() {
            return ts.nanos().checked_add(nanos).map(Timestamp::from_nanos).ok_or_else(out);
        }
        let zone = instrument.zone();
        let day = self.last_day(trading_day, zone == "UTC");
        let minutes = Venue::close_of(instrument.venue());
        let midnight = if minutes >= 24 * 60 { day.next() } else { day };
        let minutes = minutes % (24 * 60);
        let time = civil::time(hour_or_minute(minutes / 60), hour_or_minute(minutes % 60), 0, 0);
        Timestamp::from_civil(midnight.date().to_datetime(time), zone)
    }

    /// The last day that a bar with a trading day may reach to.
    fn last_day(self, day: TradingDay, every_day: bool) -> TradingDay {
        let open = |day: TradingDay| {
            every_day || !matches!(day.date().weekday(), Weekday::Saturday | Weekday::Sunday)
        };
        let mut last = day;
        match self.unit() {
            IntervalUnit::Week => {
                let weekday = i32::from(day.date().weekday().to_monday_zero_offset());
                let days = 6 - weekday + 7 * (i32::from(self.count()) - 1);
                last = TradingDay::from_days(day.days().saturating_add(days)).unwrap_or(TradingDay::MAX);
                while !open(last) && last > day {
                    last = last.previous();
                }
            }
            IntervalUnit::Month => {
                let months = jiff::Span::new().months(i32::from(self.count()) - 1);
                let date = day.date().first_of_month().saturating_add(months).last_of_month();
                last = TradingDay::from_date(date).unwrap_or(TradingDay::MAX);
                while !open(last) && last > day {
                    last = last.previous();
                }
            }
            _ => {
                for _ in 1..self.count() {
                    last = last.next();
                    while !open(last) && last < TradingDay::MAX {
                        last = last.next();
                    }
                }
            }
        }
        last
    }
}

fn hour_or_minute(number: u16) -> i8 {
    i8::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(interval: &str, instrument: &str, ts: &str, day: &str) -> String {
        let interval: Interval = interval.parse().unwrap();
        let day: TradingDay = day.parse().unwrap();
        let ts = if ts.is_empty() { day.label() } else { ts.parse().unwrap() };
        interval.known_at(&instrument.parse().unwrap(), ts, day).unwrap().to_string()
    }

    #[test]
    fn a_minute_is_known_at_its_end_and_a_day_at_the_close() {
        // A night session's minute, before the close of the day that it belongs to.
        assert_eq!(known("1m", "rb2410.SHFE", "2024-03-01T13:05:00Z", "2024-03-04"), "2024-03-01T13:06:00Z");
        assert_eq!(known("1h", "000001.SZ", "2024-03-01T01:30:00Z", "2024-03-01"), "2024-03-01T02:30:00Z");
        for (instrument, expected) in [
            ("000001.SZ", "2024-03-04T07:00:00Z"),
            ("rb2410.SHFE", "2024-03-04T07:00:00Z"),
            ("IF2403.CFFEX", "2024-03-04T07:15:00Z"),
            ("00700.HK", "2024-03-04T08:10:00Z"),
            ("AAPL.NASDAQ", "2024-03-04T21:00:00Z"),
            ("BTCUSDT.BINANCE", "2024-03-05T00:00:00Z"),
            ("X.NOWHERE", "2024-03-05T00:00:00Z"),
        ] {
            assert_eq!(known("1d", instrument, "", "2024-03-04"), expected, "{instrument}");
        }
        // Summer time in New York.
        assert_eq!(known("1d", "AAPL.NASDAQ", "", "2024-07-01"), "2024-07-01T20:00:00Z");
    }

    #[test]
    fn weeks_and_months_are_known_when_they_are_over_whichever_day_labels_them() {
        for label in ["2024-03-04", "2024-03-06", "2024-03-08"] {
            assert_eq!(known("1w", "000001.SZ", "", label), "2024-03-08T07:00:00Z", "{label}");
            assert_eq!(known("1w", "BTCUSDT.BINANCE", "", label), "2024-03-11T00:00:00Z", "{label}");
        }
        for label in ["2024-03-01", "2024-03-29", "2024-03-31"] {
            assert_eq!(known("1mo", "BTCUSDT.BINANCE", "", label), "2024-04-01T00:00:00Z", "{label}");
        }
        // The last day of March 2024 is a Sunday.
        assert_eq!(known("1mo", "000001.SZ", "", "2024-03-01"), "2024-03-29T07:00:00Z");
        assert_eq!(known("3mo", "000001.SZ", "", "2024-01-02"), "2024-03-29T07:00:00Z");
        // Thursday, Friday, Monday.
        assert_eq!(known("3d", "000001.SZ", "", "2024-03-07"), "2024-03-11T07:00:00Z");
        assert_eq!(known("3d", "BTCUSDT.BINANCE", "", "2024-03-07"), "2024-03-10T00:00:00Z");
    }
}
