//! `Market`: generated bars and fills, the same on every machine; nothing of it is a real market's.

use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, BookId, InstrumentId, Interval, SeriesKey, Timestamp, TradeId, TradeKind,
    TradeRecord, TradingDay,
};
use rust_decimal::Decimal;

/// How large the market is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Instruments with daily bars.
    pub(crate) instruments: u32,
    /// Trading days that stand in files.
    pub(crate) days: i32,
    /// Instruments with bars of a minute.
    pub(crate) minute_instruments: u32,
    /// Trading days of them.
    pub(crate) minute_days: i32,
    /// Fills of one year over all accounts.
    pub(crate) trades_a_year: u64,
}

impl Shape {
    /// 5,000 instruments x 1,250 days, and 500 x 60 days of minutes: what the goals are about.
    pub(crate) const DESK: Self = Self {
        name: "desk",
        instruments: 5_000,
        days: 1_250,
        minute_instruments: 500,
        minute_days: 60,
        trades_a_year: 100_000,
    };
    /// 800 instruments x 3,400 days, for factors.
    #[cfg(feature = "polars")]
    pub(crate) const FACTORS: Self = Self { name: "factors", instruments: 800, days: 3_400, ..Self::DESK };
    /// For trying the bench itself.
    pub(crate) const SMALL: Self = Self {
        name: "small",
        instruments: 500,
        days: 250,
        minute_instruments: 50,
        minute_days: 20,
        trades_a_year: 10_000,
    };
}

/// A small generator of numbers that look random and are the same on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(0x51_7c_c1_b7).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to below `limit`, which is not 0.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    /// From -`most` to `most`, near 0 most of the time.
    const fn around(&mut self, most: u64) -> i64 {
        let three = self.below(most + 1) + self.below(most + 1) + self.below(most + 1);
        (three * 2 / 3) as i64 - most as i64
    }
}

/// Every fiftieth is a fund, whose prices have three decimals.
const fn is_fund(number: u32) -> bool {
    number % 50 == 49
}

/// The instrument of a number: stocks of three venues, and funds.
pub(crate) fn instrument(number: u32) -> InstrumentId {
    const FAMILIES: [(u32, &str); 5] =
        [(1, "SZ"), (600_000, "SH"), (300_001, "SZ"), (688_001, "SH"), (920_001, "BJ")];
    let family = FAMILIES.get((number % 5) as usize).copied().unwrap_or((1, "SZ"));
    let (code, venue) =
        if is_fund(number) { (510_000 + number / 50, "SH") } else { (family.0 + number / 5, family.1) };
    let text = format!("{code:06}.{venue}");
    // Six digits and a known venue always parse.
    text.parse().unwrap_or_else(|_| instrument(0))
}

/// The daily series of a number.
pub(crate) fn daily(number: u32) -> SeriesKey {
    SeriesKey::daily(instrument(number))
}

/// The minute series of a number.
pub(crate) fn minutes(number: u32) -> SeriesKey {
    SeriesKey { interval: minute(), adjustment: AdjustmentTag::Raw, instrument: instrument(number) }
}

/// One minute.
pub(crate) fn minute() -> Interval {
    "1m".parse().unwrap_or(Interval::DAY)
}

/// The nth weekday from Monday 2020-01-06 on.
pub(crate) fn weekday(n: i32) -> TradingDay {
    // 18,267 days after 1970-01-01.
    TradingDay::from_days(18_267 + n.div_euclid(5) * 7 + n.rem_euclid(5)).unwrap_or(TradingDay::MAX)
}

/// A walk of prices in whole steps.
#[derive(Debug, Clone)]
struct Walk {
    numbers: Numbers,
    last: i64,
    lots: u64,
    steps: f64,
}

impl Walk {
    fn new(number: u32, stream: u64) -> Self {
        let mut numbers = Numbers::new(u64::from(number) << 8 | stream);
        let last = (300 + numbers.below(90) * numbers.below(90)) as i64;
        let lots = 2_000 + numbers.below(500) * numbers.below(500);
        Self { numbers, last, lots, steps: if is_fund(number) { 1_000.0 } else { 100.0 } }
    }

    /// The next bar; moves of a day are about 2 %, `calm` divides them.
    fn next(&mut self, ts: Timestamp, day: TradingDay, calm: i64) -> Bar {
        let from = self.last;
        let numbers = &mut self.numbers;
        let mut moved = |part: i64, most: i64| {
            (from * part * numbers.around(1_000) / 1_000 / 10_000 / calm).clamp(-most, most)
        };
        let most = from / 10;
        let (open, close) = (from + moved(60, most), from + moved(450, most));
        let (up, down) = (moved(150, most).abs(), moved(150, most).abs());
        let close = close.max(50);
        let open = open.max(50);
        let (high, low) = (open.max(close) + up, (open.min(close) - down).max(40));
        self.last = close;
        let lots = (self.lots * (500 + self.numbers.below(1_000)) / 1_000 / calm as u64).max(1);
        let mean = (open + high + low + close) as f64 / 4.0 / self.steps;
        let price = |steps: i64| steps as f64 / self.steps;
        let volume = (lots * 100) as f64;
        Bar::from_numbers(
            ts,
            day,
            [price(open), price(high), price(low), price(close), volume, (mean * volume).round(), 0.0],
        )
    }
}

/// The daily bars of a number on days `from..to`. Days on which it was suspended have none, but every
/// instrument trades on the last 60 days of files and on all days behind them.
pub(crate) fn daily_bars(number: u32, shape: Shape, from: i32, to: i32) -> Vec<Bar> {
    let mut walk = Walk::new(number, 0);
    let mut pauses = Numbers::new(u64::from(number) << 8 | 1);
    let mut resumes = 0;
    let mut bars = Vec::with_capacity(usize::try_from(to - from).unwrap_or(0));
    for n in 0..to {
        if n >= resumes && n < shape.days - 60 && pauses.below(600) == 0 {
            resumes = (n + 1 + i32::try_from(pauses.below(10)).unwrap_or(0)).min(shape.days - 60);
        }
        if n < resumes {
            continue;
        }
        let day = weekday(n);
        let bar = walk.next(day.label(), day, 1);
        if n >= from {
            bars.push(bar);
        }
    }
    bars
}

/// One bar an instrument of each of `days` days behind those of the files.
pub(crate) fn live_days(shape: Shape, days: i32) -> Vec<Vec<(InstrumentId, Bar)>> {
    let mut all: Vec<Vec<(InstrumentId, Bar)>> = vec![Vec::new(); usize::try_from(days).unwrap_or(0)];
    for number in 0..shape.instruments {
        let bars = daily_bars(number, shape, shape.days, shape.days + days);
        for (section, bar) in all.iter_mut().zip(bars) {
            section.push((instrument(number), bar));
        }
    }
    for section in &mut all {
        section.sort_by_key(|(instrument, _)| *instrument);
    }
    all
}

/// The start of the nth trading minute of a day: 09:30 to 11:30 and 13:00 to 15:00 in Shanghai.
pub(crate) fn minute_of(day: TradingDay, n: i64) -> Timestamp {
    let start = if n < 120 { 90 + n } else { 300 + n - 120 };
    Timestamp::from_nanos(day.label().nanos() + start * 60_000_000_000)
}

/// Trading minutes of a day.
pub(crate) const MINUTES: i64 = 240;

/// The minute bars of a number over the first `days` days.
pub(crate) fn minute_bars(number: u32, days: i32) -> Vec<Bar> {
    let mut walk = Walk::new(number, 2);
    let all = (0..days).flat_map(|n| (0..MINUTES).map(move |m| (weekday(n), m)));
    all.map(|(day, m)| walk.next(minute_of(day, m), day, 15)).collect()
}

/// The bars of one minute, made as a feed would deliver them.
#[derive(Debug)]
pub(crate) struct MinuteFeed {
    walks: Vec<(InstrumentId, Walk)>,
}

impl MinuteFeed {
    pub(crate) fn new(instruments: u32) -> Self {
        let mut walks: Vec<_> =
            (0..instruments).map(|number| (instrument(number), Walk::new(number, 3))).collect();
        walks.sort_by_key(|(instrument, _)| *instrument);
        Self { walks }
    }

    pub(crate) fn next(&mut self, n: i64) -> Vec<(InstrumentId, Bar)> {
        let day = weekday(i32::try_from(n / MINUTES).unwrap_or(0));
        let ts = minute_of(day, n % MINUTES);
        self.walks.iter_mut().map(|(instrument, walk)| (*instrument, walk.next(ts, day, 15))).collect()
    }
}

/// The accounts of the desk.
pub(crate) fn accounts() -> anyhow::Result<Vec<AccountId>> {
    ["desk-a", "desk-b", "desk-c"].into_iter().map(|name| Ok(AccountId::new(name)?)).collect()
}

/// Instruments that each account trades and holds.
pub(crate) const HELD: u32 = 100;
/// Trading days of a year.
pub(crate) const YEAR: i32 = 250;

/// The nth fill of the desk: the accounts take turns, and sell about as much as they bought.
pub(crate) fn fill(shape: Shape, accounts: &[AccountId], n: u64) -> anyhow::Result<TradeRecord> {
    let count = accounts.len() as u64;
    let place = usize::try_from(n % count).unwrap_or(0);
    let account = accounts.get(place).ok_or_else(|| anyhow::anyhow!("no account"))?;
    let of_account = n / count;
    let number = (of_account * 7 + n % count) % u64::from(HELD);
    let round = of_account / u64::from(HELD);
    let mut numbers = Numbers::new(n);
    let (day, in_day) = (n * YEAR as u64 / shape.trades_a_year, n * YEAR as u64 % shape.trades_a_year);
    let day = weekday(i32::try_from(day)?);
    let second = in_day as i64 * 14_000 / shape.trades_a_year as i64;
    let ts = Timestamp::from_nanos(
        minute_of(day, 0).nanos() + second * 1_000_000_000 + (n % 1_000) as i64 * 1_000_000,
    );
    let price = Decimal::new(800 + (numbers.below(400)) as i64, 2);
    let quantity = Decimal::from((1 + number % 9) * 100);
    Ok(TradeRecord {
        trade_id: TradeId(u128::from(n) + (1_u128 << 100)),
        account: account.clone(),
        book: BookId::main(),
        instrument: instrument(u32::try_from(number)?),
        strategy: None,
        kind: if round.is_multiple_of(2) { TradeKind::BuyFill } else { TradeKind::SellFill },
        ts,
        trading_day: day,
        price,
        quantity,
        amount: Some(price * quantity),
        fee: Some(Decimal::from(5)),
        name: String::new(),
        remark: String::new(),
        source_text: String::new(),
        external_id: Some(format!("{n:08}")),
        voids: None,
    })
}
