//! `barkeeper positions set`: says what a position is.

use barkeeper_records::{Batch, InstrumentId, Operation, Position, PositionKey, PositionStatus, TradingDay};
use clap::Args;
use rust_decimal::Decimal;

use super::{BookArgs, record, status};
use crate::cli::Out;
use crate::context::{Context, account_of};
use crate::exit::Exit;
use crate::output;

/// Set what a position is; what is not named stays as it is
///
/// A position that is not there is made, open and held for no day.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// `SYMBOL.VENUE` in any spelling
    instrument: InstrumentId,
    #[command(flatten)]
    of: BookArgs,
    /// open or closed
    #[arg(long, value_parser = status)]
    status: Option<PositionStatus>,
    /// Trading days since the entry
    #[arg(long, value_name = "DAYS")]
    held_days: Option<u32>,
    /// Highest price since the entry
    #[arg(long, value_name = "PRICE")]
    highest: Option<f64>,
    /// Lowest price since the entry
    #[arg(long, value_name = "PRICE")]
    lowest: Option<f64>,
    /// Shares, contracts or base units; negative for a short position
    #[arg(long, allow_negative_numbers = true)]
    quantity: Option<Decimal>,
    /// Average cost of one unit
    #[arg(long, value_name = "PRICE")]
    cost: Option<Decimal>,
    /// The trading day of the entry
    #[arg(long, value_name = "DAY")]
    opened_on: Option<TradingDay>,
}

impl Set {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let account = account_of(self.of.account.as_ref(), &opened.config)?;
        let key = PositionKey { account, book: self.of.book.clone(), instrument: self.instrument };
        let stored = opened.store.position(&key)?;
        let mut position = stored.unwrap_or_else(|| Position::opened(key.clone(), self.opened_on));
        position.status = self.status.unwrap_or(position.status);
        position.held_days = self.held_days.or(position.held_days);
        position.highest = self.highest.or(position.highest);
        if self.lowest.is_some() {
            position.lowest = self.lowest;
            position.lowest_trusted = true;
        }
        position.quantity = self.quantity.or(position.quantity);
        position.cost = self.cost.or(position.cost);
        position.opened_on = self.opened_on.or(position.opened_on);
        let receipt = opened.store.commit(Batch::of(Operation::SetPosition(position.clone())))?;
        let now = opened.store.position(&key)?.unwrap_or(position);
        output::record(out, context.format, &record(&now))?;
        let done = if receipt.changed { "Set" } else { "It was so already" };
        context.say(format_args!("{done}; LSN {}.", receipt.lsn));
        Ok(Exit::Done)
    }
}
