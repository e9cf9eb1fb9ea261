//! Which segments are merged: those that overlap more than reads should pay for, and many small ones.

use std::collections::{BTreeMap, HashSet};

use barkeeper_records::{MarketTrade, Tick};
use barkeeper_storage::{Axis, Dataset, SegmentEntry};

use crate::events::Event;
use crate::import::partition;

/// Segments that may overlap on a key.
const OVERLAPS: usize = 4;
/// Segments of like size that are merged into one.
const FEW: usize = 8;
/// Sizes are alike within a factor of this.
const TIER: u64 = 4;
/// Segments below this many rows are all alike.
const SMALL_ROWS: u64 = 4_096;
/// Segments are not merged for their number alone into more rows than this: some 500 MB.
const MOST_ROWS: u64 = 16_000_000;

/// Segments that are merged only with each other: of one dataset, and for bars shorter than a day and market
/// trades of one month, for ticks of one day.
pub(crate) type Group = (Dataset, i32);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// What the rules say.
    Rules,
    /// One segment a group.
    One,
}

/// The segments on the axis of instruments, by group.
pub(crate) fn groups<'a>(
    entries: impl IntoIterator<Item = &'a SegmentEntry>,
) -> BTreeMap<Group, Vec<&'a SegmentEntry>> {
    let mut groups: BTreeMap<Group, Vec<&SegmentEntry>> = BTreeMap::new();
    for entry in entries {
        let part = match entry.dataset {
            Dataset::Bars { interval, .. } => partition(interval, entry.first),
            Dataset::Ticks => Tick::partition(entry.first),
            Dataset::MarketTrades => MarketTrade::partition(entry.first),
            _ => continue,
        };
        if entry.axis == Axis::Instrument {
            groups.entry((entry.dataset, part)).or_default().push(entry);
        }
    }
    groups
}

/// The segments of one group that are to be merged now, at least two; none where all is well. Those in
/// `left` are left alone.
pub(crate) fn choose<'a>(
    group: &[&'a SegmentEntry],
    want: Want,
    left: &HashSet<u128>,
) -> Option<Vec<&'a SegmentEntry>> {
    let mut group: Vec<&SegmentEntry> =
        group.iter().filter(|entry| !left.contains(&entry.id)).copied().collect();
    if group.len() < 2 {
        return None;
    }
    if want == Want::One {
        return Some(group);
    }
    group.sort_by_key(|entry| (entry.rows, entry.id));
    overlapping(&group).or_else(|| alike(&group))
}

/// Where more than four segments overlap: as many of the smallest as bring them down to four, and those
/// that are at most twice as large as what these make together, so that a row is not written anew for
/// every import.
fn overlapping<'a>(sorted: &[&'a SegmentEntry]) -> Option<Vec<&'a SegmentEntry>> {
    // The most overlap at the begin of some segment.
    let at = |entry: &&SegmentEntry| {
        let here = entry.first;
        sorted.iter().filter(|other| other.first <= here && here <= other.last).copied().collect::<Vec<_>>()
    };
    let deepest = sorted.iter().map(at).max_by_key(Vec::len)?;
    if deepest.len() <= OVERLAPS {
        return None;
    }
    let must = deepest.len() - OVERLAPS + 1;
    let (mut chosen, mut rows) = (Vec::new(), 0);
    for entry in deepest {
        if chosen.len() >= must && entry.rows > 2 * rows {
            break;
        }
        rows += entry.rows;
        chosen.push(entry);
    }
    Some(chosen)
}

/// Eight segments of like size or more.
fn alike<'a>(sorted: &[&'a SegmentEntry]) -> Option<Vec<&'a SegmentEntry>> {
    let mut tiers: BTreeMap<u32, Vec<&SegmentEntry>> = BTreeMap::new();
    for entry in sorted {
        tiers.entry((entry.rows / SMALL_ROWS).max(1).ilog(TIER)).or_default().push(entry);
    }
    tiers.into_values().find(|tier| {
        let rows: u64 = tier.iter().map(|entry| entry.rows).sum();
        tier.len() >= FEW && rows <= MOST_ROWS
    })
}

#[cfg(test)]
mod tests {
    use barkeeper_records::{AdjustmentTag, Digest, Interval, Lsn, TradingDay};

    use super::*;

    fn entry(id: u128, rows: u64, first: i32, last: i32) -> SegmentEntry {
        let day = |days| TradingDay::from_days(days).unwrap();
        SegmentEntry {
            id,
            axis: Axis::Instrument,
            twin: None,
            dataset: Dataset::Bars { interval: Interval::DAY, adjustment: AdjustmentTag::Raw },
            rows,
            first: day(first).label(),
            last: day(last).label(),
            first_day: day(first),
            last_day: day(last),
            version: None,
            bytes: rows * 28,
            blake3: [0; 32],
            digest: Digest::default(),
            lsn: Lsn(1),
        }
    }

    fn chosen(all: &[SegmentEntry], want: Want) -> Vec<u128> {
        let group: Vec<&SegmentEntry> = all.iter().collect();
        choose(&group, want, &HashSet::new()).unwrap_or_default().iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn four_may_overlap_and_of_five_the_smallest_are_merged() {
        let mut all: Vec<_> = (1..=4).map(|id| entry(id, 1_000_000 << (2 * id), 10, 20)).collect();
        assert!(chosen(&all, Want::Rules).is_empty());
        all.push(entry(9, 5_000, 20, 30));
        assert_eq!(chosen(&all, Want::Rules), [9, 1]);
        all.push(entry(10, 2_000_000, 15, 16));
        assert_eq!(chosen(&all, Want::Rules).len(), 2, "at any one day five overlap");
        // One that is not much larger than the rest together goes along.
        all.push(entry(11, 2_000_000, 15, 20));
        assert_eq!(chosen(&all, Want::Rules), [10, 11, 1, 2]);
        assert_eq!(chosen(&all, Want::One).len(), 7);
    }

    #[test]
    fn eight_of_like_size_are_merged_and_large_ones_are_not_for_their_number() {
        let day = |id: u128| i32::try_from(id).unwrap();
        let mut all: Vec<_> = (1..=7).map(|id| entry(id, 300_000, day(id), day(id))).collect();
        all.push(entry(20, 5_000_000, 100, 200));
        assert!(chosen(&all, Want::Rules).is_empty());
        all.push(entry(8, 270_000, 8, 8));
        assert_eq!(chosen(&all, Want::Rules), [8, 1, 2, 3, 4, 5, 6, 7]);
        let large: Vec<_> = (1..=9).map(|id| entry(id, 3_000_000, day(id), day(id))).collect();
        assert!(chosen(&large, Want::Rules).is_empty());
        let left = HashSet::from([3]);
        let group: Vec<&SegmentEntry> = all.iter().collect();
        assert!(choose(&group, Want::Rules, &left).is_none());
    }

    #[test]
    fn merging_by_the_rules_comes_to_an_end_and_few_overlap_then() {
        // Imports over the same days, again and again: what is written stays within a small factor.
        let (mut all, mut written, mut next) = (Vec::new(), 0, 0);
        for _ in 0..200 {
            next += 1;
            all.push(entry(next, 1_000, 10, 20));
            while let Some(merged) = choose(&all.iter().collect::<Vec<_>>(), Want::Rules, &HashSet::new()) {
                let ids: HashSet<u128> = merged.iter().map(|entry| entry.id).collect();
                let rows = merged.iter().map(|entry| entry.rows).sum();
                written += rows;
                next += 1;
                all.retain(|entry| !ids.contains(&entry.id));
                all.push(entry(next, rows, 10, 20));
            }
            assert!(all.len() <= OVERLAPS, "{} overlap", all.len());
        }
        assert!(written <= 200 * 1_000 * 6, "{written} rows were written for 200,000");
    }
}
