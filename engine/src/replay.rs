//! `Replay`: bars, ticks and market trades of any instruments in the order in which they became known.
//!
//! Each kind of rows is a scan by time. Ticks and market trades become known at their `ts`, bars shorter than a
//! day in the order of theirs; of daily and longer ones, a venue's come later than another's of the same day, so
//! they wait in a heap until nothing earlier can follow. The kinds are merged by the instant at which each row became known.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{
    Array, ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use barkeeper_records::{
    AdjustmentTag, Bar, EventPlace, InstrumentId, Interval, IntervalUnit, Lsn, MarketTrade, SeriesKey, Tick,
    Timestamp, TradingDay, Venue,
};
use barkeeper_storage::StoredEvent;

use crate::error::{ReadResult, scan_error};
use crate::scan::{Instruments, Scan, ScanOrder, ScanRequest};
use crate::snapshot::Snapshot;

/// A row and the instant at which it became known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// When nobody could have known it before: of a bar [`Interval::known_at`], else its `ts`.
    pub at: Timestamp,
    /// Of which instrument.
    pub instrument: InstrumentId,
    /// The row.
    pub row: KnownRow,
}

/// A row of a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum KnownRow {
    /// A bar.
    Bar {
        /// Its length.
        interval: Interval,
        /// How its prices were adjusted.
        adjustment: AdjustmentTag,
        /// The bar.
        bar: Bar,
    },
    /// A market trade.
    MarketTrade(MarketTrade),
    /// A tick.
    Tick(Tick),
}

impl Known {
    /// The bar with its series, if it is one.
    pub const fn bar(&self) -> Option<(SeriesKey, Bar)> {
        match self.row {
            KnownRow::Bar { interval, adjustment, bar } => {
                Some((SeriesKey { interval, adjustment, instrument: self.instrument }, bar))
            }
            _ => None,
        }
    }

    /// Its place in a replay.
    fn order(&self) -> (Timestamp, Rank) {
        let instrument = self.instrument;
        let rank = match &self.row {
            KnownRow::Bar { interval, adjustment, bar } => {
                let series = SeriesKey { interval: *interval, adjustment: *adjustment, instrument };
                Rank::Bar(series, bar.ts)
            }
            KnownRow::MarketTrade(trade) => Rank::MarketTrade(instrument, trade.sequence),
            KnownRow::Tick(tick) => Rank::Tick(instrument, tick.sequence),
        };
        (self.at, rank)
    }
}

/// The order of rows that became known at the same instant: a bar sums up what was before it, and a tick is
/// taken behind the trades of its instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Bar(SeriesKey, Timestamp),
    MarketTrade(InstrumentId, u64),
    Tick(InstrumentId, u64),
}

/// What is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bars(Interval, AdjustmentTag),
    MarketTrades,
    Ticks,
}

/// Which rows are replayed.
///
/// ```
/// use barkeeper::ReplayRequest;
/// use barkeeper::records::{AdjustmentTag, Interval};
///
/// let request = ReplayRequest::of(Interval::MINUTE, AdjustmentTag::Raw)
///     .and(Interval::DAY, AdjustmentTag::Raw)
///     .and_ticks()
///     .from("2024-03-01T01:30:00Z".parse().unwrap())
///     .prefix("6");
/// # drop(request);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRequest {
    kinds: Vec<Kind>,
    instruments: Instruments,
    from: Timestamp,
    to: Timestamp,
    threads: Option<usize>,
    unit_rows: Option<u64>,
}

impl ReplayRequest {
    fn kind(kind: Kind) -> Self {
        Self {
            kinds: vec![kind],
            instruments: Instruments::All,
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            threads: None,
            unit_rows: None,
        }
    }

    fn and_kind(mut self, kind: Kind) -> Self {
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
        self
    }

    /// All bars of an interval and adjustment.
    pub fn of(interval: Interval, adjustment: AdjustmentTag) -> Self {
        Self::kind(Kind::Bars(interval, adjustment))
    }

    /// All ticks.
    pub fn ticks() -> Self {
        Self::kind(Kind::Ticks)
    }

    /// All market trades.
    pub fn market_trades() -> Self {
        Self::kind(Kind::MarketTrades)
    }

    /// Bars of another interval or adjustment as well.
    #[must_use]
    pub fn and(self, interval: Interval, adjustment: AdjustmentTag) -> Self {
        self.and_kind(Kind::Bars(interval, adjustment))
    }

    /// Ticks as well.
    #[must_use]
    pub fn and_ticks(self) -> Self {
        self.and_kind(Kind::Ticks)
    }

    /// Market trades as well.
    #[must_use]
    pub fn and_market_trades(self) -> Self {
        self.and_kind(Kind::MarketTrades)
    }

    /// Only of these instruments.
    #[must_use]
    pub fn instruments(mut self, instruments: impl IntoIterator<Item = InstrumentId>) -> Self {
        self.instruments = Instruments::List(instruments.into_iter().collect());
        self
    }

    /// Only of instruments whose name begins so.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.instruments = Instruments::Prefix(prefix.into());
        self
    }

    /// Only rows that became known at this instant or later.
    #[must_use]
    pub const fn from(mut self, from: Timestamp) -> Self {
        self.from = from;
        self
    }

    /// Only rows that became known up to this instant, itself included.
    #[must_use]
    pub const fn to(mut self, to: Timestamp) -> Self {
        self.to = to;
        self
    }

    /// Threads that decode, as [`ScanRequest::threads`].
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Makes units of work so small, as [`ScanRequest::unit_rows`].
    #[cfg(feature = "fault-injection")]
    #[must_use]
    pub const fn unit_rows(mut self, rows: u64) -> Self {
        self.unit_rows = Some(rows);
        self
    }

    /// The scan of one kind: by time, over every `ts` that may become known in the wanted time.
    fn scan(&self, kind: Kind) -> ScanRequest {
        let (request, reach) = match kind {
            Kind::Bars(interval, adjustment) => (ScanRequest::bars(interval, adjustment), reach(interval)),
            Kind::MarketTrades => (ScanRequest::market_trades(), 0),
            Kind::Ticks => (ScanRequest::ticks(), 0),
        };
        let mut request = request
            .from(Timestamp::from_nanos(self.from.nanos().saturating_sub(reach)))
            .to(self.to)
            .order(ScanOrder::Time)
            .share(self.kinds.len());
        request = match &self.instruments {
            Instruments::All => request,
            Instruments::List(list) => request.instruments(list.iter().copied()),
            Instruments::Prefix(prefix) => request.prefix(prefix),
        };
        if let Some(threads) = self.threads {
            request = request.threads(threads);
        }
        request.unit_rows = self.unit_rows;
        request
    }
}

/// Nanoseconds that lie between a bar's `ts` and the instant at which it became known, at the most.
fn reach(interval: Interval) -> i64 {
    let days = match (interval.nanos(), interval.unit()) {
        (Some(nanos), _) => return nanos,
        (None, IntervalUnit::Week) => 7,
        (None, IntervalUnit::Month) => 31,
        // Two days of a weekend for every five.
        _ => 2,
    };
    let days = days * i64::from(interval.count()) + 5;
    days.saturating_mul(86_400_000_000_000)
}

/// A row in the order of its becoming known.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    known: Known,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.known.order() == other.known.order()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.known.order().cmp(&other.known.order())
    }
}

/// One kind of rows.
struct Stream {
    kind: Kind,
    scan: Scan,
    batch: Option<Rows>,
    row: usize,
    names: Vec<InstrumentId>,
    /// Closes of daily bars by the venue's clock and trading day.
    closes: HashMap<(&'static str, u16, TradingDay), Timestamp>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    next: Option<Known>,
}

/// The columns of a batch.
struct Rows {
    keys: Int32Array,
    ts: TimestampNanosecondArray,
    /// Of ticks and market trades.
    sequences: Option<Int64Array>,
    days: Date32Array,
    numbers: Vec<Float64Array>,
    /// What stands behind the numbers.
    extra: Vec<ArrayRef>,
}

impl Rows {
    /// The columns of a batch that was asked for without a projection.
    fn of(kind: Kind, batch: &RecordBatch) -> Option<Self> {
        let mut columns = batch.columns().iter();
        let keys = columns.next()?.as_dictionary_opt::<Int32Type>()?.keys().clone();
        let ts = columns.next()?.as_primitive_opt::<TimestampNanosecondType>()?.clone();
        let sequences = match kind {
            Kind::Bars(..) => None,
            Kind::MarketTrades | Kind::Ticks => {
                Some(columns.next()?.as_primitive_opt::<Int64Type>()?.clone())
            }
        };
        let days = columns.next()?.as_primitive_opt::<Date32Type>()?.clone();
        let (mut numbers, mut extra) = (Vec::new(), Vec::new());
        for column in columns {
            match column.as_primitive_opt::<Float64Type>() {
                Some(column) => numbers.push(column.clone()),
                None => extra.push(column.clone()),
            }
        }
        Some(Self { keys, ts, sequences, days, numbers, extra })
    }

    fn len(&self) -> usize {
        self.ts.len()
    }

    fn key(&self, row: usize) -> Option<usize> {
        self.keys.values().get(row).and_then(|key| usize::try_from(*key).ok())
    }

    fn ts(&self, row: usize) -> Option<Timestamp> {
        self.ts.values().get(row).copied().map(Timestamp::from_nanos)
    }

    fn day(&self, row: usize) -> Option<TradingDay> {
        TradingDay::from_days(*self.days.values().get(row)?)
    }

    fn bar(&self, row: usize) -> Option<Bar> {
        let mut numbers = [0.0; 7];
        for (number, column) in numbers.iter_mut().zip(&self.numbers) {
            *number = *column.values().get(row)?;
        }
        Some(Bar::from_numbers(self.ts(row)?, self.day(row)?, numbers))
    }

    fn event<T: StoredEvent>(&self, row: usize) -> Option<T> {
        let sequence = u64::try_from(*self.sequences.as_ref()?.values().get(row)?).ok()?;
        let numbers = self.numbers.iter().map(|column| column.values().get(row).copied());
        let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
        let place = EventPlace { ts: self.ts(row)?, sequence };
        T::from_parts(place, self.day(row)?, &numbers, T::extra_code(&self.extra, row)?)
    }

    fn row(&self, kind: Kind, row: usize) -> Option<KnownRow> {
        Some(match kind {
            Kind::Bars(interval, adjustment) => KnownRow::Bar { interval, adjustment, bar: self.bar(row)? },
            Kind::MarketTrades => KnownRow::MarketTrade(self.event(row)?),
            Kind::Ticks => KnownRow::Tick(self.event(row)?),
        })
    }
}

impl Stream {
    fn new(snapshot: &Snapshot, request: &ReplayRequest, kind: Kind) -> ReadResult<Self> {
        let mut stream = Self {
            kind,
            scan: snapshot.scan(&request.scan(kind))?,
            batch: None,
            row: 0,
            names: Vec::new(),
            closes: HashMap::new(),
            waiting: BinaryHeap::new(),
            next: None,
        };
        stream.advance()?;
        Ok(stream)
    }

    /// Whether rows become known in the order of their `ts`.
    fn is_in_order(&self) -> bool {
        match self.kind {
            Kind::Bars(interval, _) => interval.nanos().is_some(),
            Kind::MarketTrades | Kind::Ticks => true,
        }
    }

    /// Moves to the next row in the order of becoming known.
    fn advance(&mut self) -> ReadResult<()> {
        if self.is_in_order() {
            self.next = self.read()?;
            return Ok(());
        }
        loop {
            let head = self.peek_ts()?;
            let ready = self.waiting.peek().is_some_and(|Reverse(first)| {
                // Whatever follows has a `ts` not before the head's and becomes known after it.
                head.is_none_or(|ts| first.known.at <= ts)
            });
            if ready || head.is_none() {
                self.next = self.waiting.pop().map(|Reverse(first)| first.known);
                return Ok(());
            }
            if let Some(known) = self.read()? {
                self.waiting.push(Reverse(Waiting { known }));
            }
        }
    }

    /// The `ts` of the next row of the scan.
    fn peek_ts(&mut self) -> ReadResult<Option<Timestamp>> {
        self.fill()?;
        let Some(rows) = &self.batch else { return Ok(None) };
        rows.ts(self.row).map(Some).ok_or_else(|| scan_error("a row is missing"))
    }

    /// Makes sure that a batch with a row left is open, unless the scan is at its end.
    fn fill(&mut self) -> ReadResult<()> {
        while self.batch.as_ref().is_none_or(|rows| self.row >= rows.len()) {
            self.batch = None;
            let Some(batch) = self.scan.next() else { return Ok(()) };
            let batch = batch?;
            if self.names.is_empty() {
                self.names = names_of(&batch).ok_or_else(|| scan_error("names are missing"))?;
            }
            self.row = 0;
            let rows = Rows::of(self.kind, &batch);
            self.batch = Some(rows.ok_or_else(|| scan_error("a column has another type"))?);
        }
        Ok(())
    }

    fn read(&mut self) -> ReadResult<Option<Known>> {
        self.fill()?;
        let Some(rows) = &self.batch else { return Ok(None) };
        let instrument = rows.key(self.row).and_then(|key| self.names.get(key)).copied();
        let (Some(instrument), Some(row)) = (instrument, rows.row(self.kind, self.row)) else {
            return Err(scan_error("a row is missing"));
        };
        self.row += 1;
        let at = match &row {
            KnownRow::Bar { interval, bar, .. } => match interval.nanos() {
                Some(nanos) => Timestamp::from_nanos(bar.ts.nanos().saturating_add(nanos)),
                None => self.close(*interval, &instrument, bar),
            },
            KnownRow::MarketTrade(trade) => trade.ts,
            KnownRow::Tick(tick) => tick.ts,
        };
        Ok(Some(Known { at, instrument, row }))
    }

    fn close(&mut self, interval: Interval, instrument: &InstrumentId, bar: &Bar) -> Timestamp {
        let clock = (instrument.zone(), Venue::close_of(instrument.venue()), bar.trading_day);
        if self.closes.len() > 4_096 {
            self.closes.clear();
        }
        *self.closes.entry(clock).or_insert_with(|| {
            // Beyond the range of instants there is no order to keep.
            interval.known_at(instrument, bar.ts, bar.trading_day).unwrap_or(Timestamp::MAX)
        })
    }
}

fn names_of(batch: &RecordBatch) -> Option<Vec<InstrumentId>> {
    let names = batch.columns().first()?.as_dictionary_opt::<Int32Type>()?;
    let values = names.values().as_any().downcast_ref::<StringArray>()?;
    values.iter().map(|name| InstrumentId::from_trusted(name?.as_bytes())).collect()
}

/// Rows in the order in which they became known. It keeps the files that it reads, as [`Scan`] does, and
/// may be sent to another thread. After an error it is at its end.
pub struct Replay {
    streams: Vec<Stream>,
    from: Timestamp,
    to: Timestamp,
    lsn: Lsn,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("lsn", &self.lsn).finish_non_exhaustive()
    }
}

impl Replay {
    /// The LSN of the last commit that it sees.
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    fn advance(&mut self) -> ReadResult<Option<Known>> {
        loop {
            let mut first: Option<(usize, Waiting)> = None;
            for (place, stream) in self.streams.iter().enumerate() {
                let Some(known) = stream.next else { continue };
                let waiting = Waiting { known };
                if first.is_none_or(|(_, first)| waiting < first) {
                    first = Some((place, waiting));
                }
            }
            let Some((place, Waiting { known })) = first else { return Ok(None) };
            if known.at > self.to {
                return Ok(None);
            }
            if let Some(stream) = self.streams.get_mut(place) {
                stream.advance()?;
            }
            if known.at >= self.from {
                return Ok(Some(known));
            }
        }
    }
}

impl Iterator for Replay {
    type Item = ReadResult<Known>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.streams.clear();
        }
        next
    }
}

impl std::iter::FusedIterator for Replay {}

impl Snapshot {
    /// Bars, ticks and market trades of any instruments in the order in which they became known, for a
    /// backtest that must not look ahead: a bar shorter than a day at its end, a daily one at the close of
    /// its venue's session, a tick or a market trade at its `ts`. What became known at the same instant comes
    /// as bars by interval, adjustment and instrument, because they sum up what was before; then as market
    /// trades by instrument and sequence; then as ticks, which show what these left, by instrument and
    /// sequence.
    ///
    /// It needs some 300 MB however much is replayed: windows of time are read and sorted one by one.
    ///
    /// # Errors
    /// `Snapshots`, `Expired`; else every variant of [`ReadError`](crate::ReadError), also from the iterator.
    pub fn replay(&self, request: &ReplayRequest) -> ReadResult<Replay> {
        let streams = request.kinds.iter().map(|kind| Stream::new(self, request, *kind));
        let streams = streams.collect::<ReadResult<Vec<_>>>()?;
        Ok(Replay { streams, from: request.from, to: request.to, lsn: self.lsn() })
    }
}
