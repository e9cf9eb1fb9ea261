//! `SourceError`: why nothing of a file was taken.

use std::fmt;

use barkeeper_records::{AdjustmentTag, BarError, InstrumentId, InstrumentIdError, Interval, NameError};

use crate::parsed::RejectedRow;
use crate::profile::VolumeUnit;
use crate::source::SourceFile;

/// Rows that an error shows; all are counted.
const SHOWN: usize = 5;

/// One row that does not fit what the profile declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffRow {
    /// The line, or the record of a binary file, from 1.
    pub line: u64,
    /// What was found.
    pub found: String,
    /// What would have fitted.
    pub expected: String,
}

/// Rows that do not fit what the profile declares: the first five, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffRows {
    /// The first five.
    pub shown: Vec<OffRow>,
    /// All that do not fit.
    pub count: u64,
    /// All that were looked at.
    pub of: u64,
}

impl OffRows {
    pub(crate) fn add(&mut self, row: impl FnOnce() -> OffRow) {
        if self.shown.len() < SHOWN {
            self.shown.push(row());
        }
        self.count += 1;
    }
}

impl fmt::Display for OffRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rows", self.count, self.of)?;
        for (place, row) in self.shown.iter().enumerate() {
            let mark = if place == 0 { ": " } else { "; " };
            write!(f, "{mark}line {}: {} where {} was expected", row.line, row.found, row.expected)?;
        }
        if self.count > self.shown.len() as u64 { f.write_str("; ...") } else { Ok(()) }
    }
}

fn shown_rows(rows: &[RejectedRow]) -> String {
    let one = |row: &RejectedRow| format!("line {}: {} '{}': {}", row.line, row.field, row.value, row.reason);
    let mut shown: Vec<String> = rows.iter().take(SHOWN).map(one).collect();
    if rows.len() > SHOWN {
        shown.push(format!("and {} more", rows.len() - SHOWN));
    }
    shown.join("; ")
}

/// Why nothing of a file was taken. `line` counts from 1; in binary files it is the record.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Lines that are wrong, in a file of which all or nothing is taken.
    #[error("{file}: nothing was taken: {}", shown_rows(.rows))]
    Rows {
        /// The file's name.
        file: String,
        /// All of them.
        rows: Vec<RejectedRow>,
    },
    /// Most lines are wrong, in a file of which lines can be left out: it is not what it was said to be.
    #[error("{file}: nothing was taken: {} of {of} rows do not fit: {}; {hint}", .rows.len(), shown_rows(.rows))]
    MostRows {
        /// The file's name.
        file: String,
        /// How many rows there are.
        of: u64,
        /// All that do not fit.
        rows: Vec<RejectedRow>,
        /// What may be wrong.
        hint: String,
    },
    /// No source knows the file.
    #[error("{file}: no source recognises this file; known are {}", .known.join(", "))]
    Unrecognised {
        /// The file's name.
        file: String,
        /// Every source and what it reads.
        known: Vec<String>,
    },
    /// The options name a source that there is not.
    #[error("'{name}' is no source: expected one of {}", .known.join(", "))]
    UnknownSource {
        /// What was given.
        name: String,
        /// The names of all sources.
        known: Vec<&'static str>,
    },
    /// The file's name is none that the source reads.
    #[error("{file}: the name does not tell what this file is: expected {expected}")]
    FileName {
        /// The file's name.
        file: String,
        /// Names that would be understood.
        expected: &'static str,
    },
    /// Something must be known that the file and its folder do not tell.
    #[error("{file}: the option `{option}` is needed: {hint}")]
    Missing {
        /// The file's name.
        file: String,
        /// The option.
        option: &'static str,
        /// Why, and what could be given.
        hint: &'static str,
    },
    /// An option contradicts what the source is.
    #[error("{file}: the option `{option}` says {value}, and {source_name} files are {expected}")]
    Contradiction {
        /// The file's name.
        file: String,
        /// The option.
        option: &'static str,
        /// What it says.
        value: String,
        /// The source.
        source_name: &'static str,
        /// What the source's files are.
        expected: &'static str,
    },
    /// The options name a SilverQuant folder that there is not.
    #[error("{file}: '{profile}' is no profile: expected one of {}", .known.join(", "))]
    UnknownProfile {
        /// The file's name.
        file: String,
        /// What was given.
        profile: String,
        /// The profiles that there are.
        known: Vec<&'static str>,
    },
    /// An instrument's spelling in the file's name.
    #[error("{file}: {source}")]
    Instrument {
        /// The file's name.
        file: String,
        /// What is wrong.
        source: InstrumentIdError,
    },
    /// No prefix of the code is known, and the scale of its prices hangs on it.
    #[error("{file}: {code} begins like no stock, fund, bond or index of {venue} that is known")]
    Code {
        /// The file's name.
        file: String,
        /// The code.
        code: String,
        /// The venue.
        venue: String,
    },
    /// The folder's name cannot be a book's.
    #[error("{file}: {source}")]
    Book {
        /// The file's name.
        file: String,
        /// What is wrong.
        source: NameError,
    },
    /// There is nothing in the file.
    #[error("{file}: the file is empty")]
    Empty {
        /// The file's name.
        file: String,
    },
    /// The bytes are no text in any encoding that is tried.
    #[error("{file}: byte {offset} is no {tried}")]
    Encoding {
        /// The file's name.
        file: String,
        /// Where, counted from 0.
        offset: u64,
        /// The encodings that were tried.
        tried: &'static str,
    },
    /// The last record of a binary file is cut off.
    #[error("{file}: record {record} has {found} of {expected} bytes: the file is torn")]
    Torn {
        /// The file's name.
        file: String,
        /// Which record.
        record: u64,
        /// How many bytes there are.
        found: u64,
        /// How many there must be.
        expected: u64,
    },
    /// The text is no JSON: torn while it was written, or edited.
    #[error("{file}:{line}:{column}: no complete JSON: {reason}")]
    Json {
        /// The file's name.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: u64,
        /// What the parser says.
        reason: String,
    },
    /// The JSON is no object.
    #[error("{file}: the JSON is {found} where an object was expected")]
    JsonShape {
        /// The file's name.
        file: String,
        /// How it begins.
        found: String,
    },
    /// A key of a JSON object stands twice.
    #[error("{file}:{line}: the key '{key}' stands twice")]
    DuplicateKey {
        /// The file's name.
        file: String,
        /// The line of the second one.
        line: u64,
        /// The key.
        key: String,
    },
    /// A quoted field has no end.
    #[error("{file}:{line}: the quotes do not come in pairs; this is the line of the last one")]
    OpenQuote {
        /// The file's name.
        file: String,
        /// The line of the last quote.
        line: u64,
    },
    /// Columns are missing.
    #[error("{file}: the header '{found}' ({encoding}) lacks {}; expected {expected}", .missing.join(", "))]
    Header {
        /// The file's name.
        file: String,
        /// The first line.
        found: String,
        /// The encoding in which it was read.
        encoding: &'static str,
        /// The columns that are not there.
        missing: Vec<&'static str>,
        /// The header that is meant.
        expected: &'static str,
    },
    /// A column that is read stands twice, and nobody knows which of the two is meant.
    #[error("{file}: the header '{found}' has two columns '{name}'; expected one")]
    ColumnTwice {
        /// The file's name.
        file: String,
        /// The first line.
        found: String,
        /// The column's name.
        name: &'static str,
    },
    /// The first row has another number of columns.
    #[error("{file}:{line}: {found} columns where {expected} were expected")]
    Columns {
        /// The file's name.
        file: String,
        /// The line.
        line: u64,
        /// How many there are.
        found: u64,
        /// How many there must be.
        expected: u64,
    },
    /// The text is no CSV.
    #[error("{file}:{line}: no CSV: {reason}")]
    Csv {
        /// The file's name.
        file: String,
        /// The line.
        line: u64,
        /// What the parser says.
        reason: String,
    },
    /// A field of a binary record.
    #[error("{file}: record {record}: {field} is {value}: expected {expected}")]
    Field {
        /// The file's name.
        file: String,
        /// Which record.
        record: u64,
        /// The field.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What could.
        expected: &'static str,
    },
    /// A bar that the records refuse.
    #[error("{file}:{line}: {source}")]
    Bar {
        /// The file's name.
        file: String,
        /// The line.
        line: u64,
        /// What is wrong.
        source: BarError,
    },
    /// Turnover divided by volume does not lie in the bars' prices.
    #[error("{file}: turnover / volume is outside the prices if volume is in {unit}, in {rows}{}",
        .better.map_or_else(String::new, |unit| format!("; in {unit} they would fit")))]
    UnitMismatch {
        /// The file's name.
        file: String,
        /// The unit that was declared.
        unit: VolumeUnit,
        /// The unit in which the rows would fit.
        better: Option<VolumeUnit>,
        /// The rows.
        rows: OffRows,
    },
    /// Volume of an instrument is in lots throughout, in a file that holds shares.
    #[error(
        "{file}: the volume of {instrument} is in lots: as shares turnover / volume is outside the prices in \
        {rows}; in lots all would fit; multiply volume by {size}, or give the option `unit` if it is in shares"
    )]
    VolumeInLots {
        /// The file's name.
        file: String,
        /// The first such instrument.
        instrument: InstrumentId,
        /// Shares of a lot.
        size: f64,
        /// The rows.
        rows: OffRows,
    },
    /// Turnover divided by volume is far off the adjusted prices of the latest rows.
    #[error(
        "{file}: turnover / volume is {ratio:.4} times the {adjustment} close if it is in {unit}: {rows}"
    )]
    UnitUnlikely {
        /// The file's name.
        file: String,
        /// The unit that was declared.
        unit: VolumeUnit,
        /// How the prices were adjusted.
        adjustment: AdjustmentTag,
        /// The median of turnover / volume / close over the latest rows.
        ratio: f64,
        /// These rows.
        rows: OffRows,
    },
    /// The unit is to be found from the data, and not exactly one fits.
    #[error("{file}: the unit of volume is unclear: {} of shares and lots fit {usable} rows; \
        give the option `unit`", if *.both { "both" } else { "none" })]
    UnitUnclear {
        /// The file's name.
        file: String,
        /// Whether both units fit; else none does.
        both: bool,
        /// Rows with volume and turnover.
        usable: u64,
    },
    /// The unit of volume changes inside the file.
    #[error(
        "{file}: the unit of volume changes at line {line}: turnover / volume / close jumps from {before:.4} \
        to {after:.4} there"
    )]
    UnitChanges {
        /// The file's name.
        file: String,
        /// The first row after the change.
        line: u64,
        /// Turnover / volume / close of the row before.
        before: f64,
        /// The same of this row.
        after: f64,
    },
    /// The end of bars does not follow from their start and the interval.
    #[error("{file}: the close times contradict the interval {interval} in {rows}")]
    CloseTime {
        /// The file's name.
        file: String,
        /// The interval.
        interval: Interval,
        /// The rows.
        rows: OffRows,
    },
}

impl SourceError {
    pub(crate) fn contradiction(
        file: &SourceFile<'_>,
        option: &'static str,
        value: impl fmt::Display,
        source_name: &'static str,
        expected: &'static str,
    ) -> Self {
        Self::Contradiction {
            file: file.name.to_owned(),
            option,
            value: value.to_string(),
            source_name,
            expected,
        }
    }

    pub(crate) fn code(file: &SourceFile<'_>, instrument: &InstrumentId) -> Self {
        let (code, venue) = (instrument.symbol().to_owned(), instrument.venue().to_owned());
        Self::Code { file: file.name.to_owned(), code, venue }
    }

    pub(crate) fn missing(file: &SourceFile<'_>, option: &'static str, hint: &'static str) -> Self {
        Self::Missing { file: file.name.to_owned(), option, hint }
    }
}
