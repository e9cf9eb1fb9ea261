//! `cargo xtask layers`: who may know whom, read from the manifests, and no driver type in a public signature.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::signatures;
use crate::workspace::Workspace;

const RECORDS: &str = "barkeeper-records";
const STORAGE: &str = "barkeeper-storage";
const SOURCES: &str = "barkeeper-sources";
const ENGINE: &str = "barkeeper";
const SYNC: &str = "barkeeper-sync";
const HOST: &str = "barkeeper-host";

enum Knows {
    Only(&'static [&'static str]),
    Anything,
}

const TABLE: &[(&str, Knows)] = &[
    (RECORDS, Knows::Only(&[])),
    (STORAGE, Knows::Only(&[RECORDS])),
    (SOURCES, Knows::Only(&[RECORDS])),
    (ENGINE, Knows::Only(&[RECORDS, STORAGE])),
    (SYNC, Knows::Only(&[RECORDS, STORAGE])),
    (HOST, Knows::Only(&[ENGINE, SYNC, SOURCES, STORAGE, RECORDS])),
    ("barkeeper-cli", Knows::Only(&[HOST, ENGINE, SYNC, SOURCES, STORAGE, RECORDS])),
    ("barkeeper-tests", Knows::Anything),
    ("barkeeper-targets", Knows::Only(&[RECORDS, STORAGE, SOURCES, ENGINE])),
    ("barkeeper-benches", Knows::Anything),
    ("xtask", Knows::Only(&[])),
];

/// All that `barkeeper-records` may take from outside; its tests are free.
const RECORDS_MAY_USE: [&str; 4] = ["serde", "rust_decimal", "jiff", "thiserror"];

/// Crates from outside that stay in their folders, in tests as well.
const HOME: [(&str, &[&str]); 3] = [
    ("anyhow", &["tools/", "tests/", "benches/"]),
    ("clap", &["tools/", "tests/", "benches/"]),
    ("tokio", &["sync/", "tools/"]),
];

/// Crates whose public signatures are read.
const FACES: [&str; 2] = ["engine/src/", "sync/src/"];

#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    name: String,
    kind: Kind,
    /// Whether it is a folder and not a registry crate.
    local: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Build,
    Dev,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "dependency",
            Self::Build => "build-dependency",
            Self::Dev => "dev-dependency",
        })
    }
}

#[derive(Debug)]
struct Package {
    name: String,
    /// From the workspace root, with `/` at the end.
    folder: String,
    dependencies: Vec<Dependency>,
}

/// Fails with every edge and every signature that should not be.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut findings = Vec::new();
    for package in packages(&workspace.metadata)? {
        findings.extend(edges(&package));
    }
    let files = workspace.files()?;
    for face in FACES {
        let mut texts = HashMap::new();
        for path in files.iter().filter(|path| path.starts_with(face) && has_extension(path, "rs")) {
            texts.insert(path.clone(), fs::read_to_string(workspace.root.join(path)).context(path.clone())?);
        }
        findings.extend(signatures::leaks(&texts).into_iter().map(|leak| {
            format!("{}:{}: `{}` stands in a public signature", leak.path, leak.line, leak.driver)
        }));
    }
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("layers: {} forbidden", findings.len());
    }
    println!("layers: every edge is allowed");
    Ok(())
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let root = text(metadata, "workspace_root")?;
    let list = metadata.get("packages").and_then(Value::as_array).context("metadata without packages")?;
    list.iter().map(|value| package(value, Path::new(root))).collect()
}

fn package(value: &Value, root: &Path) -> Result<Package> {
    let manifest = Path::new(text(value, "manifest_path")?);
    let folder = manifest.parent().unwrap_or(manifest);
    let folder = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().replace('\\', "/");
    let list = value.get("dependencies").and_then(Value::as_array).context("package without dependencies")?;
    let dependencies = list
        .iter()
        .map(|value| {
            let kind = match value.get("kind").and_then(Value::as_str) {
                None => Kind::Normal,
                Some("build") => Kind::Build,
                Some("dev") => Kind::Dev,
                Some(other) => bail!("unknown kind of dependency: {other}"),
            };
            let local = value.get("path").is_some_and(Value::is_string);
            Ok(Dependency { name: text(value, "name")?.to_owned(), kind, local })
        })
        .collect::<Result<_>>()?;
    Ok(Package { name: text(value, "name")?.to_owned(), folder: format!("{folder}/"), dependencies })
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("metadata without {key}"))
}

fn row(name: &str) -> Option<&'static Knows> {
    TABLE.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, knows)| knows)
}

fn edges(package: &Package) -> Vec<String> {
    let Some(knows) = row(&package.name) else {
        return vec![format!("{} ({}): not in the table of layers", package.name, package.folder)];
    };
    package
        .dependencies
        .iter()
        .filter_map(|dependency| {
            let reason = refusal(package, knows, dependency)?;
            Some(format!("{} -> {} ({}): {reason}", package.name, dependency.name, dependency.kind))
        })
        .collect()
}

fn refusal(package: &Package, knows: &Knows, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    if dependency.local || row(name).is_some() {
        if row(name).is_none() {
            return Some("not in the table of layers".to_owned());
        }
        // A crate names itself among its dev-dependencies to switch on a feature.
        let itself = dependency.kind == Kind::Dev && name == package.name;
        return match knows {
            Knows::Only(allowed) if !allowed.contains(&name) && !itself => Some(match allowed {
                [] => "it may depend on none of our crates".to_owned(),
                _ => format!("it may depend on {} only", allowed.join(", ")),
            }),
            _ => None,
        };
    }
    if package.name == RECORDS && dependency.kind != Kind::Dev && !RECORDS_MAY_USE.contains(&name) {
        return Some(format!("it may use {} only", RECORDS_MAY_USE.join(", ")));
    }
    let (_, homes) = HOME.iter().find(|(outside, _)| *outside == name)?;
    let at_home = homes.iter().any(|home| package.folder.starts_with(home));
    (!at_home).then(|| format!("`{name}` stays in {}", homes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    type Crate<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    /// Findings over crates given as name, folder and (dependency, kind).
    fn check(crates: &[Crate<'_>]) -> Vec<String> {
        let packages: Vec<Value> = crates
            .iter()
            .map(|(name, folder, dependencies)| {
                let dependencies: Vec<Value> = dependencies
                    .iter()
                    .map(|(name, kind)| {
                        let kind = if *kind == "normal" { Value::Null } else { json!(kind) };
                        let path = name.starts_with("barkeeper").then_some("somewhere");
                        json!({ "name": name, "kind": kind, "path": path })
                    })
                    .collect();
                json!({
                    "name": name,
                    "manifest_path": format!("/ws/{folder}/Cargo.toml"),
                    "dependencies": dependencies,
                })
            })
            .collect();
        let metadata = json!({ "workspace_root": "/ws", "packages": packages });
        super::packages(&metadata).unwrap().iter().flat_map(edges).collect()
    }

    #[test]
    fn the_intended_graph_passes() {
        let found = check(&[
            (RECORDS, "formats/records", &[("serde", "normal"), ("jiff", "normal"), ("proptest", "dev")]),
            (STORAGE, "formats/storage", &[(RECORDS, "normal"), ("bincode", "normal")]),
            (SOURCES, "formats/sources", &[(RECORDS, "normal")]),
            (ENGINE, "engine", &[(RECORDS, "normal"), (STORAGE, "normal"), (ENGINE, "dev")]),
            (SYNC, "sync", &[(RECORDS, "normal"), (STORAGE, "dev"), ("tokio", "normal")]),
            (
                HOST,
                "tools/host",
                &[(ENGINE, "normal"), (SYNC, "normal"), (SOURCES, "normal"), ("tokio", "dev")],
            ),
            ("barkeeper-cli", "tools/cli", &[(HOST, "normal"), (ENGINE, "normal"), ("clap", "normal")]),
            ("barkeeper-tests", "tests", &[("barkeeper-cli", "normal"), (SYNC, "dev"), ("anyhow", "dev")]),
            ("barkeeper-benches", "benches", &[(ENGINE, "normal"), ("clap", "normal")]),
            ("xtask", "tools/xtask", &[("anyhow", "normal"), ("clap", "normal")]),
        ]);
        assert_eq!(found, [] as [&str; 0]);
    }

    #[test]
    fn a_forbidden_edge_is_named() {
        assert_eq!(
            check(&[(ENGINE, "engine", &[(SYNC, "normal"), (RECORDS, "normal")])]),
            ["barkeeper -> barkeeper-sync (dependency): \
              it may depend on barkeeper-records, barkeeper-storage only"]
        );
        assert_eq!(
            check(&[(SYNC, "sync", &[(ENGINE, "dev")])]),
            ["barkeeper-sync -> barkeeper (dev-dependency): \
              it may depend on barkeeper-records, barkeeper-storage only"]
        );
        assert_eq!(
            check(&[(RECORDS, "formats/records", &[(STORAGE, "build")])]),
            [
                "barkeeper-records -> barkeeper-storage (build-dependency): it may depend on none of our crates"
            ]
        );
        assert_eq!(check(&[("xtask", "tools/xtask", &[(RECORDS, "normal")])]).len(), 1);
        assert_eq!(check(&[(STORAGE, "formats/storage", &[(SOURCES, "normal")])]).len(), 1);
        assert_eq!(check(&[(HOST, "tools/host", &[("barkeeper-cli", "normal")])]).len(), 1);
        assert_eq!(check(&[(STORAGE, "formats/storage", &[(STORAGE, "normal")])]).len(), 1);
    }

    #[test]
    fn a_crate_outside_the_table_is_refused_as_itself_and_as_a_dependency() {
        assert_eq!(
            check(&[("barkeeper-extra", "extra", &[])]),
            ["barkeeper-extra (extra/): not in the table of layers"]
        );
        assert_eq!(check(&[("barkeeper-tests", "tests", &[("barkeeper-extra", "dev")])]).len(), 1);
    }

    #[test]
    fn crates_from_outside_stay_where_they_belong() {
        assert_eq!(
            check(&[(RECORDS, "formats/records", &[("serde_json", "normal"), ("serde_json", "dev")])]),
            ["barkeeper-records -> serde_json (dependency): \
              it may use serde, rust_decimal, jiff, thiserror only"]
        );
        assert_eq!(
            check(&[(ENGINE, "engine", &[("anyhow", "dev")])]),
            ["barkeeper -> anyhow (dev-dependency): `anyhow` stays in tools/, tests/, benches/"]
        );
        assert_eq!(check(&[(SYNC, "sync", &[("clap", "normal")])]).len(), 1);
        assert_eq!(check(&[(ENGINE, "engine", &[("tokio", "normal")])]).len(), 1);
        assert_eq!(check(&[("barkeeper-tests", "tests", &[("tokio", "normal")])]).len(), 1);
    }
}
