//! Reads of positions, through the public API.

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Result, ensure};
use barkeeper::Store;
use barkeeper_records::{AccountId, Batch, ExtremeUpdate, Operation, Position, PositionKey};
use rust_decimal::Decimal;

use crate::desk::{Desk, options};
use crate::floors;
use crate::market::{HELD, accounts, instrument, weekday};
use crate::measure::time;
use crate::row::Row;

/// Bytes of a position's row and of its key, which the floor stores raw.
const ROW_BYTES: usize = 64;

/// Fills the books of all accounts.
pub(crate) fn hold(store: &Store, accounts: &[AccountId]) -> Result<()> {
    for account in accounts {
        let mut batch = Batch::new();
        for number in 0..HELD {
            let key = PositionKey::main(account.clone(), instrument(number));
            batch = batch.with(Operation::OpenPosition {
                key: key.clone(),
                day: weekday(1),
                quantity: Some(Decimal::from(100 * (number + 1))),
                price: Some(Decimal::new(1_025 + i64::from(number) * 37, 2)),
            });
            let (highest, lowest) = (Some(11.37 + f64::from(number)), Some(9.85));
            batch = batch.with(Operation::SetExtremes { key, highest, lowest });
        }
        store.commit(batch)?;
    }
    Ok(())
}

pub(crate) fn run(desk: &Desk) -> Result<()> {
    let scratch = desk.scratch()?;
    let store = Store::create(&scratch.store(), options())?;
    let accounts = accounts()?;
    hold(&store, &accounts)?;
    let Some(account) = accounts.get(1) else { return Ok(()) };
    let keys: Vec<PositionKey> =
        (0..HELD).map(|number| PositionKey::main(account.clone(), instrument(number))).collect();

    let raw: BTreeMap<Vec<u8>, Vec<u8>> =
        keys.iter().map(|key| (key.to_string().into_bytes(), vec![7; ROW_BYTES])).collect();
    let names: Vec<Vec<u8>> = raw.keys().cloned().collect();
    let db = floors::redb_of(&scratch.dir.path().join("floor.redb"), &raw)?;

    let mut quantity = Decimal::ZERO;
    for key in &keys {
        quantity += store.position(key)?.and_then(|held| held.quantity).unwrap_or_default();
    }
    let read = |call: usize| -> Result<()> {
        let Some(key) = keys.get(call * 37 % keys.len()) else { return Ok(()) };
        black_box::<Option<Position>>(store.position(key)?);
        Ok(())
    };
    let one = time(50_000, read)?;
    Row::of("one_position", "read one position", one).beside(floors::redb_get(&db, &names)?).print()?;

    let all = store.snapshot()?.positions(account, None, false)?;
    let sum: Decimal = all.iter().filter_map(|held| held.quantity).sum();
    ensure!(all.len() == HELD as usize && sum == quantity, "{} positions, {sum}", all.len());
    let hundred = time(5_000, |_| -> Result<()> {
        black_box(store.snapshot()?.positions(account, None, false)?);
        Ok(())
    })?;
    let floor = floors::redb_range(&db)?;
    Row::of("hundred_positions", "read 100 positions of an account", hundred).beside(floor).print()?;

    let updates: Vec<ExtremeUpdate> = (0..HELD)
        .map(|number| ExtremeUpdate { instrument: instrument(number), high: 200.0, low: 9.0 })
        .collect();
    store.update_extremes(account, &barkeeper_records::BookId::main(), &updates)?;
    let relaxed = time(20_000, read)?;
    Row::of("one_position_relaxed", "read one position with 100 relaxed extremes waiting", relaxed)
        .print()?;
    store.close()?;
    Ok(())
}
