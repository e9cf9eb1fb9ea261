//! `held_days.json` and `positions.json`: which positions are held, for how many trading days.

use std::collections::HashSet;

use barkeeper_records::{InstrumentId, PositionKey, TradingDay};

use super::json::entries;
use super::{NAME, Owner, PartialPosition, PositionFact};
use crate::decode::Text;
use crate::error::SourceError;
use crate::parsed::{Parsed, RejectedRow};

/// The key that holds the day of the last increment; it may stand anywhere.
const INCREMENTED: &str = "_inc_date";
const COUNT: &str = "day_count";

pub(super) fn parse(file: &str, text: &Text<'_>, owner: &Owner) -> Result<Parsed, SourceError> {
    let profile = format!("{NAME}: days held, an object or a number a position, {}", text.encoding);
    let mut parsed = Parsed::new(NAME, profile);
    let mut seen = HashSet::new();
    for entry in entries(file, &text.text)? {
        let line = entry.line;
        let reject =
            |field: &str, value: &str, reason: &str| RejectedRow::new(file, line, field, value, reason);
        if entry.key == INCREMENTED {
            match day(entry.value) {
                Some(day) => parsed.incremented_on.push((owner.account.clone(), owner.book.clone(), day)),
                None => parsed.rejected.push(reject(
                    INCREMENTED,
                    entry.value,
                    "expected a date as \"YYYY-MM-DD\"",
                )),
            }
            continue;
        }
        if entry.key.starts_with('_') {
            parsed.notes.push(format!("the entry '{}' was left out: it is SilverQuant's own", entry.key));
            continue;
        }
        let instrument = match InstrumentId::parse(&entry.key) {
            Ok(instrument) => instrument,
            Err(error) => {
                parsed.rejected.push(reject("instrument", &entry.key, &error.to_string()));
                continue;
            }
        };
        if !seen.insert(instrument) {
            let reason = format!("{instrument} stands in the file under another spelling already");
            parsed.rejected.push(reject("instrument", &entry.key, &reason));
            continue;
        }
        match fact(file, entry.value) {
            Ok((fact, unread)) => {
                let key =
                    PositionKey { account: owner.account.clone(), book: owner.book.clone(), instrument };
                parsed.positions.push(PartialPosition { key, fact, file: file.to_owned(), line });
                let left = unread
                    .into_iter()
                    .map(|name| format!("'{name}' of {instrument} was left out: it is not known"));
                parsed.notes.extend(left);
            }
            Err(Unread::Count(value)) => {
                parsed.rejected.push(reject(
                    &format!("{instrument} {COUNT}"),
                    &value,
                    "expected a whole number from 0, or null",
                ));
            }
            Err(Unread::File(error)) => return Err(error),
        }
    }
    Ok(parsed)
}

fn day(value: &str) -> Option<TradingDay> {
    serde_json::from_str::<String>(value).ok()?.trim().parse().ok()
}

enum Unread {
    Count(String),
    File(SourceError),
}

/// A number (until v3), or an object with a count (from v4). Returns names in the object that are not known.
fn fact(file: &str, value: &str) -> Result<(PositionFact, Vec<String>), Unread> {
    if !value.starts_with('{') {
        return Ok((held(value)?, Vec::new()));
    }
    let mut fact = PositionFact::Held(None);
    let mut unread = Vec::new();
    for entry in entries(file, value).map_err(Unread::File)? {
        match entry.key.as_str() {
            COUNT if entry.value == "null" => fact = PositionFact::Closed,
            COUNT => fact = held(entry.value)?,
            _ => unread.push(entry.key),
        }
    }
    Ok((fact, unread))
}

fn held(value: &str) -> Result<PositionFact, Unread> {
    let days = value.parse().map_err(|_| Unread::Count(value.to_owned()))?;
    Ok(PositionFact::Held(Some(days)))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::testing::sample;

    fn read(text: &str) -> Result<Parsed, SourceError> {
        let owner = Owner { account: "a".parse().unwrap(), book: "prod_pwc".parse().unwrap() };
        parse("positions.json", &Text { text: Cow::Borrowed(text), encoding: "UTF-8" }, &owner)
    }

    fn facts(parsed: &Parsed) -> Vec<(&str, PositionFact)> {
        parsed.positions.iter().map(|part| (part.key.instrument.as_str(), part.fact)).collect()
    }

    fn inc_date(parsed: &Parsed) -> Vec<String> {
        parsed.incremented_on.iter().map(|(_, book, day)| format!("{book} {day}")).collect()
    }

    #[test]
    fn both_versions_are_read_and_the_date_may_stand_anywhere() {
        let old = read(r#"{"000001.SZ": 0, "_inc_date": "2024-10-10", "SH600000": 12}"#).unwrap();
        assert_eq!(
            facts(&old),
            [("000001.SZ", PositionFact::Held(Some(0))), ("600000.SH", PositionFact::Held(Some(12)))]
        );
        let new = read(
            r#"{"000001.SZ":{"day_count":1},"000002.SZ":{"day_count":null},"000003.SZ":{},"_inc_date":"2024-10-10"}"#,
        );
        let new = new.unwrap();
        assert_eq!(
            facts(&new),
            [
                ("000001.SZ", PositionFact::Held(Some(1))),
                ("000002.SZ", PositionFact::Closed),
                ("000003.SZ", PositionFact::Held(None)),
            ]
        );
        for parsed in [&old, &new] {
            assert_eq!(inc_date(parsed), ["prod_pwc 2024-10-10"]);
            assert_eq!(parsed.rejected, []);
        }
        assert_eq!(inc_date(&read("{}").unwrap()).len(), 0);
    }

    #[test]
    fn a_bad_entry_is_named_and_the_rest_taken() {
        let text = r#"{
            "000001": 1,
            "000001.SZ": -1,
            "000002.SZ": 1.5,
            "000003.SZ": "1",
            "000004.SZ": {"day_count": true},
            "_inc_date": "today",
            "000005.SZ": 5,
            "SZ000005": 6,
            "000006.SZ": null,
            "_x": 1,
            "000007.SZ": {"day_count": 7, "note": 1}
        }"#;
        let parsed = read(text).unwrap();
        let rejected: Vec<_> =
            parsed.rejected.iter().map(|row| (row.line, row.field.as_str(), row.value.as_str())).collect();
        assert_eq!(
            rejected,
            [
                (2, "instrument", "000001"),
                (3, "000001.SZ day_count", "-1"),
                (4, "000002.SZ day_count", "1.5"),
                (5, "000003.SZ day_count", "\"1\""),
                (6, "000004.SZ day_count", "true"),
                (7, "_inc_date", "\"today\""),
                (9, "instrument", "SZ000005"),
                (10, "000006.SZ day_count", "null"),
            ]
        );
        assert!(parsed.rejected[0].reason.contains("000001.SH, 000001.SZ"), "{}", parsed.rejected[0]);
        let kept = [("000005.SZ", PositionFact::Held(Some(5))), ("000007.SZ", PositionFact::Held(Some(7)))];
        assert_eq!(facts(&parsed), kept);
        assert_eq!(parsed.notes.len(), 2);
    }

    #[test]
    fn a_doubled_key_is_an_error_at_any_depth() {
        for text in
            [r#"{"000001.SZ": 1, "000001.SZ": 2}"#, r#"{"000001.SZ": {"day_count": 1, "day_count": 2}}"#]
        {
            assert!(matches!(read(text), Err(SourceError::DuplicateKey { .. })), "{text}");
        }
    }

    #[test]
    fn the_samples_are_read() {
        let Some(bytes) = sample("silverquant/held_days_example.json") else { return };
        let old = read(std::str::from_utf8(&bytes).unwrap()).unwrap();
        assert_eq!(
            facts(&old),
            [("000001.SZ", PositionFact::Held(Some(0))), ("000002.SZ", PositionFact::Held(Some(1)))]
        );
        assert_eq!(inc_date(&old), ["prod_pwc 2024-10-10"]);
        let Some(bytes) = sample("silverquant/positions.v4.json") else { return };
        let new = read(std::str::from_utf8(&bytes).unwrap()).unwrap();
        let held = PositionFact::Held(Some(1));
        assert_eq!(facts(&new), [("000001.SZ", held), ("600000.SH", held), ("430047.BJ", held)]);
        assert_eq!(inc_date(&new), ["prod_pwc 2026-11-21"]);
    }
}
