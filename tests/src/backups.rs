//! A store with a history, its backups, and what a restored one must hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "only tests use it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barkeeper::{
    BackupError, BackupOptions, BackupReport, BackupRepository, RestoreOptions, SealOptions, Store,
    TestOutcome,
};
use barkeeper_records::{
    AdjustmentTag, Batch, FixedClock, Interval, Lsn, OnConflict, Operation, PositionKey,
};
use tempfile::TempDir;

use crate::examine::{Depth, Examination};
use crate::folder::{clock, files_below, options, scratch, turn};
use crate::market::Market;
use crate::model::{Model, same_answer};
use crate::workload::Workload;

/// A store in `store`, its backups in `backups`, and the model of every LSN that it had.
pub struct Place {
    /// Goes with the place.
    pub dir: TempDir,
    /// The store's clock.
    pub clock: Arc<FixedClock>,
    /// What the store must hold now.
    pub model: Model,
    /// What it held at each LSN.
    pub at: BTreeMap<Lsn, Model>,
    workload: Workload,
    store: Option<Store>,
}

impl Place {
    /// A store with sealed, hot, corrected and removed bars, trades, positions and a target.
    pub fn new(seed: u64) -> Self {
        let kinds = vec![(Interval::DAY, AdjustmentTag::Raw), (Interval::MINUTE, AdjustmentTag::Raw)];
        let market = Market { days: 30, kinds, ..Market::new(12) };
        let (dir, clock) = (scratch(), clock());
        let store = Store::create(&dir.path().join("store"), options(&clock)).unwrap();
        store.feed().register_target("replica").unwrap();
        let (model, at) = (Model::default(), BTreeMap::new());
        let mut place =
            Self { dir, clock, model, at, workload: Workload::new(market, seed), store: Some(store) };
        place.section(3);
        place.go_on(15);
        place.seal();
        place.go_on(10);
        place
    }

    /// The store's folder.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The store, open.
    pub const fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    /// Its backups.
    pub fn backups(&self) -> BackupRepository {
        BackupRepository::at(&self.dir.path().join("backups"))
    }

    /// Makes a backup.
    pub fn back_up(&self) -> BackupReport {
        self.store().back_up(&self.backups(), &BackupOptions::default(), &mut |_, _| {}).unwrap()
    }

    /// Closes the store.
    pub fn close(&mut self) {
        self.store.take().unwrap().close().unwrap();
    }

    /// Opens the store again.
    pub fn open(&mut self) {
        self.store = Some(Store::open(&self.folder(), options(&self.clock)).unwrap());
    }

    /// Commits random batches, and holds each answer against the model.
    pub fn go_on(&mut self, batches: usize) {
        for _ in 0..batches {
            let batch = self.workload.batch(&self.model);
            self.commit(batch);
        }
    }

    /// Commits bars of all instruments on one day.
    pub fn section(&mut self, day: usize) {
        let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
        let bars = self.workload.section(interval, adjustment, day, 0, 12);
        let on_conflict = OnConflict::Replace;
        self.commit(Batch::of(Operation::PutCrossSection { interval, adjustment, bars, on_conflict }));
    }

    /// Commits one batch.
    pub fn commit(&mut self, batch: Batch) {
        let now = turn(&self.clock, 3);
        let expected = self.model.apply(&batch, now);
        same_answer(&self.store().commit(batch), &expected).unwrap();
        self.at.insert(self.model.lsn, self.model.clone());
    }

    /// Notes what another thread has committed.
    pub fn commit_to_model(&mut self, key: PositionKey, days: u32) {
        let batch = Batch::of(Operation::SetHeldDays { key, days });
        self.model.apply(&batch, turn(&self.clock, 0)).unwrap();
        self.at.insert(self.model.lsn, self.model.clone());
    }

    /// Sets relaxed extremes, which the next commit or backup makes durable.
    pub fn relax(&mut self) {
        let (account, book) =
            (self.workload.market.accounts[0].clone(), self.workload.market.books[0].clone());
        let updates = self.workload.extremes();
        let plain: Vec<_> = updates.iter().map(|one| (one.instrument, one.high, one.low)).collect();
        let found = self.store().update_extremes(&account, &book, &updates).unwrap();
        assert_eq!(found, self.model.relax(&account, &book, &plain));
    }

    /// Takes relaxed values in, as a backup has done.
    pub fn folded(&mut self) {
        let now = turn(&self.clock, 0);
        self.model.fold(now);
        self.at.insert(self.model.lsn, self.model.clone());
    }

    /// Seals what is hot.
    pub fn seal(&self) {
        self.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    }

    /// Restores a backup into a new folder and holds it against the model of its LSN.
    pub fn check_backup(&self, name: &str) {
        let tested = self.backups().verify(name, options(&self.clock), &mut |_, _| {}).unwrap();
        assert_eq!(tested.outcome, TestOutcome::Verified, "{tested:?}");
        let into = scratch();
        let into = into.path().join("restored");
        let done = self
            .backups()
            .restore(name, &into, RestoreOptions::default(), turn(&self.clock, 0), &mut |_, _| {})
            .unwrap();
        assert_eq!((done.lsn, done.safety_copy), (tested.lsn, None));
        holds(&into, &self.clock, &self.at[&done.lsn], done.next_behind);
    }
}

/// Opens a folder's store and asks it everything that the model knows, at another LSN.
pub fn holds(folder: &Path, clock: &Arc<FixedClock>, model: &Model, lsn: Lsn) {
    let store = Store::open(folder, options(clock)).unwrap();
    let mut model = model.clone();
    model.lsn = lsn;
    Examination::of(&model, &store.snapshot().unwrap(), Depth::Paths).perfect().unwrap();
    store.close().unwrap();
    crate::folder::verify(folder, options(clock)).unwrap();
}

/// Every file of a folder with its length and a hash of its content, but for the note of who has the store.
pub fn contents(dir: &Path) -> BTreeMap<PathBuf, (usize, u64)> {
    let files = files_below(dir).unwrap().into_iter().filter(|path| !path.ends_with("owner.json"));
    let told = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        (bytes.len(), barkeeper_storage::checksum(0, &[], &bytes))
    };
    files.map(|path| (path.strip_prefix(dir).unwrap().to_owned(), told(&path))).collect()
}

/// Restores a backup of a place; answers where the former state is kept.
///
/// # Errors
/// As [`BackupRepository::restore`].
pub fn restore(
    place: &Place,
    backup: &str,
    into: &Path,
    options: RestoreOptions,
) -> Result<PathBuf, BackupError> {
    let done = place.backups().restore(backup, into, options, turn(&place.clock, 0), &mut |_, _| {})?;
    Ok(done.safety_copy.unwrap_or_default())
}

/// Flips a bit in the middle of a file, whose length stays.
pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// A content of a backup that is a segment, and where the store has it.
pub fn shared_segment(place: &Place, backup: &str) -> (PathBuf, PathBuf) {
    let root = place.dir.path().join("backups");
    let manifest = fs::read_to_string(root.join(format!("manifests/{backup}.json"))).unwrap();
    for content in files_below(&root.join("files")).unwrap() {
        let is_segment = content.extension().is_some_and(|end| end == "parquet");
        if is_segment && manifest.contains(content.file_stem().unwrap().to_str().unwrap()) {
            let bytes = fs::read(&content).unwrap();
            let segments = files_below(&place.folder().join("bars")).unwrap();
            return (content, segments.into_iter().find(|path| fs::read(path).unwrap() == bytes).unwrap());
        }
    }
    panic!("{backup} has no segment")
}
