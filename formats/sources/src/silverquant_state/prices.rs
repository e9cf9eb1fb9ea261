//! `max_price.json` and `min_price.json`: the extremes of positions since their entry.

use std::collections::HashSet;

use barkeeper_records::{InstrumentId, PositionKey};

use super::json::entries;
use super::{NAME, Owner, PartialPosition, PositionFact};
use crate::decode::Text;
use crate::error::SourceError;
use crate::parsed::{Parsed, RejectedRow};
use crate::sheet::number;

pub(super) fn parse_highest(file: &str, text: &Text<'_>, owner: &Owner) -> Result<Parsed, SourceError> {
    parse(file, text, owner, "highest prices", PositionFact::Highest)
}

/// Lowest prices, which SilverQuant before 4.5.0 kept wrongly: they were the highest of the days' lows.
pub(super) fn parse_lowest(
    file: &str,
    text: &Text<'_>,
    owner: &Owner,
    trusted: bool,
) -> Result<Parsed, SourceError> {
    let mut parsed =
        parse(file, text, owner, "lowest prices", |price| PositionFact::Lowest { price, trusted })?;
    if !trusted && !parsed.positions.is_empty() {
        let note = "lowest prices are marked as not to be trusted: SilverQuant before 4.5.0 kept the highest of \
            the days' lows, and the file does not tell its version";
        parsed.notes.push(note.to_owned());
    }
    Ok(parsed)
}

fn parse(
    file: &str,
    text: &Text<'_>,
    owner: &Owner,
    what: &str,
    fact: impl Fn(f64) -> PositionFact,
) -> Result<Parsed, SourceError> {
    let mut parsed = Parsed::new(NAME, format!("{NAME}: {what}, a number a position, {}", text.encoding));
    let mut seen = HashSet::new();
    for entry in entries(file, &text.text)? {
        let line = entry.line;
        let mut reject = |field: &str, value: &str, reason: &str| {
            parsed.rejected.push(RejectedRow::new(file, line, field, value, reason));
        };
        if entry.key.starts_with('_') {
            parsed.notes.push(format!("the entry '{}' was left out: it is SilverQuant's own", entry.key));
            continue;
        }
        let instrument = match InstrumentId::parse(&entry.key) {
            Ok(instrument) if seen.insert(instrument) => instrument,
            Ok(_) => {
                reject(
                    "instrument",
                    &entry.key,
                    "the instrument stands in the file under another spelling already",
                );
                continue;
            }
            Err(error) => {
                reject("instrument", &entry.key, &error.to_string());
                continue;
            }
        };
        match number(entry.value) {
            Ok(price) if price > 0.0 => {
                let key =
                    PositionKey { account: owner.account.clone(), book: owner.book.clone(), instrument };
                parsed.positions.push(PartialPosition {
                    key,
                    fact: fact(price),
                    file: file.to_owned(),
                    line,
                });
            }
            _ => reject(&format!("{instrument} price"), entry.value, "expected a price above zero"),
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::testing::sample;

    fn owner() -> Owner {
        Owner { account: "a".parse().unwrap(), book: "b".parse().unwrap() }
    }

    fn text(text: &str) -> Text<'_> {
        Text { text: Cow::Borrowed(text), encoding: "UTF-8" }
    }

    #[test]
    fn prices_are_taken_exactly_and_bad_ones_named() {
        let json = r#"{
            "000001.SZ": 10.123,
            "000002.SZ": 0,
            "000003.SZ": -1.5,
            "000004.SZ": "9",
            "x": 1,
            "_y": 2,
            "000005.SZ": null,
            "000006.SZ": 7,
            "sz000006": 8
        }"#;
        let parsed = parse_highest("max_price.json", &text(json), &owner()).unwrap();
        let kept: Vec<_> =
            parsed.positions.iter().map(|part| (part.key.instrument.as_str(), part.fact)).collect();
        assert_eq!(
            kept,
            [("000001.SZ", PositionFact::Highest(10.123)), ("000006.SZ", PositionFact::Highest(7.0))]
        );
        let lines: Vec<u64> = parsed.rejected.iter().map(|row| row.line).collect();
        assert_eq!((lines, parsed.notes.len()), (vec![3, 4, 5, 6, 8, 10], 1));
    }

    #[test]
    fn lowest_prices_are_trusted_only_when_the_caller_says_so() {
        for trusted in [false, true] {
            let parsed =
                parse_lowest("min_price.json", &text("{\"000001.SZ\": 9.5}"), &owner(), trusted).unwrap();
            assert_eq!(parsed.positions[0].fact, PositionFact::Lowest { price: 9.5, trusted });
            assert_eq!(parsed.notes.is_empty(), trusted);
        }
    }

    #[test]
    fn the_sample_is_read() {
        let Some(bytes) = sample("silverquant/max_price_example.json") else { return };
        let parsed =
            parse_highest("max_price.json", &text(std::str::from_utf8(&bytes).unwrap()), &owner()).unwrap();
        let facts: Vec<_> = parsed.positions.iter().map(|part| part.fact).collect();
        assert_eq!(facts, [PositionFact::Highest(10.0), PositionFact::Highest(9.0)]);
    }
}
