//! `SystemClock`: the machine's clock, the only place where it is read.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use barkeeper_records::{Clock, Timestamp};

/// The wall clock of the machine, in UTC.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        let nanos = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        Timestamp::from_nanos(nanos)
    }

    fn steady(&self) -> i64 {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        i64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_a_year_in_which_this_program_exists() {
        let now = SystemClock.now();
        assert!(now > "2024-01-01T00:00:00Z".parse().unwrap(), "{now}");
    }

    #[test]
    fn the_steady_clock_goes_on_and_never_back() {
        let first = SystemClock.steady();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(first >= 0 && SystemClock.steady() >= first + 2_000_000);
    }
}
