//! Segments on their way into the manifest: written, checked, moved to their place, published by a commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use barkeeper_records::{AdjustmentTag, Bar, Digest, InstrumentId, Interval, Lsn, Timestamp, Version};
use barkeeper_storage::{
    Axis, Dataset, EventSegment, EventWriter, NumberOfV1, Segment, SegmentEntry, SegmentError, SegmentKind,
    SegmentV1, SegmentWriter, StoredEvent, VersionedBar, WrittenSegment, file_name,
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

    /// Opens a file of ticks or market trades as readers will.
    pub(crate) fn open_events<T: StoredEvent>(&self, place: &Path) -> Result<EventSegment<T>, SegmentError> {
        let (entry, index) = self.clone().entry(Lsn::default(), self.version);
        EventSegment::open(place, entry, index)
    }

    fn entry(self, lsn: Lsn, version: Option<Version>) -> (SegmentEntry, barkeeper_storage::SegmentIndexV1) {
        let written = self.written.entry(self.id, self.axis, self.dataset, version);
        (SegmentEntry { twin: self.twin, digest: self.digest, lsn, ..written }, self.written.index)
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

/// A bar on its way into a segment.
pub(crate) trait SegmentRow: Copy + Sync {
    fn versioned(&self) -> VersionedBar;
}

impl SegmentRow for VersionedBar {
    fn versioned(&self) -> VersionedBar {
        *self
    }
}

impl SegmentRow for Bar {
    /// With a placeholder, where the publishing commit gives the version.
    fn versioned(&self) -> VersionedBar {
        VersionedBar { bar: *self, version: Version::ZERO }
    }
}

/// Writes series by day, one day of all of them at a time.
fn push_days<T: SegmentRow, R: AsRef<[T]>>(
    writer: &mut SegmentWriter,
    rows: &[(InstrumentId, R)],
) -> Result<(), MaintenanceError> {
    let ts_of = |row: &T| row.versioned().bar.ts;
    let mut stamps: Vec<Timestamp> = Vec::new();
    for (_, bars) in rows {
        // Most series have the same days; those of both are in order.
        let mut known = stamps.iter();
        if !bars.as_ref().iter().all(|row| known.by_ref().any(|ts| *ts == ts_of(row))) {
            stamps.extend(bars.as_ref().iter().map(ts_of));
            stamps.sort_unstable();
            stamps.dedup();
        }
    }
    let mut next = vec![0; rows.len()];
    let mut day = Vec::with_capacity(rows.len());
    for ts in stamps {
        day.clear();
        for ((instrument, bars), next) in rows.iter().zip(&mut next) {
            if let Some(row) = bars.as_ref().get(*next).filter(|row| ts_of(row) == ts) {
                day.push((*instrument, row.versioned()));
                *next += 1;
            }
        }
        writer.push_day(ts, &day)?;
    }
    Ok(())
}

impl Inner {
    pub(crate) fn new_id(&self) -> u128 {
        let ms = u64::try_from(self.options.clock.now().millis()).unwrap_or(0);
        u128::from(ulid::Ulid::from_parts(ms, ulid::Ulid::generate().random()))
    }

    /// Writes rows, by instrument in text order and each ascending by `ts`, as segments, on both axes for
    /// bars of one day and longer, and moves them to their places.
    pub(crate) fn prepare_segments<T: SegmentRow, R: AsRef<[T]> + Sync>(
        &self,
        common: Common,
        rows: &[(InstrumentId, R)],
    ) -> Result<Vec<Prepared>, MaintenanceError> {
        let instrument_axis = self.new_id();
        let day_axis = common.interval.is_daily_or_longer().then(|| self.new_id());
        let by_instrument = || {
            self.prepare(common, Axis::Instrument, instrument_axis, day_axis, |writer| {
                for (instrument, bars) in rows {
                    writer.push_series(*instrument, bars.as_ref().iter().map(T::versioned))?;
                }
                Ok(())
            })
        };
        let Some(id) = day_axis else { return Ok(vec![by_instrument()?]) };
        let by_day = || self.prepare(common, Axis::Day, id, Some(instrument_axis), |w| push_days(w, rows));
        if self.is_cut_at_steps() {
            // Steps are counted, so they come in one order.
            return Ok(vec![by_instrument()?, by_day()?]);
        }
        thread::scope(|scope| {
            let other = scope.spawn(by_day);
            let own = by_instrument();
            let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (own, other) {
                (Ok(own), Ok(other)) => Ok(vec![own, other]),
                (Ok(done), Err(error)) | (Err(error), Ok(done)) => {
                    discard(&[self.place(&done)]);
                    Err(error)
                }
                (Err(error), Err(_)) => Err(error),
            }
        })
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
        let create = |staged: &Path| SegmentWriter::create(staged, kind);
        let written = self.stage(id, create, fill, SegmentWriter::finish)?;
        let dataset = Dataset::Bars { interval, adjustment };
        self.move_into_place(Prepared { id, twin, axis, dataset, version, digest, written })
    }

    /// Writes one segment of ticks or market trades and moves it to its place. `fill` answers its digest.
    pub(crate) fn prepare_event_segment<T: StoredEvent>(
        &self,
        version: Option<Version>,
        fill: impl FnOnce(&mut EventWriter<T>) -> Result<Digest, MaintenanceError>,
    ) -> Result<Prepared, MaintenanceError> {
        let (id, axis, dataset) = (self.new_id(), Axis::Instrument, T::DATASET);
        let mut digest = Digest::default();
        let create = |staged: &Path| EventWriter::<T>::create(staged, version);
        let fill = |writer: &mut EventWriter<T>| {
            digest = fill(writer)?;
            Ok(())
        };
        let written = self.stage(id, create, fill, EventWriter::finish)?;
        self.move_into_place(Prepared { id, twin: None, axis, dataset, version, digest, written })
    }

    fn move_into_place(&self, prepared: Prepared) -> Result<Prepared, MaintenanceError> {
        let staged = self.dir.join(STAGING).join(file_name(prepared.id));
        let place = self.place(&prepared);
        folder::rename_durably(&staged, &place)
            .map_err(|source| MaintenanceError::Io { path: place, source })?;
        self.step("moved")?;
        Ok(prepared)
    }

    /// Writes a file in `staging/`.
    fn stage<W>(
        &self,
        id: u128,
        create: impl FnOnce(&Path) -> Result<W, SegmentError>,
        fill: impl FnOnce(&mut W) -> Result<(), MaintenanceError>,
        finish: impl FnOnce(W) -> Result<WrittenSegment, SegmentError>,
    ) -> Result<WrittenSegment, MaintenanceError> {
        let staged = self.dir.join(STAGING).join(file_name(id));
        let write = || {
            self.step("begin")?;
            let mut writer = create(&staged)?;
            self.step("created")?;
            fill(&mut writer)?;
            self.step("filled")?;
            let written = finish(writer)?;
            self.step("forced and checked")?;
            Ok(written)
        };
        write().inspect_err(|error: &MaintenanceError| {
            // What a crash leaves is an orphan; what fails otherwise is not left behind.
            if !error.is_cut() {
                discard(std::slice::from_ref(&staged));
            }
        })
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
