//! Stores in folders: their options, their files, copies of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barkeeper::{Axis, Dataset, Store, StoreOptions, VerifyReport};
use barkeeper_records::{AdjustmentTag, Clock, FixedClock, Interval, Timestamp};
use tempfile::TempDir;

/// Where the clocks of tests begin: 2024-03-01 01:30 UTC, a Friday morning in Shanghai.
pub const START: Timestamp = Timestamp::from_nanos(1_709_256_600_000_000_000);

/// A clock that stands still until a test moves it.
pub fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(START))
}

/// Moves a clock by milliseconds, forwards or backwards, and answers what it shows then.
pub fn turn(clock: &FixedClock, millis: i64) -> Timestamp {
    let now = Timestamp::from_nanos(clock.now().nanos() + millis * 1_000_000);
    clock.set(now);
    now
}

/// Options without a thread of the store's own, so that a test decides when relaxed values are written.
pub fn options(clock: &Arc<FixedClock>) -> StoreOptions {
    // Clocks of tests jump by days; what is held through that is held on purpose.
    let snapshot_age = Duration::from_secs(1 << 30);
    StoreOptions {
        background: false,
        cache_bytes: 16 << 20,
        snapshot_age,
        reserve_bytes: 0,
        ..StoreOptions::new(clock.clone())
    }
}

/// What `verify` found in a store that nobody has open.
///
/// # Errors
/// The findings, or why it could not verify.
pub fn verify(dir: &Path, options: StoreOptions) -> Result<VerifyReport, String> {
    let report = Store::verify(dir, options, &mut |_, _| {}).map_err(|error| format!("verify: {error}"))?;
    if report.findings.is_empty() { Ok(report) } else { Err(format!("verify: {:?}", report.findings)) }
}

/// A folder that goes with the test, in memory where the system has such folders: for tests about bytes,
/// which open and close thousands of stores, and not about what the disk keeps.
///
/// # Panics
/// Where no folder can be made.
#[allow(clippy::expect_used, reason = "without a folder a test has failed")]
pub fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder for the test")
}

/// All files below a part of a store's folder, sorted; none where the part does not exist.
///
/// # Errors
/// What the operating system says.
pub fn files_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies a folder with everything in it.
///
/// # Errors
/// What the operating system says.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// All files of segments below a store's folder, those that nothing knows of among them, sorted.
///
/// # Errors
/// What the operating system says.
pub fn segments_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for part in ["bars", "market_trades", "ticks"] {
        found.extend(files_below(&dir.join(part))?);
    }
    Ok(found)
}

/// The live segment files of a store, of bars of these kinds on both axes, ticks and market trades, sorted.
///
/// # Errors
/// Why the store could not tell.
pub fn live_files(store: &Store, kinds: &[(Interval, AdjustmentTag)]) -> Result<Vec<PathBuf>, String> {
    let mut live = Vec::new();
    let bars = kinds.iter().flat_map(|(interval, adjustment)| {
        let dataset = Dataset::Bars { interval: *interval, adjustment: *adjustment };
        [(dataset, Axis::Instrument), (dataset, Axis::Day)]
    });
    let streams = [(Dataset::Ticks, Axis::Instrument), (Dataset::MarketTrades, Axis::Instrument)];
    for (dataset, axis) in bars.chain(streams) {
        live.extend(store.files(dataset, axis).map_err(|error| error.to_string())?.files);
    }
    live.sort();
    Ok(live)
}
