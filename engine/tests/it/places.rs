//! Folders and names that other systems find odd: Chinese names, long paths, instruments that are called
//! like devices or differ in case only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barkeeper::records::{AdjustmentTag, Batch, FixedClock, Interval};
use barkeeper::{Dataset, SealOptions, Store, StoreOptions};

use crate::common::{bar, daily, id, nth, put, put_section};

const DATASET: Dataset = Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw };

fn options() -> StoreOptions {
    let clock = FixedClock::new("2026-11-20T02:00:00Z".parse().unwrap());
    StoreOptions { background: false, ..StoreOptions::new(Arc::new(clock)) }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// Commits, seals, publishes, reopens and verifies in a folder.
fn live_in(dir: &Path) {
    let store = Store::create(dir, options()).unwrap();
    for n in 0..6 {
        let bars = vec![(id("000001.SZ"), bar(nth(n), 10.0)), (id("sr2405.CZCE"), bar(nth(n), 20.0))];
        store.commit(Batch::of(put_section(bars))).unwrap();
    }
    store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    store.commit(Batch::of(put(daily("000001.SZ"), vec![bar(nth(9), 11.0)]))).unwrap();
    let published = store.publish(DATASET, &dir.join("公布")).unwrap();
    assert_eq!(published.rows, 13);
    let files = store.files(DATASET, barkeeper::Axis::Instrument).unwrap();
    assert!(!files.files.is_empty() && files.files.iter().all(|file| file.is_file()), "{files:?}");
    store.close().unwrap();
    let report = Store::verify(dir, options(), &mut |_, _| {}).unwrap();
    assert_eq!(report.findings, []);
    let store = Store::open(dir, options()).unwrap();
    let closes: Vec<f64> =
        store.last_bars(&daily("000001.SZ"), 2).unwrap().iter().map(|bar| bar.close).collect();
    assert_eq!(closes, [10.0, 11.0]);
}

#[test]
fn a_store_lives_in_a_folder_with_a_chinese_name() {
    let dir = tempfile::tempdir().unwrap();
    live_in(&dir.path().join("行情 数据").join("帐户（甲）"));
}

#[test]
fn a_store_lives_behind_a_path_of_four_hundred_characters() {
    let dir = tempfile::tempdir().unwrap();
    let mut deep = dir.path().to_owned();
    while deep.to_string_lossy().chars().count() < 400 {
        deep.push("a folder with a long name 很长的名字");
    }
    live_in(&deep);
}

#[test]
fn symbols_are_data_and_never_names_of_files() {
    let mut symbols =
        vec!["IF2403.CFFEX", "if2403.CFFEX", "SR405.CZCE", "sr405.CZCE", "a:b.LOCAL", "x y.LOCAL"];
    symbols.extend(["CON.NYSE", "con.NYSE", "AUX.NYSE", "aux.NYSE", "NUL.NASDAQ", "PRN.NYSE", "COM1.NASDAQ"]);
    symbols.extend(["LPT1.NYSE", "../up.LOCAL", "a/b.LOCAL", "x..LOCAL"]);
    symbols.sort_unstable();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path(), options()).unwrap();
    for n in 0..3 {
        let price = |place: usize| f64::from(n) * 100.0 + place as f64 + 10.0;
        let bars =
            symbols.iter().enumerate().map(|(place, name)| (id(name), bar(nth(n), price(place)))).collect();
        store.commit(Batch::of(put_section(bars))).unwrap();
        if n == 1 {
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        }
    }
    store.publish(DATASET, &dir.path().join("published")).unwrap();
    for (place, name) in symbols.iter().enumerate() {
        let found: Vec<f64> = store.last_bars(&daily(name), 9).unwrap().iter().map(|bar| bar.close).collect();
        let expected: Vec<f64> = (0..3).map(|n| f64::from(n) * 100.0 + place as f64 + 10.0).collect();
        assert_eq!(found, expected, "{name}");
    }
    let day = store.cross_section(Interval::DAY, AdjustmentTag::Raw, nth(0).label()).unwrap();
    assert_eq!(day.iter().map(|(instrument, _)| instrument.as_str()).collect::<Vec<_>>(), symbols);
    // Two names that differ in case alone would be one file on Windows.
    let files = files_below(dir.path());
    let folded: BTreeSet<String> = files.iter().map(|file| file.to_string_lossy().to_lowercase()).collect();
    assert_eq!(folded.len(), files.len());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().to_lowercase();
        let stem = name.split('.').next().unwrap();
        for symbol in &symbols {
            let symbol = symbol.rsplit_once('.').unwrap().0.to_lowercase();
            assert!(stem != symbol && (symbol.len() < 4 || !name.contains(&symbol)), "{name}");
        }
    }
}
