//! FORMAT.md against the code: its vectors, the fields of its rows, its tables, the tests it names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::fs;
use std::path::Path;

use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, BookId, Bucket, Calendar, CalendarKind, Digest, EventPlace, FactorEvent,
    ImportRecord, InstrumentId, Interval, Lsn, MarketEvent, MarketTrade, Position, PositionKey,
    PositionStatus, Quality, RangeTombstone, RequestId, SeriesKey, Side, StrategyId, StrategySnapshot,
    StrategySnapshotKey, Table, Tick, Timestamp, TradeId, TradeKind, TradeRecord, TradingDay, Value, Version,
};
use barkeeper_storage::{
    Axis, BarHasher, BarV1, BookV1, ChunkKind, ChunkView, Dataset, DigestV1, EventChunk, EventHasher,
    EventStatsV1, EventTombstoneV1, ExternalIdV1, FactorV1, HeadV1, IdentityV1, ImportV1, LogEntry, LogV1,
    MergeV1, NumberOfV1, NumberV1, PAGE_BYTES, PageSums, PositionV1, RequestOrderV1, RequestV1,
    RetiredSegment, RetiredV1, RevisionV1, RunV1, STORE_FORMAT, SegmentEntry, SegmentKind, SegmentV1,
    SegmentWriter, SeriesStat, StatsPageV1, StoredRow, StrategySnapshotV1, TombstoneV1, TradeIdV1,
    TradeOfInstrumentV1, TradeV1, TradeVoidV1, VersionedBar, VersionedEvent, checksum, encode_chunk,
    encode_events, file_name, hash_file, id_of_file_name, keys, page_sum, row_hash, rowview,
};
use bincode::Encode;
use parquet::basic::{Encoding, LogicalType, TimeUnit};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use xxhash_rust::xxh3::xxh3_64;

const FORMAT: &str = include_str!("../../FORMAT.md");

/// The kind of slab chunks, which are no `StoredRow`.
const CHUNK: u8 = 23;

/// Everything that the code says and FORMAT.md must say as well.
#[derive(Default)]
struct Vectors(BTreeMap<&'static str, String>);

impl Vectors {
    fn text(&mut self, name: &'static str, value: impl Display) {
        let value: String = value.to_string().split_whitespace().collect();
        assert!(self.0.insert(name, value).is_none(), "{name} stands twice");
    }

    fn hex(&mut self, name: &'static str, bytes: &[u8]) {
        self.text(name, hex(bytes));
    }

    /// The key of a row and the row under it, which must be read back.
    fn row<T: StoredRow + PartialEq + std::fmt::Debug>(
        &mut self,
        names: [&'static str; 2],
        key: &[u8],
        row: &T,
    ) {
        let bytes = row.to_bytes(key);
        assert_eq!(&T::from_bytes(key, &bytes).unwrap(), row, "{}", names[1]);
        self.hex(names[0], key);
        self.hex(names[1], &bytes);
    }

    fn value<T: StoredRow + PartialEq + std::fmt::Debug>(&mut self, name: &'static str, key: &[u8], row: &T) {
        let bytes = row.to_bytes(key);
        assert_eq!(&T::from_bytes(key, &bytes).unwrap(), row, "{name}");
        self.hex(name, &bytes);
    }

    fn primitive(&mut self, name: &'static str, value: impl Encode) {
        self.hex(name, &bincode::encode_to_vec(value, bincode::config::standard()).unwrap());
    }

    /// Bytes that no function of ours returns: the document's own must have this hash.
    fn hashed(&mut self, name: &'static str, hash: i64) {
        let said = documented().remove(name).unwrap_or_default();
        let found = xxh3_64(&unhex(&said)) as i64;
        self.text(
            name,
            if found == hash { said } else { format!("bytes with the hash {hash}, not {found}") },
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The vectors of FORMAT.md: `name = value` in blocks fenced as `vectors`; an indented line goes on, `#`
/// begins a comment, spaces inside a value mean nothing.
fn documented() -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for block in FORMAT.split("```vectors\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            let content = line.split('#').next().unwrap();
            let value = if line.starts_with(' ') {
                content
            } else if let Some((name, value)) = content.split_once('=') {
                name.trim().clone_into(&mut last);
                assert!(found.insert(last.clone(), String::new()).is_none(), "{last} stands twice");
                value
            } else {
                assert!(content.trim().is_empty(), "no vector: {line}");
                continue;
            };
            let value: String = value.split_whitespace().collect();
            found.get_mut(&last).expect("a name stands before its value").push_str(&value);
        }
    }
    found
}

fn id(text: &str) -> InstrumentId {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn day(text: &str) -> TradingDay {
    text.parse().unwrap()
}

fn number(text: &str) -> rust_decimal::Decimal {
    text.parse().unwrap()
}

/// The version that device 1 gives first at an instant.
fn version(text: &str) -> Version {
    Version::from_raw(Version::floor_of(at(text)).raw() | 1).unwrap()
}

fn account() -> AccountId {
    AccountId::new("国金证券").unwrap()
}

fn primitives(v: &mut Vectors) {
    v.primitive("u64.250", 250_u64);
    v.primitive("u64.251", 251_u64);
    v.primitive("u64.65536", 65_536_u64);
    v.primitive("u64.4294967296", 1_u64 << 32);
    v.primitive("u16.251", 251_u16);
    v.primitive("u8.251", 251_u8);
    v.primitive("u128.18446744073709551616", 1_u128 << 64);
    v.primitive("i64.-1", -1_i64);
    v.primitive("i64.-126", -126_i64);
    v.primitive("i64.126", 126_i64);
    v.primitive("i32.19724", 19_724_i32);
    v.primitive("i128.-150000000", -150_000_000_i128);
    v.primitive("f64.1.5", 1.5_f64);
    v.primitive("option.none", None::<u64>);
    v.primitive("option.some.7", Some(7_u64));
    v.primitive("string.平安", "平安".to_owned());
    v.primitive("bytes.0102", vec![1_u8, 2]);
    v.primitive("array.u64.1.300", [1_u64, 300]);
    v.primitive("array.u8.1.255", [1_u8, 255]);
}

fn versions(v: &mut Vectors) {
    let now = at("2024-01-02T07:30:00.123Z");
    let mut clock = barkeeper_records::Hlc::new(7, Version::ZERO).unwrap();
    let first = clock.next(now).unwrap();
    assert_eq!((first.time(), first.device()), (now, 7));
    v.text("version.first", first.raw());
    v.hex("version.first.hex", &first.raw().to_be_bytes());
    v.text("version.second", clock.next(now).unwrap().raw());
    v.text("version.stored", version("2024-01-02T07:30:00Z").raw());
}

struct Sample {
    names: [&'static str; 5],
    series: SeriesKey,
    bar: Bar,
}

fn stock() -> Sample {
    let day = day("2024-01-02");
    let numbers = [9.39, 9.42, 9.21, 9.21, 115_836_645.0, 1_075_742_252.45, 0.0];
    Sample {
        names: ["stock.ts", "stock.trading_day", "stock.key", "stock.value", "stock.row_hash"],
        series: SeriesKey::daily(id("000001.SZ")),
        bar: Bar::from_numbers(day.label(), day, numbers),
    }
}

fn future() -> Sample {
    let ts = at("2024-03-01T21:05:00+08:00");
    let day = Calendar::new(CalendarKind::CnFutures).trading_day_of(ts).unwrap().unwrap();
    assert_eq!(day.to_string(), "2024-03-04");
    Sample {
        names: ["future.ts", "future.trading_day", "future.key", "future.value", "future.row_hash"],
        series: SeriesKey { interval: Interval::MINUTE, ..SeriesKey::daily(id("rb2410.SHFE")) },
        bar: Bar::from_numbers(ts, day, [3795.0, 3797.0, 3794.0, 3796.0, 1_523.0, 57_805_465.0, 812_345.0]),
    }
}

fn coin() -> Sample {
    let day = Calendar::new(CalendarKind::Utc).trading_day_of(at("2024-01-02T16:30:00Z")).unwrap().unwrap();
    let numbers = [44_179.55, 45_879.63, 44_148.34, 44_946.91, 65_146.406_61, 2_944_331_000.5, 0.0];
    Sample {
        names: ["coin.ts", "coin.trading_day", "coin.key", "coin.value", "coin.row_hash"],
        series: SeriesKey::daily(id("BTCUSDT.BINANCE")),
        bar: Bar::from_numbers(day.label(), day, numbers),
    }
}

fn bars(v: &mut Vectors) {
    for Sample { names: [ts, trading_day, key, value, hash], series, bar } in [stock(), future(), coin()] {
        let bar = bar.born(series.interval).unwrap();
        let row = VersionedBar { bar, version: version("2024-01-02T07:30:00Z") };
        v.text(ts, bar.ts.nanos());
        v.text(trading_day, bar.trading_day.days());
        let stored = keys::bar(&series, bar.ts);
        assert_eq!(keys::read_bar(&stored), Some((series, bar.ts)));
        v.row([key, value], &stored, &BarV1::of(&row));
        let found = row_hash(Table::Bars, &rowview::bar_key(&series, bar.ts), &rowview::bar_values(&bar));
        assert_eq!(BarHasher::new(&series).hash(&bar), found);
        v.text(hash, found);
    }
    let Sample { series, bar, .. } = stock();
    v.hashed("stock.hashed", BarHasher::new(&series).hash(&bar));
    let old = VersionedBar { bar, version: version("2024-01-02T07:30:00Z") };
    let new = version("2024-01-03T01:00:00Z");
    let key = keys::revision(&series, bar.ts, new.raw());
    v.row(["revision.key", "revision.value"], &key, &RevisionV1::of(&old, new));
    let tombstone =
        RangeTombstone { series, from: bar.ts, to: day("2024-01-05").label(), version: new, lsn: Lsn(9) };
    let key = keys::tombstone(&series, Lsn(9), 0);
    v.row(["tombstone.key", "tombstone.value"], &key, &TombstoneV1::of(&tombstone));
    let mut page = StatsPageV1::default();
    page.set(65, SeriesStat { count: 1, first: bar.ts.nanos(), last: bar.ts.nanos() });
    let key = keys::stats_page(series.interval, series.adjustment, 1);
    v.row(["stats.key", "stats.value"], &key, &page);
    v.row(["number.key", "number.value"], b"000001.SZ", &NumberV1 { number: 65 });
}

fn slabs(v: &mut Vectors) {
    let Sample { series, bar, .. } = stock();
    let early = version("2024-01-02T07:30:00Z");
    let first = (series.instrument, VersionedBar { bar, version: early });
    let other = Bar::from_numbers(bar.ts, bar.trading_day, [10.0, 10.5, 9.5, 10.25, 200.0, 2_050.0, 0.0]);
    let second = |version| (id("600000.SH"), VersionedBar { bar: other, version });
    let key = keys::chunk(series.interval, series.adjustment, bar.ts, &series.instrument);
    v.hex("slab.key", &key);
    let late = version("2024-01-03T01:00:00Z");
    for (name, rows) in [("slab.value", [first, second(early)]), ("slab.mixed.value", [first, second(late)])]
    {
        let bytes = encode_chunk(&key, &rows);
        let view = ChunkView::read(&key, bar.ts, &bytes).unwrap();
        assert_eq!(view.rows().collect::<Result<Vec<_>, _>>().unwrap(), rows);
        let (body, sum) = bytes.split_at(bytes.len() - 8);
        assert_eq!(sum, checksum(CHUNK, &key, body).to_le_bytes());
        v.hex(name, &bytes);
    }
}

fn trade() -> TradeRecord {
    TradeRecord {
        trade_id: "01HK40ZEYG0000000000000001".parse().unwrap(),
        account: account(),
        book: BookId::main(),
        instrument: id("000001.SZ"),
        strategy: Some(StrategyId::new("pwc").unwrap()),
        kind: TradeKind::BuyFill,
        ts: at("2024-01-02T09:31:05+08:00"),
        trading_day: day("2024-01-02"),
        price: number("9.39"),
        quantity: number("1200"),
        amount: Some(number("11268")),
        fee: Some(number("5")),
        name: "平安银行".to_owned(),
        remark: String::new(),
        source_text: String::new(),
        external_id: Some("88".to_owned()),
        voids: None,
    }
}

fn ledger(v: &mut Vectors) {
    let version = version("2024-01-02T07:30:00Z");
    let key = PositionKey::main(account(), id("000001.SZ"));
    let position = Position {
        key: key.clone(),
        status: PositionStatus::Open,
        held_days: Some(3),
        highest: Some(9.88),
        lowest: Some(9.05),
        lowest_trusted: true,
        quantity: Some(number("1200")),
        cost: Some(number("9.12345678")),
        opened_on: Some(day("2024-01-02")),
    };
    let bytes = keys::position(&key);
    let row = PositionV1::of(&position, version, 42);
    assert_eq!(row.read(key.clone()).unwrap().position.as_ref(), Some(&position));
    v.row(["position.key", "position.value"], &bytes, &row);
    v.value("position.tombstone", &bytes, &PositionV1::tombstone(version));
    let hash = row_hash(Table::Positions, &rowview::position_key(&key), &rowview::position_values(&position));
    v.hashed("position.hashed", hash);
    let short = Position { cost: None, opened_on: None, ..position.clone() };
    let short = row_hash(Table::Positions, &rowview::position_key(&key), &rowview::position_values(&short));
    v.hashed("position.short.hashed", short);
    v.text("position.row_hash", hash);

    let day = day("2024-01-02");
    v.row(["book.key", "book.value"], &keys::book(&key.account, &key.book), &BookV1::of(day, version));
    let hash =
        row_hash(Table::Books, &rowview::book_key(&key.account, &key.book), &rowview::book_values(day));
    v.text("book.row_hash", hash);
    factor(v, version, day);
    events(v, version, day);
    // What a column that comes later holds in this row, and what stands behind a NULL.
    let later = |more: &[Value]| {
        let values = [&rowview::book_values(day)[..], more].concat();
        row_hash(Table::Books, &rowview::book_key(&key.account, &key.book), &values)
    };
    assert_eq!(later(&[Value::Null, Value::Null]), hash);
    assert_ne!(later(&[Value::Int(0)]), hash);
    assert_ne!(later(&[Value::Null, Value::Int(0)]), later(&[Value::Int(0)]));

    let key = StrategySnapshotKey {
        strategy: StrategyId::new("轮动").unwrap(),
        saved_at: at("2024-01-02T07:30:00.5Z"),
        sequence: 1,
    };
    let state = StrategySnapshot { key: key.clone(), schema_version: 3, body: "{\"cash\":1}".to_owned() };
    let bytes = keys::strategy_snapshot(&key);
    assert_eq!(keys::read_strategy_snapshot(&bytes).as_ref(), Some(&key));
    let row = StrategySnapshotV1::of(&state, version);
    assert_eq!(row.clone().read(key.clone()).unwrap().0.as_ref(), Some(&state));
    v.row(["state.key", "state.value"], &bytes, &row);
    v.value("state.tombstone", &bytes, &StrategySnapshotV1::tombstone(version));
    let row_key = rowview::strategy_snapshot_key(&key);
    assert_eq!(rowview::strategy_snapshot_key_of(&row_key), Some(key));
    let values = rowview::strategy_snapshot_values(&state);
    v.text("state.row_hash", row_hash(Table::StrategySnapshots, &row_key, &values));

    let trade = trade();
    let TradeRecord { trade_id: id, account, instrument, ts, .. } = &trade;
    let key = keys::trade(account, *ts, *id);
    let row = TradeV1::of(&trade, version);
    assert_eq!(row.clone().read(keys::read_trade(&key).unwrap()).unwrap().0, trade);
    v.row(["trade.key", "trade.value"], &key, &row);
    let by_id = keys::trade_id(*id);
    v.row(["trade.id.key", "trade.id.value"], &by_id, &TradeIdV1 { to: key });
    let by_instrument = keys::trade_by_instrument(account, instrument, *ts, *id);
    v.row(
        ["trade.instrument.key", "trade.instrument.value"],
        &by_instrument,
        &TradeOfInstrumentV1::default(),
    );
    let by_external = keys::external_id(account, trade.trading_day, "88");
    v.row(["trade.external.key", "trade.external.value"], &by_external, &ExternalIdV1 { to: by_id.clone() });
    let void = TradeVoidV1 { to: keys::trade_id(TradeId(id.0 + 1)) };
    v.row(["trade.void.key", "trade.void.value"], &by_id, &void);
    let hash = row_hash(Table::Trades, &rowview::trade_key(&trade), &rowview::trade_values(&trade));
    v.hashed("trade.hashed", hash);
    v.text("trade.row_hash", hash);
}

fn log(v: &mut Vectors) {
    let (series, ts) = (stock().series, stock().bar.ts);
    let version = version("2024-01-02T07:30:00Z");
    let range = RangeTombstone { series, from: ts, to: day("2024-01-05").label(), version, lsn: Lsn(7) };
    let entries = [
        (["log.series.key", "log.series.value"], LogEntry::Series { series, from: ts, to: ts }),
        (
            ["log.section.key", "log.section.value"],
            LogEntry::CrossSection { interval: series.interval, adjustment: series.adjustment, ts },
        ),
        (["log.delete.key", "log.delete.value"], LogEntry::Delete(range)),
        (
            ["log.key.key", "log.key.value"],
            LogEntry::Key { table: Table::Trades, key: keys::trade_id(trade().trade_id) },
        ),
        (
            ["log.events.key", "log.events.value"],
            LogEntry::Events {
                table: Table::Ticks,
                first: "000001.SZ".parse().unwrap(),
                last: "600000.SH".parse().unwrap(),
                from: ts,
                to: ts,
            },
        ),
    ];
    let mut chain = 0;
    for (ordinal, (names, entry)) in (0..).zip(entries) {
        let record = LogV1::of(&entry, Lsn(7), version, at("2024-01-02T07:30:00Z"), chain);
        assert!(record.follows(Lsn(7), chain) && !record.follows(Lsn(8), chain));
        assert_eq!(record.entry(Lsn(7)).unwrap(), entry);
        chain = record.chain();
        v.row(names, &keys::log(Lsn(7), ordinal), &record);
    }
    v.text("log.chain", chain);
}

fn digests(v: &mut Vectors) {
    let mut digest = Digest::default();
    for Sample { series, bar, .. } in [stock(), coin()] {
        digest.add(BarHasher::new(&series).hash(&bar));
    }
    v.text("digest.count", digest.count);
    v.text("digest.low", digest.low);
    v.text("digest.high", digest.high);
    let bucket = rowview::bar_bucket(&stock().series, stock().bar.ts);
    v.text("bucket.bar.group", &bucket.group);
    v.text("bucket.bar.period", bucket.period);
    let key = keys::bucket(&bucket);
    assert_eq!(keys::read_bucket(&key), Some(bucket));
    v.row(["bucket.bar.key", "bucket.bar.value"], &key, &DigestV1::of(&digest, Lsn(7)));
    v.text("bucket.before_1970.period", rowview::period_of(Timestamp::from_nanos(-1)));
    let bucket = Bucket { table: Table::Positions, group: account().to_string(), period: 0 };
    v.hex("bucket.position.key", &keys::bucket(&bucket));
}

fn store_rows(v: &mut Vectors) {
    let identity = IdentityV1 {
        format: STORE_FORMAT,
        store_id: "01HK40ZEYG0000000000000001".parse::<TradeId>().unwrap().0,
        device: 1,
        epoch: 2,
        created_ms: at("2024-01-02T07:30:00Z").millis(),
        restored: vec![[2, 60, 1_000_000_000]],
    };
    v.row(["identity.key", "identity.value"], b"identity", &identity);
    let head = HeadV1 {
        lsn: 7,
        chain: 0x0123_4567_89ab_cdef,
        version: version("2024-01-02T07:30:00Z").raw(),
        tail: 5,
        tail_chain: 1,
        log_bytes: 300,
        instruments: 66,
    };
    v.row(["head.key", "head.value"], b"head", &head);
    v.row(["generation.key", "generation.value"], b"generation", &NumberOfV1 { value: 3 });
    v.row(["target.key", "target.value"], b"central", &NumberOfV1 { value: 6 });
    let request = RequestId { client: "desk".to_owned(), id: "r-1".to_owned() };
    let key = keys::request(&request);
    v.row(["request.key", "request.value"], &key, &RequestV1 { lsn: 7, sequence: 0 });
    let order = keys::request_order("desk", 0);
    v.row(["request.order.key", "request.order.value"], &order, &RequestOrderV1 { to: key });
    let quality = Quality { negative_price: 0, zero_price: 1, price_order: 2, zero_volume: 3 };
    let import = ImportRecord {
        hash: "ab".repeat(32),
        source: "tdx-day".to_owned(),
        file: "sz000001.day".to_owned(),
        rows: 8_000,
        rejected: 1,
        quality,
    };
    v.row(["import.key", "import.value"], import.hash.as_bytes(), &ImportV1::of(&import, 7));
}

fn events(v: &mut Vectors, version: Version, day: TradingDay) {
    let instrument: InstrumentId = "000001.SZ".parse().unwrap();
    let place = EventPlace { ts: at("2024-01-02T01:30:00Z"), sequence: 0 };
    let tick = |sequence, last| Tick {
        ts: place.ts,
        sequence,
        trading_day: day,
        last,
        volume: 1_000.0,
        turnover: 9_390.5,
        upper_limit: 10.33,
        lower_limit: 8.45,
        bid_prices: [9.38, 9.37, 9.36, 9.35, 9.34],
        bid_volumes: [100.0; 5],
        ask_prices: [last + 0.01, 0.0, 0.0, 0.0, 0.0],
        ask_volumes: [1e10, 0.0, 0.0, 0.0, 0.0],
        ..Tick::default()
    };
    let rows =
        [tick(0, 9.39), tick(1, 1.0 / 3.0)].map(|event| (instrument, VersionedEvent { event, version }));
    let key = keys::event(Table::Ticks, &instrument, place);
    assert_eq!(keys::read_event(&key), Some((Table::Ticks, instrument, place)));
    let value = encode_events(ChunkKind::Block, &key, &rows);
    let mut back = Vec::new();
    let chunk = EventChunk::read::<Tick>(ChunkKind::Block, &key, &value).unwrap();
    chunk.each::<Tick>(|instrument, row| back.push((instrument, row))).unwrap();
    assert_eq!(back, rows);
    v.hex("tick.block.key", &key);
    v.hex("tick.block.value", &value);
    let hash = EventHasher::new(&instrument).hash(&rows[0].1.event);
    let view = (rowview::event_key(&instrument, place), rowview::event_values(&rows[0].1.event));
    assert_eq!(hash, row_hash(Table::Ticks, &view.0, &view.1));
    v.text("tick.row_hash", hash);
    let trade = MarketTrade {
        ts: place.ts,
        sequence: 7,
        trading_day: day,
        price: 42_283.58,
        quantity: 0.001,
        turnover: 42.28358,
        side: Side::Sell,
        aggregated: true,
    };
    let rows = ["BTCUSDT.BINANCE", "ETHUSDT.BINANCE"]
        .map(|name| (name.parse().unwrap(), VersionedEvent { event: trade, version }));
    let slab = keys::EventSlab {
        table: Table::MarketTrades,
        start: place.ts,
        lsn: Lsn(7),
        ordinal: 0,
        first: rows[0].0,
    };
    let key = slab.chunk(&rows[0].0);
    assert!(key.starts_with(&slab.prefix()) && keys::read_event_slab(&key) == Some(slab));
    v.hex("market_trade.slab.key", &key);
    v.hex("market_trade.slab.value", &encode_events(ChunkKind::Slab, &key, &rows));
    let hash = EventHasher::new(&rows[0].0).hash(&trade);
    let view = (rowview::event_key(&rows[0].0, trade.place()), rowview::event_values(&trade));
    assert_eq!(hash, row_hash(Table::MarketTrades, &view.0, &view.1));
    v.text("market_trade.row_hash", hash);
    let tombstone = EventTombstoneV1::of(version);
    v.value("event.tombstone.value", &keys::event(Table::Ticks, &instrument, place), &tombstone);
    let mut stats = EventStatsV1::default();
    stats.set(65, SeriesStat { count: 2, first: place.ts.nanos(), last: place.ts.nanos() });
    v.row(["event.stats.key", "event.stats.value"], &keys::event_stats(Table::Ticks, 1), &stats);
}

fn factor(v: &mut Vectors, version: Version, day: TradingDay) {
    let event = FactorEvent {
        cash: 0.35,
        bonus: 0.3,
        rights: 0.2,
        rights_price: 5.0,
        ..FactorEvent::on("600000.SH".parse().unwrap(), day)
    };
    let key = keys::factor(&event.instrument, day);
    let row = FactorV1::of(&event, version);
    assert_eq!(row.read((event.instrument, day)).unwrap().event, Some(event));
    v.row(["factor.key", "factor.value"], &key, &row);
    v.value("factor.tombstone", &key, &FactorV1::tombstone(version));
    let view = (rowview::factor_key(&event.instrument, day), rowview::factor_values(&event));
    v.text("factor.row_hash", row_hash(Table::Factors, &view.0, &view.1));
}

fn sums(v: &mut Vectors) {
    let sums = vec![0, page_sum(&[1; PAGE_BYTES])];
    let kept = PageSums { header: 0x0123_4567_89ab_cdef, transaction: 7, sums };
    assert_eq!(PageSums::from_bytes(&kept.to_bytes()).as_ref(), Some(&kept));
    v.hex("sums.value", &kept.to_bytes());
}

fn manifest(v: &mut Vectors) {
    let segment = "01HK40ZEYG0000000000000002".parse::<TradeId>().unwrap().0;
    let mut blake3 = [0; 32];
    for (place, byte) in (0..).zip(&mut blake3) {
        *byte = place;
    }
    let entry = SegmentEntry {
        id: segment,
        axis: Axis::Instrument,
        twin: Some(segment + 1),
        dataset: Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw },
        rows: 3_000,
        first: day("2020-01-02").label(),
        last: day("2024-01-02").label(),
        first_day: day("2020-01-02"),
        last_day: day("2024-01-02"),
        version: Some(version("2024-01-02T07:30:00Z")),
        bytes: 90_000,
        blake3,
        digest: Digest { count: 3_000, low: 7_000_000_000_000, high: 6_000_000_000_000 },
        lsn: Lsn(7),
    };
    assert_eq!(id_of_file_name(&entry.file_name()), Some(segment));
    assert_eq!(id_of_file_name(&entry.file_name().to_ascii_uppercase()), None);
    v.text("segment.path", entry.path());
    v.text("segment.file", file_name(segment));
    let key = TradeId(segment).to_string();
    let row = SegmentV1::of(&entry);
    assert_eq!(row.read(segment).unwrap(), entry);
    v.row(["segment.key", "segment.value"], key.as_bytes(), &row);
    let until = at("2024-01-09T07:30:00Z");
    let retired = RetiredV1::of(&RetiredSegment { entry: entry.clone(), generation: 4, until });
    assert_eq!(retired.read(segment).unwrap(), RetiredSegment { entry, generation: 4, until });
    v.value("retired.value", key.as_bytes(), &retired);
    let merge = MergeV1 {
        merged_ms: at("2024-01-02T07:30:00Z").millis(),
        until_ms: until.millis(),
        undone: false,
        inputs: vec![segment],
        outputs: vec![],
        superseded: 5,
        removed: 3_000,
    };
    assert_eq!(keys::read_merge(&keys::merge(4)), Some(4));
    v.row(["merge.key", "merge.value"], &keys::merge(4), &merge);
}

fn write(
    path: &Path,
    kind: SegmentKind,
    rows: usize,
) -> (barkeeper_storage::WrittenSegment, ParquetMetaData) {
    let mut writer = SegmentWriter::create(path, kind).unwrap();
    let bars = |price: f64| -> Vec<VersionedBar> {
        (0..rows)
            .map(|n| {
                let day = TradingDay::from_days(i32::try_from(n).unwrap()).unwrap();
                // Prices that repeat without a pattern, volumes that do not.
                let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let random = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20;
                let close = price + (random % 40) as f64 / 4.0;
                let volume = (random % 1_000_003) as f64 * 100.0;
                let numbers = [close, close + 0.5, close - 0.5, close, volume, volume * close, 0.0];
                let bar = Bar::from_numbers(day.label(), day, numbers);
                let version = Version::from_raw(n as u64).unwrap();
                VersionedBar { bar, version }
            })
            .collect()
    };
    let all = [(id("000001.SZ"), bars(1.0)), (id("600000.SH"), bars(2.0))];
    match kind.axis {
        Axis::Instrument => {
            for (instrument, bars) in &all {
                writer.push_series(*instrument, bars).unwrap();
            }
        }
        Axis::Day => {
            for n in 0..rows {
                let day: Vec<_> = all.iter().map(|(instrument, bars)| (*instrument, bars[n])).collect();
                writer.push_day(day[0].1.bar.ts, &day).unwrap();
            }
        }
    }
    let written = writer.finish().unwrap();
    let file = fs::File::open(path).unwrap();
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    (written, reader.parse_and_finish(&file).unwrap())
}

fn columns(metadata: &ParquetMetaData) -> String {
    let mut text = String::new();
    for (place, column) in metadata.row_group(0).columns().iter().enumerate() {
        let about = column.column_descr();
        assert_eq!((about.max_def_level(), about.max_rep_level()), (0, 0), "all columns are required");
        let logical = match about.logical_type_ref() {
            None => "",
            Some(LogicalType::String) => "String",
            Some(LogicalType::Date) => "Date",
            Some(LogicalType::Timestamp(kind))
                if kind.is_adjusted_to_u_t_c && kind.unit == TimeUnit::NANOS =>
            {
                "Timestamp(UTC,ns)"
            }
            Some(LogicalType::Integer(kind)) if kind.bit_width == 64 && !kind.is_signed => "UInt64",
            Some(other) => panic!("{other:?}"),
        };
        let encodings: Vec<Encoding> = column.encodings().collect();
        let special = [Encoding::RLE_DICTIONARY, Encoding::BYTE_STREAM_SPLIT];
        let encoding = special.into_iter().find(|one| encodings.contains(one)).unwrap_or(Encoding::PLAIN);
        let packed = if encoding == Encoding::RLE_DICTIONARY { "UNCOMPRESSED" } else { "LZ4_RAW" };
        assert_eq!(column.compression().to_string(), packed, "{}", about.name());
        let others = [Encoding::RLE, Encoding::PLAIN, encoding];
        assert!(encodings.iter().all(|one| others.contains(one)), "{encodings:?}");
        let (name, physical) = (about.name(), column.column_type());
        write!(text, "{place} {name} {physical} {logical} {encoding};").unwrap();
    }
    text
}

fn pairs(metadata: &ParquetMetaData) -> String {
    let pairs = metadata.file_metadata().key_value_metadata().unwrap().iter();
    let pairs: Vec<String> =
        pairs.map(|pair| format!("{}={}", pair.key, pair.value.as_deref().unwrap())).collect();
    pairs.join(";")
}

fn segments(v: &mut Vectors) {
    let folder = tempfile::tempdir().unwrap();
    let kind = SegmentKind {
        axis: Axis::Instrument,
        interval: Interval::DAY,
        adjustment: AdjustmentTag::Raw,
        version: Some(Version::ZERO),
    };
    let (uniform, metadata) = write(&folder.path().join("a"), kind, 1_500);
    v.text("parquet.instrument.columns", columns(&metadata));
    v.text("parquet.instrument.metadata", pairs(&metadata));
    let info = metadata.file_metadata();
    v.text("parquet.version", info.version());
    assert_eq!(info.created_by().unwrap(), concat!("barkeeper ", env!("CARGO_PKG_VERSION")));
    let pages = metadata.page_index_for_row_group(0);
    let starts = pages.page_locations(3).unwrap().iter().map(|page| page.first_row_index.to_string());
    v.text("parquet.pages.open", starts.collect::<Vec<_>>().join(","));
    // The index says where pages begin in their chunks, the file where they begin in the file.
    let offsets: Vec<u32> = (0..2)
        .flat_map(|page| {
            let group = metadata.row_group(0);
            let columns = group.columns().iter().enumerate();
            let pages = &pages;
            columns.map(move |(column, chunk)| {
                let place = &pages.page_locations(column).unwrap()[page];
                u32::try_from(place.offset - i64::try_from(chunk.byte_range().0).unwrap()).unwrap()
            })
        })
        .collect();
    let mixed = SegmentKind { axis: Axis::Day, version: None, ..kind };
    let (days, metadata) = write(&folder.path().join("b"), mixed, 400);
    v.text("parquet.day.columns", columns(&metadata));
    v.text("parquet.day.metadata", pairs(&metadata));

    let bytes = fs::read(folder.path().join("a")).unwrap();
    let sums: Vec<u64> = bytes.chunks(8 * 1024).map(xxh3_64).collect();
    assert_eq!(sums, *uniform.index.blocks());
    assert_eq!(*blake3::hash(&bytes).as_bytes(), uniform.blake3);
    assert_eq!(hash_file(&folder.path().join("a")).unwrap(), uniform.blake3);
    let standard = bincode::config::standard();
    let sums: Vec<u8> = sums.into_iter().flat_map(u64::to_le_bytes).collect();
    let offsets: Vec<u8> = offsets.into_iter().flat_map(u32::to_le_bytes).collect();
    let tail = bincode::encode_to_vec((offsets, sums), standard).unwrap();
    // Offsets and sums of blocks hang on the version of LZ4, so the vector ends before them.
    let index = uniform.index.to_bytes(b"key");
    let end = index.len() - 8 - tail.len();
    assert_eq!(index[end..index.len() - 8], tail);
    v.hex("index.instrument", &index[..end]);
    assert_eq!((days.index.runs().len(), days.index.instruments().count()), (400, 0));
    assert_eq!(
        days.index.runs()[1],
        RunV1 { start: 2, rows: 2, first: 86_400_000_000_000, last: 86_400_000_000_000 }
    );
}

#[test]
fn every_vector_is_what_the_code_writes() {
    let mut code = Vectors::default();
    for part in
        [primitives, versions, bars, slabs, ledger, log, digests, store_rows, sums, manifest, segments]
    {
        part(&mut code);
    }
    let mut said = documented();
    let mut wrong = String::new();
    for (name, value) in &code.0 {
        let found = said.remove(*name);
        if found.as_ref() != Some(value) {
            writeln!(wrong, "{name} = {value}\n    FORMAT.md: {}", found.as_deref().unwrap_or("nothing"))
                .unwrap();
        }
    }
    for name in said.keys() {
        writeln!(wrong, "{name}: the code knows no such vector").unwrap();
    }
    assert!(wrong.is_empty(), "FORMAT.md and the code differ:\n{wrong}");
}
