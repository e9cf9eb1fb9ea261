//! Corrections: what a bar was before, as it was known then.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::thread;
use std::time::Duration;

use barkeeper_host::SystemClock;
use barkeeper_records::Clock as _;
use support::Place;

#[test]
fn a_corrected_bar_is_shown_as_it_was_known() {
    let place = Place::with_store();
    let pause = || thread::sleep(Duration::from_millis(10));
    pause();
    let before = SystemClock.now();
    pause();
    let file = place.path().join("files/prices/vipdoc/sz/lday/sz000001.day");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 32;
    // The close of the last day, one step up.
    bytes[last + 16] += 1;
    fs::write(&file, bytes).unwrap();

    let was = place.json("bars get 000001.SZ --last 1")[0].clone();
    let stopped = place.run("import files/prices/vipdoc/sz/lday/sz000001.day");
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert!(stopped.stderr.contains("other content is stored for 1 bar of 1 series"), "{}", stopped.stderr);
    place.done("import files/prices/vipdoc/sz/lday/sz000001.day --on-conflict replace");
    let is = place.json("bars get 000001.SZ --last 1")[0].clone();
    let step = is["close"].as_f64().unwrap() - was["close"].as_f64().unwrap();
    assert!((step - 0.01).abs() < 1e-9, "{was} {is}");
    let known = place.json(&format!("bars get 000001.SZ --last 1 --as-of {before}"));
    assert_eq!(known[0], was);
    let earlier = place.json("bars get 000001.SZ --as-of 2020-01-01");
    assert_eq!(earlier.as_array().unwrap().len(), 0);
    let told = place.run("bars get 000001.SZ --as-of 2020-01-01");
    assert!(told.stderr.contains("what was imported later is not in it"), "{told:?}");
}

/// With an adjustment, `--as-of` is a trading day, whenever the bars came into the store.
#[test]
fn adjusted_bars_end_with_the_day_that_they_are_seen_from() {
    let place = Place::with_store();
    place.done("factors set 000001.SZ 2023-08-10 --bonus 1");
    let seen = |arguments: &str| {
        let bars = place.json(&format!("bars get 000001.SZ --last 2 {arguments}"));
        let bars = bars.as_array().unwrap().clone();
        bars.iter()
            .map(|bar| (bar["trading_day"].as_str().unwrap().to_owned(), bar["close"].as_f64().unwrap()))
            .collect::<Vec<_>>()
    };
    let raw = place.json("bars get 000001.SZ --from 2023-08-08 --to 2023-08-10");
    let close = |place: usize| raw[place]["close"].as_f64().unwrap();
    let expected = [("2023-08-08".to_owned(), close(0)), ("2023-08-09".to_owned(), close(1))];
    assert_eq!(seen("--adjust forward --as-of 2023-08-09"), expected);
    let halved = [("2023-08-09".to_owned(), close(1) / 2.0), ("2023-08-10".to_owned(), close(2))];
    assert_eq!(seen("--adjust forward --as-of 2023-08-10"), halved);
}
