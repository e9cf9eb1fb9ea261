//! `SqliteSink`: a SQLite file as a target.

use std::collections::HashSet;
use std::ops::Range;

use barkeeper_records::{Bucket, Change, Cursor, Digest, Lsn, RangeTombstone, Table, Timestamp, Value};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::config::{ConfigError, SqliteConfig};
use super::error::During;
use super::rows::{Writer, bind_key, text_of};
use super::schema;
use crate::bucket::{SeriesGroup, Shape};
use crate::claim::{Claim, ClaimDecision};
use crate::error::SinkError;
use crate::json;
use crate::sink::{
    Access, Applied, Force, Guarantee, Hello, RemoteRow, RemoteState, Shipment, Sink, tombstone_version,
};

/// Statements that stay prepared: six for each table and a few more.
const STATEMENTS: usize = 64;

/// A SQLite file as a target.
#[derive(Debug)]
pub struct SqliteSink {
    config: SqliteConfig,
    delete_range: String,
    connection: Option<Connection>,
    stream: Option<Stream>,
    writer: Writer,
}

/// Table and key of a change that was refused.
type Subject = (&'static str, String);

/// The stream that was taken by the last handshake.
#[derive(Debug)]
struct Stream {
    name: String,
    claim: Claim,
    /// What stands in `bk_poison`.
    poison: HashSet<Subject>,
}

/// A row of `bk_sync`.
#[derive(Debug)]
struct Watermark {
    claim: Claim,
    cursor: Cursor,
    chain: u64,
}

impl SqliteSink {
    /// A sink on the file that the settings name; nothing is opened yet.
    ///
    /// # Errors
    /// What [`SqliteConfig::validate`] finds.
    pub fn new(config: SqliteConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            delete_range: schema::delete_range(),
            connection: None,
            stream: None,
            writer: Writer::new(),
        })
    }

    const fn during(&self, action: &'static str) -> During {
        During { action, busy_ms: self.config.busy_timeout_ms }
    }

    fn open(&self, access: Access) -> rusqlite::Result<Connection> {
        let create = match access {
            Access::Read => OpenFlags::empty(),
            Access::Write => OpenFlags::SQLITE_OPEN_CREATE,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
        let connection = Connection::open_with_flags(&self.config.path, flags)?;
        connection.busy_timeout(std::time::Duration::from_millis(self.config.busy_timeout_ms))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }

    fn settle(&self, connection: &Connection, access: Access) -> rusqlite::Result<()> {
        match access {
            Access::Read => connection.pragma_update(None, "query_only", true),
            Access::Write => {
                // A file system without shared memory keeps its journal; the guarantee holds there too.
                connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
                connection.pragma_update(None, "synchronous", "FULL")?;
                // Negative: in KiB.
                connection.pragma_update(None, "cache_size", -1_024 * i64::from(self.config.cache_mib))
            }
        }
    }

    /// The connection, the taken stream and what writing needs.
    fn parts(
        &mut self,
        action: &'static str,
    ) -> Result<(&mut Connection, &mut Stream, &mut Writer), SinkError> {
        let connection =
            self.connection.as_mut().ok_or(SinkError::NotReady { action, before: "connecting" })?;
        let stream = self.stream.as_mut().ok_or(SinkError::NotReady { action, before: "the handshake" })?;
        Ok((connection, stream, &mut self.writer))
    }

    fn reader(&mut self, action: &'static str) -> Result<(&Connection, &mut Writer), SinkError> {
        let connection =
            self.connection.as_ref().ok_or(SinkError::NotReady { action, before: "connecting" })?;
        Ok((connection, &mut self.writer))
    }
}

fn begin(connection: &mut Connection, during: During) -> Result<Transaction<'_>, SinkError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| during.error(error))
}

fn watermark(connection: &Connection, stream: &str, during: During) -> Result<Option<Watermark>, SinkError> {
    let sql = "SELECT \"epoch\", \"generation\", \"owner\", \"lsn\", \"within\", \"chain\" FROM \"bk_sync\" \
               WHERE \"stream\" = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
        let owner = row.get::<_, String>(2)?;
        let cursor = Cursor { lsn: Lsn(number(3)?), within: row.get(4)? };
        Ok((number(0)?, number(1)?, owner, cursor, number(5)?))
    };
    let found = connection.prepare_cached(sql).and_then(|mut one| one.query_row([stream], read).optional());
    let Some((epoch, generation, owner, cursor, chain)) = found.map_err(|error| during.error(error))? else {
        return Ok(None);
    };
    let owner = u128::from_str_radix(&owner, 16).map_err(|_| schema::bookkeeping("bk_sync", "owner"))?;
    Ok(Some(Watermark { claim: Claim { epoch, generation, owner }, cursor, chain }))
}

/// The watermark of a stream that must still be held by its claim.
fn held(connection: &Connection, stream: &Stream, during: During) -> Result<Option<Watermark>, SinkError> {
    match watermark(connection, &stream.name, during)? {
        Some(mark) if mark.claim != stream.claim => Err(SinkError::Fenced { held: mark.claim }),
        mark => Ok(mark),
    }
}

fn other_devices(connection: &Connection, stream: &str) -> rusqlite::Result<Vec<u16>> {
    let sql = "SELECT \"device\" FROM \"bk_sync\" WHERE \"stream\" <> ?1 ORDER BY \"device\"";
    connection.prepare_cached(sql)?.query_map([stream], |row| row.get(0))?.collect()
}

fn stream_name(store_id: u128) -> String {
    format!("{store_id:032x}")
}

impl Sink for SqliteSink {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::Transactional
    }

    fn connect(&mut self, access: Access) -> Result<(), SinkError> {
        self.close();
        let during = self.during("opening the database");
        let connection = self.open(access).map_err(|error| during.error(error))?;
        schema::application_id(&connection, during)?;
        self.settle(&connection, access).map_err(|error| during.error(error))?;
        self.connection = Some(connection);
        Ok(())
    }

    fn handshake(&mut self, hello: &Hello) -> Result<RemoteState, SinkError> {
        let action = "the handshake";
        let during = self.during(action);
        let fail = |error| during.error(error);
        self.stream = None;
        let connection =
            self.connection.as_mut().ok_or(SinkError::NotReady { action, before: "connecting" })?;
        let transaction = begin(connection, during)?;
        let known = schema::meta(&transaction, during)?;
        if let Some(expected) = &hello.incarnation
            && known.as_ref().is_none_or(|(found, _)| found != expected)
        {
            let found = known.map(|(found, _)| found);
            return Err(SinkError::OtherDatabase { expected: expected.clone(), found });
        }
        schema::make_tables(&transaction, &self.writer.tables, during)?;
        let (incarnation, schema_version) = schema::meta(&transaction, during)?
            .ok_or_else(|| schema::bookkeeping("bk_meta", "incarnation"))?;
        let name = stream_name(hello.store_id);
        let taken = "SELECT \"stream\" FROM \"bk_sync\" WHERE \"device\" = ?1 AND \"stream\" <> ?2";
        let other = transaction.query_row(taken, params![hello.device, name], |row| row.get(0)).optional();
        if let Some(store) = other.map_err(fail)? {
            return Err(SinkError::DeviceTaken { device: hello.device, store });
        }
        take(&transaction, &name, hello, during)?;
        let mark = watermark(&transaction, &name, during)?
            .ok_or_else(|| schema::bookkeeping("bk_sync", "stream"))?;
        let other_devices = other_devices(&transaction, &name).map_err(fail)?;
        let poison = poison(&transaction, &name).map_err(fail)?;
        transaction.commit().map_err(fail)?;
        let state = RemoteState {
            incarnation,
            claim: mark.claim,
            cursor: mark.cursor,
            chain: mark.chain,
            schema_version,
            poisoned: poison.len() as u64,
            other_devices,
        };
        self.stream = Some(Stream { name, claim: mark.claim, poison });
        Ok(state)
    }

    fn observe(&mut self, store_id: u128) -> Result<Option<RemoteState>, SinkError> {
        let during = self.during("looking at the watermark");
        let fail = |error| during.error(error);
        let (connection, _) = self.reader(during.action)?;
        let name = stream_name(store_id);
        let Some((incarnation, schema_version)) = schema::meta(connection, during)? else { return Ok(None) };
        if !schema::exists(connection, "bk_sync").map_err(fail)? {
            return Ok(None);
        }
        let Some(mark) = watermark(connection, &name, during)? else { return Ok(None) };
        Ok(Some(RemoteState {
            incarnation,
            claim: mark.claim,
            cursor: mark.cursor,
            chain: mark.chain,
            schema_version,
            poisoned: poison(connection, &name).map_err(fail)?.len() as u64,
            other_devices: other_devices(connection, &name).map_err(fail)?,
        }))
    }

    fn apply(&mut self, shipment: &Shipment<'_>) -> Result<Applied, SinkError> {
        let during = self.during("applying changes");
        let fail = |error| during.error(error);
        let delete_range = self.delete_range.clone();
        let (connection, stream, writer) = self.parts(during.action)?;
        let transaction = begin(connection, during)?;
        let stands = held(&transaction, stream, during)?.map(|mark| mark.cursor);
        match stands {
            Some(stands) if stands == *shipment.expected => {}
            Some(stands) if is_past(&stands, shipment.next) => {
                return Ok(Applied::AlreadyThere { stands });
            }
            stands => return Err(SinkError::Elsewhere { expected: shipment.expected.clone(), stands }),
        }
        for run in runs(shipment.changes) {
            match shipment.changes.get(run.start) {
                Some(Change::DeleteRange(range)) => {
                    erase(&transaction, &delete_range, range)
                        .map_err(|error| during.row_error(run.start, error))?;
                }
                _ => writer.put_all(&transaction, shipment.changes, run, during)?,
            }
        }
        let well = healed(stream, shipment.changes.iter().map(json::subject));
        forget_poison(&transaction, stream, &well).map_err(fail)?;
        note_poison(&transaction, stream, shipment).map_err(fail)?;
        if shipment.next != shipment.expected {
            move_watermark(&transaction, stream, shipment.next, shipment.chain, shipment.at).map_err(fail)?;
        }
        transaction.commit().map_err(fail)?;
        stream.poison.retain(|subject| !well.contains(subject));
        stream.poison.extend(shipment.poison.iter().map(|poisoned| json::subject(&poisoned.change)));
        Ok(Applied::Now)
    }

    fn digests(&mut self, table: Table) -> Result<Vec<(Bucket, Digest)>, SinkError> {
        let during = self.during("computing digests");
        let (connection, writer) = self.reader(during.action)?;
        let read = || -> rusqlite::Result<Vec<(Bucket, Digest)>> {
            let Some(sql) = writer.table(table) else { return Ok(Vec::new()) };
            if !schema::exists(connection, sql.schema.name)? {
                return Ok(Vec::new());
            }
            let mut statement = connection.prepare_cached(&sql.digests)?;
            let mut rows = statement.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let group = text_of(row.get_ref(0)?).0;
                let period = i32::try_from(row.get::<_, i64>(1)?).unwrap_or(i32::MAX);
                let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
                let digest = Digest { count: number(2)?, low: number(3)?, high: number(4)? };
                all.push((Bucket { table, group, period }, digest));
            }
            Ok(all)
        };
        read().map_err(|error| during.error(error))
    }

    fn rows(
        &mut self,
        bucket: &Bucket,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<RemoteRow>, SinkError> {
        let during = self.during("reading rows");
        let (connection, writer) = self.reader(during.action)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = match (SeriesGroup::split(&bucket.group), Shape::of(bucket.table)) {
            (Some(group), Shape::Series) => writer.series_rows(connection, bucket, group, after, limit),
            (_, Shape::Stream) => writer.stream_rows(connection, bucket, after, limit),
            (None, Shape::Series) => return Err(SinkError::Bucket { bucket: bucket.clone() }),
            _ => writer.plain_rows(connection, bucket, after, limit),
        };
        read.map_err(|error| during.error(error))
    }

    fn force(&mut self, force: &Force<'_>) -> Result<(), SinkError> {
        let during = self.during("a forced write");
        let fail = |error| during.error(error);
        let (connection, stream, writer) = self.parts(during.action)?;
        let transaction = begin(connection, during)?;
        held(&transaction, stream, during)?;
        for (at, row) in force.rows.iter().enumerate() {
            writer.put_one(&transaction, row, at, during)?;
        }
        for (table, key) in force.deletes {
            let Some(sql) = writer.table(*table) else { continue };
            let mut statement = transaction.prepare_cached(&sql.remove).map_err(fail)?;
            bind_key(&mut statement, 1, key).and_then(|_| statement.raw_execute()).map_err(fail)?;
        }
        let subjects = force.rows.iter().map(|row| json::subject_of(row.table, &row.key));
        let well = healed(stream, subjects);
        forget_poison(&transaction, stream, &well).map_err(fail)?;
        transaction.commit().map_err(fail)?;
        stream.poison.retain(|subject| !well.contains(subject));
        Ok(())
    }

    fn rewind(&mut self, cursor: &Cursor, chain: u64, at: Timestamp) -> Result<(), SinkError> {
        let during = self.during("setting the watermark");
        let fail = |error| during.error(error);
        let (connection, stream, _) = self.parts(during.action)?;
        let transaction = begin(connection, during)?;
        held(&transaction, stream, during)?;
        move_watermark(&transaction, stream, cursor, chain, at).map_err(fail)?;
        transaction.commit().map_err(fail)
    }

    fn close(&mut self) {
        self.stream = None;
        self.connection = None;
    }
}

/// Whether a target that stands here has everything up to `next`.
fn is_past(stands: &Cursor, next: &Cursor) -> bool {
    stands == next || stands.lsn > next.lsn || (stands.lsn == next.lsn && next.within.is_empty())
}

/// Stretches of rows between deleted ranges; a range stands alone.
fn runs(changes: &[Change]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut joins = false;
    for (at, change) in changes.iter().enumerate() {
        let is_row = matches!(change, Change::Put(_));
        match runs.last_mut() {
            Some(last) if joins && is_row => last.end = at + 1,
            _ => runs.push(at..at + 1),
        }
        joins = is_row;
    }
    runs
}

/// Gives the stream to the one who says hello, or refuses.
fn take(transaction: &Transaction<'_>, name: &str, hello: &Hello, during: During) -> Result<(), SinkError> {
    let standing = watermark(transaction, name, during)?;
    let held = standing.map(|mark| mark.claim);
    let Claim { epoch, generation, owner } = hello.claim;
    let claim = params![
        name,
        hello.device,
        epoch as i64,
        generation as i64,
        stream_name(owner),
        hello.at.to_string()
    ];
    let sql = match (ClaimDecision::of(held.as_ref(), hello), held) {
        (ClaimDecision::Fenced, Some(held)) => return Err(SinkError::Fenced { held }),
        (_, Some(_)) => {
            "UPDATE \"bk_sync\" SET \"device\" = ?2, \"epoch\" = ?3, \"generation\" = ?4, \"owner\" = ?5, \
             \"updated\" = ?6 WHERE \"stream\" = ?1"
        }
        (_, None) => {
            "INSERT INTO \"bk_sync\" (\"stream\", \"device\", \"epoch\", \"generation\", \"owner\", \"lsn\", \"within\", \
             \"chain\", \"updated\") VALUES (?1, ?2, ?3, ?4, ?5, 0, x'', 0, ?6)"
        }
    };
    transaction.execute(sql, claim).map(|_| ()).map_err(|error| during.error(error))
}

fn poison(connection: &Connection, stream: &str) -> rusqlite::Result<HashSet<Subject>> {
    if !schema::exists(connection, "bk_poison")? {
        return Ok(HashSet::new());
    }
    let sql = "SELECT \"table_name\", \"row_key\" FROM \"bk_poison\" WHERE \"stream\" = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([stream])?;
    let mut all = HashSet::new();
    while let Some(row) = rows.next()? {
        let table: String = row.get(0)?;
        let known = Table::ALL.iter().map(|table| table.schema().name).find(|name| *name == table);
        all.insert((known.unwrap_or_default(), row.get(1)?));
    }
    Ok(all)
}

/// Table and key of what was poison and was applied now.
fn healed(stream: &Stream, subjects: impl Iterator<Item = Subject>) -> HashSet<Subject> {
    if stream.poison.is_empty() {
        return HashSet::new();
    }
    subjects.filter(|subject| stream.poison.contains(subject)).collect()
}

fn forget_poison(
    transaction: &Transaction<'_>,
    stream: &Stream,
    healed: &HashSet<Subject>,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM \"bk_poison\" WHERE \"stream\" = ?1 AND \"table_name\" = ?2 AND \"row_key\" = ?3";
    for (table, key) in healed {
        transaction.prepare_cached(sql)?.execute(params![stream.name, table, key])?;
    }
    Ok(())
}

fn note_poison(
    transaction: &Transaction<'_>,
    stream: &Stream,
    shipment: &Shipment<'_>,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO \"bk_poison\" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 1) ON CONFLICT DO UPDATE SET \
               \"row\" = excluded.\"row\", \"version\" = excluded.\"version\", \"lsn\" = excluded.\"lsn\", \
               \"reason\" = excluded.\"reason\", \"last_seen\" = excluded.\"last_seen\", \"tries\" = \"tries\" + 1";
    for poisoned in shipment.poison {
        let (table, key) = json::subject(&poisoned.change);
        let (row, version, lsn) = match &poisoned.change {
            Change::Put(row) => (json::row(row).to_string(), row.version, row.lsn),
            Change::DeleteRange(range) => (String::new(), range.version, range.lsn),
            _ => continue,
        };
        let at = shipment.at.to_string();
        let (version, lsn) = (version.raw() as i64, lsn.0 as i64);
        let values = params![stream.name, table, key, row, version, lsn, poisoned.reason, at];
        transaction.prepare_cached(sql)?.execute(values)?;
    }
    Ok(())
}

fn move_watermark(
    transaction: &Transaction<'_>,
    stream: &Stream,
    cursor: &Cursor,
    chain: u64,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE \"bk_sync\" SET \"lsn\" = ?2, \"within\" = ?3, \"chain\" = ?4, \"updated\" = ?5 \
               WHERE \"stream\" = ?1";
    let values = params![stream.name, cursor.lsn.0 as i64, cursor.within, chain as i64, at.to_string()];
    match transaction.prepare_cached(sql)?.execute(values)? {
        1 => Ok(()),
        changed => Err(rusqlite::Error::StatementChangedRows(changed)),
    }
}

fn erase(transaction: &Transaction<'_>, sql: &str, range: &RangeTombstone) -> rusqlite::Result<()> {
    let RangeTombstone { series, from, to, version, lsn } = range;
    let buried = tombstone_version(range);
    transaction
        .prepare_cached(sql)?
        .execute(params![
            buried.raw() as i64,
            version.device(),
            lsn.0 as i64,
            series.interval.to_string(),
            series.adjustment.as_str(),
            series.instrument.as_str(),
            from.nanos(),
            to.nanos(),
        ])
        .map(|_| ())
}
