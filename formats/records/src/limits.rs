//! Every limit of the data model, with its unit and its reason.

/// Operations in one batch. A batch is evaluated in memory while the writer is held.
pub const BATCH_OPERATIONS: usize = 100_000;
/// Bars in one batch that is committed to the hot tier; larger amounts go through a bulk import.
pub const BATCH_BARS: usize = 200_000;
/// Ticks and market trades in one batch; larger amounts go through a bulk import.
pub const BATCH_EVENTS: usize = 200_000;
/// Bytes of a trade record's remark.
pub const REMARK_BYTES: usize = 4_096;
/// Bytes of a trade record's other texts, so that they fit an indexed column of every target.
pub const TEXT_BYTES: usize = 255;
/// Bytes of a request id and of its client's name.
pub const REQUEST_ID_BYTES: usize = 64;
/// Request ids that the store remembers for each client; an older retry is taken for a new batch.
pub const REQUEST_IDS_PER_CLIENT: u64 = 4_096;
/// Bytes of a strategy's saved state; the change feed ships it in one row, and targets keep it in one column.
pub const STRATEGY_SNAPSHOT_BYTES: usize = 4 * 1024 * 1024;
/// Days in which missed increments are named, so that a store opened after years answers shortly.
pub const MISSED_DAYS: usize = 366;
/// Days that a daily increment may lie ahead of the clock: the longest closed week of a market and then
/// some. Further ahead, a typing error would lock the book until that day.
pub const DAYS_AHEAD: i32 = 31;
/// Targets of one store; each has a cursor into the change log.
pub const TARGETS: usize = 16;
/// Bytes of the change log before its oldest part is dropped and lagging targets resync by digest.
pub const LOG_BYTES: u64 = 256 * 1024 * 1024;
/// Nanoseconds after which the oldest part of the change log is dropped: 7 days.
pub const LOG_AGE_NS: i64 = 7 * 86_400 * 1_000_000_000;
/// Bytes that one read of the change feed returns at the most, give or take one row.
pub const FEED_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Nanoseconds in a digest period: 30 days.
pub const PERIOD_NS: i64 = 30 * 86_400 * 1_000_000_000;
/// Nanoseconds after which a point snapshot expires: 60 s. The database keeps every page that an open
/// snapshot may see, so one that is held for long makes the file grow.
pub const SNAPSHOT_AGE_NS: i64 = 60 * 1_000_000_000;
/// Bytes of disk that a store keeps back, so that trades, positions and snapshots go on when nothing else is free: 64 MiB,
/// some hundred thousand of their commits.
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Bars, ticks and imports stop where less than this part of the reserve is free beside it: a half, 32 MiB, so that
/// those that are under way end before the ledger needs the reserve.
pub const RESERVE_TO_ROOM_FOR_BARS: u64 = 2;
/// The reserve is given up where less than this part of it is free, or than a commit is about to write: an eighth, 8 MiB,
/// because redb copies the pages that it changes.
pub const RESERVE_TO_ROOM_FOR_COMMITS: u64 = 8;
/// Without the reserve nothing is written where less than this part of it is free: a 64th, 1 MiB, so that a commit does not
/// fail in the middle.
pub const RESERVE_TO_LAST_ROOM: u64 = 64;
/// Bytes of disk that an operation of the ledger takes at the most, its indexes and log record with it, as the
/// guard of the reserve reckons.
pub const OPERATION_DISK_BYTES: u64 = 16 * 1024;
/// Bytes of disk that a bar (on both axes), a tick or a market trade takes in segments, as the guard of the reserve reckons before an import.
pub const SEALED_ROW_BYTES: u64 = 96;
/// Snapshots and scans that may be open at once: more are a leak, and each may hold pages or files.
pub const OPEN_SNAPSHOTS: usize = 1_024;
