//! `barkeeper bars stats`: which series there are, and from when to when.

use barkeeper_records::{AdjustmentTag, InstrumentId, Interval};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, counted, not_found};
use crate::exit::Exit;
use crate::output::{self, Cell, Rows};

/// Print which series there are: how many bars, from when to when
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Only this instrument
    instrument: Option<InstrumentId>,
    /// Only bars of this length
    #[arg(long)]
    interval: Option<Interval>,
    /// Only prices that were adjusted so: raw, qfq or hfq
    #[arg(long)]
    adjustment: Option<AdjustmentTag>,
}

impl Stats {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let mut all = opened.store.snapshot()?.all_series(self.interval, self.adjustment)?;
        if let Some(instrument) = self.instrument {
            all.retain(|summary| summary.series.instrument == instrument);
            if all.is_empty() {
                return Err(not_found(format!("there are no such bars of {instrument}")));
            }
        }
        let mut rows = Rows::new(["instrument", "interval", "adjustment", "count", "first", "last"]);
        let mut bars = 0;
        for summary in &all {
            let series = summary.series;
            let zone = series.instrument.zone();
            let daily = series.interval.is_daily_or_longer();
            let time = |ts| if daily { Cell::Label(ts) } else { Cell::Instant(ts, zone) };
            bars += summary.count;
            rows.push([
                Cell::text(series.instrument),
                Cell::text(series.interval),
                Cell::text(series.adjustment),
                Cell::Count(summary.count),
                time(summary.first),
                time(summary.last),
            ]);
        }
        output::rows(out, context.format, &rows)?;
        context.say(format_args!("{}, {}.", counted(all.len(), "series"), counted(bars, "bar")));
        Ok(Exit::Done)
    }
}
