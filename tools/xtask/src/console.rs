//! What a person reads on a Windows console: the program under Wine on a terminal, its code page that of a
//! Chinese desktop. Pipes would show nothing of it: there the program writes UTF-8 whatever the code page is.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::install;
use crate::wine::Wine;
use crate::workspace::{Workspace, check, program};

/// An account's name, as brokers' customers choose them.
const ACCOUNT: &str = "行情";
/// Gives a program a terminal, and hands on what is drawn on it.
const TERMINAL: &str = "script";

/// Lets the program print a table with Chinese in it on a console, and reads it.
pub(crate) fn prints_chinese(workspace: &Workspace, wine: &Wine, target: &str) -> Result<()> {
    if !wine.speaks_gbk() || !install::on_path(TERMINAL) {
        println!("xtask windows: console: not tried without the locale zh_CN and `{TERMINAL}`");
        return Ok(());
    }
    let exe = workspace.target.join(target).join("debug").join("barkeeper.exe");
    let folder = workspace.target.join("wine").join("console");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    for words in [
        vec!["init", "--account", ACCOUNT],
        vec!["positions", "set", "600000.SH", "--quantity", "1000", "--cost", "6.30"],
    ] {
        let mut command = program("wine", &folder);
        command.arg(&exe).args(["--store", "store", "--quiet"]).args(words).stdout(Stdio::null());
        check(wine.set(&mut command))?;
    }
    let drawn = |line: &str| -> Result<String> {
        let mut command = program(TERMINAL, &folder);
        command.args(["--quiet", "--return", "--command", line, "/dev/null"]).stdin(Stdio::null());
        let output = wine.set(&mut command).output().with_context(|| format!("cannot run {TERMINAL}"))?;
        ensure!(output.status.success(), "`{line}` ended with {}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let page = drawn("wine cmd /c chcp")?;
    ensure!(page.contains("936"), "the console's code page is not 936: {page:?}");
    let shown = drawn(&format!("wine '{}' --store store positions list", exe.display()))?;
    ensure!(shown.contains(ACCOUNT), "a console shows something else than {ACCOUNT}: {shown:?}");
    println!("xtask windows: a console shows {ACCOUNT}");
    Ok(())
}
