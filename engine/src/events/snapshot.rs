//! Reads of ticks and market trades.

use barkeeper_records::{InstrumentId, MarketTrade, Tick, Timestamp};

use super::read::Events;
use super::{Event, EventSummary};
use crate::error::ReadResult;
use crate::snapshot::Snapshot;
use crate::view::ReadView;

/// The first span that is looked through for the last rows of a stream: five minutes.
const LAST_NS: i64 = 300_000_000_000;

impl Snapshot {
    pub(crate) fn events(&self) -> Events<'_, ReadView> {
        Events { view: self.view(), segments: &self.inner().segments }
    }

    fn event_range<T: Event>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<Vec<T>> {
        let (from, to) = self.span_within::<T>(instrument, from, to)?;
        Ok(self.events().range::<T>(instrument, from, to)?.into_iter().map(|row| row.event).collect())
    }

    fn last_events<T: Event>(&self, instrument: &InstrumentId, count: usize) -> ReadResult<Vec<T>> {
        let Some(span) = self.event_summary::<T>(instrument)? else { return Ok(Vec::new()) };
        let mut window = LAST_NS;
        loop {
            let from = Timestamp::from_nanos(span.last.nanos().saturating_sub(window)).max(span.first);
            let mut rows: Vec<T> = self.event_range(instrument, from, span.last)?;
            if rows.len() >= count || from == span.first {
                rows.drain(..rows.len().saturating_sub(count));
                return Ok(rows);
            }
            window = window.saturating_mul(4);
        }
    }

    /// The ticks of an instrument from `from` to `to`, both included, ascending.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn ticks(&self, instrument: &InstrumentId, from: Timestamp, to: Timestamp) -> ReadResult<Vec<Tick>> {
        self.event_range(instrument, from, to)
    }

    /// The last `count` ticks of an instrument, ascending.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn last_ticks(&self, instrument: &InstrumentId, count: usize) -> ReadResult<Vec<Tick>> {
        self.last_events(instrument, count)
    }

    /// First, last and count of an instrument's ticks, without a scan; `None` where it has none.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn tick_summary(&self, instrument: &InstrumentId) -> ReadResult<Option<EventSummary>> {
        self.event_summary::<Tick>(instrument)
    }

    /// First, last and count of all instruments' ticks, in the order of instruments.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn all_ticks(&self) -> ReadResult<Vec<EventSummary>> {
        self.event_summaries::<Tick>()
    }

    /// The market trades of an instrument from `from` to `to`, both included, ascending.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn market_trades(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> ReadResult<Vec<MarketTrade>> {
        self.event_range(instrument, from, to)
    }

    /// The last `count` market trades of an instrument, ascending.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn last_market_trades(
        &self,
        instrument: &InstrumentId,
        count: usize,
    ) -> ReadResult<Vec<MarketTrade>> {
        self.last_events(instrument, count)
    }

    /// First, last and count of an instrument's market trades, without a scan; `None` where it has none.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn market_trade_summary(&self, instrument: &InstrumentId) -> ReadResult<Option<EventSummary>> {
        self.event_summary::<MarketTrade>(instrument)
    }

    /// First, last and count of all instruments' market trades, in the order of instruments.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn all_market_trades(&self) -> ReadResult<Vec<EventSummary>> {
        self.event_summaries::<MarketTrade>()
    }
}
