//! Rows to try sinks with, the extreme ones among them.

use barkeeper_records::{
    AdjustmentTag, Lsn, Row, SeriesKey, Table, Timestamp, TradeId, TradingDay, Value, Version,
};
use barkeeper_storage::{row_hash, rowview};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A live row with the hash that belongs to it; versions are small numbers of device 1.
pub fn row(table: Table, key: Vec<Value>, values: Vec<Value>, version: u64, lsn: u64) -> Row {
    let row_hash = row_hash(table, &key, &values);
    Row { table, key, values, version: small_version(version), deleted: false, lsn: Lsn(lsn), row_hash }
}

/// The tombstone of a key.
pub fn tombstone(table: Table, key: Vec<Value>, version: u64, lsn: u64) -> Row {
    let version = small_version(version);
    Row { table, key, values: Vec::new(), version, deleted: true, lsn: Lsn(lsn), row_hash: 0 }
}

/// The version with this place in the order, of device 1.
pub(super) fn small_version(place: u64) -> Version {
    Version::from_raw(place << 12 | 1).unwrap_or_default()
}

/// A series of raw bars.
///
/// # Panics
/// For what is no instrument or no interval: a mistake in a test.
#[expect(clippy::expect_used, reason = "what is written in a test is right or the test is wrong")]
pub fn series(instrument: &str, interval: &str) -> SeriesKey {
    let instrument = instrument.parse().expect("an instrument");
    SeriesKey { interval: interval.parse().expect("an interval"), adjustment: AdjustmentTag::Raw, instrument }
}

/// The key of a bar.
pub fn bar_key(series: &SeriesKey, ts: i64) -> Vec<Value> {
    rowview::bar_key(series, Timestamp::from_nanos(ts))
}

/// The columns of a bar behind its key: one price, one volume.
pub fn bar(price: f64, volume: f64) -> Vec<Value> {
    let mut values = vec![Value::Day(TradingDay::from_days(19_724).unwrap_or_default())];
    values.extend([price, price, price, price, volume, price * volume, 0.0].map(Value::Double));
    values
}

/// The key of a trade.
pub fn trade(number: u128) -> Vec<Value> {
    vec![Value::Text(TradeId(number).to_string())]
}

/// The columns of a trade behind its key, with every optional one NULL.
pub fn trade_values(account: &str, ts: i64, price: i128) -> Vec<Value> {
    vec![
        text(account),
        text("main"),
        text("600000.SH"),
        Value::Null,
        text("buy_fill"),
        Value::Int(ts),
        Value::Day(TradingDay::default()),
        Value::Decimal(price),
        Value::Decimal(10_000_000_000),
        Value::Null,
        Value::Null,
        text("浦发银行"),
        text(""),
        text(""),
        Value::Null,
        Value::Null,
    ]
}

/// Key and columns of a position.
pub fn position(account: &str, instrument: &str, highest: Option<f64>) -> (Vec<Value>, Vec<Value>) {
    let values = vec![
        text("open"),
        Value::Int(3),
        highest.map_or(Value::Null, Value::Double),
        Value::Null,
        Value::Int(1),
        Value::Decimal(-1),
        Value::Null,
        Value::Null,
    ];
    (vec![text(account), text("main"), text(instrument)], values)
}

/// Key and columns of a book.
pub fn book(account: &str, days: i32) -> (Vec<Value>, Vec<Value>) {
    let day = TradingDay::from_days(days).unwrap_or_default();
    (vec![text(account), text("main")], vec![Value::Day(day)])
}

/// Key and columns of a corporate action.
pub(super) fn factor(instrument: &str, days: i32, stated: Option<f64>) -> (Vec<Value>, Vec<Value>) {
    let day = TradingDay::from_days(days).unwrap_or_default();
    let mut values: Vec<Value> = [0.35, 0.3, 0.2, 5.0].map(Value::Double).into();
    values.push(stated.map_or(Value::Null, Value::Double));
    (vec![text(instrument), Value::Day(day)], values)
}

/// Key and columns of a strategy's saved state.
pub fn state(strategy: &str, saved_at: i64, sequence: i64, body: &str) -> (Vec<Value>, Vec<Value>) {
    let key = vec![text(strategy), Value::Int(saved_at), Value::Int(sequence)];
    (key, vec![Value::Int(1), text(body)])
}

/// Key of a tick or a market trade: several instruments of one group, instants at both ends of time.
fn event_key(number: usize) -> Vec<Value> {
    let instruments = ["000001.SZ", "000002.SZ", "IF2403.CFFEX"];
    let instants = [0, -1, i64::MIN, i64::MAX];
    let instrument = instruments.get(number % 3).copied().unwrap_or_default();
    let ts = instants.get(number % 4).copied().unwrap_or_default();
    vec![text(instrument), Value::Int(ts), Value::Int(if number == 3 { i64::MAX } else { number as i64 })]
}

/// Key and columns of a tick.
pub(super) fn tick(number: usize) -> (Vec<Value>, Vec<Value>) {
    let mut values = vec![Value::Day(TradingDay::default())];
    let numbers = [0.0, f64::MAX, -37.63, 5e-324, 10.5];
    values.extend(
        (0..26).map(|place| Value::Double(numbers.get((place + number) % 5).copied().unwrap_or(0.0))),
    );
    (event_key(number), values)
}

/// Key and columns of a market trade.
pub(super) fn market_trade(number: usize) -> (Vec<Value>, Vec<Value>) {
    let side = ["unknown", "buy", "sell"].get(number % 3).copied().unwrap_or_default();
    let mut values = vec![Value::Day(TradingDay::default())];
    values.extend([-1.5, 0.0, f64::MAX].map(Value::Double));
    values.extend([text(side), Value::Int((number % 2) as i64)]);
    (event_key(number), values)
}

/// Trades whose texts and numbers are as odd as a store lets them be.
pub fn extreme_trades() -> Vec<(Vec<Value>, Vec<Value>)> {
    let widest = 10_i128.pow(28) - 1;
    let texts = [
        "",
        " ",
        "'; DROP TABLE bk_trades; --",
        "\"\\\t\r\n%_",
        "平安银行🐉e\u{301}\u{ffff}",
        "NULL",
        "0",
        "a\0b",
    ];
    let numbers = [widest, -widest, 0, 1, -1, 123_456_789, 10_i128.pow(20), -50_000_000];
    let mut trades = Vec::new();
    for (at, (odd, number)) in texts.into_iter().zip(numbers).enumerate() {
        let account = if at % 2 == 0 { "国金证券-主" } else { "a'b\"c" };
        let ts = if at < 4 { i64::MIN + at as i64 } else { i64::MAX - at as i64 };
        let mut values = trade_values(account, ts, number);
        for (place, value) in [
            (3, text(odd)),
            (8, Value::Decimal(number)),
            (9, Value::Decimal(-number)),
            (11, text(odd)),
            (12, text(&odd.repeat(40))),
            (14, text(odd)),
        ] {
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        }
        trades.push((trade(u128::MAX - at as u128), values));
    }
    trades
}
