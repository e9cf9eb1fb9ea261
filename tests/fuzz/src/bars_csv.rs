//! The target `bars_csv` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: barkeeper_fuzz::expect_guarded_panics(),
    |bytes: &[u8]| {
        barkeeper_targets::run("bars_csv", bytes);
    }
);
