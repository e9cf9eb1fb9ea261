//! `barkeeper files`: the Parquet files that other programs may read.

use barkeeper::{Axis, Dataset};
use barkeeper_records::{AdjustmentTag, Interval};
use clap::{Args, ValueEnum};

use crate::cli::Out;
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};

/// Print the live Parquet files of a dataset, for pandas, polars and DuckDB
///
/// Reading the folder itself would be wrong: replaced files wait in it. Ends with 1 where the files alone
/// do not hold every bar exactly once; `seal` moves hot bars into files, `publish` writes an exact copy.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// What is stored in them
    #[arg(value_enum)]
    dataset: DatasetName,
    /// The length of the bars: 1m, 1h, 1d, ...
    #[arg(default_value_t = Interval::DAY)]
    interval: Interval,
    /// How prices were adjusted: raw, qfq or hfq
    #[arg(long, default_value_t)]
    adjustment: AdjustmentTag,
    /// The order of rows: by instrument for series, by day for cross-sections
    #[arg(long, value_enum, default_value_t)]
    axis: AxisName,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum DatasetName {
    #[default]
    Bars,
    Ticks,
    MarketTrades,
}

impl DatasetName {
    const fn row(self) -> &'static str {
        match self {
            Self::Bars => "bar",
            Self::Ticks => "tick",
            Self::MarketTrades => "market trade",
        }
    }

    pub(crate) const fn dataset(self, interval: Interval, adjustment: AdjustmentTag) -> Dataset {
        match self {
            Self::Bars => Dataset::Bars { interval, adjustment },
            Self::Ticks => Dataset::Ticks,
            Self::MarketTrades => Dataset::MarketTrades,
        }
    }
}

/// The order of rows in the files.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum AxisName {
    #[default]
    Instrument,
    Day,
}

impl Files {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let axis = match self.axis {
            AxisName::Instrument => Axis::Instrument,
            AxisName::Day => Axis::Day,
        };
        let opened = context.open()?;
        let dataset = self.dataset.dataset(self.interval, self.adjustment);
        let mut set = opened.store.files(dataset, axis)?;
        for file in &mut set.files {
            // Whoever reads them may stand in another folder.
            *file = std::path::absolute(&*file)?;
        }
        match context.format {
            Format::Table => {
                for file in &set.files {
                    writeln!(out, "{}", file.display())?;
                }
                out.flush()?;
            }
            Format::Json | Format::Jsonl => output::json(out, &set)?,
            Format::Csv => {
                let mut rows = Rows::new(["file"]);
                for file in &set.files {
                    rows.push([Cell::text(file.display())]);
                }
                output::rows(out, context.format, &rows)?;
            }
        }
        context.say(format_args!(
            "{}, {}.",
            counted(set.files.len(), "file"),
            counted(set.rows, self.dataset.row())
        ));
        if set.hot == 0 && set.overlaps == 0 {
            return Ok(Exit::Done);
        }
        context.warn(format_args!(
            "the files alone are not exact: {} in none of them, and {} with bars that stand in two or were removed",
            counted(set.hot, &format!("hot {}", self.dataset.row())),
            counted(set.overlaps, "series")
        ));
        let hint = if set.overlaps == 0 {
            "`barkeeper seal` moves hot bars into files"
        } else {
            "`barkeeper publish DIR` writes an exact copy"
        };
        context.say(format_args!("hint: {hint}"));
        Ok(Exit::Findings)
    }
}
