//! `Selection`: rows of many instruments, printed as they are read. What `list` of bars, ticks and market
//! trades have in common.

use anyhow::bail;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use barkeeper::{Scan, ScanOrder, ScanRequest};
use barkeeper_records::{InstrumentId, Interval, Timestamp, TradingDay};
use clap::{Args, ValueEnum};

use crate::cli::Out;
use crate::context::{Context, counted, not_found};
use crate::failure::Failure;
use crate::output::{Cell, Format, Stream};
use crate::values::{When, bar_range};

/// Rows of a table where no other limit is given: a table is laid out when all of it is known.
const TABLE_ROWS: u64 = 1_000;

/// In which order rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Order {
    /// Instrument, then time.
    #[default]
    Instrument,
    /// Time, then instrument.
    Time,
}

/// Which rows are listed.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Instruments in any spelling; all where none is named
    instruments: Vec<InstrumentId>,
    /// Only instruments whose name begins so: 6, 0000, IF24
    #[arg(long, value_name = "TEXT", conflicts_with = "instruments")]
    prefix: Option<String>,
    /// From this day or instant on; a time without an offset is the venue's
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Up to this day or instant, itself included
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// In which order rows come
    #[arg(long, value_enum, default_value_t)]
    order: Order,
    /// At most this many rows [default: 1000 in a table, else all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Selection {
    /// Those of some instruments that are meant. `what` is what there is none of, of an instrument where it
    /// was named.
    pub(crate) fn choose(
        &self,
        mut found: Vec<InstrumentId>,
        what: impl Fn(Option<InstrumentId>) -> String,
    ) -> anyhow::Result<Vec<InstrumentId>> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        found.retain(|one| {
            one.as_str().starts_with(prefix)
                && (self.instruments.is_empty() || self.instruments.contains(one))
        });
        let missing = self.instruments.iter().find(|one| !found.contains(one));
        match missing {
            Some(instrument) => Err(not_found(format!("there are no {}", what(Some(*instrument))))),
            None if found.is_empty() => {
                Err(not_found(format!("there are no {} of such instruments", what(None))))
            }
            None => Ok(found),
        }
    }

    /// The one instrument that is named, where it is one.
    pub(crate) fn only(&self) -> Option<InstrumentId> {
        if let [one] = self.instruments.as_slice() { Some(*one) } else { None }
    }

    /// How many rows are printed at the most.
    pub(crate) fn limit(&self, context: &Context) -> u64 {
        self.limit.unwrap_or(if context.format == Format::Table { TABLE_ROWS } else { u64::MAX })
    }

    /// The first and the last `ts`, on the clock that all of the instruments' venues share. Days are those of
    /// the labels of bars of a day and longer.
    fn range(
        &self,
        instruments: &[InstrumentId],
        interval: Interval,
    ) -> anyhow::Result<(Timestamp, Timestamp)> {
        let Some(first) = instruments.first().copied() else { return Ok((Timestamp::MIN, Timestamp::MAX)) };
        let other = instruments.iter().find(|one| one.zone() != first.zone());
        let by_clock = |when: &Option<When>| !matches!(when, None | Some(When::Instant(_)));
        let asked = by_clock(&self.from) || by_clock(&self.to);
        if let (Some(b), true, false) = (other, asked, interval.is_daily_or_longer()) {
            bail!(
                Failure::usage(format!(
                    "{first} trades on the clock of {} and {b} on that of {}",
                    first.zone(),
                    b.zone()
                ))
                .hint("give times with their offset, such as 2024-01-02T09:31:00+08:00, or name instruments")
            );
        }
        Ok(bar_range(interval, first, self.from.as_ref(), self.to.as_ref())?)
    }

    /// A scan with what is asked for. Rows of ticks and trades have instants as bars shorter than a day have.
    pub(crate) fn request(
        &self,
        request: ScanRequest,
        instruments: &[InstrumentId],
        interval: Interval,
        columns: &[&str],
    ) -> anyhow::Result<ScanRequest> {
        let (from, to) = self.range(instruments, interval)?;
        Ok(request
            .instruments(instruments.iter().copied())
            .from(from)
            .to(to)
            .columns(columns.iter().copied())
            .order(if self.order == Order::Time { ScanOrder::Time } else { ScanOrder::Instrument }))
    }

    /// Prints rows but the first `skip`.
    pub(crate) fn print(
        &self,
        scan: Scan,
        mut skip: u64,
        look: &Look,
        context: &Context,
        out: Out<'_>,
    ) -> anyhow::Result<()> {
        let limit = self.limit(context);
        let mut stream = Stream::new(out, context.format, &look.columns)?;
        let mut printed = 0;
        let mut more = false;
        'batches: for batch in scan {
            let batch = batch?;
            let readers = readers(&batch, look)?;
            for row in 0..batch.num_rows() {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
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
        context.say(format_args!("{}{behind}.", counted(printed, look.what)));
        Ok(())
    }
}

/// How rows are shown.
#[derive(Debug)]
pub(crate) struct Look {
    /// What a row is called.
    pub(crate) what: &'static str,
    /// Its columns.
    pub(crate) columns: Vec<&'static str>,
    /// Whether a `ts` is the label of a day.
    pub(crate) daily: bool,
    /// The clock on which people read instants where a row does not tell its instrument.
    pub(crate) zone: &'static str,
    /// The columns in which 0 says that the source does not tell.
    pub(crate) untold: &'static [&'static str],
}

/// The clock that all of some instruments share, else UTC.
pub(crate) fn zone_of(instruments: &[InstrumentId]) -> &'static str {
    let first = instruments.first().map_or("UTC", InstrumentId::zone);
    if instruments.iter().all(|one| one.zone() == first) { first } else { "UTC" }
}

type Reader<'a> = Box<dyn Fn(usize) -> Cell + 'a>;

/// How the values of each column are read; a value that cannot be is left empty.
fn readers<'a>(batch: &'a RecordBatch, look: &Look) -> anyhow::Result<Vec<Reader<'a>>> {
    let (daily, zone) = (look.daily, look.zone);
    let names = batch.column_by_name("instrument").map(names_of).transpose()?;
    let mut readers: Vec<Reader<'a>> = Vec::with_capacity(look.columns.len());
    for name in &look.columns {
        let bad = || anyhow::anyhow!("column {name} has another type");
        let column = batch.column_by_name(name).ok_or_else(bad)?;
        readers.push(match column.data_type() {
            DataType::Dictionary(..) => {
                let (keys, names) = names.clone().ok_or_else(bad)?;
                Box::new(move |row| {
                    let name = keys.get(row).and_then(|key| names.get(usize::try_from(*key).ok()?));
                    Cell::maybe(name, Cell::text)
                })
            }
            DataType::Timestamp(..) => {
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
                    Cell::Instant(ts, name.map_or(zone, InstrumentId::zone))
                })
            }
            DataType::Date32 => {
                let days = column.as_primitive_opt::<Date32Type>().ok_or_else(bad)?.values();
                Box::new(move |row| {
                    Cell::maybe(days.get(row).copied().and_then(TradingDay::from_days), Cell::Day)
                })
            }
            DataType::Float64 => {
                let numbers = column.as_primitive_opt::<Float64Type>().ok_or_else(bad)?.values();
                let untold = look.untold.contains(name);
                let told = move |number: &f64| !untold || *number != 0.0;
                Box::new(move |row| Cell::maybe(numbers.get(row).copied().filter(told), Cell::Number))
            }
            DataType::Int64 => {
                let numbers = column.as_primitive_opt::<Int64Type>().ok_or_else(bad)?.values();
                let count = |number: i64| u64::try_from(number).ok();
                Box::new(move |row| Cell::maybe(numbers.get(row).copied().and_then(count), Cell::Count))
            }
            DataType::Utf8 => {
                let texts = column.as_string_opt::<i32>().ok_or_else(bad)?;
                Box::new(move |row| if row < texts.len() { Cell::text(texts.value(row)) } else { Cell::None })
            }
            DataType::Boolean => {
                let flags = column.as_boolean_opt().ok_or_else(bad)?;
                Box::new(move |row| if row < flags.len() { Cell::Bool(flags.value(row)) } else { Cell::None })
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
