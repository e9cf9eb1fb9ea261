//! The demo: a generated market, and what a trading day asks of a store, measured.

mod ledger;
mod market;
mod market_files;
mod random;
mod state_files;

pub use ledger::{Fill, Holding, Ledger};
pub use market::{Listing, ListingKind, Market, MarketSpec};
pub use market_files::{AccountFiles, MarketFiles, write_market};
