//! `cargo xtask bench`: our workloads and, with `--compare`, those of the peers on the same data, one after
//! another; what they print is kept in the target folder, and the README's table and chart are written from it.

mod chart;
mod page;
mod peers;
mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::results::Results;
use crate::workspace::{Workspace, check, program};

/// The parts of `workloads`, in the order in which they run: the first makes what the others stand on.
const PARTS: [&str; 11] = [
    "import", "ledger", "trades", "sealed", "frames", "append", "commits", "opening", "minutes", "pace",
    "mixed",
];
/// The longest that a part or a peer may take beside what it is told to sustain; what it printed until then
/// counts.
const LONGEST: Duration = Duration::from_secs(7 * 60);

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// How large the market is; only that of the desk is written into the README
    #[arg(long, value_parser = ["small", "desk"], default_value = "desk")]
    shape: String,
    /// The peers as well: duckdb, polars, sqlite, chdb, arcticdb, redis, and CSV and JSON files
    #[arg(long)]
    compare: bool,
    /// Only these parts and peers; what others measured before stays
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// How long minute bars and ticks are appended at the pace of the market
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    sustain: u64,
    /// Measures nothing and writes the README from what was measured before
    #[arg(long)]
    write_only: bool,
}

/// Measures, and writes the table and the chart.
pub(crate) fn run(workspace: &Workspace, settings: &Settings) -> Result<()> {
    if let Some(unknown) = settings.only.iter().find(|name| !known(name)) {
        bail!("no part and no peer is called {unknown}: {} {}", PARTS.join(" "), peers::NAMES.join(" "));
    }
    let home = workspace.target.join("bench");
    let kept = home.join(format!("results-{}", settings.shape));
    fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;
    if !settings.write_only {
        measure(workspace, settings, &home, &kept)?;
    }
    let results = Results::load(&kept)?;
    println!("{}", page::table(&results)?);
    if settings.shape == "desk" {
        page::write(&workspace.root.join("README.md"), &results)?;
        let chart = workspace.root.join("benches/compare.svg");
        fs::write(&chart, chart::draw(&results))
            .with_context(|| format!("cannot write {}", chart.display()))?;
        println!("README.md and benches/compare.svg say what was measured");
    }
    Ok(())
}

fn known(name: &str) -> bool {
    PARTS.contains(&name) || peers::NAMES.contains(&name)
}

fn measure(workspace: &Workspace, settings: &Settings, home: &Path, kept: &Path) -> Result<()> {
    check(workspace.cargo().args([
        "build",
        "--release",
        "--package",
        "barkeeper-benches",
        "--features",
        "polars",
    ]))?;
    let name = if cfg!(windows) { "workloads.exe" } else { "workloads" };
    let workloads = workspace.target.join("release").join(name);
    let start = || -> Command {
        let mut command = program(&workloads, &workspace.root);
        command.args(["--shape", &settings.shape]).arg("--data").arg(home);
        command
    };
    let wanted = |name: &str| settings.only.is_empty() || settings.only.iter().any(|only| only == name);
    let mut failed = Vec::new();
    let longest = LONGEST + Duration::from_secs(settings.sustain);
    for part in PARTS.into_iter().filter(|part| wanted(part)) {
        let mut command = start();
        command.args(["--only", part, "--sustain", &settings.sustain.to_string()]);
        if let Err(error) = results::keep(kept, part, &mut command, longest) {
            println!("xtask bench: {part}: {error:#}");
            failed.push(part);
        }
    }
    if settings.compare {
        let files = files(start())?;
        failed.extend(peers::run(workspace, &files, home, kept, &wanted, LONGEST)?);
    }
    if failed.is_empty() { Ok(()) } else { bail!("bench: failed: {}", failed.join(", ")) }
}

/// The folder of the generated files, made where there is none.
fn files(mut command: Command) -> Result<PathBuf> {
    let output = command.arg("--files").output().context("cannot start workloads")?;
    let text = String::from_utf8(output.stdout).context("the folder's name is not UTF-8")?;
    let folder = PathBuf::from(text.trim());
    if folder.is_dir() { Ok(folder) } else { bail!("workloads made no files") }
}
