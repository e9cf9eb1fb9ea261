//! Workloads of a trading desk, measured through the public API beside floors of the same run.
//!
//! `workloads [--desk]`: 500 instruments x 750 days, or the desk shape of 5,000 x 1,250.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]

mod market;
mod measure;

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use barkeeper::{SealOptions, Store, StoreOptions, TradeQuery};
use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, Batch, BookId, Clock, ExtremeUpdate, FixedClock, Interval, OnConflict,
    Operation, Position, PositionKey, SeriesKey, TradeId, TradeKind, TradeRecord,
};
use rust_decimal::Decimal;

use market::{Shape, instrument, run, weekday};
use measure::{Timing, print, time};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let desk = std::env::args().any(|argument| argument == "--desk");
    let shape =
        if desk { Shape { instruments: 5_000, days: 1_250 } } else { Shape { instruments: 500, days: 750 } };
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("store");
    let clock = Arc::new(FixedClock::new("2026-11-20T02:00:00Z".parse()?));
    let options = || StoreOptions::new(clock.clone() as Arc<dyn Clock>);
    let store = Store::create(&folder, options())?;
    import(&store, shape, dir.path())?;
    let account = AccountId::new("bench")?;
    fill_positions(&store, &account)?;
    reads(&store, shape, &account)?;
    commits(&store, shape, &account, dir.path())?;
    store.close()?;
    let opened = time(20, |_| Store::open(&folder, options()).map(black_box).map(drop))?;
    print("open, clean", opened, "none", opened.median_ns);
    Ok(())
}

fn fsync(dir: &Path, bytes: &[u8]) -> Result<Timing> {
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join("floor"))?;
    Ok(time(100, |_| file.write_all(bytes).and_then(|()| file.sync_data()))?)
}

fn import(store: &Store, shape: Shape, dir: &Path) -> Result<()> {
    let runs: Vec<_> = (0..shape.instruments).map(|number| run(number, shape.days)).collect();
    let rows: usize = runs.iter().map(|run| run.bars().len()).sum();
    let floor_bytes = vec![7_u8; 28 * rows];
    let floor = time(1, |_| std::fs::write(dir.join("bulk"), &floor_bytes))?;
    let mut runs = Some(runs);
    let timing = time(1, |_| {
        let runs = runs.take().unwrap_or_default();
        store.import_bars(runs, Vec::new(), OnConflict::Refuse).map(drop)
    })?;
    print(&format!("bulk import of {rows} bars"), timing, "write 28 bytes a bar", floor.median_ns);
    let stats = store.stats()?;
    let per_bar = stats.segment_bytes as f64 / rows as f64;
    println!("{}", serde_json::json!({"workload": "bytes a sealed daily bar, both axes", "bytes": per_bar}));
    Ok(())
}

fn key(account: &AccountId, number: u32) -> PositionKey {
    PositionKey::main(account.clone(), instrument(number))
}

fn fill_positions(store: &Store, account: &AccountId) -> Result<()> {
    let mut batch = Batch::new();
    for number in 0..100 {
        batch = batch.with(Operation::OpenPosition {
            key: key(account, number),
            day: weekday(1),
            quantity: Some(Decimal::from(100)),
            price: Some(Decimal::new(1_025, 2)),
        });
    }
    store.commit(batch)?;
    Ok(())
}

fn reads(store: &Store, shape: Shape, account: &AccountId) -> Result<()> {
    let held = store.position(&key(account, 7))?.ok_or("no position")?;
    let floor = time(10_000, |_| {
        black_box::<Position>(held.clone());
        Ok::<(), std::io::Error>(())
    })?;
    let one = time(10_000, |call| {
        let key = key(account, u32::try_from(call % 100).unwrap_or(0));
        store.position(&key).map(|found| drop(black_box(found)))
    })?;
    print("one position", one, "clone of the same", floor.median_ns);
    let all = time(2_000, |_| {
        store.snapshot()?.positions(account, None, false).map(|found| drop(black_box(found)))
    })?;
    print("100 positions of an account", all, "clone of one", floor.median_ns);

    let series = |call: usize| {
        let number = u32::try_from(call * 7 % 499).unwrap_or(0);
        SeriesKey::daily(instrument(number))
    };
    let sixty: Vec<Bar> = store.last_bars(&series(1), 60)?;
    let copy = time(10_000, |_| {
        black_box(sixty.clone());
        Ok::<(), std::io::Error>(())
    })?;
    let last = time(10_000, |call| store.last_bars(&series(call), 60).map(|bars| drop(black_box(bars))))?;
    print("last 60 bars of one instrument", last, "copy of the same", copy.median_ns);
    let (from, to) = (weekday(0).label(), weekday(shape.days).label());
    let whole: Vec<Bar> = store.snapshot()?.bars(&series(1), from, to)?;
    let copy = time(2_000, |_| {
        black_box(whole.clone());
        Ok::<(), std::io::Error>(())
    })?;
    let range = time(1_000, |call| {
        store.snapshot()?.bars(&series(call), from, to).map(|bars| drop(black_box(bars)))
    })?;
    print("all bars of one instrument, sealed", range, "copy of the same", copy.median_ns);
    let day = |call: usize| weekday(i32::try_from(call * 13).unwrap_or(0) % shape.days).label();
    let section = store.cross_section(Interval::DAY, AdjustmentTag::Raw, day(1))?;
    let copy = time(2_000, |_| {
        black_box(section.clone());
        Ok::<(), std::io::Error>(())
    })?;
    let sealed = time(1_000, |call| {
        store.cross_section(Interval::DAY, AdjustmentTag::Raw, day(call)).map(|rows| drop(black_box(rows)))
    })?;
    print("one day of all instruments, sealed", sealed, "copy of the same", copy.median_ns);
    Ok(())
}

fn trade(account: &AccountId, number: u128) -> Result<TradeRecord> {
    Ok(TradeRecord {
        trade_id: TradeId(number),
        account: account.clone(),
        book: BookId::main(),
        instrument: instrument(7),
        strategy: None,
        kind: TradeKind::BuyFill,
        ts: "2026-11-20T01:31:00Z".parse()?,
        trading_day: weekday(9),
        price: Decimal::new(1_025, 2),
        quantity: Decimal::from(100),
        amount: None,
        fee: None,
        name: String::new(),
        remark: String::new(),
        source_text: String::new(),
        external_id: None,
        voids: None,
    })
}

fn commits(store: &Store, shape: Shape, account: &AccountId, dir: &Path) -> Result<()> {
    let sync = fsync(dir, &[7; 4_096])?;
    let mut days = 0;
    let append = time(20, |_| -> Result<()> {
        let bars = (0..shape.instruments)
            .map(|number| {
                let bars = run(number, 1);
                let day = weekday(shape.days + days);
                let bar = bars.bars().first().copied().ok_or("no bar")?;
                Ok((instrument(number), Bar { ts: day.label(), trading_day: day, ..bar }))
            })
            .collect::<Result<Vec<_>>>()?;
        days += 1;
        store.commit(Batch::of(Operation::PutCrossSection {
            interval: Interval::DAY,
            adjustment: AdjustmentTag::Raw,
            bars,
            on_conflict: OnConflict::Replace,
        }))?;
        Ok(())
    })?;
    print("append one day of all instruments, durable", append, "one fsync", sync.median_ns);
    let newest = weekday(shape.days + days - 1).label();
    let section = store.cross_section(Interval::DAY, AdjustmentTag::Raw, newest)?;
    let copy = time(2_000, |_| {
        black_box(section.clone());
        Ok::<(), std::io::Error>(())
    })?;
    let hot = time(1_000, |_| {
        store.cross_section(Interval::DAY, AdjustmentTag::Raw, newest).map(|rows| drop(black_box(rows)))
    })?;
    print("one day of all instruments, hot", hot, "copy of the same", copy.median_ns);
    let mut number = 0_u128;
    let commit = time(200, |_| -> Result<()> {
        number += 1;
        let update = ExtremeUpdate { instrument: instrument(7), high: 10.0 + number as f64, low: 9.0 };
        let batch = Batch::of(Operation::RecordTrade(trade(account, number)?))
            .with(Operation::AddPosition { key: key(account, 7), quantity: Decimal::from(100), price: None })
            .with(Operation::UpdateExtremes {
                account: account.clone(),
                book: BookId::main(),
                updates: vec![update],
            });
        store.commit(batch)?;
        Ok(())
    })?;
    print("durable commit of a trade, a position and an extreme", commit, "one fsync", sync.median_ns);
    let query = TradeQuery {
        account: Some(account.clone()),
        instrument: Some(instrument(7)),
        ..TradeQuery::default()
    };
    let log = time(1_000, |_| store.snapshot()?.trades(&query).map(|rows| drop(black_box(rows))))?;
    print("220 trades of one instrument", log, "one fsync", sync.median_ns);
    let sealed = time(1, |_| store.seal(&SealOptions::default(), &mut |_, _| {}).map(drop))?;
    print("seal the appended days", sealed, "one fsync", sync.median_ns);
    Ok(())
}
