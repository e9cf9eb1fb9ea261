//! Programs that a check needs: cargo tools from the registry, system packages where root may install them.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::workspace::{Workspace, check, program, works};

/// The program of a cargo tool: the one on the `PATH`, else one installed for this project alone.
pub(crate) fn cargo_tool(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let on_path = PathBuf::from(name);
    let tools = cache()?.join("barkeeper").join("tools");
    let installed = tools.join("bin").join(format!("{name}{}", env::consts::EXE_SUFFIX));
    // `cargo-fuzz` and its like are started by cargo with their own name first.
    let word = name.trim_start_matches("cargo-");
    let answers = |path: &Path| {
        works(program(path, &workspace.root).arg("--version"))
            || works(program(path, &workspace.root).args([word, "--version"]))
    };
    if answers(&on_path) {
        return Ok(on_path);
    }
    if !answers(&installed) {
        println!("{name} is installed");
        let mut install = workspace.cargo();
        // Its own few hundred crates have no place in our target folder.
        install.env_remove("CARGO_TARGET_DIR");
        install.args(["install", name, "--locked", "--root"]).arg(&tools);
        check(&mut install)?;
    }
    Ok(installed)
}

/// Whether a program with this name is on the `PATH`.
pub(crate) fn on_path(name: &str) -> bool {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(&file).is_file()))
}

/// Installs Debian packages where apt and the right to use it are there; answers whether it did.
pub(crate) fn debian_packages(workspace: &Workspace, packages: &[&str]) -> bool {
    let apt = |args: &[&str]| {
        let mut command = program("apt-get", &workspace.root);
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args).args(["--quiet", "--yes"]);
        check(&mut command).is_ok()
    };
    let is_root = || {
        let id = program("id", &workspace.root).arg("-u").output();
        id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
    };
    let install: Vec<&str> = ["install", "--no-install-recommends"].iter().chain(packages).copied().collect();
    on_path("apt-get") && is_root() && (apt(&install) || (apt(&["update"]) && apt(&install)))
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
