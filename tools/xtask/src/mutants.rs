//! `cargo xtask mutants`: whether the tests would notice if changed lines did something else (cargo-mutants).

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::install;
use crate::workspace::{Workspace, check, program};

/// What users run; tests and tools are not changed.
const CODE: [&str; 4] = ["formats", "engine", "sync", "tools/host"];
/// Crates whose behaviour is tested with whole stores as well, and the package that does so.
const STORED: [&str; 4] = ["formats/records/", "formats/storage/", "engine/", "sync/"];
const WHOLE_STORES: &str = "barkeeper-tests";

/// Changes the lines that differ from a revision, one at a time, and runs the tests of their crates and those with
/// whole stores; fails where all of them pass.
pub(crate) fn run(workspace: &Workspace, since: Option<&str>) -> Result<()> {
    let base = match since {
        Some(revision) => revision.to_owned(),
        None => base(workspace)?,
    };
    let in_code = |arguments: &[&str]| git(workspace, &[arguments, &["--"], &CODE].concat());
    let diff = in_code(&["diff", &base])?;
    let changed = in_code(&["diff", "--name-only", &base])?;
    let mut packages: BTreeSet<String> =
        changed.lines().filter_map(|file| package(workspace, file)).collect();
    if packages.is_empty() {
        println!("xtask mutants: no line of the code differs from {base}");
        return Ok(());
    }
    if changed.lines().any(|file| STORED.iter().any(|folder| file.starts_with(folder))) {
        packages.insert(WHOLE_STORES.to_owned());
    }
    fs::create_dir_all(&workspace.target)?;
    let file = workspace.target.join("mutants.diff");
    fs::write(&file, diff).with_context(|| file.display().to_string())?;
    println!("xtask mutants: lines that differ from {base}, judged by {packages:?}");
    let mut command = program(install::cargo_tool(workspace, "cargo-mutants")?, &workspace.root);
    command.args(["mutants", "--test-tool", "nextest", "--no-shuffle", "--in-diff"]).arg(&file);
    command.arg("--output").arg(&workspace.target);
    for package in &packages {
        command.args(["--test-package", package]);
    }
    // Its copies of the tree share what they build. Seeds are fixed, so that a survivor is no accident.
    command.env("CARGO_TARGET_DIR", workspace.target.join("mutants-build")).env("CI", "true");
    let done = check(&mut command);
    let missed = fs::read_to_string(workspace.target.join("mutants.out/missed.txt")).unwrap_or_default();
    if missed.is_empty() {
        return done;
    }
    bail!("mutants: no test notices\n{missed}")
}

/// The name of the package that a file belongs to.
fn package(workspace: &Workspace, file: &str) -> Option<String> {
    let packages = workspace.metadata.get("packages")?.as_array()?;
    let found = packages.iter().find(|package| {
        let manifest = package.get("manifest_path").and_then(serde_json::Value::as_str).unwrap_or_default();
        let folder = std::path::Path::new(manifest).parent().unwrap_or(&workspace.root);
        folder != workspace.root && workspace.root.join(file).starts_with(folder.join("src"))
    });
    Some(found?.get("name")?.as_str()?.to_owned())
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
