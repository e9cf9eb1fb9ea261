//! What is compared with stored prices before a corporate action is taken.

use barkeeper::Snapshot;
use barkeeper_records::{FactorEvent, SeriesKey, TradingDay};

/// How many times the last close the price of rights may be: they are offered below it.
const MOST: f64 = 10.0;
/// How old that close may be, in days.
const CLOSE_DAYS: i32 = 400;

/// Why the price of an event's rights cannot be: it is far above the last close before the ex-day. `None` where it is
/// not, and where no such close is stored.
pub(super) fn rights_price(event: &FactorEvent, snapshot: &Snapshot) -> anyhow::Result<Option<String>> {
    let Some(first) = TradingDay::from_days(event.ex_day.days().saturating_sub(CLOSE_DAYS)) else {
        return Ok(None);
    };
    if event.rights <= 0.0 {
        return Ok(None);
    }
    let daily = SeriesKey::daily(event.instrument);
    let bars = snapshot.bars(&daily, first.label(), event.ex_day.previous().label())?;
    let close = bars.last().map(|bar| bar.close).filter(|close| *close > 0.0);
    let far = close.filter(|close| event.rights_price > MOST * close);
    Ok(far
        .map(|close| format!("expected a price of one share, at most {MOST} times the last close, {close}")))
}
