//! `files` and `publish`: the exact set of Parquet files that other programs may read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use barkeeper_records::{MarketTrade, SeriesKey, Tick, Timestamp, Version};
use barkeeper_storage::{
    Axis, Dataset, SegmentError, SegmentKind, SegmentWriter, VersionedBar, hash_file, keys, remove_folder,
    while_held,
};

use crate::error::{MaintenanceError, ReadResult, missing};
use crate::events::{event_files, publish_events};
use crate::folder;
use crate::ops_bars::delta_row;
use crate::report::{FileSet, PublishReport};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tables::Tab;
use crate::view::View;

/// Rows of one written file.
const FILE_ROWS: usize = 2_000_000;

/// The hot rows of a dataset: how many, and the span of each series.
#[derive(Default)]
struct HotSpans {
    rows: u64,
    spans: BTreeMap<SeriesKey, (Timestamp, Timestamp)>,
}

impl HotSpans {
    fn note(&mut self, series: SeriesKey, ts: Timestamp) {
        self.rows += 1;
        let span = self.spans.entry(series).or_insert((ts, ts));
        *span = (span.0.min(ts), span.1.max(ts));
    }
}

impl Snapshot {
    fn hot_spans(&self, dataset: Dataset) -> ReadResult<HotSpans> {
        let mut hot = HotSpans::default();
        let Dataset::Bars { interval, adjustment } = dataset else { return Ok(hot) };
        let prefix = keys::bars_of(interval, adjustment);
        self.view().scan_prefix(Tab::Slabs, &prefix, &mut |key, value| {
            let (_, _, ts, _) = keys::read_chunk(key).ok_or_else(|| missing("chunk key"))?;
            for row in barkeeper_storage::ChunkView::read(key, ts, value)?.rows() {
                hot.note(SeriesKey { interval, adjustment, instrument: row?.0 }, ts);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.view().scan_prefix(Tab::Delta, &prefix, &mut |key, value| {
            let (series, row) = delta_row(key, value)?;
            hot.note(series, row.bar.ts);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(hot)
    }

    /// How many series more than one file, or a removal, speaks of; and the span that files hold of each.
    fn overlaps(&self, dataset: Dataset) -> ReadResult<(u64, BTreeMap<SeriesKey, Timestamp>)> {
        let Dataset::Bars { interval, adjustment } = dataset else {
            return Ok((0, BTreeMap::new()));
        };
        let mut spans: BTreeMap<SeriesKey, Vec<(i64, i64)>> = BTreeMap::new();
        let cache = &self.inner().segments;
        for entry in cache.manifest(self.view())?.of(interval, adjustment, Axis::Instrument) {
            let segment = cache.segment(self.view(), entry)?;
            for (instrument, run) in segment.index().instruments() {
                let series = SeriesKey { interval, adjustment, instrument };
                spans.entry(series).or_default().push((run.first, run.last));
            }
        }
        let mut mixed = BTreeSet::new();
        let mut ends = BTreeMap::new();
        for (series, mut runs) in spans {
            runs.sort_unstable();
            if runs.windows(2).any(|pair| matches!(pair, [a, b] if b.0 <= a.1)) {
                mixed.insert(series);
            }
            let end = runs.iter().map(|run| run.1).max().unwrap_or(i64::MIN);
            ends.insert(series, Timestamp::from_nanos(end));
        }
        self.view().scan_prefix(Tab::Tombstones, &keys::bars_of(interval, adjustment), &mut |key, _| {
            let (series, _) = keys::read_tombstone(key).ok_or_else(|| missing("tombstone key"))?;
            if ends.contains_key(&series) {
                mixed.insert(series);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((mixed.len() as u64, ends))
    }
}

impl Store {
    /// The live files of a dataset on one axis. Reading all of them shows every sealed bar exactly once
    /// where `hot` and `overlaps` are 0; else [`Store::publish`] writes an exact set.
    ///
    /// # Errors
    /// `Read`.
    pub fn files(&self, dataset: Dataset, axis: Axis) -> Result<FileSet, MaintenanceError> {
        let snapshot = Snapshot::take(self.inner())?;
        match dataset {
            Dataset::Ticks => return Ok(event_files::<Tick>(self.inner(), &snapshot)?),
            Dataset::MarketTrades => return Ok(event_files::<MarketTrade>(self.inner(), &snapshot)?),
            _ => {}
        }
        let manifest = self.inner().segments.manifest(snapshot.view())?;
        let mut set = FileSet { files: Vec::new(), rows: 0, hot: 0, overlaps: 0 };
        for entry in manifest.of_dataset(dataset, axis) {
            set.files.push(self.folder().join(entry.path()));
            set.rows += entry.rows;
        }
        set.hot = snapshot.hot_spans(dataset)?.rows;
        set.overlaps = snapshot.overlaps(dataset)?.0;
        Ok(set)
    }

    /// Writes a frozen set of files of a dataset, hot bars included, every bar exactly once, into a
    /// folder that is empty or does not exist. Live segments are hard-linked where they can be used as
    /// they are, and read whole: a damaged one is an error. The folder appears whole or not at all.
    ///
    /// # Errors
    /// `NotEmpty`, `Io`, `Segment`, `Read`.
    pub fn publish(&self, dataset: Dataset, into: &Path) -> Result<PublishReport, MaintenanceError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| MaintenanceError::Io { path, source }
        };
        if into.exists() {
            if fs::read_dir(into).map_err(io(into))?.next().is_some() {
                return Err(MaintenanceError::NotEmpty { path: into.to_owned() });
            }
            while_held(into, || fs::remove_dir(into)).map_err(io(into))?;
        }
        let name = into.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let partial = into.with_file_name(format!("{name}.partial"));
        if partial.exists() {
            remove_folder(&partial).map_err(io(&partial))?;
        }
        fs::create_dir_all(&partial).map_err(io(&partial))?;
        let done = self.publish_into(dataset, &partial);
        match done {
            Ok(report) => {
                folder::sync_dir(&partial).map_err(io(&partial))?;
                folder::rename_durably(&partial, into).map_err(io(into))?;
                Ok(report)
            }
            Err(error) => {
                // The first error is the one to tell; what is left over is named as a partial set.
                drop(remove_folder(&partial));
                Err(error)
            }
        }
    }

    fn publish_into(&self, dataset: Dataset, folder: &Path) -> Result<PublishReport, MaintenanceError> {
        let snapshot = Snapshot::take(self.inner())?;
        if !matches!(dataset, Dataset::Bars { .. }) {
            return self.publish_stream(&snapshot, dataset, folder);
        }
        let hot = snapshot.hot_spans(dataset)?;
        let (mixed, ends) = snapshot.overlaps(dataset)?;
        let behind = hot.spans.iter().all(|(series, span)| ends.get(series).is_none_or(|end| span.0 > *end));
        let mut report =
            PublishReport { lsn: snapshot.lsn(), linked: 0, written: 0, rows: 0, files: Vec::new() };
        if mixed == 0 && behind {
            self.link_segments(&snapshot, dataset, folder, &mut report)?;
            let spans = hot.spans.into_iter().map(|(series, (from, to))| (series, from, to));
            write_merged(&snapshot, dataset, folder, spans, "hot", &mut report)?;
        } else {
            let Dataset::Bars { interval, adjustment } = dataset else { return Ok(report) };
            let all = snapshot.all_series(Some(interval), Some(adjustment))?;
            let spans = all.into_iter().map(|s| (s.series, s.first, s.last));
            write_merged(&snapshot, dataset, folder, spans, "merged", &mut report)?;
        }
        Ok(report)
    }

    fn publish_stream(
        &self,
        snapshot: &Snapshot,
        dataset: Dataset,
        folder: &Path,
    ) -> Result<PublishReport, MaintenanceError> {
        let mut report =
            PublishReport { lsn: snapshot.lsn(), linked: 0, written: 0, rows: 0, files: Vec::new() };
        let link = if dataset == Dataset::Ticks {
            publish_events::<Tick>(snapshot, folder, &mut report)?
        } else {
            publish_events::<MarketTrade>(snapshot, folder, &mut report)?
        };
        if link {
            self.link_segments(snapshot, dataset, folder, &mut report)?;
        }
        Ok(report)
    }

    fn link_segments(
        &self,
        snapshot: &Snapshot,
        dataset: Dataset,
        folder: &Path,
        report: &mut PublishReport,
    ) -> Result<(), MaintenanceError> {
        let manifest = self.inner().segments.manifest(snapshot.view())?;
        for entry in manifest.of_dataset(dataset, Axis::Instrument) {
            let (from, name) = (self.folder().join(entry.path()), PathBuf::from(entry.file_name()));
            let to = folder.join(&name);
            if fs::hard_link(&from, &to).is_err() {
                while_held(&from, || fs::copy(&from, &to))
                    .map_err(|source| MaintenanceError::Io { path: to.clone(), source })?;
            }
            // Whoever reads it does not go through the store, which would notice damage.
            if hash_file(&to)? != entry.blake3 {
                let detail = "its BLAKE3 is not the one it was written with".to_owned();
                return Err(SegmentError::Damaged { path: from, detail }.into());
            }
            report.linked += 1;
            report.rows += entry.rows;
            report.files.push(name);
        }
        Ok(())
    }
}

/// Writes the merged view of series as files of about two million rows.
fn write_merged(
    snapshot: &Snapshot,
    dataset: Dataset,
    folder: &Path,
    spans: impl Iterator<Item = (SeriesKey, Timestamp, Timestamp)>,
    stem: &str,
    report: &mut PublishReport,
) -> Result<(), MaintenanceError> {
    let Dataset::Bars { interval, adjustment } = dataset else { return Ok(()) };
    let kind = SegmentKind { axis: Axis::Instrument, interval, adjustment, version: Some(Version::ZERO) };
    let mut open: Option<SegmentWriter> = None;
    let mut rows = 0;
    for (series, from, to) in spans {
        let bars: Vec<VersionedBar> = snapshot.merged().range(&series, from, to)?;
        if bars.is_empty() {
            continue;
        }
        let writer = match &mut open {
            Some(writer) => writer,
            slot => {
                let name = PathBuf::from(format!("{stem}-{:04}.parquet", report.written));
                report.written += 1;
                let writer = slot.insert(SegmentWriter::create(&folder.join(&name), kind)?);
                report.files.push(name);
                writer
            }
        };
        writer.push_series(series.instrument, &bars)?;
        rows += bars.len();
        report.rows += bars.len() as u64;
        if rows >= FILE_ROWS {
            rows = 0;
            if let Some(full) = open.take() {
                full.finish()?;
            }
        }
    }
    if let Some(last) = open {
        last.finish()?;
    }
    Ok(())
}
