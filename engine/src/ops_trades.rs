//! Operations on the trade log and on import records.

use barkeeper_records::{
    AccountId, Bucket, ImportRecord, Outcome, Table, Timestamp, TradeId, TradeKind, TradeRecord,
};
use barkeeper_storage::{
    ExternalIdV1, ImportV1, TradeIdV1, TradeOfInstrumentV1, TradeV1, TradeVoidV1, keys, row_hash, rowview,
};

use crate::error::{CommitError, CommitResult, ReadResult, missing};
use crate::session::Session;
use crate::tables::Tab;
use crate::turnover::{Deal, Traded};
use crate::view::View;

/// The trade record of an id and its version.
pub(crate) fn read_trade(
    view: &impl View,
    id: TradeId,
) -> ReadResult<Option<(TradeRecord, barkeeper_records::Version)>> {
    let Some(TradeIdV1 { to: key }) = view.row(Tab::TradeIds, &keys::trade_id(id))? else { return Ok(None) };
    let owner = keys::read_trade(&key).ok_or_else(|| missing("trade key"))?;
    let row: TradeV1 = view.row(Tab::Trades, &key)?.ok_or_else(|| missing("trade record"))?;
    Ok(Some(row.read(owner)?))
}

pub(crate) fn trade_hash(trade: &TradeRecord) -> i64 {
    row_hash(Table::Trades, &rowview::trade_key(trade), &rowview::trade_values(trade))
}

pub(crate) fn trade_bucket(trade: &TradeRecord) -> Bucket {
    Bucket { table: Table::Trades, group: trade.account.to_string(), period: rowview::period_of(trade.ts) }
}

impl Session<'_, '_> {
    pub(crate) fn record_trade(&mut self, trade: &TradeRecord) -> CommitResult<Outcome> {
        let trade = trade.clone().born()?;
        if let Some((stored, _)) = read_trade(&self.staged, trade.trade_id)? {
            return if stored == trade {
                Ok(Outcome::TradeExists { trade_id: stored.trade_id, strategy: stored.strategy })
            } else {
                Err(CommitError::TradeDiffers(trade.trade_id))
            };
        }
        if let Some(external) = &trade.external_id {
            let key = keys::external_id(&trade.account, trade.trading_day, external);
            if let Some(ExternalIdV1 { to: id }) = self.staged.row(Tab::TradesByExternalId, &key)? {
                let id = <[u8; 16]>::try_from(id.as_slice()).map_err(|_| missing("trade id"))?;
                let (first, _) =
                    read_trade(&self.staged, keys::id_of(id))?.ok_or_else(|| missing("trade record"))?;
                let what = |t: &TradeRecord| (t.instrument, t.kind, t.price, t.quantity);
                if what(&first) != what(&trade) {
                    let external_id = external.clone();
                    return Err(CommitError::ExternalIdDiffers { external_id, first: first.trade_id });
                }
                return Ok(Outcome::TradeExists { trade_id: first.trade_id, strategy: first.strategy });
            }
            let id = ExternalIdV1 { to: keys::trade_id(trade.trade_id) };
            self.staged.put_row(Tab::TradesByExternalId, key, &id);
        }
        if let Some(voided) = trade.voids {
            let owner = self.check_voidable(voided)?;
            self.traded.push((owner, Traded::Void));
            let by = TradeVoidV1 { to: keys::trade_id(trade.trade_id) };
            self.staged.put_row(Tab::TradeVoids, keys::trade_id(voided), &by);
        }
        self.write_trade(&trade);
        if let Some(deal) = Deal::of(&trade) {
            self.traded.push((trade.account.clone(), Traded::New(deal)));
        }
        self.digests.add(trade_bucket(&trade), trade_hash(&trade));
        Ok(Outcome::Done)
    }

    /// The account of a record that may become void.
    fn check_voidable(&self, id: TradeId) -> CommitResult<AccountId> {
        let stored = read_trade(&self.staged, id)?;
        let gone = self.staged.with(Tab::TradeVoids, &keys::trade_id(id), |value| value.is_some())?;
        match stored {
            Some((trade, _)) if !gone && trade.kind != TradeKind::Void => Ok(trade.account),
            _ => Err(CommitError::NoTrade(id)),
        }
    }

    fn write_trade(&mut self, trade: &TradeRecord) {
        let key = keys::trade(&trade.account, trade.ts, trade.trade_id);
        let index = keys::trade_by_instrument(&trade.account, &trade.instrument, trade.ts, trade.trade_id);
        self.staged.put_row(Tab::Trades, key.clone(), &TradeV1::of(trade, self.version));
        self.staged.put_row(Tab::TradeIds, keys::trade_id(trade.trade_id), &TradeIdV1 { to: key });
        self.staged.put_row(Tab::TradesByInstrument, index, &TradeOfInstrumentV1::default());
        self.log_key(Table::Trades, keys::trade_id(trade.trade_id));
    }

    pub(crate) fn void_trade(
        &mut self,
        trade_id: TradeId,
        voids: TradeId,
        ts: Timestamp,
        remark: &str,
    ) -> CommitResult<Outcome> {
        let (old, _) = read_trade(&self.staged, voids)?.ok_or(CommitError::NoTrade(voids))?;
        let row = TradeRecord {
            trade_id,
            kind: TradeKind::Void,
            ts,
            remark: remark.to_owned(),
            source_text: String::new(),
            external_id: None,
            voids: Some(voids),
            ..old
        };
        self.record_trade(&row)
    }

    pub(crate) fn record_import(&mut self, import: &ImportRecord) -> CommitResult<Outcome> {
        let key = import.hash.as_bytes().to_vec();
        if self.staged.with(Tab::Imports, &key, |value| value.is_some())? {
            return Ok(Outcome::Unchanged);
        }
        let lsn = if self.changed { self.lsn.0 } else { self.head.lsn };
        self.staged.put_row(Tab::Imports, key, &ImportV1::of(import, lsn));
        self.noted = true;
        Ok(Outcome::Done)
    }

    /// Gives a trade record a new version without changing it.
    pub(crate) fn stamp_trade(&mut self, id: TradeId) -> CommitResult<()> {
        if let Some((trade, _)) = read_trade(&self.staged, id)? {
            self.write_trade(&trade);
            self.digests.touch(trade_bucket(&trade));
        }
        Ok(())
    }
}
