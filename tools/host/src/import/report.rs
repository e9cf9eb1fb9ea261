//! `ImportReport`: what an import took, what it left out, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barkeeper::ImportReceipt;
use barkeeper_records::{Lsn, Quality};
use barkeeper_sources::RejectedRow;
use serde::Serialize;

use super::ReadFile;

/// What happened to bars, ticks or market trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BarCounts {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows that were there already.
    pub unchanged: u64,
    /// Rows that were there with other content and were replaced.
    pub replaced: u64,
    /// Rows that were there with other content and stayed.
    pub kept: u64,
}

impl BarCounts {
    /// Adds what an import did.
    pub(super) const fn add(&mut self, receipt: &ImportReceipt) {
        self.inserted += receipt.inserted;
        self.unchanged += receipt.unchanged;
        self.replaced += receipt.replaced;
        self.kept += receipt.kept;
    }
}

/// What happened to lines of trade logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TradeCounts {
    /// Lines that were not there.
    pub recorded: u64,
    /// Lines that were there already.
    pub known: u64,
}

/// What happened to positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PositionCounts {
    /// Positions that were not there or differed.
    pub set: u64,
    /// Positions that were as the files say.
    pub unchanged: u64,
}

/// A file of which nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
    /// The option that would have helped, where one would.
    pub option: Option<&'static str>,
}

/// A row that was left out of a file that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The file.
    pub file: PathBuf,
    /// The line, or the record of a binary file, from 1.
    pub line: u64,
    /// The field that is wrong; `row` for the row as a whole.
    pub field: String,
    /// What stood there.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Something that a person should know about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The file or folder.
    pub file: PathBuf,
    /// One sentence.
    pub text: String,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ImportReport {
    /// Files that are in.
    pub files: u64,
    /// How many of them each source read.
    pub sources: BTreeMap<String, u64>,
    /// Bars.
    pub bars: BarCounts,
    /// Ticks.
    pub ticks: BarCounts,
    /// Market trades.
    pub market_trades: BarCounts,
    /// Lines of trade logs.
    pub trades: TradeCounts,
    /// Positions.
    pub positions: PositionCounts,
    /// What is odd about the bars.
    pub quality: Quality,
    /// Rows that were left out.
    pub rejected: Vec<Rejected>,
    /// Files of which nothing was taken.
    pub refused: Vec<Refused>,
    /// Files in folders that no source knows.
    pub unrecognised: Vec<PathBuf>,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// Commits that changed something.
    pub commits: u64,
    /// The last LSN; 0 where nothing was committed.
    pub lsn: Lsn,
}

impl ImportReport {
    /// Whether everything that was found was taken, to the last row.
    pub const fn is_clean(&self) -> bool {
        self.refused.is_empty() && self.rejected.is_empty()
    }

    /// Takes over what was said while a file was read.
    pub(super) fn note(&mut self, file: &ReadFile) {
        self.quality.add(&file.parsed.quality);
        self.rejected.extend(file.parsed.rejected.iter().map(|row| rejected(&file.path, row)));
        let notes = file.parsed.notes.iter();
        self.notes.extend(notes.map(|text| Note { file: file.path.clone(), text: text.clone() }));
    }

    /// Counts a file that was committed.
    pub(super) fn took(&mut self, source: &str) {
        self.files += 1;
        *self.sources.entry(source.to_owned()).or_default() += 1;
    }

    /// Names a file of which nothing is taken.
    pub(super) fn refuse(&mut self, file: &std::path::Path, reason: String) {
        self.refused.push(Refused { file: file.to_owned(), reason, option: None });
    }

    /// Counts a commit.
    pub(super) fn committed(&mut self, lsn: Lsn, changed: bool) {
        self.lsn = self.lsn.max(lsn);
        self.commits += u64::from(changed);
    }
}

pub(super) fn rejected(file: &std::path::Path, row: &RejectedRow) -> Rejected {
    Rejected {
        file: file.to_owned(),
        line: row.line,
        field: row.field.clone(),
        value: row.value.clone(),
        reason: row.reason.clone(),
    }
}
