//! `barkeeper market-trades`: reading and removing market trades.

mod delete;
mod list;
mod stats;

use clap::Subcommand;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;

/// Market trades: of one instrument, what there is
#[derive(Debug, Subcommand)]
pub(crate) enum MarketTrades {
    List(list::List),
    Stats(stats::Stats),
    Delete(delete::Delete),
}

impl MarketTrades {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::List(command) => command.run(context, out),
            Self::Stats(command) => command.run(context, out),
            Self::Delete(command) => command.run(context, out),
        }
    }
}
