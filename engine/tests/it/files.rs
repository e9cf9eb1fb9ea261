//! The files that other programs read: live sets and published ones.

use barkeeper::records::{AdjustmentTag, Interval, Operation};
use barkeeper::{Axis, Dataset, MaintenanceError, SealOptions};

use crate::common::{Desk, bar, daily, nth, put, put_section, section};

const DAILY: Dataset = Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw };

fn sealed() -> Desk {
    let desk = Desk::new();
    for n in 0..10 {
        desk.run(put_section(section(nth(n), 50, f64::from(n + 10))));
    }
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    desk
}

#[test]
fn live_files_say_what_they_leave_out() {
    let desk = sealed();
    let set = desk.store().files(DAILY, Axis::Instrument).unwrap();
    assert_eq!((set.files.len(), set.rows, set.hot, set.overlaps), (1, 500, 0, 0));
    assert!(set.files[0].is_file());
    desk.run(put(daily("000001.SZ"), vec![bar(nth(11), 1.0)]));
    assert_eq!(desk.store().files(DAILY, Axis::Instrument).unwrap().hot, 1);
    desk.run(put(daily("000001.SZ"), vec![bar(nth(3), 1.0)]));
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap();
    let set = desk.store().files(DAILY, Axis::Day).unwrap();
    assert_eq!((set.files.len(), set.hot, set.overlaps), (2, 0, 1));
}

#[test]
fn a_published_set_holds_every_bar_once() {
    let desk = sealed();
    let into = desk.dir.path().join("发布");
    desk.run(put(daily("000001.SZ"), vec![bar(nth(11), 1.0)]));
    let report = desk.store().publish(DAILY, &into).unwrap();
    assert_eq!((report.linked, report.written, report.rows), (1, 1, 501));
    assert!(report.files.iter().all(|file| into.join(file).is_file()));
    let error = desk.store().publish(DAILY, &into).unwrap_err();
    assert!(matches!(error, MaintenanceError::NotEmpty { .. }), "{error}");
    // Nobody compares a checksum when other programs read it: what is damaged is not handed out.
    let file = desk.store().files(DAILY, Axis::Instrument).unwrap().files.remove(0);
    let whole = std::fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = desk.dir.path().join("damaged");
    let error = desk.store().publish(DAILY, &damaged).unwrap_err();
    let is_damage = matches!(&error, MaintenanceError::Segment(inner) if inner.is_damage());
    assert!(is_damage && error.to_string().contains(file.to_str().unwrap()) && !damaged.exists(), "{error}");
    std::fs::write(&file, whole).unwrap();
    let series = daily("000002.SZ");
    desk.run(Operation::DeleteBars { series, from: nth(2).label(), to: nth(4).label() });
    let merged = desk.store().publish(DAILY, &desk.dir.path().join("merged")).unwrap();
    assert_eq!((merged.linked, merged.written, merged.rows), (0, 1, 499));
}

#[test]
fn a_missing_file_stops_the_reads_that_need_it_and_nothing_else() {
    let mut desk = sealed();
    desk.run(Operation::SetHeldDays { key: crate::common::key("000001.SZ"), days: 3 });
    let file = desk.store().files(DAILY, Axis::Instrument).unwrap().files.remove(0);
    std::fs::rename(&file, desk.dir.path().join("away")).unwrap();
    desk.reopen();
    assert!(desk.store().position(&crate::common::key("000001.SZ")).unwrap().is_some());
    desk.run(put(daily("000099.SZ"), vec![bar(nth(11), 1.0)]));
    let read = desk.store().snapshot().unwrap().bars(&daily("000001.SZ"), nth(0).label(), nth(9).label());
    assert!(matches!(read, Err(barkeeper::ReadError::Segment(_))), "{read:?}");
    std::fs::rename(desk.dir.path().join("away"), &file).unwrap();
    desk.verify();
}

#[test]
fn a_quick_look_names_files_that_are_gone_or_cut_off() {
    let desk = sealed();
    assert_eq!(desk.store().missing_segments().unwrap(), (vec![], 2));
    let gone = desk.store().files(DAILY, Axis::Instrument).unwrap().files.remove(0);
    let cut = desk.store().files(DAILY, Axis::Day).unwrap().files.remove(0);
    // Moved, not removed: a file that is open keeps its name on Windows until it is closed.
    std::fs::rename(&gone, desk.dir.path().join("away")).unwrap();
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[1..]).unwrap();
    let (mut found, looked_at) = desk.store().missing_segments().unwrap();
    assert_eq!((found.len(), looked_at), (2, 2));
    found.sort_by_key(|finding| gone.ends_with(&finding.place));
    let whole = format!("it has {} bytes, {} were published", bytes.len() - 1, bytes.len());
    assert_eq!((found[0].detail.as_str(), found[1].detail.as_str()), (whole.as_str(), "it is missing"));
    assert!(cut.ends_with(&found[0].place) && gone.ends_with(&found[1].place), "{found:?}");
    assert!(found.iter().all(|finding| finding.damage));
}
