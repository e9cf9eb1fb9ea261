//! `Parsed`: what was read from a file, and what was left out.

use std::fmt;

use barkeeper_records::{
    AccountId, BarRun, BookId, InstrumentId, MarketTrade, Quality, Tick, TradeRecord, TradingDay,
};

use crate::silverquant_state::{PartialPosition, StateFile};

/// Characters of a rejected value that a report keeps.
const VALUE_CHARS: usize = 120;

/// A row that was left out, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// The file's name.
    pub file: String,
    /// The line, or the record of a binary file, from 1.
    pub line: u64,
    /// The field that is wrong; `row` where it is the row as a whole.
    pub field: String,
    /// What stood there, at most 120 characters.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl RejectedRow {
    pub(crate) fn new(file: &str, line: u64, field: &str, value: &str, reason: impl fmt::Display) -> Self {
        Self {
            file: file.to_owned(),
            line,
            field: field.to_owned(),
            value: value.chars().take(VALUE_CHARS).collect(),
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for RejectedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, field, value, reason } = self;
        write!(f, "{file}:{line}: {field} '{value}': {reason}")
    }
}

/// What a file holds, as records.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The name of the source that read it.
    pub source: &'static str,
    /// How it was read, one line.
    pub profile: String,
    /// Bars, one run a series.
    pub bars: Vec<BarRun>,
    /// Ticks, in the file's order.
    pub ticks: Vec<(InstrumentId, Tick)>,
    /// Market trades, in the file's order.
    pub market_trades: Vec<(InstrumentId, MarketTrade)>,
    /// Lines of a trade log, in the file's order.
    pub trades: Vec<TradeRecord>,
    /// What it says about positions; [`merge_positions`](crate::merge_positions) joins a folder's files.
    pub positions: Vec<PartialPosition>,
    /// Which of a book's files it is, for files of positions.
    pub state: Option<StateFile>,
    /// The trading day of each book's last daily increment.
    pub incremented_on: Vec<(AccountId, BookId, TradingDay)>,
    /// Rows that were left out.
    pub rejected: Vec<RejectedRow>,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
    /// What is odd about the bars.
    pub quality: Quality,
}

impl Parsed {
    pub(crate) fn new(source: &'static str, profile: String) -> Self {
        Self {
            source,
            profile,
            bars: Vec::new(),
            ticks: Vec::new(),
            market_trades: Vec::new(),
            trades: Vec::new(),
            positions: Vec::new(),
            state: None,
            incremented_on: Vec::new(),
            rejected: Vec::new(),
            notes: Vec::new(),
            quality: Quality::default(),
        }
    }

    pub(crate) fn of_run(source: &'static str, profile: String, run: BarRun) -> Self {
        let quality = run.quality();
        let bars = if run.bars().is_empty() { Vec::new() } else { vec![run] };
        let notes = if bars.is_empty() { vec!["the file holds no bars".to_owned()] } else { Vec::new() };
        Self { bars, notes, quality, ..Self::new(source, profile) }
    }

    /// Rows taken: bars, ticks, market trades, trade records and facts about positions.
    pub fn rows(&self) -> u64 {
        let bars: usize = self.bars.iter().map(|run| run.bars().len()).sum();
        let events = self.ticks.len() + self.market_trades.len();
        (bars + events + self.trades.len() + self.positions.len()) as u64
    }
}
