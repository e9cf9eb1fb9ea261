//! `barkeeper trash`: the files that wait to be deleted.

use clap::Args;

use crate::cli::Out;
use crate::context::{Context, agree, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};

/// List the files that wait in the trash, or delete them
///
/// Merged segments wait for seven days, and `undo` brings them back meanwhile; files of publications that
/// were cut off wait as long.
#[derive(Debug, Args)]
pub(crate) struct Trash {
    /// Delete what has waited long enough
    #[arg(long)]
    empty: bool,
    /// Delete all of it; merges cannot be undone then
    #[arg(long, requires = "empty")]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Trash {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        if !self.empty {
            let files = opened.store.trash()?;
            match context.format {
                Format::Json => output::json(out, &files)?,
                format => {
                    let mut rows = Rows::new(["file", "bytes", "until"]);
                    for file in &files {
                        let until = Cell::maybe(file.until, |until| Cell::Instant(until, "UTC"));
                        rows.push([Cell::text(file.path.display()), Cell::Count(file.bytes), until]);
                    }
                    output::rows(out, format, &rows)?;
                }
            }
            context.say(format_args!("{}.", counted(files.len(), "file")));
            return Ok(Exit::Done);
        }
        if self.all && !agree("Delete all files in the trash? Merges cannot be undone then.", self.yes)? {
            context.say("Nothing was deleted.");
            return Ok(Exit::Findings);
        }
        let report = opened.store.empty_trash(self.all)?;
        match context.format {
            Format::Json => output::json(out, &report)?,
            format => {
                let record = vec![
                    ("deleted", Cell::Count(report.deleted)),
                    ("bytes", Cell::Count(report.bytes)),
                    ("held", Cell::Count(report.held)),
                ];
                output::record(out, format, &record)?;
            }
        }
        Ok(Exit::Done)
    }
}
