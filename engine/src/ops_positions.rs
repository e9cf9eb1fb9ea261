//! Operations on positions and books.

use std::ops::ControlFlow;

use barkeeper_records::{
    AccountId, BookId, Bucket, Calendar, ExtremeUpdate, IncrementOutcome, Outcome, Position, PositionKey,
    PositionStatus, Refusal, Table, TradingDay, limits,
};
use barkeeper_storage::{BookV1, PositionV1, StoredPosition, StoredRow, keys, row_hash, rowview};
use rust_decimal::Decimal;

use crate::error::{CommitError, CommitResult, ReadResult, missing};
use crate::overlay::{Extreme, Extremes};
use crate::session::Session;
use crate::tables::Tab;
use crate::view::View;

/// The stored row of a position.
pub(crate) fn read_position(view: &impl View, key: &PositionKey) -> ReadResult<Option<StoredPosition>> {
    match view.row::<PositionV1>(Tab::Positions, &keys::position(key))? {
        Some(row) => Ok(Some(row.read(key.clone())?)),
        None => Ok(None),
    }
}

/// The stored rows of all positions whose keys begin with a prefix, in the order of keys.
pub(crate) fn read_positions(
    view: &impl View,
    prefix: &[u8],
) -> ReadResult<Vec<(PositionKey, StoredPosition)>> {
    let mut found = Vec::new();
    view.scan_prefix(Tab::Positions, prefix, &mut |key, value| {
        let owner = keys::read_position(key).ok_or_else(|| missing("position key"))?;
        let row = PositionV1::from_bytes(key, value)?.read(owner.clone())?;
        found.push((owner, row));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Visits the positions whose keys begin with a prefix, in the order of keys, with the commits that
/// opened them; tombstones are left out.
pub(crate) fn visit_positions(
    view: &impl View,
    prefix: &[u8],
    mut visit: impl FnMut(Position, u64),
) -> ReadResult<()> {
    let mut names = None;
    view.scan_prefix(Tab::Positions, prefix, &mut |key, value| {
        let owner = keys::read_position_of(key, &mut names).ok_or_else(|| missing("position key"))?;
        let StoredPosition { position, entry, .. } = PositionV1::from_bytes(key, value)?.read(owner)?;
        if let Some(position) = position {
            visit(position, entry);
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// The trading day of a book's last increment.
pub(crate) fn read_book(
    view: &impl View,
    account: &AccountId,
    book: &BookId,
) -> ReadResult<Option<TradingDay>> {
    match view.row::<BookV1>(Tab::Books, &keys::book(account, book))? {
        Some(row) => Ok(Some(row.read()?.0)),
        None => Ok(None),
    }
}

pub(crate) fn position_hash(position: &Position) -> i64 {
    row_hash(Table::Positions, &rowview::position_key(&position.key), &rowview::position_values(position))
}

pub(crate) fn book_hash(account: &AccountId, book: &BookId, day: TradingDay) -> i64 {
    row_hash(Table::Books, &rowview::book_key(account, book), &rowview::book_values(day))
}

pub(crate) fn account_bucket(table: Table, account: &AccountId) -> Bucket {
    Bucket { table, group: account.to_string(), period: 0 }
}

impl Session<'_, '_> {
    fn open_position(&self, key: &PositionKey) -> CommitResult<(Position, u64)> {
        let stored = read_position(&self.staged, key)?;
        let open = stored.and_then(|row| row.position.map(|position| (position, row.entry)));
        let open = open.filter(|(position, _)| position.status == PositionStatus::Open);
        open.ok_or_else(|| CommitError::PositionNotOpen(key.clone()))
    }

    /// Writes a position, unless it is as it was. `entry` is the commit that opened it.
    fn write_position(&mut self, position: Position, entry: u64) -> CommitResult<Outcome> {
        let position = position.born()?;
        let stored = read_position(&self.staged, &position.key)?;
        let old = stored.and_then(|row| row.position);
        if old.as_ref() == Some(&position) {
            return Ok(Outcome::Unchanged);
        }
        let bucket = account_bucket(Table::Positions, &position.key.account);
        if let Some(old) = &old {
            self.digests.remove(bucket.clone(), position_hash(old));
        }
        self.digests.add(bucket, position_hash(&position));
        let key = keys::position(&position.key);
        let row = PositionV1::of(&position, self.version, entry);
        self.staged.put_row(Tab::Positions, key.clone(), &row);
        self.log_key(Table::Positions, key);
        Ok(Outcome::Done)
    }

    pub(crate) fn enter(
        &mut self,
        key: &PositionKey,
        day: TradingDay,
        quantity: Option<Decimal>,
        price: Option<Decimal>,
    ) -> CommitResult<Outcome> {
        if self.open_position(key).is_ok() {
            return Err(CommitError::PositionOpen(key.clone()));
        }
        if let Some(quantity) = quantity {
            check_quantity(key, quantity)?;
        }
        let position = Position { quantity, cost: price, ..Position::opened(key.clone(), Some(day)) };
        self.write_position(position, self.lsn.0)
    }

    pub(crate) fn add_to(
        &mut self,
        key: &PositionKey,
        quantity: Decimal,
        price: Option<Decimal>,
    ) -> CommitResult<Outcome> {
        check_quantity(key, quantity)?;
        let (mut position, entry) = self.open_position(key)?;
        // Of an average, one unknown part makes the whole unknown.
        let paid = position.quantity.zip(position.cost).zip(price);
        position.cost = paid.and_then(|((held, cost), price)| {
            let money = held.checked_mul(cost)?.checked_add(quantity.checked_mul(price)?)?;
            Some(money.checked_div(held.checked_add(quantity)?)?.round_dp(8))
        });
        position.quantity = position.quantity.map(|held| held.saturating_add(quantity));
        self.write_position(position, entry)
    }

    pub(crate) fn take_from(&mut self, key: &PositionKey, quantity: Decimal) -> CommitResult<Outcome> {
        check_quantity(key, quantity)?;
        let (mut position, entry) = self.open_position(key)?;
        if let Some(held) = position.quantity {
            if held < quantity {
                return Err(CommitError::TooLittle { key: key.clone(), held, asked: quantity });
            }
            position.quantity = Some(held - quantity);
            if held == quantity {
                position.status = PositionStatus::Closed;
            }
        }
        self.write_position(position, entry)
    }

    pub(crate) fn close_position(&mut self, key: &PositionKey) -> CommitResult<Outcome> {
        let (mut position, entry) = self.open_position(key)?;
        position.status = PositionStatus::Closed;
        position.quantity = position.quantity.map(|_| Decimal::ZERO);
        self.write_position(position, entry)
    }

    pub(crate) fn set_position(&mut self, position: Position) -> CommitResult<Outcome> {
        let stored = read_position(&self.staged, &position.key)?;
        let same_entry = stored.filter(|row| {
            row.position
                .as_ref()
                .is_some_and(|p| p.status == PositionStatus::Open && p.opened_on == position.opened_on)
        });
        let entry = same_entry.map_or(self.lsn.0, |row| row.entry);
        self.write_position(position, entry)
    }

    pub(crate) fn set_held_days(&mut self, key: &PositionKey, days: u32) -> CommitResult<Outcome> {
        let stored = read_position(&self.staged, key)?;
        let stored = stored.and_then(|row| Some((row.position?, row.entry)));
        let entry = stored.as_ref().map_or(self.lsn.0, |(_, entry)| *entry);
        let position = stored.map(|(position, _)| position);
        let mut position = position.unwrap_or_else(|| Position::opened(key.clone(), None));
        position.held_days = Some(days);
        self.write_position(position, entry)
    }

    pub(crate) fn set_extremes(
        &mut self,
        key: &PositionKey,
        highest: Option<f64>,
        lowest: Option<f64>,
    ) -> CommitResult<Outcome> {
        let stored = read_position(&self.staged, key)?;
        let stored = stored.ok_or_else(|| CommitError::NoPosition(key.clone()))?;
        let mut position = stored.position.ok_or_else(|| CommitError::NoPosition(key.clone()))?;
        position.highest = highest.or(position.highest);
        position.lowest_trusted = position.lowest_trusted || lowest.is_some();
        position.lowest = lowest.or(position.lowest);
        // A new entry number: relaxed prices from before must not undo what was set.
        self.write_position(position, self.lsn.0)
    }

    pub(crate) fn delete_position(&mut self, key: &PositionKey) -> CommitResult<Outcome> {
        let stored = read_position(&self.staged, key)?;
        let Some(position) = stored.and_then(|row| row.position) else { return Ok(Outcome::Unchanged) };
        self.digests.remove(account_bucket(Table::Positions, &key.account), position_hash(&position));
        let bytes = keys::position(key);
        self.staged.put_row(Tab::Positions, bytes.clone(), &PositionV1::tombstone(self.version));
        self.log_key(Table::Positions, bytes);
        Ok(Outcome::Done)
    }

    pub(crate) fn increment(
        &mut self,
        calendar: &Calendar,
        account: &AccountId,
        book: &BookId,
        day: Option<TradingDay>,
        catch_up: bool,
    ) -> CommitResult<IncrementOutcome> {
        let shown = match day {
            Some(day) => Ok(day),
            None => match calendar.trading_day_of(self.now)? {
                Some(day) => Ok(day),
                None => Err(calendar.date_of(self.now)?),
            },
        };
        let day = shown.unwrap_or_else(|closed| closed);
        let mut outcome = IncrementOutcome {
            done: false,
            day,
            positions: 0,
            missed: Vec::new(),
            caught_up: false,
            refusal: None,
        };
        if shown.is_err() || !calendar.is_open(day) {
            outcome.refusal = Some(Refusal::NotATradingDay { day, next: calendar.next_open(day) });
            return Ok(outcome);
        }
        let today = calendar.date_of(self.now)?;
        if day.days().saturating_sub(today.days()) > limits::DAYS_AHEAD {
            outcome.refusal = Some(Refusal::TooFarAhead { day, today });
            return Ok(outcome);
        }
        let last = read_book(&self.staged, account, book)?;
        if let Some(last) = last.filter(|last| *last >= day) {
            outcome.refusal = Some(Refusal::AlreadyDone { last });
            return Ok(outcome);
        }
        outcome.missed =
            last.map_or_else(Vec::new, |last| calendar.open_between(last, day, limits::MISSED_DAYS));
        outcome.caught_up = catch_up && !outcome.missed.is_empty();
        let step = 1 + if catch_up { u32::try_from(outcome.missed.len()).unwrap_or(0) } else { 0 };
        let mut held = Vec::new();
        visit_positions(&self.staged, &keys::book(account, book), |position, entry| {
            held.push((position, entry));
        })?;
        for (mut position, entry) in held {
            if let (PositionStatus::Open, Some(days)) = (position.status, position.held_days) {
                position.held_days = Some(days.saturating_add(step));
                self.write_position(position, entry)?;
                outcome.positions += 1;
            }
        }
        self.set_incremented_on(account, book, day)?;
        outcome.done = true;
        Ok(outcome)
    }

    pub(crate) fn set_incremented_on(
        &mut self,
        account: &AccountId,
        book: &BookId,
        day: TradingDay,
    ) -> CommitResult<Outcome> {
        let old = read_book(&self.staged, account, book)?;
        if old == Some(day) {
            return Ok(Outcome::Unchanged);
        }
        let bucket = account_bucket(Table::Books, account);
        if let Some(old) = old {
            self.digests.remove(bucket.clone(), book_hash(account, book, old));
        }
        self.digests.add(bucket, book_hash(account, book, day));
        let key = keys::book(account, book);
        self.staged.put_row(Tab::Books, key.clone(), &BookV1::of(day, self.version));
        self.log_key(Table::Books, key);
        Ok(Outcome::Done)
    }

    pub(crate) fn update_extremes(
        &mut self,
        account: &AccountId,
        book: &BookId,
        updates: &[ExtremeUpdate],
    ) -> CommitResult<Outcome> {
        let mut changed = 0;
        for update in updates {
            let update = update.born()?;
            let key =
                PositionKey { account: account.clone(), book: book.clone(), instrument: update.instrument };
            let Ok((mut position, entry)) = self.open_position(&key) else { continue };
            let extreme = Extreme { high: update.high, low: update.low, entry };
            if extreme.changes(&position, entry) {
                extreme.show(&mut position, entry);
                self.write_position(position, entry)?;
                changed += 1;
            }
        }
        Ok(Outcome::Extremes { changed })
    }

    /// Makes relaxed extremes durable.
    pub(crate) fn fold(&mut self, extremes: &Extremes) -> CommitResult<()> {
        for (key, extreme) in extremes {
            let Some(row) = read_position(&self.staged, key)? else { continue };
            let Some(mut position) = row.position else { continue };
            if extreme.changes(&position, row.entry) {
                extreme.show(&mut position, row.entry);
                self.write_position(position, row.entry)?;
            }
        }
        Ok(())
    }

    /// Gives a position, or its tombstone, a new version without changing it.
    pub(crate) fn stamp_position(&mut self, key: &PositionKey) -> CommitResult<()> {
        let bytes = keys::position(key);
        let stored = read_position(&self.staged, key)?;
        let row = match stored {
            Some(StoredPosition { position: Some(position), entry, .. }) => {
                PositionV1::of(&position, self.version, entry)
            }
            _ => PositionV1::tombstone(self.version),
        };
        self.staged.put_row(Tab::Positions, bytes.clone(), &row);
        self.digests.touch(account_bucket(Table::Positions, &key.account));
        self.log_key(Table::Positions, bytes);
        Ok(())
    }

    /// Gives a book's row a new version without changing it.
    pub(crate) fn stamp_book(&mut self, account: &AccountId, book: &BookId) -> CommitResult<()> {
        if let Some(day) = read_book(&self.staged, account, book)? {
            let key = keys::book(account, book);
            self.staged.put_row(Tab::Books, key.clone(), &BookV1::of(day, self.version));
            self.digests.touch(account_bucket(Table::Books, account));
            self.log_key(Table::Books, key);
        }
        Ok(())
    }
}

fn check_quantity(key: &PositionKey, quantity: Decimal) -> CommitResult<()> {
    if quantity > Decimal::ZERO { Ok(()) } else { Err(CommitError::Quantity { key: key.clone(), quantity }) }
}
