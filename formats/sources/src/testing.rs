//! What the tests of all sources share: the samples, and reading whatever comes.

use std::path::PathBuf;

use crate::source::{ImportOptions, Source, SourceFile, sources};

/// The bytes of a sample below `BARKEEPER_SAMPLES`; `None`, said on standard error, where there are none.
pub(crate) fn sample(path: &str) -> Option<Vec<u8>> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples");
    let folder = std::env::var_os("BARKEEPER_SAMPLES").map_or_else(default, PathBuf::from);
    let path = folder.join(path);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("SKIPPED: samples not found at {}", path.display());
    }
    bytes
}

/// Reads bytes under several names, with and without options; any answer will do.
pub(crate) fn no_panic(source: &dyn Source, names: &[&str], bytes: &[u8]) {
    let full = ImportOptions {
        instrument: "600000.SH".parse().ok(),
        interval: "1d".parse().ok(),
        account: "a".parse().ok(),
        unit: "lots".parse().ok(),
        ..ImportOptions::default()
    };
    for name in names {
        for folder in [None, Some("_daily_mootdx"), Some("_daily_akshare")] {
            let file = SourceFile { name, folder, bytes };
            for options in [&ImportOptions::default(), &full] {
                if let Ok(parsed) = source.parse(&file, options) {
                    assert!(parsed.rows() <= bytes.len() as u64);
                }
            }
            assert!(sources().iter().filter(|source| source.recognises(&file)).count() <= 1);
        }
    }
}
