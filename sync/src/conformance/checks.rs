//! Cases about comparing and mending.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use barkeeper_records::{ChangeFeed, Cursor, Row, Table, Timestamp, Value, Version};
use barkeeper_storage::row_hash;

use super::model::{MemoryFeed, Write};
use super::sample::{bar, bar_key, book, position, series, trade, trade_values};
use super::streams::{STORE, claim, hello};
use super::{Failure, Remote, expect, expect_error, expect_true};
use crate::check::{CheckOptions, check};
use crate::repair::{RepairError, RepairOptions, RepairReport, repair};
use crate::report::{CheckReport, DifferenceKind, Verdict};
use crate::sink::{Access, Force, Guarantee, Hello, Shipment, Sink};

/// Bars in one bucket of the sample store.
const BARS: i64 = 100;

/// A store, a target that has everything of it, and a place for files.
struct Desk {
    feed: Arc<MemoryFeed>,
    sink: Box<dyn Sink>,
    scratch: PathBuf,
}

fn put(table: Table, (key, values): (Vec<Value>, Vec<Value>)) -> Write {
    Write::Put(table, key, values)
}

fn minute(number: i64) -> Vec<Value> {
    bar_key(&series("000001.SZ", "1m"), number * 60_000_000_000)
}

impl Desk {
    fn new(remote: &Remote) -> Result<Self, Failure> {
        let feed = MemoryFeed::new(STORE, 1, 1);
        let bars = (0..BARS).map(|at| Write::Put(Table::Bars, minute(at), bar(1.0 + at as f64, 5.0)));
        feed.commit(bars.collect())?;
        feed.commit(vec![
            put(Table::Positions, position("desk", "000001.SZ", Some(9.5))),
            put(Table::Positions, position("desk", "600000.SH", None)),
            put(Table::Books, book("desk", 20_000)),
            put(Table::Trades, (trade(1), trade_values("desk", 5, 150_000_000))),
            put(Table::Trades, (trade(2), trade_values("desk", 6, 160_000_000))),
        ])?;
        feed.commit(vec![Write::Delete(Table::Positions, position("desk", "600000.SH", None).0)])?;
        let mut sink = (remote.open)();
        sink.connect(Access::Write)?;
        sink.handshake(&hello(claim(1, 11), None))?;
        let mut desk = Self { feed, sink, scratch: remote.scratch.clone() };
        desk.ship()?;
        Ok(desk)
    }

    /// Brings the target up to the log.
    fn ship(&mut self) -> Result<(), Failure> {
        let mut at = self.sink.observe(STORE)?.map_or_else(Cursor::default, |state| state.cursor);
        loop {
            let page = self.feed.read(&at, 20_000)?;
            if page.changes.is_empty() && !page.more {
                return Ok(());
            }
            self.sink.apply(&Shipment {
                expected: &at,
                changes: &page.changes,
                poison: &[],
                next: &page.next,
                chain: page.chain,
                at: Timestamp::default(),
            })?;
            at = page.next;
        }
    }

    fn row(&self, table: Table, key: &[Value]) -> Result<Row, Failure> {
        let found = self.feed.rows(table, &[key.to_vec()])?.into_iter().next().flatten();
        found.ok_or_else(|| Failure::Wrong {
            what: "a row of the store",
            expected: format!("{key:?}"),
            found: String::new(),
        })
    }

    /// What a person does to the target.
    fn edit(&mut self, rows: &[Row], deletes: &[(Table, Vec<Value>)]) -> Result<(), Failure> {
        Ok(self.sink.force(&Force { rows, deletes })?)
    }

    fn check(&mut self) -> Result<CheckReport, Failure> {
        Ok(check(self.feed.as_ref(), &mut *self.sink, &CheckOptions::default(), &AtomicBool::new(false))?)
    }

    fn shallow(&mut self) -> Result<CheckReport, Failure> {
        let options = CheckOptions { deep: false, list: 10 };
        Ok(check(self.feed.as_ref(), &mut *self.sink, &options, &AtomicBool::new(false))?)
    }

    fn saved(&self) -> PathBuf {
        self.scratch.join("replaced.jsonl")
    }

    fn repair(&mut self, report: &CheckReport, options: &RepairOptions) -> Result<RepairReport, RepairError> {
        let now = self.feed.now();
        repair(self.feed.as_ref(), &mut *self.sink, now, report, options, &AtomicBool::new(false))
    }

    fn options(&self) -> RepairOptions {
        RepairOptions { save_to: self.saved(), allow_large: false, dry_run: false }
    }

    /// Finds exactly these differences, mends them, and finds none afterwards, nor once the log is shipped.
    fn finds_and_mends(&mut self, kinds: &[(Table, DifferenceKind)]) -> Result<RepairReport, Failure> {
        let report = self.check()?;
        expect("the verdict", &report.verdict, &Verdict::Differ)?;
        let found: Vec<_> = report.differences.iter().map(|one| (one.table(), one.kind)).collect();
        expect("the differences", &found.as_slice(), &kinds)?;
        let done = self.repair(&report, &self.options())?;
        expect("rows that were left", &done.left_rows, &0)?;
        if self.sink.guarantee() == Guarantee::Transactional {
            self.ship()?;
        }
        self.agrees()?;
        self.ship()?;
        self.agrees()?;
        Ok(done)
    }

    fn agrees(&mut self) -> Result<(), Failure> {
        let report = self.check()?;
        expect("the differences afterwards", &report.differences, &Vec::new())?;
        expect("the verdict afterwards", &report.verdict, &Verdict::Agree)
    }
}

fn lines(path: &Path) -> Result<usize, Failure> {
    Ok(fs::read_to_string(path)?.lines().count())
}

pub(super) fn a_deep_check_finds_an_edited_column(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    desk.agrees()?;
    let mut row = desk.row(Table::Bars, &minute(3))?;
    let before = row.version;
    // The closing price is edited, and hash and version are left alone.
    if let Some(close) = row.values.get_mut(4) {
        *close = Value::Double(1234.5);
    }
    desk.edit(&[row], &[])?;
    expect("what digests say", &desk.shallow()?.verdict, &Verdict::Agree)?;
    let done = desk.finds_and_mends(&[(Table::Bars, DifferenceKind::SameVersionOtherContent)])?;
    expect("what was done", &(done.written, done.saved, done.stamped), &(1, 1, 1))?;
    let text = fs::read_to_string(desk.saved())?;
    expect_true("that both values were saved", text.contains("1234.5") && text.contains("\"close\":4.0"))?;
    expect_true("that the store's row was raised", desk.row(Table::Bars, &minute(3))?.version > before)
}

/// The row with another content, the hash that belongs to it and another version.
fn changed(row: &Row, version: Version) -> Row {
    let mut row = row.clone();
    if let Some(Value::Double(number)) = row.values.last_mut() {
        *number += 7.0;
    }
    row.version = version;
    row.row_hash = row_hash(row.table, &row.key, &row.values);
    row
}

pub(super) fn a_newer_remote_row(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let row = desk.row(Table::Bars, &minute(0))?;
    // Two minutes ahead of the store's clock.
    let ahead = Version::floor_of(Timestamp::from_nanos(desk.feed.now().nanos() + 120_000_000_000));
    desk.edit(&[changed(&row, ahead)], &[])?;
    expect("what digests say", &desk.shallow()?.verdict, &Verdict::Differ)?;
    let done = desk.finds_and_mends(&[(Table::Bars, DifferenceKind::NewerThere)])?;
    expect("what was done", &(done.written, done.saved, done.stamped), &(1, 1, 1))?;
    expect_true("that the store's row wins", desk.row(Table::Bars, &minute(0))?.version > ahead)
}

pub(super) fn a_row_from_the_future(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let row = desk.row(Table::Bars, &minute(0))?;
    let future = Version::from_raw(u64::MAX >> 1).unwrap_or_default();
    desk.edit(&[changed(&row, future)], &[])?;
    if desk.sink.guarantee() == Guarantee::Convergent {
        let report = desk.check()?;
        let done = desk.repair(&report, &desk.options())?;
        return expect("rows that were left", &done.left_rows, &1);
    }
    let done = desk.finds_and_mends(&[(Table::Bars, DifferenceKind::NewerThere)])?;
    expect("what was done", &(done.written, done.stamped, done.from_the_future), &(1, 0, 1))?;
    expect("the store's version", &desk.row(Table::Bars, &minute(0))?.version, &row.version)
}

pub(super) fn an_extra_remote_row(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let like = desk.row(Table::Bars, &minute(0))?;
    let typed = |instrument: &str| {
        let mut row = like.clone();
        if let Some(text) = row.key.get_mut(2) {
            *text = Value::Text(instrument.to_owned());
        }
        row.row_hash = row_hash(row.table, &row.key, &row.values);
        row
    };
    let (key, values) = position("desk", "600000.SH", None);
    // A bar of no store, one in a bucket of its own, and one under a key that no store can have.
    let mut revived = desk.row(Table::Positions, &key)?;
    revived.values = values;
    revived.key = position("nobody", "600000.SH", None).0;
    revived.deleted = false;
    revived.row_hash = row_hash(revived.table, &revived.key, &revived.values);
    desk.edit(&[typed("000009.SZ"), typed("zzz"), revived], &[])?;
    let done = desk.finds_and_mends(&[
        (Table::Bars, DifferenceKind::ExtraThere),
        (Table::Bars, DifferenceKind::ExtraThere),
        (Table::Positions, DifferenceKind::ExtraThere),
    ])?;
    expect("what was done", &(done.written, done.removed, done.saved), &(0, 3, 3))?;
    expect("saved rows", &lines(&desk.saved())?, &3)
}

pub(super) fn missing_and_older_rows(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let older = changed(&desk.row(Table::Bars, &minute(2))?, Version::ZERO);
    desk.edit(&[older], &[(Table::Bars, minute(1)), (Table::Trades, trade(2))])?;
    let done = desk.finds_and_mends(&[
        (Table::Bars, DifferenceKind::MissingThere),
        (Table::Bars, DifferenceKind::OlderThere),
        (Table::Trades, DifferenceKind::MissingThere),
    ])?;
    expect("what was done", &(done.written, done.removed, done.saved), &(3, 0, 0))?;
    expect_true("that no file was made", !desk.saved().exists())
}

pub(super) fn a_revived_and_a_buried_row(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let (key, values) = position("desk", "600000.SH", None);
    let mut revived = desk.row(Table::Positions, &key)?;
    revived.deleted = false;
    revived.row_hash = row_hash(Table::Positions, &key, &values);
    revived.values = values;
    let mut buried = desk.row(Table::Bars, &minute(4))?;
    buried.deleted = true;
    buried.values.clear();
    buried.row_hash = 0;
    desk.edit(&[revived, buried], &[])?;
    let done = desk.finds_and_mends(&[
        (Table::Bars, DifferenceKind::SameVersionOtherContent),
        (Table::Positions, DifferenceKind::SameVersionOtherContent),
    ])?;
    expect("what was done", &(done.written, done.stamped), &(2, 2))
}

pub(super) fn a_moved_row(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let mut row = desk.row(Table::Trades, &trade(1))?;
    // The account decides about the bucket of a trade.
    if let Some(account) = row.values.first_mut() {
        *account = Value::Text("another".to_owned());
    }
    desk.edit(&[row], &[])?;
    let done = desk.finds_and_mends(&[
        (Table::Trades, DifferenceKind::SameVersionOtherContent),
        (Table::Trades, DifferenceKind::MissingThere),
    ])?;
    expect("rows removed", &done.removed, &0)
}

pub(super) fn rows_of_another_desktop(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let mut other = (remote.open)();
    other.connect(Access::Write)?;
    other.handshake(&Hello { store_id: 2, device: 2, ..hello(claim(1, 21), None) })?;
    let theirs = Version::from_raw(desk.row(Table::Bars, &minute(0))?.version.raw() + (1 << 12) + 1);
    let theirs = theirs.unwrap_or_default();
    expect("the device of a version", &theirs.device(), &2)?;
    let newer = changed(&desk.row(Table::Bars, &minute(0))?, theirs);
    let extra = Row { key: minute(BARS + 5), ..newer.clone() };
    let extra = changed(&extra, theirs);
    other.force(&Force { rows: &[newer, extra], deletes: &[] })?;
    let report = desk.check()?;
    expect("the verdict", &report.verdict, &Verdict::Agree)?;
    expect("rows of others", &report.rows_of_other_devices, &2)
}

pub(super) fn a_large_repair_asks_first(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let gone: Vec<(Table, Vec<Value>)> = (0..BARS / 2).map(|at| (Table::Bars, minute(at))).collect();
    desk.edit(&[], &gone)?;
    let report = desk.check()?;
    let error = expect_error("a large repair", desk.repair(&report, &desk.options()))?;
    let RepairError::TooLarge { worst, buckets } = error else { return Err(error.into()) };
    expect("how much differs", &(worst.kinds.total(), worst.size(), buckets), &(50, 100, 1))?;
    expect("the differences that stay", &desk.check()?.kinds.missing_there, &50)?;
    let agreed = RepairOptions { allow_large: true, ..desk.options() };
    let done = desk.repair(&report, &agreed)?;
    expect("rows written", &done.written, &50)?;
    desk.agrees()
}

pub(super) fn a_dry_run_changes_nothing(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    let edited = changed(&desk.row(Table::Bars, &minute(0))?, desk.row(Table::Bars, &minute(0))?.version);
    desk.edit(&[edited], &[(Table::Bars, minute(1))])?;
    let before = desk.check()?;
    let head = desk.feed.bounds()?.head;
    let plan = desk.repair(&before, &RepairOptions { dry_run: true, ..desk.options() })?;
    let told = (plan.dry_run, plan.written, plan.saved, plan.stamped);
    expect("what would be done", &told, &(true, 2, 1, 1))?;
    expect("the store's head", &desk.feed.bounds()?.head, &head)?;
    expect_true("that no file was made", !desk.saved().exists())?;
    expect("the differences that stay", &desk.check()?.differences, &before.differences)
}

pub(super) fn a_target_behind(remote: &Remote) -> Result<(), Failure> {
    let mut desk = Desk::new(remote)?;
    desk.feed.commit(vec![Write::Put(Table::Bars, minute(0), bar(77.0, 1.0))])?;
    let report = desk.check()?;
    expect("the verdict", &report.verdict, &Verdict::CouldNotTell)?;
    expect("the buckets that are open", &report.unsettled.len(), &1)?;
    desk.ship()?;
    desk.agrees()
}
