//! Frames of polars and queries in SQL over a snapshot.

use std::fs;
use std::sync::Arc;

use barkeeper::polars::prelude::*;
use barkeeper::records::{
    Adjustment, AdjustmentTag, FactorEvent, Interval, MarketTrade, OnConflict, Operation, Position,
    SeriesKey, Tick, TradeId, TradeKind,
};
use barkeeper::{ReadError, ScanRequest, SealOptions, Snapshot, SqlError, read_error};

use crate::common::{ALL, Desk, bar, daily, day, decimal, id, key, nth, put, put_section, section, trade};

const DAILY: ScanRequestOf = || ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw);
type ScanRequestOf = fn() -> ScanRequest;

/// Four instruments on ten days, the first six days sealed, and a minute bar.
fn desk() -> Desk {
    let desk = Desk::new();
    for n in 0..6 {
        desk.run(put_section(section(nth(n), 4, 10.0 + f64::from(n))));
    }
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    for n in 6..10 {
        desk.run(put_section(section(nth(n), 4, 10.0 + f64::from(n))));
    }
    let minute = SeriesKey { interval: Interval::MINUTE, ..daily("000001.SZ") };
    let mut one = bar(day("2024-01-02"), 7.0);
    one.ts = "2024-01-02T01:31:00Z".parse().unwrap();
    desk.run(put(minute, vec![one]));
    desk
}

fn taken(desk: &Desk) -> Arc<Snapshot> {
    Arc::new(desk.store().snapshot().unwrap())
}

fn sql(desk: &Desk, query: &str) -> DataFrame {
    taken(desk).sql(query, None).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn refused(desk: &Desk, query: &str) -> String {
    taken(desk).sql(query, None).unwrap_err().to_string()
}

/// The rows as text, columns apart by a space.
fn rows(frame: &DataFrame) -> Vec<String> {
    let cell = |column: &Column, row| match column.get(row).unwrap() {
        AnyValue::String(text) => text.to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        other => other.to_string(),
    };
    (0..frame.height())
        .map(|row| frame.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn a_frame_has_the_columns_of_a_scan_and_both_tiers() {
    let desk = desk();
    let frame = taken(&desk).lazy(&DAILY()).unwrap().collect().unwrap();
    assert_eq!(frame.shape(), (40, 10));
    let kinds: Vec<String> =
        frame.columns().iter().map(|column| format!("{}: {}", column.name(), column.dtype())).collect();
    assert_eq!(
        kinds.join(", "),
        "instrument: str, ts: datetime[ns, UTC], trading_day: date, open: f64, high: f64, low: f64, close: f64, \
         volume: f64, turnover: f64, open_interest: f64"
    );
    let trades = taken(&desk).lazy(&ScanRequest::trades()).unwrap().collect().unwrap();
    assert_eq!((trades.height(), trades.width()), (0, 17));
    assert_eq!(trades.column("price").unwrap().dtype(), &DataType::Decimal(38, 8));
    let error = taken(&desk).lazy(&DAILY().columns(["price"])).err().unwrap();
    assert!(matches!(error, ReadError::Column { .. }), "{error:?}");
    let narrow = taken(&desk).lazy(&DAILY().columns(["close", "ts"]).prefix("000002")).unwrap();
    assert_eq!(narrow.collect().unwrap().shape(), (10, 2));
}

#[test]
fn what_is_filtered_and_selected_is_the_same_for_every_way_to_say_it() {
    let desk = desk();
    let bars = || taken(&desk).lazy(&DAILY()).unwrap();
    let two = bars()
        .filter(
            col("instrument")
                .is_in(lit(Series::new("".into(), ["000002.SZ", "000004.SZ", "x"])).implode(true), false),
        )
        .filter(col("trading_day").gt(lit(nth(8).days()).cast(DataType::Date)))
        .select([col("instrument"), col("close")])
        .collect()
        .unwrap();
    assert_eq!(rows(&two), ["000002.SZ 20.0", "000004.SZ 22.0"]);
    // The first rows of all, of which one passes; and the first of those that pass.
    let first = bars().limit(12).filter(col("instrument").eq(lit("000002.SZ"))).collect().unwrap();
    assert_eq!(first.height(), 2);
    let passing = bars().filter(col("instrument").eq(lit("000002.SZ"))).limit(3).collect().unwrap();
    assert_eq!(passing.height(), 3);
    // A filter over all rows sees all rows.
    let above = bars().filter(col("close").gt(col("close").mean())).collect().unwrap();
    assert_eq!(above.height(), 18);
    let all = bars().filter(col("close").gt(lit(0.0)).all(true)).collect().unwrap();
    assert_eq!(all.height(), 40);
    assert_eq!(
        bars().select([len()]).collect().unwrap().column("len").unwrap().get(0).unwrap(),
        AnyValue::UInt32(40)
    );
    // No instrument in another spelling, as the strings are compared.
    assert_eq!(bars().filter(col("instrument").eq(lit("sz000002"))).collect().unwrap().height(), 0);
}

#[test]
fn a_frame_sees_its_snapshot_whatever_is_committed_and_sealed() {
    let desk = desk();
    let frame = taken(&desk).lazy(&DAILY()).unwrap();
    let sum = || {
        let frame = frame.clone().select([col("close").sum(), len()]).collect().unwrap();
        rows(&frame)
    };
    let before = sum();
    desk.run(put_section(section(nth(3), 4, 500.0)));
    desk.run(put_section(section(nth(30), 4, 500.0)));
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    assert_eq!(sum(), before);
    assert_ne!(rows(&sql(&desk, "select sum(close), count(*) from bars where interval = '1d'")), before);
}

#[test]
fn an_expired_frame_says_so() {
    let desk = desk();
    let snapshot = taken(&desk);
    let frame = snapshot.lazy(&DAILY()).unwrap();
    assert_eq!(frame.clone().collect().unwrap().height(), 40);
    desk.at("2026-11-20T03:00:00Z");
    desk.run(put_section(section(nth(11), 4, 10.0)));
    let error = frame.filter(col("close").gt(lit(1.0))).collect().unwrap_err();
    assert!(matches!(read_error(&error), Some(ReadError::Expired { limit: 60, .. })), "{error:?}");
    let error = snapshot.sql("select * from positions", None).unwrap_err();
    assert!(matches!(error, SqlError::Read(ReadError::Expired { .. })), "{error:?}");
}

#[test]
fn damage_is_a_typed_error_and_never_other_rows() {
    let mut desk = desk();
    desk.store.take().unwrap().close().unwrap();
    let folder = desk.folder().join("bars/1d");
    let (mut damaged, mut whole) = (0, 0);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for file in files {
        let sound = fs::read(&file).unwrap();
        for place in (4..sound.len()).step_by(sound.len() / 16) {
            let mut bytes = sound.clone();
            bytes[place] ^= 0x10;
            fs::write(&file, &bytes).unwrap();
            let Ok(store) = barkeeper::Store::open(&desk.folder(), desk.options()) else {
                damaged += 1;
                continue;
            };
            let snapshot = Arc::new(store.snapshot().unwrap());
            let asked = snapshot.lazy(&DAILY()).unwrap().select([col("close").sum(), len()]).collect();
            match asked {
                Ok(frame) => {
                    whole += 1;
                    assert_eq!(rows(&frame), ["640.0 40"], "byte {place} of {}", file.display());
                }
                Err(error) => {
                    damaged += 1;
                    assert!(read_error(&error).is_some_and(ReadError::is_damage), "{error:?}");
                    let error = snapshot.sql("select sum(close) from bars", None).unwrap_err();
                    assert!(matches!(&error, SqlError::Read(error) if error.is_damage()), "{error:?}");
                }
            }
            drop(snapshot);
            store.close().unwrap();
        }
        fs::write(&file, &sound).unwrap();
    }
    assert!(damaged > 8, "{damaged} noticed, {whole} not read");
}

#[test]
fn adjusted_frames_have_the_bits_of_adjusted_bars() {
    let desk = desk();
    let split = FactorEvent { bonus: 0.5, cash: 0.3, ..FactorEvent::on(id("000002.SZ"), nth(4)) };
    let later = FactorEvent { bonus: 1.0, ..FactorEvent::on(id("000002.SZ"), nth(7)) };
    desk.run(Operation::SetFactor(split));
    desk.run(Operation::SetFactor(later));
    let snapshot = taken(&desk);
    for adjustment in [
        Adjustment::NONE,
        Adjustment::FORWARD,
        Adjustment::BACKWARD,
        Adjustment::FORWARD.as_of(nth(5)),
        Adjustment::BACKWARD.as_of(nth(5)).with_volume(),
        Adjustment::FORWARD.with_volume(),
        Adjustment::NONE.as_of(nth(2)),
    ] {
        let mut expected = Vec::new();
        for name in ["000001.SZ", "000002.SZ", "000003.SZ", "000004.SZ"] {
            let bars = snapshot.bars_adjusted(&daily(name), ALL.0, ALL.1, adjustment).unwrap();
            expected.extend(
                bars.iter().map(|bar| [bar.open, bar.high, bar.low, bar.close, bar.volume].map(f64::to_bits)),
            );
        }
        let frame = snapshot.lazy_adjusted(&DAILY(), adjustment).unwrap();
        let names = ["open", "high", "low", "close", "volume"];
        let frame = frame.select(names.map(col)).collect().unwrap();
        let column = |name: &str| frame.column(name).unwrap().f64().unwrap().to_vec();
        let columns = names.map(column);
        let found: Vec<_> = (0..frame.height())
            .map(|row| columns.each_ref().map(|column| column[row].unwrap().to_bits()))
            .collect();
        assert_eq!(found, expected, "{adjustment:?}");
    }
    let qfq = ScanRequest::bars(Interval::DAY, AdjustmentTag::Qfq);
    desk.run(put(SeriesKey { adjustment: AdjustmentTag::Qfq, ..daily("000001.SZ") }, vec![bar(nth(1), 3.0)]));
    let error = taken(&desk).lazy_adjusted(&qfq, Adjustment::FORWARD).unwrap().collect().unwrap_err();
    assert!(matches!(read_error(&error), Some(ReadError::NotAdjustable { .. })), "{error:?}");
    // In SQL, the view leaves out what cannot be adjusted.
    let query =
        "select close from bars_forward where instrument = '000002.SZ' and trading_day = '2020-01-02'";
    let close =
        snapshot.bars_adjusted(&daily("000002.SZ"), ALL.0, ALL.1, Adjustment::FORWARD).unwrap()[1].close;
    assert_eq!(rows(&sql(&desk, query)), [format!("{}", AnyValue::Float64(close))]);
    assert_eq!(rows(&sql(&desk, "select count(*) from bars_forward where adjustment = 'qfq'")), ["0"]);
    assert_eq!(rows(&sql(&desk, "select count(*) from bars where adjustment = 'qfq'")), ["1"]);
    let known =
        taken(&desk).sql("select max(trading_day) from bars_backward where interval = '1d'", Some(nth(5)));
    assert_eq!(rows(&known.unwrap()), [nth(5).to_string()]);
}

#[test]
fn sql_asks_bars_of_every_kind() {
    let desk = desk();
    let ask = |query: &str| rows(&sql(&desk, query));
    assert_eq!(
        ask(
            "select interval, adjustment, count(*) as n, min(close) as low from bars group by interval, adjustment order by n"
        ),
        ["1m raw 1 7.0", "1d raw 40 10.0"]
    );
    assert_eq!(ask("select close from bars where interval = '1m'"), ["7.0"]);
    assert_eq!(ask("select count(*) from bars"), ["41"]);
    for condition in [
        "trading_day = '2020-01-03'",
        "trading_day between '2020-01-03' and '2020-01-03'",
        "trading_day > '2020-01-02' and trading_day < '2020-01-04'",
        "trading_day in (cast('2020-01-03' as date))",
        "ts >= '2020-01-03' and ts < '2020-01-04'",
        "ts >= '2020-01-03 00:00:00' and ts <= '2020-01-03 08:00:00'",
        "trading_day::text = '2020-01-03'",
    ] {
        let query =
            format!("select instrument, close from bars where instrument like '00000%' and {condition}");
        assert_eq!(
            ask(&query),
            ["000001.SZ 12.0", "000002.SZ 13.0", "000003.SZ 14.0", "000004.SZ 15.0"],
            "{query}"
        );
    }
    assert_eq!(ask("select distinct instrument from bars where instrument like '%4.SZ'"), ["000004.SZ"]);
    assert_eq!(
        ask("select b.trading_day, b.close - a.close from bars a join bars b using (trading_day, interval) \
             where a.instrument = '000001.SZ' and b.instrument = '000003.SZ' and interval = '1d' order by 1 limit 1"),
        ["2020-01-01 2.0"]
    );
    assert_eq!(
        ask(
            "with m as (select instrument, ts, close - lag(close) over (partition by instrument order by ts) as move \
             from bars where interval = '1d') select move from m where instrument = '000002.SZ' order by ts limit 2"
        ),
        ["null", "1.0"]
    );
    assert_eq!(ask("show tables").len(), Snapshot::sql_tables().len());
    assert!(ask("explain select close from bars").join(" ").contains("SCAN"));
}

#[test]
fn sql_asks_the_ledger() {
    let desk = desk();
    let mut fill = trade(1, TradeKind::BuyFill, "2024-01-02T01:31:00Z", "10.25", "300");
    fill.fee = Some(decimal("5.00000001"));
    let void = trade(2, TradeKind::SellFill, "2024-01-02T01:32:00Z", "11", "100");
    desk.run(Operation::RecordTrade(fill));
    desk.run(Operation::RecordTrade(void));
    let ts = "2024-01-02T02:00:00Z".parse().unwrap();
    desk.run(Operation::VoidTrade { trade_id: TradeId(3), voids: TradeId(2), ts, remark: String::new() });
    let mut held = Position::opened(key("000001.SZ"), Some(day("2024-01-02")));
    held.quantity = Some(decimal("300"));
    held.cost = Some(decimal("10.25"));
    desk.run(Operation::SetPosition(held));
    desk.run(Operation::SetFactor(FactorEvent { cash: 0.3, ..FactorEvent::on(id("000002.SZ"), nth(4)) }));
    let ask = |query: &str| rows(&sql(&desk, query));
    assert_eq!(
        ask("select instrument, kind, price, quantity, fee, strategy from trades"),
        ["000001.SZ buy_fill 10.25000000 300.00000000 5.00000001 null"]
    );
    assert_eq!(ask("select sum(price * quantity) from trades"), ["3075.00000000"]);
    assert_eq!(
        ask("select account, instrument, status, quantity, cost, opened_on, held_days from positions"),
        ["国金-8801 000001.SZ open 300.00000000 10.25000000 2024-01-02 0"]
    );
    assert_eq!(
        ask("select instrument, ex_day, cash, factor from factors"),
        ["000002.SZ 2020-01-05 0.3 null"]
    );
    assert_eq!(ask("select count(*) from books"), ["0"]);
    assert_eq!(
        ask(
            "select p.instrument, b.close * p.quantity as worth from positions p join bars b using (instrument) \
             where b.interval = '1m'"
        ),
        ["000001.SZ 2100.0"]
    );
}

#[test]
fn sql_asks_ticks_and_market_trades_hot_and_sealed() {
    let desk = Desk::new();
    let (ts, trading_day) = ("2024-01-02T01:30:00Z".parse().unwrap(), day("2024-01-02"));
    let tick = |sequence, last| Tick { ts, sequence, trading_day, last, volume: 100.0, ..Tick::default() };
    let one =
        |tick| Operation::PutTicks { ticks: vec![(id("000001.SZ"), tick)], on_conflict: OnConflict::Replace };
    desk.run(one(tick(0, 10.0)));
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    desk.run(one(tick(1, 10.5)));
    let traded =
        MarketTrade { ts, sequence: 7, trading_day, price: 10.5, quantity: 2.0, ..MarketTrade::default() };
    desk.run(Operation::PutMarketTrades {
        trades: vec![(id("BTCUSDT.BINANCE"), traded)],
        on_conflict: OnConflict::Replace,
    });
    let ask = |query: &str| rows(&sql(&desk, query));
    assert_eq!(
        ask(
            "select instrument, sequence, last, volume from ticks where ts >= '2024-01-02 01:30:00' order by sequence"
        ),
        ["000001.SZ 0 10.0 100.0", "000001.SZ 1 10.5 100.0"]
    );
    assert_eq!(ask("select count(*) from ticks where ts > '2024-01-02 01:30:00'"), ["0"]);
    assert_eq!(
        ask("select instrument, sequence, price * quantity, side, aggregated from market_trades"),
        ["BTCUSDT.BINANCE 7 21.0 unknown false"]
    );
}

#[test]
fn what_a_source_does_not_tell_is_null() {
    let desk = Desk::new();
    let (ts, trading_day) = ("2024-01-02T01:30:00Z".parse().unwrap(), day("2024-01-02"));
    let put = |sequence, turnover| {
        let one = MarketTrade { ts, sequence, trading_day, price: 10.0, quantity: 2.0, ..Default::default() };
        let trades = vec![(id("BTCUSDT.BINANCE"), MarketTrade { turnover, ..one })];
        desk.run(Operation::PutMarketTrades { trades, on_conflict: OnConflict::Replace });
        let mut tick = Tick { ts, sequence, trading_day, last: turnover, ..Tick::default() };
        tick.bid_prices[0] = turnover;
        let ticks = vec![(id("000001.SZ"), tick)];
        desk.run(Operation::PutTicks { ticks, on_conflict: OnConflict::Replace });
    };
    put(0, 0.0);
    put(1, 20.0);
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    put(2, 0.0);
    let mut held = Position::opened(key("000001.SZ"), None);
    held.lowest_trusted = false;
    desk.run(Operation::SetPosition(held));
    let ask = |query: &str| rows(&sql(&desk, query));
    assert_eq!(ask("select turnover from market_trades"), ["null", "20.0", "null"]);
    assert_eq!(
        ask("select sum(turnover) as sum, avg(turnover) as mean, min(turnover) as low from market_trades"),
        ["20.0 20.0 20.0"]
    );
    assert_eq!(ask("select count(turnover), count(*) from market_trades"), ["1 3"]);
    assert_eq!(ask("select sequence from market_trades where turnover is null"), ["0", "2"]);
    assert_eq!(ask("select sequence from market_trades where turnover is not null"), ["1"]);
    assert_eq!(ask("select sequence from market_trades where turnover < 1"), [] as [&str; 0]);
    assert_eq!(ask("select sequence from market_trades where coalesce(turnover, 0) = 0"), ["0", "2"]);
    assert_eq!(
        ask("select last, volume, bid_price_1, bid_volume_1, upper_limit from ticks"),
        ["null 0.0 null 0.0 null", "20.0 0.0 20.0 0.0 null", "null 0.0 null 0.0 null"]
    );
    assert_eq!(ask("select avg(bid_price_1) from ticks"), ["20.0"]);
    let frame = taken(&desk).lazy(&ScanRequest::market_trades()).unwrap();
    let told = frame.filter(col("turnover").is_not_null()).select([len()]).collect().unwrap();
    assert_eq!(rows(&told), ["1"]);
    assert_eq!(ask("select lowest_trusted from positions"), ["false"]);
    assert_eq!(ask("select instrument from positions where not lowest_trusted"), ["000001.SZ"]);
}

#[test]
fn a_query_reaches_no_file_and_changes_nothing() {
    let desk = desk();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("x.csv");
    fs::write(&file, "a\n1\n").unwrap();
    let path = file.display();
    for query in [
        format!("select * from read_csv('{path}')"),
        format!("select * from read_parquet('{path}')"),
        format!("select * from read_ipc('{path}')"),
        format!("select * from read_json('{path}')"),
        format!("select * from '{path}'"),
        format!("select * from \"{path}\""),
        "select * from read_csv('https://example.org/x.csv')".to_owned(),
        format!("copy bars to '{path}'"),
        format!("create table x as select * from read_csv('{path}')"),
        format!("select read_csv('{path}')"),
        "create table x as select * from bars".to_owned(),
        "drop table bars".to_owned(),
        "delete from positions".to_owned(),
        "truncate table trades".to_owned(),
    ] {
        refused(&desk, &query);
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\n1\n", "{query}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(rows(&sql(&desk, "select count(*) from bars")), ["41"]);
}

#[test]
fn columns_without_a_name_do_not_clash() {
    let desk = desk();
    let named = |query: &str| {
        let frame = sql(&desk, query);
        let names: Vec<String> = frame.get_column_names().iter().map(ToString::to_string).collect();
        (names.join(" "), rows(&frame))
    };
    let of = "from bars where interval = '1d'";
    assert_eq!(
        named(&format!("select min(close), max(close) {of}")),
        ("min(close) max(close)".to_owned(), vec!["10.0 22.0".to_owned()])
    );
    assert_eq!(named(&format!("select max(close) {of}")).0, "close");
    assert_eq!(
        named(&format!(
            "select instrument, min(close), max(close) as top {of} group by instrument order by 1 limit 1"
        )),
        ("instrument close top".to_owned(), vec!["000001.SZ 10.0 19.0".to_owned()])
    );
    let error = refused(&desk, &format!("select close, close {of}"));
    assert!(error.ends_with("add `as NAME`"), "{error}");
    let compared =
        Snapshot::sql_compared("select 1 from bars b where b.instrument = 'x' and interval in ('1d')");
    let found: Vec<_> = compared.unwrap().into_iter().map(|one| (one.column, one.text)).collect();
    assert_eq!(found, [("instrument", "x".to_owned()), ("interval", "1d".to_owned())]);
}

#[test]
fn what_is_wrong_with_a_query_is_said() {
    let desk = desk();
    for (query, said) in [
        (
            "select * from quotes",
            "there is no table 'quotes': expected one of bars, bars_backward, bars_forward,",
        ),
        (
            "select price from bars",
            "unable to find column \"price\"; valid columns: [\"instrument\", \"interval\"",
        ),
        ("select * from bars where", "this is not SQL"),
        ("select * from read_csv('x')", "'read_csv(...)' is no table"),
        ("drop table bars", "expected one query (SELECT, WITH or VALUES)"),
        ("select made_up(close) from bars", "made_up"),
    ] {
        let error = refused(&desk, query);
        assert!(error.contains(said), "{query}: {error}");
        assert!(!error.contains("Resolved plan"), "{query}: {error}");
    }
}
