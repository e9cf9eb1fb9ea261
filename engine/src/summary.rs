//! Summaries of the trade log: counts, money, and profit realised by average cost.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use barkeeper_records::{AccountId, Timestamp, TradeKind, TradingDay};
use barkeeper_storage::{StoredRow, TradeV1, keys};
use rust_decimal::Decimal;

use crate::error::{ReadResult, missing};
use crate::report::{SummaryBasis, SummaryBy, SummaryRow, TradeQuery};
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::turnover::{Deal, DealNames, DealRow, Deals, SeenDeals};
use crate::view::View;

impl Snapshot {
    /// Sums trade records up by account and group, in the order of both.
    ///
    /// Fills are counted; for an account that has only orders, orders, and `basis` says so. Cancels and
    /// void records never count. The query's limit is not looked at. Profit is realised by average cost
    /// over the account's whole history of an instrument and book, whatever time the query asks for. The
    /// first summary of an account reads its whole log; later ones mostly sum up what is in memory.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn summary(&self, query: &TradeQuery, by: SummaryBy) -> ReadResult<Vec<SummaryRow>> {
        let accounts = match &query.account {
            Some(account) => vec![account.clone()],
            None => self.trading_accounts()?.into_iter().collect(),
        };
        let mut rows = Vec::new();
        for account in accounts {
            let deals = self.deals(&account)?;
            rows.extend(sum_up(&account, &deals, query, by));
        }
        Ok(rows)
    }

    fn deals(&self, account: &AccountId) -> ReadResult<SeenDeals> {
        self.view().alive()?;
        let turnover = &self.inner().turnover;
        if let Some(seen) = turnover.seen(account, self.lsn()) {
            return Ok(seen);
        }
        turnover.reading(account);
        let read = self.read_deals(account);
        let seen = read.as_ref().map(Deals::all).ok();
        match (read, seen) {
            (Ok(deals), Some(seen)) => {
                turnover.keep(account, self.lsn(), Some(deals));
                Ok(seen)
            }
            (Err(error), _) => {
                turnover.keep(account, self.lsn(), None);
                Err(error)
            }
            (Ok(_), None) => Err(missing("trade records")),
        }
    }

    fn read_deals(&self, account: &AccountId) -> ReadResult<Deals> {
        let mut deals = Deals::default();
        self.view().scan_prefix(Tab::Trades, &keys::account(account), &mut |key, value| {
            let (_, ts, id) = keys::read_trade(key).ok_or_else(|| missing("trade key"))?;
            let (trade, _) = TradeV1::from_bytes(key, value)?.read((account.clone(), ts, id))?;
            let deal = Deal::of(&trade);
            if let Some(deal) = deal
                && !self.is_void(id)?
                && !deals.push(&deal)
            {
                return Err(missing("order of trade records"));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(deals)
    }
}

/// A query with its names as the numbers of an account; `None` where the account has none of a name.
struct Asked<'a> {
    from: Timestamp,
    to: Option<Timestamp>,
    kinds: &'a [TradeKind],
    book: Option<u32>,
    strategy: Option<u32>,
    instrument: Option<u32>,
}

impl<'a> Asked<'a> {
    fn of(query: &'a TradeQuery, names: &DealNames) -> Option<Self> {
        let book = query.book.as_ref().map(|name| names.books.find(name));
        let strategy = query.strategy.as_ref().map(|name| names.strategies.find(name));
        let instrument = query.instrument.as_ref().map(|name| names.instruments.find(name));
        Some(Self {
            from: query.from.unwrap_or(Timestamp::MIN),
            to: query.to,
            kinds: &query.kinds,
            book: known(book)?,
            strategy: known(strategy)?,
            instrument: known(instrument)?,
        })
    }

    fn wants(&self, row: &DealRow) -> bool {
        row.ts >= self.from
            && self.to.is_none_or(|to| row.ts < to)
            && (self.kinds.is_empty() || self.kinds.contains(&row.kind))
            && self.book.is_none_or(|book| book == row.book)
            && self.strategy.is_none_or(|strategy| row.strategy == Some(strategy))
            && self.instrument.is_none_or(|instrument| instrument == row.instrument)
    }
}

/// `None` where a name was asked for and is not there, else its number if one was asked for.
#[expect(clippy::option_option, reason = "not asked for, asked for and unknown, asked for and known")]
const fn known(number: Option<Option<u32>>) -> Option<Option<u32>> {
    match number {
        Some(None) => None,
        Some(known) => Some(known),
        None => Some(None),
    }
}

fn sum_up(account: &AccountId, deals: &SeenDeals, query: &TradeQuery, by: SummaryBy) -> Vec<SummaryRow> {
    let Some(asked) = Asked::of(query, &deals.names) else { return Vec::new() };
    let basis = if deals.has_fills { SummaryBasis::Fills } else { SummaryBasis::Orders };
    let mut places: HashMap<i64, usize> = HashMap::new();
    let mut rows: Vec<SummaryRow> = Vec::new();
    // Neighbours are mostly of one day, and mostly of one group.
    let mut day = None;
    let mut last = None;
    for deal in deals.rows() {
        let counts = if deals.has_fills { deal.kind.is_fill() } else { deal.kind.is_order() };
        if !counts || !asked.wants(deal) {
            continue;
        }
        let group = match (by, day) {
            (SummaryBy::Instrument, _) => i64::from(deal.instrument),
            (SummaryBy::Kind, _) => i64::from(deal.kind.code()),
            (_, Some((of, group))) if of == deal.trading_day => group,
            _ => period(deal.trading_day, by),
        };
        day = Some((deal.trading_day, group));
        let place = match last {
            Some((of, place)) if of == group => place,
            _ => *places.entry(group).or_insert_with(|| {
                rows.push(empty(account, basis, group_of(deal, by, &deals.names)));
                rows.len() - 1
            }),
        };
        last = Some((group, place));
        if let Some(row) = rows.get_mut(place) {
            count(row, deal);
        }
    }
    let named: BTreeMap<String, SummaryRow> = rows.into_iter().map(|row| (row.group.clone(), row)).collect();
    named.into_values().collect()
}

/// A number for the period of a day, equal for days of the same one.
fn period(day: TradingDay, by: SummaryBy) -> i64 {
    let date = day.date();
    match by {
        SummaryBy::Month => i64::from(date.year()) * 12 + i64::from(date.month()),
        SummaryBy::Year => i64::from(date.year()),
        _ => i64::from(day.days()),
    }
}

fn group_of(deal: &DealRow, by: SummaryBy, names: &DealNames) -> String {
    let day = deal.trading_day.to_string();
    match by {
        SummaryBy::Day => day,
        SummaryBy::Month => day.get(..7).unwrap_or(&day).to_owned(),
        SummaryBy::Year => day.get(..4).unwrap_or(&day).to_owned(),
        SummaryBy::Instrument => {
            names.instruments.name(deal.instrument).map_or_else(String::new, ToString::to_string)
        }
        SummaryBy::Kind => deal.kind.to_string(),
    }
}

fn empty(account: &AccountId, basis: SummaryBasis, group: String) -> SummaryRow {
    SummaryRow {
        account: account.clone(),
        basis,
        group,
        count: 0,
        buys: 0,
        sells: 0,
        bought: Decimal::ZERO,
        sold: Decimal::ZERO,
        fees: Decimal::ZERO,
        realised: (basis == SummaryBasis::Fills).then_some(Decimal::ZERO),
    }
}

fn count(row: &mut SummaryRow, deal: &DealRow) {
    row.count += 1;
    row.fees = row.fees.saturating_add(deal.fee);
    if matches!(deal.kind, TradeKind::BuyFill | TradeKind::BuyOrder) {
        row.buys += 1;
        row.bought = row.bought.saturating_add(deal.value);
    } else {
        row.sells += 1;
        row.sold = row.sold.saturating_add(deal.value);
    }
    row.realised = row.realised.zip(deal.profit).map(|(sum, profit)| sum.saturating_add(profit));
}
