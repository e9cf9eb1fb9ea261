//! `barkeeper demo`: everything that Barkeeper does, on a generated market, measured and checked.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use barkeeper_host::demo::{DemoOptions, Market, MarketSpec, run, write_market, write_until_killed};
use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::cli::Out;
use crate::context::{Context, shown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Trading days that arrive while the demo runs.
const LIVE_DAYS: usize = 20;
/// Calls that are timed of each kind.
const CALLS: usize = 1_000;
/// The market of `--files`: enough to look at, small enough to read.
const SMALL: MarketSpec = MarketSpec { instruments: 8, days: 30, live_days: 0, seed: 1 };
/// How often a writer is killed.
const KILLS: usize = 3;
/// The folder that the closing words name where none was kept.
const EXAMPLE: &str = "barkeeper-demo";

/// Show what Barkeeper does, on a generated market, measured and checked
///
/// Writes a market as files of other programs, imports them, asks the questions of a trading day, commits,
/// replicates to SQLite, proves that both agree, kills a writer and shows that nothing was lost. Needs no
/// network and no server. Ends with 0 only if every check held.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep everything in this folder, which has to be empty or not there yet [default: a fresh one, removed at the end]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep the fresh folder
    #[arg(long, conflicts_with = "dir")]
    keep: bool,
    /// Only write a small market's files into this folder, to try `import` and the rest with
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dir", "keep", "instruments", "days"])]
    files: Option<PathBuf>,
    /// Instruments with daily bars
    #[arg(long, value_name = "N", default_value = "520", value_parser = RangedU64ValueParser::<usize>::new().range(60..=5_000))]
    instruments: usize,
    /// Trading days of each
    #[arg(long, value_name = "N", default_value = "750", value_parser = RangedU64ValueParser::<usize>::new().range(30..=5_000))]
    days: usize,
    /// Another seed is another market
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl Demo {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        if let Some(folder) = &self.files {
            make_empty(folder)?;
            let spec = MarketSpec { seed: self.seed, ..SMALL };
            let written = write_market(&Market::new(spec), folder)?;
            context.say(format!("{} files are in {}.", written.files, folder.display()));
            return Ok(Exit::Done);
        }
        let program = std::env::current_exe().context("the program's own file is not known")?;
        let fresh = match &self.dir {
            Some(folder) => {
                make_empty(folder)?;
                None
            }
            None => Some(tempfile::Builder::new().prefix("barkeeper-demo-").tempdir()?),
        };
        let folder = match (&self.dir, &fresh) {
            (Some(folder), _) => std::path::absolute(folder)?,
            (None, Some(fresh)) => fresh.path().to_owned(),
            (None, None) => bail!("the demo has no folder"),
        };
        let writer = |store: &Path| {
            let mut command = Command::new(&program);
            command.arg("demo-writer").arg("--store").arg(store);
            command
        };
        let options = DemoOptions {
            folder: folder.clone(),
            spec: MarketSpec {
                instruments: self.instruments,
                days: self.days,
                live_days: LIVE_DAYS,
                seed: self.seed,
            },
            calls: CALLS,
            kills: KILLS,
            writer: &writer,
        };
        let report = if context.format == Format::Json {
            let report = run(&options, &mut io::sink())?;
            output::json(out, &report)?;
            report
        } else {
            run(&options, out)?
        };
        let kept =
            if self.keep { fresh.map(tempfile::TempDir::keep).or(Some(folder)) } else { self.dir.clone() };
        if context.format != Format::Json && !context.quiet {
            next(kept.as_deref(), &program, out)?;
        }
        Ok(if report.is_green() { Exit::Done } else { Exit::Findings })
    }
}

fn make_empty(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if std::fs::read_dir(folder)?.next().is_some() {
        bail!(
            Failure::usage(format!("{} is not empty", folder.display()))
                .hint("name a folder that does not exist yet")
        );
    }
    Ok(())
}

/// What to try next, with commands that work.
fn next(kept: Option<&Path>, program: &Path, out: Out<'_>) -> io::Result<()> {
    let program = shown(program);
    let folder = if let Some(folder) = kept {
        writeln!(out, "\nTry next; everything is in {}:", folder.display())?;
        folder.to_owned()
    } else {
        writeln!(out, "\nTry next; this keeps the folder, and the other commands ask it:")?;
        writeln!(out, "  {program} demo --dir {EXAMPLE}")?;
        PathBuf::from(EXAMPLE)
    };
    let store = shown(&folder.join("store"));
    for command in [
        "bars get 000001.SZ --last 5",
        "positions list --account demo-1",
        "trades summary --by month",
        "sync check replica",
        "files bars 1d",
    ] {
        writeln!(out, "  {program} --store {store} {command}")?;
    }
    Ok(())
}

/// Commit until killed, and print what was acknowledged
#[derive(Debug, Args)]
pub(crate) struct DemoWriter {}

impl DemoWriter {
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        write_until_killed(&context.folder()?, out)?;
        Ok(Exit::Done)
    }
}
