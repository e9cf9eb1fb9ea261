//! `barkeeper compact`: gives dead space back.

use barkeeper::{CompactOptions, MergeOptions, Space, Store};
use barkeeper_host::{Config, store_options};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, PROGRAM, agree};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};
use crate::progress::Progress;

/// Give dead space back to the disk, while nobody has the store open
///
/// Makes `store.redb` smaller. On request merges segments as well, and deletes what waits in the trash.
/// Ctrl-C or a failing disk in the middle lose nothing.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag on the command line")]
pub(crate) struct Compact {
    /// Merge segments as `merge --whole` does
    #[arg(long)]
    merge: bool,
    /// Delete what waits in the trash; merges cannot be undone then
    #[arg(long)]
    empty_trash: bool,
    /// Only say where the space is
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Compact {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        if self.dry_run {
            return dry_run(context, self.merge, out);
        }
        let question = "Delete all files in the trash? Merges cannot be undone then.";
        if self.empty_trash && !agree(question, self.yes)? {
            context.say("Nothing was done.");
            return Ok(Exit::Findings);
        }
        let folder = context.folder()?;
        let config = Config::load(&folder)?;
        let what = CompactOptions { merge: self.merge, empty_trash: self.empty_trash };
        let bar = Progress::new(context, "rows");
        let options = store_options(&config, PROGRAM);
        let report = Store::compact(&folder, options, &what, &mut |done, all| bar.set(done, all))?;
        drop(bar);
        match context.format {
            Format::Json => output::json(out, &report)?,
            format => output::rows(out, format, &both(&report.before, &report.after))?,
        }
        Ok(Exit::Done)
    }
}

/// What can be given back is shown, and what would be merged.
fn dry_run(context: &Context, merge: bool, out: Out<'_>) -> anyhow::Result<Exit> {
    let opened = context.open()?;
    let space = opened.store.space()?;
    match context.format {
        Format::Json => output::json(out, &space)?,
        format => {
            let record = parts(&space).into_iter().map(|(name, bytes)| (name, Cell::Count(bytes))).collect();
            output::record(out, format, &record)?;
        }
    }
    if merge {
        let plans = opened.store.merge_plan(&MergeOptions { interval: None, whole: true })?;
        let segments: u64 = plans.iter().map(|plan| plan.segments).sum();
        context.say(format_args!("{segments} segments would be merged into {}.", plans.len()));
    }
    context.say("Nothing was changed.");
    Ok(Exit::Done)
}

/// The parts of a store and what they take.
pub(crate) fn parts(space: &Space) -> Vec<(&'static str, u64)> {
    vec![
        ("database_bytes", space.database_bytes),
        ("database_used_bytes", space.database_used_bytes),
        ("database_page_bytes", space.database_page_bytes),
        ("database_free_bytes", space.database_free_bytes),
        ("segment_bytes", space.segment_bytes),
        ("superseded_rows", space.superseded_rows),
        ("superseded_bytes", space.superseded_bytes),
        ("trash_files", space.trash_files),
        ("trash_bytes", space.trash_bytes),
        ("staging_bytes", space.staging_bytes),
    ]
}

fn both(before: &Space, after: &Space) -> Rows {
    let mut rows = Rows::new(["part", "before", "after"]);
    for ((name, before), (_, after)) in parts(before).into_iter().zip(parts(after)) {
        rows.push([Cell::text(name), Cell::Count(before), Cell::Count(after)]);
    }
    rows
}
