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
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let mut file = ConfigFile::open(opened.store.folder())?;
        file.remove_target(&self.target)?;
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
