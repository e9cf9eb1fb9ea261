//! The row of a corporate action.

use barkeeper_records::{FactorEvent, InstrumentId, TradingDay, Version};
use bincode::{Decode, Encode};

use crate::envelope::{Damage, StoredRow};

/// What a row says of an instrument's ex-day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredFactor {
    /// The event; `None` for a tombstone.
    pub event: Option<FactorEvent>,
    /// The row's version.
    pub version: Version,
}

/// A corporate action; instrument and ex-day stand in the key.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct FactorV1 {
    terms: [f64; 4],
    factor: Option<f64>,
    version: u64,
    deleted: bool,
}

impl StoredRow for FactorV1 {
    const WHAT: &'static str = "factor";
    const KIND: u8 = 24;
}

impl FactorV1 {
    /// The row of an event.
    pub const fn of(event: &FactorEvent, version: Version) -> Self {
        Self { terms: event.terms(), factor: event.factor, version: version.raw(), deleted: false }
    }

    /// The tombstone of an event.
    pub const fn tombstone(version: Version) -> Self {
        Self { terms: [0.0; 4], factor: None, version: version.raw(), deleted: true }
    }

    /// What the row says of the ex-day of a key.
    ///
    /// # Errors
    /// `Layout` for a value that no event has.
    pub fn read(&self, (instrument, ex_day): (InstrumentId, TradingDay)) -> Result<StoredFactor, Damage> {
        let bad = |detail| Damage::Layout { what: Self::WHAT, detail };
        let version = Version::from_raw(self.version).ok_or_else(|| bad("version"))?;
        if self.deleted {
            return Ok(StoredFactor { event: None, version });
        }
        let [cash, bonus, rights, rights_price] = self.terms;
        let event =
            FactorEvent { instrument, ex_day, cash, bonus, rights, rights_price, factor: self.factor };
        let event = event.born().map_err(|_| bad("terms"))?;
        Ok(StoredFactor { event: Some(event), version })
    }
}
