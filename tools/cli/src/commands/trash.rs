//! `barkeeper trash`: the files that wait to be deleted.

use std::path::Path;

use barkeeper::Store;
use barkeeper_host::SystemClock;
use barkeeper_records::Clock as _;
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, agree, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};

/// List the files that wait in the trash and what restores have kept aside, or delete them
///
/// Merged segments wait for seven days, and `undo` brings them back meanwhile; files of publications that
/// were cut off wait as long. The states before a restore stay until --former-states removes them.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Trash {
    /// Delete what has waited long enough
    #[arg(long)]
    empty: bool,
    /// Delete all of it; merges cannot be undone then
    #[arg(long, requires = "empty")]
    all: bool,
    /// Delete the states that restores have kept aside; these restores cannot be undone then
    #[arg(long, requires = "empty")]
    former_states: bool,
    /// Only say what would be deleted
    #[arg(long, requires = "empty")]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Trash {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        if !self.empty {
            return list(&opened.store, context, out);
        }
        if self.dry_run {
            return self.rehearse(&opened.store, context, out);
        }
        let question = match (self.all, self.former_states) {
            (false, false) => None,
            (true, false) => Some("Delete all files in the trash? Merges cannot be undone then."),
            (false, true) => Some("Delete the states before all restores? These cannot be undone then."),
            (true, true) => Some(
                "Delete all files in the trash, and the states before all restores? Neither merges nor restores \
                 can be undone then.",
            ),
        };
        if let Some(question) = question
            && !agree(question, self.yes)?
        {
            context.say("Nothing was deleted.");
            return Ok(Exit::Findings);
        }
        let mut report = opened.store.empty_trash(self.all)?;
        if self.former_states {
            let former = opened.store.remove_former_states()?;
            report.deleted += former.deleted;
            report.bytes += former.bytes;
        }
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

    /// Says what would be deleted.
    fn rehearse(&self, store: &Store, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let over = store.trash()?.into_iter().filter(|file| self.all || file.is_over(SystemClock.now()));
        let mut rows = Rows::new(["file", "bytes"]);
        let (mut count, mut bytes) = (0, 0);
        let mut push = |path: &Path, size: u64| {
            rows.push([Cell::text(path.display()), Cell::Count(size)]);
            (count, bytes) = (count + 1, bytes + size);
        };
        over.for_each(|file| push(&file.path, file.bytes));
        if self.former_states {
            store.former_states()?.iter().for_each(|state| push(&state.path, state.own_bytes));
        }
        output::rows(out, context.format, &rows)?;
        context.say(format_args!(
            "{} would be deleted, {bytes} bytes, unless an open snapshot needs them. Nothing was changed.",
            counted(count, "item")
        ));
        Ok(Exit::Done)
    }
}

fn list(store: &Store, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
    let (files, former) = (store.trash()?, store.former_states()?);
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
    if !former.is_empty() {
        let bytes: u64 = former.iter().map(|state| state.own_bytes).sum();
        context.say(format_args!(
            "Beside the trash, {} before a restore, {bytes} bytes: `barkeeper trash --empty --former-states{}` \
             deletes what is kept.",
            counted(former.len(), "state"),
            context.with_store()
        ));
    }
    Ok(Exit::Done)
}
