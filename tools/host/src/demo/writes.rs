//! The writes of a trading day: a new day of bars, a fill with its position and extremes, a whole tick.

use std::path::Path;
use std::time::Duration;

use barkeeper::{Store, TradeQuery};
use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, Batch, BookId, ExtremeUpdate, InstrumentId, Interval, OnConflict,
    Operation, PositionKey, Timestamp, TradeId, TradeKind, TradeRecord, TradingDay,
};
use rust_decimal::Decimal;

use super::error::DemoError;
use super::market::Market;
use super::market_files::AccountFiles;
use super::measure::{Timing, forced_writes, measure, measure_for};
use super::report::Teller;

/// At most this long for one kind of write: slow disks are slow for everybody.
const LIMIT: Duration = Duration::from_secs(4);
/// What the floor of a commit is.
const FLOOR: &str = "4 KB written in place and its fsync";
/// Instruments in the live book.
const HELD: usize = 100;
const LIVE_BOOK: &str = "live";

/// Writes a trading day.
pub(super) struct Writes<'a> {
    pub(super) store: &'a Store,
    pub(super) market: &'a Market,
    pub(super) accounts: &'a [AccountFiles],
    pub(super) folder: &'a Path,
    pub(super) calls: usize,
}

impl Writes<'_> {
    /// Does all of them.
    pub(super) fn write(&self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        teller.columns("Writes of a trading day, durable at return")?;
        let least = forced_writes(self.folder, self.calls, LIMIT)?;
        self.days(least, teller)?;
        self.fills(least, teller)?;
        self.tick(teller)
    }

    fn days(&self, least: Timing, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        let first = self.market.file_days().len();
        let days = self.market.days().get(first..).unwrap_or_default();
        let made: Vec<(InstrumentId, Vec<Bar>)> = (0..self.market.listings().len())
            .filter_map(|place| {
                Some((self.market.listings().get(place)?.instrument, self.market.bars(place)))
            })
            .collect();
        let mut sections: Vec<Vec<(InstrumentId, Bar)>> = Vec::new();
        for place in first..first + days.len() {
            let bar = |(instrument, bars): &(InstrumentId, Vec<Bar>)| Some((*instrument, *bars.get(place)?));
            sections.push(made.iter().filter_map(bar).collect());
        }
        let timing = measure(sections.len(), |call| {
            let operation = Operation::PutCrossSection {
                interval: Interval::DAY,
                adjustment: AdjustmentTag::Raw,
                bars: sections.get_mut(call).map(std::mem::take).unwrap_or_default(),
                on_conflict: OnConflict::Refuse,
            };
            self.store.commit(Batch::of(operation))?;
            Ok::<(), DemoError>(())
        })?;
        teller.measured(&format!("a new day of {} instruments", made.len()), timing, FLOOR, least)?;
        Ok(())
    }

    fn fills(&self, least: Timing, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        let Some(files) = self.accounts.first() else { return Ok(()) };
        let day = self.market.days().last().copied().unwrap_or_default();
        let book = live_book();
        let stocks = self.market.listings().iter().skip(1).take(HELD);
        let instruments: Vec<InstrumentId> = stocks.map(|listing| listing.instrument).collect();
        let mut opening = Batch::new();
        for instrument in &instruments {
            let key =
                PositionKey { account: files.account.clone(), book: book.clone(), instrument: *instrument };
            let (quantity, price) = (Some(Decimal::from(100)), Some(Decimal::from(10)));
            opening = opening.with(Operation::OpenPosition { key, day, quantity, price });
        }
        self.store.commit(opening)?;

        let timing = measure_for(self.calls, LIMIT, |call| {
            let instrument = instruments.get(call % instruments.len().max(1)).copied();
            let Some(instrument) = instrument else { return Ok(()) };
            self.store.commit(fill(&files.account, &book, instrument, day, call))?;
            Ok::<(), DemoError>(())
        })?;
        teller.measured("fill, position and extreme in one batch", timing, FLOOR, least)?;

        let query = TradeQuery { book: Some(book.clone()), ..TradeQuery::default() };
        let recorded = self.store.snapshot()?.trades(&query)?.len() as u64;
        let held = self.store.snapshot()?.positions(&files.account, Some(&book), false)?;
        let shares: Decimal = held.iter().filter_map(|position| position.quantity).sum();
        let expected = Decimal::from(100 * (instruments.len() as u64 + timing.calls));
        let found = format!("{recorded} fills, {shares} shares held");
        let right = timing.calls > 0 && recorded == timing.calls && shares == expected;
        teller.check("fills and positions move together", right, &found)?;
        Ok(())
    }

    fn tick(&self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        let Some(files) = self.accounts.first() else { return Ok(()) };
        let book = live_book();
        let held = self.store.snapshot()?.positions(&files.account, Some(&book), false)?;
        let mut updates: Vec<ExtremeUpdate> = held
            .iter()
            .map(|position| {
                let high = position.highest.unwrap_or(1.0);
                ExtremeUpdate { instrument: position.key.instrument, high, low: high }
            })
            .collect();
        let before = updates.clone();
        let timing = measure(self.calls, |call| {
            for (update, start) in updates.iter_mut().zip(&before) {
                update.high = start.high + (call + 1) as f64 / 100.0;
            }
            self.store.update_extremes(&files.account, &book, &updates)?;
            Ok::<(), DemoError>(())
        })?;
        let least = super::measure::floor(self.calls, |_| {
            std::hint::black_box(updates.clone());
        });
        let what = format!("a tick of {} positions, relaxed", updates.len());
        teller.measured(&what, timing, "a copy of the tick", least)?;
        let seen = self.store.snapshot()?.positions(&files.account, Some(&book), false)?;
        let shown = seen
            .iter()
            .zip(&updates)
            .filter(|(position, update)| position.highest == Some(update.high))
            .count();
        let found = format!("{shown} of {} positions show the last tick", updates.len());
        teller.check("readers see a tick at once", shown > 0 && shown == updates.len(), &found)?;
        Ok(())
    }
}

fn live_book() -> BookId {
    BookId::new(LIVE_BOOK).unwrap_or_else(|_| BookId::main())
}

/// A fill of 100 shares at 10, with what it changes.
pub(super) fn fill(
    account: &AccountId,
    book: &BookId,
    instrument: InstrumentId,
    day: TradingDay,
    number: usize,
) -> Batch {
    let key = PositionKey { account: account.clone(), book: book.clone(), instrument };
    let (price, quantity) = (Decimal::from(10), Decimal::from(100));
    let high = 10.0 + number as f64 / 100.0;
    let update = ExtremeUpdate { instrument, high, low: 9.0 };
    Batch::new()
        .with(Operation::RecordTrade(record(account, book, instrument, day, number, price, quantity)))
        .with(Operation::AddPosition { key, quantity, price: Some(price) })
        .with(Operation::UpdateExtremes {
            account: account.clone(),
            book: book.clone(),
            updates: vec![update],
        })
}

/// A fill with an id that follows from its book and number.
pub(super) fn record(
    account: &AccountId,
    book: &BookId,
    instrument: InstrumentId,
    day: TradingDay,
    number: usize,
    price: Decimal,
    quantity: Decimal,
) -> TradeRecord {
    TradeRecord {
        trade_id: trade_id(book, number),
        account: account.clone(),
        book: book.clone(),
        instrument,
        strategy: None,
        kind: TradeKind::BuyFill,
        ts: Timestamp::from_nanos(day.label().nanos() + 7_200_000_000_000 + number as i64 * 1_000_000),
        trading_day: day,
        price,
        quantity,
        amount: None,
        fee: None,
        name: String::new(),
        remark: String::new(),
        source_text: String::new(),
        external_id: None,
        voids: None,
    }
}

/// The id of a generated fill.
pub(super) fn trade_id(book: &BookId, number: usize) -> TradeId {
    let name =
        book.as_str().bytes().fold(0_u128, |sum, byte| sum.wrapping_mul(257).wrapping_add(u128::from(byte)));
    TradeId((name & 0xffff_ffff_ffff) << 64 | number as u128)
}
