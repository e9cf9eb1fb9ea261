//! `Exit`: how the program ended, for scripts.

use std::process::ExitCode;

/// What the exit codes mean. They are an interface: a number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything was done.
    Done = 0,
    /// It failed, or a check found something.
    Findings = 1,
    /// The command line makes no sense; nothing was tried.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// Another process has the store.
    InUse = 4,
    /// The answer could not be found out.
    Unknown = 5,
    /// A target cannot be reached.
    Unreachable = 6,
    /// Stored bytes are damaged.
    Damaged = 7,
    /// The store stopped in the middle and must be opened again.
    Down = 8,
    /// The disk is full.
    DiskFull = 9,
}

/// The codes as `--help` shows them.
pub(crate) const HELP: &str = "Exit codes: 0 done, 1 failed or findings, 2 usage, 3 not found, 4 store in use, \
5 could not tell, 6 target unreachable, 7 damaged, 8 store went down, 9 disk full.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
