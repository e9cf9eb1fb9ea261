//! `Cell`: one value, as people read it and as programs do.

use barkeeper_records::{Timestamp, TradingDay};
use rust_decimal::Decimal;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Not known, or not there.
    None,
    /// Yes or no.
    Bool(bool),
    /// A count.
    Count(u64),
    /// A whole number.
    #[cfg(feature = "polars")]
    Whole(i128),
    /// A market number.
    Number(f64),
    /// A ledger number.
    Money(Decimal),
    /// Anything that is read as it stands.
    Text(String),
    /// A trading day.
    Day(TradingDay),
    /// The label of a daily bar: a day to people, an instant to programs.
    Label(Timestamp),
    /// An instant, shown to people in a zone.
    Instant(Timestamp, &'static str),
}

impl Cell {
    /// Text.
    #[expect(clippy::needless_pass_by_value, reason = "most callers have a value that ends here")]
    pub(crate) fn text(value: impl ToString) -> Self {
        Self::Text(value.to_string())
    }

    /// A value that may be missing.
    pub(crate) fn maybe<T>(value: Option<T>, of: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::None, of)
    }

    /// Whether the value lines up to the right.
    pub(crate) const fn is_number(&self) -> bool {
        match self {
            Self::Count(_) | Self::Number(_) | Self::Money(_) => true,
            #[cfg(feature = "polars")]
            Self::Whole(_) => true,
            _ => false,
        }
    }

    /// As people read it.
    pub(crate) fn for_people(&self) -> String {
        match self {
            Self::None => "-".to_owned(),
            Self::Bool(true) => "yes".to_owned(),
            Self::Bool(false) => "no".to_owned(),
            Self::Label(ts) => TradingDay::of_utc(*ts).map_or_else(|| ts.to_string(), |day| day.to_string()),
            Self::Instant(ts, zone) => local(*ts, zone),
            // A line break would tear the row.
            Self::Text(text) => text.replace(['\n', '\r', '\t'], " "),
            _ => self.for_programs(),
        }
    }

    /// As it stands in CSV: empty where there is nothing.
    pub(crate) fn for_programs(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Bool(value) => value.to_string(),
            Self::Count(value) => value.to_string(),
            #[cfg(feature = "polars")]
            Self::Whole(value) => value.to_string(),
            Self::Number(value) => shortest(*value),
            Self::Money(value) => value.normalize().to_string(),
            Self::Text(value) => value.clone(),
            Self::Day(day) => day.to_string(),
            Self::Label(ts) | Self::Instant(ts, _) => ts.to_string(),
        }
    }

    /// As JSON.
    pub(crate) fn json(&self) -> String {
        match self {
            Self::None => "null".to_owned(),
            #[cfg(feature = "polars")]
            Self::Whole(_) => self.for_programs(),
            // JSON has no word for what a division by zero gives.
            Self::Number(value) if !value.is_finite() => "null".to_owned(),
            Self::Bool(_) | Self::Count(_) | Self::Number(_) | Self::Money(_) => self.for_programs(),
            _ => quoted(&self.for_programs()),
        }
    }
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The shortest text that reads back as the same number; no exponent in the range of prices and volumes.
fn shortest(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-9..1e18).contains(&size) { value.to_string() } else { format!("{value:e}") }
}

/// `2024-01-02 09:31:05 +08:00`, with as many digits behind the second as are needed.
fn local(ts: Timestamp, zone: &str) -> String {
    let Ok(civil) = ts.in_zone(zone) else { return ts.to_string() };
    let Ok(as_utc) = Timestamp::from_civil(civil, "UTC") else { return ts.to_string() };
    let offset = as_utc.nanos().saturating_sub(ts.nanos()) / 60_000_000_000;
    let (sign, minutes) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    format!("{} {} {sign}{:02}:{:02}", civil.date(), civil.time(), minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_read_back() {
        let cases = [
            (0.0, "0"),
            (20.37, "20.37"),
            (-3.0, "-3"),
            (1_897_923_072.0, "1897923072"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-8, "0.00000001"),
            (1e300, "1e300"),
        ];
        for (number, text) in cases {
            assert_eq!(shortest(number), text);
            assert_eq!(text.parse(), Ok(number));
        }
    }

    #[test]
    fn people_see_the_venues_clock_and_programs_utc() {
        let cell = Cell::Instant("2024-01-02T01:31:05.5Z".parse().unwrap(), "Asia/Shanghai");
        assert_eq!(cell.for_people(), "2024-01-02 09:31:05.5 +08:00");
        assert_eq!(cell.json(), "\"2024-01-02T01:31:05.5Z\"");
        let winter = Cell::Instant("2024-01-02T14:30:00Z".parse().unwrap(), "America/New_York");
        assert_eq!(winter.for_people(), "2024-01-02 09:30:00 -05:00");
        let label = Cell::Label("2024-01-02T00:00:00Z".parse().unwrap());
        assert_eq!(
            (label.for_people(), label.json()),
            ("2024-01-02".into(), "\"2024-01-02T00:00:00Z\"".into())
        );
    }

    #[test]
    fn text_is_quoted_for_json_and_kept_in_one_line_for_people() {
        let cell = Cell::text("止盈\n\"x\"");
        assert_eq!(cell.json(), "\"止盈\\n\\\"x\\\"\"");
        assert_eq!(cell.for_people(), "止盈 \"x\"");
        assert_eq!(Cell::None.json(), "null");
        assert_eq!(
            (Cell::Number(f64::NAN).json(), Cell::Number(f64::NAN).for_people()),
            ("null".into(), "NaN".into())
        );
    }
}
