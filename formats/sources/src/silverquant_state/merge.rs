//! Joins what the files of one folder say about positions.
//!
//! A position is what `positions.json` says, or `held_days.json` where there is no `positions.json` of the
//! book: after the change to version 4 the old file stays behind. SilverQuant deletes counter and extremes
//! together, so an extreme of an instrument that has no counter is a remainder of a position that was sold:
//! it goes to the rejected rows.

use std::collections::{BTreeMap, HashSet};

use barkeeper_records::{AccountId, BookId, Position, PositionKey, PositionStatus, TradingDay};

use super::{PartialPosition, PositionFact, StateFile};
use crate::parsed::{Parsed, RejectedRow};

/// The positions of one or more books, joined from their files.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MergedPositions {
    /// In the order of their keys.
    pub positions: Vec<Position>,
    /// The trading day of each book's last daily increment, the latest that a file names.
    pub incremented_on: Vec<(AccountId, BookId, TradingDay)>,
    /// Entries that found no place. What the files themselves rejected is not repeated.
    pub rejected: Vec<RejectedRow>,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

/// Joins what several files say about positions. Of two files that contradict each other the first stands
/// and the other's entry is rejected; logs of orders may be among the files and change nothing.
pub fn merge_positions(parts: &[Parsed]) -> MergedPositions {
    let mut merged = MergedPositions::default();
    let of_version_4 = books_of_version_4(parts);
    let mut positions: BTreeMap<PositionKey, (Position, Extremes)> = BTreeMap::new();
    let counts = |part: &&PartialPosition| matches!(part.fact, PositionFact::Held(_) | PositionFact::Closed);
    for parsed in parts {
        for part in parsed.positions.iter().filter(counts) {
            let book = (&part.key.account, &part.key.book);
            if parsed.state == Some(StateFile::HeldDays) && of_version_4.contains(&book) {
                let reason = "the book has a positions.json, which replaced this file";
                merged.rejected.push(rejected(part, reason));
                continue;
            }
            match positions.get(&part.key) {
                Some((known, _)) if same_count(known, part.fact) => {}
                Some(_) => merged.rejected.push(rejected(part, "another file says otherwise")),
                None => {
                    positions.insert(part.key.clone(), (counted(part), Extremes::default()));
                }
            }
        }
    }
    for parsed in parts {
        for part in parsed.positions.iter().filter(|part| !counts(part)) {
            match positions.get_mut(&part.key) {
                Some((position, extremes)) => {
                    if !extremes.set(position, part.fact) {
                        merged.rejected.push(rejected(part, "another file says otherwise"));
                    }
                }
                None => {
                    merged
                        .rejected
                        .push(rejected(part, "there is no count of held days for this instrument"));
                }
            }
        }
    }
    merged.positions = positions.into_values().map(|(position, _)| position).collect();
    merged.incremented_on = latest_increments(parts, &mut merged.notes);
    merged
}

fn books_of_version_4(parts: &[Parsed]) -> HashSet<(&AccountId, &BookId)> {
    let files = parts.iter().filter(|parsed| parsed.state == Some(StateFile::Positions));
    files
        .flat_map(|parsed| {
            let entries = parsed.positions.iter().map(|part| (&part.key.account, &part.key.book));
            entries.chain(parsed.incremented_on.iter().map(|(account, book, _)| (account, book)))
        })
        .collect()
}

fn latest_increments(parts: &[Parsed], notes: &mut Vec<String>) -> Vec<(AccountId, BookId, TradingDay)> {
    let mut latest: BTreeMap<(AccountId, BookId), TradingDay> = BTreeMap::new();
    for (account, book, day) in parts.iter().flat_map(|parsed| &parsed.incremented_on) {
        let known = latest.entry((account.clone(), book.clone())).or_insert(*day);
        if *known != *day {
            notes.push(format!(
                "book {book} of account {account} was incremented on {known} and {day}: the later stands"
            ));
        }
        *known = (*known).max(*day);
    }
    latest.into_iter().map(|((account, book), day)| (account, book, day)).collect()
}

fn rejected(part: &PartialPosition, reason: &str) -> RejectedRow {
    let (field, value) = match part.fact {
        PositionFact::Held(days) => ("held_days", days.map_or_else(String::new, |days| days.to_string())),
        PositionFact::Closed => ("held_days", "null".to_owned()),
        PositionFact::Highest(price) => ("highest", price.to_string()),
        PositionFact::Lowest { price, .. } => ("lowest", price.to_string()),
    };
    let field = format!("{} {field}", part.key.instrument);
    RejectedRow::new(&part.file, part.line, &field, &value, reason)
}

/// The position that a count tells of, without its extremes.
fn counted(part: &PartialPosition) -> Position {
    let opened = Position::opened(part.key.clone(), None);
    match part.fact {
        PositionFact::Held(days) => Position { held_days: days, ..opened },
        _ => Position { status: PositionStatus::Closed, held_days: None, ..opened },
    }
}

fn same_count(known: &Position, fact: PositionFact) -> bool {
    match fact {
        PositionFact::Held(days) => known.status == PositionStatus::Open && known.held_days == days,
        _ => known.status == PositionStatus::Closed,
    }
}

/// Which extremes of a position a file has told already.
#[derive(Default)]
struct Extremes {
    highest: bool,
    lowest: bool,
}

impl Extremes {
    /// Sets an extreme; false where it is known to be otherwise.
    fn set(&mut self, position: &mut Position, fact: PositionFact) -> bool {
        let (known, slot, price) = match fact {
            PositionFact::Highest(price) => (&mut self.highest, &mut position.highest, price),
            PositionFact::Lowest { price, trusted } => {
                if !self.lowest {
                    position.lowest_trusted = trusted;
                }
                (&mut self.lowest, &mut position.lowest, price)
            }
            PositionFact::Held(_) | PositionFact::Closed => return false,
        };
        if std::mem::replace(known, true) {
            return *slot == Some(price);
        }
        *slot = Some(price);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::silverquant_state::SilverquantState;
    use crate::source::{ImportOptions, Source, SourceFile};

    fn read(folder: &str, files: &[(&str, &str)], trust_lowest: bool) -> MergedPositions {
        let options = ImportOptions { account: "a".parse().ok(), trust_lowest, ..ImportOptions::default() };
        let parse = |(name, text): &(&str, &str)| {
            let file = SourceFile { name, folder: Some(folder), bytes: text.as_bytes() };
            SilverquantState.parse(&file, &options).unwrap()
        };
        merge_positions(&files.iter().map(parse).collect::<Vec<_>>())
    }

    fn shown(merged: &MergedPositions) -> Vec<String> {
        let line = |p: &Position| {
            let Position { key, status, held_days, highest, lowest, lowest_trusted, .. } = p;
            format!(
                "{} {} {held_days:?} {highest:?} {lowest:?} {lowest_trusted}",
                key.instrument,
                status.as_str()
            )
        };
        merged.positions.iter().map(line).collect()
    }

    #[test]
    fn the_files_of_a_folder_become_positions() {
        let files = [
            ("max_price.json", r#"{"000001.SZ": 12.5, "000002.SZ": 8.0, "600000.SH": 7.7}"#),
            ("min_price.json", r#"{"000001.SZ": 10.5}"#),
            (
                "positions.json",
                r#"{"000002.SZ":{"day_count":null},"_inc_date":"2026-11-20","000001.SZ":{"day_count":3}}"#,
            ),
        ];
        let merged = read("prod_pwc", &files, false);
        assert_eq!(
            shown(&merged),
            [
                "000001.SZ open Some(3) Some(12.5) Some(10.5) false",
                "000002.SZ closed None Some(8.0) None true"
            ]
        );
        let days: Vec<_> = merged.incremented_on.iter().map(|(a, b, day)| format!("{a} {b} {day}")).collect();
        assert_eq!(days, ["a prod_pwc 2026-11-20"]);
        let rejected: Vec<_> = merged.rejected.iter().map(ToString::to_string).collect();
        assert_eq!(
            rejected,
            ["max_price.json:1: 600000.SH highest '7.7': there is no count of held days for this instrument"]
        );
        assert!(read("prod_pwc", &files, true).positions[0].lowest_trusted);
        for position in merged.positions {
            assert_eq!(position.clone().born(), Ok(position));
        }
    }

    #[test]
    fn a_remainder_of_version_3_does_not_reopen_what_was_sold() {
        let files = [
            ("held_days.json", r#"{"_inc_date": "2025-09-30", "000001.SZ": 9, "000002.SZ": 4}"#),
            ("positions.json", r#"{"000001.SZ": {"day_count": 1}, "_inc_date": "2026-11-20"}"#),
        ];
        for order in [files, [files[1], files[0]]] {
            let merged = read("p", &order, false);
            assert_eq!(shown(&merged), ["000001.SZ open Some(1) None None true"]);
            assert_eq!((merged.rejected.len(), merged.notes.len()), (2, 1));
            assert_eq!(merged.incremented_on[0].2.to_string(), "2026-11-20");
        }
    }

    #[test]
    fn files_that_contradict_each_other_are_named() {
        let files = [
            ("held_days.json", r#"{"000001.SZ": 9, "000002.SZ": 1}"#),
            ("held_days (2).json", r#"{"000001.SZ": 8, "000002.SZ": 1}"#),
            ("max_price.json", r#"{"000001.SZ": 5}"#),
            ("max_prices.json", r#"{"000001.SZ": 5.5}"#),
            ("min_price.json", r#"{"000001.SZ": 4}"#),
            ("min_prices.json", r#"{"000001.SZ": 4.0}"#),
        ];
        let merged = read("p", &files, true);
        assert_eq!(
            shown(&merged),
            ["000001.SZ open Some(9) Some(5.0) Some(4.0) true", "000002.SZ open Some(1) None None true"]
        );
        let files: Vec<_> = merged.rejected.iter().map(|row| row.file.as_str()).collect();
        assert_eq!(files, ["held_days (2).json", "max_prices.json"]);
    }

    #[test]
    fn books_stay_apart() {
        let text = r#"{"000001.SZ": 1}"#;
        let options = ImportOptions { account: "a".parse().ok(), ..ImportOptions::default() };
        let parse = |folder| {
            let file = SourceFile { name: "held_days.json", folder: Some(folder), bytes: text.as_bytes() };
            SilverquantState.parse(&file, &options).unwrap()
        };
        assert_eq!(merge_positions(&[parse("p"), parse("q")]).positions.len(), 2);
        assert_eq!(merge_positions(&[]), MergedPositions::default());
    }
}
