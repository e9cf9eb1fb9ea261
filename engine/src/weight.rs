//! How many bytes of rows are hot: what says when it is time to seal.
//!
//! Hot values differ in length by a hundred times and more: an append of many instruments ends with a short
//! chunk, and a block grows as its instrument is heard of. No value says anything of the others, so all are
//! weighed, and as that reads them all, only when they may weigh much more than they did.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use barkeeper_records::Lsn;

use crate::error::ReadResult;
use crate::snapshot::Snapshot;
use crate::store::Inner;
use crate::tables::Tab;
use crate::view::View;

/// Where values differ in length.
const WEIGHED: [Tab; 3] = [Tab::Slabs, Tab::EventSlabs, Tab::EventBlocks];
/// Bytes of a row of the delta with its share of the tree.
const DELTA_BYTES: u64 = 150;
/// So few values are weighed after every change.
const FEW: u64 = 1_024;
/// How long a weight counts while the number of values grows by no more than one in [`GROWTH`].
const COUNTS_NS: i64 = 10_000_000_000;
const GROWTH: u64 = 8;

/// What hot values weighed at a commit.
#[derive(Debug, Clone, Copy)]
struct Weighed {
    lsn: Lsn,
    at: i64,
    values: u64,
    bytes: u64,
}

/// The last weight of the hot values.
#[derive(Debug, Default)]
pub(crate) struct HotWeight(Mutex<Option<Weighed>>);

impl Weighed {
    /// The weight of so many values; `None` where they must be weighed anew.
    fn tells(&self, lsn: Lsn, now: i64, values: u64) -> Option<u64> {
        if (self.lsn, self.values) == (lsn, values) {
            return Some(self.bytes);
        }
        let known = self.values.max(1);
        let is_like = values >= known && (values - known).saturating_mul(GROWTH) <= known;
        let is_young = (0..COUNTS_NS).contains(&now.saturating_sub(self.at));
        let bytes = u128::from(self.bytes) * u128::from(values) / u128::from(known);
        (values > FEW && is_like && is_young).then(|| u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// Bytes of hot bars, ticks and market trades, as near as is needed to say when to seal.
pub(crate) fn hot_bytes(inner: &Arc<Inner>) -> ReadResult<u64> {
    let snapshot = Snapshot::brief(inner)?;
    let view = snapshot.view();
    let delta = view.count(Tab::Delta)?.saturating_mul(DELTA_BYTES);
    let mut values = 0;
    for tab in WEIGHED {
        values += view.count(tab)?;
    }
    let (lsn, now) = (snapshot.lsn(), inner.options.clock.steady());
    let mut last = inner.upkeep.weight.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = last.and_then(|weighed| weighed.tells(lsn, now, values)) {
        return Ok(bytes.saturating_add(delta));
    }
    let bytes = weigh(view)?;
    *last = Some(Weighed { lsn, at: now, values, bytes });
    Ok(bytes.saturating_add(delta))
}

fn weigh(view: &impl View) -> ReadResult<u64> {
    let mut bytes = 0;
    for tab in WEIGHED {
        view.scan(tab, &[], &[], false, &mut |key, value| {
            bytes += (key.len() + value.len()) as u64;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_are_weighed_anew_when_they_may_weigh_much_more() {
        let weighed = Weighed { lsn: Lsn(7), at: 50, values: 8_000, bytes: 80_000 };
        assert_eq!(weighed.tells(Lsn(7), i64::MAX, 8_000), Some(80_000), "nothing was committed");
        assert_eq!(weighed.tells(Lsn(8), 60, 9_000), Some(90_000));
        assert_eq!(weighed.tells(Lsn(8), 60, 9_001), None, "more than one in eight are new");
        assert_eq!(weighed.tells(Lsn(8), 60, 7_999), None, "some are gone");
        assert_eq!(weighed.tells(Lsn(8), 50 + COUNTS_NS, 8_000), None, "values may have grown");
        assert_eq!(weighed.tells(Lsn(8), 49, 8_000), None, "the clock went back");
        let few = Weighed { lsn: Lsn(7), at: 50, values: FEW, bytes: 80_000 };
        assert_eq!(few.tells(Lsn(8), 60, FEW), None);
    }
}
