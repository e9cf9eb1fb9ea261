//! Row hashes: 64 bits over key and content, the same on every device and in every target.
//!
//! The hashed bytes are the table's code, then each value of the key and of the other columns in the
//! order of the schema: a tag byte, then the value, little endian. `00` NULL; `01` i64; `02` the eight
//! bytes of an IEEE double; `03` i128, the decimal times 10^8; `04` u32 length and UTF-8; `05` i32 days.
//! NULLs behind the last value are left out, so that a column added later, NULL in old rows, leaves
//! their hashes alone. Version, device and LSN are not hashed, so two desktops that hold the same row hold the same hash.

use std::marker::PhantomData;

use barkeeper_records::{Bar, InstrumentId, SeriesKey, Table, Value};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::eventsegment::StoredEvent;

const NULL: u8 = 0;
const INT: u8 = 1;
const DOUBLE: u8 = 2;
const DECIMAL: u8 = 3;
const TEXT: u8 = 4;
const DAY: u8 = 5;

/// The hash of a row: XXH3-64 of the bytes above, as the signed number that targets store.
pub fn row_hash(table: Table, key: &[Value], values: &[Value]) -> i64 {
    let mut bytes = Vec::with_capacity(160);
    bytes.push(table.code());
    let told = values.iter().rposition(|value| *value != Value::Null).map_or(0, |last| last + 1);
    for value in key.iter().chain(values.iter().take(told)) {
        put(&mut bytes, value);
    }
    xxh3_64(&bytes) as i64
}

fn put(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(NULL),
        Value::Int(number) => put_int(bytes, *number),
        Value::Double(number) => put_double(bytes, *number),
        Value::Decimal(number) => {
            bytes.push(DECIMAL);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Value::Text(text) => put_text(bytes, text.as_bytes()),
        Value::Day(day) => put_day(bytes, day.days()),
    }
}

fn put_int(bytes: &mut Vec<u8>, number: i64) {
    bytes.push(INT);
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put_double(bytes: &mut Vec<u8>, number: f64) {
    bytes.push(DOUBLE);
    bytes.extend_from_slice(&number.to_bits().to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.push(TEXT);
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(text);
}

fn put_day(bytes: &mut Vec<u8>, days: i32) {
    bytes.push(DAY);
    bytes.extend_from_slice(&days.to_le_bytes());
}

/// Hashes the bars of one series without building rows; equal to [`row_hash`] of the same row.
#[derive(Debug, Clone)]
pub struct BarHasher {
    bytes: Vec<u8>,
    prefix: usize,
}

impl BarHasher {
    /// A hasher for the bars of a series.
    pub fn new(series: &SeriesKey) -> Self {
        let mut bytes = Vec::with_capacity(192);
        bytes.push(Table::Bars.code());
        put_text(&mut bytes, series.interval.to_string().as_bytes());
        put_text(&mut bytes, series.adjustment.as_str().as_bytes());
        put_text(&mut bytes, series.instrument.as_bytes());
        let prefix = bytes.len();
        Self { bytes, prefix }
    }

    /// The hash of a bar.
    pub fn hash(&mut self, bar: &Bar) -> i64 {
        self.bytes.truncate(self.prefix);
        put_int(&mut self.bytes, bar.ts.nanos());
        put_day(&mut self.bytes, bar.trading_day.days());
        for number in bar.numbers() {
            put_double(&mut self.bytes, number);
        }
        xxh3_64(&self.bytes) as i64
    }
}

/// Hashes the ticks or market trades of one instrument; equal to [`row_hash`] of the same row.
#[derive(Debug, Clone)]
pub struct EventHasher<T> {
    bytes: Vec<u8>,
    prefix: usize,
    of: PhantomData<T>,
}

impl<T: StoredEvent> EventHasher<T> {
    /// A hasher for the rows of an instrument.
    pub fn new(instrument: &InstrumentId) -> Self {
        let mut bytes = Vec::with_capacity(320);
        bytes.push(T::TABLE.code());
        put_text(&mut bytes, instrument.as_bytes());
        let prefix = bytes.len();
        Self { bytes, prefix, of: PhantomData }
    }

    /// The hash of a row.
    pub fn hash(&mut self, event: &T) -> i64 {
        self.bytes.truncate(self.prefix);
        let place = event.place();
        put_int(&mut self.bytes, place.ts.nanos());
        put_int(&mut self.bytes, place.sequence as i64);
        put_day(&mut self.bytes, event.trading_day().days());
        for number in 0..T::NUMBERS.len() {
            put_double(&mut self.bytes, event.number(number));
        }
        for value in event.extra_values() {
            put(&mut self.bytes, &value);
        }
        xxh3_64(&self.bytes) as i64
    }
}

/// The checksum that stands behind every hot value: XXH3-64 over the kind of value, the key and the
/// payload, so that a value under the wrong key or in the wrong table is damage as well.
pub fn checksum(kind: u8, key: &[u8], payload: &[u8]) -> u64 {
    short_checksum(kind, key, payload).unwrap_or_else(|| long_checksum(kind, key, payload))
}

/// Most bytes that are hashed in one piece: nearly all rows, and setting up a hasher takes longer than
/// hashing one.
const SHORT: usize = 512;
/// Bytes of the kind and of the key's length.
const PREFIX: usize = 9;

fn short_checksum(kind: u8, key: &[u8], payload: &[u8]) -> Option<u64> {
    let mut buffer = [0; SHORT];
    let bytes = buffer.get_mut(..PREFIX + key.len() + payload.len())?;
    let (prefix, rest) = bytes.split_at_mut_checked(PREFIX)?;
    let (first, len) = prefix.split_first_mut()?;
    *first = kind;
    len.copy_from_slice(&(key.len() as u64).to_le_bytes());
    let (head, tail) = rest.split_at_mut_checked(key.len())?;
    head.copy_from_slice(key);
    tail.copy_from_slice(payload);
    Some(xxh3_64(bytes))
}

fn long_checksum(kind: u8, key: &[u8], payload: &[u8]) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(&[kind]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(payload);
    hasher.digest()
}

/// The next link of the hash chain over the change log.
pub fn chain(previous: u64, lsn: u64, record: &[u8]) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(&previous.to_le_bytes());
    hasher.update(&lsn.to_le_bytes());
    hasher.update(record);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_short_checksum_is_the_long_one(
            kind in any::<u8>(),
            key in prop::collection::vec(any::<u8>(), 0..120),
            payload in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let long = long_checksum(kind, &key, &payload);
            prop_assert_eq!(checksum(kind, &key, &payload), long);
            let short = short_checksum(kind, &key, &payload);
            prop_assert_eq!(short.is_some(), PREFIX + key.len() + payload.len() <= SHORT);
            prop_assert!(short.is_none_or(|short| short == long));
        }
    }
}
