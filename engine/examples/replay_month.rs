//! Replays a month of generated 1-minute bars of 5,000 instruments, and says what it took and how much
//! memory. Making and replaying are two runs, so that the peak of one is not that of the other:
//!
//! ```sh
//! cargo run --release -p barkeeper --example replay_month -- make FOLDER
//! cargo run --release -p barkeeper --example replay_month -- run FOLDER
//! ```
#![allow(clippy::print_stdout, reason = "it is a program for people")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use barkeeper::records::{
    AdjustmentTag, Bar, BarRun, FixedClock, InstrumentId, Interval, OnConflict, SeriesKey, Timestamp,
    TradingDay,
};
use barkeeper::{ReplayRequest, ScanRequest, Store, StoreOptions};

const INSTRUMENTS: usize = 5_000;
const DAYS: i32 = 22;
const MINUTES: i64 = 240;
/// Instruments of one import: one segment of the month.
const PART: usize = 500;
/// 2024-03-01, a Friday.
const FIRST_DAY: i32 = 19_783;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [verb, folder] if verb == "make" => make(Path::new(folder)),
        [verb, folder] if verb == "run" => run(Path::new(folder)),
        _ => Err("expected `make FOLDER` or `run FOLDER`".into()),
    }
}

fn options() -> Result<StoreOptions, Box<dyn Error>> {
    let clock = FixedClock::new("2024-04-01T00:00:00Z".parse()?);
    Ok(StoreOptions { background: false, ..StoreOptions::new(Arc::new(clock)) })
}

fn bars(number: usize) -> Result<BarRun, Box<dyn Error>> {
    let instrument: InstrumentId = format!("{number:06}.SZ").parse()?;
    let series = SeriesKey { interval: Interval::MINUTE, adjustment: AdjustmentTag::Raw, instrument };
    let mut seed = number as u64 + 1;
    let mut price = 10.0 + number as f64 / 100.0;
    let mut bars = Vec::new();
    for day in (FIRST_DAY..).filter(|day| (day + 3) % 7 < 5).take(usize::try_from(DAYS)?) {
        let day = TradingDay::from_days(day).ok_or("a day out of range")?;
        for minute in 0..MINUTES {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let open = price;
            price = ((price + (seed >> 60) as f64 / 100.0 - 0.07) * 100.0).round() / 100.0;
            let volume = (seed >> 40 & 0xffff) as f64;
            // 09:30 in Shanghai, and two hours more from the afternoon on.
            let start = 5_400 + minute * 60 + if minute < 120 { 0 } else { 5_400 };
            let ts = Timestamp::from_nanos(day.label().nanos() + start * 1_000_000_000);
            let (high, low) = (open.max(price), open.min(price));
            bars.push(Bar::from_numbers(ts, day, [open, high, low, price, volume, volume * price, 0.0]));
        }
    }
    BarRun::new(series, bars).map_err(|(row, error)| format!("row {row}: {error}").into())
}

fn make(folder: &Path) -> Done {
    let start = Instant::now();
    let store = Store::create(folder, options()?)?;
    for first in (0..INSTRUMENTS).step_by(PART) {
        let runs = (first..first + PART).map(bars).collect::<Result<_, _>>()?;
        let receipt = store.import_bars(runs, Vec::new(), OnConflict::Refuse)?;
        println!("{} bars, {:.1} s", receipt.inserted, start.elapsed().as_secs_f64());
    }
    store.close()?;
    Ok(())
}

fn run(folder: &Path) -> Done {
    let store = Store::open(folder, options()?)?;
    let snapshot = store.snapshot()?;
    let start = Instant::now();
    let request = ScanRequest::bars(Interval::MINUTE, AdjustmentTag::Raw).columns(["instrument", "close"]);
    let mut rows = 0;
    for batch in snapshot.scan(&request)? {
        rows += batch?.num_rows() as u64;
    }
    told("scan of closes", rows, start);
    let start = Instant::now();
    let (mut rows, mut sum, mut last) = (0_u64, 0.0, Timestamp::MIN);
    for known in snapshot.replay(&ReplayRequest::of(Interval::MINUTE, AdjustmentTag::Raw))? {
        let known = known?;
        if known.at < last {
            return Err("a bar came too late".into());
        }
        last = known.at;
        rows += 1;
        sum += known.bar().map_or(0.0, |(_, bar)| bar.close);
    }
    told("replay", rows, start);
    println!("sum of closes {sum:.2}");
    Ok(())
}

fn told(work: &str, rows: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{work}: {rows} bars, {seconds:.2} s, peak so far {}", peak());
}

/// The most memory that was resident, where the system says so.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}
