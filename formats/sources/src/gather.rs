//! `Gathered`: bars with the lines they came from, on their way into a run.

use barkeeper_records::{Bar, BarRun, SeriesKey};

use crate::error::SourceError;
use crate::parsed::RejectedRow;

/// Bars of one series in any order; of two with one `ts` the later line stands, as appending means it.
pub(crate) struct Gathered<'f> {
    file: &'f str,
    series: SeriesKey,
    rows: Vec<(u64, Bar)>,
    rejected: Vec<RejectedRow>,
}

impl<'f> Gathered<'f> {
    pub(crate) const fn new(file: &'f str, series: SeriesKey) -> Self {
        Self { file, series, rows: Vec::new(), rejected: Vec::new() }
    }

    /// Takes a bar, or rejects its row; true when it was taken.
    pub(crate) fn take(&mut self, line: u64, bar: Bar) -> bool {
        match bar.born(self.series.interval) {
            Ok(bar) => {
                self.rows.push((line, bar));
                true
            }
            Err(error) => {
                self.reject(line, "row", &bar.ts.to_string(), error);
                false
            }
        }
    }

    /// Leaves a row out.
    pub(crate) fn reject(&mut self, line: u64, field: &str, value: &str, reason: impl std::fmt::Display) {
        self.rejected.push(RejectedRow::new(self.file, line, field, value, reason));
    }

    /// The run and the rows that were left out, in the order of their lines.
    ///
    /// # Errors
    /// `Bar` for what a run refuses.
    pub(crate) fn finish(mut self) -> Result<(BarRun, Vec<RejectedRow>), SourceError> {
        self.rows.sort_by_key(|(line, bar)| (bar.ts, *line));
        let mut kept: Vec<(u64, Bar)> = Vec::with_capacity(self.rows.len());
        for (line, bar) in std::mem::take(&mut self.rows) {
            match kept.last_mut() {
                Some((_, last)) if last.same_content(&bar) => {}
                Some(last) if last.1.ts == bar.ts => {
                    let reason = format!("line {line} comes later with other values for this bar");
                    self.reject(last.0, "row", &bar.ts.to_string(), reason);
                    *last = (line, bar);
                }
                _ => kept.push((line, bar)),
            }
        }
        let (lines, bars): (Vec<u64>, Vec<Bar>) = kept.into_iter().unzip();
        let run = BarRun::new(self.series, bars).map_err(|(row, source)| SourceError::Bar {
            file: self.file.to_owned(),
            line: lines.get(row).copied().unwrap_or_default(),
            source,
        })?;
        self.rejected.sort_by_key(|row| row.line);
        Ok((run, self.rejected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(day: &str, close: f64) -> Bar {
        let day: barkeeper_records::TradingDay = day.parse().unwrap();
        Bar::from_numbers(day.label(), day, [close, close, close, close, 1.0, 1.0, 0.0])
    }

    #[test]
    fn of_two_bars_of_a_day_the_later_line_stands_and_the_other_is_named() {
        let mut gathered = Gathered::new("x.csv", SeriesKey::daily("000001.SZ".parse().unwrap()));
        let rows = [("2024-01-03", 3.0), ("2024-01-02", 1.0), ("2024-01-03", 3.5), ("2024-01-03", 3.5)];
        for (line, (day, close)) in (2..).zip(rows) {
            assert!(gathered.take(line, bar(day, close)));
        }
        assert!(!gathered.take(6, Bar { volume: -1.0, ..bar("2024-01-04", 1.0) }));
        let (run, rejected) = gathered.finish().unwrap();
        let closes: Vec<f64> = run.bars().iter().map(|b| b.close).collect();
        assert_eq!(closes, [1.0, 3.5]);
        let shown: Vec<String> = rejected.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "x.csv:2: row '2024-01-03T00:00:00Z': line 4 comes later with other values for this bar",
                "x.csv:6: row '2024-01-04T00:00:00Z': volume is -1, below zero",
            ]
        );
    }
}
