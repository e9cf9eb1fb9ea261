//! Scans of the trade log: copied out of the snapshot at once, given out in batches.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampNanosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use barkeeper_records::{InstrumentId, Timestamp, TradeRecord, scaled};
use rust_decimal::Decimal;

use super::request::{Instruments, ScanOrder, ScanRequest};
use crate::error::{ReadError, ReadResult, scan_error};
use crate::report::TradeQuery;
use crate::snapshot::Snapshot;

const PRECISION: u8 = 38;
const SCALE: i8 = 8;

const COLUMNS: [&str; 16] = [
    "trade_id",
    "account",
    "book",
    "instrument",
    "strategy",
    "kind",
    "ts",
    "trading_day",
    "price",
    "quantity",
    "amount",
    "fee",
    "name",
    "remark",
    "source_text",
    "external_id",
];
/// The last column; the row that a row voids.
const VOIDS: &str = "voids";

/// A scan of trade records.
pub(super) struct TradeScan {
    rows: Vec<TradeRecord>,
    at: usize,
    batch_rows: usize,
    schema: SchemaRef,
}

impl TradeScan {
    pub(super) fn new(snapshot: &Snapshot, request: &ScanRequest) -> ReadResult<Self> {
        let schema = schema_of(request)?;
        let mut query = TradeQuery { with_void: request.with_void, ..TradeQuery::default() };
        query.from = Some(request.from);
        // A query's end is excluded; the last instant of all has nothing behind it.
        query.to = request.to.nanos().checked_add(1).map(Timestamp::from_nanos);
        let mut rows = Vec::new();
        match &request.instruments {
            Instruments::List(list) if list.len() <= 16 => {
                for instrument in list {
                    query.instrument = Some(*instrument);
                    rows.extend(snapshot.trades(&query)?);
                }
            }
            some => {
                rows = snapshot.trades(&query)?;
                rows.retain(|trade| some.wants(&trade.instrument));
            }
        }
        let by_time = |trade: &TradeRecord| (trade.ts, trade.instrument, trade.trade_id);
        let by_instrument = |trade: &TradeRecord| (trade.instrument, trade.ts, trade.trade_id);
        match request.order {
            ScanOrder::Time => rows.sort_by_key(by_time),
            ScanOrder::Instrument => rows.sort_by_key(by_instrument),
        }
        Ok(Self { rows, at: 0, batch_rows: request.batch_rows, schema })
    }

    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn batch(&self, rows: &[TradeRecord]) -> ReadResult<RecordBatch> {
        let bad = |error: ArrowError| scan_error(&error.to_string());
        let arrays = self.schema.fields().iter().map(|field| array(rows, field.name()));
        let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(bad)
    }
}

impl Iterator for TradeScan {
    type Item = ReadResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.at.saturating_add(self.batch_rows).min(self.rows.len());
        let rows = self.rows.get(self.at..end).filter(|rows| !rows.is_empty())?;
        let batch = self.batch(rows);
        self.at = end;
        Some(batch)
    }
}

fn schema_of(request: &ScanRequest) -> ReadResult<SchemaRef> {
    let known: Vec<&str> = COLUMNS.into_iter().chain([VOIDS]).collect();
    let all = || known.iter().map(|name| (*name).to_owned()).collect();
    let mut fields = Vec::new();
    for name in request.columns.clone().unwrap_or_else(all) {
        if !known.contains(&name.as_str()) {
            return Err(ReadError::Column { name, expected: known.join(", ") });
        }
        let kind = match name.as_str() {
            "ts" => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            "trading_day" => DataType::Date32,
            "price" | "quantity" | "amount" | "fee" => DataType::Decimal128(PRECISION, SCALE),
            _ => DataType::Utf8,
        };
        let nullable = matches!(name.as_str(), "strategy" | "amount" | "fee" | "external_id" | VOIDS);
        fields.push(Field::new(name, kind, nullable));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn array(rows: &[TradeRecord], name: &str) -> Result<ArrayRef, ArrowError> {
    let text = |f: fn(&TradeRecord) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(f)))
    };
    let maybe = |f: fn(&TradeRecord) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(f).collect::<StringArray>())
    };
    let money = |f: fn(&TradeRecord) -> Option<Decimal>| -> Result<ArrayRef, ArrowError> {
        let scaled = rows.iter().map(|row| f(row).and_then(|value| scaled(value).ok()));
        let array = scaled.collect::<Decimal128Array>().with_precision_and_scale(PRECISION, SCALE)?;
        Ok(Arc::new(array))
    };
    Ok(match name {
        "trade_id" => text(|row| row.trade_id.to_string()),
        "account" => text(|row| row.account.to_string()),
        "book" => text(|row| row.book.to_string()),
        "instrument" => text(|row| InstrumentId::to_string(&row.instrument)),
        "strategy" => maybe(|row| row.strategy.as_ref().map(ToString::to_string)),
        "kind" => text(|row| row.kind.to_string()),
        "ts" => {
            let ts = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.ts.nanos()));
            Arc::new(ts.with_timezone("UTC"))
        }
        "trading_day" => {
            Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.trading_day.days())))
        }
        "price" => money(|row| Some(row.price))?,
        "quantity" => money(|row| Some(row.quantity))?,
        "amount" => money(|row| row.amount)?,
        "fee" => money(|row| row.fee)?,
        "name" => text(|row| row.name.clone()),
        "remark" => text(|row| row.remark.clone()),
        "source_text" => text(|row| row.source_text.clone()),
        "external_id" => maybe(|row| row.external_id.clone()),
        _ => maybe(|row| row.voids.map(|id| id.to_string())),
    })
}
