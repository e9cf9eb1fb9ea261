//! `barkeeper bars list`: bars of many instruments, printed as they are read.

use barkeeper::ScanRequest;
use barkeeper_records::InstrumentId;
use clap::Args;

use super::Kind;
use crate::cli::Out;
use crate::commands::listing::{Look, Selection, zone_of};
use crate::context::Context;
use crate::exit::Exit;

/// The columns that can be asked for.
const COLUMNS: [&str; 10] = [
    "instrument",
    "ts",
    "trading_day",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "turnover",
    "open_interest",
];

/// Print the bars of many instruments
///
/// Rows are printed as they are read, so that a whole market can go into a file:
/// `barkeeper bars list --format csv > bars.csv`. A table ends after 1,000 rows.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    kind: Kind,
    /// Only these columns, in this order
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = COLUMNS)]
    columns: Vec<String>,
}

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let Kind { interval, adjustment } = self.kind;
        let all = snapshot.all_series(Some(interval), Some(adjustment))?;
        let what = |one: Option<InstrumentId>| match one {
            Some(instrument) => format!("bars of {}", self.kind.series(instrument)),
            None => format!("{interval} {adjustment} bars"),
        };
        let instruments =
            self.selection.choose(all.iter().map(|one| one.series.instrument).collect(), what)?;
        let columns = self.columns();
        let request = ScanRequest::bars(interval, adjustment);
        let request = self.selection.request(request, &instruments, interval, &columns)?;
        let scan = snapshot.scan(&request)?;
        // From here on the scan holds what it reads.
        drop(snapshot);
        let (daily, zone) = (interval.is_daily_or_longer(), zone_of(&instruments));
        let look = Look { what: "bar", columns, daily, zone, untold: &[] };
        self.selection.print(scan, 0, &look, context, out)?;
        Ok(Exit::Done)
    }

    /// The columns that are printed; the open interest only where it is asked for.
    fn columns(&self) -> Vec<&'static str> {
        let named = |name: &String| COLUMNS.into_iter().find(|column| *column == name);
        if self.columns.is_empty() {
            COLUMNS.into_iter().filter(|column| *column != "open_interest").collect()
        } else {
            self.columns.iter().filter_map(named).collect()
        }
    }
}
