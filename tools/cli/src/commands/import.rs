//! `barkeeper import`: takes in files of other programs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use barkeeper_host::{Config, ImportError, ImportReport, ImportSettings, open};
use barkeeper_records::{AccountId, AdjustmentTag, BookId, InstrumentId, Interval, OnConflict, Quality};
use barkeeper_sources::{ImportOptions, VolumeUnit};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, PROGRAM, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};
use crate::progress::Progress;
use crate::values::Conflict;

/// Findings of one kind that are shown; JSON has all.
const SHOWN: usize = 20;

/// Take in files and folders of other programs
///
/// TDX .day files, SilverQuant klines (folders such as `_daily_mootdx` tell units) and state folders,
/// Binance klines, trades and aggTrades, ticks that vn.py recorded, and bars as CSV, as `bars list`, `bars day` and
/// `sql` print them: `instrument,ts,trading_day,open,high,low,close,volume,turnover[,open_interest]`, the interval
/// given by --interval or in a column, volume in shares, contracts or base units. Importing a file again changes
/// nothing.
///
/// A line that cannot be is named and left out, the rest of the file is taken, and the import ends with 1. Nothing
/// is taken of a file that is doubtful as a whole: torn, with another header, with volume in another unit than it
/// says, a CSV of bars of which most lines cannot be, or binary with a record that cannot be. Files in folders that nobody knows are listed and left alone.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files, and folders with everything below them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What to do with rows that are stored with other content
    #[arg(long, value_enum, default_value_t)]
    on_conflict: Conflict,
    /// The source, where files do not tell: tdx-day, silverquant-kline, silverquant-state, binance-kline,
    /// binance-trades, vnpy-tick, bars-csv
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// What was traded, where the file's name does not tell
    #[arg(long)]
    instrument: Option<InstrumentId>,
    /// The length of the bars, where the file's name does not tell
    #[arg(long)]
    interval: Option<Interval>,
    /// How prices were adjusted, where the folder does not tell: raw, qfq or hfq
    #[arg(long)]
    adjustment: Option<AdjustmentTag>,
    /// The SilverQuant folder whose units are meant, for files that lie elsewhere
    #[arg(long, value_name = "FOLDER")]
    profile: Option<String>,
    /// Whose positions and trades these are [default: the configured account]
    #[arg(long, value_name = "NAME")]
    account: Option<AccountId>,
    /// The book of positions and trades [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    book: Option<BookId>,
    /// The unit of volume, where the source cannot tell: shares, lots, contracts, base or venue
    #[arg(long)]
    unit: Option<VolumeUnit>,
    /// Lowest prices come from SilverQuant 4.5.0 or later, which keeps them rightly
    #[arg(long)]
    trust_lowest: bool,
}

impl Import {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = open(&context.folder()?, PROGRAM)?;
        let settings = self.settings(&opened.config);
        let bar = Progress::new(context, "files");
        let result = barkeeper_host::import(&opened.store, &self.paths, &settings, &mut |at| {
            bar.set(at.files, at.of);
        });
        drop(bar);
        match result {
            Ok(report) => {
                print(&report, context, out)?;
                Ok(if report.is_clean() { Exit::Done } else { Exit::Findings })
            }
            Err(error) => {
                if let ImportError::Commit { report, .. } | ImportError::Read { report, .. } = &error {
                    print(report, context, out)?;
                }
                Err(error.into())
            }
        }
    }

    fn settings(&self, config: &Config) -> ImportSettings {
        let options = ImportOptions {
            source: self.source.clone(),
            instrument: self.instrument,
            interval: self.interval,
            adjustment: self.adjustment,
            profile: self.profile.clone(),
            account: self.account.clone().or_else(|| config.account.clone()),
            book: self.book.clone(),
            unit: self.unit,
            trust_lowest: self.trust_lowest,
        };
        let on_conflict = match self.on_conflict {
            Conflict::Stop => OnConflict::Refuse,
            Conflict::Replace => OnConflict::Replace,
            Conflict::Keep => OnConflict::Keep,
        };
        ImportSettings { options, on_conflict }
    }
}

fn print(report: &ImportReport, context: &Context, out: Out<'_>) -> anyhow::Result<()> {
    if context.format == Format::Json {
        return Ok(output::json(out, report)?);
    }
    let mut rows = Rows::new(["what", "new", "unchanged", "replaced", "kept"]);
    let (bars, trades, positions) = (report.bars, report.trades, report.positions);
    let counts = [
        ("bars", bars.inserted, bars.unchanged, bars.replaced, bars.kept),
        ("trades", trades.recorded, trades.known, 0, 0),
        ("positions", positions.set, positions.unchanged, 0, 0),
    ];
    // Most imports hold none of these, and their lines would be in the way.
    let events = [("ticks", report.ticks), ("market trades", report.market_trades)];
    let events = events
        .into_iter()
        .map(|(what, n)| (what, n.inserted, n.unchanged, n.replaced, n.kept))
        .filter(|(_, new, unchanged, replaced, kept)| new + unchanged + replaced + kept > 0);
    for (what, new, unchanged, replaced, kept) in counts.into_iter().chain(events) {
        rows.push([
            Cell::text(what),
            Cell::Count(new),
            Cell::Count(unchanged),
            Cell::Count(replaced),
            Cell::Count(kept),
        ]);
    }
    output::rows(out, context.format, &rows)?;
    tell(report, context);
    Ok(())
}

fn tell(report: &ImportReport, context: &Context) {
    let sources: Vec<String> = report.sources.iter().map(|(name, files)| format!("{files} {name}")).collect();
    let from = if sources.is_empty() { String::new() } else { format!(" ({})", sources.join(", ")) };
    context.say(format_args!(
        "{} taken{from}, {}.",
        counted(report.files, "file"),
        counted(report.commits, "commit")
    ));
    let Quality { negative_price, zero_price, price_order, .. } = report.quality;
    let odd = [
        (negative_price, "a price below zero"),
        (zero_price, "a price of zero"),
        (price_order, "a price outside of high and low"),
    ];
    let odd: Vec<String> = odd
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} with {what}", counted(count, "bar")))
        .collect();
    if !odd.is_empty() {
        context.say(format_args!("note: taken as they are: {}", odd.join(", ")));
    }
    for note in report.notes.iter().take(SHOWN) {
        context.say(format_args!("note: {}: {}", note.file.display(), note.text));
    }
    more(context, report.notes.len(), "notes");
    if !report.unrecognised.is_empty() {
        context.say(format_args!(
            "{} of no known kind, left alone:",
            counted(report.unrecognised.len(), "file")
        ));
        for path in report.unrecognised.iter().take(SHOWN) {
            context.say(format_args!("  {}", path.display()));
        }
        more(context, report.unrecognised.len(), "files");
    }
    for row in report.rejected.iter().take(SHOWN) {
        let (file, line, field, value, reason) =
            (row.file.display(), row.line, &row.field, &row.value, &row.reason);
        context.warn(format_args!("{file}:{line}: left out: {field} '{value}': {reason}"));
    }
    more(context, report.rejected.len(), "rows");
    if !report.rejected.is_empty() {
        let taken = if report.rejected.len() == 1 { "was" } else { "were" };
        let files: BTreeSet<_> = report.rejected.iter().map(|row| &row.file).collect();
        context.warn(format_args!(
            "{} of {} {taken} left out; everything else of them was read",
            counted(report.rejected.len(), "line"),
            counted(files.len(), "file")
        ));
    }
    for refused in report.refused.iter().take(SHOWN) {
        context.warn(format_args!("{}: not taken: {}", refused.file.display(), refused.reason));
    }
    more(context, report.refused.len(), "files");
    let mut options: Vec<&str> = report.refused.iter().filter_map(|refused| refused.option).collect();
    options.sort_unstable();
    options.dedup();
    for option in options {
        context.say(format_args!("hint: give --{} for such files", option.replace('_', "-")));
    }
}

fn more(context: &Context, all: usize, what: &str) {
    if all > SHOWN {
        context.say(format_args!("  and {} more {what}; --format json lists all", all - SHOWN));
    }
}
