//! FORMAT.md's lists against the code: tables, kinds of values, fields of rows, hashed columns, named tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use barkeeper_records::{Column, Table};
use barkeeper_storage::{
    BarV1, BookV1, ChunkKind, DigestV1, EventStatsV1, EventTombstoneV1, ExternalIdV1, FactorV1, HeadV1,
    IdentityV1, ImportV1, LogV1, MergeV1, NumberOfV1, NumberV1, PositionV1, RequestOrderV1, RequestV1,
    RetiredV1, RevisionV1, SegmentIndexV1, SegmentV1, StatsPageV1, StoredRow, StrategySnapshotV1,
    TombstoneV1, TradeIdV1, TradeOfInstrumentV1, TradeV1, TradeVoidV1,
};

const FORMAT: &str = include_str!("../../FORMAT.md");

/// The kind of slab chunks, which are no `StoredRow`.
const CHUNK: u8 = 23;

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The part of FORMAT.md between two headings.
fn section(heading: &str) -> &'static str {
    let start = FORMAT.find(heading).unwrap_or_else(|| panic!("no section {heading}"));
    let rest = &FORMAT[start + heading.len()..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The first cells of the rows of a section's tables that name something in backticks.
fn first_cells(section: &'static str) -> Vec<&'static str> {
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn every_table_is_documented() {
    let source = source("engine/src/tables.rs");
    let start = source.find("\ntables! {").expect("the list of tables");
    let list = &source[start..start + source[start..].find("\n}").unwrap()];
    let names: Vec<&str> = list.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(names.len() > 20, "{names:?}");
    assert_eq!(first_cells(section("\n## 5. Tables of store.redb\n")), names);
}

/// All sources of the crate.
fn sources() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

/// The numbers that the sources give to kinds of values: of rows, of links, of chunks.
fn kinds_of_the_sources() -> Vec<u8> {
    let mut found = Vec::new();
    for source in sources() {
        for (before, after) in [("const KIND: u8 = ", ";"), ("= LinkV1<", ">;")] {
            let numbers = source.split(before).skip(1).map(|rest| rest.split(after).next().unwrap());
            // The links' own trait says `KIND`, the number of each stands in its alias.
            found.extend(
                numbers.filter(|number| *number != "KIND").map(|number| number.parse::<u8>().unwrap()),
            );
        }
    }
    found.extend([ChunkKind::Slab as u8, ChunkKind::Block as u8]);
    found.sort_unstable();
    found
}

#[test]
fn every_kind_of_value_is_documented_and_no_two_share_a_number() {
    macro_rules! kinds {
        ($($row:ident)*) => { [$((<$row as StoredRow>::KIND, stringify!($row))),*] };
    }
    let rows = kinds![
        PositionV1 BookV1 TradeV1 ImportV1 BarV1 RevisionV1 TombstoneV1 StatsPageV1 NumberV1 LogV1 DigestV1
        IdentityV1 HeadV1 RequestV1 TradeIdV1 TradeOfInstrumentV1 ExternalIdV1 TradeVoidV1 RequestOrderV1
        NumberOfV1 SegmentV1 SegmentIndexV1 FactorV1 StrategySnapshotV1 EventTombstoneV1 EventStatsV1
        RetiredV1 MergeV1
    ];
    let mut code = rows.map(|(kind, name)| (kind, format!("`{name}`"))).to_vec();
    code.push((CHUNK, "slab chunk".to_owned()));
    code.push((ChunkKind::Slab as u8, "chunk of a slab of ticks or market trades".to_owned()));
    code.push((ChunkKind::Block as u8, "block of ticks or market trades".to_owned()));
    code.sort();
    let numbers: Vec<u8> = (1..=u8::try_from(code.len()).unwrap()).collect();
    let code: Vec<String> = code.into_iter().map(|(kind, what)| format!("| {kind} | {what} |")).collect();
    let lines = section("\n## 4. The envelope\n").lines();
    let of_a_kind =
        lines.filter(|line| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit()));
    // Number and value; the place in `store.redb` stands behind them.
    let said: Vec<String> =
        of_a_kind.map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" | ") + " |").collect();
    assert_eq!(said, code);
    assert_eq!(kinds_of_the_sources(), numbers);
}

/// Structs and enums that are encoded, with their fields or variants, as the source has them.
fn encoded(source: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for part in source.split("Encode, Decode)]\n").skip(1) {
        let (head, rest) = part.split_once(" {\n").unwrap();
        // A struct with a parameter goes by its name alone.
        let name = head.split('<').next().unwrap().rsplit(' ').next().unwrap().to_owned();
        let body = rest.split("\n}").next().unwrap();
        let line = |line: &str| {
            let field = line.trim().trim_start_matches("pub ").trim_end_matches(',');
            (!field.starts_with("///")).then(|| without_spaces(field))
        };
        found.insert(name, body.lines().filter_map(line).collect());
    }
    found
}

#[test]
fn every_row_has_the_documented_fields() {
    let mut code = BTreeMap::new();
    for source in sources() {
        code.append(&mut encoded(&source));
    }
    assert!(code.len() > 20, "{code:?}");
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last = String::new();
    for line in FORMAT.split("```rows\n").skip(1).flat_map(|block| block.split("```").next().unwrap().lines())
    {
        let content = line.split('#').next().unwrap().trim_end();
        if let Some(field) = content.strip_prefix("  ") {
            // `name type` is written `name: type` in the source; variants of enums are the same in both.
            let field = if field.contains('{') { field.to_owned() } else { field.replacen(' ', ":", 1) };
            said.get_mut(&last).unwrap().push(without_spaces(&field));
        } else {
            content.clone_into(&mut last);
            assert!(said.insert(last.clone(), Vec::new()).is_none(), "{last} stands twice");
        }
    }
    for (name, fields) in &code {
        assert_eq!(said.get(name), Some(fields), "{name}");
    }
    assert_eq!(said.keys().collect::<Vec<_>>(), code.keys().collect::<Vec<_>>());
}

#[test]
fn the_hashed_columns_are_those_of_the_schemas() {
    let lines = section("\n## 12. Row hashes, buckets, digests\n").lines();
    let said: Vec<&str> = lines.filter(|line| line.contains("`bk_")).collect();
    let columns =
        |columns: &[Column]| columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    let row = |table: Table| {
        let schema = table.schema();
        let (key, values) = (columns(schema.key), columns(schema.values));
        format!("| {} `{}` | {key} | {values} |", table.code(), schema.name)
    };
    assert_eq!(said, Table::ALL.map(row));
}

#[test]
fn every_named_test_is_there() {
    let mut count = 0;
    for line in section("\n## 16. Invariants\n").lines().filter(|line| line.starts_with("| **")) {
        let tests = line.rsplit(" | ").next().unwrap();
        let mut file = String::new();
        for name in tests.split('`').skip(1).step_by(2) {
            if Path::new(name).extension().is_some() {
                file = source(name);
            } else {
                assert!(file.contains(&format!("fn {name}(")), "no test {name}: {line}");
                count += 1;
            }
        }
    }
    assert!(count > 30, "{count} tests are named");
}
