//! `barkeeper trades`: the trade log.

mod list;
mod record;
mod summary;
mod void;

use barkeeper::TradeQuery;
use barkeeper_records::{AccountId, BookId, InstrumentId, StrategyId, TradeKind};
use clap::{Args, Subcommand};

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::values::When;

/// Trades: record, void, list, sum up
#[derive(Debug, Subcommand)]
pub(crate) enum Trades {
    Record(Box<record::Record>),
    Void(void::Void),
    List(list::List),
    Summary(summary::Summary),
}

impl Trades {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::Record(command) => command.run(context, out),
            Self::Void(command) => command.run(context, out),
            Self::List(command) => command.run(context, out),
            Self::Summary(command) => command.run(context, out),
        }
    }
}

/// Which trades.
#[derive(Debug, Clone, Args)]
struct Filter {
    /// Only this account
    #[arg(long, value_name = "NAME")]
    account: Option<AccountId>,
    /// Only this book
    #[arg(long, value_name = "NAME")]
    book: Option<BookId>,
    /// Only this instrument
    #[arg(long)]
    instrument: Option<InstrumentId>,
    /// Only this strategy
    #[arg(long, value_name = "NAME")]
    strategy: Option<StrategyId>,
    /// Only these kinds: `buy_order`, `sell_order`, `buy_fill`, `sell_fill`, cancel
    #[arg(long, value_delimiter = ',')]
    kind: Vec<TradeKind>,
    /// From this day or instant on; days are those of the configured calendar's clock
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Up to this day or instant, itself included
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
}

impl Filter {
    fn query(&self, zone: &str) -> anyhow::Result<TradeQuery> {
        Ok(TradeQuery {
            account: self.account.clone(),
            book: self.book.clone(),
            instrument: self.instrument,
            strategy: self.strategy.clone(),
            kinds: self.kind.clone(),
            from: self.from.as_ref().map(|when| when.instant(zone)).transpose()?,
            to: self.to.as_ref().map(|when| when.behind(zone)).transpose()?,
            ..TradeQuery::default()
        })
    }
}
