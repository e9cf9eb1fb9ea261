//! Corporate actions as a CSV: one line for each share and ex-day. A file is taken whole or not at all.

use std::collections::BTreeMap;

use barkeeper_records::{Calendar, FactorError, FactorEvent, InstrumentId, TradingDay};
use csv::StringRecord;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::decode::decode;
use crate::error::SourceError;
use crate::parsed::RejectedRow;
use crate::sheet::{Columns, Sheet, as_wide};
use crate::source::SourceFile;

const NAMES: [&str; 7] = ["code", "ex_date", "cash", "bonus", "rights", "rights_price", "factor"];
const REQUIRED: [&str; 2] = ["code", "ex_date"];
const EXPECTED: &str = "code,ex_date,cash,bonus,rights,rights_price,factor; the last five may be missing";

/// For how many shares a file states cash and new shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerShares {
    /// For one share.
    One,
    /// For ten shares, as announcements in China do: 10 派 3.5 送 3 配 2.
    Ten,
}

/// Reads corporate actions from a CSV with a header. Columns: `code` (`SYMBOL.VENUE` in any spelling),
/// `ex_date`, `cash`, `bonus`, `rights` (for as many shares as `per` says), `rights_price` (for one of them)
/// and `factor`; an empty cell, like a missing column, is nothing, but rights must say their price. Every line has
/// as many cells as the header. Days on which the calendar is closed are wrong for instruments that trade on its clock.
/// Sorted by instrument and ex-day, each with its line; a line that says again what another
/// says counts once.
///
/// # Errors
/// `Header`, `Empty`, `Encoding` and the like where the file is none of these; `Rows` with every line that is
/// wrong, and every column that has another name, then nothing of the file is taken.
pub fn corporate_actions(
    file: &SourceFile<'_>,
    per: PerShares,
    calendar: &Calendar,
) -> Result<Vec<(u64, FactorEvent)>, SourceError> {
    let text = decode(file)?;
    let mut sheet = Sheet::new(file.name, &text)?;
    let Some((_, header)) = sheet.next()? else {
        return Err(SourceError::Empty { file: file.name.to_owned() });
    };
    let columns = Columns::find((file.name, text.encoding), header, &NAMES, &REQUIRED, EXPECTED)?;
    // A misspelt column would take its terms with it, and nobody would miss them.
    let known = |cell: &str| cell.is_empty() || NAMES.iter().any(|name| cell.eq_ignore_ascii_case(name));
    let mut rejected: Vec<RejectedRow> = header
        .iter()
        .map(str::trim)
        .filter(|cell| !known(cell))
        .map(|cell| RejectedRow::new(file.name, 1, "header", cell, format!("expected {EXPECTED}")))
        .collect();
    let width = header.len();
    let mut events: BTreeMap<(InstrumentId, TradingDay), (u64, FactorEvent)> = BTreeMap::new();
    while let Some((line, record)) = sheet.next()? {
        let mut reject = |field: &str, value: &str, reason: String| {
            rejected.push(RejectedRow::new(file.name, line, field, value, reason));
        };
        if let Err((value, reason)) = as_wide(record, width) {
            reject("row", &value, reason);
            continue;
        }
        match row(record, &columns, per) {
            Ok(event) => {
                if let Some(reason) = closed_ex_day(&event, calendar) {
                    reject("ex_date", &event.ex_day.to_string(), reason);
                    continue;
                }
                let place = (event.instrument, event.ex_day);
                let (first, old) = *events.entry(place).or_insert((line, event));
                if !old.same_content(&event) {
                    let value = format!("{} {}", event.instrument, event.ex_day);
                    reject("row", &value, format!("line {first} says something else of this ex-day"));
                }
            }
            Err((field, value, reason)) => reject(field, &value, reason),
        }
    }
    if rejected.is_empty() {
        Ok(events.into_values().collect())
    } else {
        Err(SourceError::Rows { file: file.name.to_owned(), rows: rejected })
    }
}

/// Why the ex-day of an event can be none: the calendar is closed on it, and the instrument trades on its clock.
pub fn closed_ex_day(event: &FactorEvent, calendar: &Calendar) -> Option<String> {
    let closed = event.instrument.zone() == calendar.zone() && !calendar.is_open(event.ex_day);
    closed.then(|| {
        let kind = calendar.kind();
        format!("the calendar {kind} is closed on this day; expected the first trading day without the right")
    })
}

type Wrong = (&'static str, String, String);

fn row(record: &StringRecord, columns: &Columns, per: PerShares) -> Result<FactorEvent, Wrong> {
    let cell = |place: usize| columns.cell(record, place);
    let wrong = |place: usize, reason: &dyn std::fmt::Display| -> Wrong {
        let field = NAMES.get(place).copied().unwrap_or("row");
        (field, cell(place).to_owned(), reason.to_string())
    };
    let instrument: InstrumentId = cell(0).parse().map_err(|error| wrong(0, &error))?;
    let ex_day: TradingDay = cell(1).parse().map_err(|error| wrong(1, &error))?;
    let shares = if per == PerShares::Ten { Decimal::TEN } else { Decimal::ONE };
    let number = |place: usize, divisor: Decimal| -> Result<Option<f64>, Wrong> {
        if cell(place).is_empty() {
            return Ok(None);
        }
        let expected = "expected a decimal number such as 0.35";
        let value: Decimal = cell(place).parse().map_err(|_| wrong(place, &expected))?;
        // Decimal, so that 0.7 for ten shares is 0.07 for one.
        let value = value.checked_div(divisor).and_then(|value| value.to_f64());
        value.map(Some).ok_or_else(|| wrong(place, &expected))
    };
    let event = FactorEvent {
        cash: number(2, shares)?.unwrap_or_default(),
        bonus: number(3, shares)?.unwrap_or_default(),
        rights: number(4, shares)?.unwrap_or_default(),
        rights_price: number(5, Decimal::ONE)?.unwrap_or_default(),
        factor: number(6, Decimal::ONE)?,
        ..FactorEvent::on(instrument, ex_day)
    };
    if event.rights > 0.0 && cell(5).is_empty() {
        let expected =
            "rights are stated without what one of them costs; expected a price such as 5.00, or 0";
        return Err(wrong(5, &expected));
    }
    let born = event.born().and_then(|event| event.plausible().map(|()| event));
    born.map_err(|error| {
        let field = match &error {
            FactorError::NotFinite { field, .. } | FactorError::Range { field, .. } => Some(*field),
            _ => None,
        };
        match field.and_then(|field| NAMES.iter().position(|name| *name == field)) {
            Some(place) => wrong(place, &error),
            None => ("row", record.iter().collect::<Vec<_>>().join(","), error.to_string()),
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, per: PerShares) -> Result<Vec<FactorEvent>, SourceError> {
        let file = SourceFile { name: "actions.csv", folder: None, bytes: text.as_bytes() };
        let found = corporate_actions(&file, per, &Calendar::default())?;
        Ok(found.into_iter().map(|(_, event)| event).collect())
    }

    #[test]
    fn terms_for_ten_shares_are_those_of_one() {
        let text = "ex_date,code,cash,bonus,rights,rights_price\n2024-06-20,sh600000,3.5,3,2,5.00\n\
                    20240621,000001.SZ,0.7,,,\n20240621,000001.SZ,0.70,0,,\n";
        let found = read(text, PerShares::Ten).unwrap();
        let [first, second] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((first.instrument.as_str(), first.terms()), ("000001.SZ", [0.07, 0.0, 0.0, 0.0]));
        assert_eq!(
            (second.ex_day.to_string(), second.terms()),
            ("2024-06-20".to_owned(), [0.35, 0.3, 0.2, 5.0])
        );
        assert_eq!(read(text, PerShares::One).unwrap()[1].terms(), [3.5, 3.0, 2.0, 5.0]);
    }

    #[test]
    fn every_line_that_is_wrong_is_named_with_its_field() {
        let text = "code,ex_date,cash,bonus,rights,rights_price,factor\nmoon,2024-06-20,1,,,,\n\
                    600000.SH,2024-13-20,1,,,,\n600000.SH,2024-06-20,a lot,,,,\n600000.SH,2024-06-20,-1,,,,\n\
                    600000.SH,2024-06-20,,,,,\n600000.SH,2024-06-21,1,,,,\n600000.SH,2024-06-21,2,,,,\n";
        let Err(SourceError::Rows { rows, .. }) = read(text, PerShares::One) else { panic!("it was taken") };
        let found: Vec<(u64, &str)> = rows.iter().map(|row| (row.line, row.field.as_str())).collect();
        let expected = [(2, "code"), (3, "ex_date"), (4, "cash"), (5, "cash"), (6, "row"), (8, "row")];
        assert_eq!(found, expected);
        assert!(rows[5].reason.contains("line 7"), "{}", rows[5].reason);
        let shown = SourceError::Rows { file: "actions.csv".to_owned(), rows }.to_string();
        assert!(shown.contains("line 4: cash 'a lot': expected a decimal number"), "{shown}");
        assert!(matches!(read("code,cash\n", PerShares::One), Err(SourceError::Header { .. })));
        assert!(matches!(read("", PerShares::One), Err(SourceError::Empty { .. })));
    }

    #[test]
    fn terms_of_no_company_and_closed_days_are_refused_with_their_field() {
        let text = "code,ex_date,bonus,factor\n600000.SH,2024-06-20,1001,\n600000.SH,2024-06-21,,5000\n\
                    600000.SH,2024-06-22,1,\nBTCUSDT.BINANCE,2024-06-22,1,\n";
        let Err(SourceError::Rows { rows, .. }) = read(text, PerShares::Ten) else { panic!("it was taken") };
        let found: Vec<(u64, &str, &str)> =
            rows.iter().map(|row| (row.line, row.field.as_str(), row.value.as_str())).collect();
        assert_eq!(found, [(2, "bonus", "1001"), (3, "factor", "5000"), (4, "ex_date", "2024-06-22")]);
        assert!(rows[0].reason.contains("100.1, expected new shares for one share"), "{}", rows[0].reason);
        assert!(rows[2].reason.contains("cn_a is closed on this day"), "{}", rows[2].reason);
    }

    #[test]
    fn rights_without_a_price_and_columns_of_another_name_are_refused() {
        let refused = |text: &str| {
            let Err(SourceError::Rows { rows, .. }) = read(text, PerShares::Ten) else {
                panic!("{text}: taken")
            };
            rows.into_iter().map(|row| (row.line, row.field.clone(), row.value.clone())).collect::<Vec<_>>()
        };
        let row = |line: u64, field: &str, value: &str| (line, field.to_owned(), value.to_owned());
        let text = "code,ex_date,rights\n600000.SH,2024-06-20,3\n";
        assert_eq!(refused(text), [row(2, "rights_price", "")]);
        let text = "code,ex_date,rights,rights_price\n600000.SH,2024-06-20,3,\n600000.SH,2024-06-21,3,0\n";
        assert_eq!(refused(text), [row(2, "rights_price", "")]);
        let text = "code,ex_date,cash,bonuss, note\n600000.SH,2024-06-20,3,1,x\n";
        assert_eq!(refused(text), [row(1, "header", "bonuss"), row(1, "header", "note")]);
    }

    #[test]
    fn a_row_wider_or_narrower_than_the_header_is_refused() {
        let text = "code,ex_date,cash,bonus\n600000.SH,2024-06-20,1,170\n600000.SH,2024-06-21,1,170,0.3\n\
                    600000.SH,2024-06-24,1\n";
        let Err(SourceError::Rows { rows, .. }) = read(text, PerShares::One) else { panic!("it was taken") };
        let found: Vec<(u64, &str)> = rows.iter().map(|row| (row.line, row.field.as_str())).collect();
        assert_eq!(found, [(2, "bonus"), (3, "row"), (4, "row")]);
        assert_eq!(rows[1].value, "600000.SH,2024-06-21,1,170,0.3");
        assert_eq!(rows[1].reason, "5 cells; expected 4 cells as the header has");
        assert_eq!(rows[2].reason, "3 cells; expected 4 cells as the header has");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), ten in any::<bool>()) {
            let per = if ten { PerShares::Ten } else { PerShares::One };
            let text = [b"code,ex_date,cash,bonus,rights,rights_price,factor\n".as_slice(), &bytes].concat();
            drop(corporate_actions(&SourceFile { name: "x.csv", folder: None, bytes: &text }, per, &Calendar::default()));
        }
    }
}
