//! `cargo xtask test`: every suite somebody needs to believe in the project.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::python;
use crate::workspace::{Workspace, check, works};

const PYTHON: &str = "BARKEEPER_TEST_PYTHON";
const SAMPLES: &str = "BARKEEPER_SAMPLES";
/// Features that are off unless somebody asks for them. Every step has the same ones: with others, cargo would build
/// what both need twice.
const FEATURES: [&str; 2] = ["--features", "barkeeper-cli/polars,barkeeper-tests/polars"];

/// A part that could not run here.
struct Skip {
    part: &'static str,
    reason: String,
    /// Whether a run with `CI=true` may not leave it out.
    needed: bool,
}

/// What the tests are told through the environment, and what they will have to do without.
#[derive(Default)]
struct Surroundings {
    python: Option<PathBuf>,
    samples: Option<PathBuf>,
    skips: Vec<Skip>,
}

/// Runs all suites, the later ones also after a failure.
pub(crate) fn run(workspace: &Workspace, extra: &[OsString]) -> Result<()> {
    let in_ci = env::var_os("CI").is_some_and(|value| value == "true");
    println!("server suites: none exist in this version; they come with the remote sinks");

    let mut around = Surroundings::default();
    match python::prepare(&workspace.target.join("python")) {
        Ok(interpreter) => {
            println!("README recipes run in {}", interpreter.display());
            around.python = Some(interpreter);
        }
        Err(error) => around.skip("README recipes in Python", format!("{error:#}"), true),
    }
    around.find_samples(&workspace.root, env::var_os(SAMPLES));

    let mut suites = around.set(main_suite(workspace, in_ci));
    suites.args(FEATURES).args(extra);
    let mut doc_tests = around.set(workspace.cargo());
    doc_tests.args(["test", "--workspace", "--doc"]).args(FEATURES);

    let mut failures = Vec::new();
    for (name, command) in [("suites", &mut suites), ("doc tests", &mut doc_tests)] {
        println!("xtask test: {name}");
        if let Err(error) = check(command) {
            println!("xtask test: {name} failed: {error:#}");
            failures.push(name);
        }
    }
    // Said again at the end, where it is still on the screen.
    for skip in &around.skips {
        println!("{}", skip.line());
        if in_ci && skip.needed {
            failures.push(skip.part);
        }
    }
    if !failures.is_empty() {
        bail!("test: failed: {}", failures.join(", "));
    }
    match around.skips.len() {
        0 => println!("xtask test: all suites passed"),
        skipped => println!("xtask test: all suites passed, {skipped} SKIPPED (see above)"),
    }
    Ok(())
}

fn main_suite(workspace: &Workspace, in_ci: bool) -> Command {
    let mut command = workspace.cargo();
    if works(workspace.cargo().args(["nextest", "--version"])) {
        command.args(["nextest", "run", "--workspace"]);
        if in_ci && env::var_os("NEXTEST_PROFILE").is_none() {
            command.env("NEXTEST_PROFILE", "ci");
        }
    } else {
        println!("cargo-nextest is not installed; `cargo test` runs the same suites");
        command.args(["test", "--workspace", "--lib", "--bins", "--examples", "--tests", "--no-fail-fast"]);
    }
    command
}

impl Skip {
    fn line(&self) -> String {
        format!("SKIPPED: {}: {}", self.part, self.reason)
    }
}

impl Surroundings {
    fn skip(&mut self, part: &'static str, reason: String, needed: bool) {
        let skip = Skip { part, reason, needed };
        println!("{}", skip.line());
        self.skips.push(skip);
    }

    /// The user's choice stands as it is; else the samples beside the workspace, if they are there.
    fn find_samples(&mut self, root: &Path, chosen: Option<OsString>) {
        const PART: &str = "sample files of other programs";
        if let Some(chosen) = chosen {
            if !root.join(&chosen).is_dir() {
                self.skip(PART, format!("{SAMPLES} names no folder: {}", chosen.display()), true);
            }
            return;
        }
        let shared = root.parent().unwrap_or(root).join("shared");
        let samples = shared.join("samples");
        if samples.is_dir() {
            self.samples = Some(samples);
        } else {
            // Without the folder above, nobody meant this checkout to have samples.
            self.skip(PART, format!("no folder {}", samples.display()), shared.is_dir());
        }
    }

    fn set(&self, mut command: Command) -> Command {
        match &self.python {
            Some(interpreter) => command.env(PYTHON, interpreter),
            None => command.env_remove(PYTHON),
        };
        if let Some(samples) = &self.samples {
            command.env(SAMPLES, samples);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("xtask-test-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("checkout")).unwrap();
        folder
    }

    /// The samples passed on, and for each skip whether CI fails for it.
    fn samples(root: &Path, chosen: Option<&Path>) -> (Option<PathBuf>, Vec<bool>) {
        let mut around = Surroundings::default();
        around.find_samples(&root.join("checkout"), chosen.map(|path| path.as_os_str().to_owned()));
        (around.samples, around.skips.iter().map(|skip| skip.needed).collect())
    }

    #[test]
    fn samples_come_from_the_user_or_from_beside_the_workspace() {
        let root = folder("samples");
        assert_eq!(samples(&root, None), (None, vec![false]));
        fs::create_dir_all(root.join("shared")).unwrap();
        assert_eq!(samples(&root, None), (None, vec![true]));
        fs::create_dir_all(root.join("shared/samples")).unwrap();
        assert_eq!(samples(&root, None), (Some(root.join("shared").join("samples")), vec![]));
        assert_eq!(samples(&root, Some(&root)), (None, vec![]));
        assert_eq!(samples(&root, Some(&root.join("gone"))), (None, vec![true]));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_skip_is_loud() {
        let skip = Skip { part: "a part", reason: "a reason".to_owned(), needed: true };
        assert_eq!(skip.line(), "SKIPPED: a part: a reason");
    }
}
