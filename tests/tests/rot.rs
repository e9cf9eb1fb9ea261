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

use barkeeper::{CompactOptions, OpenError, SealOptions, Snapshot, Store, TradeQuery};
use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Batch, Clock, FixedClock, Interval, Lsn, OnConflict, Operation, PositionKey,
    SeriesKey, Timestamp, TradingDay,
};
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
const SUMS: &str = "store.sums";
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
    Swap { one: usize, other: usize },
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
            Self::Swap { one, other } => {
                for byte in 0..PAGE {
                    bytes.swap(one * PAGE + byte, other * PAGE + byte);
                }
            }
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
            5 | 6 => Self::Swap { one: page / PAGE, other: *rng.pick(&pages) },
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
    /// With the sums of its pages from the last close, so that damage is met when it is read.
    Summed,
    /// Without them, so that the whole database is checked when it is opened.
    Unsummed,
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
        for way in [Way::Summed, Way::Unsummed] {
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
        let of = |part| files_below(&self.dir.path().join(part)).unwrap();
        let all: Vec<PathBuf> = ["bars", "ticks", "market_trades"].into_iter().flat_map(of).collect();
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
            Way::Summed => {
                assert!(dir.join(SUMS).is_file());
                Store::open(dir, options(&self.clock()))
            }
            Way::Unsummed => {
                drop(fs::remove_file(dir.join(SUMS)));
                Store::open(dir, options(&self.clock()))
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
fn damage_of_the_database_never_shows_what_was_not_written_nor_hides_a_row() {
    let seed = seed("damage_of_the_database_never_shows_what_was_not_written_nor_hides_a_row");
    for way in [Way::Summed, Way::Unsummed] {
        let found = survey(seed, way, rounds(100, 6_000), false);
        assert_none("show what was not written", found.damages, &found.invented);
        assert_none("hide rows", found.damages, &found.hidden);
    }
}

#[test]
fn damage_of_the_database_is_an_error_and_no_panic() {
    let seed = seed("damage_of_the_database_is_an_error_and_no_panic");
    for way in [Way::Summed, Way::Unsummed] {
        let found = survey(seed, way, rounds(60, 6_000), false);
        assert_none("panic", found.damages, &found.panics);
    }
}

#[test]
fn verify_finds_all_damage_of_the_database_that_a_reader_can_meet() {
    let seed = seed("verify_finds_all_damage_of_the_database_that_a_reader_can_meet");
    let found = survey(seed, Way::Summed, rounds(100, 6_000), true);
    assert_none("are overlooked", found.damages, &found.overlooked);
    assert!(found.all_right < found.damages, "the damage does no harm at all");
}

/// Flips one bit in each page that holds anything, one after the other.
fn each_page(bytes: &[u8]) -> impl Iterator<Item = Damage> {
    let full = |page: &usize| bytes[page * PAGE..(page + 1) * PAGE].iter().any(|byte| *byte != 0);
    let pages: Vec<usize> = (1..bytes.len() / PAGE).filter(full).collect();
    pages.into_iter().map(|page| Damage::Flip { bit: page * PAGE * 8 + 77 })
}

#[test]
fn a_damaged_page_stops_its_readers_and_nobody_else() {
    let sound = Sound::new(7);
    let log = TradeQuery { with_void: true, ..TradeQuery::default() };
    let (mut without_bars, mut without_positions, mut written, mut refused, mut pages) = (0, 0, 0, 0, 0);
    let mut unused = 0;
    for damage in each_page(&sound.database()) {
        let dir = sound.copy();
        assert!(Damage::of_file(&dir.path().join(DATABASE), damage));
        pages += 1;
        let again = scratch();
        copy(dir.path(), again.path()).unwrap();
        let found = Store::verify(again.path(), options(&sound.clock()), &mut |_, _| {}).unwrap();
        assert!(!found.findings.is_empty(), "{damage:?}: verify overlooks it");
        if found.spare_pages > 0 {
            assert!(found.buckets > 0, "{damage:?}: digests are not compared");
            let what = CompactOptions::default();
            let compact = || Store::compact(again.path(), options(&sound.clock()), &what, &mut |_, _| {});
            let compacted = guarded(compact).unwrap().is_ok();
            unused += usize::from(compacted);
            let left = sound.findings(again.path()).unwrap();
            assert!(left == 0 || !compacted, "{damage:?}: {left} findings");
            assert!(sound.read(again.path(), Way::Summed).all_right(), "{damage:?}");
        }
        let Ok(store) = Store::open(dir.path(), options(&sound.clock())) else {
            refused += 1;
            assert!(found.spare_pages == 0, "{damage:?}");
            continue;
        };
        let snapshot = store.snapshot().unwrap();
        let bars =
            sound.model.bars.keys().all(|series| {
                guarded(|| snapshot.bars(series, Timestamp::MIN, Timestamp::MAX)).unwrap().is_ok()
            });
        let positions = guarded(|| snapshot.all_positions(true)).unwrap().is_ok();
        let trades = guarded(|| snapshot.trades(&log)).unwrap().is_ok();
        without_bars += usize::from(!bars && positions && trades);
        without_positions += usize::from(bars && !positions);
        drop(snapshot);
        // The ledger is written while bars cannot be read; what cannot be written leaves nothing behind.
        let fill = Workload::new(Market::new(20), 3).fill(Market::day(0));
        let committed = guarded(|| store.commit(Batch::of(Operation::RecordTrade(fill.clone())))).unwrap();
        written += usize::from(!bars && committed.is_ok());
        assert!(found.spare_pages == 0 || (bars && positions && trades), "{damage:?}: not all can be read");
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.lsn().0, sound.model.lsn.0 + u64::from(committed.is_ok()), "{damage:?}");
        if committed.is_ok() {
            assert_eq!(snapshot.trade(fill.trade_id).unwrap(), Some(fill), "{damage:?}");
        }
        drop(snapshot);
        guarded(|| drop(store)).unwrap();
    }
    println!(
        "{pages} pages: {refused} not opened, {without_bars} without bars alone, {without_positions} without \
         positions alone, {written} written all the same, {unused} with nothing on them"
    );
    assert!(without_bars > 0 && without_positions > 0 && written > 0 && unused > 0);
}

#[test]
fn damaged_sums_cost_time_and_nothing_else() {
    let seed = seed("damaged_sums_cost_time_and_nothing_else");
    let (sound, other, mut rng) = (Sound::new(seed), Sound::new(seed + 1), Rng::new(seed));
    let file = |dir: &Path| dir.join(SUMS);
    let bytes = fs::read(file(sound.dir.path())).unwrap();
    let mut cases: Vec<Option<Vec<u8>>> =
        vec![None, Some(Vec::new()), Some(bytes[..bytes.len() / 2].to_vec())];
    for _ in 0..rounds(20, 500) {
        let mut damaged = bytes.clone();
        match rng.below(2) {
            0 => Damage::Flip { bit: rng.below(bytes.len() * 8) }.apply(&mut damaged),
            _ => Damage::Zero { sector: rng.below(bytes.len()) / SECTOR }.apply(&mut damaged),
        }
        cases.push(Some(damaged));
    }
    for case in cases {
        let dir = sound.copy();
        match &case {
            Some(bytes) => fs::write(file(dir.path()), bytes).unwrap(),
            None => fs::remove_file(file(dir.path())).unwrap(),
        }
        let store = Store::open(dir.path(), options(&sound.clock())).unwrap();
        Examination::of(&sound.model, &store.snapshot().unwrap(), Depth::Paths).perfect().unwrap();
        store.close().unwrap();
        assert_eq!(sound.findings(dir.path()).unwrap(), 0);
    }
    // The sums of another store, of the same age or older.
    let dir = sound.copy();
    fs::copy(file(other.dir.path()), file(dir.path())).unwrap();
    let reading = sound.read(dir.path(), Way::Summed);
    assert!(reading.refused.is_some() || reading.all_right(), "{reading:?}");
}

#[test]
fn an_older_database_in_the_place_of_the_closed_one_is_refused() {
    let sound = Sound::new(7);
    let dir = sound.copy();
    let file = dir.path().join(DATABASE);
    let key = sound.model.positions.keys().next().unwrap().clone();
    let change = |days| {
        let store = Store::open(dir.path(), options(&sound.clock())).unwrap();
        let batch = Batch::of(Operation::SetHeldDays { key: key.clone(), days });
        let lsn = store.commit(batch).unwrap().lsn;
        store.close().unwrap();
        (fs::read(&file).unwrap(), lsn)
    };
    let (mut old, mut lsn) = change(1_000);
    for days in 1_001..1_050 {
        let (new, next) = change(days);
        if new.len() == old.len() {
            break;
        }
        (old, lsn) = (new, next);
    }
    assert_eq!(fs::metadata(&file).unwrap().len(), old.len() as u64);
    fs::write(&file, &old).unwrap();
    let refused = Store::open(dir.path(), options(&sound.clock())).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }) && refused.to_string().contains(SUMS), "{refused}");
    assert!(sound.findings(dir.path()).unwrap() > 0);
    // Where it was meant, it is opened, after a check of all of it.
    fs::remove_file(dir.path().join(SUMS)).unwrap();
    let store = Store::open(dir.path(), options(&sound.clock())).unwrap();
    assert_eq!(store.snapshot().unwrap().lsn(), lsn);
}

/// One bit of a large database, in a page of its own kind each time: bars that are read are those that were
/// written, or an error; so with the sums as without them.
#[test]
fn a_large_database_is_compared_as_a_small_one() {
    const BARS: usize = 200_000;
    let seed = seed("a_large_database_is_compared_as_a_small_one");
    let (dir, clock, market) = (scratch(), clock(), Market::new(3));
    let key = PositionKey::main(market.accounts[0].clone(), market.instruments[0]);
    let store = Store::create(dir.path(), options(&clock)).unwrap();
    let (interval, adjustment) = (Interval::MINUTE, AdjustmentTag::Raw);
    let mut written = Vec::new();
    for instrument in market.instruments.iter().copied() {
        let series = SeriesKey { interval, adjustment, instrument };
        let bar = |place| Market::bar(&series, Market::moment(interval, place / 200, place % 200), place % 3);
        let run = BarRun::new(series, (0..BARS).map(bar).collect()).unwrap();
        written.push((series, run.bars().to_vec()));
        store.commit(Batch::of(Operation::PutBars { run, on_conflict: OnConflict::Refuse })).unwrap();
    }
    store.commit(Batch::of(Operation::SetHeldDays { key: key.clone(), days: 3 })).unwrap();
    store.close().unwrap();
    let len = usize::try_from(fs::metadata(dir.path().join(DATABASE)).unwrap().len()).unwrap();
    println!("{len} bytes");
    assert!(len > 64 << 20);
    let mut rng = Rng::new(seed);
    let (mut noticed, mut positions) = (0, 0);
    let mut round = 0;
    // Some pages hold nothing: until one of those was hit that hold bars.
    while round < rounds(8, 200) || (positions == 0 && round < 100) {
        round += 1;
        let damaged = scratch();
        copy(dir.path(), damaged.path()).unwrap();
        let bit = rng.within(PAGE, len - 1) * 8 + rng.below(8);
        Damage::of_file(&damaged.path().join(DATABASE), Damage::Flip { bit });
        if round % 2 == 1 {
            fs::remove_file(damaged.path().join(SUMS)).unwrap();
        }
        let store = match Store::open(damaged.path(), options(&clock)) {
            Ok(store) => store,
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
                println!("{error}");
                noticed += 1;
                continue;
            }
        };
        let snapshot = store.snapshot().unwrap();
        let mut right = true;
        for (series, bars) in &written {
            match guarded(|| snapshot.bars(series, Timestamp::MIN, Timestamp::MAX)).unwrap() {
                Ok(found) => assert!(found == *bars, "bit {bit} gives other bars of {series}"),
                Err(error) => {
                    assert!(error.is_damage(), "{error}");
                    right = false;
                }
            }
        }
        let held = snapshot.position(&key).map(|found| found.unwrap().held_days);
        positions += usize::from(!right && held.is_ok_and(|held| held == Some(3)));
        noticed += usize::from(!right);
    }
    println!("{noticed} noticed, {positions} with the position still read");
    assert!(noticed > 0 && positions > 0);
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
            let reading = sound.read(dir.path(), Way::Summed);
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
        let reading = sound.read(dir.path(), Way::Summed);
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
