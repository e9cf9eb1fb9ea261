//! The sums of the database's pages between two runs: which file has those of a database, wherever a replacement
//! that was cut off has left them.

use std::fs;
use std::path::Path;

use barkeeper_storage::{DatabaseHeader, PAGE_BYTES, PageSums, while_held};

use crate::backup::RESTORING;
use crate::folder::{self, SUMS};

/// The sums of a database that is replaced, in `restoring/`, until the rename that replaces it.
pub(crate) const FORMER_SUMS: &str = "store.sums.former";

/// Reads a file of sums; `None` where there is none that can be read.
pub(crate) fn read(file: &Path) -> Option<PageSums> {
    PageSums::from_bytes(&while_held(file, || fs::read(file)).ok()?)
}

/// Whether sums are those of a database with this header and this length.
pub(crate) fn fit(sums: &PageSums, header: DatabaseHeader, len: u64) -> bool {
    header.hash == sums.header && (sums.sums.len() as u64).checked_mul(PAGE_BYTES as u64) == Some(len)
}

/// The sums of a database, whose lock the caller has, that a replacement left aside when it was cut off before the
/// database had a new file, or before its sums had followed it. They get their name again.
///
/// Without them one damaged page would be damage of the whole database.
pub(crate) fn left_aside(dir: &Path, header: DatabaseHeader, len: u64) -> Option<PageSums> {
    let aside = [SUMS, FORMER_SUMS].map(|name| dir.join(RESTORING).join(name));
    let (file, sums) =
        aside.iter().find_map(|file| Some((file, read(file).filter(|one| fit(one, header, len))?)))?;
    // What cannot be moved now serves all the same, and is written anew when the database is closed.
    drop(folder::rename_durably(file, &dir.join(SUMS)));
    Some(sums)
}
