//! Measures how long commits wait while everything that is hot is sealed, merged and thrown away.
//!
//! ```sh
//! cargo run --release -p barkeeper --example maintenance -- 5000 120
//! ```
//!
//! The arguments are instruments and days. A thread commits a position all the time; its longest wait is
//! printed for each kind of work, beside that of the same time without any.

#![allow(clippy::print_stdout, reason = "an example prints what it measured")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use barkeeper::records::{
    AccountId, AdjustmentTag, Bar, Batch, Clock, InstrumentId, Interval, OnConflict, Operation, PositionKey,
    Timestamp, TradingDay,
};
use barkeeper::{MaintenanceBudget, MergeOptions, SealOptions, Store, StoreOptions};

type Failed = Box<dyn Error + Send + Sync>;

/// The clock of this machine.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Commits until `work` is done, and prints the middle and the longest wait.
fn beside(store: &Store, name: &str, work: impl FnOnce() -> Result<String, Failed>) -> Result<(), Failed> {
    let key = PositionKey::main(AccountId::new("desk")?, "000001.SZ".parse()?);
    let done = AtomicBool::new(false);
    let (waits, said) = std::thread::scope(|scope| {
        let committer = scope.spawn(|| -> Result<Vec<Duration>, Failed> {
            let mut waits = Vec::new();
            for days in 1.. {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let begun = Instant::now();
                store.commit(Batch::of(Operation::SetHeldDays { key: key.clone(), days }))?;
                waits.push(begun.elapsed());
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(waits)
        });
        let said = work();
        done.store(true, Ordering::SeqCst);
        (committer.join(), said)
    });
    let mut waits = waits.map_err(|_| "the committing thread failed")??;
    waits.sort_unstable();
    let middle = waits.get(waits.len() / 2).copied().unwrap_or_default();
    let longest = waits.last().copied().unwrap_or_default();
    println!("{name}: {} commits, middle {middle:.1?}, longest {longest:.1?}; {}", waits.len(), said?);
    Ok(())
}

fn day_of_all(names: &[InstrumentId], day: i32, price: f64) -> Result<Batch, Failed> {
    let day = TradingDay::from_days(day).ok_or("a day")?;
    let bars = names.iter().enumerate().map(|(number, name)| {
        let close = price + number as f64 / 100.0;
        let numbers = [close, close + 0.1, close - 0.1, close, 1e6, 1e6 * close, 0.0];
        (*name, Bar::from_numbers(day.label(), day, numbers))
    });
    Ok(Batch::of(Operation::PutCrossSection {
        interval: Interval::DAY,
        adjustment: AdjustmentTag::Raw,
        bars: bars.collect(),
        on_conflict: OnConflict::Replace,
    }))
}

fn main() -> Result<(), Failed> {
    let mut told = std::env::args().skip(1).map(|text| text.parse::<i32>());
    let instruments = told.next().transpose()?.unwrap_or(5_000);
    let days = told.next().transpose()?.unwrap_or(120);
    let dir = tempfile::tempdir_in(".")?;
    let options = StoreOptions { background: false, ..StoreOptions::new(Arc::new(Wall)) };
    let store = Store::create(&dir.path().join("store"), options)?;
    let names: Vec<InstrumentId> =
        (0..instruments).map(|number| format!("{number:06}.SZ").parse()).collect::<Result<_, _>>()?;
    beside(&store, "nothing else", || {
        std::thread::sleep(Duration::from_secs(2));
        Ok(String::new())
    })?;
    for round in 0..2 {
        for day in 0..days {
            store.commit(day_of_all(&names, 19_000 + day, 10.0 + f64::from(round))?)?;
        }
        beside(&store, "seal", || Ok(format!("{:?}", store.seal(&SealOptions::default(), &mut |_, _| {})?)))?;
    }
    beside(&store, "merge", || {
        let merges = store.merge(&MergeOptions { interval: None, whole: true }, &mut |_, _| {})?;
        Ok(format!("{merges:?}"))
    })?;
    beside(&store, "undo", || Ok(format!("{:?}", store.undo(false)?)))?;
    beside(&store, "maintain", || Ok(format!("{:?}", store.maintain(MaintenanceBudget::default())?)))?;
    beside(&store, "empty the trash", || Ok(format!("{:?}", store.empty_trash(true)?)))?;
    Ok(())
}
