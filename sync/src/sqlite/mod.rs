//! SQLite: one file on this machine, for people, notebooks and programs that read SQL.
//!
//! **What is written.** A table for each table of the store (`bk_bars bk_trades bk_positions bk_books`)
//! with its key as the primary key, the bookkeeping columns `version deleted device lsn row_hash` behind the
//! rest, and a view without tombstones for each (`bars trades positions books`). `bk_sync` holds how far each
//! store has come, `bk_meta` which database this is, `bk_poison` the rows that it refused. All tables are
//! STRICT and WITHOUT ROWID. Other tables in the file are left alone; a name that a view would have and
//! something else has is left to it.
//!
//! **Types.** Instants are INTEGER nanoseconds UTC, beside them `local_time` as `YYYY-MM-DD HH:MM:SS.ffffff` on
//! the clock of the instrument's venue (a bar of one day or longer: its day at 00:00:00). Days are TEXT
//! `YYYY-MM-DD`, prices REAL, which is the IEEE double itself. Decimals are TEXT, canonical (no exponent, no
//! trailing zeros), because SQLite has no decimal type: a NUMERIC column would turn `0.1` into a double and a
//! number of 28 digits into a rounded one. `CAST(price AS REAL)` where arithmetic matters more than digits.
//!
//! **Guarantee.** Transactional: rows, poison and watermark of a shipment are one transaction in WAL mode with
//! `synchronous=FULL`, so that what was confirmed survives a power loss, if the disk honours flush.
//!
//! **Limits.** -0.0, NaN and infinities are refused: SQLite keeps no sign of zero and no NaN, and rows of the
//! store have none. One writer at a time: a program that holds a write transaction open for longer than
//! `busy_timeout_ms` makes the target `Degraded` until it ends. A reader that holds a transaction open for
//! hours lets the file's WAL grow. Not for network drives.

mod config;
mod error;
mod rows;
mod schema;
mod sink;

pub use config::{ConfigError, SqliteConfig};
pub use sink::SqliteSink;
