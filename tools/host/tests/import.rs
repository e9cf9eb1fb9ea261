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
fn ticks_and_market_trades_are_taken_once_and_bad_rows_are_named() {
    let place = Place::new();
    let header = "symbol,exchange,datetime,volume,last_price,bid_price_1,ask_price_1,bid_volume_1\n";
    let good = "600000,SSE,2024-01-02 09:31:00,10,8.1,8.09,8.11,5\n600000,SSE,2024-01-02 09:31:00.5,20,8.2,8.19,8.21,6\n";
    let ticks =
        place.write("ticks.csv", format!("{header}{good}600000,SSE,2024-01-02 09:31:01,-1,8.2,8.1,8.3,6\n"));
    let trades = "1,4986.5,5.0,24932.5,1499040001000,True,True\n2,4986.1,2,9972.2,1499040001000,False,True\n";
    let trades = place.write("BTCUSDT-trades-2017-07-03.csv", trades);
    let report = place.take(&[&ticks, &trades]);
    assert_eq!((report.ticks.inserted, report.market_trades.inserted, report.files), (2, 2, 2), "{report:?}");
    let [rejected] = report.rejected.as_slice() else { panic!("{report:?}") };
    assert!(rejected.line == 4 && rejected.file.ends_with("ticks.csv"), "{rejected:?}");
    assert_eq!(rejected.reason, "expected a number from 0");
    let snapshot = place.opened.store.snapshot().unwrap();
    let stored = snapshot.last_ticks(&"600000.SH".parse().unwrap(), 9).unwrap();
    assert_eq!(stored.iter().map(|tick| tick.last).collect::<Vec<_>>(), [8.1, 8.2]);
    let stored = snapshot.last_market_trades(&"BTCUSDT.BINANCE".parse().unwrap(), 9).unwrap();
    assert_eq!(
        stored.iter().map(|trade| (trade.sequence, trade.turnover)).collect::<Vec<_>>(),
        [(1, 24932.5), (2, 9972.2)]
    );
    // Again, and with one line more: what is there stays as it is.
    let again = place.take(&[&ticks, &trades]);
    assert_eq!((again.ticks.inserted, again.market_trades.inserted), (0, 0), "{again:?}");
    let more = format!("{header}{good}600000,SSE,2024-01-02 09:32:00,30,8.3,8.2,8.4,7\n");
    let report = place.take(&[&place.write("ticks.csv", more)]);
    assert_eq!((report.ticks.inserted, report.ticks.unchanged), (1, 2), "{report:?}");
}

#[test]
fn another_tick_in_an_old_place_is_decided_as_another_bar_is() {
    let place = Place::new();
    let rows = |last: &str| {
        let header = "symbol,exchange,datetime,volume,last_price,bid_price_1,ask_price_1,bid_volume_1\n";
        format!("{header}600000,SSE,2024-01-02 09:31:00,10,{last},8.09,8.11,5\n")
    };
    place.take(&[&place.write("a.csv", rows("8.1"))]);
    let other = place.write("b.csv", rows("8.2"));
    let last = || {
        let ticks =
            place.opened.store.snapshot().unwrap().last_ticks(&"600000.SH".parse().unwrap(), 1).unwrap();
        ticks[0].last
    };
    let stopped = place.import(&[&other], OnConflict::Refuse).unwrap_err();
    assert!(
        matches!(&stopped, ImportError::Commit { source: CommitError::EventConflict { rows: 1, .. }, .. }),
        "{stopped:?}"
    );
    assert_eq!(
        (place.import(&[&other], OnConflict::Keep).unwrap().ticks.kept, last().to_bits()),
        (1, 8.1_f64.to_bits())
    );
    assert_eq!(place.import(&[&other], OnConflict::Replace).unwrap().ticks.replaced, 1);
    assert_eq!(last().to_bits(), 8.2_f64.to_bits());
}

#[test]
fn sums_beside_single_trades_would_count_twice_and_are_refused() {
    let place = Place::new();
    let single =
        place.write("BTCUSDT-trades-2017-07-03.csv", "1,4986.5,5.0,24932.5,1499040001000,True,True\n");
    let sums = place.write("BTCUSDT-aggTrades-2017-07-03.csv", "1,4986.5,5.0,1,1,1499040001000,True,True\n");
    place.take(&[&single]);
    let report = place.take(&[&sums]);
    assert_eq!((report.market_trades.inserted, report.refused.len()), (0, 1), "{report:?}");
    assert!(report.refused[0].reason.contains("would count everything twice"), "{report:?}");
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
