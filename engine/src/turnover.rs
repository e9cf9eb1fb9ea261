//! `Turnover`: the orders and fills of accounts in memory, ready to be summed up: derived, rebuildable,
//! never the truth.
//!
//! A summary of years reads every trade record of an account, because profit by average cost depends on
//! all that came before. What it read is kept here as short rows, each with the profit that it realised,
//! and commits append to them. Rows order by time, and as commits append behind all others, what a
//! snapshot sees is a beginning of them. Any other change of an account's log lets its rows go.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use barkeeper_records::{
    AccountId, BookId, InstrumentId, Lsn, StrategyId, Timestamp, TradeId, TradeKind, TradeRecord, TradingDay,
};
use rust_decimal::Decimal;

use crate::session::Joined;

/// Rows of one chunk: what an append copies at the most while a reader holds it.
const CHUNK_ROWS: usize = 4_096;
/// Rows of an account that are kept at the most, 100 bytes each; larger logs are read anew each time.
const KEPT_ROWS: usize = 1_000_000;

/// An order or a fill, as a commit wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Deal {
    pub(crate) ts: Timestamp,
    id: TradeId,
    trading_day: TradingDay,
    kind: TradeKind,
    book: BookId,
    instrument: InstrumentId,
    strategy: Option<StrategyId>,
    quantity: Decimal,
    value: Decimal,
    fee: Decimal,
}

impl Deal {
    /// What a summary needs of a trade record; `None` for what no summary counts.
    pub(crate) fn of(trade: &TradeRecord) -> Option<Self> {
        (trade.kind.is_fill() || trade.kind.is_order()).then(|| Self {
            ts: trade.ts,
            id: trade.trade_id,
            trading_day: trade.trading_day,
            kind: trade.kind,
            book: trade.book.clone(),
            instrument: trade.instrument,
            strategy: trade.strategy.clone(),
            quantity: trade.quantity,
            value: trade.value(),
            fee: trade.fee.unwrap_or_default(),
        })
    }
}

/// How a commit changes the log of an account.
#[derive(Debug, Clone)]
pub(crate) enum Traded {
    /// A record that was not there.
    New(Deal),
    /// A record became void.
    Void,
}

/// An order or a fill, with its names as numbers.
#[derive(Debug, Clone)]
pub(crate) struct DealRow {
    pub(crate) ts: Timestamp,
    pub(crate) trading_day: TradingDay,
    pub(crate) kind: TradeKind,
    pub(crate) book: u32,
    pub(crate) instrument: u32,
    pub(crate) strategy: Option<u32>,
    pub(crate) value: Decimal,
    pub(crate) fee: Decimal,
    /// The profit of a fill, `None` where the cost of what was sold is not known.
    pub(crate) profit: Option<Decimal>,
}

/// Names and the numbers that stand for them.
#[derive(Debug, Clone)]
pub(crate) struct Names<T> {
    names: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { names: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Names<T> {
    pub(crate) fn find(&self, name: &T) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn name(&self, number: u32) -> Option<&T> {
        self.names.get(usize::try_from(number).ok()?)
    }

    fn number(&mut self, name: &T) -> u32 {
        if let Some(number) = self.find(name) {
            return number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }
}

/// The names in an account's log.
#[derive(Debug, Clone, Default)]
pub(crate) struct DealNames {
    pub(crate) books: Names<BookId>,
    pub(crate) instruments: Names<InstrumentId>,
    pub(crate) strategies: Names<StrategyId>,
}

/// What a book holds of an instrument and what it paid for it, fees of buying included.
#[derive(Debug, Clone, Copy, Default)]
struct Holding {
    quantity: Decimal,
    cost: Decimal,
}

impl Holding {
    /// Follows a fill; answers the profit of a sale, `None` where its cost is not known.
    fn follow(&mut self, deal: &Deal) -> Option<Decimal> {
        let next = self.after(deal);
        let (holding, profit) =
            next.map_or((Self::default(), None), |(holding, profit)| (holding, Some(profit)));
        *self = holding;
        profit
    }

    /// `None` where more is sold than is known to be held, or a number leaves the range of decimals.
    fn after(&self, deal: &Deal) -> Option<(Self, Decimal)> {
        if deal.kind == TradeKind::BuyFill {
            let quantity = self.quantity.checked_add(deal.quantity)?;
            let cost = self.cost.checked_add(deal.value)?.checked_add(deal.fee)?;
            return Some((Self { quantity, cost }, Decimal::ZERO));
        }
        if deal.quantity > self.quantity || self.quantity.is_zero() {
            return None;
        }
        let part = self.cost.checked_mul(deal.quantity)?.checked_div(self.quantity)?;
        let profit = deal.value.checked_sub(deal.fee)?.checked_sub(part)?.round_dp(8);
        Some((Self { quantity: self.quantity - deal.quantity, cost: self.cost.checked_sub(part)? }, profit))
    }
}

/// The orders and fills of one account in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Deals {
    chunks: Vec<Arc<Vec<DealRow>>>,
    rows: usize,
    names: Arc<DealNames>,
    holdings: HashMap<(u32, u32), Holding>,
    newest: Option<(Timestamp, TradeId)>,
    first_fill: Option<usize>,
}

impl Deals {
    /// Takes a deal in; false where it does not lie behind all others.
    pub(crate) fn push(&mut self, deal: &Deal) -> bool {
        let place = (deal.ts, deal.id);
        if self.newest.is_some_and(|newest| place <= newest) {
            return false;
        }
        self.newest = Some(place);
        let known = &self.names;
        let (book, instrument) = (known.books.find(&deal.book), known.instruments.find(&deal.instrument));
        let strategy = deal.strategy.as_ref().map(|name| known.strategies.find(name));
        let (book, instrument, strategy) = match (book, instrument, strategy) {
            (Some(book), Some(instrument), None) => (book, instrument, None),
            (Some(book), Some(instrument), Some(Some(strategy))) => (book, instrument, Some(strategy)),
            _ => {
                let names = Arc::make_mut(&mut self.names);
                let strategy = deal.strategy.as_ref().map(|name| names.strategies.number(name));
                (names.books.number(&deal.book), names.instruments.number(&deal.instrument), strategy)
            }
        };
        let profit = if deal.kind.is_fill() {
            self.first_fill.get_or_insert(self.rows);
            self.holdings.entry((book, instrument)).or_default().follow(deal)
        } else {
            None
        };
        let Deal { ts, trading_day, kind, value, fee, .. } = *deal;
        let row = DealRow { ts, trading_day, kind, book, instrument, strategy, value, fee, profit };
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK_ROWS) {
            Some(chunk) => Arc::make_mut(chunk).push(row),
            None => self.chunks.push(Arc::new(vec![row])),
        }
        self.rows += 1;
        true
    }

    fn first(&self, rows: usize) -> SeenDeals {
        SeenDeals {
            chunks: self.chunks.clone(),
            rows,
            names: self.names.clone(),
            has_fills: self.first_fill.is_some_and(|first| first < rows),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> SeenDeals {
        self.first(self.rows)
    }
}

/// The orders and fills of an account that a snapshot sees.
#[derive(Debug, Clone)]
pub(crate) struct SeenDeals {
    chunks: Vec<Arc<Vec<DealRow>>>,
    rows: usize,
    pub(crate) names: Arc<DealNames>,
    pub(crate) has_fills: bool,
}

impl SeenDeals {
    /// The rows in the order of time.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &DealRow> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).take(self.rows)
    }
}

#[derive(Debug)]
struct Kept {
    deals: Deals,
    /// The snapshot that read them: what earlier ones saw is not known.
    from: Lsn,
    /// How many rows there were before each later commit that appended some.
    before: Vec<(Lsn, usize)>,
}

impl Kept {
    fn append(&mut self, lsn: Lsn, deal: &Deal) -> bool {
        if self.before.last().is_none_or(|(last, _)| *last != lsn) {
            self.before.push((lsn, self.deals.rows));
        }
        self.deals.rows < KEPT_ROWS && self.deals.push(deal)
    }

    fn seen(&self, lsn: Lsn) -> Option<SeenDeals> {
        if lsn < self.from {
            return None;
        }
        let later = self.before.partition_point(|(appended, _)| *appended <= lsn);
        let rows = self.before.get(later).map_or(self.deals.rows, |(_, rows)| *rows);
        Some(self.deals.first(rows))
    }
}

#[derive(Debug, Default)]
struct Account {
    kept: Option<Kept>,
    /// The first commit under way that changes the account's log.
    pending: Option<Lsn>,
    /// Readers that read the whole log now.
    reading: usize,
    /// What was committed while somebody read.
    recent: Vec<(Lsn, Deal)>,
    /// The last commit of which neither `kept` nor `recent` knows.
    missed: Lsn,
}

/// The orders and fills of all accounts that were summed up.
#[derive(Debug, Default)]
pub(crate) struct Turnover(RwLock<HashMap<AccountId, Account>>);

impl Turnover {
    /// What a snapshot at `lsn` sees of an account; `None` where memory cannot tell.
    pub(crate) fn seen(&self, account: &AccountId, lsn: Lsn) -> Option<SeenDeals> {
        let accounts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.get(account)?;
        if account.pending.is_some_and(|pending| pending <= lsn) {
            return None;
        }
        account.kept.as_ref()?.seen(lsn)
    }

    /// Says that a snapshot begins to read an account's whole log; [`Self::keep`] ends it.
    pub(crate) fn reading(&self, account: &AccountId) {
        let mut accounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        accounts.entry(account.clone()).or_default().reading += 1;
    }

    /// Keeps what a snapshot at `lsn` read, unless something was missed since; `None` where it failed.
    pub(crate) fn keep(&self, account: &AccountId, lsn: Lsn, deals: Option<Deals>) {
        let mut accounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(account.clone()).or_default();
        account.reading = account.reading.saturating_sub(1);
        if let (Some(deals), None) = (deals, &account.kept)
            && account.missed <= lsn
            && deals.rows <= KEPT_ROWS
        {
            let mut kept = Kept { deals, from: lsn, before: Vec::new() };
            let later = account.recent.iter().filter(|(committed, _)| *committed > lsn);
            if later.fold(true, |whole, (committed, deal)| whole && kept.append(*committed, deal)) {
                account.kept = Some(kept);
            }
        }
        if account.kept.is_some() {
            account.recent.clear();
        } else if account.reading == 0 {
            account.forget_recent();
        }
    }

    /// Before the batches of a commit become visible.
    pub(crate) fn begin(&self, joined: &[Joined]) {
        if joined.iter().all(|one| one.traded.is_empty()) {
            return;
        }
        let mut accounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for one in joined {
            for (account, change) in &one.traded {
                let account = accounts.entry(account.clone()).or_default();
                account.pending.get_or_insert(one.lsn);
                if matches!(change, Traded::Void) {
                    account.lose(one.lsn);
                }
            }
        }
    }

    /// After the commit failed: nothing of it is visible.
    pub(crate) fn undone(&self, joined: &[Joined]) {
        let mut accounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (account, _) in joined.iter().flat_map(|one| &one.traded) {
            if let Some(account) = accounts.get_mut(account) {
                account.pending = None;
            }
        }
    }

    /// After the commit is durable. A snapshot that sees it is not answered before all of it is here.
    pub(crate) fn done(&self, joined: &[Joined]) {
        if joined.iter().all(|one| one.traded.is_empty()) {
            return;
        }
        let mut accounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for one in joined {
            for (account, change) in &one.traded {
                let account = accounts.entry(account.clone()).or_default();
                account.pending = None;
                if let Traded::New(deal) = change {
                    account.append(one.lsn, deal);
                }
            }
        }
    }
}

impl Account {
    fn append(&mut self, lsn: Lsn, deal: &Deal) {
        if let Some(kept) = &mut self.kept {
            if !kept.append(lsn, deal) {
                self.lose(lsn);
            }
        } else if self.reading > 0 {
            self.recent.push((lsn, deal.clone()));
        } else {
            self.missed = self.missed.max(lsn);
        }
    }

    fn lose(&mut self, lsn: Lsn) {
        self.kept = None;
        self.forget_recent();
        self.missed = self.missed.max(lsn);
    }

    fn forget_recent(&mut self) {
        if let Some((last, _)) = self.recent.last() {
            self.missed = self.missed.max(*last);
        }
        self.recent.clear();
    }
}
