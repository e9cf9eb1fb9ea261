//! `Ledger`: what one generated account bought, sold and holds, consistent with the market's prices.

use std::collections::BTreeMap;

use barkeeper_records::TradingDay;

use super::market::{ListingKind, Market};
use super::random::Random;

/// Positions that an account works towards.
const HELD: usize = 100;
/// Trading days over which it trades: six months.
const DAYS: usize = 126;
/// Bought on a day while there are too few, and exchanged on a day afterwards.
const BOUGHT_A_DAY: usize = 4;
const EXCHANGED_A_DAY: usize = 2;

/// One fill; the order that led to it stands right before it in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    /// The place of the instrument in the market's list.
    pub place: usize,
    /// When.
    pub day: TradingDay,
    /// Seconds after midnight in Shanghai at which it was ordered; it was filled two seconds later.
    pub second: u32,
    /// Bought, else sold.
    pub buys: bool,
    /// Price in 1/100; 1/1000 for funds.
    pub steps: u32,
    /// Shares.
    pub quantity: u32,
}

/// What an account holds of one instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// Trading days since the entry; `None` where it was sold.
    pub days: Option<u32>,
    /// Highest price since the entry.
    pub highest: f64,
    /// Lowest price since the entry.
    pub lowest: f64,
}

/// One account's trades and positions.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// In the order of time.
    pub fills: Vec<Fill>,
    /// By place in the market's list; sold ones among them.
    pub holdings: BTreeMap<usize, Holding>,
    /// The trading day of the last daily increment.
    pub incremented_on: TradingDay,
}

struct Entry {
    day: usize,
    quantity: u32,
}

impl Ledger {
    /// The ledger of an account; `stream` tells accounts apart.
    pub fn new(market: &Market, stream: u64) -> Self {
        let days = market.file_days();
        let stocks: Vec<usize> = (0..market.listings().len())
            .filter(|place| market.listings().get(*place).is_some_and(|l| l.kind == ListingKind::Stock))
            .collect();
        let target = HELD.min(stocks.len() / 2);
        let mut random = Random::new(market.spec().seed, 2_000_000 + stream);
        let mut held: BTreeMap<usize, Entry> = BTreeMap::new();
        let mut plan: Vec<(usize, usize, bool, u32, u32)> = Vec::new();
        for day in days.len().saturating_sub(DAYS)..days.len() {
            let full = held.len() >= target;
            let mut second = 34_260;
            if full {
                for _ in 0..EXCHANGED_A_DAY.min(held.len()) {
                    let Some(place) = held.keys().nth(random.below(held.len())).copied() else { continue };
                    if let Some(entry) = held.remove(&place) {
                        second += 60 + u32::try_from(random.below(1200)).unwrap_or(0);
                        plan.push((place, day, false, second, entry.quantity));
                    }
                }
            }
            for _ in 0..if full { EXCHANGED_A_DAY } else { BOUGHT_A_DAY } {
                let Some(place) = stocks.get(random.below(stocks.len())).copied() else { continue };
                if held.len() >= target || held.contains_key(&place) {
                    continue;
                }
                let quantity = 100 * (1 + u32::try_from(random.below(20)).unwrap_or(0));
                second += 60 + u32::try_from(random.below(1200)).unwrap_or(0);
                plan.push((place, day, true, second, quantity));
                held.insert(place, Entry { day, quantity });
            }
        }
        Self::of(market, &plan, &held)
    }

    fn of(market: &Market, plan: &[(usize, usize, bool, u32, u32)], held: &BTreeMap<usize, Entry>) -> Self {
        let days = market.file_days();
        let mut series = BTreeMap::new();
        let mut fills = Vec::with_capacity(plan.len());
        let mut holdings = BTreeMap::new();
        for (place, day, buys, second, quantity) in plan.iter().copied() {
            let steps: &Vec<_> = series.entry(place).or_insert_with(|| market.steps(place));
            let (Some(price), Some(on)) = (steps.get(day), days.get(day)) else { continue };
            fills.push(Fill { place, day: *on, second, buys, steps: price.close, quantity });
            if !buys {
                holdings.insert(place, Holding { days: None, highest: 0.0, lowest: 0.0 });
            }
        }
        for (place, entry) in held {
            let steps = series.get(place).map(Vec::as_slice).unwrap_or_default();
            let since = steps.get(entry.day..days.len()).unwrap_or_default();
            let price = |steps: Option<u32>| f64::from(steps.unwrap_or(100)) / 100.0;
            let holding = Holding {
                days: u32::try_from(days.len() - 1 - entry.day).ok(),
                highest: price(since.iter().map(|s| s.high).max()),
                lowest: price(since.iter().map(|s| s.low).min()),
            };
            holdings.insert(*place, holding);
        }
        Self { fills, holdings, incremented_on: days.last().copied().unwrap_or_default() }
    }

    /// Positions that are held.
    pub fn open(&self) -> impl Iterator<Item = (usize, &Holding)> {
        self.holdings.iter().filter(|(_, held)| held.days.is_some()).map(|(place, held)| (*place, held))
    }

    /// Lines of the trade log: an order and a fill each.
    pub fn lines(&self) -> usize {
        2 * self.fills.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::MarketSpec;

    #[test]
    fn about_a_hundred_positions_are_held_and_sells_follow_buys() {
        let market = Market::new(MarketSpec { instruments: 300, days: 200, live_days: 0, seed: 5 });
        let ledger = Ledger::new(&market, 0);
        assert!((90..=100).contains(&ledger.open().count()), "{}", ledger.open().count());
        let mut quantity = BTreeMap::new();
        for fill in &ledger.fills {
            let held = quantity.entry(fill.place).or_insert(0_i64);
            *held += if fill.buys { i64::from(fill.quantity) } else { -i64::from(fill.quantity) };
            assert!(*held >= 0);
        }
        for (place, holding) in ledger.open() {
            assert!(quantity.get(&place).is_some_and(|held| *held > 0));
            assert!(holding.lowest <= holding.highest && holding.days.is_some_and(|days| days < 126));
        }
        assert_ne!(ledger.fills, Ledger::new(&market, 1).fills);
    }
}
