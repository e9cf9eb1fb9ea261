//! `barkeeper positions bump`: counts the held days of a book up, once a trading day.

use anyhow::bail;
use barkeeper_records::{Batch, IncrementOutcome, Operation, Outcome, TradingDay};
use clap::Args;

use super::BookArgs;
use crate::cli::Out;
use crate::context::{Context, account_of, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format};

/// Missed days that are named; JSON has all.
const SHOWN: usize = 10;

/// Count the held days of a book up, at most once a trading day
///
/// Ends with 0 when it was done now, and with 1 and the reason when it was not: done before, or no
/// trading day. Trading days that were missed are named, and counted only with --catch-up.
#[derive(Debug, Args)]
pub(crate) struct Bump {
    #[command(flatten)]
    of: BookArgs,
    /// The trading day [default: what the clock shows in the calendar's zone]
    #[arg(long)]
    day: Option<TradingDay>,
    /// Count trading days that were missed as well
    #[arg(long)]
    catch_up: bool,
}

impl Bump {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let account = account_of(self.of.account.as_ref(), &opened.config)?;
        let operation = Operation::IncrementHeldDays {
            account,
            book: self.of.book.clone(),
            day: self.day,
            catch_up: self.catch_up,
        };
        let receipt = opened.store.commit(Batch::of(operation))?;
        let Some(Outcome::Increment(outcome)) = receipt.outcomes.into_iter().next() else {
            bail!("the store did not say what it did");
        };
        print(&outcome, context, out)?;
        Ok(if outcome.done { Exit::Done } else { Exit::Findings })
    }
}

fn print(outcome: &IncrementOutcome, context: &Context, out: Out<'_>) -> anyhow::Result<()> {
    if context.format == Format::Json {
        return Ok(output::json(out, outcome)?);
    }
    let result =
        outcome.refusal.as_ref().map_or_else(|| "done".to_owned(), |reason| format!("not done: {reason}"));
    if context.format == Format::Csv {
        let record = vec![
            ("done", Cell::Bool(outcome.done)),
            ("day", Cell::Day(outcome.day)),
            ("positions", Cell::Count(outcome.positions)),
            ("missed", Cell::Count(outcome.missed.len() as u64)),
            ("caught_up", Cell::Bool(outcome.caught_up)),
            ("result", Cell::Text(result)),
        ];
        return Ok(output::record(out, context.format, &record)?);
    }
    if outcome.done {
        writeln!(out, "done for {}: {}", outcome.day, counted(outcome.positions, "position"))?;
    } else {
        writeln!(out, "{result}")?;
    }
    out.flush()?;
    if !outcome.missed.is_empty() {
        let all = outcome.missed.len();
        let shown: Vec<String> = outcome.missed.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = if all > SHOWN { ", ..." } else { "" };
        let what = if outcome.caught_up {
            "counted as well"
        } else {
            "missed and not counted; --catch-up would have"
        };
        context.say(format_args!("{} {what}: {}{more}", counted(all, "trading day"), shown.join(", ")));
    }
    Ok(())
}
