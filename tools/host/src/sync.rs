//! `Target`: one configured target with its replicator; the loop that follows the log and the settings.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use barkeeper_records::{Clock as _, FeedError};
use barkeeper_sync::sqlite::{self, SqliteSink};
use barkeeper_sync::{
    CheckError, CheckOptions, CheckReport, ErrorClass, MemoryFile, Mode, Options, Reached, RepairError,
    RepairOptions, RepairReport, Replicator, ReplicatorError, Resolution, Sink, State, Step, TargetStatus,
};
use ulid::Ulid;

use crate::clock::SystemClock;
use crate::config::{CONFIG_FILE, Config, ConfigError, TargetKind, TargetName};
use crate::note::{FOLDER, StatusNote};
use crate::open::Opened;

/// Between two looks at the log when there is nothing to ship.
const POLL: Duration = Duration::from_millis(200);
/// Between two looks at the settings; a change has to take effect within 3 s.
const SETTINGS: Duration = Duration::from_millis(500);
/// Between two notes of an unchanged state.
const NOTE: Duration = Duration::from_secs(5);

/// Why a target could not be brought up, compared or mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings of the target.
    #[error("target {target}: {source}")]
    Settings {
        /// Which.
        target: TargetName,
        /// What is wrong with them.
        source: sqlite::ConfigError,
    },
    /// A file beside the store that remembers the target.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The store could not forget a target.
    #[error("target {target}: {source}")]
    Forget {
        /// Which.
        target: TargetName,
        /// What the store said.
        source: FeedError,
    },
    /// Comparing or mending failed.
    #[error("target {target}: {source}")]
    Replicator {
        /// Which.
        target: TargetName,
        /// Whether the target could not be reached.
        unreachable: bool,
        /// What happened.
        source: ReplicatorError,
    },
}

impl SyncError {
    /// Whether the target could not be reached.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Replicator { unreachable: true, .. })
    }

    /// Whether a comparison could not begin because the target does not stand at the store's last commit.
    pub const fn could_not_tell(&self) -> bool {
        matches!(self, Self::Replicator { source: ReplicatorError::NotCurrent { .. }, .. })
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncProgress {
    /// Rows sent in this run.
    pub rows: u64,
    /// The LSN at which the target stands.
    pub at: u64,
    /// The store's last commit.
    pub head: u64,
}

/// A configured target and what replicates to it.
#[derive(Debug)]
pub struct Target {
    name: TargetName,
    folder: PathBuf,
    replicator: Replicator,
    noted: Option<(State, Instant)>,
    /// The settings as they were last read.
    settings: Vec<u8>,
}

impl Target {
    /// A target of the configuration, to be brought up; nothing is connected yet. Once current it is
    /// compared, and rows that it has lost are sent again.
    ///
    /// # Errors
    /// `Config` where there is no such target, `Settings`, `Io`.
    pub fn new(opened: &Opened, name: &TargetName) -> Result<Self, SyncError> {
        Self::with(opened, name, Options::of(name.as_str(), 0).verify_every)
    }

    /// A target of the configuration, to be compared or mended: nothing is sent again before it was seen
    /// to differ.
    ///
    /// # Errors
    /// `Config` where there is no such target, `Settings`, `Io`.
    pub fn to_compare(opened: &Opened, name: &TargetName) -> Result<Self, SyncError> {
        Self::with(opened, name, None)
    }

    fn with(opened: &Opened, name: &TargetName, verify_every: Option<Duration>) -> Result<Self, SyncError> {
        let folder = opened.store.folder().to_owned();
        let config = opened.config.target(name, &folder)?;
        let memory = folder.join(FOLDER);
        fs::create_dir_all(&memory).map_err(|source| SyncError::Io { path: memory.clone(), source })?;
        let sink: Box<dyn Sink> = match &config.kind {
            TargetKind::Sqlite(config) => {
                // A relative path would follow the working directory of whoever runs it.
                let path = folder.join(&config.path);
                let sink = SqliteSink::new(sqlite::SqliteConfig { path, ..config.clone() });
                Box::new(sink.map_err(|source| SyncError::Settings { target: name.clone(), source })?)
            }
        };
        let seed = u64::try_from(Ulid::generate().random() & u128::from(u64::MAX)).unwrap_or(0);
        let options = Options { mode: config.mode, verify_every, ..Options::of(name.as_str(), seed) };
        let file = MemoryFile::new(memory.join(format!("{name}.json")));
        let replicator = Replicator::new(opened.store.feed(), sink, Arc::new(SystemClock), file, options);
        let settings = fs::read(folder.join(CONFIG_FILE)).unwrap_or_default();
        Ok(Self { name: name.clone(), folder, replicator, noted: None, settings })
    }

    /// Its name.
    pub const fn name(&self) -> &TargetName {
        &self.name
    }

    /// Everything that can be said of it.
    pub fn status(&self) -> TargetStatus {
        self.replicator.status()
    }

    /// Whether it could not be reached at the last attempt.
    pub fn is_unreachable(&self) -> bool {
        let status = self.replicator.status();
        let temporary = status.last_error.is_some_and(|error| error.class == Some(ErrorClass::Temporary));
        status.state == State::Degraded && temporary
    }

    /// Brings the target up to the last commit.
    ///
    /// # Errors
    /// `Io` where the status cannot be noted.
    pub fn run(
        &mut self,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(SyncProgress),
    ) -> Result<Reached, SyncError> {
        let mut at = SyncProgress::default();
        let reached = self.replicator.run_until_current(stop, &mut |step, replicator| {
            at.rows += rows_of(step);
            let status = replicator.status();
            (at.at, at.head) = (status.acknowledged.0, status.head.0);
            progress(at);
        });
        self.note(true)?;
        Ok(reached)
    }

    /// Follows the log, and the settings in `barkeeper.toml`, until `stop` is set.
    ///
    /// # Errors
    /// `Io` where the status cannot be noted.
    pub fn follow(
        &mut self,
        stop: &AtomicBool,
        changed: &mut dyn FnMut(&TargetStatus),
    ) -> Result<(), SyncError> {
        let mut looked = Instant::now();
        let mut told = None;
        while !stop.load(Ordering::Relaxed) {
            if looked.elapsed() >= SETTINGS {
                self.look_at_settings();
                looked = Instant::now();
            }
            let step = self.replicator.step();
            self.note(false)?;
            if told.as_ref() != Some(self.replicator.state()) {
                told = Some(self.replicator.state().clone());
                changed(&self.replicator.status());
            }
            if matches!(step, Step::Idle | Step::Stopped | Step::Waiting { .. }) {
                thread::sleep(POLL);
            }
        }
        self.replicator.drain();
        self.note(true)
    }

    /// Takes over a mode that was changed in the file. A file that is wrong changes nothing until it is right.
    fn look_at_settings(&mut self) {
        let path = self.folder.join(CONFIG_FILE);
        let Ok(now) = fs::read(&path) else { return };
        if now == self.settings {
            return;
        }
        let text = String::from_utf8_lossy(&now);
        let Ok(config) = Config::parse(&text, &path) else { return };
        // A target that is no longer named is left alone.
        let mode = config.targets.get(&self.name).map_or(Mode::LocalOnly, |target| target.mode);
        self.replicator.set_mode(mode);
        self.settings = now;
    }

    /// Compares store and target.
    ///
    /// # Errors
    /// `Replicator`, `Io`.
    pub fn check(&mut self, options: &CheckOptions, stop: &AtomicBool) -> Result<CheckReport, SyncError> {
        let result = self.replicator.check(options, stop);
        self.note(true)?;
        result.map_err(|error| self.failed(error))
    }

    /// Compares deeply, mends what differs, and compares again. What only the target has is saved first.
    ///
    /// # Errors
    /// `Replicator`, `Io`.
    pub fn repair(
        &mut self,
        options: &RepairOptions,
        stop: &AtomicBool,
    ) -> Result<(RepairReport, CheckReport), SyncError> {
        let result = self.replicator.repair(options, stop);
        self.note(true)?;
        result.map_err(|error| self.failed(error))
    }

    /// Where a repair saves what it takes away, if nobody says otherwise: a new file for each repair.
    pub fn default_save(&self) -> PathBuf {
        let millis = SystemClock.now().millis();
        self.folder.join(FOLDER).join(format!("{}-replaced-{millis}.jsonl", self.name))
    }

    /// Carries out a person's decision about a target in quarantine, then brings it up.
    ///
    /// # Errors
    /// `Replicator`, `Io`.
    pub fn resolve(
        &mut self,
        resolution: Resolution,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(SyncProgress),
    ) -> Result<Reached, SyncError> {
        let reached = self.run(stop, progress)?;
        if reached != Reached::Blocked {
            return Ok(reached);
        }
        self.replicator.resolve(resolution).map_err(|error| self.failed(error))?;
        self.run(stop, progress)
    }

    /// Ends the connection and notes where the target stands.
    ///
    /// # Errors
    /// `Io` where it cannot be noted.
    pub fn close(mut self) -> Result<(), SyncError> {
        // A drained target is switched off only for this process: the note says what it was.
        self.note(true)?;
        self.replicator.drain();
        Ok(())
    }

    fn failed(&self, source: ReplicatorError) -> SyncError {
        let sink = match &source {
            ReplicatorError::Check(CheckError::Sink(error))
            | ReplicatorError::Repair(RepairError::Check(CheckError::Sink(error))) => Some(error.class()),
            _ => None,
        };
        let unreachable = sink == Some(ErrorClass::Temporary)
            || (matches!(source, ReplicatorError::NotCurrent { .. }) && self.is_unreachable());
        SyncError::Replicator { target: self.name.clone(), unreachable, source }
    }

    fn note(&mut self, now: bool) -> Result<(), SyncError> {
        let state = self.replicator.state();
        let due = self.noted.as_ref().is_none_or(|(noted, at)| noted != state || at.elapsed() >= NOTE);
        if !now && !due {
            return Ok(());
        }
        let status = self.replicator.status();
        let state = status.state.clone();
        StatusNote::of(&status, SystemClock.now())
            .save(&self.folder, &self.name)
            .map_err(|source| SyncError::Io { path: self.folder.join(FOLDER), source })?;
        self.noted = Some((state, Instant::now()));
        Ok(())
    }
}

/// Lets a store forget a target: its log is no longer kept for it, and the note of its state goes. What
/// stands in the target's database stays there, and with it the memory of who wrote it, so that the target
/// goes on when it is added again.
///
/// # Errors
/// `Forget`, `Io`.
pub fn forget_target(opened: &Opened, name: &TargetName) -> Result<(), SyncError> {
    let forgotten = opened.store.feed().forget_target(name.as_str());
    forgotten.map_err(|source| SyncError::Forget { target: name.clone(), source })?;
    StatusNote::remove(opened.store.folder(), name)
        .map_err(|source| SyncError::Io { path: opened.store.folder().join(FOLDER), source })
}

fn rows_of(step: &Step) -> u64 {
    match step {
        Step::Shipped { changes: rows, .. } | Step::Copied { rows, .. } => *rows as u64,
        _ => 0,
    }
}
