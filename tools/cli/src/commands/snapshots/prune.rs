//! `barkeeper snapshots prune`: removes old states of a strategy.

use barkeeper_records::{Batch, Operation, StrategyId};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, agree, counted, not_found};
use crate::exit::Exit;
use crate::output::{self, Cell};

/// Remove the older states of a strategy, here and in every target; the newest ones stay
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Whose
    strategy: StrategyId,
    /// How many of the newest stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// Only say how many
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Prune {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let all = opened.store.snapshot()?.strategy_snapshots(&self.strategy, None, None, usize::MAX)?;
        if all.is_empty() {
            return Err(not_found(format!("{} has saved no state", self.strategy)));
        }
        let keep = usize::try_from(self.keep).unwrap_or(usize::MAX);
        let old: Vec<_> = all.into_iter().skip(keep).map(|state| state.key).collect();
        let mut record =
            vec![("strategy", Cell::text(&self.strategy)), ("old", Cell::Count(old.len() as u64))];
        let question = format!("Remove {} of {}?", counted(old.len(), "old state"), self.strategy);
        let nothing = old.is_empty() || self.dry_run;
        if !nothing && !agree(&question, self.yes)? {
            context.say("Nothing was removed.");
            return Ok(Exit::Findings);
        }
        let mut removed = 0;
        if !nothing {
            removed = old.len() as u64;
            let remove = |key| Operation::DeleteStrategySnapshot { key };
            let operations = old.into_iter().map(remove).collect();
            opened.store.commit(Batch { operations, ..Batch::new() })?;
        }
        record.push(("removed", Cell::Count(removed)));
        output::record(out, context.format, &record)?;
        Ok(Exit::Done)
    }
}
