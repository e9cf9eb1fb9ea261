//! Frames: a snapshot's tables as `LazyFrame`s of polars, and queries in SQL over them.
//!
//! A frame reads nothing before it is collected, and then only the columns, the instruments and the time that the
//! query needs ([`pushdown`]): through [`Snapshot::scan`], which checks every byte that it reads. It keeps its
//! snapshot, so whatever is collected, and however often, is of one LSN.

mod adjusted;
mod columns;
mod compared;
mod named;
mod pushdown;
mod source;
mod sql;
mod tables;

use std::error::Error;
use std::io;
use std::sync::Arc;

use barkeeper_records::{Adjustment, Direction};
use polars::prelude::{LazyFrame, PolarsError, PolarsResult};

pub use compared::Compared;
pub use sql::SqlError;

use crate::error::{ReadError, ReadResult};
use crate::scan::{ScanRequest, ScanTable};
use crate::snapshot::Snapshot;

impl Snapshot {
    /// A lazy frame over what a scan reads: the columns of [`ScanRequest`], with `instrument` and other names as
    /// strings, `ts` as a datetime (ns, UTC) and ledger numbers as decimals with 8 places. A 0 of ticks and market
    /// trades that says that the source tells nothing (`MarketEvent::UNTOLD`) is null. What the query selects
    /// and compares is left to the scan where it can: columns, `instrument` (`=`, `IN`, a beginning), `ts`, and
    /// `trading_day` of bars of a day and longer.
    ///
    /// Collecting fails as [`Snapshot::scan`] does; [`read_error`](crate::read_error) finds the reason in polars'
    /// error. A frame that is collected when its snapshot has expired fails with `Expired`.
    ///
    /// ```
    /// # fn show(store: &barkeeper::Store) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use barkeeper::ScanRequest;
    /// use barkeeper::polars::prelude::*;
    /// use barkeeper::records::{AdjustmentTag, Interval};
    ///
    /// let snapshot = Arc::new(store.snapshot()?);
    /// let bars = snapshot.lazy(&ScanRequest::bars(Interval::DAY, AdjustmentTag::Raw))?;
    /// let highest = bars
    ///     .filter(col("instrument").eq(lit("600000.SH")))
    ///     .select([col("close").max()])
    ///     .collect()?;
    /// # drop(highest);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Column` for a column that the table does not have.
    pub fn lazy(self: &Arc<Self>, request: &ScanRequest) -> ReadResult<LazyFrame> {
        self.lazy_adjusted(request, Adjustment::NONE)
    }

    /// The same for bars, adjusted by the corporate actions as [`Snapshot::bars_adjusted`] adjusts them.
    ///
    /// # Errors
    /// `Column`. Collecting fails with `NotAdjustable` for bars that were adjusted at their source and for bars longer
    /// than a day, and with `Factor` where an event takes more than a share was worth.
    pub fn lazy_adjusted(
        self: &Arc<Self>,
        request: &ScanRequest,
        adjustment: Adjustment,
    ) -> ReadResult<LazyFrame> {
        let bars = matches!(request.table(), ScanTable::Bars { .. });
        let adjustment = if bars { adjustment } else { Adjustment::NONE };
        source::one(self, request, adjustment)
    }
}

/// Whether an adjustment changes or hides anything.
const fn acts(adjustment: Adjustment) -> bool {
    adjustment.as_of.is_some() || !matches!(adjustment.direction, Direction::None)
}

/// Why the store could not be read, where that is what a frame failed of.
pub fn read_error(error: &PolarsError) -> Option<&ReadError> {
    match error {
        PolarsError::IO { error, .. } => error.get_ref()?.downcast_ref(),
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => read_error(error),
        _ => None,
    }
}

/// The reason itself, or the error as it was.
fn into_read_error(error: PolarsError) -> Result<ReadError, PolarsError> {
    match error {
        PolarsError::IO { error, msg } => {
            let whole = |error| PolarsError::IO { error, msg: msg.clone() };
            if !error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<ReadError>) {
                return Err(whole(error));
            }
            let inner = Arc::try_unwrap(error).map_err(whole)?.into_inner();
            match inner.map(<dyn Error + Send + Sync>::downcast::<ReadError>) {
                Some(Ok(error)) => Ok(*error),
                Some(Err(other)) => Err(whole(Arc::new(io::Error::other(other)))),
                None => Err(whole(Arc::new(io::Error::other("unknown")))),
            }
        }
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. }
            if read_error(&error).is_some() =>
        {
            into_read_error(*error)
        }
        other => Err(other),
    }
}

/// A read error on its way through polars.
fn carried(error: ReadError) -> PolarsError {
    PolarsError::IO { error: Arc::new(io::Error::other(error)), msg: None }
}

/// What a read answers, on its way through polars.
fn carry<T>(result: ReadResult<T>) -> PolarsResult<T> {
    result.map_err(carried)
}
