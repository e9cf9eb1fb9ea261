//! The trade log: recorded once, never deleted, queried and summed up.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, TimestampNanosecondType};
use barkeeper::records::{Batch, Operation, Outcome, TradeId, TradeKind, TradeRecord};
use barkeeper::{CommitError, ScanRequest, SummaryBasis, SummaryBy, TradeQuery};

use crate::common::{Desk, account, day, decimal, id, trade};

fn record(desk: &Desk, trade: TradeRecord) -> Outcome {
    desk.run(Operation::RecordTrade(trade)).outcomes.remove(0)
}

fn query() -> TradeQuery {
    TradeQuery { account: Some(account()), ..TradeQuery::default() }
}

fn ids(desk: &Desk, query: &TradeQuery) -> Vec<u128> {
    desk.store().snapshot().unwrap().trades(query).unwrap().iter().map(|t| t.trade_id.0).collect()
}

#[test]
fn a_retry_is_the_same_record_and_another_content_is_refused() {
    let desk = Desk::new();
    let one = trade(1, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10.10", "100");
    assert_eq!(record(&desk, one.clone()), Outcome::Done);
    assert!(matches!(record(&desk, one.clone()), Outcome::TradeExists { trade_id: TradeId(1), .. }));
    let other = TradeRecord { price: decimal("10.2"), ..one };
    let error = desk.store().commit(Batch::of(Operation::RecordTrade(other))).unwrap_err();
    assert!(matches!(error, CommitError::TradeDiffers(TradeId(1))), "{error}");
}

#[test]
fn the_brokers_number_makes_a_fill_unique_in_an_account_and_day() {
    let desk = Desk::new();
    let fill = |n| TradeRecord {
        external_id: Some("A-7".to_owned()),
        ..trade(n, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10", "100")
    };
    assert_eq!(record(&desk, fill(1)), Outcome::Done);
    assert!(matches!(record(&desk, fill(2)), Outcome::TradeExists { trade_id: TradeId(1), .. }));
    let other = Operation::RecordTrade(TradeRecord { quantity: decimal("5"), ..fill(4) });
    let error = desk.store().commit(Batch::of(other)).unwrap_err();
    assert!(matches!(error, CommitError::ExternalIdDiffers { first: TradeId(1), .. }), "{error}");
    assert_eq!(record(&desk, TradeRecord { trading_day: day("2024-01-03"), ..fill(3) }), Outcome::Done);
    assert_eq!(ids(&desk, &query()).len(), 2);
}

#[test]
fn queries_are_newest_first_and_fit_every_field() {
    let mut desk = Desk::new();
    record(&desk, trade(1, TradeKind::BuyOrder, "2024-01-02T01:31:00Z", "10", "100"));
    record(&desk, trade(2, TradeKind::BuyFill, "2024-01-02T01:32:00Z", "10", "100"));
    let other = TradeRecord {
        instrument: id("600000.SH"),
        ..trade(3, TradeKind::SellFill, "2024-02-02T01:32:00Z", "11", "100")
    };
    record(&desk, other);
    record(&desk, trade(4, TradeKind::Cancel, "2024-03-02T01:32:00Z", "10", "100"));
    desk.reopen();
    assert_eq!(ids(&desk, &query()), [4, 3, 2, 1]);
    assert_eq!(ids(&desk, &TradeQuery { limit: Some(2), ..query() }), [4, 3]);
    assert_eq!(ids(&desk, &TradeQuery { instrument: Some(id("600000.SH")), ..query() }), [3]);
    assert_eq!(
        ids(&desk, &TradeQuery { kinds: vec![TradeKind::BuyFill, TradeKind::SellFill], ..query() }),
        [3, 2]
    );
    let month = TradeQuery {
        from: Some("2024-02-01T00:00:00Z".parse().unwrap()),
        to: Some("2024-03-01T00:00:00Z".parse().unwrap()),
        ..TradeQuery::default()
    };
    assert_eq!(ids(&desk, &month), [3]);
    desk.verify();
}

#[test]
fn a_voided_record_is_hidden_and_stays() {
    let mut desk = Desk::new();
    record(&desk, trade(1, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10", "100"));
    let ts = "2024-01-03T01:31:00Z".parse().unwrap();
    let void = |n| Operation::VoidTrade {
        trade_id: TradeId(n),
        voids: TradeId(1),
        ts,
        remark: "wrong account".to_owned(),
    };
    desk.run(void(9));
    assert_eq!(ids(&desk, &query()), [0_u128; 0]);
    assert_eq!(ids(&desk, &TradeQuery { with_void: true, ..query() }), [9, 1]);
    let error = desk.store().commit(Batch::of(void(10))).unwrap_err();
    assert!(matches!(error, CommitError::NoTrade(TradeId(1))), "{error}");
    desk.verify();
}

#[test]
fn summaries_count_fills_and_realise_profit_by_average_cost() {
    let desk = Desk::new();
    record(&desk, trade(1, TradeKind::BuyOrder, "2024-01-02T01:30:00Z", "10", "100"));
    record(&desk, trade(2, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10", "100"));
    record(&desk, trade(3, TradeKind::BuyFill, "2024-01-03T01:31:00Z", "12", "100"));
    let sale = TradeRecord {
        fee: Some(decimal("5")),
        ..trade(4, TradeKind::SellFill, "2024-02-02T01:31:00Z", "13", "150")
    };
    record(&desk, sale);
    record(&desk, trade(5, TradeKind::Cancel, "2024-02-02T01:33:00Z", "13", "150"));
    let rows = desk.store().snapshot().unwrap().summary(&query(), SummaryBy::Month).unwrap();
    let january = &rows[0];
    assert_eq!((january.group.as_str(), january.count, january.bought), ("2024-01", 2, decimal("2200")));
    let february = &rows[1];
    assert_eq!(
        (february.group.as_str(), february.count, february.basis),
        ("2024-02", 1, SummaryBasis::Fills)
    );
    // 150 x 13 - 150 x 11 - 5
    assert_eq!((february.sold, february.realised), (decimal("1950"), Some(decimal("295"))));
}

#[test]
fn an_unknown_cost_makes_the_profit_unknown_and_orders_say_so() {
    let desk = Desk::new();
    record(&desk, trade(1, TradeKind::SellOrder, "2024-01-02T01:30:00Z", "10", "100"));
    record(&desk, trade(2, TradeKind::BuyOrder, "2024-01-02T01:31:00Z", "10", "100"));
    let summed = |by| desk.store().snapshot().unwrap().summary(&query(), by).unwrap();
    let rows = summed(SummaryBy::Day);
    assert_eq!((rows[0].basis, rows[0].count, rows[0].realised), (SummaryBasis::Orders, 2, None));
    record(&desk, trade(3, TradeKind::SellFill, "2024-01-02T01:32:00Z", "10", "100"));
    let rows = summed(SummaryBy::Kind);
    assert_eq!((rows.len(), rows[0].group.as_str(), rows[0].realised), (1, "sell_fill", None));
}

/// The texts of a column.
fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Vec<Option<&'a str>> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().collect()
}

#[test]
fn a_scan_gives_every_field_of_the_records_of_some_instruments() {
    let desk = Desk::new();
    let first = TradeRecord {
        strategy: Some("breakout".parse().unwrap()),
        fee: Some(decimal("5.01")),
        amount: Some(decimal("1010")),
        remark: "limit".to_owned(),
        source_text: "买入,成交".to_owned(),
        external_id: Some("A-7".to_owned()),
        ..trade(1, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10.10", "100")
    };
    let other = |n, instrument: &str| TradeRecord {
        instrument: id(instrument),
        ..trade(n, TradeKind::SellFill, "2024-01-02T01:30:00Z", "11", "100")
    };
    record(&desk, first.clone());
    record(&desk, other(2, "600000.SH"));
    record(&desk, other(3, "600001.SH"));
    let scan = |request: ScanRequest| -> Vec<RecordBatch> {
        desk.store().snapshot().unwrap().scan(&request).unwrap().map(Result::unwrap).collect()
    };
    let found = scan(ScanRequest::trades().instruments([id("600000.SH"), id("000001.SZ")]));
    let [batch] = found.as_slice() else { panic!("{found:?}") };
    let expected = [
        ("trade_id", [Some(TradeId(1).to_string()), Some(TradeId(2).to_string())]),
        ("account", [Some(account().to_string()), Some(account().to_string())]),
        ("book", [Some("main".to_owned()), Some("main".to_owned())]),
        ("instrument", [Some("000001.SZ".to_owned()), Some("600000.SH".to_owned())]),
        ("strategy", [Some("breakout".to_owned()), None]),
        ("kind", [Some("buy_fill".to_owned()), Some("sell_fill".to_owned())]),
        ("name", [Some("平安银行".to_owned()), Some("平安银行".to_owned())]),
        ("remark", [Some("limit".to_owned()), Some(String::new())]),
        ("source_text", [Some("买入,成交".to_owned()), Some(String::new())]),
        ("external_id", [Some("A-7".to_owned()), None]),
    ];
    for (column, values) in expected {
        assert_eq!(texts(batch, column), values.each_ref().map(Option::as_deref), "{column}");
    }
    let days = batch.column_by_name("trading_day").unwrap().as_primitive::<Date32Type>();
    assert_eq!(days.values().to_vec(), [day("2024-01-02").days(); 2]);
    let ts = batch.column_by_name("ts").unwrap().as_primitive::<TimestampNanosecondType>();
    assert_eq!(ts.value(0), first.ts.nanos());
    let money = |column: &str| {
        let column = batch.column_by_name(column).unwrap().as_primitive::<Decimal128Type>();
        column.iter().map(|value| value.map(|value| value / 1_000_000)).collect::<Vec<_>>()
    };
    let scale = batch.column_by_name("price").unwrap().as_primitive::<Decimal128Type>().scale();
    assert_eq!(scale, 8);
    assert_eq!(money("price"), [Some(1_010), Some(1_100)]);
    assert_eq!(money("quantity"), [Some(10_000), Some(10_000)]);
    assert_eq!((money("fee"), money("amount")), (vec![Some(501), None], vec![Some(101_000), None]));

    // Many names are looked for in another way than few.
    let many: Vec<_> = (1..=40).map(|n| id(&format!("{:06}.SH", 599_999 + n))).collect();
    let found = scan(ScanRequest::trades().instruments(many).columns(["instrument"]));
    assert_eq!(found.len(), 1);
    assert_eq!(texts(&found[0], "instrument"), [Some("600000.SH"), Some("600001.SH")]);
}

#[test]
fn a_scan_with_voided_records_says_which_they_are() {
    let desk = Desk::new();
    record(&desk, trade(1, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10", "100"));
    let ts = "2024-01-03T01:31:00Z".parse().unwrap();
    desk.run(Operation::VoidTrade { trade_id: TradeId(9), voids: TradeId(1), ts, remark: String::new() });
    let scan = |request: ScanRequest| -> Vec<RecordBatch> {
        desk.store().snapshot().unwrap().scan(&request).unwrap().map(Result::unwrap).collect()
    };
    assert!(scan(ScanRequest::trades()).is_empty());
    let found = scan(ScanRequest::trades().with_void(true));
    assert_eq!(texts(&found[0], "voids"), [None, Some(TradeId(1).to_string().as_str())]);
}
