//! `cargo xtask`: the checks and the test run of this repository, one command a file.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks through them")]

mod bench;
mod ci;
mod deny;
mod fuzz;
mod install;
mod layers;
mod python;
mod signatures;
mod source;
mod test;
mod tidy;
mod windows;
mod wine;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The checks and the test run of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The workloads of a desk, ours and those of the peers; writes the README's table and chart
    Bench(bench::Settings),
    /// Every gate: format, clippy, docs, layers, tidy, licences, tests
    Ci {
        /// Leave the tests out
        #[arg(long = "static")]
        static_only: bool,
    },
    /// The fuzz targets, a minute each, from the corpus of the repository
    Fuzz {
        /// Targets to run [default: all]
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
        /// For how long each
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
    },
    /// Who may depend on whom
    Layers,
    /// House rules over every tracked and new file
    Tidy,
    /// All suites: unit, integration and doc tests, the README recipes included
    Test {
        /// Handed on to `cargo nextest run` (or `cargo test` where nextest is missing)
        #[arg(last = true, value_name = "ARGS")]
        extra: Vec<OsString>,
    },
    /// The workspace built for Windows, its tests run under Wine
    Windows {
        /// Features to build with, as cargo takes them
        #[arg(long, value_name = "FEATURES")]
        features: Vec<String>,
        /// Build, and run nothing
        #[arg(long)]
        build_only: bool,
        /// Handed on to `cargo nextest run`
        #[arg(last = true, value_name = "ARGS")]
        extra: Vec<OsString>,
    },
}

fn run(task: &Task) -> anyhow::Result<()> {
    let workspace = Workspace::load()?;
    match task {
        Task::Bench(settings) => bench::run(&workspace, settings),
        Task::Ci { static_only } => ci::run(&workspace, *static_only),
        Task::Fuzz { targets, seconds } => fuzz::run(&workspace, targets, *seconds),
        Task::Layers => layers::run(&workspace),
        Task::Tidy => tidy::run(&workspace),
        Task::Test { extra } => test::run(&workspace, extra),
        Task::Windows { features, build_only, extra } => {
            windows::run(&workspace, features, *build_only, extra)
        }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
