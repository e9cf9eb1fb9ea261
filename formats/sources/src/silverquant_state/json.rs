//! The entries of a JSON object with their lines, in their order, none twice.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::SourceError;
use crate::sheet::line_ends;

/// An entry of an object.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    /// The line of the value, from 1.
    pub(super) line: u64,
    pub(super) key: String,
    /// The value as it is written.
    pub(super) value: &'t str,
}

/// The keys and values of an object, repetitions included.
struct Pairs<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Gather;
        impl<'de> Visitor<'de> for Gather {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Gather)
    }
}

/// Reads an object.
///
/// # Errors
/// `Json` for text that is none or is cut off, `JsonShape` for another value than an object, `DuplicateKey`.
pub(super) fn entries<'t>(file: &str, text: &'t str) -> Result<Vec<Entry<'t>>, SourceError> {
    let pairs: Pairs<'t> = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => {
            let found = text.trim_start().chars().take(40).collect();
            SourceError::JsonShape { file: file.to_owned(), found }
        }
        Category::Io | Category::Syntax | Category::Eof => SourceError::Json {
            file: file.to_owned(),
            line: error.line() as u64,
            column: error.column() as u64,
            reason: error.to_string(),
        },
    })?;
    let mut seen = HashSet::new();
    let (mut line, mut counted) = (1, 0);
    let mut found = Vec::with_capacity(pairs.0.len());
    for (key, value) in pairs.0 {
        let value = value.get();
        let offset = value.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        let passed = text.as_bytes().get(counted..offset).unwrap_or_default();
        line += line_ends(passed);
        counted = offset;
        if !seen.insert(key.clone()) {
            return Err(SourceError::DuplicateKey { file: file.to_owned(), line, key });
        }
        found.push(Entry { line, key, value });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_order_text_and_line() {
        let text = "{\n  \"b\": 10.00,\n  \"\\u0061\":\n    null, \"c\": {\"x\": [1]}\n}";
        let found: Vec<_> = entries("x", text)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.line, entry.key, entry.value))
            .collect();
        let expected = [(2, "b", "10.00"), (4, "a", "null"), (4, "c", "{\"x\": [1]}")];
        assert_eq!(found, expected.map(|(line, key, value)| (line, key.to_owned(), value)));
        assert!(entries("x", " {} ").unwrap().is_empty());
    }

    #[test]
    fn torn_doubled_and_other_json_is_an_error() {
        for torn in ["{", "{\"a\": 1", "{\"a\": 1,", "{\"a\": 1}}", "{\"a\": NaN}", "", "\0\0", "{'a': 1}"] {
            assert!(matches!(entries("x", torn), Err(SourceError::Json { .. })), "{torn}");
        }
        for other in ["[]", "1", "null", "\"x\""] {
            assert!(matches!(entries("x", other), Err(SourceError::JsonShape { .. })), "{other}");
        }
        let doubled = entries("x", "{\"a\": 1,\n\"\\u0061\": 2}").unwrap_err();
        assert_eq!(doubled.to_string(), "x:2: the key 'a' stands twice");
    }
}
