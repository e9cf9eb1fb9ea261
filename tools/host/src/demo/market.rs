//! `Market`: a generated market that repeats for a seed, bit for bit, on every machine.

use barkeeper_records::{Bar, InstrumentId, Timestamp, TradingDay};

use super::random::Random;

/// How much market there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketSpec {
    /// Stocks, funds and an index with daily bars.
    pub instruments: usize,
    /// Trading days that stand in files.
    pub days: usize,
    /// Trading days after those, which a running desk would append itself.
    pub live_days: usize,
    /// What makes one market differ from another.
    pub seed: u64,
}

/// What a code stands for; it decides the decimals of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingKind {
    /// Prices in 1/100.
    Stock,
    /// Prices in 1/1000.
    Fund,
    /// Points in 1/100; volume in lots.
    Index,
}

impl ListingKind {
    const fn scale(self) -> f64 {
        match self {
            Self::Stock | Self::Index => 100.0,
            Self::Fund => 1000.0,
        }
    }
}

/// One line of the market's list.
#[derive(Debug, Clone)]
pub struct Listing {
    /// What is traded.
    pub instrument: InstrumentId,
    /// What it is.
    pub kind: ListingKind,
    /// Its Chinese name, invented.
    pub name: String,
}

/// A day of a listing in whole steps of its price, as exchanges and TDX files count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) open: u32,
    pub(crate) high: u32,
    pub(crate) low: u32,
    pub(crate) close: u32,
    /// Shares; lots for an index.
    pub(crate) volume: u32,
}

impl Steps {
    /// Money moved, at the precision of the single float in which TDX keeps it.
    pub(crate) fn amount(&self, kind: ListingKind) -> f32 {
        let mean =
            (f64::from(self.open) + f64::from(self.high) + f64::from(self.low) + f64::from(self.close)) / 4.0;
        #[expect(clippy::cast_possible_truncation, reason = "TDX keeps the amount as a single float")]
        let amount = (mean / kind.scale() * f64::from(self.volume)) as f32;
        amount
    }
}

/// Codes, in turn: the first number of a family and its venue.
const FAMILIES: [(u32, &str); 5] =
    [(1, "SZ"), (600_000, "SH"), (300_001, "SZ"), (688_001, "SH"), (920_001, "BJ")];
const NAME_FIRST: [&str; 8] = ["东", "西", "南", "北", "金", "华", "天", "海"];
const NAME_SECOND: [&str; 8] = ["药", "电", "钢", "科", "能", "港", "路", "银"];
/// The first trading day of every market.
const FIRST_DAY: (i16, i8, i8) = (2023, 7, 3);

/// A market: its list and its days. Bars are made when they are asked for.
#[derive(Debug, Clone)]
pub struct Market {
    spec: MarketSpec,
    listings: Vec<Listing>,
    days: Vec<TradingDay>,
}

impl Market {
    /// The market of a specification.
    pub fn new(spec: MarketSpec) -> Self {
        let listings = (0..spec.instruments).filter_map(listing).collect();
        let days = trading_days(spec.days + spec.live_days);
        Self { spec, listings, days }
    }

    /// What was asked for.
    pub const fn spec(&self) -> MarketSpec {
        self.spec
    }

    /// All that is traded, in the order of the list.
    pub fn listings(&self) -> &[Listing] {
        &self.listings
    }

    /// The trading days that stand in files.
    pub fn file_days(&self) -> &[TradingDay] {
        self.days.get(..self.spec.days).unwrap_or(&self.days)
    }

    /// All trading days, the live ones at the end.
    pub fn days(&self) -> &[TradingDay] {
        &self.days
    }

    /// The bars of one listing over all days, unadjusted; empty for a place that there is not.
    pub fn bars(&self, place: usize) -> Vec<Bar> {
        let Some(listing) = self.listings.get(place) else { return Vec::new() };
        let steps = self.steps(place);
        self.days.iter().zip(&steps).map(|(day, steps)| bar(*day, steps, listing.kind)).collect()
    }

    /// The days of one listing in whole steps.
    pub(crate) fn steps(&self, place: usize) -> Vec<Steps> {
        let kind = self.listings.get(place).map_or(ListingKind::Stock, |listing| listing.kind);
        let mut random = Random::new(self.spec.seed, place as u64);
        let start = match kind {
            ListingKind::Stock => 3.0 + random.unit() * random.unit() * 200.0,
            ListingKind::Fund => 0.8 + random.unit() * 4.0,
            ListingKind::Index => 3000.0 + random.unit() * 500.0,
        };
        let usual_volume = 200_000.0 + random.unit() * random.unit() * 40_000_000.0;
        let mut last = (start * kind.scale()).round();
        self.days.iter().map(|_| walk(&mut random, &mut last, usual_volume)).collect()
    }
}

/// One day of a walk: moves of about 2 %, never beyond the exchange's 10 %.
fn walk(random: &mut Random, last: &mut f64, usual_volume: f64) -> Steps {
    let (lowest, highest) = ((*last * 0.9).ceil().max(50.0), (*last * 1.1).floor().max(60.0));
    let allowed = |price: f64| price.round().clamp(lowest, highest);
    let change = 0.02 * random.bell();
    let open = allowed(*last * (1.0 + 0.006 * random.bell()));
    let close = allowed(*last * (1.0 + change));
    let high = allowed(open.max(close) * (1.0 + 0.008 * random.unit()));
    let low = allowed(open.min(close) * (1.0 - 0.008 * random.unit()));
    let volume = usual_volume * (0.5 + random.unit()) * (1.0 + 8.0 * change.abs());
    *last = close;
    Steps {
        open: whole(open),
        high: whole(high),
        low: whole(low),
        close: whole(close),
        volume: whole((volume / 100.0).round() * 100.0),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "prices and volumes of the walk are far below 2^32")]
fn whole(number: f64) -> u32 {
    number as u32
}

fn bar(day: TradingDay, steps: &Steps, kind: ListingKind) -> Bar {
    let price = |steps: u32| f64::from(steps) / kind.scale();
    Bar {
        ts: day.label(),
        trading_day: day,
        open: price(steps.open),
        high: price(steps.high),
        low: price(steps.low),
        close: price(steps.close),
        volume: f64::from(steps.volume),
        turnover: f64::from(steps.amount(kind)),
        open_interest: 0.0,
    }
}

/// The listing at a place: the index first, then funds at every fiftieth, else stocks.
fn listing(place: usize) -> Option<Listing> {
    let number = u32::try_from(place).ok()?;
    let (code, kind) = if place == 0 {
        ("000001.SH".to_owned(), ListingKind::Index)
    } else if place.is_multiple_of(50) {
        (format!("{}.SH", 510_000 + number), ListingKind::Fund)
    } else {
        let (first, venue) = FAMILIES.get((place - 1) % FAMILIES.len())?;
        (format!("{:06}.{venue}", first + (number - 1) / 5), ListingKind::Stock)
    };
    let (first, second) = (NAME_FIRST.get(place / 8 % 8)?, NAME_SECOND.get(place % 8)?);
    let suffix = if kind == ListingKind::Fund { "基金" } else { "股份" };
    Some(Listing { instrument: code.parse().ok()?, kind, name: format!("{first}{second}{suffix}") })
}

/// Monday to Friday less a few fixed holidays.
fn trading_days(count: usize) -> Vec<TradingDay> {
    let (year, month, day) = FIRST_DAY;
    let mut day = TradingDay::from_ymd(year, month, day).unwrap_or_default();
    let mut days = Vec::with_capacity(count);
    while days.len() < count && day < TradingDay::MAX {
        if is_open(day) {
            days.push(day);
        }
        day = day.next();
    }
    days
}

fn is_open(day: TradingDay) -> bool {
    let date = day.date();
    let weekday = date.weekday().to_monday_zero_offset() < 5;
    let holiday = matches!((date.month(), date.day()), (1, 1) | (2, 10..=16) | (5, 1..=3) | (10, 1..=7));
    weekday && !holiday
}

/// A pair of currencies with bars of an hour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) symbol: &'static str,
    start: f64,
}

/// The pairs of every market.
pub(crate) const PAIRS: [Pair; 3] = [
    Pair { symbol: "BTCUSDT", start: 94_000.0 },
    Pair { symbol: "ETHUSDT", start: 3_300.0 },
    Pair { symbol: "SOLUSDT", start: 190.0 },
];
/// 2025-01-01T00:00:00Z, from which Binance's archives count in microseconds.
const PAIRS_FROM_NS: i64 = 1_735_689_600_000_000_000;
pub(crate) const HOUR_NS: i64 = 3_600_000_000_000;

/// The hours of a pair: open, high, low, close in 1/100, volume in 1/1000.
pub(crate) fn pair_hours(seed: u64, place: usize, hours: usize) -> Vec<(Timestamp, Steps)> {
    let Some(pair) = PAIRS.get(place) else { return Vec::new() };
    let mut random = Random::new(seed, 1_000_000 + place as u64);
    let mut last = pair.start * 100.0;
    let mut ts = PAIRS_FROM_NS;
    let mut all = Vec::with_capacity(hours);
    for _ in 0..hours {
        all.push((Timestamp::from_nanos(ts), walk(&mut random, &mut last, 900_000.0)));
        ts += HOUR_NS;
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SPEC: MarketSpec = MarketSpec { instruments: 520, days: 30, live_days: 5, seed: 1 };

    #[test]
    fn a_market_repeats_and_another_seed_is_another_market() {
        let market = Market::new(SPEC);
        assert_eq!(market.bars(3), Market::new(SPEC).bars(3));
        assert_ne!(market.bars(3), Market::new(MarketSpec { seed: 2, ..SPEC }).bars(3));
        // More days lengthen a series and change nothing before.
        let longer = Market::new(MarketSpec { live_days: 9, ..SPEC }).bars(3);
        assert_eq!(longer.get(..35), Some(market.bars(3).as_slice()));
    }

    #[test]
    fn every_instrument_stands_once() {
        let market = Market::new(SPEC);
        let all: BTreeSet<InstrumentId> = market.listings().iter().map(|l| l.instrument).collect();
        assert_eq!((all.len(), market.listings().len()), (520, 520));
        assert_eq!((market.file_days().len(), market.days().len()), (30, 35));
    }

    #[test]
    fn bars_are_ordered_and_money_fits_prices() {
        let market = Market::new(SPEC);
        for place in [0, 1, 2, 50, 519] {
            for bar in market.bars(place) {
                assert!(bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close));
                let mean = bar.turnover / bar.volume;
                assert!(mean > bar.low * 0.9999 && mean < bar.high * 1.0001, "{bar:?}");
            }
        }
    }

    #[test]
    fn holidays_and_weekends_are_left_out() {
        let days = trading_days(400);
        let has = |text: &str| days.contains(&text.parse().unwrap());
        assert!(has("2023-07-03") && has("2023-10-09"));
        assert!(!has("2023-10-02") && !has("2024-01-01") && !has("2023-07-08"));
    }
}
