//! What the program prints as CSV comes in again as it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::Place;

#[test]
fn exported_bars_come_into_another_store_as_they_were() {
    let place = Place::with_store();
    place.done("--store other init");
    let kinds = ["--interval 1d", "--interval 1d --adjustment qfq", "--interval 1h"];
    let list = |store: &str, kind: &str| place.done(&format!("{store}bars list {kind} --format csv"));
    for (number, kind) in kinds.into_iter().enumerate() {
        let file = format!("bars-{number}.csv");
        fs::write(place.path().join(&file), list("", kind)).unwrap();
        let taken = place.json(&format!("--store other import {file} {kind}"));
        assert!(
            taken["sources"]["bars-csv"] == 1 && taken["rejected"].as_array().unwrap().is_empty(),
            "{taken}"
        );
        assert!(taken["bars"]["inserted"].as_u64().unwrap() > 100, "{taken}");
        let again = place.json(&format!("--store other import {file} {kind}"));
        assert_eq!(again["commits"], 0, "{again}");
    }
    for kind in kinds {
        assert_eq!(list("--store other ", kind), list("", kind), "{kind}");
    }
    // One day is a part of what is there.
    fs::write(place.path().join("day.csv"), place.done("bars day 2023-07-05 --format csv --all-columns"))
        .unwrap();
    let day = place.json("--store other import day.csv --interval 1d");
    assert_eq!((&day["bars"]["inserted"], &day["bars"]["unchanged"]), (&0.into(), &8.into()), "{day}");
    let asked = place.run("--store other import day.csv");
    assert!(asked.code == 1 && asked.stderr.contains("give --interval"), "{asked:?}");
}

#[test]
fn an_import_says_how_many_lines_were_left_out_and_where() {
    let place = Place::new();
    place.done("init");
    let text = "instrument,ts,open,high,low,close,volume,turnover\n600000.SH,2024-01-02,10,10.2,9.9,10.1,100,1005\n\
                600000.SH,2024-01-03,ten,10.2,9.9,10.1,100,1005\n600000.SH,2024-01-04,0,10.2,9.9,10.1,100,1005\n";
    fs::write(place.path().join("own.csv"), text).unwrap();
    let ran = place.run("import own.csv --interval 1d");
    assert_eq!(ran.code, 1, "{ran:?}");
    for says in [
        "own.csv:3: left out: open 'ten': expected a decimal number",
        "1 line of 1 file was left out",
        "note: taken as they are: 1 bar with a price of zero, 1 bar with a price outside of high and low",
    ] {
        assert!(ran.stderr.contains(says), "{says}: {ran:?}");
    }
    assert_eq!(place.done("bars list --format csv").lines().count(), 3);
}

#[test]
fn a_file_of_bars_that_is_something_else_is_refused_and_a_column_left_alone_is_named() {
    let place = Place::new();
    place.done("init");
    let header = "instrument,ts,open,high,low,close,volume,turnover";
    let hours: Vec<String> =
        (10..22).map(|hour| format!("600000.SH,2024-01-02T{hour}:00:00Z,10,10,10,10,100,1000\n")).collect();
    let hours = hours.concat();
    let right = "600000.SH,2024-01-02,10,10,10,10,100,1000\n";
    for (text, says) in [
        (format!("{header}\n{right}{hours}"), "12 of 13 rows do not fit: line 3"),
        (format!("{header},adjustement\n{}", right.replace("1000\n", "1000,qfq\n")), "header 'adjustement'"),
        (
            format!("{header}\n{}", right.replace(",1000\n", ",100000\n")),
            "the volume of 600000.SH is in lots",
        ),
    ] {
        fs::write(place.path().join("own.csv"), text).unwrap();
        let ran = place.run("import own.csv --interval 1d");
        assert!(ran.code == 1 && ran.stderr.contains(says), "{says}: {ran:?}");
    }
    assert_eq!(
        place.run("bars list --format csv").stdout.lines().filter(|line| line.starts_with('6')).count(),
        0
    );
    let text = format!("{header},note\n{}", right.replace("1000\n", "1000,x\n"));
    fs::write(place.path().join("own.csv"), text).unwrap();
    let ran = place.run("import own.csv --interval 1d");
    assert!(
        ran.code == 0 && ran.stderr.contains("the column note is not known and was left alone"),
        "{ran:?}"
    );
}
