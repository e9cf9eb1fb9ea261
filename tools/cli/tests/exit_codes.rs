//! The exit codes, each produced on purpose, and what stands on stdout and stderr then.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use support::{Place, program, ran};

#[test]
fn a_command_line_without_sense_is_2_and_touches_nothing() {
    let place = Place::new();
    for arguments in [
        "",
        "bars",
        "bars get",
        "bars get 600000",
        "bars get 000001.SZ --interval 1x",
        "bars get 000001.SZ --last 3 --all",
        "bars day 2024-13-01",
        "trades record 000001.SZ --kind buy --price 1 --quantity 1",
        "sync mode replica on",
        "nonsense",
    ] {
        let ran = place.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments}: {ran:?}");
        assert!(!ran.stderr.is_empty());
    }
    assert!(!place.store().exists());
}

#[test]
fn usage_that_only_the_store_can_judge_is_2_as_well() {
    let place = Place::with_store();
    for arguments in [
        "bars delete 000001.SZ",
        "bars delete 000001.SZ --all",
        "bars day 2023-07-03 --interval 1m",
        "trades record 000001.SZ --kind buy_fill --price 1.123456789 --quantity 1 --at 2024-01-02T02:00:00Z",
        "trades record 000001.SZ --kind buy_fill --price 1 --quantity 1 --at 2024-01-06T02:00:00Z",
    ] {
        let ran = place.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
}

#[test]
fn what_is_not_there_is_3() {
    let place = Place::new();
    let ran = place.run("stats");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("there is no store in store"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: `barkeeper init --store store`"), "{}", ran.stderr);
    place.done("init");
    for arguments in [
        "bars get 000001.SZ",
        "bars day 2024-01-02",
        "bars stats 000001.SZ",
        "bars delete 000001.SZ --all --yes",
        "positions get 000001.SZ",
        "import nowhere",
        "sync run",
        "sync check replica",
        "sync mode replica local-only",
    ] {
        let ran = place.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{arguments}: {ran:?}");
    }
}

#[test]
fn a_store_that_another_process_has_is_4_and_says_whose_it_is() {
    let place = Place::with_store();
    let mut owner = place.command().arg("demo-writer").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap());
    let mut ready = String::new();
    lines.read_line(&mut ready).unwrap();
    assert_eq!(ready.trim_end(), "ready");
    // Somebody has to read on, or the owner waits for room in the pipe.
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        lines.read_to_end(&mut rest).unwrap();
    });
    for arguments in ["stats", "bars get 000001.SZ", "verify"] {
        let ran = place.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains("in use by barkeeper demo writer (process "), "{}", ran.stderr);
        assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    }
    // The settings and the notes about targets are read and edited beside the owner.
    place.done("sync add replica --sqlite replica.sqlite");
    place.done("sync mode replica local-only");
    assert!(place.done("sync status").contains("never run"));
    owner.kill().unwrap();
    owner.wait().unwrap();
    reader.join().unwrap();
    place.done("verify");
}

#[test]
fn damaged_bytes_are_7_and_never_data() {
    let place = Place::with_store();
    let whole = place.done("bars get 000001.SZ --all --format csv");
    place.done("seal");
    assert!(!place.segments().is_empty());
    for segment in place.segments() {
        let mut bytes = fs::read(&segment).unwrap();
        let half = bytes.len() / 2;
        for at in [half / 2, half] {
            bytes[at] ^= 1;
        }
        fs::write(&segment, bytes).unwrap();
    }
    let ran = place.run("verify");
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.stdout.contains(".parquet"), "{}", ran.stdout);
    let mut damaged = 0;
    for instrument in ["000001.SH", "000001.SZ", "600000.SH", "300001.SZ", "688001.SH", "920001.BJ"] {
        let ran = place.run(&format!("bars get {instrument} --all --format csv"));
        assert!(ran.code == 0 || ran.code == 7, "{ran:?}");
        damaged += i32::from(ran.code == 7);
        if instrument == "000001.SZ" && ran.code == 0 {
            assert_eq!(ran.stdout, whole);
        }
    }
    let day = place.run("bars day 2023-07-20");
    assert!(day.code == 0 || day.code == 7, "{day:?}");
    assert!(damaged > 0 || day.code == 7, "the damage was read nowhere");
}

#[test]
fn a_damaged_database_is_7() {
    let place = Place::with_store();
    fs::write(place.store().join("store.redb"), b"this was a database once").unwrap();
    for arguments in ["stats", "verify"] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 7, "{arguments}: {ran:?}");
    }
}

#[test]
fn a_disk_without_room_for_bars_is_9_and_takes_trades() {
    let place = Place::with_store();
    let small = place.path().join("small");
    fs::create_dir(&small).unwrap();
    // Less than the reserve and what bars must leave beside it.
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=80m", "tmpfs"]).arg(&small).output();
    if !mount.as_ref().is_ok_and(|done| done.status.success()) {
        println!("SKIPPED: no file system can be mounted here: {mount:?}");
        return;
    }
    let runs = ["init", "import files/prices", "stats"]
        .map(|what| place.run(&format!("{what} --store small/store")));
    let trade = "trades record 000001.SZ --kind buy_fill --price 1 --quantity 1 --at 2024-01-02T02:00:00Z";
    let trade = place.run(&format!("{trade} --store small/store"));
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    let [init, import, stats] = runs;
    assert_eq!((init.code, trade.code), (0, 0), "{init:?} {trade:?}");
    assert_eq!(import.code, 9, "{import:?}");
    assert!(import.stderr.contains("too little room"), "{}", import.stderr);
    assert!(import.stderr.contains("\nhint: free some space for bars"), "{}", import.stderr);
    assert!(stats.stdout.contains("low on space: no bars"), "{}", stats.stdout);
}

#[test]
fn a_target_that_cannot_be_reached_is_6() {
    let place = Place::with_store();
    place.done("sync add replica --sqlite nowhere/replica.sqlite");
    for arguments in ["sync run replica", "sync check replica"] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 6, "{arguments}: {ran:?}");
    }
    let status = place.done("sync status");
    assert!(status.contains("degraded"), "{status}");
}

#[test]
fn findings_are_1() {
    let place = Place::with_store();
    let torn = place.path().join("files/prices/vipdoc/sz/lday/sz000009.day");
    fs::write(&torn, [0_u8; 33]).unwrap();
    let ran = place.run("import files/prices");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("sz000009.day: not taken: "), "{}", ran.stderr);
    let report: serde_json::Value =
        serde_json::from_str(&place.run("import files/prices --format json").stdout).unwrap();
    assert_eq!(report["refused"].as_array().unwrap().len(), 1);
    assert_eq!((&report["bars"]["inserted"], &report["commits"]), (&0.into(), &0.into()));
    fs::remove_file(torn).unwrap();
    place.done("import files/prices");
}

#[test]
fn a_closed_pipe_is_nobodys_failure() {
    let place = Place::with_store();
    let mut child = place
        .command()
        .args(["bars", "get", "BTCUSDT.BINANCE", "--interval", "1h", "--all", "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let ran = ran(&output);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn help_and_version_go_to_stdout_and_are_0() {
    for arguments in [["--help"], ["--version"]] {
        let ran = ran(&program().args(arguments).output().unwrap());
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("barkeeper") && ran.stderr.is_empty());
    }
}
