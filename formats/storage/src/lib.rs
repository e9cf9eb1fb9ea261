//! Every byte that Barkeeper writes. `formats/FORMAT.md` draws the layouts.

mod barrows;
mod content;
mod decode;
mod encode;
mod envelope;
mod eventbatch;
mod eventchunk;
mod eventrow;
mod eventsegment;
mod factorrow;
mod hash;
mod hashing;
mod held;
mod index;
pub mod keys;
mod logrow;
mod manifest;
mod pages;
mod retired;
mod rows;
pub mod rowview;
mod segment;
mod segment_batch;
mod segment_writer;
mod slab;
mod snapshots;
mod sums;
mod verified;

pub use barrows::{
    BarV1, NumberV1, RevisionV1, STATS_PER_PAGE, SeriesStat, StatsPageV1, TombstoneV1, VersionedBar,
};
pub use content::ContentHasher;
pub use envelope::{Damage, StoredRow};
pub use eventchunk::{CHUNK_EVENTS, ChunkKind, EventChunk, VersionedEvent, encode_events};
pub use eventrow::{EventStatsV1, EventTombstoneV1};
pub use eventsegment::{EventSegment, EventWriter, StoredEvent};
pub use factorrow::{FactorV1, StoredFactor};
pub use hash::{BarHasher, EventHasher, chain, checksum, row_hash};
pub use held::{is_held, is_held_folder, remove_folder, while_held, while_held_in};
pub use index::{RunV1, SegmentIndexV1};
pub use logrow::{
    DigestV1, ExternalIdV1, HeadV1, IdentityV1, LinkV1, LogEntry, LogV1, NumberOfV1, OLDEST_STORE_FORMAT,
    RequestOrderV1, RequestV1, STORE_FORMAT, TradeIdV1, TradeOfInstrumentV1, TradeVoidV1,
};
pub use manifest::{Axis, Dataset, SegmentEntry, SegmentV1, file_name, id_of_file_name};
pub use pages::{PageSpan, RowFile};
pub use retired::{MergeV1, RetiredSegment, RetiredV1};
pub use rows::{BookV1, ImportV1, PositionV1, StoredPosition, TradeV1};
pub use segment::Segment;
pub use segment_writer::{SegmentKind, SegmentWriter, WrittenSegment};
pub use slab::{CHUNK_INSTRUMENTS, ChunkView, encode_chunk};
pub use snapshots::StrategySnapshotV1;
pub use sums::{DatabaseHeader, HEADER_BYTES, PAGE_BYTES, PageSums, page_sum};
pub use verified::{SegmentError, hash_file};
