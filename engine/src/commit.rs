//! Group commit: batches that wait together are evaluated in order, applied together and synced once.
//!
//! Whoever finds nobody committing leads: it takes all waiting tasks, and hands the lead to one of those
//! that came meanwhile. A lone batch waits for nobody. A failing batch contributes nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use barkeeper_records::{
    Bar, Batch, Lsn, MarketTrade, Operation, Outcome, Precondition, RequestId, SeriesKey, Table, Tick, Value,
    Version, limits,
};
use barkeeper_storage::{NumberOfV1, RequestOrderV1, RequestV1, keys, rowview};

use crate::error::{CommitError, CommitResult, NOTHING, ReadError, missing};
use crate::events::EventImportPlan;
use crate::import::ImportPlan;
use crate::ops_bars::check_size;
use crate::pages::Cause;
use crate::report::Receipt;
use crate::session::{Joined, Session, read_head};
use crate::space::{Room, has_bars};
use crate::store::{Inner, load_targets};
use crate::tables::Tab;
use crate::tails::{TakenTail, Touch};
use crate::upkeep::Upkeep;
use crate::view::{ReadView, View, WriteTables};

/// Something to be done in a write transaction.
pub(crate) enum Task {
    Batch(Batch),
    Import(Box<ImportPlan>),
    ImportTicks(Box<EventImportPlan<Tick>>),
    ImportMarketTrades(Box<EventImportPlan<MarketTrade>>),
    Upkeep(Box<Upkeep>),
    Register(String),
    Forget(String),
    Stamp {
        table: Table,
        keys: Vec<Vec<Value>>,
        above: Version,
    },
    /// Only what waits in memory: relaxed values, acknowledgements.
    Fold,
    /// Nothing: who reads waits until the database is opened anew.
    Mend,
}

enum State {
    Waiting,
    Lead,
    Done(CommitResult<Receipt>),
}

struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

impl Slot {
    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_one();
    }
}

type Waiting = (Task, Arc<Slot>);

/// The tasks that wait for a leader.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    led: bool,
}

impl Inner {
    /// Has a task done, alone or together with others.
    pub(crate) fn submit(&self, task: Task) -> CommitResult<Receipt> {
        self.readers.expire(self.options.clock.steady());
        let slot = Arc::new(Slot { state: Mutex::new(State::Waiting), changed: Condvar::new() });
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push_back((task, slot.clone()));
        let led = std::mem::replace(&mut queue.led, true);
        drop(queue);
        if !led {
            self.lead();
        }
        let mut state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match std::mem::replace(&mut *state, State::Waiting) {
                State::Done(answer) => return answer,
                State::Lead => {
                    drop(state);
                    self.lead();
                    state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
                }
                State::Waiting => {
                    state = slot.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Whether somebody commits or waits to.
    pub(crate) fn is_committing(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).led
    }

    fn lead(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let group: Vec<Waiting> = queue.waiting.drain(..).collect();
        drop(queue);
        self.run_group(group);
        queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.waiting.front() {
            Some((_, next)) => next.set(State::Lead),
            None => queue.led = false,
        }
    }

    fn run_group(&self, group: Vec<Waiting>) {
        let (tasks, slots): (Vec<Task>, Vec<Arc<Slot>>) = group.into_iter().unzip();
        let reading = tasks.iter().all(|task| matches!(task, Task::Mend));
        let bytes = tasks.iter().map(disk_bytes).sum();
        let answers = self.make_ready(reading).and_then(|()| {
            if reading {
                let nothing = Receipt { lsn: NOTHING, outcomes: Vec::new(), changed: false, replayed: false };
                return Ok(slots.iter().map(|_| Ok(nothing.clone())).collect());
            }
            let room = self.space.look(bytes);
            if room == Room::None {
                return Err(CommitError::DiskFull);
            }
            // A panic of redb on a damaged page must not leave those who wait without an answer.
            let group = catch_unwind(AssertUnwindSafe(|| self.commit_group(tasks, room)));
            group.unwrap_or_else(|_| {
                Err(CommitError::NotStored { detail: "a page of the database does not decode".to_owned() })
            })
        });
        let missed = |answer: &CommitResult<Receipt>| matches!(answer, Err(CommitError::Read(_)));
        if answers
            .as_ref()
            .map_or_else(|error| matches!(error, CommitError::Read(_)), |all| all.iter().any(missed))
        {
            self.hot.look_again(true);
        }
        if !reading {
            self.full.store(matches!(answers, Err(CommitError::DiskFull)), Ordering::SeqCst);
        }
        match answers {
            Ok(answers) => {
                for (slot, answer) in slots.iter().zip(answers) {
                    slot.set(State::Done(answer));
                }
            }
            Err(error) => {
                // One failure is everybody's; not every error can be copied.
                let mut rest: Vec<_> = slots.iter().skip(1).map(|_| again(&error)).collect();
                rest.insert(0, error);
                for (slot, error) in slots.iter().zip(rest) {
                    slot.set(State::Done(Err(error)));
                }
            }
        }
    }

    /// Opens the database anew where redb has given up on it. Unless it is only to be read, a disk that took no writes
    /// must take them now.
    fn make_ready(&self, reading: bool) -> CommitResult<()> {
        if self.hot.must_reopen() {
            self.hot.reopen(&self.options).map_err(|source| ReadError::Io { source })?;
            self.recall();
        }
        let Some(cause) = self.hot.read_only().filter(|_| !reading) else { return Ok(()) };
        self.hot.try_to_write(&self.options).map_err(|_| not_stored(Some(&cause)))?;
        self.recall();
        Ok(())
    }

    /// Opens the database anew behind a group that failed. Answers why it failed, and whether anything of it
    /// can still become durable.
    fn undone(&self, sure: bool) -> CommitError {
        let cause = self.hot.cause();
        let reopened = self.hot.reopen(&self.options).is_ok();
        if reopened {
            self.recall();
        }
        if sure || (reopened && self.hot.read_only().is_none()) {
            return not_stored(cause.as_ref());
        }
        let unknown = || "the database gave up".to_owned();
        CommitError::Failed { detail: cause.map_or_else(unknown, |cause| cause.to_string()) }
    }

    /// Brings what is kept in memory to what the database says.
    fn recall(&self) {
        self.segments.forget();
        let known = self.hot.begin_read().and_then(|txn| load_targets(&ReadView::new(txn)));
        let Ok(mut known) = known else { return };
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, lsn) in &mut known {
            *lsn = targets.acknowledged.get(name).copied().unwrap_or_default().max(*lsn);
        }
        targets.acknowledged = known;
        targets.dirty = true;
    }

    fn commit_group(&self, tasks: Vec<Task>, room: Room) -> CommitResult<Vec<CommitResult<Receipt>>> {
        let before = self.hot.synced();
        let txn = self.hot.begin_write()?;
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let extremes = self.overlay.now();
        let mut joined = Vec::new();
        let mut answers = Vec::with_capacity(tasks.len());
        let mut written = false;
        let spoiled = {
            let tables = WriteTables::new(&txn);
            let context = Context { inner: self, tables: &tables, numbers: &numbers, room };
            if !extremes.is_empty() {
                let mut session = context.session()?;
                session.fold(&extremes)?;
                if session.changed {
                    written = true;
                    joined.push(session.join()?);
                }
            }
            for task in tasks {
                let answer = context.evaluate(task, &mut joined, &mut written);
                answers.push(answer);
            }
            written |= self.save_acknowledged(&tables)?;
            if written {
                self.trim_log(&tables)?;
            }
            tables.is_spoiled()
        };
        if self.hot.has_failed() {
            // Nothing of it has reached the header, which is all that leads to it.
            drop(txn);
            return Err(self.undone(true));
        }
        if spoiled {
            for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
                let detail = "another batch of the same commit met damage".to_owned();
                *answer = Err(CommitError::NotStored { detail });
            }
        }
        if spoiled || !written {
            if txn.abort().is_err() {
                self.hot.distrust();
            }
            if spoiled {
                self.recall();
            }
            return Ok(answers);
        }
        let touched = self.take_tails(&joined);
        self.turnover.begin(&joined);
        if !matches!(catch_unwind(AssertUnwindSafe(|| txn.commit())), Ok(Ok(()))) {
            self.hot.distrust();
            // Behind its sync a commit is durable, whatever redb could not do after it.
            if self.hot.synced() <= before {
                self.turnover.undone(&joined);
                return Err(self.undone(false));
            }
        }
        self.overlay.forget(&extremes);
        self.put_tails_back(touched);
        self.turnover.done(&joined);
        self.learn_numbers(joined);
        Ok(answers)
    }

    fn take_tails(&self, joined: &[Joined]) -> Vec<Taken> {
        let mut all: BTreeMap<SeriesKey, (Lsn, Vec<&Touch>)> = BTreeMap::new();
        for one in joined {
            for (series, touches) in &one.touches {
                let entry = all.entry(*series).or_default();
                entry.0 = one.lsn;
                entry.1.extend(touches);
            }
        }
        let mut taken = Vec::new();
        for (series, (lsn, touches)) in all {
            let appended: Option<Vec<Bar>> = touches
                .iter()
                .map(|touch| match touch {
                    Touch::Append(bar) => Some(*bar),
                    Touch::Change => None,
                })
                .collect();
            if let (Some(tail), Some(appended)) = (self.tails.begin(&series, lsn), appended) {
                taken.push(Taken { series, lsn, tail, appended });
            }
        }
        taken
    }

    fn put_tails_back(&self, taken: Vec<Taken>) {
        for Taken { series, lsn, tail, appended } in taken {
            self.tails.done(&series, lsn, tail, &appended);
        }
    }

    fn learn_numbers(&self, joined: Vec<Joined>) {
        let mut changed = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for one in &joined {
            changed.extend(one.streams.iter().map(|stream| (*stream, one.lsn)));
        }
        drop(changed);
        let fresh: Vec<_> = joined.into_iter().flat_map(|one| one.new_instruments).collect();
        if !fresh.is_empty() {
            let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut numbers).extend(fresh);
        }
    }

    /// Writes acknowledgements that are older than 5 s, in a commit that happens anyway.
    fn save_acknowledged(&self, tables: &WriteTables<'_>) -> CommitResult<bool> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.options.clock.now();
        if !targets.dirty || now.nanos().saturating_sub(targets.saved.nanos()).abs() < 5_000_000_000 {
            return Ok(false);
        }
        for (name, lsn) in &targets.acknowledged {
            let row = NumberOfV1 { value: lsn.0 };
            let key = name.as_bytes();
            tables.put(Tab::Targets, key, &barkeeper_storage::StoredRow::to_bytes(&row, key))?;
        }
        targets.dirty = false;
        targets.saved = now;
        Ok(true)
    }
}

/// About what a task writes to the disk. Bars have room of their own, which is looked at apart.
fn disk_bytes(task: &Task) -> u64 {
    match task {
        Task::Batch(batch) if !has_bars(batch) => {
            batch.operations.len() as u64 * limits::OPERATION_DISK_BYTES
        }
        _ => 0,
    }
}

/// Why a group is not stored.
fn not_stored(cause: Option<&Cause>) -> CommitError {
    match cause {
        Some(cause) if cause.is_full() => CommitError::DiskFull,
        Some(cause) => CommitError::NotStored { detail: cause.to_string() },
        None => CommitError::NotStored { detail: "the database gave up".to_owned() },
    }
}

/// The error of a group for another one of its batches.
fn again(error: &CommitError) -> CommitError {
    match error {
        CommitError::DiskFull => CommitError::DiskFull,
        CommitError::Failed { detail } => CommitError::Failed { detail: detail.clone() },
        other => CommitError::NotStored { detail: other.to_string() },
    }
}

struct Taken {
    series: SeriesKey,
    lsn: Lsn,
    tail: TakenTail,
    appended: Vec<Bar>,
}

/// What the evaluation of a task needs.
struct Context<'a, 'txn> {
    inner: &'a Inner,
    tables: &'a WriteTables<'txn>,
    numbers: &'a HashMap<barkeeper_records::InstrumentId, u32>,
    room: Room,
}

impl<'a, 'txn> Context<'a, 'txn> {
    fn session(&self) -> CommitResult<Session<'a, 'txn>> {
        let inner = self.inner;
        let keep_log = !inner.targets.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.is_empty();
        let now = inner.options.clock.now();
        Session::new(self.tables, &inner.segments, self.numbers, inner.identity.device, now, keep_log)
    }

    fn evaluate(&self, task: Task, joined: &mut Vec<Joined>, written: &mut bool) -> CommitResult<Receipt> {
        if matches!(&task, Task::Batch(batch) if has_bars(batch)) {
            self.room.for_bars()?;
        }
        let mut session = self.session()?;
        let outcomes = match task {
            Task::Batch(batch) => return self.batch(batch, session, joined, written),
            Task::Import(plan) => {
                if joined.iter().any(|earlier| plan.meets(&earlier.touches)) {
                    return Err(CommitError::Contended(1));
                }
                vec![session.publish_import(*plan, &self.inner.tails)?]
            }
            Task::ImportTicks(plan) => {
                if joined.iter().any(|earlier| plan.meets(&earlier.streams)) {
                    return Err(CommitError::Contended(1));
                }
                vec![session.publish_events(*plan, self.inner)?]
            }
            Task::ImportMarketTrades(plan) => {
                if joined.iter().any(|earlier| plan.meets(&earlier.streams)) {
                    return Err(CommitError::Contended(1));
                }
                vec![session.publish_events(*plan, self.inner)?]
            }
            Task::Upkeep(change) => vec![session.upkeep(*change)?],
            Task::Register(name) => vec![self.register(&mut session, &name)?],
            Task::Forget(name) => {
                session.staged.remove(Tab::Targets, name.as_bytes().to_vec());
                session.noted = true;
                let mut targets = self.inner.targets.lock().unwrap_or_else(PoisonError::into_inner);
                targets.acknowledged.remove(&name);
                vec![Outcome::Done]
            }
            Task::Stamp { table, keys, above } => {
                session.see(above)?;
                for key in &keys {
                    session.stamp(table, key)?;
                }
                vec![Outcome::Done]
            }
            Task::Fold | Task::Mend => Vec::new(),
        };
        finish(session, outcomes, joined, written)
    }

    fn batch(
        &self,
        batch: Batch,
        mut session: Session<'a, 'txn>,
        joined: &mut Vec<Joined>,
        written: &mut bool,
    ) -> CommitResult<Receipt> {
        if let Some(request) = &batch.request
            && let Some(row) = session.staged.row::<RequestV1>(Tab::Requests, &keys::request(request))?
        {
            return Ok(Receipt { lsn: Lsn(row.lsn), outcomes: Vec::new(), changed: false, replayed: true });
        }
        for precondition in batch.preconditions {
            if !session.holds(&precondition)? {
                return Err(CommitError::Precondition(precondition));
            }
        }
        let mut outcomes = Vec::with_capacity(batch.operations.len());
        for operation in &batch.operations {
            outcomes.push(session.operate(operation, &self.inner.options.calendar)?);
        }
        if let Some(request) = &batch.request {
            session.remember(request)?;
        }
        finish(session, outcomes, joined, written)
    }

    fn register(&self, session: &mut Session<'_, '_>, name: &str) -> CommitResult<Outcome> {
        let mut targets = self.inner.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.acknowledged.contains_key(name) {
            return Ok(Outcome::Unchanged);
        }
        if targets.acknowledged.len() >= limits::TARGETS {
            return Err(CommitError::Targets(limits::TARGETS));
        }
        session.staged.put_row(Tab::Targets, name.as_bytes().to_vec(), &NumberOfV1 { value: 0 });
        session.noted = true;
        targets.acknowledged.insert(name.to_owned(), Lsn(0));
        Ok(Outcome::Done)
    }
}

fn finish(
    session: Session<'_, '_>,
    outcomes: Vec<Outcome>,
    joined: &mut Vec<Joined>,
    written: &mut bool,
) -> CommitResult<Receipt> {
    let changed = session.changed;
    if !changed && !session.noted {
        return Ok(Receipt { lsn: Lsn(session.head.lsn), outcomes, changed, replayed: false });
    }
    let one = session.join()?;
    let lsn = one.lsn;
    joined.push(one);
    *written = true;
    Ok(Receipt { lsn, outcomes, changed, replayed: false })
}

impl Session<'_, '_> {
    fn holds(&self, precondition: &Precondition) -> CommitResult<bool> {
        let open = |key| -> CommitResult<bool> {
            let row = crate::ops_positions::read_position(&self.staged, key)?;
            let position = row.and_then(|row| row.position);
            Ok(position.is_some_and(|p| p.status == barkeeper_records::PositionStatus::Open))
        };
        match precondition {
            Precondition::PositionOpen(key) => open(key),
            Precondition::PositionNotOpen(key) => Ok(!open(key)?),
            Precondition::TradeAbsent(id) => {
                Ok(!self.staged.with(Tab::TradeIds, &keys::trade_id(*id), |value| value.is_some())?)
            }
            Precondition::HeadIs(lsn) => Ok(self.head.lsn == lsn.0),
            _ => Ok(false),
        }
    }

    fn operate(
        &mut self,
        operation: &Operation,
        calendar: &barkeeper_records::Calendar,
    ) -> CommitResult<Outcome> {
        match operation {
            Operation::RecordTrade(trade) => self.record_trade(trade),
            Operation::VoidTrade { trade_id, voids, ts, remark } => {
                self.void_trade(*trade_id, *voids, *ts, remark)
            }
            Operation::OpenPosition { key, day, quantity, price } => self.enter(key, *day, *quantity, *price),
            Operation::AddPosition { key, quantity, price } => self.add_to(key, *quantity, *price),
            Operation::ReducePosition { key, quantity } => self.take_from(key, *quantity),
            Operation::ClosePosition { key } => self.close_position(key),
            Operation::SetPosition(position) => self.set_position(position.clone()),
            Operation::SetHeldDays { key, days } => self.set_held_days(key, *days),
            Operation::DeletePosition { key } => self.delete_position(key),
            Operation::IncrementHeldDays { account, book, day, catch_up } => {
                Ok(Outcome::Increment(self.increment(calendar, account, book, *day, *catch_up)?))
            }
            Operation::SetIncrementedOn { account, book, day } => {
                self.set_incremented_on(account, book, *day)
            }
            Operation::UpdateExtremes { account, book, updates } => {
                self.update_extremes(account, book, updates)
            }
            Operation::SetExtremes { key, highest, lowest } => self.set_extremes(key, *highest, *lowest),
            Operation::PutBars { run, on_conflict } => self.put_bars(run, *on_conflict),
            Operation::PutCrossSection { interval, adjustment, bars, on_conflict } => {
                self.put_cross_section(*interval, *adjustment, bars, *on_conflict)
            }
            Operation::DeleteBars { series, from, to } => self.delete_bars(series, *from, *to),
            Operation::PutTicks { ticks, on_conflict } => self.put_events(ticks, *on_conflict),
            Operation::DeleteTicks { instrument, from, to } => {
                self.delete_events::<Tick>(instrument, *from, *to)
            }
            Operation::PutMarketTrades { trades, on_conflict } => self.put_events(trades, *on_conflict),
            Operation::DeleteMarketTrades { instrument, from, to } => {
                self.delete_events::<MarketTrade>(instrument, *from, *to)
            }
            Operation::SetFactor(event) => self.set_factor(event),
            Operation::DeleteFactor { instrument, ex_day } => self.delete_factor(*instrument, *ex_day),
            Operation::RecordImport(import) => self.record_import(import),
            Operation::SaveStrategySnapshot { strategy, saved_at, schema_version, body } => {
                self.save_state(strategy, *saved_at, *schema_version, body)
            }
            Operation::DeleteStrategySnapshot { key } => self.delete_state(key),
            _ => Ok(Outcome::Unchanged),
        }
    }

    /// Remembers a request id, and forgets the client's oldest ones.
    fn remember(&mut self, request: &RequestId) -> CommitResult<()> {
        let lsn = if self.changed { self.lsn.0 } else { self.head.lsn };
        let prefix = keys::client(&request.client);
        let end = keys::after_prefix(&prefix);
        let newest = self.staged.last(Tab::RequestOrder, &prefix, &end)?;
        let newest = newest.and_then(|(key, _)| keys::read_request_order(&key));
        let sequence = newest.map_or(0, |newest| newest + 1);
        self.staged.put_row(Tab::Requests, keys::request(request), &RequestV1 { lsn, sequence });
        let order = keys::request_order(&request.client, sequence);
        self.staged.put_row(Tab::RequestOrder, order, &RequestOrderV1 { to: keys::request(request) });
        self.noted = true;
        // A client's sequence has no gap, so one comes in and one goes.
        if let Some(oldest) = sequence.checked_sub(limits::REQUEST_IDS_PER_CLIENT) {
            let order = keys::request_order(&request.client, oldest);
            if let Some(RequestOrderV1 { to }) = self.staged.row(Tab::RequestOrder, &order)? {
                self.staged.remove(Tab::RequestOrder, order);
                self.staged.remove(Tab::Requests, to);
            }
        }
        Ok(())
    }

    /// Moves the version clock past a version that a target has.
    fn see(&mut self, above: Version) -> CommitResult<()> {
        while self.version <= above {
            self.version = self.version.max(above);
            self.advance()?;
        }
        Ok(())
    }

    fn stamp(&mut self, table: Table, key: &[Value]) -> CommitResult<()> {
        let unknown = || CommitError::Read(missing("key of a row"));
        let parse = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let text = |place: usize| key.get(place).and_then(parse).ok_or_else(unknown);
        match table {
            Table::Bars => {
                let (series, ts) = barkeeper_storage::rowview::bar_key_of(key).ok_or_else(unknown)?;
                self.stamp_bar(&series, ts)
            }
            Table::Ticks => {
                let (instrument, place) = rowview::event_key_of(key).ok_or_else(unknown)?;
                self.stamp_event::<Tick>(&instrument, place)
            }
            Table::MarketTrades => {
                let (instrument, place) = rowview::event_key_of(key).ok_or_else(unknown)?;
                self.stamp_event::<MarketTrade>(&instrument, place)
            }
            Table::Factors => {
                let (instrument, ex_day) =
                    barkeeper_storage::rowview::factor_key_of(key).ok_or_else(unknown)?;
                self.stamp_factor(instrument, ex_day)
            }
            Table::Trades => self.stamp_trade(text(0)?.parse().map_err(|_| unknown())?),
            Table::Positions => self.stamp_position(&barkeeper_records::PositionKey {
                account: text(0)?.parse().map_err(|_| unknown())?,
                book: text(1)?.parse().map_err(|_| unknown())?,
                instrument: text(2)?.parse().map_err(|_| unknown())?,
            }),
            Table::Books => {
                let account = text(0)?.parse().map_err(|_| unknown())?;
                let book = text(1)?.parse().map_err(|_| unknown())?;
                self.stamp_book(&account, &book)
            }
            Table::StrategySnapshots => {
                let key = barkeeper_storage::rowview::strategy_snapshot_key_of(key).ok_or_else(unknown)?;
                self.stamp_state(&key)
            }
            _ => Err(unknown()),
        }
    }
}

/// Checks the size of a batch before it waits for anybody.
pub(crate) fn check_batch(batch: &Batch) -> CommitResult<()> {
    let too_many = |what, found, limit| Err(CommitError::Limit { what, found, limit });
    if batch.operations.len() > limits::BATCH_OPERATIONS {
        return too_many("operations of a batch", batch.operations.len(), limits::BATCH_OPERATIONS);
    }
    if let Some(RequestId { client, id }) = &batch.request {
        for text in [client, id] {
            if text.is_empty() || text.len() > limits::REQUEST_ID_BYTES || text.contains('\0') {
                return too_many("bytes of a request id", text.len(), limits::REQUEST_ID_BYTES);
            }
        }
    }
    let bars = batch.operations.iter().map(|operation| match operation {
        Operation::PutBars { run, .. } => run.bars().len(),
        Operation::PutCrossSection { bars, .. } => bars.len(),
        _ => 0,
    });
    check_size(bars.sum())?;
    let events = batch.operations.iter().map(|operation| match operation {
        Operation::PutTicks { ticks, .. } => ticks.len(),
        Operation::PutMarketTrades { trades, .. } => trades.len(),
        _ => 0,
    });
    crate::events::check_size(events.sum())
}

impl Inner {
    /// Drops what no target needs from the front of the log, a bounded part a commit.
    fn trim_log(&self, tables: &WriteTables<'_>) -> CommitResult<()> {
        const STEP: usize = 4_000;
        let mut head = read_head(tables)?;
        let needed = {
            let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            targets.acknowledged.values().min().map_or(head.lsn, |lsn| lsn.0)
        };
        if head.tail > head.lsn
            || (head.tail > needed
                && head.log_bytes <= limits::LOG_BYTES
                && !self.log_is_old(tables, &head)?)
        {
            return Ok(());
        }
        let now = self.options.clock.now().millis();
        let (mut gone, mut left) = (Vec::new(), head.log_bytes);
        let mut whole = head.tail;
        tables.scan(Tab::Log, &keys::log(Lsn(head.tail), 0), &[], false, &mut |key, value| {
            let (lsn, _) = keys::read_log(key).ok_or_else(|| missing("log key"))?;
            let record: barkeeper_storage::LogV1 = barkeeper_storage::StoredRow::from_bytes(key, value)?;
            // Only whole commits go: the checks stand at the first record of each. What is young and needed
            // stays, however old that before it was.
            if gone.is_empty() || lsn.0 != whole {
                let wanted = lsn.0 <= needed || left > limits::LOG_BYTES || is_old(&record, now);
                if gone.len() >= STEP || !wanted {
                    return Ok(std::ops::ControlFlow::Break(()));
                }
                whole = lsn.0;
            }
            let bytes = (key.len() + value.len()) as u64;
            left = left.saturating_sub(bytes);
            gone.push((key.to_vec(), bytes, lsn.0, record.chain()));
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        let Some((_, _, last, chain)) = gone.last().cloned() else { return Ok(()) };
        for (key, bytes, _, _) in &gone {
            tables.remove(Tab::Log, key)?;
            head.log_bytes = head.log_bytes.saturating_sub(*bytes);
        }
        head.tail = last + 1;
        head.tail_chain = chain;
        let bytes = barkeeper_storage::StoredRow::to_bytes(&head, crate::tables::HEAD);
        tables.put(Tab::Meta, crate::tables::HEAD, &bytes)
    }

    fn log_is_old(&self, tables: &WriteTables<'_>, head: &barkeeper_storage::HeadV1) -> CommitResult<bool> {
        let key = keys::log(Lsn(head.tail), 0);
        let record: Option<barkeeper_storage::LogV1> = tables.row(Tab::Log, &key)?;
        let now = self.options.clock.now().millis();
        Ok(record.is_some_and(|record| is_old(&record, now)))
    }
}

/// Whether a log record is older than the log is kept.
const fn is_old(record: &barkeeper_storage::LogV1, now_ms: i64) -> bool {
    now_ms.saturating_sub(record.written_ms()) > limits::LOG_AGE_NS / 1_000_000
}
