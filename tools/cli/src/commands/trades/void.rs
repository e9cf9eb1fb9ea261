//! `barkeeper trades void`: takes a line of the trade log back.

use barkeeper_host::SystemClock;
use barkeeper_records::{Batch, Clock as _, Operation, TradeId};
use clap::Args;
use ulid::Ulid;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell};

/// Take a line of the trade log back: a new line voids it, and neither counts any more
#[derive(Debug, Args)]
pub(crate) struct Void {
    /// The line that is void from now on
    trade_id: TradeId,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    remark: String,
    /// The new line's id, so that a retry is the same line [default: a new one]
    #[arg(long, value_name = "ULID")]
    id: Option<TradeId>,
}

impl Void {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let id = self.id.unwrap_or_else(|| TradeId(Ulid::generate().into()));
        let receipt = opened.store.commit(Batch::of(Operation::VoidTrade {
            trade_id: id,
            voids: self.trade_id,
            ts: SystemClock.now(),
            remark: self.remark.clone(),
        }))?;
        let record = vec![
            ("trade_id", Cell::text(id)),
            ("voids", Cell::text(self.trade_id)),
            ("lsn", Cell::Count(receipt.lsn.0)),
        ];
        output::record(out, context.format, &record)?;
        Ok(Exit::Done)
    }
}
