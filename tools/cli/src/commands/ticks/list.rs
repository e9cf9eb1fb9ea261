//! `barkeeper ticks list`: the ticks of one instrument.

use barkeeper_records::{InstrumentId, Interval, MarketEvent as _, Tick};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, not_found};
use crate::exit::Exit;
use crate::output::{self, Cell, Rows};
use crate::values::{When, bar_range};

/// Ticks that are shown where nothing else is asked for.
const LAST: usize = 20;

/// Print the ticks of one instrument
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
    /// Print all five levels, the limits and the open interest
    #[arg(long)]
    all_columns: bool,
}

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let instrument = self.instrument;
        if snapshot.tick_summary(&instrument)?.is_none() {
            return Err(not_found(format!("there are no ticks of {instrument}")));
        }
        let ranged = self.all || self.from.is_some() || self.to.is_some();
        let found = if ranged {
            let (from, to) = bar_range(Interval::MINUTE, instrument, self.from.as_ref(), self.to.as_ref())?;
            snapshot.ticks(&instrument, from, to)?
        } else {
            snapshot.last_ticks(&instrument, self.last.unwrap_or(LAST))?
        };
        let mut rows = Rows::new(columns(self.all_columns));
        for one in &found {
            rows.push(cells(one, instrument.zone(), self.all_columns));
        }
        output::rows(out, context.format, &rows)?;
        if rows.len() == 0 {
            context.say("None in this range.");
        }
        Ok(Exit::Done)
    }
}

/// The numbers that are shown where not all are asked for.
const SHORT: [&str; 7] =
    ["last", "volume", "turnover", "bid_price_1", "bid_volume_1", "ask_price_1", "ask_volume_1"];

fn columns(all: bool) -> Vec<&'static str> {
    let mut columns = vec!["ts", "sequence", "trading_day"];
    columns.extend(if all { Tick::NUMBERS } else { &SHORT[..] });
    columns
}

fn cells(tick: &Tick, zone: &'static str, all: bool) -> Vec<Cell> {
    let mut cells =
        vec![Cell::Instant(tick.ts, zone), Cell::Count(tick.sequence), Cell::Day(tick.trading_day)];
    for (place, name) in Tick::NUMBERS.iter().enumerate() {
        if all || SHORT.contains(name) {
            cells.push(Cell::Number(tick.number(place)));
        }
    }
    cells
}
