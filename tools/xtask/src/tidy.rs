//! `cargo xtask tidy`: house rules that no compiler holds.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Result, bail};

use crate::source::{Source, is_test_only, is_word, word_starts};
use crate::workspace::Workspace;

const MOST_LINES: usize = 800;
const REQUIRED: [&str; 3] = ["CHANGELOG.md", "README.md", "formats/FORMAT.md"];

const BYTE_CALLS: [&str; 6] =
    ["to_le_bytes", "from_le_bytes", "to_be_bytes", "from_be_bytes", "to_ne_bytes", "from_ne_bytes"];
/// Where bytes are laid out: ours, the files of others, and what tests and measures both.
const BYTE_HOMES: [&str; 4] = ["formats/storage/", "formats/sources/", "tests/", "benches/"];

const LEFTOVERS: [&str; 3] = ["dbg!(", "todo!(", "unimplemented!("];
const NOTES: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];
// In two parts, or this file would be its own finding.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.text)
    }
}

/// Fails with every finding over the tracked and the new files.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = workspace.files()?;
    let mut findings = missing(&files);
    for path in &files {
        let bytes = fs::read(workspace.root.join(path))?;
        // Fixtures may hold any bytes; only text is ours to judge.
        if let Ok(text) = String::from_utf8(bytes) {
            findings.extend(check(path, &text));
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len());
    }
    println!("tidy: {} files, nothing to say", files.len());
    Ok(())
}

fn missing(files: &[String]) -> Vec<Finding> {
    REQUIRED
        .into_iter()
        .filter(|name| !files.iter().any(|file| file == name))
        .map(|name| Finding {
            path: name.to_owned(),
            line: 1,
            rule: "missing-file",
            text: "this file has to be there".to_owned(),
        })
        .collect()
}

/// Gathers findings of one file; a finding shows the line it is about.
struct Report<'a> {
    path: &'a str,
    text: &'a str,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, line: usize, rule: &'static str) {
        let text = self.text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
        self.add_text(line, rule, text);
    }

    fn add_text(&mut self, line: usize, rule: &'static str, text: String) {
        let finding = Finding { path: self.path.to_owned(), line, rule, text };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut report = Report { path, text, findings: Vec::new() };
    let extension = Path::new(path).extension().and_then(|part| part.to_str()).unwrap_or_default();
    match extension {
        "rs" => {
            length(&mut report);
            rust(&mut report);
        }
        "py" | "pyi" => {
            length(&mut report);
            hash_comments(&mut report);
        }
        "toml" | "sh" | "yml" | "yaml" => hash_comments(&mut report),
        "md" => {}
        _ if text.starts_with("#!") => hash_comments(&mut report),
        // Data and snapshots mean every byte they hold.
        _ => return Vec::new(),
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.ends_with([' ', '\t']) {
            report.add(number, "trailing-space");
        }
        if MACHINE_PATHS.iter().any(|folder| starts_path(line, folder)) {
            report.add(number, "machine-path");
        }
    }
    report.findings.sort_by_key(|finding| finding.line);
    report.findings
}

fn length(report: &mut Report<'_>) {
    let lines = report.text.lines().count();
    if lines > MOST_LINES {
        report.add_text(MOST_LINES + 1, "long-file", format!("{lines} lines, {MOST_LINES} is the limit"));
    }
}

/// Whether an absolute path starts with `folder` somewhere in the line; `../x` and `$A/x` are not absolute.
fn starts_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| match line.get(..at).and_then(|before| before.chars().last()) {
        None => true,
        Some(c) => c.is_whitespace() || "\"'`(=,[<:".contains(c),
    })
}

fn has_note(comment: &str) -> bool {
    NOTES.iter().any(|note| {
        word_starts(comment, note)
            .any(|at| !comment.get(at + note.len()..).unwrap_or_default().starts_with(is_word))
    })
}

fn hash_comments(report: &mut Report<'_>) {
    for (number, line) in (1..).zip(report.text.lines()) {
        let comment = line
            .match_indices('#')
            .map(|(at, _)| line.split_at(at))
            .find(|(before, _)| before.is_empty() || before.ends_with(char::is_whitespace));
        if comment.is_some_and(|(_, comment)| has_note(comment)) {
            report.add(number, "note-left");
        }
    }
}

fn rust(report: &mut Report<'_>) {
    let source = Source::new(report.text);
    let first = report.text.lines().position(|line| !line.trim().is_empty()).unwrap_or(0);
    let is_build_script = report.path == "build.rs" || report.path.ends_with("/build.rs");
    if !is_build_script && !report.text.lines().nth(first).unwrap_or_default().starts_with("//!") {
        report.add(first + 1, "module-doc");
    }
    for (number, comment) in (1..).zip(source.comments.lines()) {
        if has_note(comment) {
            report.add(number, "note-left");
        }
    }
    for offset in LEFTOVERS.iter().flat_map(|needle| word_starts(&source.code, needle)) {
        report.add(source.line(offset), "leftover");
    }
    for (offset, found) in source.code.match_indices("#[ignore") {
        if !source.after(offset + found.len()).starts_with(is_word) {
            report.add(source.line(offset), "ignored-test");
        }
    }
    for offset in hollow_asserts(&source) {
        report.add(source.line(offset), "hollow-assert");
    }
    for offset in byte_calls(report.path, &source) {
        report.add(source.line(offset), "byte-layout");
    }
}

/// Statements that are nothing but a `matches!`: its answer goes nowhere.
fn hollow_asserts<'a>(source: &'a Source<'_>) -> impl Iterator<Item = usize> + 'a {
    word_starts(&source.code, "matches!(").filter(|at| {
        let before = source.code.get(..*at).unwrap_or_default().trim_end();
        let starts_statement = before.is_empty() || before.ends_with([';', '{', '}']);
        let opening = at + "matches!".len();
        starts_statement && source.after(source.closed(opening)).trim_start().starts_with(';')
    })
}

fn byte_calls(path: &str, source: &Source<'_>) -> Vec<usize> {
    let at_home = BYTE_HOMES.iter().any(|home| path.starts_with(home));
    // A crate's own `tests` folder, and a test module in a file of its own.
    if at_home || path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs") {
        return Vec::new();
    }
    let tests: Vec<Range<usize>> = source.items_behind(is_test_only);
    BYTE_CALLS
        .iter()
        .flat_map(|call| word_starts(&source.code, call).map(|at| (at, call.len())))
        .filter(|(at, length)| !source.after(at + length).starts_with(is_word))
        .map(|(at, _)| at)
        .filter(|at| !tests.iter().any(|range| range.contains(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "//! About.\n";

    fn found(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        check(path, text).into_iter().map(|finding| (finding.line, finding.rule)).collect()
    }

    /// Findings in a Rust file of the engine with a proper first line.
    fn engine(text: &str) -> Vec<(usize, &'static str)> {
        found("engine/src/a.rs", &format!("{DOC}{text}"))
    }

    const NONE: [(usize, &str); 0] = [];

    #[test]
    fn long_files() {
        let lines = |count: usize| format!("{DOC}{}", "fn a() {}\n".repeat(count - 1));
        assert_eq!(found("a/b.rs", &lines(800)), NONE);
        assert_eq!(found("a/b.rs", &lines(801)), [(801, "long-file")]);
        assert_eq!(found("a/b.py", &"a = 1\n".repeat(801)), [(801, "long-file")]);
        assert_eq!(found("a/b.md", &"a\n".repeat(900)), NONE);
    }

    #[test]
    fn asserts_that_assert_nothing() {
        assert_eq!(engine("fn t() {\n    matches!(x(), Err(E::A(_)));\n}\n"), [(3, "hollow-assert")]);
        assert_eq!(
            engine("fn t() {\n    a();\n    matches!(\n        x,\n        Y\n    );\n}\n"),
            [(4, "hollow-assert")]
        );
        assert_eq!(engine("fn t() -> bool {\n    matches!(x, Y)\n}\n"), NONE);
        assert_eq!(
            engine("fn t() {\n    let a =\n        matches!(x, Y);\n    assert!(matches!(x, Y));\n}\n"),
            NONE
        );
        assert_eq!(
            engine("fn t() {\n    assert!(\n        matches!(x, Y),\n        \"no\"\n    );\n}\n"),
            NONE
        );
    }

    #[test]
    fn byte_layout_stays_in_the_formats() {
        let call = "fn a() -> [u8; 4] {\n    1_u32.to_le_bytes()\n}\n";
        assert_eq!(engine(call), [(3, "byte-layout")]);
        assert_eq!(engine(&call.replace("1_u32.to_le_bytes()", "u32::from_be_bytes")), [(3, "byte-layout")]);
        assert_eq!(engine(&format!("#[cfg(test)]\nmod tests {{\n{call}}}\n")), NONE);
        assert_eq!(engine(&format!("#[cfg(not(test))]\nmod a {{\n{call}}}\n")), [(5, "byte-layout")]);
        for home in ["formats/storage/src/a.rs", "formats/sources/src/a.rs", "tests/src/a.rs", "benches/a.rs"]
        {
            assert_eq!(found(home, &format!("{DOC}{call}")), NONE, "{home}");
        }
        assert_eq!(found("sync/tests/a.rs", &format!("{DOC}{call}")), NONE);
        assert_eq!(found("formats/records/src/a.rs", &format!("{DOC}{call}")), [(3, "byte-layout")]);
        assert_eq!(engine("/// Not `to_le_bytes`.\nfn my_to_le_bytes() { \"to_le_bytes\"; }\n"), NONE);
    }

    #[test]
    fn leftovers() {
        assert_eq!(engine("fn a() { dbg!(1); }\nfn b() { todo!() }\n"), [(2, "leftover"), (3, "leftover")]);
        assert_eq!(engine("fn a() { std::unimplemented!(\"later\") }\n"), [(2, "leftover")]);
        assert_eq!(engine("fn a() { my_todo!(); say(\"todo!()\"); } // no dbg!(x)\n"), NONE);
    }

    #[test]
    fn notes_in_comments() {
        for note in NOTES {
            assert_eq!(engine(&format!("fn a() {{}} // {note}: later\n")), [(2, "note-left")]);
            assert_eq!(engine(&format!("/* one\n   {note} */\n")), [(3, "note-left")]);
            assert_eq!(found("a.py", &format!("a = 1  # {note} later\n")), [(1, "note-left")]);
            assert_eq!(found(".ci/run", &format!("#!/bin/sh\n# {note}\n")), [(2, "note-left")]);
            assert_eq!(engine(&format!("const {note}: &str = \"{note}\"; // {note}S and A{note}\n")), NONE);
        }
        assert_eq!(found("a.toml", "colour = \"#TODO\"\n"), NONE);
    }

    #[test]
    fn ignored_tests() {
        assert_eq!(engine("#[test]\n#[ignore]\nfn a() {}\n"), [(3, "ignored-test")]);
        assert_eq!(engine("#[test]\n#[ignore = \"slow\"]\nfn a() {}\n"), [(3, "ignored-test")]);
        assert_eq!(engine("#[ignored]\nfn a() { b(\"#[ignore]\") }\n"), NONE);
    }

    #[test]
    fn paths_of_one_machine() {
        for folder in MACHINE_PATHS {
            assert_eq!(engine(&format!("const A: &str = \"{folder}x\";\n")), [(2, "machine-path")]);
            assert_eq!(found("a.md", &format!("cd {folder}x\n")), [(1, "machine-path")]);
            assert_eq!(found("a.toml", &format!("path = '{folder}x'\n")), [(1, "machine-path")]);
            assert_eq!(found("a.md", &format!("https://a.example{folder}b ..{folder} $X{folder}\n")), NONE);
            assert_eq!(found("a.csv", &format!("{folder}x\n")), NONE);
        }
    }

    #[test]
    fn module_docs() {
        assert_eq!(found("a/b.rs", "\n\n//! About.\n"), NONE);
        assert_eq!(found("a/b.rs", "\nuse std::fmt;\n//! About.\n"), [(2, "module-doc")]);
        assert_eq!(found("a/b.rs", ""), [(1, "module-doc")]);
        assert_eq!(found("a/build.rs", "fn main() {}\n"), NONE);
    }

    #[test]
    fn trailing_space() {
        assert_eq!(found("a.md", "one \ntwo\t\nthree\n"), [(1, "trailing-space"), (2, "trailing-space")]);
        assert_eq!(found("a.md", "one\r\ntwo\r\n"), NONE);
        assert_eq!(found("a.csv", "one \n"), NONE);
    }

    #[test]
    fn required_files() {
        let mut files: Vec<String> = REQUIRED.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(missing(&files), []);
        files.pop();
        let shown: Vec<String> = missing(&files).iter().map(Finding::to_string).collect();
        assert_eq!(shown, ["formats/FORMAT.md:1: missing-file: this file has to be there"]);
    }

    #[test]
    fn a_finding_shows_its_line() {
        let shown = check("a/b.rs", "//! About.\n  fn a() { dbg!(1) }\n");
        assert_eq!(shown.first().unwrap().to_string(), "a/b.rs:2: leftover: fn a() { dbg!(1) }");
    }

    #[test]
    fn this_tool_keeps_its_own_rules() {
        let own = [
            ("tidy", include_str!("tidy.rs")),
            ("source", include_str!("source.rs")),
            ("signatures", include_str!("signatures.rs")),
            ("layers", include_str!("layers.rs")),
        ];
        for (name, text) in own {
            assert_eq!(check(&format!("tools/xtask/src/{name}.rs"), text), [], "{name}");
        }
    }
}
