//! `PageSums`: what `store.sums` holds, a sum of every page of the database as it was closed; and the few
//! fields of redb's header that tell which state of a database a file is.

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a page of the database.
pub const PAGE_BYTES: usize = 4_096;
/// Bytes of redb's header, at the beginning of its first page.
pub const HEADER_BYTES: usize = 320;

const MAGIC: [u8; 8] = *b"bk-sums\n";
const LAYOUT: u32 = 1;
/// Bytes before the sums.
const HEAD_BYTES: usize = 40;
/// The byte of redb's header that holds its flags.
const FLAGS: usize = 9;
/// The flag that says that a writer has the database open, or was killed with it.
const OPEN_FLAG: u8 = 2;
/// Where the numbers of the transactions stand in redb's two commit slots.
const TRANSACTIONS: [usize; 2] = [64 + 104, 192 + 104];

/// The sum of a page; never 0, which means that a page's content is not known.
pub fn page_sum(page: &[u8]) -> u64 {
    xxh3_64(page).max(1)
}

/// What redb's header says about the state of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseHeader {
    /// A hash of both commit slots, with the roots of redb's hash trees, and of the layout: other content, another
    /// hash. It is the same while the database is open as after it was closed.
    pub hash: u64,
    /// The newest transaction that the header knows of; grows with every commit.
    pub transaction: u64,
    /// Whether the database was closed.
    pub closed: bool,
}

impl DatabaseHeader {
    /// Reads the header from the first bytes of a database; `None` where there are too few.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut header: [u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let flags = header.get_mut(FLAGS)?;
        let closed = *flags & OPEN_FLAG == 0;
        *flags &= !OPEN_FLAG;
        let mut transaction = 0;
        for place in TRANSACTIONS {
            transaction = transaction.max(u64_at(&header, place)?);
        }
        Some(Self { hash: xxh3_64(&header), transaction, closed })
    }
}

/// The sums of all pages of a database, bound to the header that it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSums {
    /// The hash of the database's header.
    pub header: u64,
    /// The newest transaction of that header.
    pub transaction: u64,
    /// One sum a page, 0 where the content is not known: the first page, and pages that hold nothing.
    pub sums: Vec<u64>,
}

impl PageSums {
    /// The content of `store.sums`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + (self.sums.len() + 1) * 8);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&LAYOUT.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(PAGE_BYTES).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&self.header.to_le_bytes());
        bytes.extend_from_slice(&self.transaction.to_le_bytes());
        bytes.extend_from_slice(&(self.sums.len() as u64).to_le_bytes());
        for sum in &self.sums {
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads `store.sums`; `None` where it is damaged or of another layout, which costs time and no data.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        if u64_at(sum, 0)? != xxh3_64(body) || body.get(..8)? != MAGIC {
            return None;
        }
        let small = |place: usize| body.get(place..place + 4)?.try_into().ok().map(u32::from_le_bytes);
        if small(8)? != LAYOUT || usize::try_from(small(12)?).ok()? != PAGE_BYTES {
            return None;
        }
        let sums = body.get(HEAD_BYTES..)?;
        let pages = usize::try_from(u64_at(body, 32)?).ok()?;
        if pages.checked_mul(8)? != sums.len() {
            return None;
        }
        let sums = sums.chunks_exact(8).filter_map(|sum| u64_at(sum, 0)).collect();
        Some(Self { header: u64_at(body, 16)?, transaction: u64_at(body, 24)?, sums })
    }
}

fn u64_at(bytes: &[u8], place: usize) -> Option<u64> {
    bytes.get(place..place.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(flags: u8, transactions: [u64; 2]) -> Vec<u8> {
        let mut bytes = vec![7; HEADER_BYTES];
        bytes[FLAGS] = flags;
        for (place, transaction) in TRANSACTIONS.iter().zip(transactions) {
            bytes[*place..place + 8].copy_from_slice(&transaction.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_header_says_which_state_it_is_of() {
        let closed = DatabaseHeader::read(&header(5, [41, 42])).unwrap();
        assert_eq!((closed.transaction, closed.closed), (42, true));
        let open = DatabaseHeader::read(&header(7, [41, 42])).unwrap();
        assert_eq!((open.hash, open.closed), (closed.hash, false));
        assert_ne!(DatabaseHeader::read(&header(5, [43, 42])).unwrap().hash, closed.hash);
        assert_eq!(DatabaseHeader::read(&[0; HEADER_BYTES - 1]), None);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_refused() {
        let whole = PageSums { header: 1, transaction: 2, sums: vec![0, 3, 4] };
        let bytes = whole.to_bytes();
        assert_eq!(PageSums::from_bytes(&bytes), Some(whole));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(PageSums::from_bytes(&damaged), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(PageSums::from_bytes(&bytes[..len]), None, "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_sums_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop((PageSums::from_bytes(&bytes), DatabaseHeader::read(&bytes)));
        }
    }
}
