//! `barkeeper trades summary`: sums of the trade log.

use barkeeper::{SummaryBasis, SummaryBy};
use clap::{Args, ValueEnum};

use super::Filter;
use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell, Rows};

/// Sum the trade log up by account and group
///
/// Sums count fills; where an account has only orders, `basis` says so. Realised profit is by average
/// cost, fees taken off, and empty where the cost of something that was sold is not known.
#[derive(Debug, Args)]
pub(crate) struct Summary {
    /// By what
    #[arg(long, value_enum, default_value_t = By::Month)]
    by: By,
    #[command(flatten)]
    filter: Filter,
}

/// By what a summary groups.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Day,
    Month,
    Year,
    Instrument,
    Kind,
}

impl Summary {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let query = self.filter.query(opened.config.calendar.zone())?;
        let (by, group) = match self.by {
            By::Day => (SummaryBy::Day, "day"),
            By::Month => (SummaryBy::Month, "month"),
            By::Year => (SummaryBy::Year, "year"),
            By::Instrument => (SummaryBy::Instrument, "instrument"),
            By::Kind => (SummaryBy::Kind, "kind"),
        };
        let found = opened.store.snapshot()?.summary(&query, by)?;
        let mut rows = Rows::new([
            "account", group, "basis", "count", "buys", "sells", "bought", "sold", "fees", "realised",
        ]);
        for row in &found {
            let basis = match row.basis {
                SummaryBasis::Fills => "fills",
                SummaryBasis::Orders => "orders",
            };
            rows.push([
                Cell::text(&row.account),
                Cell::text(&row.group),
                Cell::text(basis),
                Cell::Count(row.count),
                Cell::Count(row.buys),
                Cell::Count(row.sells),
                Cell::Money(row.bought),
                Cell::Money(row.sold),
                Cell::Money(row.fees),
                Cell::maybe(row.realised, Cell::Money),
            ]);
        }
        output::rows(out, context.format, &rows)?;
        if found.iter().any(|row| row.basis == SummaryBasis::Orders) {
            context.say("Some accounts have no fills: their sums count orders.");
        }
        Ok(Exit::Done)
    }
}
