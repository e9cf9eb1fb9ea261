//! `list` of ticks and market trades: rows of many instruments, printed as they are read.

use barkeeper::Snapshot;
use barkeeper_records::{InstrumentId, Interval, Timestamp};
use clap::Args;

use super::Listed;
use crate::cli::Out;
use crate::commands::listing::{Look, Selection, zone_of};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Print rows of many instruments
///
/// Rows are printed as they are read, so that a whole market can go into a file:
/// `barkeeper ticks list --format csv > ticks.csv`. A table ends after 1,000 rows. A value that the source does
/// not tell is left empty.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    selection: Selection,
    /// The last N of one instrument
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to", "order", "prefix"])]
    last: Option<usize>,
    /// Only these columns, in this order
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', conflicts_with = "all_columns")]
    columns: Vec<String>,
    /// Print all columns: of ticks all five levels, the limits and the open interest
    #[arg(long)]
    all_columns: bool,
}

impl List {
    pub(super) fn run<T: Listed>(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let columns = self.columns::<T>()?;
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let what = |one: Option<InstrumentId>| match one {
            Some(instrument) => format!("{} of {instrument}", T::WHAT),
            None => T::WHAT.to_owned(),
        };
        let all = T::summaries(&snapshot)?.iter().map(|one| one.instrument).collect();
        let instruments = self.selection.choose(all, what)?;
        let mut request = self.selection.request(T::request(), &instruments, Interval::MINUTE, &columns)?;
        let mut skip = 0;
        if let Some(count) = self.last {
            let (from, first) = self.behind::<T>(&snapshot, count)?;
            (request, skip) = (request.from(from), first);
        }
        let scan = snapshot.scan(&request)?;
        // From here on the scan holds what it reads.
        drop(snapshot);
        let zone = zone_of(&instruments);
        let look = Look { what: T::ROW, columns, daily: false, zone, untold: T::UNTOLD };
        self.selection.print(scan, skip, &look, context, out)?;
        Ok(Exit::Done)
    }

    /// From which `ts` on the last rows stand, and how many rows of that `ts` come before them.
    fn behind<T: Listed>(&self, snapshot: &Snapshot, count: usize) -> anyhow::Result<(Timestamp, u64)> {
        let Some(instrument) = self.selection.only() else {
            return Err(Failure::usage("--last counts the rows of one instrument").hint("name one").into());
        };
        let last = T::last(snapshot, &instrument, count)?;
        let Some(from) = last.first().map(|row| row.place().ts) else {
            return Ok((Timestamp::MAX, 0));
        };
        let no_columns: [&str; 0] = [];
        let request = T::request().instruments([instrument]).from(from).columns(no_columns);
        let mut all = 0;
        for batch in snapshot.scan(&request)? {
            all += batch?.num_rows() as u64;
        }
        Ok((from, all.saturating_sub(last.len() as u64)))
    }

    fn columns<T: Listed>(&self) -> anyhow::Result<Vec<&'static str>> {
        let all = || ["instrument", "ts", "sequence", "trading_day"].iter().chain(T::NUMBERS).chain(T::MORE);
        if self.columns.is_empty() {
            let shown =
                |name: &&str| self.all_columns || !T::NUMBERS.contains(name) || T::SHORT.contains(name);
            return Ok(all().copied().filter(shown).collect());
        }
        let named = |name: &String| {
            all().copied().find(|column| column == name).ok_or_else(|| {
                let names = all().copied().collect::<Vec<_>>().join(", ");
                Failure::usage(format!("{} have no column '{name}'", T::WHAT))
                    .hint(format!("columns: {names}"))
            })
        };
        Ok(self.columns.iter().map(named).collect::<Result<_, _>>()?)
    }
}
