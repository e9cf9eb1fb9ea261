//! States of strategies, voided trades and forgotten targets, as a user types them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::io::Write as _;
use std::process::Stdio;

use support::{Place, ran};

#[test]
fn a_strategy_saves_its_state_and_gets_it_back_byte_by_byte() {
    let place = Place::new();
    place.done("init");
    let first = "{\"现金\": 1.10,\n \"held\": []}";
    std::fs::write(place.path().join("state.json"), format!("\u{feff}{first}")).unwrap();
    let saved = place.json("snapshots save breakout state.json --schema-version 2 --at 2024-01-02T15:00:00");
    assert_eq!((&saved["sequence"], &saved["new"]), (&0.into(), &true.into()));
    assert_eq!(saved["saved_at"], "2024-01-02T07:00:00Z");
    let again = place.json("snapshots save breakout state.json --schema-version 2 --at 2024-01-02T15:00:00");
    assert_eq!((&again["new"], &again["lsn"]), (&false.into(), &saved["lsn"]));

    let mut child = place.command();
    child.args(["snapshots", "save", "breakout", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[1, 2]").unwrap();
    let piped = ran(&child.wait_with_output().unwrap());
    assert_eq!(piped.code, 0, "{piped:?}");

    assert_eq!(place.done("snapshots get breakout"), "[1, 2]");
    assert_eq!(place.done("snapshots get breakout --at 2024-01-02"), first);
    let state = place.json("snapshots get breakout --at 2024-01-02");
    assert_eq!((&state["schema_version"], &state["body"]), (&2.into(), &first.into()));
    assert_eq!(place.run("snapshots get breakout --at 2024-01-01").code, 3);
    assert_eq!(place.run("snapshots get other").code, 3);

    std::fs::write(place.path().join("broken.json"), "{\"cash\": ").unwrap();
    let refused = place.run("snapshots save breakout broken.json");
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("no JSON"), "{}", refused.stderr);

    assert_eq!(place.json("snapshots list").as_array().unwrap().len(), 2);
    assert_eq!(place.json("snapshots prune breakout --keep 1 --dry-run")["old"], 1);
    assert_eq!(place.json("snapshots prune breakout --keep 1 --yes")["removed"], 1);
    assert_eq!(place.json("snapshots list breakout").as_array().unwrap().len(), 1);
    assert_eq!(place.done("snapshots get breakout"), "[1, 2]");
    assert_eq!(place.run("verify").code, 0);
}

#[test]
fn a_voided_trade_counts_no_more_and_can_be_voided_once() {
    let place = Place::new();
    place.done("init");
    let id = "01HK4T5Z0000000000000000AA";
    place.done(&format!(
        "trades record 000001.SZ --kind buy_fill --price 10.20 --quantity 1000 --at 2024-01-02T09:31:05 --trade-id {id}"
    ));
    let done = place.json(&format!("trades void {id} --remark wrong"));
    assert_eq!((&done["voids"], &done["lsn"]), (&id.into(), &2.into()));
    assert_eq!(place.json("trades list").as_array().unwrap().len(), 0);
    assert_eq!(place.json("trades list --with-void").as_array().unwrap().len(), 2);
    assert_eq!(place.run(&format!("trades void {id}")).code, 3);
}

#[test]
fn a_forgotten_target_can_be_added_again_and_goes_on() {
    let place = Place::with_store();
    place.done("sync add replica --sqlite replica.sqlite");
    place.done("sync run");
    place.done("sync remove replica --yes");
    assert_eq!(place.run("sync run").code, 3);
    assert_eq!(place.run("sync remove replica --yes").code, 3);
    std::fs::write(place.path().join("state.json"), "{}").unwrap();
    place.done("snapshots save breakout state.json");
    place.done("sync add replica --sqlite replica.sqlite");
    place.done("sync run");
    place.done("sync check replica");
    let sql = rusqlite::Connection::open(place.path().join("replica.sqlite")).unwrap();
    let body: String = sql.query_row("SELECT body FROM strategy_snapshots", [], |row| row.get(0)).unwrap();
    assert_eq!(body, "{}");
}
