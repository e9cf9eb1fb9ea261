//! A market at its own pace: each second the bars of one minute and a tick of every instrument, while the
//! store's own thread seals and merges what has become cold.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use barkeeper::Store;
use barkeeper_records::{Bar, Batch, InstrumentId, LEVELS, OnConflict, Operation, Tick, Timestamp};

use crate::desk::{Desk, options};
use crate::floors;
use crate::market::{MinuteFeed, minute, weekday};
use crate::measure::{Timing, nanos, resident_mb};
use crate::parts::append::put;
use crate::row::Row;

const SECOND: Duration = Duration::from_secs(1);

/// A tick of every instrument, around the close of its bar of the same minute.
fn ticks(bars: &[(InstrumentId, Bar)], second: i64) -> Result<Vec<(InstrumentId, Tick)>> {
    let day = weekday(i32::try_from(second / 10_000)?);
    let start = day.label().nanos() + (5_400 + second % 10_000) * 1_000_000_000;
    let cents = |price: f64| (price * 100.0).round() / 100.0;
    let all = bars.iter().enumerate().map(|(number, (instrument, bar))| {
        let place = i64::try_from(number).unwrap_or(0);
        let side = |sign: f64| {
            std::array::from_fn::<f64, LEVELS, _>(|level| {
                cents(bar.close + sign * (level as f64 + 1.0) / 100.0)
            })
        };
        let volumes = |salt: i64| {
            std::array::from_fn::<f64, LEVELS, _>(|level| {
                ((place * 31 + salt + level as i64 * 17) % 900 * 100) as f64
            })
        };
        let volume = ((second + 1) * 1_000 + place % 1_000 * 100) as f64;
        let tick = Tick {
            ts: Timestamp::from_nanos(start + place % 1_000 * 1_000_000),
            trading_day: day,
            last: bar.close,
            volume,
            turnover: (volume * bar.close).round(),
            upper_limit: cents(bar.close * 1.1),
            lower_limit: cents(bar.close * 0.9),
            bid_prices: side(-1.0),
            bid_volumes: volumes(second),
            ask_prices: side(1.0),
            ask_volumes: volumes(second + 7),
            ..Tick::default()
        };
        (*instrument, tick)
    });
    Ok(all.collect())
}

pub(crate) fn run(desk: &Desk, sustain: u64) -> Result<()> {
    let scratch = desk.scratch()?;
    let store = Store::create(&scratch.store(), options())?;
    let floor = floors::fsync(scratch.dir.path(), 50)?;
    let mut feed = MinuteFeed::new(desk.shape.instruments);
    let (mut of_bars, mut of_ticks, mut late) = (Vec::new(), Vec::new(), 0_u64);
    let mut last = None;
    let begun = Instant::now();
    for second in 0..i64::try_from(sustain)? {
        let bars = feed.next(second);
        let ticks = ticks(&bars, second)?;
        last = ticks.last().copied();
        let due = SECOND * u32::try_from(second)?;
        sleep(due.saturating_sub(begun.elapsed()));
        let start = Instant::now();
        store.commit(put(bars, minute()))?;
        let middle = Instant::now();
        store.commit(Batch::of(Operation::PutTicks { ticks, on_conflict: OnConflict::Replace }))?;
        of_bars.push(nanos(middle - start));
        of_ticks.push(nanos(middle.elapsed()));
        late += u64::from(begun.elapsed() > due + SECOND);
    }
    let (instrument, tick) = last.context("no second was asked for")?;
    let newest = store.snapshot()?.ticks(&instrument, tick.ts, tick.ts)?;
    ensure!(newest.len() == 1, "the newest tick reads back {} times", newest.len());
    let n = of_bars.len();
    let instruments = desk.shape.instruments;
    let (slowest, timing) =
        (of_bars.iter().chain(&of_ticks).max().copied().unwrap_or(0), Timing::of(of_bars));
    let what = format!("append one minute of {instruments} instruments, one a second for {sustain} s");
    Row::of("pace_minute", what, timing).beside(floor).print()?;
    let what = format!("append a tick of {instruments} instruments, in the same seconds");
    Row::of("pace_ticks", what, Timing::of(of_ticks)).beside(floor).print()?;
    Row::of("pace_stall", "the slowest of these commits", Timing::once(slowest)).out_of(2 * n).print()?;
    let what = format!("seconds of {n} whose rows were not durable before the next began");
    Row::value("pace_late", what, late as f64, "seconds").out_of(n).print()?;
    let stats = store.stats()?;
    let what = format!("store.redb behind it; {:.0} MB are sealed", stats.segment_bytes as f64 / 1e6);
    Row::value("pace_hot", what, stats.hot_bytes as f64 / 1e6, "MB").print()?;
    if let Some(resident) = resident_mb() {
        Row::value("pace_resident", "memory resident behind it", resident as f64, "MB").print()?;
    }
    store.close()?;
    Ok(())
}
