//! Names that people give: accounts, books, strategies.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest name in bytes of UTF-8; it fits the key columns of every target.
const NAME_BYTES: usize = 64;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing was given.
    #[error("the {what} is empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// More bytes than a key may have.
    #[error("the {what} '{text}' has {bytes} bytes, more than 64")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// What was given.
        text: String,
        /// Its length.
        bytes: usize,
    },
    /// A control character, or a space at either end.
    #[error("the {what} {text:?} holds a control character, or a space at its start or end")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// What was given.
        text: String,
    },
}

fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > NAME_BYTES {
        return Err(NameError::TooLong { what, text: text.to_owned(), bytes: text.len() });
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(NameError::Character { what, text: text.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        /// 1 to 64 bytes of UTF-8 without control characters or spaces at the ends; case counts.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name after checking it.
            ///
            /// # Errors
            /// Every variant of [`NameError`].
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($what, text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

name!(
    /// An account at a broker.
    AccountId,
    "account"
);
name!(
    /// One strategy's own view of an account's positions.
    BookId,
    "book"
);
name!(
    /// A strategy.
    StrategyId,
    "strategy"
);

impl BookId {
    /// The book that is meant where none is named: `main`.
    pub fn main() -> Self {
        Self("main".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_case_and_chinese_and_refuse_what_cannot_be_a_key() {
        assert_eq!(AccountId::new("国金证券-Main").unwrap().as_str(), "国金证券-Main");
        assert_eq!(AccountId::new(""), Err(NameError::Empty { what: "account" }));
        assert!(AccountId::new(" a").is_err());
        assert!(AccountId::new("a\u{0}b").is_err());
        assert!(AccountId::new(&"x".repeat(65)).is_err());
        assert!(AccountId::new(&"x".repeat(64)).is_ok());
    }
}
