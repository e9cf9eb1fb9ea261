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

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barkeeper::{OpenError, SealOptions, Store};
use barkeeper_records::{AdjustmentTag, Batch, Clock, FixedClock, Interval, OnConflict, Operation};
use barkeeper_tests::examine::{Depth, Examination, panic_text};
use barkeeper_tests::folder::{clock, copy, files_below, options, turn};
use barkeeper_tests::market::Market;
use barkeeper_tests::model::{Model, same_answer};
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;
use tempfile::TempDir;

const DATABASE: &str = "store.redb";
/// Bytes of a page of the database.
const PAGE: usize = 4_096;
const SECTOR: usize = 512;

/// A store that was closed, and what it holds.
struct Sound {
    dir: TempDir,
    clock: Arc<FixedClock>,
    model: Model,
}

/// What reading everything came to.
#[derive(Default)]
struct Reading {
    refused: Option<String>,
    escaped: Option<String>,
    examined: Examination,
}

impl Reading {
    /// Data that was never written, or rows that are said not to be there.
    fn wrong(&self) -> Option<&String> {
        self.examined.wrong.first()
    }

    /// A panic that no code of the store turned into an error.
    fn panicked(&self) -> Option<&String> {
        self.escaped.as_ref().or_else(|| self.examined.panics.first())
    }

    fn all_right(&self) -> bool {
        self.refused.is_none() && self.escaped.is_none() && self.examined.perfect().is_ok()
    }
}

impl Sound {
    fn new(seed: u64) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
        let store = Store::create(dir.path(), options(&clock)).unwrap();
        store.feed().register_target("replica").unwrap();
        let kinds = vec![(Interval::DAY, AdjustmentTag::Raw), (Interval::MINUTE, AdjustmentTag::Raw)];
        let mut workload = Workload::new(Market { days: 20, kinds, ..Market::new(70) }, seed);
        let mut model = Model::default();
        let mut commit = |model: &mut Model, batch: Batch| {
            let expected = model.apply(&batch, turn(&clock, 3));
            same_answer(&store.commit(batch), &expected).unwrap();
        };
        for part in 0..3 {
            for day in 0..5 {
                let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
                let bars = workload.section(interval, adjustment, part * 4 + day, 0, 70);
                let on_conflict = OnConflict::Replace;
                commit(&mut model, Batch::of(Operation::PutCrossSection { interval, adjustment, bars, on_conflict }));
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
        Self { dir, clock, model }
    }

    fn copy(&self) -> TempDir {
        let copied = tempfile::tempdir().unwrap();
        copy(self.dir.path(), copied.path()).unwrap();
        copied
    }

    fn segments(&self) -> Vec<PathBuf> {
        let all = files_below(&self.dir.path().join("bars")).unwrap();
        all.iter().map(|file| file.strip_prefix(self.dir.path()).unwrap().to_owned()).collect()
    }

    /// Opens a damaged copy and reads everything in it.
    fn read(&self, dir: &Path) -> Reading {
        let mut reading = Reading::default();
        let clock = Arc::new(FixedClock::new(self.clock.now()));
        let opened = catch_unwind(AssertUnwindSafe(|| Store::open(dir, options(&clock))));
        let store = match opened {
            Ok(Ok(store)) => store,
            Ok(Err(error)) => {
                assert!(!matches!(error, OpenError::InUse { .. } | OpenError::NotEmpty { .. }), "{error}");
                reading.refused = Some(error.to_string());
                return reading;
            }
            Err(payload) => {
                reading.escaped = Some(format!("open: {}", panic_text(payload.as_ref())));
                return reading;
            }
        };
        match catch_unwind(AssertUnwindSafe(|| store.snapshot())) {
            Ok(Ok(snapshot)) => reading.examined = Examination::of(&self.model, &snapshot, Depth::Paths),
            Ok(Err(error)) => reading.refused = Some(error.to_string()),
            Err(payload) => reading.escaped = Some(format!("snapshot: {}", panic_text(payload.as_ref()))),
        }
        // A damaged store may panic when it is let go as well.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(store))) {
            reading.escaped.get_or_insert(format!("drop: {}", panic_text(payload.as_ref())));
        }
        reading
    }

    /// How many findings `verify` has, or why it had none to tell.
    fn verify(&self, dir: &Path) -> Result<usize, String> {
        let clock = Arc::new(FixedClock::new(self.clock.now()));
        let verified = catch_unwind(AssertUnwindSafe(|| Store::verify(dir, options(&clock), &mut |_, _| {})));
        match verified {
            Ok(Ok(report)) => Ok(report.findings.len()),
            Ok(Err(error)) => Err(format!("verify gave up: {error}")),
            Err(payload) => Err(format!("verify: {}", panic_text(payload.as_ref()))),
        }
    }
}

/// A place of the database that holds anything: pages of zeros are free or were never used.
fn used_bit(bytes: &[u8], rng: &mut Rng) -> usize {
    let pages: Vec<usize> =
        bytes.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|b| *b != 0)).map(|(n, _)| n).collect();
    let page = *rng.pick(&pages);
    (page * PAGE + rng.below(PAGE.min(bytes.len() - page * PAGE))) * 8 + rng.below(8)
}

fn flip(file: &Path, bit: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(file, bytes).unwrap();
}

#[test]
fn explore() {
    let seed = seed("explore");
    let sound = Sound::new(seed);
    let mut rng = Rng::new(seed);
    let bytes = fs::read(sound.dir.path().join(DATABASE)).unwrap();
    println!("{} bytes, {} segments", bytes.len(), sound.segments().len());
    for f in sound.segments() { println!("{} {}", f.display(), fs::metadata(sound.dir.path().join(&f)).unwrap().len()); }
    let r = sound.read(sound.copy().path());
    r.examined.perfect().unwrap();
    println!("asked {}", r.examined.asked);
    std::panic::set_hook(Box::new(|i| { let bt = std::backtrace::Backtrace::force_capture().to_string(); let mut l: Vec<&str> = bt.lines().map(str::trim).filter(|l| l.starts_with("at ") && (l.contains("engine/") || l.contains("redb-"))).collect(); l.truncate(9); println!("HOOK {} {}", i.location().map(ToString::to_string).unwrap_or_default(), l.join(" < ")); }));
    let (mut wrong, mut panics, mut errors, mut refused, mut right, mut missed) = (0, 0, 0, 0, 0, 0);
    for _ in 0..rounds(300, 3000) {
        let dir = sound.copy();
        let bit = used_bit(&bytes, &mut rng);
        flip(&dir.path().join(DATABASE), bit);
        let again = tempfile::tempdir().unwrap();
        copy(dir.path(), again.path()).unwrap();
        let reading = sound.read(dir.path());
        let verified = sound.verify(again.path());
        if let Some(w) = reading.wrong() { wrong += 1; println!("WRONG at bit {bit}: {} of {}: {w}", reading.examined.wrong.len(), reading.examined.asked); }
        if let Some(w) = reading.panicked() { panics += 1; println!("PANIC at bit {bit}: {} {w}", reading.examined.panics.len()); }
        if reading.refused.is_some() { refused += 1; println!("REFUSED {bit} {:?}", reading.refused); }
        if !reading.examined.errors.is_empty() { errors += 1; }
        if reading.all_right() { right += 1; }
        match verified {
            Ok(0) if !reading.all_right() => { missed += 1; println!("MISSED at bit {bit}: {:?}", reading.examined.perfect()); }
            Err(e) => println!("VERIFY {bit} {e}"),
            _ => {}
        }
    }
    println!("wrong {wrong} panics {panics} errors {errors} refused {refused} right {right} missed {missed}");
}
