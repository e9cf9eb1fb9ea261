//! The id of an imported row: a hash of whose it is, what it says and which of its equals it is.
//!
//! The hashed bytes are fields, each with its length in bytes as u32, little endian, in front:
//!
//! ```text
//! field(account) field(book) field(row) k: u64 little endian
//! row = field(day, YYYY-MM-DD) field(time, HH:MM:SS[.fraction]) field(instrument, canonical) field(name)
//!       field(kind as the source wrote it) field(remark, line ends as \n) field(price) field(quantity)
//! ```
//!
//! All text is UTF-8, trimmed; numbers are decimals without trailing zeros. The id is the first 16 bytes of
//! the BLAKE3 hash, read big endian. `k` counts equal rows of a file from 1, so equal rows are legal and an
//! export that overlaps an earlier one has the earlier one's ids. The file's encoding, its line ends and the
//! order of its columns do not matter.

use barkeeper_records::{AccountId, BookId, TradeId};

/// The bytes of a row, from which its id is made and by which equal rows are known.
pub(super) fn canonical_row(fields: &[&str; 8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(fields.iter().map(|field| field.len() + 4).sum());
    for field in fields {
        push(&mut row, field.as_bytes());
    }
    row
}

/// The id of the `occurrence`-th row (from 1) of this content in its file.
pub(super) fn trade_id(account: &AccountId, book: &BookId, row: &[u8], occurrence: u64) -> TradeId {
    let mut bytes = Vec::with_capacity(row.len() + 64);
    push(&mut bytes, account.as_str().as_bytes());
    push(&mut bytes, book.as_str().as_bytes());
    push(&mut bytes, row);
    bytes.extend(occurrence.to_le_bytes());
    let hash = blake3::hash(&bytes);
    let (head, _) = hash.as_bytes().as_chunks::<16>();
    TradeId(head.first().map_or(0, |first| u128::from_be_bytes(*first)))
}

/// Texts of the ledger are far below 4 GiB; a longer one would still be hashed whole.
fn push(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [&str; 8] =
        ["2025-01-02", "09:31:05", "000001.SZ", "平安银行", "市买委托", "", "11.43", "1000"];

    fn id(account: &str, book: &str, fields: [&str; 8], k: u64) -> TradeId {
        trade_id(&account.parse().unwrap(), &book.parse().unwrap(), &canonical_row(&fields), k)
    }

    #[test]
    fn every_part_of_the_input_counts() {
        let first = id("a", "b", FIELDS, 1);
        let mut moved = FIELDS;
        moved.swap(5, 3);
        for other in [
            id("b", "b", FIELDS, 1),
            id("a", "a", FIELDS, 1),
            id("a", "b", FIELDS, 2),
            id("a", "b", moved, 1),
        ] {
            assert_ne!(first, other);
        }
        assert_ne!(id("ab", "c", FIELDS, 1), id("a", "bc", FIELDS, 1));
    }

    #[test]
    fn the_layout_is_the_one_that_is_written_down() {
        let mut bytes = Vec::new();
        let field = |bytes: &mut Vec<u8>, text: &[u8]| {
            bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            bytes.extend(text);
        };
        let mut row = Vec::new();
        for text in FIELDS {
            field(&mut row, text.as_bytes());
        }
        field(&mut bytes, b"a");
        field(&mut bytes, b"b");
        field(&mut bytes, &row);
        bytes.extend(3_u64.to_le_bytes());
        let hash = blake3::hash(&bytes);
        let expected = u128::from_be_bytes(hash.as_bytes()[..16].try_into().unwrap());
        assert_eq!(id("a", "b", FIELDS, 3), TradeId(expected));
    }

    #[test]
    fn an_id_never_changes() {
        assert_eq!(id("国金证券", "prod_pwc", FIELDS, 1).to_string(), "3PTMSBM96YRCZHDAK02ZXESTWN");
    }
}
