//! Rot: bits flip, sectors are zeroed, files are cut short or change places. Whatever is read then is an
//! error or what was written, never something else, and `verify` finds the damage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barkeeper::{OpenError, SealOptions, Snapshot, Store, TradeQuery};
use barkeeper_records::{
    AdjustmentTag, Bar, Batch, Clock, FixedClock, Interval, Lsn, OnConflict, Operation, SeriesKey, Timestamp,
    TradingDay,
};
use barkeeper_tests::disk::Disk;
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::{clock, copy, files_below, options, scratch, turn, verify};
use barkeeper_tests::guard::guarded;
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, same_answer};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tempfile::TempDir;

const DATABASE: &str = "store.redb";
/// Bytes of a page of the database.
const PAGE: usize = 4_096;
/// Bytes of the database's header.
const HEADER: usize = 320;
const SECTOR: usize = 512;
/// Nanoseconds of a minute and of a day.
const MINUTE: i64 = 60_000_000_000;
const DAY: i64 = 1_440 * MINUTE;

/// Something that happens to the bytes of a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip { bit: usize },
    Zero { sector: usize },
    Cut { len: usize },
    Grow { bytes: usize },
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { bit } => bytes[bit / 8] ^= 1 << (bit % 8),
            Self::Zero { sector } => {
                let start = sector * SECTOR;
                let end = bytes.len().min(start + SECTOR);
                bytes[start..end].fill(0);
            }
            Self::Cut { len } => bytes.truncate(len),
            Self::Grow { bytes: more } => bytes.extend(std::iter::repeat_n(0, more)),
        }
    }

    fn of_file(file: &Path, self_: Self) -> bool {
        let before = fs::read(file).unwrap();
        let mut bytes = before.clone();
        self_.apply(&mut bytes);
        fs::write(file, &bytes).unwrap();
        bytes != before
    }

    /// Damage of a database: in its header, in pages that hold anything, at its end.
    fn of_database(bytes: &[u8], rng: &mut Rng) -> Self {
        let pages: Vec<usize> = (0..bytes.len() / PAGE)
            .filter(|page| bytes[page * PAGE..(page + 1) * PAGE].iter().any(|byte| *byte != 0))
            .collect();
        let page = *rng.pick(&pages) * PAGE;
        match rng.below(20) {
            0 | 1 => Self::Flip { bit: rng.below(HEADER * 8) },
            2 | 3 => Self::Zero { sector: (page + rng.below(PAGE)) / SECTOR },
            4 => Self::Cut { len: rng.below(bytes.len()) },
            _ => Self::Flip { bit: (page + rng.below(PAGE)) * 8 + rng.below(8) },
        }
    }

    /// Damage of a segment, anywhere in it.
    fn of_segment(len: usize, rng: &mut Rng) -> Self {
        match rng.below(12) {
            0 => Self::Zero { sector: rng.below(len) / SECTOR },
            1 => Self::Cut { len: rng.below(len) },
            2 => Self::Grow { bytes: rng.within(1, 5_000) },
            _ => Self::Flip { bit: rng.below(len * 8) },
        }
    }
}

/// What reading everything came to.
#[derive(Debug, Default)]
struct Reading {
    /// Why the store did not open.
    refused: Option<String>,
    /// A panic outside of a read.
    escaped: Option<String>,
    /// The first row with content that was never written.
    invented: Option<String>,
    examined: Examination,
}

impl Reading {
    /// Rows that are said not to be there, or content that was never written.
    fn wrong(&self) -> Option<&String> {
        self.invented.as_ref().or_else(|| self.examined.wrong.first())
    }

    /// A panic that no code of the store turned into an error.
    fn panicked(&self) -> Option<&String> {
        self.escaped.as_ref().or_else(|| self.examined.panics.first())
    }

    fn all_right(&self) -> bool {
        self.refused.is_none() && self.escaped.is_none() && self.examined.perfect().is_ok()
    }
}

/// How a damaged database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As a store is, with the check of all pages that small databases get.
    Checked,
    /// As a database is that is too large to be checked at every open.
    Unchecked,
}

/// A store that was closed, and what it holds.
struct Sound {
    dir: TempDir,
    clock: Arc<FixedClock>,
    model: Model,
}

impl Sound {
    fn new(seed: u64) -> Self {
        let (dir, clock) = (scratch(), clock());
        let store = Store::create(dir.path(), options(&clock)).unwrap();
        store.feed().register_target("replica").unwrap();
        let kinds = vec![(Interval::DAY, AdjustmentTag::Raw), (Interval::MINUTE, AdjustmentTag::Raw)];
        let mut workload = Workload::new(Market { days: 20, kinds, ..Market::new(20) }, seed);
        let mut model = Model::default();
        let commit = |model: &mut Model, batch: Batch| {
            let expected = model.apply(&batch, turn(&clock, 3));
            same_answer(&store.commit(batch), &expected).unwrap();
        };
        for part in 0..3 {
            for day in 0..5 {
                let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
                let bars = workload.section(interval, adjustment, part * 4 + day, 0, 20);
                let on_conflict = OnConflict::Replace;
                commit(
                    &mut model,
                    Batch::of(Operation::PutCrossSection { interval, adjustment, bars, on_conflict }),
                );
            }
            for _ in 0..40 {
                let batch = workload.batch(&model);
                commit(&mut model, batch);
            }
            if part < 2 {
                store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
            }
        }
        store.close().unwrap();
        let sound = Self { dir, clock, model };
        for way in [Way::Checked, Way::Unchecked] {
            let reading = sound.read(sound.copy().path(), way);
            assert!(reading.all_right(), "before any damage: {reading:?}");
        }
        sound
    }

    fn copy(&self) -> TempDir {
        let copied = scratch();
        copy(self.dir.path(), copied.path()).unwrap();
        copied
    }

    fn database(&self) -> Vec<u8> {
        fs::read(self.dir.path().join(DATABASE)).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let all = files_below(&self.dir.path().join("bars")).unwrap();
        all.iter().map(|file| file.strip_prefix(self.dir.path()).unwrap().to_owned()).collect()
    }

    /// A copy of the clock, so that what one reading does is not seen by the next.
    fn clock(&self) -> Arc<FixedClock> {
        Arc::new(FixedClock::new(self.clock.now()))
    }

    /// Opens a damaged copy and reads everything in it.
    fn read(&self, dir: &Path, way: Way) -> Reading {
        let mut reading = Reading::default();
        let open = || match way {
            Way::Checked => Store::open(dir, options(&self.clock())),
            Way::Unchecked => {
                let disk = Disk::holding(fs::read(dir.join(DATABASE)).unwrap());
                Store::on_backend(disk, dir, options(&self.clock()))
            }
        };
        let store = match guarded(open) {
            Ok(Ok(store)) => store,
            Ok(Err(error)) => {
                assert!(!matches!(error, OpenError::InUse { .. } | OpenError::NotEmpty { .. }), "{error}");
                reading.refused = Some(error.to_string());
                return reading;
            }
            Err(panic) => {
                reading.escaped = Some(format!("open: {panic}"));
                return reading;
            }
        };
        match guarded(|| store.snapshot()) {
            Ok(Ok(snapshot)) => {
                reading.examined = Examination::of(&self.model, &snapshot, Depth::Paths);
                reading.invented = self.invented(&snapshot);
                // It holds the database as the store does.
                reading.escaped = guarded(|| drop(snapshot)).err();
            }
            Ok(Err(error)) => reading.refused = Some(error.to_string()),
            Err(panic) => reading.escaped = Some(format!("snapshot: {panic}")),
        }
        if let Err(panic) = guarded(|| drop(store)) {
            reading.escaped.get_or_insert(format!("drop: {panic}"));
        }
        reading
    }

    /// The first row that a snapshot shows and that was never written.
    fn invented(&self, snapshot: &Snapshot) -> Option<String> {
        for series in self.model.bars.keys() {
            let found = guarded(|| snapshot.bars(series, Timestamp::MIN, Timestamp::MAX));
            let last = guarded(|| snapshot.last_bars(series, 60));
            for bar in [found, last].into_iter().flatten().flatten().flatten() {
                if !was_written(series, &bar) {
                    return Some(format!("{series}: {bar:?} was never written"));
                }
            }
        }
        if let Ok(Ok(found)) = guarded(|| snapshot.all_positions(true)) {
            let stranger =
                found.iter().find(|position| self.model.shown(&position.key).as_ref() != Some(position));
            if let Some(stranger) = stranger {
                return Some(format!("{stranger:?} was never written"));
            }
        }
        let log = TradeQuery { with_void: true, ..TradeQuery::default() };
        if let Ok(Ok(found)) = guarded(|| snapshot.trades(&log)) {
            let stranger = found.iter().find(|trade| self.model.trades.get(&trade.trade_id) != Some(trade));
            if let Some(stranger) = stranger {
                return Some(format!("{stranger:?} was never written"));
            }
        }
        None
    }

    /// How many findings `verify` has.
    fn findings(&self, dir: &Path) -> Result<usize, String> {
        let verified = guarded(|| Store::verify(dir, options(&self.clock()), &mut |_, _| {}));
        let report = verified?.map_err(|error| format!("it gave up: {error}"))?;
        Ok(report.findings.len())
    }
}

/// Whether a bar was ever put: its content follows from its key and one of three variants. It may have
/// been replaced or removed since; damage that hides a tombstone shows it again.
fn was_written(series: &SeriesKey, bar: &Bar) -> bool {
    let day = TradingDay::of_utc(bar.ts).unwrap();
    let minute = (bar.ts.nanos() - Market::moment(series.interval, 0, 0).0.nanos()).rem_euclid(DAY) / MINUTE;
    let day = usize::try_from(day.days() - Market::day(0).days()).unwrap_or(usize::MAX >> 40);
    let moment = Market::moment(series.interval, day, usize::try_from(minute).unwrap());
    (0..3).any(|variant| {
        let put = Market::bar(series, moment, variant).born(series.interval);
        put.is_ok_and(|put| put.same_content(bar))
    })
}

/// What many damages of the database came to; each list names the damage.
#[derive(Default)]
struct Survey {
    damages: usize,
    refused: usize,
    with_errors: usize,
    all_right: usize,
    invented: Vec<String>,
    hidden: Vec<String>,
    panics: Vec<String>,
    overlooked: Vec<String>,
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} damages: {} not opened, {} with errors, {} harmless, {} hid rows, {} invented some, {} panics",
            self.damages,
            self.refused,
            self.with_errors,
            self.all_right,
            self.hidden.len(),
            self.invented.len(),
            self.panics.len(),
        )
    }
}

/// Damages the database again and again and reads everything each time.
fn survey(seed: u64, way: Way, damages: usize, and_verify: bool) -> Survey {
    let sound = Sound::new(seed);
    let (mut rng, mut found) = (Rng::new(seed), Survey::default());
    let bytes = sound.database();
    for _ in 0..damages {
        let damage = Damage::of_database(&bytes, &mut rng);
        let dir = sound.copy();
        if !Damage::of_file(&dir.path().join(DATABASE), damage) {
            continue;
        }
        let findings = and_verify.then(|| {
            let again = scratch();
            copy(dir.path(), again.path()).unwrap();
            sound.findings(again.path())
        });
        let reading = sound.read(dir.path(), way);
        let named = |what: &String| format!("{damage:?}: {what}");
        found.damages += 1;
        found.refused += usize::from(reading.refused.is_some());
        found.with_errors += usize::from(!reading.examined.errors.is_empty());
        found.all_right += usize::from(reading.all_right());
        found.invented.extend(reading.invented.iter().map(named));
        found.hidden.extend(reading.examined.wrong.first().map(named));
        found.panics.extend(reading.panicked().map(named));
        match findings {
            Some(Ok(0)) if !reading.all_right() => {
                let what = reading.wrong().or(reading.panicked()).or(reading.examined.errors.first());
                found.overlooked.push(format!("{damage:?}: {what:?}, {:?}", reading.refused));
            }
            Some(Err(error)) => found.overlooked.push(named(&error)),
            _ => {}
        }
    }
    println!("{found}");
    found
}

fn assert_none(what: &str, of: usize, found: &[String]) {
    let first = found.first().map(|text| text.chars().take(700).collect::<String>());
    assert!(found.is_empty(), "{} of {of} damages {what}, such as {first:?}", found.len());
}

#[test]
fn damage_of_the_database_never_shows_what_was_not_written() {
    let seed = seed("damage_of_the_database_never_shows_what_was_not_written");
    for way in [Way::Checked, Way::Unchecked] {
        let found = survey(seed, way, rounds(60, 4_000), false);
        assert_none("show what was not written", found.damages, &found.invented);
    }
}

#[test]
fn damage_of_the_database_hides_no_row() {
    let found = survey(seed("damage_of_the_database_hides_no_row"), Way::Checked, rounds(120, 6_000), false);
    assert_none("hide rows", found.damages, &found.hidden);
}

#[test]
fn damage_of_the_database_is_an_error_and_no_panic() {
    let seed = seed("damage_of_the_database_is_an_error_and_no_panic");
    let found = survey(seed, Way::Checked, rounds(120, 6_000), false);
    assert_none("panic", found.damages, &found.panics);
}

#[test]
fn damage_of_a_database_too_large_to_be_checked_is_an_error_and_no_panic() {
    let seed = seed("damage_of_a_database_too_large_to_be_checked_is_an_error_and_no_panic");
    let found = survey(seed, Way::Unchecked, rounds(120, 6_000), false);
    assert_none("panic", found.damages, &found.panics);
}

#[test]
fn verify_finds_all_damage_of_the_database_that_a_reader_can_meet() {
    let seed = seed("verify_finds_all_damage_of_the_database_that_a_reader_can_meet");
    let found = survey(seed, Way::Unchecked, rounds(100, 6_000), true);
    assert_none("are overlooked", found.damages, &found.overlooked);
    assert!(found.all_right < found.damages, "the damage does no harm at all");
}

#[test]
fn damage_of_a_segment_is_an_error_or_harmless_and_always_found() {
    let seed = seed("damage_of_a_segment_is_an_error_or_harmless_and_always_found");
    let sound = Sound::new(seed);
    let (mut rng, mut damages, mut harmless) = (Rng::new(seed), 0, 0);
    for segment in sound.segments() {
        let len = fs::read(sound.dir.path().join(&segment)).unwrap().len();
        for _ in 0..rounds(20, 1_000) {
            let damage = Damage::of_segment(len, &mut rng);
            let dir = sound.copy();
            if !Damage::of_file(&dir.path().join(&segment), damage) {
                continue;
            }
            damages += 1;
            let place = format!("{damage:?} of {}, {len} bytes", segment.display());
            let reading = sound.read(dir.path(), Way::Checked);
            assert_eq!((reading.wrong(), reading.panicked()), (None, None), "{place}");
            harmless += usize::from(reading.all_right());
            assert!(sound.findings(dir.path()).unwrap() > 0, "{place}: verify overlooks it");
        }
    }
    println!("{damages} damages, {harmless} of them where no reader looks");
}

#[test]
fn segments_that_are_swapped_lost_or_stale_are_errors_and_found() {
    let seed = seed("segments_that_are_swapped_lost_or_stale_are_errors_and_found");
    let sound = Sound::new(seed);
    let segments = sound.segments();
    let mut cases: Vec<(String, TempDir)> = Vec::new();
    for (number, one) in segments.iter().enumerate() {
        for other in &segments[number + 1..] {
            let dir = sound.copy();
            let (one, other) = (dir.path().join(one), dir.path().join(other));
            let (first, second) = (fs::read(&one).unwrap(), fs::read(&other).unwrap());
            // Of equal length as well: a file of another length is found by its length alone.
            fs::write(&one, &second).unwrap();
            fs::write(&other, &first).unwrap();
            cases.push((format!("{} and {} swapped", one.display(), other.display()), dir));
            let dir = sound.copy();
            let mut padded = second;
            padded.resize(first.len(), 0);
            fs::write(dir.path().join(&segments[number]), padded).unwrap();
            cases.push((format!("another file in place of {}", one.display()), dir));
        }
        let dir = sound.copy();
        fs::remove_file(dir.path().join(one)).unwrap();
        cases.push((format!("{} lost", one.display()), dir));
        let dir = sound.copy();
        fs::write(dir.path().join(one), []).unwrap();
        cases.push((format!("{} empty", one.display()), dir));
    }
    for (place, dir) in &cases {
        let reading = sound.read(dir.path(), Way::Checked);
        assert_eq!((reading.wrong(), reading.panicked()), (None, None), "{place}");
        assert!(!reading.all_right(), "{place}: nobody noticed");
        assert!(sound.findings(dir.path()).unwrap() > 0, "{place}: verify overlooks it");
    }
    println!("{} cases", cases.len());
}

/// Takes a value out of a table as a flipped bit in its key would.
fn lose(dir: &Path, table: &str, key: impl Fn(&[u8]) -> bool) {
    let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
    let database = Database::open(dir.join(DATABASE)).unwrap();
    let keys: Vec<Vec<u8>> = {
        let table = database.begin_read().unwrap().open_table(definition).unwrap();
        table
            .iter()
            .unwrap()
            .map(|entry| entry.unwrap().0.value().to_vec())
            .filter(|found| key(found))
            .collect()
    };
    let transaction = database.begin_write().unwrap();
    for key in keys {
        transaction.open_table(definition).unwrap().remove(key.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_store_that_has_lost_its_identity_is_not_made_anew() {
    let sound = Sound::new(7);
    let dir = sound.copy();
    lose(dir.path(), "meta", |key| key == b"identity");
    let opened = Store::open(dir.path(), options(&sound.clock()));
    if let Ok(store) = opened {
        let lsn = store.snapshot().unwrap().lsn();
        let stats = store.stats().unwrap();
        assert_eq!(
            lsn, sound.model.lsn,
            "a store of {} bars and {} trades was begun anew",
            stats.bars, stats.trades
        );
        panic!("a store without an identity was opened");
    }
}

#[test]
fn a_database_that_ends_early_is_damage() {
    let sound = Sound::new(7);
    let whole = sound.database().len();
    for len in [0, 1, 78, HEADER, PAGE, 3 * PAGE + 1, whole / 2, whole - PAGE] {
        let dir = sound.copy();
        Damage::of_file(&dir.path().join(DATABASE), Damage::Cut { len });
        let opened = Store::open(dir.path(), options(&sound.clock()));
        let refused = opened.map(drop).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{len} of {whole} bytes: {refused:?}");
        let findings = sound.findings(dir.path());
        assert!(findings.as_ref().is_ok_and(|count| *count > 0), "{len} of {whole} bytes: {findings:?}");
    }
}

#[test]
fn a_segment_that_the_manifest_has_lost_is_missed() {
    let sound = Sound::new(7);
    let dir = sound.copy();
    lose(dir.path(), "segments", |_| true);
    let first = sound.findings(dir.path()).unwrap();
    assert!(first > 0, "verify does not miss the bars of segments that the manifest does not name");
    assert!(sound.findings(dir.path()).unwrap() > 0, "the second verify overlooks what the first one found");
}

#[test]
fn a_sound_store_verifies_and_counts_what_it_holds() {
    let sound = Sound::new(seed("a_sound_store_verifies_and_counts_what_it_holds"));
    let dir = sound.copy();
    let report = verify(dir.path(), options(&sound.clock())).unwrap();
    let bars: usize = sound.model.bars.values().map(BTreeMap::len).sum();
    assert_eq!((report.bars, report.trades), (bars as u64, sound.model.trades.len() as u64));
    assert_eq!((report.positions, report.lsn), (sound.model.positions.len() as u64, sound.model.lsn));
    assert_eq!(report.segments, sound.segments().len() as u64);
    assert!(report.lsn > Lsn(0) && report.values > 0 && report.buckets > 0);
}
