//! `cargo xtask windows`: the workspace for Windows, built on another system, its tests run under Wine.
//!
//! Wine keeps the rules of paths, sharing, code pages and killed processes. It shows nothing of durability,
//! virus scanners and real consoles: for those there is `tools/windows-smoke.ps1`.

use std::env;
use std::ffi::OsString;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::console;
use crate::install;
use crate::wine::{self, Wine};
use crate::workspace::{Workspace, check, program, works};

const TARGET: &str = "x86_64-pc-windows-gnu";
const RUNNER: &str = "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER";

/// What a user on Windows runs, and the suites with real folders and killed processes. The crash images are
/// worked out in memory, the same everywhere.
const PACKAGES: [&str; 8] = [
    "barkeeper-records",
    "barkeeper-storage",
    "barkeeper-sources",
    "barkeeper",
    "barkeeper-sync",
    "barkeeper-host",
    "barkeeper-cli",
    "barkeeper-tests",
];
const PROGRAM: &str = "barkeeper-cli";
const ELSEWHERE: &str = "not binary(/^(crash|model|rot|race|publish|recipes|crash_matrix)$/)";

/// Builds and runs. `features` go to cargo; `extra` goes to `cargo nextest run`.
pub(crate) fn run(
    workspace: &Workspace,
    features: &[String],
    build_only: bool,
    extra: &[OsString],
) -> Result<()> {
    if let Err(reason) = tools(workspace, build_only) {
        println!("SKIPPED: windows: {reason:#}");
        if env::var_os("CI").is_some_and(|value| value == "true") {
            bail!("windows: could not run");
        }
        return Ok(());
    }
    let begun = Instant::now();
    let common = |first: &[&str]| {
        let mut command = workspace.cargo();
        command.args(first).args(["--target", TARGET]);
        for package in PACKAGES {
            command.args(["--package", package]);
        }
        for feature in features {
            command.args(["--features", feature]);
        }
        command
    };
    check(&mut common(&["build", "--all-targets"]))?;
    let built = begun.elapsed();
    println!("xtask windows: built in {:.0} s", built.as_secs_f64());
    if build_only {
        return released(workspace);
    }
    let wine = Wine::prepare(workspace, &workspace.target.join("wine"))?;
    let page = if wine.speaks_gbk() { "GBK (936)" } else { "of this system: no `localedef`, or no zh_CN" };
    println!("xtask windows: code page {page}");
    let mut suites = if works(workspace.cargo().args(["nextest", "--version"])) {
        let mut suites = common(&["nextest", "run", "--no-fail-fast"]);
        suites.args(["--filterset", ELSEWHERE]);
        suites
    } else {
        bail!("cargo-nextest is not installed")
    };
    wine.set(&mut suites).env(RUNNER, "wine").args(extra);
    let kept = wine.keep(workspace)?;
    let tested = Instant::now();
    check(&mut suites)?;
    console::prints_chinese(workspace, &wine, TARGET)?;
    drop(kept);
    released(workspace)?;
    println!(
        "xtask windows: green; tests took {:.0} s behind a build of {:.0} s",
        tested.elapsed().as_secs_f64(),
        built.as_secs_f64()
    );
    Ok(())
}

/// Builds the program as it is released, with polars, which the workspace leaves out. Last: it takes minutes, and
/// its program stands where the one of the tests stood.
fn released(workspace: &Workspace) -> Result<()> {
    let begun = Instant::now();
    // The program's own feature, which has commands behind it, else that of the library in it.
    let packages = workspace.metadata.get("packages").and_then(Value::as_array);
    let found =
        packages.into_iter().flatten().find(|one| one.get("name").is_some_and(|name| name == PROGRAM));
    let has_own = found.is_some_and(|found| found.pointer("/features/polars").is_some());
    let feature = if has_own { format!("{PROGRAM}/polars") } else { "barkeeper/polars".to_owned() };
    let mut command = workspace.cargo();
    command.args(["build", "--target", TARGET, "--package", PROGRAM, "--features", &feature]);
    check(&mut command)?;
    println!("xtask windows: {PROGRAM} with {feature} built in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Brings what is needed, or says what is missing.
fn tools(workspace: &Workspace, build_only: bool) -> Result<()> {
    let have = |name: &str| install::on_path(name);
    let needed: &[(&str, &[&str])] = &[
        (wine::COMPILER, &["gcc-mingw-w64-x86-64"]),
        ("wine", &["wine", "wine64"]),
        ("localedef", &["locales"]),
    ];
    let needed = if build_only { needed.get(..1).unwrap_or_default() } else { needed };
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(name, _)| !have(name))
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect();
    if !missing.is_empty() && !install::debian_packages(workspace, &missing) {
        bail!("needs {} (Debian: apt-get install {})", missing.join(", "), missing.join(" "));
    }
    let mut rustup = program("rustup", &workspace.root);
    let added = works(rustup.args(["target", "add", TARGET]));
    let library =
        program("rustc", &workspace.root).args(["--print", "target-libdir", "--target", TARGET]).output();
    let there = library.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && std::path::Path::new(&folder).is_dir()
    });
    (added || there).then_some(()).with_context(|| format!("needs `rustup target add {TARGET}`"))
}
