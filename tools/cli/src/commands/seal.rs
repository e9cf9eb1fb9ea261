//! `barkeeper seal`: moves hot bars into Parquet segments.

use barkeeper::SealOptions;
use barkeeper_records::{Interval, TradingDay};
use clap::Args;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell};
use crate::progress::Progress;

/// Move hot bars, ticks and market trades into immutable Parquet segments
///
/// Reads answer the same before and after. Bars that change meanwhile stay hot and win.
#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// Only bars of this length
    #[arg(long)]
    interval: Option<Interval>,
    /// Only bars before this day
    #[arg(long, value_name = "DAY")]
    before: Option<TradingDay>,
}

impl Seal {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let options = SealOptions { interval: self.interval, before: self.before.map(TradingDay::label) };
        let bar = Progress::new(context, "bars");
        let report = opened.store.seal(&options, &mut |done, all| bar.set(done, all))?;
        drop(bar);
        let record = vec![
            ("rows", Cell::Count(report.rows)),
            ("segments", Cell::Count(report.segments)),
            ("bytes", Cell::Count(report.bytes)),
            ("stayed", Cell::Count(report.stayed)),
            ("lsn", Cell::maybe(report.lsn, |lsn| Cell::Count(lsn.0))),
        ];
        output::record(out, context.format, &record)?;
        if report.rows == 0 {
            context.say("Nothing was hot.");
        }
        Ok(Exit::Done)
    }
}
