//! Rows of the bar tables beside slabs: delta bars, revisions, range tombstones, series statistics.

use barkeeper_records::{Bar, Lsn, RangeTombstone, SeriesKey, Timestamp, TradingDay, Version};
use bincode::{Decode, Encode};

use crate::envelope::{Damage, StoredRow};

const fn broken(what: &'static str, detail: &'static str) -> Damage {
    Damage::Layout { what, detail }
}

/// A bar with the version that wrote it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VersionedBar {
    /// The bar.
    pub bar: Bar,
    /// Its version.
    pub version: Version,
}

/// A bar in the delta; its series and `ts` stand in the key.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct BarV1 {
    trading_day: i32,
    numbers: [f64; 7],
    version: u64,
}

impl StoredRow for BarV1 {
    const WHAT: &'static str = "bar";
    const KIND: u8 = 5;
}

impl BarV1 {
    /// The row of a bar.
    pub fn of(row: &VersionedBar) -> Self {
        Self {
            trading_day: row.bar.trading_day.days(),
            numbers: row.bar.numbers(),
            version: row.version.raw(),
        }
    }

    /// The bar at a key's `ts`.
    ///
    /// # Errors
    /// `Layout` for a value that no bar has.
    pub fn read(&self, ts: Timestamp) -> Result<VersionedBar, Damage> {
        let day = TradingDay::from_days(self.trading_day).ok_or(broken(Self::WHAT, "trading_day"))?;
        let version = Version::from_raw(self.version).ok_or(broken(Self::WHAT, "version"))?;
        Ok(VersionedBar { bar: Bar::from_numbers(ts, day, self.numbers), version })
    }
}

/// An older content of a bar and the versions between which it was the present one.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct RevisionV1 {
    trading_day: i32,
    numbers: [f64; 7],
    known_from: u64,
    known_to: u64,
}

impl StoredRow for RevisionV1 {
    const WHAT: &'static str = "bar revision";
    const KIND: u8 = 6;
}

impl RevisionV1 {
    /// The row of a bar that a newer version replaces.
    pub fn of(old: &VersionedBar, replaced_by: Version) -> Self {
        Self {
            trading_day: old.bar.trading_day.days(),
            numbers: old.bar.numbers(),
            known_from: old.version.raw(),
            known_to: replaced_by.raw(),
        }
    }

    /// The bar at a key's `ts` with its own version, and the version that replaced it.
    ///
    /// # Errors
    /// `Layout` for a value that no bar has.
    pub fn read(&self, ts: Timestamp) -> Result<(VersionedBar, Version), Damage> {
        let day = TradingDay::from_days(self.trading_day).ok_or(broken(Self::WHAT, "trading_day"))?;
        let version = |raw| Version::from_raw(raw).ok_or(broken(Self::WHAT, "version"));
        let bar = Bar::from_numbers(ts, day, self.numbers);
        Ok((VersionedBar { bar, version: version(self.known_from)? }, version(self.known_to)?))
    }
}

/// A range tombstone; its series and LSN stand in the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TombstoneV1 {
    from: i64,
    to: i64,
    version: u64,
}

impl StoredRow for TombstoneV1 {
    const WHAT: &'static str = "range tombstone";
    const KIND: u8 = 7;
}

impl TombstoneV1 {
    /// The row of a range tombstone.
    pub fn of(tombstone: &RangeTombstone) -> Self {
        Self { from: tombstone.from.nanos(), to: tombstone.to.nanos(), version: tombstone.version.raw() }
    }

    /// The tombstone of a key's series and LSN.
    ///
    /// # Errors
    /// `Layout` for a value that no tombstone has.
    pub fn read(&self, series: SeriesKey, lsn: Lsn) -> Result<RangeTombstone, Damage> {
        Ok(RangeTombstone {
            series,
            from: Timestamp::from_nanos(self.from),
            to: Timestamp::from_nanos(self.to),
            version: Version::from_raw(self.version).ok_or(broken(Self::WHAT, "version"))?,
            lsn,
        })
    }
}

/// First, last and count of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct SeriesStat {
    /// How many bars; 0 where there is none.
    pub count: u64,
    /// `ts` of the first bar.
    pub first: i64,
    /// `ts` of the last bar.
    pub last: i64,
}

/// Instruments whose statistics share a page.
pub const STATS_PER_PAGE: u32 = 64;

/// The statistics of 64 neighbouring instrument numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct StatsPageV1 {
    entries: Vec<SeriesStat>,
}

impl StoredRow for StatsPageV1 {
    const WHAT: &'static str = "series statistics";
    const KIND: u8 = 8;
}

impl StatsPageV1 {
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

/// The number of an instrument inside one store file; never leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct NumberV1 {
    /// Counted from 0 in the order of first sight.
    pub number: u32,
}

impl StoredRow for NumberV1 {
    const WHAT: &'static str = "instrument number";
    const KIND: u8 = 9;
}
