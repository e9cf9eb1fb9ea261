//! `Backoff`: how long to leave a target alone after a failure, and the random numbers for it.

use barkeeper_records::Timestamp;

/// The bound of the first pause in nanoseconds: 1 s.
const FIRST_NS: i64 = 1_000_000_000;
/// The bound of the longest pause in nanoseconds: 5 min.
const LONGEST_NS: i64 = 300 * FIRST_NS;
/// The shortest pause in nanoseconds: 0.1 s, so that luck cannot make a busy loop.
const SHORTEST_NS: i64 = FIRST_NS / 10;

/// `SplitMix64`: a small generator whose seed is passed in, so that tests repeat.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// Full jitter: each pause is random below a bound that doubles from 1 s to 5 min, at least 0.1 s.
///
/// Many desktops lose one server at the same moment; random pauses keep them from coming back at the
/// same moment.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    random: Random,
}

impl Backoff {
    /// A back-off whose random numbers come from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { failures: 0, random: Random::new(seed) }
    }

    /// Notes a failure; answers when to try again.
    pub fn failed(&mut self, now: Timestamp) -> Timestamp {
        let bound = FIRST_NS.checked_shl(self.failures).filter(|bound| (1..LONGEST_NS).contains(bound));
        self.failures = self.failures.saturating_add(1).min(32);
        let bound = bound.unwrap_or(LONGEST_NS);
        let share = self.random.next() % bound.unsigned_abs();
        let pause = i64::try_from(share).unwrap_or(bound).max(SHORTEST_NS);
        Timestamp::from_nanos(now.nanos().saturating_add(pause))
    }

    /// Notes a success: the next pause is short again.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success, counted to 32.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// The longest pause, in nanoseconds.
    pub(crate) const fn longest() -> i64 {
        LONGEST_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_minutes_and_no_further_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(7);
        let now = Timestamp::from_nanos(0);
        let mut longest = 0;
        for attempt in 0..200_u32 {
            let pause = backoff.failed(now).nanos();
            let bound = LONGEST_NS.min(FIRST_NS << attempt.min(20));
            assert!((SHORTEST_NS..=bound).contains(&pause), "{attempt}: {pause}");
            longest = longest.max(pause);
        }
        assert!(longest > LONGEST_NS / 2);
        backoff.succeeded();
        assert!(backoff.failed(now).nanos() <= FIRST_NS);
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(seed);
            std::array::from_fn::<_, 8, _>(|_| backoff.failed(Timestamp::from_nanos(5)))
        };
        assert_eq!(pauses(3), pauses(3));
        assert_ne!(pauses(3), pauses(4));
    }
}
