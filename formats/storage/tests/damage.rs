//! Damaged and newer bytes: an error, never data.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, TimestampNanosecondType, UInt64Type};
use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, BookId, Bucket, EventPlace, InstrumentId, Interval, Lsn, PositionKey,
    SeriesKey, StrategySnapshotKey, Table, Timestamp, TradeId, TradingDay, Version,
};
use barkeeper_storage::{
    Axis, BarV1, BookV1, ChunkView, Damage, Dataset, DigestV1, ExternalIdV1, HeadV1, IdentityV1, ImportV1,
    LogEntry, LogV1, NumberOfV1, NumberV1, PositionV1, RequestOrderV1, RequestV1, RevisionV1, Segment,
    SegmentEntry, SegmentError, SegmentIndexV1, SegmentKind, SegmentV1, SegmentWriter, StatsPageV1,
    StoredRow, StrategySnapshotV1, TombstoneV1, TradeIdV1, TradeOfInstrumentV1, TradeV1, TradeVoidV1,
    VersionedBar, checksum, encode_chunk, keys,
};

fn series() -> SeriesKey {
    SeriesKey::daily("000001.SZ".parse().unwrap())
}

fn bar(day: i32, price: f64) -> VersionedBar {
    let day = TradingDay::from_days(day).unwrap();
    let numbers = [price, price * 1.01, price * 0.99, price, 100.0, price * 100.0, 0.0];
    VersionedBar { bar: Bar::from_numbers(day.label(), day, numbers), version: Version::from_raw(7).unwrap() }
}

fn flip<T: StoredRow + std::fmt::Debug>(key: &[u8], row: &T) {
    let bytes = row.to_bytes(key);
    let mut other = key.to_vec();
    other[0] ^= 1;
    assert!(T::from_bytes(&other, &bytes).is_err(), "another key: {row:?}");
    for bit in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(T::from_bytes(key, &wrong).is_err(), "bit {bit}: {row:?}");
    }
    for end in 0..bytes.len() {
        assert!(T::from_bytes(key, &bytes[..end]).is_err(), "{end} bytes: {row:?}");
    }
}

#[test]
fn any_flipped_bit_of_a_row_is_damage() {
    let ts = Timestamp::from_nanos(0);
    flip(&keys::bar(&series(), ts), &BarV1::of(&bar(0, 9.39)));
    let key = PositionKey::main("a".parse().unwrap(), series().instrument);
    flip(&keys::position(&key), &PositionV1::tombstone(Version::ZERO));
    flip(b"head", &HeadV1::default());
    // An index entry without a value still has a checksum over its key.
    flip(b"key", &TradeOfInstrumentV1::default());
    let entry = LogEntry::Series { series: series(), from: ts, to: ts };
    flip(&keys::log(Lsn(1), 0), &LogV1::of(&entry, Lsn(1), Version::ZERO, ts, 0));
}

/// The kind of slab chunks, which are no `StoredRow`.
const CHUNK: u8 = 23;

/// A body in an envelope whose checksum fits.
fn sealed(kind: u8, key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&checksum(kind, key, body).to_le_bytes());
    bytes
}

/// Stored bytes with another byte at a place and a checksum that fits again.
fn forged(kind: u8, key: &[u8], bytes: &[u8], place: usize, byte: u8) -> Vec<u8> {
    let mut body = bytes[..bytes.len() - 8].to_vec();
    body[place] = byte;
    sealed(kind, key, &body)
}

/// A chunk of two bars, and its key.
fn chunk() -> (Vec<u8>, Vec<u8>) {
    let key = keys::chunk(Interval::DAY, AdjustmentTag::Raw, Timestamp::from_nanos(0), &series().instrument);
    let rows = [(series().instrument, bar(0, 9.39)), ("600000.SH".parse().unwrap(), bar(0, 10.0))];
    let bytes = encode_chunk(&key, &rows);
    (key, bytes)
}

fn read_chunk(key: &[u8], bytes: &[u8]) -> Result<(), Damage> {
    ChunkView::read(key, Timestamp::from_nanos(0), bytes).map(drop)
}

#[test]
fn a_newer_layout_is_refused_with_both_numbers() {
    let bytes = forged(HeadV1::KIND, b"head", &HeadV1::default().to_bytes(b"head"), 0, 2);
    let error = HeadV1::from_bytes(b"head", &bytes).unwrap_err();
    assert!(matches!(error, Damage::Newer { found: 2, known: 1, .. }), "{error}");
    let (key, bytes) = chunk();
    let error = read_chunk(&key, &forged(CHUNK, &key, &bytes, 0, 255)).unwrap_err();
    assert!(matches!(error, Damage::Newer { found: 255, known: 1, .. }), "{error}");
}

#[test]
fn a_layout_that_was_never_written_is_refused() {
    let good = HeadV1::default().to_bytes(b"head");
    assert_eq!(forged(HeadV1::KIND, b"head", &good, 0, 1), good);
    let error = HeadV1::from_bytes(b"head", &forged(HeadV1::KIND, b"head", &good, 0, 0)).unwrap_err();
    assert!(matches!(error, Damage::Layout { .. }), "{error}");
    let (key, bytes) = chunk();
    let error = read_chunk(&key, &forged(CHUNK, &key, &bytes, 0, 0)).unwrap_err();
    assert!(matches!(error, Damage::Layout { .. }), "{error}");
}

type Reader = fn(&[u8], &[u8]) -> Result<(), Damage>;

const fn reader<T: StoredRow>() -> (u8, Reader) {
    (T::KIND, |key, bytes| T::from_bytes(key, bytes).map(drop))
}

#[test]
fn a_value_in_another_table_is_damage() {
    // Two tables have the same keys, and values of the same fields.
    let key = keys::trade_id(TradeId(7));
    let void = TradeVoidV1 { to: vec![7; 16] };
    assert_eq!(TradeVoidV1::from_bytes(&key, &void.to_bytes(&key)).unwrap(), void);
    let error = TradeIdV1::from_bytes(&key, &void.to_bytes(&key)).unwrap_err();
    assert!(matches!(error, Damage::Checksum { .. }), "{error}");

    let readers: [(u8, Reader); 24] = [
        reader::<PositionV1>(),
        reader::<BookV1>(),
        reader::<TradeV1>(),
        reader::<ImportV1>(),
        reader::<BarV1>(),
        reader::<RevisionV1>(),
        reader::<TombstoneV1>(),
        reader::<StatsPageV1>(),
        reader::<NumberV1>(),
        reader::<LogV1>(),
        reader::<DigestV1>(),
        reader::<IdentityV1>(),
        reader::<HeadV1>(),
        reader::<RequestV1>(),
        reader::<TradeIdV1>(),
        reader::<TradeOfInstrumentV1>(),
        reader::<ExternalIdV1>(),
        reader::<TradeVoidV1>(),
        reader::<RequestOrderV1>(),
        reader::<NumberOfV1>(),
        reader::<SegmentV1>(),
        reader::<SegmentIndexV1>(),
        (CHUNK, read_chunk),
        reader::<StrategySnapshotV1>(),
    ];
    for (kind, _) in readers {
        // The checksum comes first, so it does not matter what the payload is.
        let bytes = sealed(kind, &key, &[1, 0, 0, 0]);
        for (other, read) in readers {
            let refused = matches!(read(&key, &bytes), Err(Damage::Checksum { .. }));
            assert_eq!(refused, other != kind, "a value of kind {kind} read as one of kind {other}");
        }
    }
}

#[test]
fn a_forged_length_is_damage_and_nothing_is_reserved_for_it() {
    let key = keys::trade_id(TradeId(7));
    // Varints of the largest lengths, under a checksum that fits.
    let huge = [&[1_u8][..], &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f].repeat(4)].concat();
    let large = [&[1_u8][..], &[0xfc, 0xff, 0xff, 0xff, 0x7f].repeat(8)].concat();
    for bytes in [huge, large] {
        let index = sealed(SegmentIndexV1::KIND, &key, &bytes);
        assert!(matches!(SegmentIndexV1::from_bytes(&key, &index), Err(Damage::Layout { .. })));
        let state = sealed(StrategySnapshotV1::KIND, &key, &bytes);
        assert!(matches!(StrategySnapshotV1::from_bytes(&key, &state), Err(Damage::Layout { .. })));
        let log = sealed(LogV1::KIND, &key, &[&[1, 0, 1][..], bytes.get(1..).unwrap()].concat());
        assert!(matches!(LogV1::from_bytes(&key, &log), Err(Damage::Layout { .. })));
    }
}

#[test]
fn unknown_flags_of_a_chunk_are_refused() {
    let (key, bytes) = chunk();
    assert_eq!(bytes[1], 3, "one version and one day");
    read_chunk(&key, &forged(CHUNK, &key, &bytes, 1, 3)).unwrap();
    for bit in 2..8 {
        let error = read_chunk(&key, &forged(CHUNK, &key, &bytes, 1, 3 | 1 << bit)).unwrap_err();
        assert!(matches!(error, Damage::Layout { .. }), "bit {bit}: {error}");
    }
}

#[test]
fn a_segment_of_another_dataset_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (entry, ..) = segment(&folder.path().join("segment.parquet"));
    let bytes = SegmentV1::of(&entry).to_bytes(b"key");
    let read = |dataset| {
        let bytes = forged(SegmentV1::KIND, b"key", &bytes, 1, dataset);
        SegmentV1::from_bytes(b"key", &bytes).unwrap().read(entry.id)
    };
    assert_eq!(read(1).unwrap(), entry);
    for dataset in [0, 2, 250] {
        let error = read(dataset).unwrap_err();
        assert!(matches!(error, Damage::Layout { .. }), "{dataset}: {error}");
    }
}

type IsRead = fn(&[u8]) -> bool;

#[test]
fn a_key_that_goes_on_behind_its_last_part_is_refused() {
    let series = series();
    let (account, ts): (AccountId, _) = ("a".parse().unwrap(), Timestamp::from_nanos(0));
    let id = TradeId(7);
    let bucket = Bucket { table: Table::Trades, group: "a".to_owned(), period: 0 };
    let book = BookId::main();
    let state = StrategySnapshotKey { strategy: "a".parse().unwrap(), saved_at: ts, sequence: 1 };
    let place = EventPlace { ts, sequence: 7 };
    let all: [(Vec<u8>, IsRead); 13] = [
        (keys::event(Table::Ticks, &series.instrument, place), |key| keys::read_event(key).is_some()),
        (keys::event_stats(Table::Ticks, 7), |key| keys::read_event_stats(key).is_some()),
        (keys::factor(&series.instrument, TradingDay::default()), |key| keys::read_factor(key).is_some()),
        (keys::book(&account, &book), |key| keys::read_book(key).is_some()),
        (keys::trade(&account, ts, id), |key| keys::read_trade(key).is_some()),
        (keys::trade_by_instrument(&account, &series.instrument, ts, id), |key| {
            keys::read_trade_by_instrument(key).is_some()
        }),
        (keys::series(&series), |key| keys::read_series(key).is_some()),
        (keys::tombstone(&series, Lsn(1), 0), |key| keys::read_tombstone(key).is_some()),
        (keys::stats_page(series.interval, series.adjustment, 1), |key| keys::read_stats_page(key).is_some()),
        (keys::log(Lsn(1), 0), |key| keys::read_log(key).is_some()),
        (keys::bucket(&bucket), |key| keys::read_bucket(key).is_some()),
        (keys::strategy_snapshot(&state), |key| keys::read_strategy_snapshot(key).is_some()),
        (keys::request_order("desk", 0), |key| keys::read_request_order(key).is_some()),
    ];
    for (place, (mut key, is_read)) in all.into_iter().enumerate() {
        assert!(is_read(&key), "{place}");
        assert!(!is_read(&key[..key.len() - 1]), "{place}: a byte is missing");
        key.push(0);
        assert!(!is_read(&key), "{place}: a byte too many");
    }
}

/// A segment of several blocks and row pages, and what it holds.
fn segment(path: &Path) -> (SegmentEntry, SegmentIndexV1, Vec<(InstrumentId, VersionedBar)>) {
    let kind = SegmentKind {
        axis: Axis::Instrument,
        interval: Interval::DAY,
        adjustment: AdjustmentTag::Raw,
        version: Version::from_raw(7),
    };
    let mut writer = SegmentWriter::create(path, kind).unwrap();
    let mut all = Vec::new();
    for (number, name) in ["000001.SZ", "600000.SH"].into_iter().enumerate() {
        let instrument = name.parse().unwrap();
        let bars: Vec<VersionedBar> =
            (0..1_500).map(|day| bar(day, 10.0 + (f64::from(day) + number as f64).sin())).collect();
        writer.push_series(instrument, &bars).unwrap();
        all.extend(bars.into_iter().map(|bar| (instrument, bar)));
    }
    let written = writer.finish().unwrap();
    let entry = written.entry(
        1,
        kind.axis,
        Dataset::Bars { interval: kind.interval, adjustment: kind.adjustment },
        kind.version,
    );
    (entry, written.index, all)
}

#[test]
fn a_record_batch_holds_the_rows_and_columns_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment.parquet");
    let (entry, index, rows) = segment(&path);
    let segment = Segment::open(&path, entry, index).unwrap();
    let batch = segment.read_batch(1_400..1_600, &[6, 0, 1, 2, 10]).unwrap();
    let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["close", "instrument", "ts", "trading_day", "version"]);
    let names = batch.column(1).as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
    let instrument = |row: usize| names.into_iter().nth(row).flatten().unwrap();
    for (row, (id, bar)) in rows[1_400..1_600].iter().enumerate() {
        assert_eq!(batch.column(0).as_primitive::<Float64Type>().value(row), bar.bar.close);
        assert_eq!(instrument(row), id.as_str());
        assert_eq!(batch.column(2).as_primitive::<TimestampNanosecondType>().value(row), bar.bar.ts.nanos());
        assert_eq!(batch.column(3).as_primitive::<Date32Type>().value(row), bar.bar.trading_day.days());
        assert_eq!(batch.column(4).as_primitive::<UInt64Type>().value(row), 7);
    }
    assert_eq!(segment.read_batch(0..3_000, &[]).unwrap().num_rows(), 3_000);
    assert_eq!(segment.read_batch(7..7, &[0, 3]).unwrap().num_rows(), 0);
    assert!(segment.read_batch(0..3_001, &[3]).is_err() && segment.read_batch(0..1, &[11]).is_err());
}

#[test]
fn a_damaged_segment_is_an_error_and_never_other_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment.parquet");
    let (entry, index, rows) = segment(&path);
    let good = fs::read(&path).unwrap();
    assert!(good.len() > 4 * 8 * 1024, "{} bytes", good.len());
    let read = || {
        let segment = Segment::open(&path, entry.clone(), index.clone())?;
        segment.read_rows(0..entry.rows)
    };
    assert_eq!(read().unwrap(), rows);
    let mut found = 0;
    for place in (0..good.len()).step_by(401).chain(good.len() - 64..good.len()) {
        let mut wrong = good.clone();
        wrong[place] ^= 1 << (place % 8);
        fs::write(&path, &wrong).unwrap();
        // Only a block that nobody needed may be wrong and go unseen.
        match read() {
            Ok(same) => assert!(same == rows, "byte {place}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > good.len() / 401 / 2, "{found} damaged files were refused");
    for length in [0, 1, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(read().is_err(), "{length} bytes");
    }
    let mut swapped = good[8_192..16_384].to_vec();
    swapped.extend_from_slice(&good[..8_192]);
    swapped.extend_from_slice(&good[16_384..]);
    fs::write(&path, &swapped).unwrap();
    assert!(read().is_err(), "two blocks in each other's place");
}

#[test]
fn rows_out_of_order_are_refused_by_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    let mut writer = |axis| {
        files += 1;
        let kind = SegmentKind {
            axis,
            interval: Interval::DAY,
            adjustment: AdjustmentTag::Raw,
            version: Version::from_raw(7),
        };
        SegmentWriter::create(&folder.path().join(files.to_string()), kind).unwrap()
    };
    let refused = |done: Result<(), SegmentError>, what: &str| {
        assert!(matches!(done, Err(SegmentError::Damaged { .. })), "{what}: {done:?}");
    };
    let [low, middle, high] = ["000001.SZ", "000002.SZ", "600000.SH"].map(|name| name.parse().unwrap());
    let [first, second, third] = [bar(0, 1.0), bar(1, 1.0), bar(2, 1.0)];

    for (bars, what) in [([second, first], "ts descend"), ([first, first], "one ts twice")] {
        refused(writer(Axis::Instrument).push_series(low, bars), what);
    }
    for (next, what) in [(low, "instruments descend"), (middle, "one instrument twice")] {
        let mut writer = writer(Axis::Instrument);
        writer.push_series(middle, [first, second]).unwrap();
        refused(writer.push_series(next, [third]), what);
        writer.push_series(high, [first]).unwrap();
        assert_eq!(writer.finish().unwrap().rows, 3, "what was refused is not in the file");
    }

    for (names, what) in [([middle, low], "instruments descend"), ([low, low], "one instrument twice")] {
        refused(writer(Axis::Day).push_day(first.bar.ts, names.map(|name| (name, first))), what);
    }
    for (next, what) in [(first, "ts descend"), (second, "one ts twice")] {
        let mut writer = writer(Axis::Day);
        writer.push_day(second.bar.ts, [(low, second)]).unwrap();
        refused(writer.push_day(next.bar.ts, [(middle, next)]), what);
        writer.push_day(third.bar.ts, [(low, third)]).unwrap();
        assert_eq!(writer.finish().unwrap().rows, 2, "what was refused is not in the file");
    }
}
