//! The store's change log as a [`ChangeFeed`].

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use barkeeper_records::{
    AccountId, Bucket, BucketDigest, Change, ChangeFeed, Cursor, FeedError, InstrumentId, LogBounds, Lsn,
    MarketTrade, Page, PositionKey, RangeTombstone, Row, SeriesKey, StoreIdentity, Table, Tick, Timestamp,
    TradeId, Value, Version, limits,
};
use barkeeper_storage::{
    BarHasher, DigestV1, HeadV1, LogEntry, LogV1, StoredPosition, StoredRow, VersionedBar, keys, rowview,
};

use crate::commit::Task;
use crate::error::{CommitError, ReadError, ReadResult, missing};
use crate::events::{self, EventRange};
use crate::feed_states::{state_bucket, state_row};
use crate::merge::read_tombstone;
use crate::ops_factors::{factor_row, read_factor, read_factors};
use crate::ops_positions::{book_hash, position_hash, read_position, read_positions};
use crate::ops_trades::{read_trade, trade_hash};
use crate::session::read_head;
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::tables::Tab;
use crate::view::View;

/// About how many bytes a row takes on its way, for the size of a page.
const ROW_BYTES: usize = 200;

pub(crate) struct Feed {
    inner: Arc<Inner>,
}

impl From<ReadError> for FeedFailure {
    fn from(error: ReadError) -> Self {
        Self(FeedError::Store(Box::new(error)))
    }
}

/// Lets `?` turn read errors into feed errors.
pub(crate) struct FeedFailure(FeedError);

impl From<FeedError> for FeedFailure {
    fn from(error: FeedError) -> Self {
        Self(error)
    }
}

fn store_error(error: CommitError) -> FeedError {
    match error {
        CommitError::Targets(_) => FeedError::TooManyTargets,
        other => FeedError::Store(Box::new(other)),
    }
}

/// Where a page stops inside a log record: the record's place, and the first row that was not shipped.
#[derive(Debug, Clone, Default)]
struct Within {
    ordinal: u32,
    from: Option<String>,
}

impl Within {
    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let (ordinal, from) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
        Some(Self { ordinal: ordinal.parse().ok()?, from: (!from.is_empty()).then(|| from.to_owned()) })
    }

    fn bytes(&self) -> Vec<u8> {
        format!("{} {}", self.ordinal, self.from.as_deref().unwrap_or_default()).into_bytes()
    }
}

impl Feed {
    pub(crate) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    fn snapshot(&self) -> Result<Snapshot, FeedError> {
        Snapshot::take(&self.inner).map_err(|error| FeedError::Store(Box::new(error)))
    }

    fn page(&self, cursor: &Cursor, max_bytes: usize) -> Result<Page, FeedFailure> {
        let snapshot = self.snapshot()?;
        let head = read_head(snapshot.view())?;
        let asked = cursor.lsn;
        if asked.0 > head.lsn {
            return Err(FeedError::Ahead { asked, head: Lsn(head.lsn) }.into());
        }
        if asked.0 < head.lsn && asked.0 + 1 < head.tail {
            return Err(FeedError::Trimmed { asked, tail: Lsn(head.tail) }.into());
        }
        let start = Within::parse(&cursor.within).ok_or(FeedError::Cursor { lsn: asked })?;
        let chain = chain_at(&snapshot, &head, asked)?.unwrap_or_default();
        let mut reader = PageReader {
            snapshot: &snapshot,
            changes: Vec::new(),
            left: max_bytes.div_ceil(ROW_BYTES).max(1),
            next: cursor.clone(),
            chain,
            pending: None,
        };
        let more = reader.run(Lsn(asked.0 + 1), start)?;
        Ok(Page { changes: reader.changes, next: reader.next, chain: reader.chain, more })
    }
}

/// Fills one page from the log.
struct PageReader<'a> {
    snapshot: &'a Snapshot,
    changes: Vec<Change>,
    /// Rows that still fit.
    left: usize,
    next: Cursor,
    chain: u64,
    /// The LSN whose records are being read, and the chain behind its last one.
    pending: Option<(Lsn, u64)>,
}

impl PageReader<'_> {
    /// Answers whether the log has more.
    fn run(&mut self, first: Lsn, mut start: Within) -> ReadResult<bool> {
        let mut from = keys::log(first, start.ordinal);
        loop {
            let mut records = Vec::new();
            self.snapshot.view().scan(Tab::Log, &from, &[], false, &mut |key, value| {
                let (lsn, ordinal) = keys::read_log(key).ok_or_else(|| missing("log key"))?;
                records.push((lsn, ordinal, LogV1::from_bytes(key, value)?));
                Ok(if records.len() < 1_024 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            if records.is_empty() {
                self.close();
                return Ok(false);
            }
            for (lsn, ordinal, record) in records {
                if self.pending.is_some_and(|(open, _)| open != lsn) {
                    self.close();
                    if self.left == 0 {
                        return Ok(true);
                    }
                }
                let resume = std::mem::take(&mut start).from;
                if self.left == 0 {
                    self.stop(&Within { ordinal, from: None });
                    return Ok(true);
                }
                let rest = self.record(lsn, &record.entry(lsn)?, resume)?;
                if let Some(rest) = rest {
                    self.stop(&Within { ordinal, from: Some(rest) });
                    return Ok(true);
                }
                self.pending = Some((lsn, record.chain()));
                from = keys::log(lsn, ordinal.saturating_add(1));
            }
        }
    }

    /// The commit that was being read is whole.
    fn close(&mut self) {
        if let Some((lsn, chain)) = self.pending.take() {
            self.next = Cursor { lsn, within: Vec::new() };
            self.chain = chain;
        }
    }

    /// The page ends inside a commit.
    fn stop(&mut self, within: &Within) {
        self.next = Cursor { lsn: self.next.lsn, within: within.bytes() };
    }

    /// Ships what a record names; answers where to go on if not all of it fits.
    fn record(&mut self, lsn: Lsn, entry: &LogEntry, resume: Option<String>) -> ReadResult<Option<String>> {
        match entry {
            LogEntry::Key { table, key } => {
                if let Some(row) = row_of_key(self.snapshot, *table, key, lsn)? {
                    self.put(row);
                }
                Ok(None)
            }
            LogEntry::Series { series, from, to } => {
                let from = resume.and_then(|text| text.parse().ok()).map_or(*from, Timestamp::from_nanos);
                let mut hasher = BarHasher::new(series);
                for row in self.snapshot.merged().range(series, from, *to)? {
                    if self.left == 0 {
                        return Ok(Some(row.bar.ts.nanos().to_string()));
                    }
                    let row = bar_row(series, &row, lsn, &mut hasher);
                    self.put(row);
                }
                Ok(None)
            }
            LogEntry::CrossSection { interval, adjustment, ts } => {
                let from = resume.and_then(|text| text.parse::<InstrumentId>().ok());
                for (instrument, row) in self.snapshot.merged().cross_section(*interval, *adjustment, *ts)? {
                    if from.is_some_and(|from| instrument < from) {
                        continue;
                    }
                    if self.left == 0 {
                        return Ok(Some(instrument.to_string()));
                    }
                    let series = SeriesKey { interval: *interval, adjustment: *adjustment, instrument };
                    let row = bar_row(&series, &row, lsn, &mut BarHasher::new(&series));
                    self.put(row);
                }
                Ok(None)
            }
            LogEntry::Events { table, first, last, from, to } => {
                let range = EventRange { first: *first, last: *last, from: *from, to: *to };
                self.events(*table, &range, lsn, resume.as_deref())
            }
            LogEntry::Delete(tombstone) => {
                self.changes.push(Change::DeleteRange(*tombstone));
                self.left = self.left.saturating_sub(1);
                Ok(None)
            }
        }
    }

    fn events(
        &mut self,
        table: Table,
        range: &EventRange,
        lsn: Lsn,
        resume: Option<&str>,
    ) -> ReadResult<Option<String>> {
        let snapshot = self.snapshot;
        let mut put = |row| {
            if self.left == 0 {
                return Err(row);
            }
            self.put(row);
            Ok(())
        };
        match table {
            Table::Ticks => events::range_rows::<Tick>(snapshot, range, lsn, resume, &mut put),
            Table::MarketTrades => events::range_rows::<MarketTrade>(snapshot, range, lsn, resume, &mut put),
            _ => Err(missing("table of a log record")),
        }
    }

    fn put(&mut self, row: Row) {
        self.left = self.left.saturating_sub(size_of_row(&row).div_ceil(ROW_BYTES));
        self.changes.push(Change::Put(row));
    }
}

/// About how many bytes a row takes on its way: a saved state may be far larger than any other row.
fn size_of_row(row: &Row) -> usize {
    let long = |value: &Value| match value {
        Value::Text(text) => text.len().saturating_sub(limits::TEXT_BYTES),
        _ => 0,
    };
    row.values.iter().map(long).fold(ROW_BYTES, usize::saturating_add)
}

fn bar_row(series: &SeriesKey, row: &VersionedBar, lsn: Lsn, hasher: &mut BarHasher) -> Row {
    Row {
        table: Table::Bars,
        key: rowview::bar_key(series, row.bar.ts),
        values: rowview::bar_values(&row.bar),
        version: row.version,
        deleted: false,
        lsn,
        row_hash: hasher.hash(&row.bar),
    }
}

pub(crate) fn tombstone_row(table: Table, key: Vec<Value>, version: Version, lsn: Lsn) -> Row {
    Row { table, key, values: Vec::new(), version, deleted: true, lsn, row_hash: 0 }
}

fn position_row(key: &PositionKey, stored: &StoredPosition, lsn: Lsn) -> Row {
    match &stored.position {
        Some(position) => Row {
            table: Table::Positions,
            key: rowview::position_key(key),
            values: rowview::position_values(position),
            version: stored.version,
            deleted: false,
            lsn,
            row_hash: position_hash(position),
        },
        None => tombstone_row(Table::Positions, rowview::position_key(key), stored.version, lsn),
    }
}

fn trade_row(snapshot: &Snapshot, id: TradeId, lsn: Lsn) -> ReadResult<Option<Row>> {
    Ok(read_trade(snapshot.view(), id)?.map(|(trade, version)| Row {
        table: Table::Trades,
        key: rowview::trade_key(&trade),
        values: rowview::trade_values(&trade),
        version,
        deleted: false,
        lsn,
        row_hash: trade_hash(&trade),
    }))
}

fn book_row(
    snapshot: &Snapshot,
    account: &AccountId,
    book: &barkeeper_records::BookId,
    lsn: Lsn,
) -> ReadResult<Option<Row>> {
    let row = snapshot.view().row::<barkeeper_storage::BookV1>(Tab::Books, &keys::book(account, book))?;
    let Some(row) = row else { return Ok(None) };
    let (day, version) = row.read()?;
    Ok(Some(Row {
        table: Table::Books,
        key: rowview::book_key(account, book),
        values: rowview::book_values(day),
        version,
        deleted: false,
        lsn,
        row_hash: book_hash(account, book, day),
    }))
}

/// The row that stands under a store key.
fn row_of_key(snapshot: &Snapshot, table: Table, key: &[u8], lsn: Lsn) -> ReadResult<Option<Row>> {
    let bad = || missing("key of a log record");
    match table {
        Table::Trades => {
            let id = <[u8; 16]>::try_from(key).map_err(|_| bad())?;
            trade_row(snapshot, keys::id_of(id), lsn)
        }
        Table::Positions => {
            let key = keys::read_position(key).ok_or_else(bad)?;
            let stored = read_position(snapshot.view(), &key)?;
            Ok(stored.map(|stored| position_row(&key, &stored, lsn)))
        }
        Table::Books => {
            let (account, book) = keys::read_book(key).ok_or_else(bad)?;
            book_row(snapshot, &account, &book, lsn)
        }
        Table::Ticks => events::row_of_key::<Tick>(snapshot, key, lsn),
        Table::MarketTrades => events::row_of_key::<MarketTrade>(snapshot, key, lsn),
        Table::Factors => {
            let place = keys::read_factor(key).ok_or_else(bad)?;
            let stored = read_factor(snapshot.view(), place.0, place.1)?;
            Ok(stored.map(|stored| factor_row(&(place, stored), lsn)))
        }
        Table::StrategySnapshots => {
            state_row(snapshot, &keys::read_strategy_snapshot(key).ok_or_else(bad)?, lsn)
        }
        _ => Err(bad()),
    }
}

fn chain_at(snapshot: &Snapshot, head: &HeadV1, lsn: Lsn) -> ReadResult<Option<u64>> {
    if lsn.0 == head.lsn {
        return Ok(Some(head.chain));
    }
    if lsn.0 + 1 == head.tail {
        return Ok(Some(head.tail_chain));
    }
    let last = snapshot.view().last(Tab::Log, &keys::log(lsn, 0), &keys::log(Lsn(lsn.0 + 1), 0))?;
    Ok(match last {
        Some((key, value)) => Some(LogV1::from_bytes(&key, &value)?.chain()),
        None => (lsn.0 == 0).then_some(0),
    })
}

impl ChangeFeed for Feed {
    fn identity(&self) -> Result<StoreIdentity, FeedError> {
        let identity = &self.inner.identity;
        Ok(StoreIdentity { store_id: identity.store_id, device: identity.device, epoch: identity.epoch })
    }

    fn kept_before(&self, lsn: Lsn) -> Result<Option<Lsn>, FeedError> {
        Ok(self.inner.identity.kept_before(lsn.0).map(Lsn))
    }

    fn bounds(&self) -> Result<LogBounds, FeedError> {
        let head = read_head(self.snapshot()?.view()).map_err(|e| FeedError::Store(Box::new(e)))?;
        Ok(LogBounds { tail: Lsn(head.tail), head: Lsn(head.lsn), head_chain: head.chain })
    }

    fn register_target(&self, target: &str) -> Result<Lsn, FeedError> {
        self.inner.submit(Task::Register(target.to_owned())).map_err(store_error)?;
        let targets = self.inner.targets.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(targets.acknowledged.get(target).copied().unwrap_or_default())
    }

    fn forget_target(&self, target: &str) -> Result<(), FeedError> {
        self.inner.submit(Task::Forget(target.to_owned())).map(drop).map_err(store_error)
    }

    fn acknowledge(&self, target: &str, lsn: Lsn) {
        let mut targets = self.inner.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = targets.acknowledged.get_mut(target)
            && *known < lsn
        {
            *known = lsn;
            targets.dirty = true;
        }
    }

    fn chain_at(&self, lsn: Lsn) -> Result<Option<u64>, FeedError> {
        let snapshot = self.snapshot()?;
        let store = |error| FeedError::Store(Box::new(error));
        let head = read_head(snapshot.view()).map_err(store)?;
        if lsn.0 > head.lsn {
            return Err(FeedError::Ahead { asked: lsn, head: Lsn(head.lsn) });
        }
        chain_at(&snapshot, &head, lsn).map_err(store)
    }

    fn read(&self, cursor: &Cursor, max_bytes: usize) -> Result<Page, FeedError> {
        self.page(cursor, max_bytes).map_err(|failure| failure.0)
    }

    fn digests(&self, table: Table) -> Result<Vec<BucketDigest>, FeedError> {
        let snapshot = self.snapshot()?;
        let mut found = Vec::new();
        let scanned =
            snapshot.view().scan_prefix(Tab::Digests, &keys::buckets_of(table), &mut |key, value| {
                let bucket = keys::read_bucket(key).ok_or_else(|| missing("bucket key"))?;
                let (digest, last_lsn) = DigestV1::from_bytes(key, value)?.read();
                found.push(BucketDigest { bucket, digest, last_lsn });
                Ok(ControlFlow::Continue(()))
            });
        scanned.map_err(|error| FeedError::Store(Box::new(error)))?;
        Ok(found)
    }

    fn bucket_rows(
        &self,
        bucket: &Bucket,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<Row>, FeedError> {
        let snapshot = self.snapshot()?;
        let rows = match bucket.table {
            Table::Bars => bar_bucket(&snapshot, bucket, after, limit),
            Table::Trades => trade_bucket(&snapshot, bucket, after, limit),
            Table::Ticks => events::bucket_rows::<Tick>(&snapshot, bucket, after, limit),
            Table::MarketTrades => events::bucket_rows::<MarketTrade>(&snapshot, bucket, after, limit),
            Table::Factors => factor_bucket(&snapshot, bucket, after, limit),
            Table::StrategySnapshots => state_bucket(&snapshot, bucket, after, limit),
            _ => account_bucket(&snapshot, bucket, after, limit),
        };
        rows.map_err(|error| FeedError::Store(Box::new(error)))
    }

    fn rows(&self, table: Table, keys: &[Vec<Value>]) -> Result<Vec<Option<Row>>, FeedError> {
        let snapshot = self.snapshot()?;
        let rows = keys.iter().map(|key| row_of_values(&snapshot, table, key)).collect::<ReadResult<_>>();
        rows.map_err(|error| FeedError::Store(Box::new(error)))
    }

    fn range_tombstones(&self, after: Lsn) -> Result<Vec<RangeTombstone>, FeedError> {
        let snapshot = self.snapshot()?;
        let mut found = Vec::new();
        let scanned = snapshot.view().scan_prefix(Tab::Tombstones, &[], &mut |key, value| {
            let tombstone = read_tombstone(key, value)?;
            if tombstone.lsn > after {
                found.push(tombstone);
            }
            Ok(ControlFlow::Continue(()))
        });
        scanned.map_err(|error| FeedError::Store(Box::new(error)))?;
        Ok(found)
    }

    fn stamp(&self, table: Table, keys: &[Vec<Value>], above: Version) -> Result<Lsn, FeedError> {
        let task = Task::Stamp { table, keys: keys.to_vec(), above };
        self.inner.submit(task).map(|receipt| receipt.lsn).map_err(store_error)
    }
}

fn bar_bucket(
    snapshot: &Snapshot,
    bucket: &Bucket,
    after: Option<&[Value]>,
    limit: usize,
) -> ReadResult<Vec<Row>> {
    let bad = || missing("bucket of bars");
    let (interval, adjustment, group) = rowview::bar_group_parts(&bucket.group).ok_or_else(bad)?;
    let after = after.map(|key| rowview::bar_key_of(key).ok_or_else(bad)).transpose()?;
    let start = i64::from(bucket.period).saturating_mul(limits::PERIOD_NS);
    let first = Timestamp::from_nanos(start);
    let last = Timestamp::from_nanos(start.saturating_add(limits::PERIOD_NS - 1));
    let mut instruments = Vec::new();
    snapshot.view().scan_prefix(Tab::Instruments, group.as_bytes(), &mut |key, _| {
        instruments.push(InstrumentId::from_trusted(key).ok_or_else(|| missing("instrument"))?);
        Ok(ControlFlow::Continue(()))
    })?;
    let mut rows = Vec::new();
    for instrument in instruments {
        let series = SeriesKey { interval, adjustment, instrument };
        let from = match &after {
            Some((done, _)) if *done > series => continue,
            Some((done, ts)) if *done == series => Timestamp::from_nanos(ts.nanos().saturating_add(1)),
            _ => first,
        };
        if snapshot.series(&series)?.is_none() {
            continue;
        }
        let mut hasher = BarHasher::new(&series);
        for row in snapshot.merged().range(&series, from.max(first), last)? {
            if rows.len() >= limit {
                return Ok(rows);
            }
            rows.push(bar_row(&series, &row, snapshot.lsn(), &mut hasher));
        }
    }
    Ok(rows)
}

fn trade_bucket(
    snapshot: &Snapshot,
    bucket: &Bucket,
    after: Option<&[Value]>,
    limit: usize,
) -> ReadResult<Vec<Row>> {
    let account = AccountId::new(&bucket.group).map_err(|_| missing("bucket of trades"))?;
    let start = i64::from(bucket.period).saturating_mul(limits::PERIOD_NS);
    let from = keys::trades_from(&account, Timestamp::from_nanos(start));
    let to = keys::trades_from(&account, Timestamp::from_nanos(start.saturating_add(limits::PERIOD_NS)));
    let mut ids = Vec::new();
    snapshot.view().scan(Tab::Trades, &from, &to, false, &mut |key, _| {
        ids.push(keys::read_trade(key).ok_or_else(|| missing("trade key"))?.2);
        Ok(ControlFlow::Continue(()))
    })?;
    ids.sort_unstable();
    let after = match after {
        Some([Value::Text(text)]) => Some(text.parse::<TradeId>().map_err(|_| missing("trade key"))?),
        _ => None,
    };
    let wanted = ids.into_iter().filter(|id| after.is_none_or(|after| *id > after)).take(limit);
    let rows = wanted.map(|id| trade_row(snapshot, id, snapshot.lsn())).collect::<ReadResult<Vec<_>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

fn factor_bucket(
    snapshot: &Snapshot,
    bucket: &Bucket,
    after: Option<&[Value]>,
    limit: usize,
) -> ReadResult<Vec<Row>> {
    let after = after.map(|key| rowview::factor_key_of(key).ok_or_else(|| missing("factor key")));
    let after = after.transpose()?;
    let rows = read_factors(snapshot.view(), bucket.group.as_bytes())?;
    let behind = rows.iter().filter(|(place, _)| after.is_none_or(|after| *place > after));
    Ok(behind.take(limit).map(|row| factor_row(row, snapshot.lsn())).collect())
}

fn account_bucket(
    snapshot: &Snapshot,
    bucket: &Bucket,
    after: Option<&[Value]>,
    limit: usize,
) -> ReadResult<Vec<Row>> {
    let account = AccountId::new(&bucket.group).map_err(|_| missing("bucket of an account"))?;
    let mut rows = Vec::new();
    if bucket.table == Table::Positions {
        for (key, stored) in read_positions(snapshot.view(), &keys::account(&account))? {
            rows.push(position_row(&key, &stored, snapshot.lsn()));
        }
    } else {
        for (owner, book, _) in snapshot.books()? {
            if owner == account {
                rows.extend(book_row(snapshot, &owner, &book, snapshot.lsn())?);
            }
        }
    }
    // Store keys and row keys have the same order, so the place behind `after` is found by its key.
    let skip =
        after.and_then(|after| rows.iter().position(|row| row.key == after)).map_or(0, |place| place + 1);
    Ok(rows.into_iter().skip(skip).take(limit).collect())
}

fn row_of_values(snapshot: &Snapshot, table: Table, key: &[Value]) -> ReadResult<Option<Row>> {
    let bad = || missing("key of a row");
    let text = |place: usize| match key.get(place) {
        Some(Value::Text(text)) => Ok(text.as_str()),
        _ => Err(bad()),
    };
    let lsn = snapshot.lsn();
    match table {
        Table::Bars => {
            let (series, ts) = rowview::bar_key_of(key).ok_or_else(bad)?;
            let found = snapshot.merged().range(&series, ts, ts)?;
            if let Some(row) = found.first() {
                return Ok(Some(bar_row(&series, row, lsn, &mut BarHasher::new(&series))));
            }
            let removed = snapshot.merged().tombstones(&series)?;
            let version = removed.iter().filter(|t| t.from <= ts && ts < t.to).map(|t| t.version).max();
            Ok(version.map(|version| tombstone_row(table, key.to_vec(), version, lsn)))
        }
        Table::Trades => trade_row(snapshot, text(0)?.parse().map_err(|_| bad())?, lsn),
        Table::Positions => {
            let key = PositionKey {
                account: text(0)?.parse().map_err(|_| bad())?,
                book: text(1)?.parse().map_err(|_| bad())?,
                instrument: text(2)?.parse().map_err(|_| bad())?,
            };
            let stored = read_position(snapshot.view(), &key)?;
            Ok(stored.map(|stored| position_row(&key, &stored, lsn)))
        }
        Table::Books => {
            let account = text(0)?.parse().map_err(|_| bad())?;
            let book = text(1)?.parse().map_err(|_| bad())?;
            book_row(snapshot, &account, &book, lsn)
        }
        Table::Ticks => events::row_of_values::<Tick>(snapshot, key),
        Table::MarketTrades => events::row_of_values::<MarketTrade>(snapshot, key),
        Table::Factors => {
            let place = rowview::factor_key_of(key).ok_or_else(bad)?;
            let stored = read_factor(snapshot.view(), place.0, place.1)?;
            Ok(stored.map(|stored| factor_row(&(place, stored), lsn)))
        }
        Table::StrategySnapshots => {
            state_row(snapshot, &rowview::strategy_snapshot_key_of(key).ok_or_else(bad)?, lsn)
        }
        _ => Err(bad()),
    }
}
