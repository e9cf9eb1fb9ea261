//! `barkeeper sql`: a query over the tables of the store.

use barkeeper_records::TradingDay;
use clap::Args;

/// Ask bars, trades and positions in SQL
///
/// One query, which changes nothing and reaches no file and no address. Its tables:
///
/// `bars`: every stored bar; `interval` tells them apart (1d, 1m), and so does `adjustment` (raw, qfq, hfq)
///
/// `bars_forward`, `bars_backward`: raw bars of up to a day, adjusted by the corporate actions
///
/// `ticks`, `market_trades`: what the venue told
///
/// `trades`, `positions`, `books`, `factors`: the trade log but void lines, open and closed positions, the books, the
/// corporate actions
///
/// The dialect is that of polars. Times are in UTC: `ts >= '2024-01-02 01:30:00'`, `trading_day = '2024-01-02'`;
/// `interval = '1d'` needs no quotes around the name. A table ends after 1,000 rows.
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// The query; `-` reads it from standard input
    query: String,
    /// What `bars_forward` and `bars_backward` know of: bars and corporate actions up to this trading day
    #[arg(long, value_name = "DAY")]
    as_of: Option<TradingDay>,
}

#[cfg(not(feature = "polars"))]
mod answer {
    use super::Sql;
    use crate::cli::Out;
    use crate::context::Context;
    use crate::exit::Exit;
    use crate::failure::Failure;

    impl Sql {
        pub(crate) fn run(&self, _: &Context, _: Out<'_>) -> anyhow::Result<Exit> {
            let Self { query: _, as_of: _ } = self;
            Err(Failure::usage("this program was built without SQL")
                .hint("released programs have it; from source, build with `--features polars`")
                .into())
        }
    }
}

#[cfg(feature = "polars")]
mod answer {
    use std::collections::BTreeSet;
    use std::io::{self, Read as _, Write as _};
    use std::sync::Arc;

    use barkeeper::polars::error::{PolarsWarning, set_warning_function};
    use barkeeper::polars::prelude::{AnyValue, Series, TimeUnit};
    use barkeeper::{Compared, Snapshot};
    use barkeeper_records::{InstrumentId, Interval, Timestamp, TradingDay};
    use rust_decimal::Decimal;

    use super::Sql;
    use crate::cli::Out;
    use crate::context::{Context, counted};
    use crate::exit::Exit;
    use crate::output::{Cell, Format, Stream};

    /// Rows of a table at the most: it is laid out when all of it is known.
    const TABLE_ROWS: usize = 1_000;

    impl Sql {
        pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
            let query = if self.query == "-" {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                text
            } else {
                self.query.clone()
            };
            set_warning_function(warn);
            let opened = context.open()?;
            let snapshot = Arc::new(opened.store.snapshot()?);
            let answer = snapshot.sql(&query, self.as_of)?;
            // Parts of a column one after the other: a row is found at once in one part only.
            let columns: Vec<Series> =
                answer.columns().iter().map(|column| column.as_materialized_series().rechunk()).collect();
            let names: Vec<&str> = columns.iter().map(|column| column.name().as_str()).collect();
            let rows = match context.format {
                Format::Table => answer.height().min(TABLE_ROWS),
                _ => answer.height(),
            };
            let mut stream = Stream::new(out, context.format, &names)?;
            for row in 0..rows {
                stream.push(
                    columns.iter().map(|column| column.get(row).map_or(Cell::None, |value| cell(&value))),
                )?;
            }
            stream.finish()?;
            let behind = if rows < answer.height() { "; there are more" } else { "" };
            context.say(format_args!("{}{behind}.", counted(rows as u64, "row")));
            // Also where there are rows: a sum over nothing is one, and a list may hold one good name and one bad.
            let compared = Snapshot::sql_compared(&query)?;
            if !compared.is_empty() {
                for note in nothing_of(&snapshot, &compared)? {
                    context.say(note);
                }
            }
            Ok(Exit::Done)
        }
    }

    /// What polars has to say while it works; what it will drop one day is nothing that people here can change.
    #[expect(clippy::needless_pass_by_value, reason = "what polars calls has this form")]
    fn warn(text: &str, kind: PolarsWarning) {
        if !matches!(kind, PolarsWarning::Deprecation) {
            io::stderr().write_fmt(format_args!("warning: {text}\n")).unwrap_or_default();
        }
    }

    /// What of that which a query compares with is not in the store at all.
    fn nothing_of(snapshot: &Snapshot, compared: &[Compared]) -> anyhow::Result<Vec<String>> {
        let series = snapshot.all_series(None, None)?;
        let mut instruments: BTreeSet<InstrumentId> =
            series.iter().map(|one| one.series.instrument).collect();
        instruments.extend(snapshot.all_ticks()?.iter().map(|one| one.instrument));
        instruments.extend(snapshot.all_positions(true)?.iter().map(|one| one.key.instrument));
        instruments.extend(snapshot.all_market_trades()?.iter().map(|one| one.instrument));
        let intervals: BTreeSet<Interval> = series.iter().map(|one| one.series.interval).collect();
        let note = |one: &Compared| {
            let text = &one.text;
            let spelled = |name: &str| format!("note: tables name it '{name}', not '{text}'");
            if one.column == "interval" {
                return match text.parse::<Interval>() {
                    Err(error) => Some(format!("note: {error}")),
                    Ok(interval) if interval.to_string() != *text => Some(spelled(&interval.to_string())),
                    Ok(interval) if intervals.contains(&interval) => None,
                    Ok(_) => Some(format!("note: the store has no bars of {text}")),
                };
            }
            match text.parse::<InstrumentId>() {
                Err(error) => Some(format!("note: {error}")),
                Ok(instrument) if instrument.as_str() != text => Some(spelled(instrument.as_str())),
                Ok(instrument) if instruments.contains(&instrument) => None,
                Ok(_) => {
                    Some(format!("note: the store has no bars, ticks, market trades or positions of {text}"))
                }
            }
        };
        Ok(compared.iter().filter_map(note).collect())
    }

    fn cell(value: &AnyValue<'_>) -> Cell {
        match value {
            AnyValue::Null => Cell::None,
            AnyValue::Boolean(value) => Cell::Bool(*value),
            AnyValue::String(text) => Cell::text(text),
            AnyValue::StringOwned(text) => Cell::text(text),
            AnyValue::Float32(_) | AnyValue::Float64(_) => Cell::maybe(value.extract::<f64>(), Cell::Number),
            AnyValue::Date(days) => TradingDay::from_days(*days).map_or_else(|| Cell::text(value), Cell::Day),
            AnyValue::Datetime(ticks, unit, zone) => instant(*ticks, *unit, zone.is_some(), value),
            AnyValue::DatetimeOwned(ticks, unit, zone) => instant(*ticks, *unit, zone.is_some(), value),
            AnyValue::Decimal(scaled, _, scale) => {
                let money = u32::try_from(*scale).ok();
                let money = money.and_then(|scale| Decimal::try_from_i128_with_scale(*scaled, scale).ok());
                money.map_or_else(|| Cell::text(value), Cell::Money)
            }
            other if other.is_integer() => {
                other.extract::<i128>().map_or_else(|| Cell::text(other), Cell::Whole)
            }
            other => Cell::text(other),
        }
    }

    /// An instant in UTC; a time without a zone as it stands.
    fn instant(ticks: i64, unit: TimeUnit, zoned: bool, value: &AnyValue<'_>) -> Cell {
        let nanos = match unit {
            TimeUnit::Nanoseconds => Some(ticks),
            TimeUnit::Microseconds => ticks.checked_mul(1_000),
            TimeUnit::Milliseconds => ticks.checked_mul(1_000_000),
        };
        let Some(nanos) = nanos else { return Cell::text(value) };
        let text = Timestamp::from_nanos(nanos).to_string();
        Cell::text(if zoned { text.as_str() } else { text.trim_end_matches('Z') })
    }
}
