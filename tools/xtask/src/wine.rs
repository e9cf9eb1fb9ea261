//! Wine as a place where tests for Windows run: a prefix of its own, and the locale of a Chinese desktop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::workspace::{Workspace, check, program, works};

/// The compiler for the C parts, and for the library that old versions of Wine lack.
pub(crate) const COMPILER: &str = "x86_64-w64-mingw32-gcc";

const RANDOM: &str = "bcryptprimitives.dll";
const RANDOM_SOURCE: &str = include_str!("processprng.c");
const LOCALE: &str = "zh_CN.UTF-8";

/// A Wine that is ready to run programs.
pub(crate) struct Wine {
    prefix: PathBuf,
    /// Where the locale was compiled, if it could be.
    locales: Option<PathBuf>,
}

impl Wine {
    /// Makes the prefix in a folder, or takes the one that is there.
    pub(crate) fn prepare(workspace: &Workspace, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let wine =
            Self { prefix: folder.join("prefix"), locales: locale(workspace, &folder.join("locales")) };
        let system = wine.prefix.join("drive_c/windows/system32");
        let temporary = folder.join(TEMPORARY);
        // Programs that were killed have left stores there, of 64 MiB and more each.
        drop(fs::remove_dir_all(&temporary));
        fs::create_dir_all(&temporary)?;
        // Written last: a prefix that was cut short is not taken for a good one.
        let stamp = folder.join("made.txt");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == RANDOM_SOURCE) {
            return Ok(wine);
        }
        println!("Wine prefix: {}", wine.prefix.display());
        check(wine.set(program("wine", &workspace.root).args(["wineboot", "--init"])))?;
        if !system.join(RANDOM).exists() {
            let source = folder.join("processprng.c");
            fs::write(&source, RANDOM_SOURCE)?;
            let mut compiler = program(COMPILER, folder);
            compiler.args(["-shared", "-O1", "-s", "-o"]).arg(system.join(RANDOM)).arg(&source);
            check(compiler.arg("-ladvapi32"))?;
        }
        for name in ["TEMP", "TMP"] {
            let value = format!("Z:{}", temporary.display()).replace('/', "\\");
            let mut registry = program("wine", &workspace.root);
            registry.args(["reg", "add", "HKCU\\Environment", "/f", "/v", name, "/d", &value]);
            check(wine.set(&mut registry))?;
        }
        fs::write(&stamp, RANDOM_SOURCE)?;
        Ok(wine)
    }

    /// Keeps Wine's server alive until the answer is dropped. It ends with the last program, and a test that
    /// starts in that moment finds its connection reset.
    pub(crate) fn keep(&self, workspace: &Workspace) -> Result<Kept> {
        let mut waiting = program("wine", &workspace.root);
        waiting.arg("cmd").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Kept(self.set(&mut waiting).spawn().context("cannot start wine")?))
    }

    /// Whether programs see the code page of a Chinese desktop (936, GBK).
    pub(crate) const fn speaks_gbk(&self) -> bool {
        self.locales.is_some()
    }

    /// Sets what a command, and everything that it starts, needs to use this Wine.
    pub(crate) fn set<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all").env("WINEDLLOVERRIDES", "mshtml=");
        // A window would have nobody to close it.
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        if let Some(locales) = &self.locales {
            command.env("LOCPATH", locales).env("LC_ALL", LOCALE);
        }
        command
    }
}

/// A program that waits for a line that does not come.
pub(crate) struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

/// Where programs put temporary files: every test runs below a Chinese name.
const TEMPORARY: &str = "临时 文件";

/// Compiles the locale into a folder, unless it is there.
fn locale(workspace: &Workspace, folder: &Path) -> Option<PathBuf> {
    let mut compile = program("localedef", &workspace.root);
    compile.args(["--quiet", "-i", "zh_CN", "-f", "UTF-8"]).arg(folder.join(LOCALE));
    let there = folder.join(LOCALE).join("LC_CTYPE").is_file();
    (there || (fs::create_dir_all(folder).is_ok() && works(&mut compile))).then(|| folder.to_owned())
}
