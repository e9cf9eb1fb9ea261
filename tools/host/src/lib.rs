//! Composition root: configuration, clock, imports, sync and the demo. The tools stand on this crate.

mod backup;
mod clock;
mod config;
mod config_file;
pub mod demo;
pub mod doctor;
mod import;
mod note;
mod open;
mod open_days;
mod replace;
mod sync;
mod way_back;

pub use backup::{
    BackupFailure, BackupSettings, Restored, ScheduledBackup, backup_options, restore_backup,
    scheduled_backup,
};
pub use clock::SystemClock;
pub use config::{
    CONFIG_FILE, Config, ConfigError, TargetConfig, TargetKind, TargetName, TargetNameError, mode_name,
    mode_of,
};
pub use config_file::ConfigFile;
pub use import::{
    BarCounts, ImportError, ImportProgress, ImportReport, ImportSettings, Note, PositionCounts, Refused,
    Rejected, TradeCounts, WalkError, import,
};
pub use note::{NotedError, StatusNote, state_name};
pub use open::{InitSettings, Opened, StartError, create, open, open_watched, store_options};
pub use sync::{SyncError, SyncProgress, Target, forget_target};
pub use way_back::{way_back, way_on};
