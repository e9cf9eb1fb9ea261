//! Writes the store that later versions must open: `cargo run -p barkeeper-tests --example fixture`.
//!
//! Until the first release it is written anew whenever a layout changes. From then on the fixture of a released
//! format stays as it is, and a later format gets its own.
#![allow(clippy::print_stdout, reason = "a tool for people who change a layout")]

use barkeeper_tests::fixture;

fn main() {
    println!("{} bytes in {}", fixture::write(), fixture::folder().display());
}
