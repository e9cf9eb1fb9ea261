//! Entries of the manifest: which segments there are, what is in them, and how to verify them.

use std::fmt;

use barkeeper_records::{AdjustmentTag, Digest, Interval, Lsn, Timestamp, TradingDay, Version};
use bincode::{Decode, Encode};

use crate::envelope::{Damage, StoredRow};

/// By what the rows of a segment are clustered. The numbers are format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Axis {
    /// Instrument, then `ts`.
    Instrument = 1,
    /// `ts`, then instrument.
    Day = 2,
}

/// What the rows of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dataset {
    /// Bars of one interval and adjustment.
    Bars {
        /// The length of the bars.
        interval: Interval,
        /// How their prices were adjusted.
        adjustment: AdjustmentTag,
    },
    /// Ticks.
    Ticks,
    /// Market trades.
    MarketTrades,
}

impl Dataset {
    /// The folder of its segments inside the store, with forward slashes.
    pub fn folder(self) -> String {
        match self {
            Self::Bars { interval, .. } => format!("bars/{interval}"),
            Self::Ticks => "ticks".to_owned(),
            Self::MarketTrades => "market_trades".to_owned(),
        }
    }

    /// The number that stands in the manifest.
    const fn code(self) -> u8 {
        match self {
            Self::Bars { .. } => 1,
            Self::Ticks => 2,
            Self::MarketTrades => 3,
        }
    }

    /// Interval and adjustment as the manifest has them: 0 where the rows are no bars.
    const fn bar_codes(self) -> (u32, u8) {
        match self {
            Self::Bars { interval, adjustment } => (interval.code(), adjustment.code()),
            Self::Ticks | Self::MarketTrades => (0, 0),
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bars { interval, adjustment } => write!(f, "bars {interval} {adjustment}"),
            Self::Ticks => f.pad("ticks"),
            Self::MarketTrades => f.pad("market trades"),
        }
    }
}

/// A segment as the manifest knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentEntry {
    /// A ULID; the file is named after it.
    pub id: u128,
    /// By what the rows are clustered.
    pub axis: Axis,
    /// The segment with the same rows on the other axis.
    pub twin: Option<u128>,
    /// What the rows are.
    pub dataset: Dataset,
    /// How many rows.
    pub rows: u64,
    /// First `ts`.
    pub first: Timestamp,
    /// Last `ts`.
    pub last: Timestamp,
    /// First trading day.
    pub first_day: TradingDay,
    /// Last trading day.
    pub last_day: TradingDay,
    /// The version of all rows, where it is one; else the file has a column `version`.
    pub version: Option<Version>,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file.
    pub blake3: [u8; 32],
    /// The digest of all rows.
    pub digest: Digest,
    /// The commit that published it.
    pub lsn: Lsn,
}

impl SegmentEntry {
    /// The file's place inside the store, with forward slashes.
    pub fn path(&self) -> String {
        format!("{}/{}", self.dataset.folder(), self.file_name())
    }

    /// The file's name.
    pub fn file_name(&self) -> String {
        file_name(self.id)
    }
}

/// The file name of a segment: its ULID in lower case, because Windows folds case, and `.parquet`.
pub fn file_name(id: u128) -> String {
    format!("{}.parquet", ulid::Ulid::from(id).to_string().to_ascii_lowercase())
}

/// The id of a file name that a segment may have; `None` for any other name.
pub fn id_of_file_name(name: &str) -> Option<u128> {
    let stem = name.strip_suffix(".parquet")?;
    let id = u128::from(ulid::Ulid::from_string(&stem.to_ascii_uppercase()).ok()?);
    (file_name(id) == name).then_some(id)
}

/// The stored form of [`SegmentEntry`]; the id stands in the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SegmentV1 {
    dataset: u8,
    axis: u8,
    twin: Option<u128>,
    interval: u32,
    adjustment: u8,
    rows: u64,
    first: i64,
    last: i64,
    first_day: i32,
    last_day: i32,
    version: Option<u64>,
    bytes: u64,
    blake3: [u8; 32],
    digest: [u64; 3],
    lsn: u64,
}

impl StoredRow for SegmentV1 {
    const WHAT: &'static str = "manifest entry";
    const KIND: u8 = 21;
}

impl SegmentV1 {
    /// The stored form of an entry.
    pub fn of(entry: &SegmentEntry) -> Self {
        let (interval, adjustment) = entry.dataset.bar_codes();
        Self {
            dataset: entry.dataset.code(),
            axis: entry.axis as u8,
            twin: entry.twin,
            interval,
            adjustment,
            rows: entry.rows,
            first: entry.first.nanos(),
            last: entry.last.nanos(),
            first_day: entry.first_day.days(),
            last_day: entry.last_day.days(),
            version: entry.version.map(Version::raw),
            bytes: entry.bytes,
            blake3: entry.blake3,
            digest: [entry.digest.count, entry.digest.low, entry.digest.high],
            lsn: entry.lsn.0,
        }
    }

    /// The entry of a segment's id.
    ///
    /// # Errors
    /// `Layout` for a value that no entry has.
    pub fn read(&self, id: u128) -> Result<SegmentEntry, Damage> {
        let bad = |detail| Damage::Layout { what: Self::WHAT, detail };
        let day = |days| TradingDay::from_days(days).ok_or_else(|| bad("day"));
        let [count, low, high] = self.digest;
        Ok(SegmentEntry {
            id,
            axis: match self.axis {
                1 => Axis::Instrument,
                2 => Axis::Day,
                _ => return Err(bad("axis")),
            },
            twin: self.twin,
            dataset: match (self.dataset, self.interval, self.adjustment) {
                (1, interval, adjustment) => Dataset::Bars {
                    interval: Interval::from_code(interval).ok_or_else(|| bad("interval"))?,
                    adjustment: AdjustmentTag::from_code(adjustment).ok_or_else(|| bad("adjustment"))?,
                },
                (2, 0, 0) => Dataset::Ticks,
                (3, 0, 0) => Dataset::MarketTrades,
                _ => return Err(bad("dataset")),
            },
            rows: self.rows,
            first: Timestamp::from_nanos(self.first),
            last: Timestamp::from_nanos(self.last),
            first_day: day(self.first_day)?,
            last_day: day(self.last_day)?,
            version: match self.version {
                Some(raw) => Some(Version::from_raw(raw).ok_or_else(|| bad("version"))?),
                None => None,
            },
            bytes: self.bytes,
            blake3: self.blake3,
            digest: Digest { count, low, high },
            lsn: Lsn(self.lsn),
        })
    }
}
