//! Bars: both axes, one winner, revisions, removal, sealing.

use barkeeper::SealOptions;
use barkeeper::records::{
    AdjustmentTag, Bar, BarRun, Batch, Interval, OnConflict, Operation, Outcome, SeriesKey, Timestamp,
};

use crate::common::{ALL, Desk, bar, daily, day, id, nth, put, put_section, run, section};

fn closes(desk: &Desk, series: &SeriesKey) -> Vec<f64> {
    desk.store().snapshot().unwrap().bars(series, ALL.0, ALL.1).unwrap().iter().map(|bar| bar.close).collect()
}

fn seal(desk: &Desk) -> barkeeper::SealReport {
    desk.store().seal(&SealOptions::default(), &mut |_, _| {}).unwrap()
}

/// 100 instruments x 40 days as cross-sections, and one correction.
fn filled() -> Desk {
    let desk = Desk::new();
    for n in 0..40 {
        desk.run(put_section(section(nth(n), 100, f64::from(n + 10))));
    }
    desk
}

#[test]
fn a_series_and_a_day_show_the_same_bars_hot_and_sealed() {
    let mut desk = filled();
    desk.run(put(daily("000007.SZ"), vec![bar(nth(3), 777.0)]));
    for round in 0..3 {
        let mut expected: Vec<f64> = (0..40).map(|n| f64::from(n + 10) + 6.0).collect();
        expected[3] = 777.0;
        assert_eq!(closes(&desk, &daily("000007.SZ")), expected, "round {round}");
        let today = desk.store().cross_section(Interval::DAY, AdjustmentTag::Raw, nth(3).label()).unwrap();
        assert_eq!(today.len(), 100);
        assert!(today.is_sorted_by_key(|(id, _)| *id));
        assert_eq!(today[6].1.close, 777.0);
        assert_eq!(today[7].1.close, 13.0 + 7.0);
        let last: Vec<f64> =
            desk.store().last_bars(&daily("000007.SZ"), 2).unwrap().iter().map(|b| b.close).collect();
        assert_eq!(last, [54.0, 55.0]);
        match round {
            0 => assert_eq!(seal(&desk).rows, 4_001),
            _ => desk.reopen(),
        }
    }
    assert_eq!(desk.store().stats().unwrap().hot_bars, 0);
    desk.verify();
}

#[test]
fn last_bars_follow_appends_corrections_and_removals() {
    let desk = filled();
    let last = |n| -> Vec<f64> {
        desk.store().last_bars(&daily("000001.SZ"), n).unwrap().iter().map(|bar| bar.close).collect()
    };
    assert_eq!(last(2), [48.0, 49.0]);
    desk.run(put_section(section(nth(40), 100, 50.0)));
    assert_eq!(last(2), [49.0, 50.0]);
    desk.run(put(daily("000001.SZ"), vec![bar(nth(40), 5.0)]));
    assert_eq!(last(2), [49.0, 5.0]);
    let series = daily("000001.SZ");
    desk.run(Operation::DeleteBars { series, from: nth(39).label(), to: nth(41).label() });
    assert_eq!(last(2), [47.0, 48.0]);
    assert_eq!(last(500).len(), 39);
    desk.run(put(series, vec![bar(nth(39), 1.0)]));
    assert_eq!(last(2), [48.0, 1.0]);
}

#[test]
fn an_old_snapshot_keeps_its_bars() {
    let desk = filled();
    let snapshot = desk.store().snapshot().unwrap();
    desk.run(put_section(section(nth(40), 100, 50.0)));
    assert_eq!(desk.store().last_bars(&daily("000001.SZ"), 1).unwrap()[0].close, 50.0);
    assert_eq!(snapshot.last_bars(&daily("000001.SZ"), 1).unwrap()[0].close, 49.0);
    seal(&desk);
    assert_eq!(snapshot.bars(&daily("000001.SZ"), ALL.0, ALL.1).unwrap().len(), 40);
}

#[test]
fn first_last_and_count_are_exact_without_a_scan() {
    let mut desk = filled();
    let summary = |desk: &Desk| {
        let summary = desk.store().snapshot().unwrap().series(&daily("000001.SZ")).unwrap();
        summary.map(|s| (s.count, s.first, s.last))
    };
    assert_eq!(summary(&desk), Some((40, nth(0).label(), nth(39).label())));
    desk.run(put(daily("000001.SZ"), vec![bar(nth(-5), 1.0), bar(nth(10), 2.0)]));
    assert_eq!(summary(&desk), Some((41, nth(-5).label(), nth(39).label())));
    let series = daily("000001.SZ");
    desk.run(Operation::DeleteBars { series, from: nth(-9).label(), to: nth(2).label() });
    assert_eq!(summary(&desk), Some((38, nth(2).label(), nth(39).label())));
    desk.run(Operation::DeleteBars { series, from: nth(-9).label(), to: nth(99).label() });
    assert_eq!(summary(&desk), None);
    desk.verify();
}

#[test]
fn overwritten_bars_are_kept_and_seen_as_of() {
    let mut desk = Desk::new();
    let series = daily("000001.SZ");
    for (hour, close) in [("02", 1.0), ("03", 2.0), ("04", 3.0)] {
        desk.at(&format!("2026-11-20T{hour}:00:00Z"));
        desk.run(put(series, vec![bar(day("2026-11-19"), close)]));
        seal(&desk);
    }
    let as_of = |text: &str| -> Vec<f64> {
        let instant: Timestamp = text.parse().unwrap();
        let snapshot = desk.store().snapshot().unwrap();
        snapshot.bars_as_of(&series, ALL.0, ALL.1, instant).unwrap().iter().map(|bar| bar.close).collect()
    };
    assert_eq!(as_of("2026-11-20T01:59:59Z"), [0.0; 0]);
    assert_eq!(as_of("2026-11-20T02:00:00Z"), [1.0]);
    assert_eq!(as_of("2026-11-20T03:30:00Z"), [2.0]);
    assert_eq!(as_of("2026-11-21T00:00:00Z"), [3.0]);
    let old = desk.store().snapshot().unwrap().revisions(&series, ALL.0, ALL.1).unwrap();
    assert_eq!(old.iter().map(|r| r.bar.close).collect::<Vec<_>>(), [1.0, 2.0]);
    desk.verify();
}

#[test]
fn removal_reaches_every_tier_and_what_comes_after_stays() {
    let mut desk = filled();
    seal(&desk);
    desk.run(put(daily("000001.SZ"), vec![bar(nth(50), 50.0)]));
    let series = daily("000001.SZ");
    let receipt = desk.run(Operation::DeleteBars { series, from: nth(30).label(), to: nth(60).label() });
    let removed = Outcome::Bars { inserted: 0, replaced: 0, kept: 0, unchanged: 0, deleted: 11 };
    assert_eq!(receipt.outcomes, [removed]);
    desk.run(put(series, vec![bar(nth(35), 35.0)]));
    assert_eq!(closes(&desk, &series).len(), 31);
    assert_eq!(
        desk.store().cross_section(Interval::DAY, AdjustmentTag::Raw, nth(31).label()).unwrap().len(),
        99
    );
    seal(&desk);
    desk.reopen();
    assert_eq!(closes(&desk, &series).len(), 31);
    assert_eq!(closes(&desk, &series).last(), Some(&35.0));
    desk.verify();
}

#[test]
fn what_one_batch_puts_and_removes_is_in_the_order_of_its_operations() {
    let mut desk = Desk::new();
    let series = daily("000001.SZ");
    let (from, to) = (nth(0).label(), nth(9).label());
    let batch = Batch::of(put(series, vec![bar(nth(1), 1.0), bar(nth(20), 20.0)]))
        .with(Operation::DeleteBars { series, from, to })
        .with(put(series, vec![bar(nth(2), 2.0)]));
    desk.store().commit(batch).unwrap();
    assert_eq!(closes(&desk, &series), [2.0, 20.0]);
    desk.verify();
}

#[test]
fn a_bulk_import_goes_to_segments_and_compares_with_what_is_there() {
    let mut desk = Desk::new();
    let runs = |shift: f64| -> Vec<BarRun> {
        (1..=60)
            .map(|n| {
                let bars: Vec<Bar> =
                    (0..500).map(|d| bar(nth(d), f64::from(n) + f64::from(d) + shift)).collect();
                run(daily(&format!("{n:06}.SZ")), bars)
            })
            .collect()
    };
    desk.run(put(daily("000001.SZ"), vec![bar(nth(7), -7.0), bar(nth(501), 501.0)]));
    let error = desk.store().import_bars(runs(0.0), Vec::new(), OnConflict::Refuse).unwrap_err();
    assert!(matches!(error, barkeeper::CommitError::Conflict { bars: 1, .. }), "{error}");
    let first = desk.store().import_bars(runs(0.0), Vec::new(), OnConflict::Keep).unwrap();
    assert_eq!((first.inserted, first.kept, first.segments), (29_999, 1, 2));
    assert_eq!(closes(&desk, &daily("000001.SZ"))[7], -7.0);
    let again = desk.store().import_bars(runs(0.0), Vec::new(), OnConflict::Keep).unwrap();
    assert_eq!((again.inserted, again.unchanged, again.lsn), (0, 29_999, first.lsn));
    let other = desk.store().import_bars(runs(0.5), Vec::new(), OnConflict::Replace).unwrap();
    assert_eq!((other.replaced, other.segments), (30_000, 2));
    assert_eq!(closes(&desk, &daily("000002.SZ"))[0], 2.5);
    assert_eq!(
        desk.store().cross_section(Interval::DAY, AdjustmentTag::Raw, nth(7).label()).unwrap().len(),
        60
    );
    assert_eq!(desk.store().last_bars(&daily("000001.SZ"), 1).unwrap()[0].close, 501.0);
    desk.verify();
}

#[test]
fn raw_and_adjusted_bars_and_intervals_never_mix() {
    let mut desk = Desk::new();
    let raw = daily("000001.SZ");
    let adjusted = SeriesKey { adjustment: AdjustmentTag::Qfq, ..raw };
    let minute = SeriesKey { interval: Interval::MINUTE, ..raw };
    desk.run(put(raw, vec![bar(nth(1), 1.0)]));
    desk.run(put(adjusted, vec![bar(nth(1), 2.0)]));
    desk.run(put(minute, vec![bar(nth(1), 3.0)]));
    seal(&desk);
    assert_eq!(
        [closes(&desk, &raw), closes(&desk, &adjusted), closes(&desk, &minute)].concat(),
        [1.0, 2.0, 3.0]
    );
    assert_eq!(desk.store().snapshot().unwrap().all_series(None, None).unwrap().len(), 3);
    desk.verify();
}

#[test]
fn a_cross_section_in_two_halves_is_one_day() {
    let mut desk = Desk::new();
    let all = section(nth(1), 200, 10.0);
    let (front, back): (Vec<_>, Vec<_>) = all.iter().copied().partition(|(id, _)| id.as_bytes()[5] % 2 == 0);
    desk.run(put_section(front));
    desk.run(put_section(back));
    let found = desk.store().cross_section(Interval::DAY, AdjustmentTag::Raw, nth(1).label()).unwrap();
    assert_eq!(found, all);
    for (instrument, expected) in all.iter().step_by(17) {
        assert_eq!(desk.store().last_bars(&SeriesKey::daily(*instrument), 1).unwrap(), [*expected]);
    }
    let twice = vec![(id("000001.SZ"), bar(nth(2), 1.0)), (id("000001.SZ"), bar(nth(2), 2.0))];
    let error = desk.store().commit(Batch::of(put_section(twice))).unwrap_err();
    assert!(matches!(error, barkeeper::CommitError::CrossSection { .. }), "{error}");
    desk.verify();
}

#[test]
fn a_batch_may_correct_its_own_cross_section() {
    let mut desk = Desk::new();
    let series = daily("000003.SZ");
    let batch = Batch::of(put_section(section(nth(1), 50, 10.0)))
        .with(put(series, vec![bar(nth(1), 99.0)]))
        .with(put_section(section(nth(1), 20, 20.0)));
    desk.store().commit(batch).unwrap();
    for _ in 0..2 {
        assert_eq!(closes(&desk, &series), [22.0]);
        let today = desk.store().cross_section(Interval::DAY, AdjustmentTag::Raw, nth(1).label()).unwrap();
        assert_eq!((today.len(), today[2].1.close, today[30].1.close), (50, 22.0, 40.0));
        desk.verify();
        seal(&desk);
    }
}

#[test]
fn intraday_bars_may_stand_closer_than_their_interval() {
    let mut desk = Desk::new();
    let series = SeriesKey { interval: "1h".parse().unwrap(), ..daily("000001.SZ") };
    let at = |text: &str| -> Bar {
        let ts: Timestamp = text.parse().unwrap();
        Bar { ts, ..bar(day("2024-01-02"), 10.0) }
    };
    let hours = ["01:30", "02:00", "03:00", "05:00", "06:00"];
    let bars: Vec<Bar> = hours.iter().map(|hour| at(&format!("2024-01-02T{hour}:00Z"))).collect();
    desk.run(put(series, bars.clone()));
    for _ in 0..2 {
        for skip in 0..bars.len() {
            let found = desk.store().snapshot().unwrap().bars(&series, bars[skip].ts, ALL.1).unwrap();
            assert_eq!(found, bars[skip..], "{skip}");
        }
        seal(&desk);
        desk.reopen();
    }
    desk.verify();
}

#[test]
fn sealed_minute_bars_are_partitioned_by_month() {
    let mut desk = Desk::new();
    let series = SeriesKey { interval: Interval::MINUTE, ..daily("000001.SZ") };
    let bars: Vec<Bar> = (0..90)
        .map(|n| Bar { ts: Timestamp::from_nanos(nth(n).label().nanos() + 1), ..bar(nth(n), 1.0) })
        .collect();
    desk.run(put(series, bars.clone()));
    assert_eq!(seal(&desk).segments, 3);
    assert_eq!(desk.store().snapshot().unwrap().bars(&series, ALL.0, ALL.1).unwrap(), bars);
    desk.verify();
}
