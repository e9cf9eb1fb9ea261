//! Frames of polars over a snapshot: a moving average over all bars, and fourteen factors beside the scan alone.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use barkeeper::polars::prelude::*;
use barkeeper::{ScanRequest, Store};
use barkeeper_records::{AdjustmentTag, Interval};

use super::sealed::agree;
use crate::desk::{Desk, options};
use crate::files::WINDOW;
use crate::market::Shape;
use crate::measure::{Timing, nanos};
use crate::row::{Floor, Row};

/// Runs of a query; the first one warms up.
const RUNS: usize = 6;
/// What the factors are made of.
const COLUMNS: [&str; 7] = ["instrument", "open", "high", "low", "close", "volume", "turnover"];

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let average = rolled("close", WINDOW, Expr::rolling_mean)?.sum().alias("all");
    let summed = timed(desk, "ma20_sum", |bars| bars.select([average.clone()]))?;
    let rows = desk.files.number("rows")?;
    let what = format!("the same of {rows} rows through a LazyFrame of polars");
    Row::of("ma20_frame", what, summed).print()?;

    let data = desk.files.home.parent().context("the files have no folder")?;
    factors(data)
}

/// Fourteen factors of 800 instruments over 3,400 days, and the part of the scan in that.
fn factors(data: &Path) -> Result<()> {
    let market = Desk::new(data, Shape::FACTORS)?;
    let sum = all_factors()?.into_iter().map(Expr::sum).reduce(|one, other| one + other);
    let sum = sum.context("no factors")?.alias("all");
    let whole = timed(&market, "factors_sum", |bars| bars.select([sum.clone()]))?;
    let Shape { instruments, days, .. } = market.shape;
    let what = format!("14 factors of {instruments} instruments x {days} days through a LazyFrame, summed");
    Row::of("factors", what, whole).print()?;

    let (scratch, request) = (market.copy()?, ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw));
    let store = Store::open(&scratch.store(), options())?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let bars = Arc::new(store.snapshot()?).lazy(&request)?;
        let found = bars.select(COLUMNS.map(col)).collect()?;
        times.push(nanos(start.elapsed()));
        ensure!(black_box(found).height() as f64 == market.files.number("rows")?, "rows are missing");
    }
    let scan = Timing::of(times.split_off(1));
    let beside = Floor { what: "the factors", timing: whole };
    Row::of("factors_scan", "of which the scan of seven columns", scan).beside(beside).print()
}

/// Times a query that answers one number, over all daily bars of a market in a store of its own.
fn timed(market: &Desk, answer: &str, query: impl Fn(LazyFrame) -> LazyFrame) -> Result<Timing> {
    let scratch = market.copy()?;
    let store = Store::open(&scratch.store(), options())?;
    let request = ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw);
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let bars = Arc::new(store.snapshot()?).lazy(&request)?;
        let sum = query(bars).collect()?.column("all")?.f64()?.sum().context("an empty sum")?;
        times.push(nanos(start.elapsed()));
        ensure!(agree(sum, market.files.number(answer)?), "{answer} is {sum}");
    }
    Ok(Timing::of(times.split_off(1)))
}

/// A moving window of one instrument; empty until it is full.
fn rolled(
    name: &str,
    window_size: usize,
    of: fn(Expr, RollingOptionsFixedWindow) -> Expr,
) -> PolarsResult<Expr> {
    let window = RollingOptionsFixedWindow { window_size, min_periods: window_size, ..Default::default() };
    of(col(name), window).over([col("instrument")])
}

/// The factors, as `factors.rs` and the peers have them.
fn all_factors() -> PolarsResult<Vec<Expr>> {
    let (close, open) = (|| col("close"), || col("open"));
    let gain = |days: i64| -> PolarsResult<Expr> {
        Ok(close() / close().shift(lit(days)).over([col("instrument")])? - lit(1.0))
    };
    let mean = |name: &str, days: usize| rolled(name, days, Expr::rolling_mean);
    Ok(vec![
        gain(1)?,
        gain(5)?,
        gain(20)?,
        mean("close", 5)? / close(),
        mean("close", 10)? / close(),
        mean("close", 20)? / close(),
        mean("close", 60)? / close(),
        rolled("close", 20, Expr::rolling_std)? / close(),
        (col("high") - col("low")) / open(),
        (close() - open()) / open(),
        rolled("high", 20, Expr::rolling_max)? / close(),
        rolled("low", 20, Expr::rolling_min)? / close(),
        mean("volume", 5)? / mean("volume", 20)?,
        col("turnover") / col("volume") / close(),
    ])
}
