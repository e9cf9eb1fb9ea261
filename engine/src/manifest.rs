//! The manifest in memory: which segments a snapshot sees, and the open files.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use barkeeper_records::{AdjustmentTag, Interval, MarketTrade, Tick};
use barkeeper_storage::{
    Axis, Dataset, EventSegment, NumberOfV1, Segment, SegmentEntry, SegmentIndexV1, SegmentV1, StoredRow,
};

use crate::error::{ReadResult, missing};
use crate::open_files::OpenFiles;
use crate::tables::{GENERATION, Tab};
use crate::view::View;

/// The live segments of one generation of the manifest, in the order of publication.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) generation: u64,
    pub(crate) entries: Vec<SegmentEntry>,
}

impl Manifest {
    /// The segments of the bars of an interval and adjustment on one axis.
    pub(crate) fn of(
        &self,
        interval: Interval,
        adjustment: AdjustmentTag,
        axis: Axis,
    ) -> impl Iterator<Item = &SegmentEntry> {
        self.of_dataset(Dataset::Bars { interval, adjustment }, axis)
    }

    /// The segments of a dataset on one axis.
    pub(crate) fn of_dataset(&self, dataset: Dataset, axis: Axis) -> impl Iterator<Item = &SegmentEntry> {
        self.entries.iter().filter(move |entry| entry.dataset == dataset && entry.axis == axis)
    }

    fn load(view: &impl View, generation: u64) -> ReadResult<Self> {
        let mut entries = Vec::new();
        view.scan_prefix(Tab::Segments, &[], &mut |key, value| {
            let id = id_of(key)?;
            entries.push(SegmentV1::from_bytes(key, value)?.read(id)?);
            Ok(ControlFlow::Continue(()))
        })?;
        entries.sort_by_key(|entry| (entry.lsn, entry.id));
        Ok(Self { generation, entries })
    }
}

/// The id of a segment's key.
pub(crate) fn id_of(key: &[u8]) -> ReadResult<u128> {
    let text = std::str::from_utf8(key).ok().and_then(|text| ulid::Ulid::from_string(text).ok());
    text.map(u128::from).ok_or_else(|| missing("segment id"))
}

/// The key of a segment's id.
pub(crate) fn key_of(id: u128) -> Vec<u8> {
    ulid::Ulid::from(id).to_string().into_bytes()
}

/// The generation of the manifest that a view sees.
pub(crate) fn generation(view: &impl View) -> ReadResult<u64> {
    Ok(view.row::<NumberOfV1>(Tab::Meta, GENERATION)?.map_or(0, |row| row.value))
}

/// Open segments and the newest manifest, shared by all readers.
#[derive(Debug)]
pub(crate) struct SegmentCache {
    root: PathBuf,
    newest: RwLock<Arc<Manifest>>,
    open: OpenFiles<Segment>,
    pub(crate) ticks: OpenFiles<EventSegment<Tick>>,
    pub(crate) market_trades: OpenFiles<EventSegment<MarketTrade>>,
}

impl SegmentCache {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            newest: RwLock::default(),
            open: OpenFiles::default(),
            ticks: OpenFiles::default(),
            market_trades: OpenFiles::default(),
        }
    }

    /// The manifest that a view sees.
    pub(crate) fn manifest(&self, view: &impl View) -> ReadResult<Arc<Manifest>> {
        let wanted = generation(view)?;
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner).clone();
        if newest.generation == wanted {
            return Ok(newest);
        }
        let loaded = Arc::new(Manifest::load(view, wanted)?);
        let mut slot = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if slot.generation < wanted {
            *slot = loaded.clone();
        }
        Ok(loaded)
    }

    /// Forgets the newest manifest: it may be that of a commit that failed.
    pub(crate) fn forget(&self) {
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// An open segment.
    pub(crate) fn segment(&self, view: &impl View, entry: &SegmentEntry) -> ReadResult<Arc<Segment>> {
        self.open.get(entry.id, || {
            let index: SegmentIndexV1 =
                view.row(Tab::SegmentIndexes, &key_of(entry.id))?.ok_or_else(|| missing("segment index"))?;
            Ok(Segment::open(&self.root.join(entry.path()), entry.clone(), index)?)
        })
    }

    /// Closes a segment that no manifest names any more; false where somebody reads it still.
    pub(crate) fn let_go(&self, id: u128) -> bool {
        self.open.let_go(id) && self.ticks.let_go(id) && self.market_trades.let_go(id)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}
