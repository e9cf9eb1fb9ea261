//! Opening a store, clean and after its process was killed, and the first read behind it.

use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use barkeeper::Store;
use barkeeper_records::{Batch, Interval, Operation};

use crate::desk::{Desk, Scratch, options};
use crate::files::{LIVE_DAYS, asked};
use crate::market::{Shape, accounts, daily, fill, live_days};
use crate::measure::{Timing, nanos};
use crate::parts::append::put;
use crate::row::{Floor, Row};

/// Opens that are timed.
const OPENS: usize = 30;
/// Writers that are killed.
const KILLS: usize = 7;
/// Commits that a writer confirms before it is killed.
const CONFIRMED: usize = 20;

/// The desk with its hot days.
fn filled(desk: &Desk) -> Result<Scratch> {
    let scratch = desk.copy()?;
    let store = Store::open(&scratch.store(), options())?;
    for day in live_days(desk.shape, LIVE_DAYS) {
        store.commit(put(day, Interval::DAY))?;
    }
    store.close()?;
    Ok(scratch)
}

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let scratch = filled(desk)?;
    let folder = scratch.store();
    let numbers = asked(desk.shape);
    let (mut opens, mut firsts, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..OPENS {
        let start = Instant::now();
        let store = Store::open(&folder, options())?;
        opens.push(nanos(start.elapsed()));
        for (place, number) in numbers.iter().cycle().skip(n * 7).take(numbers.len()).enumerate() {
            let series = daily(*number);
            let start = Instant::now();
            let bars = black_box(store.last_bars(&series, 60)?);
            if place == 0 { &mut firsts } else { &mut others }.push(nanos(start.elapsed()));
            ensure!(bars.len() == 60, "{} bars", bars.len());
        }
        store.close()?;
    }
    let floor = raw_open(&folder)?;
    let megabytes = std::fs::metadata(folder.join("store.redb"))?.len() / 1_000_000;
    let what = format!("open, clean ({megabytes} MB of store.redb)");
    Row::of("open_clean", what, Timing::of(opens)).beside(floor).print()?;
    let what = "last 60 daily bars of one instrument, the first read after open";
    Row::of("last_60_first", what, Timing::of(firsts)).print()?;
    let what = "the same, the first read of each further instrument";
    Row::of("last_60_next", what, Timing::of(others)).print()?;

    let mut opens = Vec::new();
    for _ in 0..KILLS {
        let known = kill_writer(&folder)?;
        let start = Instant::now();
        let store = Store::open(&folder, options())?;
        opens.push(nanos(start.elapsed()));
        let lsn = store.snapshot()?.lsn().0;
        ensure!(lsn >= known, "LSN {known} was confirmed and {lsn} is there");
        store.close()?;
    }
    Row::of("open_killed", "open after kill -9 among commits", Timing::of(opens)).print()
}

/// Opening the same file with redb alone.
fn raw_open(folder: &Path) -> Result<Floor> {
    let mut times = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        drop(redb::Database::open(folder.join("store.redb"))?);
        times.push(nanos(start.elapsed()));
    }
    Ok(Floor { what: "redb alone opens the same file", timing: Timing::of(times) })
}

/// Starts a writer, lets it confirm some commits and kills it; answers the last LSN that it confirmed.
fn kill_writer(folder: &Path) -> Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--writer").arg(folder).stdout(Stdio::piped()).stdin(Stdio::null());
    let mut child = command.spawn().context("cannot start a writer")?;
    let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut confirmed = 0;
    for line in lines.take(CONFIRMED) {
        confirmed = line?.trim().parse()?;
    }
    child.kill()?;
    child.wait()?;
    if confirmed == 0 {
        bail!("the writer confirmed nothing");
    }
    Ok(confirmed)
}

/// Commits trades one by one and prints the LSN of each.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn write_until_killed(folder: &Path) -> Result<()> {
    let store = Store::open(folder, options())?;
    let accounts = accounts()?;
    let mut n = store.snapshot()?.lsn().0 * 1_000;
    loop {
        n += 1;
        let receipt = store.commit(Batch::of(Operation::RecordTrade(fill(Shape::DESK, &accounts, n)?)))?;
        println!("{}", receipt.lsn.0);
    }
}
