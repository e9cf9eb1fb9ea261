//! Ticks, market trades and corporate actions as a person meets them: files in, lists out, removal, merging.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::fs;

use barkeeper_records::Timestamp;
use support::Place;

/// Half seconds of ticks of two shares from 09:31 on, and aggTrades and trades of two coins.
fn place() -> Place {
    let place = Place::new();
    place.done("init");
    let mut ticks =
        "symbol,exchange,datetime,volume,turnover,last_price,bid_price_1,bid_price_2,ask_price_1,\
                     bid_volume_1,ask_volume_1\n"
            .to_owned();
    let (mut aggregated, mut single) = (String::new(), String::new());
    for number in 0..600 {
        let (seconds, millis) = (number / 2, number % 2 * 500);
        let time = format!("2024-01-02 09:{:02}:{:02}.{millis:03}", 31 + seconds / 60, seconds % 60);
        for (symbol, price) in [("600000", 8.0), ("600001", 25.0)] {
            let last = price + f64::from(number) / 100.0;
            writeln!(
                ticks,
                "{symbol},SSE,{time},{},{},{last:.2},{:.2},{:.2},{:.2},5,7",
                number * 100,
                number * 800,
                last - 0.01,
                last - 0.02,
                last + 0.01
            )
            .unwrap();
        }
        let ms = 1_704_186_000_000_i64 + i64::from(number) * 250;
        writeln!(aggregated, "{number},42000.5,0.01,{number},{number},{ms},True,True").unwrap();
        writeln!(single, "{number},2300.25,2,4600.5,{ms},False,True").unwrap();
    }
    fs::write(place.path().join("ticks.csv"), ticks).unwrap();
    fs::write(place.path().join("BTCUSDT-aggTrades-2024-01-02.csv"), aggregated).unwrap();
    fs::write(place.path().join("ETHUSDT-trades-2024-01-02.csv"), single).unwrap();
    place
}

fn import(place: &Place) -> String {
    place.done("import ticks.csv BTCUSDT-aggTrades-2024-01-02.csv ETHUSDT-trades-2024-01-02.csv --format csv")
}

#[test]
fn streams_are_imported_once_and_listed_alike_hot_sealed_and_merged() {
    let place = place();
    let first = import(&place);
    assert!(first.contains("ticks,1200,0,0,0") && first.contains("market trades,1200,0,0,0"), "{first}");
    let again = import(&place);
    assert!(again.contains("ticks,0,1200,0,0") && again.contains("market trades,0,1200,0,0"), "{again}");
    let stats = place.done("ticks stats --format csv");
    assert!(stats.contains("600000.SH,600,2024-01-02T01:31:00Z,2024-01-02T01:35:59.5Z"), "{stats}");
    let lists = || {
        [
            "ticks list --format csv",
            "ticks list --format csv --order time --all-columns",
            "ticks list 600001.SH --from 2024-01-02T09:33:00+08:00 --to 2024-01-02T09:34:00+08:00 --format jsonl",
            "market-trades list --prefix BTC --format csv",
            "market-trades list --order time --format jsonl",
        ]
        .map(|command| place.done(command))
    };
    let hot = lists();
    assert_eq!(hot[0].lines().count(), 1_201);
    assert_eq!(hot[2].lines().count(), 121);
    let line = hot[0].lines().nth(1).unwrap();
    assert_eq!(line, "600000.SH,2024-01-02T01:31:00Z,0,2024-01-02,8,0,0,7.99,5,8.01,7");
    let time = |line: &str| line.split(',').nth(1).unwrap().parse::<Timestamp>().unwrap();
    let times: Vec<Timestamp> = hot[1].lines().skip(1).map(time).collect();
    assert!(times.is_sorted() && times.len() == 1_200);
    place.done("seal");
    assert_eq!(lists(), hot);
    // A correction and a removal, sealed as well: two segments a day that overlap.
    let ticks = fs::read_to_string(place.path().join("ticks.csv")).unwrap();
    fs::write(place.path().join("more.csv"), ticks.replace("09:31:", "09:41:")).unwrap();
    place.done("import more.csv");
    place.done("seal");
    let before = lists();
    assert_eq!(before[0].lines().count(), 1_201 + 240);
    let merged = place.done("merge --whole --format csv");
    assert!(merged.lines().any(|line| line.starts_with("ticks,")), "{merged}");
    assert_eq!(lists(), before);
    place.done("undo");
    assert_eq!(lists(), before);
    place.done("verify");
}

#[test]
fn lists_are_cut_as_those_of_bars() {
    let place = place();
    import(&place);
    let limited = place.run("ticks list --limit 3 --format csv --columns ts,last");
    assert_eq!(limited.stdout.lines().count(), 4);
    assert!(limited.stderr.contains("3 ticks; there are more."), "{limited:?}");
    assert_eq!(limited.stdout.lines().next(), Some("ts,last"));
    let table = place.run("ticks list");
    assert!(table.stderr.contains("1000 ticks; there are more."), "{}", table.stderr);
    // The hour is the venue's.
    let shown = place.done("ticks list 600000.SH --last 2 --columns ts,last");
    assert!(shown.contains("09:35:59.5") && shown.contains("13.99") && shown.lines().count() == 4, "{shown}");
    let local = place.done("ticks list 600000.SH --from 2024-01-02T09:35:59 --format csv");
    assert_eq!(local.lines().count(), 3, "{local}");
    for (command, code, says) in [
        ("ticks list 000002.SZ", 3, "there are no ticks of 000002.SZ"),
        ("ticks list --prefix XX", 3, "there are no ticks of such instruments"),
        ("ticks list --columns price", 2, "ticks have no column 'price'"),
        ("market-trades list --columns price,bid_price_1", 2, "market trades have no column 'bid_price_1'"),
        ("ticks list --last 3", 2, "one instrument"),
        ("market-trades delete BTCUSDT.BINANCE", 2, "no range is named"),
    ] {
        let ran = place.run(command);
        assert_eq!(ran.code, code, "{command}: {ran:?}");
        assert!(ran.stderr.contains(says), "{command}: {}", ran.stderr);
    }
}

#[test]
fn a_turnover_that_the_source_does_not_tell_is_left_empty() {
    let place = place();
    import(&place);
    let aggregated = place.done("market-trades list BTCUSDT.BINANCE --limit 1 --format jsonl");
    assert!(
        aggregated.contains("\"turnover\":null") && aggregated.contains("\"aggregated\":true"),
        "{aggregated}"
    );
    let single = place.done("market-trades list ETHUSDT.BINANCE --limit 1 --format csv");
    let line = single.lines().nth(1).unwrap();
    assert_eq!(line, "ETHUSDT.BINANCE,2024-01-02T09:00:00Z,0,2024-01-02,2300.25,2,4600.5,buy,false");
}

#[test]
fn removed_rows_are_gone_and_others_stay() {
    let place = place();
    import(&place);
    place.done("seal");
    let found = place.json("ticks delete 600000.SH --to 2024-01-02T09:31:59+08:00 --dry-run");
    assert_eq!((found["found"].as_u64(), found["removed"].as_u64()), (Some(119), Some(0)));
    let removed = place.json("ticks delete 600000.SH --to 2024-01-02T09:31:59+08:00 --yes");
    assert_eq!(removed["removed"].as_u64(), Some(119));
    let stats = place.done("ticks stats --format csv");
    assert!(stats.contains("600000.SH,481,") && stats.contains("600001.SH,600,"), "{stats}");
    assert_eq!(place.run("ticks delete 600000.SH --to 2024-01-02T09:31:59+08:00 --yes").code, 3);
    place.done("market-trades delete BTCUSDT.BINANCE --all --yes");
    assert_eq!(place.run("market-trades list BTCUSDT.BINANCE").code, 3);
    place.done("verify");
}

#[test]
fn corporate_actions_come_from_a_file_whole_or_not_at_all() {
    let place = Place::with_store();
    let file = place.path().join("actions.csv");
    fs::write(&file, "code,ex_date,cash,bonus\nsh600000,2023-07-21,3.2,1\n000001.SZ,2023-07-21,0.7,\n")
        .unwrap();
    let taken = place.json("factors import actions.csv --per 10");
    assert_eq!((taken["read"].as_u64(), taken["new"].as_u64()), (Some(2), Some(2)));
    let listed = place.done("factors list --format csv");
    assert!(
        listed.contains("600000.SH,2023-07-21,0.32,0.1,0,0,")
            && listed.contains("000001.SZ,2023-07-21,0.07,")
    );
    let again = place.json("factors import actions.csv --per 10");
    assert_eq!((again["new"].as_u64(), again["unchanged"].as_u64()), (Some(0), Some(2)));
    assert_eq!(place.run("factors import actions.csv").code, 2, "for how many shares must be said");
    fs::write(&file, "code,ex_date,cash\n000002.SZ,2023-07-21,1\n000002.SZ,2023-07-22,much\nmoon,x,1\n")
        .unwrap();
    let refused = place.run("factors import actions.csv --per 1");
    assert_eq!(refused.code, 1, "{refused:?}");
    for says in ["actions.csv", "line 3: cash 'much': expected a decimal number", "line 4: code 'moon'"] {
        assert!(refused.stderr.contains(says), "{says}: {}", refused.stderr);
    }
    // More cash than the share is worth, in a file with a line that is right.
    fs::write(&file, "code,ex_date,cash\n600001.SH,2023-07-21,1\n000002.SZ,2023-07-21,1000\n").unwrap();
    let refused = place.run("factors import actions.csv --per 1");
    for says in ["actions.csv: nothing was taken: line 3", "000002.SZ on 2023-07-21 leaves no price"] {
        assert!(refused.code == 1 && refused.stderr.contains(says), "{says}: {refused:?}");
    }
    let rights =
        "code,ex_date,rights,rights_price\n600001.SH,2023-07-21,0.3,5\n000002.SZ,2023-07-21,0.3,9000\n";
    fs::write(&file, rights).unwrap();
    let refused = place.run("factors import actions.csv --per 1");
    let says = "actions.csv: nothing was taken: line 3: rights_price '9000': expected a price of one share";
    assert!(refused.code == 1 && refused.stderr.contains(says), "{refused:?}");
    let after = place.done("factors list --format csv");
    assert_eq!(after, listed, "nothing of a refused file is taken");
    // One share by hand: set, wrong, removed.
    place.done("factors set 600001.SH 2023-07-24 --bonus 9");
    let refused = place.run("factors set 600001.SH 2023-07-25 --cash 5000");
    assert!(
        refused.code != 0 && refused.stderr.contains("leaves no price of the close before it"),
        "{refused:?}"
    );
    let refused = place.run("factors set 600001.SH 2023-07-25 --cash 0.1 --rights-price 3");
    assert!(refused.code != 0 && refused.stderr.contains("rights_price is 3"), "{refused:?}");
    // By hand the same is refused as in a file.
    for (terms, code, says) in [
        ("2023-07-22 --bonus 1", 1, "ex_day '2023-07-22': the calendar cn_a is closed on this day"),
        ("2023-07-25 --rights 0.3", 2, "give --rights-price"),
        (
            "2023-07-25 --rights 0.3 --rights-price 9000",
            1,
            "rights_price '9000': expected a price of one share",
        ),
    ] {
        let refused = place.run(&format!("factors set 600001.SH {terms}"));
        assert!(refused.code == code && refused.stderr.contains(says), "{says}: {refused:?}");
    }
    // Of a share without bars no close is known: what may be right is taken.
    place.done("factors set 999998.SH 2023-07-25 --cash 5000");
    assert_eq!(place.done("factors list 600001.SH --format csv").lines().count(), 2);
    place.done("factors remove 600001.SH 2023-07-24");
    assert_eq!(place.run("factors remove 600001.SH 2023-07-24").code, 3);
    assert_eq!(place.run("factors list 600001.SH").code, 3);
}

#[test]
fn corporate_actions_that_would_change_stored_ones_stop() {
    let place = Place::with_store();
    let file = place.path().join("actions.csv");
    let import = |text: &str, more: &str| {
        fs::write(&file, text).unwrap();
        place.run(&format!("factors import actions.csv --per 1 --format json{more}"))
    };
    let count = |ran: &support::Ran, key: &str| {
        serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap()[key].as_u64().unwrap()
    };
    let list = || place.done("factors list --format csv");
    let two = "code,ex_date,cash,factor\n600000.SH,2023-07-21,0.32,\n000001.SZ,2023-07-21,,1.5\n";
    assert_eq!(count(&import(two, ""), "new"), 2);
    let before = list();
    let other =
        "code,ex_date,cash\n600000.SH,2023-07-21,0.4\n600001.SH,2023-07-21,1\n999998.SH,2023-07-21,1\n";
    let stopped = import(other, "");
    assert_eq!((stopped.code, stopped.stdout.as_str()), (1, ""), "{stopped:?}");
    for says in
        ["1 corporate action in actions.csv", "600000.SH on 2023-07-21", "cash 0.32", "cash 0.4", "replace"]
    {
        assert!(stopped.stderr.contains(says), "{says}: {stopped:?}");
    }
    assert_eq!(list(), before, "nothing of it is taken");
    let kept = import(other, " --on-conflict keep");
    assert_eq!((count(&kept, "new"), count(&kept, "kept"), count(&kept, "replaced")), (2, 1, 0), "{kept:?}");
    assert!(kept.stderr.contains("note: 1 instrument has no bars in the store: 999998.SH"), "{kept:?}");
    assert!(list().contains("600000.SH,2023-07-21,0.32,"));
    let replaced = import(other, " --on-conflict replace");
    assert_eq!((count(&replaced, "unchanged"), count(&replaced, "replaced")), (2, 1), "{replaced:?}");
    assert!(list().contains("600000.SH,2023-07-21,0.4,"));
    let again = import(other, " --on-conflict replace");
    assert_eq!((count(&again, "unchanged"), count(&again, "lsn")), (3, count(&replaced, "lsn")), "{again:?}");
    let wrong = "code,ex_date,bonus,factor\n600000.SH,2023-07-22,1,\n600000.SH,2023-07-24,150,\n600000.SH,2023-07-25,,5000\n";
    let refused = import(wrong, " --on-conflict replace");
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
    for says in ["line 2: ex_date '2023-07-22'", "line 3: bonus '150'", "line 4: factor '5000'"] {
        assert!(refused.stderr.contains(says), "{says}: {refused:?}");
    }
    assert_eq!(place.run("factors set 600000.SH 2023-07-24 --bonus 150").code, 1);
    assert_eq!(list().lines().count(), 5);
}
