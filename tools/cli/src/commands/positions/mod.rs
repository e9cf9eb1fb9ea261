//! `barkeeper positions`: what accounts hold, and for how many trading days.

mod bump;
mod get;
mod list;
mod set;

use barkeeper_records::{AccountId, BookId, Position, PositionStatus};
use clap::{Args, Subcommand};

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Cell, Record};

/// Positions: list, get, set, and count held days up
#[derive(Debug, Subcommand)]
pub(crate) enum Positions {
    List(list::List),
    Get(get::Get),
    Set(set::Set),
    Bump(bump::Bump),
}

impl Positions {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::List(command) => command.run(context, out),
            Self::Get(command) => command.run(context, out),
            Self::Set(command) => command.run(context, out),
            Self::Bump(command) => command.run(context, out),
        }
    }
}

/// Which book.
#[derive(Debug, Clone, Args)]
struct BookArgs {
    /// Whose [default: the configured account]
    #[arg(long, value_name = "NAME")]
    account: Option<AccountId>,
    /// The strategy's view
    #[arg(long, value_name = "NAME", default_value_t = BookId::main())]
    book: BookId,
}

/// The columns of a position.
const COLUMNS: [&str; 11] = [
    "account",
    "book",
    "instrument",
    "status",
    "held_days",
    "highest",
    "lowest",
    "lowest_trusted",
    "quantity",
    "cost",
    "opened_on",
];

fn cells(position: &Position) -> [Cell; 11] {
    [
        Cell::text(&position.key.account),
        Cell::text(&position.key.book),
        Cell::text(position.key.instrument),
        Cell::text(position.status.as_str()),
        Cell::maybe(position.held_days, |days| Cell::Count(u64::from(days))),
        Cell::maybe(position.highest, Cell::Number),
        Cell::maybe(position.lowest, Cell::Number),
        Cell::Bool(position.lowest_trusted),
        Cell::maybe(position.quantity, Cell::Money),
        Cell::maybe(position.cost, Cell::Money),
        Cell::maybe(position.opened_on, Cell::Day),
    ]
}

fn record(position: &Position) -> Record {
    COLUMNS.into_iter().zip(cells(position)).collect()
}

/// `open` or `closed`, for the command line.
fn status(text: &str) -> Result<PositionStatus, barkeeper_records::PositionError> {
    text.parse()
}
