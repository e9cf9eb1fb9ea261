//! `Sink`: what a target has to do, whatever database it is.

use barkeeper_records::{
    Bucket, Change, Cursor, Digest, RangeTombstone, Row, Table, Timestamp, Value, Version,
};

use crate::claim::Claim;
use crate::error::SinkError;

/// What a target promises about a shipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Rows and watermark are one transaction: the watermark says exactly what is there.
    Transactional,
    /// The watermark is written after the rows: it says what is there at least, and sending again collapses.
    Convergent,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only: nothing is created or changed at the target.
    Read,
    /// Replicating and repairing.
    Write,
}

/// How a store introduces itself to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The store, which is the name of its stream at the target.
    pub store_id: u128,
    /// Its device number, 0 to 4095.
    pub device: u16,
    /// The claim that it wants to hold from now on.
    pub claim: Claim,
    /// The claim that this target last confirmed to it.
    pub previous: Option<Claim>,
    /// Claims that it asked for later and got no answer to.
    pub unanswered: Vec<Claim>,
    /// A person decided that this copy of the store writes, whoever wrote before.
    pub takeover: bool,
    /// The database that the store knows under this target; `None` where it knows none.
    pub incarnation: Option<String>,
    /// Now, for the eyes of people.
    pub at: Timestamp,
}

/// What a target says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteState {
    /// Random, made with the database: another one is another database.
    pub incarnation: String,
    /// Who may write the stream.
    pub claim: Claim,
    /// How far the stream was brought.
    pub cursor: Cursor,
    /// The hash chain there.
    pub chain: u64,
    /// The version of its tables.
    pub schema_version: u32,
    /// Rows of the stream that it refused.
    pub poisoned: u64,
    /// Devices of the other stores that write to it.
    pub other_devices: Vec<u16>,
}

/// A stretch of the log on its way.
#[derive(Debug, Clone, Copy)]
pub struct Shipment<'a> {
    /// Where the target stands.
    pub expected: &'a Cursor,
    /// What to do, in order.
    pub changes: &'a [Change],
    /// Changes that the target refused before, to be noted.
    pub poison: &'a [Poisoned],
    /// Where the target stands afterwards; may equal `expected` for rows that are not of the log's order.
    pub next: &'a Cursor,
    /// The hash chain at `next`.
    pub chain: u64,
    /// Now, for the eyes of people.
    pub at: Timestamp,
}

/// A change that a target refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Poisoned {
    /// What it refused.
    pub change: Change,
    /// In its words.
    pub reason: String,
}

/// What became of a shipment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It was applied now.
    Now,
    /// The target stood at or past `next` already.
    AlreadyThere {
        /// Where it stands.
        stands: Cursor,
    },
}

/// Rows to write and to remove whatever version the target has.
#[derive(Debug, Clone, Copy)]
pub struct Force<'a> {
    /// Written as they are, over whatever is there; tombstones too.
    pub rows: &'a [Row],
    /// Removed without a trace.
    pub deletes: &'a [(Table, Vec<Value>)],
}

/// A row as it stands at a target.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteRow {
    /// The key.
    pub key: Vec<Value>,
    /// The other columns.
    pub content: Content,
    /// The version; `ZERO` where the column holds what is no version.
    pub version: Version,
    /// The hash that is stored beside the row.
    pub row_hash: i64,
}

/// The columns of a row behind its key, read back.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A live row.
    Live(Vec<Value>),
    /// A tombstone.
    Tombstone,
    /// A live row with a column that no shipment could have written so.
    Foreign {
        /// The first such column.
        column: &'static str,
        /// All columns, those that cannot be read as text.
        values: Vec<Value>,
    },
}

/// The version of the tombstones that a deleted range leaves: just below its own.
///
/// A row that was put by the same commit carries the range's version and has to win over it; everything
/// lower has to lose, now and when it arrives late.
pub fn tombstone_version(range: &RangeTombstone) -> Version {
    Version::from_raw(range.version.raw().saturating_sub(1)).unwrap_or_default()
}

/// A target: a database that holds a copy of the store for people and other programs.
///
/// Calls come from one thread, one after the other, and block. A call that fails leaves the target as it
/// was before (`Transactional`) or with some of the rows applied (`Convergent`); after any error but
/// `Refused` only [`connect`](Sink::connect) is called next. An implementation gives up on a silent server within 30 s, and
/// within 3 s where it waits for a lock, because a person who stops replication waits that long.
///
/// Deliberately not here: retry and back-off, order between tables, scheduling, bisecting of refused
/// rows, comparing. All of that is done once, above this trait.
pub trait Sink: Send {
    /// The word for this kind of database in configuration and messages, such as `sqlite`.
    fn kind(&self) -> &'static str;

    /// What it promises about shipments.
    fn guarantee(&self) -> Guarantee;

    /// Opens a new connection, dropping any earlier one with whatever it had begun, and makes sure that
    /// the target answers. With `Access::Read` nothing may come into being at the target.
    ///
    /// # Errors
    /// `Unreachable`, `Busy`, `Full`, `Denied`, `OtherProgram`, `Damaged`.
    fn connect(&mut self, access: Access) -> Result<(), SinkError>;

    /// Makes or checks the tables, takes the stream by compare-and-set under the rule of
    /// [`ClaimDecision`](crate::ClaimDecision), and says where the stream stands. A target that is not the
    /// database named in the hello, or holds tables newer than this program knows, is left untouched.
    ///
    /// # Errors
    /// `OtherDatabase`, `Schema`, `Fenced`, `DeviceTaken`, and those of `connect`.
    fn handshake(&mut self, hello: &Hello) -> Result<RemoteState, SinkError>;

    /// Says where the stream stands, changing nothing; `None` where the store never wrote.
    ///
    /// # Errors
    /// `Schema`, and those of `connect`.
    fn observe(&mut self, store_id: u128) -> Result<Option<RemoteState>, SinkError>;

    /// Applies changes: a row is put unless the target's version is as high or higher, a range turns lower
    /// versions into tombstones of [`tombstone_version`]. First it is made sure that the claim is still held. A target that stands
    /// at `expected` applies all changes, notes the poison and moves its watermark to `next` in one
    /// transaction; one that stands at or past `next` changes nothing and says so. Rows that were noted as
    /// poison and are applied now are poison no more.
    ///
    /// # Errors
    /// `Fenced`; `Elsewhere` where the target stands neither at `expected` nor past `next`; `Refused` for
    /// a row that it cannot hold; those of `connect`.
    fn apply(&mut self, shipment: &Shipment<'_>) -> Result<Applied, SinkError>;

    /// The digests of the live rows of a table by bucket, computed by the target from the stored hashes.
    ///
    /// # Errors
    /// Those of `connect`.
    fn digests(&mut self, table: Table) -> Result<Vec<(Bucket, Digest)>, SinkError>;

    /// The rows of a bucket, tombstones among them where their bucket is known, in the order of keys, those
    /// behind the key `after`, at most `limit`; with the columns as they are stored.
    ///
    /// # Errors
    /// Those of `connect`.
    fn rows(
        &mut self,
        bucket: &Bucket,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<RemoteRow>, SinkError>;

    /// Writes and removes rows whatever version the target has, in one transaction, after making sure that
    /// the claim is still held. The watermark stays. Rows that were noted as poison are poison no more.
    ///
    /// # Errors
    /// `Fenced`, `Refused`, and those of `connect`.
    fn force(&mut self, force: &Force<'_>) -> Result<(), SinkError>;

    /// Sets the watermark to a place that a person decided on, forwards or backwards, after making sure that
    /// the claim is still held.
    ///
    /// # Errors
    /// `Fenced`, and those of `connect`.
    fn rewind(&mut self, cursor: &Cursor, chain: u64, at: Timestamp) -> Result<(), SinkError>;

    /// Ends the connection. Nothing that was confirmed is lost without it.
    fn close(&mut self);
}
