//! `Examination`: everything that a snapshot answers, held against the model.
//!
//! Each question is asked on its own, so that damage in one place does not hide a wrong answer in
//! another, and a panic of one read is told from an error and from wrong data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use barkeeper::{ReadError, SeriesSummary, Snapshot, TradeQuery};
use barkeeper_records::{
    AdjustmentTag, Bar, InstrumentId, Interval, Position, SeriesKey, StrategyId, StrategySnapshot, Timestamp,
    TradeKind, TradeRecord,
};

use crate::guard::guarded;
use crate::model::Model;
use crate::rng::Rng;

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// All rows, once.
    Rows,
    /// All rows on every path that leads to them.
    Paths,
}

/// What was asked, and what did not fit.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    /// Questions.
    pub asked: usize,
    /// Answers that differ from the model.
    pub wrong: Vec<String>,
    /// Questions that were answered with an error.
    pub errors: Vec<String>,
    /// Questions that ended in a panic.
    pub panics: Vec<String>,
}

impl Examination {
    /// Asks a snapshot everything that the model can answer.
    pub fn of(model: &Model, snapshot: &Snapshot, depth: Depth) -> Self {
        let mut all = Self::default();
        all.ask(|| "the LSN".to_owned(), &model.lsn, || Ok(snapshot.lsn()));
        all.series(model, snapshot, depth);
        all.ledger(model, snapshot, depth);
        all.streams(model, snapshot);
        if depth == Depth::Paths {
            all.cross_sections(model, snapshot);
            all.history(model, snapshot);
        }
        all
    }

    /// Everything was answered, and rightly.
    ///
    /// # Errors
    /// The first thing that was not.
    pub fn perfect(&self) -> Result<(), String> {
        let first = self.wrong.iter().chain(&self.panics).chain(&self.errors).next();
        let count = self.wrong.len() + self.panics.len() + self.errors.len();
        first.map_or(Ok(()), |first| Err(format!("{count} of {} questions: {first}", self.asked)))
    }

    pub(crate) fn ask<T: PartialEq + Debug>(
        &mut self,
        what: impl Fn() -> String,
        expected: &T,
        read: impl FnOnce() -> Result<T, ReadError>,
    ) {
        self.asked += 1;
        match guarded(read) {
            Ok(Ok(found)) if found == *expected => {}
            Ok(Ok(found)) => {
                self.wrong.push(format!("{}: {}", what(), difference(&found, expected)));
            }
            Ok(Err(error)) => self.errors.push(format!("{}: {error}", what())),
            Err(panic) => self.panics.push(format!("{}: {panic}", what())),
        }
    }

    /// As [`Self::ask`] for bars, which are compared bit by bit.
    fn ask_bars(
        &mut self,
        what: impl Fn() -> String,
        expected: &[Bar],
        read: impl FnOnce() -> Result<Vec<Bar>, ReadError>,
    ) {
        self.ask(what, &bits(expected), || read().map(|bars| bits(&bars)));
    }

    fn series(&mut self, model: &Model, snapshot: &Snapshot, depth: Depth) {
        let summaries: Vec<SeriesSummary> = model.bars.iter().filter_map(summary).collect();
        self.ask(|| "all series".to_owned(), &summaries, || snapshot.all_series(None, None));
        for (series, stored) in &model.bars {
            let all = model.range(series, Timestamp::MIN, Timestamp::MAX);
            // What is read first is what memory keeps: half of the series begin with parts.
            let parts_first = depth == Depth::Paths && all.len() % 2 == 1;
            if parts_first {
                self.parts(model, snapshot, series, &all);
            }
            self.ask_bars(
                || format!("bars of {series}"),
                &all,
                || snapshot.bars(series, Timestamp::MIN, Timestamp::MAX),
            );
            let expected = summary((series, stored));
            self.ask(|| format!("first, last and count of {series}"), &expected, || snapshot.series(series));
            let counts: &[usize] = if depth == Depth::Paths { &[1, 5, 60, 200] } else { &[3] };
            for count in counts {
                let tail = all.get(all.len().saturating_sub(*count)..).unwrap_or_default();
                self.ask_bars(
                    || format!("last {count} bars of {series}"),
                    tail,
                    || snapshot.last_bars(series, *count),
                );
            }
            if depth == Depth::Paths && !parts_first {
                self.parts(model, snapshot, series, &all);
            }
        }
    }

    /// Ranges that begin and end inside a series, between its bars and outside it.
    fn parts(&mut self, model: &Model, snapshot: &Snapshot, series: &SeriesKey, all: &[Bar]) {
        let mut rng = Rng::new(all.len() as u64);
        let edge = |rng: &mut Rng| {
            let bar = if all.is_empty() { Timestamp::default() } else { rng.pick(all).ts };
            Timestamp::from_nanos(bar.nanos() + rng.below(3) as i64 - 1)
        };
        for _ in 0..4 {
            let (from, to) = (edge(&mut rng), edge(&mut rng));
            let expected = model.range(series, from, to);
            self.ask_bars(
                || format!("bars of {series} {from}..{to}"),
                &expected,
                || snapshot.bars(series, from, to),
            );
        }
    }

    fn cross_sections(&mut self, model: &Model, snapshot: &Snapshot) {
        let mut places: BTreeSet<(Interval, AdjustmentTag, Timestamp)> = BTreeSet::new();
        for (series, bars) in &model.bars {
            places.extend(bars.keys().map(|ts| (series.interval, series.adjustment, *ts)));
        }
        for (interval, adjustment, ts) in places {
            let expected = model.cross_section((interval, adjustment), ts);
            self.ask(
                || format!("all {interval} {adjustment} bars at {ts}"),
                &sections(&expected),
                || snapshot.cross_section(interval, adjustment, ts).map(|found| sections(&found)),
            );
        }
    }

    fn history(&mut self, model: &Model, snapshot: &Snapshot) {
        for series in model.bars.keys() {
            let kept: Vec<_> = model
                .revisions
                .get(series)
                .into_iter()
                .flatten()
                .flat_map(|(_, all)| all)
                .map(|(bar, from, to)| (bits(&[*bar]), *from, *to))
                .collect();
            self.ask(
                || format!("revisions of {series}"),
                &kept,
                || {
                    let found = snapshot.revisions(series, Timestamp::MIN, Timestamp::MAX)?;
                    Ok(found.iter().map(|one| (bits(&[one.bar]), one.known_from, one.known_to)).collect())
                },
            );
        }
        let last = model.version.time().nanos();
        for back in [0, 1_000_000, 40_000_000, 200_000_000, 2_000_000_000, 100_000_000_000] {
            let instant = Timestamp::from_nanos(last - back);
            for series in model.bars.keys().step_by(3) {
                self.ask_bars(
                    || format!("bars of {series} as of {instant}"),
                    &model.as_of(series, instant),
                    || snapshot.bars_as_of(series, Timestamp::MIN, Timestamp::MAX, instant),
                );
            }
        }
    }

    fn ledger(&mut self, model: &Model, snapshot: &Snapshot, depth: Depth) {
        let shown: Vec<Position> = model.positions.keys().filter_map(|key| model.shown(key)).collect();
        self.ask(|| "all positions".to_owned(), &shown, || snapshot.all_positions(true));
        let books = model.books.iter().map(|((account, book), day)| (account.clone(), book.clone(), *day));
        let books: Vec<_> = books.collect();
        self.ask(|| "all books".to_owned(), &books, || snapshot.books());
        let mut log: Vec<TradeRecord> = model.trades.values().cloned().collect();
        log.sort_by_key(|trade| std::cmp::Reverse((trade.ts, trade.trade_id)));
        let whole = TradeQuery { with_void: true, ..TradeQuery::default() };
        self.ask(|| "the trade log".to_owned(), &log, || snapshot.trades(&whole));
        self.states(model, snapshot);
        if depth == Depth::Rows {
            return;
        }
        for position in &shown {
            self.ask(
                || format!("the position {}", position.key),
                &Some(position.clone()),
                || snapshot.position(&position.key),
            );
        }
        for ((account, book), day) in &model.books {
            self.ask(
                || format!("the last increment of {account} {book}"),
                &Some(*day),
                || snapshot.incremented_on(account, book),
            );
        }
        let voided: BTreeSet<_> = log.iter().filter_map(|trade| trade.voids).collect();
        log.retain(|trade| trade.kind != TradeKind::Void && !voided.contains(&trade.trade_id));
        self.ask(|| "the trades that count".to_owned(), &log, || snapshot.trades(&TradeQuery::default()));
        for trade in model.trades.values() {
            let id = trade.trade_id;
            self.ask(|| format!("trade {id}"), &Some(trade.clone()), || snapshot.trade(id));
        }
        let mut of_account: BTreeMap<_, Vec<TradeRecord>> = BTreeMap::new();
        for trade in log {
            of_account.entry((trade.account.clone(), trade.instrument)).or_default().push(trade);
        }
        for ((account, instrument), trades) in of_account {
            let query =
                TradeQuery { account: Some(account), instrument: Some(instrument), ..TradeQuery::default() };
            self.ask(|| format!("trades of {instrument}"), &trades, || snapshot.trades(&query));
        }
    }

    fn states(&mut self, model: &Model, snapshot: &Snapshot) {
        let mut of_strategy: BTreeMap<StrategyId, Vec<StrategySnapshot>> = BTreeMap::new();
        for (strategy, _) in model.saved.keys() {
            of_strategy.entry(strategy.clone()).or_default();
        }
        for state in model.states.values() {
            of_strategy.entry(state.key.strategy.clone()).or_default().push(state.clone());
        }
        let names: Vec<StrategyId> = of_strategy.keys().cloned().collect();
        self.ask(|| "strategies".to_owned(), &names, || snapshot.strategies_with_snapshots());
        for (strategy, mut states) in of_strategy {
            states.reverse();
            let what = || format!("states of {strategy}");
            self.ask(what, &states, || snapshot.strategy_snapshots(&strategy, None, None, usize::MAX));
            let newest = states.first().cloned();
            self.ask(what, &newest, || snapshot.strategy_snapshot(&strategy, None));
            if let Some(at) = states.get(states.len() / 2).map(|state| state.key.saved_at) {
                let then = states.iter().find(|state| state.key.saved_at <= at).cloned();
                self.ask(what, &then, || snapshot.strategy_snapshot(&strategy, Some(at)));
                let part: Vec<_> =
                    states.iter().filter(|state| state.key.saved_at >= at).take(3).cloned().collect();
                self.ask(what, &part, || snapshot.strategy_snapshots(&strategy, Some(at), None, 3));
            }
        }
    }
}

fn summary(
    (series, bars): (&SeriesKey, &BTreeMap<Timestamp, crate::model::Written>),
) -> Option<SeriesSummary> {
    let (first, last) = (bars.keys().next()?, bars.keys().next_back()?);
    Some(SeriesSummary { series: *series, count: bars.len() as u64, first: *first, last: *last })
}

/// A bar's time, day and numbers, bit by bit.
type Bits = (Timestamp, i32, [u64; 7]);

/// Every bit of bars: -0.0 is not 0.0 here.
fn bits(bars: &[Bar]) -> Vec<Bits> {
    bars.iter().map(|bar| (bar.ts, bar.trading_day.days(), bar.numbers().map(f64::to_bits))).collect()
}

fn sections(bars: &[(InstrumentId, Bar)]) -> Vec<(InstrumentId, Vec<Bits>)> {
    bars.iter().map(|(instrument, bar)| (*instrument, bits(&[*bar]))).collect()
}

/// Where two values begin to differ, with a little before it.
fn difference<T: Debug>(found: &T, expected: &T) -> String {
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    let same = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| -> String { text.chars().skip(same.saturating_sub(80)).take(300).collect() };
    format!("from character {same} on ...{}... and not ...{}...", part(&found), part(&expected))
}
