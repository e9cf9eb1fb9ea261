//! A generated market: deterministic daily bars with two decimals.

use barkeeper_records::{Bar, BarRun, InstrumentId, SeriesKey, TradingDay};

/// How large the market is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) instruments: u32,
    pub(crate) days: i32,
}

/// A small generator of numbers that look random and are the same on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

pub(crate) fn instrument(number: u32) -> InstrumentId {
    let (code, venue) =
        if number.is_multiple_of(2) { (number / 2 + 1, "SZ") } else { (600_000 + number / 2, "SH") };
    format!("{code:06}.{venue}").parse().unwrap_or_else(|_| unreachable_name())
}

fn unreachable_name() -> InstrumentId {
    // Six digits and a known venue always parse; the bench needs some value for the compiler.
    InstrumentId::from_trusted(b"000001.SZ").unwrap_or_else(unreachable_name)
}

/// The nth weekday after 2019-12-31.
pub(crate) fn weekday(n: i32) -> TradingDay {
    // 2020-01-06 is a Monday, 18,267 days after 1970-01-01.
    TradingDay::from_days(18_267 + n / 5 * 7 + n % 5).unwrap_or(TradingDay::MAX)
}

pub(crate) fn bar(day: TradingDay, numbers: &mut Numbers, cents: &mut u64) -> Bar {
    let open = *cents;
    *cents = (*cents + numbers.below(41)).saturating_sub(20).max(100);
    let (high, low) = (open.max(*cents) + numbers.below(15), open.min(*cents) - numbers.below(15));
    let volume = (1_000 + numbers.below(900_000)) * 100;
    let price = |cents: u64| cents as f64 / 100.0;
    let turnover = (volume * u64::midpoint(high, low)) as f64 / 100.0;
    let all = [price(open), price(high), price(low), price(*cents), volume as f64, turnover, 0.0];
    Bar::from_numbers(day.label(), day, all)
}

/// The daily bars of one instrument.
pub(crate) fn run(number: u32, days: i32) -> BarRun {
    let mut numbers = Numbers::new(u64::from(number) + 1);
    let mut cents = 500 + numbers.below(5_000);
    let bars = (0..days).map(|n| bar(weekday(n), &mut numbers, &mut cents)).collect();
    let series = SeriesKey::daily(instrument(number));
    match BarRun::new(series, bars) {
        Ok(run) => run,
        Err((row, error)) => {
            eprintln!("the generator made a bad bar in row {row}: {error}");
            std::process::exit(1)
        }
    }
}
