//! `Rows`: named columns and their values, printed in each format.

use std::io::{self, Write};

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use super::cell::{Cell, quoted};

/// Nothing but a line below the header.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Spaces behind a column; the table adds one of its own.
const GAP: u16 = 1;

/// Rows with named columns.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Rows {
    /// No rows yet.
    pub(crate) fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row with a value for each column.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = row.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Columns for people. Without rows nothing but the header.
    pub(crate) fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(STYLE).set_header(&self.columns);
        for row in &self.rows {
            table.add_row(row.iter().map(Cell::for_people));
        }
        for place in 0..self.columns.len() {
            let number = self.rows.iter().filter_map(|row| row.get(place)).any(Cell::is_number);
            if let Some(column) = table.column_mut(place) {
                column.set_padding((0, GAP));
                column.set_cell_alignment(if number { CellAlignment::Right } else { CellAlignment::Left });
            }
        }
        print(out, &table)
    }

    /// An array of objects, one a line.
    pub(crate) fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return writeln!(out, "[]");
        }
        writeln!(out, "[")?;
        for (place, row) in self.rows.iter().enumerate() {
            let comma = if place + 1 < self.rows.len() { "," } else { "" };
            writeln!(out, "  {}{comma}", object(self.columns.iter().map(String::as_str).zip(row)))?;
        }
        writeln!(out, "]")
    }

    /// One object a line.
    pub(crate) fn jsonl(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.rows {
            writeln!(out, "{}", object(self.columns.iter().map(String::as_str).zip(row)))?;
        }
        Ok(())
    }

    /// A header and one line a row.
    pub(crate) fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(&self.columns).map_err(io_error)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(Cell::for_programs)).map_err(io_error)?;
        }
        writer.flush()
    }
}

/// What the system said, so that a closed pipe is known as one.
pub(super) fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A JSON object in one line.
pub(super) fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a Cell)>) -> String {
    let fields: Vec<String> =
        fields.map(|(name, cell)| format!("{}:{}", quoted(name), cell.json())).collect();
    format!("{{{}}}", fields.join(","))
}

/// A line a value.
pub(super) fn record_table(out: &mut dyn Write, record: &super::Record) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    for (name, cell) in record {
        table.add_row([(*name).to_owned(), cell.for_people()]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    print(out, &table)
}

fn print(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    for (place, line) in table.lines().enumerate() {
        let line = line.trim_end();
        // The line below the header is as long as the spaces behind the last column make it.
        let ruled = place == 1 && table.header().is_some();
        let line = if ruled { line.strip_suffix('─').unwrap_or(line) } else { line };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Rows {
        let mut rows = Rows::new(["instrument", "close", "name"]);
        rows.push([Cell::text("000001.SZ"), Cell::Number(9.2), Cell::text("平安银行")]);
        rows.push([Cell::text("600000.SH"), Cell::Number(10.0), Cell::None]);
        rows
    }

    fn printed(print: impl Fn(&Rows, &mut dyn Write) -> io::Result<()>, rows: &Rows) -> String {
        let mut bytes = Vec::new();
        print(rows, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_table_lines_up_with_chinese_names_and_ends_without_spaces() {
        let expected = "instrument  close  name\n\
            ───────────────────────────\n\
            000001.SZ     9.2  平安银行\n\
            600000.SH      10  -\n";
        assert_eq!(printed(Rows::table, &sample()), expected);
        assert_eq!(printed(Rows::table, &Rows::new(["a", "b"])), "a  b\n────\n");
    }

    #[test]
    fn json_and_csv_carry_the_same_values() {
        let json = printed(Rows::json, &sample());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 2);
        assert!(json.contains("{\"instrument\":\"600000.SH\",\"close\":10,\"name\":null}\n"), "{json}");
        assert_eq!(
            printed(Rows::csv, &sample()),
            "instrument,close,name\n000001.SZ,9.2,平安银行\n600000.SH,10,\n"
        );
        assert_eq!(printed(Rows::json, &Rows::new(["a"])), "[]\n");
    }
}
