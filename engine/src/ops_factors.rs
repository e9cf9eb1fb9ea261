//! Corporate actions: set, remove, read, and bars adjusted by them.

use std::ops::ControlFlow;

use barkeeper_records::{
    Adjustment, AdjustmentTag, Bar, Direction, FactorError, FactorEvent, Factors, InstrumentId, Interval,
    Lsn, Outcome, Row, SeriesKey, Table, Timestamp, TradingDay,
};
use barkeeper_storage::{FactorV1, StoredFactor, StoredRow, keys, row_hash, rowview};

use crate::error::{CommitResult, ReadError, ReadResult, missing};
use crate::merge::Bars;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

/// A corporate action's place and its row.
pub(crate) type PlacedFactor = ((InstrumentId, TradingDay), StoredFactor);

pub(crate) fn read_factor(
    view: &impl View,
    instrument: InstrumentId,
    ex_day: TradingDay,
) -> ReadResult<Option<StoredFactor>> {
    match view.row::<FactorV1>(Tab::Factors, &keys::factor(&instrument, ex_day))? {
        Some(row) => Ok(Some(row.read((instrument, ex_day))?)),
        None => Ok(None),
    }
}

/// All rows whose keys begin with a prefix, tombstones among them, in the order of keys.
pub(crate) fn read_factors(view: &impl View, prefix: &[u8]) -> ReadResult<Vec<PlacedFactor>> {
    let mut found = Vec::new();
    view.scan_prefix(Tab::Factors, prefix, &mut |key, value| {
        let place = keys::read_factor(key).ok_or_else(|| missing("factor key"))?;
        found.push((place, FactorV1::from_bytes(key, value)?.read(place)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

pub(crate) fn factor_hash(event: &FactorEvent) -> i64 {
    let key = rowview::factor_key(&event.instrument, event.ex_day);
    row_hash(Table::Factors, &key, &rowview::factor_values(event))
}

/// The row as targets see it.
pub(crate) fn factor_row(((instrument, ex_day), stored): &PlacedFactor, lsn: Lsn) -> Row {
    Row {
        table: Table::Factors,
        key: rowview::factor_key(instrument, *ex_day),
        values: stored.event.as_ref().map(rowview::factor_values).unwrap_or_default(),
        version: stored.version,
        deleted: stored.event.is_none(),
        lsn,
        row_hash: stored.event.as_ref().map_or(0, factor_hash),
    }
}

/// The last close of a series before an ex-day; `span` are the first and the last `ts` of the series.
fn close_before<V: View>(
    all: &Bars<'_, V>,
    series: &SeriesKey,
    (first, last): (Timestamp, Timestamp),
    ex_day: TradingDay,
) -> ReadResult<Option<f64>> {
    // Where a bar has an instant, the trading day before may end after the label of the ex-day.
    let daily = series.interval.is_daily_or_longer();
    let mut to = if daily { ex_day.previous().label() } else { ex_day.next().label() };
    let mut count = 1;
    loop {
        if to < first {
            return Ok(None);
        }
        let bars = all.last(series, to.min(last), first, count)?;
        let before = bars.iter().rev().find(|row| row.bar.trading_day < ex_day);
        match (before, bars.first()) {
            (Some(row), _) => return Ok(Some(row.bar.close)),
            (None, None) => return Ok(None),
            (None, Some(first)) => to = Timestamp::from_nanos(first.bar.ts.nanos().saturating_sub(1)),
        }
        count = 256;
    }
}

impl Session<'_, '_> {
    pub(crate) fn set_factor(&mut self, event: &FactorEvent) -> CommitResult<Outcome> {
        let event = event.born()?;
        let stored = read_factor(&self.staged, event.instrument, event.ex_day)?;
        let old = stored.and_then(|row| row.event);
        if old.is_some_and(|old| old.same_content(&event)) {
            return Ok(Outcome::Unchanged);
        }
        event.plausible()?;
        self.check_worth(&event)?;
        let bucket = rowview::factor_bucket(&event.instrument);
        if let Some(old) = &old {
            self.digests.remove(bucket.clone(), factor_hash(old));
        }
        self.digests.add(bucket, factor_hash(&event));
        self.write_factor(&event.instrument, event.ex_day, &FactorV1::of(&event, self.version));
        Ok(Outcome::Done)
    }

    /// Refuses an event that takes more than the share is worth, where the daily close before it is known.
    fn check_worth(&mut self, event: &FactorEvent) -> CommitResult<()> {
        let daily = SeriesKey::daily(event.instrument);
        let stat = self.stat(&daily)?;
        if stat.count == 0 {
            return Ok(());
        }
        let span = (Timestamp::from_nanos(stat.first), Timestamp::from_nanos(stat.last));
        let FactorEvent { instrument, ex_day, .. } = *event;
        match close_before(&self.bars(), &daily, span, ex_day)? {
            Some(close) if event.price_step(close).is_none() => {
                Err(FactorError::Worth { instrument, ex_day, close }.into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn delete_factor(
        &mut self,
        instrument: InstrumentId,
        ex_day: TradingDay,
    ) -> CommitResult<Outcome> {
        let stored = read_factor(&self.staged, instrument, ex_day)?;
        let Some(old) = stored.and_then(|row| row.event) else { return Ok(Outcome::Unchanged) };
        self.digests.remove(rowview::factor_bucket(&instrument), factor_hash(&old));
        self.write_factor(&instrument, ex_day, &FactorV1::tombstone(self.version));
        Ok(Outcome::Done)
    }

    /// Gives a corporate action a new version without changing it.
    pub(crate) fn stamp_factor(&mut self, instrument: InstrumentId, ex_day: TradingDay) -> CommitResult<()> {
        let stored = read_factor(&self.staged, instrument, ex_day)?;
        let row = match stored.and_then(|row| row.event) {
            Some(event) => FactorV1::of(&event, self.version),
            None => FactorV1::tombstone(self.version),
        };
        self.write_factor(&instrument, ex_day, &row);
        self.digests.touch(rowview::factor_bucket(&instrument));
        Ok(())
    }

    fn write_factor(&mut self, instrument: &InstrumentId, ex_day: TradingDay, row: &FactorV1) {
        let key = keys::factor(instrument, ex_day);
        self.staged.put_row(Tab::Factors, key.clone(), row);
        self.log_key(Table::Factors, key);
    }
}

impl Snapshot {
    /// The corporate actions of an instrument, ascending by ex-day.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn factor_events(&self, instrument: InstrumentId) -> ReadResult<Vec<FactorEvent>> {
        let rows = read_factors(self.view(), &keys::factors_of(&instrument))?;
        Ok(rows.into_iter().filter_map(|(_, row)| row.event).collect())
    }

    /// The corporate actions of all instruments, in the order of instruments and ex-days.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn all_factor_events(&self) -> ReadResult<Vec<FactorEvent>> {
        Ok(read_factors(self.view(), &[])?.into_iter().filter_map(|(_, row)| row.event).collect())
    }

    /// What scales the raw bars of a series: its corporate actions up to `as_of`, each with the last close
    /// before it. That close is the daily one; where there is no daily bar before the ex-day, that of the
    /// series itself.
    ///
    /// # Errors
    /// `Factor` where an event takes more than a share was worth; every other variant of [`ReadError`].
    pub fn factors(&self, series: &SeriesKey, as_of: Option<TradingDay>) -> ReadResult<Factors> {
        let mut events = self.factor_events(series.instrument)?;
        events.retain(|event| as_of.is_none_or(|day| event.ex_day <= day));
        let daily = SeriesKey::daily(series.instrument);
        let mut with_closes = Vec::with_capacity(events.len());
        for event in events {
            let mut close = self.close_before(&daily, event.ex_day)?;
            if close.is_none() && daily != *series {
                close = self.close_before(series, event.ex_day)?;
            }
            with_closes.push((event, close));
        }
        Factors::of(&with_closes)
            .map_err(|event| ReadError::Factor { instrument: event.instrument, ex_day: event.ex_day })
    }

    fn close_before(&self, series: &SeriesKey, ex_day: TradingDay) -> ReadResult<Option<f64>> {
        match self.series(series)? {
            Some(span) => close_before(&self.merged(), series, (span.first, span.last), ex_day),
            None => Ok(None),
        }
    }

    pub(crate) fn adjustable(series: &SeriesKey, adjustment: Adjustment) -> ReadResult<()> {
        let untouched = adjustment.direction == Direction::None;
        let longer = series.interval.is_daily_or_longer() && series.interval != Interval::DAY;
        if untouched || (series.adjustment == AdjustmentTag::Raw && !longer) {
            Ok(())
        } else {
            Err(ReadError::NotAdjustable { series: *series })
        }
    }

    /// The bars of a series from `from` to `to`, both included, ascending and adjusted. Stored bars stay
    /// as they are; without an adjustment they are answered bit for bit.
    ///
    /// # Errors
    /// `NotAdjustable` for bars that were adjusted at their source and for bars longer than a day;
    /// `Factor` where an event takes more than a share was worth; every other variant of [`ReadError`].
    pub fn bars_adjusted(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        adjustment: Adjustment,
    ) -> ReadResult<Vec<Bar>> {
        Self::adjustable(series, adjustment)?;
        let mut bars = self.bars(series, from, to)?;
        self.adjust(series, adjustment, &mut bars)?;
        Ok(bars)
    }

    /// The last `count` bars of a series, ascending and adjusted; seen from a day, the last ones up to it.
    ///
    /// # Errors
    /// As [`Snapshot::bars_adjusted`].
    pub fn last_bars_adjusted(
        &self,
        series: &SeriesKey,
        count: usize,
        adjustment: Adjustment,
    ) -> ReadResult<Vec<Bar>> {
        Self::adjustable(series, adjustment)?;
        let mut bars = match (adjustment.as_of, self.series(series)?) {
            (None, _) | (_, None) => self.last_bars(series, count)?,
            (Some(day), Some(span)) => {
                // Whatever trades on a day has ended before the label of the day after the next.
                let to = day.next().next().label().min(span.last);
                let mut wanted = count;
                loop {
                    let rows = self.merged().last(series, to, span.first, wanted)?;
                    let all = rows.len() < wanted;
                    let mut bars: Vec<Bar> = rows.into_iter().map(|row| row.bar).collect();
                    bars.retain(|bar| bar.trading_day <= day);
                    if all || bars.len() >= count {
                        bars.drain(..bars.len().saturating_sub(count));
                        break bars;
                    }
                    wanted = wanted.saturating_mul(2).max(16);
                }
            }
        };
        self.adjust(series, adjustment, &mut bars)?;
        Ok(bars)
    }

    /// Adjusts bars of a raw series, wherever they were read.
    ///
    /// # Errors
    /// As [`Snapshot::bars_adjusted`].
    pub fn adjust(&self, series: &SeriesKey, adjustment: Adjustment, bars: &mut Vec<Bar>) -> ReadResult<()> {
        Self::adjustable(series, adjustment)?;
        let factors = if adjustment.direction == Direction::None {
            Factors::default()
        } else {
            self.factors(series, adjustment.as_of)?
        };
        factors.apply(adjustment, bars);
        Ok(())
    }
}
