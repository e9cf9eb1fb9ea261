//! Reads of sealed bars on both axes, and the moving average over all of them.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type};
use barkeeper::{ScanRequest, Store};
use barkeeper_records::{AdjustmentTag, Interval, SeriesKey};

use crate::desk::{Desk, options};
use crate::files::{WINDOW, asked, asked_day, sum_of_closes};
use crate::floors;
use crate::market::{daily, weekday};
use crate::measure::{Timing, nanos, time};
use crate::row::Row;

/// Whether two sums of the same numbers in another order are one.
pub(crate) fn agree(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= expected.abs() * 1e-9
}

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let scratch = desk.copy()?;
    let store = Store::open(&scratch.store(), options())?;
    let shape = desk.shape;
    let (from, to) = (weekday(0).label(), weekday(shape.days).label());
    let series: Vec<SeriesKey> = asked(shape).into_iter().map(daily).collect();

    let (mut rows, mut sum, mut sample) = (0, 0.0, Vec::new());
    for one in &series {
        sample = store.snapshot()?.bars(one, from, to)?;
        rows += sample.len();
        sum += sum_of_closes(&sample);
    }
    ensure!(rows as f64 == desk.files.number("all_rows")?, "{rows} rows");
    ensure!(agree(sum, desk.files.number("all_close_sum")?), "closes sum up to {sum}");
    let whole = time(2_000, |call| -> Result<()> {
        let Some(one) = series.get(call * 7 % series.len()) else { return Ok(()) };
        black_box(store.snapshot()?.bars(one, from, to)?);
        Ok(())
    })?;
    let what = format!("all {} daily bars of one instrument, sealed", shape.days);
    Row::of("all_sealed", what, whole).beside(floors::copy(&sample)).print()?;
    let anywhere = time(1_000, |call| -> Result<()> {
        let number = u32::try_from(call * 2_731)? % shape.instruments;
        black_box(store.snapshot()?.bars(&daily(number), from, to)?);
        Ok(())
    })?;
    Row::of("all_sealed_any", "the same, of any of all instruments", anywhere).print()?;

    let day = asked_day(shape).label();
    let section = store.cross_section(Interval::DAY, AdjustmentTag::Raw, day)?;
    let sum: f64 = section.iter().map(|(_, bar)| bar.close).sum();
    ensure!(section.len() as f64 == desk.files.number("day_rows")?, "{} rows", section.len());
    ensure!(agree(sum, desk.files.number("day_close_sum")?), "closes sum up to {sum}");
    let one_day = time(1_000, |call| -> Result<()> {
        let day = weekday(i32::try_from(call * 13)? % shape.days).label();
        black_box(store.cross_section(Interval::DAY, AdjustmentTag::Raw, day)?);
        Ok(())
    })?;
    let what = format!("one day of {} instruments, sealed", shape.instruments);
    Row::of("day_sealed", what, one_day).beside(floors::copy(&section)).print()?;

    averages(desk, &store)
}

/// The average over 20 bars of every instrument at every row, summed up, over a scan of two columns.
fn averages(desk: &Desk, store: &Store) -> Result<()> {
    let request = ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw).columns(["instrument", "close"]);
    let mut times = Vec::new();
    for _ in 0..6 {
        let start = Instant::now();
        let mut averages = Averages::default();
        for batch in store.snapshot()?.scan(&request)? {
            averages.add(&batch?)?;
        }
        let sum = averages.all;
        times.push(nanos(start.elapsed()));
        ensure!(agree(sum, desk.files.number("ma20_sum")?), "averages sum up to {sum}");
    }
    // The first one warmed up.
    let timing = Timing::of(times.split_off(1));
    let what =
        format!("average over 20 bars of every instrument over {} rows, summed", desk.files.number("rows")?);
    Row::of("ma20", what, timing).print()
}

/// A moving average that begins anew with each instrument.
#[derive(Default)]
struct Averages {
    instrument: Option<i32>,
    window: [f64; WINDOW],
    sum: f64,
    seen: usize,
    all: f64,
}

impl Averages {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |name| batch.column_by_name(name).with_context(|| format!("no column {name}"));
        let names = column("instrument")?
            .as_dictionary_opt::<Int32Type>()
            .context("instruments are no dictionary")?;
        let closes = column("close")?.as_primitive_opt::<Float64Type>().context("closes are no doubles")?;
        for (name, close) in names.keys().values().iter().zip(closes.values()) {
            if self.instrument != Some(*name) {
                *self = Self { instrument: Some(*name), all: self.all, ..Self::default() };
            }
            if let Some(slot) = self.window.get_mut(self.seen % WINDOW) {
                self.sum += close - *slot;
                *slot = *close;
            }
            self.seen += 1;
            if self.seen >= WINDOW {
                self.all += self.sum / WINDOW as f64;
            }
        }
        Ok(())
    }
}
