//! `barkeeper sync remove`: forgets a target.

use barkeeper_host::{ConfigFile, TargetName, forget_target};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, agree};
use crate::exit::Exit;
use crate::output::{self, Cell};

/// Forget a target: its settings, and the log that is kept for it
///
/// What is in the other database stays there. Added again under the same name, it is compared and goes on.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Which
    target: TargetName,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let mut file = ConfigFile::open(opened.store.folder())?;
        file.remove_target(&self.target)?;
        if self.dry_run {
            let known = opened.store.stats()?.targets;
            let known = known.into_iter().find(|(name, _)| *name == self.target.to_string());
            let record = vec![
                ("to_remove", Cell::text(&self.target)),
                ("acknowledged", Cell::maybe(known, |(_, lsn)| Cell::Count(lsn.0))),
            ];
            output::record(out, context.format, &record)?;
            context.say(format_args!(
                "Nothing was changed. The settings of {} and the log that is kept for it would go; its database stays.",
                self.target
            ));
            return Ok(Exit::Done);
        }
        let question = format!("Forget the target {}? What is in its database stays there.", self.target);
        if !agree(&question, self.yes)? {
            context.say("Nothing was changed.");
            return Ok(Exit::Findings);
        }
        file.save()?;
        forget_target(&opened, &self.target)?;
        output::record(out, context.format, &vec![("removed", Cell::text(&self.target))])?;
        Ok(Exit::Done)
    }
}
