//! `Workload`: random batches over a market, most of them sensible, some of them to be refused.

#![allow(clippy::expect_used, reason = "runs and decimals are drawn so that they are valid")]

use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Batch, ExtremeUpdate, ImportRecord, InstrumentId, Interval, OnConflict,
    Operation, Position, PositionStatus, Precondition, Quality, SeriesKey, StrategyId, Timestamp, TradeId,
    TradeKind, TradeRecord, TradingDay,
};
use rust_decimal::Decimal;

use crate::market::Market;
use crate::model::Model;
use crate::rng::Rng;

/// Draws batches.
#[derive(Debug, Clone)]
pub struct Workload {
    /// What it draws from.
    pub market: Market,
    rng: Rng,
    serial: usize,
}

impl Workload {
    /// Batches that follow from a seed.
    pub const fn new(market: Market, seed: u64) -> Self {
        Self { market, rng: Rng::new(seed), serial: 0 }
    }

    /// The next batch, which may look at what is stored.
    pub fn batch(&mut self, model: &Model) -> Batch {
        if self.rng.chance(4) && !model.requests.is_empty() {
            return self.repeat(model);
        }
        let mut batch = Batch::new();
        for _ in 0..self.rng.within(1, 4) {
            let operation = self.operation(model);
            batch = batch.with(operation);
        }
        if self.rng.chance(12) {
            batch = batch.when(self.precondition(model));
        }
        if self.rng.chance(40) {
            self.serial += 1;
            batch = batch.request("desk", &format!("r{}-{}", self.serial, self.rng.below(1_000_000)));
        }
        batch
    }

    /// A batch under a request id that was answered before; what it holds must not matter.
    fn repeat(&mut self, model: &Model) -> Batch {
        let place = self.rng.below(model.requests.len());
        let batch = Batch::of(self.bars());
        match model.requests.keys().nth(place) {
            Some(request) => batch.request(&request.client, &request.id),
            None => batch,
        }
    }

    fn precondition(&mut self, model: &Model) -> Precondition {
        let key = self.market.position(&mut self.rng);
        match self.rng.below(4) {
            0 => Precondition::PositionOpen(key),
            1 => Precondition::PositionNotOpen(key),
            2 => Precondition::TradeAbsent(TradeId(self.rng.below(200) as u128)),
            _ => Precondition::HeadIs(model.lsn),
        }
    }

    /// One operation of any kind.
    pub fn operation(&mut self, model: &Model) -> Operation {
        match self.rng.below(100) {
            0..=19 => self.bars(),
            20..=34 => self.cross_section(),
            35..=41 => self.delete_bars(),
            42..=55 => self.trade(model),
            56..=58 => self.import_note(),
            59..=64 => self.increment(),
            65..=70 => self.state(model),
            71..=76 => {
                let on_conflict = self.policy();
                crate::streams::operation(&self.market, &mut self.rng, on_conflict)
            }
            _ => self.position(model),
        }
    }

    fn policy(&mut self) -> OnConflict {
        match self.rng.below(10) {
            0 => OnConflict::Refuse,
            1 | 2 => OnConflict::Keep,
            _ => OnConflict::Replace,
        }
    }

    /// Some bars of one series.
    ///
    /// # Panics
    /// Never: the bars are valid.
    pub fn run(&mut self, most: usize) -> (SeriesKey, Vec<Bar>) {
        let series = self.market.series(&mut self.rng);
        let wanted = self.rng.within(1, most);
        let daily = series.interval.is_daily_or_longer();
        let day = self.rng.below(self.market.days);
        let mut number = if daily { 0 } else { self.rng.below(200) };
        let mut bars = Vec::with_capacity(wanted);
        let mut days = day..day + wanted;
        for _ in 0..wanted {
            let moment = if daily {
                let Some(day) = days.next().filter(|day| *day < self.market.days) else { break };
                Market::moment(series.interval, day, 0)
            } else {
                // Hours would run into the next day; a day holds five of them.
                let place = if series.interval == Interval::MINUTE { number } else { number % 5 };
                number += self.rng.within(1, 3);
                Market::moment(series.interval, day, place)
            };
            let variant = self.rng.below(3);
            bars.push(Market::bar(&series, moment, variant));
        }
        bars.sort_by_key(|bar| bar.ts);
        bars.dedup_by_key(|bar| bar.ts);
        let run = BarRun::new(series, bars).expect("bars that can be");
        (series, run.bars().to_vec())
    }

    fn bars(&mut self) -> Operation {
        let (series, bars) = self.run(12);
        let run = BarRun::new(series, bars).expect("bars that can be");
        Operation::PutBars { run, on_conflict: self.policy() }
    }

    fn cross_section(&mut self) -> Operation {
        let (interval, adjustment) = *self.rng.pick(&self.market.kinds);
        let all = self.market.instruments.len();
        let wanted = match self.rng.below(3) {
            0 => self.rng.within(1, 15.min(all)),
            1 => self.rng.within(16.min(all), all),
            _ => all,
        };
        let (day, number) = (self.rng.below(self.market.days), self.rng.below(5));
        Operation::PutCrossSection {
            interval,
            adjustment,
            bars: self.section(interval, adjustment, day, number, wanted),
            on_conflict: self.policy(),
        }
    }

    /// The bars of some instruments at one `ts`, in any order.
    pub fn section(
        &mut self,
        interval: Interval,
        adjustment: AdjustmentTag,
        day: usize,
        number: usize,
        wanted: usize,
    ) -> Vec<(InstrumentId, Bar)> {
        let moment = Market::moment(interval, day, number);
        let mut names = self.market.instruments.clone();
        while names.len() > wanted {
            let place = self.rng.below(names.len());
            names.swap_remove(place);
        }
        let bar = |instrument: InstrumentId| {
            let series = SeriesKey { interval, adjustment, instrument };
            (instrument, Market::bar(&series, moment, self.rng.below(3)))
        };
        names.into_iter().map(bar).collect()
    }

    fn delete_bars(&mut self) -> Operation {
        let series = self.market.series(&mut self.rng);
        let first = self.rng.below(self.market.days);
        let days = *self.rng.pick(&[1, 3, 10, 200]);
        let from = Market::moment(series.interval, first, 0).0;
        let to = Market::moment(series.interval, first + days, 0).0;
        Operation::DeleteBars { series, from, to }
    }

    fn increment(&mut self) -> Operation {
        let account = self.rng.pick(&self.market.accounts).clone();
        let book = self.rng.pick(&self.market.books).clone();
        let day = Market::day(self.rng.below(40));
        match self.rng.below(5) {
            0 => Operation::SetIncrementedOn { account, book, day },
            1 => Operation::IncrementHeldDays { account, book, day: None, catch_up: false },
            _ => {
                Operation::IncrementHeldDays { account, book, day: Some(day), catch_up: self.rng.chance(50) }
            }
        }
    }

    /// A state of a strategy, new or known, or the removal of one; now and then one that is no JSON.
    fn state(&mut self, model: &Model) -> Operation {
        let place = self.rng.below(model.states.len().max(1));
        let known = model.states.values().nth(place).cloned();
        match (known, self.rng.below(10)) {
            (Some(old), 0 | 1) => Operation::DeleteStrategySnapshot { key: old.key },
            (Some(old), 2) => Operation::SaveStrategySnapshot {
                strategy: old.key.strategy,
                saved_at: old.key.saved_at,
                schema_version: old.schema_version,
                body: old.body,
            },
            _ => {
                let name = *self.rng.pick(&["reversal", "轮动", "a"]);
                let body = match self.rng.below(8) {
                    0 => "{".to_owned(),
                    1 => format!("[\"{}\"]", "状态".repeat(self.rng.below(20_000))),
                    _ => format!("{{\"cash\": {}}}", self.rng.below(5)),
                };
                let seconds = self.rng.below(50) as i64 * 100_000;
                Operation::SaveStrategySnapshot {
                    strategy: StrategyId::new(name).expect("a strategy"),
                    saved_at: Timestamp::from_nanos(Market::day(0).label().nanos() + seconds * 1_000_000_000),
                    schema_version: 1 + u32::from(self.rng.chance(20)),
                    body,
                }
            }
        }
    }

    fn import_note(&mut self) -> Operation {
        let number = self.rng.below(30);
        Operation::RecordImport(ImportRecord {
            hash: format!("{number:064x}"),
            source: "test".to_owned(),
            file: format!("file-{number}.csv"),
            rows: number as u64,
            rejected: 0,
            quality: Quality::default(),
        })
    }

    /// Relaxed highs and lows of some instruments.
    pub fn extremes(&mut self) -> Vec<ExtremeUpdate> {
        let mut updates = Vec::new();
        for _ in 0..self.rng.within(1, 5) {
            let instrument = *self.rng.pick(&self.market.instruments);
            let low = price(&mut self.rng);
            updates.push(ExtremeUpdate { instrument, high: low + 1.5, low });
        }
        updates
    }

    fn quantity(&mut self) -> Decimal {
        if self.rng.chance(3) { Decimal::ZERO } else { Decimal::new(self.rng.within(1, 90) as i64 * 10, 1) }
    }

    fn days(&mut self, end: usize) -> u32 {
        u32::try_from(self.rng.below(end)).unwrap_or(0)
    }

    fn maybe_price(&mut self) -> Option<Decimal> {
        self.rng.chance(75).then(|| Decimal::new(self.rng.within(1, 99_999) as i64, 3))
    }

    /// Mostly a position that is there; operations on strangers are refused.
    fn position(&mut self, model: &Model) -> Operation {
        let known = self.rng.below(model.positions.len().max(1));
        let key = match model.positions.keys().nth(known) {
            Some(key) if self.rng.chance(80) => key.clone(),
            _ => self.market.position(&mut self.rng),
        };
        let day = Market::day(self.rng.below(40));
        match self.rng.below(20) {
            0..=4 => {
                let quantity = self.rng.chance(80).then(|| self.quantity());
                let key = self.market.position(&mut self.rng);
                if model.is_open(&key) {
                    return Operation::SetHeldDays { key, days: 1 };
                }
                Operation::OpenPosition { key, day, quantity, price: self.maybe_price() }
            }
            5 | 6 => Operation::AddPosition { key, quantity: self.quantity(), price: self.maybe_price() },
            7 => Operation::ReducePosition { key, quantity: self.quantity() },
            8 => Operation::ClosePosition { key },
            9 => Operation::DeletePosition { key },
            10 | 11 => Operation::SetHeldDays { key, days: self.days(5) },
            12 | 13 => {
                let book = key.book.clone();
                Operation::UpdateExtremes { account: key.account, book, updates: self.extremes() }
            }
            14 => {
                let low = price(&mut self.rng);
                let (highest, lowest) =
                    (self.rng.chance(60).then_some(low + 2.0), self.rng.chance(60).then_some(low));
                Operation::SetExtremes { key, highest, lowest }
            }
            _ => {
                let low = price(&mut self.rng);
                Operation::SetPosition(Position {
                    status: if self.rng.chance(70) { PositionStatus::Open } else { PositionStatus::Closed },
                    held_days: self.rng.chance(80).then(|| self.days(30)),
                    highest: self.rng.chance(50).then_some(low * 2.0),
                    lowest: self.rng.chance(50).then_some(low),
                    lowest_trusted: self.rng.chance(80),
                    quantity: self.rng.chance(70).then(|| self.quantity()),
                    cost: self.maybe_price(),
                    ..Position::opened(key, self.rng.chance(70).then_some(day))
                })
            }
        }
    }

    fn trade(&mut self, model: &Model) -> Operation {
        let old = self.rng.below(model.trades.len().max(1));
        let old = model.trades.values().nth(old).cloned();
        match (old, self.rng.below(10)) {
            (Some(old), 0) => Operation::RecordTrade(old),
            (Some(old), 1) => Operation::RecordTrade(TradeRecord { remark: "another".to_owned(), ..old }),
            (Some(old), 2 | 3) => Operation::VoidTrade {
                trade_id: self.trade_id(),
                voids: old.trade_id,
                ts: old.ts,
                remark: "wrong account".to_owned(),
            },
            _ => {
                let day = Market::day(self.rng.below(self.market.days));
                Operation::RecordTrade(self.fill(day))
            }
        }
    }

    fn trade_id(&mut self) -> TradeId {
        TradeId(u128::from(self.rng.bits()) << 40 | u128::from(self.rng.bits() >> 24))
    }

    /// A line of the trade log on a trading day.
    ///
    /// # Panics
    /// Never: its names are valid.
    pub fn fill(&mut self, day: TradingDay) -> TradeRecord {
        let kinds = [
            TradeKind::BuyFill,
            TradeKind::SellFill,
            TradeKind::BuyOrder,
            TradeKind::SellOrder,
            TradeKind::Cancel,
        ];
        let key = self.market.position(&mut self.rng);
        let minutes = self.rng.below(300) as i64;
        TradeRecord {
            trade_id: self.trade_id(),
            account: key.account,
            book: key.book,
            instrument: key.instrument,
            strategy: self.rng.chance(40).then(|| StrategyId::new("reversal").expect("a strategy")),
            kind: *self.rng.pick(&kinds),
            ts: Timestamp::from_nanos(day.label().nanos() + minutes * 60_000_000_000),
            trading_day: day,
            price: Decimal::new(self.rng.within(1, 9_999_999) as i64, 4),
            quantity: Decimal::from(self.rng.within(1, 50) * 100),
            amount: self.rng.chance(30).then(|| Decimal::new(self.rng.within(1, 9_999_999) as i64, 2)),
            fee: self.rng.chance(50).then(|| Decimal::new(self.rng.below(10_000) as i64, 2)),
            name: "平安银行".to_owned(),
            remark: "r".repeat(self.rng.below(40)),
            source_text: if self.rng.chance(20) { "成交".to_owned() } else { String::new() },
            external_id: self.rng.chance(30).then(|| format!("x{}", self.rng.below(40))),
            voids: None,
        }
    }
}

fn price(rng: &mut Rng) -> f64 {
    rng.within(100, 5_000) as f64 / 100.0
}
