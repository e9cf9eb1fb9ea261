//! `MemoryFeed`: a store's change log and rows in memory, the oracle of tests.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barkeeper_records::{
    Bucket, BucketDigest, Change, ChangeFeed, Cursor, Digest, FeedError, Hlc, LogBounds, Lsn, Page,
    RangeTombstone, Row, SeriesKey, StoreIdentity, Table, Timestamp, Value, Version, limits,
};
use barkeeper_storage::{chain, row_hash, rowview};

use crate::keys::compare_keys;

/// About what a row weighs in a page.
const ROW_BYTES: usize = 200;

/// A key that orders as the store's.
#[derive(Debug, Clone, PartialEq)]
struct Key(Table, Vec<Value>);

impl Eq for Key {}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0).then_with(|| compare_keys(&self.1, &other.1))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Something to do to the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Put a row; writing what is there already is nothing.
    Put(Table, Vec<Value>, Vec<Value>),
    /// Leave a tombstone; nothing where there is no row.
    Delete(Table, Vec<Value>),
    /// Hide the bars of a series from one `ts` up to another.
    DeleteRange(SeriesKey, i64, i64),
}

#[derive(Debug, Clone)]
enum Entry {
    Row(Key),
    Range(RangeTombstone),
}

#[derive(Debug, Clone)]
struct Record {
    lsn: Lsn,
    chain: u64,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Inner {
    identity: StoreIdentity,
    hlc: Hlc,
    now: Timestamp,
    rows: BTreeMap<Key, Row>,
    ranges: Vec<RangeTombstone>,
    log: VecDeque<Record>,
    head: Lsn,
    head_chain: u64,
    touched: BTreeMap<Bucket, Lsn>,
    members: BTreeMap<Bucket, BTreeSet<Key>>,
    targets: BTreeMap<String, Lsn>,
}

/// A store in memory: rows, tombstones, deleted ranges, a log that can be trimmed, digests.
///
/// A row that a deleted range hides is gone, as in a store that has merged; only the range tells of it.
#[derive(Debug)]
pub struct MemoryFeed {
    inner: Mutex<Inner>,
}

impl MemoryFeed {
    /// An empty store of a device.
    ///
    /// # Panics
    /// For a device above 4095: a mistake in a test.
    #[expect(clippy::expect_used, reason = "what is written in a test is right or the test is wrong")]
    pub fn new(store_id: u128, device: u16, epoch: u64) -> Arc<Self> {
        let now = Timestamp::from_millis(1_760_000_000_000).unwrap_or_default();
        let hlc = Hlc::new(device, Version::ZERO).expect("a device number");
        let inner = Inner {
            identity: StoreIdentity { store_id, device, epoch },
            hlc,
            now,
            rows: BTreeMap::new(),
            ranges: Vec::new(),
            log: VecDeque::new(),
            head: Lsn(0),
            head_chain: 0,
            touched: BTreeMap::new(),
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
        };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same store once more, as a copied folder or a backup would be.
    pub fn copy(&self) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(self.lock().clone()) })
    }

    /// The clock of its versions.
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Commits writes under one LSN, unless none of them changes anything; answers the head.
    ///
    /// # Errors
    /// `Store` where the clock of versions has come to its end.
    pub fn commit(&self, writes: Vec<Write>) -> Result<Lsn, FeedError> {
        let mut inner = self.lock();
        inner.now = Timestamp::from_nanos(inner.now.nanos() + 1_000_000);
        let now = inner.now;
        let version = inner.hlc.next(now).map_err(|error| FeedError::Store(Box::new(error)))?;
        let lsn = Lsn(inner.head.0 + 1);
        let mut entries = Vec::new();
        for write in writes {
            match write {
                Write::Put(table, key, values) => {
                    let row_hash = row_hash(table, &key, &values);
                    let key = Key(table, key);
                    let same = |row: &Row| !row.deleted && row.row_hash == row_hash && row.values == values;
                    if !inner.rows.get(&key).is_some_and(same) {
                        let row =
                            Row { table, key: key.1.clone(), values, version, deleted: false, lsn, row_hash };
                        entries.push(inner.put(row));
                    }
                }
                Write::Delete(table, key) => {
                    let key = Key(table, key);
                    if inner.rows.get(&key).is_some_and(|row| !row.deleted) {
                        entries.push(inner.bury(key, version, lsn));
                    }
                }
                Write::DeleteRange(series, from, to) => {
                    let (from, to) = (Timestamp::from_nanos(from), Timestamp::from_nanos(to));
                    entries.extend(inner.hide(RangeTombstone { series, from, to, version, lsn }));
                }
            }
        }
        if !entries.is_empty() {
            inner.log(lsn, entries);
        }
        Ok(inner.head)
    }

    /// Drops the log before an LSN.
    pub fn trim(&self, before: Lsn) {
        let mut inner = self.lock();
        while inner.log.front().is_some_and(|record| record.lsn < before) {
            inner.log.pop_front();
        }
    }

    /// All live rows in the order of keys.
    pub fn live_rows(&self) -> Vec<Row> {
        self.lock().rows.values().filter(|row| !row.deleted).cloned().collect()
    }

    /// How far a target acknowledged.
    pub fn acknowledged(&self, target: &str) -> Option<Lsn> {
        self.lock().targets.get(target).copied()
    }

    /// Changes a row behind the back of the log and the digests, as a failing disk would.
    pub fn corrupt(&self, table: Table, key: &[Value]) {
        self.lock().rows.remove(&Key(table, key.to_vec()));
    }
}

impl Inner {
    /// Takes a row out of its bucket, or into it.
    fn touch(&mut self, row: &Row, lsn: Lsn, is_in: bool) {
        if let Some(bucket) = rowview::bucket_of(row) {
            let key = Key(row.table, row.key.clone());
            let members = self.members.entry(bucket.clone()).or_default();
            if is_in {
                members.insert(key)
            } else {
                members.remove(&key)
            };
            self.touched.insert(bucket, lsn);
        }
    }

    fn put(&mut self, row: Row) -> Entry {
        let key = Key(row.table, row.key.clone());
        self.touch(&row, row.lsn, true);
        let (lsn, bucket) = (row.lsn, rowview::bucket_of(&row));
        if let Some(old) = self.rows.insert(key.clone(), row)
            && rowview::bucket_of(&old) != bucket
        {
            self.touch(&old, lsn, false);
        }
        Entry::Row(key)
    }

    fn bury(&mut self, key: Key, version: Version, lsn: Lsn) -> Entry {
        let Key(table, key) = key;
        self.put(Row { table, key, values: Vec::new(), version, deleted: true, lsn, row_hash: 0 })
    }

    fn hide(&mut self, range: RangeTombstone) -> Option<Entry> {
        if range.from >= range.to {
            return None;
        }
        let (from, to) =
            (rowview::bar_key(&range.series, range.from), rowview::bar_key(&range.series, range.to));
        let bounds = Key(Table::Bars, from)..Key(Table::Bars, to);
        let hidden: Vec<Key> = self.rows.range(bounds).map(|(key, _)| key.clone()).collect();
        for key in hidden {
            if let Some(row) = self.rows.remove(&key) {
                self.touch(&row, range.lsn, false);
            }
        }
        self.ranges.push(range);
        Some(Entry::Range(range))
    }

    fn log(&mut self, lsn: Lsn, entries: Vec<Entry>) {
        self.head = lsn;
        self.head_chain =
            chain(self.head_chain, lsn.0, format!("{entries:?} {:?}", self.hlc.last()).as_bytes());
        self.log.push_back(Record { lsn, chain: self.head_chain, entries });
    }

    fn tail(&self) -> Lsn {
        self.log.front().map_or(Lsn(self.head.0 + 1), |record| record.lsn)
    }

    fn of_table(&self, table: Table) -> impl Iterator<Item = &Row> {
        let first = Key(table, Vec::new());
        self.rows.range(first..).map(|(_, row)| row).take_while(move |row| row.table == table)
    }

    fn digests(&self, table: Table) -> BTreeMap<Bucket, BucketDigest> {
        let empty = |bucket: &Bucket, lsn: &Lsn| BucketDigest {
            bucket: bucket.clone(),
            digest: Digest::default(),
            last_lsn: *lsn,
        };
        let touched = self.touched.iter().filter(|(bucket, _)| bucket.table == table);
        let mut all: BTreeMap<Bucket, BucketDigest> =
            touched.map(|(bucket, lsn)| (bucket.clone(), empty(bucket, lsn))).collect();
        for row in self.of_table(table).filter(|row| !row.deleted) {
            if let Some(one) = rowview::bucket_of(row).and_then(|bucket| all.get_mut(&bucket)) {
                one.digest.add(row.row_hash);
            }
        }
        all
    }

    fn read(&self, cursor: &Cursor, max_bytes: usize) -> Result<Page, FeedError> {
        if cursor.lsn > self.head {
            return Err(FeedError::Ahead { asked: cursor.lsn, head: self.head });
        }
        if cursor.lsn.0 + 1 < self.tail().0 {
            return Err(FeedError::Trimmed { asked: cursor.lsn, tail: self.tail() });
        }
        let unknown = || FeedError::Cursor { lsn: cursor.lsn };
        let mut skip = match cursor.within.as_slice() {
            [] => 0,
            mark => std::str::from_utf8(mark).ok().and_then(|mark| mark.parse().ok()).ok_or_else(unknown)?,
        };
        let mut page = Page { changes: Vec::new(), next: cursor.clone(), chain: 0, more: false };
        let mut room = (max_bytes / ROW_BYTES).max(1);
        for record in self.log.iter().filter(|record| record.lsn > cursor.lsn) {
            if skip >= record.entries.len() && skip > 0 {
                return Err(unknown());
            }
            if room == 0 {
                page.more = true;
                break;
            }
            let entries = record.entries.iter().skip(skip).take(room);
            let taken = entries.len();
            page.changes.extend(entries.filter_map(|entry| self.image(entry)));
            room -= taken;
            if skip + taken < record.entries.len() {
                page.next.within = (skip + taken).to_string().into_bytes();
                page.more = true;
                break;
            }
            page.next = Cursor { lsn: record.lsn, within: Vec::new() };
            skip = 0;
        }
        page.chain = self.chain_at(page.next.lsn).unwrap_or(0);
        Ok(page)
    }

    fn chain_at(&self, lsn: Lsn) -> Option<u64> {
        if lsn == Lsn(0) {
            return Some(0);
        }
        self.log.iter().find(|record| record.lsn == lsn).map(|record| record.chain)
    }

    /// The row as it is now; nothing where a range hides it, which comes later in the log.
    fn image(&self, entry: &Entry) -> Option<Change> {
        match entry {
            Entry::Row(key) => self.rows.get(key).cloned().map(Change::Put),
            Entry::Range(range) => Some(Change::DeleteRange(*range)),
        }
    }
}

impl ChangeFeed for MemoryFeed {
    fn kept_before(&self, _lsn: Lsn) -> Result<Option<Lsn>, FeedError> {
        Ok(None)
    }

    fn identity(&self) -> Result<StoreIdentity, FeedError> {
        Ok(self.lock().identity)
    }

    fn bounds(&self) -> Result<LogBounds, FeedError> {
        let inner = self.lock();
        Ok(LogBounds { tail: inner.tail(), head: inner.head, head_chain: inner.head_chain })
    }

    fn register_target(&self, target: &str) -> Result<Lsn, FeedError> {
        let mut inner = self.lock();
        if inner.targets.len() >= limits::TARGETS && !inner.targets.contains_key(target) {
            return Err(FeedError::TooManyTargets);
        }
        Ok(*inner.targets.entry(target.to_owned()).or_default())
    }

    fn forget_target(&self, target: &str) -> Result<(), FeedError> {
        self.lock().targets.remove(target);
        Ok(())
    }

    fn acknowledge(&self, target: &str, lsn: Lsn) {
        if let Some(known) = self.lock().targets.get_mut(target) {
            *known = lsn;
        }
    }

    fn chain_at(&self, lsn: Lsn) -> Result<Option<u64>, FeedError> {
        let inner = self.lock();
        if lsn > inner.head {
            return Err(FeedError::Ahead { asked: lsn, head: inner.head });
        }
        Ok(inner.chain_at(lsn))
    }

    fn read(&self, cursor: &Cursor, max_bytes: usize) -> Result<Page, FeedError> {
        self.lock().read(cursor, max_bytes)
    }

    fn digests(&self, table: Table) -> Result<Vec<BucketDigest>, FeedError> {
        Ok(self.lock().digests(table).into_values().collect())
    }

    fn bucket_rows(
        &self,
        bucket: &Bucket,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<Row>, FeedError> {
        let inner = self.lock();
        let Some(members) = inner.members.get(bucket) else { return Ok(Vec::new()) };
        let from = match after {
            Some(after) => Bound::Excluded(Key(bucket.table, after.to_vec())),
            None => Bound::Unbounded,
        };
        let rows = members.range((from, Bound::Unbounded)).filter_map(|key| inner.rows.get(key));
        Ok(rows.take(limit).cloned().collect())
    }

    fn rows(&self, table: Table, keys: &[Vec<Value>]) -> Result<Vec<Option<Row>>, FeedError> {
        let inner = self.lock();
        Ok(keys.iter().map(|key| inner.rows.get(&Key(table, key.clone())).cloned()).collect())
    }

    fn range_tombstones(&self, after: Lsn) -> Result<Vec<RangeTombstone>, FeedError> {
        Ok(self.lock().ranges.iter().filter(|range| range.lsn > after).copied().collect())
    }

    fn stamp(&self, table: Table, keys: &[Vec<Value>], above: Version) -> Result<Lsn, FeedError> {
        let mut inner = self.lock();
        inner.hlc.see(above);
        let now = inner.now;
        let version = inner.hlc.next(now).map_err(|error| FeedError::Store(Box::new(error)))?;
        let lsn = Lsn(inner.head.0 + 1);
        let mut entries = Vec::new();
        for key in keys {
            let key = Key(table, key.clone());
            let entry = match inner.rows.get(&key).cloned() {
                Some(row) => inner.put(Row { version, lsn, ..row }),
                None => inner.bury(key, version, lsn),
            };
            entries.push(entry);
        }
        inner.log(lsn, entries);
        Ok(lsn)
    }
}
