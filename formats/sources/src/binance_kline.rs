//! `binance-kline`: spot kline archives of Binance, unzipped: `BTCUSDT-1h-2024-01.csv`.
//!
//! Twelve columns, mostly without a header: open time, open, high, low, close, volume, close time, quote
//! volume, trades, taker volumes, an unused one. Times are milliseconds until 2024 and microseconds from
//! 2025 on, told apart row by row. A bar is named by its start, in UTC.
//!
//! Archives of coin-margined futures have the same shape, count contracts and write the base volume where
//! the quote volume is meant: their turnover / volume is not a price, so they are refused.

use barkeeper_records::{
    AdjustmentTag, Bar, InstrumentId, Interval, IntervalUnit, SeriesKey, Timestamp, TradingDay,
};
use csv::StringRecord;
use jiff::ToSpan as _;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use crate::decode::{decode, first_line};
use crate::error::{OffRow, OffRows, SourceError};
use crate::gather::Gathered;
use crate::parsed::Parsed;
use crate::profile::{BarLabel, Profile, VolumeUnit};
use crate::security::SecurityKind;
use crate::sheet::{Sheet, number, quantity, shown};
use crate::source::{ImportOptions, Source, SourceFile, stem};
use crate::span::Span;
use crate::unit::{Claim, Subject, Traded, verify};

const NAME: &str = "binance-kline";
const COLUMNS: usize = 12;
const HEADER: &str = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,\
    taker_buy_quote_volume,ignore";
/// From here on a time is in microseconds: in milliseconds it would be the year 5138.
const MICROSECONDS_FROM: i64 = 100_000_000_000_000;

/// Spot klines of Binance.
pub(crate) struct BinanceKline;

impl Source for BinanceKline {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "spot klines of Binance, such as BTCUSDT-1h-2024-01.csv"
    }

    fn recognises(&self, file: &SourceFile<'_>) -> bool {
        if file.stem("csv").is_none() {
            return false;
        }
        let line = first_line(file.bytes);
        let cells: Vec<&str> = line.split(',').collect();
        let rows = cells.len() == COLUMNS
            && (line.starts_with("open_time") || cells.iter().all(|cell| number(cell).is_ok()));
        rows || (Archive::of(file.name).is_some() && (line.is_empty() || cells.len() == COLUMNS))
    }

    fn parse(&self, file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
        parse(file, options)
    }
}

/// What the name of an archive tells.
struct Archive {
    instrument: InstrumentId,
    interval: Interval,
}

impl Archive {
    /// Reads `SYMBOL-INTERVAL-YYYY-MM` or `SYMBOL-INTERVAL-YYYY-MM-DD` and `.csv`.
    fn of(name: &str) -> Option<Self> {
        let parts: Vec<&str> = stem(name, "csv")?.split('-').collect();
        let [symbol, interval, date @ ..] = parts.as_slice() else { return None };
        Span::of(date)?;
        // The interface of the exchange writes a month as 1M, its archives as 1mo.
        let interval = if *interval == "1M" { "1mo" } else { interval };
        let instrument = InstrumentId::parse(&format!("{symbol}.BINANCE")).ok()?;
        Some(Self { instrument, interval: interval.parse().ok()? })
    }
}

fn parse(file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
    let expected = "raw, with volume in the base currency";
    if let Some(adjustment) = options.adjustment.filter(|adjustment| *adjustment != AdjustmentTag::Raw) {
        return Err(SourceError::contradiction(file, "adjustment", adjustment, NAME, expected));
    }
    if let Some(unit) = options.unit.filter(|unit| *unit != VolumeUnit::Base) {
        return Err(SourceError::contradiction(file, "unit", unit, NAME, expected));
    }
    let archive = Archive::of(file.name);
    let instrument = options.instrument.or_else(|| archive.as_ref().map(|named| named.instrument));
    let interval = options.interval.or_else(|| archive.as_ref().map(|named| named.interval));
    let hint = "the name is not like BTCUSDT-1h-2024-01.csv; give an instrument such as BTCUSDT.BINANCE";
    let instrument = instrument.ok_or_else(|| SourceError::missing(file, "instrument", hint))?;
    let hint = "the name is not like BTCUSDT-1h-2024-01.csv; give an interval such as 1h";
    let interval = interval.ok_or_else(|| SourceError::missing(file, "interval", hint))?;

    let text = decode(file)?;
    let mut sheet = Sheet::new(file.name, &text)?;
    let series = SeriesKey { interval, adjustment: AdjustmentTag::Raw, instrument };
    let mut gathered = Gathered::new(file.name, series);
    let mut traded = Vec::new();
    let mut off = OffRows::default();
    let mut notes = Vec::new();
    let mut first = true;
    while let Some((line, record)) = sheet.next()? {
        if std::mem::take(&mut first) {
            if record.len() != COLUMNS {
                let (file, found) = (file.name.to_owned(), record.len() as u64);
                return Err(SourceError::Columns { file, line, found, expected: COLUMNS as u64 });
            }
            if number(cell(record, 0)).is_err() {
                check_header(file, record, text.encoding)?;
                notes.push(format!(
                    "there is a header, as in archives of futures; the bars are taken for {instrument}"
                ));
                continue;
            }
        }
        match Row::read(line, record, interval) {
            Ok(row) => {
                off.of += 1;
                if let Some(wrong) = row.off(interval) {
                    off.add(|| wrong);
                }
                if gathered.take(line, row.bar) {
                    traded.push(row.traded());
                }
            }
            Err((field, value, reason)) => gathered.reject(line, field, value, reason),
        }
    }
    if off.count > 0 {
        return Err(SourceError::CloseTime { file: file.name.to_owned(), interval, rows: off });
    }
    let subject = Subject { file: file.name, kind: SecurityKind::Pair, adjustment: AdjustmentTag::Raw };
    let (unit, found) = verify(subject, Claim::Declared(VolumeUnit::Base), &traded)?;
    notes.extend(found);

    let (run, rejected) = gathered.finish()?;
    let label = if interval.is_daily_or_longer() { BarLabel::Day } else { BarLabel::Start };
    let profile = Profile {
        source: NAME,
        unit,
        scale: 1,
        adjustment: AdjustmentTag::Raw,
        label,
        zone: "UTC",
        encoding: text.encoding,
    };
    let mut parsed = Parsed::of_run(NAME, profile.to_string(), run);
    parsed.rejected = rejected;
    parsed.notes.extend(notes);
    Ok(parsed)
}

fn cell(record: &StringRecord, place: usize) -> &str {
    record.get(place).unwrap_or_default().trim()
}

/// Refuses a header whose prices stand in another order than they do everywhere.
fn check_header(
    file: &SourceFile<'_>,
    record: &StringRecord,
    encoding: &'static str,
) -> Result<(), SourceError> {
    let plain = |place| cell(record, place).to_ascii_lowercase().replace([' ', '_'], "");
    let meant = [
        (0, "opentime"),
        (1, "open"),
        (2, "high"),
        (3, "low"),
        (4, "close"),
        (5, "volume"),
        (6, "closetime"),
    ];
    let missing: Vec<&str> =
        meant.into_iter().filter(|(place, name)| plain(*place) != *name).map(|(_, name)| name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(SourceError::Header {
        file: file.name.to_owned(),
        found: shown(record),
        encoding,
        missing,
        expected: HEADER,
    })
}

/// A time in its own unit.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    nanos: i64,
    /// Nanoseconds in a unit of the column.
    unit: i64,
}

impl Moment {
    pub(crate) const fn nanos(self) -> i64 {
        self.nanos
    }

    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        let expected = "expected milliseconds or microseconds since 1970";
        let whole = |number: Decimal| number.is_integer().then(|| number.to_i64()).flatten();
        let value: Option<i64> =
            text.parse().ok().or_else(|| Decimal::from_scientific(text).ok().and_then(whole));
        let value = value.filter(|value| *value >= 0).ok_or(expected)?;
        let unit = if value >= MICROSECONDS_FROM { 1_000 } else { 1_000_000 };
        let nanos = value.checked_mul(unit).ok_or("lies outside the years 1678 to 2261")?;
        Ok(Self { nanos, unit })
    }
}

/// A row as its file has it.
struct Row {
    line: u64,
    bar: Bar,
    /// Nanoseconds.
    open_time: i64,
    /// Nanoseconds.
    close_time: i64,
    /// What the close time must be.
    close_due: i64,
}

impl Row {
    /// Reads a record, or says which field is wrong.
    fn read(
        line: u64,
        record: &StringRecord,
        interval: Interval,
    ) -> Result<Self, (&'static str, &str, &'static str)> {
        if record.len() != COLUMNS {
            return Err(("row", cell(record, 0), "expected 12 columns"));
        }
        let moment = |place, name| {
            let text = cell(record, place);
            Moment::read(text).map_err(|reason| (name, text, reason))
        };
        let value = |place, name| {
            let text = cell(record, place);
            number(text).map_err(|reason| (name, text, reason))
        };
        let amount = |place, name| {
            let text = cell(record, place);
            quantity(text).map_err(|reason| (name, text, reason))
        };
        let open_time = moment(0, "open_time")?;
        let close_time = moment(6, "close_time")?;
        let numbers = [
            value(1, "open")?,
            value(2, "high")?,
            value(3, "low")?,
            value(4, "close")?,
            amount(5, "volume")?,
            amount(7, "quote_volume")?,
            0.0,
        ];
        let start = Timestamp::from_nanos(open_time.nanos);
        let out = ("open_time", cell(record, 0), "lies outside the years 1678 to 2261");
        let trading_day = TradingDay::of_utc(start).ok_or(out)?;
        let end = end_of(start, interval).ok_or(out)?;
        let ts = if interval.is_daily_or_longer() { trading_day.label() } else { start };
        let bar = Bar::from_numbers(ts, trading_day, numbers);
        let (open_time, close_due) = (open_time.nanos, end.saturating_sub(close_time.unit));
        Ok(Self { line, bar, open_time, close_time: close_time.nanos, close_due })
    }

    /// What contradicts the interval, if anything does.
    fn off(&self, interval: Interval) -> Option<OffRow> {
        let shown = |nanos| Timestamp::from_nanos(nanos).to_string();
        if !self.on_boundary(interval) {
            let found = format!("a bar that starts at {}", shown(self.open_time));
            let expected = "midnight UTC, and the first of a month for months".to_owned();
            return Some(OffRow { line: self.line, found, expected });
        }
        let found = format!("a bar that closes at {}", shown(self.close_time));
        let wrong = OffRow { line: self.line, found, expected: shown(self.close_due) };
        (self.close_time != self.close_due).then_some(wrong)
    }

    /// Whether a bar of a day or longer starts where its label says.
    fn on_boundary(&self, interval: Interval) -> bool {
        let day = self.bar.trading_day;
        let first = interval.unit() != IntervalUnit::Month || day.date().day() == 1;
        !interval.is_daily_or_longer() || (self.open_time == day.label().nanos() && first)
    }

    fn traded(&self) -> Traded {
        let Bar { low, high, close, volume, turnover, .. } = self.bar;
        Traded { line: self.line, low, high, close, volume, turnover }
    }
}

/// Where the bar after the one that starts at `start` begins, in nanoseconds.
fn end_of(start: Timestamp, interval: Interval) -> Option<i64> {
    const DAY: i64 = 86_400_000_000_000;
    let count = i64::from(interval.count());
    match interval.unit() {
        IntervalUnit::Day => start.nanos().checked_add(DAY * count),
        IntervalUnit::Week => start.nanos().checked_add(7 * DAY * count),
        IntervalUnit::Month => {
            let day = TradingDay::of_utc(start)?.date().checked_add(count.months()).ok()?;
            Some(TradingDay::from_date(day)?.label().nanos())
        }
        IntervalUnit::Second | IntervalUnit::Minute | IntervalUnit::Hour => {
            start.nanos().checked_add(interval.nanos()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{no_panic, sample};

    const HOUR: i64 = 3_600_000;
    const T0: i64 = 1_704_067_200_000;

    /// A row that starts at `open` and lasts `length`, in milliseconds.
    fn row(open: i64, length: i64) -> String {
        format!("{open},10.0,10.2,9.9,10.1,100.5,{},1005.0,41,1.0,10.0,0\n", open + length - 1)
    }

    fn read(name: &str, text: &str) -> Result<Parsed, SourceError> {
        read_with(name, text, &ImportOptions::default())
    }

    fn read_with(name: &str, text: &str, options: &ImportOptions) -> Result<Parsed, SourceError> {
        BinanceKline.parse(&SourceFile { name, folder: None, bytes: text.as_bytes() }, options)
    }

    #[test]
    fn the_name_tells_symbol_and_interval() {
        let day = 24 * HOUR;
        let cases = [
            ("BTCUSDT-1h-2024-01.csv", HOUR, "BTCUSDT.BINANCE 1h raw"),
            ("BTCUSDT-1h-2024-01-02.csv", HOUR, "BTCUSDT.BINANCE 1h raw"),
            ("ethbtc-1m-2024-01.CSV", HOUR / 60, "ethbtc.BINANCE 1m raw"),
            ("BTCUSDT-1d-2024-01.csv", day, "BTCUSDT.BINANCE 1d raw"),
            ("BTCUSDT-3d-2024-01.csv", 3 * day, "BTCUSDT.BINANCE 3d raw"),
            ("BTCUSDT-1w-2024-01.csv", 7 * day, "BTCUSDT.BINANCE 1w raw"),
            ("BTCUSDT-1mo-2024-01.csv", 31 * day, "BTCUSDT.BINANCE 1mo raw"),
            ("BTCUSDT-1M-2024-01.csv", 31 * day, "BTCUSDT.BINANCE 1mo raw"),
        ];
        for (name, length, series) in cases {
            let parsed = read(name, &row(T0, length)).unwrap();
            let bar = parsed.bars[0].bars()[0];
            assert_eq!(parsed.bars[0].series().to_string(), series);
            assert_eq!(bar.ts.to_string(), "2024-01-01T00:00:00Z");
            assert_eq!(bar.numbers(), [10.0, 10.2, 9.9, 10.1, 100.5, 1005.0, 0.0]);
        }
        let error = read("BTCUSDT.csv", &row(T0, HOUR)).unwrap_err();
        assert!(matches!(error, SourceError::Missing { option: "instrument", .. }), "{error}");
        let mut options =
            ImportOptions { instrument: "BTCUSDT.BINANCE".parse().ok(), ..ImportOptions::default() };
        let error = read_with("BTCUSDT.csv", &row(T0, HOUR), &options).unwrap_err();
        assert!(matches!(error, SourceError::Missing { option: "interval", .. }), "{error}");
        options.interval = "1h".parse().ok();
        assert!(read_with("BTCUSDT.csv", &row(T0, HOUR), &options).is_ok());
    }

    #[test]
    fn milliseconds_and_microseconds_are_told_apart_row_by_row() {
        let micros = |open: i64| {
            row(open, HOUR)
                .replacen(&format!("{open}"), &format!("{open}000"), 1)
                .replace(&format!(",{},", open + HOUR - 1), &format!(",{}999,", open + HOUR - 1))
        };
        let text = [row(T0, HOUR), micros(T0 + HOUR), row(T0 + 2 * HOUR, HOUR)].concat();
        let parsed = read("BTCUSDT-1h-2024-01.csv", &text).unwrap();
        let starts: Vec<String> = parsed.bars[0].bars().iter().map(|bar| bar.ts.to_string()).collect();
        assert_eq!(starts, ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z", "2024-01-01T02:00:00Z"]);
        assert_eq!(parsed.rejected, []);
    }

    #[test]
    fn a_close_time_that_contradicts_the_interval_is_an_error_with_rows() {
        let text = [row(T0, HOUR), row(T0 + HOUR, HOUR / 2)].concat();
        let error = read("BTCUSDT-1h-2024-01.csv", &text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "BTCUSDT-1h-2024-01.csv: the close times contradict the interval 1h in 1 of 2 rows: line 2: a \
             bar that closes at 2024-01-01T01:29:59.999Z where 2024-01-01T01:59:59.999Z was expected"
        );
        let contradicts = |name, open, length| {
            let error = read(name, &row(open, length)).unwrap_err();
            assert!(matches!(error, SourceError::CloseTime { .. }), "{error}");
        };
        contradicts("BTCUSDT-1mo-2024-01.csv", T0, 30 * 24 * HOUR);
        contradicts("BTCUSDT-1mo-2024-01.csv", T0 + 24 * HOUR, 31 * 24 * HOUR);
        contradicts("BTCUSDT-1d-2024-01.csv", T0 + 8 * HOUR, 24 * HOUR);
    }

    #[test]
    fn a_turnover_that_is_none_is_an_error() {
        let error = read("BTCUSDT-1h-2024-01.csv", &row(T0, HOUR).replace("1005.0", "12.0")).unwrap_err();
        assert!(
            matches!(error, SourceError::UnitMismatch { unit: VolumeUnit::Base, better: None, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_header_is_tolerated_and_its_order_checked() {
        let text = format!("{HEADER}\n{}", row(T0, HOUR));
        let parsed = read("BTCUSDT-1h-2024-01.csv", &text).unwrap();
        assert_eq!((parsed.rows(), parsed.notes.len()), (1, 1));
        let swapped = text.replace("open,high,low,close", "open,close,high,low");
        let error = read("BTCUSDT-1h-2024-01.csv", &swapped).unwrap_err();
        assert!(matches!(error, SourceError::Header { .. }), "{error}");
    }

    #[test]
    fn numbers_may_be_scientific_and_bad_rows_are_named() {
        let tiny = "1.7040672E12,1e-7,1.2E-7,9e-8,1.1e-7,1E6,1704070799999,1e-1,1,0,0,0\n";
        let rows = format!(
            "{tiny}x,1,1,1,1,1,1,1,1,1,1,1
{T0},,1,1,1,1,1,1,1,1,1,1
1,2
{},1,1,1,1,1,1,1,1,1,1,1
",
            i64::MAX
        );
        let parsed = read("PEPEUSDT-1h-2024-01.csv", &rows).unwrap();
        assert_eq!(parsed.bars[0].bars()[0].low, 9e-8);
        let rejected: Vec<(u64, &str)> =
            parsed.rejected.iter().map(|row| (row.line, row.field.as_str())).collect();
        assert_eq!(rejected, [(2, "open_time"), (3, "open"), (4, "row"), (5, "open_time")]);
        assert!(matches!(
            read("X-1h-2024-01.csv", "1,2\n"),
            Err(SourceError::Columns { found: 2, expected: 12, .. })
        ));
    }

    #[test]
    fn the_samples_are_read() {
        let options = |instrument: &str, interval: &str| ImportOptions {
            instrument: instrument.parse().ok(),
            interval: interval.parse().ok(),
            ..ImportOptions::default()
        };
        for (name, interval, ts, day) in [
            ("spot_klines_1h_ms_noheader.csv", "1h", "2023-10-27T00:00:00Z", "2023-10-27"),
            ("spot_klines_1s_us_noheader.csv", "1s", "2025-01-01T00:00:00Z", "2025-01-01"),
            ("um_klines_1d_header.csv", "1d", "2025-01-01T00:00:00Z", "2025-01-01"),
        ] {
            let Some(bytes) = sample(&format!("binance/{name}")) else { return };
            let file = SourceFile { name, folder: None, bytes: &bytes };
            assert!(BinanceKline.recognises(&file), "{name}");
            let parsed = BinanceKline.parse(&file, &options("BTCUSDT.BINANCE", interval)).unwrap();
            let bar = parsed.bars[0].bars()[0];
            assert_eq!(
                (bar.ts.to_string(), bar.trading_day.to_string()),
                (ts.to_owned(), day.to_owned()),
                "{name}"
            );
            assert_eq!(parsed.rejected, []);
        }
        let Some(bytes) = sample("binance/cm_klines_1h_header.csv") else { return };
        let file = SourceFile { name: "cm_klines_1h_header.csv", folder: None, bytes: &bytes };
        let error = BinanceKline.parse(&file, &options("BTCUSD_PERP.BINANCE", "1h")).unwrap_err();
        assert!(matches!(error, SourceError::UnitMismatch { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cells in "[0-9.,eE\"\\r\\n-]{0,200}",
            open in any::<i64>(),
            close in any::<i64>(),
        ) {
            let names = ["BTCUSDT-1h-2024-01.csv", "BTCUSDT-1mo-2024-01.csv", "x.csv"];
            no_panic(&BinanceKline, &names, &bytes);
            no_panic(&BinanceKline, &names, cells.as_bytes());
            let rows = format!("{open},1,1,1,1,1,{close},1,1,1,1,1\n{cells}");
            no_panic(&BinanceKline, &names, rows.as_bytes());
        }
    }
}
