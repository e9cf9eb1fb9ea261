//! `StoreOptions`: what a store is opened with. Nothing is read from the environment.

use std::sync::Arc;
use std::time::Duration;

use barkeeper_records::{Calendar, Clock, limits};

use crate::maintenance::MaintenanceOptions;

/// Hears of bytes checked and bytes in all.
pub type OnCheck = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// What a store is opened with.
#[derive(Clone)]
pub struct StoreOptions {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Which days are trading days, for the daily increment. `cn_a` with weekdays by default.
    pub calendar: Calendar,
    /// Bytes of database pages kept in memory: 128 MiB by default, 16 MiB to 1 GiB.
    pub cache_bytes: usize,
    /// How other processes are told who has the store.
    pub program: String,
    /// Whether threads of the store's own write relaxed values every 200 ms and maintain the store. On by
    /// default; off, relaxed values are written with the next commit and at close, and
    /// [`Store::maintain`](crate::Store::maintain) is for the caller.
    pub background: bool,
    /// How long a snapshot may be held before it expires: 60 s by default, by the steady clock. Looked at
    /// before every commit and, with `background`, every 200 ms.
    pub snapshot_age: Duration,
    /// Whether a folder is taken that lies on another machine or that a cloud service copies. Off by
    /// default: locks and flushes cannot be relied on there.
    pub allow_shared_folder: bool,
    /// Bytes of disk that are kept back for trades, positions and snapshots when nothing else is free: 64 MiB by
    /// default; bars stop where half as much is not free beside them. Less on a small disk or with many stores on
    /// one; 0 keeps nothing back and stops nothing.
    pub reserve_bytes: u64,
    /// Hears how far the check of a whole database has come while it is opened: bytes checked, bytes of the
    /// file. A store that was closed is opened without one. Nobody by default.
    pub on_check: Option<OnCheck>,
    /// When background maintenance does what.
    pub maintenance: MaintenanceOptions,
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions").field("program", &self.program).finish_non_exhaustive()
    }
}

impl StoreOptions {
    /// The defaults with a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            calendar: Calendar::default(),
            cache_bytes: 128 * 1024 * 1024,
            program: "barkeeper".to_owned(),
            background: true,
            snapshot_age: Duration::from_nanos(limits::SNAPSHOT_AGE_NS.unsigned_abs()),
            allow_shared_folder: false,
            reserve_bytes: limits::RESERVE_BYTES,
            on_check: None,
            maintenance: MaintenanceOptions::default(),
        }
    }
}
