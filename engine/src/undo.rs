//! Undoing a merge: its inputs come back from the trash, its outputs go there.

use barkeeper_records::Timestamp;
use barkeeper_storage::{
    Dataset, MergeV1, RetiredSegment, RetiredV1, SegmentEntry, SegmentV1, StoredRow, hash_file, keys,
};
use serde::Serialize;

use crate::error::{MaintenanceError, ReadResult, missing};
use crate::folder::{self, TRASH};
use crate::maintenance::as_text;
use crate::manifest::key_of;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tables::Tab;
use crate::upkeep::Upkeep;
use crate::view::View;

/// A merge that was undone or can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UndoReport {
    /// What its rows are.
    #[serde(serialize_with = "as_text")]
    pub dataset: Dataset,
    /// When it was merged.
    pub merged: Timestamp,
    /// Until when it can be undone.
    pub until: Timestamp,
    /// Files that are live again.
    pub restored: u64,
    /// Files that go to the trash.
    pub retired: u64,
    /// Rows in the files that are live again, on one axis, those among them that are hidden or removed.
    pub rows: u64,
}

/// A merge with its inputs, none of which has to be looked for any more.
struct Candidate {
    generation: u64,
    merge: MergeV1,
    inputs: Vec<RetiredSegment>,
}

fn refused(detail: impl Into<String>) -> MaintenanceError {
    MaintenanceError::NotUndone { detail: detail.into() }
}

impl Store {
    /// Undoes the last merge that is not undone yet: the segments that it read are live again, what it
    /// wrote goes to the trash. No row changes. Background maintenance leaves the segments alone until the
    /// merge's time is over; [`Store::merge`] does not. `dry_run` tells what would be done.
    ///
    /// # Errors
    /// `NotUndone` where there is nothing to undo, its time is over, a later merge has taken its outputs,
    /// or one of its files is missing or damaged; `Io`, `Read`, `Commit`.
    pub fn undo(&self, dry_run: bool) -> Result<UndoReport, MaintenanceError> {
        let inner = self.inner();
        let _alone = inner.maintaining();
        let Candidate { generation, merge, inputs } =
            candidate(&Snapshot::take(inner)?, inner.options.clock.now())?;
        let time = |ms| Timestamp::from_millis(ms).ok_or_else(|| missing("time of a merge"));
        let dataset = inputs.first().map(|one| one.entry.dataset);
        let dataset = dataset.ok_or_else(|| missing("input of a merge"))?;
        let on_one_axis = |one: &&RetiredSegment| one.entry.axis == barkeeper_storage::Axis::Instrument;
        let report = UndoReport {
            dataset,
            merged: time(merge.merged_ms)?,
            until: time(merge.until_ms)?,
            restored: inputs.len() as u64,
            retired: merge.outputs.len() as u64,
            rows: inputs.iter().filter(on_one_axis).map(|one| one.entry.rows).sum(),
        };
        for one in &inputs {
            self.find(&one.entry)?;
        }
        if dry_run {
            return Ok(report);
        }
        for one in &inputs {
            let place = self.folder().join(one.entry.path());
            if !place.exists() {
                inner.step("before a file comes back")?;
                let trashed = self.folder().join(TRASH).join(one.entry.file_name());
                folder::rename_durably(&trashed, &place)
                    .map_err(|source| MaintenanceError::Io { path: place.clone(), source })?;
            }
        }
        inner.step("before the commit")?;
        let until = inner.grace_end();
        inner.change_manifest(Upkeep::Undo { generation, until })?;
        inner.step("after the commit")?;
        Ok(report)
    }

    /// Sees to it that a retired file is whole, wherever it waits.
    fn find(&self, entry: &SegmentEntry) -> Result<(), MaintenanceError> {
        let place = self.folder().join(entry.path());
        let trashed = self.folder().join(TRASH).join(entry.file_name());
        let file = if place.exists() { place } else { trashed };
        if !file.exists() {
            return Err(refused(format!("{} is missing", file.display())));
        }
        let hash = hash_file(&file)?;
        if hash == entry.blake3 { Ok(()) } else { Err(refused(format!("{} is damaged", file.display()))) }
    }
}

/// The last merge that is not undone, if everything that it needs is still recorded.
fn candidate(snapshot: &Snapshot, now: Timestamp) -> Result<Candidate, MaintenanceError> {
    let view = snapshot.view();
    let mut last = None;
    view.scan(Tab::Merges, &[], &[], true, &mut |key, value| {
        let merge = MergeV1::from_bytes(key, value)?;
        if merge.undone {
            return Ok(std::ops::ControlFlow::Continue(()));
        }
        last = Some((keys::read_merge(key).ok_or_else(|| missing("merge key"))?, merge));
        Ok(std::ops::ControlFlow::Break(()))
    })?;
    let Some((generation, merge)) = last else {
        return Err(refused("there is no merge, or the files of the last one are gone"));
    };
    if merge.until_ms <= now.millis() {
        return Err(refused("the time in which the last one could be undone is over"));
    }
    for id in &merge.outputs {
        if view.row::<SegmentV1>(Tab::Segments, &key_of(*id))?.is_none() {
            return Err(refused("what it wrote is no longer live"));
        }
    }
    let retired = |id: &u128| -> ReadResult<Option<RetiredSegment>> {
        let row: Option<RetiredV1> = view.row(Tab::Retired, &key_of(*id))?;
        Ok(row.map(|row| row.read(*id)).transpose()?)
    };
    let inputs =
        merge.inputs.iter().filter_map(|id| retired(id).transpose()).collect::<ReadResult<Vec<_>>>()?;
    if inputs.len() != merge.inputs.len() {
        return Err(refused("some of its files have been given up"));
    }
    Ok(Candidate { generation, merge, inputs })
}
