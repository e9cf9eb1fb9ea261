//! The newest bars of series in memory: derived, rebuildable, never the truth.
//!
//! A tail answers for a snapshot only if the series has not changed since the snapshot. Before a commit
//! the tails of its series are taken away, and put back with the commit's LSN when it is durable, so a
//! reader that sees the commit never sees a tail from before it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock};

use barkeeper_records::{Bar, Lsn, SeriesKey, Timestamp};

/// Bars of a series that a tail holds where nobody has asked for more.
pub(crate) const TAIL_BARS: usize = 128;
/// Bars of a series that a tail holds at the most: two days of minutes.
pub(crate) const MOST_BARS: usize = 512;
/// Bars in all tails of a shard before it is emptied: 16 shards of 65,536 bars are 75 MB.
const SHARD_BARS: usize = 65_536;
const SHARDS: usize = 16;

#[derive(Debug, Default)]
struct Tail {
    /// The last commit that changed the series, as far as this process knows.
    changed: Lsn,
    bars: Option<VecDeque<Bar>>,
    /// Whether `bars` reaches back to the first bar of the series.
    whole: bool,
    /// How many bars it may hold.
    room: usize,
}

/// A tail that a commit has taken away.
#[derive(Debug)]
pub(crate) struct TakenTail {
    bars: VecDeque<Bar>,
    whole: bool,
}

/// The end of a range, from memory.
#[derive(Debug)]
pub(crate) struct RangeEnd {
    /// The bars of the range that memory has, ascending.
    pub(crate) bars: Vec<Bar>,
    /// From where on memory has all of them; `None` where nothing is missing.
    pub(crate) begins: Option<Timestamp>,
    /// Whether the range ends with the series or behind it.
    pub(crate) last: bool,
    /// How many bars of the series memory has.
    pub(crate) held: usize,
}

#[derive(Debug, Default)]
struct Shard {
    tails: HashMap<SeriesKey, Tail>,
    bars: usize,
}

/// How a commit changes a series.
#[derive(Debug, Clone)]
pub(crate) enum Touch {
    /// One bar behind all others.
    Append(Bar),
    /// Anything else.
    Change,
}

#[derive(Debug)]
pub(crate) struct Tails {
    shards: Vec<RwLock<Shard>>,
    hasher: RandomState,
}

impl Default for Tails {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }
    }
}

impl Tails {
    fn shard(&self, series: &SeriesKey) -> Option<&RwLock<Shard>> {
        let number = usize::try_from(self.hasher.hash_one(series) % SHARDS as u64).unwrap_or(0);
        self.shards.get(number)
    }

    /// The last `count` bars for a snapshot at `lsn`; `None` where memory cannot tell.
    pub(crate) fn last(&self, series: &SeriesKey, count: usize, lsn: Lsn) -> Option<Vec<Bar>> {
        let shard = self.shard(series)?.read().unwrap_or_else(PoisonError::into_inner);
        let tail = shard.tails.get(series)?;
        let bars = tail.bars.as_ref()?;
        if tail.changed > lsn || (bars.len() < count && !tail.whole) {
            return None;
        }
        let skip = bars.len().saturating_sub(count);
        let (front, back) = bars.as_slices();
        let mut found = Vec::with_capacity(bars.len() - skip);
        found.extend_from_slice(front.get(skip.min(front.len())..)?);
        found.extend_from_slice(back.get(skip.saturating_sub(front.len())..)?);
        Some(found)
    }

    /// The bars from `from` to `to`, both included, as far back as memory has them, for a snapshot at `lsn`;
    /// `None` where it has none of that time.
    pub(crate) fn end_of(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        lsn: Lsn,
    ) -> Option<RangeEnd> {
        let shard = self.shard(series)?.read().unwrap_or_else(PoisonError::into_inner);
        let tail = shard.tails.get(series)?;
        let bars = tail.bars.as_ref()?;
        let first = bars.front()?.ts;
        if tail.changed > lsn || to < first {
            return None;
        }
        let start = bars.partition_point(|bar| bar.ts < from);
        let end = bars.partition_point(|bar| bar.ts <= to);
        let found = bars.iter().skip(start).take(end.saturating_sub(start)).copied().collect();
        let missing = from < first && !tail.whole;
        let begins = missing.then_some(first);
        Some(RangeEnd { bars: found, begins, last: end == bars.len(), held: bars.len() })
    }

    /// Keeps what a snapshot at `lsn` read, unless the series has changed since.
    pub(crate) fn keep(&self, series: &SeriesKey, bars: &[Bar], whole: bool, lsn: Lsn) {
        let Some(shard) = self.shard(series) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.bars > SHARD_BARS {
            for tail in shard.tails.values_mut() {
                tail.bars = None;
            }
            shard.bars = 0;
        }
        let room = bars.len().clamp(TAIL_BARS, MOST_BARS);
        let skip = bars.len().saturating_sub(room);
        let kept: VecDeque<Bar> = bars.iter().skip(skip).copied().collect();
        let added = kept.len();
        let tail = shard.tails.entry(*series).or_default();
        if tail.changed > lsn {
            return;
        }
        let before = tail.bars.replace(kept).map_or(0, |old| old.len());
        tail.whole = whole && skip == 0;
        tail.room = room;
        shard.bars = (shard.bars + added).saturating_sub(before);
    }

    /// The last commit of this process that changed a series; 0 where there was none.
    pub(crate) fn changed(&self, series: &SeriesKey) -> Lsn {
        let Some(shard) = self.shard(series) else { return Lsn::default() };
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard.tails.get(series).map_or_else(Lsn::default, |tail| tail.changed)
    }

    /// Takes a tail away before a commit at `lsn` changes its series; [`Self::done`] puts it back.
    pub(crate) fn begin(&self, series: &SeriesKey, lsn: Lsn) -> Option<TakenTail> {
        let mut shard = self.shard(series)?.write().unwrap_or_else(PoisonError::into_inner);
        let tail = shard.tails.entry(*series).or_default();
        tail.changed = tail.changed.max(lsn);
        let bars = tail.bars.take();
        let whole = tail.whole;
        let gone = bars.as_ref().map_or(0, VecDeque::len);
        shard.bars = shard.bars.saturating_sub(gone);
        bars.map(|bars| TakenTail { bars, whole })
    }

    /// Puts a tail back with the bars that a durable commit appended.
    pub(crate) fn done(&self, series: &SeriesKey, lsn: Lsn, taken: TakenTail, appended: &[Bar]) {
        let TakenTail { mut bars, mut whole } = taken;
        bars.extend(appended);
        let Some(shard) = self.shard(series) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let tail = shard.tails.entry(*series).or_default();
        while bars.len() > tail.room.max(TAIL_BARS) {
            bars.pop_front();
            whole = false;
        }
        let added = bars.len();
        if tail.changed == lsn && tail.bars.is_none() {
            tail.bars = Some(bars);
            tail.whole = whole;
            shard.bars += added;
        }
    }
}
