//! Licences, bans and sources of all dependencies, judged by cargo-deny, which is installed when missing.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::workspace::{Workspace, check, program, works};

/// Fails when `.deny.toml` refuses something.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut command = program(find(workspace)?, &workspace.root);
    command.args(["--workspace", "--config", ".deny.toml"]);
    command.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]);
    check(&mut command)
}

fn find(workspace: &Workspace) -> Result<PathBuf> {
    let on_path = PathBuf::from("cargo-deny");
    let tools = cache()?.join("barkeeper").join("tools");
    let installed = tools.join("bin").join(format!("cargo-deny{}", env::consts::EXE_SUFFIX));
    let answers = |path: &Path| works(program(path, &workspace.root).arg("--version"));
    if answers(&on_path) {
        return Ok(on_path);
    }
    if !answers(&installed) {
        let mut install = workspace.cargo();
        // Its own few hundred crates have no place in our target folder.
        install.env_remove("CARGO_TARGET_DIR");
        install.args(["install", "cargo-deny", "--locked", "--root"]).arg(&tools);
        check(&mut install)?;
    }
    Ok(installed)
}

/// The user's cache folder.
fn cache() -> Result<PathBuf> {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let local = || if cfg!(windows) { folder("LOCALAPPDATA") } else { None };
    folder("XDG_CACHE_HOME")
        .or_else(local)
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .context("no cache folder: none of XDG_CACHE_HOME, HOME and LOCALAPPDATA is set")
}
