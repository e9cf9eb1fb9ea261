//! Rows beside chunks of ticks and market trades: tombstones and statistics.

use barkeeper_records::Version;
use bincode::{Decode, Encode};

use crate::barrows::{STATS_PER_PAGE, SeriesStat};
use crate::envelope::{Damage, StoredRow};

/// The tombstone of one tick or market trade: hides every lower version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct EventTombstoneV1 {
    version: u64,
}

impl StoredRow for EventTombstoneV1 {
    const WHAT: &'static str = "tombstone of a tick or market trade";
    const KIND: u8 = 28;
}

impl EventTombstoneV1 {
    /// The row of a tombstone.
    pub const fn of(version: Version) -> Self {
        Self { version: version.raw() }
    }

    /// Its version.
    ///
    /// # Errors
    /// `Layout` for a number that is no version.
    pub fn read(&self) -> Result<Version, Damage> {
        Version::from_raw(self.version).ok_or(Damage::Layout { what: Self::WHAT, detail: "version" })
    }
}

/// First, last and count of the ticks or market trades of 64 neighbouring instrument numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct EventStatsV1 {
    entries: Vec<SeriesStat>,
}

impl StoredRow for EventStatsV1 {
    const WHAT: &'static str = "statistics of ticks or market trades";
    const KIND: u8 = 29;
}

impl EventStatsV1 {
    /// The statistics of an instrument number; zeros where there are none.
    pub fn get(&self, number: u32) -> SeriesStat {
        let slot = usize::try_from(number % STATS_PER_PAGE).unwrap_or(0);
        self.entries.get(slot).copied().unwrap_or_default()
    }

    /// Sets the statistics of an instrument number.
    pub fn set(&mut self, number: u32, stat: SeriesStat) {
        let slot = usize::try_from(number % STATS_PER_PAGE).unwrap_or(0);
        if self.entries.len() <= slot {
            self.entries.resize(slot + 1, SeriesStat::default());
        }
        if let Some(entry) = self.entries.get_mut(slot) {
            *entry = stat;
        }
    }
}
