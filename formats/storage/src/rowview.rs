//! Records as rows of tables and back: what targets store and what row hashes cover.

use barkeeper_records::{
    AccountId, Bar, BookId, Bucket, EventPlace, FactorEvent, InstrumentId, Interval, Position, Row,
    SeriesKey, StrategySnapshot, StrategySnapshotKey, Table, Timestamp, TradeRecord, TradingDay, Value,
    limits, scaled,
};
use rust_decimal::Decimal;

use crate::eventsegment::StoredEvent;

fn text(value: &(impl ToString + ?Sized)) -> Value {
    Value::Text(value.to_string())
}

fn decimal(value: Decimal) -> Value {
    // Records are checked at birth; a number that does not fit cannot be in one.
    Value::Decimal(scaled(value).unwrap_or_default())
}

fn optional<T>(value: Option<T>, into: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, into)
}

/// The key of a bar's row.
pub fn bar_key(series: &SeriesKey, ts: Timestamp) -> Vec<Value> {
    vec![text(&series.interval), text(&series.adjustment), text(&series.instrument), Value::Int(ts.nanos())]
}

/// The columns of a bar's row behind its key.
pub fn bar_values(bar: &Bar) -> Vec<Value> {
    let mut values = Vec::with_capacity(8);
    values.push(Value::Day(bar.trading_day));
    values.extend(bar.numbers().map(Value::Double));
    values
}

/// The series and `ts` of a bar's key; `None` where the values are no such key.
pub fn bar_key_of(key: &[Value]) -> Option<(SeriesKey, Timestamp)> {
    match key {
        [Value::Text(interval), Value::Text(adjustment), Value::Text(instrument), Value::Int(ts)] => {
            let series = SeriesKey {
                interval: interval.parse().ok()?,
                adjustment: adjustment.parse().ok()?,
                instrument: instrument.parse().ok()?,
            };
            Some((series, Timestamp::from_nanos(*ts)))
        }
        _ => None,
    }
}

/// The key of a trade record's row.
pub fn trade_key(trade: &TradeRecord) -> Vec<Value> {
    vec![text(&trade.trade_id)]
}

/// The columns of a trade record's row behind its key.
pub fn trade_values(trade: &TradeRecord) -> Vec<Value> {
    vec![
        text(&trade.account),
        text(&trade.book),
        text(&trade.instrument),
        optional(trade.strategy.as_ref(), text),
        text(&trade.kind),
        Value::Int(trade.ts.nanos()),
        Value::Day(trade.trading_day),
        decimal(trade.price),
        decimal(trade.quantity),
        optional(trade.amount, decimal),
        optional(trade.fee, decimal),
        text(&trade.name),
        text(&trade.remark),
        text(&trade.source_text),
        optional(trade.external_id.as_ref(), text),
        optional(trade.voids.as_ref(), text),
    ]
}

/// The key of a position's row.
pub fn position_key(position: &barkeeper_records::PositionKey) -> Vec<Value> {
    vec![text(&position.account), text(&position.book), text(&position.instrument)]
}

/// The columns of a position's row behind its key.
pub fn position_values(position: &Position) -> Vec<Value> {
    vec![
        text(position.status.as_str()),
        optional(position.held_days, |days| Value::Int(i64::from(days))),
        optional(position.highest, Value::Double),
        optional(position.lowest, Value::Double),
        Value::Int(i64::from(position.lowest_trusted)),
        optional(position.quantity, decimal),
        optional(position.cost, decimal),
        optional(position.opened_on, Value::Day),
    ]
}

/// The key of a book's row.
pub fn book_key(account: &AccountId, book: &BookId) -> Vec<Value> {
    vec![text(account), text(book)]
}

/// The columns of a book's row behind its key.
pub fn book_values(incremented_on: TradingDay) -> Vec<Value> {
    vec![Value::Day(incremented_on)]
}

/// The key of a corporate action's row.
pub fn factor_key(instrument: &InstrumentId, ex_day: TradingDay) -> Vec<Value> {
    vec![text(instrument), Value::Day(ex_day)]
}

/// The columns of a corporate action's row behind its key.
pub fn factor_values(event: &FactorEvent) -> Vec<Value> {
    let mut values: Vec<Value> = event.terms().map(Value::Double).into();
    values.push(optional(event.factor, Value::Double));
    values
}

/// Instrument and ex-day of a corporate action's key; `None` where the values are no such key.
pub fn factor_key_of(key: &[Value]) -> Option<(InstrumentId, TradingDay)> {
    match key {
        [Value::Text(instrument), Value::Day(day)] => Some((instrument.parse().ok()?, *day)),
        _ => None,
    }
}

/// The key of a saved state's row.
pub fn strategy_snapshot_key(key: &StrategySnapshotKey) -> Vec<Value> {
    vec![text(&key.strategy), Value::Int(key.saved_at.nanos()), Value::Int(i64::from(key.sequence))]
}

/// The columns of a saved state's row behind its key.
pub fn strategy_snapshot_values(snapshot: &StrategySnapshot) -> Vec<Value> {
    vec![Value::Int(i64::from(snapshot.schema_version)), text(&snapshot.body)]
}

/// The saved state that a row's key names; `None` where the values are no such key.
pub fn strategy_snapshot_key_of(key: &[Value]) -> Option<StrategySnapshotKey> {
    match key {
        [Value::Text(strategy), Value::Int(saved_at), Value::Int(sequence)] => Some(StrategySnapshotKey {
            strategy: strategy.parse().ok()?,
            saved_at: Timestamp::from_nanos(*saved_at),
            sequence: u32::try_from(*sequence).ok()?,
        }),
        _ => None,
    }
}

/// The bucket of a corporate action.
pub fn factor_bucket(instrument: &InstrumentId) -> Bucket {
    Bucket { table: Table::Factors, group: instrument.group().to_owned(), period: 0 }
}

/// The bucket of a saved state.
pub fn strategy_snapshot_bucket(key: &StrategySnapshotKey) -> Bucket {
    let period = period_of(key.saved_at);
    Bucket { table: Table::StrategySnapshots, group: key.strategy.to_string(), period }
}

/// The key of a row of ticks or market trades.
pub fn event_key(instrument: &InstrumentId, place: EventPlace) -> Vec<Value> {
    // Birth keeps sequences below 63 bits.
    vec![text(instrument), Value::Int(place.ts.nanos()), Value::Int(place.sequence as i64)]
}

/// The columns of such a row behind its key.
pub fn event_values<T: StoredEvent>(event: &T) -> Vec<Value> {
    let mut values = vec![Value::Day(event.trading_day())];
    values.extend((0..T::NUMBERS.len()).map(|place| Value::Double(event.number(place))));
    values.extend(event.extra_values());
    values
}

/// Instrument and place of such a key; `None` where the values are none.
pub fn event_key_of(key: &[Value]) -> Option<(InstrumentId, EventPlace)> {
    match key {
        [Value::Text(instrument), Value::Int(ts), Value::Int(sequence)] => {
            let sequence = u64::try_from(*sequence).ok()?;
            Some((instrument.parse().ok()?, EventPlace { ts: Timestamp::from_nanos(*ts), sequence }))
        }
        _ => None,
    }
}

/// The bucket of a row of ticks or market trades.
pub fn event_bucket(table: Table, instrument: &InstrumentId, ts: Timestamp) -> Bucket {
    Bucket { table, group: instrument.group().to_owned(), period: period_of(ts) }
}

/// The digest period of an instant.
pub fn period_of(ts: Timestamp) -> i32 {
    i32::try_from(ts.nanos().div_euclid(limits::PERIOD_NS)).unwrap_or(i32::MAX)
}

/// The bucket of a bar.
pub fn bar_bucket(series: &SeriesKey, ts: Timestamp) -> Bucket {
    Bucket { table: Table::Bars, group: bar_group(series), period: period_of(ts) }
}

/// The group of a series' buckets: `interval/adjustment/` and the first three characters of the instrument.
pub fn bar_group(series: &SeriesKey) -> String {
    format!("{}/{}/{}", series.interval, series.adjustment, series.instrument.group())
}

/// Interval, adjustment and instrument prefix of a bar bucket's group.
pub fn bar_group_parts(group: &str) -> Option<(Interval, barkeeper_records::AdjustmentTag, &str)> {
    let mut parts = group.splitn(3, '/');
    let interval = parts.next()?.parse().ok()?;
    let adjustment = parts.next()?.parse().ok()?;
    Some((interval, adjustment, parts.next()?))
}

/// The bucket of a row, from its key and its columns; `None` where they do not fit the table.
pub fn bucket_of(row: &Row) -> Option<Bucket> {
    let (group, period) = match row.table {
        Table::Bars => {
            let (series, ts) = bar_key_of(&row.key)?;
            (bar_group(&series), period_of(ts))
        }
        Table::Trades => match (row.values.first()?, row.values.get(5)?) {
            (Value::Text(account), Value::Int(ts)) => {
                (account.clone(), period_of(Timestamp::from_nanos(*ts)))
            }
            _ => return None,
        },
        Table::Positions | Table::Books => match row.key.first()? {
            Value::Text(account) => (account.clone(), 0),
            _ => return None,
        },
        Table::Ticks | Table::MarketTrades => {
            let (instrument, place) = event_key_of(&row.key)?;
            (instrument.group().to_owned(), period_of(place.ts))
        }
        Table::Factors => (factor_key_of(&row.key)?.0.group().to_owned(), 0),
        Table::StrategySnapshots => {
            let key = strategy_snapshot_key_of(&row.key)?;
            (key.strategy.to_string(), period_of(key.saved_at))
        }
        _ => return None,
    };
    Some(Bucket { table: row.table, group, period })
}
