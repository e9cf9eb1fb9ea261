//! The market as files: one CSV an instrument, as SilverQuant keeps them, and the answers that every
//! program has to give before its time counts. Written once and kept between runs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use barkeeper_records::{Bar, TradingDay};
use serde_json::{Value, json};

use crate::factors;
use crate::market::{self, Shape};

/// Raised when the generated market or its files change, so that kept ones are written anew.
const EDITION: u32 = 3;
/// The folder's name tells the import that volumes are lots and prices as traded.
const CSV_FOLDER: &str = "_daily_tushare";
/// Instruments whose answers are checked.
const ASKED: u32 = 100;
/// The window of the moving average.
pub(crate) const WINDOW: usize = 20;

/// What was written.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// The folder of everything that is kept of a shape.
    pub(crate) home: PathBuf,
    /// The CSV files.
    pub(crate) csv: PathBuf,
    /// What every program must answer.
    pub(crate) answers: Value,
}

impl Files {
    /// A number of the answers.
    pub(crate) fn number(&self, key: &str) -> anyhow::Result<f64> {
        self.answers.get(key).and_then(Value::as_f64).with_context(|| format!("no answer {key}"))
    }
}

/// The instruments that are asked about, spread over the list.
pub(crate) fn asked(shape: Shape) -> Vec<u32> {
    (0..ASKED).map(|n| n * (shape.instruments / ASKED) + n % 5).collect()
}

/// The day whose cross-section is asked for.
pub(crate) fn asked_day(shape: Shape) -> TradingDay {
    market::weekday(shape.days * 2 / 5)
}

/// Writes the files of a shape, unless they are there.
pub(crate) fn prepare(data: &Path, shape: Shape) -> anyhow::Result<Files> {
    let home = data.join(format!("{}-{EDITION}", shape.name));
    let (csv, answers) = (home.join(CSV_FOLDER), home.join("answers.json"));
    if let Ok(text) = fs::read_to_string(&answers) {
        return Ok(Files { home, csv, answers: serde_json::from_str(&text)? });
    }
    fs::create_dir_all(&csv).with_context(|| format!("cannot make {}", csv.display()))?;
    let mut totals = Totals::default();
    let (asked, day) = (asked(shape), asked_day(shape));
    for number in 0..shape.instruments {
        let bars = market::daily_bars(number, shape, 0, shape.days);
        totals.add(&bars, asked.contains(&number), day);
        let path = csv.join(format!("{}.csv", market::instrument(number)));
        let text = csv_of(&bars);
        totals.csv_bytes += text.len();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let names: Vec<String> = asked.iter().map(|number| market::instrument(*number).to_string()).collect();
    let live = live_of(shape)?;
    fs::write(home.join("live.csv"), live)?;
    let found = json!({
        "shape": shape.name,
        "instruments": shape.instruments,
        "days": shape.days,
        "asked": names,
        "asked_day": day.to_string(),
        "rows": totals.rows,
        "close_sum": totals.close,
        "last_60_rows": totals.last_rows,
        "last_60_close_sum": totals.last,
        "all_rows": totals.all_rows,
        "all_close_sum": totals.all,
        "day_rows": totals.day_rows,
        "day_close_sum": totals.day,
        "ma20_sum": totals.averages,
        "factors_sum": totals.factors,
        "csv_bytes": totals.csv_bytes,
    });
    // Last: what was cut short has no answers.
    fs::write(&answers, serde_json::to_string_pretty(&found)?)?;
    Ok(Files { home, csv, answers: found })
}

#[derive(Default)]
struct Totals {
    rows: usize,
    close: f64,
    last_rows: usize,
    last: f64,
    all_rows: usize,
    all: f64,
    day_rows: usize,
    day: f64,
    averages: f64,
    factors: f64,
    csv_bytes: usize,
}

pub(crate) fn sum_of_closes(bars: &[Bar]) -> f64 {
    bars.iter().map(|bar| bar.close).sum()
}

/// The sum of all averages over 20 bars of one instrument.
pub(crate) fn averages_of(closes: impl Iterator<Item = f64>) -> f64 {
    let mut window = [0.0; WINDOW];
    let (mut sum, mut all) = (0.0, 0.0);
    for (n, close) in closes.enumerate() {
        if let Some(slot) = window.get_mut(n % WINDOW) {
            sum += close - *slot;
            *slot = close;
        }
        if n + 1 >= WINDOW {
            all += sum / WINDOW as f64;
        }
    }
    all
}

impl Totals {
    fn add(&mut self, bars: &[Bar], asked: bool, day: TradingDay) {
        self.rows += bars.len();
        self.close += sum_of_closes(bars);
        self.averages += averages_of(bars.iter().map(|bar| bar.close));
        self.factors += factors::sum_of(bars);
        if asked {
            let last = bars.get(bars.len().saturating_sub(60)..).unwrap_or(bars);
            self.last_rows += last.len();
            self.last += sum_of_closes(last);
            self.all_rows += bars.len();
            self.all += sum_of_closes(bars);
        }
        if let Some(bar) = bars.iter().find(|bar| bar.trading_day == day) {
            self.day_rows += 1;
            self.day += bar.close;
        }
    }
}

/// One instrument's bars as SilverQuant writes them: volume in lots, money in whole yuan.
fn csv_of(bars: &[Bar]) -> String {
    let mut text = String::with_capacity(bars.len() * 56 + 64);
    text.push_str("datetime,open,high,low,close,volume,amount\n");
    for bar in bars {
        let day = bar.trading_day.to_string().replace('-', "");
        let Bar { open, high, low, close, volume, turnover, .. } = bar;
        // Writing to a text cannot fail.
        writeln!(text, "{day},{open},{high},{low},{close},{},{turnover}", volume / 100.0).unwrap_or_default();
    }
    text
}

/// The days behind those of the files, which a running desk appends one by one.
fn live_of(shape: Shape) -> anyhow::Result<String> {
    let mut text = "instrument,datetime,open,high,low,close,volume,amount\n".to_owned();
    for section in market::live_days(shape, LIVE_DAYS) {
        for (instrument, bar) in section {
            let day = bar.trading_day.to_string().replace('-', "");
            let Bar { open, high, low, close, volume, turnover, .. } = bar;
            writeln!(text, "{instrument},{day},{open},{high},{low},{close},{},{turnover}", volume / 100.0)?;
        }
    }
    Ok(text)
}

/// Days that are appended.
pub(crate) const LIVE_DAYS: i32 = 60;
