//! What the process tests share: the program, a folder of its own, a small market as files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use barkeeper_host::demo::{Market, MarketFiles, MarketSpec, write_market};
use tempfile::TempDir;
use trycmd::schema::Bin;

/// The market of all process tests: the same on every machine.
pub(crate) const SPEC: MarketSpec = MarketSpec { instruments: 8, days: 30, live_days: 0, seed: 1 };

/// A folder with the market in `files`, and a place for a store in `store`.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) files: MarketFiles,
}

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = write_market(&Market::new(SPEC), &folder.path().join("files")).unwrap();
        Self { folder, files }
    }

    /// A place with a store that holds the market's prices.
    pub(crate) fn with_store() -> Self {
        let place = Self::new();
        place.done("init");
        place.done("import files/prices");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// Runs the program in the folder; arguments are split at spaces.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        ran(&self.command().args(arguments.split(' ')).output().unwrap())
    }

    /// Runs the program, which has to end with 0; answers what it printed.
    pub(crate) fn done(&self, arguments: &str) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments}: {ran:?}");
        ran.stdout
    }

    /// Runs the program with `--format json`; answers the value.
    pub(crate) fn json(&self, arguments: &str) -> serde_json::Value {
        serde_json::from_str(&self.done(&format!("{arguments} --format json"))).unwrap()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = program();
        command.current_dir(self.path()).env("BARKEEPER_STORE", "store");
        command
    }

    /// The Parquet files of the store.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
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
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barkeeper"));
    command.env_remove("BARKEEPER_STORE").env("NO_COLOR", "1");
    command
}

pub(crate) fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout.clone()).unwrap(),
        stderr: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}

/// What pages run besides `barkeeper`, which is not run in tests.
const OTHERS: [&str; 8] = ["cargo", "git", "cd", "export", "set", "pip", "python", "python3"];

/// Runs the console blocks of a page from its top to its end in a folder of its own, in which `files` holds
/// the market of [`SPEC`] and `BARKEEPER_STORE` names `store`.
///
/// Changes the working directory of the process: one test program runs one page after the other.
pub(crate) fn run_page(page: &Path) {
    let place = Place::new();
    std::env::set_current_dir(place.path()).unwrap();
    let cases = trycmd::TestCases::new();
    cases
        .env("BARKEEPER_STORE", "store")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .timeout(Duration::from_secs(300))
        .register_bin("barkeeper", Path::new(env!("CARGO_BIN_EXE_barkeeper")));
    let here = place.path().canonicalize().unwrap().display().to_string();
    cases.insert_var("[HERE]", here).unwrap();
    for other in OTHERS {
        cases.register_bin(other, Bin::Ignore);
    }
    cases.case(page);
    cases.run();
    // A folder that is somebody's working directory cannot be removed everywhere.
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
}
