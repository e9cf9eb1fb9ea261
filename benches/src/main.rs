//! Workloads of a trading desk, measured through the public API beside floors of the same run. Each prints
//! one JSON object a line.
//!
//! Every part runs in a process of its own, so that its resident memory is its own and a part that fails
//! takes no other with it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench says what it does")]

mod counting;
mod desk;
mod factors;
mod files;
mod floors;
mod goals;
mod market;
mod measure;
mod parts;
mod row;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::desk::Desk;
use crate::market::Shape;
use crate::parts::Part;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShapeName {
    Small,
    Desk,
}

/// Measures the workloads of a trading desk
#[derive(Debug, Parser)]
struct Cli {
    /// How large the market is: 500 instruments x 250 days, or 5,000 x 1,250
    #[arg(long, value_enum, default_value = "small")]
    shape: ShapeName,
    /// Only these parts
    #[arg(long, value_enum, value_name = "PART", num_args = 1..)]
    only: Vec<Part>,
    /// Where generated files are kept between runs; `bench` in the target folder by default
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// How long minute bars and ticks are appended at the pace of the market
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    sustain: u64,
    /// Makes the files that all programs import and prints their folder
    #[arg(long)]
    files: bool,
    /// Runs one part in this process
    #[arg(long, hide = true)]
    here: bool,
    /// Commits into the store of a folder until it is killed
    #[arg(long, hide = true, value_name = "FOLDER")]
    writer: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(folder) = &cli.writer {
        return parts::write_until_killed(folder).map(|()| ExitCode::SUCCESS);
    }
    let data = cli.data.clone().map_or_else(default_data, Ok)?;
    let shape = match cli.shape {
        ShapeName::Small => Shape::SMALL,
        ShapeName::Desk => Shape::DESK,
    };
    let only = if cli.only.is_empty() { Part::value_variants().to_vec() } else { cli.only.clone() };
    let desk = Desk::new(&data, shape)?;
    if cli.files {
        println!("{}", desk.files.home.display());
        return Ok(ExitCode::SUCCESS);
    }
    if cli.here {
        for part in only {
            part.run(&desk, cli.sustain)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = 0;
    for part in only {
        let name = part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let start = Instant::now();
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "--here",
            "--shape",
            shape.name,
            "--only",
            &name,
            "--sustain",
            &cli.sustain.to_string(),
        ]);
        command.arg("--data").arg(&data);
        let status = command.status().context("cannot start a part")?;
        if !status.success() {
            eprintln!("{name} failed: {status}");
            failed += 1;
        }
        eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `bench` in the target folder, in which this program was built.
fn default_data() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(std::path::Path::parent).context("no target folder")?;
    Ok(target.join("bench"))
}
