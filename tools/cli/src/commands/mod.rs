//! The commands, one a file.

pub(crate) mod backup;
pub(crate) mod bars;
pub(crate) mod compact;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod factors;
pub(crate) mod files;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod listing;
pub(crate) mod merge;
pub(crate) mod positions;
pub(crate) mod publish;
pub(crate) mod seal;
pub(crate) mod snapshots;
pub(crate) mod sql;
pub(crate) mod stats;
pub(crate) mod sync;
pub(crate) mod trades;
pub(crate) mod trash;
pub(crate) mod undo;
pub(crate) mod verify;
