//! `barkeeper backup list`: every backup, what it costs, how its last test went.

use barkeeper::former_states;
use clap::Args;

use super::{From, tested, time, warn_of_loss};
use crate::cli::Out;
use crate::context::{Context, shown};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};

/// List the backups, oldest first
///
/// `own_bytes` is what removing the backup gives back: what no other one needs.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    from: From,
}

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let (repository, config) = self.from.open(context)?;
        let all = repository.list()?;
        if context.format == Format::Json {
            output::json(out, &all)?;
            return Ok(Exit::Done);
        }
        let zone = config.calendar.zone();
        let mut rows =
            Rows::new(["backup", "at", "lsn", "files", "bytes", "own_bytes", "tested", "tested_at"]);
        for one in &all {
            rows.push([
                Cell::text(&one.name),
                Cell::maybe(one.at, |at| time(at, zone)),
                Cell::maybe(one.lsn, |lsn| Cell::Count(lsn.0)),
                Cell::Count(one.files),
                Cell::Count(one.bytes),
                Cell::Count(one.own_bytes),
                tested(one),
                Cell::maybe(one.tested.as_ref(), |test| time(test.at, zone)),
            ]);
        }
        output::rows(out, context.format, &rows)?;
        for one in all.iter().filter(|one| one.damaged.is_some()) {
            context.warn(one.damaged.as_deref().unwrap_or_default());
        }
        if all.iter().any(|one| one.damaged.is_some()) {
            context.say(format_args!(
                "`barkeeper backup prune --damaged{}` removes backups whose manifest is damaged, where another \
                 one is whole.",
                context.with_store()
            ));
        }
        let folder = context.folder()?;
        if all.is_empty() && folder.join("store.redb").is_file() {
            context.say("There are no backups yet; `barkeeper backup create` makes one.");
        }
        for state in former_states(&folder).unwrap_or_default().iter().filter(|state| state.undoable) {
            context.say(format_args!(
                "A restore has kept {}: `barkeeper backup restore --undo {}{}` goes back to it.",
                shown(&state.path),
                state.name,
                context.with_store()
            ));
        }
        warn_of_loss(context)?;
        Ok(Exit::Done)
    }
}
