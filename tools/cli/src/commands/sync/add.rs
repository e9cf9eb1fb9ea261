//! `barkeeper sync add`: names a new target in the settings.

use std::path::PathBuf;

use barkeeper::Store;
use barkeeper_host::{Config, ConfigFile, StartError, TargetConfig, TargetKind, TargetName};
use barkeeper_sync::sqlite::SqliteConfig;
use clap::Args;

use super::mode::ModeName;
use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell};

/// Name a new target in barkeeper.toml
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Small letters, digits, - and _
    name: TargetName,
    /// An SQLite file; it is made with the first run, its folder has to be there
    #[arg(long, value_name = "FILE")]
    sqlite: PathBuf,
    /// What to do
    #[arg(long, value_enum, default_value_t = ModeName::Replicate)]
    mode: ModeName,
}

impl Add {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let folder = context.folder()?;
        Store::locate(&folder).map_err(StartError::Store)?;
        let full = std::path::absolute(&self.sqlite)?;
        let store = std::path::absolute(&folder)?;
        let path = full.strip_prefix(&store).map_or(full.clone(), std::path::Path::to_owned);
        let config = SqliteConfig::of(path);
        config.validate()?;
        let mut file = ConfigFile::open(&folder)?;
        file.add_target(
            &self.name,
            &TargetConfig { kind: TargetKind::Sqlite(config), mode: self.mode.into() },
        )?;
        file.save()?;
        let named = Config::load(&folder)?;
        let target = named.target(&self.name, &folder)?;
        let record = vec![
            ("target", Cell::text(&self.name)),
            ("kind", Cell::text(target.kind.as_str())),
            ("file", Cell::text(full.display())),
            ("mode", Cell::text(barkeeper_host::mode_name(target.mode))),
        ];
        output::record(out, context.format, &record)?;
        context.say(format_args!("`barkeeper sync run {}` brings it up.", self.name));
        Ok(Exit::Done)
    }
}
