//! The trash: files of segments that left the manifest, and orphans, until their time is over.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use barkeeper_records::Timestamp;
use barkeeper_storage::{RetiredSegment, RetiredV1, StoredRow, is_held};
use serde::Serialize;

use crate::error::{MaintenanceError, ReadResult};
use crate::folder::{self, TRASH};
use crate::manifest::id_of;
use crate::snapshot::Snapshot;
use crate::store::{Inner, Store};
use crate::tables::Tab;
use crate::upkeep::Upkeep;
use crate::view::View;

/// How long an orphan stays in `trash/`: 7 days, by the time in its own name.
const ORPHAN_MS: u64 = 7 * 86_400 * 1_000;
/// Segments that one commit gives up.
const STEP_SEGMENTS: usize = 64;

/// A file that waits to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrashedFile {
    /// Where it stands: in `trash/`, or still at its place where an open snapshot may need it.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Until when it stays; `None` for what was never published.
    pub until: Option<Timestamp>,
}

impl TrashedFile {
    /// Whether it has waited long enough: its time is over, and it is one that the store knows.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// What became of the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TrashReport {
    /// Files that were moved into it.
    pub moved: u64,
    /// Files that were deleted.
    pub deleted: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Files that stay because an open snapshot or another program has them.
    pub held: u64,
}

/// Segments that have left the manifest.
pub(crate) type Retired = HashMap<u128, RetiredSegment>;

pub(crate) fn retired(view: &impl View) -> ReadResult<Retired> {
    let mut found = Retired::new();
    view.scan_prefix(Tab::Retired, &[], &mut |key, value| {
        let id = id_of(key)?;
        found.insert(id, RetiredV1::from_bytes(key, value)?.read(id)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Deletes what has waited long enough, at open: nobody reads yet.
pub(crate) fn empty_at_open(dir: &Path, retired: &Retired, now: Timestamp) -> io::Result<()> {
    let now_ms = u64::try_from(now.millis()).unwrap_or(0);
    for (path, id) in folder::segment_files(&dir.join(TRASH))? {
        let over = match retired.get(&id) {
            Some(retired) => retired.until <= now,
            None => ulid::Ulid::from(id).timestamp_ms().saturating_add(ORPHAN_MS) < now_ms,
        };
        if over {
            match fs::remove_file(path) {
                // Whoever holds it lets it go some day: the next open tries again.
                Err(error) if !is_held(&error) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> MaintenanceError {
    let path = path.to_owned();
    move |source| MaintenanceError::Io { path, source }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

impl Store {
    /// The files that wait to be deleted, in the order of their names.
    ///
    /// # Errors
    /// `Io`, `Read`.
    pub fn trash(&self) -> Result<Vec<TrashedFile>, MaintenanceError> {
        let retired = retired(Snapshot::take(self.inner())?.view())?;
        let folder = self.folder().join(TRASH);
        let mut found = Vec::new();
        for (path, id) in folder::segment_files(&folder).map_err(io_error(&folder))? {
            let until = retired.get(&id).map(|one| one.until);
            found.push(TrashedFile { bytes: length(&path), path, until });
        }
        for one in retired.values() {
            let path = self.folder().join(one.entry.path());
            if path.exists() {
                found.push(TrashedFile { bytes: length(&path), path, until: Some(one.until) });
            }
        }
        found.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
        Ok(found)
    }

    /// Deletes the files whose time is over, or with `all` every file that waits; merges whose files go
    /// cannot be undone any more. Files that an open snapshot may need stay.
    ///
    /// # Errors
    /// `Io`, `Read`, `Commit`.
    pub fn empty_trash(&self, all: bool) -> Result<TrashReport, MaintenanceError> {
        let _alone = self.inner().maintaining();
        sweep(self.inner(), all)
    }
}

/// Moves retired files into the trash and deletes those whose time is over. The caller sees to it that no
/// other maintenance goes on.
pub(crate) fn sweep(inner: &std::sync::Arc<Inner>, all: bool) -> Result<TrashReport, MaintenanceError> {
    let mut report = TrashReport::default();
    let retired = retired(Snapshot::take(inner)?.view())?;
    let (needed, now) = (inner.leases.needed(), inner.options.clock.now());
    let trash = inner.dir.join(TRASH);
    let mut over = Vec::new();
    for (id, one) in &retired {
        let place = inner.dir.join(one.entry.path());
        let is_needed = needed.is_some_and(|generation| generation <= one.generation);
        if is_needed || !inner.segments.let_go(*id) {
            report.held += 1;
            continue;
        }
        if place.exists() {
            inner.step("before a file goes to the trash")?;
            match folder::rename_durably(&place, &trash.join(one.entry.file_name())) {
                Ok(()) => report.moved += 1,
                Err(error) if is_held(&error) => {
                    report.held += 1;
                    continue;
                }
                Err(error) => return Err(io_error(&place)(error)),
            }
        }
        if all || one.until <= now {
            over.push(*id);
        }
    }
    over.sort_unstable();
    for part in over.chunks(STEP_SEGMENTS) {
        // First nobody can want them back, then they are deleted; a file that is left is an orphan.
        inner.step("before segments are given up")?;
        inner.upkeep(Upkeep::Forget { ids: part.to_vec(), now })?;
        for id in part {
            inner.step("before a file is deleted")?;
            delete(&trash.join(barkeeper_storage::file_name(*id)), &mut report)?;
        }
    }
    if all {
        for (path, id) in folder::segment_files(&trash).map_err(io_error(&trash))? {
            if !retired.contains_key(&id) {
                delete(&path, &mut report)?;
            }
        }
    }
    Ok(report)
}

fn delete(path: &Path, report: &mut TrashReport) -> Result<(), MaintenanceError> {
    let bytes = length(path);
    match fs::remove_file(path) {
        Ok(()) => {
            report.deleted += 1;
            report.bytes += bytes;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if is_held(&error) => report.held += 1,
        Err(error) => return Err(io_error(path)(error)),
    }
    Ok(())
}
