//! Chunks of time slabs: up to 64 instruments' bars of one `ts`, column after column.
//!
//! A chunk is one stored value, so a point read verifies a chunk and not the whole slab. Instruments
//! stand in text order; a chunk's key ends with its first instrument.

use barkeeper_records::{Bar, InstrumentId, Timestamp, TradingDay, Version};

use crate::barrows::VersionedBar;
use crate::envelope::{Damage, unwrap, wrap};

/// Instruments in a chunk at the most.
pub const CHUNK_INSTRUMENTS: usize = 64;

const WHAT: &str = "slab chunk";
const KIND: u8 = 23;
const LAYOUT: u8 = 1;
const UNIFORM_VERSION: u8 = 1;
const UNIFORM_DAY: u8 = 2;
const COLUMNS: usize = 7;

/// Encodes a chunk of bars of one `ts`, in the order of instruments, at most 64, under its key.
pub fn encode_chunk(key: &[u8], rows: &[(InstrumentId, VersionedBar)]) -> Vec<u8> {
    let same = |f: fn(&VersionedBar) -> i64| {
        let mut values = rows.iter().map(|(_, row)| f(row));
        values.next().is_some_and(|first| values.all(|value| value == first))
    };
    let uniform_version = same(|row| row.version.raw() as i64);
    let uniform_day = same(|row| i64::from(row.bar.trading_day.days()));
    let mut bytes = Vec::with_capacity(16 + rows.len() * 80);
    bytes.push(u8::from(uniform_version) * UNIFORM_VERSION + u8::from(uniform_day) * UNIFORM_DAY);
    bytes.extend_from_slice(&u16::try_from(rows.len()).unwrap_or(u16::MAX).to_le_bytes());
    for (_, row) in rows.iter().take(if uniform_version { 1 } else { rows.len() }) {
        bytes.extend_from_slice(&row.version.raw().to_le_bytes());
    }
    for (_, row) in rows.iter().take(if uniform_day { 1 } else { rows.len() }) {
        bytes.extend_from_slice(&row.bar.trading_day.days().to_le_bytes());
    }
    let mut end = 0_u16;
    for (instrument, _) in rows {
        end = end.saturating_add(u16::try_from(instrument.as_bytes().len()).unwrap_or(u16::MAX));
        bytes.extend_from_slice(&end.to_le_bytes());
    }
    for (instrument, _) in rows {
        bytes.extend_from_slice(instrument.as_bytes());
    }
    for column in 0..COLUMNS {
        for (_, row) in rows {
            let number = row.bar.numbers().get(column).copied().unwrap_or_default();
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    wrap(KIND, key, LAYOUT, &bytes)
}

/// A verified chunk, read in place.
#[derive(Debug, Clone, Copy)]
pub struct ChunkView<'a> {
    count: usize,
    ts: Timestamp,
    versions: &'a [u8],
    days: &'a [u8],
    ends: &'a [u8],
    names: &'a [u8],
    columns: &'a [u8],
}

const fn short() -> Damage {
    Damage::Layout { what: WHAT, detail: "fewer bytes than its header says" }
}

fn cut<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], Damage> {
    let (head, tail) = bytes.split_at_checked(len).ok_or_else(short)?;
    *bytes = tail;
    Ok(head)
}

fn field<const N: usize>(bytes: &[u8], index: usize) -> Option<[u8; N]> {
    bytes.get(index.checked_mul(N)?..)?.first_chunk::<N>().copied()
}

impl<'a> ChunkView<'a> {
    /// Verifies the bytes that stand under a key and reads their header.
    ///
    /// # Errors
    /// Every variant of [`Damage`].
    pub fn read(key: &[u8], ts: Timestamp, bytes: &'a [u8]) -> Result<Self, Damage> {
        let mut rest = unwrap(WHAT, KIND, key, bytes, LAYOUT)?;
        let header: [u8; 3] = cut(&mut rest, 3)?.try_into().map_err(|_| short())?;
        let [flags, low, high] = header;
        if flags & !(UNIFORM_VERSION | UNIFORM_DAY) != 0 {
            return Err(Damage::Layout { what: WHAT, detail: "a flag that was never written" });
        }
        let count = usize::from(u16::from_le_bytes([low, high]));
        let versions = cut(&mut rest, 8 * if flags & UNIFORM_VERSION == 0 { count } else { 1 })?;
        let days = cut(&mut rest, 4 * if flags & UNIFORM_DAY == 0 { count } else { 1 })?;
        let ends = cut(&mut rest, 2 * count)?;
        let last = count.checked_sub(1).and_then(|i| field::<2>(ends, i)).map(u16::from_le_bytes);
        let names = cut(&mut rest, usize::from(last.unwrap_or(0)))?;
        let columns = cut(&mut rest, 8 * COLUMNS * count)?;
        if !rest.is_empty() {
            return Err(Damage::Layout { what: WHAT, detail: "bytes are left over" });
        }
        Ok(Self { count, ts, versions, days, ends, names, columns })
    }

    /// How many instruments it holds.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn name(&self, index: usize) -> Option<&'a [u8]> {
        let end = u16::from_le_bytes(field(self.ends, index)?);
        let start = match index.checked_sub(1) {
            Some(before) => u16::from_le_bytes(field(self.ends, before)?),
            None => 0,
        };
        self.names.get(usize::from(start)..usize::from(end))
    }

    fn row(&self, index: usize) -> Option<VersionedBar> {
        let at = |bytes: &[u8], width: usize| if bytes.len() == width { 0 } else { index };
        let version = Version::from_raw(u64::from_le_bytes(field(self.versions, at(self.versions, 8))?))?;
        let day = TradingDay::from_days(i32::from_le_bytes(field(self.days, at(self.days, 4))?))?;
        let mut numbers = [0.0; COLUMNS];
        for (column, number) in numbers.iter_mut().enumerate() {
            *number = f64::from_le_bytes(field(self.columns, column * self.count + index)?);
        }
        Some(VersionedBar { bar: Bar::from_numbers(self.ts, day, numbers), version })
    }

    /// The bar of an instrument, if the chunk has one.
    ///
    /// # Errors
    /// `Layout` for a value that no bar has.
    pub fn find(&self, instrument: &InstrumentId) -> Result<Option<VersionedBar>, Damage> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.name(middle).ok_or_else(short)?.cmp(instrument.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.row(middle).map(Some).ok_or_else(bad_row),
            }
        }
        Ok(None)
    }

    /// All bars with their instruments, in the order of instruments.
    pub fn rows(&self) -> impl Iterator<Item = Result<(InstrumentId, VersionedBar), Damage>> + 'a {
        let view = *self;
        (0..view.count).map(move |index| {
            let instrument = view.name(index).and_then(InstrumentId::from_trusted).ok_or_else(bad_row)?;
            Ok((instrument, view.row(index).ok_or_else(bad_row)?))
        })
    }
}

const fn bad_row() -> Damage {
    Damage::Layout { what: WHAT, detail: "a value that no bar has" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn row()(code in 0_u32..999_999, numbers in prop::array::uniform7(-1e12_f64..1e12), version in 0_u64..3, day in 0_i32..3)
            -> (InstrumentId, [f64; 7], u64, i32) {
            (format!("{code:06}.SZ").parse().unwrap(), numbers, version, day)
        }
    }

    proptest! {
        #[test]
        fn chunks_round_trip_and_are_found(rows in prop::collection::btree_map(0_u32..999_999, row(), 1..64)) {
            let ts = Timestamp::from_nanos(86_400_000_000_000);
            let mut bars: Vec<(InstrumentId, VersionedBar)> = rows.values().map(|(id, numbers, version, day)| {
                let bar = Bar::from_numbers(ts, TradingDay::from_days(*day).unwrap(), *numbers);
                (*id, VersionedBar { bar, version: Version::from_raw(*version).unwrap() })
            }).collect();
            bars.sort_by_key(|(id, _)| *id);
            bars.dedup_by_key(|(id, _)| *id);
            let bytes = encode_chunk(b"key", &bars);
            let view = ChunkView::read(b"key", ts, &bytes).unwrap();
            let back: Vec<_> = view.rows().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(&back, &bars);
            for (id, bar) in &bars {
                prop_assert_eq!(view.find(id).unwrap(), Some(*bar));
            }
            prop_assert_eq!(view.find(&"ZZZ.LOCAL".parse().unwrap()).unwrap(), None);
        }

        #[test]
        fn any_flipped_bit_and_any_other_key_is_damage(bit in 0_usize..800) {
            let ts = Timestamp::from_nanos(0);
            let bar = Bar::from_numbers(ts, TradingDay::default(), [1.0; 7]);
            let row = ("000001.SZ".parse().unwrap(), VersionedBar { bar, version: Version::ZERO });
            let mut bytes = encode_chunk(b"key", &[row]);
            prop_assert!(ChunkView::read(b"kex", ts, &bytes).is_err());
            let place = bit / 8 % bytes.len();
            bytes[place] ^= 1 << (bit % 8);
            prop_assert!(ChunkView::read(b"key", ts, &bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let wrapped = wrap(KIND, b"k", LAYOUT, &bytes);
            if let Ok(view) = ChunkView::read(b"k", Timestamp::default(), &wrapped) {
                drop(view.rows().collect::<Vec<_>>());
                drop(view.find(&"000001.SZ".parse().unwrap()));
            }
            drop(ChunkView::read(b"k", Timestamp::default(), &bytes).map(|view| view.len()));
        }
    }
}
