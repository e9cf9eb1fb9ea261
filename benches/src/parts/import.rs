//! CSV files into a new store, and what the bars then take on disk.

use std::fs;
use std::time::Instant;

use anyhow::Result;
use barkeeper::{Axis, Dataset, Store};
use barkeeper_records::{AdjustmentTag, Interval};

use crate::desk::{Desk, options};
use crate::measure::{Timing, nanos, peak_mb};
use crate::row::{Floor, Row};

/// Imports stop being repeated after this many nanoseconds.
const ENOUGH: u64 = 12_000_000_000;

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let rows = desk.files.number("rows")?;
    let floor = reading(desk)?;
    let mut times = Vec::new();
    let mut scratch = desk.scratch()?;
    while times.len() < 3 && times.iter().sum::<u64>() < ENOUGH {
        scratch = desk.scratch()?;
        times.push(desk.import(&scratch.store())?);
    }
    let what = format!("import {} CSV files, {rows} rows, durable", desk.shape.instruments);
    Row::of("import_csv", what, Timing::of(times)).beside(floor).print()?;
    if let Some(peak) = peak_mb() {
        Row::value("import_peak", "most memory resident while importing", peak as f64, "MB").print()?;
    }
    sizes(desk, &Store::open(&scratch.store(), options())?)?;
    desk.keep(&scratch)
}

/// Reading the same files without looking at them.
fn reading(desk: &Desk) -> Result<Floor> {
    let start = Instant::now();
    let mut bytes = 0;
    for entry in fs::read_dir(&desk.files.csv)? {
        bytes += fs::read(entry?.path())?.len();
    }
    std::hint::black_box(bytes);
    Ok(Floor { what: "reading the same files", timing: Timing::once(nanos(start.elapsed())) })
}

fn sizes(desk: &Desk, store: &Store) -> Result<()> {
    let dataset = Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw };
    let rows = desk.files.number("rows")?;
    let mut all = 0;
    for (axis, workload, what) in [
        (Axis::Instrument, "bytes_by_instrument", "bytes of a sealed daily bar, by instrument"),
        (Axis::Day, "bytes_by_day", "bytes of a sealed daily bar, by day"),
    ] {
        let mut bytes = 0;
        for file in store.files(dataset, axis)?.files {
            bytes += fs::metadata(file)?.len();
        }
        all += bytes;
        Row::value(workload, what, bytes as f64 / rows, "bytes").print()?;
    }
    Row::value("bytes_bar", "bytes on disk of a daily bar, both axes", all as f64 / rows, "bytes").print()?;
    let csv = desk.files.number("csv_bytes")?;
    Row::value("csv_ratio", "bytes of the CSV files to one byte of both axes", csv / all as f64, "x")
        .print()?;
    let hot = store.stats()?.hot_bytes;
    Row::value("store_bytes", "store.redb after the import", hot as f64 / 1e6, "MB").print()
}
