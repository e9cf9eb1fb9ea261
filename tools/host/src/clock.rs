//! `SystemClock`: the machine's clock, the only place where it is read.

use std::time::{SystemTime, UNIX_EPOCH};

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_a_year_in_which_this_program_exists() {
        let now = SystemClock.now();
        assert!(now > "2024-01-01T00:00:00Z".parse().unwrap(), "{now}");
    }
}
