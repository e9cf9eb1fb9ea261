//! Views of the tables: a snapshot, or a batch's own writes over the transaction it will join.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use barkeeper_storage::StoredRow;
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableError,
    TableHandle as _, WriteTransaction,
};

use crate::error::{CommitError, CommitResult, ReadError, ReadResult, commit_error, read_error};
use crate::leases::Lease;
use crate::pages::take_missed;
use crate::tables::Tab;

pub(crate) type Bytes = &'static [u8];
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ReadResult<ControlFlow<()>>;

/// Reads of the tables, the same for readers and for the evaluation of a batch.
pub(crate) trait View {
    /// Calls `f` with the value under a key.
    fn with<R>(&self, tab: Tab, key: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> ReadResult<R>;

    /// Visits the entries from `from` (included) to `to` (excluded; empty: the end), in order or backwards.
    fn scan(&self, tab: Tab, from: &[u8], to: &[u8], backwards: bool, visit: Visit<'_>) -> ReadResult<()>;

    /// The row under a key.
    fn row<T: StoredRow>(&self, tab: Tab, key: &[u8]) -> ReadResult<Option<T>> {
        let row = self.with(tab, key, |value| value.map(|bytes| T::from_bytes(key, bytes)))?;
        Ok(row.transpose()?)
    }

    /// Visits all entries whose key begins with a prefix.
    fn scan_prefix(&self, tab: Tab, prefix: &[u8], visit: Visit<'_>) -> ReadResult<()> {
        self.scan(tab, prefix, &barkeeper_storage::keys::after_prefix(prefix), false, visit)
    }

    /// The last entry from `from` to `to`.
    fn last(&self, tab: Tab, from: &[u8], to: &[u8]) -> ReadResult<Option<(Vec<u8>, Vec<u8>)>> {
        let mut found = None;
        self.scan(tab, from, to, true, &mut |key, value| {
            found = Some((key.to_vec(), value.to_vec()));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

fn bounds<'a>(from: &'a [u8], to: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (Bound::Included(from), if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) })
}

fn walk(
    table: &impl ReadableTable<Bytes, Bytes>,
    from: &[u8],
    to: &[u8],
    backwards: bool,
    visit: Visit<'_>,
) -> ReadResult<()> {
    if !to.is_empty() && from >= to {
        return Ok(());
    }
    let mut range = table.range::<&[u8]>(bounds(from, to)).map_err(read_error)?;
    loop {
        let entry = if backwards { range.next_back() } else { range.next() };
        let Some(entry) = entry else { return Ok(()) };
        let (key, value) = entry.map_err(read_error)?;
        if visit(key.value(), value.value())?.is_break() {
            return Ok(());
        }
    }
}

/// Calls into redb, which panics on some damaged pages; a reader gets an error instead.
fn guarded<T>(read: impl FnOnce() -> ReadResult<T>) -> ReadResult<T> {
    drop(take_missed());
    let detail = || "a page of the database does not decode".to_owned();
    let done = catch_unwind(AssertUnwindSafe(read));
    match done.unwrap_or_else(|_| Err(ReadError::Damaged { detail: detail() })) {
        Err(ReadError::Damaged { detail }) => Err(take_missed().unwrap_or(ReadError::Damaged { detail })),
        done => done,
    }
}

/// A table of a transaction; `None` where nothing was ever put into it.
fn open_table(txn: &ReadTransaction, tab: Tab) -> ReadResult<Option<ReadOnlyTable<Bytes, Bytes>>> {
    match txn.open_table(tab.definition()) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(read_error(error)),
    }
}

/// A read transaction for a single look-up, which opens its table for it: cheaper than room for every table.
pub(crate) struct SingleView(ReadTransaction);

impl SingleView {
    /// A view for reads that touch no file beside the database.
    pub(crate) const fn new(txn: ReadTransaction) -> Self {
        Self(txn)
    }
}

impl View for SingleView {
    fn with<R>(&self, tab: Tab, key: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> ReadResult<R> {
        guarded(|| {
            let Some(table) = open_table(&self.0, tab)? else { return Ok(f(None)) };
            let value = table.get(key).map_err(read_error)?;
            Ok(f(value.as_ref().map(redb::AccessGuard::value)))
        })
    }

    fn scan(&self, tab: Tab, from: &[u8], to: &[u8], backwards: bool, visit: Visit<'_>) -> ReadResult<()> {
        guarded(|| open_table(&self.0, tab)?.map_or(Ok(()), |table| walk(&table, from, to, backwards, visit)))
    }
}

/// A read transaction with its tables opened as they are asked for.
struct Opened {
    /// What keeps the files in their places that the transaction may see.
    _lease: Lease,
    txn: ReadTransaction,
    tables: [OnceLock<Option<ReadOnlyTable<Bytes, Bytes>>>; Tab::ALL.len()],
}

impl Opened {
    fn new(txn: ReadTransaction, lease: Lease) -> Self {
        Self { _lease: lease, txn, tables: [const { OnceLock::new() }; Tab::ALL.len()] }
    }

    fn table(&self, tab: Tab) -> ReadResult<Option<&ReadOnlyTable<Bytes, Bytes>>> {
        let Some(cell) = self.tables.get(tab as usize) else { return Ok(None) };
        if let Some(table) = cell.get() {
            return Ok(table.as_ref());
        }
        let opened = open_table(&self.txn, tab)?;
        Ok(cell.get_or_init(|| opened).as_ref())
    }
}

enum State {
    Open(Arc<Opened>),
    Expired { held: u64, limit: u64 },
}

/// The read transaction of a snapshot that may expire. Who reads takes a share of it for one call.
pub(crate) struct ViewSlot(Mutex<State>);

impl std::fmt::Debug for ViewSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewSlot").finish_non_exhaustive()
    }
}

impl ViewSlot {
    fn opened(&self) -> ReadResult<Arc<Opened>> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Open(opened) => Ok(opened.clone()),
            State::Expired { held, limit } => Err(ReadError::Expired { held: *held, limit: *limit }),
        }
    }

    /// Lets the transaction go; what is being read at this moment ends first.
    pub(crate) fn expire(&self, held: u64, limit: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = std::mem::replace(&mut *state, State::Expired { held, limit });
        drop(state);
        drop(gone);
    }
}

/// A view of one read transaction.
#[expect(clippy::large_enum_variant, reason = "the large one is on the stack for one short read")]
pub(crate) enum ReadView {
    /// The reader's own, to its end.
    Own(OwnView),
    /// In a slot that the list of readers may empty.
    Shared(Arc<ViewSlot>),
}

/// A read transaction that does not expire.
pub(crate) struct OwnView(Opened);

impl ReadView {
    /// A view for the time of opening, when no file goes anywhere.
    pub(crate) fn new(txn: ReadTransaction) -> Self {
        Self::leased(txn, Lease::default())
    }

    /// A view that holds a lease, which was taken before the transaction began.
    pub(crate) fn leased(txn: ReadTransaction, lease: Lease) -> Self {
        Self::Own(OwnView(Opened::new(txn, lease)))
    }

    /// A view that expires when its slot is emptied.
    pub(crate) fn shared(txn: ReadTransaction, lease: Lease) -> (Self, Arc<ViewSlot>) {
        let slot = Arc::new(ViewSlot(Mutex::new(State::Open(Arc::new(Opened::new(txn, lease))))));
        (Self::Shared(slot.clone()), slot)
    }

    /// How many entries a table has, without a look at them.
    pub(crate) fn count(&self, tab: Tab) -> ReadResult<u64> {
        self.opened(|opened| opened.table(tab)?.map_or(Ok(0), |table| table.len().map_err(read_error)))
    }

    /// Bytes of the keys and values of a table, and what its pages take beside.
    pub(crate) fn bytes(&self, tab: Tab) -> ReadResult<(u64, u64)> {
        self.opened(|opened| {
            let Some(table) = opened.table(tab)? else { return Ok((0, 0)) };
            let stats = table.stats().map_err(read_error)?;
            Ok((stats.stored_bytes(), stats.metadata_bytes() + stats.fragmented_bytes()))
        })
    }

    /// Fails where the view has expired.
    pub(crate) fn alive(&self) -> ReadResult<()> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Shared(slot) => slot.opened().map(drop),
        }
    }

    /// The names of all tables that there are, known or not.
    pub(crate) fn tables(&self) -> ReadResult<Vec<String>> {
        self.opened(|opened| {
            let tables = opened.txn.list_tables().map_err(read_error)?;
            Ok(tables.map(|table| table.name().to_owned()).collect())
        })
    }

    fn opened<R>(&self, read: impl FnOnce(&Opened) -> ReadResult<R>) -> ReadResult<R> {
        match self {
            Self::Own(own) => guarded(|| read(&own.0)),
            Self::Shared(slot) => {
                let opened = slot.opened()?;
                guarded(|| read(&opened))
            }
        }
    }
}

impl View for ReadView {
    fn with<R>(&self, tab: Tab, key: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> ReadResult<R> {
        self.opened(|opened| {
            let Some(table) = opened.table(tab)? else { return Ok(f(None)) };
            let value = table.get(key).map_err(read_error)?;
            Ok(f(value.as_ref().map(redb::AccessGuard::value)))
        })
    }

    fn scan(&self, tab: Tab, from: &[u8], to: &[u8], backwards: bool, visit: Visit<'_>) -> ReadResult<()> {
        self.opened(|opened| {
            opened.table(tab)?.map_or(Ok(()), |table| walk(table, from, to, backwards, visit))
        })
    }
}

/// The write transaction of one group of batches.
pub(crate) struct WriteTables<'txn> {
    txn: &'txn WriteTransaction,
    /// Whether a write failed in the middle: the transaction must not be committed.
    spoiled: Cell<bool>,
    tables: Vec<RefCell<Option<Table<'txn, Bytes, Bytes>>>>,
}

impl<'txn> WriteTables<'txn> {
    pub(crate) fn new(txn: &'txn WriteTransaction) -> Self {
        Self { txn, spoiled: Cell::new(false), tables: Tab::ALL.iter().map(|_| RefCell::new(None)).collect() }
    }

    fn use_table<R>(
        &self,
        tab: Tab,
        f: impl FnOnce(&mut Table<'txn, Bytes, Bytes>) -> R,
    ) -> Result<R, redb::Error> {
        let missing = || redb::Error::TableDoesNotExist(tab.name().to_owned());
        let cell = self.tables.get(tab as usize).ok_or_else(missing)?;
        let mut slot = cell.borrow_mut();
        if slot.is_none() {
            *slot = Some(self.txn.open_table(tab.definition())?);
        }
        slot.as_mut().map(f).ok_or_else(missing)
    }

    pub(crate) fn put(&self, tab: Tab, key: &[u8], value: &[u8]) -> CommitResult<()> {
        self.change(tab, |table| table.insert(key, value).map(drop))
    }

    pub(crate) fn remove(&self, tab: Tab, key: &[u8]) -> CommitResult<()> {
        self.change(tab, |table| table.remove(key).map(drop))
    }

    /// Changes a table. Half a batch may be in it after an error, or after redb panicked at a damaged page.
    fn change(
        &self,
        tab: Tab,
        change: impl FnOnce(&mut Table<'txn, Bytes, Bytes>) -> Result<(), redb::StorageError>,
    ) -> CommitResult<()> {
        let done = guarded(|| Ok(self.use_table(tab, change)))
            .map_err(CommitError::Read)
            .and_then(|done| done.map_err(commit_error)?.map_err(commit_error));
        self.spoiled.set(self.spoiled.get() || done.is_err());
        done
    }

    pub(crate) const fn is_spoiled(&self) -> bool {
        self.spoiled.get()
    }
}

impl View for WriteTables<'_> {
    fn with<R>(&self, tab: Tab, key: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> ReadResult<R> {
        let read = |table: &mut Table<'_, Bytes, Bytes>| {
            table.get(key).map(|value| f(value.as_ref().map(redb::AccessGuard::value)))
        };
        guarded(|| self.use_table(tab, read).map_err(read_error)?.map_err(read_error))
    }

    fn scan(&self, tab: Tab, from: &[u8], to: &[u8], backwards: bool, visit: Visit<'_>) -> ReadResult<()> {
        guarded(|| {
            self.use_table(tab, |table| walk(table, from, to, backwards, visit)).map_err(read_error)?
        })
    }
}

type Pending = BTreeMap<(Tab, Vec<u8>), Option<Vec<u8>>>;

/// What one batch would write, over the transaction that it joins when it succeeds.
pub(crate) struct Staged<'a, 'txn> {
    base: &'a WriteTables<'txn>,
    pending: Pending,
}

impl<'a, 'txn> Staged<'a, 'txn> {
    pub(crate) const fn new(base: &'a WriteTables<'txn>) -> Self {
        Self { base, pending: BTreeMap::new() }
    }

    pub(crate) fn put(&mut self, tab: Tab, key: Vec<u8>, value: Vec<u8>) {
        self.pending.insert((tab, key), Some(value));
    }

    pub(crate) fn put_row<T: StoredRow>(&mut self, tab: Tab, key: Vec<u8>, row: &T) {
        let value = row.to_bytes(&key);
        self.put(tab, key, value);
    }

    pub(crate) fn remove(&mut self, tab: Tab, key: Vec<u8>) {
        self.pending.insert((tab, key), None);
    }

    /// Lets the batch join the transaction.
    pub(crate) fn apply(self) -> CommitResult<()> {
        for ((tab, key), value) in self.pending {
            match value {
                Some(value) => self.base.put(tab, &key, &value)?,
                None => self.base.remove(tab, &key)?,
            }
        }
        Ok(())
    }
}

impl View for Staged<'_, '_> {
    fn with<R>(&self, tab: Tab, key: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> ReadResult<R> {
        match self.pending.get(&(tab, key.to_vec())) {
            Some(value) => Ok(f(value.as_deref())),
            None => self.base.with(tab, key, f),
        }
    }

    fn scan(&self, tab: Tab, from: &[u8], to: &[u8], backwards: bool, visit: Visit<'_>) -> ReadResult<()> {
        let upper = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded((tab, to.to_vec())) };
        if !to.is_empty() && from >= to {
            return Ok(());
        }
        let own: Vec<(&[u8], Option<&[u8]>)> = self
            .pending
            .range((Bound::Included((tab, from.to_vec())), upper))
            .take_while(|((found, _), _)| *found == tab)
            .map(|((_, key), value)| (key.as_slice(), value.as_deref()))
            .collect();
        if own.is_empty() {
            return self.base.scan(tab, from, to, backwards, visit);
        }
        let mut own = own;
        if backwards {
            own.reverse();
        }
        let mut own = own.into_iter();
        let mut next = own.next();
        let mut stopped = false;
        let before = |a: &[u8], b: &[u8]| if backwards { a > b } else { a < b };
        self.base.scan(tab, from, to, backwards, &mut |key, value| {
            while let Some((own_key, own_value)) = next.filter(|(own_key, _)| before(own_key, key)) {
                next = own.next();
                if let Some(own_value) = own_value
                    && visit(own_key, own_value)?.is_break()
                {
                    stopped = true;
                    return Ok(ControlFlow::Break(()));
                }
            }
            let flow = match next {
                Some((own_key, own_value)) if own_key == key => {
                    next = own.next();
                    own_value.map_or(Ok(ControlFlow::Continue(())), |own_value| visit(key, own_value))?
                }
                _ => visit(key, value)?,
            };
            stopped = flow.is_break();
            Ok(flow)
        })?;
        while let (false, Some((own_key, own_value))) = (stopped, next) {
            next = own.next();
            if let Some(own_value) = own_value {
                stopped = visit(own_key, own_value)?.is_break();
            }
        }
        Ok(())
    }
}
