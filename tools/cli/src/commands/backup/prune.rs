//! `barkeeper backup prune`: removes old backups.

use barkeeper::PruneOptions;
use barkeeper_host::SystemClock;
use barkeeper_records::Clock as _;
use clap::Args;

use super::From;
use crate::cli::Out;
use crate::context::{Context, agree, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};

/// Remove old backups, and the contents that no backup needs any more
///
/// Kept are those of the last 30 days, or what --keep-days and --keep-last say; always the newest one, the newest
/// one that is not known to be bad, and the last one that was found good; and where a content was found damaged,
/// those that were found good before. Ages follow the times that backups were made at, in which no gap counts for
/// more than 7 days: a clock that jumps removes next to nothing.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    from: From,
    /// Keep those that are not older than so many days
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Keep so many of the newest, however old
    #[arg(long, value_name = "COUNT")]
    keep_last: Option<u32>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Remove also those whose manifest is damaged, where another one is whole: no restore can use them, and no file
    /// is removed as long as one is there
    #[arg(long)]
    damaged: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Prune {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let (repository, config) = self.from.open(context)?;
        let rules = config.backup.retention(self.keep_days, self.keep_last);
        let prune = |dry_run| {
            repository.prune(&rules, SystemClock.now(), PruneOptions { dry_run, damaged: self.damaged })
        };
        let mut report = prune(true)?;
        if !self.dry_run && (report.removed > 0 || report.files > 0) {
            let question = format!("{} would be removed.", counted(report.removed, "backup"));
            if report.removed > 0 && !agree(&question, self.yes)? {
                return Ok(Exit::Findings);
            }
            report = prune(false)?;
        }
        if context.format == Format::Json {
            output::json(out, &report)?;
        } else {
            let mut rows = Rows::new(["backup", "kept", "why"]);
            for one in &report.backups {
                rows.push([Cell::text(&one.name), Cell::Bool(one.kept), Cell::text(one.why)]);
            }
            output::rows(out, context.format, &rows)?;
        }
        let verb = if self.dry_run { "to remove" } else { "removed" };
        context.say(format_args!(
            "{} and {} {verb}, {} bytes.",
            counted(report.removed, "backup"),
            counted(report.files, "file"),
            report.bytes
        ));
        let hint = if self.damaged {
            "; --damaged removes it where its checksum does not fit and another backup is whole"
        } else {
            "; --damaged removes what is damaged"
        };
        for name in &report.unreadable {
            context.warn(format_args!(
                "the manifest of {name} cannot be read: no file is removed as long as it lies there{hint}"
            ));
        }
        Ok(Exit::Done)
    }
}
