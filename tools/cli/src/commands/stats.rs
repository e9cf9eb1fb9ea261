//! `barkeeper stats`: sizes and counts of the store.

use clap::Args;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell, Format};

/// Print sizes and counts of the store
#[derive(Debug, Args)]
pub(crate) struct Stats {}

impl Stats {
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let stats = opened.store.stats()?;
        if context.format == Format::Json {
            output::json(out, &stats)?;
            return Ok(Exit::Done);
        }
        let mut record = vec![
            ("folder", Cell::text(stats.folder.display())),
            ("store_id", Cell::text(&stats.store_id)),
            ("device", Cell::Count(u64::from(stats.device))),
            ("lsn", Cell::Count(stats.lsn.0)),
            ("writes", Cell::text(&stats.writes)),
            ("series", Cell::Count(stats.series)),
            ("bars", Cell::Count(stats.bars)),
            ("hot_bars", Cell::Count(stats.hot_bars)),
            ("ticks", Cell::Count(stats.ticks)),
            ("market_trades", Cell::Count(stats.market_trades)),
            ("hot_events", Cell::Count(stats.hot_events)),
            ("factors", Cell::Count(stats.factors)),
            ("hot_bytes", Cell::Count(stats.hot_bytes)),
            ("segments", Cell::Count(stats.segments)),
            ("segment_bytes", Cell::Count(stats.segment_bytes)),
            ("garbage_bytes", Cell::Count(stats.garbage_bytes)),
            ("free_bytes", Cell::Count(stats.space.database_free_bytes)),
            ("superseded_rows", Cell::Count(stats.space.superseded_rows)),
            ("superseded_bytes", Cell::Count(stats.space.superseded_bytes)),
            ("trash_bytes", Cell::Count(stats.space.trash_bytes)),
            ("former_states", Cell::Count(stats.space.former_states)),
            ("former_bytes", Cell::Count(stats.space.former_bytes)),
            ("revisions", Cell::Count(stats.revisions)),
            ("trades", Cell::Count(stats.trades)),
            ("positions", Cell::Count(stats.positions)),
            ("log_tail", Cell::Count(stats.log_tail.0)),
            ("log_bytes", Cell::Count(stats.log_bytes)),
        ];
        let targets: Vec<String> =
            stats.targets.iter().map(|(name, lsn)| format!("{name} at {lsn}")).collect();
        let books: Vec<String> =
            stats.books.iter().map(|(account, book, day)| format!("{account}/{book} on {day}")).collect();
        record.push(("snapshots", Cell::Count(stats.snapshots.len() as u64)));
        record.push(("targets", Cell::Text(targets.join(", "))));
        record.push(("books", Cell::Text(books.join(", "))));
        output::record(out, context.format, &record)?;
        if let Some(error) = &stats.maintenance_error {
            context.warn(format_args!("maintenance failed: {error}"));
        }
        Ok(Exit::Done)
    }
}
