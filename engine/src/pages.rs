//! The file of `store.redb` below redb, with a sum of each of its pages in memory.
//!
//! redb compares no checksum when it reads: a flipped bit in a page would hide rows, or show others. So every
//! page that comes from the file is compared here with the sum that it had when it was written. Sums that are
//! not known come from [`PageSums`], written at a clean close, or are learned while redb checks the whole
//! database against its own hash tree; after that a page without a sum holds nothing and is never read.
//!
//! redb takes the first error of its file for the end of all work. A page that cannot be had while the store
//! serves is therefore handed over as a page that no reader of redb accepts: who needs it gets an error, and
//! all others go on. While a database is opened it is an error at once, so that redb never takes a damaged
//! page for a torn commit that it may roll back.
//!
//! redb's own hold on the file ([`Pages`]) can be replaced without letting the file or its lock go. Before the
//! next one opens the database, the file is put back to what the last confirmed sync covered
//! ([`PageFile::roll_back`]): after a sync that failed nobody knows what the disk kept of the writes before it,
//! and a second sync that succeeds says nothing about them, because the system may have dropped them. The header
//! is all that leads to anything newer, so the old header and one sync that is confirmed take the failed commit
//! away for good. Where the disk takes no writes at all, the header that redb writes when it opens a database
//! stays in memory, and the database can be read and not written.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use barkeeper_storage::{DatabaseHeader, HEADER_BYTES, PAGE_BYTES, PageSums, page_sum};
use redb::{BackendError, StorageBackend};

use crate::error::ReadError;
use crate::folder::{self, Named};
use crate::options::OnCheck;
use crate::sums;

/// How often a page is read that cannot be read or does not fit, before it is given up.
const READS: usize = 3;
/// What a page is filled with that cannot be had. redb knows pages of type 1 and 2; every reader of it ends at
/// another one.
const NO_PAGE: u8 = 0xFF;
/// Bytes between two calls of a progress function.
const PROGRESS_BYTES: u64 = 4 << 20;

const PAGE: u64 = PAGE_BYTES as u64;

type LockRange = (Bound<u64>, Bound<u64>);

thread_local! {
    /// Why this thread was last handed a page that no reader accepts.
    static MISSED: RefCell<Option<ReadError>> = const { RefCell::new(None) };
}

/// Why this thread was last handed a page that no reader accepts; forgets it.
pub(crate) fn take_missed() -> Option<ReadError> {
    MISSED.with_borrow_mut(Option::take)
}

/// The file, its sums, and what went wrong with it.
pub(crate) struct PageFile {
    file: Box<dyn StorageBackend>,
    /// Where the sums are kept between two runs.
    kept: Option<PathBuf>,
    /// The name by which the file was found.
    named: Option<Named>,
    sums: RwLock<Vec<AtomicU64>>,
    /// Whether a page without a sum is taken for what it is, because redb checks it now.
    learning: AtomicBool,
    /// Whether the database is open: damage is the reader's, and no longer the opener's.
    serving: AtomicBool,
    /// Whether redb got an error, after which it refuses all work.
    failed: AtomicBool,
    /// Whether there are pages that could not be read.
    unread: AtomicBool,
    /// Whether the disk takes no writes, and the header that redb writes stays in memory.
    read_only: AtomicBool,
    notes: Mutex<Notes>,
    /// Whether an empty file becomes a new database.
    may_be_new: bool,
    on_check: Option<OnCheck>,
}

/// What is noted beside the sums.
#[derive(Default)]
struct Notes {
    begun: bool,
    /// redb's header as it was last written.
    header: Vec<u8>,
    /// The header that the last sync that was confirmed covered.
    synced: Vec<u8>,
    /// Ranges of bytes that redb has locked.
    held: Vec<LockRange>,
    /// Reads that failed, by first byte, with their length.
    unreadable: BTreeMap<u64, usize>,
    /// How often it was asked whether they can be read again.
    asked: u64,
    /// The first error since redb has its present hold.
    cause: Option<Cause>,
    /// Why the file is refused.
    refused: Option<String>,
    /// Whether another file has its name.
    replaced: bool,
    /// Bytes that were learned, and how many of them a progress function has heard of.
    learned: (u64, u64),
}

/// What the operating system said.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    kind: io::ErrorKind,
    text: String,
}

impl Cause {
    pub(crate) fn of(error: &io::Error) -> Self {
        Self { kind: error.kind(), text: error.to_string() }
    }

    /// Whether there is no room, or none that the user may have.
    pub(crate) const fn is_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One redb's hold on the file. It ends with the database, and whoever still reads then gets an error.
pub(crate) struct Pages {
    file: Arc<PageFile>,
    alive: RwLock<bool>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

fn bad(detail: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail.into())
}

impl PageFile {
    pub(crate) fn new(
        file: Box<dyn StorageBackend>,
        kept: Option<PathBuf>,
        named: Option<Named>,
        may_be_new: bool,
        on_check: Option<OnCheck>,
    ) -> Arc<Self> {
        Arc::new(Self {
            file,
            kept,
            named,
            sums: RwLock::default(),
            learning: AtomicBool::new(false),
            serving: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            notes: Mutex::default(),
            may_be_new,
            on_check,
        })
    }

    /// A hold for a redb that is about to open the database.
    pub(crate) fn hold(self: &Arc<Self>) -> Pages {
        self.failed.store(false, Ordering::SeqCst);
        self.serving.store(false, Ordering::SeqCst);
        {
            // What could not be read is read anew by who needs it.
            let mut notes = self.notes();
            notes.unreadable.clear();
            self.unread.store(false, Ordering::SeqCst);
            notes.cause = None;
        }
        Pages { file: self.clone(), alive: RwLock::new(true) }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sums(&self) -> RwLockReadGuard<'_, Vec<AtomicU64>> {
        self.sums.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the file for the first time, with redb's lock on it: are the kept sums those of its pages?
    fn begin(&self) -> io::Result<()> {
        let mut notes = self.notes();
        if notes.begun {
            return Ok(());
        }
        if self.named.as_ref().is_some_and(|named| !named.holds()) {
            notes.replaced = true;
            return Err(bad("another file was put in its place while it was opened"));
        }
        let len = self.file.len()?;
        if len == 0 && !self.may_be_new {
            notes.refused = Some("it is empty".to_owned());
            return Err(bad("the database is empty"));
        }
        let mut known = Vec::new();
        if len >= PAGE {
            let mut header = vec![0; HEADER_BYTES];
            self.file.read(0, &mut header)?;
            if let (Some(state), Some(file)) = (DatabaseHeader::read(&header), &self.kept) {
                let kept = sums::read(file);
                if let Some(kept) = kept.as_ref().filter(|kept| state.transaction < kept.transaction) {
                    let detail = format!(
                        "it is older than the database that was closed here (transaction {} of {}): another file \
                         was put in its place. Where that was meant, remove {} and open again",
                        state.transaction,
                        kept.transaction,
                        folder::SUMS
                    );
                    notes.refused = Some(detail.clone());
                    return Err(bad(detail));
                }
                let kept = kept.filter(|kept| sums::fit(kept, state, len));
                let kept = kept.or_else(|| sums::left_aside(file.parent()?, state, len));
                known = kept.map_or_else(Vec::new, |kept| kept.sums);
            }
            self.learning.store(known.is_empty(), Ordering::SeqCst);
            notes.header.clone_from(&header);
            notes.synced = header;
        }
        let pages = usize::try_from(len / PAGE).map_err(io::Error::other)?;
        known.resize(pages, 0);
        *self.sums.write().unwrap_or_else(PoisonError::into_inner) =
            known.into_iter().map(AtomicU64::new).collect();
        notes.begun = true;
        Ok(())
    }

    /// Whether the sums are unknown, so that redb must check the whole database.
    pub(crate) fn is_learning(&self) -> bool {
        self.learning.load(Ordering::SeqCst)
    }

    /// redb has opened the database, and what it read whole is sound: from now on nothing is learned.
    pub(crate) fn serve(&self) {
        self.learning.store(false, Ordering::SeqCst);
        self.serving.store(true, Ordering::SeqCst);
    }

    /// Why the file was refused before redb saw it.
    pub(crate) fn refused(&self) -> Option<String> {
        self.notes().refused.clone()
    }

    /// Whether another file had its name when its lock was taken.
    pub(crate) fn was_replaced(&self) -> bool {
        self.notes().replaced
    }

    /// Whether redb got an error and must be opened anew.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// What redb's first error since it has its hold was.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.notes().cause.clone()
    }

    /// The newest transaction that a confirmed sync covered.
    pub(crate) fn synced(&self) -> u64 {
        DatabaseHeader::read(&self.notes().synced).map_or(0, |header| header.transaction)
    }

    /// Whether the disk takes no writes, so that the database is only read.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::SeqCst)
    }

    /// Puts the file back to what the last confirmed sync covered, and lets writes through again.
    pub(crate) fn roll_back(&self) -> io::Result<()> {
        let synced = self.notes().synced.clone();
        if synced.len() < HEADER_BYTES {
            return Err(bad("the database was never whole"));
        }
        self.file.write(0, &synced)?;
        self.file.sync_data()?;
        self.notes().header = synced;
        self.read_only.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the disk takes a write and confirms it.
    pub(crate) fn probe(&self) -> io::Result<()> {
        let synced = self.notes().synced.clone();
        self.file.write(0, &synced)?;
        self.file.sync_data()
    }

    /// Keeps writes from a disk that takes none: the next redb may open the database and read it.
    pub(crate) fn go_read_only(&self) {
        let mut notes = self.notes();
        let synced = notes.synced.clone();
        notes.header = synced;
        self.read_only.store(true, Ordering::SeqCst);
    }

    /// Whether pages that could not be read can be read now. redb keeps what it was given for them until it is
    /// opened anew. Unless `eager`, the disk is asked ever more rarely: it may take seconds to say no.
    pub(crate) fn can_read_again(&self, eager: bool) -> bool {
        if !self.unread.load(Ordering::SeqCst) {
            return false;
        }
        let ranges = {
            let mut notes = self.notes();
            notes.asked += 1;
            if !eager && !notes.asked.is_power_of_two() && !notes.asked.is_multiple_of(64) {
                return false;
            }
            notes.unreadable.clone()
        };
        let again = ranges.iter().all(|(offset, len)| {
            let mut data = vec![0; *len];
            self.file.read(*offset, &mut data).is_ok() && self.compare(*offset, &data).is_ok()
        });
        if again {
            self.notes().asked = 0;
        }
        again
    }

    /// Compares every page with its sum; answers the first bytes of those that do not fit. Nothing where the
    /// sums are not those of a database that was closed.
    pub(crate) fn compare_all(&self) -> io::Result<Vec<u64>> {
        let mut page = vec![0; PAGE_BYTES];
        let mut found = Vec::new();
        for (number, sum) in (0_u64..).zip(self.sums().iter()) {
            let sum = sum.load(Ordering::SeqCst);
            if sum == 0 {
                continue;
            }
            self.file.read(number * PAGE, &mut page)?;
            if page_sum(&page) != sum {
                found.push(number * PAGE);
            }
        }
        Ok(found)
    }

    /// Keeps the sums of a database that was closed, for the next run. What cannot be written costs that run a check
    /// and nothing else.
    pub(crate) fn keep(&self) {
        let Some(file) = &self.kept else { return };
        let (header, whole) = {
            let notes = self.notes();
            (DatabaseHeader::read(&notes.synced), notes.synced == notes.header)
        };
        let Some(header) =
            header.filter(|header| header.closed && whole && !self.has_failed() && !self.is_read_only())
        else {
            return;
        };
        let sums = self.sums().iter().map(|sum| sum.load(Ordering::SeqCst)).collect();
        let kept = PageSums { header: header.hash, transaction: header.transaction, sums };
        drop(folder::replace(file, &kept.to_bytes()));
    }

    /// The sums of the pages that a range touches; pages that it covers in part have none to compare.
    fn each<'a>(
        sums: &'a [AtomicU64],
        offset: u64,
        data: &'a [u8],
    ) -> impl Iterator<Item = (u64, &'a AtomicU64, Option<&'a [u8]>)> {
        let first = offset / PAGE;
        let end = offset.saturating_add(data.len() as u64).div_ceil(PAGE);
        (first.max(1)..end).filter_map(move |page| {
            let sum = sums.get(usize::try_from(page).ok()?)?;
            let start = (page * PAGE).checked_sub(offset).and_then(|start| usize::try_from(start).ok());
            let whole = start.and_then(|start| data.get(start..start.checked_add(PAGE_BYTES)?));
            Some((page * PAGE, sum, whole))
        })
    }

    /// Whether what was read is what was written; else the first byte of the first page that is not.
    fn compare(&self, offset: u64, data: &[u8]) -> Result<(), u64> {
        let sums = self.sums();
        let mut fresh = 0;
        for (place, sum, page) in Self::each(&sums, offset, data) {
            let known = sum.load(Ordering::SeqCst);
            match page.map(page_sum) {
                Some(found) if found == known => {}
                Some(found) if known == 0 && self.is_learning() => {
                    sum.store(found, Ordering::SeqCst);
                    fresh += PAGE;
                }
                _ => return Err(place),
            }
        }
        drop(sums);
        if fresh > 0 {
            self.tell(fresh);
        }
        Ok(())
    }

    fn tell(&self, fresh: u64) {
        let Some(on_check) = &self.on_check else { return };
        let (done, all) = {
            let mut notes = self.notes();
            notes.learned.0 += fresh;
            let (learned, told) = notes.learned;
            if learned - told < PROGRESS_BYTES {
                return;
            }
            notes.learned.1 = learned;
            (learned, self.sums().len() as u64 * PAGE)
        };
        on_check(done, all);
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut last = None;
        for _ in 0..READS {
            match self.file.read(offset, out) {
                Ok(()) if offset == 0 && self.is_read_only() => {
                    for (byte, known) in out.iter_mut().zip(&self.notes().header) {
                        *byte = *known;
                    }
                    return Ok(());
                }
                Ok(()) => match self.compare(offset, out) {
                    Ok(()) => return Ok(()),
                    Err(place) => last = Some(Err(place)),
                },
                Err(error) => last = Some(Ok(error)),
            }
        }
        let serving = self.serving.load(Ordering::SeqCst);
        match last {
            Some(Err(place)) => {
                if !serving {
                    return Err(bad(format!("the page at byte {place} does not fit its sum")));
                }
                let detail = format!("the page at byte {place} does not fit its sum");
                MISSED.set(Some(ReadError::Damaged { detail }));
            }
            Some(Ok(error)) => {
                if !serving || offset == 0 {
                    return Err(error);
                }
                self.notes().unreadable.insert(offset, out.len());
                self.unread.store(true, Ordering::SeqCst);
                MISSED.set(Some(ReadError::Io { source: error }));
            }
            None => {}
        }
        out.fill(NO_PAGE);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let result = match self.is_read_only() {
            false => self.file.write(offset, data),
            true if offset == 0 => Ok(()),
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        };
        let sums = self.sums();
        for (_, sum, page) in Self::each(&sums, offset, data) {
            // What a write that failed left is not known.
            let known = page.filter(|_| result.is_ok()).map_or(0, page_sum);
            sum.store(known, Ordering::SeqCst);
        }
        drop(sums);
        if offset == 0 && result.is_ok() {
            let mut notes = self.notes();
            let header = &mut notes.header;
            header.resize(header.len().max(data.len()).min(HEADER_BYTES), 0);
            for (known, written) in header.iter_mut().zip(data) {
                *known = *written;
            }
        }
        result
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.is_read_only() {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.file.set_len(len)?;
        let pages = usize::try_from(len / PAGE).map_err(io::Error::other)?;
        let mut sums = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        sums.resize_with(pages, AtomicU64::default);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        self.file.sync_data()?;
        let mut notes = self.notes();
        let header = notes.header.clone();
        notes.synced = header;
        Ok(())
    }

    fn lock(
        &self,
        range: LockRange,
        lock: impl FnOnce() -> Result<bool, BackendError>,
    ) -> Result<bool, BackendError> {
        // A redb that follows another one finds the locks taken.
        if self.notes().held.contains(&range) {
            return Ok(true);
        }
        let taken = lock()?;
        if taken {
            self.notes().held.push(range);
        }
        Ok(taken)
    }
}

impl Drop for PageFile {
    fn drop(&mut self) {
        // Lets the locks go; a system that cannot lets them go with the file.
        drop(self.file.close());
    }
}

impl Pages {
    /// Has something done with the file, unless this hold has ended. An error ends redb's work with it.
    fn with<T>(&self, work: impl FnOnce(&PageFile) -> io::Result<T>) -> io::Result<T> {
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        if !*alive {
            return Err(io::Error::other("the database was opened anew"));
        }
        let result = work(&self.file);
        if let Err(error) = &result {
            self.file.notes().cause.get_or_insert_with(|| Cause::of(error));
            self.file.failed.store(true, Ordering::SeqCst);
        }
        result
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| {
            // The first thing that redb asks with the locks taken.
            file.begin()?;
            file.file.len()
        })
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|file| file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(PageFile::sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|file| file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        // Waits for whoever reads at this moment; the file and its locks stay.
        *self.alive.write().unwrap_or_else(PoisonError::into_inner) = false;
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.lock((start, end), || self.file.file.try_lock_range(start, end))
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.lock((start, end), || self.file.file.try_lock_shared_range(start, end))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock((start, end), || self.file.file.lock_range(start, end).map(|()| true)).map(drop)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock((start, end), || self.file.file.lock_shared_range(start, end).map(|()| true)).map(drop)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.file.unlock_range(start, end)?;
        self.file.notes().held.retain(|held| *held != (start, end));
        Ok(())
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.file.query_lock_range(start, end)
    }
}
