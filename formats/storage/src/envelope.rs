//! The envelope of every hot value: a layout byte, the payload, and a checksum over key and payload.

use bincode::config::{Configuration, standard};
use bincode::{Decode, Encode};

use crate::hash::checksum;

/// Stored bytes that are not what was written. They are an error, never data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The checksum does not fit the bytes.
    #[error("{what}: the checksum does not fit the stored bytes")]
    Checksum {
        /// Which kind of value.
        what: &'static str,
    },
    /// The bytes end early, or do not decode.
    #[error("{what}: the stored bytes do not decode ({detail})")]
    Layout {
        /// Which kind of value.
        what: &'static str,
        /// Where decoding stopped.
        detail: &'static str,
    },
    /// A layout that this program does not know: the store was written by a newer one.
    #[error("{what}: layout {found} is newer than layout {known}, the newest that this program reads")]
    Newer {
        /// Which kind of value.
        what: &'static str,
        /// What the value says.
        found: u8,
        /// What is known.
        known: u8,
    },
}

const CHECKSUM_BYTES: usize = 8;
/// Bytes that a decoded row may take: the index of the largest segment takes a small part of it.
const DECODED_BYTES: usize = 256 * 1024 * 1024;

fn config() -> Configuration {
    standard()
}

/// Puts a payload into its envelope: layout byte, payload, XXH3-64 little endian.
pub(crate) fn wrap(kind: u8, key: &[u8], layout: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 1 + CHECKSUM_BYTES);
    bytes.push(layout);
    bytes.extend_from_slice(payload);
    let sum = checksum(kind, key, &bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Takes a payload out of its envelope after verifying it.
pub(crate) fn unwrap<'a>(
    what: &'static str,
    kind: u8,
    key: &[u8],
    bytes: &'a [u8],
    known: u8,
) -> Result<&'a [u8], Damage> {
    let short = Damage::Layout { what, detail: "fewer bytes than an envelope has" };
    let split = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(|| short.clone())?;
    let (body, sum) = bytes.split_at_checked(split).ok_or_else(|| short.clone())?;
    let sum: [u8; CHECKSUM_BYTES] = sum.try_into().map_err(|_| short.clone())?;
    if checksum(kind, key, body) != u64::from_le_bytes(sum) {
        return Err(Damage::Checksum { what });
    }
    let (layout, payload) = body.split_first().ok_or(short)?;
    if *layout > known {
        return Err(Damage::Newer { what, found: *layout, known });
    }
    if *layout < known {
        return Err(Damage::Layout { what, detail: "a layout that was never written" });
    }
    Ok(payload)
}

/// A row of primitives that never changes once it was released.
pub trait StoredRow: Encode + Decode<()> + Sized {
    /// What the row is, for errors.
    const WHAT: &'static str;
    /// The number of the kind of value, hashed into the checksum. Every table has its own, but for the
    /// single numbers of `targets` and `meta`.
    const KIND: u8;
    /// The layout byte.
    const LAYOUT: u8 = 1;

    /// The bytes of the row under a key.
    fn to_bytes(&self, key: &[u8]) -> Vec<u8> {
        // Encoding primitives into a Vec cannot fail; an empty payload would be seen as damage on read.
        let payload = bincode::encode_to_vec(self, config()).unwrap_or_default();
        wrap(Self::KIND, key, Self::LAYOUT, &payload)
    }

    /// The row of bytes that were stored under a key.
    ///
    /// # Errors
    /// Every variant of [`Damage`].
    fn from_bytes(key: &[u8], bytes: &[u8]) -> Result<Self, Damage> {
        let payload = unwrap(Self::WHAT, Self::KIND, key, bytes, Self::LAYOUT)?;
        let undecodable = |_| Damage::Layout { what: Self::WHAT, detail: "a field does not decode" };
        // A forged length must not be reserved before the bytes are seen to end.
        let config = config().with_limit::<DECODED_BYTES>();
        let (row, used) = bincode::decode_from_slice(payload, config).map_err(undecodable)?;
        if used == payload.len() {
            Ok(row)
        } else {
            Err(Damage::Layout { what: Self::WHAT, detail: "bytes are left over" })
        }
    }
}
