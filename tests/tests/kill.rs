//! Kills: a child process commits and says so, is killed at any moment, and what it said stays true.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use barkeeper::{MaintenanceBudget, MaintenanceError, MergeOptions, SealOptions, Store, StoreOptions};
use barkeeper_records::{
    AdjustmentTag, BarRun, Batch, BookId, Clock, Interval, Lsn, OnConflict, Operation, PositionKey,
    SeriesKey, Table, Timestamp, TradeId, TradeRecord,
};
use barkeeper_storage::{row_hash, rowview};
use barkeeper_tests::digests;
use barkeeper_tests::examine::{Depth, Examination};
use barkeeper_tests::folder::verify;
use barkeeper_tests::market::Market;
use barkeeper_tests::model::Model;
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::workload::Workload;

const FOLDER: &str = "BARKEEPER_TEST_FOLDER";
const ORDERS: &str = "BARKEEPER_TEST_ORDERS";
const ACKNOWLEDGED: &str = "acknowledged ";

/// The clock of this machine.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap())
    }
}

fn options() -> StoreOptions {
    StoreOptions { cache_bytes: 16 << 20, ..StoreOptions::new(Arc::new(Wall)) }
}

fn market() -> Market {
    Market { days: 3_000, ..Market::new(20) }
}

/// The batch of an LSN: bars, sometimes of all instruments, a trade, a position, sometimes a correction
/// or a removal. It follows from the seed and the LSN alone, so that the parent knows what was acknowledged.
fn batch_of(seed: u64, lsn: u64) -> Batch {
    let mut rng = Rng::new(seed ^ lsn << 20);
    let market = market();
    let number = usize::try_from(lsn).unwrap();
    let moment = |interval, place: usize| match interval {
        Interval::DAY => Market::moment(interval, place, 0),
        _ => Market::moment(interval, place / 200, place % 200),
    };
    let mut batch = Batch::new();
    for interval in [Interval::DAY, Interval::MINUTE] {
        let series = SeriesKey {
            interval,
            adjustment: AdjustmentTag::Raw,
            instrument: *rng.pick(&market.instruments),
        };
        let mut places = vec![number % market.days];
        if rng.chance(30) {
            places.push(rng.below(number.min(market.days)));
        }
        places.sort_unstable();
        places.dedup();
        let bars =
            places.iter().map(|place| Market::bar(&series, moment(interval, *place), rng.below(3))).collect();
        let run = BarRun::new(series, bars).unwrap();
        batch = batch.with(Operation::PutBars { run, on_conflict: OnConflict::Replace });
    }
    let mut workload = Workload::new(market.clone(), rng.bits());
    if rng.chance(20) {
        let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
        let bars = workload.section(interval, adjustment, number % market.days, 0, 20);
        batch = batch.with(Operation::PutCrossSection {
            interval,
            adjustment,
            bars,
            on_conflict: OnConflict::Replace,
        });
    }
    if rng.chance(5) {
        let series = SeriesKey::daily(*rng.pick(&market.instruments));
        let first = rng.below(number.min(market.days));
        let (from, to) = (Market::day(first).label(), Market::day(first + 3).label());
        batch = batch.with(Operation::DeleteBars { series, from, to });
    }
    let trade = TradeRecord {
        trade_id: TradeId(u128::from(lsn)),
        external_id: None,
        ..workload.fill(Market::day(number % 400))
    };
    let days = u32::try_from(lsn).unwrap();
    let key = PositionKey {
        account: market.accounts[0].clone(),
        book: BookId::main(),
        instrument: *rng.pick(&market.instruments),
    };
    batch
        .with(Operation::RecordTrade(trade))
        .with(Operation::SetHeldDays { key, days })
        .request("child", &lsn.to_string())
}

/// A number over everything that a batch says.
fn fingerprint(batch: &Batch) -> i64 {
    let mut sum = 0_i64;
    for operation in &batch.operations {
        let hash = match operation {
            Operation::PutBars { run, .. } => {
                let series = run.series();
                let hash = |bar| {
                    row_hash(Table::Bars, &rowview::bar_key(&series, bar_ts(bar)), &rowview::bar_values(bar))
                };
                run.bars().iter().fold(0, |sum: i64, bar| sum.wrapping_add(hash(bar)))
            }
            Operation::RecordTrade(trade) => {
                row_hash(Table::Trades, &rowview::trade_key(trade), &rowview::trade_values(trade))
            }
            Operation::SetHeldDays { key, days } => {
                row_hash(Table::Positions, &rowview::position_key(key), &[]) ^ i64::from(*days)
            }
            _ => 1,
        };
        sum = sum.wrapping_mul(31).wrapping_add(hash);
    }
    sum
}

const fn bar_ts(bar: &barkeeper_records::Bar) -> Timestamp {
    bar.ts
}

/// What a child is told: the seed, and after how many commits it seals (0: never).
fn orders(seed: u64, seal_every: u64) -> String {
    format!("{seed} {seal_every}")
}

/// Not a test of its own: the process that is killed. Without a folder it has nothing to do.
#[test]
fn child_writer() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let told = env::var(ORDERS).unwrap();
    let (seed, seal_every) = told.split_once(' ').unwrap();
    let (seed, seal_every): (u64, u64) = (seed.parse().unwrap(), seal_every.parse().unwrap());
    let store = Store::open(Path::new(&folder), options()).unwrap();
    let mut lsn = store.snapshot().unwrap().lsn().0;
    loop {
        lsn += 1;
        let batch = batch_of(seed, lsn);
        let sum = fingerprint(&batch);
        let receipt = store.commit(batch).unwrap();
        assert_eq!(receipt.lsn, Lsn(lsn), "a commit took an LSN that was not the next");
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{ACKNOWLEDGED}{lsn} {sum}").unwrap();
        out.flush().unwrap();
        drop(out);
        if seal_every > 0 && lsn.is_multiple_of(seal_every) {
            store.seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
            maintain(&store, lsn);
        }
    }
}

/// Everything that maintenance does, so that children are killed in the middle of all of it.
fn maintain(store: &Store, lsn: u64) {
    let whole = MergeOptions { interval: None, whole: true };
    match lsn % 4 {
        0 => drop(store.merge(&whole, &mut |_, _| {}).unwrap()),
        1 => {
            store.merge(&whole, &mut |_, _| {}).unwrap();
            match store.undo(false) {
                Err(MaintenanceError::NotUndone { .. }) => {}
                done => drop(done.unwrap()),
            }
        }
        2 => drop(store.empty_trash(true).unwrap()),
        _ => drop(store.maintain(MaintenanceBudget::default()).unwrap()),
    }
}

fn spawn(dir: &Path, orders: &str) -> Child {
    let program: PathBuf = env::current_exe().unwrap();
    Command::new(program)
        .args(["--exact", "child_writer", "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir)
        .env(ORDERS, orders)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a child write for a while, kills it, and answers the LSNs that it acknowledged, in its order.
fn write_and_kill(dir: &Path, orders: &str, life: Duration, seed: u64) -> Vec<u64> {
    let mut child = spawn(dir, orders);
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut out = BufReader::new(out);
        let mut line = String::new();
        while out.read_line(&mut line).unwrap() > 0 {
            // A line that the kill has torn was not said.
            if line.ends_with('\n') {
                lines.push(line.trim().to_owned());
            }
            line.clear();
        }
        lines
    });
    std::thread::sleep(life);
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    let told = child.wait_with_output().unwrap();
    assert!(ended.is_none(), "the child ended by itself: {}", String::from_utf8_lossy(&told.stderr));
    let lines = reader.join().unwrap();
    let said = lines.iter().filter_map(|line| line.strip_prefix(ACKNOWLEDGED));
    said.map(|said| {
        let (lsn, sum) = said.split_once(' ').unwrap();
        let (lsn, sum): (u64, i64) = (lsn.parse().unwrap(), sum.parse().unwrap());
        assert_eq!(
            sum,
            fingerprint(&batch_of(seed, lsn)),
            "the child committed something else under LSN {lsn}"
        );
        lsn
    })
    .collect()
}

#[test]
fn sixty_kills_lose_no_acknowledged_commit() {
    let seed = seed("sixty_kills_lose_no_acknowledged_commit");
    let mut rng = Rng::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let store = Store::create(dir, options()).unwrap();
    store.feed().register_target("replica").unwrap();
    store.close().unwrap();
    let mut model = Model::default();
    let (mut acknowledged, mut unheard, mut silent, mut children) = (0_usize, 0, 0, 0);
    let kills = rounds(60, 600);
    // On a machine that is slow to start programs, children that are killed before they say anything prove
    // nothing: the next ones live longer.
    let mut patience = 1;
    for kill in 1..=kills {
        // In one round of three the next child finds what the last one left, without a look in between.
        let known = model.lsn.0;
        let mut last = known;
        let parts = if rng.chance(30) { 2 } else { 1 };
        for part in 0..parts {
            let life = Duration::from_millis(rng.within(2, 120) as u64);
            let seal_every = if rng.chance(40) { rng.within(3, 20) as u64 } else { 0 };
            let heard = write_and_kill(dir, &orders(seed, seal_every), life * patience, seed);
            patience = if heard.is_empty() { (patience * 2).min(32) } else { patience.max(2) - 1 };
            for (place, lsn) in heard.iter().enumerate() {
                // One commit may have been in flight at the kill before, durable and unheard.
                let gap = lsn - last - 1;
                assert!(gap == 0 || (place == 0 && gap <= part), "LSN {lsn} was acknowledged behind {last}");
                last = *lsn;
            }
            acknowledged += heard.len();
            silent += usize::from(heard.is_empty());
            children += 1;
        }
        let store = Store::open(dir, options()).unwrap();
        let found = store.snapshot().unwrap().lsn().0;
        assert!(found >= last, "kill {kill}: LSN {last} was acknowledged, the store opens at {found}");
        assert!(
            found <= last + parts,
            "kill {kill}: LSN {last} was acknowledged, the store opens at {found}"
        );
        unheard += found - last;
        for lsn in known + 1..=found {
            let answer = model.run(&batch_of(seed, lsn), Timestamp::default()).unwrap();
            assert_eq!(answer.lsn, Lsn(lsn));
        }
        look(&store, &model, kill);
        drop(store);
        if kill % 10 == 0 || kill == kills {
            let report = verify(dir, options()).map_err(|error| format!("kill {kill}: {error}")).unwrap();
            assert_eq!((report.lsn, report.trades), (model.lsn, model.trades.len() as u64));
        }
    }
    println!("{children} children were killed, {silent} of them before they said anything");
    println!("{acknowledged} commits were acknowledged and are there, {unheard} more are there");
    assert!(acknowledged > kills, "children live too short to prove anything");
}

/// Everything that was committed is there, whole, and the log has no gap.
fn look(store: &Store, model: &Model, kill: usize) {
    let snapshot = store.snapshot().unwrap();
    Examination::of(model, &snapshot, Depth::Rows)
        .perfect()
        .map_err(|error| format!("kill {kill}: {error}"))
        .unwrap();
    let bounds = store.feed().bounds().unwrap();
    assert_eq!((bounds.tail, bounds.head), (Lsn(1), model.lsn), "kill {kill}");
    if kill.is_multiple_of(10) {
        digests::agree(model, store.feed().as_ref())
            .map_err(|error| format!("kill {kill}: {error}"))
            .unwrap();
    }
    if let Some(lsn) = model.lsn.0.checked_sub(1).filter(|lsn| *lsn > 0) {
        let receipt = store.commit(batch_of_request(lsn)).unwrap();
        assert!(receipt.replayed && receipt.lsn == Lsn(lsn), "kill {kill}: {receipt:?}");
    }
}

/// A batch under the request id of an earlier one: it must be answered and do nothing.
fn batch_of_request(lsn: u64) -> Batch {
    let key = PositionKey::main(market().accounts[1].clone(), market().instruments[0]);
    Batch::of(Operation::SetHeldDays { key, days: 1 }).request("child", &lsn.to_string())
}
