//! Rows of the ledger: positions, books, trade records, imports.

use barkeeper_records::{
    AccountId, BookId, ImportRecord, InstrumentId, Position, PositionKey, PositionStatus, Quality,
    StrategyId, Timestamp, TradeId, TradeKind, TradeRecord, TradingDay, Version, scaled, unscaled,
};
use bincode::{Decode, Encode};
use rust_decimal::Decimal;

use crate::envelope::{Damage, StoredRow};

fn scale(value: Decimal) -> i128 {
    // Records are checked at birth; a number that does not fit cannot be in one.
    scaled(value).unwrap_or_default()
}

const fn broken(what: &'static str, detail: &'static str) -> Damage {
    Damage::Layout { what, detail }
}

/// A position, or its tombstone.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct PositionV1 {
    status: u8,
    held_days: Option<u32>,
    highest: Option<f64>,
    lowest: Option<f64>,
    lowest_trusted: bool,
    quantity: Option<i128>,
    cost: Option<i128>,
    opened_on: Option<i32>,
    version: u64,
    deleted: bool,
    entry: u64,
}

/// What a position's row says.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPosition {
    /// The position; `None` for a tombstone.
    pub position: Option<Position>,
    /// The row's version.
    pub version: Version,
    /// The LSN of the commit that opened the position, so that relaxed prices of an earlier entry are
    /// not taken for prices of this one.
    pub entry: u64,
}

impl StoredRow for PositionV1 {
    const WHAT: &'static str = "position";
    const KIND: u8 = 1;
}

impl PositionV1 {
    /// The row of a position.
    pub fn of(position: &Position, version: Version, entry: u64) -> Self {
        Self {
            status: position.status.code(),
            held_days: position.held_days,
            highest: position.highest,
            lowest: position.lowest,
            lowest_trusted: position.lowest_trusted,
            quantity: position.quantity.map(scale),
            cost: position.cost.map(scale),
            opened_on: position.opened_on.map(TradingDay::days),
            version: version.raw(),
            deleted: false,
            entry,
        }
    }

    /// The tombstone of a position.
    pub fn tombstone(version: Version) -> Self {
        Self {
            status: PositionStatus::Closed.code(),
            held_days: None,
            highest: None,
            lowest: None,
            lowest_trusted: true,
            quantity: None,
            cost: None,
            opened_on: None,
            version: version.raw(),
            deleted: true,
            entry: 0,
        }
    }

    /// What the row says of the position of a key.
    ///
    /// # Errors
    /// `Layout` for a value that no position has.
    pub fn read(&self, key: PositionKey) -> Result<StoredPosition, Damage> {
        let bad = |detail| broken(Self::WHAT, detail);
        let version = Version::from_raw(self.version).ok_or_else(|| bad("version"))?;
        if self.deleted {
            return Ok(StoredPosition { position: None, version, entry: self.entry });
        }
        let day = |days| TradingDay::from_days(days).ok_or_else(|| bad("opened_on"));
        let number = |n| unscaled(n).ok_or_else(|| bad("decimal"));
        let position = Position {
            key,
            status: PositionStatus::from_code(self.status).ok_or_else(|| bad("status"))?,
            held_days: self.held_days,
            highest: self.highest,
            lowest: self.lowest,
            lowest_trusted: self.lowest_trusted,
            quantity: self.quantity.map(number).transpose()?,
            cost: self.cost.map(number).transpose()?,
            opened_on: self.opened_on.map(day).transpose()?,
        };
        Ok(StoredPosition { position: Some(position), version, entry: self.entry })
    }
}

/// A book: the trading day of its last increment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BookV1 {
    incremented_on: i32,
    version: u64,
}

impl StoredRow for BookV1 {
    const WHAT: &'static str = "book";
    const KIND: u8 = 2;
}

impl BookV1 {
    /// The row of a book.
    pub fn of(incremented_on: TradingDay, version: Version) -> Self {
        Self { incremented_on: incremented_on.days(), version: version.raw() }
    }

    /// The day and the row's version.
    ///
    /// # Errors
    /// `Layout` for a value that no book has.
    pub fn read(&self) -> Result<(TradingDay, Version), Damage> {
        let day = TradingDay::from_days(self.incremented_on).ok_or(broken(Self::WHAT, "incremented_on"))?;
        Ok((day, Version::from_raw(self.version).ok_or(broken(Self::WHAT, "version"))?))
    }
}

/// A trade record; its account, time and id stand in the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TradeV1 {
    book: String,
    instrument: String,
    strategy: Option<String>,
    kind: u8,
    trading_day: i32,
    price: i128,
    quantity: i128,
    amount: Option<i128>,
    fee: Option<i128>,
    name: String,
    remark: String,
    source_text: String,
    external_id: Option<String>,
    voids: Option<u128>,
    version: u64,
}

impl StoredRow for TradeV1 {
    const WHAT: &'static str = "trade record";
    const KIND: u8 = 3;
}

impl TradeV1 {
    /// The row of a trade record.
    pub fn of(trade: &TradeRecord, version: Version) -> Self {
        Self {
            book: trade.book.to_string(),
            instrument: trade.instrument.to_string(),
            strategy: trade.strategy.as_ref().map(ToString::to_string),
            kind: trade.kind.code(),
            trading_day: trade.trading_day.days(),
            price: scale(trade.price),
            quantity: scale(trade.quantity),
            amount: trade.amount.map(scale),
            fee: trade.fee.map(scale),
            name: trade.name.clone(),
            remark: trade.remark.clone(),
            source_text: trade.source_text.clone(),
            external_id: trade.external_id.clone(),
            voids: trade.voids.map(|id| id.0),
            version: version.raw(),
        }
    }

    /// The trade record of a key's account, time and id, and the row's version.
    ///
    /// # Errors
    /// `Layout` for a value that no trade record has.
    pub fn read(self, key: (AccountId, Timestamp, TradeId)) -> Result<(TradeRecord, Version), Damage> {
        let bad = |detail| broken(Self::WHAT, detail);
        let number = |n| unscaled(n).ok_or_else(|| bad("decimal"));
        let version = Version::from_raw(self.version).ok_or_else(|| bad("version"))?;
        let (account, ts, trade_id) = key;
        let strategy = self.strategy.map(|name| StrategyId::new(&name)).transpose();
        let trade = TradeRecord {
            trade_id,
            account,
            book: BookId::new(&self.book).map_err(|_| bad("book"))?,
            instrument: InstrumentId::from_trusted(self.instrument.as_bytes())
                .ok_or_else(|| bad("instrument"))?,
            strategy: strategy.map_err(|_| bad("strategy"))?,
            kind: TradeKind::from_code(self.kind).ok_or_else(|| bad("kind"))?,
            ts,
            trading_day: TradingDay::from_days(self.trading_day).ok_or_else(|| bad("trading_day"))?,
            price: number(self.price)?,
            quantity: number(self.quantity)?,
            amount: self.amount.map(number).transpose()?,
            fee: self.fee.map(number).transpose()?,
            name: self.name,
            remark: self.remark,
            source_text: self.source_text,
            external_id: self.external_id,
            voids: self.voids.map(TradeId),
        };
        Ok((trade, version))
    }
}

/// Where imported rows came from.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ImportV1 {
    source: String,
    file: String,
    rows: u64,
    rejected: u64,
    quality: [u64; 4],
    lsn: u64,
}

impl StoredRow for ImportV1 {
    const WHAT: &'static str = "import record";
    const KIND: u8 = 4;
}

impl ImportV1 {
    /// The row of an import, made by the commit of this LSN.
    pub fn of(import: &ImportRecord, lsn: u64) -> Self {
        let q = import.quality;
        Self {
            source: import.source.clone(),
            file: import.file.clone(),
            rows: import.rows,
            rejected: import.rejected,
            quality: [q.negative_price, q.zero_price, q.price_order, q.zero_volume],
            lsn,
        }
    }

    /// The import of a file's hash, and the LSN of its commit.
    pub fn read(self, hash: String) -> (ImportRecord, u64) {
        let [negative_price, zero_price, price_order, zero_volume] = self.quality;
        let quality = Quality { negative_price, zero_price, price_order, zero_volume };
        let Self { source, file, rows, rejected, lsn, .. } = self;
        (ImportRecord { hash, source, file, rows, rejected, quality }, lsn)
    }
}
