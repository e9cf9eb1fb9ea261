//! Rows of strategies' saved states.

use barkeeper_records::{StrategySnapshot, StrategySnapshotKey, Version};
use bincode::{Decode, Encode};

use crate::envelope::{Damage, StoredRow};

/// A saved state, or its tombstone; strategy, time and number stand in the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StrategySnapshotV1 {
    schema_version: u32,
    body: String,
    version: u64,
    deleted: bool,
}

impl StoredRow for StrategySnapshotV1 {
    const WHAT: &'static str = "strategy snapshot";
    const KIND: u8 = 25;
}

impl StrategySnapshotV1 {
    /// The row of a state.
    pub fn of(snapshot: &StrategySnapshot, version: Version) -> Self {
        let StrategySnapshot { schema_version, body, .. } = snapshot;
        Self { schema_version: *schema_version, body: body.clone(), version: version.raw(), deleted: false }
    }

    /// The tombstone of a state.
    pub const fn tombstone(version: Version) -> Self {
        Self { schema_version: 0, body: String::new(), version: version.raw(), deleted: true }
    }

    /// The state of a key, `None` for a tombstone, and the row's version.
    ///
    /// # Errors
    /// `Layout` for a version that no row has.
    pub fn read(self, key: StrategySnapshotKey) -> Result<(Option<StrategySnapshot>, Version), Damage> {
        let Self { schema_version, body, version, deleted } = self;
        let bad = Damage::Layout { what: Self::WHAT, detail: "version" };
        let version = Version::from_raw(version).ok_or(bad)?;
        Ok(((!deleted).then_some(StrategySnapshot { key, schema_version, body }), version))
    }
}
