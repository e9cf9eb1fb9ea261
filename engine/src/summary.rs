//! Summaries of the trade log: counts, money, and profit realised by average cost.

use std::collections::{BTreeMap, HashMap};

use barkeeper_records::{AccountId, BookId, InstrumentId, Timestamp, TradeKind, TradeRecord};
use rust_decimal::Decimal;

use crate::error::ReadResult;
use crate::report::{SummaryBasis, SummaryBy, SummaryRow, TradeQuery};
use crate::snapshot::Snapshot;

/// What an account holds of an instrument and what it paid for it, fees of buying included.
#[derive(Debug, Clone, Copy, Default)]
struct Holding {
    quantity: Decimal,
    cost: Decimal,
}

impl Holding {
    /// Follows a fill; answers the profit of a sale, `None` where its cost is not known.
    fn follow(&mut self, trade: &TradeRecord) -> Option<Decimal> {
        let next = self.after(trade);
        let (holding, profit) =
            next.map_or((Self::default(), None), |(holding, profit)| (holding, Some(profit)));
        *self = holding;
        profit
    }

    /// `None` where more is sold than is known to be held, or a number leaves the range of decimals.
    fn after(&self, trade: &TradeRecord) -> Option<(Self, Decimal)> {
        let fee = trade.fee.unwrap_or_default();
        if trade.kind == TradeKind::BuyFill {
            let quantity = self.quantity.checked_add(trade.quantity)?;
            let cost = self.cost.checked_add(trade.value())?.checked_add(fee)?;
            return Some((Self { quantity, cost }, Decimal::ZERO));
        }
        if trade.quantity > self.quantity || self.quantity.is_zero() {
            return None;
        }
        let part = self.cost.checked_mul(trade.quantity)?.checked_div(self.quantity)?;
        let profit = trade.value().checked_sub(fee)?.checked_sub(part)?.round_dp(8);
        Some((Self { quantity: self.quantity - trade.quantity, cost: self.cost.checked_sub(part)? }, profit))
    }
}

impl Snapshot {
    /// Sums trade records up by account and group, in the order of both.
    ///
    /// Fills are counted; for an account that has only orders, orders, and `basis` says so. Cancels and
    /// void records never count. The query's limit is not looked at. Profit is realised by average cost
    /// over the account's whole history of an instrument and book, whatever time the query asks for.
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
            rows.extend(self.account_summary(&account, query, by)?);
        }
        Ok(rows)
    }

    fn account_summary(
        &self,
        account: &AccountId,
        query: &TradeQuery,
        by: SummaryBy,
    ) -> ReadResult<Vec<SummaryRow>> {
        let history = TradeQuery { account: Some(account.clone()), ..TradeQuery::default() };
        let mut trades = self.trades(&history)?;
        trades.reverse();
        let has_fills = trades.iter().any(|trade| trade.kind.is_fill());
        let basis = if has_fills { SummaryBasis::Fills } else { SummaryBasis::Orders };
        let mut holdings: HashMap<(BookId, InstrumentId), Holding> = HashMap::new();
        let mut groups: BTreeMap<String, SummaryRow> = BTreeMap::new();
        for trade in &trades {
            let counts = if has_fills { trade.kind.is_fill() } else { trade.kind.is_order() };
            if !counts {
                continue;
            }
            let profit = if has_fills {
                holdings.entry((trade.book.clone(), trade.instrument)).or_default().follow(trade)
            } else {
                None
            };
            if asked(query, trade) {
                let name = group_of(trade, by);
                let row = groups.entry(name.clone()).or_insert_with(|| empty(account, basis, name));
                count(row, trade, profit);
            }
        }
        Ok(groups.into_values().collect())
    }
}

fn asked(query: &TradeQuery, trade: &TradeRecord) -> bool {
    trade.ts >= query.from.unwrap_or(Timestamp::MIN)
        && query.to.is_none_or(|to| trade.ts < to)
        && (query.kinds.is_empty() || query.kinds.contains(&trade.kind))
        && query.book.as_ref().is_none_or(|book| *book == trade.book)
        && query.strategy.as_ref().is_none_or(|strategy| trade.strategy.as_ref() == Some(strategy))
        && query.instrument.is_none_or(|instrument| instrument == trade.instrument)
}

fn group_of(trade: &TradeRecord, by: SummaryBy) -> String {
    let day = trade.trading_day.to_string();
    match by {
        SummaryBy::Day => day,
        SummaryBy::Month => day.get(..7).unwrap_or(&day).to_owned(),
        SummaryBy::Year => day.get(..4).unwrap_or(&day).to_owned(),
        SummaryBy::Instrument => trade.instrument.to_string(),
        SummaryBy::Kind => trade.kind.to_string(),
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

fn count(row: &mut SummaryRow, trade: &TradeRecord, profit: Option<Decimal>) {
    row.count += 1;
    row.fees = row.fees.saturating_add(trade.fee.unwrap_or_default());
    if matches!(trade.kind, TradeKind::BuyFill | TradeKind::BuyOrder) {
        row.buys += 1;
        row.bought = row.bought.saturating_add(trade.value());
    } else {
        row.sells += 1;
        row.sold = row.sold.saturating_add(trade.value());
    }
    row.realised = row.realised.zip(profit).map(|(sum, profit)| sum.saturating_add(profit));
}
