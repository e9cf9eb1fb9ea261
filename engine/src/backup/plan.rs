//! What a restore or its undo would change, without changing anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use barkeeper_records::{Digest, Lsn, Timestamp};
use barkeeper_storage::Dataset;
use serde::Serialize;

use crate::backup::error::{BackupError, at};
use crate::backup::incarnation::refused_format;
use crate::backup::repository::{BackupRepository, copy_hashed, need_space};
use crate::backup::restore::{files_below, make_parent, make_ready};
use crate::backup::swap::{KEPT, RESTORING, SafetyCopy, Swap, discard};
use crate::error::{MaintenanceError, OpenError, ReadResult};
use crate::folder::{self, DATABASE, SUMS};
use crate::options::StoreOptions;
use crate::report::Finding;
use crate::store::Store;

/// A dataset now and in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetChange {
    /// Which: `bars 1d/raw`, `trades`, ...
    pub dataset: String,
    /// Rows in the store; `None` where it cannot be read.
    pub now: Option<u64>,
    /// Rows in the backup, or in the former state.
    pub then: u64,
    /// Whether the rows are the same, and all of them can be read; `None` where that is not known.
    pub same: Option<bool>,
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// Which backup.
    pub backup: String,
    /// When it was made.
    pub at: Timestamp,
    /// Its last commit.
    pub lsn_then: Lsn,
    /// The store's last commit; `None` where there is no store, or none that can be read.
    pub lsn_now: Option<Lsn>,
    /// Why the store cannot be read, where there is one.
    pub unreadable: Option<String>,
    /// What a verification of the store found. A restore would mend it.
    pub findings: Vec<Finding>,
    /// Every dataset of either.
    pub datasets: Vec<DatasetChange>,
    /// Length of all files.
    pub bytes: u64,
}

/// What the undo of a restore would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UndoPlan {
    /// Where the state is that would come back.
    pub former: PathBuf,
    /// Its last commit; `None` where it cannot be read.
    pub lsn_then: Option<Lsn>,
    /// The store's last commit; `None` where it cannot be read.
    pub lsn_now: Option<Lsn>,
    /// Commits made since the restore, which the undo would take away; `None` where that is not known.
    pub commits: Option<u64>,
    /// Why one of both cannot be read.
    pub unreadable: Option<String>,
    /// What a verification of the former state found, where one was asked for: it may be what was restored for.
    pub findings: Vec<Finding>,
    /// Every dataset of either, where both can be read.
    pub datasets: Vec<DatasetChange>,
}

/// What a store holds.
#[derive(Default)]
struct Held {
    lsn: Lsn,
    /// The LSN behind which the present incarnation began; `None` where no restore made one.
    began: Option<Lsn>,
    datasets: BTreeMap<String, Digest>,
    /// The dataset of each segment, by its path.
    segments: HashMap<String, String>,
}

impl Held {
    fn of(store: &Store) -> ReadResult<Self> {
        let snapshot = store.snapshot()?;
        let began = store.inner().identity.restored.last().map(|[_, _, lsn]| Lsn(*lsn));
        let manifest = store.inner().segments.manifest(snapshot.view())?;
        let name = |dataset: Dataset| match dataset {
            Dataset::Bars { interval, adjustment } => format!("bars {interval}/{adjustment}"),
            other => other.folder(),
        };
        let segments = manifest.entries.iter().map(|entry| (entry.path(), name(entry.dataset))).collect();
        Ok(Self { lsn: snapshot.lsn(), began, datasets: snapshot.datasets()?, segments })
    }

    /// `Err` tells why it cannot be read.
    fn look(dir: &Path, options: StoreOptions) -> Result<Result<Self, String>, BackupError> {
        match Store::open(dir, StoreOptions { background: false, ..options }) {
            Ok(store) => Ok(Self::of(&store).map_err(|error| error.to_string())),
            Err(error @ OpenError::InUse { .. }) => Err(error.into()),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

/// The rows of each dataset of either side; `of` tells what the findings say of one.
fn changes(
    now: Option<&Held>,
    then: &BTreeMap<String, Digest>,
    of: impl Fn(&str) -> Option<bool>,
) -> Vec<DatasetChange> {
    let present = now.into_iter().flat_map(|held| held.datasets.keys());
    let names: BTreeSet<&String> = present.chain(then.keys()).collect();
    let change = |name: &String| {
        let now = now.map(|held| held.datasets.get(name).copied().unwrap_or_default());
        let then: Digest = then.get(name).copied().unwrap_or_default();
        DatasetChange {
            dataset: name.clone(),
            now: now.map(|digest| digest.count),
            then: then.count,
            same: now.and_then(|digest| if digest == then { of(name) } else { Some(false) }),
        }
    };
    names.into_iter().map(change).collect()
}

/// Which datasets findings are of.
#[derive(Default)]
struct Blame {
    datasets: BTreeSet<String>,
    /// Whether one may be of any dataset.
    any: bool,
}

impl Blame {
    fn of(findings: &[Finding], held: &Held) -> Self {
        let mut blame = Self::default();
        for finding in findings {
            let words: Vec<&str> = finding.place.split(' ').collect();
            let series = match words.as_slice() {
                [_, interval, adjustment] => Some(format!("bars {interval}/{adjustment}")),
                _ => None,
            };
            let series = series.filter(|name| held.datasets.contains_key(name));
            match held.segments.get(&finding.place).cloned().or(series) {
                Some(name) => {
                    blame.datasets.insert(name);
                }
                // A file that nobody needs takes nothing away.
                None if !finding.damage && finding.place.ends_with(".parquet") => {}
                None => blame.any = true,
            }
        }
        blame
    }

    /// Whether all rows of a dataset can be read; `None` where that is not known.
    fn tells(&self, dataset: &str) -> Option<bool> {
        if self.datasets.contains(dataset) { Some(false) } else { (!self.any).then_some(true) }
    }
}

impl BackupRepository {
    /// What a restore would change, without changing anything: rows of each dataset now and then. Everything
    /// in the store is read, because counts and digests alone would not show damage; `progress` hears of it.
    ///
    /// # Errors
    /// `NoBackup`, `NoRepository`, `Missing` and `Damaged` where the backup cannot be restored; `Open` where
    /// another process has the store; `Io`.
    pub fn plan_restore(
        &self,
        backup: &str,
        into: &Path,
        options: StoreOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RestorePlan, BackupError> {
        let _lock = self.lock_shared()?;
        let manifest = self.find(backup)?;
        self.present(&manifest)?;
        let alone = StoreOptions { background: false, ..options.clone() };
        let (mut findings, mut unreadable, mut present) = (Vec::new(), None, None);
        match Store::verify(into, alone, progress) {
            Ok(report) => {
                findings = report.findings;
                match Held::look(into, options)? {
                    Ok(held) => present = Some(held),
                    Err(why) => unreadable = Some(why),
                }
            }
            Err(MaintenanceError::Open(error)) => match *error {
                OpenError::NotFound { .. } => {
                    present = Some(Held::default());
                }
                error @ OpenError::InUse { .. } => return Err(error.into()),
                error => unreadable = Some(error.to_string()),
            },
            Err(error) => unreadable = Some(error.to_string()),
        }
        let blame = present.as_ref().map(|held| Blame::of(&findings, held)).unwrap_or_default();
        let datasets = changes(present.as_ref(), &manifest.datasets, |name| blame.tells(name));
        Ok(RestorePlan {
            lsn_now: present.map(|held| held.lsn).filter(|lsn| *lsn > Lsn(0)),
            unreadable,
            findings,
            datasets,
            bytes: manifest.bytes(),
            at: manifest.at,
            lsn_then: manifest.lsn,
            backup: manifest.name,
        })
    }

    /// What [`BackupRepository::undo_restore_to`] would change, without changing anything. The former state is
    /// copied beside and opened there, which takes as much space as its database; with `verify` it is read
    /// whole.
    ///
    /// # Errors
    /// `NothingToUndo`, `NoFormerState`, `NoFormerDatabase`, `FormerFormat`; `Open` where another process has the
    /// store; `NoSpace`, `Io`.
    pub fn plan_undo(
        &self,
        folder: &Path,
        former: Option<&str>,
        options: StoreOptions,
        verify: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<UndoPlan, BackupError> {
        let now = Held::look(folder, options.clone())?;
        // Where a restore builds, nobody else may be at work.
        let _alone = Swap::begin(folder)?;
        let former = SafetyCopy::undoable(folder, former)?;
        let building = folder.join(RESTORING);
        let looked = build_former(&former, folder, &building).and_then(|()| {
            if let Some(error) = refused_format(&building.join(DATABASE)) {
                return Err(BackupError::FormerFormat { path: former.clone(), source: Box::new(error) });
            }
            let alone = StoreOptions { background: false, ..options.clone() };
            let read = verify.then(|| Store::verify(&building, alone, progress));
            let mut findings = read.and_then(Result::ok).map(|report| report.findings).unwrap_or_default();
            // Segments of the present store, which the former one does not name.
            findings.retain(|finding| finding.damage || !finding.place.ends_with(".parquet"));
            Ok((findings, Held::look(&building, options)?))
        });
        drop(discard(&building));
        let (findings, then) = looked?;
        let lsn = |held: &Result<Held, String>| held.as_ref().ok().map(|held| held.lsn);
        let (lsn_now, lsn_then) = (lsn(&now), lsn(&then));
        let commits = now.as_ref().ok().and_then(|held| Some(held.lsn.0.saturating_sub(held.began?.0)));
        let datasets = match (&now, &then) {
            (Ok(now), Ok(then)) => {
                let blame = Blame::of(&findings, then);
                changes(Some(now), &then.datasets, |name| blame.tells(name))
            }
            _ => Vec::new(),
        };
        let told = |which: &str, held: Result<Held, String>| held.err().map(|why| format!("{which}: {why}"));
        let unreadable = told("the store", now).or_else(|| told("the former state", then));
        Ok(UndoPlan { former, lsn_then, lsn_now, commits, unreadable, findings, datasets })
    }
}

/// Puts a former state together where it may be written to, as an undo would leave it: segments that it has lost,
/// and that the present store has, stay where they are.
fn build_former(former: &Path, folder: &Path, building: &Path) -> Result<(), BackupError> {
    make_ready(building)?;
    let mut files: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for part in KEPT {
        let part = folder.join(part);
        let present = folder::segment_files(&part).map_err(at(&part))?.into_iter();
        files.extend(present.map(|(file, _)| (file.strip_prefix(folder).unwrap_or(&file).to_owned(), file)));
    }
    let kept = files_below(former)?.into_iter();
    files.extend(kept.map(|file| (file.strip_prefix(former).unwrap_or(&file).to_owned(), file)));
    for (relative, file) in files {
        let to = building.join(&relative);
        make_parent(&to)?;
        let is_written = [DATABASE, SUMS].map(Path::new).contains(&relative.as_path());
        if is_written || fs::hard_link(&file, &to).is_err() {
            need_space(building, fs::metadata(&file).map_err(at(&file))?.len())?;
            copy_hashed(&file, &to, &mut |_| {})?;
        }
    }
    Ok(())
}
