//! `Source`: scans of one snapshot as the leaf of a lazy frame.

use std::any::Any;
use std::sync::Arc;

use barkeeper_records::{
    Adjustment, AdjustmentTag, Direction, InstrumentId, Interval, MarketEvent, MarketTrade, Tick, Timestamp,
};
use polars::prelude::{
    AnonymousScan, AnonymousScanArgs, Column, DataFrame, DataType, Expr, IntoLazy, LazyFrame, PlSmallStr,
    PolarsResult, Scalar, ScanArgsAnonymous, Schema, SchemaRef,
};

use super::adjusted::{Adjuster, NEEDS};
use super::columns::{Frames, schema_of};
use super::pushdown::{Limits, Names, without_hints};
use super::{acts, carry};
use crate::error::{ReadResult, scan_error};
use crate::scan::{Instruments, ScanRequest, ScanTable};
use crate::snapshot::Snapshot;

/// Rows of a batch at the most: few chunks, each a share of the memory of what is read.
const BATCH_ROWS: usize = 1 << 20;

/// Columns that tell the kinds of bars apart where a frame holds more than one.
const LABELS: [&str; 2] = ["interval", "adjustment"];

/// What a frame reads.
enum What {
    /// One scan.
    One(ScanRequest),
    /// Bars of every kind that the snapshot has, the kind in columns of its own.
    EveryKind,
}

/// A leaf of a lazy frame.
struct Source {
    snapshot: Arc<Snapshot>,
    what: What,
    adjustment: Adjustment,
    schema: SchemaRef,
}

/// A frame over what one scan reads.
pub(super) fn one(
    snapshot: &Arc<Snapshot>,
    request: &ScanRequest,
    adjustment: Adjustment,
) -> ReadResult<LazyFrame> {
    let schema = columns_of(snapshot, request)?;
    frame(Source { snapshot: snapshot.clone(), what: What::One(request.clone()), adjustment, schema })
}

/// A frame over the bars of every kind, with the columns `interval` and `adjustment`. With an adjustment that acts,
/// only over kinds that can be adjusted.
pub(super) fn every_kind(snapshot: &Arc<Snapshot>, adjustment: Adjustment) -> ReadResult<LazyFrame> {
    let mut schema = Schema::default();
    for (name, kind) in columns_of(snapshot, &ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw))?.iter() {
        schema.with_column(name.clone(), kind.clone());
        if name == "instrument" {
            for label in LABELS {
                schema.with_column(label.into(), DataType::String);
            }
        }
    }
    let schema = Arc::new(schema);
    frame(Source { snapshot: snapshot.clone(), what: What::EveryKind, adjustment, schema })
}

/// The columns of a scan, which it says without reading anything.
fn columns_of(snapshot: &Snapshot, request: &ScanRequest) -> ReadResult<SchemaRef> {
    schema_of(snapshot.scan(&request.clone().instruments([]))?.schema())
}

fn frame(source: Source) -> ReadResult<LazyFrame> {
    let args = ScanArgsAnonymous {
        schema: Some(source.schema.clone()),
        name: "BARKEEPER SCAN",
        ..ScanArgsAnonymous::default()
    };
    LazyFrame::anonymous_scan(Arc::new(source), args).map_err(|error| scan_error(&error.to_string()))
}

impl AnonymousScan for Source {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        Ok(self.schema.clone())
    }

    fn allows_predicate_pushdown(&self) -> bool {
        true
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }

    fn scan(&self, args: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let wanted: Vec<PlSmallStr> = match &args.with_columns {
            Some(names) => names.to_vec(),
            None => self.schema.iter_names_cloned().collect(),
        };
        let filter = args.predicate.as_ref().map(without_hints).transpose()?.flatten();
        Reading::new(self, wanted, filter, args.n_rows).run()
    }
}

/// One run of a source.
struct Reading<'a> {
    source: &'a Source,
    /// The columns of the answer, in their order.
    wanted: Vec<PlSmallStr>,
    filter: Option<Expr>,
    limits: Limits,
    /// How many rows may still be read; the filter looks at no others.
    left: usize,
    rows: DataFrame,
}

impl<'a> Reading<'a> {
    fn new(source: &'a Source, wanted: Vec<PlSmallStr>, filter: Option<Expr>, limit: Option<usize>) -> Self {
        // The first rows of all are not the first of those that pass.
        let limits = match &filter {
            Some(filter) if limit.is_none() => Limits::of(filter),
            Some(_) => Limits { by_row: false, ..Limits::default() },
            None => Limits::default(),
        };
        Self { source, wanted, filter, limits, left: limit.unwrap_or(usize::MAX), rows: DataFrame::empty() }
    }

    fn run(mut self) -> PolarsResult<DataFrame> {
        // Of the columns that are read, those that only the filter needs go when it has been applied.
        let mut schema = Schema::default();
        let filtered =
            self.filter.as_ref().map(|filter| filter.clone().meta().root_names()).unwrap_or_default();
        for name in self.wanted.iter().chain(&filtered) {
            schema.with_column(name.clone(), self.source.schema.try_get(name)?.clone());
        }
        self.rows = DataFrame::empty_with_schema(&schema);
        match &self.source.what {
            What::One(request) => self.read(request, None)?,
            What::EveryKind => {
                for (interval, adjustment) in self.kinds()? {
                    self.read(&ScanRequest::bars(interval, adjustment), Some((interval, adjustment)))?;
                }
            }
        }
        let rows = std::mem::replace(&mut self.rows, DataFrame::empty());
        let rows = if self.limits.by_row { rows } else { self.filtered(rows)? };
        rows.select(&self.wanted)
    }

    /// The kinds of bars that may pass, in the order of their names.
    fn kinds(&self) -> PolarsResult<Vec<(Interval, AdjustmentTag)>> {
        let adjusts = self.source.adjustment.direction != Direction::None;
        let series = carry(self.source.snapshot.all_series(None, None))?;
        let mut kinds: Vec<_> =
            series.iter().map(|one| (one.series.interval, one.series.adjustment)).collect();
        kinds.dedup();
        kinds.retain(|(interval, adjustment)| {
            let adjustable = *adjustment == AdjustmentTag::Raw
                && (!interval.is_daily_or_longer() || *interval == Interval::DAY);
            self.limits.allows("interval", &interval.to_string())
                && self.limits.allows("adjustment", adjustment.as_str())
                && (adjustable || !adjusts)
        });
        Ok(kinds)
    }

    /// Reads one scan to its end, or as far as rows are wanted.
    fn read(&mut self, request: &ScanRequest, kind: Option<(Interval, AdjustmentTag)>) -> PolarsResult<()> {
        let adjustment = self.source.adjustment;
        let mut columns: Vec<&str> = self
            .rows
            .schema()
            .iter_names()
            .map(PlSmallStr::as_str)
            .filter(|name| !self.is_label(name))
            .collect();
        if acts(adjustment) {
            columns.extend(NEEDS.into_iter().filter(|name| !columns.contains(name)).collect::<Vec<_>>());
        }
        let Some(request) = self.narrowed(request, kind) else { return Ok(()) };
        let request = request.columns(columns).batch_rows(BATCH_ROWS.min(self.left));
        let of = match request.table() {
            ScanTable::Bars { interval, adjustment } => Some((interval, adjustment)),
            _ => None,
        };
        let snapshot = &self.source.snapshot;
        let mut adjuster = match of {
            Some(kind) if acts(adjustment) => Some(carry(Adjuster::new(snapshot, kind, adjustment))?),
            _ => None,
        };
        let mut frames = Frames::new(untold(request.table()));
        for batch in carry(snapshot.scan(&request))? {
            if self.left == 0 {
                break;
            }
            let mut batch = carry(batch)?;
            if let Some(adjuster) = &mut adjuster {
                batch = carry(adjuster.apply(batch))?;
            }
            let mut rows = carry(frames.of(&batch))?;
            if let Some(day) = adjustment.as_of.filter(|_| adjuster.is_some()) {
                let known = rows.column("trading_day")?.date()?.physical().clone();
                rows = rows.filter(&polars::prelude::ChunkCompareIneq::lt_eq(&known, day.days()))?;
            }
            rows = rows.head(Some(self.left));
            self.left -= rows.height();
            for (label, text) in kind.into_iter().flat_map(labels) {
                if self.rows.schema().contains(label) {
                    let column = Column::new_scalar(label.into(), Scalar::from(text), rows.height());
                    rows.with_column(column)?;
                }
            }
            let mut rows = rows.select(self.rows.schema().iter_names_cloned())?;
            if self.limits.by_row {
                rows = self.filtered(rows)?;
            }
            self.rows.vstack_mut_owned(rows)?;
        }
        Ok(())
    }

    /// The request with what the filter leaves of it; nothing where no row can pass.
    fn narrowed(
        &self,
        request: &ScanRequest,
        kind: Option<(Interval, AdjustmentTag)>,
    ) -> Option<ScanRequest> {
        let mut request = request.clone();
        let (mut first, mut last) = self.limits.ts;
        let daily = match (kind, request.table()) {
            (Some((interval, _)), _) | (None, ScanTable::Bars { interval, .. }) => {
                interval.is_daily_or_longer()
            }
            _ => false,
        };
        if daily {
            // The `ts` of such a bar is its trading day at 00:00 UTC.
            const DAY: i64 = 86_400_000_000_000;
            first = first.max(self.limits.days.0.saturating_mul(DAY));
            last = last.min(self.limits.days.1.saturating_mul(DAY));
        }
        let from = request.from.max(Timestamp::from_nanos(first));
        let to = request.to.min(Timestamp::from_nanos(last));
        if from > to {
            return None;
        }
        request = request.from(from).to(to);
        for names in &self.limits.names {
            request = match (names, request.instruments.clone()) {
                (Names::List(list), old) => {
                    let both: Vec<InstrumentId> = list.iter().filter(|one| old.wants(one)).copied().collect();
                    request.instruments(both)
                }
                (Names::Prefix(prefix), Instruments::All) => request.prefix(prefix.clone()),
                (Names::Prefix(prefix), Instruments::List(list)) => request
                    .instruments(list.into_iter().filter(|one| one.as_str().starts_with(prefix.as_str()))),
                (Names::Prefix(prefix), Instruments::Prefix(old)) if prefix.starts_with(&old) => {
                    request.prefix(prefix.clone())
                }
                (Names::Prefix(prefix), Instruments::Prefix(old)) if old.starts_with(prefix.as_str()) => {
                    request
                }
                (Names::Prefix(_), Instruments::Prefix(_)) => return None,
            };
        }
        Some(request)
    }

    fn filtered(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        match &self.filter {
            Some(filter) => rows.lazy().filter(filter.clone()).collect(),
            None => Ok(rows),
        }
    }

    fn is_label(&self, name: &str) -> bool {
        matches!(self.source.what, What::EveryKind) && LABELS.contains(&name)
    }
}

/// The numbers of a table in which 0 stands where the source says nothing.
const fn untold(table: ScanTable) -> &'static [&'static str] {
    match table {
        ScanTable::Ticks => Tick::UNTOLD,
        ScanTable::MarketTrades => MarketTrade::UNTOLD,
        ScanTable::Bars { .. } | ScanTable::Trades => &[],
    }
}

fn labels(kind: (Interval, AdjustmentTag)) -> [(&'static str, PlSmallStr); 2] {
    let [interval, adjustment] = LABELS;
    [(interval, kind.0.to_string().into()), (adjustment, kind.1.as_str().into())]
}
