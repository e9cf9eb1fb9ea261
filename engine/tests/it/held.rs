//! Files that another program holds without sharing, as virus scanners and indexers do on Windows.

use std::fs::{self, File, OpenOptions};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use barkeeper::records::{AdjustmentTag, Batch, Interval, OnConflict};
use barkeeper::{Dataset, SealOptions, Store};

use crate::common::{Desk, bar, daily, nth, put_section, run, section};

const DATASET: Dataset = Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw };

fn hold(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).share_mode(0).open(path)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// Opens every file below a folder again and again, each for a moment, until it is told to stop; answers how
/// many it got hold of.
fn scan(dir: &Path, stop: &AtomicBool) -> usize {
    let mut held = 0;
    while !stop.load(Ordering::Relaxed) {
        for path in files_below(dir) {
            if let Ok(file) = hold(&path) {
                held += 1;
                std::thread::sleep(Duration::from_millis(5));
                drop(file);
            }
        }
    }
    held
}

#[test]
fn a_virus_scanner_delays_and_breaks_nothing() {
    let mut desk = Desk::new();
    let (stop, held, dir) = (AtomicBool::new(false), AtomicUsize::new(0), desk.dir.path().to_owned());
    std::thread::scope(|scope| {
        scope.spawn(|| held.store(scan(&dir, &stop), Ordering::Relaxed));
        for part in 0..4 {
            for n in 0..3 {
                let day = nth(part * 10 + n);
                desk.store().commit(Batch::of(put_section(section(day, 20, 10.0)))).unwrap();
            }
            desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
            let bars = (0..5).map(|n| bar(nth(part * 10 + n), 5.0)).collect();
            let runs = vec![run(daily("600000.SH"), bars)];
            desk.store().import_bars(runs, Vec::new(), OnConflict::Refuse).unwrap();
            desk.store().publish(DATASET, &dir.join(format!("published-{part}"))).unwrap();
            desk.reopen();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(held.into_inner() > 20, "the scanner got hold of nothing");
    assert_eq!(desk.store().last_bars(&daily("000001.SZ"), 99).unwrap().len(), 12);
    assert_eq!(desk.store().last_bars(&daily("600000.SH"), 99).unwrap().len(), 20);
    desk.verify();
}

#[test]
fn what_is_held_is_taken_to_the_trash_and_out_of_it_by_a_later_open() {
    let mut desk = Desk::new();
    desk.store().commit(Batch::of(put_section(section(nth(0), 5, 10.0)))).unwrap();
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    desk.store.take().unwrap().close().unwrap();
    let segment = files_below(&desk.folder().join("bars")).remove(0);
    // A copy under a name of ours that no manifest entry has: a publication that never happened.
    let name = "01jc0000000000000000000000.parquet";
    let orphan = segment.with_file_name(name);
    fs::copy(&segment, &orphan).unwrap();
    let trashed = desk.folder().join("trash").join(name);

    let holder = hold(&orphan).unwrap();
    Store::open(&desk.folder(), desk.options()).unwrap().close().unwrap();
    assert!(orphan.exists() && !trashed.exists());
    drop(holder);
    Store::open(&desk.folder(), desk.options()).unwrap().close().unwrap();
    assert!(!orphan.exists() && trashed.exists());

    // By its name it is two years old and may go; a program that looks into it delays that to the next open.
    let holder = hold(&trashed).unwrap();
    Store::open(&desk.folder(), desk.options()).unwrap().close().unwrap();
    assert!(trashed.exists());
    drop(holder);
    Store::open(&desk.folder(), desk.options()).unwrap().close().unwrap();
    assert!(!trashed.exists());
}
