//! `barkeeper factors remove`: takes back what was said of an ex-day.

use barkeeper_records::{Batch, InstrumentId, Operation, TradingDay};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, not_found};
use crate::exit::Exit;

/// Remove what is said of an ex-day
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// `SYMBOL.VENUE` in any spelling
    instrument: InstrumentId,
    /// The ex-day
    ex_day: TradingDay,
}

impl Remove {
    pub(crate) fn run(&self, context: &Context, _: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let (instrument, ex_day) = (self.instrument, self.ex_day);
        let receipt = opened.store.commit(Batch::of(Operation::DeleteFactor { instrument, ex_day }))?;
        if !receipt.changed {
            return Err(not_found(format!("there is no corporate action of {instrument} on {ex_day}")));
        }
        context.say(format_args!("Removed; LSN {}.", receipt.lsn));
        Ok(Exit::Done)
    }
}
