//! SQLite passes the suite of all sinks.

use barkeeper_sync::Sink;
use barkeeper_sync::conformance::{CASES, Remote};
use barkeeper_sync::sqlite::{SqliteConfig, SqliteSink};

#[test]
fn sqlite_conforms() {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::of(folder.path().join("目标 replica.sqlite"));
        let open = move || -> Box<dyn Sink> { Box::new(SqliteSink::new(config.clone()).unwrap()) };
        let remote = Remote { open: Box::new(open), scratch: folder.path().to_owned() };
        if let Err(failure) = case(&remote) {
            failed.push(format!("{name}: {failure}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
