//! `barkeeper trades record`: adds a line to the trade log.

use anyhow::Context as _;
use barkeeper_host::SystemClock;
use barkeeper_records::{
    AccountId, Batch, BookId, Calendar, Clock as _, InstrumentId, Operation, Outcome, StrategyId, Timestamp,
    TradeId, TradeKind, TradeRecord, TradingDay,
};
use clap::Args;
use rust_decimal::Decimal;
use ulid::Ulid;

use crate::cli::Out;
use crate::context::{Context, account_of};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::values::When;

/// Add a line to the trade log, and print its id and LSN
///
/// A record with a known --trade-id, or with an --external-id that the account has on that day already, is
/// there already: nothing is written, and the id under which it stands is printed.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// `SYMBOL.VENUE` in any spelling
    instrument: InstrumentId,
    /// `buy_order`, `sell_order`, `buy_fill`, `sell_fill`, cancel; or void, with --voids
    #[arg(long)]
    kind: TradeKind,
    /// In the quote currency, at most 8 decimals
    #[arg(long, allow_negative_numbers = true)]
    price: Decimal,
    /// Shares, contracts or base units, at least 0: the kind tells the side
    #[arg(long)]
    quantity: Decimal,
    /// Whose [default: the configured account]
    #[arg(long, value_name = "NAME")]
    account: Option<AccountId>,
    /// The book whose position it moved
    #[arg(long, value_name = "NAME", default_value_t = BookId::main())]
    book: BookId,
    /// Who decided
    #[arg(long, value_name = "NAME")]
    strategy: Option<StrategyId>,
    /// When: RFC 3339, or a time on the venue's clock [default: now]
    #[arg(long, value_name = "WHEN")]
    at: Option<When>,
    /// The venue's day [default: what the configured calendar says of the time]
    #[arg(long, value_name = "DAY")]
    trading_day: Option<TradingDay>,
    /// Money moved, where it is not price times quantity
    #[arg(long, allow_negative_numbers = true)]
    amount: Option<Decimal>,
    /// Commission, taxes and other fees
    #[arg(long, allow_negative_numbers = true)]
    fee: Option<Decimal>,
    /// The instrument's name
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// A free remark
    #[arg(long, default_value = "", hide_default_value = true)]
    remark: String,
    /// The kind as the source wrote it
    #[arg(long, default_value = "", hide_default_value = true)]
    source_text: String,
    /// The broker's own number of the fill, unique in an account and day
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// The record's id, 26 characters of a ULID, so that a retry is the same record [default: a new one]
    #[arg(long, value_name = "ULID")]
    trade_id: Option<TradeId>,
    /// For the kind void: the record that is void from now on
    #[arg(long, value_name = "ULID")]
    voids: Option<TradeId>,
}

impl Record {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let account = account_of(self.account.as_ref(), &opened.config)?;
        let record = self.record(account, &opened.config.calendar)?;
        let id = record.trade_id;
        let receipt = opened.store.commit(Batch::of(Operation::RecordTrade(record)))?;
        let (id, new) = match receipt.outcomes.first() {
            Some(Outcome::TradeExists { trade_id, .. }) => (*trade_id, false),
            _ => (id, true),
        };
        let record =
            vec![("trade_id", Cell::text(id)), ("lsn", Cell::Count(receipt.lsn.0)), ("new", Cell::Bool(new))];
        output::record(out, context.format, &record)?;
        if !new {
            context.say("It was recorded already; nothing was written.");
        }
        Ok(Exit::Done)
    }

    fn record(&self, account: AccountId, calendar: &Calendar) -> anyhow::Result<TradeRecord> {
        let ts = match &self.at {
            Some(when) => when.instant(self.instrument.zone())?,
            None => SystemClock.now(),
        };
        let record = TradeRecord {
            trade_id: self.trade_id.unwrap_or_else(|| TradeId(Ulid::generate().into())),
            account,
            book: self.book.clone(),
            instrument: self.instrument,
            strategy: self.strategy.clone(),
            kind: self.kind,
            ts,
            trading_day: self.trading_day.map_or_else(|| day_of(calendar, ts), Ok)?,
            price: self.price,
            quantity: self.quantity,
            amount: self.amount,
            fee: self.fee,
            name: self.name.clone(),
            remark: self.remark.clone(),
            source_text: self.source_text.clone(),
            external_id: self.external_id.clone(),
            voids: self.voids,
        };
        record.born().map_err(|error| Failure::usage(error.to_string()).into())
    }
}

fn day_of(calendar: &Calendar, ts: Timestamp) -> anyhow::Result<TradingDay> {
    let day = calendar.trading_day_of(ts).context("the trading day is not known")?;
    Ok(day.ok_or_else(|| {
        Failure::usage(format!("{ts} is on no trading day of the calendar {}", calendar.kind()))
            .hint("give --trading-day DAY")
    })?)
}
