//! The workspace as cargo and git see it, and the way every command starts a child process.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What `cargo metadata --no-deps` says, with the two folders everybody asks for.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) metadata: Value,
}

impl Workspace {
    /// Reads the workspace this tool was started in, without touching the network.
    pub(crate) fn load() -> Result<Self> {
        let start = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let mut command = program(cargo(), &start);
        command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
        let metadata: Value = serde_json::from_slice(&output(&mut command)?)?;
        let folder = |key: &str| -> Result<PathBuf> {
            let path = metadata
                .get(key)
                .and_then(Value::as_str)
                .with_context(|| format!("metadata without {key}"))?;
            Ok(PathBuf::from(path))
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")?, metadata })
    }

    /// A cargo command in the workspace root.
    pub(crate) fn cargo(&self) -> Command {
        program(cargo(), &self.root)
    }

    /// Tracked files and new ones that are not ignored, sorted, with `/` between the parts.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let mut command = program("git", &self.root);
        command.args(["ls-files", "-co", "--exclude-standard", "-z"]);
        let listing = String::from_utf8(output(&mut command)?).context("a file name is not UTF-8")?;
        // A deleted file stays listed until the deletion is staged.
        let mut files: Vec<String> = listing
            .split('\0')
            .filter(|name| !name.is_empty() && self.root.join(name).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}

fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// A command that never waits for a person.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs to the end with the output streamed through; an exit code other than 0 is an error.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

/// Whether the command starts and ends well; nothing is printed.
pub(crate) fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// What the command prints; its messages are streamed through, and an exit code other than 0 is an error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let shown = show(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {shown}"))?;
    ensure!(output.status.success(), "{shown}: {}", output.status);
    Ok(output.stdout)
}

fn show(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    format!("`{}`", std::iter::once(name).chain(args).collect::<Vec<_>>().join(" "))
}
