//! `cargo xtask soak`: the long versions of the random suites, again and again with fresh seeds.

use std::env;
use std::hash::{BuildHasher as _, RandomState};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::{Workspace, check, works};

/// Suites of which every round is another history.
const SUITES: &str = "(package(barkeeper-tests) - binary(recipes)) + (package(barkeeper-sync) & \
                      (binary(histories) + binary(crash_matrix))) + package(barkeeper-targets)";
const SIZE: &str = "BARKEEPER_SOAK";
/// Minutes from which on a round is as long as the suites' own long versions; a shorter soak takes so many times
/// the quick ones.
const LONG: u64 = 240;
const TIMES: &str = "3";
/// What nextest is told to build the suites, and for a round.
const BUILD: &[&str] = &["--no-run"];
const ROUND: &[&str] = &["--no-fail-fast"];

struct Round {
    seed: u64,
    took: Duration,
    failed: bool,
}

/// Goes on until the time is over, at least one round; fails when a round did.
pub(crate) fn run(workspace: &Workspace, minutes: u64, seed: Option<u64>) -> Result<()> {
    if !works(workspace.cargo().args(["nextest", "--version"])) {
        bail!("soak: cargo-nextest is not installed");
    }
    let size = env::var(SIZE).unwrap_or_else(|_| if minutes >= LONG { "1" } else { TIMES }.to_owned());
    check(&mut nextest(workspace, &size, BUILD))?;
    let (begun, time) = (Instant::now(), Duration::from_secs(minutes * 60));
    let mut rounds: Vec<Round> = Vec::new();
    while rounds.is_empty() || begun.elapsed() < time {
        let number = rounds.len() as u64;
        // Six digits are enough to differ and short enough to copy; a given seed is the first of a row.
        let fresh = || RandomState::new().hash_one(number) % 1_000_000;
        let seed = seed.map_or_else(fresh, |seed| seed.wrapping_add(number));
        println!("\n==> soak, round {}: SEED={seed} {SIZE}={size}", number + 1);
        let started = Instant::now();
        let failed = check(nextest(workspace, &size, ROUND).env("SEED", seed.to_string())).is_err();
        rounds.push(Round { seed, took: started.elapsed(), failed });
    }
    println!("\nxtask soak: {} rounds in {:.0} s", rounds.len(), begun.elapsed().as_secs_f64());
    for round in &rounds {
        let colour = if round.failed { "RED  " } else { "green" };
        println!("{colour}  SEED={:<7} {:>8.1} s", round.seed, round.took.as_secs_f64());
    }
    let red: Vec<String> =
        rounds.iter().filter(|round| round.failed).map(|round| round.seed.to_string()).collect();
    if red.is_empty() {
        return Ok(());
    }
    bail!("soak: failed with {}; repeat it with cargo xtask soak --minutes 0 --seed N", red.join(", "))
}

fn nextest(workspace: &Workspace, size: &str, verb: &[&str]) -> Command {
    let mut command = workspace.cargo();
    // Fixed seeds are for a change that is judged; here every round is another history.
    command.env_remove("CI").env(SIZE, size).env("NEXTEST_PROFILE", "soak");
    command.args(["nextest", "run"]).args(verb);
    for package in ["barkeeper-tests", "barkeeper-sync", "barkeeper-targets"] {
        command.args(["--package", package]);
    }
    command.args(["--filterset", SUITES]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_takes_the_arguments_of_both_steps() {
        let workspace = Workspace::load().unwrap();
        if !works(workspace.cargo().args(["nextest", "--version"])) {
            return;
        }
        for verb in [BUILD, ROUND] {
            // Where there is no workspace, it gets no further than to what it was asked.
            let mut command = nextest(&workspace, TIMES, verb);
            let output = command.args(["--manifest-path", "none/Cargo.toml"]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && !said.contains("Usage:"), "{verb:?}: {said}");
        }
    }
}
