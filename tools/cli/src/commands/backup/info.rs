//! `barkeeper backup info`: all backups together.

use barkeeper::BackupInfo;
use clap::Args;

use super::{From, time};
use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell, Format};

/// Print how many backups there are, what they cost, and which one was last found good
#[derive(Debug, Args)]
pub(crate) struct Info {
    #[command(flatten)]
    from: From,
}

impl Info {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let (repository, config) = self.from.open(context)?;
        let info = repository.info()?;
        if context.format == Format::Json {
            output::json(out, &info)?;
            return Ok(Exit::Done);
        }
        let zone = config.calendar.zone();
        let name = |backup: &Option<BackupInfo>| Cell::maybe(backup.as_ref(), |one| Cell::text(&one.name));
        let made = |backup: &Option<BackupInfo>| {
            Cell::maybe(backup.as_ref().and_then(|one| one.at), |at| time(at, zone))
        };
        let verified = info.last_verified.as_ref().and_then(|one| one.tested.as_ref()?.verified_at);
        let record = vec![
            ("folder", Cell::text(info.folder.display())),
            ("backups", Cell::Count(info.backups)),
            ("damaged", Cell::Count(info.damaged)),
            ("bytes", Cell::Count(info.bytes)),
            ("shared_bytes", Cell::Count(info.shared_bytes)),
            ("oldest", name(&info.oldest)),
            ("oldest_at", made(&info.oldest)),
            ("newest", name(&info.newest)),
            ("newest_at", made(&info.newest)),
            ("last_verified", name(&info.last_verified)),
            ("verified_at", Cell::maybe(verified, |at| time(at, zone))),
        ];
        output::record(out, context.format, &record)?;
        Ok(Exit::Done)
    }
}
