//! The console blocks of the README print what they say.

mod support;

use std::path::Path;

#[test]
fn the_readme_is_true() {
    support::run_page(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"));
}
