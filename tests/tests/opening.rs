//! Opening: a store that was closed is opened without a look at its pages, one that was killed is checked whole, once,
//! and says how far it has come.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use barkeeper::{Store, StoreOptions};
use barkeeper_records::{
    AdjustmentTag, BarRun, Batch, FixedClock, Interval, Lsn, OnConflict, Operation, SeriesKey, Timestamp,
};
use barkeeper_tests::folder::{clock, copy, options, scratch};
use barkeeper_tests::market::Market;
use barkeeper_tests::seed::rounds;

/// Opens a store, and answers what its check said and its head.
fn open(dir: &Path, clock: &Arc<FixedClock>) -> (Vec<(u64, u64)>, Lsn, u128) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let on_check = Arc::new(move |done, all| told.lock().unwrap().push((done, all)));
    let options = StoreOptions { on_check: Some(on_check), cache_bytes: 128 << 20, ..options(clock) };
    let start = Instant::now();
    let store = Store::open(dir, options).unwrap();
    let took = start.elapsed().as_micros();
    let lsn = store.snapshot().unwrap().lsn();
    let heard = heard.lock().unwrap().clone();
    (heard, lsn, took)
}

#[test]
fn a_closed_store_opens_without_a_check_and_a_killed_one_with_one() {
    const BARS: usize = 100_000;
    for commits in [1, 4, 16].into_iter().take(rounds(1, 3).min(3)) {
        let (dir, killed, clock, market) = (scratch(), scratch(), clock(), Market::new(16));
        let store = Store::create(dir.path(), options(&clock)).unwrap();
        let (interval, adjustment) = (Interval::MINUTE, AdjustmentTag::Raw);
        let mut last = None;
        for instrument in market.instruments.iter().copied().take(commits) {
            let series = SeriesKey { interval, adjustment, instrument };
            let bar =
                |place| Market::bar(&series, Market::moment(interval, place / 200, place % 200), place % 3);
            let run = BarRun::new(series, (0..BARS).map(bar).collect()).unwrap();
            let on_conflict = OnConflict::Refuse;
            store.commit(Batch::of(Operation::PutBars { run, on_conflict })).unwrap();
            last = Some(series);
        }
        // What a kill leaves is what the files hold now.
        copy(dir.path(), killed.path()).unwrap();
        store.close().unwrap();
        let bytes = fs::metadata(dir.path().join("store.redb")).unwrap().len();
        let (heard, lsn, clean) = open(dir.path(), &clock);
        assert_eq!((heard.len(), lsn), (0, Lsn(commits as u64)));
        let (heard, lsn, after_kill) = open(killed.path(), &clock);
        assert_eq!(lsn, Lsn(commits as u64));
        assert!(!heard.is_empty() && heard.is_sorted() && heard.iter().all(|(done, all)| done <= all));
        // Once: the sums are known after it.
        let (heard, _, again) = open(killed.path(), &clock);
        assert!(heard.is_empty());
        fs::remove_file(dir.path().join("store.sums")).unwrap();
        let (heard, _, without) = open(dir.path(), &clock);
        assert!(!heard.is_empty());
        println!(
            "{} MiB: closed {clean} us, killed {after_kill} us, then {again} us, closed and without sums {without} us",
            bytes >> 20
        );
        let store = Store::open(dir.path(), options(&clock)).unwrap();
        let series = last.unwrap();
        let bars = store.snapshot().unwrap().bars(&series, Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!(bars.len(), BARS);
    }
}
