//! `Tick`: a market snapshot with five levels of depth.

use serde::{Deserialize, Serialize};

use crate::event::{EventPlace, MarketEvent};
use crate::schema::Table;
use crate::time::{Timestamp, TradingDay};

/// Levels of depth on each side.
pub const LEVELS: usize = 5;

/// A market snapshot of one instrument. 0 stands where the venue says nothing: for a price before the
/// first trade, a limit that there is not, a level that nobody offers (its volume is 0 as well).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tick {
    /// The venue's time of the snapshot, UTC.
    pub ts: Timestamp,
    /// The venue's number, else the row's ordinal among the ticks of one instant, from 0.
    pub sequence: u64,
    /// The venue's day. A night session belongs to the next one.
    pub trading_day: TradingDay,
    /// The last price, in the quote currency.
    pub last: f64,
    /// Traded since the start of the trading day (cumulative, as CTP, QMT and vn.py have it), in shares,
    /// contracts or base units; never negative.
    pub volume: f64,
    /// Traded since the start of the trading day, in the quote currency, never in thousands.
    pub turnover: f64,
    /// Contracts; 0 where the venue has none.
    pub open_interest: f64,
    /// The highest price that the day allows.
    pub upper_limit: f64,
    /// The lowest price that the day allows.
    pub lower_limit: f64,
    /// Bid prices, the best first.
    pub bid_prices: [f64; LEVELS],
    /// What is bid at them.
    pub bid_volumes: [f64; LEVELS],
    /// Ask prices, the best first.
    pub ask_prices: [f64; LEVELS],
    /// What is asked at them.
    pub ask_volumes: [f64; LEVELS],
}

const PLAIN: usize = 6;

impl MarketEvent for Tick {
    const TABLE: Table = Table::Ticks;
    const WHAT: &'static str = "ticks";
    const NUMBERS: &'static [&'static str] = &[
        "last",
        "volume",
        "turnover",
        "open_interest",
        "upper_limit",
        "lower_limit",
        "bid_price_1",
        "bid_price_2",
        "bid_price_3",
        "bid_price_4",
        "bid_price_5",
        "bid_volume_1",
        "bid_volume_2",
        "bid_volume_3",
        "bid_volume_4",
        "bid_volume_5",
        "ask_price_1",
        "ask_price_2",
        "ask_price_3",
        "ask_price_4",
        "ask_price_5",
        "ask_volume_1",
        "ask_volume_2",
        "ask_volume_3",
        "ask_volume_4",
        "ask_volume_5",
    ];
    const AMOUNTS: &'static [&'static str] = &[
        "volume",
        "open_interest",
        "bid_volume_1",
        "bid_volume_2",
        "bid_volume_3",
        "bid_volume_4",
        "bid_volume_5",
        "ask_volume_1",
        "ask_volume_2",
        "ask_volume_3",
        "ask_volume_4",
        "ask_volume_5",
    ];
    const UNTOLD: &'static [&'static str] = &[
        "last",
        "upper_limit",
        "lower_limit",
        "bid_price_1",
        "bid_price_2",
        "bid_price_3",
        "bid_price_4",
        "bid_price_5",
        "ask_price_1",
        "ask_price_2",
        "ask_price_3",
        "ask_price_4",
        "ask_price_5",
    ];

    fn place(&self) -> EventPlace {
        EventPlace { ts: self.ts, sequence: self.sequence }
    }

    fn trading_day(&self) -> TradingDay {
        self.trading_day
    }

    fn number(&self, place: usize) -> f64 {
        let plain =
            [self.last, self.volume, self.turnover, self.open_interest, self.upper_limit, self.lower_limit];
        let found = match place.checked_sub(PLAIN) {
            None => plain.get(place),
            Some(level) => {
                let side = match level / LEVELS {
                    0 => &self.bid_prices,
                    1 => &self.bid_volumes,
                    2 => &self.ask_prices,
                    3 => &self.ask_volumes,
                    _ => return 0.0,
                };
                side.get(level % LEVELS)
            }
        };
        found.copied().unwrap_or(0.0)
    }

    fn code(&self) -> u8 {
        0
    }

    fn from_parts(place: EventPlace, trading_day: TradingDay, numbers: &[f64], code: u8) -> Option<Self> {
        let (plain, levels) = numbers.split_first_chunk::<PLAIN>()?;
        let (bid_prices, levels) = levels.split_first_chunk::<LEVELS>()?;
        let (bid_volumes, levels) = levels.split_first_chunk::<LEVELS>()?;
        let (ask_prices, levels) = levels.split_first_chunk::<LEVELS>()?;
        let ask_volumes = levels.first_chunk::<LEVELS>()?;
        let [last, volume, turnover, open_interest, upper_limit, lower_limit] = *plain;
        (code == 0).then_some(Self {
            ts: place.ts,
            sequence: place.sequence,
            trading_day,
            last,
            volume,
            turnover,
            open_interest,
            upper_limit,
            lower_limit,
            bid_prices: *bid_prices,
            bid_volumes: *bid_volumes,
            ask_prices: *ask_prices,
            ask_volumes: *ask_volumes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventError;

    fn numbered() -> Tick {
        let numbers: Vec<f64> = (1..=26).map(f64::from).collect();
        let place = EventPlace { ts: Timestamp::from_nanos(5), sequence: 7 };
        Tick::from_parts(place, TradingDay::default(), &numbers, 0).unwrap()
    }

    #[test]
    fn numbers_come_back_in_their_places() {
        let tick = numbered();
        let numbers: Vec<f64> = (0..Tick::NUMBERS.len()).map(|place| tick.number(place)).collect();
        assert_eq!(numbers, (1..=26).map(f64::from).collect::<Vec<_>>());
        assert_eq!(
            (tick.last, tick.lower_limit, tick.bid_prices[0], tick.ask_volumes[4]),
            (1.0, 6.0, 7.0, 26.0)
        );
        assert_eq!(tick.number(26).to_bits(), 0);
        assert_eq!(Tick::from_parts(tick.place(), tick.trading_day, &[1.0; 25], 0), None);
        assert_eq!(Tick::from_parts(tick.place(), tick.trading_day, &[1.0; 26], 1), None);
    }

    #[test]
    fn birth_refuses_what_is_no_number_and_negative_amounts() {
        let tick = numbered();
        assert!(tick.born().unwrap().same_content(&tick));
        let negative = Tick { last: -37.63, turnover: -1.0, ..tick };
        assert!(negative.born().is_ok(), "prices below zero are real");
        let mut odd = tick;
        odd.ask_volumes[4] = -1.0;
        assert_eq!(odd.born(), Err(EventError::Negative { field: "ask_volume_5", value: -1.0 }));
        odd.ask_volumes[4] = 1.0;
        odd.bid_prices[1] = f64::NAN;
        assert!(matches!(odd.born(), Err(EventError::NotFinite { field: "bid_price_2", .. })));
        assert_eq!(
            Tick { sequence: 1 << 63, ..tick }.born(),
            Err(EventError::Sequence { sequence: 1 << 63 })
        );
        let zero = Tick { open_interest: -0.0, ..tick }.born().unwrap();
        assert_eq!(zero.open_interest.to_bits(), 0);
    }
}
