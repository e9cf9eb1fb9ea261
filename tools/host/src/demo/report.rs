//! `DemoReport`: what the demo did, measured and checked.

use std::io::{self, Write};

use serde::Serialize;

use super::measure::{Timing, shown};

/// A question of a trading day, or a write, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// What was done.
    pub what: String,
    /// How long it took.
    pub timing: Timing,
    /// What it is held against.
    pub floor: String,
    /// How long that took.
    pub floor_timing: Timing,
}

/// Something that had to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// What.
    pub what: String,
    /// Whether it did.
    pub held: bool,
    /// What was found.
    pub found: String,
}

/// What the demo did, measured and checked.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DemoReport {
    /// Daily series that were generated.
    pub instruments: usize,
    /// Trading days of each in files.
    pub days: usize,
    /// What made this market.
    pub seed: u64,
    /// Files that were written.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Bars, trades and positions that were imported.
    pub imported: u64,
    /// Seconds of the import.
    pub import_seconds: f64,
    /// Seconds of reading the same bytes and doing nothing with them.
    pub read_seconds: f64,
    /// Rows that were sent to the replica.
    pub sent: u64,
    /// Seconds of sending them.
    pub sync_seconds: f64,
    /// Times.
    pub measured: Vec<Measured>,
    /// Commits that were acknowledged by writers that were killed.
    pub acknowledged: u64,
    /// What had to hold.
    pub checks: Vec<Held>,
    /// Seconds of everything.
    pub seconds: f64,
}

impl DemoReport {
    /// Whether everything held.
    pub fn is_green(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.held)
    }
}

/// Collects the report and tells people on the way.
pub(super) struct Teller<'a> {
    pub(super) report: DemoReport,
    out: &'a mut dyn Write,
}

/// Columns of a line before its time.
const WIDE: usize = 62;

impl<'a> Teller<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { report: DemoReport::default(), out }
    }

    pub(super) fn head(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{text}")?;
        self.out.flush()
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {text}")?;
        self.out.flush()
    }

    /// A line with a time at its end.
    pub(super) fn timed(&mut self, text: &str, ns: u64) -> io::Result<()> {
        self.line(&format!("{text:<WIDE$} {:>9}", shown(ns)))
    }

    /// The head of a table of times.
    pub(super) fn columns(&mut self, what: &str) -> io::Result<()> {
        writeln!(self.out, "\n{what:<45} {:>9} {:>9} {:>9}  floor is", "median", "p99", "floor")?;
        self.out.flush()
    }

    pub(super) fn measured(
        &mut self,
        what: &str,
        timing: Timing,
        floor: &str,
        floor_timing: Timing,
    ) -> io::Result<()> {
        let (median, p99) = (shown(timing.median_ns), shown(timing.p99_ns));
        let least = shown(floor_timing.median_ns);
        writeln!(self.out, "  {what:<43} {median:>9} {p99:>9} {least:>9}  {floor}")?;
        self.out.flush()?;
        let (what, floor) = (what.to_owned(), floor.to_owned());
        self.report.measured.push(Measured { what, timing, floor, floor_timing });
        Ok(())
    }

    /// Something that has to hold.
    pub(super) fn check(&mut self, what: &str, held: bool, found: &str) -> io::Result<()> {
        let mark = if held { "ok    " } else { "FAILED" };
        self.line(&format!("{mark}  {what}: {found}"))?;
        self.report.checks.push(Held { what: what.to_owned(), held, found: found.to_owned() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_without_checks_is_not_green() {
        let mut bytes = Vec::new();
        let mut teller = Teller::new(&mut bytes);
        assert!(!teller.report.is_green());
        teller.check("a", true, "1").unwrap();
        assert!(teller.report.is_green());
        teller.check("b", false, "2").unwrap();
        assert!(!teller.report.is_green());
        assert_eq!(String::from_utf8(bytes).unwrap(), "  ok      a: 1\n  FAILED  b: 2\n");
    }
}
