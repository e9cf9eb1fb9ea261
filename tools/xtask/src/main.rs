//! `cargo xtask`: the checks and the test run of this repository, one command a file.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks through them")]

mod bench;
mod ci;
mod console;
mod coverage;
mod deny;
mod fuzz;
mod install;
mod layers;
mod mutants;
mod python;
mod signatures;
mod soak;
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
    /// Which lines the tests run, per crate; fails below 85 % in formats, engine and sync
    Coverage,
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
    /// Whether the tests notice when changed lines do something else
    Mutants {
        /// The revision that lines are compared with [default: where this branch left main, else HEAD~1]
        #[arg(long, value_name = "REV")]
        since: Option<String>,
    },
    /// The long versions of the random suites, round after round with fresh seeds
    ///
    /// `BARKEEPER_SOAK` chooses their size: 1 for their own long versions, N for N times the quick ones.
    Soak {
        /// A round that has begun is finished; there is one at least
        #[arg(long, value_name = "N", default_value_t = 60)]
        minutes: u64,
        /// The seed of the first round; the next ones count up
        #[arg(long, value_name = "S")]
        seed: Option<u64>,
    },
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
        Task::Coverage => coverage::run(&workspace),
        Task::Mutants { since } => mutants::run(&workspace, since.as_deref()),
        Task::Soak { minutes, seed } => soak::run(&workspace, *minutes, *seed),
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
