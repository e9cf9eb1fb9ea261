//! Ticks, market trades and corporate actions in the model: what must be stored, drawn, digested and read.

#![allow(clippy::expect_used, reason = "names are drawn so that they are valid")]

use std::collections::BTreeMap;

use barkeeper::Snapshot;
use barkeeper_records::{
    EventPlace, FactorEvent, InstrumentId, LEVELS, MarketEvent, MarketTrade, OnConflict, Operation, Outcome,
    Side, Table, Tick, Timestamp, TradingDay, Value, Version,
};
use barkeeper_storage::{StoredEvent, rowview};

use crate::examine::Examination;
use crate::market::Market;
use crate::model::{Draft, Model, Refused};
use crate::rng::Rng;

/// Rows by instrument and place, each with the version that wrote it.
pub type Rows<T> = BTreeMap<(InstrumentId, EventPlace), (T, Version)>;

/// What a store must hold beside bars and the ledger.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    /// Ticks.
    pub ticks: Rows<Tick>,
    /// Market trades.
    pub market_trades: Rows<MarketTrade>,
    /// Corporate actions.
    pub factors: BTreeMap<(InstrumentId, TradingDay), FactorEvent>,
}

/// Which rows an operation means.
type Pick<T> = fn(&mut Streams) -> &mut Rows<T>;

const TICKS: Pick<Tick> = |streams| &mut streams.ticks;
const TRADES: Pick<MarketTrade> = |streams| &mut streams.market_trades;

impl Draft<'_> {
    /// Evaluates an operation on ticks, market trades and corporate actions; `None` for any other.
    pub(crate) fn streams(&mut self, operation: &Operation) -> Option<Result<Outcome, Refused>> {
        Some(match operation {
            Operation::PutTicks { ticks, on_conflict } => self.put_rows(TICKS, ticks, *on_conflict),
            Operation::PutMarketTrades { trades, on_conflict } => self.put_rows(TRADES, trades, *on_conflict),
            Operation::DeleteTicks { instrument, from, to } => {
                Ok(self.delete_rows(TICKS, *instrument, *from, *to))
            }
            Operation::DeleteMarketTrades { instrument, from, to } => {
                Ok(self.delete_rows(TRADES, *instrument, *from, *to))
            }
            Operation::SetFactor(event) => event.born().map_err(|_| Refused::Value).map(|event| {
                let old = self.model.streams.factors.insert((event.instrument, event.ex_day), event);
                self.note(old.is_none_or(|old| !old.same_content(&event)))
            }),
            Operation::DeleteFactor { instrument, ex_day } => {
                let old = self.model.streams.factors.remove(&(*instrument, *ex_day));
                Ok(self.note(old.is_some()))
            }
            _ => return None,
        })
    }

    fn note(&mut self, changed: bool) -> Outcome {
        self.changed |= changed;
        if changed { Outcome::Done } else { Outcome::Unchanged }
    }

    fn put_rows<T: MarketEvent>(
        &mut self,
        pick: Pick<T>,
        rows: &[(InstrumentId, T)],
        on_conflict: OnConflict,
    ) -> Result<Outcome, Refused> {
        let mut once: BTreeMap<(InstrumentId, EventPlace), T> = BTreeMap::new();
        for (instrument, row) in rows {
            let row = row.born().map_err(|_| Refused::Value)?;
            if once.insert((*instrument, row.place()), row).is_some_and(|old| !old.same_content(&row)) {
                return Err(Refused::Value);
            }
        }
        let stored = pick(&mut self.model.streams);
        let [mut inserted, mut replaced, mut kept, mut unchanged] = [0; 4];
        let mut own = false;
        let mut written = Vec::new();
        for (key, row) in once {
            match stored.get(&key) {
                Some((old, _)) if old.same_content(&row) => unchanged += 1,
                Some(_) if on_conflict == OnConflict::Refuse => return Err(Refused::Conflict),
                Some(_) if on_conflict == OnConflict::Keep => kept += 1,
                old => {
                    own |= old.is_some_and(|(_, version)| *version >= self.version);
                    *if old.is_some() { &mut replaced } else { &mut inserted } += 1;
                    written.push((key, row));
                }
            }
        }
        if own {
            self.advance();
        }
        self.changed |= !written.is_empty();
        let version = self.version;
        pick(&mut self.model.streams).extend(written.into_iter().map(|(key, row)| (key, (row, version))));
        Ok(Outcome::Events { inserted, replaced, kept, unchanged, deleted: 0 })
    }

    fn delete_rows<T: MarketEvent>(
        &mut self,
        pick: Pick<T>,
        instrument: InstrumentId,
        from: Timestamp,
        to: Timestamp,
    ) -> Outcome {
        let stored = pick(&mut self.model.streams);
        let before = stored.len();
        stored.retain(|(one, place), _| *one != instrument || place.ts < from || place.ts >= to);
        let deleted = (before - stored.len()) as u64;
        if deleted > 0 {
            self.changed = true;
            self.advance();
        }
        Outcome::Events { inserted: 0, replaced: 0, kept: 0, unchanged: 0, deleted }
    }
}

fn add_rows<T: StoredEvent>(rows: &Rows<T>, add: &mut impl FnMut(Table, String, i32, &[Value], &[Value])) {
    for ((instrument, place), (row, _)) in rows {
        let (key, values) = (rowview::event_key(instrument, *place), rowview::event_values(row));
        add(T::TABLE, instrument.group().to_owned(), rowview::period_of(place.ts), &key, &values);
    }
}

/// Adds the model's rows to the digests that it expects.
pub(crate) fn add_digests(model: &Model, add: &mut impl FnMut(Table, String, i32, &[Value], &[Value])) {
    add_rows(&model.streams.ticks, add);
    add_rows(&model.streams.market_trades, add);
    for ((instrument, ex_day), event) in &model.streams.factors {
        let (key, values) = (rowview::factor_key(instrument, *ex_day), rowview::factor_values(event));
        add(Table::Factors, instrument.group().to_owned(), 0, &key, &values);
    }
}

/// The rows of each instrument.
fn by_instrument<T: MarketEvent>(rows: &Rows<T>) -> BTreeMap<InstrumentId, Vec<T>> {
    let mut found: BTreeMap<InstrumentId, Vec<T>> = BTreeMap::new();
    for ((instrument, _), (row, _)) in rows {
        found.entry(*instrument).or_default().push(*row);
    }
    found
}

impl Examination {
    /// Asks for all ticks, market trades and corporate actions.
    pub(crate) fn streams(&mut self, model: &Model, snapshot: &Snapshot) {
        let events: Vec<FactorEvent> = model.streams.factors.values().copied().collect();
        self.ask(|| "all corporate actions".to_owned(), &events, || snapshot.all_factor_events());
        let (all, none) = (Timestamp::MAX, Timestamp::MIN);
        for (instrument, rows) in by_instrument(&model.streams.ticks) {
            let what = || format!("ticks of {instrument}");
            self.ask(what, &rows, || snapshot.ticks(&instrument, none, all));
            let last = rows.get(rows.len().saturating_sub(3)..).unwrap_or_default().to_vec();
            self.ask(what, &last, || snapshot.last_ticks(&instrument, 3));
            let (from, to) = middle(&rows);
            let part: Vec<Tick> = rows.iter().filter(|row| (from..=to).contains(&row.ts)).copied().collect();
            self.ask(what, &part, || snapshot.ticks(&instrument, from, to));
            let count = Some(rows.len() as u64);
            self.ask(what, &count, || Ok(snapshot.tick_summary(&instrument)?.map(|one| one.count)));
        }
        let counts: Vec<_> = by_instrument(&model.streams.market_trades)
            .into_iter()
            .map(|(instrument, rows)| (instrument, rows.len() as u64))
            .collect();
        self.ask(
            || "all market trades".to_owned(),
            &counts,
            || Ok(snapshot.all_market_trades()?.into_iter().map(|one| (one.instrument, one.count)).collect()),
        );
        for (instrument, rows) in by_instrument(&model.streams.market_trades) {
            let what = || format!("market trades of {instrument}");
            self.ask(what, &rows, || snapshot.market_trades(&instrument, none, all));
        }
    }
}

fn middle<T: MarketEvent>(rows: &[T]) -> (Timestamp, Timestamp) {
    let at = |place: usize| rows.get(place).map_or(Timestamp::MIN, |row| row.place().ts);
    (at(rows.len() / 3), at(rows.len() * 2 / 3))
}

/// An operation on ticks, market trades or corporate actions.
pub(crate) fn operation(market: &Market, rng: &mut Rng, on_conflict: OnConflict) -> Operation {
    let instrument = *rng.pick(&market.instruments);
    let day = Market::day(rng.below(market.days));
    let from = Timestamp::from_nanos(
        day.label().nanos() + 5_400_000_000_000 + rng.below(100) as i64 * 1_000_000_000,
    );
    let to = Timestamp::from_nanos(from.nanos() + *rng.pick(&[1, 30, 86_400, 8_640_000]) * 1_000_000_000);
    match rng.below(12) {
        0 => Operation::DeleteTicks { instrument, from, to },
        1 => Operation::DeleteMarketTrades { instrument, from, to },
        2 => Operation::DeleteFactor { instrument, ex_day: Market::day(rng.below(6)) },
        3 | 4 => {
            let factor = rng.chance(30).then(|| rng.within(1, 30) as f64 / 10.0);
            let cash = rng.below(4) as f64 / 10.0;
            let event =
                FactorEvent { cash, factor, ..FactorEvent::on(instrument, Market::day(rng.below(6))) };
            Operation::SetFactor(event)
        }
        5 => {
            // A run of one instrument.
            let trades =
                (0..rng.within(1, 200)).map(|n| (instrument, trade(from, n, rng.below(3)))).collect();
            Operation::PutMarketTrades { trades, on_conflict }
        }
        6 | 7 => {
            let trades =
                some(market, rng).into_iter().map(|one| (one, trade(from, rng.below(3), rng.below(3))));
            Operation::PutMarketTrades { trades: trades.collect(), on_conflict }
        }
        8 => {
            let ticks = (0..rng.within(1, 40)).map(|n| (instrument, tick(from, n, rng.below(3)))).collect();
            Operation::PutTicks { ticks, on_conflict }
        }
        _ => {
            let ticks =
                some(market, rng).into_iter().map(|one| (one, tick(from, rng.below(2), rng.below(3))));
            Operation::PutTicks { ticks: ticks.collect(), on_conflict }
        }
    }
}

/// Ticks and market trades of one day for every instrument. Each part corrects some rows of the part before,
/// adds some behind them, and removes the first of one instrument.
pub fn section(market: &Market, part: usize) -> Vec<Operation> {
    let on_conflict = OnConflict::Replace;
    let from = Timestamp::from_nanos(Market::day(0).label().nanos() + 5_400_000_000_000);
    let to = Timestamp::from_nanos(from.nanos() + 1_000_000_000);
    let all = || market.instruments.iter().flat_map(|one| (part..part + 6).map(move |n| (*one, n)));
    let ticks = all().map(|(one, number)| (one, tick(from, number, part % 3))).collect();
    let trades = all().map(|(one, number)| (one, trade(from, number, part % 3))).collect();
    let instrument = market.instruments.get(part).copied();
    let removed = instrument.filter(|_| part > 0).map(|instrument| {
        [
            Operation::DeleteTicks { instrument, from, to },
            Operation::DeleteMarketTrades { instrument, from, to },
        ]
    });
    let put =
        [Operation::PutTicks { ticks, on_conflict }, Operation::PutMarketTrades { trades, on_conflict }];
    put.into_iter().chain(removed.into_iter().flatten()).collect()
}

/// Many instruments, none twice.
fn some(market: &Market, rng: &mut Rng) -> Vec<InstrumentId> {
    let percent = rng.within(10, 100);
    market.instruments.iter().copied().filter(|_| rng.chance(percent)).collect()
}

fn tick(start: Timestamp, number: usize, variant: usize) -> Tick {
    let price = 10.0 + number as f64 / 100.0 + variant as f64;
    Tick {
        ts: Timestamp::from_nanos(start.nanos() + number as i64 / 2 * 500_000_000),
        sequence: number as u64 % 2,
        trading_day: TradingDay::of_utc(start).expect("a day"),
        last: if variant == 2 { -0.0 } else { price },
        volume: number as f64 * 100.0,
        bid_prices: [price - 0.01; LEVELS],
        ask_prices: [price / 3.0; LEVELS],
        ask_volumes: [variant as f64; LEVELS],
        ..Tick::default()
    }
}

fn trade(start: Timestamp, number: usize, variant: usize) -> MarketTrade {
    MarketTrade {
        ts: Timestamp::from_nanos(start.nanos() + number as i64 / 3 * 1_000_000),
        sequence: number as u64,
        trading_day: TradingDay::of_utc(start).expect("a day"),
        price: 42_000.5 + variant as f64,
        quantity: 0.001 * number as f64,
        turnover: 0.0,
        side: if number.is_multiple_of(2) { Side::Buy } else { Side::Sell },
        aggregated: false,
    }
}
