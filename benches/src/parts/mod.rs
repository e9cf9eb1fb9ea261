//! The parts of a run: workloads that share a store. Each part runs in a process of its own.

mod append;
mod commits;
#[cfg(feature = "polars")]
mod frames;
mod import;
mod ledger;
mod minutes;
mod mixed;
mod opening;
mod pace;
mod sealed;
mod trades;

pub(crate) use opening::write_until_killed;

use anyhow::Result;
use clap::ValueEnum;

use crate::desk::Desk;

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// CSV files into a new store; bytes on disk
    Import,
    /// Positions
    Ledger,
    /// The trade log and its summaries
    Trades,
    /// Sealed bars on both axes
    Sealed,
    /// Frames of polars over sealed bars
    #[cfg(feature = "polars")]
    Frames,
    /// Days appended, and hot bars on both axes
    Append,
    /// Durable commits, alone and many at once
    Commits,
    /// Opening, clean and after a kill; the first read
    Opening,
    /// Minute bars
    Minutes,
    /// Minute bars and ticks at the pace of the market
    Pace,
    /// Readers beside a writer
    Mixed,
}

impl Part {
    pub(crate) fn run(self, desk: &Desk, sustain: u64) -> Result<()> {
        match self {
            Self::Import => import::run(desk),
            Self::Ledger => ledger::run(desk),
            Self::Trades => trades::run(desk),
            Self::Sealed => sealed::run(desk),
            #[cfg(feature = "polars")]
            Self::Frames => frames::run(desk),
            Self::Append => append::run(desk),
            Self::Commits => commits::run(desk),
            Self::Opening => opening::run(desk),
            Self::Minutes => minutes::run(desk, sustain),
            Self::Pace => pace::run(desk, sustain),
            Self::Mixed => mixed::run(desk),
        }
    }
}
