//! `barkeeper init`: makes a store.

use std::path::PathBuf;

use barkeeper_host::{InitSettings, create};
use barkeeper_records::{AccountId, CalendarKind};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, PROGRAM, shown};
use crate::exit::Exit;
use crate::output::{self, Cell};

/// Make a store in a new or empty folder
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Trading days: `cn_a`, `cn_futures` (with night sessions) or `utc` (every day)
    #[arg(long, default_value_t)]
    calendar: CalendarKind,
    /// A list of open days, one a line; without it every Monday to Friday is open
    #[arg(long, value_name = "FILE")]
    open_days: Option<PathBuf>,
    /// The account that is meant where a command names none [default: main]
    #[arg(long, value_name = "NAME")]
    account: Option<AccountId>,
    /// Take a network folder, or one that a cloud service copies: its locks and flushes cannot be relied on
    #[arg(long)]
    allow_shared_folder: bool,
}

impl Init {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let folder = context.folder()?;
        let open_days = self.open_days.as_ref().map(std::path::absolute).transpose()?;
        let settings = InitSettings {
            calendar: self.calendar,
            open_days: open_days.map(|path| path.to_string_lossy().into_owned()),
            account: self.account.clone(),
            allow_shared_folder: self.allow_shared_folder,
        };
        if !self.allow_shared_folder {
            context.refuse_cloud(&folder)?;
        }
        let opened = create(&folder, &settings, PROGRAM)?;
        let account = opened.config.account.as_ref();
        let record = vec![
            ("store", Cell::text(folder.display())),
            ("calendar", Cell::text(opened.config.calendar.kind())),
            ("account", Cell::maybe(account, Cell::text)),
        ];
        output::record(out, context.format, &record)?;
        context.say(format_args!("Settings are in {}.", shown(&folder.join(barkeeper_host::CONFIG_FILE))));
        Ok(Exit::Done)
    }
}
