//! The command line: global options and the list of commands.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    backup, bars, compact, demo, doctor, events, factors, files, import, init, merge, positions, publish,
    seal, snapshots, sql, stats, sync, trades, trash, undo, verify,
};
use crate::context::Context;
use crate::exit::{self, Exit};
use crate::output::{Encoding, Format};

/// Keeps bars, trades and positions in one folder, and copies of them where you want.
#[derive(Debug, Parser)]
#[command(name = "barkeeper", bin_name = "barkeeper", version, after_help = exit::HELP, propagate_version = true)]
#[command(after_long_help = LONG_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The store's folder
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR", env = crate::env::STORE, hide_env_values = true)]
    store: Option<PathBuf>,
    /// How data is printed
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    /// The bytes of data that go to a file or a pipe
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "NAME", value_enum, default_value_t)]
    encoding: Encoding,
    /// Say nothing but data, warnings and errors
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const GLOBAL: &str = "Everywhere";

const LONG_HELP: &str = "\
Without --store and BARKEEPER_STORE the store lies where the system keeps programs' data:
%LOCALAPPDATA%\\Barkeeper\\store on Windows, ~/.local/share/barkeeper/store on Linux.

Data goes to stdout, words to stderr. Tables show times on the venue's clock with its offset; JSON and
CSV show them in UTC (RFC 3339). JSON numbers are written in their shortest exact form. NO_COLOR is honoured.

Exit codes:
  0  done
  1  failed, or a check has findings
  2  the command line makes no sense
  3  not found
  4  another process has the store
  5  could not tell
  6  a target cannot be reached
  7  stored bytes are damaged
  8  the store went down in the middle
  9  the disk is full";

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    Import(import::Import),
    #[command(subcommand)]
    Bars(bars::Bars),
    #[command(subcommand)]
    Factors(factors::Factors),
    /// Ticks: list, what there is, remove
    #[command(subcommand)]
    Ticks(events::Events),
    /// Market trades, public ones: list, what there is, remove
    #[command(subcommand)]
    MarketTrades(events::Events),
    #[command(subcommand)]
    Positions(positions::Positions),
    #[command(subcommand)]
    Trades(trades::Trades),
    #[command(subcommand)]
    Snapshots(snapshots::Snapshots),
    Seal(seal::Seal),
    Merge(merge::Merge),
    Undo(undo::Undo),
    Trash(trash::Trash),
    Compact(compact::Compact),
    #[command(subcommand)]
    Sync(sync::Sync),
    Verify(verify::Verify),
    #[command(subcommand)]
    Backup(backup::Backup),
    Doctor(doctor::Doctor),
    Files(files::Files),
    Publish(publish::Publish),
    Sql(sql::Sql),
    Stats(stats::Stats),
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoWriter(demo::DemoWriter),
}

/// Where a command prints its data.
pub(crate) type Out<'a> = &'a mut dyn std::io::Write;

impl Cli {
    /// The bytes of stdout; a console is given UTF-8, and shows it whatever its code page is.
    pub(crate) fn encoding(&self) -> Encoding {
        if std::io::stdout().is_terminal() { Encoding::Utf8 } else { self.encoding }
    }

    pub(crate) fn context(&self) -> Context {
        Context::new(self.store.clone(), self.format, self.quiet)
    }
}

impl Command {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::Init(command) => command.run(context, out),
            Self::Import(command) => command.run(context, out),
            Self::Bars(command) => command.run(context, out),
            Self::Factors(command) => command.run(context, out),
            Self::Ticks(command) => command.ticks(context, out),
            Self::MarketTrades(command) => command.market_trades(context, out),
            Self::Positions(command) => command.run(context, out),
            Self::Trades(command) => command.run(context, out),
            Self::Snapshots(command) => command.run(context, out),
            Self::Seal(command) => command.run(context, out),
            Self::Merge(command) => command.run(context, out),
            Self::Undo(command) => command.run(context, out),
            Self::Trash(command) => command.run(context, out),
            Self::Compact(command) => command.run(context, out),
            Self::Sync(command) => command.run(context, out),
            Self::Verify(command) => command.run(context, out),
            Self::Backup(command) => command.run(context, out),
            Self::Doctor(command) => command.run(context, out),
            Self::Files(command) => command.run(context, out),
            Self::Publish(command) => command.run(context, out),
            Self::Sql(command) => command.run(context, out),
            Self::Stats(command) => command.run(context, out),
            Self::Demo(command) => command.run(context, out),
            Self::DemoWriter(command) => command.run(context, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
