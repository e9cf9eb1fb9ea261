//! `barkeeper snapshots save`: stores a strategy's state.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use barkeeper_host::SystemClock;
use barkeeper_records::{Batch, Clock as _, Operation, Outcome, StrategyId};
use clap::Args;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::values::When;

/// Store a strategy's state, one JSON value of at most 4 MiB
///
/// It is kept byte by byte. The same state at the same time is stored once, so a retry is harmless.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Whose state
    strategy: StrategyId,
    /// The file that holds it; - reads from stdin
    file: PathBuf,
    /// The strategy's own number of the layout of its state
    #[arg(long, value_name = "N", default_value_t = 1)]
    schema_version: u32,
    /// When: RFC 3339, or a time on the configured calendar's clock [default: now]
    #[arg(long, value_name = "WHEN")]
    at: Option<When>,
}

impl Save {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let body = self.body()?;
        let opened = context.open()?;
        let saved_at = match &self.at {
            Some(when) => when.instant(opened.config.calendar.zone())?,
            None => SystemClock.now(),
        };
        let receipt = opened.store.commit(Batch::of(Operation::SaveStrategySnapshot {
            strategy: self.strategy.clone(),
            saved_at,
            schema_version: self.schema_version,
            body,
        }))?;
        let (sequence, known) = match receipt.outcomes.first() {
            Some(Outcome::Saved { sequence, known }) => (*sequence, *known),
            _ => (0, false),
        };
        let record = vec![
            ("strategy", Cell::text(&self.strategy)),
            ("saved_at", Cell::Instant(saved_at, opened.config.calendar.zone())),
            ("sequence", Cell::Count(sequence.into())),
            ("lsn", Cell::Count(receipt.lsn.0)),
            ("new", Cell::Bool(!known)),
        ];
        output::record(out, context.format, &record)?;
        Ok(Exit::Done)
    }

    fn body(&self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        if self.file == Path::new("-") {
            std::io::stdin().read_to_end(&mut bytes).context("stdin")?;
        } else {
            bytes = std::fs::read(&self.file).with_context(|| self.file.display().to_string())?;
        }
        // Editors on Windows put a byte order mark in front; it is no part of the state.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(&bytes);
        String::from_utf8(text.to_vec())
            .map_err(|error| Failure::usage(format!("{}: no UTF-8: {error}", self.file.display())).into())
    }
}
