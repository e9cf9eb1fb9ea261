//! A process that ships is killed, again and again, at whatever it is doing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use barkeeper_records::{ChangeFeed, Clock, Table};
use barkeeper_sync::conformance::{MemoryFeed, Write, bar};
use barkeeper_sync::sqlite::{SqliteConfig, SqliteSink};
use barkeeper_sync::{MemoryFile, Options, Reached, Replicator, Verdict};
use common::{Desk, TARGET, minute, run};

const FOLDER: &str = "BARKEEPER_TEST_KILL_FOLDER";
const COMMITS: i64 = 150;

/// The same store in every process: 150 commits of 20 bars, each bar written twice.
fn store() -> Arc<MemoryFeed> {
    let feed = MemoryFeed::new(0xabc, 1, 1);
    for part in 0..COMMITS {
        let bars = (0..20).map(|at| {
            let number = (part * 10 + at) % (COMMITS * 5);
            Write::Put(Table::Bars, minute(number), bar(part as f64, 1.0))
        });
        feed.commit(bars.collect()).unwrap();
    }
    feed
}

/// Not a test by itself: what the killed process does.
#[test]
fn ship_until_killed() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let feed = store();
    let sink = SqliteSink::new(SqliteConfig::of(folder.join("replica.sqlite"))).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(barkeeper_records::FixedClock::new(feed.now()));
    let seed = u64::from(std::process::id());
    // Small pages, so that many transactions are there to be killed in.
    let options = Options { page_bytes: 400, verify_every: None, ..Options::of(TARGET, seed) };
    let memory = MemoryFile::new(folder.join("target.json"));
    let feed: Arc<dyn ChangeFeed> = feed;
    let mut replicator = Replicator::new(feed, Box::new(sink), clock, memory, options);
    assert_eq!(run(&mut replicator), Reached::Current);
}

#[test]
fn a_killed_process_leaves_what_the_next_one_finishes() {
    let mut desk = Desk::with_feed(store());
    let mut kills = 0;
    for round in 0..200_u64 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "ship_until_killed", "--nocapture"])
            .env(FOLDER, desk.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(30 + round * 37 % 90));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    println!("killed {kills} times");
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current, "{:?}", replicator.status().history);
    assert_eq!(desk.check().verdict, Verdict::Agree);
    desk.assert_same_rows();
}
