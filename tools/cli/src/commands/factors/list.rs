//! `barkeeper factors list`: the corporate actions that are known.

use barkeeper_records::InstrumentId;
use clap::Args;

use super::{COLUMNS, cells};
use crate::cli::Out;
use crate::context::{Context, counted, not_found};
use crate::exit::Exit;
use crate::output::{self, Rows};

/// Print the corporate actions of one instrument, or of all
#[derive(Debug, Args)]
pub(crate) struct List {
    /// `SYMBOL.VENUE` in any spelling
    instrument: Option<InstrumentId>,
}

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let events = match self.instrument {
            Some(instrument) => snapshot.factor_events(instrument)?,
            None => snapshot.all_factor_events()?,
        };
        if let (Some(instrument), true) = (self.instrument, events.is_empty()) {
            return Err(not_found(format!("there are no corporate actions of {instrument}")));
        }
        let mut rows = Rows::new(COLUMNS);
        for event in &events {
            rows.push(cells(event));
        }
        output::rows(out, context.format, &rows)?;
        context.say(format_args!("{}.", counted(events.len(), "corporate action")));
        Ok(Exit::Done)
    }
}
