//! `barkeeper bars delete`: removes bars of one instrument.

use barkeeper_records::{Batch, InstrumentId, Operation, Outcome, Timestamp};
use clap::Args;

use super::Kind;
use crate::cli::Out;
use crate::context::{Context, agree, counted, not_found};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::values::{When, bar_range};

/// Remove bars of one instrument, here and in every target
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// `SYMBOL.VENUE` in any spelling
    instrument: InstrumentId,
    #[command(flatten)]
    kind: Kind,
    /// From this day or instant on
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Up to this day or instant, itself included
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// All bars
    #[arg(long, conflicts_with_all = ["from", "to"])]
    all: bool,
    /// Only say how many
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Delete {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        if !self.all && self.from.is_none() && self.to.is_none() {
            return Err(Failure::usage("no range is named").hint("give --from, --to or --all").into());
        }
        let (from, last) =
            bar_range(self.kind.interval, self.instrument, self.from.as_ref(), self.to.as_ref())?;
        let opened = context.open()?;
        let series = self.kind.series(self.instrument);
        let found = opened.store.snapshot()?.bars(&series, from, last)?;
        let (Some(first), Some(newest)) = (found.first(), found.last()) else {
            return Err(not_found(format!("there are no such bars of {series}")));
        };
        let question = format!(
            "Remove {} of {series}, {} to {}?",
            counted(found.len(), "bar"),
            first.trading_day,
            newest.trading_day
        );
        let mut record = vec![("series", Cell::text(series)), ("bars", Cell::Count(found.len() as u64))];
        if self.dry_run {
            record.push(("removed", Cell::Count(0)));
            output::record(out, context.format, &record)?;
            return Ok(Exit::Done);
        }
        if !agree(&question, self.yes)? {
            context.say("Nothing was removed.");
            return Ok(Exit::Findings);
        }
        let to = Timestamp::from_nanos(last.nanos().saturating_add(1));
        let receipt = opened.store.commit(Batch::of(Operation::DeleteBars { series, from, to }))?;
        let removed = match receipt.outcomes.first() {
            Some(Outcome::Bars { deleted, .. }) => *deleted,
            _ => 0,
        };
        record.push(("removed", Cell::Count(removed)));
        record.push(("lsn", Cell::Count(receipt.lsn.0)));
        output::record(out, context.format, &record)?;
        Ok(Exit::Done)
    }
}
