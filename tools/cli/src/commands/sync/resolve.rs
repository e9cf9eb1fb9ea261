//! `barkeeper sync resolve`: a person's decision about a target in quarantine.

use std::sync::atomic::AtomicBool;

use barkeeper_host::{Target, TargetName};
use barkeeper_sync::Resolution;
use clap::Args;

use super::{bar, exit_of, explain};
use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell};

/// Decide about a target that waits for a person, and bring it up
#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// Which
    target: TargetName,
    #[command(flatten)]
    decision: Decision,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Decision {
    /// The cause was removed: try again as before
    #[arg(long)]
    retry: bool,
    /// This copy of the store goes on, whoever wrote there before: everything is sent again
    #[arg(long)]
    keep_local: bool,
    /// The target is a new database: forget the old one and begin anew
    #[arg(long)]
    new_database: bool,
}

impl Resolve {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let resolution = if self.decision.keep_local {
            Resolution::KeepLocal
        } else if self.decision.new_database {
            Resolution::NewDatabase
        } else {
            Resolution::Retry
        };
        let opened = context.open()?;
        let mut target = Target::new(&opened, &self.target)?;
        let (progress, show) = bar(context);
        let reached = target.resolve(resolution, &AtomicBool::new(false), &mut |at| show(&progress, at))?;
        drop(progress);
        let status = target.status();
        let exit = exit_of(&reached, &target);
        let record = vec![
            ("target", Cell::text(&self.target)),
            ("state", Cell::text(barkeeper_host::state_name(&status.state))),
            ("lsn", Cell::Count(status.acknowledged.0)),
            ("lag", Cell::Count(status.lag)),
        ];
        output::record(out, context.format, &record)?;
        if exit != Exit::Done {
            explain(&status, context);
        } else if self.decision.keep_local {
            context.say(format_args!(
                "Rows that only the target has were left there: `barkeeper sync repair {} --dry-run{}` lists what differs.",
                self.target,
                context.with_store()
            ));
        }
        target.close()?;
        Ok(exit)
    }
}
