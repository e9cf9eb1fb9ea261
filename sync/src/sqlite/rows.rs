//! Rows of the store as parameters of statements, and rows of the database read back.

use std::ops::Range;

use barkeeper_records::{Bucket, Change, ColumnKind, Row, Table, Value, Version};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Statement, Transaction, params};

use super::error::During;
use super::schema::{Pages, TableSql};
use crate::bucket::{SeriesGroup, Shape, period_bounds};
use crate::error::SinkError;
use crate::keys::compare_keys;
use crate::sink::{Content, RemoteRow};
use crate::text::{LocalTime, parse_day, parse_decimal, push_day, push_decimal};

/// Above every character of a text.
const ABOVE: char = char::MAX;

/// Turns rows into parameters and columns into rows; keeps its buffers.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) tables: Vec<TableSql>,
    local: Vec<Option<LocalTime>>,
    text: String,
}

/// Why a row could not be bound.
enum Fault {
    Driver(rusqlite::Error),
    Value(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Driver(error)
    }
}

impl Fault {
    fn into_error(self, change: usize, during: During) -> SinkError {
        match self {
            Self::Driver(error) => during.row_error(change, error),
            Self::Value(reason) => SinkError::Refused { change: Some(change), reason },
        }
    }
}

impl Writer {
    pub(super) fn new() -> Self {
        let local = Table::ALL.iter().map(|table| LocalTime::of_table(table.schema())).collect();
        Self { tables: Table::ALL.map(TableSql::of).into(), local, text: String::with_capacity(64) }
    }

    fn place(table: Table) -> Option<usize> {
        Table::ALL.iter().position(|one| *one == table)
    }

    pub(super) fn table(&self, table: Table) -> Option<&TableSql> {
        self.tables.get(Self::place(table)?)
    }

    /// Puts a stretch of rows in the order of their keys, so that neighbours in the file are written
    /// together.
    pub(super) fn put_all(
        &mut self,
        transaction: &Transaction<'_>,
        changes: &[Change],
        run: Range<usize>,
        during: During,
    ) -> Result<(), SinkError> {
        let rows = changes.get(run.clone()).unwrap_or_default();
        let mut order: Vec<(usize, &Row)> = run
            .zip(rows)
            .filter_map(|(at, change)| match change {
                Change::Put(row) => Some((at, row)),
                _ => None,
            })
            .collect();
        // A stable sort: of two rows of one key the earlier goes first.
        order.sort_by(|(_, a), (_, b)| a.table.cmp(&b.table).then_with(|| compare_keys(&a.key, &b.key)));
        for rows in order.chunk_by(|(_, a), (_, b)| a.table == b.table) {
            let Some((_, first)) = rows.first() else { continue };
            let Some(place) = Self::place(first.table) else { continue };
            let (Some(sql), Some(local)) = (self.tables.get(place), self.local.get_mut(place)) else {
                continue;
            };
            let mut statement =
                transaction.prepare_cached(&sql.upsert).map_err(|error| during.error(error))?;
            for (at, row) in rows {
                bind_row(&mut statement, sql, local.as_mut(), &mut self.text, row)
                    .and_then(|()| Ok(statement.raw_execute()?))
                    .map_err(|fault| fault.into_error(*at, during))?;
            }
        }
        Ok(())
    }

    /// Writes a row whatever is there.
    pub(super) fn put_one(
        &mut self,
        transaction: &Transaction<'_>,
        row: &Row,
        at: usize,
        during: During,
    ) -> Result<(), SinkError> {
        let Some(place) = Self::place(row.table) else { return Ok(()) };
        let (Some(sql), Some(local)) = (self.tables.get(place), self.local.get_mut(place)) else {
            return Ok(());
        };
        let mut statement = transaction.prepare_cached(&sql.force).map_err(|error| during.error(error))?;
        bind_row(&mut statement, sql, local.as_mut(), &mut self.text, row)
            .and_then(|()| Ok(statement.raw_execute()?))
            .map(|_| ())
            .map_err(|fault| fault.into_error(at, during))
    }

    pub(super) fn series_rows(
        &mut self,
        connection: &Connection,
        bucket: &Bucket,
        group: SeriesGroup<'_>,
        after: Option<&[Value]>,
        limit: i64,
    ) -> rusqlite::Result<Vec<RemoteRow>> {
        let mut all = Vec::new();
        let Some(place) = Self::place(bucket.table) else { return Ok(all) };
        let (Some(sql), Some(local)) = (self.tables.get(place), self.local.get_mut(place)) else {
            return Ok(all);
        };
        let Pages::Series { page, next } = &sql.pages else { return Ok(all) };
        let (mut page, mut next) = (connection.prepare_cached(page)?, connection.prepare_cached(next)?);
        let (first, last) = period_bounds(bucket.period);
        let below = format!("{}{ABOVE}", group.prefix);
        let SeriesGroup { interval, adjustment, prefix } = group;
        let mut here = match after {
            Some([_, _, Value::Text(instrument), Value::Int(ts)]) => {
                Some((instrument.clone(), ts.checked_add(1)))
            }
            _ => None,
        };
        let mut from = prefix.to_owned();
        while (all.len() as i64) < limit {
            let (instrument, start) = if let Some(place) = here.take() {
                place
            } else {
                let found = next.query_row(params![interval, adjustment, from, below, prefix], |row| {
                    Ok(text_of(row.get_ref(0)?).0)
                });
                match found.optional()? {
                    Some(instrument) => (instrument, Some(first)),
                    None => break,
                }
            };
            if let Some(start) = start {
                let room = limit - all.len() as i64;
                let mut rows = page.query(params![interval, adjustment, instrument, start, last, room])?;
                while let Some(row) = rows.next()? {
                    all.push(read_row(row, sql, local.as_mut(), &mut self.text)?);
                }
            }
            // The smallest text above the instrument.
            from = format!("{instrument}\0");
        }
        Ok(all)
    }

    /// The rows of a bucket of ticks or market trades, one instrument after the other.
    pub(super) fn stream_rows(
        &mut self,
        connection: &Connection,
        bucket: &Bucket,
        after: Option<&[Value]>,
        limit: i64,
    ) -> rusqlite::Result<Vec<RemoteRow>> {
        let mut all = Vec::new();
        let Some(place) = Self::place(bucket.table) else { return Ok(all) };
        let (Some(sql), Some(local)) = (self.tables.get(place), self.local.get_mut(place)) else {
            return Ok(all);
        };
        let Pages::Stream { page, next } = &sql.pages else { return Ok(all) };
        let (mut page, mut next) = (connection.prepare_cached(page)?, connection.prepare_cached(next)?);
        let (first, last) = period_bounds(bucket.period);
        let prefix = &bucket.group;
        let below = format!("{prefix}{ABOVE}");
        // Sequences are never below 0, so this stands before every row of the period.
        let start = (first, i64::MIN);
        let mut here = match after {
            Some([Value::Text(instrument), Value::Int(ts), Value::Int(sequence)]) => {
                Some((instrument.clone(), (*ts, *sequence).max(start)))
            }
            _ => None,
        };
        let mut from = prefix.clone();
        while (all.len() as i64) < limit {
            let (instrument, (ts, sequence)) = if let Some(place) = here.take() {
                place
            } else {
                let found =
                    next.query_row(params![from, below, prefix], |row| Ok(text_of(row.get_ref(0)?).0));
                match found.optional()? {
                    Some(instrument) => (instrument, start),
                    None => break,
                }
            };
            let room = limit - all.len() as i64;
            let mut rows = page.query(params![instrument, ts, sequence, last, room])?;
            while let Some(row) = rows.next()? {
                all.push(read_row(row, sql, local.as_mut(), &mut self.text)?);
            }
            // The smallest text above the instrument.
            from = format!("{instrument}\0");
        }
        Ok(all)
    }

    pub(super) fn plain_rows(
        &mut self,
        connection: &Connection,
        bucket: &Bucket,
        after: Option<&[Value]>,
        limit: i64,
    ) -> rusqlite::Result<Vec<RemoteRow>> {
        let mut all = Vec::new();
        let Some(place) = Self::place(bucket.table) else { return Ok(all) };
        let (Some(sql), Some(local)) = (self.tables.get(place), self.local.get_mut(place)) else {
            return Ok(all);
        };
        let Pages::Plain { first, behind } = &sql.pages else { return Ok(all) };
        let mut statement = connection.prepare_cached(if after.is_some() { behind } else { first })?;
        statement.raw_bind_parameter(1, &bucket.group)?;
        let mut at = 2;
        if matches!(Shape::of(bucket.table), Shape::ByPeriod { .. }) {
            let (first, last) = period_bounds(bucket.period);
            statement.raw_bind_parameter(2, first)?;
            statement.raw_bind_parameter(3, last)?;
            at = 4;
        }
        let at = bind_key(&mut statement, at, after.unwrap_or_default())?;
        statement.raw_bind_parameter(at, limit)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            all.push(read_row(row, sql, local.as_mut(), &mut self.text)?);
        }
        Ok(all)
    }
}

/// Binds the values of a key from a place on; answers the place behind them.
pub(super) fn bind_key(
    statement: &mut Statement<'_>,
    mut at: usize,
    key: &[Value],
) -> rusqlite::Result<usize> {
    for value in key {
        match value {
            Value::Int(number) => statement.raw_bind_parameter(at, number)?,
            Value::Text(text) => statement.raw_bind_parameter(at, text)?,
            Value::Day(day) => {
                let mut text = String::with_capacity(10);
                push_day(&mut text, *day);
                statement.raw_bind_parameter(at, text)?;
            }
            // No table has another kind in its key.
            _ => statement.raw_bind_parameter(at, rusqlite::types::Null)?,
        }
        at += 1;
    }
    Ok(at)
}

fn bind_row(
    statement: &mut Statement<'_>,
    sql: &TableSql,
    local: Option<&mut LocalTime>,
    text: &mut String,
    row: &Row,
) -> Result<(), Fault> {
    let schema = sql.schema;
    let values = if row.deleted { 0 } else { schema.values.len() };
    if row.key.len() != schema.key.len() || row.values.len() != values {
        return Err(Fault::Value(format!(
            "{} values of the key and {} others, expected {} and {values}",
            row.key.len(),
            row.values.len(),
            schema.key.len()
        )));
    }
    let mut local = local;
    let key = schema.key.iter().zip(row.key.iter().map(Some));
    let others = schema.values.iter().enumerate().map(|(at, column)| (column, row.values.get(at)));
    let mut at = 1;
    for (column, value) in key.chain(others) {
        let value = value.unwrap_or(&Value::Null);
        let may_be_null = column.nullable || (row.deleted && at > schema.key.len());
        bind_value(statement, at, column.kind, value, text)?;
        if *value == Value::Null && !may_be_null {
            return Err(Fault::Value(format!("NULL in column {}", column.name)));
        }
        at += 1;
        if let (ColumnKind::Nanos, Some(local)) = (column.kind, local.as_deref_mut()) {
            text.clear();
            if local.push(text, &row.key, &row.values) {
                statement.raw_bind_parameter(at, text.as_str())?;
            } else {
                statement.raw_bind_parameter(at, rusqlite::types::Null)?;
            }
            at += 1;
        }
    }
    let numbers = [
        row.version.raw() as i64,
        i64::from(row.deleted),
        i64::from(row.version.device()),
        row.lsn.0 as i64,
        row.row_hash,
    ];
    for number in numbers {
        statement.raw_bind_parameter(at, number)?;
        at += 1;
    }
    Ok(())
}

fn bind_value(
    statement: &mut Statement<'_>,
    at: usize,
    kind: ColumnKind,
    value: &Value,
    text: &mut String,
) -> Result<(), Fault> {
    text.clear();
    match (kind, value) {
        (_, Value::Null) => statement.raw_bind_parameter(at, rusqlite::types::Null)?,
        (ColumnKind::Ascii | ColumnKind::Text | ColumnKind::LongText, Value::Text(one)) => {
            statement.raw_bind_parameter(at, one.as_str())?;
        }
        (ColumnKind::Int | ColumnKind::Nanos, Value::Int(number)) => {
            statement.raw_bind_parameter(at, number)?;
        }
        (ColumnKind::Double, Value::Double(number)) => {
            if !number.is_finite() || (*number == 0.0 && number.is_sign_negative()) {
                return Err(Fault::Value(format!("SQLite does not keep {number:?}")));
            }
            statement.raw_bind_parameter(at, number)?;
        }
        (ColumnKind::Day, Value::Day(day)) => {
            push_day(text, *day);
            statement.raw_bind_parameter(at, text.as_str())?;
        }
        (ColumnKind::Decimal, Value::Decimal(scaled)) => {
            push_decimal(text, *scaled);
            statement.raw_bind_parameter(at, text.as_str())?;
        }
        _ => return Err(Fault::Value(format!("{value:?} in a column of kind {kind:?}"))),
    }
    Ok(())
}

/// The text of a cell, and whether it was text.
pub(super) fn text_of(cell: ValueRef<'_>) -> (String, bool) {
    match cell {
        ValueRef::Null => (String::new(), false),
        ValueRef::Integer(number) => (number.to_string(), false),
        ValueRef::Real(number) => (number.to_string(), false),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), matches!(cell, ValueRef::Text(_))),
            Err(_) => (String::from_utf8_lossy(bytes).into_owned(), false),
        },
    }
}

/// The value of a cell, and whether a shipment could have written it.
fn read_value(kind: ColumnKind, nullable: bool, cell: ValueRef<'_>) -> (Value, bool) {
    match (kind, cell) {
        (_, ValueRef::Null) => (Value::Null, nullable),
        (ColumnKind::Int | ColumnKind::Nanos, ValueRef::Integer(number)) => (Value::Int(number), true),
        (ColumnKind::Double, ValueRef::Real(number)) => (Value::Double(number), true),
        (kind, cell) => {
            let (text, is_text) = text_of(cell);
            let read = match kind {
                ColumnKind::Day => parse_day(&text).map(Value::Day),
                ColumnKind::Decimal => parse_decimal(&text).map(Value::Decimal),
                ColumnKind::Ascii | ColumnKind::Text | ColumnKind::LongText => {
                    return (Value::Text(text), is_text);
                }
                _ => None,
            };
            read.map_or((Value::Text(text), false), |value| (value, is_text))
        }
    }
}

fn read_row(
    row: &rusqlite::Row<'_>,
    sql: &TableSql,
    local: Option<&mut LocalTime>,
    scratch: &mut String,
) -> rusqlite::Result<RemoteRow> {
    let schema = sql.schema;
    let (mut key, mut values) =
        (Vec::with_capacity(schema.key.len()), Vec::with_capacity(schema.values.len()));
    let (mut at, mut foreign, mut local_at) = (0, None, None);
    let columns = schema.key.iter().map(|column| (column, true));
    for (column, is_key) in columns.chain(schema.values.iter().map(|column| (column, false))) {
        let (value, is_ours) = read_value(column.kind, column.nullable, row.get_ref(at)?);
        if !is_ours && foreign.is_none() {
            foreign = Some(column.name);
        }
        if is_key {
            key.push(value);
        } else {
            values.push(value);
        }
        at += 1;
        if column.kind == ColumnKind::Nanos {
            local_at = Some(at);
            at += 1;
        }
    }
    if let (Some(local), Some(local_at)) = (local, local_at) {
        scratch.clear();
        let expected = local.push(scratch, &key, &values).then_some(scratch.as_bytes());
        let found = match row.get_ref(local_at)? {
            ValueRef::Text(bytes) => Some(bytes),
            _ => None,
        };
        if found != expected && foreign.is_none() {
            foreign = Some(LocalTime::COLUMN);
        }
    }
    let version = u64::try_from(row.get::<_, i64>(at)?).ok().and_then(Version::from_raw);
    if version.is_none() && foreign.is_none() {
        foreign = Some("version");
    }
    let content = match (row.get::<_, i64>(at + 1)?, foreign) {
        (0, None) => Content::Live(values),
        (0, Some(column)) => Content::Foreign { column, values },
        _ => Content::Tombstone,
    };
    Ok(RemoteRow { key, content, version: version.unwrap_or_default(), row_hash: row.get(at + 4)? })
}
