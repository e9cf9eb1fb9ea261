//! The sums of the database's pages between two runs: which file has those of a database.

use std::fs;
use std::path::Path;

use barkeeper_storage::{DatabaseHeader, PAGE_BYTES, PageSums, while_held};

use crate::backup::{RESTORING, SafetyCopy};
use crate::folder::{self, SUMS};

/// Reads a file of sums; `None` where there is none that can be read.
pub(crate) fn read(file: &Path) -> Option<PageSums> {
    PageSums::from_bytes(&while_held(file, || fs::read(file)).ok()?)
}

/// Whether sums are those of a database with this header and this length.
pub(crate) fn fit(sums: &PageSums, header: DatabaseHeader, len: u64) -> bool {
    header.hash == sums.header && (sums.sums.len() as u64).checked_mul(PAGE_BYTES as u64) == Some(len)
}

/// The sums of a folder's database, whose lock the caller has, where those in their place do not fit: a replacement of
/// the database was cut off, and the state that it has kept aside or was to bring back has them. They get their place
/// back. Without them one damaged page would be damage of the whole database.
pub(crate) fn left_aside(dir: &Path, header: DatabaseHeader, len: u64) -> Option<PageSums> {
    let place = dir.join(SUMS);
    let known = |file: &Path| read(file).filter(|sums| fit(sums, header, len));
    let folders = [dir.to_owned(), dir.join(RESTORING)];
    let states = folders.iter().flat_map(|folder| SafetyCopy::all(folder).unwrap_or_default());
    let Some(sums) = states.rev().find_map(|(_, state)| known(&state.join(SUMS))) else {
        // An undo that came to its end meanwhile has put them in their place before it removed the state.
        return known(&place);
    };
    // Where that cannot be, they serve until the database is closed, and are written then.
    drop(folder::replace(&place, &sums.to_bytes()));
    Some(sums)
}
