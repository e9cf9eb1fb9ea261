//! What users of the store rely on, one file a subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where something is not as it must be"
)]

mod bars;
mod commits;
mod common;
mod events;
mod factors;
mod feed;
mod files;
#[cfg(feature = "polars")]
mod frames;
#[cfg(windows)]
mod held;
mod places;
mod positions;
mod snapshots;
mod states;
mod summaries;
mod trades;
mod upkeep;
