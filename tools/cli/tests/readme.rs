//! The console blocks of the README print what they say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is said")]

mod support;

use std::path::Path;

#[test]
fn the_readme_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(&page).unwrap_or_default();
    if text.contains("```console") {
        support::run_page(&page);
    } else {
        println!("SKIPPED: the README has no console blocks");
    }
}
