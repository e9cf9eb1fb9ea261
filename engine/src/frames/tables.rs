//! The small tables of a snapshot as frames: read whole when a query asks for one.

use std::any::Any;
use std::sync::Arc;

use barkeeper_records::{ColumnKind, Table, Value};
use barkeeper_storage::rowview;
use polars::prelude::{
    AnonymousScan, AnonymousScanArgs, BooleanChunked, Column, DataFrame, DataType, Field, Float64Chunked,
    Int32Chunked, Int64Chunked, Int128Chunked, IntoColumn, IntoSeries, LazyFrame, NewChunkedArray,
    PlSmallStr, PolarsResult, ScanArgsAnonymous, Schema, SchemaRef, StringChunked, TimeUnit, TimeZone,
};

use super::carry;
use super::columns::instants;
use crate::error::{ReadResult, scan_error};
use crate::snapshot::Snapshot;

/// Digits of a ledger number, and how many of them stand behind the point.
const MONEY: (usize, usize) = (38, 8);

/// A table that is read whole. Its columns are those that targets have, flags as booleans.
struct Small {
    snapshot: Arc<Snapshot>,
    table: Table,
}

/// A frame over a small table.
pub(super) fn small(snapshot: &Arc<Snapshot>, table: Table) -> ReadResult<LazyFrame> {
    let args = ScanArgsAnonymous {
        schema: Some(schema_of(table)),
        name: "BARKEEPER TABLE",
        ..ScanArgsAnonymous::default()
    };
    let table = Small { snapshot: snapshot.clone(), table };
    LazyFrame::anonymous_scan(Arc::new(table), args).map_err(|error| scan_error(&error.to_string()))
}

fn columns_of(table: Table) -> impl Iterator<Item = &'static barkeeper_records::Column> {
    let schema = table.schema();
    schema.key.iter().chain(schema.values)
}

/// Whether a column of integers is a flag, as targets without booleans have it.
fn is_flag(column: &barkeeper_records::Column) -> bool {
    column.name == "lowest_trusted"
}

fn schema_of(table: Table) -> SchemaRef {
    let fields = columns_of(table).map(|column| {
        let kind = match column.kind {
            ColumnKind::Int if is_flag(column) => DataType::Boolean,
            ColumnKind::Ascii | ColumnKind::Text | ColumnKind::LongText => DataType::String,
            ColumnKind::Int => DataType::Int64,
            ColumnKind::Nanos => instants(),
            ColumnKind::Day => DataType::Date,
            ColumnKind::Double => DataType::Float64,
            ColumnKind::Decimal => DataType::Decimal(MONEY.0, MONEY.1),
        };
        Field::new(column.name.into(), kind)
    });
    Arc::new(fields.collect::<Schema>())
}

impl AnonymousScan for Small {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        Ok(schema_of(self.table))
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }

    fn scan(&self, args: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let rows = carry(rows_of(&self.snapshot, self.table))?;
        let rows = rows.get(..args.n_rows.unwrap_or(usize::MAX).min(rows.len())).unwrap_or_default();
        let columns =
            columns_of(self.table).enumerate().map(|(place, column)| column_of(column, place, rows));
        let frame = DataFrame::new(rows.len(), columns.collect())?;
        match args.with_columns {
            Some(names) => frame.select(names.iter()),
            None => Ok(frame),
        }
    }
}

/// Every row, key and values one after the other.
fn rows_of(snapshot: &Snapshot, table: Table) -> ReadResult<Vec<Vec<Value>>> {
    let joined = |mut key: Vec<Value>, values: Vec<Value>| {
        key.extend(values);
        key
    };
    Ok(match table {
        Table::Positions => {
            let all = snapshot.all_positions(true)?;
            all.iter()
                .map(|one| joined(rowview::position_key(&one.key), rowview::position_values(one)))
                .collect()
        }
        Table::Books => {
            let all = snapshot.books()?;
            all.iter()
                .map(|(account, book, day)| {
                    joined(rowview::book_key(account, book), rowview::book_values(*day))
                })
                .collect()
        }
        Table::Factors => {
            let all = snapshot.all_factor_events()?;
            all.iter()
                .map(|one| {
                    joined(rowview::factor_key(&one.instrument, one.ex_day), rowview::factor_values(one))
                })
                .collect()
        }
        _ => return Err(scan_error("this table is not read whole")),
    })
}

fn column_of(column: &barkeeper_records::Column, place: usize, rows: &[Vec<Value>]) -> Column {
    let name: PlSmallStr = column.name.into();
    let values = rows.iter().map(|row| row.get(place).unwrap_or(&Value::Null));
    let ints = |value: &Value| if let Value::Int(value) = value { Some(*value) } else { None };
    match column.kind {
        ColumnKind::Ascii | ColumnKind::Text | ColumnKind::LongText => {
            let text =
                |value: &'_ Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
            StringChunked::from_iter_options(name, values.map(text)).into_column()
        }
        ColumnKind::Int if is_flag(column) => {
            let flags = values.map(|value| ints(value).map(|flag| flag != 0));
            BooleanChunked::from_iter_options(name, flags).into_column()
        }
        ColumnKind::Int => Int64Chunked::from_iter_options(name, values.map(ints)).into_column(),
        ColumnKind::Nanos => {
            let instants = Int64Chunked::from_iter_options(name, values.map(ints));
            instants.into_datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)).into_series().into_column()
        }
        ColumnKind::Day => {
            let day = |value: &Value| if let Value::Day(day) = value { Some(day.days()) } else { None };
            Int32Chunked::from_iter_options(name, values.map(day)).into_date().into_series().into_column()
        }
        ColumnKind::Double => {
            let number = |value: &Value| if let Value::Double(number) = value { Some(*number) } else { None };
            Float64Chunked::from_iter_options(name, values.map(number)).into_column()
        }
        ColumnKind::Decimal => {
            let money = |value: &Value| if let Value::Decimal(scaled) = value { Some(*scaled) } else { None };
            let scaled = Int128Chunked::from_iter_options(name, values.map(money));
            scaled.into_decimal_unchecked(MONEY.0, MONEY.1).into_series().into_column()
        }
    }
}
