//! `barkeeper factors`: corporate actions, by which raw prices are adjusted when they are read.

mod check;
mod import;
mod list;
mod remove;
mod set;

use barkeeper_records::FactorEvent;
use clap::Subcommand;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Cell;

/// Corporate actions: list, set, import, remove; `bars get --adjust` reads with them
#[derive(Debug, Subcommand)]
pub(crate) enum Factors {
    List(list::List),
    Set(set::Set),
    Import(import::Import),
    Remove(remove::Remove),
}

impl Factors {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::List(command) => command.run(context, out),
            Self::Set(command) => command.run(context, out),
            Self::Import(command) => command.run(context, out),
            Self::Remove(command) => command.run(context, out),
        }
    }
}

/// The columns of a corporate action.
const COLUMNS: [&str; 7] = ["instrument", "ex_day", "cash", "bonus", "rights", "rights_price", "factor"];

fn cells(event: &FactorEvent) -> [Cell; 7] {
    let [cash, bonus, rights, rights_price] = event.terms().map(Cell::Number);
    let factor = Cell::maybe(event.factor, Cell::Number);
    [Cell::text(event.instrument), Cell::Day(event.ex_day), cash, bonus, rights, rights_price, factor]
}
