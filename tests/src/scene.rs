//! Scenes: copies of one filled store on a disk that is recorded, in which work is cut off at a step.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use barkeeper::{MaintenanceError, Store, StoreOptions};
use barkeeper_records::{Clock, FixedClock, Timestamp};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::folder::{clock, copy, files_below, scratch};
use crate::model::Model;
use crate::rng::Rng;

type Options = fn(&Arc<FixedClock>) -> StoreOptions;

/// A filled store that every scene begins with a copy of.
pub struct Template {
    dir: TempDir,
    image: Vec<u8>,
    now: Timestamp,
    options: Options,
    /// What the store holds.
    pub model: Model,
}

/// A store on a disk that is recorded, its segments in a folder.
pub struct Scene {
    /// The store's folder.
    pub dir: TempDir,
    /// The store's clock.
    pub clock: Arc<FixedClock>,
    /// What stands for `store.redb`.
    pub disk: Disk,
    /// The store.
    pub store: Store,
    /// What it holds.
    pub model: Model,
}

#[allow(clippy::expect_used, reason = "without a store a test has failed")]
impl Template {
    /// Makes a store with these options and fills it.
    ///
    /// # Panics
    /// Where no store can be made.
    pub fn new(options: Options, fill: impl FnOnce(&Store, &FixedClock) -> Model) -> Self {
        let (dir, clock, disk) = (scratch(), clock(), Disk::new());
        let store = Store::on_backend(disk.clone(), dir.path(), options(&clock)).expect("a new store");
        let model = fill(&store, &clock);
        drop(store);
        Self { dir, image: disk.bytes(), now: clock.now(), options, model }
    }

    /// How long its database is.
    pub const fn bytes(&self) -> usize {
        self.image.len()
    }

    fn folder(&self) -> (TempDir, Arc<FixedClock>) {
        let copied = scratch();
        copy(self.dir.path(), copied.path()).expect("a copy of the folder");
        (copied, Arc::new(FixedClock::new(self.now)))
    }

    /// A copy on a disk that is recorded.
    ///
    /// # Panics
    /// Where the copy does not open.
    pub fn scene(&self) -> Scene {
        let (dir, clock) = self.folder();
        let disk = Disk::holding(self.image.clone());
        let options = (self.options)(&clock);
        let store = Store::on_backend(disk.clone(), dir.path(), options).expect("a copy of a store");
        Scene { dir, clock, disk, store, model: self.model.clone() }
    }

    /// A copy with its database as a file in its folder.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn on_files(&self) -> (TempDir, Arc<FixedClock>) {
        let (dir, clock) = self.folder();
        fs::write(dir.path().join("store.redb"), &self.image).expect("a database");
        (dir, clock)
    }
}

impl Scene {
    /// Works, cut off at a step where one is named. Answers each step's name and how many requests the disk
    /// had seen by then.
    ///
    /// # Panics
    /// Where the work fails without a cut, or does not fail of one.
    pub fn run(
        &self,
        cut: Option<usize>,
        work: impl FnOnce(&Store) -> Result<(), MaintenanceError>,
    ) -> Vec<(&'static str, usize)> {
        let steps = Arc::new(Mutex::new(Vec::new()));
        let (seen, disk) = (steps.clone(), self.disk.clone());
        self.store.on_step(move |number, name| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((name, disk.requests()));
            cut == Some(number)
        });
        let done = work(&self.store);
        self.store.on_step(|_, _| false);
        let steps = steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(done.is_err(), cut.is_some(), "{done:?}");
        // What is undone on the way out of a cut takes steps of its own.
        assert!(cut.is_none_or(|cut| steps.len() > cut), "{steps:?}");
        steps
    }
}

/// What a power cut may do to a staged file: what was not forced to the disk is torn, empty, zeros or gone.
///
/// # Errors
/// What the operating system says.
pub fn lose_unforced(dir: &Path, step: &str, rng: &mut Rng) -> io::Result<()> {
    for file in files_below(&dir.join("staging"))? {
        let bytes = fs::read(&file)?;
        match rng.below(4) {
            // The folder's entry is forced with the move, not before.
            0 => fs::remove_file(&file)?,
            _ if step == "forced and checked" => {}
            1 => fs::write(&file, [])?,
            2 => fs::write(&file, bytes.get(..rng.below(bytes.len().max(1))).unwrap_or_default())?,
            _ => fs::write(&file, vec![0; bytes.len()])?,
        }
    }
    Ok(())
}
