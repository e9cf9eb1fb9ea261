//! `tdx-day`: daily files of TDX (通达信), `vipdoc/{sh,sz,bj}/lday/sh600000.day`.
//!
//! A file is a row of records of 32 bytes, little endian:
//!
//! | bytes | type | field |
//! |---|---|---|
//! | 0..4 | u32 | trading day, YYYYMMDD, ascending |
//! | 4..20 | 4 x u32 | open, high, low, close: 1/100 (stocks, indices), 1/1000 (funds, bonds, SH B-shares) |
//! | 20..24 | f32 | turnover in the quote currency, about 7 digits |
//! | 24..28 | u32 | volume: shares, and lots for an index |
//! | 28..32 | u32 | reserved: advances and declines of an index |
//!
//! The volume of an index stays as it is. Whatever is wrong in a record makes the file doubtful.

use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, SeriesKey, TradingDay};

use crate::error::SourceError;
use crate::gather::Gathered;
use crate::parsed::Parsed;
use crate::profile::{BarLabel, Profile, VolumeUnit};
use crate::security::{SecurityKind, kind_of};
use crate::source::{ImportOptions, Source, SourceFile, stem};
use crate::unit::{Claim, Subject, Traded, index_notes, verify};

const NAME: &str = "tdx-day";
const RECORD: usize = 32;

/// Daily bars of TDX.
pub(crate) struct TdxDay;

impl Source for TdxDay {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "daily bars of TDX, such as sh600000.day"
    }

    fn recognises(&self, file: &SourceFile<'_>) -> bool {
        instrument_of(file.name).is_some()
    }

    fn parse(&self, file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
        parse(file, options)
    }
}

fn instrument_of(name: &str) -> Option<InstrumentId> {
    let stem = stem(name, "day")?;
    let (venue, code) = stem.split_at_checked(2)?;
    let known = ["sh", "sz", "bj"].iter().any(|known| venue.eq_ignore_ascii_case(known));
    (known && code.len() == 6).then(|| InstrumentId::parse(stem).ok()).flatten()
}

/// What the source declares for a kind of security.
fn profile(kind: SecurityKind) -> Profile {
    Profile {
        source: NAME,
        unit: if kind == SecurityKind::Index { VolumeUnit::Venue } else { VolumeUnit::Shares },
        scale: 10_u32.pow(u32::from(kind.decimals())),
        adjustment: AdjustmentTag::Raw,
        label: BarLabel::Day,
        zone: "Asia/Shanghai",
        encoding: "binary",
    }
}

fn parse(file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
    let expected = "raw bars of 1d";
    options.must_be_daily(file, NAME, expected)?;
    if let Some(adjustment) = options.adjustment.filter(|adjustment| *adjustment != AdjustmentTag::Raw) {
        return Err(SourceError::contradiction(file, "adjustment", adjustment, NAME, expected));
    }
    let instrument = options.instrument.or_else(|| instrument_of(file.name)).ok_or_else(|| {
        let expected = "sh, sz or bj, six digits and .day, such as sh600000.day";
        SourceError::FileName { file: file.name.to_owned(), expected }
    })?;
    let kind = kind_of(&instrument).ok_or_else(|| SourceError::code(file, &instrument))?;
    let mut profile = profile(kind);
    let rows = records(file)?;

    let (claim, mut notes) = claim(options, kind, &instrument);
    let size = match claim {
        Some(claim) => {
            let scale = f64::from(profile.scale);
            let traded: Vec<Traded> = rows.iter().map(|row| row.traded(scale)).collect();
            let subject = Subject { file: file.name, kind, adjustment: AdjustmentTag::Raw };
            let (unit, found) = verify(subject, claim, &traded)?;
            notes.extend(found);
            profile.unit = unit;
            unit.size(kind)
        }
        None => 1.0,
    };

    let mut gathered = Gathered::new(file.name, SeriesKey::daily(instrument));
    for row in &rows {
        gathered.take(row.number, row.bar(f64::from(profile.scale), size));
    }
    let (run, rejected) = gathered.finish()?;
    let mut parsed = Parsed::of_run(NAME, profile.to_string(), run);
    parsed.rejected = rejected;
    parsed.notes.extend(notes);
    Ok(parsed)
}

/// What is known of the unit; nothing is checked for an index, whose turnover is not its own price.
fn claim(
    options: &ImportOptions,
    kind: SecurityKind,
    instrument: &InstrumentId,
) -> (Option<Claim>, Vec<String>) {
    if kind != SecurityKind::Index {
        // Of bonds, some files count pieces and some lots of ten.
        let bond = kind == SecurityKind::Bond;
        let declared = if bond { Claim::SharesOrLots } else { Claim::Declared(VolumeUnit::Shares) };
        return (Some(options.unit.map_or(declared, Claim::Stated)), Vec::new());
    }
    (None, index_notes(instrument, options.unit))
}

/// A record as it stands in the file.
struct Record {
    /// From 1.
    number: u64,
    day: TradingDay,
    prices: [u32; 4],
    turnover: f64,
    volume: u32,
}

impl Record {
    fn price(&self, place: usize, scale: f64) -> f64 {
        self.prices.get(place).map_or(0.0, |price| f64::from(*price) / scale)
    }

    fn traded(&self, scale: f64) -> Traded {
        Traded {
            line: self.number,
            low: self.price(2, scale),
            high: self.price(1, scale),
            close: self.price(3, scale),
            volume: f64::from(self.volume),
            turnover: self.turnover,
        }
    }

    fn bar(&self, scale: f64, size: f64) -> Bar {
        let [open, high, low, close] = self.prices.map(|price| f64::from(price) / scale);
        let numbers = [open, high, low, close, f64::from(self.volume) * size, self.turnover, 0.0];
        Bar::from_numbers(self.day.label(), self.day, numbers)
    }
}

fn records(file: &SourceFile<'_>) -> Result<Vec<Record>, SourceError> {
    if file.bytes.is_empty() {
        return Err(SourceError::Empty { file: file.name.to_owned() });
    }
    let (whole, tail) = file.bytes.as_chunks::<RECORD>();
    if !tail.is_empty() {
        return Err(SourceError::Torn {
            file: file.name.to_owned(),
            record: whole.len() as u64 + 1,
            found: tail.len() as u64,
            expected: RECORD as u64,
        });
    }
    let mut records: Vec<Record> = Vec::with_capacity(whole.len());
    for (number, bytes) in (1..).zip(whole) {
        let record = record(file.name, number, bytes)?;
        if records.last().is_some_and(|last| last.day >= record.day) {
            let value = record.day.to_string();
            let expected = "a day after the one of the record before";
            return Err(SourceError::Field {
                file: file.name.to_owned(),
                record: number,
                field: "date",
                value,
                expected,
            });
        }
        records.push(record);
    }
    Ok(records)
}

fn record(file: &str, number: u64, bytes: &[u8; RECORD]) -> Result<Record, SourceError> {
    let (words, _) = bytes.as_chunks::<4>();
    let mut fields = [0; RECORD / 4];
    for (field, word) in fields.iter_mut().zip(words) {
        *field = u32::from_le_bytes(*word);
    }
    let [date, open, high, low, close, turnover, volume, _reserved] = fields;
    let wrong = |field, value: String, expected| SourceError::Field {
        file: file.to_owned(),
        record: number,
        field,
        value,
        expected,
    };
    let day = TradingDay::from_yyyymmdd(date)
        .ok_or_else(|| wrong("date", date.to_string(), "a date as YYYYMMDD"))?;
    let turnover = f64::from(f32::from_bits(turnover));
    if !turnover.is_finite() || turnover < 0.0 {
        return Err(wrong("amount", turnover.to_string(), "a finite number, not below zero"));
    }
    Ok(Record { number, day, prices: [open, high, low, close], turnover, volume })
}

impl ImportOptions {
    /// Refuses an interval other than one day.
    pub(crate) fn must_be_daily(
        &self,
        file: &SourceFile<'_>,
        source_name: &'static str,
        expected: &'static str,
    ) -> Result<(), SourceError> {
        match self.interval {
            Some(interval) if interval != Interval::DAY => {
                Err(SourceError::contradiction(file, "interval", interval, source_name, expected))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{no_panic, sample};

    type Row = (u32, [u32; 4], f32, u32);

    fn write(rows: &[Row]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (date, prices, amount, volume) in rows {
            bytes.extend(date.to_le_bytes());
            bytes.extend(prices.iter().flat_map(|price| price.to_le_bytes()));
            bytes.extend(amount.to_le_bytes());
            bytes.extend(volume.to_le_bytes());
            bytes.extend(65536_u32.to_le_bytes());
        }
        bytes
    }

    fn read(name: &str, bytes: &[u8]) -> Result<Parsed, SourceError> {
        read_with(name, bytes, &ImportOptions::default())
    }

    fn read_with(name: &str, bytes: &[u8], options: &ImportOptions) -> Result<Parsed, SourceError> {
        TdxDay.parse(&SourceFile { name, folder: None, bytes }, options)
    }

    const ROW: Row = (20_240_102, [1000, 1020, 990, 1010], 1_005_000.0, 100_000);

    #[test]
    fn the_scale_and_the_unit_hang_on_the_code() {
        let cases = [
            ("sh600000.day", 1_005_000.0, 10.0, 100_000.0),
            ("sz000001.day", 1_005_000.0, 10.0, 100_000.0),
            ("bj430047.day", 1_005_000.0, 10.0, 100_000.0),
            ("sz200011.day", 1_005_000.0, 10.0, 100_000.0),
            ("sh510300.day", 100_500.0, 1.0, 100_000.0),
            ("sh588000.day", 100_500.0, 1.0, 100_000.0),
            ("sz123001.day", 100_500.0, 1.0, 100_000.0),
            ("sh113050.day", 1_005_000.0, 1.0, 1_000_000.0),
            ("sh900901.day", 100_500.0, 1.0, 100_000.0),
            ("sh000001.day", 987_654_321.0, 10.0, 100_000.0),
        ];
        for (name, amount, open, volume) in cases {
            let (date, prices, _, shares) = ROW;
            let parsed = read(name, &write(&[(date, prices, amount, shares)])).unwrap();
            let run = &parsed.bars[0];
            let bar = run.bars()[0];
            assert_eq!((bar.open, bar.volume, bar.turnover), (open, volume, f64::from(amount)), "{name}");
            assert_eq!(run.series().adjustment, AdjustmentTag::Raw);
            let noted = ["sh000001.day", "sz123001.day", "sh113050.day"].contains(&name);
            assert_eq!(parsed.notes.len(), usize::from(noted), "{:?}", parsed.notes);
        }
        let error = read("sh777777.day", &write(&[ROW])).unwrap_err();
        assert!(matches!(error, SourceError::Code { .. }), "{error}");
    }

    #[test]
    fn a_wrong_scale_shows_as_a_mismatch() {
        let error = read("sh510300.day", &write(&[ROW])).unwrap_err();
        assert!(matches!(error, SourceError::UnitMismatch { .. }), "{error}");
    }

    #[test]
    fn a_unit_that_the_caller_states_is_used() {
        let (date, prices, amount, _) = ROW;
        let lots = write(&[(date, prices, amount, 1000)]);
        assert!(matches!(
            read("sh600000.day", &lots),
            Err(SourceError::UnitMismatch { better: Some(VolumeUnit::Lots), .. })
        ));
        let options = ImportOptions { unit: Some(VolumeUnit::Lots), ..ImportOptions::default() };
        let parsed = read_with("sh600000.day", &lots, &options).unwrap();
        assert_eq!(parsed.bars[0].bars()[0].volume, 100_000.0);
        assert!(parsed.profile.contains("volume in lots"), "{}", parsed.profile);
    }

    #[test]
    fn damage_is_an_error_that_names_the_record() {
        let two = write(&[ROW, (20_240_103, ROW.1, ROW.2, ROW.3)]);
        let torn = read("sh600000.day", &two[..63]).unwrap_err();
        assert_eq!(torn.to_string(), "sh600000.day: record 2 has 31 of 32 bytes: the file is torn");
        assert!(matches!(read("sh600000.day", b""), Err(SourceError::Empty { .. })));
        let wrong =
            |date, amount| read("sh600000.day", &write(&[ROW, (date, ROW.1, amount, ROW.3)])).unwrap_err();
        for date in [20_240_102, 20_240_101] {
            assert!(matches!(wrong(date, ROW.2), SourceError::Field { record: 2, field: "date", .. }));
        }
        for date in [0, 20_240_230, 4_294_967_295, 16_770_101] {
            let error = wrong(date, ROW.2);
            assert!(matches!(error, SourceError::Field { record: 2, field: "date", .. }), "{date}: {error}");
        }
        for amount in [f32::NAN, f32::INFINITY, -1.0] {
            assert!(matches!(
                wrong(20_240_103, amount),
                SourceError::Field { record: 2, field: "amount", .. }
            ));
        }
    }

    #[test]
    fn options_may_name_the_instrument_and_not_contradict_the_format() {
        let with = |options| read_with("day.bin", &write(&[ROW]), &options);
        let instrument = Some("600000.SH".parse().unwrap());
        let parsed = with(ImportOptions { instrument, ..ImportOptions::default() }).unwrap();
        assert_eq!(parsed.bars[0].series().instrument.as_str(), "600000.SH");
        assert!(matches!(with(ImportOptions::default()), Err(SourceError::FileName { .. })));
        let hfq =
            ImportOptions { instrument, adjustment: Some(AdjustmentTag::Hfq), ..ImportOptions::default() };
        assert!(matches!(with(hfq), Err(SourceError::Contradiction { option: "adjustment", .. })));
        let minute =
            ImportOptions { instrument, interval: Some(Interval::MINUTE), ..ImportOptions::default() };
        assert!(matches!(with(minute), Err(SourceError::Contradiction { option: "interval", .. })));
    }

    #[test]
    fn a_suspended_day_is_taken_and_flagged() {
        let parsed = read("sh600000.day", &write(&[ROW, (20_240_103, [1010; 4], 0.0, 0)])).unwrap();
        assert_eq!((parsed.rows(), parsed.quality.zero_volume), (2, 1));
    }

    #[test]
    fn the_sample_of_a_stock_is_read_to_the_last_row() {
        let Some(bytes) = sample("tdx/sz000001.day") else { return };
        let parsed = read("sz000001.day", &bytes).unwrap();
        let bars = parsed.bars[0].bars();
        let first = bars[0];
        assert_eq!((bars.len(), first.trading_day.to_string().as_str()), (4995, "2000-02-14"));
        assert_eq!(first.numbers(), [19.2, 20.38, 18.7, 20.37, 23_370_900.0, 460_704_992.0, 0.0]);
        assert_eq!((parsed.rejected.len(), parsed.notes.len()), (0, 0));
        let lots = ImportOptions { unit: Some(VolumeUnit::Lots), ..ImportOptions::default() };
        let error = read_with("sz000001.day", &bytes, &lots).unwrap_err();
        assert!(matches!(error, SourceError::UnitMismatch { .. }), "{error}");
    }

    #[test]
    fn the_sample_of_an_index_keeps_its_lots() {
        let Some(bytes) = sample("tdx/sh000001.day") else { return };
        let parsed = read("sh000001.day", &bytes).unwrap();
        let bars = parsed.bars[0].bars();
        assert_eq!((bars.len(), bars[0].volume, bars[0].open), (5156, 43_645_603.0, 1591.44));
        assert!(parsed.notes[0].contains("lots"), "{:?}", parsed.notes);
        let Some(bytes) = sample("tdx/4#CF7D0LAO.day") else { return };
        assert!(!TdxDay.recognises(&SourceFile { name: "4#CF7D0LAO.day", folder: None, bytes: &bytes }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in btree_map(0_i32..20_000, (1_u32..100_000, 0_u32..50, 0_u32..1_000_000), 1..40),
        ) {
            let mut written = Vec::new();
            for (day, (low, range, volume)) in &rows {
                let day = TradingDay::from_days(*day).unwrap().to_string().replace('-', "");
                let high = low + range;
                let amount = u64::from(*volume) * u64::from(low + range / 2) / 100;
                written.push((day.parse().unwrap(), [*low, high, *low, high], amount as f32, *volume));
            }
            let parsed = read("sh600000.day", &write(&written)).unwrap();
            let bars = parsed.bars[0].bars();
            prop_assert_eq!(bars.len(), written.len());
            for (bar, (date, prices, amount, volume)) in bars.iter().zip(&written) {
                let [open, high, low, close] = prices.map(|price| f64::from(price) / 100.0);
                prop_assert_eq!(bar.trading_day.to_string().replace('-', ""), date.to_string());
                let numbers = [open, high, low, close, f64::from(*volume), f64::from(*amount), 0.0];
                prop_assert_eq!(bar.numbers(), numbers);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), rows in 0_usize..4) {
            no_panic(&TdxDay, &["sh600000.day", "sh000001.day", "sh510300.day"], &bytes);
            let head = write(&vec![ROW; rows]);
            no_panic(&TdxDay, &["sh600000.day"], &[head, bytes].concat());
        }
    }
}
