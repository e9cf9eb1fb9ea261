//! Strategies' saved states: newest first, kept byte by byte, once for each content of an instant.

use barkeeper::CommitError;
use barkeeper::records::{
    Batch, Operation, Outcome, StrategyId, StrategySnapshotKey, Timestamp, TradeKind, limits,
};

use crate::common::{Desk, trade};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn strategy() -> StrategyId {
    StrategyId::new("reversal").unwrap()
}

fn save(saved_at: &str, body: &str) -> Operation {
    Operation::SaveStrategySnapshot {
        strategy: strategy(),
        saved_at: at(saved_at),
        schema_version: 3,
        body: body.to_owned(),
    }
}

fn saved(desk: &Desk, saved_at: &str, body: &str) -> Outcome {
    desk.run(save(saved_at, body)).outcomes.remove(0)
}

fn newest(desk: &Desk, until: Option<&str>) -> Option<String> {
    let snapshot = desk.store().snapshot().unwrap();
    snapshot.strategy_snapshot(&strategy(), until.map(at)).unwrap().map(|state| state.body)
}

#[test]
fn the_newest_state_is_read_back_byte_by_byte_also_after_reopening() {
    let mut desk = Desk::new();
    assert_eq!(newest(&desk, None), None);
    let body = "{ \"现金\": 1.10,\n \"held\": [\"000001.SZ\"] }";
    assert_eq!(saved(&desk, "2026-11-20T01:00:00Z", body), Outcome::Saved { sequence: 0, known: false });
    assert_eq!(saved(&desk, "2026-11-20T00:00:00Z", "{}"), Outcome::Saved { sequence: 0, known: false });
    desk.reopen();
    assert_eq!(newest(&desk, None).as_deref(), Some(body));
    assert_eq!(newest(&desk, Some("2026-11-20T00:59:59.999Z")).as_deref(), Some("{}"));
    assert_eq!(newest(&desk, Some("2026-11-19T00:00:00Z")), None);
    let snapshot = desk.store().snapshot().unwrap();
    let state = snapshot.strategy_snapshot(&strategy(), None).unwrap().unwrap();
    assert_eq!((state.key.saved_at, state.schema_version), (at("2026-11-20T01:00:00Z"), 3));
    assert_eq!(snapshot.strategies_with_snapshots().unwrap(), [strategy()]);
}

#[test]
fn states_of_one_instant_are_numbered_and_a_retry_is_the_same_state() {
    let desk = Desk::new();
    let when = "2026-11-20T01:00:00Z";
    assert_eq!(saved(&desk, when, "1"), Outcome::Saved { sequence: 0, known: false });
    assert_eq!(saved(&desk, when, "2"), Outcome::Saved { sequence: 1, known: false });
    let before = desk.store().snapshot().unwrap().lsn();
    assert_eq!(saved(&desk, when, "1"), Outcome::Saved { sequence: 0, known: true });
    assert_eq!(desk.store().snapshot().unwrap().lsn(), before);
    assert_eq!(newest(&desk, None).as_deref(), Some("2"));
}

#[test]
fn a_removed_state_stays_removed_and_its_number_is_not_given_again() {
    let mut desk = Desk::new();
    let when = "2026-11-20T01:00:00Z";
    saved(&desk, when, "1");
    saved(&desk, when, "2");
    let key = StrategySnapshotKey { strategy: strategy(), saved_at: at(when), sequence: 1 };
    let remove = || Operation::DeleteStrategySnapshot { key: key.clone() };
    assert_eq!(desk.run(remove()).outcomes, [Outcome::Done]);
    assert_eq!(desk.run(remove()).outcomes, [Outcome::Unchanged]);
    assert_eq!(newest(&desk, None).as_deref(), Some("1"));
    assert_eq!(saved(&desk, when, "2"), Outcome::Saved { sequence: 2, known: false });
    desk.reopen();
    let all = desk.store().snapshot().unwrap().strategy_snapshots(&strategy(), None, None, 10).unwrap();
    assert_eq!(all.iter().map(|state| state.key.sequence).collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn what_is_no_json_or_too_long_is_refused_and_takes_its_batch_along() {
    let desk = Desk::new();
    let fill = trade(1, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10", "100");
    for bad in ["", "{", "{} {}", "nul"] {
        let batch = Batch::of(Operation::RecordTrade(fill.clone())).with(save("2026-11-20T01:00:00Z", bad));
        let error = desk.store().commit(batch).unwrap_err();
        assert!(matches!(error, CommitError::StrategySnapshot(_)), "{error}");
    }
    let long = format!("\"{}\"", "x".repeat(limits::STRATEGY_SNAPSHOT_BYTES));
    let error = desk.store().commit(Batch::of(save("2026-11-20T01:00:00Z", &long))).unwrap_err();
    assert!(error.to_string().contains("more than 4194304"), "{error}");
    assert_eq!(desk.store().stats().unwrap().trades, 0);
    let longest = format!("\"{}\"", "x".repeat(limits::STRATEGY_SNAPSHOT_BYTES - 2));
    assert!(matches!(saved(&desk, "2026-11-20T01:00:00Z", &longest), Outcome::Saved { known: false, .. }));
    assert_eq!(newest(&desk, None).map(|body| body.len()), Some(limits::STRATEGY_SNAPSHOT_BYTES));
}
