//! A restored store is a new incarnation of itself: its targets can tell it from the one that went on.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use barkeeper_records::{Lsn, Timestamp, Version};
use barkeeper_storage::{HeadV1, IdentityV1, NumberOfV1, StoredRow, chain};
use redb::{Database, ReadableDatabase, ReadableTable as _, TableError};
use serde::{Deserialize, Serialize};

use crate::backup::error::{BackupError, redb_at};
use crate::backup::peek::peek;
use crate::error::{OpenError, ReadError, ReadResult, missing, read_error};
use crate::folder::{self, BARS, DATABASE, MARKET_TRADES, OWNER, SUMS, TICKS};
use crate::store::format_error;
use crate::tables::{HEAD, IDENTITY, Tab};

/// LSNs of a new incarnation begin behind the next multiple of this: above everything that the former one
/// can have shown to a target, known or not.
pub(crate) const LSN_STEP: u64 = 1_000_000_000;

/// What is known of the incarnations before the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Known {
    /// The highest epoch.
    pub(crate) epoch: u64,
    /// The highest LSN committed or acknowledged.
    pub(crate) lsn: Lsn,
    /// The highest version.
    pub(crate) version: Version,
}

impl Known {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            epoch: self.epoch.max(other.epoch),
            lsn: self.lsn.max(other.lsn),
            version: self.version.max(other.version),
        }
    }
}

/// How far the clock of a former store is believed to have run ahead: ten years.
const AHEAD_NANOS: i64 = 10 * 366 * 86_400_000_000_000;

/// The file beside the database that remembers the newest incarnation, for the day on which the database
/// cannot be read, or an older one is in its place.
const NOTE: &str = "incarnation.json";

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    epoch: u64,
    lsn: u64,
    version: u64,
    blake3: String,
}

impl Note {
    fn of(epoch: u64, lsn: u64, version: u64) -> Self {
        let blake3 = blake3::hash(format!("{epoch} {lsn} {version}").as_bytes()).to_hex().to_string();
        Self { epoch, lsn, version, blake3 }
    }

    /// The note of a folder; `None` where there is none.
    fn read(dir: &Path) -> Result<Option<Self>, String> {
        let bytes = match fs::read(dir.join(NOTE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let note: Self = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let fits = note.blake3 == Self::of(note.epoch, note.lsn, note.version).blake3;
        if fits { Ok(Some(note)) } else { Err("the checksum does not fit".to_owned()) }
    }
}

/// What is wrong with the note of a folder, and which file it is. As long as the database can be read, the note
/// is not needed.
pub(crate) fn damage_of_note(dir: &Path) -> Option<(&'static str, String)> {
    Note::read(dir).err().map(|detail| (NOTE, detail))
}

/// What a folder remembers of the incarnations that its store had; nothing where that cannot be read.
pub(crate) fn noted(dir: &Path) -> Known {
    let note = Note::read(dir).ok().flatten();
    note.map_or_else(Known::default, |note| Known {
        epoch: note.epoch,
        lsn: Lsn(note.lsn),
        version: Version::from_raw(note.version).unwrap_or_default(),
    })
}

/// What files beside a database that cannot be read, or is gone, tell of its versions: versions follow the
/// clock, and no commit of it was later than the last change of its files. A clock that was set back since
/// would otherwise give them again. Only versions: LSNs are kept apart by their steps.
pub(crate) fn guessed(dir: &Path, now: Timestamp) -> Known {
    let mut last = Timestamp::from_nanos(0);
    for name in [DATABASE, SUMS, OWNER] {
        let changed = fs::metadata(dir.join(name)).and_then(|data| data.modified()).ok();
        let since = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let changed = since.and_then(|since| i64::try_from(since.as_nanos()).ok()).map(Timestamp::from_nanos);
        last = last.max(changed.unwrap_or(last));
    }
    for part in [BARS, TICKS, MARKET_TRADES] {
        for (_, id) in folder::segment_files(&dir.join(part)).unwrap_or_default() {
            let made = i64::try_from(ulid::Ulid::from(id).timestamp_ms()).ok();
            last = last.max(made.and_then(Timestamp::from_millis).unwrap_or(last));
        }
    }
    // A date that copying has made up would use up the clock, which ends in 2089.
    if last.nanos().saturating_sub(now.nanos()) > AHEAD_NANOS {
        return Known::default();
    }
    let behind = Timestamp::from_nanos(last.nanos().saturating_add(1_000_000));
    Known { version: Version::floor_of(behind), ..Known::default() }
}

/// Lets a folder remember an incarnation before it begins.
pub(crate) fn note(dir: &Path, begun: Known) -> Result<(), BackupError> {
    let file = dir.join(NOTE);
    let note = Note::of(begun.epoch, begun.lsn.0, begun.version.raw());
    let bytes = serde_json::to_vec(&note).unwrap_or_default();
    folder::replace(&file, &bytes).map_err(|source| BackupError::Io { path: file, source })
}

/// Where a store that nobody has open stands; `None` where its database cannot be read.
pub(crate) fn standing(file: Arc<File>) -> Option<Known> {
    let read = catch_unwind(AssertUnwindSafe(|| read_standing(&peek(file).ok()?).ok()));
    read.ok().flatten()
}

/// Why this program would not open a database for its format; `None` where it would, or where the database does
/// not tell.
pub(crate) fn refused_format(file: &Path) -> Option<OpenError> {
    let read = catch_unwind(AssertUnwindSafe(|| {
        let db = peek(Arc::new(File::open(file).ok()?)).ok()?;
        let txn = db.begin_read().ok()?;
        let meta = txn.open_table(Tab::Meta.definition()).ok()?;
        let bytes = meta.get(IDENTITY).ok()??.value().to_vec();
        Some(IdentityV1::from_bytes(IDENTITY, &bytes).ok()?.format)
    }));
    format_error(read.ok()??)
}

fn read_standing(db: &Database) -> ReadResult<Known> {
    let txn = db.begin_read().map_err(read_error)?;
    let meta = txn.open_table(Tab::Meta.definition()).map_err(read_error)?;
    let bytes = |key: &'static [u8]| -> ReadResult<Vec<u8>> {
        let value = meta.get(key).map_err(read_error)?;
        Ok(value.ok_or_else(|| missing("store identity"))?.value().to_vec())
    };
    let identity = IdentityV1::from_bytes(IDENTITY, &bytes(IDENTITY)?)?;
    let head = HeadV1::from_bytes(HEAD, &bytes(HEAD)?)?;
    let mut acknowledged = 0;
    match txn.open_table(Tab::Targets.definition()) {
        Ok(targets) => {
            for entry in targets.iter().map_err(read_error)? {
                let (key, value) = entry.map_err(read_error)?;
                acknowledged = acknowledged.max(NumberOfV1::from_bytes(key.value(), value.value())?.value);
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(read_error(error)),
    }
    let version = Version::from_raw(head.version).ok_or_else(|| missing("version"))?;
    Ok(Known { epoch: identity.epoch, lsn: Lsn(head.lsn.max(acknowledged)), version })
}

/// Makes the store in a database file, which nobody uses yet, a new incarnation. Answers its epoch, and the
/// LSN and the version behind which its commits begin.
///
/// The change log is emptied: what it holds was shipped by the former incarnation, and targets that lag
/// are brought up by digest.
pub(crate) fn begin_incarnation(file: &Path, known: Known, now: Timestamp) -> Result<Known, BackupError> {
    let changed = catch_unwind(AssertUnwindSafe(|| renew(file, known, now)));
    let damaged =
        || BackupError::Damaged { path: file.to_owned(), detail: "a page does not decode".to_owned() };
    changed.unwrap_or_else(|_| Err(damaged()))
}

fn renew(file: &Path, known: Known, now: Timestamp) -> Result<Known, BackupError> {
    let wrong = |error: redb::Error| redb_at(file, error);
    let db = Database::open(file).map_err(|e| wrong(e.into()))?;
    let txn = db.begin_write().map_err(|e| wrong(e.into()))?;
    let begun = {
        let mut meta = txn.open_table(Tab::Meta.definition()).map_err(|e| wrong(e.into()))?;
        let bytes = |key: &'static [u8]| -> Result<Vec<u8>, BackupError> {
            let value = meta.get(key).map_err(|e| wrong(e.into()))?;
            Ok(value.ok_or_else(|| missing("store identity"))?.value().to_vec())
        };
        let old = IdentityV1::from_bytes(IDENTITY, &bytes(IDENTITY)?).map_err(ReadError::from)?;
        let head = HeadV1::from_bytes(HEAD, &bytes(HEAD)?).map_err(ReadError::from)?;
        let last = known.lsn.0.max(head.lsn) / LSN_STEP;
        let lsn = last.checked_add(1).and_then(|next| next.checked_mul(LSN_STEP));
        let epoch = known.epoch.max(old.epoch).checked_add(1);
        let (Some(lsn), Some(epoch)) = (lsn, epoch) else {
            let detail = "an LSN or an epoch that no store reaches".to_owned();
            return Err(BackupError::Damaged { path: file.to_owned(), detail });
        };
        let mut restored = old.restored.clone();
        restored.push([epoch, head.lsn, lsn]);
        // Two restores of one backup must not look alike to a target.
        let which = format!("{epoch} {} {}", now.nanos(), std::process::id());
        let chain = chain(head.chain, lsn, which.as_bytes());
        let version = head.version.max(known.version.raw());
        let head = HeadV1 { lsn, chain, version, tail: lsn + 1, tail_chain: chain, log_bytes: 0, ..head };
        let identity = IdentityV1 { epoch, restored, ..old };
        for (key, value) in [(IDENTITY, identity.to_bytes(IDENTITY)), (HEAD, head.to_bytes(HEAD))] {
            meta.insert(key, value.as_slice()).map_err(|e| wrong(e.into()))?;
        }
        let version = Version::from_raw(version).ok_or_else(|| missing("version"))?;
        Known { epoch, lsn: Lsn(lsn), version }
    };
    txn.delete_table(Tab::Log.definition()).map_err(|e| wrong(e.into()))?;
    txn.commit().map_err(|e| wrong(e.into()))?;
    Ok(begun)
}
