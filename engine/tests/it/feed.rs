//! The change feed: what a target hears, whole, in order, and again.

use std::collections::BTreeMap;

use barkeeper::SealOptions;
use barkeeper::records::{
    BookId, Change, ChangeFeed, Cursor, Digest, FeedError, Lsn, Operation, Row, Table, TradeKind, Value,
    Version,
};
use barkeeper_storage::row_hash;

use crate::common::{Desk, account, bar, daily, key, nth, put, put_section, section, trade};

/// A target in memory that follows the rules.
#[derive(Default)]
struct Target {
    rows: BTreeMap<(Table, String), Row>,
    cursor: Cursor,
}

fn text(key: &[Value]) -> String {
    format!("{key:?}")
}

impl Target {
    fn follow(&mut self, feed: &dyn ChangeFeed, max_bytes: usize) -> usize {
        let mut pages = 0;
        loop {
            let page = feed.read(&self.cursor, max_bytes).unwrap();
            for change in page.changes {
                self.apply(change);
            }
            self.cursor = page.next;
            pages += 1;
            if !page.more {
                assert_eq!(feed.chain_at(self.cursor.lsn).unwrap(), Some(page.chain));
                return pages;
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(row) => {
                let slot = (row.table, text(&row.key));
                if self.rows.get(&slot).is_none_or(|old| old.version < row.version) {
                    self.rows.insert(slot, row);
                }
            }
            Change::DeleteRange(range) => {
                let prefix = barkeeper_storage::rowview::bar_key(&range.series, range.from);
                for row in self.rows.values_mut().filter(|row| row.table == Table::Bars) {
                    let Value::Int(ts) = row.key[3] else { panic!("{row:?}") };
                    let inside =
                        row.key[..3] == prefix[..3] && range.from.nanos() <= ts && ts < range.to.nanos();
                    if inside && row.version < range.version {
                        row.deleted = true;
                        row.version = range.version;
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn agrees(&self, feed: &dyn ChangeFeed) {
        for table in Table::ALL {
            let mut local = Digest::default();
            for bucket in feed.digests(table).unwrap() {
                local.merge(&bucket.digest);
            }
            let mut remote = Digest::default();
            for row in self.rows.values().filter(|row| row.table == table && !row.deleted) {
                assert_eq!(row.row_hash, row_hash(table, &row.key, &row.values), "{row:?}");
                remote.add(row.row_hash);
            }
            assert_eq!(local, remote, "{table:?}");
        }
    }
}

fn busy() -> Desk {
    let desk = Desk::new();
    desk.store().feed().register_target("replica").unwrap();
    for n in 0..5 {
        desk.run(put_section(section(nth(n), 100, f64::from(n + 10))));
    }
    desk.run(put(daily("000001.SZ"), vec![bar(nth(1), 7.0), bar(nth(60), 8.0)]));
    let series = daily("000002.SZ");
    desk.run(Operation::DeleteBars { series, from: nth(1).label(), to: nth(3).label() });
    desk.run(Operation::RecordTrade(trade(1, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10.10", "100")));
    desk.run(Operation::SetHeldDays { key: key("000001.SZ"), days: 1 });
    desk.run(Operation::SetHeldDays { key: key("000002.SZ"), days: 1 });
    desk.run(Operation::DeletePosition { key: key("000002.SZ") });
    let (account, book) = (account(), BookId::main());
    desk.run(Operation::IncrementHeldDays { account, book, day: None, catch_up: false });
    desk
}

#[test]
fn a_target_that_follows_agrees_whatever_the_size_of_a_page() {
    for max_bytes in [1, 1_000, 7_777, 8 << 20] {
        let mut desk = busy();
        let mut target = Target::default();
        let pages = target.follow(&*desk.store().feed(), max_bytes);
        assert!(max_bytes > 1_000 || pages > 100, "{pages} pages of {max_bytes} bytes");
        target.agrees(&*desk.store().feed());
        desk.run(put(daily("000003.SZ"), vec![bar(nth(2), 9.0)]));
        desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
        desk.reopen();
        target.follow(&*desk.store().feed(), max_bytes);
        target.agrees(&*desk.store().feed());
        assert_eq!(target.cursor.lsn, desk.store().snapshot().unwrap().lsn());
        desk.verify();
    }
}

#[test]
fn sealing_changes_no_digest_and_takes_no_lsn() {
    let desk = busy();
    let feed = desk.store().feed();
    let before = (feed.digests(Table::Bars).unwrap(), feed.bounds().unwrap());
    assert!(desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap().rows > 0);
    assert_eq!((feed.digests(Table::Bars).unwrap(), feed.bounds().unwrap()), before);
}

#[test]
fn the_buckets_hold_every_row_in_pages_of_any_size() {
    let desk = busy();
    let feed = desk.store().feed();
    for table in Table::ALL {
        for bucket in feed.digests(table).unwrap() {
            let mut digest = Digest::default();
            let mut after: Option<Vec<Value>> = None;
            loop {
                let rows = feed.bucket_rows(&bucket.bucket, after.as_deref(), 7).unwrap();
                for row in rows.iter().filter(|row| !row.deleted) {
                    digest.add(row.row_hash);
                }
                after = rows.last().map(|row| row.key.clone());
                if rows.len() < 7 {
                    break;
                }
            }
            assert_eq!(digest, bucket.digest, "{}", bucket.bucket);
        }
    }
}

#[test]
fn the_log_is_kept_for_targets_and_trimmed_behind_them() {
    let desk = busy();
    let feed = desk.store().feed();
    let head = feed.bounds().unwrap().head;
    assert_eq!(feed.bounds().unwrap().tail, Lsn(1));
    feed.acknowledge("replica", Lsn(4));
    desk.run(Operation::SetHeldDays { key: key("600000.SH"), days: 1 });
    assert_eq!(feed.bounds().unwrap().tail, Lsn(5));
    assert!(feed.chain_at(Lsn(4)).unwrap().is_some());
    assert_eq!(feed.chain_at(Lsn(2)).unwrap(), None);
    let late = feed.read(&Cursor { lsn: Lsn(2), within: Vec::new() }, 1_000).unwrap_err();
    assert!(matches!(late, FeedError::Trimmed { tail: Lsn(5), .. }), "{late}");
    let ahead = feed.read(&Cursor { lsn: Lsn(99), within: Vec::new() }, 1_000).unwrap_err();
    assert!(matches!(ahead, FeedError::Ahead { .. }), "{ahead}");
    feed.forget_target("replica").unwrap();
    desk.run(Operation::SetHeldDays { key: key("600001.SH"), days: 1 });
    let bounds = feed.bounds().unwrap();
    assert_eq!((bounds.head, bounds.tail), (Lsn(head.0 + 2), Lsn(head.0 + 3)));
}

#[test]
fn a_stamp_raises_versions_without_changing_rows() {
    let mut desk = busy();
    let feed = desk.store().feed();
    let row = |feed: &dyn ChangeFeed, table, key: &Vec<Value>| {
        feed.rows(table, std::slice::from_ref(key)).unwrap().remove(0).unwrap()
    };
    let far = Version::floor_of("2026-12-31T00:00:00Z".parse().unwrap());
    for table in [Table::Bars, Table::Trades, Table::Positions, Table::Books] {
        let bucket = feed.digests(table).unwrap().remove(0).bucket;
        let old = feed.bucket_rows(&bucket, None, 1).unwrap().remove(0);
        let lsn = feed.stamp(table, std::slice::from_ref(&old.key), far).unwrap();
        let new = row(&*feed, table, &old.key);
        assert!(new.version > far, "{table:?}");
        assert_eq!((new.values, new.row_hash), (old.values, old.row_hash));
        assert_eq!(feed.bounds().unwrap().head, lsn);
    }
    drop(feed);
    desk.verify();
}
