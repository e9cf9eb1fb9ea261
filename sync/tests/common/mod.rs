//! A desktop with a store in memory and a SQLite file as its target.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "test programs are no libraries")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use barkeeper_records::{ChangeFeed, Clock, FixedClock, Table, Timestamp, Value};
use barkeeper_sync::conformance::{Faulty, MemoryFeed, Write, bar, bar_key, series};
use barkeeper_sync::sqlite::{SqliteConfig, SqliteSink};
use barkeeper_sync::{
    Access, CheckOptions, CheckReport, Content, MemoryFile, Options, Reached, Replicator, Sink, Step, check,
};
use rusqlite::Connection;

pub const TARGET: &str = "replica";
pub const MINUTE: i64 = 60_000_000_000;

pub struct Desk {
    pub feed: Arc<MemoryFeed>,
    pub clock: Arc<FixedClock>,
    pub folder: tempfile::TempDir,
    seed: u64,
}

impl Desk {
    pub fn new() -> Self {
        Self::with_feed(MemoryFeed::new(0xabc, 1, 1))
    }

    pub fn with_feed(feed: Arc<MemoryFeed>) -> Self {
        let clock = Arc::new(FixedClock::new(feed.now()));
        Self { feed, clock, folder: tempfile::tempdir().unwrap(), seed: 0 }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.path("replica.sqlite")
    }

    pub fn memory(&self) -> PathBuf {
        self.path("target.json")
    }

    pub fn config(&self) -> SqliteConfig {
        SqliteConfig { busy_timeout_ms: 50, ..SqliteConfig::of(self.database()) }
    }

    pub fn sink(&self) -> Faulty {
        Faulty::new(Box::new(SqliteSink::new(self.config()).unwrap()))
    }

    pub fn options(&mut self) -> Options {
        self.seed += 1;
        Options { page_bytes: 4_000, verify_every: None, ..Options::of(TARGET, self.seed) }
    }

    /// A new process.
    pub fn process(&mut self) -> (Replicator, Faulty) {
        let options = self.options();
        self.process_with(options)
    }

    pub fn process_with(&mut self, options: Options) -> (Replicator, Faulty) {
        let sink = self.sink();
        let feed: Arc<dyn ChangeFeed> = Arc::<MemoryFeed>::clone(&self.feed);
        let clock: Arc<dyn Clock> = Arc::<FixedClock>::clone(&self.clock);
        let memory = MemoryFile::new(self.memory());
        (Replicator::new(feed, Box::new(sink.clone()), clock, memory, options), sink)
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.set(Timestamp::from_nanos(self.clock.now().nanos() + seconds * 1_000_000_000));
    }

    /// Bars of one series, one a minute.
    pub fn write_bars(&self, minutes: std::ops::Range<i64>, price: f64) {
        let writes = minutes.map(|at| Write::Put(Table::Bars, minute(at), bar(price, at as f64))).collect();
        self.feed.commit(writes).unwrap();
    }

    pub fn sql(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    pub fn count(&self, table: &str) -> i64 {
        self.sql().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    pub fn check(&self) -> CheckReport {
        let mut sink = SqliteSink::new(self.config()).unwrap();
        sink.connect(Access::Read).unwrap();
        check(self.feed.as_ref(), &mut sink, &CheckOptions::default(), &AtomicBool::new(false)).unwrap()
    }

    /// That the target holds exactly the live rows of the store, compared without any digest.
    pub fn assert_same_rows(&self) {
        let mut sink = SqliteSink::new(self.config()).unwrap();
        sink.connect(Access::Read).unwrap();
        let mut there = Vec::new();
        for table in Table::ALL {
            for (bucket, _) in sink.digests(table).unwrap() {
                for row in sink.rows(&bucket, None, usize::MAX).unwrap() {
                    if let Content::Live(values) = row.content {
                        there.push((table, row.key, values, row.row_hash));
                    } else {
                        assert_eq!(row.content, Content::Tombstone);
                    }
                }
            }
        }
        let rows = self.feed.live_rows();
        let mut here: Vec<_> =
            rows.into_iter().map(|row| (row.table, row.key, row.values, row.row_hash)).collect();
        for rows in [&mut here, &mut there] {
            rows.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| barkeeper_sync::compare_keys(&a.1, &b.1)));
        }
        assert_eq!(here, there);
    }
}

pub fn minute(number: i64) -> Vec<Value> {
    bar_key(&series("000001.SZ", "1m"), number * MINUTE)
}

pub fn run(replicator: &mut Replicator) -> Reached {
    replicator.run_until_current(&AtomicBool::new(false), &mut |_: &Step, _: &Replicator| {})
}

/// Replaces the database by a copy that was made with [`save_database`].
pub fn restore_database(desk: &Desk, copy: &Path) {
    for end in ["", "-wal", "-shm"] {
        let path = desk.path(&format!("replica.sqlite{end}"));
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
    fs::copy(copy, desk.database()).unwrap();
}

pub fn save_database(desk: &Desk, copy: &Path) {
    desk.sql().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
}
