//! Spellings of instruments.

use barkeeper_records::InstrumentId;

pub(crate) fn instrument(bytes: &[u8]) -> bool {
    if let Some(id) = InstrumentId::from_trusted(bytes) {
        assert_eq!(id.as_bytes(), bytes);
        let _ = (id.symbol(), id.venue(), id.zone(), id.group(), id.to_string());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match InstrumentId::parse(text) {
        Ok(id) => {
            assert_eq!(InstrumentId::canonical(id.as_str()), Ok(id), "{text:?}");
            assert_eq!(InstrumentId::from_trusted(id.as_bytes()), Some(id), "{text:?}");
            assert_eq!(format!("{}.{}", id.symbol(), id.venue()), id.as_str());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}
