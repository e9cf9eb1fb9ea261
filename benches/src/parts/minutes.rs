//! Bars of a minute: a history of some instruments, and all instruments appended as a feed delivers them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use barkeeper::{Axis, Dataset, Store};
use barkeeper_records::{AdjustmentTag, BarRun, OnConflict};

use crate::desk::{Desk, options};
use crate::floors;
use crate::market::{MINUTES, MinuteFeed, minute, minute_bars, minutes};
use crate::measure::{Timing, nanos, resident_mb, time};
use crate::parts::append::put;
use crate::row::Row;

/// Instruments of one import.
const GROUP: u32 = 100;
/// Seconds for which minutes are appended without a pause at the most: each is an hour of a market and more.
const LONGEST_FEED: u64 = 30;

pub(crate) fn run(desk: &Desk, sustain: u64) -> Result<()> {
    history(desk)?;
    feed(desk, sustain)
}

fn history(desk: &Desk) -> Result<()> {
    let scratch = desk.scratch()?;
    let store = Store::create(&scratch.store(), options())?;
    let shape = desk.shape;
    let mut rows = 0;
    let mut number = 0;
    let mut took = 0;
    while number < shape.minute_instruments {
        let group = number..(number + GROUP).min(shape.minute_instruments);
        number = group.end;
        let runs: Result<Vec<BarRun>, _> =
            group.map(|n| BarRun::new(minutes(n), minute_bars(n, shape.minute_days))).collect();
        let runs = runs.map_err(|(row, error)| anyhow::anyhow!("row {row}: {error}"))?;
        let start = Instant::now();
        rows += store.import_bars(runs, Vec::new(), OnConflict::Refuse)?.inserted;
        took += nanos(start.elapsed());
    }
    let what = format!("import {rows} minute bars from memory, durable");
    Row::of("import_minutes", what, Timing::once(took)).print()?;
    let dataset = Dataset::Bars { interval: minute(), adjustment: AdjustmentTag::Raw };
    let mut bytes = 0;
    for file in store.files(dataset, Axis::Instrument)?.files {
        bytes += std::fs::metadata(file)?.len();
    }
    Row::value("bytes_minute", "bytes of a sealed minute bar", bytes as f64 / rows as f64, "bytes")
        .print()?;

    let sample = store.last_bars(&minutes(3), 240)?;
    ensure!(sample.len() == 240, "{} bars", sample.len());
    let day = time(1_000, |call| -> Result<()> {
        let number = u32::try_from(call * 7)? % shape.minute_instruments;
        black_box(store.last_bars(&minutes(number), 240)?);
        Ok(())
    })?;
    let what = "last 240 minute bars of one instrument, sealed";
    Row::of("last_240_minutes", what, day).beside(floors::copy(&sample)).print()?;
    store.close()?;
    Ok(())
}

/// Appends the bars of one minute after another without a pause.
fn feed(desk: &Desk, sustain: u64) -> Result<()> {
    let scratch = desk.scratch()?;
    let store = Store::create(&scratch.store(), options())?;
    let floor = floors::fsync(scratch.dir.path(), 50)?;
    let mut feed = MinuteFeed::new(desk.shape.instruments);
    let sustain = sustain.min(LONGEST_FEED);
    let limit = Duration::from_secs(sustain);
    let begun = Instant::now();
    let (mut times, mut n) = (Vec::new(), 0);
    while begun.elapsed() < limit && n < 100 * MINUTES {
        let batch = put(feed.next(n), minute());
        let start = Instant::now();
        store.commit(batch)?;
        times.push(nanos(start.elapsed()));
        n += 1;
    }
    let rows = n as f64 * f64::from(desk.shape.instruments);
    let rate = rows / (times.iter().sum::<u64>() as f64 / 1e9);
    let timing = Timing::of(times);
    let what = format!("append one minute of {} instruments, durable, {n} in a row", desk.shape.instruments);
    Row::of("append_minute", what, timing).beside(floor).print()?;
    let what = format!("minute bars appended a second, without a pause for {sustain} s");
    Row::value("minute_rate", what, rate.round(), "rows/s").out_of(timing.calls).print()?;
    let what = "the slowest of these commits";
    Row::of("minute_stall", what, Timing::once(timing.most_ns)).out_of(timing.calls).print()?;
    if let Some(resident) = resident_mb() {
        Row::value("minute_resident", "memory resident behind it", resident as f64, "MB").print()?;
    }
    store.close()?;
    Ok(())
}
