//! Recovery at open: interrupted publications are finished or taken away, nothing is deleted at once.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use barkeeper_records::Timestamp;
use barkeeper_storage::{SegmentV1, StoredRow, is_held};

use crate::backup::clear;
use crate::error::{OpenError, ReadError};
use crate::folder::{self, BARS, MARKET_TRADES, STAGING, TICKS, TRASH};
use crate::manifest::id_of;
use crate::tables::Tab;
use crate::trash::{empty_at_open, retired};
use crate::view::{ReadView, View};

/// Brings the folder to what the manifest says.
///
/// A published file that is still in `staging/`, or in `trash/` again, is moved to its place. A file of ours
/// that no manifest entry names was never published, or was merged: it moves to `trash/`. A published file
/// that is gone or damaged is an error of the reads that need it: positions and trades go on without it.
pub(crate) fn recover(view: &ReadView, dir: &Path, now: Timestamp) -> Result<(), OpenError> {
    let path = dir.join(folder::DATABASE);
    let mut published = HashMap::new();
    let scanned = view.scan_prefix(Tab::Segments, &[], &mut |key, value| {
        let id = id_of(key)?;
        published.insert(id, SegmentV1::from_bytes(key, value)?.read(id)?);
        Ok(ControlFlow::Continue(()))
    });
    let retired = scanned.and_then(|()| retired(view)).map_err(|error| match error {
        ReadError::Io { source } => OpenError::Io { path: path.clone(), source },
        other => OpenError::Damaged { path: path.clone(), detail: other.to_string() },
    })?;
    for entry in published.values() {
        let place = dir.join(entry.path());
        // A move that the disk lost, into its place or back into it when a merge was undone.
        let waiting = [STAGING, TRASH].map(|part| dir.join(part).join(entry.file_name()));
        if let (false, Some(file)) = (place.exists(), waiting.iter().find(|file| file.exists())) {
            folder::rename_durably(file, &place)
                .map_err(|source| OpenError::Io { path: place.clone(), source })?;
        }
    }
    let io = |source: io::Error| OpenError::Io { path: dir.to_owned(), source };
    // A restore that was cut off has changed nothing, or is done; whoever opens the store holds what it would lock.
    // What cannot be moved or removed, such as a link to a file that is open, is so by the next open or restore.
    drop(clear(dir));
    // Before anything new comes in: what goes to the trash now stays there for this run at least.
    empty_at_open(dir, &retired, now).map_err(io)?;
    for part in [BARS, TICKS, MARKET_TRADES, STAGING] {
        for (file, id) in folder::segment_files(&dir.join(part)).map_err(io)? {
            if !published.contains_key(&id) {
                let name = file.file_name().unwrap_or_default();
                leave_held(folder::rename_durably(&file, &dir.join(TRASH).join(name))).map_err(io)?;
            }
        }
    }
    Ok(())
}

/// A file that another program holds stays where it is, for the next open to try again: it is in nobody's way.
fn leave_held(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if is_held(&error) => Ok(()),
        done => done,
    }
}
