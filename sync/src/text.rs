//! Text forms of values: days, decimals and the venue's local time. The same in every target that
//! stores one of them as text.

use barkeeper_records::{Column, ColumnKind, Interval, TableSchema, TradingDay, Value, Venue};
use jiff::tz::TimeZone;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 10^8: the scale of decimals.
const SCALE: u128 = 100_000_000;

/// Appends a number with leading zeros.
fn push_padded(out: &mut String, number: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
    }
}

/// Year, month and day of days since 1970-01-01, in the proleptic Gregorian calendar.
///
/// Bars carry two days each, and this is ten times faster than going through a calendar library.
const fn civil(days: i64) -> (i64, i64, i64) {
    // Years that begin in March put the leap day last; eras are 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

fn push_date(out: &mut String, days: i64) {
    let (year, month, day) = civil(days);
    push_padded(out, year, 4);
    out.push('-');
    push_padded(out, month, 2);
    out.push('-');
    push_padded(out, day, 2);
}

/// Appends a day as `YYYY-MM-DD`.
pub(crate) fn push_day(out: &mut String, day: TradingDay) {
    push_date(out, i64::from(day.days()));
}

/// Reads a day in the one form that is written.
pub(crate) fn parse_day(text: &str) -> Option<TradingDay> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let year = text.get(..4)?.parse().ok()?;
    let month = text.get(5..7)?.parse().ok()?;
    let day = text.get(8..)?.parse().ok()?;
    let parsed = TradingDay::from_ymd(year, month, day)?;
    let mut again = String::with_capacity(10);
    push_day(&mut again, parsed);
    (again == text).then_some(parsed)
}

/// Appends a decimal that is given times 10^8, without trailing zeros and without an exponent.
pub(crate) fn push_decimal(out: &mut String, scaled: i128) {
    if scaled < 0 {
        out.push('-');
    }
    let magnitude = scaled.unsigned_abs();
    let (whole, fraction) = (magnitude / SCALE, magnitude % SCALE);
    out.push_str(&whole.to_string());
    if fraction != 0 {
        out.push('.');
        push_padded(out, i64::try_from(fraction).unwrap_or(0), 8);
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Reads a decimal in the one form that is written; answers it times 10^8.
pub(crate) fn parse_decimal(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 8 || !plain(whole) || !plain(fraction) {
        return None;
    }
    let places = u32::try_from(8 - fraction.len()).ok()?;
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let whole = whole.parse::<i128>().ok()?.checked_mul(100_000_000)?;
    let scaled = sign * whole.checked_add(fraction * 10_i128.pow(places))?;
    let mut again = String::with_capacity(text.len());
    push_decimal(&mut again, scaled);
    (again == text).then_some(scaled)
}

/// Where a column of a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Key(usize),
    Value(usize),
}

impl Place {
    fn find(schema: &TableSchema, wanted: impl Fn(&Column) -> bool) -> Option<Self> {
        let key = schema.key.iter().position(&wanted).map(Self::Key);
        key.or_else(|| schema.values.iter().position(&wanted).map(Self::Value))
    }

    fn of<'a>(self, key: &'a [Value], values: &'a [Value]) -> Option<&'a Value> {
        match self {
            Self::Key(at) => key.get(at),
            Self::Value(at) => values.get(at),
        }
    }
}

/// Writes the local time that stands beside the column of nanoseconds of a table.
///
/// Remembers the zone and the interval of the row before, because neighbours share them.
#[derive(Debug)]
pub(crate) struct LocalTime {
    nanos: Place,
    instrument: Option<Place>,
    interval: Option<Place>,
    venue: String,
    zone: TimeZone,
    interval_text: String,
    is_label: bool,
}

impl LocalTime {
    /// The name of the column.
    pub(crate) const COLUMN: &'static str = "local_time";

    /// For a table that has a column of nanoseconds.
    pub(crate) fn of_table(schema: &TableSchema) -> Option<Self> {
        let named = |name| Place::find(schema, move |column| column.name == name);
        Some(Self {
            nanos: Place::find(schema, |column| column.kind == ColumnKind::Nanos)?,
            instrument: named("instrument"),
            interval: named("interval"),
            venue: String::new(),
            zone: TimeZone::UTC,
            interval_text: String::new(),
            is_label: false,
        })
    }

    /// Appends `YYYY-MM-DD HH:MM:SS.ffffff` in the zone of the instrument's venue, the nanoseconds cut off
    /// to microseconds; answers false where the row has no such column (a tombstone).
    ///
    /// A bar of one day or longer shows its day at midnight: its `ts` is a label and not an instant.
    pub(crate) fn push(&mut self, out: &mut String, key: &[Value], values: &[Value]) -> bool {
        let Some(Value::Int(nanos)) = self.nanos.of(key, values) else { return false };
        self.look(key, values);
        let mut seconds = nanos.div_euclid(NANOS_PER_SECOND);
        if !self.is_label
            && let Ok(instant) = jiff::Timestamp::from_second(seconds)
        {
            seconds += i64::from(self.zone.to_offset(instant).seconds());
        }
        push_date(out, seconds.div_euclid(SECONDS_PER_DAY));
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        for (mark, number) in [(' ', of_day / 3_600), (':', of_day / 60 % 60), (':', of_day % 60)] {
            out.push(mark);
            push_padded(out, number, 2);
        }
        out.push('.');
        push_padded(out, nanos.rem_euclid(NANOS_PER_SECOND) / 1_000, 6);
        true
    }

    fn look(&mut self, key: &[Value], values: &[Value]) {
        if let Some(Value::Text(text)) = self.interval.and_then(|place| place.of(key, values))
            && *text != self.interval_text
        {
            self.is_label = text.parse().is_ok_and(Interval::is_daily_or_longer);
            self.interval_text.clone_from(text);
        }
        if let Some(Value::Text(text)) = self.instrument.and_then(|place| place.of(key, values)) {
            let venue = text.rsplit_once('.').map_or("", |(_, venue)| venue);
            if venue != self.venue {
                self.zone = TimeZone::get(Venue::zone_of(venue)).unwrap_or(TimeZone::UTC);
                venue.clone_into(&mut self.venue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use barkeeper_records::{Table, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn decimal(scaled: i128) -> String {
        let mut out = String::new();
        push_decimal(&mut out, scaled);
        out
    }

    fn day(day: TradingDay) -> String {
        let mut out = String::new();
        push_day(&mut out, day);
        out
    }

    #[test]
    fn decimals_are_canonical() {
        for (scaled, text) in [
            (0, "0"),
            (150_000_000, "1.5"),
            (-1, "-0.00000001"),
            (100_000_000, "1"),
            (-10_000_000_000, "-100"),
            (9_999_999_999_999_999_999_999_999_999, "99999999999999999999.99999999"),
        ] {
            assert_eq!(decimal(scaled), text);
            assert_eq!(parse_decimal(text), Some(scaled));
        }
        for text in ["", "-", "-0", "1.50", "1.", ".5", "+1", "01", "1e3", "1.123456789", "１"] {
            assert_eq!(parse_decimal(text), None, "{text}");
        }
    }

    #[test]
    fn local_time_is_that_of_the_venue_and_a_daily_bar_shows_its_day() {
        let mut local = LocalTime::of_table(Table::Bars.schema()).unwrap();
        let mut show = |interval: &str, instrument: &str, instant: &str| {
            let ts: Timestamp = instant.parse().unwrap();
            let key = [
                Value::Text(interval.to_owned()),
                Value::Text("raw".to_owned()),
                Value::Text(instrument.to_owned()),
                Value::Int(ts.nanos()),
            ];
            let mut out = String::new();
            assert!(local.push(&mut out, &key, &[]));
            out
        };
        assert_eq!(show("1m", "rb2410.SHFE", "2024-06-07T13:05:00.1234567Z"), "2024-06-07 21:05:00.123456");
        assert_eq!(show("1d", "000001.SZ", "2024-01-02T00:00:00Z"), "2024-01-02 00:00:00.000000");
        assert_eq!(show("1m", "BTCUSDT.BINANCE", "2024-01-02T00:01:00Z"), "2024-01-02 00:01:00.000000");
        assert_eq!(show("1m", "IBM.NYSE", "1969-12-31T23:59:59.9999999Z"), "1969-12-31 18:59:59.999999");
        assert!(!local.push(&mut String::new(), &[], &[]));
    }

    proptest! {
        #[test]
        fn decimals_round_trip(scaled in -(10_i128.pow(28) - 1)..10_i128.pow(28)) {
            let text = decimal(scaled);
            prop_assert_eq!(parse_decimal(&text), Some(scaled));
            let number = barkeeper_records::unscaled(scaled).unwrap();
            prop_assert_eq!(number.to_string(), text);
        }

        #[test]
        fn days_round_trip_and_are_those_of_the_calendar(days in -106_751..=106_751_i32) {
            let one = TradingDay::from_days(days).unwrap();
            let text = day(one);
            prop_assert_eq!(parse_day(&text), Some(one));
            prop_assert_eq!(text, one.to_string());
        }

        #[test]
        fn local_time_is_what_the_zone_database_says(nanos in any::<i64>(), venue in prop::sample::select(vec!["SZ", "NYSE", "LME", "BINANCE"])) {
            let mut local = LocalTime::of_table(Table::Bars.schema()).unwrap();
            let text = |text: &str| Value::Text(text.to_owned());
            let key = [text("1m"), text("raw"), text(&format!("X.{venue}")), Value::Int(nanos)];
            let mut out = String::new();
            local.push(&mut out, &key, &[]);
            let ts = Timestamp::from_nanos(nanos / 1000 * 1000);
            let civil = Timestamp::from_nanos(nanos).in_zone(Venue::zone_of(venue)).unwrap();
            prop_assert!(ts.nanos() <= nanos || nanos < 0);
            prop_assert_eq!(out, civil.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string());
        }
    }
}
