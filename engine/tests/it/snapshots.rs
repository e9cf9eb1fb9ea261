//! Snapshots that are held: when they expire, what they hold meanwhile, how many there may be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barkeeper::records::{Batch, Operation, Position, limits};
use barkeeper::{ReadError, SnapshotKind, Store};

use crate::common::{Desk, bar, daily, day, key, nth, put, put_section, section};

fn write(desk: &Desk, round: i32) {
    desk.run(put_section(section(nth(round), 200, 10.0)));
}

#[test]
fn a_snapshot_expires_after_a_minute_and_says_so() {
    let desk = Desk::new();
    desk.run(put(daily("000001.SZ"), vec![bar(day("2024-01-02"), 10.0)]));
    let held = desk.store().snapshot().unwrap();
    assert_eq!(held.last_bars(&daily("000001.SZ"), 1).unwrap().len(), 1);
    desk.at("2026-11-20T02:01:00Z");
    write(&desk, 0);
    assert_eq!(held.series(&daily("000001.SZ")).unwrap().unwrap().count, 1, "it may be held for 60 s");
    desk.at("2026-11-20T02:01:01.5Z");
    write(&desk, 1);
    let error = held.series(&daily("000001.SZ")).unwrap_err();
    assert!(matches!(error, ReadError::Expired { held: 61, limit: 60 }), "{error:?}");
    assert!(error.to_string().contains("take a new one"), "{error}");
    // Not even what stands in memory is answered, so that the answer does not depend on chance.
    assert!(matches!(held.last_bars(&daily("000001.SZ"), 1), Err(ReadError::Expired { .. })));
    assert_eq!(desk.store().snapshot().unwrap().all_series(None, None).unwrap().len(), 200);
}

#[test]
fn stats_list_the_open_snapshots() {
    let desk = Desk::new();
    write(&desk, 0);
    let old = desk.store().snapshot().unwrap();
    desk.at("2026-11-20T02:00:50Z");
    write(&desk, 1);
    let young = desk.store().snapshot().unwrap();
    desk.at("2026-11-20T02:01:10Z");
    write(&desk, 2);
    let listed = desk.store().stats().unwrap().snapshots;
    let shown: Vec<_> = listed.iter().map(|one| (one.kind, one.lsn.0, one.seconds, one.expired)).collect();
    assert_eq!(shown, [(SnapshotKind::Point, 1, 70, true), (SnapshotKind::Point, 2, 20, false)]);
    drop((old, young));
    assert_eq!(desk.store().stats().unwrap().snapshots, []);
}

#[test]
fn too_many_open_snapshots_are_refused_and_dropped_ones_do_not_count() {
    let desk = Desk::new();
    let mut held: Vec<_> = (0..limits::OPEN_SNAPSHOTS).map(|_| desk.store().snapshot().unwrap()).collect();
    let error = desk.store().snapshot().unwrap_err();
    assert!(matches!(error, ReadError::Snapshots { limit: limits::OPEN_SNAPSHOTS }), "{error:?}");
    // The store's own work and short reads go on.
    write(&desk, 0);
    desk.store().seal(&barkeeper::SealOptions::default(), &mut |_, _| {}).unwrap();
    assert_eq!(desk.store().last_bars(&daily("000001.SZ"), 1).unwrap().len(), 1);
    held.pop();
    assert!(desk.store().snapshot().is_ok());
}

/// Rewrites positions often enough that kept pages show in the length of the file.
fn grow(age: Duration) -> u64 {
    let mut desk = Desk::new();
    desk.store.take().unwrap().close().unwrap();
    let options = barkeeper::StoreOptions { snapshot_age: age, ..desk.options() };
    let store = Store::open(&desk.folder(), options).unwrap();
    let bump = |round: u32| {
        let set = |n: u32| {
            let mut position = Position::opened(key(&format!("{:06}.SZ", n + 1)), None);
            position.held_days = Some(round);
            Operation::SetPosition(position)
        };
        store.commit(Batch { operations: (0..300).map(set).collect(), ..Batch::default() }).unwrap();
    };
    bump(0);
    let mut held = Vec::new();
    for round in 1..120 {
        if round % 5 == 0 {
            held.push(store.snapshot().unwrap());
        }
        desk.clock.set(barkeeper::records::Timestamp::from_nanos(
            barkeeper::records::Clock::now(desk.clock.as_ref()).nanos() + 10_000_000_000,
        ));
        bump(round);
    }
    std::fs::metadata(desk.folder().join("store.redb")).unwrap().len()
}

#[test]
fn forgotten_snapshots_do_not_make_the_file_grow() {
    let (kept, let_go) = (grow(Duration::from_secs(1 << 20)), grow(Duration::from_secs(60)));
    assert!(let_go * 2 < kept, "{let_go} bytes where snapshots expire, {kept} where they do not");
}

#[test]
fn a_snapshot_may_expire_while_another_thread_reads_it() {
    let desk = Desk::new();
    write(&desk, 0);
    let held = desk.store().snapshot().unwrap();
    let reading = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                match held.all_series(None, None) {
                    Ok(all) => assert_eq!(all.len(), 200),
                    Err(ReadError::Expired { .. }) => return,
                    Err(other) => panic!("{other}"),
                }
                reading.store(true, Ordering::SeqCst);
            }
        });
        while !reading.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        desk.at("2026-11-20T03:00:00Z");
        write(&desk, 1);
        reader.join().unwrap();
    });
}

#[test]
fn the_background_lets_a_snapshot_go_without_a_commit() {
    let mut desk = Desk::new();
    desk.store.take().unwrap().close().unwrap();
    let options = barkeeper::StoreOptions { background: true, ..desk.options() };
    let store = Store::open(&desk.folder(), options).unwrap();
    let held = store.snapshot().unwrap();
    assert!(held.all_series(None, None).is_ok());
    desk.at("2026-11-20T03:00:00Z");
    while held.all_series(None, None).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(matches!(held.all_series(None, None), Err(ReadError::Expired { .. })));
}
