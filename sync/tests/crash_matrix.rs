//! The lines of the crash matrix that apply to SQLite, by their numbers, and what else can happen to a
//! target.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barkeeper_records::{ChangeFeed, Lsn, Table};
use barkeeper_sync::conformance::{Fault, MemoryFeed, Write, bar, bar_key, position, series};
use barkeeper_sync::{
    CheckOptions, DifferenceKind, Fork, Mode, Options, QuarantineReason, Reached, RepairOptions, Replicator,
    ReplicatorError, Resolution, State, Step, Verdict,
};
use common::{Desk, MINUTE, TARGET, minute, restore_database, run, save_database};

fn agree(desk: &Desk) {
    let report = desk.check();
    assert_eq!(report.verdict, Verdict::Agree, "{report:?}");
    desk.assert_same_rows();
}

fn reasons(replicator: &Replicator) -> Vec<String> {
    replicator.status().history.into_iter().map(|change| change.why).collect()
}

fn quarantine(replicator: &Replicator) -> QuarantineReason {
    match replicator.state() {
        State::Quarantine(reason) => reason.clone(),
        state => panic!("{state:?}: {:?}", replicator.status().history),
    }
}

#[test]
fn line_2_killed_after_the_commit_and_before_shipping() {
    let mut desk = Desk::new();
    desk.write_bars(0..50, 1.0);
    let (mut first, _) = desk.process();
    assert_eq!(run(&mut first), Reached::Current);
    desk.write_bars(20..80, 2.0);
    drop(first);
    let (mut second, _) = desk.process();
    assert_eq!(run(&mut second), Reached::Current);
    assert_eq!(desk.feed.acknowledged(TARGET), Some(Lsn(2)));
    agree(&desk);
}

#[test]
fn line_5_applied_and_the_acknowledgement_lost() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut replicator, sink) = desk.process();
    run(&mut replicator);
    desk.write_bars(5..15, 2.0);
    sink.fail_next(Fault::After);
    assert!(matches!(run(&mut replicator), Reached::Waiting { .. }));
    assert_eq!(*replicator.state(), State::Degraded);
    assert_eq!(desk.feed.acknowledged(TARGET), Some(Lsn(1)));
    let before = sink.shipments();
    desk.pass(600);
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(sink.shipments(), before, "nothing was shipped a second time");
    assert!(reasons(&replicator).iter().any(|why| why.contains("its word counts")));
    assert_eq!(desk.feed.acknowledged(TARGET), Some(Lsn(2)));
    agree(&desk);
}

#[test]
fn line_6_cut_before_and_in_the_middle_of_a_transaction() {
    for fault in [Fault::Before, Fault::Middle] {
        let mut desk = Desk::new();
        desk.write_bars(0..10, 1.0);
        let (mut replicator, sink) = desk.process();
        run(&mut replicator);
        desk.write_bars(5..15, 2.0);
        sink.fail_next(fault);
        assert!(matches!(run(&mut replicator), Reached::Waiting { .. }));
        assert_eq!(desk.count("bars"), 10, "nothing of it is there");
        desk.pass(600);
        assert_eq!(run(&mut replicator), Reached::Current);
        agree(&desk);
    }
}

#[test]
fn line_8_killed_between_the_targets_commit_and_our_note_of_it() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut first, sink) = desk.process();
    run(&mut first);
    desk.write_bars(5..15, 2.0);
    sink.fail_next(Fault::After);
    assert_eq!(first.step(), Step::Failed);
    drop(first);
    let (mut second, sink) = desk.process();
    assert_eq!(run(&mut second), Reached::Current);
    assert_eq!(sink.shipments(), 0);
    agree(&desk);
}

#[test]
fn line_8_killed_between_the_handshake_and_our_note_of_it() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    // Several processes in a row whose claim was taken and who never heard of it.
    for _ in 0..4 {
        let (mut replicator, sink) = desk.process();
        sink.lose_next_greeting();
        assert!(matches!(run(&mut replicator), Reached::Waiting { .. }));
    }
    let (mut replicator, sink) = desk.process();
    sink.lose_next_greeting();
    assert!(matches!(run(&mut replicator), Reached::Waiting { .. }));
    desk.pass(600);
    assert_eq!(run(&mut replicator), Reached::Current);
    agree(&desk);
}

#[test]
fn line_9_the_target_lost_its_newest_part_and_the_log_has_it() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut first, _) = desk.process();
    run(&mut first);
    let copy = desk.path("old.sqlite");
    save_database(&desk, &copy);
    desk.write_bars(5..15, 2.0);
    // Two more processes, so that the copy knows a claim that is long gone.
    for _ in 0..2 {
        drop(std::mem::replace(&mut first, desk.process().0));
        assert_eq!(run(&mut first), Reached::Current);
    }
    drop(first);
    restore_database(&desk, &copy);
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    assert!(reasons(&replicator).iter().any(|why| why.contains("lost its newest part")));
    agree(&desk);
}

#[test]
fn line_9_and_26_the_target_lost_its_newest_part_and_the_log_was_trimmed() {
    let mut desk = Desk::new();
    desk.write_bars(0..50, 1.0);
    desk.write_bars(1_000_000..1_000_010, 1.0);
    let (mut first, _) = desk.process();
    run(&mut first);
    let copy = desk.path("old.sqlite");
    save_database(&desk, &copy);
    desk.write_bars(5..15, 2.0);
    desk.feed.commit(vec![Write::Delete(Table::Bars, minute(7))]).unwrap();
    let of = series("000001.SZ", "1m");
    desk.feed.commit(vec![Write::DeleteRange(of, 20 * MINUTE, 30 * MINUTE)]).unwrap();
    desk.write_bars(25..26, 3.0);
    run(&mut first);
    drop(first);
    restore_database(&desk, &copy);
    desk.feed.trim(Lsn(100));
    let (mut replicator, sink) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    assert!(reasons(&replicator).iter().any(|why| why.contains("no longer reaches back")));
    assert!(sink.shipments() <= 3, "only the bucket that changed was copied: {}", sink.shipments());
    assert_eq!(desk.count("bars"), 60 - 1 - 10 + 1);
    agree(&desk);
}

#[test]
fn line_10_the_target_was_made_anew() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut first, _) = desk.process();
    run(&mut first);
    drop(first);
    for end in ["", "-wal", "-shm"] {
        let path = desk.path(&format!("replica.sqlite{end}"));
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(quarantine(&replicator), QuarantineReason::NewDatabase);
    assert_eq!(
        desk.sql().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)),
        Ok(0)
    );
    desk.write_bars(10..20, 1.0);
    assert_eq!(run(&mut replicator), Reached::Blocked, "local work goes on, the target waits for a person");
    desk.feed.trim(Lsn(2));
    replicator.resolve(Resolution::NewDatabase).unwrap();
    assert_eq!(run(&mut replicator), Reached::Current);
    agree(&desk);
}

#[test]
fn line_12_another_program_holds_the_write_lock() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    let other = desk.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    desk.write_bars(5..15, 2.0);
    let Reached::Waiting { until } = run(&mut replicator) else { panic!("{replicator:?}") };
    let status = replicator.status();
    assert_eq!((&status.state, status.lag, status.retry_at), (&State::Degraded, 1, Some(until)));
    assert!(status.last_error.unwrap().text.contains("lock"));
    // Still held at the next attempt, and the one after it.
    desk.pass(600);
    assert!(matches!(run(&mut replicator), Reached::Waiting { .. }));
    other.execute_batch("COMMIT").unwrap();
    desk.pass(600);
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(replicator.status().lag, 0);
    agree(&desk);
}

#[test]
fn line_19_an_operator_deletes_a_few_rows() {
    let mut desk = Desk::new();
    desk.write_bars(0..100, 1.0);
    let options = Options { verify_every: Some(Duration::from_secs(60)), ..desk.options() };
    let (mut replicator, _) = desk.process_with(options);
    assert_eq!(run(&mut replicator), Reached::Current);
    let first = replicator.status().last_agreement.unwrap();
    desk.sql().execute_batch("DELETE FROM bk_bars WHERE ts < 180000000000").unwrap();
    assert_eq!(desk.count("bars"), 97);
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(desk.count("bars"), 97, "nothing is compared before its time");
    desk.pass(61);
    assert_eq!(run(&mut replicator), Reached::Current);
    assert!(replicator.status().last_agreement.unwrap() > first);
    agree(&desk);
}

#[test]
fn line_19_an_operator_deletes_most_rows() {
    let mut desk = Desk::new();
    desk.write_bars(0..100, 1.0);
    let options = Options { verify_every: Some(Duration::from_secs(60)), ..desk.options() };
    let (mut replicator, _) = desk.process_with(options);
    run(&mut replicator);
    desk.sql().execute_batch("DELETE FROM bk_bars WHERE ts > 600000000000").unwrap();
    desk.pass(61);
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(quarantine(&replicator), QuarantineReason::Divergence { differences: 89, rows: 100 });
    assert_eq!(desk.count("bars"), 11, "nothing was mended unasked");
    let stop = AtomicBool::new(false);
    let mut options = RepairOptions { save_to: desk.path("saved.jsonl"), allow_large: false, dry_run: false };
    assert!(matches!(replicator.repair(&options, &stop), Err(ReplicatorError::Repair(_))));
    options.allow_large = true;
    let (done, after) = replicator.repair(&options, &stop).unwrap();
    assert_eq!((done.written, after.verdict), (89, Verdict::Agree));
    desk.write_bars(100..110, 1.0);
    assert_eq!(run(&mut replicator), Reached::Current);
    agree(&desk);
}

#[test]
fn line_20_two_copies_of_one_store() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut original, _) = desk.process();
    run(&mut original);
    original.drain();
    // The folder is copied, memory and all, and both go on.
    let copied = desk.path("copied.json");
    fs::copy(desk.memory(), &copied).unwrap();
    let copy_feed = desk.feed.copy();
    let (mut original, _) = desk.process();
    desk.write_bars(10..20, 1.0);
    assert_eq!(run(&mut original), Reached::Current);
    let original_feed = std::mem::replace(&mut desk.feed, copy_feed);
    let originals = desk.path("original.json");
    fs::rename(desk.memory(), &originals).unwrap();
    fs::rename(&copied, desk.memory()).unwrap();
    desk.write_bars(30..40, 5.0);
    let (mut copy, _) = desk.process();
    assert_eq!(run(&mut copy), Reached::Blocked);
    assert!(matches!(quarantine(&copy), QuarantineReason::Forked(Fork::OtherCopy { .. })));
    assert_eq!(desk.count("bars"), 20);
    // A person says that the copy goes on: the original is out, and its rows are for repair to find.
    copy.resolve(Resolution::KeepLocal).unwrap();
    assert_eq!(run(&mut copy), Reached::Current);
    original_feed.commit(vec![Write::Put(Table::Bars, minute(50), bar(1.0, 1.0))]).unwrap();
    assert_eq!(run(&mut original), Reached::Blocked);
    assert!(matches!(quarantine(&original), QuarantineReason::Forked(Fork::OtherCopy { .. })));
    let options = RepairOptions { save_to: desk.path("saved.jsonl"), allow_large: true, dry_run: false };
    let (done, after) = copy.repair(&options, &AtomicBool::new(false)).unwrap();
    assert_eq!((done.removed, done.saved, after.verdict), (10, 10, Verdict::Agree));
    agree(&desk);
}

#[test]
fn a_store_that_went_back_to_a_backup_is_not_shipped_over_what_is_newer() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let backup = desk.feed.copy();
    desk.write_bars(10..20, 1.0);
    let (mut first, _) = desk.process();
    run(&mut first);
    drop(first);
    desk.feed = backup;
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(
        quarantine(&replicator),
        QuarantineReason::Forked(Fork::Ahead { there: Lsn(2), head: Lsn(1) })
    );
    desk.write_bars(50..60, 1.0);
    desk.write_bars(60..70, 1.0);
    replicator.resolve(Resolution::Retry).unwrap();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(quarantine(&replicator), QuarantineReason::Forked(Fork::OtherHistory { at: Lsn(2) }));
    assert_eq!(desk.count("bars"), 20);
}

#[test]
fn line_22_a_target_of_a_newer_program() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    replicator.drain();
    desk.sql().execute_batch("UPDATE bk_meta SET value = '99' WHERE name = 'schema_version'").unwrap();
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(quarantine(&replicator), QuarantineReason::Schema);
    assert!(replicator.status().last_error.unwrap().text.contains("99"));
}

#[test]
fn line_23_a_poison_row_is_put_aside_and_the_rest_goes_on() {
    for names_rows in [true, false] {
        let mut desk = Desk::new();
        desk.write_bars(0..10, 1.0);
        let (mut replicator, sink) = desk.process();
        run(&mut replicator);
        if !names_rows {
            sink.hide_refused_rows();
        }
        let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON bk_bars WHEN NEW.volume IN (13, 17) \
                       BEGIN SELECT RAISE(ABORT, 'not on my watch'); END";
        desk.sql().execute_batch(trigger).unwrap();
        desk.write_bars(10..20, 1.0);
        desk.write_bars(20..30, 1.0);
        assert_eq!(run(&mut replicator), Reached::Current);
        let status = replicator.status();
        assert_eq!((desk.count("bars"), status.poisoned, status.lag), (28, 2, 0));
        assert!(status.last_error.unwrap().text.contains("not on my watch"));
        let text = |sql: &str| desk.sql().query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert!(text("SELECT group_concat(row_key) FROM bk_poison").contains("780000000000"));
        assert!(text("SELECT reason FROM bk_poison").contains("not on my watch"));
        let report = desk.check();
        assert_eq!((report.verdict, report.kinds.missing_there), (Verdict::Differ, 2));
        // Another process still knows; the cause goes away, and repair brings the rows.
        drop(replicator);
        let (mut replicator, _) = desk.process();
        run(&mut replicator);
        assert_eq!(replicator.status().poisoned, 2);
        let stop = AtomicBool::new(false);
        let options = RepairOptions { save_to: desk.path("s.jsonl"), allow_large: true, dry_run: false };
        let (done, after) = replicator.repair(&options, &stop).unwrap();
        assert_eq!((done.left_rows, after.verdict), (2, Verdict::Differ));
        desk.sql().execute_batch("DROP TRIGGER refuse").unwrap();
        let (done, after) = replicator.repair(&options, &stop).unwrap();
        assert_eq!((done.written, after.verdict), (2, Verdict::Agree));
        assert_eq!((replicator.status().poisoned, desk.count("bk_poison")), (0, 0));
        agree(&desk);
    }
}

#[test]
fn a_target_that_refuses_nearly_everything_is_left_to_a_person() {
    let mut desk = Desk::new();
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON bk_bars BEGIN SELECT RAISE(ABORT, 'no'); END";
    desk.sql().execute_batch(trigger).unwrap();
    desk.write_bars(0..200, 1.0);
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert!(matches!(quarantine(&replicator), QuarantineReason::Poison { rows } if rows > 100));
    desk.sql().execute_batch("DROP TRIGGER refuse").unwrap();
    let options = RepairOptions { save_to: desk.path("saved.jsonl"), allow_large: true, dry_run: false };
    let (_, after) = replicator.repair(&options, &AtomicBool::new(false)).unwrap();
    assert_eq!((after.verdict, replicator.status().poisoned), (Verdict::Agree, 0));
}

#[test]
fn line_27_a_copy_that_is_interrupted_goes_on() {
    let mut desk = Desk::new();
    for part in 0..20 {
        let of = series("000001.SZ", "1m");
        let writes = (0..30).map(|at| {
            let ts = part * barkeeper_records::limits::PERIOD_NS + at * MINUTE;
            Write::Put(Table::Bars, bar_key(&of, ts), bar(1.0, at as f64))
        });
        desk.feed.commit(writes.collect()).unwrap();
    }
    desk.feed.trim(Lsn(1_000));
    let (mut replicator, sink) = desk.process();
    let copied = |replicator: &mut Replicator| loop {
        match replicator.step() {
            Step::Copied { buckets_left, .. } => break buckets_left,
            Step::Connected | Step::Greeted { .. } => {}
            step => panic!("{step:?}"),
        }
    };
    let left = copied(&mut replicator);
    assert!(left > 0);
    // A broken connection loses nothing of what was copied.
    sink.fail_next(Fault::Middle);
    assert_eq!(replicator.step(), Step::Failed);
    desk.pass(600);
    assert!(copied(&mut replicator) < left);
    let there = desk.count("bars");
    // Nor does the end of the process.
    drop(replicator);
    let (mut replicator, sink) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(desk.count("bars"), 600);
    assert!(there >= 60);
    let most = (600 - there).cast_unsigned() / 15 + 2;
    assert!(sink.shipments() <= most, "{} shipments for {} rows", sink.shipments(), 600 - there);
    agree(&desk);
}

#[test]
fn switched_off_and_on_again_nothing_is_lost_and_nothing_migrated() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut replicator, sink) = desk.process();
    run(&mut replicator);
    replicator.set_mode(Mode::LocalOnly);
    desk.write_bars(5..30, 2.0);
    let before = sink.shipments();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!((sink.shipments(), replicator.status().lag), (before, 1));
    replicator.set_mode(Mode::Replicate);
    assert_eq!(run(&mut replicator), Reached::Current);
    agree(&desk);
}

#[test]
fn to_verify_only_changes_nothing_there() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let verify = |desk: &mut Desk| Options {
        mode: Mode::VerifyOnly,
        verify_every: Some(Duration::from_secs(60)),
        ..desk.options()
    };
    let options = verify(&mut desk);
    let (mut watcher, _) = desk.process_with(options);
    assert!(matches!(run(&mut watcher), Reached::Waiting { .. }), "there is no database to look at");
    assert!(!desk.database().exists());
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    replicator.drain();
    desk.pass(600);
    assert_eq!(run(&mut watcher), Reached::Current);
    assert_eq!(watcher.status().last_check.unwrap().1, Verdict::Agree);
    assert_eq!((watcher.status().acknowledged, watcher.status().lag), (Lsn(1), 0));
    desk.sql().execute_batch("UPDATE bk_bars SET deleted = 1 WHERE ts = 0").unwrap();
    let claim = |desk: &Desk| {
        let sql = "SELECT generation || owner || updated FROM bk_sync";
        desk.sql().query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let before = claim(&desk);
    assert_eq!(run(&mut watcher), Reached::Current);
    assert_eq!(watcher.status().last_check.unwrap().1, Verdict::Agree);
    desk.pass(61);
    assert_eq!(run(&mut watcher), Reached::Current);
    assert_eq!(watcher.status().last_check.unwrap().1, Verdict::Differ);
    assert_eq!(claim(&desk), before);
    assert_eq!(desk.count("bars"), 9);
}

#[test]
fn a_stop_takes_effect_between_two_pages() {
    let mut desk = Desk::new();
    for part in 0..50 {
        desk.write_bars(part * 20..part * 20 + 20, 1.0);
    }
    let (mut replicator, _) = desk.process();
    let stop = AtomicBool::new(false);
    let mut pages = 0;
    let reached = replicator.run_until_current(&stop, &mut |step, replicator| {
        if matches!(step, Step::Shipped { .. }) {
            pages += 1;
            assert!(replicator.status().lag < 50);
            stop.store(pages == 3, Ordering::Relaxed);
        }
    });
    assert_eq!((reached, pages), (Reached::Stopped, 3));
    replicator.drain();
    assert_eq!(*replicator.state(), State::LocalOnly);
    assert_eq!(desk.feed.acknowledged(TARGET), Some(Lsn(3)));
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    agree(&desk);
}

#[test]
fn a_commit_larger_than_a_page_is_cut_and_a_cut_commit_is_finished() {
    let mut desk = Desk::new();
    desk.write_bars(0..100, 1.0);
    let (mut replicator, _) = desk.process();
    while !matches!(replicator.step(), Step::Shipped { .. }) {}
    assert_eq!(desk.count("bars"), 20);
    assert_eq!(replicator.status().acknowledged, Lsn(0));
    drop(replicator);
    let (mut replicator, sink) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(sink.shipments(), 4);
    // A mark that this log cannot have made: the commit is sent again.
    desk.write_bars(0..100, 2.0);
    while !matches!(replicator.step(), Step::Shipped { .. }) {}
    drop(replicator);
    desk.sql().execute_batch("UPDATE bk_sync SET within = CAST('of another log' AS BLOB)").unwrap();
    let (mut replicator, sink) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(sink.shipments(), 5);
    agree(&desk);
}

#[test]
fn rows_edited_added_and_deleted_by_hand_are_found_and_mended() {
    let mut desk = Desk::new();
    desk.write_bars(0..40, 1.0);
    let (key, values) = position("desk", "000001.SZ", Some(9.5));
    desk.feed.commit(vec![Write::Put(Table::Positions, key, values)]).unwrap();
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    let edits = [
        (
            "UPDATE bk_bars SET close = close + 1 WHERE ts = 60000000000",
            DifferenceKind::SameVersionOtherContent,
        ),
        (
            "UPDATE bk_bars SET row_hash = row_hash + 1 WHERE ts = 60000000000",
            DifferenceKind::SameVersionOtherContent,
        ),
        ("DELETE FROM bk_bars WHERE ts = 120000000000", DifferenceKind::MissingThere),
        (
            "INSERT INTO bk_bars SELECT interval, adjustment, '999999.SZ', ts, local_time, trading_day, open, high, \
             low, close, volume, turnover, open_interest, version, deleted, device, lsn, row_hash \
             FROM bk_bars WHERE ts = 0",
            DifferenceKind::ExtraThere,
        ),
        ("UPDATE bk_positions SET quantity = '1e3'", DifferenceKind::SameVersionOtherContent),
        ("UPDATE bk_positions SET quantity = '5', version = version + 4096", DifferenceKind::NewerThere),
        ("UPDATE bk_positions SET highest = NULL, version = 5", DifferenceKind::OlderThere),
        (
            "UPDATE bk_bars SET trading_day = 'yesterday' WHERE ts = 0",
            DifferenceKind::SameVersionOtherContent,
        ),
        ("UPDATE bk_bars SET local_time = '2001-01-01' WHERE ts = 0", DifferenceKind::Derived),
        ("UPDATE bk_bars SET deleted = 1 WHERE ts = 0", DifferenceKind::SameVersionOtherContent),
    ];
    let stop = AtomicBool::new(false);
    for (place, (edit, kind)) in edits.into_iter().enumerate() {
        desk.sql().execute_batch(edit).unwrap();
        let report = replicator.check(&CheckOptions::default(), &stop).unwrap();
        let found: Vec<_> = report.differences.iter().map(|one| one.kind).collect();
        assert_eq!(found, [kind], "{edit}");
        assert_eq!(report.verdict.exit_code(), 1);
        let save_to = desk.path(&format!("saved-{place}.jsonl"));
        let options = RepairOptions { save_to, allow_large: false, dry_run: false };
        let (done, after) = replicator.repair(&options, &stop).unwrap();
        assert_eq!((done.left_rows, after.verdict), (0, Verdict::Agree), "{edit}");
        assert_eq!(after.verdict.exit_code(), 0);
        agree(&desk);
    }
}

#[test]
fn a_row_that_the_store_lost_shows_as_extra() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    desk.feed.corrupt(Table::Bars, &minute(3));
    let report = desk.check();
    assert_eq!(report.kinds.extra_there, 1, "{report:?}");
}

#[test]
fn more_targets_than_the_store_has_room_for() {
    let mut desk = Desk::new();
    for number in 0..barkeeper_records::limits::TARGETS {
        desk.feed.register_target(&format!("target {number}")).unwrap();
    }
    let (mut replicator, _) = desk.process();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(quarantine(&replicator), QuarantineReason::Configuration);
}

#[test]
fn two_stores_share_a_file_and_the_same_device_number_is_refused() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut first, _) = desk.process();
    run(&mut first);
    let mut other = Desk::with_feed(MemoryFeed::new(0xdef, 1, 1));
    std::mem::swap(&mut other.folder, &mut desk.folder);
    fs::rename(other.memory(), other.path("first.json")).unwrap();
    let (mut replicator, _) = other.process();
    assert_eq!(run(&mut replicator), Reached::Blocked);
    assert_eq!(quarantine(&replicator), QuarantineReason::Device);
    other.feed = MemoryFeed::new(0xdef, 2, 1);
    other
        .feed
        .commit(vec![Write::Put(Table::Bars, bar_key(&series("A.NYSE", "1d"), 0), bar(1.0, 1.0))])
        .unwrap();
    let (mut replicator, _) = other.process();
    assert_eq!(run(&mut replicator), Reached::Current);
    assert_eq!(other.count("bars"), 11);
    let report = other.check();
    assert_eq!((report.verdict, report.rows_of_other_devices), (Verdict::Agree, 10));
    other.feed.commit(vec![Write::Put(Table::Bars, minute(500), bar(1.0, 1.0))]).unwrap();
    run(&mut replicator);
    let report = other.check();
    assert_eq!((report.verdict, report.rows_of_other_devices), (Verdict::Agree, 10));
}

#[test]
fn a_status_can_be_read_by_programs() {
    let mut desk = Desk::new();
    desk.write_bars(0..10, 1.0);
    let (mut replicator, _) = desk.process();
    run(&mut replicator);
    let status = serde_json::to_value(replicator.status()).unwrap();
    assert_eq!(status["state"]["state"], "live");
    assert_eq!((&status["mode"], &status["lag"]), (&"replicate".into(), &0.into()));
    assert_eq!(status["history"][0]["to"]["state"], "connecting");
    assert!(matches!(
        replicator.check(&CheckOptions::default(), &AtomicBool::new(true)),
        Err(ReplicatorError::Check(_))
    ));
}
