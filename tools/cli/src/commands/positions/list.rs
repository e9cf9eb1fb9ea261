//! `barkeeper positions list`: all positions of an account, or of all.

use barkeeper_records::{AccountId, BookId};
use clap::Args;

use super::{COLUMNS, cells};
use crate::cli::Out;
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{self, Rows};

/// Print positions of all accounts, or of one
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this account
    #[arg(long, value_name = "NAME")]
    account: Option<AccountId>,
    /// Only this book
    #[arg(long, value_name = "NAME")]
    book: Option<BookId>,
    /// Sold ones as well
    #[arg(long)]
    closed: bool,
}

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let mut found = match &self.account {
            Some(account) => snapshot.positions(account, self.book.as_ref(), self.closed)?,
            None => snapshot.all_positions(self.closed)?,
        };
        if let Some(book) = &self.book {
            found.retain(|position| position.key.book == *book);
        }
        let mut rows = Rows::new(COLUMNS);
        for position in &found {
            rows.push(cells(position));
        }
        output::rows(out, context.format, &rows)?;
        context.say(format_args!("{}.", counted(found.len(), "position")));
        Ok(Exit::Done)
    }
}
