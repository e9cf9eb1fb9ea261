//! Days appended one by one, and reads of the newest bars.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use barkeeper::Store;
use barkeeper_records::{
    AdjustmentTag, Bar, Batch, InstrumentId, Interval, OnConflict, Operation, SeriesKey,
};

use crate::counting::Counting;
use crate::desk::{Desk, options};
use crate::files::{LIVE_DAYS, asked};
use crate::floors;
use crate::market::{accounts, daily, live_days, weekday};
use crate::measure::{cold, resident_mb, time};
use crate::parts::ledger::hold;
use crate::row::Row;

pub(crate) fn put(bars: Vec<(InstrumentId, Bar)>, interval: Interval) -> Batch {
    let (adjustment, on_conflict) = (AdjustmentTag::Raw, OnConflict::Replace);
    Batch::of(Operation::PutCrossSection { interval, adjustment, bars, on_conflict })
}

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let scratch = desk.copy()?;
    let store = Arc::new(Store::open(&scratch.store(), options())?);
    let shape = desk.shape;
    let floor = floors::fsync(scratch.dir.path(), 100)?;
    let days = live_days(shape, LIVE_DAYS);
    let mut waiting: Vec<_> = days.iter().rev().cloned().collect();
    let append = cold(days.len(), |_| -> Result<()> {
        let day = waiting.pop().context("no day is left")?;
        store.commit(put(day, Interval::DAY))?;
        Ok(())
    })?;
    let what = format!("append one day of {} instruments, durable", shape.instruments);
    Row::of("append_day", what, append).beside(floor).print()?;
    syncs(desk, &days)?;

    let series: Vec<SeriesKey> = asked(shape).into_iter().map(daily).collect();
    last_sixty(&store, &series, &days)?;
    let newest = days.last().context("no day")?;
    let ts = newest.first().context("no bar")?.1.ts;
    let section = store.cross_section(Interval::DAY, AdjustmentTag::Raw, ts)?;
    ensure!(section == *newest, "the newest day reads back another");
    let hot = time(1_000, |call| -> Result<()> {
        let ts = weekday(shape.days + i32::try_from(call)? % LIVE_DAYS).label();
        black_box(store.cross_section(Interval::DAY, AdjustmentTag::Raw, ts)?);
        Ok(())
    })?;
    let what = format!("one day of {} instruments, hot", shape.instruments);
    Row::of("day_hot", what, hot).beside(floors::copy(&section)).print()?;

    let (from, to) = (weekday(0).label(), weekday(shape.days + LIVE_DAYS).label());
    let sample = store.snapshot()?.bars(series.first().context("no series")?, from, to)?;
    let all = time(1_000, |call| -> Result<()> {
        let Some(one) = series.get(call * 7 % series.len()) else { return Ok(()) };
        black_box(store.snapshot()?.bars(one, from, to)?);
        Ok(())
    })?;
    let what =
        format!("all {} daily bars of one instrument, the newest {LIVE_DAYS} hot", shape.days + LIVE_DAYS);
    Row::of("all_hot", what, all).beside(floors::copy(&sample)).print()?;

    drop((days, section, sample));
    hold(&store, &accounts()?)?;
    for number in 0..shape.instruments {
        black_box(store.last_bars(&daily(number), 60)?);
    }
    if let Some(resident) = resident_mb() {
        let what = "memory resident with the last 60 bars of every instrument read";
        Row::value("resident", what, resident as f64, "MB").print()?;
    }
    Ok(())
}

fn last_sixty(store: &Store, series: &[SeriesKey], days: &[Vec<(InstrumentId, Bar)>]) -> Result<()> {
    let mut sample = Vec::new();
    for one in series {
        sample = store.last_bars(one, 60)?;
        let expected = days.iter().filter_map(|day| day.iter().find(|(name, _)| *name == one.instrument));
        ensure!(
            sample.iter().eq(expected.map(|(_, bar)| bar)),
            "the last bars of {} are others",
            one.instrument
        );
    }
    let last = time(50_000, |call| -> Result<()> {
        let Some(one) = series.get(call * 7 % series.len()) else { return Ok(()) };
        black_box(store.last_bars(one, 60)?);
        Ok(())
    })?;
    let what = "last 60 daily bars of one instrument, all of them hot";
    Row::of("last_60", what, last).beside(floors::copy(&sample)).print()?;
    let many = time(2_000, |_| -> Result<()> {
        black_box(store.snapshot()?.last_bars_of(series, 60)?);
        Ok(())
    })?;
    let what = format!("last 60 daily bars of {} instruments", series.len());
    Row::of("last_60_of_100", what, many).print()
}

/// How often the disk is forced for one day.
fn syncs(desk: &Desk, days: &[Vec<(InstrumentId, Bar)>]) -> Result<()> {
    let scratch = desk.scratch()?;
    let (file, syncs) = Counting::open(&scratch.dir.path().join("counted.redb"))?;
    let store = Store::on_backend(file, &scratch.store(), options())?;
    let mut most = 0;
    // The first days make the file grow.
    for (n, day) in days.iter().take(12).enumerate() {
        let before = syncs.syncs();
        store.commit(put(day.clone(), Interval::DAY))?;
        if n >= 2 {
            most = most.max(syncs.syncs() - before);
        }
    }
    store.close()?;
    let what = "syncs of appending one day, the most of 10";
    Row::value("append_day_syncs", what, most as f64, "syncs").out_of(10).print()
}
