//! Whole commands and what they print: `tests/cmd/*.trycmd`. `TRYCMD=overwrite` writes what was printed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};

#[test]
fn commands_print_what_the_pages_say() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(pages).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "trycmd"));
    pages.sort();
    assert!(!pages.is_empty());
    for page in &pages {
        support::run_page(page);
    }
}
