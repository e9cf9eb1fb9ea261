//! Rows, keys and buckets as JSON, for reports, the poison table and the file of replaced rows.

use barkeeper_records::{Bucket, Change, Column, Row, Table, Value};
use serde::Serializer;
use serde_json::{Map, Value as Json, json};

use crate::sink::{Content, RemoteRow};
use crate::text::{push_day, push_decimal};

/// One value: decimals and days as text, since JSON numbers are doubles.
pub(crate) fn value(value: &Value) -> Json {
    let mut text = String::new();
    match value {
        Value::Null => return Json::Null,
        Value::Int(number) => return json!(number),
        Value::Double(number) => return json!(number),
        Value::Text(text) => return json!(text),
        Value::Decimal(scaled) => push_decimal(&mut text, *scaled),
        Value::Day(day) => push_day(&mut text, *day),
    }
    Json::String(text)
}

fn columns(into: &mut Map<String, Json>, columns: &[Column], values: &[Value]) {
    for (column, one) in columns.iter().zip(values) {
        into.insert(column.name.to_owned(), value(one));
    }
}

/// A key as an object, column by column.
pub(crate) fn key(table: Table, key: &[Value]) -> Json {
    let mut object = Map::new();
    columns(&mut object, table.schema().key, key);
    Json::Object(object)
}

/// The columns behind the key, with version and tombstone mark.
pub(crate) fn row(row: &Row) -> Json {
    let mut object = Map::new();
    columns(&mut object, row.table.schema().values, &row.values);
    object.insert("version".to_owned(), json!(row.version.raw()));
    object.insert("deleted".to_owned(), json!(row.deleted));
    Json::Object(object)
}

/// The same of a row that stands at a target.
pub(crate) fn remote(table: Table, row: &RemoteRow) -> Json {
    let mut object = Map::new();
    let deleted = match &row.content {
        Content::Live(values) | Content::Foreign { values, .. } => {
            columns(&mut object, table.schema().values, values);
            false
        }
        Content::Tombstone => true,
    };
    object.insert("version".to_owned(), json!(row.version.raw()));
    object.insert("deleted".to_owned(), json!(deleted));
    Json::Object(object)
}

/// The table and the key of a row, by which the poison table knows it.
pub(crate) fn subject_of(table: Table, values: &[Value]) -> (&'static str, String) {
    (table.schema().name, key(table, values).to_string())
}

/// The table and the key of a change, by which the poison table knows it; a range has its bounds.
pub(crate) fn subject(change: &Change) -> (&'static str, String) {
    match change {
        Change::Put(put) => subject_of(put.table, &put.key),
        Change::DeleteRange(range) => {
            let bounds = json!({
                "series": range.series.to_string(),
                "from": range.from.nanos(),
                "to": range.to.nanos(),
            });
            (Table::Bars.schema().name, bounds.to_string())
        }
        _ => ("", String::new()),
    }
}

/// A bucket as an object.
pub(crate) fn bucket<S: Serializer>(bucket: &Bucket, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeStruct as _;
    let mut object = serializer.serialize_struct("Bucket", 3)?;
    object.serialize_field("table", bucket.table.schema().name)?;
    object.serialize_field("group", &bucket.group)?;
    object.serialize_field("period", &bucket.period)?;
    object.end()
}

#[cfg(test)]
mod tests {
    use barkeeper_records::{Lsn, TradingDay, Version};

    use super::*;

    #[test]
    fn money_keeps_every_digit() {
        let book = Row {
            table: Table::Books,
            key: vec![Value::Text("账户".to_owned()), Value::Text("main".to_owned())],
            values: vec![Value::Day(TradingDay::from_ymd(2024, 1, 2).unwrap())],
            version: Version::from_raw(7).unwrap(),
            deleted: false,
            lsn: Lsn(1),
            row_hash: 0,
        };
        assert_eq!(row(&book).to_string(), r#"{"deleted":false,"incremented_on":"2024-01-02","version":7}"#);
        assert_eq!(key(Table::Books, &book.key).to_string(), r#"{"account":"账户","book":"main"}"#);
        assert_eq!(value(&Value::Decimal(i128::from(u64::MAX))), json!("184467440737.09551615"));
    }
}
