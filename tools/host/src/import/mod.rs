//! Imports: files and folders of other programs, read by `barkeeper-sources`, committed in groups.
//!
//! A file is in or not. Bars of many files share a commit; what SilverQuant keeps of one book shares one.
//! Importing the same files again changes nothing.

mod bars;
mod books;
mod events;
mod read;
mod report;
mod walk;

use std::path::PathBuf;

use barkeeper::{CommitError, ReadError, Store};
use barkeeper_records::{ImportRecord, OnConflict};
use barkeeper_sources::{ImportOptions, Parsed};

pub use report::{BarCounts, ImportReport, Note, PositionCounts, Refused, Rejected, TradeCounts};
pub use walk::WalkError;

/// What an import is told.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// What the caller knows better than names and folders.
    pub options: ImportOptions,
    /// What to do with bars that are stored with other content.
    pub on_conflict: OnConflict,
}

impl Default for ImportSettings {
    fn default() -> Self {
        Self { options: ImportOptions::default(), on_conflict: OnConflict::Refuse }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportProgress {
    /// Files read so far.
    pub files: u64,
    /// All files.
    pub of: u64,
    /// Rows taken from them.
    pub rows: u64,
}

/// Why an import stopped. What was committed before is in the report of the variant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file or folder that was named cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A commit was refused or failed.
    #[error("the import stopped{}", so_far(report))]
    Commit {
        /// What is in already.
        report: Box<ImportReport>,
        /// Why it stopped.
        source: CommitError,
    },
    /// What is stored could not be read.
    #[error("the import stopped{}", so_far(report))]
    Read {
        /// What is in already.
        report: Box<ImportReport>,
        /// Why it stopped.
        source: ReadError,
    },
}

fn so_far(report: &ImportReport) -> String {
    match report.files {
        0 => " before anything was written".to_owned(),
        files => format!("; {files} files before it are in"),
    }
}

/// What stopped an import, before it is joined with the report.
enum Stop {
    Commit(CommitError),
    Read(ReadError),
}

impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// A file that was read: where it lay, what it held, how it is remembered.
struct ReadFile {
    path: PathBuf,
    parsed: Parsed,
    record: ImportRecord,
}

/// Imports files and folders; folders are walked with everything below them.
///
/// # Errors
/// `Walk` for a path that cannot be read, `Commit` (a conflict among them) and `Read`.
pub fn import(
    store: &Store,
    paths: &[PathBuf],
    settings: &ImportSettings,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ImportReport, ImportError> {
    let found = walk::walk(paths)?;
    let mut report = ImportReport::default();
    match take(store, &found, settings, &mut report, progress) {
        Ok(()) => Ok(report),
        Err(Stop::Commit(source)) => Err(ImportError::Commit { report: Box::new(report), source }),
        Err(Stop::Read(source)) => Err(ImportError::Read { report: Box::new(report), source }),
    }
}

fn take(
    store: &Store,
    found: &[walk::Found],
    settings: &ImportSettings,
    report: &mut ImportReport,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<(), Stop> {
    let mut at = ImportProgress { of: found.len() as u64, ..ImportProgress::default() };
    let mut group = bars::BarGroup::default();
    let mut books = books::Books::default();
    for part in read::parts(found) {
        for outcome in read::read(part, &settings.options) {
            at.files += 1;
            match outcome {
                read::Outcome::Unrecognised(path) => report.unrecognised.push(path),
                read::Outcome::Refused(refused) => report.refused.push(refused),
                read::Outcome::Read(file) => {
                    at.rows += file.parsed.rows();
                    report.note(&file);
                    if events::holds_events(&file) {
                        events::commit(store, *file, settings.on_conflict, report)?;
                    } else if file.parsed.state.is_some() {
                        books.add(*file);
                    } else {
                        group.add(store, *file, settings.on_conflict, report)?;
                    }
                }
            }
        }
        progress(at);
    }
    group.commit(store, settings.on_conflict, report)?;
    books.commit(store, report)
}
