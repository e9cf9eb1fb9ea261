//! `Span`: the day or month that a file's name tells, and the rows that lie outside of it.

use barkeeper_records::TradingDay;

/// The days that a name tells, and what was found outside of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    text: String,
    rows: u64,
    first: Option<(u64, TradingDay)>,
}

impl Span {
    /// Reads `YYYY, MM` or `YYYY, MM, DD`.
    pub(crate) fn of(parts: &[&str]) -> Option<Self> {
        let digits = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let dated = parts.iter().all(digits) && matches!(lengths.as_slice(), [4, 2] | [4, 2, 2]);
        dated.then(|| Self { text: parts.join("-"), rows: 0, first: None })
    }

    /// Looks at a row of a day in UTC.
    pub(crate) fn see(&mut self, line: u64, day: TradingDay) {
        // A month is the beginning of its days' names.
        if !day.to_string().starts_with(&self.text) {
            self.rows += 1;
            self.first.get_or_insert((line, day));
        }
    }

    /// What a person should know.
    pub(crate) fn note(&self) -> Option<String> {
        let (line, day) = self.first?;
        let (rows, lie) = if self.rows == 1 { ("row", "lies") } else { ("rows", "lie") };
        Some(format!(
            "{} {rows} {lie} outside {}, which the name says, the first on line {line}: {day}; taken all the same",
            self.rows, self.text
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_outside_of_the_name_are_counted() {
        let day = |text: &str| text.parse::<TradingDay>().unwrap();
        let mut month = Span::of(&["2024", "03"]).unwrap();
        month.see(1, day("2024-03-31"));
        assert_eq!(month.note(), None);
        month.see(2, day("2024-04-01"));
        month.see(3, day("2023-03-01"));
        let note = month.note().unwrap();
        assert!(
            note.starts_with("2 rows lie outside 2024-03,") && note.contains("line 2: 2024-04-01"),
            "{note}"
        );
        let mut one = Span::of(&["2024", "03", "01"]).unwrap();
        one.see(7, day("2024-03-02"));
        assert!(one.note().unwrap().starts_with("1 row lies outside 2024-03-01,"));
        for parts in [&["2024"][..], &["2024", "3"], &["24", "03"], &["2024", "03", "xx"], &[]] {
            assert_eq!(Span::of(parts), None, "{parts:?}");
        }
    }
}
