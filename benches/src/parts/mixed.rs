//! Readers beside a writer: neither waits for the other.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use barkeeper::Store;
use barkeeper_records::PositionKey;

use crate::desk::{Desk, options};
use crate::market::{HELD, accounts, daily, instrument};
use crate::measure::{Timing, time};
use crate::parts::commits::traded;
use crate::parts::ledger::hold;
use crate::row::{Floor, Row};

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let scratch = desk.copy()?;
    let store = Store::open(&scratch.store(), options())?;
    let accounts = accounts()?;
    hold(&store, &accounts)?;
    let account = accounts.first().context("no account")?;
    let keys: Vec<PositionKey> =
        (0..HELD).map(|number| PositionKey::main(account.clone(), instrument(number))).collect();
    let read = || -> Result<Timing> {
        time(20_000, |call| -> Result<()> {
            let Some(key) = keys.get(call * 37 % keys.len()) else { return Ok(()) };
            black_box(store.position(key)?);
            black_box(store.last_bars(&daily(u32::try_from(call % 100)?), 60)?);
            Ok(())
        })
    };
    let write = |n: usize| -> Result<()> {
        store.commit(traded(desk.shape, &accounts, n as u64)?)?;
        Ok(())
    };
    let alone = read()?;
    let commits_alone = time(200, |call| write(call + 10_000))?;

    let stop = AtomicBool::new(false);
    let (beside, commits) = std::thread::scope(|scope| -> Result<_> {
        let writer = scope.spawn(|| {
            let mut n = 20_000;
            while !stop.load(Ordering::Relaxed) {
                write(n)?;
                n += 1;
            }
            anyhow::Ok(n - 20_000)
        });
        let beside = read();
        stop.store(true, Ordering::Relaxed);
        Ok((beside?, writer.join().ok().context("the writer panicked")??))
    })?;
    let what = format!("read a position and the last 60 bars beside a writer ({commits} commits meanwhile)");
    let floor = Floor { what: "the same reads alone", timing: alone };
    Row::of("read_beside_writer", what, beside).beside(floor).print()?;

    let stop = AtomicBool::new(false);
    let commits = std::thread::scope(|scope| -> Result<Timing> {
        let reader = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for number in 0..100 {
                    black_box(store.last_bars(&daily(number), 60)?);
                }
            }
            anyhow::Ok(())
        });
        let commits = time(200, |call| write(call + 1_000_000));
        stop.store(true, Ordering::Relaxed);
        reader.join().ok().context("the reader panicked")??;
        commits
    })?;
    let floor = Floor { what: "the same commits alone", timing: commits_alone };
    Row::of("commit_beside_reader", "durable commit beside a reader", commits).beside(floor).print()?;
    store.close()?;
    Ok(())
}
