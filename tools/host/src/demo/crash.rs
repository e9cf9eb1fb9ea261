//! A writer process that is killed in the middle of its commits, and what is found afterwards.
//!
//! The writer commits numbered batches, each a trade, a position and a bar, and prints a number only when
//! its commit has returned. Whoever kills it knows by the numbers what must be there.

use std::io::{self, BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use barkeeper::Store;
use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, BarRun, Batch, BookId, InstrumentId, Interval, OnConflict, Operation,
    PositionKey, SeriesKey, Timestamp, TradingDay,
};
use rust_decimal::Decimal;

use super::error::DemoError;
use super::measure::nanos;
use super::writes::{record, trade_id};
use crate::open::open;

/// How the writer's program calls itself to other processes.
const PROGRAM: &str = "barkeeper demo writer";
/// The trading day of everything that the writer commits.
const DAY: (i16, i8, i8) = (2026, 6, 1);

/// Names that the writer uses.
struct Names {
    account: AccountId,
    book: BookId,
    instrument: InstrumentId,
    day: TradingDay,
}

impl Names {
    fn new() -> Result<Self, DemoError> {
        let bad = |detail: String| DemoError::Writer { detail };
        let (year, month, day) = DAY;
        Ok(Self {
            account: AccountId::new("demo-1").map_err(|e| bad(e.to_string()))?,
            book: BookId::new("writer").map_err(|e| bad(e.to_string()))?,
            instrument: "WRITER.LOCAL"
                .parse()
                .map_err(|e: barkeeper_records::InstrumentIdError| bad(e.to_string()))?,
            day: TradingDay::from_ymd(year, month, day).unwrap_or_default(),
        })
    }

    fn key(&self) -> PositionKey {
        PositionKey { account: self.account.clone(), book: self.book.clone(), instrument: self.instrument }
    }

    const fn series(&self) -> SeriesKey {
        SeriesKey { interval: Interval::MINUTE, adjustment: AdjustmentTag::Raw, instrument: self.instrument }
    }

    fn ts(&self, number: usize) -> Timestamp {
        Timestamp::from_nanos(self.day.label().nanos() + number as i64 * 60_000_000_000)
    }

    fn batch(&self, number: usize) -> Result<Batch, DemoError> {
        let bar = Bar {
            ts: self.ts(number),
            trading_day: self.day,
            open: 1.0,
            high: 1.0,
            low: 1.0,
            close: 1.0,
            volume: number as f64,
            turnover: number as f64,
            open_interest: 0.0,
        };
        let run =
            BarRun::new(self.series(), vec![bar]).map_err(|(_, error)| DemoError::Commit(error.into()))?;
        let one = Decimal::ONE;
        let trade = record(&self.account, &self.book, self.instrument, self.day, number, one, one);
        let days = u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Batch::new()
            .with(Operation::RecordTrade(trade))
            .with(Operation::SetHeldDays { key: self.key(), days })
            .with(Operation::PutBars { run, on_conflict: OnConflict::Refuse }))
    }
}

/// Opens the store and commits until it is killed, from the first number that is not there on. Prints
/// `ready`, then the number and the LSN of each commit.
///
/// # Errors
/// `Start`, `Commit`, and `Io` once nobody reads any more.
pub fn write_until_killed(folder: &Path, out: &mut dyn Write) -> Result<(), DemoError> {
    let names = Names::new()?;
    let opened = open(folder, PROGRAM)?;
    let snapshot = opened.store.snapshot()?;
    let mut number =
        snapshot.series(&names.series())?.map_or(0, |series| usize::try_from(series.count).unwrap_or(0));
    drop(snapshot);
    writeln!(out, "ready")?;
    out.flush()?;
    loop {
        let receipt = opened.store.commit(names.batch(number)?)?;
        writeln!(out, "{number} {}", receipt.lsn)?;
        out.flush()?;
        number += 1;
    }
}

/// What was found after a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aftermath {
    /// Commits that were acknowledged in this round.
    pub(super) acknowledged: u64,
    /// Numbers that are there, from 0 on without a gap.
    pub(super) there: u64,
    /// Numbers that had to be there.
    pub(super) expected: u64,
    /// Whether trades, bars and the position tell the same, and no LSN is missing.
    pub(super) whole: bool,
    /// Nanoseconds that it took to open the store afterwards.
    pub(super) open_ns: u64,
}

impl Aftermath {
    /// Nothing acknowledged is lost, and at most the one commit under way came in besides.
    pub(super) const fn is_right(&self) -> bool {
        self.whole && (self.there == self.expected || self.there == self.expected + 1)
    }
}

/// When a writer is killed: so long after it has acknowledged so many commits, wherever it is then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) acknowledged: usize,
    pub(super) pause: Duration,
}

/// Runs a writer, kills it, and looks at what is there.
pub(super) fn kill_one(mut writer: Command, folder: &Path, moment: Moment) -> Result<Aftermath, DemoError> {
    let child = writer.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let acknowledged = watch(child, moment)?;
    let start = Instant::now();
    let opened = open(folder, super::flow::PROGRAM)?;
    let open_ns = nanos(start.elapsed());
    let aftermath = look(&opened.store, &acknowledged)?;
    Ok(Aftermath { open_ns, ..aftermath })
}

/// Reads what the writer acknowledges, kills it, and reads what it had printed until then.
fn watch(mut child: Child, moment: Moment) -> Result<Vec<(usize, u64)>, DemoError> {
    let stdout =
        child.stdout.take().ok_or_else(|| DemoError::Writer { detail: "it has no output".to_owned() })?;
    let mut lines = BufReader::new(stdout);
    let mut acknowledged = Vec::new();
    let mut killed = false;
    while let Some(line) = whole_line(&mut lines)? {
        if let Some(pair) = line.split_once(' ') {
            let (Ok(number), Ok(lsn)) = (pair.0.parse(), pair.1.parse()) else {
                return Err(DemoError::Writer { detail: format!("it printed '{line}'") });
            };
            acknowledged.push((number, lsn));
        }
        if acknowledged.len() >= moment.acknowledged && !killed {
            thread::sleep(moment.pause);
            child.kill()?;
            killed = true;
        }
    }
    let status = child.wait()?;
    if killed {
        Ok(acknowledged)
    } else {
        Err(DemoError::Writer { detail: format!("it ended by itself: {status}") })
    }
}

/// A line with its end; what was cut off by the kill was not acknowledged.
fn whole_line(lines: &mut BufReader<ChildStdout>) -> io::Result<Option<String>> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    Ok(line.strip_suffix('\n').map(|line| line.trim_end().to_owned()))
}

fn look(store: &Store, acknowledged: &[(usize, u64)]) -> Result<Aftermath, DemoError> {
    let names = Names::new()?;
    let snapshot = store.snapshot()?;
    let bars = snapshot.bars(&names.series(), Timestamp::MIN, Timestamp::MAX)?;
    let there = bars.len();
    let mut whole = bars.iter().enumerate().all(|(number, bar)| bar.ts == names.ts(number));
    for number in 0..=there {
        let trade = snapshot.trade(trade_id(&names.book, number))?;
        // One behind the last must not be there: a batch is in whole or not at all.
        whole &= trade.is_some() == (number < there);
    }
    let position = snapshot.position(&names.key())?;
    let days = position.and_then(|position| position.held_days);
    whole &= there == 0 || days == u32::try_from(there - 1).ok();
    let last = acknowledged.last().copied();
    whole &= acknowledged.windows(2).all(|pair| matches!(pair, [a, b] if b.0 == a.0 + 1 && b.1 == a.1 + 1));
    whole &= last.is_none_or(|(_, lsn)| snapshot.lsn().0 >= lsn);
    Ok(Aftermath {
        acknowledged: acknowledged.len() as u64,
        there: there as u64,
        expected: last.map_or(0, |(number, _)| number as u64 + 1),
        whole,
        open_ns: 0,
    })
}
