//! Whole commands and what they print: `tests/cmd/*.trycmd`, and the console blocks of the README.
//!
//! Each file is run from its top to its end in a folder of its own, in which `files` holds the market of
//! [`support::SPEC`] as files and `BARKEEPER_STORE` names `store`. `TRYCMD=overwrite` writes what was printed.

mod support;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::Place;
use trycmd::schema::Bin;

/// What the README runs besides `barkeeper`, which cannot be run here.
const OTHERS: [&str; 8] = ["cargo", "git", "cd", "export", "set", "pip", "python", "python3"];

#[test]
fn commands_print_what_the_pages_say() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(here.join("tests/cmd")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "trycmd"));
    pages.sort();
    assert!(!pages.is_empty());
    pages.push(here.join("../../README.md"));
    for page in pages.iter().filter(|page| page.is_file()) {
        run(page);
    }
}

fn run(page: &Path) {
    let place = Place::new();
    // The commands of a page name files as a person there would.
    env::set_current_dir(place.path()).unwrap();
    let cases = trycmd::TestCases::new();
    cases
        .env("BARKEEPER_STORE", "store")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .timeout(Duration::from_secs(300))
        .register_bin("barkeeper", Path::new(env!("CARGO_BIN_EXE_barkeeper")));
    cases.insert_var("[HERE]", place.path().to_owned()).unwrap();
    for other in OTHERS {
        cases.register_bin(other, Bin::Ignore);
    }
    cases.case(page);
    cases.run();
    // A folder that is somebody's working directory cannot be removed everywhere.
    env::set_current_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
}
