//! What goes to stdout: rows and records as a table, JSON or CSV, stable for scripts.

mod cell;
mod encoding;
mod rows;
mod stream;

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use cell::Cell;
pub(crate) use encoding::{Encoder, Encoding};
pub(crate) use rows::Rows;
pub(crate) use stream::Stream;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people; times in the venue's zone.
    #[default]
    Table,
    /// JSON; times in UTC (RFC 3339), numbers in their shortest exact form.
    Json,
    /// JSON Lines: one object a line.
    Jsonl,
    /// CSV with a header; values as in JSON.
    Csv,
}

/// Named values of one thing.
pub(crate) type Record = Vec<(&'static str, Cell)>;

/// Prints rows.
pub(crate) fn rows(out: &mut dyn Write, format: Format, rows: &Rows) -> io::Result<()> {
    match format {
        Format::Table => rows.table(out)?,
        Format::Json => rows.json(out)?,
        Format::Jsonl => rows.jsonl(out)?,
        Format::Csv => rows.csv(out)?,
    }
    // Words on stderr come behind the data that they are about.
    out.flush()
}

/// Prints one thing: a line a value, an object, or a CSV of one row.
pub(crate) fn record(out: &mut dyn Write, format: Format, record: &Record) -> io::Result<()> {
    match format {
        Format::Table => rows::record_table(out, record)?,
        Format::Json | Format::Jsonl => {
            writeln!(out, "{}", rows::object(record.iter().map(|(name, cell)| (*name, cell))))?;
        }
        Format::Csv => {
            let mut one = Rows::new(record.iter().map(|(name, _)| *name));
            one.push(record.iter().map(|(_, cell)| cell.clone()));
            one.csv(out)?;
        }
    }
    out.flush()
}

/// Prints a report as JSON.
pub(crate) fn json<T: Serialize>(out: &mut dyn Write, report: &T) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report).map_err(io::Error::other)?;
    writeln!(out, "{text}")?;
    out.flush()
}
