//! `StrategySnapshot`: a strategy's own state at a moment.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::names::StrategyId;
use crate::time::Timestamp;

/// Which state of a strategy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StrategySnapshotKey {
    /// Whose.
    pub strategy: StrategyId,
    /// When it was saved.
    pub saved_at: Timestamp,
    /// 0 for the first state that was saved at this instant, one more for each further one.
    pub sequence: u32,
}

impl std::fmt::Display for StrategySnapshotKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.strategy, self.saved_at)?;
        if self.sequence > 0 { write!(f, ", number {}", self.sequence) } else { Ok(()) }
    }
}

/// A strategy's own state at a moment: JSON, with the version of its own layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategySnapshot {
    /// Which.
    #[serde(flatten)]
    pub key: StrategySnapshotKey,
    /// The strategy's own number of the layout of `body`, so that a newer program can read an older state.
    pub schema_version: u32,
    /// One JSON value, at most 4 MiB of UTF-8; kept byte by byte.
    pub body: String,
}

/// Why a state cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StrategySnapshotError {
    /// More bytes than a state may have.
    #[error("the state of {strategy} has {bytes} bytes, more than {limit}")]
    TooLong {
        /// Whose.
        strategy: StrategyId,
        /// Its length.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// Not one JSON value.
    #[error("the state of {strategy} is no JSON: {detail}")]
    NotJson {
        /// Whose.
        strategy: StrategyId,
        /// Where it ends to be JSON.
        detail: String,
    },
}

impl StrategySnapshot {
    /// Checks the state's length. That it is JSON is checked by whoever stores it.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn born(self) -> Result<Self, StrategySnapshotError> {
        if self.body.len() > limits::STRATEGY_SNAPSHOT_BYTES {
            return Err(StrategySnapshotError::TooLong {
                strategy: self.key.strategy,
                bytes: self.body.len(),
                limit: limits::STRATEGY_SNAPSHOT_BYTES,
            });
        }
        Ok(self)
    }
}
