//! Ticks and market trades: streams of rows that come in large numbers and are seldom corrected.
//!
//! Hot rows stand in chunks of about 64 in two tables. *Slabs* take what many instruments bring at once,
//! as it came. *Blocks* hold one instrument each, without overlaps: runs of one instrument, corrections,
//! and what comes in drops. The highest version of a key wins, here, in segments and between them.

mod delete;
mod feed;
mod files;
mod import;
mod merge;
mod read;
mod seal;
mod snapshot;
mod stats;
mod verify;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use barkeeper_records::{InstrumentId, Lsn, MarketTrade, Table, Tick, Timestamp, TradingDay};
use barkeeper_storage::{EventSegment, EventStatsV1, StoredEvent};

use crate::commit::Task;
use crate::manifest::SegmentCache;
use crate::open_files::OpenFiles;

pub(crate) use feed::{EventRange, bucket_rows, range_rows, row_of_key, row_of_values};
pub(crate) use files::{event_files, publish_events};
pub(crate) use import::{EventImportPlan, import_events};
pub(crate) use merge::merge_events;
pub(crate) use seal::{has_old_events, seal_events};
pub use stats::EventSummary;
pub(crate) use write::check_size;

/// An event that the engine keeps.
pub(crate) trait Event: StoredEvent {
    /// Where its open segments are kept.
    fn open(cache: &SegmentCache) -> &OpenFiles<EventSegment<Self>>;

    /// The task of an import.
    fn import_task(plan: EventImportPlan<Self>) -> Task;

    /// Which segment a row belongs to: one for each number.
    fn partition(ts: Timestamp) -> i32;
}

impl Event for Tick {
    fn open(cache: &SegmentCache) -> &OpenFiles<EventSegment<Self>> {
        &cache.ticks
    }

    fn import_task(plan: EventImportPlan<Self>) -> Task {
        Task::ImportTicks(Box::new(plan))
    }

    fn partition(ts: Timestamp) -> i32 {
        TradingDay::of_utc(ts).map_or(0, TradingDay::days)
    }
}

impl Event for MarketTrade {
    fn open(cache: &SegmentCache) -> &OpenFiles<EventSegment<Self>> {
        &cache.market_trades
    }

    fn import_task(plan: EventImportPlan<Self>) -> Task {
        Task::ImportMarketTrades(Box::new(plan))
    }

    fn partition(ts: Timestamp) -> i32 {
        TradingDay::of_utc(ts).map_or(0, |day| {
            let date = day.date();
            i32::from(date.year()) * 12 + i32::from(date.month())
        })
    }
}

/// Streams that a commit changed.
pub(crate) type Streams = BTreeSet<(Table, InstrumentId)>;

/// What one batch changes beside rows.
#[derive(Debug, Default)]
pub(crate) struct EventChanges {
    /// Pages of statistics by table and page.
    pub(crate) stats: BTreeMap<(Table, u32), EventStatsV1>,
    /// Streams that were written to.
    pub(crate) streams: Streams,
    /// Slabs that were written.
    pub(crate) slabs: u32,
}

/// The last commit of this process that changed each stream.
pub(crate) type ChangedStreams = Mutex<HashMap<(Table, InstrumentId), Lsn>>;

/// Nanoseconds of one slab: rows of one append that lie in one of these stand together.
const SLAB_NS: i64 = 60_000_000_000;

/// The start of the slab in which an instant lies.
pub(crate) const fn slab_of(ts: Timestamp) -> Timestamp {
    Timestamp::from_nanos(ts.nanos().div_euclid(SLAB_NS).saturating_mul(SLAB_NS))
}
