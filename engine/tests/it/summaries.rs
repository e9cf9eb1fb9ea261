//! Summaries from memory are those of the whole log, for every snapshot, whatever is committed meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use barkeeper::records::{AccountId, Batch, Operation, TradeId, TradeKind, TradeRecord};
use barkeeper::{Snapshot, Store, SummaryBasis, SummaryBy, SummaryRow, TradeQuery};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::common::{Desk, decimal, id, trade};

const KINDS: [TradeKind; 5] =
    [TradeKind::BuyFill, TradeKind::SellFill, TradeKind::BuyFill, TradeKind::BuyOrder, TradeKind::Cancel];

/// What one account's summary by instrument counts: basis, count, bought, sold, fees, realised.
type Sums = (SummaryBasis, u64, Decimal, Decimal, Decimal, Option<Decimal>);

/// Sums up a whole log as the documentation says.
fn expected(log: &[TradeRecord], gone: &BTreeSet<u128>) -> BTreeMap<(String, String), Sums> {
    let mut log: Vec<&TradeRecord> = log.iter().filter(|t| !gone.contains(&t.trade_id.0)).collect();
    log.sort_by_key(|t| (t.ts, t.trade_id));
    let fills: BTreeSet<&AccountId> = log.iter().filter(|t| t.kind.is_fill()).map(|t| &t.account).collect();
    let mut held: HashMap<(&AccountId, &str), (Decimal, Decimal)> = HashMap::new();
    let mut found: BTreeMap<(String, String), Sums> = BTreeMap::new();
    for t in log {
        let has_fills = fills.contains(&t.account);
        if if has_fills { !t.kind.is_fill() } else { !t.kind.is_order() } {
            continue;
        }
        let (basis, start) =
            if has_fills { (SummaryBasis::Fills, Some(Decimal::ZERO)) } else { (SummaryBasis::Orders, None) };
        let zero = Decimal::ZERO;
        let group = (t.account.to_string(), t.instrument.to_string());
        let sums = found.entry(group).or_insert((basis, 0, zero, zero, zero, start));
        let (value, fee) = (t.price * t.quantity, t.fee.unwrap_or_default());
        sums.1 += 1;
        sums.4 += fee;
        let (quantity, cost) = held.entry((&t.account, t.instrument.as_str())).or_default();
        if matches!(t.kind, TradeKind::BuyFill | TradeKind::BuyOrder) {
            sums.2 += value;
            *quantity += t.quantity;
            *cost += value + fee;
        } else {
            sums.3 += value;
            if t.quantity > *quantity {
                sums.5 = None;
                (*quantity, *cost) = (zero, zero);
            } else {
                let part = *cost * t.quantity / *quantity;
                sums.5 = sums.5.map(|sum| sum + (value - fee - part).round_dp(8));
                *quantity -= t.quantity;
                *cost -= part;
            }
        }
    }
    found
}

fn summed(snapshot: &Snapshot, query: &TradeQuery) -> BTreeMap<(String, String), Sums> {
    let rows = snapshot.summary(query, SummaryBy::Instrument).unwrap();
    let sums = |row: SummaryRow| {
        let SummaryRow { account, group, basis, count, bought, sold, fees, realised, .. } = row;
        ((account.to_string(), group), (basis, count, bought, sold, fees, realised))
    };
    rows.into_iter().map(sums).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Trade { minute: u32, kind: usize, of: u8, account: u8, quantity: u32 },
    Void(usize),
    Sum,
    Hold,
}

fn step() -> impl Strategy<Value = Step> {
    let trade = (0_u32..50, 0_usize..KINDS.len(), 0_u8..3, 0_u8..2, 1_u32..4).prop_map(
        |(minute, kind, of, account, quantity)| Step::Trade { minute, kind, of, account, quantity },
    );
    prop_oneof![6 => trade, 1 => any::<usize>().prop_map(Step::Void), 3 => Just(Step::Sum), 1 => Just(Step::Hold)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_summary_is_that_of_the_log_its_snapshot_sees(steps in prop::collection::vec(step(), 1..40)) {
        let desk = Desk::new();
        let all = TradeQuery::default();
        let (mut log, mut gone, mut held) = (Vec::new(), BTreeSet::new(), Vec::new());
        for (n, step) in (1_u128..).zip(steps) {
            match step {
                Step::Trade { minute, kind, of, account, quantity } => {
                    let at = format!("2024-01-02T02:{minute:02}:00Z");
                    let mut one = trade(n, KINDS[kind], &at, "10.25", &format!("{quantity}00"));
                    one.instrument = id(&format!("60000{of}.SH"));
                    one.account = AccountId::new(&format!("desk-{account}")).unwrap();
                    one.fee = Some(decimal("5"));
                    desk.run(Operation::RecordTrade(one.clone()));
                    log.push(one);
                }
                Step::Void(place) => {
                    let left: Vec<u128> =
                        log.iter().map(|t: &TradeRecord| t.trade_id.0).filter(|id| !gone.contains(id)).collect();
                    if let Some(voided) = left.get(place % left.len().max(1)) {
                        let (trade_id, voids) = (TradeId(n + 1_000), TradeId(*voided));
                        let ts = "2024-01-03T01:00:00Z".parse().unwrap();
                        desk.run(Operation::VoidTrade { trade_id, voids, ts, remark: String::new() });
                        gone.insert(*voided);
                    }
                }
                Step::Sum => {
                    let found = summed(&desk.store().snapshot().unwrap(), &all);
                    prop_assert_eq!(found, expected(&log, &gone));
                }
                Step::Hold => held.push((desk.store().snapshot().unwrap(), expected(&log, &gone))),
            }
        }
        for (snapshot, expected) in &held {
            prop_assert_eq!(&summed(snapshot, &all), expected);
        }
        prop_assert_eq!(summed(&desk.store().snapshot().unwrap(), &all), expected(&log, &gone));
    }
}

#[test]
fn a_summary_follows_its_query() {
    let desk = Desk::new();
    for (n, at) in [(1, "2024-01-02T01:31:00Z"), (2, "2024-01-03T01:31:00Z"), (3, "2024-02-02T01:31:00Z")] {
        desk.run(Operation::RecordTrade(trade(n, TradeKind::BuyFill, at, "10", "100")));
    }
    let snapshot = desk.store().snapshot().unwrap();
    let counts = |query: &TradeQuery, by| -> Vec<(String, u64)> {
        let rows = snapshot.summary(query, by).unwrap();
        rows.into_iter().map(|row| (row.group, row.count)).collect()
    };
    let all = TradeQuery::default();
    let named = |name: &str, count| (name.to_owned(), count);
    for _ in 0..2 {
        assert_eq!(counts(&all, SummaryBy::Month), [named("2024-01", 2), named("2024-02", 1)]);
        assert_eq!(counts(&all, SummaryBy::Year), [named("2024", 3)]);
        let later = TradeQuery { from: Some("2024-01-03T00:00:00Z".parse().unwrap()), ..all.clone() };
        assert_eq!(counts(&later, SummaryBy::Day), [named("2024-01-03", 1), named("2024-02-02", 1)]);
        let other = TradeQuery { instrument: Some(id("600999.SH")), ..all.clone() };
        assert_eq!(counts(&other, SummaryBy::Day), []);
        let sold = TradeQuery { kinds: vec![TradeKind::SellFill], ..all.clone() };
        assert_eq!(counts(&sold, SummaryBy::Kind), []);
    }
}

/// Each commit records one fill, so a snapshot counts as many as its LSN says.
fn counted(store: &Store) -> (u64, u64) {
    let snapshot = store.snapshot().unwrap();
    let rows = snapshot.summary(&TradeQuery::default(), SummaryBy::Kind).unwrap();
    (snapshot.lsn().0, rows.iter().map(|row| row.count).sum())
}

#[test]
fn summaries_beside_a_writer_miss_nothing_and_count_nothing_twice() {
    let desk = Desk::new();
    let store = desk.store();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 1..=400_u128 {
                // Now and then a record comes late, and what is in memory has to go.
                let minute = if n % 90 == 0 { 0 } else { n / 10 };
                let at = format!("2024-01-02T02:{minute:02}:{:02}Z", n % 10);
                let one = trade(n, TradeKind::BuyFill, &at, "10", "100");
                store.commit(Batch::of(Operation::RecordTrade(one))).unwrap();
            }
        });
        while !writer.is_finished() {
            let (lsn, count) = counted(store);
            assert_eq!(lsn, count);
        }
        writer.join().unwrap();
    });
    assert_eq!(counted(store), (400, 400));
}
