//! `Store`: one process's hold on one folder.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, BarRun, Batch, BookId, ChangeFeed, ExtremeUpdate, ImportRecord,
    InstrumentId, Interval, Lsn, MarketTrade, OnConflict, Operation, Position, PositionKey, SeriesKey, Tick,
    Timestamp, Version,
};
use barkeeper_storage::{
    Damage, HeadV1, IdentityV1, NumberOfV1, NumberV1, OLDEST_STORE_FORMAT, STORE_FORMAT, StoredRow,
    while_held,
};

use crate::commit::{Queue, Task, check_batch};
use crate::error::{
    CommitError, CommitResult, MaintenanceError, NOTHING, OpenError, ReadError, ReadResult, missing,
    read_error,
};
use crate::events::{ChangedStreams, import_events};
use crate::folder;
use crate::hot::{Hot, damaged_structure};
use crate::leases::Leases;
use crate::maintenance::{Keeper, start_keeper};
use crate::manifest::SegmentCache;
use crate::ops_positions::read_position;
use crate::options::StoreOptions;
use crate::overlay::{Extreme, Overlay};
use crate::readers::Readers;
use crate::recover;
use crate::report::{ImportReceipt, Receipt, WriteState};
use crate::session::read_head;
use crate::snapshot::Snapshot;
use crate::space::Space;
use crate::tables::{HEAD, IDENTITY, Tab};
use crate::tails::Tails;
use crate::turnover::Turnover;
use crate::upkeep::UpkeepState;
use crate::view::{ReadView, View};

/// How often relaxed values are written when nothing else is committed.
const RELAXED_TICK: Duration = Duration::from_millis(200);

/// What is known of targets in memory.
#[derive(Debug, Default)]
pub(crate) struct TargetState {
    pub(crate) acknowledged: BTreeMap<String, Lsn>,
    pub(crate) dirty: bool,
    pub(crate) saved: Timestamp,
}

pub(crate) struct Inner {
    pub(crate) hot: Hot,
    pub(crate) space: Space,
    /// Whether the last commit found no room.
    pub(crate) full: AtomicBool,
    pub(crate) dir: PathBuf,
    pub(crate) options: StoreOptions,
    pub(crate) identity: IdentityV1,
    pub(crate) segments: SegmentCache,
    pub(crate) tails: Tails,
    pub(crate) overlay: Overlay,
    pub(crate) turnover: Turnover,
    pub(crate) numbers: RwLock<Arc<HashMap<InstrumentId, u32>>>,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) upkeep: UpkeepState,
    pub(crate) leases: Leases,
    pub(crate) targets: Mutex<TargetState>,
    /// The last commit of this process that changed each stream of ticks or market trades.
    pub(crate) streams: ChangedStreams,
    pub(crate) readers: Arc<Readers>,
    #[cfg(feature = "fault-injection")]
    pub(crate) faults: crate::fault::Faults,
}

struct Ticker {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// An open store. One process has it; inside the process it is shared by reference among threads.
///
/// After a commit returns, its data survives a killed process and a power loss, if the disk honours
/// flush. Relaxed values ([`Store::update_extremes`]) are durable within 200 ms or with the next commit.
pub struct Store {
    inner: Arc<Inner>,
    ticker: Option<Ticker>,
    keeper: Option<Keeper>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.inner.dir).finish_non_exhaustive()
    }
}

/// Why a store of a format is not opened; `None` where it is.
pub(crate) const fn format_error(found: u32) -> Option<OpenError> {
    match found {
        STORE_FORMAT.. if found > STORE_FORMAT => Some(OpenError::Newer { found, known: STORE_FORMAT }),
        0..OLDEST_STORE_FORMAT => Some(OpenError::Older { found, oldest: OLDEST_STORE_FORMAT }),
        _ => None,
    }
}

impl Store {
    /// Makes a store in a folder that is empty or does not exist, and opens it.
    ///
    /// # Errors
    /// `NotEmpty`, `DatabaseMissing` where files of a store are there, `Io`.
    pub fn create(dir: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        refuse_shared(dir, &options)?;
        fs::create_dir_all(dir).map_err(io)?;
        if !folder::is_unmade(dir).map_err(io)? {
            let lost = folder::database(dir)
                .err()
                .filter(|error| matches!(error, OpenError::DatabaseMissing { .. }));
            return Err(lost.unwrap_or_else(|| OpenError::NotEmpty { path: dir.to_owned() }));
        }
        folder::make(dir).map_err(io)?;
        // The database gets its name when it is whole, so that a store is there or is not.
        let unfinished = dir.join(folder::UNFINISHED);
        match while_held(&unfinished, || fs::remove_file(&unfinished)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        fs::File::create_new(&unfinished).map_err(io)?;
        let hot = Hot::create(&unfinished, dir, &options)?;
        prepare(&hot, &options).map_err(|error| read_failure(dir, error))?;
        drop(hot);
        folder::rename_durably(&unfinished, &dir.join(folder::DATABASE)).map_err(io)?;
        Self::open(dir, options)
    }

    /// The database of a folder that should hold a store, which is not opened.
    ///
    /// # Errors
    /// `NotFound`, `DatabaseMissing`.
    pub fn locate(dir: &Path) -> Result<PathBuf, OpenError> {
        folder::database(dir)
    }

    /// Opens the store of a folder.
    ///
    /// # Errors
    /// `NotFound`, `DatabaseMissing`, `InUse` where another process has it, `Newer`, `Older`, `Damaged`, `Segment`,
    /// `Io`.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let file = folder::database(dir)?;
        refuse_shared(dir, &options)?;
        let hot = Hot::open_in(dir, &options)?;
        // redb may panic on a damaged file; whoever opens a store wants an error.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::begin(hot, dir, options)));
        opened.unwrap_or_else(|_| Err(damaged_structure(&file)))
    }

    /// Opens a store over a database that is already open.
    pub(crate) fn begin(hot: Hot, dir: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let damaged = |error| read_failure(dir, error);
        let identity = prepare(&hot, &options).map_err(damaged)?;
        if let Some(error) = format_error(identity.format) {
            return Err(error);
        }
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        folder::make(dir).map_err(io)?;
        let view = ReadView::new(hot.begin_read().map_err(damaged)?);
        recover::recover(&view, dir, options.clock.now())?;
        let numbers = load_numbers(&view).map_err(damaged)?;
        let targets = load_targets(&view).map_err(damaged)?;
        drop(view);
        match folder::write_owner(dir, &options.program, options.clock.now()) {
            // A note for people, without which a full disk can be read.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            noted => noted.map_err(io)?,
        }
        let background = options.background;
        let inner = Arc::new(Inner {
            hot,
            space: Space::keep(dir, options.reserve_bytes),
            full: AtomicBool::new(false),
            dir: dir.to_owned(),
            segments: SegmentCache::new(dir),
            identity,
            tails: Tails::default(),
            overlay: Overlay::default(),
            turnover: Turnover::default(),
            numbers: RwLock::new(Arc::new(numbers)),
            queue: Mutex::default(),
            upkeep: UpkeepState::default(),
            leases: Leases::default(),
            targets: Mutex::new(TargetState { acknowledged: targets, ..TargetState::default() }),
            streams: Mutex::default(),
            readers: Arc::new(Readers::new(options.snapshot_age)),
            options,
            #[cfg(feature = "fault-injection")]
            faults: crate::fault::Faults::default(),
        });
        let ticker = background.then(|| start_ticker(&inner)).transpose().map_err(io)?;
        let keeper = background.then(|| start_keeper(&inner)).transpose().map_err(io)?;
        Ok(Self { inner, ticker, keeper })
    }

    pub(crate) const fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The store's folder.
    pub fn folder(&self) -> &Path {
        &self.inner.dir
    }

    /// Writes what waits in memory and lets the store go.
    ///
    /// # Errors
    /// Every variant that [`Store::commit`] gives for a failing disk.
    pub fn close(mut self) -> CommitResult<()> {
        self.stop();
        self.inner.submit(Task::Fold).map(drop)
    }

    fn stop(&mut self) {
        // It ends what it is at, and writes nothing more.
        drop(self.keeper.take());
        let Some(mut ticker) = self.ticker.take() else { return };
        *ticker.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        ticker.stop.1.notify_all();
        if let Some(thread) = ticker.thread.take() {
            drop(thread.join());
        }
    }

    /// Commits a batch whole or not at all. When it returns, the batch is durable.
    ///
    /// # Errors
    /// Every variant of [`CommitError`](crate::CommitError); nothing of the batch is stored then.
    pub fn commit(&self, batch: Batch) -> CommitResult<Receipt> {
        check_batch(&batch)?;
        self.inner.submit(Task::Batch(batch))
    }

    /// Widens the extremes of a book's open positions for a whole tick in one relaxed call: readers see
    /// them at once; they are durable with the next commit or within 200 ms. Instruments that are not
    /// held are skipped. Answers how many positions changed.
    ///
    /// # Errors
    /// `Position` for a price that is none, `Read`.
    pub fn update_extremes(
        &self,
        account: &AccountId,
        book: &BookId,
        updates: &[ExtremeUpdate],
    ) -> CommitResult<u64> {
        let snapshot = Snapshot::brief(&self.inner)?;
        let mut widened = Vec::new();
        for update in updates {
            let update = update.born()?;
            let key =
                PositionKey { account: account.clone(), book: book.clone(), instrument: update.instrument };
            let Some(row) = read_position(snapshot.view(), &key)? else { continue };
            let Some(mut position) = row.position else { continue };
            snapshot.show_relaxed(&mut position, row.entry);
            let extreme = Extreme { high: update.high, low: update.low, entry: row.entry };
            if extreme.changes(&position, row.entry) {
                widened.push((key, extreme));
            }
        }
        let changed = widened.len() as u64;
        if changed > 0 {
            self.inner.overlay.widen(widened);
        }
        Ok(changed)
    }

    /// Imports bars of many series in one commit: large amounts go straight to segments, small ones to
    /// the hot tier. All of it is in, or nothing.
    ///
    /// # Errors
    /// `Conflict` where bars differ and `on_conflict` says to stop; `Maintenance` where a segment cannot be written.
    pub fn import_bars(
        &self,
        runs: Vec<BarRun>,
        imports: Vec<ImportRecord>,
        on_conflict: OnConflict,
    ) -> CommitResult<ImportReceipt> {
        crate::import::import_bars(&self.inner, runs, &imports.into(), on_conflict)
    }

    /// Imports ticks in one commit: large amounts go straight to segments, small ones to the hot tier. All
    /// of it is in, or nothing.
    ///
    /// # Errors
    /// `Event` for a tick that cannot be, `EventConflict` where ticks differ and `on_conflict` says to stop,
    /// `Contended` where others write the same ticks again and again, `Maintenance`.
    pub fn import_ticks(
        &self,
        ticks: Vec<(InstrumentId, Tick)>,
        imports: Vec<ImportRecord>,
        on_conflict: OnConflict,
    ) -> CommitResult<ImportReceipt> {
        let put = |ticks, on_conflict| Operation::PutTicks { ticks, on_conflict };
        import_events(&self.inner, ticks, &imports.into(), on_conflict, put)
    }

    /// Imports market trades in one commit, as [`Store::import_ticks`] does ticks.
    ///
    /// # Errors
    /// As [`Store::import_ticks`].
    pub fn import_market_trades(
        &self,
        trades: Vec<(InstrumentId, MarketTrade)>,
        imports: Vec<ImportRecord>,
        on_conflict: OnConflict,
    ) -> CommitResult<ImportReceipt> {
        let put = |trades, on_conflict| Operation::PutMarketTrades { trades, on_conflict };
        import_events(&self.inner, trades, &imports.into(), on_conflict, put)
    }

    /// A snapshot of the store: everything it reads is of one LSN. It expires after 60 s.
    ///
    /// # Errors
    /// `Snapshots` where too many are open; `Io`, `Damaged`, `Value`.
    pub fn snapshot(&self) -> ReadResult<Snapshot> {
        Snapshot::point(&self.inner)
    }

    /// One position, the latest durable or relaxed state.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn position(&self, key: &PositionKey) -> ReadResult<Option<Position>> {
        Snapshot::position_now(&self.inner, key)
    }

    /// The last `count` bars of a series, ascending.
    ///
    /// # Errors
    /// Every variant of [`ReadError`].
    pub fn last_bars(&self, series: &SeriesKey, count: usize) -> ReadResult<Vec<Bar>> {
        Snapshot::brief(&self.inner)?.last_bars(series, count)
    }

    /// The bars of all instruments at one `ts`, in the order of instruments.
    ///
    /// # Errors
    /// Every variant of [`ReadError`].
    pub fn cross_section(
        &self,
        interval: Interval,
        adjustment: AdjustmentTag,
        ts: Timestamp,
    ) -> ReadResult<Vec<(InstrumentId, Bar)>> {
        Snapshot::brief(&self.inner)?.cross_section(interval, adjustment, ts)
    }

    /// The change log, for a replicator.
    pub fn feed(&self) -> Arc<dyn ChangeFeed> {
        Arc::new(crate::feed::Feed::new(self.inner.clone()))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.ticker.is_some() {
            self.stop();
            // A failing disk was or will be reported by a commit; a drop has nobody to tell.
            drop(self.inner.submit(Task::Fold));
        }
    }
}

/// Refuses a folder whose locks and flushes cannot be relied on.
fn refuse_shared(dir: &Path, options: &StoreOptions) -> Result<(), OpenError> {
    if options.allow_shared_folder {
        return Ok(());
    }
    let why = crate::place::shared_folder(dir, &[]);
    why.map_or(Ok(()), |why| Err(OpenError::Shared { path: dir.to_owned(), why }))
}

/// A read error as an error of opening the store.
fn read_failure(dir: &Path, error: ReadError) -> OpenError {
    match error {
        ReadError::Io { source } => OpenError::Io { path: dir.join(folder::DATABASE), source },
        ReadError::Segment(inner) => OpenError::Segment(inner),
        ReadError::Value(Damage::Newer { found, known, .. }) => {
            OpenError::Newer { found: u32::from(found), known: u32::from(known) }
        }
        other => OpenError::Damaged { path: dir.join(folder::DATABASE), detail: other.to_string() },
    }
}

/// Reads the identity of a store, or writes that of a new one.
fn prepare(hot: &Hot, options: &StoreOptions) -> ReadResult<IdentityV1> {
    let txn = hot.begin_read()?;
    let empty = txn.list_tables().map_err(read_error)?.next().is_none();
    let view = ReadView::new(txn);
    if let Some(identity) = view.row::<IdentityV1>(Tab::Meta, IDENTITY)? {
        return Ok(identity);
    }
    // The identity is in the first commit: a store that has tables and no identity has lost it.
    if !empty {
        return Err(missing("store identity"));
    }
    drop(view);
    let now = options.clock.now();
    let identity = IdentityV1 {
        format: STORE_FORMAT,
        store_id: u128::from(ulid::Ulid::generate()),
        device: 1,
        epoch: 1,
        created_ms: now.millis(),
        restored: Vec::new(),
    };
    let head = HeadV1 { tail: NOTHING.0 + 1, version: Version::ZERO.raw(), ..HeadV1::default() };
    let txn = hot.begin_write().map_err(unwritten)?;
    {
        let mut meta = txn.open_table(Tab::Meta.definition()).map_err(read_error)?;
        meta.insert(IDENTITY, identity.to_bytes(IDENTITY).as_slice()).map_err(read_error)?;
        meta.insert(HEAD, head.to_bytes(HEAD).as_slice()).map_err(read_error)?;
    }
    txn.commit().map_err(read_error)?;
    Ok(identity)
}

/// Why a transaction could not begin.
fn unwritten(error: CommitError) -> ReadError {
    match error {
        CommitError::Read(error) => error,
        other => ReadError::Damaged { detail: other.to_string() },
    }
}

fn load_numbers(view: &ReadView) -> ReadResult<HashMap<InstrumentId, u32>> {
    let mut numbers = HashMap::new();
    view.scan_prefix(Tab::Instruments, &[], &mut |key, value| {
        let instrument = InstrumentId::from_trusted(key).ok_or_else(|| missing("instrument"))?;
        numbers.insert(instrument, NumberV1::from_bytes(key, value)?.number);
        Ok(ControlFlow::Continue(()))
    })?;
    read_head(view)?;
    Ok(numbers)
}

pub(crate) fn load_targets(view: &ReadView) -> ReadResult<BTreeMap<String, Lsn>> {
    let mut targets = BTreeMap::new();
    view.scan_prefix(Tab::Targets, &[], &mut |key, value| {
        let name = std::str::from_utf8(key).map_err(|_| missing("target"))?;
        targets.insert(name.to_owned(), Lsn(NumberOfV1::from_bytes(key, value)?.value));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(targets)
}

fn start_ticker(inner: &Arc<Inner>) -> io::Result<Ticker> {
    let stop = Arc::new((Mutex::new(false), Condvar::new()));
    let (signal, store) = (stop.clone(), Arc::downgrade(inner));
    let thread = std::thread::Builder::new().name("barkeeper-relaxed".to_owned()).spawn(move || {
        loop {
            let guard = signal.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = signal.1.wait_timeout_while(guard, RELAXED_TICK, |stopped| !*stopped);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
            let Some(inner) = store.upgrade() else { return };
            inner.readers.expire(inner.options.clock.steady());
            if !inner.overlay.now().is_empty() {
                // The next commit reports a failing disk; the values stay in memory until then.
                drop(inner.submit(Task::Fold));
            }
        }
    })?;
    Ok(Ticker { stop, thread: Some(thread) })
}

impl Inner {
    /// Whether the store takes what is written.
    pub(crate) fn write_state(&self) -> WriteState {
        let reason = match self.hot.read_only() {
            Some(cause) if !cause.is_full() => cause.to_string(),
            None if !self.full.load(Ordering::SeqCst) => return self.space.state(),
            _ => "disk full".to_owned(),
        };
        WriteState::ReadOnly { reason }
    }

    /// A read transaction; where redb has given up on the database, it is opened anew first.
    pub(crate) fn begin_read(&self) -> ReadResult<redb::ReadTransaction> {
        if self.hot.must_reopen() {
            self.submit(Task::Mend).map_err(unwritten)?;
        }
        self.hot.begin_read()
    }

    /// Marks a step of a publication, at which a test may cut it off.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn step(&self, name: &'static str) -> Result<(), MaintenanceError> {
        self.faults.step(name)
    }

    /// Whether a test counts the steps.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn is_cut_at_steps(&self) -> bool {
        self.faults.is_set()
    }

    /// Whether a test counts the steps.
    #[cfg(not(feature = "fault-injection"))]
    #[expect(clippy::unused_self, reason = "the same signature as under test")]
    pub(crate) const fn is_cut_at_steps(&self) -> bool {
        false
    }

    /// Marks a step of a publication, at which a test may cut it off.
    #[cfg(not(feature = "fault-injection"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the same signature as under test")]
    pub(crate) const fn step(&self, _name: &'static str) -> Result<(), MaintenanceError> {
        Ok(())
    }
}
