//! `barkeeper positions get`: one position.

use barkeeper_records::{InstrumentId, PositionKey};
use clap::Args;

use super::{BookArgs, record};
use crate::cli::Out;
use crate::context::{Context, account_of, not_found};
use crate::exit::Exit;
use crate::output;

/// Print one position
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// `SYMBOL.VENUE` in any spelling
    instrument: InstrumentId,
    #[command(flatten)]
    of: BookArgs,
}

impl Get {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let account = account_of(self.of.account.as_ref(), &opened.config)?;
        let key = PositionKey { account, book: self.of.book.clone(), instrument: self.instrument };
        let Some(position) = opened.store.position(&key)? else {
            return Err(not_found(format!("there is no position {key}")));
        };
        output::record(out, context.format, &record(&position))?;
        Ok(Exit::Done)
    }
}
