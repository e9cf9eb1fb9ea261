//! How many bytes of rows are hot: what says when it is time to seal.
//!
//! Hot values differ in length by a hundred times and more: an append of many instruments ends with a short
//! chunk, and a block grows as its instrument is heard of. No value says anything of the others, so all are
//! weighed, and as that reads them all, only when they may weigh much more than they did.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
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
/// Values that were so few and weighed so little are weighed after every change.
const FEW: u64 = 1_024;
const LITTLE: u64 = 2 << 20;
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
        let is_cheap = values <= FEW && self.bytes <= LITTLE;
        (!is_cheap && is_like && is_young).then(|| u64::try_from(bytes).unwrap_or(u64::MAX))
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
    let closing = &inner.upkeep.closing;
    let bytes = weigh(view, &|| closing.load(Ordering::SeqCst))?;
    *last = bytes.map(|bytes| Weighed { lsn, at: now, values, bytes });
    Ok(bytes.unwrap_or(0).saturating_add(delta))
}

/// Weighs all values; `None` where that is to stop. What lies behind a damaged page of a table is not counted:
/// other maintenance goes on, and whoever needs the page hears of it.
fn weigh(view: &impl View, stop: &dyn Fn() -> bool) -> ReadResult<Option<u64>> {
    let (mut bytes, mut stopped) = (0, false);
    for tab in WEIGHED {
        let read = view.scan(tab, &[], &[], false, &mut |key, value| {
            bytes += (key.len() + value.len()) as u64;
            stopped = stop();
            Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        match read {
            Err(error) if error.is_damage() => {}
            other => other?,
        }
        if stopped {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ReadError;
    use crate::view::Visit;

    #[test]
    fn many_values_are_weighed_anew_when_they_may_weigh_much_more() {
        let weighed = Weighed { lsn: Lsn(7), at: 50, values: 8_000, bytes: 80_000 };
        assert_eq!(weighed.tells(Lsn(7), i64::MAX, 8_000), Some(80_000), "nothing was committed");
        assert_eq!(weighed.tells(Lsn(8), 60, 9_000), Some(90_000));
        assert_eq!(weighed.tells(Lsn(8), 60, 9_001), None, "more than one in eight are new");
        assert_eq!(weighed.tells(Lsn(8), 60, 7_999), None, "some are gone");
        assert_eq!(weighed.tells(Lsn(8), 50 + COUNTS_NS, 8_000), None, "values may have grown");
        assert_eq!(weighed.tells(Lsn(8), 49, 8_000), None, "the clock went back");
        let few = Weighed { lsn: Lsn(7), at: 50, values: FEW, bytes: LITTLE };
        assert_eq!(few.tells(Lsn(8), 60, FEW), None, "that costs little");
        let large = Weighed { bytes: LITTLE + 1, ..few };
        assert_eq!(large.tells(Lsn(8), 60, FEW), Some(LITTLE + 1));
    }

    /// Three values a table, of which one table has damage behind the second.
    struct Damaged;

    impl View for Damaged {
        fn with<R>(&self, _: Tab, _: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> ReadResult<R> {
            Ok(f(None))
        }

        fn scan(&self, tab: Tab, _: &[u8], _: &[u8], _: bool, visit: Visit<'_>) -> ReadResult<()> {
            for number in 0..3_u8 {
                if tab == Tab::EventSlabs && number == 2 {
                    return Err(ReadError::Damaged { detail: "a page".to_owned() });
                }
                if visit(&[number], b"123456789")?.is_break() {
                    return Ok(());
                }
            }
            Ok(())
        }
    }

    #[test]
    fn a_damaged_page_does_not_keep_other_values_from_being_weighed() {
        assert_eq!(weigh(&Damaged, &|| false).unwrap(), Some(80));
        assert_eq!(weigh(&Damaged, &|| true).unwrap(), None, "the store is being closed");
    }
}
