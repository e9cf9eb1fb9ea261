//! Lists of open days: one day a line, or a CSV whose last column is the day, as SilverQuant keeps it.

use std::fs;
use std::path::Path;

use barkeeper_records::TradingDay;

use crate::config::ConfigError;

/// Reads a list. The first line may be a header; empty lines and lines that begin with `#` are skipped.
pub(crate) fn load(path: &Path) -> Result<Vec<TradingDay>, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
    parse(&text).map_err(|(line, text)| ConfigError::OpenDay { path: path.to_owned(), line, text })
}

fn parse(text: &str) -> Result<Vec<TradingDay>, (usize, String)> {
    let mut days = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let field = line.rsplit(',').next().unwrap_or(line).trim();
        match field.parse() {
            Ok(day) => days.push(day),
            Err(_) if number == 1 => {}
            Err(_) => return Err((number, line.to_owned())),
        }
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read() {
        let plain = "# 2024\n2024-01-02\n\n20240103\n";
        let sina = "\u{feff},trade_date\r\n0,2024-01-02\r\n1,2024-01-03\r\n";
        for text in [plain, sina] {
            let days = parse(text).unwrap();
            let texts: Vec<String> = days.iter().map(ToString::to_string).collect();
            assert_eq!(texts, ["2024-01-02", "2024-01-03"]);
        }
    }

    #[test]
    fn a_line_without_a_day_is_named() {
        assert_eq!(parse("2024-01-02\n2024-13-01\n"), Err((2, "2024-13-01".to_owned())));
    }
}
