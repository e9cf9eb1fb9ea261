//! `barkeeper snapshots get`: prints a strategy's state.

use barkeeper_records::{StrategyId, Timestamp};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, not_found};
use crate::exit::Exit;
use crate::output::{self, Cell, Format};
use crate::values::When;

/// Print the newest state of a strategy, byte by byte as it was saved
///
/// In JSON an object with strategy, `saved_at`, sequence, `schema_version` and, as text, the body.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Whose state
    strategy: StrategyId,
    /// The newest that was saved up to this day or instant
    #[arg(long, value_name = "WHEN")]
    at: Option<When>,
}

impl Get {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let zone = opened.config.calendar.zone();
        let behind = self.at.as_ref().map(|when| when.behind(zone)).transpose()?;
        let at = behind.map(|behind| Timestamp::from_nanos(behind.nanos().saturating_sub(1)));
        let found = opened.store.snapshot()?.strategy_snapshot(&self.strategy, at)?;
        let Some(state) = found else {
            return Err(not_found(format!("{} has saved no state until then", self.strategy)));
        };
        if context.format == Format::Table {
            out.write_all(state.body.as_bytes())?;
            out.flush()?;
            return Ok(Exit::Done);
        }
        let record = vec![
            ("strategy", Cell::text(&state.key.strategy)),
            ("saved_at", Cell::Instant(state.key.saved_at, zone)),
            ("sequence", Cell::Count(state.key.sequence.into())),
            ("schema_version", Cell::Count(state.schema_version.into())),
            ("body", Cell::Text(state.body)),
        ];
        output::record(out, context.format, &record)?;
        Ok(Exit::Done)
    }
}
