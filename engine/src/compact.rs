//! Space: how much of a store is in use, how much is dead, and giving the dead part back.

use std::path::Path;

use barkeeper_records::{MarketTrade, Tick};
use barkeeper_storage::{Axis, Dataset};
use serde::Serialize;

use crate::error::{MaintenanceError, ReadResult};
use crate::events::EventSummary;
use crate::folder::{self, STAGING};
use crate::maintenance::{MergeOptions, MergeReport};
use crate::options::StoreOptions;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tables::Tab;
use crate::trash::TrashReport;

/// Passes over the database at the most; each moves what the one before could not.
const PASSES: usize = 16;

/// Where the bytes of a store are. All but `database_used_bytes`, `database_page_bytes` and the live part
/// of segments can be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Space {
    /// Bytes of `store.redb`.
    pub database_bytes: u64,
    /// Keys and values in it.
    pub database_used_bytes: u64,
    /// What the pages that hold them take beside: inner pages and room inside of pages.
    pub database_page_bytes: u64,
    /// The rest: free pages, which later commits fill and [`Store::compact`] gives back.
    pub database_free_bytes: u64,
    /// Bytes of live segments, both axes.
    pub segment_bytes: u64,
    /// Rows in live segments, on one axis, that no reader sees: a newer version stands elsewhere, or they
    /// were removed. Merging drops those that it meets.
    pub superseded_rows: u64,
    /// Bytes of live segments that such rows take, judged by the number of rows.
    pub superseded_bytes: u64,
    /// Files of segments that left the manifest, and orphans.
    pub trash_files: u64,
    /// Their bytes.
    pub trash_bytes: u64,
    /// Bytes in `staging/`.
    pub staging_bytes: u64,
    /// States that restores have kept aside.
    pub former_states: u64,
    /// Bytes that these alone take: what the store still has as well is not counted.
    pub former_bytes: u64,
}

/// What [`Store::compact`] does beside making `store.redb` smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactOptions {
    /// Merge segments until one is left for each interval, adjustment and month of bars shorter than a day,
    /// for each day of ticks and for each month of market trades.
    pub merge: bool,
    /// Delete what waits in the trash. Merges cannot be undone then.
    pub empty_trash: bool,
}

/// What is sealed of one kind of rows.
#[derive(Debug, Clone, Copy, Default)]
struct Sealed {
    /// On one axis.
    rows: u64,
    /// On both.
    bytes: u64,
}

impl Sealed {
    /// Adds what is dead of it, where so many rows are live in all tiers and so many are hot.
    fn tell(self, live: u64, hot: u64, space: &mut Space) {
        // A row that is hot alone makes no sealed row dead.
        let dead = (self.rows + hot).saturating_sub(live).min(self.rows);
        space.superseded_rows += dead;
        let share = u128::from(self.bytes) * u128::from(dead) / u128::from(self.rows.max(1));
        space.superseded_bytes += u64::try_from(share).unwrap_or(u64::MAX);
    }
}

/// What compaction did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompactReport {
    /// Before it.
    pub before: Space,
    /// After it.
    pub after: Space,
    /// What was merged.
    pub merges: Vec<MergeReport>,
    /// What became of the trash.
    pub trash: TrashReport,
}

impl Store {
    /// Where the bytes of the store are. Walks the inner pages of the database.
    ///
    /// # Errors
    /// `Read`, `Io`.
    pub fn space(&self) -> Result<Space, MaintenanceError> {
        let snapshot = Snapshot::take(self.inner())?;
        let mut space = self.database_space(&snapshot)?;
        let manifest = self.inner().segments.manifest(snapshot.view())?;
        // What is dead is told for each kind of rows: a row of one takes more bytes than of another.
        let [mut bars, mut ticks, mut trades] = [Sealed::default(); 3];
        for entry in &manifest.entries {
            space.segment_bytes += entry.bytes;
            let of = match entry.dataset {
                Dataset::Ticks => &mut ticks,
                Dataset::MarketTrades => &mut trades,
                _ => &mut bars,
            };
            of.bytes += entry.bytes;
            of.rows += if entry.axis == Axis::Instrument { entry.rows } else { 0 };
        }
        let live = snapshot.all_series(None, None)?.iter().map(|series| series.count).sum();
        bars.tell(live, snapshot.hot_bars()?, &mut space);
        let live = |all: Vec<EventSummary>| all.iter().map(|one| one.count).sum();
        ticks.tell(live(snapshot.all_ticks()?), snapshot.hot_events::<Tick>()?, &mut space);
        trades.tell(live(snapshot.all_market_trades()?), snapshot.hot_events::<MarketTrade>()?, &mut space);
        for file in self.trash()? {
            space.trash_files += 1;
            space.trash_bytes += file.bytes;
        }
        let staging = self.folder().join(STAGING);
        space.staging_bytes = crate::stats::bytes_below(&staging)
            .map_err(|source| MaintenanceError::Io { path: staging, source })?;
        for state in self.former_states()? {
            space.former_states += 1;
            space.former_bytes += state.own_bytes;
        }
        Ok(space)
    }

    fn database_space(&self, snapshot: &Snapshot) -> ReadResult<Space> {
        let mut space = Space::default();
        for tab in Tab::ALL {
            let (used, beside) = snapshot.view().bytes(*tab)?;
            space.database_used_bytes += used;
            space.database_page_bytes += beside;
        }
        let file = self.folder().join(folder::DATABASE);
        space.database_bytes = std::fs::metadata(&file).map_or(0, |data| data.len());
        let taken = space.database_used_bytes + space.database_page_bytes;
        space.database_free_bytes = space.database_bytes.saturating_sub(taken);
        Ok(space)
    }

    /// Gives dead space back, of a store that nobody has open. `progress` hears of rows merged and rows in
    /// all. Where the disk fails, everything that is stored stays: the database is moved page by page in
    /// commits, and a file is deleted only when nothing refers to it.
    ///
    /// # Errors
    /// `Open` where the store cannot be opened; every variant of [`Store::merge`]; `Compact` where the
    /// database's own compaction fails.
    pub fn compact(
        dir: &Path,
        options: StoreOptions,
        what: &CompactOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<CompactReport, MaintenanceError> {
        let store = Self::open(dir, StoreOptions { background: false, ..options })?;
        store.compact_open(*what, progress)
    }

    /// Compacts a store that was opened for nothing else.
    pub(crate) fn compact_open(
        self,
        what: CompactOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<CompactReport, MaintenanceError> {
        let before = self.space()?;
        let mut merges = Vec::new();
        if what.merge {
            merges = self.merge(&MergeOptions { whole: true, interval: None }, progress)?;
        }
        let trash = self.empty_trash(what.empty_trash)?;
        self.inner().step("before the database is compacted")?;
        for _ in 0..PASSES {
            let moved = self.inner().hot.compact();
            let moved = moved.map_err(|detail| MaintenanceError::Compact { detail })?;
            if !moved {
                break;
            }
        }
        self.inner().step("after the database is compacted")?;
        let after = self.space()?;
        Ok(CompactReport { before, after, merges, trash })
    }
}
