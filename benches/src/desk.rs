//! `Desk`: the store of a shape, imported once for each build of this program, and copies of it to work on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use barkeeper::{Store, StoreOptions};
use barkeeper_host::{ImportSettings, SystemClock};
use tempfile::TempDir;

use crate::files::{Files, prepare};
use crate::market::Shape;
use crate::measure::nanos;

/// What the workloads of a shape stand on.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) shape: Shape,
    pub(crate) files: Files,
}

/// A store of a workload's own, gone with it.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) dir: TempDir,
}

impl Scratch {
    /// The store's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }
}

/// What every store of the bench is opened with: the defaults and the machine's clock.
pub(crate) fn options() -> StoreOptions {
    StoreOptions::new(Arc::new(SystemClock))
}

impl Desk {
    pub(crate) fn new(data: &Path, shape: Shape) -> anyhow::Result<Self> {
        Ok(Self { shape, files: prepare(data, shape)? })
    }

    /// An empty folder on the disk of the data.
    pub(crate) fn scratch(&self) -> anyhow::Result<Scratch> {
        let dir = tempfile::Builder::new().prefix("scratch-").tempdir_in(&self.files.home)?;
        Ok(Scratch { dir })
    }

    /// Imports all CSV files into a new store; answers how long that took, the durable end included.
    pub(crate) fn import(&self, folder: &Path) -> anyhow::Result<u64> {
        let store = Store::create(folder, options())?;
        let start = Instant::now();
        let paths = [self.files.csv.clone()];
        let report = barkeeper_host::import(&store, &paths, &ImportSettings::default(), &mut |_| {})?;
        let took = nanos(start.elapsed());
        let rows = self.files.number("rows")?;
        ensure!(report.is_clean(), "the import left something out: {:?}", report.refused.first());
        ensure!(report.bars.inserted as f64 == rows, "{} of {rows} rows", report.bars.inserted);
        store.close()?;
        Ok(took)
    }

    /// The kept store of this build of the program: another build may lay it out in another way.
    fn kept(&self) -> anyhow::Result<PathBuf> {
        let program = fs::metadata(std::env::current_exe()?)?;
        let built = program.modified()?.duration_since(UNIX_EPOCH)?;
        Ok(self.files.home.join(format!("store-{:x}-{:x}", program.len(), built.as_nanos())))
    }

    /// A copy of the store that holds the files' bars, all of them sealed.
    pub(crate) fn copy(&self) -> anyhow::Result<Scratch> {
        let kept = self.kept()?;
        if !kept.is_dir() {
            self.forget()?;
            let made = self.scratch()?;
            self.import(&made.store())?;
            fs::rename(made.store(), &kept)?;
        }
        let scratch = self.scratch()?;
        copy_store(&kept, &scratch.store()).with_context(|| format!("cannot copy {}", kept.display()))?;
        Ok(scratch)
    }

    /// Keeps a freshly imported store for the workloads that come.
    pub(crate) fn keep(&self, scratch: &Scratch) -> anyhow::Result<()> {
        self.forget()?;
        fs::rename(scratch.store(), self.kept()?)?;
        Ok(())
    }

    /// Removes the stores of earlier builds, and folders that a killed run left.
    fn forget(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.files.home)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("store-") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Copies a store that nobody has open. Segments never change, so they are linked.
pub(crate) fn copy_store(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_store(&entry.path(), &target)?;
        } else if entry.path().extension().is_some_and(|extension| extension == "parquet") {
            fs::hard_link(entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
