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
//! Columns may stand in any order, and others are left alone, which a note says; one that looks like a misspelt
//! `interval` or `adjustment` is refused. Every row has as many cells as the header. A file of which most rows do
//! not fit is refused as a whole. Volume of Chinese shares, funds and bonds is compared with turnover; where it does
//! not fit a note says so, because not everybody knows a turnover, but a file whose volume is plainly in lots is
//! refused.

use std::collections::BTreeMap;

use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, SeriesKey, Timestamp, TradingDay};
use csv::StringRecord;

use crate::decode::{decode, first_line};
use crate::error::SourceError;
use crate::gather::Gathered;
use crate::parsed::{Parsed, RejectedRow};
use crate::profile::VolumeUnit;
use crate::security::{SecurityKind, kind_of};
use crate::sheet::{Columns, Sheet, as_wide, number, quantity};
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
/// How the names of columns begin that are taken for a misspelt one.
const MISSPELT: [(&str, &str); 2] = [("adj", "adjustment"), ("inter", "interval")];
/// Rejected rows from which a file may be doubted as a whole.
const DOUBTED_FROM: usize = 10;
/// How far the trading day may lie from the day of a bar inside it: a night before a weekend and a holiday.
const FARTHEST_DAYS: u32 = 4;

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
    let columns = Columns::find((file.name, text.encoding), header, &NAMES, required, HEADER)?;
    let (width, left_alone) = (header.len(), left_alone(file, header)?);
    let of_rows = header.iter().any(|cell| cell.trim().eq_ignore_ascii_case("interval"));
    let hint = "no column tells the length of the bars; give an interval such as 1d";
    if !of_rows && options.interval.is_none() {
        return Err(SourceError::missing(file, "interval", hint));
    }
    let mut series: BTreeMap<SeriesKey, (Gathered<'_>, Vec<Traded>)> = BTreeMap::new();
    let mut rejected = Vec::new();
    let mut of = 0_u64;
    while let Some((line, record)) = sheet.next()? {
        of += 1;
        if let Err((value, reason)) = as_wide(record, width) {
            rejected.push(RejectedRow::new(file.name, line, "row", &value, reason));
            continue;
        }
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
    parsed.notes.extend(left_alone);
    let mut to_compare = Vec::with_capacity(series.len());
    for (key, (gathered, traded)) in series {
        let (run, left_out) = gathered.finish()?;
        rejected.extend(left_out);
        parsed.quality.add(&run.quality());
        parsed.bars.extend((!run.bars().is_empty()).then_some(run));
        to_compare.push((key, traded));
    }
    rejected.sort_by_key(|row| row.line);
    if rejected.len() >= DOUBTED_FROM && rejected.len() as u64 > of / 2 {
        let hint = match options.interval.filter(|_| !of_rows) {
            Some(interval) => format!("the interval {interval} may be wrong"),
            None => {
                "the interval of the rows may be wrong, or columns may stand under another name".to_owned()
            }
        };
        return Err(SourceError::MostRows { file: file.name.to_owned(), of, rows: rejected, hint });
    }
    for (key, traded) in to_compare {
        parsed.notes.extend(doubt(file, &key, options, &traded)?);
    }
    parsed.rejected = rejected;
    if parsed.bars.is_empty() {
        parsed.notes.push("the file holds no bars".to_owned());
    }
    Ok(parsed)
}

/// Names the columns that are not read.
///
/// # Errors
/// `Rows` where one of them looks like a misspelt column, whose bars would become others than they are.
fn left_alone(file: &SourceFile<'_>, header: &StringRecord) -> Result<Option<String>, SourceError> {
    let cells: Vec<String> = header.iter().map(|cell| cell.trim().to_ascii_lowercase()).collect();
    let meant = |cell: &str| {
        let alike = |(start, name): &&(&str, &str)| {
            cell.starts_with(*start) && !cells.iter().any(|cell| cell == *name)
        };
        MISSPELT.iter().find(alike).map(|(_, name)| *name)
    };
    let unknown: Vec<&String> =
        cells.iter().filter(|cell| !cell.is_empty() && !NAMES.contains(&cell.as_str())).collect();
    let misspelt = unknown.iter().filter_map(|cell| {
        let reason = format!("no column is called so; expected {}, or a name unlike it", meant(cell)?);
        Some(RejectedRow::new(file.name, 1, "header", cell, reason))
    });
    let rows: Vec<RejectedRow> = misspelt.collect();
    if !rows.is_empty() {
        return Err(SourceError::Rows { file: file.name.to_owned(), rows });
    }
    Ok(match unknown.as_slice() {
        [] => None,
        [one] => Some(format!("the column {one} is not known and was left alone")),
        more => {
            let names: Vec<&str> = more.iter().map(|cell| cell.as_str()).collect();
            Some(format!("the columns {} are not known and were left alone", names.join(", ")))
        }
    })
}

/// What a person should know of the unit of volume, where turnover / volume is not a price of the bars.
///
/// # Errors
/// `VolumeInLots` where every row that was compared would fit in lots, and none fits in shares.
fn doubt(
    file: &SourceFile<'_>,
    key: &SeriesKey,
    options: &ImportOptions,
    rows: &[Traded],
) -> Result<Option<String>, SourceError> {
    let Some(kind) = kind_of(&key.instrument).filter(|kind| *kind != SecurityKind::Index) else {
        return Ok(None);
    };
    if options.unit.is_some() || key.adjustment != AdjustmentTag::Raw {
        return Ok(None);
    }
    let told: Vec<Traded> = rows.iter().copied().filter(|row| row.turnover > 0.0).collect();
    let subject = Subject { file: file.name, kind, adjustment: key.adjustment };
    match verify(subject, Claim::Declared(VolumeUnit::Shares), &told) {
        Ok(_) => Ok(None),
        Err(SourceError::UnitMismatch { better: Some(unit @ VolumeUnit::Lots), rows, .. })
            if rows.count == rows.of =>
        {
            let (file, size) = (file.name.to_owned(), unit.size(kind));
            Err(SourceError::VolumeInLots { file, instrument: key.instrument, size, rows })
        }
        Err(error) => Ok(Some(format!("{}: taken as shares, and {error}", key.instrument))),
    }
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
    if !daily && let Some(day) = far_from(trading_day, ts, &instrument) {
        let reason = format!(
            "the bar is of {day} on the venue's clock; expected a day at most {FARTHEST_DAYS} days from it"
        );
        return Err(wrong(TRADING_DAY, &reason));
    }
    let value = |place: usize| number(cell(place)).map_err(|reason| wrong(place, &reason));
    let amount = |place: usize| quantity(cell(place)).map_err(|reason| wrong(place, &reason));
    let open_interest = if cell(OPEN_INTEREST).is_empty() { 0.0 } else { amount(OPEN_INTEREST)? };
    let numbers = [value(2)?, value(3)?, value(4)?, value(5)?, amount(6)?, value(7)?, open_interest];
    Ok((SeriesKey { interval, adjustment, instrument }, Bar::from_numbers(ts, trading_day, numbers)))
}

/// The day of an instant on the venue's clock, where a trading day is further from it than nights and holidays make
/// it.
fn far_from(trading_day: TradingDay, ts: Timestamp, instrument: &InstrumentId) -> Option<TradingDay> {
    let local = ts.in_zone(instrument.zone()).ok()?;
    let day = TradingDay::from_date(local.date())?;
    (day.days().abs_diff(trading_day.days()) > FARTHEST_DAYS).then_some(day)
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
             600000.SH,2024-01-02,2024-01-03,1,1,1,1,1,1\n600000.SH,2024-01-02,,10,10,10,10,100,10000\n"
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

    const HEAD: &str = "instrument,ts,trading_day,open,high,low,close,volume,turnover\n";

    #[test]
    fn a_row_wider_or_narrower_than_the_header_is_left_out() {
        let text = format!(
            "{HEAD}600000.SH,2024-01-02,,10,10,10,10,1,234,12340\n600000.SH,2024-01-03,,10,10,10,10,1234\n\
             600000.SH,2024-01-04,,10,10,10,10,\"1,234\",12340\n600000.SH,2024-01-05,,10,10,10,10,1234,12340\n"
        );
        let parsed = read(&text, Some("1d")).unwrap();
        assert_eq!(parsed.rows(), 1);
        let shown: Vec<String> = parsed.rejected.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "bars.csv:2: row '600000.SH,2024-01-02,,10,10,10,10,1,234,12340': 10 cells; expected 9 cells as \
                 the header has",
                "bars.csv:3: row '600000.SH,2024-01-03,,10,10,10,10,1234': 8 cells; expected 9 cells as the \
                 header has",
                "bars.csv:4: volume '1,234': expected a decimal number",
            ]
        );
    }

    #[test]
    fn unknown_columns_are_named_and_misspelt_ones_refused() {
        let with = |name: &str, value: &str| {
            format!("{},{name}\n600000.SH,2024-01-02,,10,10,10,10,100,1000,{value}\n", HEAD.trim_end())
        };
        let parsed = read(&with("Note", "x"), Some("1d")).unwrap();
        assert_eq!(parsed.notes, ["the column note is not known and was left alone"]);
        let parsed = read(&with("adjustment,adj_close,note", "raw,1,x"), Some("1d")).unwrap();
        assert_eq!(parsed.notes, ["the columns adj_close, note are not known and were left alone"]);
        for (name, meant) in [("adjustement", "adjustment"), ("Adj", "adjustment"), ("intervall", "interval")]
        {
            let error = read(&with(name, "x"), Some("1d")).unwrap_err();
            let SourceError::Rows { rows, .. } = &error else { panic!("{error}") };
            assert_eq!((rows.len(), rows[0].line, rows[0].field.as_str()), (1, 1, "header"));
            assert!(rows[0].reason.contains(&format!("expected {meant}")), "{error}");
        }
    }

    #[test]
    fn a_file_of_which_most_rows_do_not_fit_is_refused() {
        let hours = |wrong: u32, right: u32| {
            let wrong = (0..wrong).map(|n| {
                format!(
                    "600000.SH,2024-01-02T{:02}:{:02}:00Z,2024-01-02,10,10,10,10,1,10\n",
                    n / 60,
                    1 + n % 60
                )
            });
            let right = (0..right).map(|n| format!("600000.SH,{},,10,10,10,10,1,10\n", 20_230_101 + n));
            [HEAD.to_owned()].into_iter().chain(wrong).chain(right).collect::<String>()
        };
        let error = read(&hours(12, 11), Some("1d")).unwrap_err();
        let shown = error.to_string();
        assert!(matches!(&error, SourceError::MostRows { of: 23, rows, .. } if rows.len() == 12), "{shown}");
        for says in
            ["12 of 23 rows do not fit: line 2: row '2024-01-02T00:01:00Z'", "the interval 1d may be wrong"]
        {
            assert!(shown.contains(says), "{says}: {shown}");
        }
        for (wrong, right) in [(12, 12), (9, 1)] {
            let parsed = read(&hours(wrong, right), Some("1d")).unwrap();
            assert_eq!((parsed.rejected.len(), parsed.rows()), (wrong as usize, u64::from(right)));
        }
    }

    #[test]
    fn the_trading_day_of_a_minute_is_near_its_day_on_the_venues_clock() {
        let bar = |ts: &str, day: &str| format!("IF2403.CFFEX,{ts},{day},10,10,10,10,1,10\n");
        let text = [
            HEAD.to_owned(),
            // 21:00 on a Friday is of Monday; 23:59Z is a day later in Shanghai.
            bar("2024-03-01T21:00:00+08:00", "2024-03-04"),
            bar("2024-03-01T23:59:00Z", "2024-03-06"),
            bar("2024-03-01 09:31:00", "2024-03-06"),
            bar("2024-03-01 09:32:00", "2023-03-01"),
        ];
        let parsed = read(&text.concat(), Some("1m")).unwrap();
        let found: Vec<(u64, &str, &str)> =
            parsed.rejected.iter().map(|row| (row.line, row.field.as_str(), row.value.as_str())).collect();
        assert_eq!(found, [(4, "trading_day", "2024-03-06"), (5, "trading_day", "2023-03-01")]);
        assert!(parsed.rejected[0].reason.contains("of 2024-03-01"), "{}", parsed.rejected[0].reason);
    }

    #[test]
    fn volume_that_is_in_lots_throughout_is_refused_unless_somebody_vouches_for_it() {
        let text = format!(
            "{HEAD}600000.SH,2024-01-02,,10,10,10,10,1234,1234000\n600000.SH,2024-01-03,,10,10,10,10,56,56000\n"
        );
        let error = read(&text, Some("1d")).unwrap_err();
        assert!(
            matches!(&error, SourceError::VolumeInLots { size: 100.0, rows, .. } if rows.count == 2),
            "{error}"
        );
        let shown = error.to_string();
        assert!(
            shown.contains("600000.SH is in lots") && shown.contains("multiply volume by 100"),
            "{shown}"
        );
        let mixed = format!("{text}600000.SH,2024-01-04,,10,10,10,10,5600,56000\n");
        let [note] = read(&mixed, Some("1d")).unwrap().notes.try_into().unwrap();
        assert!(note.ends_with("in lots they would fit"), "{note}");
        let odd = format!("{HEAD}600000.SH,2024-01-02,,11,12,11,12,1,9\n");
        let [note] = read(&odd, Some("1d")).unwrap().notes.try_into().unwrap();
        assert!(note.ends_with("where 11 to 12 was expected"), "{note}");
        let file = SourceFile { name: "bars.csv", folder: None, bytes: text.as_bytes() };
        let vouched = ImportOptions {
            interval: "1d".parse().ok(),
            unit: Some(VolumeUnit::Shares),
            ..ImportOptions::default()
        };
        assert_eq!(BarsCsv.parse(&file, &vouched).unwrap().rows(), 2);
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
