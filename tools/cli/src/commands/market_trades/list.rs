//! `barkeeper market-trades list`: the market trades of one instrument.

use barkeeper_records::{InstrumentId, Interval, MarketTrade};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, not_found};
use crate::exit::Exit;
use crate::output::{self, Cell, Rows};
use crate::values::{When, bar_range};

/// Market trades that are shown where nothing else is asked for.
const LAST: usize = 20;

/// Print the market trades of one instrument
#[derive(Debug, Args)]
pub(crate) struct List {
    /// `SYMBOL.VENUE` in any spelling: 000001.SZ, sh600000, BTCUSDT.BINANCE
    instrument: InstrumentId,
    /// The last N [default: 20]
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to", "all"])]
    last: Option<usize>,
    /// From this day or instant on; a time without an offset is the venue's
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Up to this day or instant, itself included
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// All of them
    #[arg(long, conflicts_with_all = ["from", "to"])]
    all: bool,
}

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let instrument = self.instrument;
        if snapshot.market_trade_summary(&instrument)?.is_none() {
            return Err(not_found(format!("there are no market trades of {instrument}")));
        }
        let ranged = self.all || self.from.is_some() || self.to.is_some();
        let found = if ranged {
            let (from, to) = bar_range(Interval::MINUTE, instrument, self.from.as_ref(), self.to.as_ref())?;
            snapshot.market_trades(&instrument, from, to)?
        } else {
            snapshot.last_market_trades(&instrument, self.last.unwrap_or(LAST))?
        };
        let mut rows = Rows::new(COLUMNS);
        for one in &found {
            rows.push(cells(one, instrument.zone()));
        }
        output::rows(out, context.format, &rows)?;
        if rows.len() == 0 {
            context.say("None in this range.");
        }
        Ok(Exit::Done)
    }
}

const COLUMNS: [&str; 8] =
    ["ts", "sequence", "trading_day", "price", "quantity", "turnover", "side", "aggregated"];

fn cells(trade: &MarketTrade, zone: &'static str) -> [Cell; 8] {
    [
        Cell::Instant(trade.ts, zone),
        Cell::Count(trade.sequence),
        Cell::Day(trade.trading_day),
        Cell::Number(trade.price),
        Cell::Number(trade.quantity),
        Cell::Number(trade.turnover),
        Cell::text(trade.side),
        Cell::Bool(trade.aggregated),
    ]
}
