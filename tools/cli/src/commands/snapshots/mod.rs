//! `barkeeper snapshots`: states that strategies save and load.

mod get;
mod list;
mod prune;
mod save;

use clap::Subcommand;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;

/// States of strategies: save, load, list, prune
#[derive(Debug, Subcommand)]
pub(crate) enum Snapshots {
    Save(save::Save),
    Get(get::Get),
    List(list::List),
    Prune(prune::Prune),
}

impl Snapshots {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::Save(command) => command.run(context, out),
            Self::Get(command) => command.run(context, out),
            Self::List(command) => command.run(context, out),
            Self::Prune(command) => command.run(context, out),
        }
    }
}
