//! `cargo xtask mutants`: whether the tests would notice if changed lines did something else (cargo-mutants).

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::install;
use crate::workspace::{Workspace, check, output, program};

/// What users run; tests and tools are not changed.
const CODE: [&str; 4] = ["formats", "engine", "sync", "tools/host"];
/// Crates whose behaviour is tested with whole stores as well, and the package that does so.
const STORED: [&str; 4] = ["formats/records/", "formats/storage/", "engine/", "sync/"];
const WHOLE_STORES: &str = "barkeeper-tests";
/// What tests of a change are told: seeds are fixed, and one that fails is enough.
const SURROUNDINGS: [(&str, &str); 2] = [("CI", "true"), ("NEXTEST_PROFILE", "mutants")];
/// For how long the tests of one change may run; a test that hangs is ended before by nextest.
const SECONDS: &str = "7200";

/// Changes the lines that differ from a revision, one at a time, and runs the tests of their crates and those with
/// whole stores; fails where all of them pass.
pub(crate) fn run(workspace: &Workspace, since: Option<&str>) -> Result<()> {
    let base = match since {
        Some(revision) => revision.to_owned(),
        None => base(workspace)?,
    };
    let diff = git(workspace, &[&["diff", &base, "--"], CODE.as_slice()].concat())?;
    let nothing = || println!("xtask mutants: no line of the code that does something differs from {base}");
    if diff.is_empty() {
        nothing();
        return Ok(());
    }
    fs::create_dir_all(&workspace.target)?;
    let file = workspace.target.join("mutants.diff");
    fs::write(&file, diff).with_context(|| file.display().to_string())?;
    let tool = install::cargo_tool(workspace, "cargo-mutants")?;
    let mutants = || {
        let mut command = program(&tool, &workspace.root);
        command.args(["mutants", "--test-tool", "nextest", "--no-shuffle", "--in-diff"]).arg(&file);
        command
    };
    let listed = output(mutants().args(["--list", "--json"]))?;
    // Without a single one it prints nothing.
    let listed: Vec<Value> = if listed.is_empty() { Vec::new() } else { serde_json::from_slice(&listed)? };
    let packages = judges(&listed)?;
    if packages.is_empty() {
        nothing();
        return Ok(());
    }
    println!("xtask mutants: {} changes of what differs from {base}, judged by {packages:?}", listed.len());
    // Its own run without a change would leave out those with whole stores, and give all of them the time that the
    // others take. Seeds are fixed, so that a survivor is no accident.
    let mut unchanged = workspace.cargo();
    unchanged.args(["nextest", "run"]).args(packages.iter().flat_map(|name| ["--package", name]));
    check(unchanged.envs(SURROUNDINGS))?;

    let results = workspace.target.join("mutants.out");
    let missed = results.join("missed.txt");
    if missed.exists() {
        // Of an earlier run; this one may end before it writes its own.
        fs::remove_file(&missed).with_context(|| missed.display().to_string())?;
    }
    let mut command = mutants();
    command.args(["--baseline", "skip", "--timeout", SECONDS, "--output"]).arg(&workspace.target);
    command.args(packages.iter().flat_map(|name| ["--test-package", name]));
    // Its copies of the tree share what they build.
    command.env("CARGO_TARGET_DIR", workspace.target.join("mutants-build")).envs(SURROUNDINGS);
    let done = check(&mut command);
    let missed = fs::read_to_string(missed).unwrap_or_default();
    if missed.is_empty() {
        return done;
    }
    bail!("mutants: no test notices\n{missed}")
}

/// The packages whose tests judge changes, as cargo-mutants lists them.
fn judges(listed: &[Value]) -> Result<BTreeSet<&str>> {
    let mut packages = BTreeSet::new();
    for one in listed {
        let text = |key: &str| one.get(key).and_then(Value::as_str).with_context(|| format!("no {key}"));
        packages.insert(text("package")?);
        let file = text("file")?.replace('\\', "/");
        if STORED.iter().any(|folder| file.starts_with(folder)) {
            packages.insert(WHOLE_STORES);
        }
    }
    Ok(packages)
}

/// Where this branch left `main`; the commit before, on `main` itself.
fn base(workspace: &Workspace) -> Result<String> {
    let head = git(workspace, &["rev-parse", "HEAD"])?;
    match git(workspace, &["merge-base", "main", "HEAD"]) {
        Ok(base) if base != head => Ok(base.trim().to_owned()),
        _ => Ok("HEAD~1".to_owned()),
    }
}

fn git(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    let output = program("git", &workspace.root).args(arguments).output().context("cannot start git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("git answered with no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_judged_by_their_packages_and_by_those_with_whole_stores() {
        let change = |package: &str, file: &str| json!({ "package": package, "file": file });
        let sources = change("barkeeper-sources", "formats/sources/src/a.rs");
        let storage = change("barkeeper-storage", "formats\\storage\\src\\a.rs");
        let named = |all: &[Value]| judges(all).unwrap().into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(named(&[sources.clone(), sources.clone()]), ["barkeeper-sources"]);
        assert_eq!(named(&[storage, sources]), ["barkeeper-sources", "barkeeper-storage", "barkeeper-tests"]);
        assert!(judges(&[]).unwrap().is_empty() && judges(&[json!({})]).is_err());
    }
}
