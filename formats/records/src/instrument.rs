//! `InstrumentId`: what is traded and where, in one canonical spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::venue::Venue;

/// Longest canonical name in bytes, `SYMBOL.VENUE` with the dot.
const CAPACITY: usize = 47;

/// Why a spelling was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstrumentIdError {
    /// No venue is named, and digits never tell a stock from an index.
    #[error("'{text}' names no venue: write SYMBOL.VENUE, such as {hint}")]
    NoVenue {
        /// What was given.
        text: String,
        /// Spellings that would be accepted.
        hint: String,
    },
    /// The part behind the dot is no venue.
    #[error(
        "'{venue}' in '{text}' is no venue: use 2 to 12 upper-case letters or digits, such as SH, CFFEX, BINANCE"
    )]
    Venue {
        /// What was given.
        text: String,
        /// The part that was read as the venue.
        venue: String,
    },
    /// The symbol is empty or holds a character that no venue uses.
    #[error(
        "the symbol of '{text}' is empty or holds a character outside A-Z a-z 0-9 and - _ . & / : + # @ ^ = or an inner space"
    )]
    Symbol {
        /// What was given.
        text: String,
    },
    /// A stock venue's symbol that is not six digits (eight for its options).
    #[error("'{text}': symbols of {venue} are six digits, or eight for options")]
    SixDigits {
        /// What was given.
        text: String,
        /// The canonical code of the venue.
        venue: &'static str,
    },
    /// More bytes than a key may have.
    #[error("'{text}' has more than 47 bytes")]
    TooLong {
        /// What was given.
        text: String,
    },
}

/// An instrument, `SYMBOL.VENUE`: `000001.SZ`, `IF2403.CFFEX`, `BTCUSDT.BINANCE`; at most 47 bytes.
///
/// Parsing reads every common spelling of the Chinese stock venues (`600000.SH SH600000 sh600000
/// sh.600000 600000.SSE SHSE.600000 600000.XSHG`) and keeps the case of all other symbols: `SR` and
/// `sr` are two contracts. A name without a venue is refused, because `000001` is a stock in Shenzhen
/// and an index in Shanghai. Order is the byte order of the text.
///
/// ```
/// use barkeeper_records::InstrumentId;
/// let id: InstrumentId = "SHSE.600000".parse()?;
/// assert_eq!(id.as_str(), "600000.SH");
/// # Ok::<(), barkeeper_records::InstrumentIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentId {
    bytes: [u8; CAPACITY],
    len: u8,
}

impl InstrumentId {
    /// Reads any accepted spelling.
    ///
    /// # Errors
    /// Every variant of [`InstrumentIdError`].
    pub fn parse(text: &str) -> Result<Self, InstrumentIdError> {
        let (symbol, venue) = split(text)?;
        let venue = canonical_venue(text, symbol, venue)?;
        check_symbol(text, symbol)?;
        Self::from_parts(text, symbol, venue)
    }

    /// Takes a name that must already be canonical, as it stands in keys and files of the store.
    ///
    /// # Errors
    /// Every variant of [`InstrumentIdError`]; a spelling that is not the canonical one is refused.
    pub fn canonical(text: &str) -> Result<Self, InstrumentIdError> {
        let id = Self::parse(text)?;
        if id.as_str() == text { Ok(id) } else { Err(InstrumentIdError::Symbol { text: text.to_owned() }) }
    }

    /// Takes the bytes of a canonical name that this program wrote and whose checksum was verified:
    /// only the character set and the length are checked.
    pub fn from_trusted(bytes: &[u8]) -> Option<Self> {
        let len = u8::try_from(bytes.len()).ok()?;
        if !bytes.iter().all(|b| b.is_ascii_graphic() || *b == b' ') || !bytes.contains(&b'.') {
            return None;
        }
        let mut all = [0; CAPACITY];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { bytes: all, len })
    }

    fn from_parts(text: &str, symbol: &str, venue: &str) -> Result<Self, InstrumentIdError> {
        let too_long = || InstrumentIdError::TooLong { text: text.to_owned() };
        let len = symbol.len() + 1 + venue.len();
        let mut bytes = [0; CAPACITY];
        let target = bytes.get_mut(..len).ok_or_else(too_long)?;
        for (slot, byte) in target.iter_mut().zip(symbol.bytes().chain(*b".").chain(venue.bytes())) {
            *slot = byte;
        }
        let len = u8::try_from(len).map_err(|_| too_long())?;
        Ok(Self { bytes, len })
    }

    /// The canonical name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The bytes of the canonical name, printable ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The part before the last dot.
    pub fn symbol(&self) -> &str {
        self.as_str().rsplit_once('.').map_or("", |(symbol, _)| symbol)
    }

    /// The canonical code of the venue, the part behind the last dot.
    pub fn venue(&self) -> &str {
        self.as_str().rsplit_once('.').map_or("", |(_, venue)| venue)
    }

    /// The IANA zone of the venue's clock; UTC for venues that are not known.
    pub fn zone(&self) -> &'static str {
        Venue::zone_of(self.venue())
    }

    /// The first three characters, which group the digests of market data.
    pub fn group(&self) -> &str {
        self.as_str().get(..3).unwrap_or_else(|| self.as_str())
    }
}

fn is_six_digits(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_stock_code(text: &str) -> bool {
    matches!(text.len(), 6 | 8) && text.bytes().all(|b| b.is_ascii_digit())
}

fn split(text: &str) -> Result<(&str, &str), InstrumentIdError> {
    if let Some((left, right)) = text.rsplit_once('.') {
        let prefixed = is_six_digits(right) && Venue::find(left).is_some_and(|venue| venue.six_digits);
        return Ok(if prefixed { (right, left) } else { (left, right) });
    }
    if let (Some(head), Some(tail)) = (text.get(..2), text.get(2..)) {
        let known = Venue::find(head).is_some_and(|venue| venue.six_digits && venue.code.len() == 2);
        if known && is_six_digits(tail) {
            return Ok((tail, head));
        }
    }
    let hint = if is_six_digits(text) {
        format!("{text}.SH, {text}.SZ or {text}.BJ")
    } else if text.is_empty() {
        "600000.SH or BTCUSDT.BINANCE".to_owned()
    } else {
        format!("{text}.CFFEX or {text}.BINANCE")
    };
    Err(InstrumentIdError::NoVenue { text: text.to_owned(), hint })
}

fn canonical_venue<'a>(text: &str, symbol: &str, venue: &'a str) -> Result<&'a str, InstrumentIdError> {
    if let Some(known) = Venue::find(venue) {
        if known.six_digits && !is_stock_code(symbol) {
            return Err(InstrumentIdError::SixDigits { text: text.to_owned(), venue: known.code });
        }
        return Ok(known.code);
    }
    let shaped = (2..=12).contains(&venue.len())
        && venue.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && venue.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
    if shaped {
        return Ok(venue);
    }
    Err(InstrumentIdError::Venue { text: text.to_owned(), venue: venue.to_owned() })
}

fn check_symbol(text: &str, symbol: &str) -> Result<(), InstrumentIdError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.&/:+#@^= ".contains(&b);
    if symbol.is_empty() || symbol.trim() != symbol || !symbol.bytes().all(allowed) {
        return Err(InstrumentIdError::Symbol { text: text.to_owned() });
    }
    Ok(())
}

impl fmt::Debug for InstrumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstrumentId({})", self.as_str())
    }
}

impl fmt::Display for InstrumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for InstrumentId {
    type Err = InstrumentIdError;

    fn from_str(text: &str) -> Result<Self, InstrumentIdError> {
        Self::parse(text)
    }
}

impl Serialize for InstrumentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for InstrumentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> String {
        InstrumentId::parse(text).unwrap().to_string()
    }

    #[test]
    fn every_spelling_of_a_stock_is_one_instrument() {
        for venue in [
            ("600000", "SH", ["SSE", "SHSE", "XSHG"]),
            ("000001", "SZ", ["SZSE", "SZSE", "XSHE"]),
            ("430047", "BJ", ["BSE", "BJSE", "BJ"]),
        ] {
            let (code, short, aliases) = venue;
            let canonical = format!("{code}.{short}");
            let low = short.to_lowercase();
            let mut spellings = vec![
                canonical.clone(),
                format!("{short}{code}"),
                format!("{low}{code}"),
                format!("{low}.{code}"),
                format!("{code}.{low}"),
            ];
            for alias in aliases {
                spellings.push(format!("{code}.{alias}"));
                spellings.push(format!("{alias}.{code}"));
            }
            for spelling in spellings {
                assert_eq!(id(&spelling), canonical, "{spelling}");
            }
        }
    }

    #[test]
    fn index_and_stock_of_the_same_digits_stay_apart() {
        assert_ne!(id("000001.SH"), id("000001.SZ"));
        assert_eq!(id("sh000001"), "000001.SH");
    }

    #[test]
    fn a_bare_code_is_refused_with_a_hint() {
        let error = InstrumentId::parse("600000").unwrap_err().to_string();
        assert!(error.contains("600000.SH") && error.contains("600000.SZ"), "{error}");
        assert!(matches!(InstrumentId::parse("CON"), Err(InstrumentIdError::NoVenue { .. })));
    }

    #[test]
    fn case_is_kept_outside_the_stock_venues_and_reserved_names_are_names() {
        assert_ne!(id("SR2405.CZCE"), id("sr2405.CZCE"));
        for name in
            ["CON.NASDAQ", "AUX.NYSE", "PRN.BINANCE", "IF2403.CFFEX", "BTC/USDT.BINANCE", "BRK.B.NYSE"]
        {
            assert_eq!(id(name), name);
        }
        assert_eq!(id("rb2410.shfe"), "rb2410.SHFE");
    }

    #[test]
    fn what_is_no_instrument_is_an_error() {
        for text in
            ["", ".", ".SH", "600000.", "60000.SH", "a\nb.SH", "平安.SZ", "AAPL.x", " A.NYSE", "A .NYSE"]
        {
            assert!(InstrumentId::parse(text).is_err(), "{text:?}");
        }
        let long = format!("{}.BINANCE", "X".repeat(40));
        assert!(matches!(InstrumentId::parse(&long), Err(InstrumentIdError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn canonical_names_round_trip(symbol in "[A-Za-z0-9][A-Za-z0-9_/&-]{0,20}", venue in "[A-Z][A-Z0-9]{2,11}") {
            let text = format!("{symbol}.{venue}");
            if let Ok(first) = InstrumentId::parse(&text) {
                prop_assert_eq!(InstrumentId::parse(first.as_str()), Ok(first));
                prop_assert_eq!(InstrumentId::canonical(first.as_str()), Ok(first));
                prop_assert_eq!(InstrumentId::from_trusted(first.as_bytes()), Some(first));
            }
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in any::<String>()) {
            if let Ok(id) = InstrumentId::parse(&text) {
                prop_assert_eq!(InstrumentId::parse(id.as_str()), Ok(id));
            }
        }

        #[test]
        fn order_is_the_order_of_the_text(a in "[A-Z0-9]{1,8}", b in "[A-Z0-9]{1,8}") {
            let (a, b) = (format!("{a}.LOCAL"), format!("{b}.LOCAL"));
            let (x, y) = (InstrumentId::parse(&a).unwrap(), InstrumentId::parse(&b).unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }
    }
}
