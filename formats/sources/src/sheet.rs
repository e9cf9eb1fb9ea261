//! `Sheet`: the records of a CSV text, one after the other, each with its line.

use csv::StringRecord;

use crate::decode::Text;
use crate::error::SourceError;

/// A CSV text that is read record by record; line ends may be mixed and records of any length.
pub(crate) struct Sheet<'t> {
    file: &'t str,
    text: &'t str,
    reader: csv::Reader<&'t [u8]>,
    record: StringRecord,
    counted: usize,
    line: u64,
}

impl<'t> Sheet<'t> {
    /// A sheet at its first record.
    ///
    /// # Errors
    /// `OpenQuote` where the quotes do not come in pairs: the file is torn inside a quoted field.
    pub(crate) fn new(file: &'t str, text: &'t Text<'_>) -> Result<Self, SourceError> {
        let text = text.text.as_ref();
        if text.bytes().filter(|b| *b == b'"').count() % 2 == 1 {
            let until = text.rfind('"').unwrap_or_default();
            return Err(SourceError::OpenQuote { file: file.to_owned(), line: 1 + lines(text, 0, until) });
        }
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        Ok(Self { file, text, reader, record: StringRecord::new(), counted: 0, line: 1 })
    }

    /// The next record and its line; `None` at the end. Empty lines are no records.
    ///
    /// # Errors
    /// `Csv` where the reader cannot go on.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &StringRecord)>, SourceError> {
        let more = self.reader.read_record(&mut self.record).map_err(|error| SourceError::Csv {
            file: self.file.to_owned(),
            line: self.line,
            reason: error.to_string(),
        })?;
        if !more {
            return Ok(None);
        }
        let place = self.record.position().map_or(0, csv::Position::byte);
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let blank =
            self.text.as_bytes().iter().skip(place).take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let start = place.saturating_add(blank);
        self.line += lines(self.text, self.counted, start);
        self.counted = start;
        Ok(Some((self.line, &self.record)))
    }
}

fn lines(text: &str, from: usize, to: usize) -> u64 {
    line_ends(text.as_bytes().get(from..to).unwrap_or_default())
}

/// How many lines end in a text.
pub(crate) fn line_ends(text: &[u8]) -> u64 {
    text.split(|b| *b == b'\n').skip(1).count() as u64
}

/// Where the columns of a header stand.
#[derive(Debug)]
pub(crate) struct Columns(Vec<Option<usize>>);

impl Columns {
    /// Finds columns by name, without regard to case and spaces around. `expected` is the header that is meant.
    ///
    /// # Errors
    /// `Header` where one of `required` is not there, `ColumnTwice` where one of `names` stands twice.
    pub(crate) fn find(
        (file, encoding): (&str, &'static str),
        header: &StringRecord,
        names: &[&'static str],
        required: &[&'static str],
        expected: &'static str,
    ) -> Result<Self, SourceError> {
        let places = |name: &str| {
            let is_it = |(_, cell): &(usize, &str)| cell.trim().eq_ignore_ascii_case(name);
            let mut found = header.iter().enumerate().filter(is_it).map(|(place, _)| place);
            (found.next(), found.next())
        };
        let missing: Vec<_> = required.iter().copied().filter(|name| places(name).0.is_none()).collect();
        if !missing.is_empty() {
            let (file, found) = (file.to_owned(), shown(header));
            return Err(SourceError::Header { file, found, encoding, missing, expected });
        }
        match names.iter().find(|name| places(name).1.is_some()) {
            Some(name) => Err(SourceError::ColumnTwice { file: file.to_owned(), found: shown(header), name }),
            None => Ok(Self(names.iter().map(|name| places(name).0).collect())),
        }
    }

    /// The trimmed cell of the column that was named at `index`; empty where there is none.
    pub(crate) fn cell<'r>(&self, record: &'r StringRecord, index: usize) -> &'r str {
        let place = self.0.get(index).copied().flatten();
        place.and_then(|place| record.get(place)).unwrap_or_default().trim()
    }
}

/// Refuses a row with another number of cells than the header has: a comma inside a number such as 1,234
/// moves every cell after it.
///
/// # Errors
/// The row, and what was expected.
pub(crate) fn as_wide(record: &StringRecord, header: usize) -> Result<(), (String, String)> {
    let found = record.len();
    if found == header {
        return Ok(());
    }
    let row = record.iter().collect::<Vec<_>>().join(",");
    Err((row, format!("{found} cells; expected {header} cells as the header has")))
}

/// The first line of a text, for errors.
pub(crate) fn shown(record: &StringRecord) -> String {
    record.iter().collect::<Vec<_>>().join(",").chars().take(200).collect()
}

/// A finite number.
///
/// # Errors
/// What was expected.
pub(crate) fn number(cell: &str) -> Result<f64, &'static str> {
    let value = cell.parse::<f64>().map_err(|_| "expected a decimal number")?;
    if value.is_finite() { Ok(value) } else { Err("expected a finite number") }
}

/// A finite number that is not below zero.
///
/// # Errors
/// What was expected.
pub(crate) fn quantity(cell: &str) -> Result<f64, &'static str> {
    let value = number(cell)?;
    if value < 0.0 { Err("expected a number from 0") } else { Ok(value) }
}

/// A finite number above zero.
///
/// # Errors
/// What was expected.
pub(crate) fn positive(cell: &str) -> Result<f64, &'static str> {
    let value = number(cell)?;
    if value > 0.0 { Ok(value) } else { Err("expected a number above 0") }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn text(text: &str) -> Text<'_> {
        Text { text: Cow::Borrowed(text), encoding: "UTF-8" }
    }

    #[test]
    fn lines_are_counted_over_mixed_ends_empty_lines_and_quoted_breaks() {
        let text = text("a,b\n1,2\r\n\r\n\n3,\"x\ny\"\r\n4,5\n6,7");
        let mut sheet = Sheet::new("x.csv", &text).unwrap();
        let mut found = Vec::new();
        while let Some((line, record)) = sheet.next().unwrap() {
            found.push((line, record.get(0).unwrap().to_owned()));
        }
        let expected = [(1, "a"), (2, "1"), (5, "3"), (7, "4"), (8, "6")];
        assert_eq!(found, expected.map(|(line, first)| (line, first.to_owned())));
    }

    #[test]
    fn a_column_that_is_read_stands_once_and_others_may_stand_twice() {
        let find = |header: &str| {
            let header = header.split(',').collect();
            Columns::find(
                ("x.csv", "UTF-8"),
                &header,
                &["day", "close", "open"],
                &["day", "close"],
                "day,close",
            )
        };
        let columns = find(" Close ,note,DAY,note").unwrap();
        let row = ["9.5", "", "20261120", ""].into_iter().collect();
        assert_eq!([0, 1, 2].map(|name| columns.cell(&row, name)), ["20261120", "9.5", ""]);
        let refused = |header| find(header).unwrap_err().to_string();
        let expected = "x.csv: the header 'day,close,Close' has two columns 'close'; expected one";
        assert_eq!(refused("day,close,Close"), expected);
        assert!(refused("day,close,open,open").contains("two columns 'open'"), "not required, but read");
        assert!(refused("day,day").contains("lacks close"));
    }

    #[test]
    fn an_open_quote_is_a_torn_file() {
        let text = text("a,b\n1,\"x\"\n2,\"torn\n");
        assert!(matches!(Sheet::new("x.csv", &text), Err(SourceError::OpenQuote { line: 3, .. })));
    }

    #[test]
    fn numbers_are_finite() {
        for text in ["1", "-1.5", "1e-7", "8.5E3", "+2", ".5"] {
            assert!(number(text).is_ok(), "{text}");
        }
        for text in ["", "nan", "inf", "-Infinity", "1,5", "0x1", "1e999", "一"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
