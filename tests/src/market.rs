//! `Market`: the accounts, instruments and bars that random tests draw from.

#![allow(clippy::expect_used, reason = "names and dates are constants of this file")]

use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, BookId, InstrumentId, Interval, IntervalUnit, PositionKey, SeriesKey,
    Timestamp, TradingDay,
};

use crate::rng::Rng;

/// The first trading day of every test: 2024-01-02.
const FIRST_DAY: i32 = 19_724;

/// A small world: few enough keys that operations meet, enough that chunks and pages fill.
#[derive(Debug, Clone)]
pub struct Market {
    /// Whose trades and positions.
    pub accounts: Vec<AccountId>,
    /// In which books.
    pub books: Vec<BookId>,
    /// Of what, in text order.
    pub instruments: Vec<InstrumentId>,
    /// Lengths and adjustments of bars.
    pub kinds: Vec<(Interval, AdjustmentTag)>,
    /// How many trading days bars span.
    pub days: usize,
}

impl Market {
    /// A market of this many instruments.
    ///
    /// # Panics
    /// Never: its names are valid.
    pub fn new(instruments: usize) -> Self {
        let mut names: Vec<InstrumentId> = (0..instruments).map(instrument).collect();
        names.sort_unstable();
        let account = |name| AccountId::new(name).expect("an account");
        let hour = Interval::new(1, IntervalUnit::Hour).expect("an interval");
        Self {
            accounts: vec![account("alpha"), account("国金-2")],
            books: vec![BookId::main(), BookId::new("night").expect("a book")],
            instruments: names,
            kinds: vec![
                (Interval::DAY, AdjustmentTag::Raw),
                (Interval::DAY, AdjustmentTag::Qfq),
                (Interval::MINUTE, AdjustmentTag::Raw),
                (hour, AdjustmentTag::Raw),
            ],
            days: 75,
        }
    }

    /// A trading day, counted from the first.
    ///
    /// # Panics
    /// Where the number lies beyond the year 2261.
    pub fn day(number: usize) -> TradingDay {
        let days = FIRST_DAY + i32::try_from(number).expect("a day");
        TradingDay::from_days(days).expect("a day")
    }

    /// The `ts` and the trading day of the bar of this number in a day.
    pub fn moment(interval: Interval, day: usize, number: usize) -> (Timestamp, TradingDay) {
        let (day, next) = (Self::day(day), Self::day(day + 1));
        match interval.nanos() {
            None => (day.label(), day),
            Some(step) => {
                // 01:30 UTC, half past nine in Shanghai; from the 120th bar on it is a night session.
                let open = day.label().nanos() + 5_400_000_000_000;
                let ts = Timestamp::from_nanos(open + i64::try_from(number).unwrap_or(0) * step);
                (ts, if number < 120 { day } else { next })
            }
        }
    }

    /// A bar whose content follows from its key and a variant.
    pub fn bar(series: &SeriesKey, moment: (Timestamp, TradingDay), variant: usize) -> Bar {
        let mut seed = moment.0.nanos() as u64 ^ (variant as u64) << 56;
        for byte in series.instrument.as_bytes() {
            seed = seed.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        let mut rng =
            Rng::new(seed ^ u64::from(series.interval.code()) << 32 ^ u64::from(series.adjustment.code()));
        let close = cents(rng.within(100, 99_999));
        let open = close + cents(rng.below(200)) - 1.0;
        let spread = cents(rng.below(150));
        // Prices may be zero, negative or out of order, and zero may carry a sign: all of that is real.
        let odd = match rng.below(12) {
            0 => -0.0,
            1 => -close,
            2 => f64::from_bits(rng.bits() >> 12),
            _ => close.min(open) - spread,
        };
        let volume = rng.below(1_000_000) as f64;
        let numbers =
            [open, close.max(open) + spread, odd, close, volume, volume * close, rng.below(3) as f64];
        Bar::from_numbers(moment.0, moment.1, numbers)
    }

    /// Any series.
    pub fn series(&self, rng: &mut Rng) -> SeriesKey {
        let (interval, adjustment) = *rng.pick(&self.kinds);
        SeriesKey { interval, adjustment, instrument: *rng.pick(&self.instruments) }
    }

    /// Any position's key.
    pub fn position(&self, rng: &mut Rng) -> PositionKey {
        PositionKey {
            account: rng.pick(&self.accounts).clone(),
            book: rng.pick(&self.books).clone(),
            instrument: *rng.pick(&self.instruments),
        }
    }
}

fn instrument(number: usize) -> InstrumentId {
    let text = match number % 6 {
        0 => format!("{:06}.SZ", number + 1),
        1 => format!("6{number:05}.SH"),
        2 => format!("IF{:04}.CFFEX", 2400 + number),
        3 => format!("COIN{number}USDT.BINANCE"),
        4 => format!("sr{:04}.CZCE", 2400 + number),
        _ => format!("43{number:04}.BJ"),
    };
    text.parse().expect("an instrument")
}

fn cents(number: usize) -> f64 {
    number as f64 / 100.0
}
