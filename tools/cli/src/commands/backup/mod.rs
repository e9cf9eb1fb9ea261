//! `barkeeper backup`: copies of the store that can be gone back to.

mod create;
mod info;
mod list;
mod prune;
mod restore;
mod verify;

use std::path::PathBuf;

use barkeeper::{BackupInfo, BackupRepository, OpenError, Store, TestOutcome};
use barkeeper_host::Config;
use barkeeper_records::Timestamp;
use clap::{Args, Subcommand};

use crate::cli::Out;
use crate::context::{Context, shown};
use crate::exit::Exit;
use crate::output::Cell;

/// Make, test, list, remove and restore backups
#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    Create(create::Create),
    List(list::List),
    Info(info::Info),
    Verify(verify::Verify),
    Restore(restore::Restore),
    Prune(prune::Prune),
}

impl Backup {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::Create(command) => command.run(context, out),
            Self::List(command) => command.run(context, out),
            Self::Info(command) => command.run(context, out),
            Self::Verify(command) => command.run(context, out),
            Self::Restore(command) => command.run(context, out),
            Self::Prune(command) => command.run(context, out),
        }
    }
}

/// Where backups are looked for.
#[derive(Debug, Args)]
pub(crate) struct From {
    /// Where the backups are [default: `folder` below [backup] in barkeeper.toml, else backups/ in the store]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

impl From {
    /// The repository and the settings of the store. Backups elsewhere are found without a store.
    pub(crate) fn open(&self, context: &Context) -> anyhow::Result<(BackupRepository, Config)> {
        let folder = context.folder()?;
        let config = match (Config::load(&folder), &self.from) {
            (Ok(config), _) => config,
            // A store in ruins must not stand in the way of its backups.
            (Err(_), Some(_)) => Config::default(),
            (Err(error), None) => return Err(error.into()),
        };
        Ok((config.backup.repository(&folder, self.from.as_deref()), config))
    }

    /// Says `FLAG DIR` for a command that is to work on the same folder of backups; nothing where it does anyway.
    fn as_flag(&self, flag: &str) -> String {
        self.from.as_ref().map_or_else(String::new, |from| format!(" {flag} {}", shown(from)))
    }
}

/// Says that the database is lost, where it is: its backups can be looked at all the same.
fn warn_of_loss(context: &Context) -> anyhow::Result<()> {
    let folder = context.folder()?;
    if let Err(error @ OpenError::DatabaseMissing { .. }) = Store::locate(&folder) {
        context.warn(&error);
        context.say(format_args!("hint: {}", barkeeper_host::way_back(&folder, &context.with_store())));
    }
    Ok(())
}

/// An instant to the second: people read it.
fn time(at: Timestamp, zone: &'static str) -> Cell {
    Cell::Instant(Timestamp::from_nanos(at.nanos() - at.nanos().rem_euclid(1_000_000_000)), zone)
}

/// The last test of a backup in a word.
fn tested(one: &BackupInfo) -> Cell {
    match &one.tested {
        Some(test) => Cell::text(outcome(&test.outcome)),
        None if one.test_lost => Cell::text("unreadable"),
        None => Cell::None,
    }
}

const fn outcome(outcome: &TestOutcome) -> &'static str {
    match outcome {
        TestOutcome::Verified => "verified",
        TestOutcome::Failed { .. } => "failed",
        _ => "inconclusive",
    }
}
