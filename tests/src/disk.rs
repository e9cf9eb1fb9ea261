//! `Disk`: a disk in memory that keeps a record of what was asked of it, and that can show what a power
//! cut at any moment would have left.
//!
//! What `sync_data` confirmed is there. Of everything behind it, each write may be lost, whole or torn
//! at sectors of 512 bytes, and each change of length may be lost.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::StorageBackend;

use crate::rng::Rng;

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One thing that the database asked of the disk.
#[derive(Debug, Clone)]
enum Asked {
    Write { offset: usize, data: Arc<[u8]> },
    SetLen(usize),
    Sync,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    start: Arc<[u8]>,
    log: Vec<Asked>,
    syncs: usize,
    grown: usize,
    lies_from: Option<usize>,
    fails_at: Option<usize>,
    fails_once: bool,
    fault: Option<(Fault, usize, bool)>,
    operations: usize,
    struck: usize,
    held: bool,
    waiting: usize,
    sync_takes: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A disk in memory. Clones are the same disk: one goes to the store, one stays with the test.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    shared: Arc<Shared>,
}

/// What a disk does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every kind of operation fails with EIO.
    Io,
    /// What changes something fails: the file system was made read-only, or the cable is loose.
    Writes,
    /// Reads end early, as at a bad sector.
    ShortReads,
    /// What needs room fails with ENOSPC: what goes beyond the bytes that are there, and each sync after it.
    Full,
    /// Syncs fail, and the writes before them are lost without a word.
    Syncs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Len,
    Read,
    Write,
    Grow,
    Sync,
}

impl Fault {
    fn strikes(self, kind: Kind) -> bool {
        match self {
            Self::Io => true,
            Self::Writes => matches!(kind, Kind::Write | Kind::Grow | Kind::Sync),
            Self::ShortReads => kind == Kind::Read,
            Self::Full => kind == Kind::Grow,
            Self::Syncs => kind == Kind::Sync,
        }
    }

    fn error(self) -> io::Error {
        match self {
            Self::Io | Self::Syncs | Self::Writes => io::Error::from_raw_os_error(5),
            Self::ShortReads => io::ErrorKind::UnexpectedEof.into(),
            Self::Full => io::ErrorKind::StorageFull.into(),
        }
    }
}

impl State {
    /// Counts an operation, and fails it where the test says so.
    fn operate(&mut self, kind: Kind) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some((fault, at, once)) if number >= at && fault.strikes(kind) => {
                if once {
                    self.fault = None;
                }
                self.struck += 1;
                Err(fault.error())
            }
            _ => Ok(()),
        }
    }
}

/// Which of the writes that no sync confirmed a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// All of them, as when the process was killed and the machine lives on.
    All,
    /// A random part, some of them torn.
    Random,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds these bytes, all of them durable.
    pub fn holding(image: Vec<u8>) -> Self {
        let disk = Self::new();
        {
            let mut state = disk.state();
            state.start = image.as_slice().into();
            state.bytes = image;
        }
        disk
    }

    /// A disk on which `sync_data` confirms and does nothing, from the `from`-th request on.
    pub fn lying(from: usize) -> Self {
        let disk = Self::new();
        disk.state().lies_from = Some(from);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a reader of the disk sees now.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// How many requests there were that change something: writes, changes of length, syncs.
    pub fn requests(&self) -> usize {
        self.state().log.len()
    }

    /// How many syncs there were.
    pub fn syncs(&self) -> usize {
        self.state().syncs
    }

    /// How often it was made longer.
    pub fn grown(&self) -> usize {
        self.state().grown
    }

    /// Makes every sync take this long, so that commits have to wait for each other.
    pub fn sync_takes(&self, time: Duration) {
        self.state().sync_takes = time;
    }

    /// Makes the request of this number fail, and with `once` unset all behind it.
    pub fn fail_at(&self, request: usize, once: bool) {
        let mut state = self.state();
        state.fails_at = Some(request);
        state.fails_once = once;
    }

    /// Makes the operation of this number, or the next one that the fault can strike, go wrong; with `once` unset all
    /// behind it as well.
    pub fn strike(&self, fault: Fault, operation: usize, once: bool) {
        self.state().fault = Some((fault, operation, once));
    }

    /// Ends every fault.
    pub fn heal(&self) {
        let mut state = self.state();
        state.fault = None;
        state.fails_at = None;
    }

    /// How many operations there were, of every kind.
    pub fn operations(&self) -> usize {
        self.state().operations
    }

    /// How many of them a fault made fail.
    pub fn struck(&self) -> usize {
        self.state().struck
    }

    /// Lets no sync end until [`Disk::release`].
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Waits until a sync is held.
    pub fn wait_for_sync(&self) {
        let mut state = self.state();
        while state.waiting == 0 {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets syncs end again.
    pub fn release(&self) {
        self.state().held = false;
        self.shared.changed.notify_all();
    }

    /// Everything that was asked of the disk so far.
    pub fn trace(&self) -> Trace {
        let state = self.state();
        Trace { start: state.start.clone(), log: state.log.clone(), lies_from: state.lies_from }
    }

    /// Half of the pages that were written since the last sync that was confirmed are lost, as a system does that drops
    /// the pages it could not write.
    fn lose_unsynced(&self) {
        let mut state = self.state();
        let from =
            state.log.iter().rposition(|asked| matches!(asked, Asked::Sync)).map_or(0, |place| place + 1);
        let mut before = state.start.to_vec();
        for asked in state.log.get(..from).unwrap_or_default() {
            asked.apply(&mut before);
        }
        before.resize(state.bytes.len(), 0);
        let written: Vec<Asked> = state.log.get(from..).unwrap_or_default().to_vec();
        for (number, asked) in written.iter().enumerate() {
            if let (Asked::Write { offset, data }, 1) = (asked, number % 2)
                && let Some(old) = before.get(*offset..*offset + data.len())
            {
                // It is not there, and the log must say so too.
                let gone = Asked::Write { offset: *offset, data: old.into() };
                gone.apply(&mut state.bytes);
                state.log.push(gone);
            }
        }
    }

    /// Notes a request, or fails it where the test says so.
    fn note(&self, asked: Asked) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let number = state.log.len();
        if state.fails_at.is_some_and(|at| number >= at) {
            if state.fails_once {
                state.fails_at = None;
            }
            return Err(io::Error::other("the disk of the test fails"));
        }
        state.log.push(asked);
        Ok(state)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state();
        state.operate(Kind::Len)?;
        Ok(state.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if let Err(error) = state.operate(Kind::Read) {
            // What came before the sector is there.
            out.fill(0xA5);
            return Err(error);
        }
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let found = state.bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let asked = Asked::SetLen(len);
        self.state().operate(Kind::Grow)?;
        let mut state = self.note(asked.clone())?;
        state.grown += usize::from(len > state.bytes.len());
        asked.apply(&mut state.bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let pause = self.state().sync_takes;
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        let confirmed = self.state().operate(Kind::Sync);
        if let Err(error) = confirmed {
            self.lose_unsynced();
            return Err(error);
        }
        let mut state = self.note(Asked::Sync)?;
        state.syncs += 1;
        state.waiting += 1;
        self.shared.changed.notify_all();
        while state.held {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let asked = Asked::Write { offset, data: data.into() };
        {
            let mut state = self.state();
            // A hole of the file has no room of its own yet.
            let hole =
                state.bytes.get(offset..offset + data.len()).is_none_or(|old| old.iter().all(|b| *b == 0));
            state.operate(if hole { Kind::Grow } else { Kind::Write })?;
        }
        let mut state = self.note(asked.clone())?;
        asked.apply(&mut state.bytes);
        Ok(())
    }
}

impl Asked {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => put(bytes, *offset, data),
            Self::SetLen(len) => bytes.resize(*len, 0),
            Self::Sync => {}
        }
    }

    /// Applies what a power cut leaves of it.
    fn apply_part(&self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        match self {
            Self::Write { offset, data } => match rng.below(3) {
                0 => {}
                1 => put(bytes, *offset, data),
                _ => {
                    let mut done = 0;
                    while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
                        let place = offset + done;
                        let room = (SECTOR - place % SECTOR).min(rest.len());
                        if rng.chance(50) {
                            put(bytes, place, rest.get(..room).unwrap_or_default());
                        }
                        done += room;
                    }
                }
            },
            Self::SetLen(len) if rng.chance(50) => bytes.resize(*len, 0),
            Self::SetLen(_) | Self::Sync => {}
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(target) = bytes.get_mut(offset..end) {
        target.copy_from_slice(data);
    }
}

/// What was asked of a disk, in order.
#[derive(Debug, Clone)]
pub struct Trace {
    start: Arc<[u8]>,
    log: Vec<Asked>,
    lies_from: Option<usize>,
}

impl Trace {
    /// How many requests it holds.
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// The numbers of all syncs.
    pub fn syncs(&self) -> Vec<usize> {
        let all = self.log.iter().enumerate();
        all.filter(|(_, asked)| matches!(asked, Asked::Sync)).map(|(number, _)| number).collect()
    }

    /// What a power cut leaves when only the requests before `cut` were made.
    pub fn image(&self, cut: usize, survival: Survival, rng: &mut Rng) -> Vec<u8> {
        let made = self.log.get(..cut).unwrap_or(&self.log);
        let honest = |number: usize| self.lies_from.is_none_or(|from| number < from);
        let confirmed = made
            .iter()
            .enumerate()
            .rev()
            .find(|(number, asked)| honest(*number) && matches!(asked, Asked::Sync))
            .map_or(0, |(number, _)| number);
        let mut bytes = self.start.to_vec();
        for (number, asked) in made.iter().enumerate() {
            if number < confirmed || survival == Survival::All {
                asked.apply(&mut bytes);
            } else if survival == Survival::Random {
                asked.apply_part(&mut bytes, rng);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(disk: &Disk, survival: Survival) -> Vec<u8> {
        let trace = disk.trace();
        trace.image(trace.len(), survival, &mut Rng::new(1))
    }

    #[test]
    fn what_was_synced_stays_and_what_was_not_may_go() {
        let disk = Disk::new();
        disk.set_len(2_048).unwrap();
        disk.write(0, &[1; 1_024]).unwrap();
        disk.sync_data().unwrap();
        disk.write(512, &[2; 1_024]).unwrap();
        let mut torn = 0;
        for seed in 0..100 {
            let trace = disk.trace();
            let left = trace.image(trace.len(), Survival::Random, &mut Rng::new(seed));
            assert!(left[..512].iter().all(|byte| *byte == 1) && left.len() == 2_048);
            let sectors = (left[512], left[1_024]);
            assert!(matches!(sectors, (1 | 2, 0 | 2)), "{sectors:?}");
            torn += usize::from(matches!(sectors, (1, 2) | (2, 0)));
        }
        assert!(torn > 10, "no write was torn");
        assert_eq!(image(&disk, Survival::Nothing)[512], 1);
        assert_eq!(image(&disk, Survival::All)[512], 2);
        assert_eq!(disk.trace().syncs(), [2]);
    }

    #[test]
    fn a_lying_disk_confirms_what_it_loses() {
        let disk = Disk::lying(0);
        disk.write(0, &[1; 512]).unwrap();
        disk.sync_data().unwrap();
        assert_eq!(disk.syncs(), 1);
        assert!(image(&disk, Survival::Nothing).is_empty());
        assert_eq!(disk.bytes().len(), 512);
    }

    #[test]
    fn a_failing_disk_fails_at_the_request_that_was_named() {
        let disk = Disk::new();
        disk.fail_at(1, true);
        assert!(disk.write(0, &[1]).is_ok() && disk.write(1, &[1]).is_err() && disk.write(1, &[1]).is_ok());
        disk.fail_at(2, false);
        assert!(disk.sync_data().is_err() && disk.sync_data().is_err());
    }
}
