//! `barkeeper bars`: reading and removing bars.

mod day;
mod delete;
mod get;
mod list;
mod stats;

use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, SeriesKey};
use clap::{Args, Subcommand};

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Cell;

/// Bars: of one instrument, of one day, what there is
#[derive(Debug, Subcommand)]
pub(crate) enum Bars {
    Get(get::Get),
    List(list::List),
    Day(day::Day),
    Stats(stats::Stats),
    Delete(delete::Delete),
}

impl Bars {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::Get(command) => command.run(context, out),
            Self::List(command) => command.run(context, out),
            Self::Day(command) => command.run(context, out),
            Self::Stats(command) => command.run(context, out),
            Self::Delete(command) => command.run(context, out),
        }
    }
}

/// Which kind of bars.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Kind {
    /// The length of a bar: 1m, 15m, 1h, 1d, 1w, 1mo, ...
    #[arg(long, default_value_t = Interval::DAY)]
    pub(crate) interval: Interval,
    /// How prices were adjusted at their source: raw, qfq or hfq
    #[arg(long, default_value_t)]
    pub(crate) adjustment: AdjustmentTag,
}

impl Kind {
    pub(crate) const fn series(self, instrument: InstrumentId) -> SeriesKey {
        SeriesKey { interval: self.interval, adjustment: self.adjustment, instrument }
    }
}

/// The columns of a bar behind the instrument.
fn columns(all: bool) -> Vec<&'static str> {
    let mut columns = vec!["ts", "trading_day", "open", "high", "low", "close", "volume", "turnover"];
    if all {
        columns.push("open_interest");
    }
    columns
}

/// The values of a bar in these columns.
fn cells(bar: &Bar, kind: Kind, zone: &'static str, all: bool) -> Vec<Cell> {
    let ts =
        if kind.interval.is_daily_or_longer() { Cell::Label(bar.ts) } else { Cell::Instant(bar.ts, zone) };
    let mut cells = vec![ts, Cell::Day(bar.trading_day)];
    let shown = if all { Bar::NUMBERS.len() } else { Bar::NUMBERS.len() - 1 };
    cells.extend(bar.numbers().into_iter().take(shown).map(Cell::Number));
    cells
}
