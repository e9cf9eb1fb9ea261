//! The console blocks of the README print what they say. `TRYCMD=overwrite` writes what was printed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is said")]

mod support;

use std::path::Path;

#[test]
fn the_readme_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(&page).unwrap_or_default();
    if !text.contains("```console") {
        println!("SKIPPED: the README has no console blocks");
    } else if std::env::var_os("TRYCMD").is_some() {
        support::run_page(&page);
    } else {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("README.md");
        std::fs::write(&copy, with_languages(&text)).unwrap();
        support::run_page(&copy);
    }
}

/// Blocks without a language are drawings; `trycmd` would take them for commands. Blocks with SQL are not run where the
/// program has none.
fn with_languages(text: &str) -> String {
    let mut inside = false;
    let mut lines = String::with_capacity(text.len() + 64);
    let all: Vec<&str> = text.lines().collect();
    for (number, line) in all.iter().enumerate() {
        let fence = line.starts_with("```");
        let drawing = line.trim_end() == "```";
        let sql = all.get(number + 1).is_some_and(|next| next.starts_with("$ barkeeper sql"));
        let left_out = drawing || (sql && !cfg!(feature = "polars"));
        lines.push_str(if fence && !inside && left_out { "```text" } else { line });
        lines.push('\n');
        inside ^= fence;
    }
    lines
}
