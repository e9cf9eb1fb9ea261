//! Scans against a model: any request over random histories gives exactly the rows of the model, in
//! order, whatever tier they are in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampNanosecondType,
};
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use barkeeper::{ReadError, ScanOrder, ScanRequest, ScanTable, Snapshot};
use barkeeper_records::{
    AdjustmentTag, Bar, InstrumentId, Interval, MarketEvent, MarketTrade, Tick, Timestamp, TradeKind, scaled,
};
use barkeeper_tests::market::Market;
use barkeeper_tests::model::Model;
use barkeeper_tests::past::Past;
use barkeeper_tests::rng::Rng;
use barkeeper_tests::seed::{rounds, seed};
use barkeeper_tests::streams::Rows;

/// What is asked for, as the model reads it.
#[derive(Debug, Clone)]
struct Question {
    table: ScanTable,
    instruments: Option<BTreeSet<InstrumentId>>,
    prefix: Option<String>,
    from: Timestamp,
    to: Timestamp,
    columns: Vec<&'static str>,
    order: ScanOrder,
    batch_rows: usize,
    threads: usize,
    unit_rows: Option<u64>,
}

/// The columns of a table.
fn columns_of(table: ScanTable) -> Vec<&'static str> {
    let events = ["instrument", "ts", "sequence", "trading_day"];
    match table {
        ScanTable::Ticks => [&events, Tick::NUMBERS].concat(),
        ScanTable::MarketTrades => [&events, MarketTrade::NUMBERS, &["side", "aggregated"]].concat(),
        _ => [&["instrument", "ts", "trading_day"], Bar::NUMBERS.as_slice()].concat(),
    }
}

/// A row of the model: its key, and its columns as text.
struct Expected {
    instrument: InstrumentId,
    ts: Timestamp,
    sequence: u64,
    cells: Vec<String>,
}

impl Question {
    fn random(rng: &mut Rng, market: &Market) -> Self {
        let table = match rng.below(10) {
            0..5 => {
                let (interval, adjustment) = *rng.pick(&market.kinds);
                ScanTable::Bars { interval, adjustment }
            }
            5..8 => ScanTable::Ticks,
            _ => ScanTable::MarketTrades,
        };
        let mut instruments = None;
        let mut prefix = None;
        match rng.below(4) {
            0 => {
                let count = rng.below(market.instruments.len());
                let mut some: BTreeSet<_> = (0..count).map(|_| *rng.pick(&market.instruments)).collect();
                some.insert("999999.SH".parse().unwrap());
                instruments = Some(some);
            }
            1 => {
                let name = rng.pick(&market.instruments).as_str();
                prefix = Some(name[..rng.below(name.len() + 1)].to_owned());
            }
            _ => {}
        }
        let day = |rng: &mut Rng| {
            let day = Market::day(rng.below(market.days)).label().nanos();
            Timestamp::from_nanos(day + rng.below(3) as i64 * 5_460_000_000_000)
        };
        let (mut from, mut to) = (Timestamp::MIN, Timestamp::MAX);
        match rng.below(5) {
            0 | 1 => {}
            2 => from = day(rng),
            3 => to = day(rng),
            _ => {
                from = day(rng);
                to = Timestamp::from_nanos(from.nanos() + rng.below(9) as i64 * 86_400_000_000_000);
            }
        }
        let all = columns_of(table);
        let columns = if rng.chance(30) { all } else { (0..rng.below(6)).map(|_| *rng.pick(&all)).collect() };
        Self {
            table,
            instruments,
            prefix,
            from,
            to,
            columns,
            order: if rng.chance(50) { ScanOrder::Time } else { ScanOrder::Instrument },
            batch_rows: *rng.pick(&[1, 7, 100, 65_536]),
            threads: rng.within(1, 3),
            unit_rows: rng.chance(80).then(|| *rng.pick(&[1, 20, 300])),
        }
    }

    /// All rows of a table.
    fn all(table: ScanTable, order: ScanOrder) -> Self {
        Self {
            table,
            instruments: None,
            prefix: None,
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            columns: columns_of(table),
            order,
            batch_rows: 50,
            threads: 1,
            unit_rows: None,
        }
    }

    fn request(&self) -> ScanRequest {
        let mut request = match self.table {
            ScanTable::Bars { interval, adjustment } => ScanRequest::bars(interval, adjustment),
            ScanTable::Ticks => ScanRequest::ticks(),
            ScanTable::MarketTrades => ScanRequest::market_trades(),
            other => panic!("{other:?} is asked elsewhere"),
        };
        request = request
            .from(self.from)
            .to(self.to)
            .columns(self.columns.iter().copied())
            .order(self.order)
            .batch_rows(self.batch_rows)
            .threads(self.threads);
        if let Some(list) = &self.instruments {
            request = request.instruments(list.iter().copied());
        }
        if let Some(prefix) = &self.prefix {
            request = request.prefix(prefix);
        }
        if let Some(rows) = self.unit_rows {
            request = request.unit_rows(rows);
        }
        request
    }

    fn wants(&self, instrument: &InstrumentId, ts: Timestamp) -> bool {
        self.from <= ts
            && ts <= self.to
            && self.instruments.as_ref().is_none_or(|list| list.contains(instrument))
            && self.prefix.as_ref().is_none_or(|prefix| instrument.as_str().starts_with(prefix))
    }

    /// The rows of the model, as text.
    fn answer(&self, model: &Model) -> Vec<Vec<String>> {
        let mut rows = match self.table {
            ScanTable::Ticks => self.events(&model.streams.ticks, |_| Vec::new()),
            ScanTable::MarketTrades => self.events(&model.streams.market_trades, |trade| {
                vec![trade.side.to_string(), trade.aggregated.to_string()]
            }),
            ScanTable::Bars { interval, adjustment } => {
                let kind = (interval, adjustment);
                let series = model.bars.iter().filter(|(one, _)| (one.interval, one.adjustment) == kind);
                let bars = series.flat_map(|(one, bars)| bars.values().map(|(bar, _)| (one.instrument, bar)));
                bars.filter(|(instrument, bar)| self.wants(instrument, bar.ts))
                    .map(|(instrument, bar)| {
                        let day = bar.trading_day.days().to_string();
                        let mut cells = vec![instrument.to_string(), bar.ts.nanos().to_string(), day];
                        cells.extend(bar.numbers().map(bits));
                        Expected { instrument, ts: bar.ts, sequence: 0, cells }
                    })
                    .collect()
            }
            other => panic!("{other:?} is asked elsewhere"),
        };
        if self.order == ScanOrder::Time {
            rows.sort_by_key(|row| (row.ts, row.instrument, row.sequence));
        }
        let all = columns_of(self.table);
        let places: Vec<usize> =
            self.columns.iter().map(|name| all.iter().position(|one| one == name).unwrap()).collect();
        rows.iter().map(|row| places.iter().map(|place| row.cells[*place].clone()).collect()).collect()
    }

    fn events<T: MarketEvent>(&self, rows: &Rows<T>, extra: impl Fn(&T) -> Vec<String>) -> Vec<Expected> {
        let wanted = rows.iter().filter(|((instrument, place), _)| self.wants(instrument, place.ts));
        wanted
            .map(|((instrument, place), (event, _))| {
                let mut cells = vec![
                    instrument.to_string(),
                    place.ts.nanos().to_string(),
                    place.sequence.to_string(),
                    event.trading_day().days().to_string(),
                ];
                cells.extend((0..T::NUMBERS.len()).map(|number| bits(event.number(number))));
                cells.extend(extra(event));
                Expected { instrument: *instrument, ts: place.ts, sequence: place.sequence, cells }
            })
            .collect()
    }
}

fn bits(number: f64) -> String {
    format!("{number} {:x}", number.to_bits())
}

fn shown(batch: &RecordBatch) -> Vec<Vec<String>> {
    let schema = batch.schema();
    let value = |place: usize, row: usize| {
        let column = batch.column(place);
        match schema.field(place).data_type() {
            DataType::Dictionary(..) => {
                let names = column.as_dictionary::<Int32Type>();
                let values = names.values().as_any().downcast_ref::<StringArray>().unwrap();
                values.value(names.key(row).unwrap()).to_owned()
            }
            DataType::Timestamp(..) => {
                column.as_primitive::<TimestampNanosecondType>().value(row).to_string()
            }
            DataType::Date32 => column.as_primitive::<Date32Type>().value(row).to_string(),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
            DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
            DataType::Boolean => column.as_boolean().value(row).to_string(),
            _ => bits(column.as_primitive::<Float64Type>().value(row)),
        }
    };
    (0..batch.num_rows())
        .map(|row| (0..batch.num_columns()).map(|place| value(place, row)).collect())
        .collect()
}

fn ask(snapshot: &Snapshot, model: &Model, question: &Question) -> usize {
    let scan = snapshot.scan(&question.request()).unwrap();
    let schema = scan.schema().clone();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, question.columns);
    let mut rows = Vec::new();
    for batch in scan {
        let batch = batch.unwrap();
        assert!(
            (1..=question.batch_rows).contains(&batch.num_rows()),
            "{} rows: {question:?}",
            batch.num_rows()
        );
        assert_eq!(batch.schema(), schema);
        rows.extend(shown(&batch));
    }
    let expected = question.answer(model);
    if rows != expected {
        let place =
            rows.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(rows.len().min(expected.len()));
        panic!(
            "{question:?}: {} rows and not {}; row {place} is {:?} and not {:?}",
            rows.len(),
            expected.len(),
            rows.get(place),
            expected.get(place)
        );
    }
    rows.len()
}

#[test]
fn any_request_gives_the_rows_of_the_model() {
    let seed = seed("any_request_gives_the_rows_of_the_model");
    let mut found = 0;
    for round in 0..rounds(8, 200) as u64 {
        let mut rng = Rng::new(seed + round);
        let count = *rng.pick(&[6, 30, 72]);
        let mut world = Past::new(Market { days: rng.within(5, 60), ..Market::new(count) });
        for _ in 0..4 {
            world.live(&mut rng, 12);
            let snapshot = world.store.snapshot().unwrap();
            for _ in 0..25 {
                let question = Question::random(&mut rng, &world.market);
                found += ask(&snapshot, &world.model, &question);
            }
        }
    }
    assert!(found > 1_000, "{found} rows were compared");
}

#[test]
fn imported_segments_overlap_and_are_scanned_on_both_axes() {
    let seed = seed("imported_segments_overlap_and_are_scanned_on_both_axes");
    for round in 0..rounds(1, 20) as u64 {
        let mut rng = Rng::new(seed + round);
        let mut world = Past::new(Market { days: 320, ..Market::new(72) });
        for (interval, variant) in
            [(Interval::DAY, 1), (Interval::MINUTE, 1), (Interval::DAY, 2), (Interval::MINUTE, 0)]
        {
            world.bulk(interval, variant);
            world.live(&mut rng, 10);
            let snapshot = world.store.snapshot().unwrap();
            for _ in 0..15 {
                let mut question = Question::random(&mut rng, &world.market);
                // 20,000 units of one row each would only take long.
                question.unit_rows = question.unit_rows.map(|rows| rows.max(300));
                ask(&snapshot, &world.model, &question);
            }
            // All rows, whatever was drawn.
            for order in [ScanOrder::Instrument, ScanOrder::Time] {
                let table = ScanTable::Bars { interval, adjustment: AdjustmentTag::Raw };
                let question = Question {
                    batch_rows: 10_000,
                    threads: 2,
                    unit_rows: Some(3_000),
                    ..Question::all(table, order)
                };
                assert!(ask(&snapshot, &world.model, &question) > 20_000);
            }
        }
    }
}

#[test]
fn a_scan_outlives_its_snapshot_and_what_is_written_meanwhile() {
    let mut rng = Rng::new(seed("a_scan_outlives_its_snapshot_and_what_is_written_meanwhile"));
    let mut world = Past::new(Market { days: 40, ..Market::new(30) });
    world.live(&mut rng, 60);
    world.seal(&mut rng);
    let request = ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw).batch_rows(50).unit_rows(50);
    let scan = {
        let snapshot = world.store.snapshot().unwrap();
        snapshot.scan(&request).unwrap()
    };
    let table = ScanTable::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw };
    let question = Question::all(table, ScanOrder::Instrument);
    let (lsn, expected) = (world.model.lsn, question.answer(&world.model));
    world.live(&mut rng, 40);
    // Its files leave their places while it reads them.
    world.seal(&mut rng);
    world.merge();
    assert!(scan.lsn() == lsn && world.model.lsn > lsn);
    let rows: Vec<_> = scan.flat_map(|batch| shown(&batch.unwrap())).collect();
    assert_eq!(rows, expected);
    assert!(world.dir.path().exists());
}

#[test]
fn streams_larger_than_a_page_are_scanned_from_the_pages_that_may_hold_a_time() {
    let mut world = Past::new(Market::new(6));
    let start = Market::day(3).label().nanos() + 5_400_000_000_000;
    let tick = |number: i64| Tick {
        ts: Timestamp::from_nanos(start + number / 2 * 500_000_000),
        sequence: (number % 2) as u64,
        trading_day: Market::day(3),
        last: number as f64 / 100.0,
        ..Tick::default()
    };
    let trade = |number: i64| MarketTrade {
        ts: Timestamp::from_nanos(start + number / 3 * 1_000_000),
        sequence: number as u64,
        trading_day: Market::day(3),
        price: number as f64 / 10.0,
        side: barkeeper_records::Side::ALL[usize::try_from(number % 3).unwrap()],
        aggregated: number % 2 == 0,
        ..MarketTrade::default()
    };
    let instruments = world.market.instruments.clone();
    let each = |instrument: &InstrumentId| (0..9_000).map(|number| (*instrument, number)).collect::<Vec<_>>();
    let rows: Vec<_> = instruments.iter().flat_map(each).collect();
    world.import_events(
        rows.iter().map(|(instrument, number)| (*instrument, tick(*number))).collect(),
        rows.iter().map(|(instrument, number)| (*instrument, trade(*number))).collect(),
    );
    let mut rng =
        Rng::new(seed("streams_larger_than_a_page_are_scanned_from_the_pages_that_may_hold_a_time"));
    // Corrections and removals over what is sealed.
    world.live(&mut rng, 15);
    let snapshot = world.store.snapshot().unwrap();
    for round in 0..60 {
        let table = if round % 2 == 0 { ScanTable::Ticks } else { ScanTable::MarketTrades };
        let order = if rng.chance(50) { ScanOrder::Time } else { ScanOrder::Instrument };
        let from = start + rng.below(2_200) as i64 * 1_000_000_000;
        let to = from + *rng.pick(&[0, 999_999, 3_000_000_000, 700_000_000_000]);
        let question = Question {
            from: if round < 2 { Timestamp::MIN } else { Timestamp::from_nanos(from) },
            to: if round < 2 { Timestamp::MAX } else { Timestamp::from_nanos(to) },
            batch_rows: 7_000,
            threads: rng.within(1, 3),
            unit_rows: Some(*rng.pick(&[500, 4_000, 60_000])),
            ..Question::all(table, order)
        };
        let found = ask(&snapshot, &world.model, &question);
        assert!(round >= 2 || found > 10_000, "{found} rows of {table:?}");
    }
}

#[test]
fn trade_records_are_scanned_in_either_order() {
    let seed = seed("trade_records_are_scanned_in_either_order");
    let mut rng = Rng::new(seed);
    let mut world = Past::new(Market { days: 20, ..Market::new(12) });
    world.live(&mut rng, 150);
    let snapshot = world.store.snapshot().unwrap();
    let voided: BTreeSet<_> = world.model.trades.values().filter_map(|trade| trade.voids).collect();
    for with_void in [false, true] {
        for order in [ScanOrder::Time, ScanOrder::Instrument] {
            let from = Market::day(rng.below(10)).label();
            let mut expected: Vec<_> = world
                .model
                .trades
                .values()
                .filter(|trade| trade.ts >= from)
                .filter(|trade| {
                    with_void || (trade.kind != TradeKind::Void && !voided.contains(&trade.trade_id))
                })
                .collect();
            match order {
                ScanOrder::Time => expected.sort_by_key(|trade| (trade.ts, trade.instrument, trade.trade_id)),
                ScanOrder::Instrument => {
                    expected.sort_by_key(|trade| (trade.instrument, trade.ts, trade.trade_id));
                }
            }
            let request = ScanRequest::trades()
                .from(from)
                .order(order)
                .with_void(with_void)
                .batch_rows(7)
                .columns(["fee", "trade_id", "price", "strategy"]);
            let mut found = Vec::new();
            for batch in snapshot.scan(&request).unwrap() {
                let batch = batch.unwrap();
                let money = |place: usize, row: usize| {
                    let column = batch.column(place).as_primitive::<Decimal128Type>();
                    column.is_valid(row).then(|| column.value(row))
                };
                for row in 0..batch.num_rows() {
                    let strategy = batch.column(3).as_string::<i32>();
                    found.push((
                        money(0, row),
                        batch.column(1).as_string::<i32>().value(row).to_owned(),
                        money(2, row).unwrap(),
                        strategy.is_valid(row).then(|| strategy.value(row).to_owned()),
                    ));
                }
            }
            let shown = |trade: &barkeeper_records::TradeRecord| {
                (
                    trade.fee.map(|fee| scaled(fee).unwrap()),
                    trade.trade_id.to_string(),
                    scaled(trade.price).unwrap(),
                    trade.strategy.as_ref().map(ToString::to_string),
                )
            };
            assert_eq!(found, expected.into_iter().map(shown).collect::<Vec<_>>());
            assert!(!found.is_empty());
        }
    }
}

#[test]
fn a_column_that_is_none_is_named_with_those_there_are() {
    let world = Past::new(Market::new(3));
    let snapshot = world.store.snapshot().unwrap();
    let bars = ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw).columns(["close", "price"]);
    let error = snapshot.scan(&bars).unwrap_err();
    assert!(matches!(&error, ReadError::Column { name, .. } if name == "price"), "{error:?}");
    assert!(error.to_string().contains("instrument, ts, trading_day, open"), "{error}");
    assert!(snapshot.scan(&ScanRequest::trades().columns(["close"])).is_err());
    let error = snapshot.scan(&ScanRequest::market_trades().columns(["bid_price_1"])).unwrap_err();
    assert!(error.to_string().contains("turnover, side, aggregated"), "{error}");
    assert_eq!(snapshot.scan(&ScanRequest::ticks()).unwrap().count(), 0);
    assert_eq!(snapshot.scan(&ScanRequest::trades()).unwrap().count(), 0);
    let none = ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw);
    assert_eq!(snapshot.scan(&none).unwrap().count(), 0);
}
