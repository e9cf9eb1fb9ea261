//! `barkeeper factors set`: says what happened on an ex-day.

use anyhow::bail;
use barkeeper_records::{Batch, FactorEvent, InstrumentId, Operation, TradingDay};
use barkeeper_sources::closed_ex_day;
use clap::Args;

use super::{COLUMNS, cells, check};
use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Set what happened to a share on an ex-day, in place of what was said of that day before
///
/// All numbers are for one share. Stored prices stay as traded. Refused are days on which the store's calendar is
/// closed, rights without a price, and rights that cost more than ten times the last close before the ex-day.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// `SYMBOL.VENUE` in any spelling
    instrument: InstrumentId,
    /// The first trading day without the right
    ex_day: TradingDay,
    /// Cash for one share
    #[arg(long, value_name = "MONEY", default_value_t = 0.0)]
    cash: f64,
    /// New shares for one share that cost nothing: 0.3 for 3 for 10, 9 for a split of 1 into 10
    #[arg(long, value_name = "SHARES", default_value_t = 0.0, allow_negative_numbers = true)]
    bonus: f64,
    /// New shares for one share that are paid for
    #[arg(long, value_name = "SHARES", default_value_t = 0.0)]
    rights: f64,
    /// The price of one of them, needed where there are rights
    #[arg(long, value_name = "PRICE")]
    rights_price: Option<f64>,
    /// By how much earlier prices are divided, where the source states it
    #[arg(long)]
    factor: Option<f64>,
}

impl Set {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        if self.rights > 0.0 && self.rights_price.is_none() {
            let said = "rights are stated without what one of them costs";
            bail!(Failure::usage(said).hint("give --rights-price, such as 5.00, or 0"));
        }
        let opened = context.open()?;
        let event = FactorEvent {
            cash: self.cash,
            bonus: self.bonus,
            rights: self.rights,
            rights_price: self.rights_price.unwrap_or_default(),
            factor: self.factor,
            ..FactorEvent::on(self.instrument, self.ex_day)
        };
        let refuse = |field: &str, value: &dyn std::fmt::Display, reason: String| {
            Failure::new(Exit::Findings, format!("{field} '{value}': {reason}"))
        };
        if let Some(reason) = closed_ex_day(&event, &opened.config.calendar) {
            bail!(refuse("ex_day", &event.ex_day, reason));
        }
        if let Some(reason) = check::rights_price(&event, &opened.store.snapshot()?)? {
            bail!(refuse("rights_price", &event.rights_price, reason));
        }
        let receipt = opened.store.commit(Batch::of(Operation::SetFactor(event)))?;
        output::record(out, context.format, &COLUMNS.into_iter().zip(cells(&event)).collect())?;
        let done = if receipt.changed { "Set" } else { "It was so already" };
        context.say(format_args!("{done}; LSN {}.", receipt.lsn));
        Ok(Exit::Done)
    }
}
