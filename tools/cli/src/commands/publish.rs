//! `barkeeper publish`: an exact, frozen set of Parquet files in a folder of its own.

use std::path::PathBuf;

use barkeeper_records::{AdjustmentTag, Interval};
use clap::Args;

use super::files::DatasetName;
use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell, Format};

/// Put an exact, frozen set of Parquet files into an empty folder
///
/// Live files are linked where the disk allows it, hot bars are written beside them: each bar stands in
/// the folder once, and later changes of the store do not touch it.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The folder, empty or not there yet
    into: PathBuf,
    /// What is published
    #[arg(long, value_enum, default_value_t)]
    dataset: DatasetName,
    /// The length of the bars
    #[arg(long, default_value_t = Interval::DAY)]
    interval: Interval,
    /// How prices were adjusted: raw, qfq or hfq
    #[arg(long, default_value_t)]
    adjustment: AdjustmentTag,
}

impl Publish {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let dataset = self.dataset.dataset(self.interval, self.adjustment);
        let into = std::path::absolute(&self.into)?;
        let report = opened.store.publish(dataset, &into)?;
        match context.format {
            Format::Json => output::json(out, &report)?,
            format => {
                let record = vec![
                    ("lsn", Cell::Count(report.lsn.0)),
                    ("rows", Cell::Count(report.rows)),
                    ("linked", Cell::Count(report.linked)),
                    ("written", Cell::Count(report.written)),
                ];
                output::record(out, format, &record)?;
            }
        }
        for file in &report.files {
            context.say(self.into.join(file).display());
        }
        Ok(Exit::Done)
    }
}
