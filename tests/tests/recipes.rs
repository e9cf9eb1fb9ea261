//! The README's Python recipes, run as they stand there on a published set of files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where something is not as it must be"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use barkeeper::{Dataset, SealOptions, Store, StoreOptions};
use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Batch, FixedClock, Interval, OnConflict, Operation, SeriesKey, TradingDay,
};

fn run(code: u32, days: i32) -> BarRun {
    let bars = (0..days)
        .map(|n| {
            let day = TradingDay::from_days(18_267 + n).unwrap();
            let close = f64::from(code * 10) + f64::from(n) / 4.0;
            Bar::from_numbers(day.label(), day, [close, close, close, close, 100.0, close * 100.0, 0.0])
        })
        .collect();
    let series = SeriesKey::daily(format!("{code:06}.SZ").parse().unwrap());
    BarRun::new(series, bars).unwrap()
}

/// Publishes 24,000 sealed bars and 40 hot ones; answers what a recipe must print.
fn publish(dir: &Path) -> String {
    let clock = Arc::new(FixedClock::new("2026-11-20T02:00:00Z".parse().unwrap()));
    let store = Store::create(&dir.join("store"), StoreOptions::new(clock)).unwrap();
    let runs: Vec<BarRun> = (1..=60).map(|code| run(code, 400)).collect();
    let mut closes: Vec<f64> = runs.iter().flat_map(BarRun::bars).map(|bar| bar.close).collect();
    store.import_bars(runs, Vec::new(), OnConflict::Refuse).unwrap();
    store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    let hot = run(99, 40);
    closes.extend(hot.bars().iter().map(|bar| bar.close));
    store.commit(Batch::of(Operation::PutBars { run: hot, on_conflict: OnConflict::Refuse })).unwrap();
    let dataset = Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw };
    let report = store.publish(dataset, &dir.join("published")).unwrap();
    assert_eq!((report.linked, report.written, report.rows), (1, 1, 24_040));
    format!("{} {}", closes.len(), closes.iter().sum::<f64>())
}

#[test]
fn every_python_recipe_of_the_readme_reads_each_bar_once() {
    let Ok(python) = std::env::var("BARKEEPER_TEST_PYTHON") else {
        eprintln!(
            "SKIPPED: no BARKEEPER_TEST_PYTHON; cargo xtask test provides one with pandas, polars and DuckDB"
        );
        return;
    };
    let readme = include_str!("../../README.md");
    let recipes: Vec<&str> =
        readme.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(recipes.len(), 3, "pandas, polars and DuckDB");
    let dir = tempfile::tempdir().unwrap();
    let expected = publish(dir.path());
    for recipe in recipes {
        let ran = Command::new(&python).arg("-c").arg(recipe).current_dir(dir.path()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{recipe}\n{err}");
        let printed: Vec<f64> = out.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let wanted: Vec<f64> = expected.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(printed, wanted, "{recipe}");
    }
}
