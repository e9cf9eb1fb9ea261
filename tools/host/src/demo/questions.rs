//! The questions of a trading day, each answered a thousand times, checked, and held against a floor.

use std::collections::HashMap;
use std::hint::black_box;

use barkeeper::{Store, TradeQuery};
use barkeeper_records::{
    AdjustmentTag, Bar, BookId, InstrumentId, Interval, Position, PositionKey, SeriesKey, TradeRecord,
    TradingDay,
};

use super::error::DemoError;
use super::market::Market;
use super::market_files::AccountFiles;
use super::measure::{floor, grouped, measure};
use super::random::Random;
use super::report::Teller;

/// Bars of the question for a chart.
const CHART: usize = 60;
/// Trading days that are asked for one by one.
const DAYS: usize = 64;

/// What the questions are about, with the answers that have to come.
pub(super) struct Questions<'a> {
    pub(super) store: &'a Store,
    pub(super) market: &'a Market,
    pub(super) accounts: &'a [AccountFiles],
    pub(super) calls: usize,
}

impl Questions<'_> {
    /// Asks all of them.
    pub(super) fn ask(&self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        teller.columns(&format!("Questions of a trading day, {} calls each", grouped(self.calls as u64)))?;
        self.one_position(teller)?;
        self.all_positions(teller)?;
        self.last_bars(teller)?;
        self.days(teller)?;
        self.trades(teller)?;
        Ok(())
    }

    fn random(&self, stream: u64) -> Random {
        Random::new(self.market.spec().seed, 3_000_000 + stream)
    }

    fn one_position(&self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        let mut known: HashMap<PositionKey, Position> = HashMap::new();
        let mut right = 0;
        for files in self.accounts {
            for (place, holding) in files.ledger.open() {
                let Some(listing) = self.market.listings().get(place) else { continue };
                let key = PositionKey {
                    account: files.account.clone(),
                    book: book_of(files),
                    instrument: listing.instrument,
                };
                let Some(position) = self.store.position(&key)? else { continue };
                let same = position.held_days == holding.days
                    && position.highest == Some(holding.highest)
                    && position.lowest == Some(holding.lowest);
                right += usize::from(same);
                known.insert(key, position);
            }
        }
        let mut keys: Vec<PositionKey> = known.keys().cloned().collect();
        keys.sort();
        let mut random = self.random(0);
        let order: Vec<&PositionKey> =
            (0..self.calls).filter_map(|_| keys.get(random.below(keys.len()))).collect();
        let timing = measure(order.len(), |call| {
            black_box(order.get(call).map(|key| self.store.position(key)).transpose()?);
            Ok::<(), DemoError>(())
        })?;
        let least = floor(order.len(), |call| {
            black_box(order.get(call).and_then(|key| known.get(*key)).cloned());
        });
        teller.measured("one position", timing, "a clone out of a HashMap", least)?;
        let expected: usize = self.accounts.iter().map(|files| files.ledger.open().count()).sum();
        let found = format!("{right} of {expected} as the files say");
        teller.check("held days and extremes of every position", right > 0 && right == expected, &found)?;
        Ok(())
    }

    fn all_positions(&self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        let Some(files) = self.accounts.first() else { return Ok(()) };
        let book = book_of(files);
        let ask =
            || Ok::<_, DemoError>(self.store.snapshot()?.positions(&files.account, Some(&book), false)?);
        let all = ask()?;
        let timing = measure(self.calls, |_| {
            black_box(ask()?);
            Ok::<(), DemoError>(())
        })?;
        let least = floor(self.calls, |_| {
            black_box(all.clone());
        });
        let what = format!("all {} positions of an account", all.len());
        teller.measured(&what, timing, "a clone of the answer", least)?;
        Ok(())
    }

    fn last_bars(&self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        let mut answers: Vec<(SeriesKey, Vec<Bar>)> = Vec::new();
        let mut right = 0;
        for (place, listing) in self.market.listings().iter().enumerate() {
            let series = SeriesKey::daily(listing.instrument);
            let bars = self.store.last_bars(&series, CHART)?;
            right += usize::from(self.market.bars(place).ends_with(&bars) && !bars.is_empty());
            answers.push((series, bars));
        }
        let mut random = self.random(1);
        let order: Vec<usize> = (0..self.calls).map(|_| random.below(answers.len())).collect();
        let at = |call: usize| order.get(call).and_then(|place| answers.get(*place));
        let timing = measure(self.calls, |call| {
            black_box(at(call).map(|(series, _)| self.store.last_bars(series, CHART)).transpose()?);
            Ok::<(), DemoError>(())
        })?;
        let least = floor(self.calls, |call| {
            black_box(at(call).map(|(_, bars)| bars.clone()));
        });
        teller.measured("last 60 bars of one instrument", timing, "a copy of the same bars", least)?;
        let found = format!("{right} of {} series end as they were made", answers.len());
        teller.check("the last bars of every instrument", right > 0 && right == answers.len(), &found)?;
        Ok(())
    }

    fn days(&self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        let (sealed, live) = (self.market.file_days(), self.market.days());
        let newest = live.get(sealed.len()..).unwrap_or_default();
        let mut random = self.random(2);
        let picked: Vec<TradingDay> =
            (0..DAYS).filter_map(|_| sealed.get(random.below(sealed.len())).copied()).collect();
        for (what, days) in [
            ("one day of all, imported long ago", picked.as_slice()),
            ("one day of all, just arrived", newest),
        ] {
            if !days.is_empty() {
                self.cross_sections(what, days, teller)?;
            }
        }
        Ok(())
    }

    fn cross_sections(
        &self,
        what: &str,
        days: &[TradingDay],
        teller: &mut Teller<'_>,
    ) -> Result<(), DemoError> {
        let ask = |day: TradingDay| self.store.cross_section(Interval::DAY, AdjustmentTag::Raw, day.label());
        let mut answers: Vec<(TradingDay, Vec<(InstrumentId, Bar)>)> = Vec::new();
        for day in days {
            answers.push((*day, ask(*day)?));
        }
        let at = |call: usize| answers.get(call % answers.len().max(1));
        let timing = measure(self.calls, |call| {
            black_box(at(call).map(|(day, _)| ask(*day)).transpose()?);
            Ok::<(), DemoError>(())
        })?;
        let least = floor(self.calls, |call| {
            black_box(at(call).map(|(_, bars)| bars.clone()));
        });
        teller.measured(what, timing, "a copy of the same bars", least)?;
        let right = self.right_days(&answers);
        let found = format!("{right} of {} days as they were made", answers.len());
        teller.check(what, right > 0 && right == answers.len(), &found)?;
        Ok(())
    }

    fn right_days(&self, answers: &[(TradingDay, Vec<(InstrumentId, Bar)>)]) -> usize {
        let made: HashMap<InstrumentId, Vec<Bar>> = (0..self.market.listings().len())
            .filter_map(|place| {
                Some((self.market.listings().get(place)?.instrument, self.market.bars(place)))
            })
            .collect();
        let days = self.market.days();
        let is_right = |(day, bars): &&(TradingDay, Vec<(InstrumentId, Bar)>)| {
            let place = days.binary_search(day).unwrap_or(usize::MAX);
            let same = |(instrument, bar): &(InstrumentId, Bar)| {
                made.get(instrument).and_then(|all| all.get(place)).is_some_and(|made| made.same_content(bar))
            };
            bars.len() == made.len() && bars.iter().all(same)
        };
        answers.iter().filter(is_right).count()
    }

    fn trades(&self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        let mut queries: Vec<TradeQuery> = Vec::new();
        for files in self.accounts {
            for month in months(self.market.file_days()) {
                let query = TradeQuery {
                    account: Some(files.account.clone()),
                    from: Some(month.0.label()),
                    to: Some(month.1.label()),
                    ..TradeQuery::default()
                };
                queries.push(query);
            }
        }
        let mut answers: Vec<(TradeQuery, Vec<TradeRecord>)> = Vec::new();
        let mut lines = 0;
        for query in queries {
            let found = self.store.snapshot()?.trades(&query)?;
            lines += found.len();
            if !found.is_empty() {
                answers.push((query, found));
            }
        }
        let at = |call: usize| answers.get(call % answers.len().max(1));
        let timing = measure(self.calls, |call| {
            if let Some((query, _)) = at(call) {
                black_box(self.store.snapshot()?.trades(query)?);
            }
            Ok::<(), DemoError>(())
        })?;
        let least = floor(self.calls, |call| {
            black_box(at(call).map(|(_, found)| found.clone()));
        });
        let each = lines / answers.len().max(1);
        teller.measured(
            &format!("a month of an account's trades, about {each}"),
            timing,
            "a clone of the answer",
            least,
        )?;
        let expected: usize = self.accounts.iter().map(|files| files.ledger.lines()).sum();
        teller.check(
            "every line of the trade logs",
            lines > 0 && lines == expected,
            &format!("{lines} of {expected}"),
        )?;
        Ok(())
    }
}

/// The book of an account's folder.
pub(super) fn book_of(files: &AccountFiles) -> BookId {
    let name = files.folder.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    BookId::new(&name).unwrap_or_else(|_| BookId::main())
}

/// The first day of each of the last seven months, and the first one behind it.
fn months(days: &[TradingDay]) -> Vec<(TradingDay, TradingDay)> {
    let Some(last) = days.last().map(|day| day.date()) else { return Vec::new() };
    let mut found = Vec::new();
    let mut first = last.first_of_month();
    for _ in 0..7 {
        let behind = first.last_of_month().tomorrow().unwrap_or(first);
        if let (Some(from), Some(to)) = (TradingDay::from_date(first), TradingDay::from_date(behind)) {
            found.push((from, to));
        }
        first = first.yesterday().unwrap_or(first).first_of_month();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_go_back_from_the_last_day_without_gaps() {
        let days: Vec<TradingDay> = vec!["2024-03-15".parse().unwrap()];
        let months = months(&days);
        let shown: Vec<String> = months.iter().take(2).map(|(from, to)| format!("{from} {to}")).collect();
        assert_eq!(shown, ["2024-03-01 2024-04-01", "2024-02-01 2024-03-01"]);
        assert!(months.windows(2).all(|pair| matches!(pair, [a, b] if b.1 == a.0)));
    }
}
