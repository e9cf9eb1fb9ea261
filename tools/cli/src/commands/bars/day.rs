//! `barkeeper bars day`: the bars of all instruments at one time.

use anyhow::bail;
use barkeeper_records::Timestamp;
use clap::Args;

use super::{Kind, cells, columns};
use crate::cli::Out;
use crate::context::{Context, counted, not_found};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Cell, Rows};
use crate::values::When;

/// Print one day of all instruments
#[derive(Debug, Args)]
pub(crate) struct Day {
    /// The trading day; for bars shorter than a day the instant at which they start
    #[arg(value_name = "WHEN")]
    when: When,
    #[command(flatten)]
    kind: Kind,
    /// Print the open interest as well
    #[arg(long)]
    all_columns: bool,
}

impl Day {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let ts = self.ts()?;
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let found = snapshot.cross_section(self.kind.interval, self.kind.adjustment, ts)?;
        if found.is_empty() {
            let (interval, adjustment) = (self.kind.interval, self.kind.adjustment);
            return Err(not_found(format!("there are no {interval} {adjustment} bars at {ts}")));
        }
        let mut rows = Rows::new(["instrument"].into_iter().chain(columns(self.all_columns)));
        for (instrument, bar) in found {
            let values = cells(&bar, self.kind, instrument.zone(), self.all_columns);
            rows.push([Cell::text(instrument)].into_iter().chain(values));
        }
        output::rows(out, context.format, &rows)?;
        context.say(format_args!("{}.", counted(rows.len(), "instrument")));
        Ok(Exit::Done)
    }

    fn ts(&self) -> anyhow::Result<Timestamp> {
        match (&self.when, self.kind.interval.is_daily_or_longer()) {
            (When::Day(day), true) => Ok(day.label()),
            (When::Instant(instant), false) => Ok(*instant),
            (_, true) => bail!(Failure::usage(format!("{} bars have a day and no time", self.kind.interval))),
            (_, false) => bail!(
                Failure::usage(format!("{} bars start at an instant", self.kind.interval))
                    .hint("give it with its offset, such as 2024-01-02T09:31:00+08:00")
            ),
        }
    }
}
