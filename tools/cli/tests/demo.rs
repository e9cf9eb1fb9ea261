//! The demo on a small market: it ends green, and leaves a store that other commands can ask.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use serde_json::Value;
use support::Place;

#[test]
fn the_demo_ends_green_and_leaves_what_it_names() {
    let place = Place::new();
    let report = place.json("demo --dir shown --instruments 60 --days 40");
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() >= 15 && checks.iter().all(|check| check["held"] == true), "{checks:#?}");
    let measured = report["measured"].as_array().unwrap();
    assert!(measured.len() >= 8);
    for one in measured {
        // How fast is not for a test to say; that it was measured is.
        assert!(
            one["timing"]["calls"].as_u64().unwrap() > 0 && one["timing"]["median_ns"].as_u64().unwrap() > 0
        );
    }
    assert!(report["acknowledged"].as_u64().unwrap() > 0);
    for command in
        ["bars get 000001.SZ --last 5", "positions list --account demo-1", "sync check replica", "verify"]
    {
        place.done(&format!("--store shown/store {command}"));
    }
    let again = place.run("demo --dir shown");
    assert_eq!(again.code, 2, "{again:?}");
}

#[test]
fn another_seed_is_another_market() {
    let place = Place::new();
    let close = |seed: u32| -> Value {
        let folder = format!("seed{seed}");
        place.done(&format!("demo --quiet --dir {folder} --instruments 60 --days 30 --seed {seed}"));
        place.json(&format!("--store {folder}/store bars get 000001.SZ --last 1"))[0]["close"].clone()
    };
    assert_ne!(close(1), close(2));
}
