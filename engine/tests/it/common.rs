//! A store in a folder of its own, and short ways to make records.

use std::sync::Arc;

use barkeeper::records::{
    AccountId, Bar, BarRun, Batch, BookId, Calendar, CalendarKind, FixedClock, InstrumentId, Interval,
    OnConflict, Operation, PositionKey, SeriesKey, Timestamp, TradeId, TradeKind, TradeRecord, TradingDay,
};
use barkeeper::{Receipt, Store, StoreOptions};
use rust_decimal::Decimal;
use tempfile::TempDir;

pub(crate) struct Desk {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) store: Option<Store>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::new("2026-11-20T02:00:00Z".parse().unwrap()));
        let mut desk = Self { dir, clock, store: None };
        desk.store = Some(Store::create(&desk.folder(), desk.options()).unwrap());
        desk
    }

    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }

    pub(crate) fn options(&self) -> StoreOptions {
        let mut options = StoreOptions::new(self.clock.clone());
        options.calendar = Calendar::new(CalendarKind::CnA);
        options.background = false;
        options
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn reopen(&mut self) {
        self.store.take().unwrap().close().unwrap();
        self.store = Some(Store::open(&self.folder(), self.options()).unwrap());
    }

    pub(crate) fn run(&self, operation: Operation) -> Receipt {
        self.store().commit(Batch::of(operation)).unwrap()
    }

    pub(crate) fn at(&self, text: &str) {
        self.clock.set(text.parse().unwrap());
    }

    /// Reads everything and expects nothing to be wrong.
    pub(crate) fn verify(&mut self) {
        self.store.take().unwrap().close().unwrap();
        let report = Store::verify(&self.folder(), self.options(), &mut |_, _| {}).unwrap();
        assert_eq!(report.findings, [], "{report:?}");
        self.store = Some(Store::open(&self.folder(), self.options()).unwrap());
    }
}

pub(crate) fn day(text: &str) -> TradingDay {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> InstrumentId {
    text.parse().unwrap()
}

pub(crate) fn account() -> AccountId {
    AccountId::new("国金-8801").unwrap()
}

pub(crate) fn key(instrument: &str) -> PositionKey {
    PositionKey::main(account(), id(instrument))
}

pub(crate) fn daily(instrument: &str) -> SeriesKey {
    SeriesKey::daily(id(instrument))
}

/// The nth day after 2020-01-01, weekends and all.
pub(crate) fn nth(n: i32) -> TradingDay {
    TradingDay::from_days(day("2020-01-01").days() + n).unwrap()
}

pub(crate) fn bar(day: TradingDay, close: f64) -> Bar {
    Bar::from_numbers(day.label(), day, [close, close + 1.0, close - 1.0, close, 1000.0, close * 1000.0, 0.0])
}

pub(crate) fn run(series: SeriesKey, bars: Vec<Bar>) -> BarRun {
    BarRun::new(series, bars).unwrap()
}

pub(crate) fn put(series: SeriesKey, bars: Vec<Bar>) -> Operation {
    Operation::PutBars { run: run(series, bars), on_conflict: OnConflict::Replace }
}

/// The bars of many instruments on one day.
pub(crate) fn section(day: TradingDay, count: usize, close: f64) -> Vec<(InstrumentId, Bar)> {
    (0..count).map(|n| (id(&format!("{:06}.SZ", n + 1)), bar(day, close + n as f64))).collect()
}

pub(crate) fn put_section(bars: Vec<(InstrumentId, Bar)>) -> Operation {
    Operation::PutCrossSection {
        interval: Interval::DAY,
        adjustment: barkeeper::records::AdjustmentTag::Raw,
        bars,
        on_conflict: OnConflict::Replace,
    }
}

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn trade(n: u128, kind: TradeKind, at: &str, price: &str, quantity: &str) -> TradeRecord {
    let ts: Timestamp = at.parse().unwrap();
    TradeRecord {
        trade_id: TradeId(n),
        account: account(),
        book: BookId::main(),
        instrument: id("000001.SZ"),
        strategy: None,
        kind,
        ts,
        trading_day: TradingDay::of_utc(ts).unwrap(),
        price: decimal(price),
        quantity: decimal(quantity),
        amount: None,
        fee: None,
        name: "平安银行".to_owned(),
        remark: String::new(),
        source_text: String::new(),
        external_id: None,
        voids: None,
    }
}

pub(crate) const ALL: (Timestamp, Timestamp) = (Timestamp::MIN, Timestamp::MAX);
