//! `cargo xtask coverage`: which lines the tests run, per crate, judged by cargo-llvm-cov.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::install;
use crate::workspace::{Workspace, check, program, works};

/// The share of its lines that a crate's own tests and those with whole stores have to run, in percent.
const LEAST: f64 = 85.0;
/// Folders and packages of the crates that are judged.
const JUDGED: [(&str, &str); 5] = [
    ("formats/records", "barkeeper-records"),
    ("formats/storage", "barkeeper-storage"),
    ("formats/sources", "barkeeper-sources"),
    ("engine", "barkeeper"),
    ("sync", "barkeeper-sync"),
];
/// What tests them beside their own tests. That a program above happens to run a line says little about it.
const TESTS: [&str; 2] = ["barkeeper-tests", "barkeeper-targets"];

/// Lines of a crate: all that hold code, and those that ran.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lines {
    all: u64,
    covered: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        if self.all == 0 { 100.0 } else { self.covered as f64 * 100.0 / self.all as f64 }
    }
}

/// Runs the suites with counters and prints what they counted.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut rustup = program("rustup", &workspace.root);
    // Without rustup the compiler may have its tools all the same; cargo-llvm-cov says so if not.
    works(rustup.args(["component", "add", "llvm-tools"]));
    let tool = install::cargo_tool(workspace, "cargo-llvm-cov")?;
    let report = workspace.target.join("coverage.json");
    let mut command = program(&tool, &workspace.root);
    command.arg("llvm-cov");
    if works(workspace.cargo().args(["nextest", "--version"])) {
        // The recipes of the README run in Python, which counts nothing.
        command.args(["nextest", "--no-fail-fast", "--filterset", "not binary(recipes)"]);
    }
    for package in JUDGED.map(|(_, package)| package).iter().chain(&TESTS) {
        command.args(["--package", package]);
    }
    command.args(["--json", "--summary-only", "--output-path"]).arg(&report);
    command.env("CI", "true").env("NEXTEST_PROFILE", "coverage");
    check(&mut command)?;
    let text = std::fs::read_to_string(&report).with_context(|| report.display().to_string())?;
    let lines = by_crate(&serde_json::from_str(&text)?, &workspace.root)?;
    let mut low = Vec::new();
    println!("\nxtask coverage: lines covered");
    for (name, lines) in &lines {
        let judged = JUDGED.iter().any(|(folder, _)| folder == name);
        let verdict = match (judged, lines.percent() < LEAST) {
            (true, true) => "LOW",
            (true, false) => "ok",
            (false, _) => "",
        };
        println!("{name:<18}{:>7} of {:>7} {:>6.1} %  {verdict}", lines.covered, lines.all, lines.percent());
        if judged && lines.percent() < LEAST {
            low.push(name.as_str());
        }
    }
    if !low.is_empty() {
        bail!("coverage: below {LEAST} %: {}", low.join(", "));
    }
    Ok(())
}

/// Sums the files of a report by crate; files outside of the workspace, and tests, count for nobody.
fn by_crate(report: &Value, root: &Path) -> Result<BTreeMap<String, Lines>> {
    let files =
        report.pointer("/data/0/files").and_then(Value::as_array).context("a report without files")?;
    let mut crates: BTreeMap<String, Lines> = BTreeMap::new();
    for file in files {
        let name = file.get("filename").and_then(Value::as_str).context("a file without a name")?;
        let Ok(inside) = Path::new(name).strip_prefix(root) else { continue };
        let inside = inside.to_string_lossy().replace('\\', "/");
        let Some((folder, _)) = inside.split_once("/src/") else { continue };
        let count = |key: &str| file.pointer(&format!("/summary/lines/{key}")).and_then(Value::as_u64);
        let lines = crates.entry(folder.to_owned()).or_default();
        lines.all += count("count").context("a file without lines")?;
        lines.covered += count("covered").context("a file without lines")?;
    }
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_are_summed_by_crate() {
        let file = |name: &str, all: u64, covered: u64| json!({ "filename": name, "summary": { "lines": { "count": all, "covered": covered } } });
        let report = json!({ "data": [{ "files": [
            file("/ws/engine/src/a.rs", 10, 9),
            file("/ws/engine/src/b/c.rs", 10, 8),
            file("/ws/engine/tests/it/a.rs", 10, 0),
            file("/ws/formats/records/src/lib.rs", 0, 0),
            file("/elsewhere/src/lib.rs", 10, 0),
        ] }] });
        let found = by_crate(&report, Path::new("/ws")).unwrap();
        let expected = [("engine", 20, 17), ("formats/records", 0, 0)];
        let expected = expected.map(|(name, all, covered)| (name.to_owned(), Lines { all, covered }));
        assert_eq!(found, BTreeMap::from(expected));
        assert_eq!(found.values().map(|lines| lines.percent()).collect::<Vec<_>>(), [85.0, 100.0]);
        assert!(by_crate(&json!({}), Path::new("/ws")).is_err());
    }
}
