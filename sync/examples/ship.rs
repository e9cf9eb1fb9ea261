//! Ships 375,000 daily bars into a fresh SQLite file, through the log and bucket by bucket, and compares
//! them: `cargo run --release -p barkeeper-sync --features conformance --example ship [FOLDER]`.

use std::error::Error;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use barkeeper_records::{ChangeFeed, Clock, FixedClock, Lsn, Table, TradingDay, Value};
use barkeeper_sync::conformance::{MemoryFeed, Write, bar_key, series};
use barkeeper_sync::sqlite::{SqliteConfig, SqliteSink};
use barkeeper_sync::{CheckOptions, MemoryFile, Options, Reached, Replicator, Verdict};

const INSTRUMENTS: usize = 5_000;
const DAYS: i32 = 75;

fn store() -> Result<Arc<MemoryFeed>, Box<dyn Error>> {
    let feed = MemoryFeed::new(1, 1, 1);
    for number in 0..DAYS {
        let day = TradingDay::from_days(19_700 + number).ok_or("a day out of range")?;
        let bars = (0..INSTRUMENTS).map(|at| {
            let venue = if at % 2 == 0 { "SH" } else { "SZ" };
            let of = series(&format!("{:06}.{venue}", 1 + at * 127 % 699_999), "1d");
            let price = 10.0 + at as f64 / 7.0 + f64::from(number) * 0.01;
            let mut values = vec![Value::Day(day)];
            let volume = 1e6 + at as f64;
            values.extend(
                [price, price + 0.1, price - 0.1, price, volume, price * volume, 0.0].map(Value::Double),
            );
            Write::Put(Table::Bars, bar_key(&of, day.label().nanos()), values)
        });
        feed.commit(bars.collect())?;
    }
    Ok(feed)
}

fn replicate(feed: &Arc<MemoryFeed>, folder: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let path = folder.join(format!("{name}.sqlite"));
    let sink = SqliteSink::new(SqliteConfig::of(&path))?;
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(feed.now()));
    let options = Options { verify_every: None, ..Options::of(name, 7) };
    let memory = MemoryFile::new(folder.join(format!("{name}.json")));
    let feed: Arc<dyn ChangeFeed> = Arc::<MemoryFeed>::clone(feed);
    let mut replicator = Replicator::new(feed, Box::new(sink), clock, memory, options);
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let mut steps = 0;
    let reached = replicator.run_until_current(&stop, &mut |_, _| steps += 1);
    let shipped = start.elapsed();
    if reached != Reached::Current {
        return Err(format!("{:?}", replicator.status()).into());
    }
    let start = Instant::now();
    let digests = replicator.check(&CheckOptions { deep: false, list: 0 }, &stop)?;
    let compared = start.elapsed();
    let start = Instant::now();
    let deep = replicator.check(&CheckOptions::default(), &stop)?;
    let rows = INSTRUMENTS as f64 * f64::from(DAYS);
    writeln!(
        stdout(),
        "{name}: {rows} bars in {shipped:.2?} ({:.0} bars/s, {steps} steps, {} bytes); digests compared in \
         {compared:.2?}; deep check in {:.2?}",
        rows / shipped.as_secs_f64(),
        path.metadata()?.len(),
        start.elapsed()
    )?;
    if (digests.verdict, deep.verdict) != (Verdict::Agree, Verdict::Agree) {
        return Err(format!("{deep:?}").into());
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("barkeeper-ship-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let feed = store()?;
    replicate(&feed, &folder, "through the log")?;
    feed.trim(Lsn(u64::MAX));
    replicate(&feed, &folder, "by buckets")?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
