//! Records of the change log, bucket digests and the store's own facts.

use barkeeper_records::{
    AdjustmentTag, Digest, InstrumentId, Interval, Lsn, RangeTombstone, SeriesKey, Table, Timestamp, Version,
};
use bincode::{Decode, Encode};

use crate::envelope::{Damage, StoredRow};
use crate::hash::chain;

/// What a log record names. The image of a row is read when it is shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEntry {
    /// One row of a table, by its store key.
    Key {
        /// Which table.
        table: Table,
        /// The key under which the row stands.
        key: Vec<u8>,
    },
    /// The merged view of a series from `from` to `to`, both included.
    Series {
        /// Which series.
        series: SeriesKey,
        /// First `ts`.
        from: Timestamp,
        /// Last `ts`.
        to: Timestamp,
    },
    /// The merged view of all instruments at one `ts`.
    CrossSection {
        /// The length of the bars.
        interval: Interval,
        /// How their prices were adjusted.
        adjustment: AdjustmentTag,
        /// Their `ts`.
        ts: Timestamp,
    },
    /// Bars that were removed.
    Delete(RangeTombstone),
    /// The merged view of ticks or market trades of the instruments from `first` to `last` and the instants
    /// from `from` to `to`, all included.
    Events {
        /// Which table.
        table: Table,
        /// First instrument in text order.
        first: InstrumentId,
        /// Last instrument.
        last: InstrumentId,
        /// First `ts`.
        from: Timestamp,
        /// Last `ts`.
        to: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
enum EntryV1 {
    Key { table: u8, key: Vec<u8> },
    Series { prefix: Vec<u8>, from: i64, to: i64 },
    CrossSection { interval: u32, adjustment: u8, ts: i64 },
    Delete { prefix: Vec<u8>, from: i64, to: i64, version: u64 },
    Events { table: u8, first: String, last: String, from: i64, to: i64 },
}

/// A record of the change log; LSN and place in the batch stand in the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LogV1 {
    entry: EntryV1,
    version: u64,
    written_ms: i64,
    chain: u64,
}

impl StoredRow for LogV1 {
    const WHAT: &'static str = "log record";
    const KIND: u8 = 10;
}

fn prefix(series: &SeriesKey) -> Vec<u8> {
    crate::keys::series(series)
}

fn series_of(prefix: &[u8]) -> Result<SeriesKey, Damage> {
    let bad = Damage::Layout { what: LogV1::WHAT, detail: "series" };
    crate::keys::read_series(prefix).ok_or(bad)
}

impl LogV1 {
    /// The record of an entry, chained to the record before it.
    pub fn of(entry: &LogEntry, lsn: Lsn, version: Version, written: Timestamp, previous: u64) -> Self {
        let entry = match entry {
            LogEntry::Key { table, key } => EntryV1::Key { table: table.code(), key: key.clone() },
            LogEntry::Series { series, from, to } => {
                EntryV1::Series { prefix: prefix(series), from: from.nanos(), to: to.nanos() }
            }
            LogEntry::CrossSection { interval, adjustment, ts } => EntryV1::CrossSection {
                interval: interval.code(),
                adjustment: adjustment.code(),
                ts: ts.nanos(),
            },
            LogEntry::Delete(t) => EntryV1::Delete {
                prefix: prefix(&t.series),
                from: t.from.nanos(),
                to: t.to.nanos(),
                version: t.version.raw(),
            },
            LogEntry::Events { table, first, last, from, to } => EntryV1::Events {
                table: table.code(),
                first: first.to_string(),
                last: last.to_string(),
                from: from.nanos(),
                to: to.nanos(),
            },
        };
        let mut record = Self { entry, version: version.raw(), written_ms: written.millis(), chain: 0 };
        record.chain = record.link(lsn, previous);
        record
    }

    fn link(&self, lsn: Lsn, previous: u64) -> u64 {
        let unchained = Self { chain: 0, ..self.clone() };
        let bytes = bincode::encode_to_vec(&unchained, bincode::config::standard()).unwrap_or_default();
        chain(previous, lsn.0, &bytes)
    }

    /// Whether the record follows the one whose chain hash is `previous`.
    pub fn follows(&self, lsn: Lsn, previous: u64) -> bool {
        self.link(lsn, previous) == self.chain
    }

    /// The chain hash up to and with this record.
    pub const fn chain(&self) -> u64 {
        self.chain
    }

    /// When it was written, in milliseconds since 1970.
    pub const fn written_ms(&self) -> i64 {
        self.written_ms
    }

    /// What it names.
    ///
    /// # Errors
    /// `Layout` for a value that no entry has.
    pub fn entry(&self, lsn: Lsn) -> Result<LogEntry, Damage> {
        let bad = |detail| Damage::Layout { what: Self::WHAT, detail };
        Ok(match &self.entry {
            EntryV1::Key { table, key } => LogEntry::Key {
                table: Table::from_code(*table).ok_or_else(|| bad("table"))?,
                key: key.clone(),
            },
            EntryV1::Series { prefix, from, to } => LogEntry::Series {
                series: series_of(prefix)?,
                from: Timestamp::from_nanos(*from),
                to: Timestamp::from_nanos(*to),
            },
            EntryV1::CrossSection { interval, adjustment, ts } => LogEntry::CrossSection {
                interval: Interval::from_code(*interval).ok_or_else(|| bad("interval"))?,
                adjustment: AdjustmentTag::from_code(*adjustment).ok_or_else(|| bad("adjustment"))?,
                ts: Timestamp::from_nanos(*ts),
            },
            EntryV1::Delete { prefix, from, to, version } => LogEntry::Delete(RangeTombstone {
                series: series_of(prefix)?,
                from: Timestamp::from_nanos(*from),
                to: Timestamp::from_nanos(*to),
                version: Version::from_raw(*version).ok_or_else(|| bad("version"))?,
                lsn,
            }),
            EntryV1::Events { table, first, last, from, to } => {
                let name =
                    |text: &str| InstrumentId::from_trusted(text.as_bytes()).ok_or_else(|| bad("instrument"));
                LogEntry::Events {
                    table: Table::from_code(*table).ok_or_else(|| bad("table"))?,
                    first: name(first)?,
                    last: name(last)?,
                    from: Timestamp::from_nanos(*from),
                    to: Timestamp::from_nanos(*to),
                }
            }
        })
    }
}

/// The digest of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DigestV1 {
    count: u64,
    low: u64,
    high: u64,
    last_lsn: u64,
}

impl StoredRow for DigestV1 {
    const WHAT: &'static str = "bucket digest";
    const KIND: u8 = 11;
}

impl DigestV1 {
    /// The row of a digest.
    pub const fn of(digest: &Digest, last_lsn: Lsn) -> Self {
        Self { count: digest.count, low: digest.low, high: digest.high, last_lsn: last_lsn.0 }
    }

    /// The digest and the last LSN that changed a row of the bucket.
    pub const fn read(&self) -> (Digest, Lsn) {
        (Digest { count: self.count, low: self.low, high: self.high }, Lsn(self.last_lsn))
    }
}

/// The newest store format that this program reads and writes.
pub const STORE_FORMAT: u32 = 1;
/// The oldest store format that this program reads.
pub const OLDEST_STORE_FORMAT: u32 = 1;

/// Who the store is; written once, and by each restore.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct IdentityV1 {
    /// The store's format; a program refuses one that is newer than its own.
    pub format: u32,
    /// Random, made with the store.
    pub store_id: u128,
    /// The device number in versions.
    pub device: u16,
    /// Grows with each restore.
    pub epoch: u64,
    /// When the store was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// Restores, oldest first: the epoch that each began, the last LSN that the backup held, and the LSN
    /// behind which the epoch's commits begin. What was committed between the two is lost.
    pub restored: Vec<[u64; 3]>,
}

impl IdentityV1 {
    /// The last LSN before this one that was not lost; `None` where this one was not.
    pub fn kept_before(&self, lsn: u64) -> Option<u64> {
        let lost = |[_, kept, next]: &&[u64; 3]| *kept < lsn && lsn < *next;
        self.restored.iter().filter(lost).map(|[_, kept, _]| *kept).min()
    }
}

impl StoredRow for IdentityV1 {
    const WHAT: &'static str = "store identity";
    const KIND: u8 = 12;
}

/// Where the store stands; rewritten by every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct HeadV1 {
    /// The last committed LSN.
    pub lsn: u64,
    /// The hash chain at it.
    pub chain: u64,
    /// The highest version given or seen.
    pub version: u64,
    /// The first LSN that the log still holds; `lsn` + 1 where it is empty.
    pub tail: u64,
    /// The hash chain just before the tail.
    pub tail_chain: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// The next instrument number.
    pub instruments: u32,
}

impl StoredRow for HeadV1 {
    const WHAT: &'static str = "head";
    const KIND: u8 = 13;
}

/// A request id that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RequestV1 {
    /// Under which LSN.
    pub lsn: u64,
    /// Its place in the client's order.
    pub sequence: u64,
}

impl StoredRow for RequestV1 {
    const WHAT: &'static str = "request id";
    const KIND: u8 = 14;
}

/// An entry of an index: the key of the row that it leads to; empty where the entry's own key says all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct LinkV1<const KIND: u8> {
    /// The key.
    pub to: Vec<u8>,
}

impl<const KIND: u8> StoredRow for LinkV1<KIND> {
    const WHAT: &'static str = "index entry";
    const KIND: u8 = KIND;
}

/// In `trade_ids`: id to the key of the record.
pub type TradeIdV1 = LinkV1<15>;
/// In `trades_by_instrument`: says all in its key.
pub type TradeOfInstrumentV1 = LinkV1<16>;
/// In `trades_by_external_id`: the broker's number to the id.
pub type ExternalIdV1 = LinkV1<17>;
/// In `trade_voids`: the voided id to the id that voids it.
pub type TradeVoidV1 = LinkV1<18>;
/// In `request_order`: a place to the key of the request.
pub type RequestOrderV1 = LinkV1<19>;

/// A single number: a target's acknowledged LSN, the manifest's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct NumberOfV1 {
    /// The number.
    pub value: u64,
}

impl StoredRow for NumberOfV1 {
    const WHAT: &'static str = "number";
    const KIND: u8 = 20;
}
