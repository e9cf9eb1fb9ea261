//! Chunks of ticks or market trades: rows of one or many instruments, column after column.
//!
//! A chunk is one stored value. Rows stand in the order of instrument, `ts` and sequence. Each column says
//! how it is packed: one value for all rows, offsets from the lowest, decimals as integers, or as it is.

use barkeeper_records::{EventPlace, InstrumentId, MarketEvent, Timestamp, TradingDay, Version};

use crate::envelope::{Damage, unwrap, wrap};

/// Rows after which a chunk takes no further instrument.
pub const CHUNK_EVENTS: usize = 64;

const WHAT: &str = "chunk of ticks or market trades";
const LAYOUT: u8 = 1;
/// All rows have the one value that follows.
const SAME: u8 = 0;
/// Eight bytes a row.
const PLAIN: u8 = 1;
/// The lowest value, and four bytes a row above it.
const OFFSET: u8 = 2;
/// Four bytes a row: an integer that is divided by 1, 10, 100, ... for this tag and those behind it.
const DECIMAL: u8 = 16;
/// Rows of a chunk at the most; what says more was never written.
const CHUNK_ROWS: usize = 4_096;
const POWERS: [f64; 7] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0];

/// A tick or a market trade with the version that wrote it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VersionedEvent<T> {
    /// The row.
    pub event: T,
    /// Its version.
    pub version: Version,
}

/// In which of the two tables a chunk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkKind {
    /// Many instruments, as they came.
    Slab = 26,
    /// One instrument.
    Block = 27,
}

const fn bad(detail: &'static str) -> Damage {
    Damage::Layout { what: WHAT, detail }
}

fn put_ints(bytes: &mut Vec<u8>, values: &[i64]) {
    let low = values.iter().copied().min().unwrap_or(0);
    let high = values.iter().copied().max().unwrap_or(0);
    if low == high {
        bytes.push(SAME);
        bytes.extend_from_slice(&low.to_le_bytes());
    } else if u32::try_from(high.abs_diff(low)).is_ok() {
        bytes.push(OFFSET);
        bytes.extend_from_slice(&low.to_le_bytes());
        for value in values {
            let offset = u32::try_from(value.abs_diff(low)).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
    } else {
        bytes.push(PLAIN);
        for value in values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// The integer that reads back as exactly this number.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is left out before")]
fn decimal(value: f64, power: f64) -> Option<i32> {
    let whole = (value * power).round();
    let fits = whole.abs() <= f64::from(i32::MAX) && (whole / power).to_bits() == value.to_bits();
    fits.then_some(whole as i32)
}

fn put_numbers(bytes: &mut Vec<u8>, values: &[f64]) {
    let first = values.first().copied().unwrap_or(0.0);
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        bytes.push(SAME);
        bytes.extend_from_slice(&first.to_le_bytes());
        return;
    }
    for (tag, power) in (DECIMAL..).zip(POWERS) {
        let start = bytes.len();
        bytes.push(tag);
        let fits = values.iter().all(|value| {
            decimal(*value, power).is_some_and(|whole| {
                bytes.extend_from_slice(&whole.to_le_bytes());
                true
            })
        });
        if fits {
            return;
        }
        bytes.truncate(start);
    }
    bytes.push(PLAIN);
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
}

/// Encodes rows in the order of instrument, `ts` and sequence under their key.
pub fn encode_events<T: MarketEvent>(
    kind: ChunkKind,
    key: &[u8],
    rows: &[(InstrumentId, VersionedEvent<T>)],
) -> Vec<u8> {
    let runs: Vec<&[(InstrumentId, VersionedEvent<T>)]> = rows.chunk_by(|a, b| a.0 == b.0).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = Vec::with_capacity(64 + rows.len() * (24 + 4 * T::NUMBERS.len()));
    bytes.push(T::TABLE.code());
    bytes.extend_from_slice(&count(rows.len()));
    bytes.extend_from_slice(&count(runs.len()));
    for run in &runs {
        bytes.extend_from_slice(&count(run.len()));
        let name = run.first().map(|(instrument, _)| instrument.as_bytes()).unwrap_or_default();
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name);
    }
    let ints = |f: fn(&VersionedEvent<T>) -> i64| rows.iter().map(|(_, row)| f(row)).collect::<Vec<_>>();
    put_ints(&mut bytes, &ints(|row| row.event.place().ts.nanos()));
    put_ints(&mut bytes, &ints(|row| row.event.place().sequence as i64));
    put_ints(&mut bytes, &ints(|row| i64::from(row.event.trading_day().days())));
    put_ints(&mut bytes, &ints(|row| row.version.raw() as i64));
    put_ints(&mut bytes, &ints(|row| i64::from(row.event.code())));
    for place in 0..T::NUMBERS.len() {
        let values: Vec<f64> = rows.iter().map(|(_, row)| row.event.number(place)).collect();
        put_numbers(&mut bytes, &values);
    }
    wrap(kind as u8, key, LAYOUT, &bytes)
}

/// Reads the parts of a chunk, front to back.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let (head, tail) = self.0.split_at_checked(len).ok_or_else(|| bad("fewer bytes than it says"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        self.take(N)?.try_into().map_err(|_| bad("fewer bytes than it says"))
    }

    fn count(&mut self) -> Result<usize, Damage> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| bad("a count"))
    }

    fn column(&mut self, rows: usize) -> Result<Column<'a>, Damage> {
        let [tag] = self.array()?;
        let width = |width: usize| rows.checked_mul(width).ok_or_else(|| bad("a count"));
        Ok(match tag {
            SAME => Column::Same(self.array()?),
            PLAIN => Column::Plain(self.take(width(8)?)?),
            OFFSET => Column::Offset(i64::from_le_bytes(self.array()?), self.take(width(4)?)?),
            _ => {
                let power = tag.checked_sub(DECIMAL).and_then(|place| POWERS.get(usize::from(place)));
                Column::Decimal(
                    *power.ok_or_else(|| bad("a packing that was never written"))?,
                    self.take(width(4)?)?,
                )
            }
        })
    }
}

#[derive(Clone, Copy)]
enum Column<'a> {
    Same([u8; 8]),
    Plain(&'a [u8]),
    Offset(i64, &'a [u8]),
    Decimal(f64, &'a [u8]),
}

fn field<const N: usize>(bytes: &[u8], row: usize) -> Option<[u8; N]> {
    bytes.get(row.checked_mul(N)?..)?.first_chunk::<N>().copied()
}

impl Column<'_> {
    fn int(&self, row: usize) -> Option<i64> {
        match self {
            Self::Same(value) => Some(i64::from_le_bytes(*value)),
            Self::Plain(bytes) => field(bytes, row).map(i64::from_le_bytes),
            Self::Offset(low, bytes) => low.checked_add(i64::from(u32::from_le_bytes(field(bytes, row)?))),
            Self::Decimal(..) => None,
        }
    }

    fn number(&self, row: usize) -> Option<f64> {
        match self {
            Self::Same(value) => Some(f64::from_le_bytes(*value)),
            Self::Plain(bytes) => field(bytes, row).map(f64::from_le_bytes),
            Self::Decimal(power, bytes) => Some(f64::from(i32::from_le_bytes(field(bytes, row)?)) / power),
            Self::Offset(..) => None,
        }
    }
}

/// A verified chunk, read in place.
pub struct EventChunk<'a> {
    runs: Vec<(InstrumentId, usize, usize)>,
    ints: [Column<'a>; 5],
    numbers: Vec<Column<'a>>,
    rows: usize,
}

impl std::fmt::Debug for EventChunk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventChunk").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl<'a> EventChunk<'a> {
    /// Verifies the bytes that stand under a key and reads where its columns are.
    ///
    /// # Errors
    /// Every variant of [`Damage`].
    pub fn read<T: MarketEvent>(kind: ChunkKind, key: &[u8], bytes: &'a [u8]) -> Result<Self, Damage> {
        let mut rest = Reader(unwrap(WHAT, kind as u8, key, bytes, LAYOUT)?);
        let [table] = rest.array()?;
        if table != T::TABLE.code() {
            return Err(bad("rows of another table"));
        }
        let (rows, count) = (rest.count()?, rest.count()?);
        if rows > CHUNK_ROWS || count > rows {
            return Err(bad("a count"));
        }
        let mut runs = Vec::with_capacity(count);
        let mut start = 0_usize;
        for _ in 0..count {
            let len = rest.count()?;
            let [name] = rest.array()?;
            let name = rest.take(usize::from(name))?;
            let instrument = InstrumentId::from_trusted(name).ok_or_else(|| bad("an instrument"))?;
            let end = start.checked_add(len).ok_or_else(|| bad("a count"))?;
            runs.push((instrument, start, end));
            start = end;
        }
        if start != rows {
            return Err(bad("runs that do not make the rows"));
        }
        let mut ints = [Column::Same([0; 8]); 5];
        for slot in &mut ints {
            *slot = rest.column(rows)?;
        }
        let mut numbers = Vec::with_capacity(T::NUMBERS.len());
        for _ in T::NUMBERS {
            numbers.push(rest.column(rows)?);
        }
        if rest.0.is_empty() {
            Ok(Self { runs, ints, numbers, rows })
        } else {
            Err(bad("bytes are left over"))
        }
    }

    /// How many rows it holds.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The instruments and how many rows each has, in text order.
    pub fn instruments(&self) -> impl Iterator<Item = (InstrumentId, usize)> + '_ {
        self.runs.iter().map(|(instrument, start, end)| (*instrument, end - start))
    }

    fn place(&self, row: usize) -> Option<EventPlace> {
        let [ts, sequence, ..] = &self.ints;
        let sequence = u64::try_from(sequence.int(row)?).ok()?;
        Some(EventPlace { ts: Timestamp::from_nanos(ts.int(row)?), sequence })
    }

    fn row<T: MarketEvent>(&self, row: usize, numbers: &mut Vec<f64>) -> Option<VersionedEvent<T>> {
        let [_, _, day, version, code] = &self.ints;
        let day = TradingDay::from_days(i32::try_from(day.int(row)?).ok()?)?;
        let version = Version::from_raw(u64::try_from(version.int(row)?).ok()?)?;
        let code = u8::try_from(code.int(row)?).ok()?;
        numbers.clear();
        for column in &self.numbers {
            numbers.push(column.number(row)?);
        }
        let event = T::from_parts(self.place(row)?, day, numbers, code)?;
        Some(VersionedEvent { event, version })
    }

    /// Visits the rows of an instrument from `from` to `to`, both included.
    ///
    /// # Errors
    /// `Layout` for a value that no row has.
    pub fn find<T: MarketEvent>(
        &self,
        instrument: &InstrumentId,
        from: Timestamp,
        to: Timestamp,
        mut each: impl FnMut(VersionedEvent<T>),
    ) -> Result<(), Damage> {
        let Ok(run) = self.runs.binary_search_by(|(name, ..)| name.cmp(instrument)) else { return Ok(()) };
        let Some((_, start, end)) = self.runs.get(run) else { return Ok(()) };
        let mut numbers = Vec::with_capacity(self.numbers.len());
        for row in *start..*end {
            let ts = self.place(row).ok_or_else(|| bad("a value that no row has"))?.ts;
            if (from..=to).contains(&ts) {
                each(self.row(row, &mut numbers).ok_or_else(|| bad("a value that no row has"))?);
            }
        }
        Ok(())
    }

    /// Visits all rows with their instruments.
    ///
    /// # Errors
    /// `Layout` for a value that no row has.
    pub fn each<T: MarketEvent>(
        &self,
        mut each: impl FnMut(InstrumentId, VersionedEvent<T>),
    ) -> Result<(), Damage> {
        let mut numbers = Vec::with_capacity(self.numbers.len());
        for (instrument, start, end) in &self.runs {
            for row in *start..*end {
                each(*instrument, self.row(row, &mut numbers).ok_or_else(|| bad("a value that no row has"))?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use barkeeper_records::{MarketTrade, Side, Tick};
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            (0_i32..2_000_000).prop_map(|cents| f64::from(cents) / 100.0),
            Just(0.0),
            -1e12_f64..1e12,
            Just(0.1 + 0.2),
            Just(f64::MAX),
            Just(5e-324),
        ]
    }

    fn rows<T: MarketEvent>(codes: u8) -> impl Strategy<Value = Vec<(InstrumentId, VersionedEvent<T>)>> {
        let numbers = prop::collection::vec(number(), T::NUMBERS.len());
        let times = prop_oneof![
            0_i64..5,
            Just(i64::MIN),
            Just(i64::MAX),
            1_700_000_000_000_000_000..1_700_000_100_000_000_000_i64
        ];
        let row = (0_u8..4, times, 0_u64..3, numbers, 0..codes, 0_u64..3);
        prop::collection::vec(row, 1..80).prop_map(|rows| {
            let mut all: Vec<(InstrumentId, VersionedEvent<T>)> = rows
                .into_iter()
                .map(|(name, ts, sequence, numbers, code, version)| {
                    let place = EventPlace { ts: Timestamp::from_nanos(ts), sequence };
                    let event = T::from_parts(place, TradingDay::default(), &numbers, code).unwrap();
                    let version = Version::from_raw(version).unwrap();
                    (format!("{name:06}.SZ").parse().unwrap(), VersionedEvent { event, version })
                })
                .collect();
            all.sort_by_key(|(instrument, row)| (*instrument, row.event.place()));
            all.dedup_by_key(|(instrument, row)| (*instrument, row.event.place()));
            all
        })
    }

    fn round_trip<T: MarketEvent>(rows: &[(InstrumentId, VersionedEvent<T>)]) {
        let bytes = encode_events(ChunkKind::Slab, b"key", rows);
        let chunk = EventChunk::read::<T>(ChunkKind::Slab, b"key", &bytes).unwrap();
        let mut back = Vec::new();
        chunk.each::<T>(|instrument, row| back.push((instrument, row))).unwrap();
        assert_eq!(back.len(), rows.len());
        assert!(
            back.iter()
                .zip(rows)
                .all(|(a, b)| a.0 == b.0 && a.1.version == b.1.version && a.1.event.same_content(&b.1.event))
        );
        for (instrument, _) in rows {
            let mut found = 0;
            chunk
                .find::<T>(instrument, Timestamp::from_nanos(0), Timestamp::from_nanos(3), |_| found += 1)
                .unwrap();
            let inside = |row: &VersionedEvent<T>| (0..=3).contains(&row.event.place().ts.nanos());
            assert_eq!(found, rows.iter().filter(|(one, row)| one == instrument && inside(row)).count());
        }
        assert!(EventChunk::read::<T>(ChunkKind::Block, b"key", &bytes).is_err());
        assert!(EventChunk::read::<T>(ChunkKind::Slab, b"kex", &bytes).is_err());
    }

    proptest! {
        #[test]
        fn ticks_round_trip_and_are_found(rows in rows::<Tick>(1)) {
            round_trip(&rows);
        }

        #[test]
        fn market_trades_round_trip_and_are_found(rows in rows::<MarketTrade>(3)) {
            round_trip(&rows);
        }

        #[test]
        fn any_flipped_bit_of_a_chunk_of_events_is_damage(bit in 0_usize..2_000) {
            let event = MarketTrade { price: 1.5, side: Side::Sell, ..MarketTrade::default() };
            let row = ("000001.SZ".parse().unwrap(), VersionedEvent { event, version: Version::ZERO });
            let mut bytes = encode_events(ChunkKind::Block, b"key", &[row]);
            let place = bit / 8 % bytes.len();
            bytes[place] ^= 1 << (bit % 8);
            prop_assert!(EventChunk::read::<MarketTrade>(ChunkKind::Block, b"key", &bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_as_events_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), table in 7_u8..9) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = table;
            }
            let wrapped = wrap(ChunkKind::Slab as u8, b"k", LAYOUT, &bytes);
            if let Ok(chunk) = EventChunk::read::<MarketTrade>(ChunkKind::Slab, b"k", &wrapped) {
                drop(chunk.each::<MarketTrade>(|_, _| {}));
            }
        }
    }
}
