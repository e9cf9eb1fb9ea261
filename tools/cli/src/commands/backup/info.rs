//! `barkeeper backup info`: all backups together, or one of them.

use barkeeper::BackupInfo;
use clap::Args;

use super::{From, tested, time};
use crate::cli::Out;
use crate::context::{Context, not_found, shown};
use crate::exit::Exit;
use crate::output::{self, Cell, Format};

/// Print how many backups there are, what they cost, and which one was last found good; or the same of one
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Which: a name, a number, or latest [default: all of them together]
    backup: Option<String>,
    #[command(flatten)]
    from: From,
}

impl Info {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let (repository, config) = self.from.open(context)?;
        if let Some(asked) = &self.backup {
            let number: Option<u64> = asked.parse().ok();
            let is_meant =
                |one: &BackupInfo| asked == "latest" || one.name == *asked || number == Some(one.number);
            let Some(found) = repository.list()?.into_iter().rev().find(is_meant) else {
                return Err(not_found(format!(
                    "there is no backup '{asked}' in {}",
                    shown(repository.folder())
                )));
            };
            return print_one(&found, config.calendar.zone(), context, out);
        }
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
            ("failed", Cell::Count(info.failed)),
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

fn print_one(one: &BackupInfo, zone: &'static str, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
    if context.format == Format::Json {
        output::json(out, one)?;
        return Ok(Exit::Done);
    }
    let test = one.tested.as_ref();
    let record = vec![
        ("backup", Cell::text(&one.name)),
        ("at", Cell::maybe(one.at, |at| time(at, zone))),
        ("lsn", Cell::maybe(one.lsn, |lsn| Cell::Count(lsn.0))),
        ("epoch", Cell::maybe(one.epoch, Cell::Count)),
        ("files", Cell::Count(one.files)),
        ("bytes", Cell::Count(one.bytes)),
        ("own_bytes", Cell::Count(one.own_bytes)),
        ("tested", tested(one)),
        ("tested_at", Cell::maybe(test, |test| time(test.at, zone))),
        ("verified_at", Cell::maybe(test.and_then(|test| test.verified_at), |at| time(at, zone))),
    ];
    output::record(out, context.format, &record)?;
    if let Some(why) = &one.damaged {
        context.warn(why);
    }
    Ok(Exit::Done)
}
