//! The SQLite file as people and other programs meet it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use barkeeper_records::{Table, Timestamp, Value};
use barkeeper_sync::conformance::{
    Write, bar, bar_key, book, extreme_trades, position, series, state, trade, trade_values,
};
use barkeeper_sync::{QuarantineReason, Reached, State, Verdict};
use common::{Desk, minute, run};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;

fn row(connection: &Connection, sql: &str) -> Vec<Cell> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    statement.query_row([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap()
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn nanos(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().nanos()
}

#[test]
fn rows_can_be_read_without_knowing_anything() {
    let mut desk = Desk::new();
    let night = nanos("2024-06-07T13:05:00Z");
    let mut values = trade_values("国金证券-主", nanos("2024-01-02T01:31:00.5Z"), 1_025_000_000);
    values[9] = Value::Decimal(-1);
    let (position_key, position_values) = position("desk", "000001.SZ", None);
    let (book_key, book_values) = book("desk", 19_724);
    let (state_key, state_values) = state("轮动", nanos("2024-01-02T01:31:00.5Z"), 0, "{\"cash\": 1}");
    desk.feed
        .commit(vec![
            Write::Put(Table::Bars, bar_key(&series("rb2410.SHFE", "1m"), night), bar(3700.0, 12.0)),
            Write::Put(
                Table::Bars,
                bar_key(&series("000001.SZ", "1d"), nanos("2024-01-02T00:00:00Z")),
                bar(9.21, 0.0),
            ),
            Write::Put(Table::Trades, trade(5), values),
            Write::Put(Table::Positions, position_key, position_values),
            Write::Put(Table::Books, book_key, book_values),
            Write::Put(Table::StrategySnapshots, state_key, state_values),
        ])
        .unwrap();
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    let sql = desk.sql();
    let found = row(
        &sql,
        "SELECT interval, instrument, ts, local_time, trading_day, close FROM bars WHERE interval = '1m'",
    );
    let expected = [
        text("1m"),
        text("rb2410.SHFE"),
        Cell::Integer(night),
        text("2024-06-07 21:05:00.000000"),
        text("2024-01-02"),
        Cell::Real(3700.0),
    ];
    assert_eq!(found, expected);
    let found = row(&sql, "SELECT local_time, close FROM bars WHERE interval = '1d'");
    assert_eq!(found, [text("2024-01-02 00:00:00.000000"), Cell::Real(9.21)]);
    let found = row(&sql, "SELECT account, strategy, local_time, price, quantity, amount, name FROM trades");
    let expected = [
        text("国金证券-主"),
        Cell::Null,
        text("2024-01-02 09:31:00.500000"),
        text("10.25"),
        text("100"),
        text("-0.00000001"),
        text("浦发银行"),
    ];
    assert_eq!(found, expected);
    assert_eq!(row(&sql, "SELECT status, highest, quantity FROM positions")[0], text("open"));
    assert_eq!(row(&sql, "SELECT incremented_on FROM books"), [text("2024-01-02")]);
    let sql_text = "SELECT strategy, sequence, body, json_extract(body, '$.cash') FROM strategy_snapshots";
    let expected = [text("轮动"), Cell::Integer(0), text("{\"cash\": 1}"), Cell::Integer(1)];
    assert_eq!(row(&sql, sql_text), expected);
    assert_eq!(row(&sql, "PRAGMA journal_mode"), [text("wal")]);
    assert_eq!(row(&sql, "PRAGMA application_id"), [Cell::Integer(0x424b_5053)]);
    assert_eq!(row(&sql, "PRAGMA integrity_check"), [text("ok")]);
}

#[test]
fn the_words_of_the_tables_explain_themselves() {
    let mut desk = Desk::new();
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    let sql = desk.sql();
    let Cell::Text(made) = &row(&sql, "SELECT sql FROM sqlite_schema WHERE name = 'bk_bars'")[0] else {
        panic!()
    };
    for words in ["-- SYMBOL.VENUE", "-- shares, contracts or base units", "STRICT, WITHOUT ROWID", "CHECK"] {
        assert!(made.contains(words), "{made}");
    }
    // What a person types in has to be whole as well.
    let half = "INSERT INTO bk_books VALUES ('a', 'main', NULL, 1, 0, 1, 1, 0)";
    assert!(sql.execute_batch(half).is_err());
    let typed = "INSERT INTO bk_books VALUES ('a', 'main', 20240102, 'v', 0, 1, 1, 0)";
    assert!(sql.execute_batch(typed).is_err());
}

#[test]
fn tables_of_other_programs_are_left_alone() {
    let mut desk = Desk::new();
    desk.write_bars(0..5, 1.0);
    let sql = desk.sql();
    sql.execute_batch(
        "CREATE TABLE trades (mine TEXT); INSERT INTO trades VALUES ('x'); CREATE TABLE notes (n)",
    )
    .unwrap();
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(row(&sql, "SELECT mine FROM trades"), [text("x")]);
    assert_eq!((desk.count("bars"), desk.count("notes"), desk.count("bk_trades")), (5, 0, 0));
    assert_eq!(desk.check().verdict, Verdict::Agree);
}

#[test]
fn a_file_of_another_program_is_refused_and_not_changed() {
    let mut desk = Desk::new();
    desk.write_bars(0..5, 1.0);
    desk.sql().execute_batch("PRAGMA application_id = 1234; CREATE TABLE own (n)").unwrap();
    let before = std::fs::read(desk.database()).unwrap();
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(*replicator.state(), State::Quarantine(QuarantineReason::Configuration));
    assert_eq!(std::fs::read(desk.database()).unwrap(), before);
    std::fs::write(desk.database(), "this is no database, but it is long enough to look at it".repeat(20))
        .unwrap();
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(*replicator.state(), State::Quarantine(QuarantineReason::Damaged));
}

#[test]
fn tables_that_were_changed_are_mended_where_that_is_harmless_and_refused_where_not() {
    let mut desk = Desk::new();
    desk.write_bars(0..5, 1.0);
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    // A view for people is made anew, and so is a column that may be NULL.
    desk.sql()
        .execute_batch("DROP VIEW bars; DROP VIEW positions; ALTER TABLE bk_positions DROP COLUMN cost; DROP TABLE bk_books")
        .unwrap();
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current, "{:?}", replicator.status().history);
    assert_eq!((desk.count("bars"), desk.count("positions"), desk.count("bk_books")), (5, 0, 0));
    let (key, values) = position("desk", "000001.SZ", Some(1.0));
    desk.feed.commit(vec![Write::Put(Table::Positions, key, values)]).unwrap();
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(desk.check().verdict, Verdict::Agree);
    for (edit, words) in [
        (
            "DROP TABLE bk_books; CREATE TABLE bk_books (account TEXT, book TEXT, incremented_on TEXT)",
            "primary key",
        ),
        (
            "DROP TABLE bk_books; CREATE TABLE bk_books (account TEXT, book INTEGER, PRIMARY KEY (account, book))",
            "book",
        ),
        (
            "DROP TABLE bk_books; CREATE TABLE bk_books (account TEXT, book TEXT, PRIMARY KEY (account, book))",
            "version",
        ),
    ] {
        desk.sql().execute_batch(edit).unwrap();
        let (mut replicator, _) = desk.process();
        assert_eq!(run(&mut replicator), Reached::Blocked);
        assert_eq!(*replicator.state(), State::Quarantine(QuarantineReason::Schema));
        assert!(replicator.status().last_error.unwrap().text.contains(words), "{words}");
    }
}

#[test]
fn a_bucket_is_read_through_an_index() {
    let mut desk = Desk::new();
    desk.write_bars(0..3, 1.0);
    let trades = extreme_trades().into_iter().map(|(key, values)| Write::Put(Table::Trades, key, values));
    desk.feed.commit(trades.collect()).unwrap();
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    let plan = |query: &str| {
        let sql = desk.sql();
        let mut statement = sql.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let lines = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    };
    let trades = plan(
        "SELECT * FROM bk_trades WHERE account = 'a' AND ts BETWEEN 1 AND 2 AND (trade_id) > ('x') \
         ORDER BY trade_id LIMIT 5",
    );
    assert!(trades.contains("bk_trades_account_ts"), "{trades}");
    let next = plan(
        "SELECT instrument FROM bk_bars WHERE interval = '1d' AND adjustment = 'raw' AND instrument >= 'a' \
         AND instrument < 'b' AND substr(instrument, 1, 3) = 'a' ORDER BY instrument LIMIT 1",
    );
    assert!(next.contains("PRIMARY KEY") && !next.contains("TEMP"), "{next}");
    desk.write_bars(2..9, 4.0);
    run(&mut replicator);
    assert_eq!(row(&desk.sql(), "SELECT close FROM bars WHERE ts = 120000000000"), [Cell::Real(4.0)]);
    assert_eq!(minute(2)[3], Value::Int(120_000_000_000));
}
