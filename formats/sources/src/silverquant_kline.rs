//! `silverquant-kline`: daily bars of SilverQuant, `_daily_<source>/<code>.csv`.
//!
//! Header `datetime,open,high,low,close,volume,amount`, `datetime` an integer YYYYMMDD. The file does not
//! say in which unit its volume is or how its prices were adjusted: the folder does, and the data must agree.

use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, SeriesKey, TradingDay};
use csv::StringRecord;

use crate::decode::{decode, first_line};
use crate::error::SourceError;
use crate::gather::Gathered;
use crate::parsed::Parsed;
use crate::profile::{BarLabel, Profile, VolumeUnit};
use crate::security::{SecurityKind, kind_of};
use crate::sheet::{Columns, Sheet, number, quantity};
use crate::source::{ImportOptions, Source, SourceFile, gathered, stem};
use crate::unit::{Claim, Subject, Traded, index_notes, verify};

const NAME: &str = "silverquant-kline";
const HEADER: &str = "datetime,open,high,low,close,volume,amount";
const COLUMNS: [&str; 7] = ["datetime", "open", "high", "low", "close", "volume", "amount"];
/// Place of the last price in a row.
const PRICES: usize = 4;

/// What a folder says about the files in it.
struct Folder {
    name: &'static str,
    unit: Claim,
    /// `None` where the program's user chose.
    adjustment: Option<AdjustmentTag>,
}

const fn folder(name: &'static str, unit: Claim, adjustment: Option<AdjustmentTag>) -> Folder {
    Folder { name, unit, adjustment }
}

const LOTS: Claim = Claim::Declared(VolumeUnit::Lots);
const QFQ: Option<AdjustmentTag> = Some(AdjustmentTag::Qfq);

static FOLDERS: [Folder; 6] = [
    folder("_daily_mootdx", LOTS, QFQ),
    folder("_daily_tushare", LOTS, Some(AdjustmentTag::Raw)),
    // Lots until 4.1 (eastmoney), shares from then on (sina).
    folder("_daily_akshare", Claim::SharesOrLots, QFQ),
    folder("_daily_tdxzip", LOTS, QFQ),
    folder("_daily_baostock", LOTS, None),
    folder("_daily_miniqmt", LOTS, None),
];

impl Folder {
    /// The folder of a name, with or without `_daily_`.
    fn find(name: &str) -> Option<&'static Self> {
        let short = |full: &'static str| full.strip_prefix("_daily_").unwrap_or(full);
        FOLDERS.iter().find(|known| {
            name.eq_ignore_ascii_case(known.name) || name.eq_ignore_ascii_case(short(known.name))
        })
    }
}

/// Daily bars of SilverQuant.
pub(crate) struct SilverquantKline;

impl Source for SilverquantKline {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "daily bars of SilverQuant, such as _daily_mootdx/000001.SZ.csv"
    }

    fn recognises(&self, file: &SourceFile<'_>) -> bool {
        let line = first_line(file.bytes).to_ascii_lowercase();
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        file.stem("csv").is_some() && COLUMNS.iter().all(|name| cells.contains(name))
    }

    fn parse(&self, file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
        parse(file, options)
    }
}

/// The name without a gathered folder in front.
fn own_name<'a>(file: &SourceFile<'a>) -> &'a str {
    gathered(file.name).map_or(file.name, |(_, name)| name)
}

/// What the options, the gathered name or the folders say; the first that says something.
fn folder_of(file: &SourceFile<'_>, options: &ImportOptions) -> Result<Option<&'static Folder>, SourceError> {
    if let Some(profile) = &options.profile {
        return Folder::find(profile).map(Some).ok_or_else(|| SourceError::UnknownProfile {
            file: file.name.to_owned(),
            profile: profile.clone(),
            known: FOLDERS.iter().map(|known| known.name).collect(),
        });
    }
    let prefix = gathered(file.name).map(|(folder, _)| folder);
    let parts = prefix.into_iter().flat_map(|prefix| prefix.split("__"));
    Ok(parts.chain(file.folders()).find_map(Folder::find))
}

fn instrument_of(file: &SourceFile<'_>, options: &ImportOptions) -> Result<InstrumentId, SourceError> {
    if let Some(instrument) = options.instrument {
        return Ok(instrument);
    }
    let expected = "a code and .csv, such as 000001.SZ.csv";
    let stem = stem(own_name(file), "csv")
        .ok_or_else(|| SourceError::FileName { file: file.name.to_owned(), expected })?;
    InstrumentId::parse(stem).map_err(|source| SourceError::Instrument { file: file.name.to_owned(), source })
}

fn parse(file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
    options.must_be_daily(file, NAME, "bars of 1d")?;
    let instrument = instrument_of(file, options)?;
    let kind = kind_of(&instrument).ok_or_else(|| SourceError::code(file, &instrument))?;
    let folder = folder_of(file, options)?;
    let adjustment = options.adjustment.or_else(|| folder.and_then(|known| known.adjustment));
    let adjustment = adjustment.ok_or_else(|| {
        let hint = if folder.is_some() {
            "the folder does not tell it; give raw, qfq or hfq"
        } else {
            "no folder tells it; give raw, qfq or hfq, or a `profile` such as _daily_mootdx"
        };
        SourceError::missing(file, "adjustment", hint)
    })?;
    let claim = options.unit.map(Claim::Stated).or_else(|| folder.map(|known| known.unit));
    let claim = claim.ok_or_else(|| {
        let hint = "no folder tells it; give shares or lots, or a `profile` such as _daily_mootdx";
        SourceError::missing(file, "unit", hint)
    })?;

    let text = decode(file)?;
    let mut sheet = Sheet::new(file.name, &text)?;
    let columns = header(file, &mut sheet, text.encoding)?;
    let series = SeriesKey { adjustment, ..SeriesKey::daily(instrument) };
    let mut gathered = Gathered::new(file.name, series);
    let mut rows: Vec<Row> = Vec::new();
    while let Some((line, record)) = sheet.next()? {
        match Row::read(line, record, &columns) {
            Ok(row) => rows.push(row),
            Err((field, value, reason)) => gathered.reject(line, field, value, reason),
        }
    }

    rows.sort_by_key(|row| row.day);
    let (unit, notes) = if kind == SecurityKind::Index {
        (VolumeUnit::Venue, index_notes(&instrument, options.unit))
    } else {
        let traded: Vec<Traded> = rows.iter().map(Row::traded).collect();
        verify(Subject { file: file.name, kind, adjustment }, claim, &traded)?
    };
    for row in &rows {
        gathered.take(row.line, row.bar(unit.size(kind)));
    }
    let (run, rejected) = gathered.finish()?;
    let profile = Profile {
        source: NAME,
        unit,
        scale: 1,
        adjustment,
        label: BarLabel::Day,
        zone: "Asia/Shanghai",
        encoding: text.encoding,
    };
    let mut parsed = Parsed::of_run(NAME, profile.to_string(), run);
    parsed.rejected = rejected;
    parsed.notes.extend(notes);
    Ok(parsed)
}

fn header(
    file: &SourceFile<'_>,
    sheet: &mut Sheet<'_>,
    encoding: &'static str,
) -> Result<Columns, SourceError> {
    let Some((_, first)) = sheet.next()? else {
        return Err(SourceError::Empty { file: file.name.to_owned() });
    };
    Columns::find((file.name, encoding), first, &COLUMNS, &COLUMNS, HEADER)
}

/// A row as its file has it.
struct Row {
    line: u64,
    day: TradingDay,
    /// Open, high, low, close, volume, turnover.
    numbers: [f64; 6],
}

impl Row {
    /// Reads a record, or says which field is wrong.
    fn read<'r>(
        line: u64,
        record: &'r StringRecord,
        columns: &Columns,
    ) -> Result<Self, (&'static str, &'r str, &'static str)> {
        let date = columns.cell(record, 0);
        let day = date.parse().map_err(|_| ("datetime", date, "expected a date as YYYYMMDD"))?;
        let mut numbers = [0.0; 6];
        for ((index, name), value) in (1..).zip(COLUMNS.into_iter().skip(1)).zip(&mut numbers) {
            let cell = columns.cell(record, index);
            let read = if index > PRICES { quantity } else { number };
            *value = read(cell).map_err(|reason| (name, cell, reason))?;
        }
        Ok(Self { line, day, numbers })
    }

    fn traded(&self) -> Traded {
        let [_, high, low, close, volume, turnover] = self.numbers;
        Traded { line: self.line, low, high, close, volume, turnover }
    }

    fn bar(&self, size: f64) -> Bar {
        let [open, high, low, close, volume, turnover] = self.numbers;
        let numbers = [open, high, low, close, scaled(volume, size), turnover, 0.0];
        Bar::from_numbers(self.day.label(), self.day, numbers)
    }
}

/// A volume in units of `size`, counted in single shares. Lots that upstream computed as shares x 0.01
/// are a rounding error off; shares are whole.
fn scaled(volume: f64, size: f64) -> f64 {
    let shares = volume * size;
    let whole = shares.round();
    if size > 1.0 && (shares - whole).abs() < 1e-3 { whole } else { shares }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::error::OffRow;
    use crate::testing::{no_panic, sample};

    const ROWS: &str =
        "20240102,10,10.2,9.9,10.1,1000,1005000.0\n20240103,10.1,10.3,10,10.2,2000,2030000.0\n";

    fn csv(rows: &str) -> String {
        format!("{HEADER}\n{rows}")
    }

    fn read(
        name: &str,
        folder: Option<&str>,
        text: &str,
        options: &ImportOptions,
    ) -> Result<Parsed, SourceError> {
        SilverquantKline.parse(&SourceFile { name, folder, bytes: text.as_bytes() }, options)
    }

    fn plain(folder: &str, rows: &str) -> Result<Parsed, SourceError> {
        read("000001.SZ.csv", Some(folder), &csv(rows), &ImportOptions::default())
    }

    fn volumes(parsed: &Parsed) -> Vec<f64> {
        parsed.bars[0].bars().iter().map(|bar| bar.volume).collect()
    }

    #[test]
    fn the_folder_decides_unit_and_adjustment() {
        for (folder, adjustment) in [
            ("_daily_mootdx", "qfq"),
            ("_daily_tushare", "raw"),
            ("_daily_tdxzip", "qfq"),
            ("_daily_akshare", "qfq"),
            ("C:\\SilverQuant\\_cache\\_daily_mootdx\\kline", "qfq"),
            ("_cache/_daily_tushare/kline/", "raw"),
        ] {
            let parsed = plain(folder, ROWS).unwrap();
            let series = parsed.bars[0].series();
            assert_eq!(series.to_string(), format!("000001.SZ 1d {adjustment}"), "{folder}");
            assert_eq!(volumes(&parsed), [100_000.0, 200_000.0], "{folder}");
        }
        for folder in ["_daily_baostock", "_daily_miniqmt"] {
            let error = plain(folder, ROWS).unwrap_err();
            assert!(matches!(error, SourceError::Missing { option: "adjustment", .. }), "{error}");
            let options = ImportOptions { adjustment: Some(AdjustmentTag::Raw), ..ImportOptions::default() };
            assert!(read("000001.SZ.csv", Some(folder), &csv(ROWS), &options).is_ok());
        }
    }

    #[test]
    fn a_file_outside_its_folder_needs_to_be_told() {
        let error = plain("Downloads", ROWS).unwrap_err();
        assert!(matches!(error, SourceError::Missing { option: "adjustment", .. }), "{error}");
        let told =
            |profile: &str| ImportOptions { profile: Some(profile.to_owned()), ..ImportOptions::default() };
        for profile in ["_daily_mootdx", "mootdx"] {
            assert!(read("SH600000.csv", None, &csv(ROWS), &told(profile)).is_ok());
        }
        let error = read("SH600000.csv", None, &csv(ROWS), &told("yahoo")).unwrap_err();
        assert!(error.to_string().contains("_daily_tdxzip"), "{error}");
        let options = ImportOptions {
            instrument: "510300.SH".parse().ok(),
            adjustment: Some(AdjustmentTag::Raw),
            unit: Some(VolumeUnit::Lots),
            ..ImportOptions::default()
        };
        let parsed = read("平安.txt", None, &csv(ROWS), &options).unwrap();
        assert_eq!(parsed.bars[0].series().to_string(), "510300.SH 1d raw");
        let error =
            read("平安.csv", Some("_daily_mootdx"), &csv(ROWS), &ImportOptions::default()).unwrap_err();
        assert!(matches!(error, SourceError::Instrument { .. }), "{error}");
    }

    #[test]
    fn a_gathered_name_carries_its_folder() {
        for name in ["_daily_tushare__000001.SZ.csv", "_daily_tushare__kline__000001.SZ.csv"] {
            let parsed = read(name, Some("_daily_mootdx"), &csv(ROWS), &ImportOptions::default()).unwrap();
            assert_eq!(parsed.bars[0].series().to_string(), "000001.SZ 1d raw");
        }
    }

    #[test]
    fn a_unit_that_does_not_fit_is_an_error_with_lines_and_values() {
        let shares = ROWS.replace(",1000,", ",100000,").replace(",2000,", ",200000,");
        let error = plain("_daily_tushare", &shares).unwrap_err();
        let SourceError::UnitMismatch {
            unit: VolumeUnit::Lots, better: Some(VolumeUnit::Shares), rows, ..
        } = &error
        else {
            panic!("{error}")
        };
        let first =
            OffRow { line: 2, found: "1005000 / 100000 = 0.1005".into(), expected: "9.9 to 10.2".into() };
        assert_eq!((rows.count, &rows.shown[0]), (2, &first));
        assert!(matches!(plain("_daily_mootdx", &shares), Err(SourceError::UnitUnlikely { .. })));
        assert_eq!(volumes(&plain("_daily_akshare", &shares).unwrap()), [100_000.0, 200_000.0]);
        let mixed = ROWS.replace(",2000,", ",200000,");
        assert!(matches!(plain("_daily_akshare", &mixed), Err(SourceError::UnitChanges { line: 3, .. })));
        assert!(matches!(plain("_daily_tushare", &mixed), Err(SourceError::UnitMismatch { .. })));
    }

    #[test]
    fn the_latest_days_decide_wherever_they_stand() {
        let row = |day: i32| {
            let close = 10.0 / 1.15_f64.powi(40 - day);
            let date = TradingDay::from_days(19_000 + day).unwrap().to_string().replace('-', "");
            format!("{date},{close},{close},{close},{close},1000,1000000\n")
        };
        let newest_first: String = (0..=40).rev().map(row).collect();
        assert_eq!(plain("_daily_mootdx", &newest_first).unwrap().rows(), 41);
    }

    #[test]
    fn an_index_keeps_its_volume() {
        let parsed =
            read("000001.SH.csv", Some("_daily_mootdx"), &csv(ROWS), &ImportOptions::default()).unwrap();
        assert_eq!(volumes(&parsed), [1000.0, 2000.0]);
        assert!(parsed.notes[0].contains("index"), "{:?}", parsed.notes);
    }

    #[test]
    fn a_bad_row_is_named_and_the_rest_taken() {
        let rows = format!(
            "{ROWS}20240230,1,1,1,1,1,1\n20240104,abc,1,1,1,1,1\n20240105,1,1\r\n20240108,1,1,1,1,-1,1000\n"
        );
        let parsed = plain("_daily_tushare", &rows).unwrap();
        let shown: Vec<_> = parsed.rejected.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "000001.SZ.csv:4: datetime '20240230': expected a date as YYYYMMDD",
                "000001.SZ.csv:5: open 'abc': expected a decimal number",
                "000001.SZ.csv:6: low '': expected a decimal number",
                "000001.SZ.csv:7: volume '-1': expected a number from 0",
            ]
        );
        assert_eq!(parsed.rows(), 2);
    }

    #[test]
    fn a_wrong_header_is_an_error_and_an_empty_table_is_not() {
        let error = read(
            "000001.SZ.csv",
            Some("_daily_mootdx"),
            "date,open,high,low,close,volume\n",
            &ImportOptions::default(),
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("lacks datetime, amount"), "{error}");
        let empty = plain("_daily_mootdx", "").unwrap();
        assert_eq!((empty.rows(), empty.notes.len()), (0, 2));
        assert!(matches!(plain("_daily_akshare", ""), Err(SourceError::UnitUnclear { usable: 0, .. })));
    }

    #[test]
    fn negative_adjusted_prices_and_suspended_days_are_taken() {
        let rows =
            format!("20240101,-1.2,-1,-1.3,-1.1,1000,1005000\n{ROWS}20240104,10.2,10.2,10.2,10.2,0,0\n");
        let parsed = plain("_daily_mootdx", &rows).unwrap();
        assert_eq!((parsed.quality.negative_price, parsed.quality.zero_volume, parsed.rows()), (1, 1, 4));
    }

    #[test]
    fn float_lots_are_whole_shares() {
        for (lots, shares) in [("123.45", 12_345.0), ("12354.440000000001", 1_235_444.0), ("0.07", 7.0)] {
            assert_eq!(scaled(lots.parse().unwrap(), 100.0), shares);
        }
        assert_eq!(scaled(1.5, 1.0), 1.5);
    }

    #[test]
    fn the_sample_holds_the_last_bars_of_the_tdx_file() {
        let Some(bytes) = sample("silverquant/_daily_mootdx__000001.SZ.csv") else { return };
        let file =
            SourceFile { name: "_daily_mootdx__000001.SZ.csv", folder: Some("silverquant"), bytes: &bytes };
        assert!(SilverquantKline.recognises(&file));
        let parsed = SilverquantKline.parse(&file, &ImportOptions::default()).unwrap();
        let bars = parsed.bars[0].bars();
        assert_eq!((bars.len(), parsed.rejected.len(), parsed.notes.len()), (300, 0, 0));
        let Some(bytes) = sample("tdx/sz000001.day") else { return };
        let file = SourceFile { name: "sz000001.day", folder: None, bytes: &bytes };
        let tdx = crate::tdx_day::TdxDay.parse(&file, &ImportOptions::default()).unwrap();
        for (ours, theirs) in bars.iter().zip(&tdx.bars[0].bars()[4695..]) {
            let mut theirs = *theirs;
            theirs.volume = (theirs.volume / 100.0).round() * 100.0;
            assert!((ours.volume - theirs.volume).abs() <= 100.0, "{ours:?}");
            assert!(ours.same_content(&Bar { volume: ours.volume, ..theirs }), "{ours:?} {theirs:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in btree_map(0_i32..20_000, (1_u32..100_000, 0_u32..50, 0_u32..1_000_000), 1..40),
        ) {
            let mut text = format!("{HEADER}\r\n");
            let mut written = Vec::new();
            for (day, (low, range, lots)) in rows {
                let day = TradingDay::from_days(day).unwrap();
                let [low, high] = [low, low + range].map(|price| f64::from(price) / 100.0);
                let amount = (f64::from(lots) * 50.0 * (low + high)).round();
                let date = day.to_string().replace('-', "");
                writeln!(text, "{date},{low},{high},{low},{high},{lots},{amount}\r").unwrap();
                let numbers = [low, high, low, high, f64::from(lots * 100), amount, 0.0];
                written.push(Bar::from_numbers(day.label(), day, numbers));
            }
            let options = ImportOptions::default();
            let parsed = read("600000.SH.csv", Some("_daily_tushare"), &text, &options).unwrap();
            prop_assert_eq!(parsed.bars[0].bars(), written.as_slice());
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in vec(any::<u8>(), 0..200),
            cells in "[0-9.,eE\"\\r\\n-]{0,200}",
        ) {
            let names = ["600000.SH.csv", "000001.SH.csv", "x.csv"];
            no_panic(&SilverquantKline, &names, &bytes);
            no_panic(&SilverquantKline, &names, csv(&cells).as_bytes());
        }
    }
}
