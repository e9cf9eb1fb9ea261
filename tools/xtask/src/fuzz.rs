//! `cargo xtask fuzz`: every fuzz target under libFuzzer for a while, from the corpus of the repository.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::install;
use crate::workspace::{Workspace, check, program, works};

const FOLDER: &str = "tests/fuzz";
const CORPUS: &str = "tests/targets/corpus";
/// Seconds that one input may take, and MiB that the process may hold or ask for at once.
const LIMITS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=3072", "-malloc_limit_mb=2560"];

/// Runs all targets, or those that are named, for some seconds each. What they learn and find is kept below the
/// target folder; what they find is named.
pub(crate) fn run(workspace: &Workspace, names: &[String], seconds: u64) -> Result<()> {
    let targets = targets(workspace)?;
    if let Some(unknown) = names.iter().find(|name| !targets.contains(name)) {
        bail!("fuzz: no target {unknown}; there are {}", targets.join(", "));
    }
    if !works(program("cargo", &workspace.root).args(["+nightly", "--version"])) {
        println!("SKIPPED: fuzz: no nightly compiler: rustup toolchain install nightly --profile minimal");
        if std::env::var_os("CI").is_some_and(|value| value == "true") {
            bail!("fuzz: could not run");
        }
        return Ok(());
    }
    let tool = install::cargo_tool(workspace, "cargo-fuzz")?;
    let kept = workspace.target.join("fuzz");
    let mut found = Vec::new();
    for target in targets.iter().filter(|target| names.is_empty() || names.contains(target)) {
        println!("\n==> fuzz {target}, {seconds} s");
        let (learnt, artifacts) = (kept.join("corpus").join(target), kept.join("artifacts").join(target));
        fs::create_dir_all(&learnt)?;
        fs::create_dir_all(&artifacts)?;
        let cargo_fuzz = |verb: &str| {
            let mut command = program(&tool, &workspace.root);
            // The program that runs this one was started by cargo for another compiler.
            command.env("RUSTUP_TOOLCHAIN", "nightly").env_remove("CARGO").env_remove("RUSTC");
            command.args(["fuzz", verb, "--fuzz-dir", FOLDER, "--target-dir"]).arg(kept.join("build"));
            command.arg(target);
            command
        };
        check(&mut cargo_fuzz("build"))?;
        let mut command = cargo_fuzz("run");
        // libFuzzer writes what it learns into the first folder; the repository's corpus is only read.
        command.arg(&learnt).arg(workspace.root.join(CORPUS).join(target)).arg("--").args(LIMITS);
        command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        if check(&mut command).is_err() {
            found.push(format!("{target}: the input is the newest file in {}", artifacts.display()));
        }
    }
    if found.is_empty() {
        println!("\nxtask fuzz: nothing found");
        return Ok(());
    }
    let kept = Path::new(CORPUS).display();
    bail!("fuzz: found\n{}\nA mended one is kept as {kept}/TARGET/found-N", found.join("\n"));
}

/// The names of all targets: those of their folders in the corpus.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace.root.join(CORPUS))? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}
