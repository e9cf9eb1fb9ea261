//! `barkeeper sync mode`: what a target is told to do.

use barkeeper_host::{ConfigFile, TargetName, mode_name};
use barkeeper_sync::Mode;
use clap::{Args, ValueEnum};

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell};

/// Switch a target on or off
///
/// Edits barkeeper.toml; whoever follows the log takes it over within 3 seconds. Nothing has to be migrated:
/// switched on again, the target goes on where it stands.
#[derive(Debug, Args)]
pub(crate) struct SetMode {
    /// Which
    target: TargetName,
    /// What to do
    #[arg(value_enum)]
    mode: ModeName,
}

/// What a target is told to do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeName {
    /// Send nothing and ask nothing
    LocalOnly,
    /// Send changes as they are committed
    Replicate,
    /// Compare only
    VerifyOnly,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::LocalOnly => Self::LocalOnly,
            ModeName::Replicate => Self::Replicate,
            ModeName::VerifyOnly => Self::VerifyOnly,
        }
    }
}

impl SetMode {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let folder = context.folder()?;
        let mut file = ConfigFile::open(&folder)?;
        file.set_mode(&self.target, self.mode.into())?;
        file.save()?;
        let record =
            vec![("target", Cell::text(&self.target)), ("mode", Cell::text(mode_name(self.mode.into())))];
        output::record(out, context.format, &record)?;
        Ok(Exit::Done)
    }
}
