//! What somebody does to a replica by hand is found and mended.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use rusqlite::Connection;
use support::Place;

/// All columns of a bar but its instrument.
const COLUMNS: &str = "interval, adjustment, ts, trading_day, open, high, low, close, volume, turnover, open_interest, \
    local_time, version, deleted, device, lsn, row_hash";

fn edit(place: &Place, sql: &str) {
    let rows = Connection::open(place.path().join("replica.sqlite")).unwrap().execute(sql, []).unwrap();
    assert_eq!(rows, 1, "{sql}");
}

#[test]
fn a_deleted_an_added_and_an_edited_row_are_found_and_mended() {
    let place = Place::with_store();
    place.done("sync add replica --sqlite replica.sqlite");
    place.done("sync run");
    place.done("sync check replica");
    let edits = [
        (
            "missing_there",
            "delete from bk_bars where instrument = '000001.SZ' and adjustment = 'raw' and trading_day = '2023-07-05'",
        ),
        (
            "extra_there",
            &format!(
                "insert into bk_bars (instrument, {COLUMNS}) select '000009.SZ', {COLUMNS} from bk_bars \
                 where instrument = '000001.SZ' and adjustment = 'raw' and trading_day = '2023-07-06'"
            ),
        ),
        (
            "same_version_other_content",
            "update bk_bars set close = close + 1 where instrument = '000002.SZ' and adjustment = 'raw' \
             and trading_day = '2023-07-07'",
        ),
    ];
    for (kind, sql) in edits {
        edit(&place, sql);
        let ran = place.run("sync check replica --format json");
        assert_eq!(ran.code, 1, "{kind}: {ran:?}");
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&report["kinds"][kind], &report["verdict"]), (&1.into(), &"differ".into()), "{report:#}");
        let plan = place.run("sync repair replica --dry-run");
        assert_eq!(plan.code, 1, "{plan:?}");
        let done = place.run("sync repair replica --allow-large");
        assert_eq!(done.code, 0, "{kind}: {done:?}");
        place.done("sync check replica");
    }
}

#[test]
fn a_replica_that_was_thrown_away_waits_for_a_person() {
    let place = Place::with_store();
    place.done("sync add replica --sqlite replica.sqlite");
    place.done("sync run");
    std::fs::remove_file(place.path().join("replica.sqlite")).unwrap();
    let ran = place.run("sync run");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("a person has to decide") && ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert!(place.done("sync status").contains("quarantine: new_database"));
    place.done("sync resolve replica --new-database");
    place.done("sync check replica");
}
