//! Every table of `store.redb`. Keys and values are bytes; `barkeeper-storage` lays them out.

use redb::TableDefinition;

pub(crate) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A table of the hot store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub(crate) enum Tab { $($(#[$doc])* $name,)* }

        impl Tab {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub(crate) const fn definition(self) -> Definition {
                match self { $(Self::$name => TableDefinition::new($text),)* }
            }
        }
    };
}

tables! {
    /// `identity` and `head`.
    Meta = "meta",
    /// account, book, instrument -> position or tombstone.
    Positions = "positions",
    /// account, book -> trading day of the last increment.
    Books = "books",
    /// account, time, id -> trade record.
    Trades = "trades",
    /// id -> key of the trade record.
    TradeIds = "trade_ids",
    /// account, instrument, time, id -> nothing.
    TradesByInstrument = "trades_by_instrument",
    /// account, trading day, the broker's number -> id.
    TradesByExternalId = "trades_by_external_id",
    /// id of a voided record -> id of the record that voids it.
    TradeVoids = "trade_voids",
    /// interval, adjustment, time, first instrument -> chunk of a slab.
    Slabs = "bar_slabs",
    /// series, time -> bar.
    Delta = "bar_delta",
    /// series, time, replacing version -> older content of a bar.
    Revisions = "bar_revisions",
    /// instrument, ex-day -> corporate action or tombstone.
    Factors = "factors",
    /// table, minute, LSN, place, first instrument -> chunk of ticks or market trades of many instruments.
    EventSlabs = "event_slabs",
    /// table, instrument, first time and sequence -> chunk of one instrument.
    EventBlocks = "event_blocks",
    /// table, instrument, time, sequence -> removed tick or market trade.
    EventTombstones = "event_tombstones",
    /// table, page of instrument numbers -> first, last and count.
    EventStats = "event_stats",
    /// series, LSN, place -> removed range.
    Tombstones = "bar_tombstones",
    /// interval, adjustment, page of instrument numbers -> first, last and count.
    Stats = "series_stats",
    /// instrument -> its number in this file.
    Instruments = "instruments",
    /// ULID -> manifest entry of a live segment.
    Segments = "segments",
    /// ULID -> runs and block checksums of a live segment.
    SegmentIndexes = "segment_indexes",
    /// LSN, place in the batch -> log record.
    Log = "log",
    /// table, group, period -> digest.
    Digests = "digests",
    /// client, request id -> LSN and sequence.
    Requests = "requests",
    /// client, sequence -> request id.
    RequestOrder = "request_order",
    /// target -> acknowledged LSN.
    Targets = "targets",
    /// strategy, time, number -> saved state or tombstone.
    StrategySnapshots = "strategy_snapshots",
    /// BLAKE3 of a file -> where its rows came from.
    Imports = "imports",
    /// ULID -> manifest entry of a segment that left the manifest.
    Retired = "retired_segments",
    /// generation of the manifest -> the merge that made it.
    Merges = "merges",
}

/// The key of the store's identity in `meta`.
pub(crate) const IDENTITY: &[u8] = b"identity";
/// The key of the head in `meta`.
pub(crate) const HEAD: &[u8] = b"head";
/// The key of the manifest's generation in `meta`.
pub(crate) const GENERATION: &[u8] = b"generation";
