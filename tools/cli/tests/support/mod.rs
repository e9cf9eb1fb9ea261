//! What the process tests share: the program, a folder of its own, a small market as files.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use barkeeper_host::demo::{Market, MarketFiles, MarketSpec, write_market};
use tempfile::TempDir;

/// The market of all process tests: the same on every machine.
pub const SPEC: MarketSpec = MarketSpec { instruments: 8, days: 30, live_days: 0, seed: 1 };

/// A folder with the market in `files`, and a place for a store in `store`.
pub struct Place {
    folder: TempDir,
    pub files: MarketFiles,
}

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = write_market(&Market::new(SPEC), &folder.path().join("files")).unwrap();
        Self { folder, files }
    }

    /// A place with a store that holds the market's prices.
    pub fn with_store() -> Self {
        let place = Self::new();
        place.done("init");
        place.done("import files/prices");
        place
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// Runs the program in the folder; arguments are split at spaces.
    pub fn run(&self, arguments: &str) -> Ran {
        ran(&self.command().args(arguments.split(' ')).output().unwrap())
    }

    /// Runs the program, which has to end with 0; answers what it printed.
    pub fn done(&self, arguments: &str) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments}: {ran:?}");
        ran.stdout
    }

    /// Runs the program with `--format json`; answers the value.
    pub fn json(&self, arguments: &str) -> serde_json::Value {
        serde_json::from_str(&self.done(&format!("{arguments} --format json"))).unwrap()
    }

    pub fn command(&self) -> Command {
        let mut command = program();
        command.current_dir(self.path()).env("BARKEEPER_STORE", "store");
        command
    }

    /// The Parquet files of the store.
    pub fn segments(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.store().join("bars")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

/// The program, without anything of the surroundings that it reads.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barkeeper"));
    command.env_remove("BARKEEPER_STORE").env("NO_COLOR", "1");
    command
}

pub fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout.clone()).unwrap(),
        stderr: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}
