//! `barkeeper ticks` and `barkeeper market-trades`: reading and removing rows of streams.

mod delete;
mod list;
mod stats;

use barkeeper::{EventSummary, ReadError, ScanRequest, Snapshot};

use barkeeper_records::{InstrumentId, MarketEvent, MarketTrade, Operation, Tick, Timestamp};
use clap::Subcommand;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;

/// A dataset of these commands.
trait Listed: MarketEvent {
    /// What one row is called.
    const ROW: &'static str;
    /// The columns behind the numbers.
    const MORE: &'static [&'static str];
    /// The numbers that are shown where no columns are named.
    const SHORT: &'static [&'static str];

    /// A scan of it.
    fn request() -> ScanRequest;

    /// All instruments that have rows.
    fn summaries(snapshot: &Snapshot) -> Result<Vec<EventSummary>, ReadError>;

    /// The last rows of an instrument, ascending.
    fn last(snapshot: &Snapshot, instrument: &InstrumentId, count: usize) -> Result<Vec<Self>, ReadError>;

    /// Removes rows from `from` to before `to`.
    fn delete(instrument: InstrumentId, from: Timestamp, to: Timestamp) -> Operation;
}

impl Listed for Tick {
    const ROW: &'static str = "tick";
    const MORE: &'static [&'static str] = &[];
    const SHORT: &'static [&'static str] =
        &["last", "volume", "turnover", "bid_price_1", "bid_volume_1", "ask_price_1", "ask_volume_1"];

    fn request() -> ScanRequest {
        ScanRequest::ticks()
    }

    fn summaries(snapshot: &Snapshot) -> Result<Vec<EventSummary>, ReadError> {
        snapshot.all_ticks()
    }

    fn last(snapshot: &Snapshot, instrument: &InstrumentId, count: usize) -> Result<Vec<Self>, ReadError> {
        snapshot.last_ticks(instrument, count)
    }

    fn delete(instrument: InstrumentId, from: Timestamp, to: Timestamp) -> Operation {
        Operation::DeleteTicks { instrument, from, to }
    }
}

impl Listed for MarketTrade {
    const ROW: &'static str = "market trade";
    const MORE: &'static [&'static str] = &["side", "aggregated"];
    const SHORT: &'static [&'static str] = Self::NUMBERS;

    fn request() -> ScanRequest {
        ScanRequest::market_trades()
    }

    fn summaries(snapshot: &Snapshot) -> Result<Vec<EventSummary>, ReadError> {
        snapshot.all_market_trades()
    }

    fn last(snapshot: &Snapshot, instrument: &InstrumentId, count: usize) -> Result<Vec<Self>, ReadError> {
        snapshot.last_market_trades(instrument, count)
    }

    fn delete(instrument: InstrumentId, from: Timestamp, to: Timestamp) -> Operation {
        Operation::DeleteMarketTrades { instrument, from, to }
    }
}

/// What is done with one of the datasets.
#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    List(list::List),
    Stats(stats::Stats),
    Delete(delete::Delete),
}

impl Events {
    /// Does it with ticks.
    pub(crate) fn ticks(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        self.run::<Tick>(context, out)
    }

    /// Does it with market trades.
    pub(crate) fn market_trades(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        self.run::<MarketTrade>(context, out)
    }

    fn run<T: Listed>(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::List(command) => command.run::<T>(context, out),
            Self::Stats(command) => command.run::<T>(context, out),
            Self::Delete(command) => command.run::<T>(context, out),
        }
    }
}
