//! `delete` of ticks and market trades: removes rows of one instrument.

use barkeeper_records::{Batch, InstrumentId, Interval, Timestamp};
use clap::Args;

use super::Listed;
use crate::cli::Out;
use crate::context::{Context, agree, counted, not_found};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::values::{When, bar_range};

/// Remove rows of one instrument, here and in every target; at most 200,000 at a time
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// `SYMBOL.VENUE` in any spelling
    instrument: InstrumentId,
    /// From this day or instant on
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Up to this day or instant, itself included
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// All of them
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
    pub(super) fn run<T: Listed>(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        if !self.all && self.from.is_none() && self.to.is_none() {
            return Err(Failure::usage("no range is named").hint("give --from, --to or --all").into());
        }
        let (from, last) =
            bar_range(Interval::MINUTE, self.instrument, self.from.as_ref(), self.to.as_ref())?;
        let opened = context.open()?;
        let instrument = self.instrument;
        let no_columns: [&str; 0] = [];
        let request = T::request().instruments([instrument]).from(from).to(last).columns(no_columns);
        let mut found = 0;
        for batch in opened.store.snapshot()?.scan(&request)? {
            found += batch?.num_rows() as u64;
        }
        if found == 0 {
            return Err(not_found(format!("there are no such {} of {instrument}", T::WHAT)));
        }
        let mut record = vec![
            ("instrument", Cell::text(instrument)),
            ("found", Cell::Count(found)),
            ("removed", Cell::Count(0)),
        ];
        if self.dry_run {
            output::record(out, context.format, &record)?;
            return Ok(Exit::Done);
        }
        if !agree(&format!("Remove {} of {instrument}?", counted(found, T::ROW)), self.yes)? {
            context.say("Nothing was removed.");
            return Ok(Exit::Findings);
        }
        let to = Timestamp::from_nanos(last.nanos().saturating_add(1));
        let receipt = opened.store.commit(Batch::of(T::delete(instrument, from, to)))?;
        record.pop();
        record.push(("removed", Cell::Count(found)));
        record.push(("lsn", Cell::Count(receipt.lsn.0)));
        output::record(out, context.format, &record)?;
        Ok(Exit::Done)
    }
}
