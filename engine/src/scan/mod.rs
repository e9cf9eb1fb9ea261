//! `Scan`: many rows of a snapshot as Arrow batches, with projection, from every tier, in bounded memory.
//!
//! A scan is worked out against the snapshot (`plan`), which copies the hot rows that it needs (`hot`)
//! and opens the segments; from then on it holds neither pages of the database nor the snapshot, and it
//! does not expire. Units of work are read and merged (`block`) by threads (`pool`).
//!
//! What may be left out is never read: segments and runs outside of the time or of the instruments, pages
//! outside of the time, columns that are not asked for. A short stretch of time is read from the day axis.

mod bars;
mod block;
mod dataset;
mod events;
mod hot;
mod plan;
mod pool;
mod request;
mod trades;
mod units;

use std::iter::FusedIterator;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use barkeeper_records::{Lsn, MarketTrade, Tick};

pub use request::{Instruments, ScanOrder, ScanRequest, ScanTable};

use crate::error::ReadResult;
use crate::readers::Registration;
use crate::report::SnapshotKind;
use crate::snapshot::Snapshot;

/// Where rows come from.
enum Source {
    Rows(Box<units::RowScan>),
    Trades(trades::TradeScan),
    Done,
}

impl From<units::RowScan> for Source {
    fn from(scan: units::RowScan) -> Self {
        Self::Rows(Box::new(scan))
    }
}

/// Batches of a scan, all of one LSN. It keeps the files that it reads, whatever becomes of the snapshot,
/// and may be sent to another thread. After an error it is at its end.
pub struct Scan {
    rows: Source,
    schema: SchemaRef,
    lsn: Lsn,
    registration: Option<Registration>,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("lsn", &self.lsn).field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Scan {
    /// The columns of every batch.
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The LSN of the last commit that it sees.
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }
}

impl Iterator for Scan {
    type Item = ReadResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.rows {
            Source::Rows(scan) => scan.next(),
            Source::Trades(scan) => scan.next(),
            Source::Done => None,
        };
        if !matches!(next, Some(Ok(_))) {
            self.rows = Source::Done;
            self.registration = None;
        }
        next
    }
}

impl FusedIterator for Scan {}

impl Snapshot {
    /// Reads many rows as Arrow batches. Each batch has at least one row. Of every row the content with
    /// the highest version is read, exactly as [`Snapshot::bars`], [`Snapshot::ticks`] and
    /// [`Snapshot::market_trades`] give it.
    ///
    /// # Errors
    /// `Column` for a column that the table does not have, `Snapshots` where too many scans are open,
    /// `Expired`; else every variant of [`ReadError`](crate::ReadError), also from the iterator.
    pub fn scan(&self, request: &ScanRequest) -> ReadResult<Scan> {
        let registration = self.register_scan()?;
        let rows = match request.table {
            ScanTable::Bars { interval, adjustment } => {
                units::RowScan::new(self, &bars::Bars { interval, adjustment }, request)?.into()
            }
            ScanTable::Ticks => units::RowScan::new(self, &events::EventRows::<Tick>::new(), request)?.into(),
            ScanTable::MarketTrades => {
                units::RowScan::new(self, &events::EventRows::<MarketTrade>::new(), request)?.into()
            }
            ScanTable::Trades => Source::Trades(trades::TradeScan::new(self, request)?),
        };
        let schema = match &rows {
            Source::Rows(scan) => scan.schema().clone(),
            Source::Trades(scan) => scan.schema().clone(),
            Source::Done => SchemaRef::new(arrow_schema::Schema::empty()),
        };
        Ok(Scan { rows, schema, lsn: self.lsn(), registration: Some(registration) })
    }

    fn register_scan(&self) -> ReadResult<Registration> {
        self.view().alive()?;
        let inner = self.inner();
        inner.readers.register(SnapshotKind::Scan, self.lsn(), inner.options.clock.steady(), None)
    }
}
