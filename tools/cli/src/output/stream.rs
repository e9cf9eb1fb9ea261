//! `Stream`: rows printed one by one; only a table waits for the last.

use std::io::{self, Write};

use super::rows::{io_error, object};
use super::{Cell, Format, Rows};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 16;

enum Sink<'a> {
    Table(Rows, &'a mut dyn Write),
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
    Json(io::BufWriter<&'a mut dyn Write>),
    Jsonl(io::BufWriter<&'a mut dyn Write>),
}

/// Rows on their way out.
pub(crate) struct Stream<'a> {
    sink: Sink<'a>,
    columns: Vec<String>,
    begun: bool,
}

impl<'a> Stream<'a> {
    /// Begins with the header, where the format has one.
    pub(crate) fn new(
        out: &'a mut dyn Write,
        format: Format,
        columns: &[impl AsRef<str>],
    ) -> io::Result<Self> {
        let columns: Vec<String> = columns.iter().map(|name| name.as_ref().to_owned()).collect();
        let sink = match format {
            Format::Table => Sink::Table(Rows::new(columns.iter().cloned()), out),
            Format::Json => Sink::Json(io::BufWriter::with_capacity(BUFFER, out)),
            Format::Jsonl => Sink::Jsonl(io::BufWriter::with_capacity(BUFFER, out)),
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(out);
                writer.write_record(&columns).map_err(io_error)?;
                Sink::Csv(Box::new(writer))
            }
        };
        Ok(Self { sink, columns, begun: false })
    }

    /// Prints a row with a value for each column.
    pub(crate) fn push(&mut self, row: impl Iterator<Item = Cell>) -> io::Result<()> {
        let begun = std::mem::replace(&mut self.begun, true);
        match &mut self.sink {
            Sink::Table(rows, _) => rows.push(row),
            Sink::Csv(writer) => {
                writer.write_record(row.map(|cell| cell.for_programs())).map_err(io_error)?;
            }
            Sink::Json(out) => {
                let row: Vec<Cell> = row.collect();
                let comma = if begun { ",\n" } else { "[\n" };
                write!(out, "{comma}  {}", object(self.columns.iter().map(String::as_str).zip(&row)))?;
            }
            Sink::Jsonl(out) => {
                let row: Vec<Cell> = row.collect();
                writeln!(out, "{}", object(self.columns.iter().map(String::as_str).zip(&row)))?;
            }
        }
        Ok(())
    }

    /// Prints what ends the rows.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.sink {
            Sink::Table(rows, out) => {
                rows.table(out)?;
                out.flush()
            }
            Sink::Csv(mut writer) => writer.flush(),
            Sink::Json(mut out) => {
                out.write_all(if self.begun { b"\n]\n" } else { b"[]\n" })?;
                out.flush()
            }
            Sink::Jsonl(mut out) => out.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, rows: &[(&str, f64)]) -> String {
        let mut bytes = Vec::new();
        let mut stream = Stream::new(&mut bytes, format, &["name", "close"]).unwrap();
        for (name, close) in rows {
            stream.push([Cell::text(name), Cell::Number(*close)].into_iter()).unwrap();
        }
        stream.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn rows_one_by_one_look_as_they_do_all_at_once() {
        let some = [("a,b", 9.2), ("c", 10.0)];
        for rows in [&some[..0], &some[..1], &some[..]] {
            let mut all = Rows::new(["name", "close"]);
            for (name, close) in rows {
                all.push([Cell::text(name), Cell::Number(*close)]);
            }
            for format in [Format::Table, Format::Csv, Format::Json, Format::Jsonl] {
                let mut bytes = Vec::new();
                super::super::rows(&mut bytes, format, &all).unwrap();
                assert_eq!(printed(format, rows), String::from_utf8(bytes).unwrap(), "{format:?}");
            }
        }
    }
}
