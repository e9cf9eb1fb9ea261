//! The ledger's part of the model: positions, books and trades.

use barkeeper_records::{
    AccountId, BookId, ExtremeUpdate, IncrementOutcome, Operation, Outcome, Position, PositionKey,
    PositionStatus, Refusal, StrategyId, StrategySnapshot, StrategySnapshotKey, Timestamp, TradeId,
    TradeKind, TradeRecord, TradingDay, limits,
};
use rust_decimal::Decimal;

use crate::model::{Draft, Refused};

impl Draft<'_> {
    pub(crate) fn ledger(&mut self, operation: &Operation) -> Result<Outcome, Refused> {
        match operation {
            Operation::RecordTrade(trade) => self.record(trade),
            Operation::VoidTrade { trade_id, voids, ts, remark } => self.void(*trade_id, *voids, *ts, remark),
            Operation::OpenPosition { key, day, quantity, price } => {
                if self.model.is_open(key) {
                    return Err(Refused::PositionOpen);
                }
                quantity.map(above_zero).transpose()?;
                let opened = Position::opened(key.clone(), Some(*day));
                self.set(Position { quantity: *quantity, cost: *price, ..opened })
            }
            Operation::AddPosition { key, quantity, price } => {
                above_zero(*quantity)?;
                let old = self.open(key)?;
                self.set(Position {
                    cost: averaged(&old, *quantity, *price),
                    quantity: old.quantity.map(|held| held + quantity),
                    ..old
                })
            }
            Operation::ReducePosition { key, quantity } => {
                above_zero(*quantity)?;
                let mut position = self.open(key)?;
                match position.quantity {
                    Some(held) if held < *quantity => return Err(Refused::TooLittle),
                    Some(held) => {
                        position.quantity = Some(held - quantity);
                        position.status =
                            if held == *quantity { PositionStatus::Closed } else { PositionStatus::Open };
                    }
                    None => {}
                }
                self.set(position)
            }
            Operation::ClosePosition { key } => {
                let old = self.open(key)?;
                let quantity = old.quantity.map(|_| Decimal::ZERO);
                self.set(Position { status: PositionStatus::Closed, quantity, ..old })
            }
            Operation::SetPosition(position) => self.set(position.clone()),
            Operation::SetHeldDays { key, days } => {
                let old = self.model.positions.get(key).cloned();
                let old = old.unwrap_or_else(|| Position::opened(key.clone(), None));
                self.set(Position { held_days: Some(*days), ..old })
            }
            Operation::DeletePosition { key } => {
                let gone = self.model.positions.remove(key).is_some();
                self.changed |= gone;
                Ok(if gone { Outcome::Done } else { Outcome::Unchanged })
            }
            Operation::SaveStrategySnapshot { strategy, saved_at, schema_version, body } => {
                self.save_state(strategy, *saved_at, *schema_version, body)
            }
            Operation::DeleteStrategySnapshot { key } => {
                let gone = self.model.states.remove(key).is_some();
                self.changed |= gone;
                Ok(if gone { Outcome::Done } else { Outcome::Unchanged })
            }
            Operation::IncrementHeldDays { account, book, day, catch_up } => {
                self.increment(account, book, *day, *catch_up).map(Outcome::Increment)
            }
            Operation::SetIncrementedOn { account, book, day } => {
                let old = self.model.books.insert((account.clone(), book.clone()), *day);
                let changed = old != Some(*day);
                self.changed |= changed;
                Ok(if changed { Outcome::Done } else { Outcome::Unchanged })
            }
            Operation::UpdateExtremes { account, book, updates } => {
                self.update_extremes(account, book, updates)
            }
            Operation::SetExtremes { key, highest, lowest } => {
                let old = self.model.positions.get(key).cloned().ok_or(Refused::NoPosition)?;
                self.set(Position {
                    highest: highest.or(old.highest),
                    lowest: lowest.or(old.lowest),
                    lowest_trusted: old.lowest_trusted || lowest.is_some(),
                    ..old
                })
            }
            _ => Err(Refused::Value),
        }
    }

    fn open(&self, key: &PositionKey) -> Result<Position, Refused> {
        let position = self.model.positions.get(key).filter(|_| self.model.is_open(key));
        position.cloned().ok_or(Refused::PositionNotOpen)
    }

    fn set(&mut self, position: Position) -> Result<Outcome, Refused> {
        let position = position.born().map_err(|_| Refused::Value)?;
        Ok(if self.write_position(position) { Outcome::Done } else { Outcome::Unchanged })
    }

    /// Writes a position unless it is as it was; answers whether it changed.
    pub(crate) fn write_position(&mut self, position: Position) -> bool {
        let changed = self.model.positions.get(&position.key) != Some(&position);
        if changed {
            self.model.positions.insert(position.key.clone(), position);
            self.changed = true;
        }
        changed
    }

    fn update_extremes(
        &mut self,
        account: &AccountId,
        book: &BookId,
        updates: &[ExtremeUpdate],
    ) -> Result<Outcome, Refused> {
        let mut changed = 0;
        for update in updates {
            let update = update.born().map_err(|_| Refused::Value)?;
            let key =
                PositionKey { account: account.clone(), book: book.clone(), instrument: update.instrument };
            let Ok(old) = self.open(&key) else { continue };
            let highest = Some(old.highest.map_or(update.high, |high| high.max(update.high)));
            let lowest = Some(old.lowest.map_or(update.low, |low| low.min(update.low)));
            changed += u64::from(self.write_position(Position { highest, lowest, ..old }));
        }
        Ok(Outcome::Extremes { changed })
    }

    fn save_state(
        &mut self,
        strategy: &StrategyId,
        saved_at: Timestamp,
        schema_version: u32,
        body: &str,
    ) -> Result<Outcome, Refused> {
        // What the workload draws is an object, a list, or cut off.
        if !body.ends_with(['}', ']']) {
            return Err(Refused::Value);
        }
        let of_instant = self.model.states.values().find(|state| {
            (&state.key.strategy, state.key.saved_at) == (strategy, saved_at)
                && (state.schema_version, state.body.as_str()) == (schema_version, body)
        });
        if let Some(state) = of_instant {
            return Ok(Outcome::Saved { sequence: state.key.sequence, known: true });
        }
        let next = self.model.saved.entry((strategy.clone(), saved_at)).or_default();
        let key = StrategySnapshotKey { strategy: strategy.clone(), saved_at, sequence: *next };
        *next += 1;
        let sequence = key.sequence;
        let state = StrategySnapshot { key: key.clone(), schema_version, body: body.to_owned() };
        self.model.states.insert(key, state);
        self.changed = true;
        Ok(Outcome::Saved { sequence, known: false })
    }

    fn increment(
        &mut self,
        account: &AccountId,
        book: &BookId,
        day: Option<TradingDay>,
        catch_up: bool,
    ) -> Result<IncrementOutcome, Refused> {
        let calendar = self.model.calendar.clone();
        let day = match day {
            Some(day) => day,
            None => calendar.date_of(self.now).map_err(|_| Refused::Value)?,
        };
        let refused = |refusal| IncrementOutcome {
            done: false,
            day,
            positions: 0,
            missed: Vec::new(),
            caught_up: false,
            refusal: Some(refusal),
        };
        if !calendar.is_open(day) {
            return Ok(refused(Refusal::NotATradingDay { day, next: calendar.next_open(day) }));
        }
        let today = calendar.date_of(self.now).map_err(|_| Refused::Value)?;
        if day.days() - today.days() > limits::DAYS_AHEAD {
            return Ok(refused(Refusal::TooFarAhead { day, today }));
        }
        let key = (account.clone(), book.clone());
        let last = self.model.books.get(&key).copied();
        if let Some(last) = last.filter(|last| *last >= day) {
            return Ok(refused(Refusal::AlreadyDone { last }));
        }
        let missed = last.map_or_else(Vec::new, |last| calendar.open_between(last, day, limits::MISSED_DAYS));
        let caught_up = catch_up && !missed.is_empty();
        let step = 1 + if caught_up { u32::try_from(missed.len()).unwrap_or(0) } else { 0 };
        let mut positions = 0;
        for position in self.model.positions.values_mut() {
            let counts = position.key.account == *account
                && position.key.book == *book
                && position.status == PositionStatus::Open;
            if let Some(days) = position.held_days.as_mut().filter(|_| counts) {
                *days = days.saturating_add(step);
                positions += 1;
            }
        }
        self.model.books.insert(key, day);
        self.changed = true;
        Ok(IncrementOutcome { done: true, day, positions, missed, caught_up, refusal: None })
    }

    fn record(&mut self, trade: &TradeRecord) -> Result<Outcome, Refused> {
        let trade = trade.clone().born().map_err(|_| Refused::Value)?;
        let exists = |old: &TradeRecord| Outcome::TradeExists {
            trade_id: old.trade_id,
            strategy: old.strategy.clone(),
        };
        if let Some(old) = self.model.trades.get(&trade.trade_id) {
            return if *old == trade { Ok(exists(old)) } else { Err(Refused::TradeDiffers) };
        }
        let same_number = |old: &&TradeRecord| {
            let of = (&trade.account, trade.trading_day, &trade.external_id);
            trade.external_id.is_some() && (&old.account, old.trading_day, &old.external_id) == of
        };
        if let Some(first) = self.model.trades.values().find(same_number) {
            let what = |t: &TradeRecord| (t.instrument, t.kind, t.price, t.quantity);
            return if what(first) == what(&trade) {
                Ok(exists(first))
            } else {
                Err(Refused::ExternalIdDiffers)
            };
        }
        if let Some(voided) = trade.voids {
            let known = self.model.trades.get(&voided).is_some_and(|old| old.kind != TradeKind::Void);
            let gone = self.model.trades.values().any(|old| old.voids == Some(voided));
            if !known || gone {
                return Err(Refused::NoTrade);
            }
        }
        self.model.trades.insert(trade.trade_id, trade);
        self.changed = true;
        Ok(Outcome::Done)
    }

    fn void(
        &mut self,
        trade_id: TradeId,
        voids: TradeId,
        ts: Timestamp,
        remark: &str,
    ) -> Result<Outcome, Refused> {
        let old = self.model.trades.get(&voids).cloned().ok_or(Refused::NoTrade)?;
        self.record(&TradeRecord {
            trade_id,
            kind: TradeKind::Void,
            ts,
            remark: remark.to_owned(),
            source_text: String::new(),
            external_id: None,
            voids: Some(voids),
            ..old
        })
    }
}

fn above_zero(quantity: Decimal) -> Result<(), Refused> {
    if quantity > Decimal::ZERO { Ok(()) } else { Err(Refused::Quantity) }
}

/// The average cost after an addition; unknown where any part of it is.
fn averaged(old: &Position, quantity: Decimal, price: Option<Decimal>) -> Option<Decimal> {
    let (held, cost, price) = (old.quantity?, old.cost?, price?);
    Some((held * cost + quantity * price).checked_div(held + quantity)?.round_dp(8))
}
