//! Reads of the trade log: by id, by query, newest first.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use barkeeper_records::{AccountId, Timestamp, TradeId, TradeKind, TradeRecord};
use barkeeper_storage::{StoredRow, TradeV1, keys};

use crate::error::{ReadResult, missing};
use crate::ops_trades::read_trade;
use crate::report::TradeQuery;
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

impl Snapshot {
    /// The trade record of an id, void or not.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn trade(&self, id: TradeId) -> ReadResult<Option<TradeRecord>> {
        Ok(read_trade(self.view(), id)?.map(|(trade, _)| trade))
    }

    /// The trade records that a query asks for, newest first.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn trades(&self, query: &TradeQuery) -> ReadResult<Vec<TradeRecord>> {
        let limit = query.limit.unwrap_or(usize::MAX);
        let mut found = Vec::new();
        if let Some(account) = &query.account {
            self.trades_of(account, query, limit, &mut found)?;
            return Ok(found);
        }
        for account in self.trading_accounts()? {
            self.trades_of(&account, query, limit, &mut found)?;
        }
        found.sort_by_key(|trade| std::cmp::Reverse((trade.ts, trade.trade_id)));
        found.truncate(limit);
        Ok(found)
    }

    /// Every account that has trade records.
    pub(crate) fn trading_accounts(&self) -> ReadResult<BTreeSet<AccountId>> {
        let mut accounts = BTreeSet::new();
        let mut from = Vec::new();
        loop {
            let mut next = None;
            self.view().scan(Tab::Trades, &from, &[], false, &mut |key, _| {
                next = Some(keys::read_trade(key).ok_or_else(|| missing("trade key"))?.0);
                Ok(ControlFlow::Break(()))
            })?;
            let Some(account) = next else { return Ok(accounts) };
            from = keys::after_prefix(&keys::account(&account));
            accounts.insert(account);
        }
    }

    fn trades_of(
        &self,
        account: &AccountId,
        query: &TradeQuery,
        limit: usize,
        found: &mut Vec<TradeRecord>,
    ) -> ReadResult<()> {
        let mut taken = 0;
        let mut offer = |trade: TradeRecord| -> ReadResult<ControlFlow<()>> {
            if taken >= limit {
                return Ok(ControlFlow::Break(()));
            }
            if self.wanted(query, &trade)? {
                found.push(trade);
                taken += 1;
            }
            Ok(ControlFlow::Continue(()))
        };
        let from = query.from.unwrap_or(Timestamp::MIN);
        if let Some(instrument) = &query.instrument {
            let start = keys::trades_of_instrument_from(account, instrument, from);
            let end = query.to.map_or_else(
                || keys::after_prefix(&keys::trades_of_instrument(account, instrument)),
                |to| keys::trades_of_instrument_from(account, instrument, to),
            );
            return self.view().scan(Tab::TradesByInstrument, &start, &end, true, &mut |key, _| {
                let (ts, id) = keys::read_trade_by_instrument(key).ok_or_else(|| missing("trade key"))?;
                let place = keys::trade(account, ts, id);
                let row: TradeV1 =
                    self.view().row(Tab::Trades, &place)?.ok_or_else(|| missing("trade record"))?;
                offer(row.read((account.clone(), ts, id))?.0)
            });
        }
        let start = keys::trades_from(account, from);
        let end = query
            .to
            .map_or_else(|| keys::after_prefix(&keys::account(account)), |to| keys::trades_from(account, to));
        self.view().scan(Tab::Trades, &start, &end, true, &mut |key, value| {
            let owner = keys::read_trade(key).ok_or_else(|| missing("trade key"))?;
            offer(TradeV1::from_bytes(key, value)?.read(owner)?.0)
        })
    }

    fn wanted(&self, query: &TradeQuery, trade: &TradeRecord) -> ReadResult<bool> {
        let kind = if query.kinds.is_empty() {
            query.with_void || trade.kind != TradeKind::Void
        } else {
            query.kinds.contains(&trade.kind)
        };
        let fits = kind
            && query.book.as_ref().is_none_or(|book| *book == trade.book)
            && query.strategy.as_ref().is_none_or(|strategy| trade.strategy.as_ref() == Some(strategy))
            && query.instrument.is_none_or(|instrument| instrument == trade.instrument);
        Ok(fits && (query.with_void || !self.is_void(trade.trade_id)?))
    }

    pub(crate) fn is_void(&self, id: TradeId) -> ReadResult<bool> {
        self.view().with(Tab::TradeVoids, &keys::trade_id(id), |value| value.is_some())
    }
}
