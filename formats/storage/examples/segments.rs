//! Bytes a row of segments, column by column, and the time that reads of them take.
//!
//! `cargo run --release -p barkeeper-storage --example segments [INSTRUMENTS [DAYS]]`, 500 x 1,250 where
//! nothing is said. Three markets: prices in cents, the same adjusted (factors leave no round number),
//! and minutes of a coin.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that measures may stop anywhere")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use barkeeper_records::{AdjustmentTag, Bar, InstrumentId, Interval, Timestamp, TradingDay, Version};
use barkeeper_storage::{
    Axis, Dataset, Segment, SegmentEntry, SegmentIndexV1, SegmentKind, SegmentWriter, VersionedBar,
};
use parquet::file::metadata::ParquetMetaDataReader;

type Series = Vec<(InstrumentId, Vec<VersionedBar>)>;

/// Numbers that look random and repeat.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    /// Around 0, mostly below 1.
    fn bell(&mut self) -> f64 {
        let unit = |numbers: &mut Self| numbers.below(1 << 32) as f64 / 4_294_967_296.0;
        unit(self) + unit(self) + unit(self) - 1.5
    }
}

fn series(number: usize, stamps: &[Timestamp], scale: f64, factor: f64, lot: f64) -> Vec<VersionedBar> {
    let mut numbers = Numbers((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut last = ((2.0 + numbers.below(6_000) as f64 / 100.0) * scale).round();
    let usual = 200_000.0 + numbers.below(20_000_000) as f64;
    let bar = |ts: &Timestamp| {
        let open = (last * (1.0 + 0.006 * numbers.bell())).round();
        let close = (last * (1.0 + 0.02 * numbers.bell())).round().max(100.0);
        let high = (open.max(close) * (1.0 + 0.008 * numbers.bell().abs())).round();
        let low = (open.min(close) * (1.0 - 0.008 * numbers.bell().abs())).round();
        let volume = (usual * (2.0 + numbers.bell()) / lot).round() * lot;
        let turnover = (volume * (high + low) / 2.0 / scale * 100.0).round() / 100.0;
        last = close;
        let price =
            |steps: f64| steps / scale * if factor == 1.0 { 1.0 } else { factor + number as f64 / 8_191.0 };
        let all = [price(open), price(high), price(low), price(close), volume, turnover, 0.0];
        let day = TradingDay::of_utc(*ts).unwrap();
        VersionedBar { bar: Bar::from_numbers(*ts, day, all), version: Version::ZERO }
    };
    stamps.iter().map(bar).collect()
}

fn write(path: &Path, kind: SegmentKind, all: &Series) -> (SegmentEntry, SegmentIndexV1) {
    let mut writer = SegmentWriter::create(path, kind).unwrap();
    if kind.axis == Axis::Instrument {
        for (instrument, bars) in all {
            writer.push_series(*instrument, bars).unwrap();
        }
    } else {
        let mut days: BTreeMap<Timestamp, Vec<(InstrumentId, VersionedBar)>> = BTreeMap::new();
        for (instrument, bars) in all {
            for bar in bars {
                days.entry(bar.bar.ts).or_default().push((*instrument, *bar));
            }
        }
        for (ts, bars) in &days {
            writer.push_day(*ts, bars).unwrap();
        }
    }
    let written = writer.finish().unwrap();
    let entry = written.entry(
        1,
        kind.axis,
        Dataset::Bars { interval: kind.interval, adjustment: kind.adjustment },
        kind.version,
    );
    (entry, written.index)
}

/// The processor time of this process in seconds where the system tells it, else the time of day.
fn processor(started: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanos = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanos.map_or_else(|| started.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

/// The median of many calls, in microseconds.
fn time(calls: usize, mut work: impl FnMut(usize)) -> f64 {
    let mut times: Vec<f64> = (0..calls)
        .map(|call| {
            let from = Instant::now();
            work(call);
            from.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(calls / 2).copied().unwrap_or_default()
}

fn columns(path: &Path, rows: u64) {
    let file = std::fs::File::open(path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
    let mut all: BTreeMap<usize, (String, i64)> = BTreeMap::new();
    for group in metadata.row_groups() {
        for (place, column) in group.columns().iter().enumerate() {
            let encodings: Vec<String> = column
                .encodings()
                .map(|encoding| encoding.to_string())
                .filter(|name| name != "RLE")
                .collect();
            let about = format!("{} {}", column.column_path(), encodings.join("+"));
            let entry = all.entry(place).or_insert((about, 0));
            entry.1 += column.compressed_size();
        }
    }
    for (about, bytes) in all.into_values() {
        println!("    {about:<44} {:6.2} B/row", bytes as f64 / rows as f64);
    }
}

fn measure(name: &str, interval: Interval, all: &Series) {
    let dir = tempfile::tempdir().unwrap();
    let axes =
        if interval.is_daily_or_longer() { &[Axis::Instrument, Axis::Day][..] } else { &[Axis::Instrument] };
    for axis in axes {
        let path = dir.path().join(format!("{axis:?}"));
        let version = Some(Version::ZERO);
        let kind = SegmentKind { axis: *axis, interval, adjustment: AdjustmentTag::Raw, version };
        let started = Instant::now();
        let from = processor(started);
        let (entry, index) = write(&path, kind, all);
        let took = processor(started) - from;
        let rows = entry.rows;
        let ns = took * 1e9 / rows as f64;
        println!(
            "{name}, {axis:?}: {rows} rows, {:.2} B/row, written in {ns:.0} ns/row",
            entry.bytes as f64 / rows as f64
        );
        columns(&path, rows);
        let open = || Segment::open(&path, entry.clone(), index.clone()).unwrap();
        let opened = time(100, |_| drop(black_box(open())));
        let runs = index.runs();
        let run = |call: usize| {
            let run = runs.get(call * 7 % runs.len()).unwrap();
            run.start..run.start + u64::from(run.rows)
        };
        let first = time(100, |call| drop(black_box(open().read_series(run(call)).unwrap())));
        let segment = open();
        let len = run(1).end - run(1).start;
        println!("    open {opened:.0} us, with a first read {first:.0} us; runs of {len} rows:");
        let bars = time(2_000, |call| drop(black_box(segment.read_series(run(call)).unwrap())));
        let named = time(2_000, |call| drop(black_box(segment.read_rows(run(call)).unwrap())));
        let sixty = time(2_000, |call| {
            let run = run(call);
            drop(black_box(segment.read_series(run.end.saturating_sub(60).max(run.start)..run.end).unwrap()));
        });
        let scan = time(5, |_| drop(black_box(segment.read_batch(0..rows, &[6]).unwrap())));
        println!(
            "    bars {bars:.0} us, with names {named:.0} us, the last 60 {sixty:.0} us; close of all {:.1} ns/row",
            scan * 1e3 / rows as f64
        );
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>().unwrap());
    let (instruments, days) = (numbers.next().unwrap_or(500), numbers.next().unwrap_or(1_250));
    let weekday =
        |n: usize| TradingDay::from_days(i32::try_from(18_267 + n / 5 * 7 + n % 5).unwrap()).unwrap();
    let daily: Vec<Timestamp> = (0..days).map(|n| weekday(n).label()).collect();
    let minute = |n: i64| Timestamp::from_nanos(1_735_689_600_000_000_000 + n * 60_000_000_000);
    let minutes: Vec<Timestamp> = (0..43_200).map(minute).collect();
    let stock = |n: usize| {
        let (code, venue) = if n.is_multiple_of(2) { (n / 2 + 1, "SZ") } else { (600_000 + n / 2, "SH") };
        format!("{code:06}.{venue}").parse::<InstrumentId>().unwrap()
    };
    let build = |count: usize, stamps: &[Timestamp], scale: f64, factor: f64, lot: f64| -> Series {
        let mut all: Series = (0..count).map(|n| (stock(n), series(n, stamps, scale, factor, lot))).collect();
        all.sort_by_key(|(instrument, _)| *instrument);
        all
    };
    measure("cents", Interval::DAY, &build(instruments, &daily, 100.0, 1.0, 100.0));
    measure("adjusted", Interval::DAY, &build(instruments, &daily, 100.0, 0.837_429_134_2, 100.0));
    measure("minutes", Interval::MINUTE, &build(12, &minutes, 100.0, 1.0, 0.001));
}
