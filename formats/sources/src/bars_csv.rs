//! `bars-csv`: bars of any instruments as `barkeeper bars list`, `bars day` and `sql` print them with `--format csv`,
//! which is also how a CSV of one's own may look.
//!
//! | column | is |
//! |---|---|
//! | `instrument` | `SYMBOL.VENUE` in any spelling |
//! | `ts` | the start of the bar: an instant with its offset, else a time on the venue's clock; of a day and longer its day |
//! | `trading_day` | the venue's day; of a day and longer it may be missing |
//! | `open high low close` | prices |
//! | `volume turnover` | shares, contracts or base units; the quote currency, never thousands |
//! | `open_interest` | may be missing or empty |
//! | `interval`, `adjustment` | may be missing: then the options say the interval, and prices are raw unless they say else |
//!
//! Columns may stand in any order, and others are left alone. Volume of Chinese shares, funds and bonds is compared
//! with turnover; where it does not fit a note says so, because not everybody knows a turnover.

use std::collections::BTreeMap;

use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, SeriesKey, Timestamp, TradingDay};
use csv::StringRecord;

use crate::decode::{decode, first_line};
use crate::error::SourceError;
use crate::gather::Gathered;
use crate::parsed::{Parsed, RejectedRow};
use crate::profile::VolumeUnit;
use crate::security::{SecurityKind, kind_of};
use crate::sheet::{Columns, Sheet, number, quantity, shown};
use crate::source::{ImportOptions, Source, SourceFile};
use crate::unit::{Claim, Subject, Traded, verify};

const NAME: &str = "bars-csv";
const HEADER: &str = "instrument,ts,trading_day,open,high,low,close,volume,turnover[,open_interest]";
const NAMES: [&str; 12] = [
    "instrument",
    "ts",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "turnover",
    "trading_day",
    "open_interest",
    "interval",
    "adjustment",
];
/// How many of them must be there.
const REQUIRED: usize = 8;
const TRADING_DAY: usize = 8;
const OPEN_INTEREST: usize = 9;
const INTERVAL: usize = 10;
const ADJUSTMENT: usize = 11;

/// Bars as this program prints them.
pub(crate) struct BarsCsv;

impl Source for BarsCsv {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "bars as `bars list --format csv` prints them"
    }

    fn recognises(&self, file: &SourceFile<'_>) -> bool {
        let line = first_line(file.bytes).to_ascii_lowercase();
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        file.stem("csv").is_some() && NAMES.iter().take(REQUIRED).all(|name| cells.contains(name))
    }

    fn parse(&self, file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
        parse(file, options)
    }
}

fn parse(file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
    if let Some(unit) = options.unit.filter(|unit| *unit == VolumeUnit::Lots) {
        let expected = "in shares, contracts or base units, as they are stored";
        return Err(SourceError::contradiction(file, "unit", unit, NAME, expected));
    }
    let text = decode(file)?;
    let mut sheet = Sheet::new(file.name, &text)?;
    let Some((_, header)) = sheet.next()? else {
        return Err(SourceError::Empty { file: file.name.to_owned() });
    };
    let required = NAMES.get(..REQUIRED).unwrap_or_default();
    let columns = Columns::find(header, &NAMES, required).map_err(|missing| SourceError::Header {
        file: file.name.to_owned(),
        found: shown(header),
        encoding: text.encoding,
        missing,
        expected: HEADER,
    })?;
    let of_rows = header.iter().any(|cell| cell.trim().eq_ignore_ascii_case("interval"));
    let hint = "no column tells the length of the bars; give an interval such as 1d";
    if !of_rows && options.interval.is_none() {
        return Err(SourceError::missing(file, "interval", hint));
    }
    let mut series: BTreeMap<SeriesKey, (Gathered<'_>, Vec<Traded>)> = BTreeMap::new();
    let mut rejected = Vec::new();
    while let Some((line, record)) = sheet.next()? {
        match row(record, &columns, options) {
            Ok((key, bar)) => {
                let new = || (Gathered::new(file.name, key), Vec::new());
                let (gathered, traded) = series.entry(key).or_insert_with(new);
                if gathered.take(line, bar) {
                    let Bar { low, high, close, volume, turnover, .. } = bar;
                    traded.push(Traded { line, low, high, close, volume, turnover });
                }
            }
            Err((field, value, reason)) => {
                rejected.push(RejectedRow::new(file.name, line, field, &value, reason));
            }
        }
    }
    let mut parsed = Parsed::new(NAME, format!("{NAME}: volume as it is stored, {}", text.encoding));
    for (key, (gathered, traded)) in series {
        let (run, left_out) = gathered.finish()?;
        rejected.extend(left_out);
        parsed.quality.add(&run.quality());
        parsed.bars.extend((!run.bars().is_empty()).then_some(run));
        parsed.notes.extend(doubt(file, &key, options, &traded));
    }
    rejected.sort_by_key(|row| row.line);
    parsed.rejected = rejected;
    if parsed.bars.is_empty() {
        parsed.notes.push("the file holds no bars".to_owned());
    }
    Ok(parsed)
}

/// What a person should know of the unit of volume, where turnover / volume is not a price of the bars.
fn doubt(file: &SourceFile<'_>, key: &SeriesKey, options: &ImportOptions, rows: &[Traded]) -> Option<String> {
    let kind = kind_of(&key.instrument).filter(|kind| *kind != SecurityKind::Index)?;
    if options.unit.is_some() || key.adjustment != AdjustmentTag::Raw {
        return None;
    }
    let told: Vec<Traded> = rows.iter().copied().filter(|row| row.turnover > 0.0).collect();
    let subject = Subject { file: file.name, kind, adjustment: key.adjustment };
    let error = verify(subject, Claim::Declared(VolumeUnit::Shares), &told).err()?;
    Some(format!("{}: taken as shares, and {error}", key.instrument))
}

type Wrong = (&'static str, String, String);

fn row(record: &StringRecord, columns: &Columns, options: &ImportOptions) -> Result<(SeriesKey, Bar), Wrong> {
    let cell = |place: usize| columns.cell(record, place);
    let wrong = |place: usize, reason: &dyn std::fmt::Display| -> Wrong {
        let field = NAMES.get(place).copied().unwrap_or("row");
        (field, cell(place).to_owned(), reason.to_string())
    };
    let instrument: InstrumentId = cell(0).parse().map_err(|error| wrong(0, &error))?;
    let interval: Interval = match (cell(INTERVAL), options.interval) {
        ("", Some(interval)) => interval,
        (text, _) => text.parse().map_err(|error| wrong(INTERVAL, &error))?,
    };
    let adjustment: AdjustmentTag = match cell(ADJUSTMENT) {
        "" => options.adjustment.unwrap_or_default(),
        text => text.parse().map_err(|error| wrong(ADJUSTMENT, &error))?,
    };
    let daily = interval.is_daily_or_longer();
    let ts = moment(cell(1), &instrument, daily).map_err(|reason| wrong(1, &reason))?;
    let trading_day = match cell(TRADING_DAY) {
        "" if daily => {
            TradingDay::of_utc(ts).ok_or_else(|| wrong(1, &"lies outside the years 1678 to 2261"))?
        }
        text => text.parse().map_err(|error| wrong(TRADING_DAY, &error))?,
    };
    let value = |place: usize| number(cell(place)).map_err(|reason| wrong(place, &reason));
    let amount = |place: usize| quantity(cell(place)).map_err(|reason| wrong(place, &reason));
    let open_interest = if cell(OPEN_INTEREST).is_empty() { 0.0 } else { amount(OPEN_INTEREST)? };
    let numbers = [value(2)?, value(3)?, value(4)?, value(5)?, amount(6)?, value(7)?, open_interest];
    Ok((SeriesKey { interval, adjustment, instrument }, Bar::from_numbers(ts, trading_day, numbers)))
}

/// The start of a bar: a day, an instant with its offset, or a time on the venue's clock.
fn moment(text: &str, instrument: &InstrumentId, daily: bool) -> Result<Timestamp, String> {
    if let (true, Ok(day)) = (daily, text.parse::<TradingDay>()) {
        return Ok(day.label());
    }
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let expected =
        if daily { "a day such as 2024-01-02" } else { "a time such as 2024-01-02T09:31:00+08:00" };
    let wrong = || format!("expected {expected}");
    let local: Timestamp = format!("{}Z", text.replacen(' ', "T", 1)).parse().map_err(|_| wrong())?;
    let civil = local.in_zone("UTC").map_err(|error| error.to_string())?;
    let zone = if daily { "UTC" } else { instrument.zone() };
    Timestamp::from_civil(civil, zone).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::detect;
    use crate::testing::no_panic;

    fn read(text: &str, interval: Option<&str>) -> Result<Parsed, SourceError> {
        let file = SourceFile { name: "bars.csv", folder: None, bytes: text.as_bytes() };
        let interval = interval.map(|text| text.parse().unwrap());
        let options = ImportOptions { interval, ..ImportOptions::default() };
        let source = detect(&file, &options)?;
        assert_eq!(source.name(), NAME);
        source.parse(&file, &options)
    }

    #[test]
    fn days_and_minutes_of_many_instruments_are_read() {
        let days = "instrument,ts,trading_day,open,high,low,close,volume,turnover\n\
                    600000.SH,2024-01-02T00:00:00Z,2024-01-02,10,10.2,9.9,10.1,100000,1005000\n\
                    sz000001,2024-01-02,,10,10.2,9.9,10.1,0,0\n\
                    600000.SH,2024-01-03T00:00:00Z,2024-01-03,10,10.2,9.9,10.1,100000,1005000\n";
        let parsed = read(days, Some("1d")).unwrap();
        let found: Vec<(String, usize)> =
            parsed.bars.iter().map(|run| (run.series().to_string(), run.bars().len())).collect();
        assert_eq!(found, [("000001.SZ 1d raw".to_owned(), 1), ("600000.SH 1d raw".to_owned(), 2)]);
        assert_eq!((parsed.rejected.len(), parsed.notes.len()), (0, 0), "{:?}", parsed.notes);
        let minutes = "close,instrument,adjustment,interval,ts,trading_day,open,high,low,volume,turnover,open_interest\n\
                       1.5,IF2403.CFFEX,raw,1m,2024-01-02T01:31:00Z,2024-01-02,1,2,1,7,-8,9\n\
                       1.5,IF2403.CFFEX,raw,1m,2024-01-02 09:32:00,2024-01-02,1,2,1,7,8,\n";
        let parsed = read(minutes, None).unwrap();
        let [run] = parsed.bars.as_slice() else { panic!("{parsed:?}") };
        let starts: Vec<String> = run.bars().iter().map(|bar| bar.ts.to_string()).collect();
        assert_eq!(starts, ["2024-01-02T01:31:00Z", "2024-01-02T01:32:00Z"]);
        assert_eq!(run.bars()[0].numbers(), [1.0, 2.0, 1.0, 1.5, 7.0, -8.0, 9.0]);
    }

    #[test]
    fn what_is_wrong_or_missing_is_named() {
        let header = "instrument,ts,trading_day,open,high,low,close,volume,turnover\n";
        let error = read(header, None).unwrap_err();
        assert!(matches!(error, SourceError::Missing { option: "interval", .. }), "{error}");
        let text = format!(
            "{header}moon,2024-01-02,,1,1,1,1,1,1\n600000.SH,soon,,1,1,1,1,1,1\n600000.SH,2024-01-02,x,1,1,1,1,1,1\n\
             600000.SH,2024-01-02,,1,1,one,1,1,1\n600000.SH,2024-01-02,,1,1,1,1,-1,1\n\
             600000.SH,2024-01-02,2024-01-03,1,1,1,1,1,1\n600000.SH,2024-01-02,,10,10,10,10,100,100000\n"
        );
        let parsed = read(&text, Some("1d")).unwrap();
        let fields: Vec<(u64, &str)> =
            parsed.rejected.iter().map(|row| (row.line, row.field.as_str())).collect();
        assert_eq!(
            fields,
            [(2, "instrument"), (3, "ts"), (4, "trading_day"), (5, "low"), (6, "volume"), (7, "row")]
        );
        let [note] = parsed.notes.as_slice() else { panic!("{:?}", parsed.notes) };
        assert!(note.starts_with("600000.SH: taken as shares, and bars.csv: "), "{note}");
        let parsed =
            read(&format!("{header}600000.SH,2024-01-02T01:31:00Z,,1,1,1,1,1,1\n"), Some("1m")).unwrap();
        assert_eq!(parsed.rejected[0].field, "trading_day", "{parsed:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_bars_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut text = b"instrument,interval,ts,trading_day,open,high,low,close,volume,turnover\n".to_vec();
            text.extend_from_slice(&bytes);
            no_panic(&BarsCsv, &["bars.csv"], &text);
            no_panic(&BarsCsv, &["bars.csv"], &bytes);
        }
    }
}
