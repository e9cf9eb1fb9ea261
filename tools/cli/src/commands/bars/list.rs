//! `barkeeper bars list`: bars of many instruments, printed as they are read.

use anyhow::bail;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, TimestampNanosecondType};
use arrow_array::{ArrayRef, RecordBatch};
use barkeeper::{ScanOrder, ScanRequest, SeriesSummary, Snapshot};
use barkeeper_records::{Bar, InstrumentId, Timestamp, TradingDay};
use clap::{Args, ValueEnum};

use super::Kind;
use crate::cli::Out;
use crate::context::{Context, counted, not_found};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Format, Stream};
use crate::values::{When, bar_range};

/// Rows of a table where no other limit is given: a table is laid out when all of it is known.
const TABLE_ROWS: u64 = 1_000;
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

/// In which order rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Order {
    /// Instrument, then time.
    #[default]
    Instrument,
    /// Time, then instrument.
    Time,
}

/// Print the bars of many instruments
///
/// Rows are printed as they are read, so that a whole market can go into a file:
/// `barkeeper bars list --format csv > bars.csv`. A table ends after 1,000 rows.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Instruments in any spelling; all where none is named
    instruments: Vec<InstrumentId>,
    /// Only instruments whose name begins so: 6, 0000, IF24
    #[arg(long, value_name = "TEXT", conflicts_with = "instruments")]
    prefix: Option<String>,
    #[command(flatten)]
    kind: Kind,
    /// From this day or instant on; a time without an offset is the venue's
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Up to this day or instant, itself included
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// Only these columns, in this order
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = COLUMNS)]
    columns: Vec<String>,
    /// In which order rows come
    #[arg(long, value_enum, default_value_t)]
    order: Order,
    /// At most this many rows [default: 1000 in a table, else all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl List {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let snapshot = opened.store.snapshot()?;
        let series = self.series(&snapshot)?;
        let (from, to) = self.range(&series)?;
        let columns = self.columns();
        let request = ScanRequest::bars(self.kind.interval, self.kind.adjustment)
            .instruments(series.iter().map(|one| one.series.instrument))
            .from(from)
            .to(to)
            .columns(columns.iter().copied())
            .order(if self.order == Order::Time { ScanOrder::Time } else { ScanOrder::Instrument });
        let scan = snapshot.scan(&request)?;
        // From here on the scan holds what it reads.
        drop(snapshot);
        let limit = self.limit.unwrap_or(if context.format == Format::Table { TABLE_ROWS } else { u64::MAX });
        let mut stream = Stream::new(out, context.format, &columns)?;
        let mut printed = 0;
        let mut more = false;
        'batches: for batch in scan {
            let batch = batch?;
            let readers = readers(&batch, &columns, self.kind)?;
            for row in 0..batch.num_rows() {
                if printed >= limit {
                    more = true;
                    break 'batches;
                }
                stream.push(readers.iter().map(|read| read(row)))?;
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

    fn series(&self, snapshot: &Snapshot) -> anyhow::Result<Vec<SeriesSummary>> {
        let Kind { interval, adjustment } = self.kind;
        let mut found = snapshot.all_series(Some(interval), Some(adjustment))?;
        let prefix = self.prefix.as_deref().unwrap_or_default();
        found.retain(|one| {
            let instrument = &one.series.instrument;
            instrument.as_str().starts_with(prefix)
                && (self.instruments.is_empty() || self.instruments.contains(instrument))
        });
        for instrument in &self.instruments {
            if !found.iter().any(|one| one.series.instrument == *instrument) {
                return Err(not_found(format!("there are no bars of {}", self.kind.series(*instrument))));
            }
        }
        if found.is_empty() {
            return Err(not_found(format!("there are no {interval} {adjustment} bars of such instruments")));
        }
        Ok(found)
    }

    /// The first and the last `ts`, on the clock that all of the instruments' venues share.
    fn range(&self, series: &[SeriesSummary]) -> anyhow::Result<(Timestamp, Timestamp)> {
        let Some(first) = series.first().map(|one| one.series.instrument) else {
            return Ok((Timestamp::MIN, Timestamp::MAX));
        };
        let other = series.iter().find(|one| one.series.instrument.zone() != first.zone());
        let by_clock = |when: &Option<When>| !matches!(when, None | Some(When::Instant(_)));
        let asked = by_clock(&self.from) || by_clock(&self.to);
        if let (Some(other), true, false) = (other, asked, self.kind.interval.is_daily_or_longer()) {
            let (a, b) = (first, other.series.instrument);
            bail!(
                Failure::usage(format!(
                    "{a} trades on the clock of {} and {b} on that of {}",
                    a.zone(),
                    b.zone()
                ))
                .hint("give times with their offset, such as 2024-01-02T09:31:00+08:00, or name instruments")
            );
        }
        Ok(bar_range(self.kind.interval, first, self.from.as_ref(), self.to.as_ref())?)
    }
}

type Reader<'a> = Box<dyn Fn(usize) -> Cell + 'a>;

/// How the values of each column are read; a value that cannot be is left empty.
fn readers<'a>(batch: &'a RecordBatch, columns: &[&str], kind: Kind) -> anyhow::Result<Vec<Reader<'a>>> {
    let daily = kind.interval.is_daily_or_longer();
    let names = batch.column_by_name("instrument").map(names_of).transpose()?;
    let mut readers: Vec<Reader<'a>> = Vec::with_capacity(columns.len());
    for name in columns {
        let bad = || anyhow::anyhow!("column {name} has another type");
        let column = batch.column_by_name(name).ok_or_else(bad)?;
        readers.push(match *name {
            "instrument" => {
                let (keys, names) = names.clone().ok_or_else(bad)?;
                Box::new(move |row| {
                    let name = keys.get(row).and_then(|key| names.get(usize::try_from(*key).ok()?));
                    Cell::maybe(name, Cell::text)
                })
            }
            "ts" => {
                let ts = column.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(bad)?.values();
                let names = names.clone();
                Box::new(move |row| {
                    let Some(ts) = ts.get(row).copied().map(Timestamp::from_nanos) else { return Cell::None };
                    if daily {
                        return Cell::Label(ts);
                    }
                    let name = names
                        .as_ref()
                        .and_then(|(keys, names)| names.get(usize::try_from(*keys.get(row)?).ok()?));
                    Cell::Instant(ts, name.map_or("UTC", InstrumentId::zone))
                })
            }
            "trading_day" => {
                let days = column.as_primitive_opt::<Date32Type>().ok_or_else(bad)?.values();
                Box::new(move |row| {
                    Cell::maybe(days.get(row).copied().and_then(TradingDay::from_days), Cell::Day)
                })
            }
            number if Bar::NUMBERS.contains(&number) => {
                let numbers = column.as_primitive_opt::<Float64Type>().ok_or_else(bad)?.values();
                Box::new(move |row| Cell::maybe(numbers.get(row).copied(), Cell::Number))
            }
            _ => return Err(bad()),
        });
    }
    Ok(readers)
}

type Names<'a> = (&'a [i32], std::rc::Rc<Vec<InstrumentId>>);

fn names_of(column: &ArrayRef) -> anyhow::Result<Names<'_>> {
    let bad = || anyhow::anyhow!("column instrument has another type");
    let names = column.as_dictionary_opt::<Int32Type>().ok_or_else(bad)?;
    let values = names.values().as_string_opt::<i32>().ok_or_else(bad)?;
    let parsed: Option<Vec<_>> =
        values.iter().map(|name| InstrumentId::from_trusted(name?.as_bytes())).collect();
    Ok((names.keys().values(), std::rc::Rc::new(parsed.ok_or_else(bad)?)))
}
