//! The Python environments in which tests run the recipes of the README and peers are measured.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::workspace::{check, program, works};

/// What the recipes import, with what that needs. All of it wants Python 3.11 or newer.
const PACKAGES: [&str; 8] = [
    "duckdb==2.0.0",
    "numpy==2.4.6",
    "pandas==3.1.1",
    "polars==2.1.0",
    "polars-runtime-32==2.1.0",
    "pyarrow==26.0.1",
    "python-dateutil==4.0.0",
    "tzdata==2026.6",
];
const IMPORTS: &str = "import duckdb, pandas, polars, pyarrow";

/// The interpreter of the environment of the recipes.
pub(crate) fn prepare(folder: &Path) -> Result<PathBuf> {
    prepare_with(folder, &PACKAGES, IMPORTS)
}

/// The interpreter of an environment with these packages; one that is already good is used again.
pub(crate) fn prepare_with(folder: &Path, packages: &[&str], imports: &str) -> Result<PathBuf> {
    let interpreter = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let wanted = packages.join("\n");
    // Written last: an installation that was cut short is not taken for a good one.
    let stamp = folder.join("installed.txt");
    let works_here = || works(program(&interpreter, Path::new(".")).args(["-c", imports]));
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && works_here() {
        return Ok(interpreter);
    }
    let system = ["python3", "python"]
        .into_iter()
        .find(|name| works(program(name, Path::new(".")).args(["-c", "import venv, ensurepip"])))
        .context("no python3 with venv and ensurepip on PATH")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    check(program(system, Path::new(".")).args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut pip = program(&interpreter, Path::new("."));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    // Building pyarrow from source takes an hour and a toolchain.
    pip.args(["--only-binary", ":all:"]).args(packages);
    check(&mut pip)?;
    check(program(&interpreter, Path::new(".")).args(["-c", imports]))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(interpreter)
}
