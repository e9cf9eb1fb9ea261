//! How fast a market's ticks are appended: `cargo run --release -p barkeeper --example tick_rate [SECONDS]`.
//!
//! 5,000 instruments send one tick a second for ten minutes, or for as long as is said; each second is one durable commit, and the
//! commits follow each other without a pause. Hot rows are sealed by another thread meanwhile. Prints the
//! rate, the percentiles of a commit, and what it took to read one instrument's ticks and to
//! scan all of them in either order.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "an example may stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use barkeeper::records::{
    Batch, FixedClock, InstrumentId, LEVELS, OnConflict, Operation, Tick, Timestamp, TradingDay,
};
use barkeeper::{ScanOrder, ScanRequest, SealOptions, Store, StoreOptions};

const INSTRUMENTS: usize = 5_000;
const SECONDS: i64 = 600;
/// Seconds of hot ticks after which they are sealed.
const SEAL_SECONDS: i64 = 60;

fn tick(start: Timestamp, second: i64, number: usize) -> Tick {
    let price = 10.0 + (number % 900) as f64 / 10.0 + ((second * 7 + number as i64) % 40) as f64 / 100.0;
    let cents = |offset: f64| ((price + offset) * 100.0).round() / 100.0;
    let side =
        |sign: f64| std::array::from_fn::<f64, LEVELS, _>(|level| cents(sign * (level as f64 + 1.0) / 100.0));
    let volumes = |salt: i64| {
        std::array::from_fn::<f64, LEVELS, _>(|level| {
            ((number as i64 * 31 + salt + level as i64 * 17) % 900 * 100) as f64
        })
    };
    let volume = (second * 1_000 + number as i64 * 100) as f64;
    Tick {
        ts: Timestamp::from_nanos(
            start.nanos() + second * 1_000_000_000 + (number % 1_000) as i64 * 1_000_000,
        ),
        trading_day: TradingDay::of_utc(start).unwrap(),
        last: cents(0.0),
        volume,
        turnover: (volume * cents(0.0)).round(),
        upper_limit: cents(1.0),
        lower_limit: cents(-1.0),
        bid_prices: side(-1.0),
        bid_volumes: volumes(second),
        ask_prices: side(1.0),
        ask_volumes: volumes(second + 7),
        ..Tick::default()
    }
}

fn percentile(sorted: &[Duration], of: usize) -> f64 {
    sorted[(sorted.len() - 1) * of / 100].as_secs_f64() * 1_000.0
}

fn main() {
    let seconds = std::env::args().nth(1).map_or(SECONDS, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let start: Timestamp = "2024-01-02T01:30:00Z".parse().unwrap();
    let clock = Arc::new(FixedClock::new(start));
    let store = Store::create(&folder.path().join("store"), StoreOptions::new(clock.clone())).unwrap();
    let names: Vec<InstrumentId> =
        (0..INSTRUMENTS).map(|number| format!("{:06}.SZ", number + 1).parse().unwrap()).collect();
    let done = AtomicBool::new(false);
    let mut commits = Vec::new();
    let began = Instant::now();
    let sealed = std::thread::scope(|scope| {
        let sealer = scope.spawn(|| {
            let (mut rows, mut segments) = (0, 0);
            loop {
                let last = done.load(Ordering::SeqCst);
                let hot = store.stats().unwrap().hot_events;
                if last || hot >= (SEAL_SECONDS * INSTRUMENTS as i64) as u64 {
                    let report = store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
                    rows += report.rows;
                    segments += report.segments;
                }
                if last {
                    return (rows, segments);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        for second in 0..seconds {
            let ticks = names.iter().enumerate().map(|(n, name)| (*name, tick(start, second, n))).collect();
            clock.set(Timestamp::from_nanos(start.nanos() + second * 1_000_000_000));
            let batch = Batch::of(Operation::PutTicks { ticks, on_conflict: OnConflict::Replace });
            let at = Instant::now();
            store.commit(batch).unwrap();
            commits.push(at.elapsed());
        }
        done.store(true, Ordering::SeqCst);
        sealer.join().unwrap()
    });
    let took = began.elapsed().as_secs_f64();
    commits.sort_unstable();
    let rows = seconds as f64 * INSTRUMENTS as f64;
    println!(
        "{rows:.0} ticks in {took:.1} s: {:.0} a second, {:.1} times as fast as the market",
        rows / took,
        seconds as f64 / took
    );
    println!(
        "commit of {INSTRUMENTS} ticks: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        percentile(&commits, 50),
        percentile(&commits, 99),
        percentile(&commits, 100)
    );
    let stats = store.stats().unwrap();
    println!(
        "sealed {} rows into {} segments of {:.1} bytes a row; store.redb {:.1} MB",
        sealed.0,
        sealed.1,
        stats.segment_bytes as f64 / rows,
        stats.hot_bytes as f64 / 1e6
    );
    let snapshot = store.snapshot().unwrap();
    let at = Instant::now();
    let found = snapshot.ticks(&names[2_500], Timestamp::MIN, Timestamp::MAX).unwrap().len();
    println!("{found} ticks of one instrument read in {:.1} ms", at.elapsed().as_secs_f64() * 1_000.0);
    for order in [ScanOrder::Instrument, ScanOrder::Time] {
        for columns in [&["instrument", "ts", "last"][..], &[]] {
            let mut request = ScanRequest::ticks().order(order);
            if !columns.is_empty() {
                request = request.columns(columns.iter().copied());
            }
            let at = Instant::now();
            let found: usize = snapshot.scan(&request).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
            let (shown, took) =
                (if columns.is_empty() { 30 } else { columns.len() }, at.elapsed().as_secs_f64());
            let rate = found as f64 / took / 1e6;
            println!("{found} ticks by {order:?}, {shown} columns: {took:.2} s, {rate:.2} million a second");
        }
    }
}
