//! Segments on their way into the manifest: written, checked, moved to their place, published by a commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use barkeeper_records::{AdjustmentTag, Digest, InstrumentId, Interval, Lsn, Timestamp, Version};
use barkeeper_storage::{
    Axis, Dataset, NumberOfV1, Segment, SegmentEntry, SegmentError, SegmentKind, SegmentV1, SegmentWriter,
    VersionedBar, WrittenSegment, file_name,
};

use crate::error::{CommitResult, MaintenanceError};
use crate::folder::{self, STAGING};
use crate::manifest::{generation, key_of};
use crate::session::Session;
use crate::store::Inner;
use crate::tables::{GENERATION, Tab};

/// Rows of one interval and adjustment, by instrument in text order, each ascending by `ts`.
pub(crate) type Rows = Vec<(InstrumentId, Vec<VersionedBar>)>;

/// A segment that stands at its place and is not in the manifest yet.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    id: u128,
    twin: Option<u128>,
    axis: Axis,
    dataset: Dataset,
    /// The version of all rows, where it is one.
    version: Option<Version>,
    digest: Digest,
    written: WrittenSegment,
}

impl Prepared {
    /// A segment of ticks or market trades.
    pub(crate) const fn of_events(
        id: u128,
        dataset: Dataset,
        version: Option<Version>,
        digest: Digest,
        written: WrittenSegment,
    ) -> Self {
        Self { id, twin: None, axis: Axis::Instrument, dataset, version, digest, written }
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.written.bytes
    }

    pub(crate) const fn id(&self) -> u128 {
        self.id
    }

    /// With the digest of its rows, where it was not known before they were written.
    pub(crate) fn with_digest(self, digest: Digest) -> Self {
        Self { digest, ..self }
    }

    /// Opens the file as readers will.
    pub(crate) fn open(&self, place: &Path) -> Result<Segment, SegmentError> {
        let (entry, index) = self.clone().entry(Lsn::default(), self.version);
        Segment::open(place, entry, index)
    }

    fn entry(self, lsn: Lsn, version: Option<Version>) -> (SegmentEntry, barkeeper_storage::SegmentIndexV1) {
        let WrittenSegment { rows, first, last, first_day, last_day, bytes, blake3, index } = self.written;
        let entry = SegmentEntry {
            id: self.id,
            axis: self.axis,
            twin: self.twin,
            dataset: self.dataset,
            rows,
            first,
            last,
            first_day,
            last_day,
            version,
            bytes,
            blake3,
            digest: self.digest,
            lsn,
        };
        (entry, index)
    }
}

/// What the rows of a publication have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Common {
    pub(crate) interval: Interval,
    pub(crate) adjustment: AdjustmentTag,
    /// The version of all rows, where it is one; a placeholder where the publishing commit gives it.
    pub(crate) version: Option<Version>,
    pub(crate) digest: Digest,
}

impl Inner {
    pub(crate) fn new_id(&self) -> u128 {
        let ms = u64::try_from(self.options.clock.now().millis()).unwrap_or(0);
        u128::from(ulid::Ulid::from_parts(ms, ulid::Ulid::generate().random()))
    }

    /// Writes rows as segments, on both axes for bars of one day and longer, and moves them to their places.
    pub(crate) fn prepare_segments(
        &self,
        common: Common,
        rows: &Rows,
    ) -> Result<Vec<Prepared>, MaintenanceError> {
        let instrument_axis = self.new_id();
        let day_axis = common.interval.is_daily_or_longer().then(|| self.new_id());
        let mut prepared =
            vec![self.prepare(common, Axis::Instrument, instrument_axis, day_axis, |writer| {
                for (instrument, bars) in rows {
                    writer.push_series(*instrument, bars)?;
                }
                Ok(())
            })?];
        if let Some(id) = day_axis {
            let mut days: BTreeMap<Timestamp, Vec<(InstrumentId, VersionedBar)>> = BTreeMap::new();
            for (instrument, bars) in rows {
                for bar in bars {
                    days.entry(bar.bar.ts).or_default().push((*instrument, *bar));
                }
            }
            prepared.push(self.prepare(common, Axis::Day, id, Some(instrument_axis), |writer| {
                for (ts, bars) in &days {
                    writer.push_day(*ts, bars)?;
                }
                Ok(())
            })?);
        }
        Ok(prepared)
    }

    /// Writes one segment and moves it to its place.
    pub(crate) fn prepare(
        &self,
        common: Common,
        axis: Axis,
        id: u128,
        twin: Option<u128>,
        fill: impl FnOnce(&mut SegmentWriter) -> Result<(), MaintenanceError>,
    ) -> Result<Prepared, MaintenanceError> {
        let Common { interval, adjustment, version, digest } = common;
        let kind = SegmentKind { axis, interval, adjustment, version };
        let staged = self.dir.join(STAGING).join(file_name(id));
        let written = self.write_staged(&staged, kind, fill).inspect_err(|error| {
            // What a crash leaves is an orphan; what fails otherwise is not left behind.
            if !error.is_cut() {
                discard(std::slice::from_ref(&staged));
            }
        })?;
        let dataset = Dataset::Bars { interval, adjustment };
        let prepared = Prepared { id, twin, axis, dataset, version, digest, written };
        let place = self.place(&prepared);
        folder::rename_durably(&staged, &place)
            .map_err(|source| MaintenanceError::Io { path: place, source })?;
        self.step("moved")?;
        Ok(prepared)
    }

    fn write_staged(
        &self,
        staged: &Path,
        kind: SegmentKind,
        fill: impl FnOnce(&mut SegmentWriter) -> Result<(), MaintenanceError>,
    ) -> Result<WrittenSegment, MaintenanceError> {
        self.step("begin")?;
        let mut writer = SegmentWriter::create(staged, kind)?;
        self.step("created")?;
        fill(&mut writer)?;
        self.step("filled")?;
        let written = writer.finish()?;
        self.step("forced and checked")?;
        Ok(written)
    }

    pub(crate) fn place(&self, prepared: &Prepared) -> PathBuf {
        self.dir.join(prepared.dataset.folder()).join(file_name(prepared.id))
    }
}

/// Takes away segments that will not be published; what cannot be taken away is an orphan that the next
/// open moves to the trash.
pub(crate) fn discard(places: &[PathBuf]) {
    for place in places {
        drop(fs::remove_file(place));
    }
}

impl Session<'_, '_> {
    /// Enters segments into the manifest. `version` is that of all rows, where the commit gives it.
    pub(crate) fn publish(&mut self, prepared: Vec<Prepared>, version: Option<Version>) -> CommitResult<()> {
        let lsn = if self.changed { self.lsn } else { Lsn(self.head.lsn) };
        for one in prepared {
            let version = one.version.map(|own| version.unwrap_or(own));
            let id = one.id;
            let (entry, index) = one.entry(lsn, version);
            self.staged.put_row(Tab::Segments, key_of(id), &SegmentV1::of(&entry));
            self.staged.put_row(Tab::SegmentIndexes, key_of(id), &index);
        }
        let next = generation(&self.staged)? + 1;
        self.staged.put_row(Tab::Meta, GENERATION.to_vec(), &NumberOfV1 { value: next });
        self.noted = true;
        Ok(())
    }
}
