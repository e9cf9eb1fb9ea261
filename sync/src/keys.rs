//! Keys of rows: their order, and whether a store could have made one.

use std::cmp::Ordering;

use barkeeper_records::{AccountId, BookId, InstrumentId, Table, TradeId, Value};
use barkeeper_storage::rowview;

/// Orders keys as the store and every target do: numbers by size, text by its bytes.
pub fn compare_keys(a: &[Value], b: &[Value]) -> Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| compare_values(a, b)).find(|order| order.is_ne());
    unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
        (Value::Decimal(a), Value::Decimal(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Day(a), Value::Day(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Int(_) => 1,
        Value::Double(_) => 2,
        Value::Decimal(_) => 3,
        Value::Text(_) => 4,
        Value::Day(_) => 5,
    }
}

/// Rows of a bucket that are read at a time: saved states of strategies may have megabytes each.
pub(crate) const fn page_rows(table: Table) -> usize {
    if matches!(table, Table::StrategySnapshots) { 16 } else { 5_000 }
}

/// Whether a store could have made this key; a person who types rows into a target makes others.
pub(crate) fn is_possible(table: Table, key: &[Value]) -> bool {
    let instrument = |text: &str| InstrumentId::canonical(text).is_ok();
    match (table, key) {
        (Table::Bars, key) => {
            rowview::bar_key_of(key).is_some_and(|(series, ts)| rowview::bar_key(&series, ts) == key)
        }
        (Table::Ticks | Table::MarketTrades, key) => rowview::event_key_of(key)
            .is_some_and(|(instrument, place)| rowview::event_key(&instrument, place) == key),
        (Table::Factors, key) => rowview::factor_key_of(key)
            .is_some_and(|(instrument, ex_day)| rowview::factor_key(&instrument, ex_day) == key),
        (Table::Trades, [Value::Text(id)]) => {
            id.parse::<TradeId>().is_ok_and(|parsed| parsed.to_string() == *id)
        }
        (Table::Positions, [Value::Text(account), Value::Text(book), Value::Text(text)]) => {
            AccountId::new(account).is_ok() && BookId::new(book).is_ok() && instrument(text)
        }
        (Table::Books, [Value::Text(account), Value::Text(book)]) => {
            AccountId::new(account).is_ok() && BookId::new(book).is_ok()
        }
        (Table::StrategySnapshots, key) => rowview::strategy_snapshot_key_of(key)
            .is_some_and(|of| rowview::strategy_snapshot_key(&of) == key),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_by_bytes_and_numbers() {
        let key = |text: &str, number| vec![Value::Text(text.to_owned()), Value::Int(number)];
        assert_eq!(compare_keys(&key("a", 2), &key("a", 10)), Ordering::Less);
        assert_eq!(compare_keys(&key("Z", 5), &key("a", 1)), Ordering::Less);
        assert_eq!(compare_keys(&key("z", 5), &key("é", 1)), Ordering::Less);
        assert_eq!(compare_keys(&key("a", -1), &key("a", 0)), Ordering::Less);
        assert_eq!(compare_keys(&[], &key("a", 0)), Ordering::Less);
    }

    #[test]
    fn a_key_that_only_a_person_can_have_typed_is_told_from_one_of_ours() {
        let bar = |instrument: &str| {
            let mut key: Vec<Value> =
                ["1d", "raw", instrument].map(|text| Value::Text(text.to_owned())).into();
            key.push(Value::Int(0));
            key
        };
        assert!(is_possible(Table::Bars, &bar("000001.SZ")));
        assert!(!is_possible(Table::Bars, &bar("SZ000001")));
        assert!(!is_possible(Table::Bars, &bar("平安")));
        assert!(!is_possible(Table::Trades, &[Value::Text("42".to_owned())]));
        assert!(!is_possible(Table::Books, &[Value::Text(" a".to_owned()), Value::Text("main".to_owned())]));
    }
}
