//! Driver types in public signatures: found by text, so a type that was imported first is not seen.

use std::collections::HashMap;
use std::ops::Range;

use crate::source::{Source, is_word, word_starts};

const DRIVERS: [&str; 3] = ["redb::", "parquet::", "rusqlite::"];

/// One driver path in one public signature.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) driver: &'static str,
}

/// Looks through all files of one crate. What is only there for tests or fault injection is left out, with the
/// files of a module that is declared that way.
pub(crate) fn leaks(files: &HashMap<String, String>) -> Vec<Leak> {
    let hidden: Vec<String> = files.iter().flat_map(|(path, text)| hidden_modules(path, text)).collect();
    let is_hidden = |path: &str| {
        hidden.iter().any(|module| {
            path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    };
    let mut found: Vec<Leak> = files
        .iter()
        .filter(|(path, _)| !is_hidden(path))
        .flat_map(|(path, text)| leaks_in(path, text))
        .collect();
    found.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    found
}

fn leaks_in(path: &str, text: &str) -> Vec<Leak> {
    let source = Source::new(text);
    let hidden = source.items_behind(is_hidden_by);
    let mut found = Vec::new();
    for start in word_starts(&source.code, "pub ") {
        if hidden.iter().any(|range| range.contains(&start)) {
            continue;
        }
        let range = signature(&source, start);
        let signature = source.code.get(range.clone()).unwrap_or_default();
        for driver in DRIVERS {
            for at in word_starts(signature, driver) {
                let before = signature.get(..at).unwrap_or_default();
                // A module of ours may share the driver's name.
                if ["crate::", "self::", "super::"].iter().any(|ours| before.ends_with(ours)) {
                    continue;
                }
                let leak = Leak { path: path.to_owned(), line: source.line(range.start + at), driver };
                if !found.contains(&leak) {
                    found.push(leak);
                }
            }
        }
    }
    found
}

/// What a user of the item sees: everything of an enum or a trait, the head of the rest.
fn signature(source: &Source<'_>, start: usize) -> Range<usize> {
    let after = start + "pub ".len();
    let mut words = source
        .after(after)
        .split(|c| !is_word(c))
        .filter(|word| !matches!(*word, "" | "async" | "unsafe" | "extern"));
    let item = match words.next().unwrap_or_default() {
        "const" if words.next() == Some("fn") => "fn",
        item => item,
    };
    let end = match item {
        "fn" | "union" | "mod" => source.until(after, &['{', ';']),
        // Fields come up again behind their own `pub`.
        "struct" => source.until(after, &['{', ';', '(']),
        "enum" | "trait" => {
            let body = source.until(after, &['{', ';']);
            source.closed(body)
        }
        "use" | "type" => source.until(after, &[';']),
        "const" | "static" => source.until(after, &['=', ';']),
        _ => source.until(after, &[',', '{', ';']),
    };
    start..end
}

fn is_hidden_by(attribute: &str) -> bool {
    crate::source::is_test_only(attribute)
        || (attribute.starts_with("#[cfg(")
            && attribute.contains("feature=\"fault-injection\"")
            && !attribute.contains("not("))
}

/// Paths, without `.rs`, of the modules that `path` declares behind such an attribute.
fn hidden_modules(path: &str, text: &str) -> Vec<String> {
    let source = Source::new(text);
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let home = if matches!(name, "lib" | "main" | "mod") { folder } else { stem };
    source
        .items_behind(is_hidden_by)
        .into_iter()
        .filter_map(|range| {
            let item = source.code.get(range).unwrap_or_default();
            let at = word_starts(item, "mod ").next()?;
            let name: String = item.get(at + 4..)?.trim_start().chars().take_while(|c| is_word(*c)).collect();
            // A body in place is hidden by its range.
            (!item.contains('{')).then(|| format!("{home}/{name}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        leaks_in("engine/src/a.rs", text).into_iter().map(|leak| leak.line).collect()
    }

    #[test]
    fn a_driver_type_in_a_public_signature_is_found() {
        assert_eq!(lines("pub fn db(&self) -> &redb::Database { todo() }\n"), [1]);
        assert_eq!(lines("pub fn open(\n    path: &Path,\n    db: redb::Database,\n) -> Self {\n}\n"), [3]);
        assert_eq!(lines("pub const fn f(m: &parquet::file::M) {}\n"), [1]);
        assert_eq!(lines("pub struct A<T: parquet::Any> { a: T }\n"), [1]);
        assert_eq!(lines("pub struct A {\n    pub db: redb::Database,\n}\n"), [2]);
        assert_eq!(lines("pub struct A(pub redb::Database);\n"), [1]);
        assert_eq!(lines("pub enum E {\n    Sql(rusqlite::Error),\n}\n"), [2]);
        assert_eq!(lines("pub trait T {\n    fn c(&self) -> &::rusqlite::Connection;\n}\n"), [2]);
        assert_eq!(lines("pub use redb::Error;\npub type C = rusqlite::Connection;\n"), [1, 2]);
    }

    #[test]
    fn what_nobody_outside_sees_is_free() {
        assert_eq!(lines("pub(crate) fn db(&self) -> &redb::Database { x }\n"), [] as [usize; 0]);
        assert_eq!(lines("fn db(&self) -> &redb::Database { x }\n"), [] as [usize; 0]);
        assert_eq!(lines("pub struct A {\n    db: redb::Database,\n    pub n: u8,\n}\n"), [] as [usize; 0]);
        assert_eq!(lines("pub struct A(redb::Database);\n"), [] as [usize; 0]);
        assert_eq!(lines("pub fn a() {\n    redb::Database::open();\n}\n"), [] as [usize; 0]);
        assert_eq!(lines("pub const N: u8 = redb::N;\n"), [] as [usize; 0]);
        assert_eq!(lines("/// See redb::Database.\npub fn a() {}\n"), [] as [usize; 0]);
        assert_eq!(lines("pub fn a(b: crate::redb::Mine, c: my_redb::X) {}\n"), [] as [usize; 0]);
    }

    #[test]
    fn fault_injection_is_free_also_as_a_file_of_its_own() {
        let gate = "#[cfg(feature = \"fault-injection\")]\n";
        let gated = format!("{gate}pub fn with(b: impl redb::StorageBackend) {{}}\n");
        assert_eq!(lines(&gated), [] as [usize; 0]);
        assert_eq!(lines(&gated.replace("cfg(", "cfg(not(").replace(")]", "))]")), [2]);

        let leak = "pub fn with(b: impl redb::StorageBackend) {}\n".to_owned();
        let files = |root: String| {
            HashMap::from([
                ("engine/src/lib.rs".to_owned(), root),
                ("engine/src/faults.rs".to_owned(), leak.clone()),
                ("engine/src/faults/disk.rs".to_owned(), leak.clone()),
            ])
        };
        assert_eq!(leaks(&files(format!("{gate}pub mod faults;\n"))), []);
        assert_eq!(leaks(&files("pub mod faults;\n".to_owned())).len(), 2);
    }
}
