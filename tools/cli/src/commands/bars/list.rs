//! `barkeeper bars list`: bars of many instruments, printed as they are read.

use barkeeper::{ScanRequest, Snapshot};
use barkeeper_records::InstrumentId;
use clap::Args;

use super::{Kind, cells, columns};
use crate::cli::Out;
use crate::commands::listing::{Look, Selection, zone_of};
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{Cell, Stream};

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
    /// The last N of each instrument
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to", "order"])]
    last: Option<usize>,
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
        if let Some(count) = self.last {
            return self.print_last(count, &instruments, &snapshot, context, out);
        }
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

    /// Prints the last bars of each instrument.
    fn print_last(
        &self,
        count: usize,
        instruments: &[InstrumentId],
        snapshot: &Snapshot,
        context: &Context,
        out: Out<'_>,
    ) -> anyhow::Result<Exit> {
        let names = self.columns();
        let all = || ["instrument"].into_iter().chain(columns(true));
        let places: Vec<usize> =
            names.iter().filter_map(|name| all().position(|column| column == *name)).collect();
        let limit = self.selection.limit(context);
        let mut stream = Stream::new(out, context.format, &names)?;
        let (mut printed, mut more) = (0, false);
        'instruments: for instrument in instruments {
            for bar in snapshot.last_bars(&self.kind.series(*instrument), count)? {
                if printed >= limit {
                    more = true;
                    break 'instruments;
                }
                let values = cells(&bar, self.kind, instrument.zone(), true);
                let row: Vec<Cell> = [Cell::text(instrument)].into_iter().chain(values).collect();
                stream.push(places.iter().filter_map(|place| row.get(*place).cloned()))?;
                printed += 1;
            }
        }
        stream.finish()?;
        let behind = if more { "; there are more" } else { "" };
        context.say(format_args!("{}{behind}.", counted(printed, "bar")));
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
