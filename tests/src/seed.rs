//! Seeds and sizes of random tests: printed, and set through the environment to repeat a failure.

use std::env;
use std::hash::{BuildHasher, RandomState};

/// The seed of a test run: `SEED` from the environment; else, where `CI` is `true`, always the same one,
/// so that a change is judged by the same histories as the one before it; else a new one. It is printed
/// in any case.
#[allow(clippy::print_stdout, reason = "a failure is repeated with the seed that the test printed")]
pub fn seed(test: &str) -> u64 {
    let given = env::var("SEED").ok().and_then(|text| text.trim().parse().ok());
    // Six digits are enough to differ and short enough to copy.
    let in_ci = env::var("CI").is_ok_and(|value| value == "true");
    let seed = given
        .unwrap_or_else(|| if in_ci { stable(test) } else { RandomState::new().hash_one(test) % 1_000_000 });
    println!("{test}: SEED={seed}");
    seed
}

/// A number that a name has on every machine.
fn stable(name: &str) -> u64 {
    name.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % 1_000_000
}

/// How often something is tried: `quick` on every run, `soak` where `BARKEEPER_SOAK` is `1`, and
/// `quick` times its number where it is larger.
pub fn rounds(quick: usize, soak: usize) -> usize {
    match env::var("BARKEEPER_SOAK").ok().and_then(|text| text.trim().parse::<usize>().ok()) {
        None | Some(0) => quick,
        Some(1) => soak,
        Some(times) => quick.saturating_mul(times),
    }
}
