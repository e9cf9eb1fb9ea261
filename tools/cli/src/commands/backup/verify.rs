//! `barkeeper backup verify`: restores a backup into a scratch folder and reads it whole.

use barkeeper::TestOutcome;
use barkeeper_host::store_options;
use clap::Args;

use super::{From, outcome, warn_of_loss};
use crate::cli::Out;
use crate::context::{Context, PROGRAM};
use crate::exit::Exit;
use crate::output::{self, Cell, Format};
use crate::progress::Progress;

/// Test a backup: restore it into a scratch folder, open it, read everything, compare it with its manifest
///
/// Works beside a running owner of the store. Ends with 0 for verified, 7 for failed, 5 where it could not be
/// tried; the outcome is remembered, and the last backup that was found good is never removed.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Which: a name, a number, or latest
    #[arg(default_value = "latest")]
    backup: String,
    #[command(flatten)]
    from: From,
}

impl Verify {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let (repository, config) = self.from.open(context)?;
        let bar = Progress::new(context, "bytes");
        let options = store_options(&config, PROGRAM);
        let tested = repository.verify(&self.backup, options, &mut |done, all| bar.set(done, all))?;
        drop(bar);
        let (exit, file, detail) = match &tested.outcome {
            TestOutcome::Verified => (Exit::Done, None, None),
            TestOutcome::Failed { file, detail } => (Exit::Damaged, Some(file), Some(detail)),
            TestOutcome::Inconclusive { why } => (Exit::Unknown, None, Some(why)),
            _ => (Exit::Unknown, None, None),
        };
        if context.format == Format::Json {
            output::json(out, &tested)?;
        } else {
            let read = tested.read.as_ref();
            let record = vec![
                ("backup", Cell::text(&tested.name)),
                ("outcome", Cell::text(outcome(&tested.outcome))),
                ("lsn", Cell::Count(tested.lsn.0)),
                ("bars", Cell::maybe(read, |read| Cell::Count(read.bars))),
                ("trades", Cell::maybe(read, |read| Cell::Count(read.trades))),
                ("positions", Cell::maybe(read, |read| Cell::Count(read.positions))),
                ("file", Cell::maybe(file, Cell::text)),
                ("detail", Cell::maybe(detail, Cell::text)),
            ];
            output::record(out, context.format, &record)?;
        }
        match exit {
            Exit::Done => {
                context
                    .say("It was restored into a scratch folder, read whole, and it is what was backed up.");
            }
            Exit::Damaged => self.warn_of_failure(context, file.map_or("", String::as_str)),
            _ => context.warn("it could not be tried, which says nothing about the backup"),
        }
        warn_of_loss(context)?;
        if !tested.remembered {
            context.warn("the outcome could not be written down in the folder of the backups");
        }
        Ok(exit)
    }

    /// Says what helps. A segment is shared: a new backup has the same content, which has to be mended first.
    fn warn_of_failure(&self, context: &Context, file: &str) {
        let store = context.with_store();
        let create = format!("`barkeeper backup create{}{store}`", self.from.as_flag("--to"));
        if !(file.starts_with("files/") && file.ends_with(".parquet")) {
            context.warn(format_args!("this backup cannot be trusted; {create} makes a new one"));
            return;
        }
        context.warn(format_args!(
            "this backup cannot be trusted, and neither can others that share {file}. {create} writes that file \
             anew while the store has it, and then they are good again. Where the store has it no more, \
             `barkeeper backup list{}{store}` shows other backups to test, and `barkeeper backup create --to \
             DIR{store}` begins in another folder",
            self.from.as_flag("--from")
        ));
    }
}
