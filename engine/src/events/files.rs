//! `files` and `publish` for ticks and market trades.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use barkeeper_records::{InstrumentId, Timestamp, Version};
use barkeeper_storage::{Axis, ChunkKind, EventChunk, EventWriter, keys};

use super::Event;
use crate::error::{MaintenanceError, ReadResult, missing};
use crate::report::{FileSet, PublishReport};
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::tables::Tab;
use crate::view::View;

/// Rows of one written file, and of one window while it is written.
const FILE_ROWS: u64 = 2_000_000;
const WINDOW: usize = 65_536;

/// First and last `ts` of each instrument.
type Spans = BTreeMap<InstrumentId, (Timestamp, Timestamp)>;

fn hot_spans<T: Event>(snapshot: &Snapshot) -> ReadResult<(u64, Spans)> {
    let mut spans = Spans::new();
    let mut rows = 0;
    for (tab, kind) in [(Tab::EventSlabs, ChunkKind::Slab), (Tab::EventBlocks, ChunkKind::Block)] {
        snapshot.view().scan_prefix(tab, &keys::event_table(T::TABLE), &mut |key, value| {
            EventChunk::read::<T>(kind, key, value)?.each::<T>(|instrument, row| {
                let ts = row.event.place().ts;
                rows += 1;
                let span = spans.entry(instrument).or_insert((ts, ts));
                *span = (span.0.min(ts), span.1.max(ts));
            })?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok((rows, spans))
}

/// How many instruments more than one file, or a removal, speaks of; and where the files of each end.
fn overlaps<T: Event>(snapshot: &Snapshot) -> ReadResult<(u64, BTreeMap<InstrumentId, Timestamp>)> {
    let mut spans: BTreeMap<InstrumentId, Vec<(i64, i64)>> = BTreeMap::new();
    let cache = &snapshot.inner().segments;
    for entry in cache.manifest(snapshot.view())?.of_dataset(T::DATASET, Axis::Instrument) {
        let segment = cache.events::<T>(snapshot.view(), entry)?;
        for (instrument, run) in segment.index().instruments() {
            spans.entry(instrument).or_default().push((run.first, run.last));
        }
    }
    let mut mixed = BTreeSet::new();
    let mut ends = BTreeMap::new();
    for (instrument, mut runs) in spans {
        runs.sort_unstable();
        if runs.windows(2).any(|pair| matches!(pair, [a, b] if b.0 <= a.1)) {
            mixed.insert(instrument);
        }
        let end = runs.iter().map(|run| run.1).max().unwrap_or(i64::MIN);
        ends.insert(instrument, Timestamp::from_nanos(end));
    }
    snapshot.view().scan_prefix(Tab::EventTombstones, &keys::event_table(T::TABLE), &mut |key, _| {
        let (_, instrument, _) = keys::read_event(key).ok_or_else(|| missing("tombstone key"))?;
        if ends.contains_key(&instrument) {
            mixed.insert(instrument);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((mixed.len() as u64, ends))
}

/// The live files of a dataset of events.
pub(crate) fn event_files<T: Event>(inner: &Inner, snapshot: &Snapshot) -> ReadResult<FileSet> {
    let manifest = inner.segments.manifest(snapshot.view())?;
    let mut set = FileSet { files: Vec::new(), rows: 0, hot: 0, overlaps: 0 };
    for entry in manifest.of_dataset(T::DATASET, Axis::Instrument) {
        set.files.push(inner.dir.join(entry.path()));
        set.rows += entry.rows;
    }
    set.hot = hot_spans::<T>(snapshot)?.0;
    set.overlaps = overlaps::<T>(snapshot)?.0;
    Ok(set)
}

/// Fills a folder with an exact set of files: live ones as they are where they can be used, hot rows beside
/// them; else everything merged. Answers whether live segments are to be linked.
pub(crate) fn publish_events<T: Event>(
    snapshot: &Snapshot,
    folder: &Path,
    report: &mut PublishReport,
) -> Result<bool, MaintenanceError> {
    let (_, hot) = hot_spans::<T>(snapshot)?;
    let (mixed, ends) = overlaps::<T>(snapshot)?;
    let behind = hot.iter().all(|(instrument, span)| ends.get(instrument).is_none_or(|end| span.0 > *end));
    let linked = mixed == 0 && behind;
    let spans: Spans = if linked {
        hot
    } else {
        let all = snapshot.event_summaries::<T>()?;
        all.into_iter().map(|one| (one.instrument, (one.first, one.last))).collect()
    };
    let stem = if linked { "hot" } else { "merged" };
    let mut open: Option<EventWriter<T>> = None;
    let mut rows = 0;
    for (instrument, (from, to)) in spans {
        let mut failed = Ok(());
        snapshot.events().walk::<T>(&instrument, from, to, WINDOW, &mut |found| {
            failed = (|| {
                let writer = match &mut open {
                    Some(writer) => writer,
                    slot => {
                        let name = PathBuf::from(format!("{stem}-{:04}.parquet", report.written));
                        report.written += 1;
                        let writer = EventWriter::create(&folder.join(&name), Some(Version::ZERO))?;
                        report.files.push(name);
                        slot.insert(writer)
                    }
                };
                writer.push(instrument, &found)?;
                rows += found.len() as u64;
                report.rows += found.len() as u64;
                if rows >= FILE_ROWS {
                    rows = 0;
                    if let Some(full) = open.take() {
                        full.finish()?;
                    }
                }
                Ok::<(), MaintenanceError>(())
            })();
            Ok(if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        failed?;
    }
    if let Some(last) = open {
        last.finish()?;
    }
    Ok(linked)
}
