//! `Model`: what a store must hold, kept in maps and worked out batch by batch from the words of the
//! design alone.

use std::collections::{BTreeMap, BTreeSet};

use barkeeper::{CommitError, Receipt};
use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, Batch, BookId, Calendar, Hlc, InstrumentId, Interval, Lsn, OnConflict,
    Operation, Outcome, Position, PositionKey, PositionStatus, Precondition, RequestId, SeriesKey,
    StrategyId, StrategySnapshot, StrategySnapshotKey, Timestamp, TradeId, TradeRecord, TradingDay, Version,
};

use crate::streams::Streams;

/// A bar and the version that wrote it.
pub type Written = (Bar, Version);

/// An older content of a bar, the version that wrote it and the one that replaced it.
pub type Replaced = (Bar, Version, Version);

/// Why a batch must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A precondition does not hold.
    Precondition,
    /// The position is open already.
    PositionOpen,
    /// The position is not open.
    PositionNotOpen,
    /// There is no position.
    NoPosition,
    /// Less is held than was to be taken.
    TooLittle,
    /// A quantity that is not above zero.
    Quantity,
    /// A record that cannot be voided.
    NoTrade,
    /// A known trade id with other content.
    TradeDiffers,
    /// A known number of the broker with another fill.
    ExternalIdDiffers,
    /// A value that cannot be.
    Value,
    /// Bars differ, and the batch says to stop.
    Conflict,
    /// A cross-section that is none.
    CrossSection,
}

impl Refused {
    /// The refusal that an error tells; `None` for failures that are no refusals.
    pub const fn of(error: &CommitError) -> Option<Self> {
        Some(match error {
            CommitError::Precondition(_) => Self::Precondition,
            CommitError::PositionOpen(_) => Self::PositionOpen,
            CommitError::PositionNotOpen(_) => Self::PositionNotOpen,
            CommitError::NoPosition(_) => Self::NoPosition,
            CommitError::TooLittle { .. } => Self::TooLittle,
            CommitError::Quantity { .. } => Self::Quantity,
            CommitError::NoTrade(_) => Self::NoTrade,
            CommitError::TradeDiffers(_) => Self::TradeDiffers,
            CommitError::ExternalIdDiffers { .. } => Self::ExternalIdDiffers,
            CommitError::Trade(_)
            | CommitError::Position(_)
            | CommitError::StrategySnapshot(_)
            | CommitError::Event(_)
            | CommitError::Factor(_)
            | CommitError::Bar(_) => Self::Value,
            CommitError::Conflict { .. } | CommitError::EventConflict { .. } => Self::Conflict,
            CommitError::CrossSection { .. } => Self::CrossSection,
            _ => return None,
        })
    }
}

/// What a store must answer to a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The LSN of the receipt.
    pub lsn: Lsn,
    /// One outcome an operation.
    pub outcomes: Vec<Outcome>,
    /// Whether anything changed.
    pub changed: bool,
    /// Whether the request was known.
    pub replayed: bool,
}

/// Holds what a store answered to a batch against what it must answer.
///
/// # Errors
/// How both differ.
pub fn same_answer(
    found: &Result<Receipt, CommitError>,
    expected: &Result<Answer, Refused>,
) -> Result<(), String> {
    let same = match (found, expected) {
        (Ok(found), Ok(expected)) => {
            let found = (found.lsn, &found.outcomes, found.changed, found.replayed);
            found == (expected.lsn, &expected.outcomes, expected.changed, expected.replayed)
        }
        (Err(found), Err(expected)) => Refused::of(found) == Some(*expected),
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("the store answered {found:?}, the model {expected:?}")) }
}

/// What a store must hold at one LSN.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The last LSN.
    pub lsn: Lsn,
    /// The last version.
    pub version: Version,
    /// Bars by series and `ts`.
    pub bars: BTreeMap<SeriesKey, BTreeMap<Timestamp, Written>>,
    /// Replaced contents by series and `ts`, oldest first.
    pub revisions: BTreeMap<SeriesKey, BTreeMap<Timestamp, Vec<Replaced>>>,
    /// Positions as they are durable.
    pub positions: BTreeMap<PositionKey, Position>,
    /// The last increment of each book.
    pub books: BTreeMap<(AccountId, BookId), TradingDay>,
    /// Every line of the trade log.
    pub trades: BTreeMap<TradeId, TradeRecord>,
    /// States that strategies have saved and nobody has removed.
    pub states: BTreeMap<StrategySnapshotKey, StrategySnapshot>,
    /// How many states were ever saved at an instant.
    pub(crate) saved: BTreeMap<(StrategyId, Timestamp), u32>,
    /// Answered requests.
    pub requests: BTreeMap<RequestId, Lsn>,
    /// Hashes of imported files.
    pub imports: BTreeSet<String>,
    /// Ticks, market trades and corporate actions.
    pub streams: Streams,
    /// The calendar of the daily increment.
    pub calendar: Calendar,
    /// Relaxed highs and lows that no commit has folded in.
    relaxed: BTreeMap<PositionKey, (f64, f64)>,
}

/// One batch under evaluation.
pub(crate) struct Draft<'m> {
    pub(crate) model: &'m mut Model,
    pub(crate) version: Version,
    pub(crate) now: Timestamp,
    pub(crate) changed: bool,
}

impl Model {
    /// Evaluates a batch and takes it in, or leaves everything as it is.
    ///
    /// # Errors
    /// Why the batch must be refused.
    pub fn apply(&mut self, batch: &Batch, now: Timestamp) -> Result<Answer, Refused> {
        self.fold(now);
        let mut next = self.clone();
        let answer = next.run(batch, now)?;
        *self = next;
        Ok(answer)
    }

    /// As [`Model::apply`], without a way back: after a refusal the model is of no use.
    ///
    /// # Errors
    /// Why the batch must be refused.
    pub fn run(&mut self, batch: &Batch, now: Timestamp) -> Result<Answer, Refused> {
        self.fold(now);
        if let Some(lsn) = batch.request.as_ref().and_then(|request| self.requests.get(request)) {
            return Ok(Answer { lsn: *lsn, outcomes: Vec::new(), changed: false, replayed: true });
        }
        if !batch.preconditions.iter().all(|one| self.holds(one)) {
            return Err(Refused::Precondition);
        }
        let mut draft = self.draft(now);
        let outcomes =
            batch.operations.iter().map(|one| draft.operate(one)).collect::<Result<Vec<_>, _>>()?;
        let changed = draft.done();
        if let Some(request) = &batch.request {
            self.requests.insert(request.clone(), self.lsn);
        }
        Ok(Answer { lsn: self.lsn, outcomes, changed, replayed: false })
    }

    fn draft(&mut self, now: Timestamp) -> Draft<'_> {
        let mut draft = Draft { version: self.version, model: self, now, changed: false };
        draft.advance();
        draft
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::PositionOpen(key) => self.is_open(key),
            Precondition::PositionNotOpen(key) => !self.is_open(key),
            Precondition::TradeAbsent(id) => !self.trades.contains_key(id),
            Precondition::HeadIs(lsn) => self.lsn == *lsn,
            _ => false,
        }
    }

    pub(crate) fn is_open(&self, key: &PositionKey) -> bool {
        self.positions.get(key).is_some_and(|position| position.status == PositionStatus::Open)
    }

    /// Widens extremes as a relaxed call does. Answers how many positions changed.
    pub fn relax(&mut self, account: &AccountId, book: &BookId, updates: &[(InstrumentId, f64, f64)]) -> u64 {
        let mut changed = Vec::new();
        for (instrument, high, low) in updates {
            let key = PositionKey { account: account.clone(), book: book.clone(), instrument: *instrument };
            let Some(position) = self.shown(&key).filter(|_| self.is_open(&key)) else { continue };
            if position.highest.is_none_or(|old| *high > old) || position.lowest.is_none_or(|old| *low < old)
            {
                changed.push((key, *high, *low));
            }
        }
        for (key, high, low) in &changed {
            let held = self.relaxed.entry(key.clone()).or_insert((*high, *low));
            *held = (held.0.max(*high), held.1.min(*low));
        }
        changed.len() as u64
    }

    /// A position as readers see it, relaxed values in it.
    pub fn shown(&self, key: &PositionKey) -> Option<Position> {
        let mut position = self.positions.get(key)?.clone();
        if let Some((high, low)) = self.relaxed.get(key).filter(|_| position.status == PositionStatus::Open) {
            widen(&mut position, *high, *low);
        }
        Some(position)
    }

    /// Takes relaxed values in, under an LSN of their own, as the store does before any commit.
    pub fn fold(&mut self, now: Timestamp) {
        let relaxed = std::mem::take(&mut self.relaxed);
        let mut draft = self.draft(now);
        for (key, (high, low)) in relaxed {
            let old = draft.model.positions.get(&key).filter(|old| old.status == PositionStatus::Open);
            if let Some(mut position) = old.cloned() {
                widen(&mut position, high, low);
                draft.write_position(position);
            }
        }
        draft.done();
    }

    /// What is lost when the machine stops: relaxed values that no commit has folded in.
    pub fn forget_relaxed(&mut self) {
        self.relaxed.clear();
    }

    /// Takes bars in as an import does: the runs of a series are joined, and what differs from what is
    /// stored is worked out for all of them before anything is written. Answers how many bars were
    /// inserted, replaced, kept and unchanged.
    ///
    /// # Errors
    /// `Conflict` where bars differ and the import says to stop, `Value` where its own runs differ.
    pub fn import(
        &mut self,
        runs: &[(SeriesKey, Vec<Bar>)],
        on_conflict: OnConflict,
        now: Timestamp,
    ) -> Result<[u64; 4], Refused> {
        let mut joined: BTreeMap<SeriesKey, BTreeMap<Timestamp, Bar>> = BTreeMap::new();
        for (series, bars) in runs {
            let all = joined.entry(*series).or_default();
            for bar in bars {
                match (all.get(&bar.ts).filter(|old| !old.same_content(bar)), on_conflict) {
                    (Some(_), OnConflict::Refuse) => return Err(Refused::Value),
                    (Some(_), OnConflict::Keep) => {}
                    _ => drop(all.insert(bar.ts, *bar)),
                }
            }
        }
        let joined: Vec<(SeriesKey, Vec<Bar>)> =
            joined.into_iter().map(|(series, bars)| (series, bars.into_values().collect())).collect();
        let mut counts = [0; 4];
        for (series, bars) in &joined {
            for (sum, one) in counts.iter_mut().zip(self.compare(series, bars, on_conflict)?) {
                *sum += one;
            }
        }
        self.fold(now);
        let mut draft = self.draft(now);
        for (series, bars) in &joined {
            draft.put(series, bars, on_conflict)?;
        }
        draft.done();
        Ok(counts)
    }

    /// Inserted, replaced, kept and unchanged bars, if these were put.
    fn compare(
        &self,
        series: &SeriesKey,
        bars: &[Bar],
        on_conflict: OnConflict,
    ) -> Result<[u64; 4], Refused> {
        let stored = self.bars.get(series);
        let mut counts = [0; 4];
        for bar in bars {
            let place = match stored.and_then(|stored| stored.get(&bar.ts)) {
                None => 0,
                Some((old, _)) if old.same_content(bar) => 3,
                Some(_) if on_conflict == OnConflict::Refuse => return Err(Refused::Conflict),
                Some(_) if on_conflict == OnConflict::Keep => 2,
                Some(_) => 1,
            };
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            }
        }
        Ok(counts)
    }

    /// The bars of a series from `from` to `to`, both included.
    pub fn range(&self, series: &SeriesKey, from: Timestamp, to: Timestamp) -> Vec<Bar> {
        let Some(bars) = self.bars.get(series).filter(|_| from <= to) else { return Vec::new() };
        bars.range(from..=to).map(|(_, (bar, _))| *bar).collect()
    }

    /// The bars of a series as they were known at an instant.
    pub fn as_of(&self, series: &SeriesKey, as_of: Timestamp) -> Vec<Bar> {
        let limit = Version::floor_of(Timestamp::from_nanos(as_of.nanos().saturating_add(1_000_000)));
        let Some(bars) = self.bars.get(series) else { return Vec::new() };
        let known = |(ts, (bar, version)): (&Timestamp, &Written)| {
            if *version < limit {
                return Some(*bar);
            }
            let old = self.revisions.get(series)?.get(ts)?;
            old.iter().find(|(_, from, to)| *from < limit && limit <= *to).map(|(bar, _, _)| *bar)
        };
        bars.iter().filter_map(known).collect()
    }

    /// All bars of one `ts`, in the order of instruments.
    pub fn cross_section(&self, kind: (Interval, AdjustmentTag), ts: Timestamp) -> Vec<(InstrumentId, Bar)> {
        let of_kind = self.bars.iter().filter(|(series, _)| (series.interval, series.adjustment) == kind);
        of_kind.filter_map(|(series, bars)| Some((series.instrument, bars.get(&ts)?.0))).collect()
    }
}

fn widen(position: &mut Position, high: f64, low: f64) {
    position.highest = Some(position.highest.map_or(high, |old| old.max(high)));
    position.lowest = Some(position.lowest.map_or(low, |old| old.min(low)));
}

impl Draft<'_> {
    /// Gives what follows a higher version.
    pub(crate) fn advance(&mut self) {
        if let Ok(version) = Hlc::new(1, self.version).and_then(|mut clock| clock.next(self.now)) {
            self.version = version;
        }
    }

    fn done(self) -> bool {
        if self.changed {
            self.model.lsn = Lsn(self.model.lsn.0 + 1);
            self.model.version = self.version;
        }
        self.changed
    }

    fn operate(&mut self, operation: &Operation) -> Result<Outcome, Refused> {
        match operation {
            Operation::PutBars { run, on_conflict } => self.put(&run.series(), run.bars(), *on_conflict),
            Operation::PutCrossSection { interval, adjustment, bars, on_conflict } => {
                self.put_cross_section((*interval, *adjustment), bars, *on_conflict)
            }
            Operation::DeleteBars { series, from, to } => Ok(self.delete(series, *from, *to)),
            Operation::RecordImport(import) => {
                let new = self.model.imports.insert(import.hash.clone());
                Ok(if new { Outcome::Done } else { Outcome::Unchanged })
            }
            other => match self.streams(other) {
                Some(answer) => answer,
                None => self.ledger(other),
            },
        }
    }

    fn put(&mut self, series: &SeriesKey, bars: &[Bar], on_conflict: OnConflict) -> Result<Outcome, Refused> {
        let [inserted, replaced, kept, unchanged] = self.model.compare(series, bars, on_conflict)?;
        if on_conflict == OnConflict::Replace && bars.iter().any(|bar| self.is_own(series, bar)) {
            self.advance();
        }
        for bar in bars {
            self.put_bar(series, bar, on_conflict);
        }
        Ok(Outcome::Bars { inserted, replaced, kept, unchanged, deleted: 0 })
    }

    /// Whether a bar corrects what this very batch wrote before.
    fn is_own(&self, series: &SeriesKey, bar: &Bar) -> bool {
        let stored = self.model.bars.get(series).and_then(|stored| stored.get(&bar.ts));
        stored.is_some_and(|(old, version)| !old.same_content(bar) && *version >= self.version)
    }

    fn put_bar(&mut self, series: &SeriesKey, bar: &Bar, on_conflict: OnConflict) {
        let stored = self.model.bars.entry(*series).or_default();
        if let Some((old, version)) = stored.get(&bar.ts) {
            if old.same_content(bar) || on_conflict == OnConflict::Keep {
                return;
            }
            let revisions = self.model.revisions.entry(*series).or_default();
            revisions.entry(bar.ts).or_default().push((*old, *version, self.version));
        }
        stored.insert(bar.ts, (*bar, self.version));
        self.changed = true;
    }

    fn put_cross_section(
        &mut self,
        kind: (Interval, AdjustmentTag),
        bars: &[(InstrumentId, Bar)],
        on_conflict: OnConflict,
    ) -> Result<Outcome, Refused> {
        let mut one_each = BTreeMap::new();
        let ts = bars.first().map(|(_, bar)| bar.ts);
        for (instrument, bar) in bars {
            let bar = bar.born(kind.0).map_err(|_| Refused::Value)?;
            if Some(bar.ts) != ts || one_each.insert(*instrument, bar).is_some() {
                return Err(Refused::CrossSection);
            }
        }
        let mut counts = [0; 4];
        let series = |instrument| SeriesKey { interval: kind.0, adjustment: kind.1, instrument };
        for (instrument, bar) in &one_each {
            let one = self.model.compare(&series(*instrument), &[*bar], on_conflict)?;
            for (sum, one) in counts.iter_mut().zip(one) {
                *sum += one;
            }
        }
        for (instrument, bar) in &one_each {
            let series = series(*instrument);
            if on_conflict == OnConflict::Replace && self.is_own(&series, bar) {
                self.advance();
            }
            self.put_bar(&series, bar, on_conflict);
        }
        let [inserted, replaced, kept, unchanged] = counts;
        Ok(Outcome::Bars { inserted, replaced, kept, unchanged, deleted: 0 })
    }

    fn delete(&mut self, series: &SeriesKey, from: Timestamp, to: Timestamp) -> Outcome {
        let mut deleted = 0;
        if let Some(stored) = self.model.bars.get_mut(series) {
            let before = stored.len();
            stored.retain(|ts, _| *ts < from || *ts >= to);
            deleted = (before - stored.len()) as u64;
            if stored.is_empty() {
                self.model.bars.remove(series);
            }
        }
        if deleted > 0 {
            self.changed = true;
            self.advance();
        }
        Outcome::Bars { inserted: 0, replaced: 0, kept: 0, unchanged: 0, deleted }
    }
}
