//! `cargo xtask ci`: every gate in one run, each named and timed, none kept back by an earlier failure.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::{Workspace, check};
use crate::{deny, layers, test, tidy};

type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STATIC: [Step; 6] = [
    ("fmt", |workspace| check(workspace.cargo().args(["fmt", "--all", "--check"]))),
    ("clippy", |workspace| {
        let flags = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        check(workspace.cargo().args(flags))
    }),
    ("doc", |workspace| {
        let mut command = workspace.cargo();
        check(command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps"]))
    }),
    ("layers", layers::run),
    ("tidy", tidy::run),
    ("deny", deny::run),
];
const TEST: Step = ("test", |workspace| test::run(workspace, &[]));

struct Outcome {
    name: &'static str,
    result: Result<()>,
    took: Duration,
}

impl Outcome {
    fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        match &self.result {
            Ok(()) => format!("green  {:<8}{seconds:>8.1} s", self.name),
            Err(error) => format!("RED    {:<8}{seconds:>8.1} s  {error:#}", self.name),
        }
    }
}

/// Runs the gates and fails when one of them is red.
pub(crate) fn run(workspace: &Workspace, static_only: bool) -> Result<()> {
    let tests = (!static_only).then_some(TEST);
    let outcomes: Vec<Outcome> = STATIC.into_iter().chain(tests).map(|step| timed(workspace, step)).collect();
    println!("\nxtask ci:");
    for outcome in &outcomes {
        println!("{}", outcome.line());
    }
    let red: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|outcome| outcome.name).collect();
    if !red.is_empty() {
        bail!("ci: red: {}", red.join(", "));
    }
    Ok(())
}

fn timed(workspace: &Workspace, (name, step): Step) -> Outcome {
    println!("\n==> {name}");
    let start = Instant::now();
    let outcome = Outcome { name, result: step(workspace), took: start.elapsed() };
    println!("{}", outcome.line());
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_colour_name_duration_and_reason() {
        let took = Duration::from_millis(1240);
        let line = |result| Outcome { name: "tidy", result, took }.line();
        assert_eq!(line(Ok(())), "green  tidy         1.2 s");
        assert_eq!(line(Err(anyhow::anyhow!("2 findings"))), "RED    tidy         1.2 s  2 findings");
    }
}
