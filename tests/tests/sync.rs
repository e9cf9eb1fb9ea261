//! A real store and its SQLite replica: equal by digest whatever is killed, and mended where it was edited.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where something is not as it must be"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use barkeeper::{EventSummary, MergeOptions, SealOptions, Store, StoreOptions};
use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, BarRun, Batch, BookId, Clock, FactorEvent, FixedClock, InstrumentId,
    Interval, LEVELS, MarketTrade, OnConflict, Operation, PositionKey, SeriesKey, Tick, Timestamp, TradeId,
    TradeKind, TradeRecord, TradingDay,
};
use barkeeper_sync::sqlite::{SqliteConfig, SqliteSink};
use barkeeper_sync::{
    CheckOptions, CheckReport, MemoryFile, Options, Reached, RepairOptions, Replicator, Verdict,
};
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

struct Desk {
    dir: TempDir,
    clock: Arc<FixedClock>,
    store: Option<Store>,
    seed: u64,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::new("2026-11-20T02:00:00Z".parse().unwrap()));
        let mut desk = Self { dir, clock, store: None, seed: 1 };
        desk.store = Some(Store::create(&desk.path("store"), desk.options()).unwrap());
        desk.store().feed().register_target("replica").unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self) -> StoreOptions {
        let mut options = StoreOptions::new(self.clock.clone());
        options.background = false;
        options
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn commit(&self, operation: Operation) {
        // Some operations of a random history do not fit the state; the store refuses them whole.
        drop(self.store().commit(Batch::of(operation)));
    }

    fn sink(&self) -> SqliteSink {
        SqliteSink::new(SqliteConfig::of(self.path("replica.sqlite"))).unwrap()
    }

    /// A replicator of a process of its own.
    fn replicator(&mut self, page_bytes: usize) -> Replicator {
        self.seed += 1;
        let options = Options { page_bytes, verify_every: None, ..Options::of("replica", self.seed) };
        let memory = MemoryFile::new(self.path("replica.json"));
        let clock: Arc<dyn Clock> = self.clock.clone();
        Replicator::new(self.store().feed(), Box::new(self.sink()), clock, memory, options)
    }

    fn catch_up(&mut self) {
        let mut replicator = self.replicator(1 << 20);
        let reached = replicator.run_until_current(&AtomicBool::new(false), &mut |_, _| {});
        assert_eq!(reached, Reached::Current, "{:?}", replicator.status());
    }

    fn check(&mut self) -> CheckReport {
        self.replicator(1 << 20).check(&CheckOptions::default(), &AtomicBool::new(false)).unwrap()
    }

    fn repair(&mut self, save_to: &str) {
        let options = RepairOptions { save_to: self.path(save_to), allow_large: true, dry_run: false };
        self.replicator(1 << 20).repair(&options, &AtomicBool::new(false)).unwrap();
    }

    /// Live rows of a table of the replica.
    fn rows(&self, table: &str) -> u64 {
        let text = format!("SELECT count(*) FROM {table} WHERE deleted = 0");
        let replica = Connection::open(self.path("replica.sqlite")).unwrap();
        replica.query_row(&text, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
    }

    fn sql(&self, text: &str) -> usize {
        Connection::open(self.path("replica.sqlite")).unwrap().execute(text, []).unwrap()
    }
}

const WHOLE: MergeOptions = MergeOptions { interval: None, whole: true };

fn account() -> AccountId {
    AccountId::new("desk").unwrap()
}

fn instrument(n: u32) -> InstrumentId {
    format!("{:06}.SZ", n + 1).parse().unwrap()
}

fn day(n: i32) -> TradingDay {
    TradingDay::from_days(18_267 + n).unwrap()
}

fn bar(day: TradingDay, close: f64) -> Bar {
    Bar::from_numbers(day.label(), day, [close, close, close, close, 100.0, close * 100.0, 0.0])
}

fn section(n: i32, count: u32, close: f64) -> Operation {
    let bars = (0..count).map(|i| (instrument(i), bar(day(n), close + f64::from(i)))).collect();
    let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
    Operation::PutCrossSection { interval, adjustment, bars, on_conflict: OnConflict::Replace }
}

fn run(n: u32, from: i32, count: i32, close: f64) -> Operation {
    let bars = (from..from + count).map(|d| bar(day(d), close + f64::from(d))).collect();
    let run = BarRun::new(SeriesKey::daily(instrument(n)), bars).unwrap();
    Operation::PutBars { run, on_conflict: OnConflict::Replace }
}

/// Ticks of an instrument, each under a sequence of its own.
fn ticks(n: u32, from: u64, count: u64, last: f64) -> Operation {
    let tick = |sequence: u64| Tick {
        ts: moment(sequence),
        sequence,
        trading_day: day(0),
        last,
        bid_prices: [last - 0.01; LEVELS],
        ..Tick::default()
    };
    let ticks = (from..from + count).map(|sequence| (instrument(n), tick(sequence))).collect();
    Operation::PutTicks { ticks, on_conflict: OnConflict::Replace }
}

fn market_trades(n: u32, from: u64, count: u64, price: f64) -> Operation {
    let trade = |sequence: u64| MarketTrade {
        ts: moment(sequence / 3),
        sequence,
        trading_day: day(0),
        price,
        quantity: 2.0,
        aggregated: true,
        ..MarketTrade::default()
    };
    let trades = (from..from + count).map(|sequence| (instrument(n), trade(sequence))).collect();
    Operation::PutMarketTrades { trades, on_conflict: OnConflict::Replace }
}

/// Half an hour apart, so that some lie in other days and other buckets.
fn moment(n: u64) -> Timestamp {
    Timestamp::from_nanos(day(0).label().nanos() + i64::try_from(n).unwrap() * 1_800_000_000_000)
}

fn trade(n: u128) -> Operation {
    let ts =
        Timestamp::from_nanos(1_600_000_000_000_000_000 + i64::try_from(n).unwrap() * 86_400_000_000_000);
    Operation::RecordTrade(TradeRecord {
        trade_id: TradeId(n),
        account: account(),
        book: BookId::main(),
        instrument: instrument(u32::try_from(n % 7).unwrap()),
        strategy: None,
        kind: TradeKind::BuyFill,
        ts,
        trading_day: TradingDay::of_utc(ts).unwrap(),
        price: "10.25".parse().unwrap(),
        quantity: "100".parse().unwrap(),
        amount: None,
        fee: Some("0.00000001".parse().unwrap()),
        name: "平安银行".to_owned(),
        remark: String::new(),
        source_text: String::new(),
        external_id: None,
        voids: None,
    })
}

fn key(n: u32) -> PositionKey {
    PositionKey::main(account(), instrument(n))
}

#[derive(Debug, Clone)]
enum Event {
    Commit(Box<Operation>),
    Seal,
    Merge,
    Steps(u8),
    /// The process that replicates dies wherever it is.
    Kill,
    /// The whole program ends and begins again.
    Reopen,
}

fn event() -> impl Strategy<Value = Event> {
    let operation = prop_oneof![
        (0..40_i32, 1..40_u32, 1..9_i32).prop_map(|(n, count, close)| section(n, count, f64::from(close))),
        (0..40_u32, 0..60_i32, 1..40_i32, 1..9_i32).prop_map(|(n, from, count, close)| run(
            n,
            from,
            count,
            f64::from(close)
        )),
        (0..40_u32, 0..60_i32, 1..40_i32).prop_map(|(n, from, count)| {
            let (from, to) = (day(from).label(), day(from + count).label());
            Operation::DeleteBars { series: SeriesKey::daily(instrument(n)), from, to }
        }),
        (0..20_u32, 0..90_u64, 1..60_u64, 1..5_i32).prop_map(|(n, from, count, last)| ticks(
            n,
            from,
            count,
            f64::from(last)
        )),
        (0..20_u32, 0..90_u64, 1..60_u64, 1..5_i32).prop_map(|(n, from, count, price)| market_trades(
            n,
            from,
            count,
            f64::from(price)
        )),
        (0..20_u32, 0..90_u64, 1..60_u64, any::<bool>()).prop_map(|(n, from, count, of_ticks)| {
            let (instrument, from, to) = (instrument(n), moment(from), moment(from + count));
            if of_ticks {
                Operation::DeleteTicks { instrument, from, to }
            } else {
                Operation::DeleteMarketTrades { instrument, from, to }
            }
        }),
        (0..20_u32, 0..9_i32, 0..3_i32, any::<bool>()).prop_map(|(n, ex_day, cash, remove)| {
            let (instrument, ex_day) = (instrument(n), day(ex_day));
            let event = FactorEvent {
                cash: f64::from(cash) / 10.0,
                bonus: 1.0,
                ..FactorEvent::on(instrument, ex_day)
            };
            if remove { Operation::DeleteFactor { instrument, ex_day } } else { Operation::SetFactor(event) }
        }),
        (0..60_u128).prop_map(trade),
        (0..9_u32, 0..5_u32).prop_map(|(n, days)| Operation::SetHeldDays { key: key(n), days }),
        (0..9_u32).prop_map(|n| Operation::DeletePosition { key: key(n) }),
        (0..9_i32).prop_map(|n| Operation::IncrementHeldDays {
            account: account(),
            book: BookId::main(),
            day: Some(day(n)),
            catch_up: false
        }),
    ];
    prop_oneof![
        6 => operation.prop_map(|operation| Event::Commit(Box::new(operation))),
        1 => Just(Event::Seal),
        1 => Just(Event::Merge),
        4 => (1..6_u8).prop_map(Event::Steps),
        2 => Just(Event::Kill),
        1 => Just(Event::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_replica_equals_the_store_after_random_kills(
        events in prop::collection::vec(event(), 1..60),
        page_bytes in prop::sample::select(vec![1_usize, 900, 20_000, 1 << 20]),
    ) {
        let mut desk = Desk::new();
        let mut replicator = Some(desk.replicator(page_bytes));
        for event in events {
            match event {
                Event::Commit(operation) => desk.commit(*operation),
                Event::Seal => drop(desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap()),
                Event::Merge => drop(desk.store().merge(&WHOLE, &mut |_, _| {}).unwrap()),
                Event::Steps(count) => {
                    for _ in 0..count {
                        replicator.as_mut().unwrap().step();
                    }
                }
                Event::Kill => {
                    replicator = None;
                    replicator.replace(desk.replicator(page_bytes));
                }
                Event::Reopen => {
                    replicator = None;
                    desk.store.take().unwrap().close().unwrap();
                    desk.store = Some(Store::open(&desk.path("store"), desk.options()).unwrap());
                    replicator.replace(desk.replicator(page_bytes));
                }
            }
        }
        drop(replicator);
        desk.catch_up();
        let report = desk.check();
        prop_assert_eq!(report.verdict, Verdict::Agree, "{:?}", report);
        // Each row once, whatever was killed when.
        let snapshot = desk.store().snapshot().unwrap();
        let count = |all: Vec<EventSummary>| all.iter().map(|one| one.count).sum::<u64>();
        prop_assert_eq!(desk.rows("bk_ticks"), count(snapshot.all_ticks().unwrap()));
        prop_assert_eq!(desk.rows("bk_market_trades"), count(snapshot.all_market_trades().unwrap()));
        prop_assert_eq!(desk.rows("bk_factors"), snapshot.all_factor_events().unwrap().len() as u64);
    }
}

fn filled() -> Desk {
    let mut desk = Desk::new();
    for n in 0..30 {
        desk.commit(section(n, 100, 10.0));
    }
    for n in 0..20 {
        desk.commit(trade(n));
    }
    desk.commit(Operation::SetHeldDays { key: key(1), days: 3 });
    desk.commit(ticks(6, 0, 300, 9.5));
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    desk.commit(ticks(6, 250, 100, 9.75));
    desk.commit(market_trades(6, 0, 300, 9.5));
    desk.catch_up();
    assert_eq!(desk.check().verdict, Verdict::Agree);
    assert_eq!((desk.rows("bk_ticks"), desk.rows("bk_market_trades")), (350, 300));
    desk
}

/// Edits the replica, expects the check to see it, and the repair to leave nothing of it.
fn edited(name: &str, edit: &str) {
    let mut desk = filled();
    assert_eq!(desk.sql(edit), 1, "{edit}");
    let report = desk.check();
    assert_eq!(report.verdict, Verdict::Differ, "{report:?}");
    assert_eq!(report.differences.len(), 1, "{report:?}");
    desk.repair(name);
    assert_eq!(desk.check().verdict, Verdict::Agree);
}

#[test]
fn a_deleted_row_is_found_and_mended() {
    edited("a.json", "DELETE FROM bk_bars WHERE instrument = '000007.SZ' AND trading_day = '2020-01-09'");
    edited("b.json", "DELETE FROM bk_positions");
    edited("c.json", "DELETE FROM bk_ticks WHERE instrument = '000007.SZ' AND sequence = 17");
    edited("d.json", "DELETE FROM bk_market_trades WHERE instrument = '000007.SZ' AND sequence = 17");
}

#[test]
fn a_hand_edited_row_is_found_and_mended() {
    edited(
        "a.json",
        "UPDATE bk_bars SET close = 99 WHERE instrument = '000007.SZ' AND trading_day = '2020-01-09'",
    );
    edited("b.json", "UPDATE bk_positions SET held_days = 77");
    edited("d.json", "UPDATE bk_ticks SET bid_price_5 = 1 WHERE instrument = '000007.SZ' AND sequence = 299");
    edited("e.json", "UPDATE bk_market_trades SET side = 'buy' WHERE sequence = 17");
    edited(
        "c.json",
        "UPDATE bk_trades SET price = '9' WHERE trade_id = (SELECT max(trade_id) FROM bk_trades)",
    );
}

#[test]
fn an_added_row_is_found_and_mended() {
    edited(
        "a.json",
        "INSERT INTO bk_bars SELECT interval, adjustment, '999999.SZ', ts, trading_day, local_time, open, high, low, close,
         volume, turnover, open_interest, version, deleted, device, lsn, row_hash FROM bk_bars
         WHERE instrument = '000007.SZ' AND trading_day = '2020-01-09'",
    );
}

#[test]
fn a_target_that_comes_late_gets_what_the_log_no_longer_has() {
    let mut desk = Desk::new();
    desk.store().feed().forget_target("replica").unwrap();
    for n in 0..30 {
        desk.commit(section(n, 60, 10.0));
    }
    let series = SeriesKey::daily(instrument(3));
    desk.commit(Operation::DeleteBars { series, from: day(0).label(), to: day(10).label() });
    desk.commit(trade(5));
    desk.commit(ticks(3, 0, 100, 9.5));
    desk.commit(market_trades(3, 0, 100, 9.5));
    let (instrument, from, to) = (instrument(3), moment(10), moment(20));
    desk.commit(Operation::DeleteTicks { instrument, from, to });
    desk.commit(Operation::SetHeldDays { key: key(1), days: 3 });
    assert!(desk.store().feed().bounds().unwrap().tail.0 > 30);
    desk.catch_up();
    assert_eq!(desk.check().verdict, Verdict::Agree);
    assert_eq!((desk.rows("bk_ticks"), desk.rows("bk_market_trades")), (90, 100));
    desk.commit(run(3, 0, 5, 1.0));
    desk.catch_up();
    assert_eq!(desk.check().verdict, Verdict::Agree);
}

#[test]
fn the_replica_of_a_killed_program_is_no_other_database() {
    let mut desk = filled();
    let copy: PathBuf = desk.path("copy.sqlite");
    std::fs::copy(desk.path("replica.sqlite"), &copy).unwrap();
    assert!(Path::new(&copy).exists());
    desk.commit(section(40, 100, 11.0));
    desk.catch_up();
    // An older copy of the replica comes back, as from a backup.
    for end in ["-wal", "-shm"] {
        drop(std::fs::remove_file(desk.path(&format!("replica.sqlite{end}"))));
    }
    std::fs::copy(&copy, desk.path("replica.sqlite")).unwrap();
    desk.catch_up();
    assert_eq!(desk.check().verdict, Verdict::Agree);
}
