//! Column chunks of segment files as they are written: each in the encoding that makes it smallest.
//!
//! A dictionary, sorted, where values repeat in the row group: names, days, prices of two or three
//! decimals. Else the bytes of the values apart (`BYTE_STREAM_SPLIT`) or as they are (`PLAIN`), whichever
//! some sampled pages say is shorter, compressed with LZ4. Indices are never compressed: LZ4 finds
//! nothing in them.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use crate::decode::{Value, width_of};

/// Entries of a dictionary of numbers at the most: 512 KB of doubles.
const MOST_ENTRIES: usize = 65_536;
/// Pages that are compressed to find out what compresses best.
const SAMPLES: usize = 4;
/// Equal indices from which on they are stored as a run.
const RUN: usize = 24;

/// An encoded column chunk.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) close: ColumnCloseResult,
    /// Where each page begins, counted from the chunk's first byte.
    pub(crate) offsets: Vec<u32>,
}

/// Pages on their way into a chunk.
struct Pages {
    about: ColumnDescPtr,
    sink: TrackedWrite<Vec<u8>>,
    compression: Compression,
    encoding: Encoding,
    plain: i64,
    dictionary: bool,
    data_at: Option<u64>,
    offsets: Vec<u32>,
    index: OffsetIndexBuilder,
}

impl Pages {
    fn new(about: &ColumnDescPtr, compression: Compression, encoding: Encoding) -> Self {
        Self {
            about: about.clone(),
            sink: TrackedWrite::new(Vec::new()),
            compression,
            encoding,
            plain: 0,
            dictionary: false,
            data_at: None,
            offsets: Vec::new(),
            index: OffsetIndexBuilder::new(),
        }
    }

    fn put(&mut self, page: Page, plain: usize) -> Result<PageWriteSpec, ParquetError> {
        let spec = SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, plain))?;
        self.plain += spec.uncompressed_size as i64;
        Ok(spec)
    }

    fn put_dictionary(&mut self, entries: Vec<u8>, count: usize) -> Result<(), ParquetError> {
        self.dictionary = true;
        let (len, num_values) = (entries.len(), u32::try_from(count).unwrap_or(u32::MAX));
        let buf = Bytes::from(entries);
        self.put(Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: true }, len)?;
        Ok(())
    }

    fn put_data(&mut self, body: Vec<u8>, plain: usize, rows: usize) -> Result<(), ParquetError> {
        let page = Page::DataPage {
            buf: Bytes::from(body),
            num_values: u32::try_from(rows).unwrap_or(u32::MAX),
            encoding: self.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let spec = self.put(page, plain)?;
        self.data_at.get_or_insert(spec.offset);
        let too_long = |_| ParquetError::General("a column chunk of 4 GiB".to_owned());
        self.offsets.push(u32::try_from(spec.offset).map_err(too_long)?);
        self.index.append_row_count(rows as i64);
        let size = i32::try_from(spec.compressed_size).unwrap_or(i32::MAX);
        self.index.append_offset_and_size(spec.offset as i64, size);
        Ok(())
    }

    fn finish(
        self,
        rows: usize,
        statistics: Statistics,
        column_index: Option<ColumnIndexBuilder>,
    ) -> Result<Chunk, ParquetError> {
        let bytes = Bytes::from(self.sink.into_inner()?);
        let mut encodings = vec![Encoding::RLE, self.encoding];
        if self.dictionary {
            encodings.push(Encoding::PLAIN);
        }
        let metadata = ColumnChunkMetaData::builder(self.about)
            .set_compression(self.compression)
            .set_encodings(encodings)
            .set_num_values(rows as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.plain)
            .set_dictionary_page_offset(self.dictionary.then_some(0))
            .set_data_page_offset(self.data_at.unwrap_or(0) as i64)
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: column_index.map(ColumnIndexBuilder::build).transpose()?,
            offset_index: Some(self.index.build()),
        };
        Ok(Chunk { bytes, close, offsets: self.offsets })
    }
}

/// The parts of a column that its pages hold.
pub(crate) fn parts<'a, T>(values: &'a [T], pages: &'a [usize]) -> impl Iterator<Item = &'a [T]> + 'a {
    pages.iter().scan(values, |rest, rows| {
        let (page, tail) = rest.split_at_checked(*rows)?;
        *rest = tail;
        Some(page)
    })
}

/// Encodes names, given as indices into a list in text order. `pages`: how many rows each page holds.
pub(crate) fn names(
    about: &ColumnDescPtr,
    list: &[&str],
    indices: &[u32],
    pages: &[usize],
) -> Result<Chunk, ParquetError> {
    let mut chunk = Pages::new(about, Compression::UNCOMPRESSED, Encoding::RLE_DICTIONARY);
    let mut entries = Vec::new();
    for name in list {
        entries.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
        entries.extend_from_slice(name.as_bytes());
    }
    chunk.put_dictionary(entries, list.len())?;
    let name = |index: Option<&u32>| {
        let name = index.and_then(|index| list.get(*index as usize)).copied();
        name.unwrap_or_default().as_bytes().to_vec()
    };
    let mut column_index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
    for page in parts(indices, pages) {
        let body = index_page(page, width_of(list.len()));
        chunk.put_data(body.clone(), body.len(), page.len())?;
        column_index.append(false, name(page.iter().min()), name(page.iter().max()), 0, None);
    }
    let text = |name: Option<&&str>| name.map(|name| name.as_bytes().to_vec().into());
    let statistics = Statistics::byte_array(text(list.first()), text(list.last()), None, Some(0), false);
    chunk.finish(indices.len(), statistics, Some(column_index))
}

/// Encodes numbers. `pages`: how many rows each page holds; `index`: whether the file tells the lowest
/// and highest value of each page.
pub(crate) fn numbers<T: Value>(
    about: &ColumnDescPtr,
    values: &[T],
    pages: &[usize],
    index: bool,
    statistics: fn(Option<T>, Option<T>) -> Statistics,
) -> Result<Chunk, ParquetError> {
    let by_index = distinct(values);
    let best = best_plain(values, pages);
    let dictionary_bytes = |entries: &Vec<T>, indices: &Vec<u32>| {
        let width = width_of(entries.len()) as usize;
        let runs = indices.windows(2).filter(|pair| matches!(pair, [a, b] if a != b)).count();
        // Runs of equal indices cost a few bytes each; a column that is constant costs next to nothing.
        let packed = (indices.len() * width / 8).min(runs * 8);
        entries.len() * T::WIDTH + packed
    };
    let mut chunk = match by_index {
        Some((entries, indices)) if dictionary_bytes(&entries, &indices) as f64 <= best.bytes => {
            let mut chunk = Pages::new(about, Compression::UNCOMPRESSED, Encoding::RLE_DICTIONARY);
            let mut plain = Vec::with_capacity(entries.len() * T::WIDTH);
            for entry in &entries {
                entry.put(&mut plain);
            }
            chunk.put_dictionary(plain, entries.len())?;
            for page in parts(&indices, pages) {
                let body = index_page(page, width_of(entries.len()));
                let len = body.len();
                chunk.put_data(body, len, page.len())?;
            }
            chunk
        }
        _ => {
            let encoding = if best.split { Encoding::BYTE_STREAM_SPLIT } else { Encoding::PLAIN };
            let mut chunk = Pages::new(about, Compression::LZ4_RAW, encoding);
            for page in parts(values, pages) {
                let plain = plain_page(page, best.split);
                chunk.put_data(lz4_flex::block::compress(&plain), plain.len(), page.len())?;
            }
            chunk
        }
    };
    let least = |values: &[T]| values.iter().copied().min_by(T::order);
    let most = |values: &[T]| values.iter().copied().max_by(T::order);
    let mut column_index = index.then(|| ColumnIndexBuilder::new(about.physical_type()));
    if let Some(column_index) = &mut column_index {
        let bytes = |value: Option<T>| {
            let mut bytes = Vec::with_capacity(T::WIDTH);
            value.unwrap_or_default().put(&mut bytes);
            bytes
        };
        for page in parts(values, pages) {
            column_index.append(false, bytes(least(page)), bytes(most(page)), 0, None);
        }
    }
    chunk.data_at.get_or_insert(0);
    chunk.finish(values.len(), statistics(least(values), most(values)), column_index)
}

/// How a column is stored without a dictionary, and about how many bytes it takes.
struct Best {
    split: bool,
    bytes: f64,
}

fn best_plain<T: Value>(values: &[T], pages: &[usize]) -> Best {
    let step = (pages.len() / SAMPLES).max(1);
    let (mut rows, mut plain, mut split) = (0, 0, 0);
    for page in parts(values, pages).step_by(step).take(SAMPLES) {
        rows += page.len();
        plain += lz4_flex::block::compress(&plain_page(page, false)).len();
        // Not every reader knows split integers.
        split += if T::SPLITS { lz4_flex::block::compress(&plain_page(page, true)).len() } else { 0 };
    }
    let by_split = T::SPLITS && split < plain;
    let sampled = if by_split { split } else { plain };
    Best { split: by_split, bytes: sampled as f64 * values.len() as f64 / rows.max(1) as f64 }
}

const fn low_byte(bits: u64) -> u8 {
    bits.to_le_bytes()[0]
}

fn plain_page<T: Value>(values: &[T], split: bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(values.len() * T::WIDTH);
    if split {
        for byte in 0..T::WIDTH {
            plain.extend(values.iter().map(|value| low_byte(value.bits() >> (8 * byte))));
        }
    } else {
        for value in values {
            value.put(&mut plain);
        }
    }
    plain
}

/// A data page of indices: their width, then runs and packed groups of eight.
fn index_page(indices: &[u32], width: u32) -> Vec<u8> {
    let mut body = vec![u8::try_from(width).unwrap_or(u8::MAX)];
    let mut literal = indices.get(..0).unwrap_or_default();
    let mut rest = indices;
    while let Some(first) = rest.first() {
        let equal = rest.iter().take_while(|index| *index == first).count();
        // Packed indices come in groups of eight; only the last group of a page may be short.
        let missing = (8 - literal.len() % 8) % 8;
        let taken = if equal >= RUN + missing { missing } else { equal };
        let from = indices.len() - rest.len() - literal.len();
        literal = indices.get(from..from + literal.len() + taken).unwrap_or_default();
        rest = rest.get(taken..).unwrap_or_default();
        if equal >= RUN + missing {
            pack(literal, width, &mut body);
            put_varint((equal - missing) as u64 * 2, &mut body);
            body.extend(first.to_le_bytes().iter().take(width.div_ceil(8) as usize));
            rest = rest.get(equal - missing..).unwrap_or_default();
            let at = indices.len() - rest.len();
            literal = indices.get(at..at).unwrap_or_default();
        }
    }
    pack(literal, width, &mut body);
    body
}

fn pack(indices: &[u32], width: u32, body: &mut Vec<u8>) {
    if indices.is_empty() {
        return;
    }
    put_varint(indices.len().div_ceil(8) as u64 * 2 + 1, body);
    let (mut bits, mut held) = (0_u64, 0);
    let padding = (8 - indices.len() % 8) % 8;
    for index in indices.iter().copied().chain(std::iter::repeat_n(0, padding)) {
        bits |= u64::from(index) << held;
        held += width;
        while held >= 8 {
            body.push(low_byte(bits));
            bits >>= 8;
            held -= 8;
        }
    }
}

fn put_varint(mut value: u64, body: &mut Vec<u8>) {
    while value >= 128 {
        body.push(low_byte(value) | 128);
        value >>= 7;
    }
    body.push(low_byte(value));
}

/// The values that there are, in order, and the place of each value among them; `None` where there are
/// too many.
fn distinct<T: Value>(values: &[T]) -> Option<(Vec<T>, Vec<u32>)> {
    const FREE: u32 = u32::MAX;
    let mut slots = vec![FREE; 1 << 12];
    let mut found: Vec<T> = Vec::new();
    let mut indices = Vec::with_capacity(values.len());
    let place = |bits: u64, slots: &[u32], found: &[T]| {
        let mask = slots.len() - 1;
        let mut slot = (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        loop {
            let number = slots.get(slot).copied().unwrap_or(FREE);
            if number == FREE || found.get(number as usize).is_some_and(|value| value.bits() == bits) {
                return (slot, number);
            }
            slot = (slot + 1) & mask;
        }
    };
    let mut last: Option<(u64, u32)> = None;
    for value in values {
        let bits = value.bits();
        if let Some((_, number)) = last.filter(|(before, _)| *before == bits) {
            indices.push(number);
            continue;
        }
        let (slot, mut number) = place(bits, &slots, &found);
        if number == FREE {
            if found.len() == MOST_ENTRIES {
                return None;
            }
            number = u32::try_from(found.len()).ok()?;
            found.push(*value);
            if let Some(free) = slots.get_mut(slot) {
                *free = number;
            }
            if found.len() * 2 > slots.len() {
                slots = vec![FREE; slots.len() * 4];
                for (number, value) in (0..).zip(&found) {
                    let (slot, _) = place(value.bits(), &slots, &[]);
                    if let Some(free) = slots.get_mut(slot) {
                        *free = number;
                    }
                }
            }
        }
        last = Some((bits, number));
        indices.push(number);
    }
    let mut order: Vec<u32> = (0..u32::try_from(found.len()).ok()?).collect();
    let value = |number: &u32| found.get(*number as usize).copied().unwrap_or_default();
    order.sort_unstable_by(|a, b| value(a).order(&value(b)));
    let mut rank = vec![0; found.len()];
    for (place, number) in (0..).zip(&order) {
        if let Some(slot) = rank.get_mut(*number as usize) {
            *slot = place;
        }
    }
    for index in &mut indices {
        *index = rank.get(*index as usize).copied().unwrap_or_default();
    }
    Some((order.iter().map(value).collect(), indices))
}
