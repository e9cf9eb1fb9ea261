//! Positions: what opens, counts, moves and closes them.

use std::sync::Barrier;

use barkeeper::records::{
    Batch, BookId, ExtremeUpdate, IncrementOutcome, Operation, Outcome, Position, PositionStatus, Refusal,
    TradingDay,
};
use barkeeper::{CommitError, Receipt};

use crate::common::{Desk, account, day, decimal, id, key};

fn open(desk: &Desk, instrument: &str) {
    let (quantity, price) = (Some(decimal("100")), Some(decimal("10.00")));
    desk.run(Operation::OpenPosition { key: key(instrument), day: day("2026-11-19"), quantity, price });
}

fn get(desk: &Desk, instrument: &str) -> Position {
    desk.store().position(&key(instrument)).unwrap().unwrap()
}

fn bump_on(day: Option<TradingDay>, catch_up: bool) -> Operation {
    Operation::IncrementHeldDays { account: account(), book: BookId::main(), day, catch_up }
}

fn outcome(receipt: &Receipt) -> IncrementOutcome {
    match receipt.outcomes.as_slice() {
        [Outcome::Increment(outcome)] => outcome.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn open_add_reduce_and_close_are_four_things() {
    let mut desk = Desk::new();
    open(&desk, "000001.SZ");
    desk.run(Operation::SetHeldDays { key: key("000001.SZ"), days: 5 });
    let (quantity, price) = (decimal("300"), Some(decimal("12")));
    desk.run(Operation::AddPosition { key: key("000001.SZ"), quantity, price });
    let held = get(&desk, "000001.SZ");
    assert_eq!(
        (held.held_days, held.quantity, held.cost),
        (Some(5), Some(decimal("400")), Some(decimal("11.5")))
    );
    desk.run(Operation::ReducePosition { key: key("000001.SZ"), quantity: decimal("150") });
    let held = get(&desk, "000001.SZ");
    assert_eq!(
        (held.status, held.quantity, held.cost),
        (PositionStatus::Open, Some(decimal("250")), Some(decimal("11.5")))
    );
    let too_much = Operation::ReducePosition { key: key("000001.SZ"), quantity: decimal("251") };
    let error = desk.store().commit(Batch::of(too_much)).unwrap_err();
    assert!(matches!(error, CommitError::TooLittle { .. }), "{error}");
    desk.run(Operation::ClosePosition { key: key("000001.SZ") });
    let error =
        desk.store().commit(Batch::of(Operation::ClosePosition { key: key("000001.SZ") })).unwrap_err();
    assert!(matches!(error, CommitError::PositionNotOpen(_)), "{error}");
    assert_eq!(get(&desk, "000001.SZ").status, PositionStatus::Closed);
    open(&desk, "000001.SZ");
    assert_eq!(get(&desk, "000001.SZ").held_days, Some(0));
    desk.verify();
}

#[test]
fn the_increment_happens_once_a_trading_day_and_says_why_not() {
    let mut desk = Desk::new();
    open(&desk, "000001.SZ");
    open(&desk, "000002.SZ");
    desk.run(Operation::ClosePosition { key: key("000002.SZ") });
    // Friday 2026-11-20, 10:00 in Shanghai.
    let done = outcome(&desk.run(bump_on(None, false)));
    assert!(done.done && done.positions == 1 && done.day == day("2026-11-20"), "{done:?}");
    let again = outcome(&desk.run(bump_on(None, false)));
    assert_eq!(again.refusal, Some(Refusal::AlreadyDone { last: day("2026-11-20") }));
    desk.reopen();
    desk.at("2026-11-21T02:00:00Z");
    let saturday = outcome(&desk.run(bump_on(None, false)));
    let refusal = Refusal::NotATradingDay { day: day("2026-11-21"), next: day("2026-11-23") };
    assert_eq!((saturday.done, saturday.refusal), (false, Some(refusal)));
    assert_eq!(get(&desk, "000001.SZ").held_days, Some(1));
    assert_eq!(get(&desk, "000002.SZ").held_days, Some(0));
    desk.verify();
}

#[test]
fn missed_days_are_named_and_added_only_when_asked() {
    let desk = Desk::new();
    open(&desk, "000001.SZ");
    desk.run(bump_on(Some(day("2026-11-13")), false));
    let named = outcome(&desk.run(bump_on(Some(day("2026-11-17")), false)));
    assert_eq!((named.missed, named.caught_up), (vec![day("2026-11-16")], false));
    assert_eq!(get(&desk, "000001.SZ").held_days, Some(2));
    let added = outcome(&desk.run(bump_on(Some(day("2026-11-20")), true)));
    assert_eq!((added.missed, added.caught_up), (vec![day("2026-11-18"), day("2026-11-19")], true));
    assert_eq!(get(&desk, "000001.SZ").held_days, Some(5));
}

#[test]
fn a_day_far_ahead_of_the_clock_does_not_lock_the_book() {
    let desk = Desk::new();
    open(&desk, "000001.SZ");
    let typed = outcome(&desk.run(bump_on(Some(day("2062-11-20")), false)));
    let refusal = Refusal::TooFarAhead { day: day("2062-11-20"), today: day("2026-11-20") };
    assert_eq!((typed.done, typed.refusal), (false, Some(refusal)));
    assert!(outcome(&desk.run(bump_on(None, false))).done);
    assert!(outcome(&desk.run(bump_on(Some(day("2026-12-21")), false))).done);
}

#[test]
fn an_empty_book_sets_the_day_too() {
    let desk = Desk::new();
    assert!(outcome(&desk.run(bump_on(None, false))).done);
    open(&desk, "000001.SZ");
    assert!(!outcome(&desk.run(bump_on(None, false))).done);
    assert_eq!(get(&desk, "000001.SZ").held_days, Some(0));
}

#[test]
fn of_two_callers_racing_exactly_one_increments() {
    let desk = Desk::new();
    open(&desk, "000001.SZ");
    for round in 0..20 {
        let monday = TradingDay::from_days(day("2026-11-23").days() + round * 7).unwrap();
        desk.at(&format!("{monday}T02:00:00Z"));
        let today = Some(monday);
        let barrier = Barrier::new(4);
        let done: usize = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        usize::from(outcome(&desk.run(bump_on(today, false))).done)
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).sum()
        });
        assert_eq!(done, 1);
    }
    assert_eq!(get(&desk, "000001.SZ").held_days, Some(20));
}

#[test]
fn relaxed_extremes_are_seen_at_once_and_survive_a_close() {
    let mut desk = Desk::new();
    open(&desk, "000001.SZ");
    let tick = |high, low| {
        let updates = [
            ExtremeUpdate { instrument: id("000001.SZ"), high, low },
            ExtremeUpdate { instrument: id("600000.SH"), high, low },
        ];
        desk.store().update_extremes(&account(), &BookId::main(), &updates).unwrap()
    };
    assert_eq!(tick(10.5, 10.1), 1);
    assert_eq!(tick(10.4, 10.2), 0);
    assert_eq!(tick(10.6, 9.9), 1);
    let seen = get(&desk, "000001.SZ");
    assert_eq!((seen.highest, seen.lowest), (Some(10.6), Some(9.9)));
    let before = desk.store().snapshot().unwrap().lsn();
    desk.reopen();
    let kept = get(&desk, "000001.SZ");
    assert_eq!((kept.highest, kept.lowest), (Some(10.6), Some(9.9)));
    assert_eq!(desk.store().snapshot().unwrap().lsn().0, before.0 + 1);
    desk.verify();
}

#[test]
fn relaxed_extremes_of_an_earlier_entry_do_not_reach_the_next() {
    let desk = Desk::new();
    open(&desk, "000001.SZ");
    let update = ExtremeUpdate { instrument: id("000001.SZ"), high: 99.0, low: 1.0 };
    desk.store().update_extremes(&account(), &BookId::main(), &[update]).unwrap();
    let reopen = Operation::OpenPosition {
        key: key("000001.SZ"),
        day: day("2026-11-20"),
        quantity: None,
        price: None,
    };
    desk.store().commit(Batch::of(Operation::ClosePosition { key: key("000001.SZ") }).with(reopen)).unwrap();
    let fresh = get(&desk, "000001.SZ");
    assert_eq!((fresh.highest, fresh.lowest), (None, None));
}

#[test]
fn extremes_and_days_can_be_set_and_deleted() {
    let desk = Desk::new();
    desk.run(Operation::SetHeldDays { key: key("000001.SZ"), days: 7 });
    desk.run(Operation::SetExtremes { key: key("000001.SZ"), highest: Some(12.0), lowest: None });
    assert_eq!((get(&desk, "000001.SZ").held_days, get(&desk, "000001.SZ").highest), (Some(7), Some(12.0)));
    let wrong = Operation::SetExtremes { key: key("000001.SZ"), highest: Some(-1.0), lowest: None };
    assert!(matches!(desk.store().commit(Batch::of(wrong)), Err(CommitError::Position(_))));
    desk.run(Operation::DeletePosition { key: key("000001.SZ") });
    assert_eq!(desk.store().position(&key("000001.SZ")).unwrap(), None);
    assert!(!desk.run(Operation::DeletePosition { key: key("000001.SZ") }).changed);
}

#[test]
fn all_positions_of_an_account_come_in_one_read_and_books_stay_apart() {
    let desk = Desk::new();
    for instrument in ["600000.SH", "000001.SZ", "000002.SZ"] {
        open(&desk, instrument);
    }
    desk.run(Operation::ClosePosition { key: key("000002.SZ") });
    let mut other = key("000001.SZ");
    other.book = BookId::new("main2").unwrap();
    desk.run(Operation::SetHeldDays { key: other.clone(), days: 9 });
    let snapshot = desk.store().snapshot().unwrap();
    let names = |book: Option<&BookId>, closed| -> Vec<String> {
        let positions = snapshot.positions(&account(), book, closed).unwrap();
        positions.iter().map(|p| format!("{}/{}", p.key.book, p.key.instrument)).collect()
    };
    assert_eq!(names(Some(&BookId::main()), false), ["main/000001.SZ", "main/600000.SH"]);
    assert_eq!(names(None, true), ["main/000001.SZ", "main/000002.SZ", "main/600000.SH", "main2/000001.SZ"]);
}
