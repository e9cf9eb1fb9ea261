//! Imports as their callers see them: conflicts, contradictions, books, files that are left out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use barkeeper::CommitError;
use barkeeper_host::{ImportError, ImportReport, ImportSettings, InitSettings, Opened, create, import};
use barkeeper_records::{
    AccountId, Batch, BookId, OnConflict, Operation, Position, PositionKey, PositionStatus, SeriesKey,
    Timestamp,
};
use barkeeper_sources::ImportOptions;
use tempfile::TempDir;

struct Place {
    folder: TempDir,
    opened: Opened,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = create(&folder.path().join("store"), &InitSettings::default(), "test").unwrap();
        Self { folder, opened }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, paths: &[&Path], on_conflict: OnConflict) -> Result<ImportReport, ImportError> {
        let options = ImportOptions { account: AccountId::new("acc").ok(), ..ImportOptions::default() };
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        import(&self.opened.store, &paths, &ImportSettings { options, on_conflict }, &mut |_| {})
    }

    fn take(&self, paths: &[&Path]) -> ImportReport {
        self.import(paths, OnConflict::Refuse).unwrap()
    }

    fn closes(&self) -> Vec<f64> {
        let series = SeriesKey::daily("600000.SH".parse().unwrap());
        let bars = self.opened.store.snapshot().unwrap().bars(&series, Timestamp::MIN, Timestamp::MAX);
        bars.unwrap().iter().map(|bar| bar.close).collect()
    }

    fn position(&self, book: &str) -> Position {
        let key = key(book);
        self.opened.store.position(&key).unwrap().unwrap()
    }
}

fn key(book: &str) -> PositionKey {
    let (account, book) = (AccountId::new("acc").unwrap(), BookId::new(book).unwrap());
    PositionKey { account, book, instrument: "600000.SH".parse().unwrap() }
}

/// A TDX file of days with one price each, 100 shares traded.
fn tdx(days: &[(u32, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (day, cents) in days {
        bytes.extend(day.to_le_bytes());
        for _ in 0..4 {
            bytes.extend(cents.to_le_bytes());
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        bytes.extend((*cents as f32).to_le_bytes());
        bytes.extend(100_u32.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
    }
    bytes
}

#[test]
fn a_conflict_stops_with_counts_and_can_be_decided_either_way() {
    let place = Place::new();
    let first = place.write("sh600000.day", tdx(&[(20_240_102, 1000), (20_240_103, 1010)]));
    assert_eq!(place.take(&[&first]).bars.inserted, 2);
    place.write("sh600000.day", tdx(&[(20_240_102, 1000), (20_240_103, 2020), (20_240_104, 1030)]));
    let stopped = place.import(&[&first], OnConflict::Refuse).unwrap_err();
    let ImportError::Commit { report, source: CommitError::Conflict { bars, series, largest, .. } } = stopped
    else {
        panic!("{stopped:?}");
    };
    assert_eq!((bars, series, largest, report.files), (1, 1, 100.0, 0));
    assert_eq!(place.closes(), [10.0, 10.1]);

    let kept = place.import(&[&first], OnConflict::Keep).unwrap();
    assert_eq!((kept.bars.inserted, kept.bars.kept), (1, 1));
    assert_eq!(place.closes(), [10.0, 10.1, 10.3]);
    let replaced = place.import(&[&first], OnConflict::Replace).unwrap();
    assert_eq!((replaced.bars.replaced, replaced.bars.unchanged), (1, 2));
    assert_eq!(place.closes(), [10.0, 20.2, 10.3]);
}

#[test]
fn files_of_one_series_share_a_commit_unless_they_contradict_each_other() {
    let place = Place::new();
    let old = place.write("a/sh600000.day", tdx(&[(20_240_102, 1000), (20_240_103, 1010)]));
    let new = place.write("b/sh600000.day", tdx(&[(20_240_103, 1010), (20_240_104, 1020)]));
    let report = place.take(&[&new, &old]);
    assert_eq!((report.bars.inserted, report.commits, report.files), (3, 1, 2));
    assert_eq!(place.closes(), [10.0, 10.1, 10.2]);

    let place = Place::new();
    let wrong = place.write("c/sh600000.day", tdx(&[(20_240_103, 1500)]));
    let stopped = place.import(&[&old, &wrong], OnConflict::Refuse).unwrap_err();
    let ImportError::Commit { report, source: CommitError::Conflict { .. } } = stopped else {
        panic!("{stopped:?}")
    };
    assert_eq!((report.files, report.bars.inserted), (1, 2));
    let report = place.import(&[&old, &wrong], OnConflict::Replace).unwrap();
    assert_eq!((report.files, report.bars.replaced), (2, 1));
    assert_eq!(place.closes(), [10.0, 15.0]);
}

#[test]
fn a_folder_lists_what_nobody_knows_and_a_named_file_is_refused() {
    let place = Place::new();
    place.write("all/sh600000.day", tdx(&[(20_240_102, 1000)]));
    let notes = place.write("all/notes.txt", "buy low");
    place.write("all/sz000001.day", [0; 31]);
    let report = place.take(&[&place.folder.path().join("all")]);
    assert_eq!((report.files, report.unrecognised.as_slice()), (1, [notes.clone()].as_slice()));
    assert_eq!(report.refused.len(), 1);
    let report = place.take(&[&notes]);
    assert_eq!((report.unrecognised.len(), report.refused.len(), report.is_clean()), (0, 1, false));
}

#[test]
fn a_book_keeps_what_its_files_do_not_tell() {
    let place = Place::new();
    let held = place
        .write("prod_pwc/positions.json", r#"{"600000.SH": {"day_count": 3}, "_inc_date": "2024-01-05"}"#);
    place.write("prod_pwc/max_price.json", r#"{"600000.SH": 11.5}"#);
    let folder = held.parent().unwrap().to_owned();
    let stored = Position {
        quantity: Some(500.into()),
        cost: Some(10.into()),
        lowest: Some(9.5),
        ..Position::opened(key("prod_pwc"), "2024-01-02".parse().ok())
    };
    place.opened.store.commit(Batch::of(Operation::SetPosition(stored))).unwrap();

    let report = place.take(&[&folder]);
    assert_eq!((report.files, report.positions.set, report.commits), (2, 1, 1));
    let position = place.position("prod_pwc");
    assert_eq!((position.held_days, position.highest, position.lowest), (Some(3), Some(11.5), Some(9.5)));
    assert_eq!((position.quantity, position.cost), (Some(500.into()), Some(10.into())));
    let snapshot = place.opened.store.snapshot().unwrap();
    let day = snapshot.incremented_on(&key("prod_pwc").account, &key("prod_pwc").book).unwrap();
    assert_eq!(day, "2024-01-05".parse().ok());
    drop(snapshot);

    let again = place.take(&[&folder]);
    assert_eq!((again.positions.unchanged, again.commits), (1, 0));
    fs::write(held, r#"{"600000.SH": {"day_count": null}, "_inc_date": "2024-01-08"}"#).unwrap();
    place.take(&[&folder]);
    assert_eq!(place.position("prod_pwc").status, PositionStatus::Closed);
}

#[test]
fn torn_json_is_refused_and_empties_no_book() {
    let place = Place::new();
    let held = place.write("p/held_days.json", r#"{"_inc_date": "2024-01-05", "600000.SH": 3}"#);
    place.take(&[&held]);
    fs::write(&held, r#"{"_inc_date": "2024-01-08", "600000"#).unwrap();
    let report = place.take(&[&held]);
    assert_eq!((report.files, report.refused.len(), report.positions.set), (0, 1, 0));
    assert_eq!(place.position("p").held_days, Some(3));
}

#[test]
fn overlapping_logs_import_to_the_right_number_of_rows() {
    const HEADER: &str = "日期,时间,代码,名称,类型,注释,成交价,成交量\n";
    let row = |day: u32| format!("2024-01-{day:02},09:31:05,600000.SH,浦发银行,市买委托,,10.5,100\r\n");
    let place = Place::new();
    // The second day has two equal rows: both are real.
    let first = format!("{HEADER}{}{}{}", row(2), row(3), row(3));
    let second = format!("{HEADER}{}{}{}", row(3), row(3), row(4));
    let log = place.write("prod_pwc/deal_hist.csv", first);
    assert_eq!(place.take(&[&log]).trades.recorded, 3);
    fs::write(&log, second).unwrap();
    let report = place.take(&[&log]);
    assert_eq!((report.trades.recorded, report.trades.known), (1, 2));
    assert_eq!(place.take(&[&log]).trades.recorded, 0);
    let all = place.opened.store.snapshot().unwrap().trades(&barkeeper::TradeQuery::default()).unwrap();
    assert_eq!(all.len(), 4);
}

#[test]
fn nothing_is_taken_where_a_named_path_is_not_there() {
    let place = Place::new();
    let known = place.write("sh600000.day", tdx(&[(20_240_102, 1000)]));
    let error = place.import(&[&known, Path::new("nowhere")], OnConflict::Refuse).unwrap_err();
    assert!(matches!(error, ImportError::Walk(_)), "{error}");
    assert!(place.closes().is_empty());
}
