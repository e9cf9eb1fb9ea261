//! `barkeeper undo`: takes the last merge back.

use clap::Args;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell, Format};

/// Take the last merge back: the segments that it replaced are live again
///
/// No row changes. Says why where it cannot be done: its seven days are over, a later merge has taken its
/// files, or one of them is damaged. Again, it takes back the merge before.
#[derive(Debug, Args)]
pub(crate) struct Undo {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Undo {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let report = opened.store.undo(self.dry_run)?;
        match context.format {
            Format::Json => output::json(out, &report)?,
            format => {
                let record = vec![
                    ("dataset", Cell::text(report.dataset)),
                    ("merged", Cell::Instant(report.merged, "UTC")),
                    ("until", Cell::Instant(report.until, "UTC")),
                    ("restored", Cell::Count(report.restored)),
                    ("retired", Cell::Count(report.retired)),
                    ("rows", Cell::Count(report.rows)),
                ];
                output::record(out, format, &record)?;
            }
        }
        context.say(if self.dry_run { "Nothing was changed." } else { "The merge is undone." });
        Ok(Exit::Done)
    }
}
