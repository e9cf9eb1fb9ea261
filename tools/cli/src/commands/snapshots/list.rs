//! `barkeeper snapshots list`: which states are stored.

use barkeeper_records::StrategyId;
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Rows};

/// Print which states are stored, newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this strategy's
    strategy: Option<StrategyId>,
    /// At most this many of each strategy
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let zone = opened.config.calendar.zone();
        let snapshot = opened.store.snapshot()?;
        let strategies = match &self.strategy {
            Some(strategy) => vec![strategy.clone()],
            None => snapshot.strategies_with_snapshots()?,
        };
        let mut rows = Rows::new(["strategy", "saved_at", "sequence", "schema_version", "bytes"]);
        let mut count = 0_usize;
        for strategy in &strategies {
            for state in snapshot.strategy_snapshots(strategy, None, None, self.limit)? {
                count += 1;
                rows.push([
                    Cell::text(&state.key.strategy),
                    Cell::Instant(state.key.saved_at, zone),
                    Cell::Count(state.key.sequence.into()),
                    Cell::Count(state.schema_version.into()),
                    Cell::Count(state.body.len() as u64),
                ]);
            }
        }
        output::rows(out, context.format, &rows)?;
        context.say(format_args!("{}.", counted(count, "state")));
        Ok(Exit::Done)
    }
}
