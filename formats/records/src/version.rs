//! `Version`: a hybrid logical clock that orders all writes of a row, on every device.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// 2020-01-01T00:00:00Z in milliseconds since 1970.
const EPOCH_MS: i64 = 1_577_836_800_000;
const MS_BITS: u32 = 41;
const COUNTER_BITS: u32 = 10;
const DEVICE_BITS: u32 = 12;

/// A row's version: 41 bits of milliseconds since 2020, 10 bits of counter, 12 bits of device.
///
/// The highest version of a row wins, in every tier and in every target. Fits a signed 64-bit column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// Below every version that is ever given out.
    pub const ZERO: Self = Self(0);
    /// Highest device number.
    pub const MAX_DEVICE: u16 = (1 << DEVICE_BITS) - 1;

    /// The version of a stored number; `None` where it does not fit 63 bits.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw >> (MS_BITS + COUNTER_BITS + DEVICE_BITS) == 0 { Some(Self(raw)) } else { None }
    }

    /// The number that is stored.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The device that wrote it, 0 to 4095.
    pub const fn device(self) -> u16 {
        (self.0 & ((1 << DEVICE_BITS) - 1)) as u16
    }

    /// The clock's time when it was written, in whole milliseconds.
    pub fn time(self) -> Timestamp {
        let ms = (self.0 >> (COUNTER_BITS + DEVICE_BITS)) as i64 + EPOCH_MS;
        Timestamp::from_millis(ms).unwrap_or(Timestamp::MAX)
    }

    /// The lowest version that a clock can give at this instant or later; `ZERO` before 2020.
    pub fn floor_of(instant: Timestamp) -> Self {
        let ms = u64::try_from(instant.millis() - EPOCH_MS).unwrap_or(0);
        Self(ms.min((1 << MS_BITS) - 1) << (COUNTER_BITS + DEVICE_BITS))
    }
}

/// The version clock cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HlcError {
    /// The clock shows a time after 2089.
    #[error("the version clock has reached its end in 2089")]
    Exhausted,
    /// The number does not fit 12 bits.
    #[error("device {device} is above 4095")]
    Device {
        /// What was given.
        device: u16,
    },
}

/// The clock that gives versions: never twice the same, never backwards, whatever the wall clock does.
#[derive(Debug, Clone)]
pub struct Hlc {
    last: Version,
    device: u16,
}

impl Hlc {
    /// A clock of a device that has already given (or seen) `last`.
    ///
    /// # Errors
    /// `Device` above 4095.
    pub fn new(device: u16, last: Version) -> Result<Self, HlcError> {
        if device > Version::MAX_DEVICE {
            Err(HlcError::Device { device })
        } else {
            Ok(Self { last, device })
        }
    }

    /// The highest version given or seen.
    pub const fn last(&self) -> Version {
        self.last
    }

    /// The next version: the wall clock's where that is ahead, else one above the last.
    ///
    /// # Errors
    /// `Exhausted` after the year 2089.
    pub fn next(&mut self, now: Timestamp) -> Result<Version, HlcError> {
        let wall = Version::floor_of(now).0 >> DEVICE_BITS;
        let tick = wall.max((self.last.0 >> DEVICE_BITS) + 1);
        if tick >> (MS_BITS + COUNTER_BITS) != 0 {
            return Err(HlcError::Exhausted);
        }
        self.last = Version(tick << DEVICE_BITS | u64::from(self.device));
        Ok(self.last)
    }

    /// Moves the clock past a version that came from elsewhere.
    pub fn see(&mut self, version: Version) {
        self.last = self.last.max(version);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_version_carries_time_and_device() {
        let now: Timestamp = "2026-11-20T01:02:03.456Z".parse().unwrap();
        let version = Hlc::new(7, Version::ZERO).unwrap().next(now).unwrap();
        assert_eq!((version.time(), version.device()), (now, 7));
        assert!(Hlc::new(4096, Version::ZERO).is_err());
    }

    proptest! {
        #[test]
        fn versions_only_grow_whatever_the_clock_does(clock in prop::collection::vec(0_i64..4_000_000_000_000, 1..200)) {
            let mut hlc = Hlc::new(1, Version::ZERO).unwrap();
            let mut last = Version::ZERO;
            for ms in clock {
                let next = hlc.next(Timestamp::from_millis(ms).unwrap_or_default());
                let Ok(next) = next else { break };
                prop_assert!(next > last);
                last = next;
            }
        }
    }
}
