//! `barkeeper factors import`: takes in corporate actions from a CSV, all of them or none.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use barkeeper_records::{Batch, Operation, Outcome};
use barkeeper_sources::{PerShares, SourceFile, corporate_actions};
use clap::{Args, ValueEnum};

use crate::cli::Out;
use crate::context::{Context, counted, shown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Cell};

/// Take in corporate actions from a CSV
///
/// With a header: `code`, `ex_date`, `cash`, `bonus`, `rights`, `rights_price`, `factor`; only the first two
/// are needed, and an empty cell is nothing. Cash, bonus and rights are for as many shares as --per says,
/// `rights_price` for one. All lines are taken, in one commit, or none; taking a file in again changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file
    file: PathBuf,
    /// For how many shares cash, bonus and rights are stated
    #[arg(long, value_enum, value_name = "SHARES")]
    per: Per,
}

/// For how many shares a file states its terms.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Per {
    /// For one share
    #[value(name = "1")]
    One,
    /// For ten shares, as announcements in China do
    #[value(name = "10")]
    Ten,
}

impl Import {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let name = shown(&self.file);
        let bytes = fs::read(&self.file).with_context(|| format!("{name} cannot be read"))?;
        let per = match self.per {
            Per::One => PerShares::One,
            Per::Ten => PerShares::Ten,
        };
        let file = SourceFile { name: &name, folder: None, bytes: &bytes };
        let events =
            corporate_actions(&file, per).map_err(|error| Failure::new(Exit::Findings, error.to_string()))?;
        let opened = context.open()?;
        let mut batch = Batch::new();
        for event in &events {
            batch = batch.with(Operation::SetFactor(*event));
        }
        let receipt = opened.store.commit(batch)?;
        let changed = receipt.outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count() as u64;
        let record = vec![
            ("read", Cell::Count(events.len() as u64)),
            ("set", Cell::Count(changed)),
            ("unchanged", Cell::Count(events.len() as u64 - changed)),
            ("lsn", Cell::Count(receipt.lsn.0)),
        ];
        output::record(out, context.format, &record)?;
        context.say(format_args!("{} in {name}.", counted(events.len(), "corporate action")));
        Ok(Exit::Done)
    }
}
