//! The fuzz targets over their corpus and what is near it, with every test run: they go on compiling, and
//! what was once found stays mended.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs;

use barkeeper_targets::{TARGETS, corpus, run};

/// Variants of every file that are tried.
const VARIANTS: u64 = 60;

fn files(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpus(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let file =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    entries.map(|entry| file(entry.unwrap())).collect()
}

/// A variant of bytes that follows from its number.
fn variant(bytes: &[u8], number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ bytes.len() as u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    let mut varied = bytes.to_vec();
    for _ in 0..=random(3) {
        let place = random(varied.len());
        match random(5) {
            0 if place < varied.len() => varied[place] ^= 1 << random(8),
            1 if place < varied.len() => {
                varied[place] = [0, 1, 0x7f, 0x80, 0xff, b'"', b',', b'\n'][random(8)];
            }
            2 => varied.truncate(place),
            3 => varied.insert(place, u8::try_from(random(256)).unwrap()),
            _ => {
                let part: Vec<u8> = varied.iter().skip(place).take(random(40)).copied().collect();
                let to = random(varied.len());
                varied.splice(to..to, part);
            }
        }
    }
    varied
}

fn replay(name: &str) {
    let files = files(name);
    run(name, &[]);
    for (file, bytes) in &files {
        let taken = run(name, bytes);
        // A seed that is refused leads nowhere.
        assert!(
            taken || !file.starts_with("seed-"),
            "{name}/{file} is refused; write it anew: cargo run -p barkeeper-targets --example seeds"
        );
        for number in 0..VARIANTS {
            run(name, &variant(bytes, number));
        }
    }
    assert!(files.iter().any(|(file, _)| file.starts_with("seed-")), "{name}: an empty corpus");
}

macro_rules! replayed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed_and_has_a_program() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
            let fuzz = include_str!("../../fuzz/Cargo.toml");
            for target in TARGETS {
                assert!(fuzz.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
            }
        }
    };
}

replayed! {
    instrument rows keys blocks event_blocks manifest sums segments backup
    tdx_day silverquant_kline silverquant_state binance_kline binance_trades vnpy_tick
    bars_csv corporate_actions
}
