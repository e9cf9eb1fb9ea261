//! The demo: a generated market, and what a trading day asks of a store, measured.

mod crash;
mod error;
mod flow;
mod ledger;
mod market;
mod market_files;
mod measure;
mod questions;
mod random;
mod report;
mod state_files;
mod writes;

pub use crash::write_until_killed;
pub use error::DemoError;
pub use flow::{DemoOptions, run};
pub use ledger::{Fill, Holding, Ledger};
pub use market::{Listing, ListingKind, Market, MarketSpec};
pub use market_files::{AccountFiles, MarketFiles, write_market};
pub use measure::Timing;
pub use report::{DemoReport, Held, Measured};
