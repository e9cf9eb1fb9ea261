//! Pages of segment files as they are read: their headers, and the values in them.
//!
//! Only what [`crate::encode`] writes is understood: required columns, data pages v1, three encodings.
//! The general reader of Parquet needs longer to get ready than these pages take to decode.

use std::ops::Range;

/// Values of a fixed width.
pub(crate) trait Value: Copy + Default {
    /// Bytes of one.
    const WIDTH: usize;
    /// Whether every reader knows them split into streams of bytes.
    const SPLITS: bool;
    /// One of its little-endian bytes; a default where they are too few.
    fn read(bytes: &[u8]) -> Self;
    /// Appends its little-endian bytes.
    fn put(self, bytes: &mut Vec<u8>);
    /// What is equal exactly where the value is.
    fn bits(self) -> u64;
    /// The order in which dictionaries and statistics stand.
    fn order(&self, other: &Self) -> std::cmp::Ordering;
}

macro_rules! value {
    ($type:ty, $splits:expr, $order:expr, $bits:expr) => {
        impl Value for $type {
            const WIDTH: usize = size_of::<$type>();
            const SPLITS: bool = $splits;

            fn read(bytes: &[u8]) -> Self {
                bytes.first_chunk().map_or_else(Self::default, |bytes| Self::from_le_bytes(*bytes))
            }

            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn bits(self) -> u64 {
                $bits(self)
            }

            fn order(&self, other: &Self) -> std::cmp::Ordering {
                $order(self, other)
            }
        }
    };
}

value!(f64, true, f64::total_cmp, f64::to_bits);
value!(i64, false, Ord::cmp, |value| value as u64);
value!(u64, false, Ord::cmp, |value| value);
value!(i32, false, Ord::cmp, |value| u64::from(value as u32));

pub(crate) const PLAIN: i64 = 0;
pub(crate) const RLE_DICTIONARY: i64 = 8;
pub(crate) const BYTE_STREAM_SPLIT: i64 = 9;

/// What stands in front of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) is_dictionary: bool,
    /// Length of the values before compression.
    pub(crate) plain: usize,
    /// Length of what follows the header.
    pub(crate) stored: usize,
    pub(crate) values: usize,
    pub(crate) encoding: i64,
}

/// What stands next in a struct: a field's number and type, or the end.
enum Field {
    Is(i64, u8),
    End,
}

/// Numbers of Thrift's compact protocol.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, rest) = varint(self.0)?;
        self.0 = rest;
        Some(value)
    }

    fn number(&mut self) -> Option<i64> {
        let raw = self.varint()?;
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// The next field of a struct and its type.
    fn field(&mut self, last: &mut i64) -> Option<Field> {
        let head = self.byte()?;
        if head == 0 {
            return Some(Field::End);
        }
        *last = if head >> 4 == 0 { self.number()? } else { last.checked_add(i64::from(head >> 4))? };
        Some(Field::Is(*last, head & 15))
    }

    /// Passes over a value; lists and maps stand in no header of ours.
    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            1 | 2 => Some(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            8 => {
                let len = usize::try_from(self.varint()?).ok()?;
                self.0 = self.0.get(len..)?;
                Some(())
            }
            12 if depth > 0 => {
                let mut last = 0;
                while let Field::Is(_, kind) = self.field(&mut last)? {
                    self.skip(kind, depth - 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

fn varint(mut bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (first, rest) = bytes.split_first()?;
        bytes = rest;
        value |= u64::from(first & 127).checked_shl(shift)?;
        if first & 128 == 0 {
            return Some((value, bytes));
        }
        shift += 7;
    }
}

/// The header at the front of some bytes, and what follows it.
pub(crate) fn read_header(bytes: &[u8]) -> Option<(PageHeader, &[u8])> {
    let mut thrift = Thrift(bytes);
    let mut header = PageHeader::default();
    let mut last = 0;
    while let Field::Is(field, kind) = thrift.field(&mut last)? {
        match (field, kind) {
            (1, 5) => {
                header.is_dictionary = match thrift.number()? {
                    0 => false,
                    2 => true,
                    _ => return None,
                }
            }
            (2, 5) => header.plain = usize::try_from(thrift.number()?).ok()?,
            (3, 5) => header.stored = usize::try_from(thrift.number()?).ok()?,
            (5 | 7, 12) => {
                let mut last = 0;
                while let Field::Is(field, kind) = thrift.field(&mut last)? {
                    match (field, kind) {
                        (1, 5) => header.values = usize::try_from(thrift.number()?).ok()?,
                        (2, 5) => header.encoding = thrift.number()?,
                        _ => thrift.skip(kind, 2)?,
                    }
                }
            }
            _ => thrift.skip(kind, 2)?,
        }
    }
    Some((header, thrift.0))
}

/// Space that reads use again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Blocks of the file.
    pub(crate) file: Vec<u8>,
    pub(crate) plain: Vec<u8>,
    pub(crate) indices: Vec<u32>,
}

/// Appends the wanted values of a page; `None` where the page is not what its header says.
pub(crate) fn read_values<T: Value>(
    header: &PageHeader,
    body: &[u8],
    lz4: bool,
    dictionary: &[T],
    wanted: Range<usize>,
    (plain, indices): (&mut Vec<u8>, &mut Vec<u32>),
    out: &mut Vec<T>,
) -> Option<()> {
    if header.encoding == RLE_DICTIONARY {
        read_indices(body, header.values, indices)?;
        let wanted = indices.get(wanted)?;
        if wanted.iter().max().is_some_and(|most| *most as usize >= dictionary.len()) {
            return None;
        }
        out.extend(wanted.iter().map(|index| dictionary.get(*index as usize).copied().unwrap_or_default()));
        return Some(());
    }
    let len = header.values.checked_mul(T::WIDTH)?;
    if header.plain != len || wanted.end > header.values {
        return None;
    }
    let body = if lz4 {
        plain.resize(len, 0);
        (lz4_flex::block::decompress_into(body, plain).ok()? == len).then_some(())?;
        plain.as_slice()
    } else {
        body
    };
    match header.encoding {
        PLAIN => {
            let bytes = body.get(wanted.start * T::WIDTH..wanted.end * T::WIDTH)?;
            out.extend(bytes.chunks_exact(T::WIDTH).map(T::read));
        }
        BYTE_STREAM_SPLIT if T::WIDTH == 8 && body.len() == len => {
            let stream = |n: usize| body.get(n * header.values..)?.get(wanted.clone());
            let streams = [stream(0)?, stream(1)?, stream(2)?, stream(3)?];
            let more = [stream(4)?, stream(5)?, stream(6)?, stream(7)?];
            join_streams(streams, more, out);
        }
        _ => return None,
    }
    Some(())
}

/// Puts together values whose first bytes stand in one stream, whose second ones in the next, and so on.
fn join_streams<T: Value>(low: [&[u8]; 4], high: [&[u8]; 4], out: &mut Vec<T>) {
    let fours = |[first, second, third, fourth]: [&'_ [u8]; 4]| {
        let pairs = first.iter().zip(second).zip(third.iter().zip(fourth));
        pairs.map(|((first, second), (third, fourth))| [*first, *second, *third, *fourth]).collect::<Vec<_>>()
    };
    let all = fours(low).into_iter().zip(fours(high));
    out.extend(all.map(|([a, b, c, d], [e, f, g, h])| T::read(&[a, b, c, d, e, f, g, h])));
}

/// Bits that hold any index below `count`, at least one.
pub(crate) fn width_of(count: usize) -> u32 {
    count.saturating_sub(1).checked_ilog2().map_or(1, |log| log + 1)
}

/// Reads indices into a dictionary, the first byte being their width; `out` holds those of the page.
pub(crate) fn read_indices(body: &[u8], count: usize, out: &mut Vec<u32>) -> Option<()> {
    out.clear();
    let (width, mut rest) = body.split_first()?;
    let width = usize::from(*width);
    if width > MOST_BITS {
        return None;
    }
    while out.len() < count {
        let (head, tail) = varint(rest)?;
        let left = count - out.len();
        let number = usize::try_from(head >> 1).ok()?;
        if number == 0 {
            return None;
        }
        if head & 1 == 1 {
            let (packed, tail) = tail.split_at_checked(number.checked_mul(width)?)?;
            rest = tail;
            // A page that claims more than its values is cut before memory is taken for it.
            let groups = number.min(left.div_ceil(8));
            unpack(packed.get(..groups * width)?, width, out);
            out.truncate(count);
        } else {
            let (value, tail) = tail.split_at_checked(width.div_ceil(8))?;
            rest = tail;
            let value = value.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
            out.resize(out.len() + number.min(left), value);
        }
    }
    Some(())
}

/// The widest indices: sixteen million entries.
const MOST_BITS: usize = 24;

/// Unpacks groups of eight numbers, the lowest bits first.
fn unpack(packed: &[u8], width: usize, out: &mut Vec<u32>) {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                $($width => unpack_width::<$width>(packed, out),)*
                _ => {}
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24);
}

fn unpack_width<const WIDTH: usize>(packed: &[u8], out: &mut Vec<u32>) {
    let mask = (1_u32 << WIDTH) - 1;
    let (groups, _) = packed.as_chunks::<WIDTH>();
    out.reserve(groups.len() * 8);
    for group in groups {
        let mut padded = [0; 32];
        for (to, from) in padded.iter_mut().zip(group) {
            *to = *from;
        }
        let eight: [u32; 8] = std::array::from_fn(|place| {
            let bit = place * WIDTH;
            let word = padded.get(bit / 8..).and_then(|bytes| bytes.first_chunk::<4>());
            (word.map_or(0, |word| u32::from_le_bytes(*word)) >> (bit % 8)) & mask
        });
        out.extend_from_slice(&eight);
    }
}
