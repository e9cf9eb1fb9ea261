//! Composition root: configuration, clock, imports, sync and the demo. The tools stand on this crate.

mod clock;
mod config;
mod config_file;
pub mod demo;
mod open_days;
mod replace;

pub use clock::SystemClock;
pub use config::{
    CONFIG_FILE, Config, ConfigError, TargetConfig, TargetKind, TargetMode, TargetModeError, TargetName,
    TargetNameError,
};
pub use config_file::ConfigFile;
