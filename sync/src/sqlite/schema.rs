//! The tables of a SQLite target and every statement on them, made from the schema of the records.

use barkeeper_records::{Column, ColumnKind, Table, TableSchema, limits};
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::error::During;
use crate::bucket::{PREFIX_CHARS, Shape};
use crate::error::{SchemaFault, SinkError};
use crate::text::LocalTime;

/// The version of the tables below. Only columns and tables are ever added.
pub(super) const VERSION: u32 = 1;
/// `PRAGMA application_id`: "BKPS".
pub(super) const APPLICATION_ID: i64 = 0x424b_5053;

/// The columns that stand behind those of the schema, in this order.
pub(super) const BOOKKEEPING: [(&str, &str, &str); 5] = [
    ("version", "INTEGER", "41 bits ms since 2020, 10 bits counter, 12 bits device; the highest wins"),
    ("deleted", "INTEGER", "1 for a tombstone, whose columns are NULL"),
    ("device", "INTEGER", "the device that wrote the row"),
    ("lsn", "INTEGER", "where in that store's change log"),
    ("row_hash", "INTEGER", "XXH3-64 of key and columns; 0 for a tombstone"),
];

/// The tables that hold no rows of the store.
pub(super) const SERVICE_TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS \"bk_meta\" (
  \"name\" TEXT NOT NULL PRIMARY KEY,
  \"value\" TEXT NOT NULL
) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS \"bk_sync\" (
  \"stream\" TEXT NOT NULL PRIMARY KEY, -- the store, 32 hex digits
  \"device\" INTEGER NOT NULL UNIQUE, -- its number in versions
  \"epoch\" INTEGER NOT NULL, -- grows with each restore of the store
  \"generation\" INTEGER NOT NULL, -- grows with each process that opens the store
  \"owner\" TEXT NOT NULL, -- that process, 32 hex digits
  \"lsn\" INTEGER NOT NULL, -- the last commit that is here as a whole
  \"within\" BLOB NOT NULL, -- how much of the next one is here
  \"chain\" INTEGER NOT NULL, -- the hash chain of the log at lsn
  \"updated\" TEXT NOT NULL -- UTC
) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS \"bk_poison\" (
  \"stream\" TEXT NOT NULL, -- the store
  \"table_name\" TEXT NOT NULL,
  \"row_key\" TEXT NOT NULL, -- JSON
  \"row\" TEXT NOT NULL, -- JSON
  \"version\" INTEGER NOT NULL,
  \"lsn\" INTEGER NOT NULL,
  \"reason\" TEXT NOT NULL, -- why this database refused it
  \"first_seen\" TEXT NOT NULL, -- UTC
  \"last_seen\" TEXT NOT NULL, -- UTC
  \"tries\" INTEGER NOT NULL,
  PRIMARY KEY (\"stream\", \"table_name\", \"row_key\")
) STRICT, WITHOUT ROWID",
];

/// A name as SQL takes it whatever it holds.
pub(super) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The storage class of a column.
const fn sql_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Ascii
        | ColumnKind::Text
        | ColumnKind::LongText
        | ColumnKind::Day
        | ColumnKind::Decimal => "TEXT",
        ColumnKind::Int | ColumnKind::Nanos => "INTEGER",
        ColumnKind::Double => "REAL",
    }
}

/// The statements on one table.
#[derive(Debug)]
pub(super) struct TableSql {
    pub(super) schema: &'static TableSchema,
    pub(super) create: String,
    pub(super) index: Option<String>,
    pub(super) view: String,
    pub(super) create_view: String,
    /// Puts a row unless there is one with a version as high; parameters in the order of [`typed_columns`].
    pub(super) upsert: String,
    /// The same whatever is there.
    pub(super) force: String,
    /// Removes the row of a key.
    pub(super) remove: String,
    /// Digests by bucket.
    pub(super) digests: String,
    /// Pages of a bucket.
    pub(super) pages: Pages,
}

/// How a bucket is read in the order of keys.
#[derive(Debug)]
pub(super) enum Pages {
    /// Bars: one instrument after the other, because the period stands behind the instrument in the key and
    /// a plain range would walk through all other periods.
    Series {
        /// Interval, adjustment, instrument, first and last `ts`, limit.
        page: String,
        /// The next instrument: interval, adjustment, from, below, prefix.
        next: String,
    },
    /// Ticks and market trades: likewise, by instrument alone.
    Stream {
        /// Instrument, the `ts` and sequence behind which rows stand, last `ts`, limit.
        page: String,
        /// The next instrument: from, below, prefix.
        next: String,
    },
    /// Others.
    Plain {
        /// From the start; the last parameter is the limit.
        first: String,
        /// Behind a key, whose values stand before the limit.
        behind: String,
    },
}

/// Turns the bars of a range up to a version into tombstones of that version: version, device, LSN,
/// interval, adjustment, instrument, from, to.
pub(super) fn delete_range() -> String {
    let schema = Table::Bars.schema();
    let nulls: Vec<String> =
        schema.values.iter().map(|column| format!("{} = NULL", quote_identifier(column.name))).collect();
    let nulls = nulls.join(", ");
    format!(
        "UPDATE {} SET {nulls}, \"version\" = ?1, \"deleted\" = 1, \"device\" = ?2, \"lsn\" = ?3, \"row_hash\" = 0 \
         WHERE \"interval\" = ?4 AND \"adjustment\" = ?5 AND \"instrument\" = ?6 \
         AND \"ts\" >= ?7 AND \"ts\" < ?8 AND (\"version\" < ?1 OR (\"version\" = ?1 AND \"deleted\" = 0))",
        quote_identifier(schema.name)
    )
}

/// All columns with their types in the order of the table: key, columns (a column of nanoseconds is
/// followed by the local time), bookkeeping.
pub(super) fn typed_columns(schema: &TableSchema) -> Vec<(&'static str, &'static str)> {
    let mut columns = Vec::with_capacity(schema.key.len() + schema.values.len() + 6);
    for column in schema.key.iter().chain(schema.values) {
        columns.push((column.name, sql_type(column.kind)));
        if column.kind == ColumnKind::Nanos {
            columns.push((LocalTime::COLUMN, "TEXT"));
        }
    }
    columns.extend(BOOKKEEPING.iter().map(|(name, sql, _)| (*name, *sql)));
    columns
}

fn columns(schema: &TableSchema) -> Vec<&'static str> {
    typed_columns(schema).into_iter().map(|(name, _)| name).collect()
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote_identifier).collect::<Vec<_>>().join(", ")
}

fn key_names(schema: &TableSchema) -> impl Iterator<Item = &'static str> + use<> {
    schema.key.iter().map(|column| column.name)
}

impl TableSql {
    pub(super) fn of(table: Table) -> Self {
        let schema = table.schema();
        let name = quote_identifier(schema.name);
        let view = schema.name.strip_prefix("bk_").unwrap_or(schema.name).to_owned();
        let people = columns(schema);
        let people = people.get(..people.len() - BOOKKEEPING.len()).unwrap_or_default();
        let create_view = format!(
            "CREATE VIEW {} AS SELECT {} FROM {name} WHERE \"deleted\" = 0",
            quote_identifier(&view),
            quoted(people.iter().copied())
        );
        Self {
            schema,
            create: create(schema),
            index: index(table),
            view,
            create_view,
            upsert: upsert(schema, &format!(" WHERE excluded.\"version\" > {name}.\"version\"")),
            force: upsert(schema, ""),
            remove: remove(schema),
            digests: digests(table),
            pages: pages(table),
        }
    }
}

fn create(schema: &TableSchema) -> String {
    let mut lines = Vec::new();
    for (column, is_key) in schema
        .key
        .iter()
        .map(|column| (column, true))
        .chain(schema.values.iter().map(|column| (column, false)))
    {
        lines.push(column_line(column, is_key));
        if column.kind == ColumnKind::Nanos {
            let comment =
                "the instant on the clock of the instrument's venue, in UTC without one; not hashed";
            lines.push((format!("{} TEXT", quote_identifier(LocalTime::COLUMN)), comment));
        }
    }
    for (name, sql, comment) in BOOKKEEPING {
        lines.push((format!("{} {sql} NOT NULL", quote_identifier(name)), comment));
    }
    lines.push((format!("PRIMARY KEY ({})", quoted(key_names(schema))), ""));
    let needed: Vec<String> = schema
        .values
        .iter()
        .filter(|column| !column.nullable)
        .map(|column| format!("{} IS NOT NULL", quote_identifier(column.name)))
        .collect();
    lines.push((format!("CHECK (\"deleted\" = 1 OR ({}))", needed.join(" AND ")), ""));
    let last = lines.len() - 1;
    let body: Vec<String> = lines
        .into_iter()
        .enumerate()
        .map(|(at, (line, comment))| {
            let comma = if at == last { "" } else { "," };
            let comment = if comment.is_empty() { String::new() } else { format!(" -- {comment}") };
            format!("  {line}{comma}{comment}")
        })
        .collect();
    let body = body.join("\n");
    let name = quote_identifier(schema.name);
    format!("CREATE TABLE IF NOT EXISTS {name} (\n{body}\n) STRICT, WITHOUT ROWID")
}

fn column_line(column: &Column, is_key: bool) -> (String, &'static str) {
    let not_null = if is_key { " NOT NULL" } else { "" };
    (format!("{} {}{not_null}", quote_identifier(column.name), sql_type(column.kind)), column.comment)
}

/// Buckets that are no stretch of the primary key need an index to be read one by one.
fn index(table: Table) -> Option<String> {
    let schema = table.schema();
    let Shape::ByPeriod { group, instant } = Shape::of(table) else { return None };
    let is_key = key_names(schema).take(2).eq([group, instant]);
    (!is_key).then(|| {
        format!(
            "CREATE INDEX IF NOT EXISTS {} ON {} ({})",
            quote_identifier(&format!("{}_{group}_{instant}", schema.name)),
            quote_identifier(schema.name),
            quoted([group, instant])
        )
    })
}

fn upsert(schema: &TableSchema, guard: &str) -> String {
    let names = columns(schema);
    let is_key = |name: &str| schema.key.iter().any(|column| column.name == name);
    let places: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
    let set: Vec<String> = names
        .iter()
        .filter(|name| !is_key(name))
        .map(|name| quote_identifier(name))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}{guard}",
        quote_identifier(schema.name),
        quoted(names.iter().copied()),
        places.join(", "),
        quoted(key_names(schema)),
        set.join(", ")
    )
}

fn remove(schema: &TableSchema) -> String {
    let key: Vec<String> = key_names(schema).map(|name| format!("{} = ?", quote_identifier(name))).collect();
    format!("DELETE FROM {} WHERE {}", quote_identifier(schema.name), key.join(" AND "))
}

/// Integer division of SQLite rounds towards zero; periods before 1970 round down.
fn period(instant: &str) -> String {
    format!("({0} / {1}) - ({0} % {1} < 0)", quote_identifier(instant), limits::PERIOD_NS)
}

fn digests(table: Table) -> String {
    let group = match Shape::of(table) {
        Shape::Series => {
            format!(
                "\"interval\" || '/' || \"adjustment\" || '/' || substr(\"instrument\", 1, {PREFIX_CHARS}), {}",
                period("ts")
            )
        }
        Shape::Instrument => format!("substr(\"instrument\", 1, {PREFIX_CHARS}), 0"),
        Shape::ByPeriod { group, instant } => format!("{}, {}", quote_identifier(group), period(instant)),
        Shape::Whole { group } => format!("{}, 0", quote_identifier(group)),
        Shape::Stream => format!("substr(\"instrument\", 1, {PREFIX_CHARS}), {}", period("ts")),
    };
    format!(
        "SELECT {group}, count(*), sum(\"row_hash\" & 4294967295), sum((\"row_hash\" >> 32) & 4294967295) \
         FROM {} WHERE \"deleted\" = 0 GROUP BY 1, 2 ORDER BY 1, 2",
        quote_identifier(table.schema().name)
    )
}

fn pages(table: Table) -> Pages {
    let schema = table.schema();
    let name = quote_identifier(schema.name);
    let key = quoted(key_names(schema));
    let select = format!("SELECT {} FROM {name}", quoted(columns(schema)));
    let bucket = match Shape::of(table) {
        Shape::Series => {
            let series = "\"interval\" = ?1 AND \"adjustment\" = ?2";
            return Pages::Series {
                page: format!(
                    "{select} WHERE {series} AND \"instrument\" = ?3 AND \"ts\" BETWEEN ?4 AND ?5 \
                     ORDER BY \"ts\" LIMIT ?6"
                ),
                next: format!(
                    "SELECT \"instrument\" FROM {name} WHERE {series} AND \"instrument\" >= ?3 \
                     AND \"instrument\" < ?4 AND substr(\"instrument\", 1, {PREFIX_CHARS}) = ?5 \
                     ORDER BY \"instrument\" LIMIT 1"
                ),
            };
        }
        Shape::Instrument => format!("substr(\"instrument\", 1, {PREFIX_CHARS}) = ?"),
        Shape::ByPeriod { group, instant } => {
            format!("{} = ? AND {} BETWEEN ? AND ?", quote_identifier(group), quote_identifier(instant))
        }
        Shape::Whole { group } => format!("{} = ?", quote_identifier(group)),
        Shape::Stream => {
            return Pages::Stream {
                page: format!(
                    "{select} WHERE \"instrument\" = ?1 AND (\"ts\", \"sequence\") > (?2, ?3) AND \"ts\" <= ?4 \
                     ORDER BY \"ts\", \"sequence\" LIMIT ?5"
                ),
                next: format!(
                    "SELECT \"instrument\" FROM {name} WHERE \"instrument\" >= ?1 AND \"instrument\" < ?2 \
                     AND substr(\"instrument\", 1, {PREFIX_CHARS}) = ?3 ORDER BY \"instrument\" LIMIT 1"
                ),
            };
        }
    };
    let places = vec!["?"; schema.key.len()].join(", ");
    Pages::Plain {
        first: format!("{select} WHERE {bucket} ORDER BY {key} LIMIT ?"),
        behind: format!("{select} WHERE {bucket} AND ({key}) > ({places}) ORDER BY {key} LIMIT ?"),
    }
}

pub(super) fn bookkeeping(table: &str, what: &str) -> SinkError {
    SinkError::Schema(SchemaFault::Bookkeeping { table: table.to_owned(), what: what.to_owned() })
}

pub(super) fn exists(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    connection.prepare_cached(sql)?.exists([name])
}

pub(super) fn application_id(connection: &Connection, during: During) -> Result<i64, SinkError> {
    let found = connection
        .pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0))
        .map_err(|error| during.error(error))?;
    if found == 0 || found == APPLICATION_ID {
        Ok(found)
    } else {
        Err(SinkError::OtherProgram { found, expected: APPLICATION_ID })
    }
}

/// Incarnation and schema version; `None` where there is no `bk_meta`.
pub(super) fn meta(connection: &Connection, during: During) -> Result<Option<(String, u32)>, SinkError> {
    let fail = |error| during.error(error);
    if !exists(connection, "bk_meta").map_err(fail)? {
        return Ok(None);
    }
    let value = |name: &str| {
        let sql = "SELECT \"value\" FROM \"bk_meta\" WHERE \"name\" = ?1";
        connection.query_row(sql, [name], |row| row.get::<_, String>(0)).optional().map_err(fail)
    };
    let incarnation = value("incarnation")?.ok_or_else(|| bookkeeping("bk_meta", "incarnation"))?;
    let version = value("schema_version")?.and_then(|text| text.parse().ok());
    let found = version.ok_or_else(|| bookkeeping("bk_meta", "schema_version"))?;
    if found > VERSION {
        return Err(SinkError::Schema(SchemaFault::Newer { found, known: VERSION }));
    }
    Ok(Some((incarnation, found)))
}

pub(super) fn make_tables(
    transaction: &Transaction<'_>,
    tables: &[TableSql],
    during: During,
) -> Result<(), SinkError> {
    let fail = |error| during.error(error);
    let make = || -> rusqlite::Result<()> {
        for sql in SERVICE_TABLES {
            transaction.execute_batch(sql)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        let version = VERSION.to_string();
        for (name, value) in [
            ("schema_version", version.as_str()),
            ("format", "a replica written by Barkeeper; edits are overwritten, read the views"),
        ] {
            let sql = "INSERT INTO \"bk_meta\" VALUES (?1, ?2) ON CONFLICT DO UPDATE SET \"value\" = excluded.\"value\"";
            transaction.execute(sql, [name, value])?;
        }
        let sql = "INSERT INTO \"bk_meta\" VALUES ('incarnation', lower(hex(randomblob(16)))) ON CONFLICT DO NOTHING";
        transaction.execute(sql, []).map(|_| ())
    };
    make().map_err(fail)?;
    for sql in tables {
        transaction.execute_batch(&sql.create).map_err(fail)?;
        check_columns(transaction, sql, during)?;
        if let Some(index) = &sql.index {
            transaction.execute_batch(index).map_err(fail)?;
        }
        make_view(transaction, sql).map_err(fail)?;
    }
    Ok(())
}

/// Compares a table with what would be written; a column that may be NULL is added where it is missing.
fn check_columns(transaction: &Transaction<'_>, sql: &TableSql, during: During) -> Result<(), SinkError> {
    let table = || sql.schema.name.to_owned();
    let read = || -> rusqlite::Result<Vec<(String, String, i64)>> {
        let mut statement = transaction.prepare("SELECT name, type, pk FROM pragma_table_info(?1)")?;
        statement.query_map([sql.schema.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    };
    let found = read().map_err(|error| during.error(error))?;
    let mut key: Vec<_> = found.iter().filter(|(.., place)| *place > 0).collect();
    key.sort_by_key(|(.., place)| *place);
    let key: Vec<&str> = key.iter().map(|(name, ..)| name.as_str()).collect();
    let expected: Vec<&str> = sql.schema.key.iter().map(|column| column.name).collect();
    if key != expected {
        let (found, expected) = (key.join(", "), expected.join(", "));
        return Err(SchemaFault::Key { table: table(), found, expected }.into());
    }
    for (column, expected) in typed_columns(sql.schema) {
        match found.iter().find(|(name, ..)| name == column) {
            Some((_, found, _)) if found == expected => {}
            Some((_, found, _)) => {
                let (found, expected) = (found.clone(), expected.to_owned());
                return Err(
                    SchemaFault::Type { table: table(), column: column.to_owned(), found, expected }.into()
                );
            }
            None if BOOKKEEPING.iter().any(|(name, ..)| *name == column) => {
                return Err(SchemaFault::Missing { table: table(), column: column.to_owned() }.into());
            }
            None => {
                let (name, column) = (quote_identifier(sql.schema.name), quote_identifier(column));
                let sql = format!("ALTER TABLE {name} ADD COLUMN {column} {expected}");
                transaction.execute_batch(&sql).map_err(|error| during.error(error))?;
            }
        }
    }
    Ok(())
}

/// Makes the view for people, or makes it anew where it shows other columns.
fn make_view(transaction: &Transaction<'_>, sql: &TableSql) -> rusqlite::Result<()> {
    let there = transaction
        .query_row("SELECT type, sql FROM sqlite_schema WHERE name = ?1", [&sql.view], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
        })
        .optional()?;
    match there {
        None => transaction.execute_batch(&sql.create_view),
        Some((kind, Some(text))) if kind == "view" && text != sql.create_view => {
            transaction.execute_batch(&format!("DROP VIEW {}", quote_identifier(&sql.view)))?;
            transaction.execute_batch(&sql.create_view)
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_hold() {
        assert_eq!(quote_identifier("ts"), "\"ts\"");
        assert_eq!(quote_identifier("a\"; DROP"), "\"a\"\"; DROP\"");
    }

    #[test]
    fn positions_as_people_meet_them() {
        let sql = TableSql::of(Table::Books);
        assert_eq!(
            sql.create,
            r#"CREATE TABLE IF NOT EXISTS "bk_books" (
  "account" TEXT NOT NULL, -- whose
  "book" TEXT NOT NULL, -- which
  "incremented_on" TEXT, -- trading day of the last increment of held days
  "version" INTEGER NOT NULL, -- 41 bits ms since 2020, 10 bits counter, 12 bits device; the highest wins
  "deleted" INTEGER NOT NULL, -- 1 for a tombstone, whose columns are NULL
  "device" INTEGER NOT NULL, -- the device that wrote the row
  "lsn" INTEGER NOT NULL, -- where in that store's change log
  "row_hash" INTEGER NOT NULL, -- XXH3-64 of key and columns; 0 for a tombstone
  PRIMARY KEY ("account", "book"),
  CHECK ("deleted" = 1 OR ("incremented_on" IS NOT NULL))
) STRICT, WITHOUT ROWID"#
        );
        assert_eq!(
            sql.create_view,
            r#"CREATE VIEW "books" AS SELECT "account", "book", "incremented_on" FROM "bk_books" WHERE "deleted" = 0"#
        );
        assert_eq!(
            sql.upsert,
            "INSERT INTO \"bk_books\" (\"account\", \"book\", \"incremented_on\", \"version\", \"deleted\", \"device\", \
             \"lsn\", \"row_hash\") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (\"account\", \"book\") \
             DO UPDATE SET \"incremented_on\" = excluded.\"incremented_on\", \"version\" = excluded.\"version\", \
             \"deleted\" = excluded.\"deleted\", \"device\" = excluded.\"device\", \"lsn\" = excluded.\"lsn\", \
             \"row_hash\" = excluded.\"row_hash\" WHERE excluded.\"version\" > \"bk_books\".\"version\""
        );
    }
}
