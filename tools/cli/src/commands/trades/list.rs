//! `barkeeper trades list`: lines of the trade log.

use barkeeper_records::TradeRecord;
use clap::Args;

use super::Filter;
use crate::cli::Out;
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};

/// Print lines of the trade log, newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Voided rows and those that void them as well
    #[arg(long)]
    with_void: bool,
}

/// What a table shows; JSON and CSV have every field.
const SHORT: [&str; 11] =
    ["ts", "account", "book", "instrument", "name", "kind", "price", "quantity", "fee", "remark", "trade_id"];
const FULL: [&str; 17] = [
    "trade_id",
    "account",
    "book",
    "instrument",
    "strategy",
    "kind",
    "ts",
    "trading_day",
    "price",
    "quantity",
    "amount",
    "fee",
    "name",
    "remark",
    "source_text",
    "external_id",
    "voids",
];

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let mut query = self.filter.query(opened.config.calendar.zone())?;
        query.limit = (!self.all).then_some(self.limit);
        query.with_void = self.with_void;
        let found = opened.store.snapshot()?.trades(&query)?;
        let short = context.format == Format::Table;
        let mut rows = if short { Rows::new(SHORT) } else { Rows::new(FULL) };
        for trade in &found {
            if short {
                rows.push(short_cells(trade));
            } else {
                rows.push(full_cells(trade));
            }
        }
        output::rows(out, context.format, &rows)?;
        let cut = query.limit.is_some_and(|limit| found.len() == limit);
        let more = if cut { ", the newest; --limit or --all for more" } else { "" };
        context.say(format_args!("{}{more}.", counted(found.len(), "trade")));
        Ok(Exit::Done)
    }
}

fn short_cells(trade: &TradeRecord) -> [Cell; 11] {
    [
        Cell::Instant(trade.ts, trade.instrument.zone()),
        Cell::text(&trade.account),
        Cell::text(&trade.book),
        Cell::text(trade.instrument),
        Cell::text(&trade.name),
        Cell::text(trade.kind),
        Cell::Money(trade.price),
        Cell::Money(trade.quantity),
        Cell::maybe(trade.fee, Cell::Money),
        Cell::text(&trade.remark),
        Cell::text(trade.trade_id),
    ]
}

fn full_cells(trade: &TradeRecord) -> [Cell; 17] {
    [
        Cell::text(trade.trade_id),
        Cell::text(&trade.account),
        Cell::text(&trade.book),
        Cell::text(trade.instrument),
        Cell::maybe(trade.strategy.as_ref(), Cell::text),
        Cell::text(trade.kind),
        Cell::Instant(trade.ts, trade.instrument.zone()),
        Cell::Day(trade.trading_day),
        Cell::Money(trade.price),
        Cell::Money(trade.quantity),
        Cell::maybe(trade.amount, Cell::Money),
        Cell::maybe(trade.fee, Cell::Money),
        Cell::text(&trade.name),
        Cell::text(&trade.remark),
        Cell::text(&trade.source_text),
        Cell::maybe(trade.external_id.as_ref(), Cell::text),
        Cell::maybe(trade.voids, Cell::text),
    ]
}
