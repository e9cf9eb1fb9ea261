//! The manifest in memory: which segments a snapshot sees, and the open files.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use barkeeper_records::{AdjustmentTag, Interval, MarketTrade, Tick};
use barkeeper_storage::{
    Axis, Dataset, NumberOfV1, Segment, SegmentEntry, SegmentIndexV1, SegmentV1, StoredRow,
};

use crate::error::{ReadResult, missing};
use crate::events::OpenSegments;
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
    open: Mutex<HashMap<u128, Arc<Segment>>>,
    pub(crate) ticks: OpenSegments<Tick>,
    pub(crate) market_trades: OpenSegments<MarketTrade>,
}

impl SegmentCache {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            newest: RwLock::default(),
            open: Mutex::default(),
            ticks: Mutex::default(),
            market_trades: Mutex::default(),
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
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(segment) = open.get(&entry.id) {
            return Ok(segment.clone());
        }
        let index: SegmentIndexV1 =
            view.row(Tab::SegmentIndexes, &key_of(entry.id))?.ok_or_else(|| missing("segment index"))?;
        let path = self.root.join(entry.path());
        let segment = Arc::new(Segment::open(&path, entry.clone(), index)?);
        open.insert(entry.id, segment.clone());
        Ok(segment)
    }

    /// Closes a segment that no manifest names any more; false where somebody reads it still.
    pub(crate) fn let_go(&self, id: u128) -> bool {
        close(&self.open, id) && close(&self.ticks, id) && close(&self.market_trades, id)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

/// Closes a segment; false where somebody reads it still.
fn close<S>(open: &Mutex<HashMap<u128, Arc<S>>>, id: u128) -> bool {
    let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
    let is_read = open.get(&id).is_some_and(|segment| Arc::strong_count(segment) > 1);
    if !is_read {
        open.remove(&id);
    }
    !is_read
}
