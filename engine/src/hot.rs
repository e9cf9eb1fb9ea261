//! `Hot`: the open database of a store, over a file whose pages are compared when they are read.

use std::fs::OpenOptions;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use barkeeper_storage::while_held;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

use crate::error::{CommitError, CommitResult, OpenError, ReadError, ReadResult, commit_error, read_error};
use crate::folder::{self, Named};
use crate::options::StoreOptions;
use crate::pages::{Cause, PageFile};

/// The open database of a store.
pub(crate) struct Hot {
    /// `None` after it was closed, or could not be opened again.
    db: RwLock<Option<Database>>,
    pages: Arc<PageFile>,
    /// Whether all of it was checked when it was opened.
    checked: bool,
    /// Whether it must be opened anew, whatever the file says.
    lost: AtomicBool,
    /// Why the disk takes no writes.
    why: Mutex<Option<Cause>>,
}

impl Hot {
    /// Opens the database of a store's folder and takes its lock.
    pub(crate) fn open_in(dir: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_file(&dir.join(folder::DATABASE), dir, false, options)
    }

    /// Makes a database in an empty file.
    pub(crate) fn create(file: &Path, dir: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_file(file, dir, true, options)
    }

    fn open_file(
        file: &Path,
        dir: &Path,
        may_be_new: bool,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: file.to_owned(), source };
        let open = || OpenOptions::new().read(true).write(true).open(file);
        let opened = while_held(file, open).map_err(io)?;
        // Where the numbers of files mean nothing, as on some network folders, they cannot be compared.
        let named =
            (!options.allow_shared_folder).then(|| Named::of(&opened, file)).transpose().map_err(io)?;
        let backend = FileBackend::new(opened).map_err(|error| open_error(dir, error))?;
        let kept = Some((dir.join(folder::SUMS), named));
        Self::open(Box::new(backend), kept, may_be_new, dir, options)
    }

    /// Opens a database. One whose sums are known and that was closed is opened at once; any other is
    /// checked whole, by redb's repair where that runs, else by its check.
    pub(crate) fn open(
        file: Box<dyn StorageBackend>,
        kept: Option<(PathBuf, Option<Named>)>,
        may_be_new: bool,
        dir: &Path,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let (sums, named) = kept.unzip();
        let pages = PageFile::new(file, sums, named.flatten(), may_be_new, options.on_check.clone());
        // redb may panic on a damaged file; whoever opens a store wants an error.
        let opened = catch_unwind(AssertUnwindSafe(|| open_whole(&pages, options)));
        let db = match opened {
            Ok(Ok(db)) => db,
            Ok(Err(_)) if pages.was_replaced() => {
                return Err(OpenError::InUse { path: dir.to_owned(), owner: folder::read_owner(dir) });
            }
            Ok(Err(error)) => {
                let path = dir.join(folder::DATABASE);
                return Err(match pages.refused() {
                    Some(detail) => OpenError::Damaged { path, detail },
                    None => open_error(dir, error),
                });
            }
            Err(_) => return Err(damaged_structure(&dir.join(folder::DATABASE))),
        };
        let checked = pages.is_learning();
        pages.serve();
        Ok(Self {
            db: RwLock::new(Some(db)),
            pages,
            checked,
            lost: AtomicBool::new(false),
            why: Mutex::default(),
        })
    }

    pub(crate) fn begin_read(&self) -> ReadResult<ReadTransaction> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.as_ref().ok_or(ReadError::Reopen)?.begin_read().map_err(read_error)
    }

    pub(crate) fn begin_write(&self) -> CommitResult<WriteTransaction> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.as_ref().ok_or(CommitError::Read(ReadError::Reopen))?.begin_write().map_err(commit_error)
    }

    /// Whether the database must be opened anew before it is used: redb got an error, or keeps pages that could
    /// not be read and now can.
    pub(crate) fn must_reopen(&self) -> bool {
        self.look_again(false);
        self.has_failed() || self.lost.load(Ordering::SeqCst)
    }

    /// Looks whether pages that could not be read can be read now; `eager` for who has just missed one.
    pub(crate) fn look_again(&self, eager: bool) {
        if self.pages.can_read_again(eager) {
            self.distrust();
        }
    }

    /// Whether redb got an error and refuses all work.
    pub(crate) fn has_failed(&self) -> bool {
        self.pages.has_failed()
    }

    /// Notes that redb's state in memory is not to be trusted.
    pub(crate) fn distrust(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// Why commits fail at present.
    pub(crate) fn read_only(&self) -> Option<Cause> {
        if !self.pages.is_read_only() {
            return None;
        }
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// redb's first error.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.pages.cause()
    }

    /// The newest transaction that is durable.
    pub(crate) fn synced(&self) -> u64 {
        self.pages.synced()
    }

    /// Opens the database anew over the same file, whose lock stays where it is. A commit that failed is taken away
    /// first, and all that was acknowledged is there. Whoever still reads from the old one gets an error. Where the disk takes no
    /// writes, what it holds can be read ([`Self::read_only`] says why no more).
    ///
    /// # Errors
    /// What the operating system says, where the database cannot be read either; the next call tries again.
    pub(crate) fn reopen(&self, options: &StoreOptions) -> Result<(), io::Error> {
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let why = self.pages.cause();
        self.lost.store(true, Ordering::SeqCst);
        let old = slot.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(old))));
        let mut opened = match self.pages.roll_back() {
            Ok(()) => self.open_again(options),
            Err(error) => Err(error),
        };
        if let Err(error) = &opened {
            let why = why.unwrap_or_else(|| Cause::of(error));
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            self.pages.go_read_only();
            opened = self.open_again(options);
        }
        *slot = Some(opened?);
        self.pages.serve();
        self.lost.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Leaves the read-only state, if the disk takes writes again.
    pub(crate) fn try_to_write(&self, options: &StoreOptions) -> Result<(), io::Error> {
        self.pages.probe()?;
        self.reopen(options)
    }

    fn open_again(&self, options: &StoreOptions) -> io::Result<Database> {
        let mut builder = builder(options);
        builder.set_repair_callback(|session| {
            // The root that was confirmed does not verify: the pages are damaged, and an older root would lose
            // what was acknowledged.
            if (0.2..0.5).contains(&session.progress()) {
                session.abort();
            }
        });
        let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(self.pages.hold())));
        match opened {
            Ok(Ok(db)) => Ok(db),
            Ok(Err(DatabaseError::Storage(redb::StorageError::Io(error)))) => Err(error),
            Ok(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a page of the database does not decode"))
            }
        }
    }

    /// Whether every page was checked when the database was opened.
    pub(crate) const fn was_checked(&self) -> bool {
        self.checked
    }

    /// Compares every page with its sum; answers the first bytes of those that do not fit.
    pub(crate) fn compare_all(&self) -> io::Result<Vec<u64>> {
        self.pages.compare_all()
    }

    /// Moves pages to the front of the file and cuts it off; whether anything could be moved. Nobody may
    /// read or write meanwhile.
    pub(crate) fn compact(&self) -> Result<bool, String> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_mut().ok_or("the database is closed")?;
        // redb may panic on a damaged page.
        let compacted = catch_unwind(AssertUnwindSafe(|| db.compact()));
        match compacted {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err("a page of the database does not decode".to_owned()),
        }
    }

    /// redb's own check of the whole database: every page against the hash tree, the free pages against the
    /// used ones. Whether all was well; what was not is mended where that is possible.
    pub(crate) fn check(&self) -> Result<bool, DatabaseError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_mut().ok_or(redb::StorageError::PreviousIo)?;
        db.check_integrity()
    }
}

impl Drop for Hot {
    fn drop(&mut self) {
        let db = self.db.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A database with damage may panic once more.
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_ok() {
            self.pages.keep();
        }
    }
}

/// Opens the database so that every page that it will read is known.
fn open_whole(pages: &Arc<PageFile>, options: &StoreOptions) -> Result<Database, DatabaseError> {
    let walked = Arc::new(AtomicBool::new(false));
    let seen = walked.clone();
    let mut builder = builder(options);
    builder.set_repair_callback(move |_| seen.store(true, Ordering::SeqCst));
    let mut db = builder.create_with_backend(pages.hold())?;
    // redb's repair has compared every page in use with the hash tree. A database that it found closed it
    // has not looked at.
    if pages.is_learning() && !walked.load(Ordering::SeqCst) && !db.check_integrity()? {
        let detail = "pages do not fit their checksums".to_owned();
        return Err(redb::StorageError::Corrupted(detail).into());
    }
    Ok(db)
}

fn builder(options: &StoreOptions) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes.clamp(16 << 20, 1 << 30));
    builder
}

pub(crate) fn damaged_structure(file: &Path) -> OpenError {
    OpenError::Damaged { path: file.to_owned(), detail: "pages do not fit their checksums".to_owned() }
}

/// Whether an error says that bytes are missing or make no sense, and not that they cannot be had.
fn is_short(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

pub(crate) fn open_error(dir: &Path, error: DatabaseError) -> OpenError {
    let path = dir.join(folder::DATABASE);
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            OpenError::InUse { path: dir.to_owned(), owner: folder::read_owner(dir) }
        }
        DatabaseError::Storage(redb::StorageError::Io(source)) if !is_short(&source) => {
            OpenError::Io { path, source }
        }
        DatabaseError::Storage(redb::StorageError::Io(source)) => {
            OpenError::Damaged { path, detail: source.to_string() }
        }
        other => OpenError::Damaged { path, detail: other.to_string() },
    }
}
