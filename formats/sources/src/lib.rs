//! Files that other programs left behind, read into Barkeeper's records.
//!
//! Each source is a declared [`Profile`] (unit, scale, adjustment, label, zone) and a parser. What a
//! profile declares is checked against the data: turnover divided by volume must lie within the low and
//! the high of each bar. A file is in or not: what makes a whole file doubtful (torn, wrong header, wrong
//! unit) is a [`SourceError`]; a single bad row is a [`RejectedRow`] and the rest is taken.
//!
//! Nothing here reads a folder, a clock or the environment: a file is its bytes and its name.
//!
//! | source | files |
//! |---|---|
//! | `tdx-day` | TDX `vipdoc/*/lday/*.day` |
//! | `silverquant-state` | `held_days.json`, `positions.json`, `max_price.json`, `min_price.json`, the log |
//! | `silverquant-kline` | `_daily_<source>/<code>.csv` and `_daily_<source>/kline/<code>.csv` |
//! | `binance-kline` | kline archives, unzipped |
//! | `binance-trades` | trades and aggTrades archives, unzipped |
//! | `bars-csv` | CSV of bars as the command line prints it |
//! | `vnpy-tick` | CSV with the columns of vn.py's table `dbtickdata` |
//!
//! ```
//! use barkeeper_sources::{ImportOptions, SourceFile, detect};
//!
//! let text = b"datetime,open,high,low,close,volume,amount\n20240102,10,10.2,9.9,10.1,1000,1005000\n";
//! let file = SourceFile { name: "000001.SZ.csv", folder: Some("_daily_tushare"), bytes: text };
//! let options = ImportOptions::default();
//! let parsed = detect(&file, &options)?.parse(&file, &options)?;
//! assert_eq!(parsed.bars[0].bars()[0].volume, 100_000.0);
//! # Ok::<(), barkeeper_sources::SourceError>(())
//! ```

mod bars_csv;
mod binance_kline;
mod binance_trades;
mod corporate_action;
mod decode;
mod error;
mod gather;
mod parsed;
mod profile;
mod security;
mod sheet;
mod silverquant_kline;
mod silverquant_state;
mod source;
mod span;
mod tdx_day;
#[cfg(test)]
mod testing;
mod unit;
mod vnpy_tick;

pub use corporate_action::{PerShares, closed_ex_day, corporate_actions};
pub use error::{OffRow, OffRows, SourceError};
pub use parsed::{Parsed, RejectedRow};
pub use profile::{BarLabel, Profile, VolumeUnit, VolumeUnitError};
pub use silverquant_state::{MergedPositions, PartialPosition, PositionFact, StateFile, merge_positions};
pub use source::{ImportOptions, Source, SourceFile, detect, file_hash, sources};
