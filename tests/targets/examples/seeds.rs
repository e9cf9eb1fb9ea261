//! Writes the corpus anew: `cargo run -p barkeeper-targets --example seeds`. What a run once found stays.
#![allow(clippy::unwrap_used, reason = "a tool for people who work on the corpus")]

use std::fs;

fn main() {
    for target in barkeeper_targets::TARGETS {
        let folder = barkeeper_targets::corpus(target.name);
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("seed-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        for (number, bytes) in barkeeper_targets::seeds(target.name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), bytes).unwrap();
        }
    }
}
