//! Reads of the trade log: three years of three accounts.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use barkeeper::{Store, SummaryBy, TradeQuery};
use barkeeper_records::{Batch, Operation};

use crate::desk::{Desk, options};
use crate::floors;
use crate::market::{YEAR, accounts, fill, instrument, weekday};
use crate::measure::{Timing, nanos, time};
use crate::row::Row;

const YEARS: u64 = 3;
/// Fills of one commit while the log is filled.
const BATCH: u64 = 20_000;

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let scratch = desk.scratch()?;
    let accounts = accounts()?;
    let store = Store::create(&scratch.store(), options())?;
    let all = desk.shape.trades_a_year * YEARS;
    let mut n = 0;
    while n < all {
        let mut batch = Batch::new();
        for _ in 0..BATCH.min(all - n) {
            batch = batch.with(Operation::RecordTrade(fill(desk.shape, &accounts, n)?));
            n += 1;
        }
        store.commit(batch)?;
    }
    // The log is read as it is after a start, not as the commits left it in memory.
    store.close()?;
    let store = Store::open(&scratch.store(), options())?;

    let query = |number: u32| TradeQuery {
        account: accounts.get(1).cloned(),
        instrument: Some(instrument(number)),
        from: Some(weekday(YEAR).label()),
        to: Some(weekday(2 * YEAR).label()),
        ..TradeQuery::default()
    };
    let sample = store.snapshot()?.trades(&query(7))?;
    let days: BTreeSet<_> = sample.iter().map(|trade| trade.trading_day).collect();
    let inside = days.iter().all(|day| (weekday(YEAR)..weekday(2 * YEAR)).contains(day));
    ensure!(!sample.is_empty() && inside, "the year's trades are others");
    let year = time(2_000, |call| -> Result<()> {
        let number = u32::try_from(call % 100)?;
        black_box(store.snapshot()?.trades(&query(number))?);
        Ok(())
    })?;
    let what = format!("one year of one account's {} trades of one instrument", sample.len());
    Row::of("trades_year", what, year).beside(floors::copy(&sample)).print()?;

    let all_of_it = TradeQuery::default();
    let start = Instant::now();
    let rows = store.snapshot()?.summary(&all_of_it, SummaryBy::Month)?;
    let first = Timing::once(nanos(start.elapsed()));
    let counted: u64 = rows.iter().map(|row| row.count).sum();
    ensure!(counted == all, "{counted} of {all} trades are summed up");
    let summary = time(100, |_| -> Result<()> {
        black_box(store.snapshot()?.summary(&all_of_it, SummaryBy::Month)?);
        Ok(())
    })?;
    let what = format!("monthly summary of {YEARS} years over {} accounts, {all} trades", accounts.len());
    Row::of("summary", what, summary).print()?;
    Row::of("summary_first", "the same, the first time after a start", first).print()?;
    store.close()?;
    Ok(())
}
