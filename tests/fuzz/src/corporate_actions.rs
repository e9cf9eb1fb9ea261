//! The target `corporate_actions` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: barkeeper_fuzz::expect_guarded_panics(),
    |bytes: &[u8]| {
        barkeeper_targets::run("corporate_actions", bytes);
    }
);
