//! `barkeeper backup create`: makes a backup while the store is in use.

use std::path::PathBuf;

use barkeeper::BackupOptions;
use barkeeper_host::backup_options;
use clap::Args;

use super::time;
use crate::cli::Out;
use crate::context::{Context, counted, shown};
use crate::exit::Exit;
use crate::output::{self, Cell, Format};
use crate::progress::Progress;

/// Make a backup: everything of one moment, and nothing twice
///
/// Segments that an earlier backup has are not copied again. Everything is read and verified on the way, also
/// what earlier backups share with this one: what is damaged of that is written anew from the store. Ends
/// with 7 where the store is damaged: what no backup has cannot be backed up then.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Where backups are kept, best on another disk [default: `folder` below [backup] in barkeeper.toml, else backups/ in the store]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Hard-link segments instead of copying them: no space, but no protection from damaged bytes
    #[arg(long)]
    link: bool,
    /// Do not read segments that an earlier backup has: damage of them goes unnoticed, here and there
    #[arg(long)]
    quick: bool,
}

impl Create {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let folder = opened.store.folder();
        let repository = opened.config.backup.repository(folder, self.to.as_deref());
        let options = BackupOptions { quick: self.quick, ..backup_options(folder, self.link)? };
        let bar = Progress::new(context, "bytes");
        let report = opened.store.back_up(&repository, &options, &mut |done, all| bar.set(done, all))?;
        drop(bar);
        let exit = if report.damaged.is_empty() { Exit::Done } else { Exit::Damaged };
        if context.format == Format::Json {
            output::json(out, &report)?;
            return Ok(exit);
        }
        let record = vec![
            ("backup", Cell::text(&report.name)),
            ("folder", Cell::text(repository.folder().display())),
            ("at", time(report.at, opened.config.calendar.zone())),
            ("lsn", Cell::Count(report.lsn.0)),
            ("files", Cell::Count(report.files)),
            ("bytes", Cell::Count(report.bytes)),
            ("new_bytes", Cell::Count(report.new_bytes)),
        ];
        output::record(out, context.format, &record)?;
        let from = self.to.as_ref().map_or_else(String::new, |to| format!(" --from {}", shown(to)));
        if !report.mended.is_empty() {
            let (files, were) = (
                counted(report.mended.len(), "damaged or missing file"),
                if report.mended.len() == 1 { "was" } else { "were" },
            );
            context.warn(format_args!(
                "{files} of earlier backups {were} written anew from the store: {}. Test those backups again, and \
                 look after the disk",
                report.mended.join(", ")
            ));
        }
        for one in &report.damaged {
            context.warn(format_args!("the store is damaged: {}: {}", one.place, one.detail));
        }
        context.say(format_args!("`barkeeper backup verify{from}` tests that it can be restored."));
        if exit == Exit::Damaged {
            context.say(format_args!(
                "hint: the backup names what earlier ones hold of the damaged files. When it has passed its test: \
                 `barkeeper backup restore {} --force{from}{}` mends the store",
                report.name,
                context.with_store()
            ));
        }
        Ok(exit)
    }
}
