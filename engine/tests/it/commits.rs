//! Batches: whole or not at all, once, alone or together, one owner.

use std::sync::Barrier;

use barkeeper::records::{Batch, Lsn, OnConflict, Operation, Precondition, TradeId, TradeKind};
use barkeeper::{CommitError, OpenError, Store};
use barkeeper_storage::{IdentityV1, StoredRow};
use redb::{ReadableDatabase, ReadableTable};

use crate::common::{Desk, bar, daily, day, key, put, run, trade};

#[test]
fn a_batch_that_fails_leaves_nothing_and_takes_no_lsn() {
    let desk = Desk::new();
    let open = Operation::OpenPosition {
        key: key("000001.SZ"),
        day: day("2024-01-02"),
        quantity: None,
        price: None,
    };
    desk.run(open.clone());
    let record = Operation::RecordTrade(trade(1, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10", "100"));
    let error = desk.store().commit(Batch::of(record).with(open)).unwrap_err();
    assert!(matches!(error, CommitError::PositionOpen(_)), "{error}");
    let snapshot = desk.store().snapshot().unwrap();
    assert_eq!((snapshot.lsn(), snapshot.trade(TradeId(1)).unwrap()), (Lsn(1), None));
}

#[test]
fn the_same_request_commits_once_and_is_answered_with_the_first_lsn() {
    let mut desk = Desk::new();
    let batch = |n| {
        let t = trade(n, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10", "100");
        Batch::of(Operation::RecordTrade(t)).request("strategy-a", "order-17")
    };
    let first = desk.store().commit(batch(1)).unwrap();
    desk.run(Operation::SetHeldDays { key: key("000002.SZ"), days: 3 });
    for _ in 0..2 {
        let again = desk.store().commit(batch(2)).unwrap();
        assert!(again.replayed && again.lsn == first.lsn && !again.changed);
        desk.reopen();
    }
    assert_eq!(desk.store().snapshot().unwrap().trade(TradeId(2)).unwrap(), None);
}

#[test]
fn a_request_that_changed_nothing_is_remembered_as_well() {
    let desk = Desk::new();
    let set = |days| Batch::of(Operation::SetHeldDays { key: key("000001.SZ"), days });
    desk.store().commit(set(1)).unwrap();
    desk.store().commit(set(1).request("c", "1")).unwrap();
    desk.store().commit(set(2)).unwrap();
    assert!(desk.store().commit(set(1).request("c", "1")).unwrap().replayed);
    assert_eq!(desk.store().position(&key("000001.SZ")).unwrap().unwrap().held_days, Some(2));
}

#[test]
fn only_the_last_4096_requests_of_a_client_are_remembered() {
    let desk = Desk::new();
    let batch = |n: u32| {
        Batch::of(Operation::SetHeldDays { key: key("000001.SZ"), days: 1 }).request("c", &n.to_string())
    };
    for n in 0..4_098 {
        desk.store().commit(batch(n)).unwrap();
    }
    assert!(!desk.store().commit(batch(0)).unwrap().replayed);
    assert!(desk.store().commit(batch(4_000)).unwrap().replayed);
}

#[test]
fn preconditions_are_checked_inside_the_commit() {
    let desk = Desk::new();
    let set = Batch::of(Operation::SetHeldDays { key: key("000001.SZ"), days: 1 });
    let refused = |precondition| {
        let error = desk.store().commit(set.clone().when(precondition)).unwrap_err();
        assert!(matches!(error, CommitError::Precondition(_)), "{error}");
    };
    refused(Precondition::PositionOpen(key("000001.SZ")));
    refused(Precondition::HeadIs(Lsn(7)));
    desk.store().commit(set.clone().when(Precondition::HeadIs(Lsn(0)))).unwrap();
    refused(Precondition::PositionNotOpen(key("000001.SZ")));
    desk.store().commit(set.when(Precondition::PositionOpen(key("000001.SZ")))).unwrap();
}

#[test]
fn writing_what_is_stored_is_no_write() {
    let desk = Desk::new();
    let first = desk.run(put(daily("000001.SZ"), vec![bar(day("2024-01-02"), 10.0)]));
    let again = desk.run(put(daily("000001.SZ"), vec![bar(day("2024-01-02"), 10.0)]));
    assert_eq!((again.lsn, again.changed), (first.lsn, false));
    assert_eq!(desk.store().snapshot().unwrap().lsn(), first.lsn);
}

#[test]
fn threads_that_commit_together_get_lsns_without_gap_and_one_each() {
    let desk = Desk::new();
    let (threads, each) = (8_u128, 25_u128);
    let barrier = Barrier::new(8);
    let mut lsns: Vec<u64> = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|thread| {
                let (desk, barrier) = (&desk, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let commit = |n| {
                        let t = trade(
                            thread * 1_000 + n,
                            TradeKind::BuyFill,
                            "2024-01-02T01:31:00Z",
                            "10",
                            "100",
                        );
                        desk.run(Operation::RecordTrade(t)).lsn.0
                    };
                    (0..each).map(commit).collect::<Vec<_>>()
                })
            })
            .collect();
        spawned.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    lsns.sort_unstable();
    let expected: Vec<u64> = (1..=200).collect();
    assert_eq!(lsns, expected);
}

#[test]
fn a_second_open_names_the_owner() {
    let desk = Desk::new();
    let error = Store::open(&desk.folder(), desk.options()).unwrap_err();
    let OpenError::InUse { owner: Some(owner), .. } = error else { panic!("{error}") };
    assert_eq!(owner.pid, std::process::id());
}

#[test]
fn a_folder_without_a_store_and_a_folder_with_files_are_told_apart() {
    let desk = Desk::new();
    let error = Store::open(&desk.dir.path().join("other"), desk.options()).unwrap_err();
    assert!(matches!(error, OpenError::NotFound { .. }), "{error}");
    let error = Store::create(desk.dir.path(), desk.options()).unwrap_err();
    assert!(matches!(error, OpenError::NotEmpty { .. }), "{error}");
}

#[test]
fn a_refused_conflict_says_how_many_and_by_how_much() {
    let desk = Desk::new();
    let bars = |close| vec![bar(day("2024-01-02"), close), bar(day("2024-01-03"), 20.0)];
    desk.run(put(daily("000001.SZ"), bars(10.0)));
    let refuse =
        Operation::PutBars { run: run(daily("000001.SZ"), bars(11.0)), on_conflict: OnConflict::Refuse };
    let error = desk.store().commit(Batch::of(refuse)).unwrap_err();
    let CommitError::Conflict { bars: 1, series: 1, largest, first } = error else { panic!("{error}") };
    assert!((largest - 10.0).abs() < 1e-9);
    assert_eq!(first, (daily("000001.SZ"), day("2024-01-02").label()));
}

/// A store as a later version of the program might leave it.
fn write_identity(folder: &std::path::Path, format: u32, layout: Option<u8>) {
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    let identity =
        IdentityV1 { format, store_id: 7, device: 1, epoch: 1, created_ms: 0, restored: Vec::new() };
    let mut bytes = identity.to_bytes(b"identity");
    if let Some(layout) = layout {
        let body = bytes.len() - 8;
        bytes[0] = layout;
        let sum = barkeeper_storage::checksum(IdentityV1::KIND, b"identity", &bytes[..body]);
        bytes.truncate(body);
        bytes.extend(sum.to_le_bytes());
    }
    let db = redb::Database::open(folder.join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(table).unwrap().insert(b"identity".as_slice(), bytes.as_slice()).unwrap();
    txn.commit().unwrap();
}

fn read_meta(folder: &std::path::Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    let db = redb::Database::open(folder.join("store.redb")).unwrap();
    let meta = db.begin_read().unwrap().open_table(table).unwrap();
    let entries =
        meta.iter().unwrap().map(|entry| entry.map(|(k, v)| (k.value().to_vec(), v.value().to_vec())));
    entries.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_newer_store_is_refused_with_both_formats_and_left_as_it_is() {
    for (format, layout) in [(9, None), (1, Some(9))] {
        let mut desk = Desk::new();
        desk.store.take().unwrap().close().unwrap();
        write_identity(&desk.folder(), format, layout);
        let before = read_meta(&desk.folder());
        let error = Store::open(&desk.folder(), desk.options()).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 9, known: 1 }), "{error}");
        assert_eq!(read_meta(&desk.folder()), before);
    }
}
