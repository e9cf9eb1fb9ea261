//! The suite that every sink has to pass, as functions that a sink's own tests call.
//!
//! Each case gets a fresh, empty remote and may open it as often as it likes. Nothing here knows a database:
//! what a person does to a target by hand is done through [`Sink::force`], which writes
//! rows as they are told, stored hash and all.

mod checks;
mod edges;
mod faulty;
mod model;
mod rows;
mod sample;
mod streams;

use std::fmt::Debug;
use std::path::PathBuf;

use barkeeper_records::FeedError;

pub use self::faulty::{Fault, Faulty};
pub use self::model::{MemoryFeed, Write};
pub use self::sample::{
    bar, bar_key, book, extreme_trades, position, row, series, state, tombstone, trade, trade_values,
};
use crate::check::CheckError;
use crate::error::SinkError;
use crate::repair::RepairError;
use crate::replicator::ReplicatorError;
use crate::sink::Sink;

/// Opens a new sink on the same remote.
pub type Open = Box<dyn Fn() -> Box<dyn Sink>>;

/// A remote that nobody used before.
pub struct Remote {
    /// Opens it, as often as wanted; what earlier sinks wrote is there.
    pub open: Open,
    /// An empty folder for files of a case.
    pub scratch: PathBuf,
}

impl Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("scratch", &self.scratch).finish_non_exhaustive()
    }
}

/// Why a sink does not conform.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The sink failed where it should not.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The model of a store failed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// A comparison failed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A repair failed.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// A replicator failed.
    #[error(transparent)]
    Replicator(#[from] ReplicatorError),
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Something else came out than should.
    #[error("{what}: expected {expected}, found {found}")]
    Wrong {
        /// What was looked at.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it was.
        found: String,
    },
}

/// One case of the suite.
pub type Case = fn(&Remote) -> Result<(), Failure>;

/// All cases with their names.
pub const CASES: &[(&str, Case)] = &[
    ("changes_are_applied_once", streams::changes_are_applied_once),
    ("a_lost_acknowledgement_is_found_at_the_handshake", streams::a_lost_acknowledgement_is_found),
    ("a_shipment_from_elsewhere_is_refused", streams::a_shipment_from_elsewhere_is_refused),
    ("a_zombie_is_fenced", streams::a_zombie_is_fenced),
    ("a_copied_folder_is_fenced", streams::a_copied_folder_is_fenced),
    ("a_restored_store_takes_over", streams::a_restored_store_takes_over),
    ("another_database_is_left_untouched", streams::another_database_is_left_untouched),
    ("a_device_number_belongs_to_one_store", streams::a_device_number_belongs_to_one_store),
    ("the_watermark_moves_with_its_rows_or_not_at_all", streams::the_watermark_moves_with_its_rows),
    ("poison_is_noted_and_forgotten", streams::poison_is_noted_and_forgotten),
    ("the_watermark_goes_where_a_person_puts_it", streams::the_watermark_goes_where_a_person_puts_it),
    ("nothing_works_before_its_time", streams::nothing_works_before_its_time),
    ("a_stale_row_loses", rows::a_stale_row_loses),
    ("a_tombstone_wins_over_older_rows_only", rows::a_tombstone_wins_over_older_rows_only),
    ("a_deleted_range_hides_lower_versions", rows::a_deleted_range_hides_lower_versions),
    ("order_inside_a_shipment_counts", rows::order_inside_a_shipment_counts),
    ("digests_are_those_of_the_store", edges::digests_are_those_of_the_store),
    ("extreme_values_come_back_bit_for_bit", edges::extreme_values_come_back),
    ("pages_of_a_bucket_join", edges::pages_of_a_bucket_join),
    ("what_cannot_be_kept_is_refused", edges::what_cannot_be_kept_is_refused),
    ("a_deep_check_finds_an_edited_column", checks::a_deep_check_finds_an_edited_column),
    ("a_newer_remote_row_is_found_and_mended", checks::a_newer_remote_row),
    ("a_row_from_the_future_is_mended", checks::a_row_from_the_future),
    ("an_extra_remote_row_is_found_and_removed", checks::an_extra_remote_row),
    ("missing_and_older_rows_are_found_and_mended", checks::missing_and_older_rows),
    ("a_revived_and_a_buried_row_are_found_and_mended", checks::a_revived_and_a_buried_row),
    ("a_row_moved_to_another_bucket_is_found_and_mended", checks::a_moved_row),
    ("rows_of_another_desktop_are_no_difference", checks::rows_of_another_desktop),
    ("a_large_repair_asks_first", checks::a_large_repair_asks_first),
    ("a_dry_run_changes_nothing", checks::a_dry_run_changes_nothing),
    ("a_target_behind_is_not_called_different", checks::a_target_behind),
];

/// Runs every case on a fresh remote.
///
/// # Errors
/// The first failure, with the name of its case.
pub fn run(fresh: &mut dyn FnMut() -> Remote) -> Result<(), (&'static str, Failure)> {
    for (name, case) in CASES {
        case(&fresh()).map_err(|failure| (*name, failure))?;
    }
    Ok(())
}

fn expect<T: PartialEq + Debug>(what: &'static str, found: &T, expected: &T) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::Wrong { what, expected: format!("{expected:?}"), found: format!("{found:?}") })
}

fn expect_true(what: &'static str, is: bool) -> Result<(), Failure> {
    expect(what, &is, &true)
}

/// The error that should have come out.
fn expect_error<T: Debug, E>(what: &'static str, result: Result<T, E>) -> Result<E, Failure> {
    match result {
        Err(error) => Ok(error),
        Ok(found) => {
            Err(Failure::Wrong { what, expected: "an error".to_owned(), found: format!("{found:?}") })
        }
    }
}
