//! Values of the database: rows, chunks and manifest entries, with checksums that do not fit and that do.

use barkeeper_records::{
    AccountId, AdjustmentTag, BookId, InstrumentId, Interval, Lsn, MarketEvent, MarketTrade, PositionKey,
    SeriesKey, StrategySnapshotKey, Tick, Timestamp, TradeId, TradingDay,
};
use barkeeper_storage::{
    BarV1, BookV1, ChunkKind, ChunkView, DatabaseHeader, DigestV1, EventChunk, EventStatsV1,
    EventTombstoneV1, ExternalIdV1, FactorV1, HeadV1, IdentityV1, ImportV1, LogV1, MergeV1, NumberOfV1,
    NumberV1, PageSums, PositionV1, RequestOrderV1, RequestV1, RetiredV1, RevisionV1, SegmentIndexV1,
    SegmentV1, StatsPageV1, StoredRow, StrategySnapshotV1, TombstoneV1, TradeIdV1, TradeOfInstrumentV1,
    TradeV1, TradeVoidV1, checksum, keys,
};
use xxhash_rust::xxh3::xxh3_64;

/// Which one, a key, and the rest: how the bytes of these targets are divided.
fn divided(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[which, key_bytes], rest) = bytes.split_first_chunk::<2>()?;
    let (key, body) = rest.split_at_checked(usize::from(key_bytes % 64))?;
    Some((which, key, body))
}

pub(crate) fn sealed(kind: u8, key: &[u8], body: &[u8]) -> Vec<u8> {
    [body, &checksum(kind, key, body).to_le_bytes()].concat()
}

/// Reads a row as it stands, then with a checksum that fits; what is read must be written as it was read.
fn row<T: StoredRow>(key: &[u8], body: &[u8], read: impl Fn(T)) -> bool {
    if let Ok(row) = T::from_bytes(key, body) {
        read(row);
    }
    let Ok(row) = T::from_bytes(key, &sealed(T::KIND, key, body)) else { return false };
    let bytes = row.to_bytes(key);
    let again = T::from_bytes(key, &bytes).expect("what was written is read");
    assert_eq!(again.to_bytes(key), bytes, "{}", T::WHAT);
    read(again);
    true
}

pub(crate) fn rows(bytes: &[u8]) -> bool {
    let Some((which, key, body)) = divided(bytes) else { return false };
    let instrument: InstrumentId = "600000.SH".parse().expect("an instrument");
    let (account, series) = (AccountId::new("a").expect("a name"), SeriesKey::daily(instrument));
    let ts = Timestamp::from_nanos(86_400_000_000_000);
    match which % 32 {
        0 => row(key, body, |row: BarV1| drop(row.read(ts))),
        1 => row(key, body, |row: RevisionV1| drop(row.read(ts))),
        2 => row(key, body, |row: TombstoneV1| drop(row.read(series, Lsn(1)))),
        3 => row(key, body, |row: StatsPageV1| {
            for number in [0, 1, 63, u32::MAX] {
                let _ = row.get(number);
            }
        }),
        4 => row(key, body, |_: NumberV1| ()),
        5 => row(key, body, |row: LogV1| {
            drop(row.entry(Lsn(7)));
            let _ = (row.follows(Lsn(7), 9), row.chain(), row.written_ms());
        }),
        6 => row(key, body, |row: DigestV1| {
            let _ = row.read();
        }),
        7 => row(key, body, |row: IdentityV1| assert!(row.kept_before(9).is_none_or(|kept| kept < 9))),
        8 => row(key, body, |_: HeadV1| ()),
        9 => row(key, body, |_: RequestV1| ()),
        10 => row(key, body, |_: RequestOrderV1| ()),
        11 => row(key, body, |_: ExternalIdV1| ()),
        12 => row(key, body, |_: TradeIdV1| ()),
        13 => row(key, body, |_: TradeOfInstrumentV1| ()),
        14 => row(key, body, |_: TradeVoidV1| ()),
        15 => row(key, body, |_: NumberOfV1| ()),
        16 => {
            row(key, body, |row: PositionV1| drop(row.read(PositionKey::main(account.clone(), instrument))))
        }
        17 => row(key, body, |row: BookV1| drop(row.read())),
        18 => row(key, body, |row: TradeV1| drop(row.read((account.clone(), ts, TradeId(1))))),
        19 => row(key, body, |row: ImportV1| drop(row.read("hash".to_owned()))),
        20 => row(key, body, |row: FactorV1| {
            drop(row.read((instrument, TradingDay::of_utc(ts).expect("a day"))));
        }),
        21 => row(key, body, |row: StrategySnapshotV1| {
            let strategy = "s".parse().expect("a name");
            drop(row.read(StrategySnapshotKey { strategy, saved_at: ts, sequence: 0 }));
        }),
        22 => row(key, body, |row: EventTombstoneV1| drop(row.read())),
        _ => row(key, body, |row: EventStatsV1| {
            let _ = (row.get(0), row.get(63), row.get(u32::MAX));
        }),
    }
}

/// Keys that are read must be those that are written.
pub(crate) fn keys(bytes: &[u8]) -> bool {
    let mut taken = false;
    if let Some(key) = keys::read_position(bytes) {
        assert_eq!(keys::position(&key), bytes);
        taken = true;
    }
    if let Some((account, book)) = keys::read_book(bytes) {
        assert_eq!(keys::book(&account, &book), bytes);
        taken = true;
    }
    if let Some((account, ts, id)) = keys::read_trade(bytes) {
        assert_eq!(keys::trade(&account, ts, id), bytes);
        taken = true;
    }
    if let Some((instrument, day)) = keys::read_factor(bytes) {
        assert_eq!(keys::factor(&instrument, day), bytes);
        taken = true;
    }
    if let Some(series) = keys::read_series(bytes) {
        assert_eq!(keys::series(&series), bytes);
        taken = true;
    }
    if let Some((series, ts)) = keys::read_bar(bytes) {
        assert!(bytes.starts_with(&keys::bar(&series, ts)), "a revision's key goes on");
        taken = true;
    }
    if let Some((interval, adjustment, ts, first)) = keys::read_chunk(bytes) {
        assert_eq!(keys::chunk(interval, adjustment, ts, &first), bytes);
        taken = true;
    }
    if let Some((interval, adjustment, page)) = keys::read_stats_page(bytes) {
        assert_eq!(keys::stats_page(interval, adjustment, page), bytes);
        taken = true;
    }
    if let Some((lsn, ordinal)) = keys::read_log(bytes) {
        assert_eq!(keys::log(lsn, ordinal), bytes);
        taken = true;
    }
    if let Some(key) = keys::read_strategy_snapshot(bytes) {
        assert_eq!(keys::strategy_snapshot(&key), bytes);
        taken = true;
    }
    if let Some(slab) = keys::read_event_slab(bytes) {
        assert_eq!(slab.chunk(&slab.first), bytes);
        taken = true;
    }
    if let Some((table, instrument, place)) = keys::read_event(bytes) {
        assert_eq!(keys::event(table, &instrument, place), bytes);
        taken = true;
    }
    if let Some((table, page)) = keys::read_event_stats(bytes) {
        assert_eq!(keys::event_stats(table, page), bytes);
        taken = true;
    }
    if let Some(generation) = keys::read_merge(bytes) {
        assert_eq!(keys::merge(generation), bytes);
        taken = true;
    }
    if let Some(bucket) = keys::read_bucket(bytes) {
        assert_eq!(keys::bucket(&bucket), bytes);
        taken = true;
    }
    let _ =
        (keys::read_trade_by_instrument(bytes), keys::read_tombstone(bytes), keys::read_request_order(bytes));
    // The end of a prefix lies behind all that begin with it.
    let end = keys::after_prefix(bytes);
    assert!(end.is_empty() || end.as_slice() > bytes);
    taken
}

/// The kind of slab chunks, which are no `StoredRow`.
pub(crate) const CHUNK: u8 = 23;

pub(crate) fn blocks(bytes: &[u8]) -> bool {
    let Some((_, key, body)) = divided(bytes) else { return false };
    let ts = Timestamp::from_nanos(86_400_000_000_000);
    drop(ChunkView::read(key, ts, body));
    let value = sealed(CHUNK, key, body);
    let Ok(chunk) = ChunkView::read(key, ts, &value) else { return false };
    let mut found = 0;
    for (instrument, row) in chunk.rows().flatten() {
        assert_eq!(row.bar.ts, ts);
        drop(chunk.find(&instrument));
        found += 1;
    }
    assert!(found <= chunk.len());
    found == chunk.len()
}

/// Chunks of ticks and market trades, in slabs and in blocks.
pub(crate) fn event_blocks(bytes: &[u8]) -> bool {
    let Some((which, key, body)) = divided(bytes) else { return false };
    let kind = if which & 1 == 0 { ChunkKind::Slab } else { ChunkKind::Block };
    if which & 2 == 0 {
        event_chunk::<Tick>(kind, key, body)
    } else {
        event_chunk::<MarketTrade>(kind, key, body)
    }
}

fn event_chunk<T: MarketEvent>(kind: ChunkKind, key: &[u8], body: &[u8]) -> bool {
    drop(EventChunk::read::<T>(kind, key, body));
    let value = sealed(kind as u8, key, body);
    let Ok(chunk) = EventChunk::read::<T>(kind, key, &value) else { return false };
    let mut found = 0;
    let whole = chunk.each::<T>(|_, _| found += 1);
    assert!(if whole.is_ok() { found == chunk.len() } else { found < chunk.len() });
    let mut counted = 0;
    for (instrument, rows) in chunk.instruments() {
        counted += rows;
        let all = (Timestamp::from_nanos(i64::MIN), Timestamp::from_nanos(i64::MAX));
        drop(chunk.find::<T>(&instrument, all.0, all.1, |_| ()));
    }
    assert_eq!(counted, chunk.len());
    whole.is_ok()
}

/// What the manifest says of segments and merges; indexes that fit stand before segments that are forged.
pub(crate) fn manifest(bytes: &[u8]) -> bool {
    let Some((which, key, body)) = divided(bytes) else { return false };
    match which % 4 {
        0 => row(key, body, |row: SegmentV1| {
            if let Ok(entry) = row.read(7) {
                assert_eq!(SegmentV1::of(&entry), row);
                assert!(entry.path().ends_with(&entry.file_name()));
            }
        }),
        1 => row(key, body, |index: SegmentIndexV1| read_index(&index)),
        2 => row(key, body, |row: RetiredV1| {
            if let Ok(retired) = row.read(7) {
                assert_eq!(RetiredV1::of(&retired).read(7), Ok(retired));
            }
        }),
        _ => row(key, body, |_: MergeV1| ()),
    }
}

pub(crate) fn read_index(index: &SegmentIndexV1) {
    let instrument: InstrumentId = "600000.SH".parse().expect("an instrument");
    drop(index.check());
    let _ = (index.blocks().len(), index.runs().len());
    let _ = (index.of_instrument(&instrument), index.instruments().count());
    let (from, to) = (Timestamp::from_nanos(0), Timestamp::from_nanos(i64::MAX));
    let _ = (index.of_time(from, to), index.of_time(to, from));
}

/// `store.sums`, and the header of the database that it belongs to.
pub(crate) fn sums(bytes: &[u8]) -> bool {
    let _ = (PageSums::from_bytes(bytes), DatabaseHeader::read(bytes));
    let sealed = [bytes, &xxh3_64(bytes).to_le_bytes()].concat();
    let Some(sums) = PageSums::from_bytes(&sealed) else { return false };
    assert_eq!(sums.to_bytes(), sealed);
    true
}

/// Whole values that name nothing new: what `seeds` writes.
pub(crate) fn daily() -> (Interval, AdjustmentTag, BookId) {
    (Interval::DAY, AdjustmentTag::Raw, BookId::main())
}
