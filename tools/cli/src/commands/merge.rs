//! `barkeeper merge`: makes few Parquet segments of many.

use barkeeper::{MergeOptions, MergePlan, MergeReport};
use barkeeper_records::Interval;
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};
use crate::progress::Progress;

/// Merge Parquet segments that overlap, or that are small and many
///
/// Reads answer the same before and after. What was written is read back and compared before it counts;
/// the replaced files wait in the trash for seven days, and `undo` brings them back. A program that has the
/// store open does this by itself.
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// Only bars of this length; else all of them, ticks and market trades
    #[arg(long)]
    interval: Option<Interval>,
    /// Leave one segment of each length and adjustment, for bars shorter than a day of each month; one of
    /// each day of ticks and of each month of market trades
    #[arg(long)]
    whole: bool,
    /// Only say what would be merged first
    #[arg(long)]
    dry_run: bool,
}

impl Merge {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let options = MergeOptions { interval: self.interval, whole: self.whole };
        if self.dry_run {
            let plans = opened.store.merge_plan(&options)?;
            match context.format {
                Format::Json => output::json(out, &plans)?,
                format => output::rows(out, format, &planned(&plans))?,
            }
            context.say("Nothing was merged.");
            return Ok(Exit::Done);
        }
        let bar = Progress::new(context, "rows");
        let reports = opened.store.merge(&options, &mut |done, all| bar.set(done, all))?;
        drop(bar);
        match context.format {
            Format::Json => output::json(out, &reports)?,
            format => output::rows(out, format, &merged(&reports))?,
        }
        match reports.len() {
            0 => context.say("Nothing had to be merged."),
            count => context
                .say(format_args!("{}; `barkeeper undo` takes the last one back.", counted(count, "merge"))),
        }
        Ok(Exit::Done)
    }
}

fn plan_cells(plan: &MergePlan) -> Vec<Cell> {
    vec![
        Cell::text(plan.dataset),
        Cell::Instant(plan.first, "UTC"),
        Cell::Instant(plan.last, "UTC"),
        Cell::Count(plan.segments),
        Cell::Count(plan.rows),
        Cell::Count(plan.bytes),
    ]
}

const PLAN: [&str; 6] = ["dataset", "first", "last", "segments", "rows_read", "bytes_read"];

fn planned(plans: &[MergePlan]) -> Rows {
    let mut rows = Rows::new(PLAN);
    for plan in plans {
        rows.push(plan_cells(plan));
    }
    rows
}

fn merged(reports: &[MergeReport]) -> Rows {
    let more = ["rows", "bytes", "superseded", "removed"];
    let mut rows = Rows::new(PLAN.into_iter().chain(more));
    for report in reports {
        let mut cells = plan_cells(&report.merged);
        cells.extend([report.rows, report.bytes, report.superseded, report.removed].map(Cell::Count));
        rows.push(cells);
    }
    rows
}
