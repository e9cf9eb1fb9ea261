//! `stats` of ticks and market trades: which instruments have them, and from when to when.

use clap::Args;

use super::Listed;
use crate::cli::Out;
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Rows};

/// Print which instruments have rows: how many, from when to when
#[derive(Debug, Args)]
pub(crate) struct Stats {}

impl Stats {
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(super) fn run<T: Listed>(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let all = T::summaries(&opened.store.snapshot()?)?;
        let mut rows = Rows::new(["instrument", "count", "first", "last"]);
        let mut total = 0;
        for one in &all {
            let zone = one.instrument.zone();
            total += one.count;
            rows.push([
                Cell::text(one.instrument),
                Cell::Count(one.count),
                Cell::Instant(one.first, zone),
                Cell::Instant(one.last, zone),
            ]);
        }
        output::rows(out, context.format, &rows)?;
        context.say(format_args!("{}, {}.", counted(all.len(), "instrument"), counted(total, T::ROW)));
        Ok(Exit::Done)
    }
}
