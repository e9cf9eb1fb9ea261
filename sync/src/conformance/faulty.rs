//! `Faulty`: a sink that fails where a test tells it to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barkeeper_records::{Bucket, Change, Cursor, Digest, Table, Timestamp, Value};

use super::sample::{book, row};
use crate::error::SinkError;
use crate::sink::{
    Access, Applied, Force, Guarantee, Hello, Poisoned, RemoteRow, RemoteState, Shipment, Sink,
};

/// What happens to the next shipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not reach the target.
    Before,
    /// It breaks off after some of the changes, inside the target's transaction, and the connection is gone.
    Middle,
    /// It is applied, and the answer gets lost.
    After,
}

/// A shipment, kept.
#[derive(Debug, Clone)]
struct Kept {
    expected: Cursor,
    changes: Vec<Change>,
    poison: Vec<Poisoned>,
    next: Cursor,
    chain: u64,
    at: Timestamp,
}

struct Inner {
    sink: Box<dyn Sink>,
    next_fault: Option<Fault>,
    last: Option<Kept>,
    names_rows: bool,
    loses_greeting: bool,
    shipments: u64,
}

/// A sink that passes everything on to another one, until it is told to fail. Clones are one sink, so that
/// a test can hold on to what a dead process left behind.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<Mutex<Inner>>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty").field("shipments", &self.shipments()).finish_non_exhaustive()
    }
}

fn broken() -> SinkError {
    let source = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut by the test");
    SinkError::Unreachable { action: "applying changes", source: Box::new(source) }
}

/// A change that every target refuses.
fn impossible() -> Change {
    let (key, _) = book("impossible", 1);
    Change::Put(row(Table::Books, key, vec![Value::Null], 1, 1))
}

impl Faulty {
    /// Passes on to a sink.
    pub fn new(sink: Box<dyn Sink>) -> Self {
        let inner = Inner {
            sink,
            next_fault: None,
            last: None,
            names_rows: true,
            loses_greeting: false,
            shipments: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next shipment fail.
    pub fn fail_next(&self, fault: Fault) {
        self.lock().next_fault = Some(fault);
    }

    /// Lets the next handshake reach the target and its answer get lost.
    pub fn lose_next_greeting(&self) {
        self.lock().loses_greeting = true;
    }

    /// From now on a refused row is not named, as by a server that takes many rows in one statement.
    pub fn hide_refused_rows(&self) {
        self.lock().names_rows = false;
    }

    /// Shipments that were asked for.
    pub fn shipments(&self) -> u64 {
        self.lock().shipments
    }

    /// Sends the last shipment once more, as a process that was thought dead would; `None` where there
    /// was none.
    pub fn replay(&self) -> Option<Result<Applied, SinkError>> {
        let mut inner = self.lock();
        let kept = inner.last.clone()?;
        Some(inner.sink.apply(&kept.shipment()))
    }
}

impl Kept {
    fn of(shipment: &Shipment<'_>) -> Self {
        Self {
            expected: shipment.expected.clone(),
            changes: shipment.changes.to_vec(),
            poison: shipment.poison.to_vec(),
            next: shipment.next.clone(),
            chain: shipment.chain,
            at: shipment.at,
        }
    }

    fn shipment(&self) -> Shipment<'_> {
        Shipment {
            expected: &self.expected,
            changes: &self.changes,
            poison: &self.poison,
            next: &self.next,
            chain: self.chain,
            at: self.at,
        }
    }
}

impl Inner {
    fn apply(&mut self, shipment: &Shipment<'_>) -> Result<Applied, SinkError> {
        match self.sink.apply(shipment) {
            Err(SinkError::Refused { reason, .. }) if !self.names_rows => {
                Err(SinkError::Refused { change: None, reason })
            }
            done => done,
        }
    }
}

impl Sink for Faulty {
    fn kind(&self) -> &'static str {
        self.lock().sink.kind()
    }

    fn guarantee(&self) -> Guarantee {
        self.lock().sink.guarantee()
    }

    fn connect(&mut self, access: Access) -> Result<(), SinkError> {
        self.lock().sink.connect(access)
    }

    fn handshake(&mut self, hello: &Hello) -> Result<RemoteState, SinkError> {
        let mut inner = self.lock();
        let done = inner.sink.handshake(hello);
        if std::mem::take(&mut inner.loses_greeting) && done.is_ok() {
            inner.sink.close();
            return Err(broken());
        }
        done
    }

    fn observe(&mut self, store_id: u128) -> Result<Option<RemoteState>, SinkError> {
        self.lock().sink.observe(store_id)
    }

    fn apply(&mut self, shipment: &Shipment<'_>) -> Result<Applied, SinkError> {
        let mut inner = self.lock();
        inner.shipments += 1;
        inner.last = Some(Kept::of(shipment));
        match inner.next_fault.take() {
            None => inner.apply(shipment),
            Some(Fault::Before) => {
                inner.sink.close();
                Err(broken())
            }
            Some(Fault::Middle) => {
                let half = shipment.changes.len() / 2;
                let mut changes = shipment.changes.get(..half).unwrap_or_default().to_vec();
                changes.push(impossible());
                let part = Shipment { changes: &changes, ..*shipment };
                match inner.sink.apply(&part) {
                    Err(SinkError::Refused { .. }) => {}
                    done => return done,
                }
                inner.sink.close();
                Err(broken())
            }
            Some(Fault::After) => {
                inner.apply(shipment)?;
                inner.sink.close();
                Err(broken())
            }
        }
    }

    fn digests(&mut self, table: Table) -> Result<Vec<(Bucket, Digest)>, SinkError> {
        self.lock().sink.digests(table)
    }

    fn rows(
        &mut self,
        bucket: &Bucket,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<RemoteRow>, SinkError> {
        self.lock().sink.rows(bucket, after, limit)
    }

    fn force(&mut self, force: &Force<'_>) -> Result<(), SinkError> {
        self.lock().sink.force(force)
    }

    fn rewind(&mut self, cursor: &Cursor, chain: u64, at: Timestamp) -> Result<(), SinkError> {
        self.lock().sink.rewind(cursor, chain, at)
    }

    fn close(&mut self) {
        self.lock().sink.close();
    }
}
