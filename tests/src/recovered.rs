//! `recovered`: a store opened after a cut, held against the model and its folder.

use std::path::Path;

use barkeeper::{Store, StoreOptions};
use barkeeper_records::{AdjustmentTag, Interval};

use crate::digests;
use crate::disk::Disk;
use crate::examine::{Depth, Examination};
use crate::folder::{files_below, live_files, segments_below};
use crate::guard::guarded;
use crate::model::Model;

/// Holds everything that a store answers against the model.
///
/// # Errors
/// What differs.
pub fn agrees(store: &Store, model: &Model) -> Result<(), String> {
    let snapshot = store.snapshot().map_err(|error| error.to_string())?;
    Examination::of(model, &snapshot, Depth::Paths).perfect()?;
    digests::agree(model, store.feed().as_ref())
}

/// Opens what a cut left in a folder and holds all of it against that of the possible models whose LSN it
/// has: what it answers, and that exactly its live segments of these kinds stand in the folder. Answers the
/// store and that model.
///
/// # Errors
/// What differs, or why it does not open.
pub fn recovered(
    image: Vec<u8>,
    dir: &Path,
    options: StoreOptions,
    kinds: &[(Interval, AdjustmentTag)],
    possible: &[&Model],
) -> Result<(Store, Model), String> {
    let opened = guarded(|| Store::on_backend(Disk::holding(image), dir, options));
    let store = opened?.map_err(|error| error.to_string())?;
    let lsn = store.snapshot().map_err(|error| error.to_string())?.lsn();
    let found = possible.iter().find(|model| model.lsn == lsn);
    let found = found.ok_or_else(|| format!("it opens at LSN {lsn}"))?;
    agrees(&store, found)?;
    let live = live_files(&store, kinds)?;
    let stands = segments_below(dir).map_err(|error| error.to_string())?;
    if live != stands {
        return Err(format!("{} files are live, {} stand at their places", live.len(), stands.len()));
    }
    if !files_below(&dir.join("staging")).map_err(|error| error.to_string())?.is_empty() {
        return Err("files are left in staging".to_owned());
    }
    Ok((store, (*found).clone()))
}
