//! Frames against scans: any filter, selection and limit over random histories gives exactly the rows that the same
//! filter leaves of a scan, whatever of it the scan was told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, TimestampNanosecondType};
use barkeeper::polars::prelude::*;
use barkeeper::{ScanOrder, ScanRequest, Snapshot};
use barkeeper_records::{AdjustmentTag, Interval, Timestamp};
use barkeeper_tests::market::Market;
use barkeeper_tests::past::Past;
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};

const DAY: i64 = 86_400_000_000_000;
const COLUMNS: [&str; 5] = ["instrument", "ts", "trading_day", "close", "volume"];

/// A row with the columns that filters look at.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    instrument: String,
    ts: i64,
    day: i32,
    close: f64,
    volume: f64,
}

impl Row {
    fn cell(&self, column: &str) -> String {
        match column {
            "instrument" => self.instrument.clone(),
            "ts" => self.ts.to_string(),
            "trading_day" => self.day.to_string(),
            "close" => format!("{:x}", self.close.to_bits()),
            _ => format!("{:x}", self.volume.to_bits()),
        }
    }
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let names = batch.column(0).as_dictionary::<Int32Type>();
    let texts = names.values().as_string::<i32>();
    let number = |place: usize, row: usize| batch.column(place).as_primitive::<Float64Type>().value(row);
    (0..batch.num_rows())
        .map(|row| Row {
            instrument: texts.value(names.key(row).unwrap()).to_owned(),
            ts: batch.column(1).as_primitive::<TimestampNanosecondType>().value(row),
            day: batch.column(2).as_primitive::<Date32Type>().value(row),
            close: number(3, row),
            volume: number(4, row),
        })
        .collect()
}

/// A filter, as polars is told and as rows are.
#[derive(Debug, Clone)]
enum Filter {
    Name(String),
    Names(Vec<String>),
    Begins(String),
    Ts(Sign, i64),
    Day(Sign, i32),
    Days(i32, i32),
    Close(Sign, f64),
    Both(Box<Self>, Box<Self>),
    Either(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

#[derive(Debug, Clone, Copy)]
enum Sign {
    Below,
    UpTo,
    Is,
    From,
    Above,
}

impl Sign {
    const ALL: [Self; 5] = [Self::Below, Self::UpTo, Self::Is, Self::From, Self::Above];

    fn holds<T: PartialOrd + Copy>(self, a: T, b: T) -> bool {
        match self {
            Self::Below => a < b,
            Self::UpTo => a <= b,
            Self::Is => a == b,
            Self::From => a >= b,
            Self::Above => a > b,
        }
    }

    fn expr(self, a: Expr, b: Expr) -> Expr {
        match self {
            Self::Below => a.lt(b),
            Self::UpTo => a.lt_eq(b),
            Self::Is => a.eq(b),
            Self::From => a.gt_eq(b),
            Self::Above => a.gt(b),
        }
    }
}

impl Filter {
    fn random(rng: &mut Rng, rows: &[Row], depth: usize) -> Self {
        let row = rng.pick(rows).clone();
        let sign = *rng.pick(&Sign::ALL);
        match rng.below(if depth == 0 { 7 } else { 12 }) {
            0 => Self::Name(row.instrument),
            1 => {
                let mut names: Vec<_> =
                    (0..rng.below(5)).map(|_| rng.pick(rows).instrument.clone()).collect();
                names.push("sh600000".to_owned());
                Self::Names(names)
            }
            2 => Self::Begins(row.instrument[..rng.below(row.instrument.len() + 1)].to_owned()),
            3 => Self::Ts(sign, row.ts + [0, 1, -1, DAY][rng.below(4)]),
            4 => Self::Day(sign, row.day),
            5 => Self::Days(row.day, row.day + *rng.pick(&[0, 1, 4])),
            6 => Self::Close(sign, row.close),
            7 => Self::Not(Box::new(Self::random(rng, rows, depth - 1))),
            8 | 9 => Self::Either(
                Box::new(Self::random(rng, rows, depth - 1)),
                Box::new(Self::random(rng, rows, depth - 1)),
            ),
            _ => Self::Both(
                Box::new(Self::random(rng, rows, depth - 1)),
                Box::new(Self::random(rng, rows, depth - 1)),
            ),
        }
    }

    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Name(name) => row.instrument == *name,
            Self::Names(names) => names.contains(&row.instrument),
            Self::Begins(prefix) => row.instrument.starts_with(prefix),
            Self::Ts(sign, ts) => sign.holds(row.ts, *ts),
            Self::Day(sign, day) => sign.holds(row.day, *day),
            Self::Days(low, high) => (*low..=*high).contains(&row.day),
            Self::Close(sign, close) => sign.holds(row.close, *close),
            Self::Both(a, b) => a.holds(row) && b.holds(row),
            Self::Either(a, b) => a.holds(row) || b.holds(row),
            Self::Not(a) => !a.holds(row),
        }
    }

    fn expr(&self) -> Expr {
        let day = |day: i32| lit(day).cast(DataType::Date);
        match self {
            Self::Name(name) => lit(name.as_str()).eq(col("instrument")),
            Self::Names(names) => {
                col("instrument").is_in(lit(Series::new("".into(), names)).implode(true), false)
            }
            Self::Begins(prefix) => col("instrument").str().starts_with(lit(prefix.as_str())),
            Self::Ts(sign, ts) => {
                let at = DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC));
                sign.expr(col("ts"), lit(*ts).cast(at))
            }
            Self::Day(sign, one) => sign.expr(col("trading_day"), day(*one)),
            Self::Days(low, high) => {
                col("trading_day").is_between(day(*low), day(*high), ClosedInterval::Both)
            }
            Self::Close(sign, close) => sign.expr(col("close"), lit(*close)),
            Self::Both(a, b) => a.expr().and(b.expr()),
            Self::Either(a, b) => a.expr().or(b.expr()),
            Self::Not(a) => a.expr().not(),
        }
    }
}

fn shown(frame: &DataFrame, columns: &[&str]) -> Vec<Vec<String>> {
    assert!(
        frame.get_column_names().into_iter().eq(columns),
        "{:?} and not {columns:?}",
        frame.get_column_names()
    );
    let cell = |name: &str, row: usize| match frame.column(name).unwrap().get(row).unwrap() {
        AnyValue::String(text) => text.to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Datetime(ts, TimeUnit::Nanoseconds, _)
        | AnyValue::DatetimeOwned(ts, TimeUnit::Nanoseconds, _) => ts.to_string(),
        AnyValue::Date(day) => day.to_string(),
        AnyValue::Float64(number) => format!("{:x}", number.to_bits()),
        other => panic!("{other:?}"),
    };
    (0..frame.height()).map(|row| columns.iter().map(|name| cell(name, row)).collect()).collect()
}

fn ask(snapshot: &Arc<Snapshot>, rng: &mut Rng, market: &Market) -> usize {
    let (interval, adjustment) = *rng.pick(&market.kinds);
    let order = if rng.chance(50) { ScanOrder::Time } else { ScanOrder::Instrument };
    let mut request = ScanRequest::bars(interval, adjustment).order(order).columns(COLUMNS);
    match rng.below(5) {
        0 => request = request.instruments((0..4).map(|_| *rng.pick(&market.instruments))),
        1 => request = request.prefix("6"),
        _ => {}
    }
    if rng.chance(30) {
        request = request.from(Market::day(rng.below(market.days)).label());
    }
    if rng.chance(50) {
        request = request.unit_rows(*rng.pick(&[20, 300]));
    }
    let mut rows = Vec::new();
    for batch in snapshot.scan(&request).unwrap() {
        rows.extend(rows_of(&batch.unwrap()));
    }
    if rows.is_empty() {
        return 0;
    }
    let before = rng.chance(20).then(|| rng.below(rows.len() * 2));
    let after = rng.chance(20).then(|| rng.below(rows.len()));
    let filter = Filter::random(rng, &rows, 3);
    let columns: Vec<&str> = COLUMNS.into_iter().filter(|_| rng.chance(60)).collect();
    let columns = if columns.is_empty() { vec!["close"] } else { columns };
    let mut frame = snapshot.lazy(&request).unwrap();
    if let Some(limit) = before {
        frame = frame.limit(IdxSize::try_from(limit).unwrap());
        rows.truncate(limit);
    }
    frame = frame.filter(filter.expr());
    rows.retain(|row| filter.holds(row));
    if let Some(limit) = after {
        frame = frame.limit(IdxSize::try_from(limit).unwrap());
        rows.truncate(limit);
    }
    let frame = frame.select(columns.iter().map(|name| col(*name)).collect::<Vec<_>>()).collect().unwrap();
    let expected: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|name| row.cell(name)).collect()).collect();
    let found = shown(&frame, &columns);
    assert!(
        found == expected,
        "{request:?}, first {before:?}, {filter:?}, then {after:?}, {columns:?}: {} rows and not {}",
        found.len(),
        expected.len()
    );
    found.len()
}

#[test]
fn any_filter_leaves_the_rows_that_it_leaves_of_a_scan() {
    let seed = seed("any_filter_leaves_the_rows_that_it_leaves_of_a_scan");
    let (mut found, mut asked) = (0, 0);
    for round in 0..rounds(4, 100) as u64 {
        let mut rng = Rng::new(seed + round);
        let count = *rng.pick(&[6, 30]);
        let mut world = Past::new(Market { days: rng.within(5, 40), ..Market::new(count) });
        for _ in 0..3 {
            world.live(&mut rng, 20);
            let snapshot = Arc::new(world.store.snapshot().unwrap());
            for _ in 0..30 {
                let rows = ask(&snapshot, &mut rng, &world.market);
                found += rows;
                asked += usize::from(rows > 0);
            }
        }
    }
    println!("{asked} questions had rows, {found} in all");
    assert!(found > 1_000, "{found} rows were compared");
}

#[test]
fn a_frame_stays_at_its_lsn_while_the_store_goes_on() {
    let mut rng = Rng::new(seed("a_frame_stays_at_its_lsn_while_the_store_goes_on"));
    let mut world = Past::new(Market { days: 30, ..Market::new(30) });
    world.live(&mut rng, 60);
    let snapshot = Arc::new(world.store.snapshot().unwrap());
    let request = ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw).columns(COLUMNS);
    let frame = snapshot.lazy(&request).unwrap();
    let expected = shown(&frame.clone().collect().unwrap(), &COLUMNS);
    for _ in 0..4 {
        world.live(&mut rng, 15);
        world.seal(&mut rng);
        world.merge();
        assert_eq!(shown(&frame.clone().collect().unwrap(), &COLUMNS), expected);
    }
    let now = Arc::new(world.store.snapshot().unwrap());
    assert!(now.lsn() > snapshot.lsn());
    let trades = |snapshot: &Arc<Snapshot>| {
        snapshot.lazy(&ScanRequest::trades().from(Timestamp::MIN)).unwrap().select([len()]).collect().unwrap()
    };
    let count = |frame: DataFrame| frame.column("len").unwrap().get(0).unwrap().extract::<usize>().unwrap();
    assert!(count(trades(&now)) > count(trades(&snapshot)));
}
