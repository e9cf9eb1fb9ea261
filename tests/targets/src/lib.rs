//! What is done with any bytes: the bodies of the fuzz targets, and the bytes that they begin with.
//!
//! A body may refuse whatever it likes; it may not panic, and what it accepts it must be able to write again.
//! `tests/fuzz` runs the bodies under libFuzzer; `tests/corpus.rs` runs them over `corpus/` with every test run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a target that cannot go on has found something"
)]

mod backup;
mod files;
mod instrument;
mod seeds;
mod segments;
mod stored;

use std::path::PathBuf;

pub use seeds::seeds;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, that of its folder in the corpus and of its program in `tests/fuzz`.
    pub name: &'static str,
    /// What it does with bytes; answers whether they were taken.
    pub body: fn(&[u8]) -> bool,
}

/// All targets.
pub const TARGETS: [Target; 17] = [
    Target { name: "instrument", body: instrument::instrument },
    Target { name: "rows", body: stored::rows },
    Target { name: "keys", body: stored::keys },
    Target { name: "blocks", body: stored::blocks },
    Target { name: "event_blocks", body: stored::event_blocks },
    Target { name: "manifest", body: stored::manifest },
    Target { name: "sums", body: stored::sums },
    Target { name: "segments", body: segments::segments },
    Target { name: "backup", body: backup::backup },
    Target { name: "tdx_day", body: files::tdx_day },
    Target { name: "silverquant_kline", body: files::silverquant_kline },
    Target { name: "silverquant_state", body: files::silverquant_state },
    Target { name: "binance_kline", body: files::binance_kline },
    Target { name: "binance_trades", body: files::binance_trades },
    Target { name: "vnpy_tick", body: files::vnpy_tick },
    Target { name: "bars_csv", body: files::bars_csv },
    Target { name: "corporate_actions", body: files::corporate_actions },
];

/// Does with bytes what a target does; answers whether they were taken, and not refused.
///
/// # Panics
/// Where it finds something, and for a name that no target has.
pub fn run(name: &str, bytes: &[u8]) -> bool {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("the name of a target").body)(bytes)
}

/// The bytes in the repository that a target begins with, a file each.
pub fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}
