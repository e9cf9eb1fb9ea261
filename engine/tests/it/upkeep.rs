//! The store's own maintenance: what it does by itself, what it would do, what it leaves for the next time.

use std::thread::sleep;
use std::time::Duration;

use barkeeper::{
    MaintenanceBudget, MaintenanceOptions, MergeOptions, SealOptions, Store, StoreOptions, StoreStats,
};

use crate::common::{Desk, nth, put_section, section};

/// Waits until a store has come to some state by itself. The runner ends a test that waits in vain.
fn wait_for(store: &Store, is_there: impl Fn(&StoreStats) -> bool) {
    while !is_there(&store.stats().unwrap()) {
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_store_that_is_kept_open_seals_by_itself() {
    let mut desk = Desk::new();
    let maintenance = MaintenanceOptions { hot_bytes: 1, ..MaintenanceOptions::default() };
    let options = StoreOptions { background: true, maintenance, ..desk.options() };
    desk.store.take().unwrap().close().unwrap();
    desk.store = Some(Store::open(&desk.folder(), options).unwrap());
    for n in 1..3 {
        desk.run(put_section(section(nth(n), 50, f64::from(n))));
        wait_for(desk.store(), |stats| stats.segments > 0 && stats.hot_bars == 0);
        let stats = desk.store().stats().unwrap();
        assert_eq!((stats.bars, stats.maintenance_error), (u64::try_from(n).unwrap() * 50, None));
    }
    desk.verify();
    assert_eq!(desk.store().stats().unwrap().hot_bars, 0);
}

/// A store with six segments of the same bars on each axis.
fn piled_up() -> Desk {
    let desk = Desk::new();
    for round in 0..6 {
        for n in 0..4 {
            desk.run(put_section(section(nth(n), 50, f64::from(round * 10 + n))));
        }
        desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    }
    assert_eq!(desk.store().stats().unwrap().segments, 12);
    desk
}

#[test]
fn a_merge_is_told_before_it_is_done_and_waits_for_a_budget() {
    let mut desk = piled_up();
    let store = desk.store();
    let planned = store.merge_plan(&MergeOptions::default()).unwrap();
    assert_eq!((planned.len(), planned[0].segments, planned[0].rows), (1, 6, 1_200));
    assert_eq!((planned[0].first, planned[0].last), (nth(0).label(), nth(3).label()));
    assert_eq!(planned[0].bytes, store.stats().unwrap().segment_bytes);
    let shown: Vec<String> = planned.iter().map(|plan| plan.dataset.to_string()).collect();
    assert_eq!(shown, ["bars 1d raw"]);

    let none = MaintenanceBudget { time: Duration::ZERO, ..MaintenanceBudget::default() };
    let report = store.maintain(none).unwrap();
    assert!(report.more && report.merges.is_empty(), "{report:?}");
    assert_eq!(store.stats().unwrap().segments, 12);

    let report = store.maintain(MaintenanceBudget::default()).unwrap();
    assert!(!report.more, "{report:?}");
    assert_eq!(report.merges.iter().map(|merge| &merge.merged).collect::<Vec<_>>(), [&planned[0]]);
    assert_eq!((report.merges[0].rows, report.merges[0].superseded), (200, 1_000));
    assert_eq!(store.merge_plan(&MergeOptions::default()).unwrap(), []);
    assert_eq!(store.stats().unwrap().segments, 2);
    desk.verify();
}
