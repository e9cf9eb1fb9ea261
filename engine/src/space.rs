//! `Space`: room on the store's disk, and the part of it that is kept back for the ledger.
//!
//! A full disk must not take a desk's trades: redb copies what it changes, so even a deletion needs room. So the
//! store keeps a file of the size of the reserve. Near a full disk bars, ticks and imports stop first; then the
//! file is removed, and trades, positions and snapshots go on in its room; then nothing is written, and
//! all is read. Each commit looks again: the reserve comes back first, bars behind it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use barkeeper_records::{Batch, Operation, limits};
use fs4::FileExt;

use crate::error::CommitError;
use crate::folder;
use crate::report::WriteState;

/// Room on the disk of a store, as the last look found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// For everything.
    Enough,
    /// For the ledger alone: bars stop.
    Low {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be free for bars.
        needed: u64,
    },
    /// For nothing.
    None,
}

/// Room on the disk of a store.
pub(crate) struct Space {
    dir: PathBuf,
    /// Bytes that are kept back; 0 for none.
    reserve: u64,
    state: Mutex<State>,
}

struct State {
    held: bool,
    room: Room,
}

impl Space {
    /// Keeps `reserve` bytes of a store's disk back, where they are free.
    pub(crate) fn keep(dir: &Path, reserve: u64) -> Self {
        let space = Self {
            dir: dir.to_owned(),
            reserve,
            state: Mutex::new(State { held: false, room: Room::Enough }),
        };
        let file = space.file();
        let kept = fs::metadata(&file).is_ok_and(|data| data.len() == reserve);
        if reserve == 0 || !kept {
            // One of another size, or one that was cut off.
            drop(fs::remove_file(&file));
        }
        if reserve > 0 {
            space.state.lock().unwrap_or_else(PoisonError::into_inner).held = kept;
            space.look(0);
        }
        space
    }

    fn file(&self) -> PathBuf {
        self.dir.join(folder::RESERVE)
    }

    /// Looks how much is free, and takes or gives the reserve. `bytes` are about what a commit is to write.
    pub(crate) fn look(&self, bytes: u64) -> Room {
        if self.reserve == 0 {
            return Room::Enough;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A system that cannot tell is not a full disk.
        let Ok(mut free) = fs4::available_space(&self.dir) else { return Room::Enough };
        let for_bars = self.reserve / limits::RESERVE_TO_ROOM_FOR_BARS;
        let for_commits = (self.reserve / limits::RESERVE_TO_ROOM_FOR_COMMITS).max(bytes);
        if state.held && free < for_commits {
            state.held = fs::remove_file(self.file()).is_err();
            free = fs4::available_space(&self.dir).unwrap_or(free);
        } else if !state.held && free >= self.reserve + for_bars {
            state.held = allocate(&self.file(), self.reserve).is_ok();
            free = fs4::available_space(&self.dir).unwrap_or(free);
        }
        let needed = if state.held { for_bars } else { for_bars + self.reserve };
        state.room = if state.held && free >= for_bars {
            Room::Enough
        } else if free >= self.reserve / limits::RESERVE_TO_LAST_ROOM {
            Room::Low { free, needed }
        } else {
            Room::None
        };
        state.room
    }

    /// What the last look found, for people.
    pub(crate) fn state(&self) -> WriteState {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.room {
            Room::Enough => WriteState::Writable,
            Room::Low { free, needed } => WriteState::LedgerOnly { free, needed },
            Room::None => WriteState::ReadOnly { reason: "disk full".to_owned() },
        }
    }

    /// Fails where there is no room for bars, ticks and files of them, of about so many bytes.
    pub(crate) fn for_bars(&self, bytes: u64) -> Result<(), CommitError> {
        self.look(0).for_bars()?;
        let needed = self.reserve / limits::RESERVE_TO_ROOM_FOR_BARS + bytes;
        match fs4::available_space(&self.dir) {
            Ok(free) if self.reserve > 0 && free < needed => Err(CommitError::LowSpace { free, needed }),
            _ => Ok(()),
        }
    }
}

impl Room {
    /// Fails where there is no room for bars, ticks and files of them.
    pub(crate) const fn for_bars(self) -> Result<(), CommitError> {
        match self {
            Self::Enough => Ok(()),
            Self::Low { free, needed } => Err(CommitError::LowSpace { free, needed }),
            Self::None => Err(CommitError::DiskFull),
        }
    }
}

/// Whether a batch holds bars, ticks or market trades, which stop before the ledger does.
pub(crate) fn has_bars(batch: &Batch) -> bool {
    let is_bulk = |operation: &Operation| {
        matches!(
            operation,
            Operation::PutBars { .. }
                | Operation::PutCrossSection { .. }
                | Operation::PutTicks { .. }
                | Operation::PutMarketTrades { .. }
        )
    };
    batch.operations.iter().any(is_bulk)
}

/// Makes a file that holds its bytes on the disk, and not a hole of that length.
fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let made = OpenOptions::new().write(true).create(true).truncate(true).open(path).and_then(|file| {
        FileExt::allocate(&file, bytes).or_else(|error| match error.kind() {
            io::ErrorKind::Unsupported => fill(&file, bytes),
            _ => Err(error),
        })
    });
    if made.is_err() {
        drop(fs::remove_file(path));
    }
    made
}

fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    const STEP: usize = 1 << 20;
    // Not zeros: some systems keep none of them.
    let mut some = vec![0_u8; STEP];
    for (number, byte) in some.iter_mut().enumerate() {
        *byte = u8::try_from(number.wrapping_mul(0x9E37_79B1) >> 11 & 0xFF).unwrap_or(1);
    }
    let mut left = bytes;
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(STEP).min(STEP);
        file.write_all(some.get(..step).unwrap_or(&some))?;
        left -= step as u64;
    }
    file.sync_all()
}
