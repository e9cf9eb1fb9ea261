//! The bytes that targets begin with: small and whole, written by our own code.

use std::fs;
use std::path::Path;

use barkeeper_records::{
    Bar, Bucket, Digest, EventPlace, InstrumentId, Lsn, MarketEvent, MarketTrade, PositionKey, SeriesKey,
    Side, StrategySnapshotKey, Table, Tick, Timestamp, TradeId, TradingDay, Version,
};
use barkeeper_storage::{
    Axis, BarV1, BookV1, ChunkKind, Dataset, DigestV1, EventTombstoneV1, EventWriter, HeadV1, IdentityV1,
    LogEntry, LogV1, MergeV1, PageSums, PositionV1, RetiredSegment, RetiredV1, RevisionV1, SegmentEntry,
    SegmentKind, SegmentV1, SegmentWriter, StatsPageV1, StoredEvent, StoredRow, StrategySnapshotV1,
    VersionedBar, VersionedEvent, WrittenSegment, encode_chunk, encode_events, keys,
};

use crate::segments::Forged;
use crate::stored::daily;

/// Bytes of the checksum behind every value, which the targets put there themselves.
const CHECKSUM: usize = 8;

fn instruments() -> [InstrumentId; 3] {
    ["000001.SZ", "600000.SH", "sr405.CZCE"].map(|name| name.parse().expect("an instrument"))
}

fn bar(day: i32, close: f64) -> VersionedBar {
    let day = TradingDay::from_days(19_724 + day).expect("a day");
    let numbers = [close, close + 0.1, close - 0.1, close, 100.0, close * 100.0, 0.0];
    let version = Version::from_raw(u64::from(7 + day.days().unsigned_abs())).expect("a version");
    VersionedBar { bar: Bar::from_numbers(day.label(), day, numbers), version }
}

/// The bytes of a target over stored values.
fn divided(which: u8, key: &[u8], body: &[u8]) -> Vec<u8> {
    let key_bytes = u8::try_from(key.len()).expect("a short key");
    [&[which, key_bytes], key, body].concat()
}

fn row<T: StoredRow>(which: u8, key: &[u8], row: &T) -> Vec<u8> {
    let bytes = row.to_bytes(key);
    divided(which, key, &bytes[..bytes.len() - CHECKSUM])
}

fn rows() -> Vec<Vec<u8>> {
    let [first, ..] = instruments();
    let (series, one) = (SeriesKey::daily(first), bar(0, 10.0));
    let position = PositionKey::main("a".parse().expect("a name"), first);
    let entry = LogEntry::Series { series, from: one.bar.ts, to: one.bar.ts };
    let log = LogV1::of(&entry, Lsn(7), one.version, one.bar.ts, 9);
    let (from, to) = (one.bar.ts, one.bar.ts);
    let events = LogEntry::Events { table: Table::Ticks, first, last: first, from, to };
    let events = LogV1::of(&events, Lsn(8), one.version, one.bar.ts, 9);
    let identity = IdentityV1 {
        format: 1,
        store_id: 1 << 100,
        device: 1,
        epoch: 2,
        created_ms: 1_704_153_600_000,
        restored: vec![[2, 60, 1_000_000_000]],
    };
    vec![
        row(0, b"key", &BarV1::of(&one)),
        row(1, b"key", &RevisionV1::of(&one, Version::from_raw(99).expect("a version"))),
        row(3, b"key", &StatsPageV1::default()),
        row(5, b"key", &log),
        row(6, b"key", &DigestV1::of(&Digest { count: 1, low: 2, high: 3 }, Lsn(1))),
        row(5, b"key", &events),
        row(7, b"identity", &identity),
        row(8, b"head", &HeadV1::default()),
        row(16, &keys::position(&position), &PositionV1::tombstone(Version::ZERO)),
        row(17, b"key", &BookV1::of(one.bar.trading_day, one.version)),
        row(21, b"key", &StrategySnapshotV1::tombstone(one.version)),
        row(22, b"key", &EventTombstoneV1::of(one.version)),
    ]
}

fn all_keys() -> Vec<Vec<u8>> {
    let (interval, adjustment, book) = daily();
    let [first, ..] = instruments();
    let (series, ts) = (SeriesKey::daily(first), Timestamp::from_nanos(86_400_000_000_000));
    let account = "国金".parse().expect("a name");
    vec![
        keys::position(&PositionKey {
            account: "a".parse().expect("a name"),
            book: book.clone(),
            instrument: first,
        }),
        keys::book(&account, &book),
        keys::trade(&account, ts, TradeId(7)),
        keys::series(&series),
        keys::bar(&series, ts),
        keys::chunk(interval, adjustment, ts, &first),
        keys::stats_page(interval, adjustment, 3),
        keys::log(Lsn(5), 2),
        keys::event(Table::Ticks, &first, EventPlace { ts, sequence: 1 }),
        keys::event_stats(Table::MarketTrades, 2),
        keys::EventSlab { table: Table::Ticks, start: ts, lsn: Lsn(5), ordinal: 0, first }.chunk(&first),
        keys::strategy_snapshot(&StrategySnapshotKey {
            strategy: "s".parse().expect("a name"),
            saved_at: ts,
            sequence: 0,
        }),
        keys::merge(7),
        keys::bucket(&Bucket { table: Table::Bars, group: "1d/raw/000".to_owned(), period: 658 }),
    ]
}

fn blocks() -> Vec<Vec<u8>> {
    let (interval, adjustment, _) = daily();
    let all = instruments();
    let chunk = |rows: &[(InstrumentId, VersionedBar)]| {
        let key = keys::chunk(interval, adjustment, rows[0].1.bar.ts, &rows[0].0);
        let bytes = encode_chunk(&key, rows);
        divided(0, &key, &bytes[..bytes.len() - CHECKSUM])
    };
    let uniform: Vec<_> = all.iter().map(|id| (*id, bar(0, 10.0))).collect();
    let mixed: Vec<_> = (0..).zip(all).map(|(n, id)| (id, bar(n, 10.0 + f64::from(n)))).collect();
    vec![chunk(&uniform), chunk(&mixed), chunk(&uniform[..1])]
}

fn tick(minute: i32) -> Tick {
    let last = 10.0 + f64::from(minute);
    let ts = Timestamp::from_nanos(1_704_160_800_000_000_000 + i64::from(minute) * 60_000_000_000);
    let numbers: Vec<f64> = (0..Tick::NUMBERS.len()).map(|place| last + place as f64 / 100.0).collect();
    let day = TradingDay::from_days(19_724).expect("a day");
    Tick::from_parts(EventPlace { ts, sequence: 0 }, day, &numbers, 0).expect("a tick")
}

fn trade(minute: i32) -> MarketTrade {
    let Tick { ts, sequence, trading_day, last, .. } = tick(minute);
    let side = if minute % 2 == 0 { Side::Buy } else { Side::Sell };
    MarketTrade {
        ts,
        sequence,
        trading_day,
        price: last,
        quantity: 2.0,
        turnover: 0.0,
        side,
        aggregated: false,
    }
}

fn event_blocks() -> Vec<Vec<u8>> {
    fn chunk<T: MarketEvent>(which: u8, rows: impl Fn(i32) -> T) -> Vec<u8> {
        let kind = if which & 1 == 0 { ChunkKind::Slab } else { ChunkKind::Block };
        let all = instruments();
        let names = if which & 1 == 0 { all.as_slice() } else { &all[..1] };
        let rows: Vec<_> = names
            .iter()
            .flat_map(|id| (0..3).map(|n| (*id, VersionedEvent { event: rows(n), version: Version::ZERO })))
            .collect();
        let bytes = encode_events(kind, b"key", &rows);
        divided(which, b"key", &bytes[..bytes.len() - CHECKSUM])
    }
    vec![chunk(0, tick), chunk(1, tick), chunk(2, trade), chunk(3, trade)]
}

fn bars(which: u8, path: &Path) -> WrittenSegment {
    let (interval, adjustment, _) = daily();
    let axis = if which & 1 == 0 { Axis::Instrument } else { Axis::Day };
    let version = (which & 2 == 0).then_some(Version::ZERO);
    let kind = SegmentKind { axis, interval, adjustment, version };
    let mut writer = SegmentWriter::create(path, kind).expect("a writer");
    if axis == Axis::Instrument {
        for id in instruments() {
            writer.push_series(id, [bar(0, 10.0), bar(1, 11.0)]).expect("bars");
        }
    } else {
        for day in 0..2 {
            let rows: Vec<_> = instruments().into_iter().map(|id| (id, bar(day, 10.0))).collect();
            writer.push_day(rows[0].1.bar.ts, &rows).expect("bars");
        }
    }
    writer.finish().expect("a segment")
}

fn events<T: StoredEvent>(which: u8, path: &Path, rows: impl Fn(i32) -> T) -> WrittenSegment {
    let version = (which & 2 == 0).then_some(Version::ZERO);
    let mut writer = EventWriter::<T>::create(path, version).expect("a writer");
    for id in instruments() {
        let rows: Vec<_> =
            (0..3).map(|n| VersionedEvent { event: rows(n), version: Version::ZERO }).collect();
        writer.push(id, &rows).expect("rows");
    }
    writer.finish().expect("a segment")
}

fn segment(which: u8) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("segment.parquet");
    let written = match which >> 2 & 3 {
        1 => events(which, &path, tick),
        2 => events(which, &path, trade),
        _ => bars(which, &path),
    };
    let file = fs::read(&path).expect("a file");
    let index = written.index.to_bytes(b"key");
    // Behind the other parts of the index stand the sums of the file's blocks, a byte that counts theirs first.
    let sums = 1 + 8 * written.index.blocks().len();
    let index = &index[1..index.len() - CHECKSUM - sums];
    let rows = u32::try_from(written.rows).expect("a few rows");
    Forged { which, rows, index, file: &file }.to_bytes()
}

fn entries() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let written = bars(0, &folder.path().join("segment.parquet"));
    let (interval, adjustment, _) = daily();
    let digest = Digest { count: written.rows, low: 1, high: 2 };
    let entry = |dataset| SegmentEntry {
        twin: Some(8),
        digest,
        lsn: Lsn(1),
        ..written.entry(7, Axis::Instrument, dataset, Some(Version::ZERO))
    };
    let retired = RetiredSegment { entry: entry(Dataset::MarketTrades), generation: 3, until: written.last };
    let merge = MergeV1 {
        merged_ms: 1,
        until_ms: 2,
        undone: false,
        inputs: vec![7, 8],
        outputs: vec![9],
        superseded: 1,
        removed: 0,
    };
    vec![
        row(0, b"key", &SegmentV1::of(&entry(Dataset::Bars { interval, adjustment }))),
        row(0, b"key", &SegmentV1::of(&entry(Dataset::Ticks))),
        row(1, b"key", &written.index),
        row(2, b"key", &RetiredV1::of(&retired)),
        row(3, b"key", &merge),
    ]
}

fn sums() -> Vec<Vec<u8>> {
    let bytes = PageSums { header: 1, transaction: 2, sums: vec![0, 3, 4] }.to_bytes();
    vec![bytes[..bytes.len() - CHECKSUM].to_vec()]
}

fn backups() -> Vec<Vec<u8>> {
    let hash = "ab".repeat(32);
    let body = format!(
        r#"{{"format":1,"name":"000001-20240102T073000Z","number":1,"at":"2024-01-02T07:30:00Z","program":"p","store_id":"{}","store_format":1,"epoch":1,"lsn":60,"version":7,"acknowledged":50,"content":"{hash}","datasets":{{"trades":{{"count":1,"low":2,"high":3}}}},"files":[{{"path":"store.redb","kind":"database","bytes":4096,"blake3":"{hash}"}},{{"path":"bars/1d/x.parquet","kind":"segment","bytes":7,"blake3":"{hash}"}}]}}"#,
        "00".repeat(16)
    );
    vec![body.into_bytes()]
}

fn tdx() -> Vec<Vec<u8>> {
    let record = |date: u32, close: u32| {
        let mut bytes = Vec::new();
        for number in [date, close, close + 10, close - 10, close] {
            bytes.extend(number.to_le_bytes());
        }
        let (volume, turnover) = (1_000_u32, close as f32 * 10.0);
        bytes.extend(turnover.to_le_bytes());
        bytes.extend(volume.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes
    };
    let file = [record(20_240_102, 1_000), record(20_240_103, 1_010)].concat();
    vec![[&[0], file.as_slice()].concat(), [&[2], file.as_slice()].concat(), [&[65], &file[..32]].concat()]
}

fn texts(cases: &[(u8, &str)]) -> Vec<Vec<u8>> {
    cases.iter().map(|(choice, text)| [&[*choice], text.as_bytes()].concat()).collect()
}

/// The bytes that a target begins with; none for a name that no target has.
///
/// # Panics
/// Where our own code cannot write them.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    const KLINE: &str =
        "datetime,open,high,low,close,volume,amount\n20240102,10,10.2,9.9,10.1,1000,1005000\n";
    const BINANCE: &str = "1704067200000,10.0,10.2,9.9,10.1,100.5,1704070799999,1005.0,41,1.0,10.0,0\n";
    const ORDERS: &str = "日期,时间,代码,名称,类型,注释,成交价,成交量\n\
        2025-01-02,09:31:05,000001.SZ,平安银行,市买委托,\"放,量\",11.43,1000\n";
    const TICKS: &str = "symbol,exchange,datetime,volume,turnover,open_interest,last_price,limit_up,limit_down,\
        bid_price_1,ask_price_1,bid_volume_1,ask_volume_1\n\
        rb2410,SHFE,2024-03-01 21:05:00.500,10,400,7,3795,4000,3600,3794,3795,5,7\n";
    const ACTIONS: &str = "code,ex_date,cash,bonus,rights,rights_price,factor\n600000.SH,2024-06-20,0.32,0.3,,,\n\
                       sz000001,2024-06-21,,,0.3,8.5,\nBTCUSDT.BINANCE,2024-06-22,,,,,0.5\n";
    const BARS: &str = "instrument,interval,adjustment,ts,trading_day,open,high,low,close,volume,turnover,open_interest\n\
        600000.SH,1d,raw,2024-01-02T00:00:00Z,2024-01-02,10,10.2,9.9,10.1,100000,1005000,0\n\
        IF2403.CFFEX,1m,raw,2024-01-02 09:31:00,2024-01-02,1,2,1,1.5,7,-8,\n";
    match name {
        "instrument" => ["600000.SH", "SHSE.600000", "sz000001", "IF2403.CFFEX", "BTC-USDT.OKX"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec(),
        "rows" => rows(),
        "keys" => all_keys(),
        "blocks" => blocks(),
        "event_blocks" => event_blocks(),
        "manifest" => entries(),
        "sums" => sums(),
        "backup" => backups(),
        "segments" => [0, 1, 2, 3, 4, 6, 8, 10].map(segment).to_vec(),
        "tdx_day" => tdx(),
        "silverquant_kline" => texts(&[(16, KLINE), (17, KLINE), (33, KLINE), (130, KLINE)]),
        "silverquant_state" => texts(&[
            (0, r#"{"_inc_date": "2024-10-10", "000001.SZ": 0, "SH600000": 12}"#),
            (1, r#"{"000001.SZ":{"day_count":1},"000002.SZ":{"day_count":null},"_inc_date":"2024-10-10"}"#),
            (2, r#"{"000001.SZ": 12.50}"#),
            (3, r#"{"000001.SZ": 9.5}"#),
            (52, ORDERS),
        ]),
        "binance_kline" => {
            let micros = BINANCE
                .replace("1704067200000", "1704067200000000")
                .replace("1704070799999", "1704070799999999");
            {
                let daily = BINANCE.replace("1704070799999", "1704153599999");
                texts(&[(0, BINANCE), (1, daily.as_str()), (4, micros.as_str())])
            }
        }
        "binance_trades" => texts(&[
            (0, "1,1.5,5,7.5,1499040001000,True,True\n2,1.5,5,7.5,1499040001000000,False,True\n"),
            (1, "7,4261.48,0.051,1,3,1569109379925,false\n"),
            (2, "id,price,qty,base_qty,time,is_buyer_maker\n9,78526.1,83.0,0.1,1788220802731,true\n"),
        ]),
        "vnpy_tick" => texts(&[(0, TICKS)]),
        "bars_csv" => texts(&[(0, BARS)]),
        "corporate_actions" => texts(&[(0, ACTIONS), (1, ACTIONS)]),
        _ => Vec::new(),
    }
}
