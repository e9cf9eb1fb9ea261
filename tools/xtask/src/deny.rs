//! Licences, bans and sources of all dependencies, judged by cargo-deny, which is installed when missing.

use anyhow::Result;

use crate::install;
use crate::workspace::{Workspace, check, program};

/// Fails when `.deny.toml` refuses something.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut command = program(install::cargo_tool(workspace, "cargo-deny")?, &workspace.root);
    command.args(["--workspace", "--config", ".deny.toml"]);
    command.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]);
    check(&mut command)
}
