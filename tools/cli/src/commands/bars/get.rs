//! `barkeeper bars get`: the bars of one instrument.

use barkeeper::{ReadError, Snapshot};
use barkeeper_records::{Adjustment, Bar, Direction, InstrumentId, TradingDay};
use clap::Args;

use super::{Kind, cells, columns};
use crate::cli::Out;
use crate::context::{Context, not_found};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Rows};
use crate::values::{When, bar_range};

/// Bars that are shown where nothing else is asked for.
const LAST: usize = 20;

/// Print the bars of one instrument
///
/// In JSON an array of objects with `ts`, `trading_day`, open, high, low, close, volume, turnover.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// `SYMBOL.VENUE` in any spelling: 000001.SZ, sh600000, BTCUSDT.BINANCE
    instrument: InstrumentId,
    #[command(flatten)]
    kind: Kind,
    /// The last N bars [default: 20]
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to", "all"])]
    last: Option<usize>,
    /// From this day or instant on; a time without an offset is the venue's
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Up to this day or instant, itself included
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// All bars
    #[arg(long, conflicts_with_all = ["from", "to"])]
    all: bool,
    /// As the store knew them then, before later corrections and imports; a day means its end. With --adjust: bars and
    /// corporate actions up to that trading day, whenever they came into the store
    #[arg(long, value_name = "WHEN")]
    as_of: Option<When>,
    /// Adjust prices for corporate actions (see `factors`): none, forward or backward
    #[arg(long, value_name = "DIRECTION", default_value_t)]
    adjust: Direction,
    /// Adjust volume as well, by the number of shares
    #[arg(long)]
    adjust_volume: bool,
    /// Print the open interest as well
    #[arg(long)]
    all_columns: bool,
}

impl Get {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let series = self.kind.series(self.instrument);
        if snapshot.series(&series)?.is_none() {
            return Err(not_found(format!("there are no bars of {series}")));
        }
        let mut rows = Rows::new(columns(self.all_columns));
        for bar in self.bars(&snapshot)? {
            rows.push(cells(&bar, self.kind, self.instrument.zone(), self.all_columns));
        }
        output::rows(out, context.format, &rows)?;
        if rows.len() == 0 {
            context.say("No bars in this range.");
            if self.as_of.is_some() && self.adjust == Direction::None {
                context.say(
                    "note: --as-of shows what the store held then; what was imported later is not in it",
                );
            }
        }
        Ok(Exit::Done)
    }

    /// The day on the venue's clock.
    fn day_of(&self, when: &When) -> anyhow::Result<TradingDay> {
        let zone = self.instrument.zone();
        let day = TradingDay::from_date(when.instant(zone)?.in_zone(zone)?.date());
        Ok(day.ok_or_else(|| Failure::usage("--as-of lies outside the years 1678 to 2261"))?)
    }

    fn bars(&self, snapshot: &Snapshot) -> anyhow::Result<Vec<Bar>> {
        let series = self.kind.series(self.instrument);
        let ranged = self.all || self.from.is_some() || self.to.is_some();
        let last = if ranged { None } else { Some(self.last.unwrap_or(LAST)) };
        let (from, to) =
            bar_range(self.kind.interval, self.instrument, self.from.as_ref(), self.to.as_ref())?;
        if self.adjust != Direction::None {
            let as_of = self.as_of.as_ref().map(|when| self.day_of(when)).transpose()?;
            let adjustment = Adjustment { direction: self.adjust, as_of, volume: self.adjust_volume };
            return Ok(match last {
                Some(count) => snapshot.last_bars_adjusted(&series, count, adjustment)?,
                None => snapshot.bars_adjusted(&series, from, to, adjustment)?,
            });
        }
        let found: Result<Vec<Bar>, ReadError> = match (&self.as_of, last) {
            (None, Some(count)) => snapshot.last_bars(&series, count),
            (None, None) => snapshot.bars(&series, from, to),
            (Some(when), _) => {
                let behind = when.behind(self.instrument.zone())?;
                let at = barkeeper_records::Timestamp::from_nanos(behind.nanos().saturating_sub(1));
                snapshot.bars_as_of(&series, from, to, at)
            }
        };
        let mut bars = found?;
        let surplus = last.map_or(0, |count| bars.len().saturating_sub(count));
        bars.drain(..surplus);
        Ok(bars)
    }
}
