//! Random histories of a store, its target and everything that can happen between them, against the rows
//! of the store in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;

use barkeeper_records::{ChangeFeed, Lsn, Table, limits};
use barkeeper_sync::conformance::{
    Fault, Faulty, Write, bar, bar_key, book, position, series, state, trade, trade_values,
};
use barkeeper_sync::{Applied, Reached, Replicator, SinkError, State, Step, Verdict};
use common::{Desk, MINUTE, restore_database, save_database};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

#[derive(Debug, Clone)]
enum Event {
    Commit(Vec<Write>),
    /// Drops the log but for this many commits.
    Trim(u64),
    Steps(u8),
    Fail(Fault),
    /// The next handshake is answered to nobody.
    LoseGreeting,
    /// The process dies; it may come back to life for one more shipment.
    Crash {
        leaves_zombie: bool,
    },
    /// The zombie sends its last shipment again.
    Zombie,
    Pass(u16),
    SaveTarget,
    RestoreTarget,
}

/// Few keys, so that histories meet, in three periods around 1970 and two groups.
fn bar_ts() -> impl Strategy<Value = i64> {
    (-1..=1_i64, 0..6_i64).prop_map(|(period, at)| period * limits::PERIOD_NS + at * MINUTE)
}

fn instrument() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["000001.SZ", "000002.SZ", "IF2403.CFFEX"])
}

fn write() -> impl Strategy<Value = Write> {
    let key = || (instrument(), bar_ts());
    prop_oneof![
        8 => (key(), 0..4_i32).prop_map(|((instrument, ts), price)| {
            Write::Put(Table::Bars, bar_key(&series(instrument, "1m"), ts), bar(f64::from(price), 1.0))
        }),
        2 => key().prop_map(|(instrument, ts)| Write::Delete(Table::Bars, bar_key(&series(instrument, "1m"), ts))),
        2 => (key(), 1..4 * MINUTE).prop_map(|((instrument, ts), length)| {
            Write::DeleteRange(series(instrument, "1m"), ts, ts + length)
        }),
        1 => (0..5_i64, 0..2_i128).prop_map(|(number, price)| {
            Write::Put(Table::Trades, trade(number.cast_unsigned().into()), trade_values("desk", number, price))
        }),
        2 => (instrument(), prop::option::of(1..3_i32)).prop_map(|(instrument, highest)| {
            let (key, values) = position("desk", instrument, highest.map(f64::from));
            Write::Put(Table::Positions, key, values)
        }),
        1 => instrument().prop_map(|instrument| Write::Delete(Table::Positions, position("desk", instrument, None).0)),
        1 => (0..2_i64, 0..2_i64, 0..3_i32).prop_map(|(period, sequence, cash)| {
            let (key, values) = state("pwc", period * limits::PERIOD_NS, sequence, &cash.to_string());
            Write::Put(Table::StrategySnapshots, key, values)
        }),
        1 => (0..2_i64, 0..2_i64).prop_map(|(period, sequence)| {
            Write::Delete(Table::StrategySnapshots, state("pwc", period * limits::PERIOD_NS, sequence, "").0)
        }),
        1 => (0..3_i32).prop_map(|day| {
            let (key, values) = book("desk", day);
            Write::Put(Table::Books, key, values)
        }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let fault = prop::sample::select(vec![Fault::Before, Fault::Middle, Fault::After]);
    prop_oneof![
        6 => prop::collection::vec(write(), 1..30).prop_map(Event::Commit),
        1 => (0..4_u64).prop_map(Event::Trim),
        8 => (1..6_u8).prop_map(Event::Steps),
        3 => fault.prop_map(Event::Fail),
        1 => Just(Event::LoseGreeting),
        2 => any::<bool>().prop_map(|leaves_zombie| Event::Crash { leaves_zombie }),
        2 => Just(Event::Zombie),
        2 => (1..600_u16).prop_map(Event::Pass),
        1 => Just(Event::SaveTarget),
        1 => Just(Event::RestoreTarget),
    ]
}

struct World {
    desk: Desk,
    process: Option<(Replicator, Faulty)>,
    zombie: Option<Faulty>,
    saved: Option<PathBuf>,
}

impl World {
    fn new() -> Self {
        let mut desk = Desk::new();
        let process = Some(desk.process());
        Self { desk, process, zombie: None, saved: None }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Commit(writes) => {
                self.desk.feed.commit(writes).unwrap();
            }
            Event::Trim(kept) => {
                let head = self.desk.feed.bounds().unwrap().head;
                self.desk.feed.trim(Lsn((head.0 + 1).saturating_sub(kept)));
            }
            Event::Steps(count) => {
                let (replicator, _) = self.process.as_mut().unwrap();
                for _ in 0..count {
                    replicator.step();
                }
                assert!(
                    !matches!(replicator.state(), State::Quarantine(_)),
                    "{:?}",
                    replicator.status().history
                );
            }
            Event::Fail(fault) => self.process.as_ref().unwrap().1.fail_next(fault),
            Event::LoseGreeting => self.process.as_ref().unwrap().1.lose_next_greeting(),
            Event::Crash { leaves_zombie } => {
                let (_, sink) = self.process.take().unwrap();
                if leaves_zombie {
                    self.zombie = Some(sink);
                }
                self.process = Some(self.desk.process());
            }
            Event::Zombie => self.replay(),
            Event::Pass(seconds) => self.desk.pass(i64::from(seconds)),
            Event::SaveTarget if self.desk.database().exists() => {
                let copy = self.desk.path("saved.sqlite");
                if copy.exists() {
                    std::fs::remove_file(&copy).unwrap();
                }
                // An empty file before the first handshake is no database of ours yet.
                if self.desk.sql().query_row("SELECT count(*) FROM bk_meta", [], |_| Ok(())).is_ok() {
                    save_database(&self.desk, &copy);
                    self.saved = Some(copy);
                }
            }
            Event::RestoreTarget => {
                if let Some(copy) = &self.saved {
                    self.process = None;
                    self.zombie = None;
                    restore_database(&self.desk, copy);
                    self.process = Some(self.desk.process());
                }
            }
            Event::SaveTarget => {}
        }
    }

    /// A late shipment changes nothing, or nothing that the log does not say.
    fn replay(&self) {
        let Some(zombie) = &self.zombie else { return };
        match zombie.replay() {
            None
            | Some(
                Ok(Applied::Now | Applied::AlreadyThere { .. })
                | Err(SinkError::Fenced { .. } | SinkError::Elsewhere { .. } | SinkError::NotReady { .. }),
            ) => {}
            Some(Err(error)) => panic!("{error}"),
        }
    }

    fn end(mut self) {
        self.replay();
        let (mut replicator, _) = self.process.take().unwrap();
        for _ in 0..20 {
            match common::run(&mut replicator) {
                Reached::Current => break,
                Reached::Waiting { .. } => self.desk.pass(600),
                reached => panic!("{reached:?} {:?}", replicator.status().history),
            }
        }
        assert_eq!(replicator.step(), Step::Idle);
        self.replay();
        self.desk.assert_same_rows();
        let report = self.desk.check();
        assert_eq!(report.verdict, Verdict::Agree, "{report:?}");
        let status = replicator.status();
        assert_eq!((status.state, status.lag, status.poisoned), (State::Live, 0, 0));
    }
}

#[test]
fn every_history_ends_with_the_rows_of_the_store() {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        // Each transaction is flushed to the disk: some 20 ms a history.
        config.cases = 100;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(RandomState::new().build_hasher().finish());
    }
    println!("PROPTEST_RNG_SEED={}", config.rng_seed);
    let seed = config.rng_seed.to_string();
    let histories = prop::collection::vec(event(), 1..60);
    let done = TestRunner::new(config).run(&histories, |events| {
        let mut world = World::new();
        for event in events {
            world.handle(event);
        }
        world.end();
        Ok(())
    });
    if let Err(failure) = done {
        panic!("PROPTEST_RNG_SEED={seed}: {failure}");
    }
}
