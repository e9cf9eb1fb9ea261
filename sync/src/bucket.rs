//! Which columns make a row's bucket, so that every target can group by them in its own SQL.

use barkeeper_records::{Table, limits};

/// Characters of the instrument in the group of a bar.
pub(crate) const PREFIX_CHARS: usize = 3;

/// The columns behind [`Bucket::group`](barkeeper_records::Bucket) and whether an instant divides into periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `interval/adjustment/` and the first characters of the instrument, by period.
    Series,
    /// The first characters of the instrument.
    Instrument,
    /// One column, by period.
    ByPeriod {
        /// The column of the group.
        group: &'static str,
        /// The column of the instant.
        instant: &'static str,
    },
    /// One column.
    Whole {
        /// The column of the group.
        group: &'static str,
    },
    /// The first characters of the instrument, by period.
    Stream,
}

impl Shape {
    pub(crate) const fn of(table: Table) -> Self {
        match table {
            Table::Bars => Self::Series,
            Table::Factors => Self::Instrument,
            Table::Trades => Self::ByPeriod { group: "account", instant: "ts" },
            Table::StrategySnapshots => Self::ByPeriod { group: "strategy", instant: "saved_at" },
            Table::Ticks | Table::MarketTrades => Self::Stream,
            _ => Self::Whole { group: "account" },
        }
    }
}

/// A group of bars, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesGroup<'a> {
    pub(crate) interval: &'a str,
    pub(crate) adjustment: &'a str,
    pub(crate) prefix: &'a str,
}

impl<'a> SeriesGroup<'a> {
    /// Takes a group apart without judging its parts: a target may hold rows that a person typed in.
    pub(crate) fn split(group: &'a str) -> Option<Self> {
        let mut parts = group.splitn(3, '/');
        Some(Self { interval: parts.next()?, adjustment: parts.next()?, prefix: parts.next()? })
    }
}

/// The first and the last nanosecond of a period.
pub(crate) fn period_bounds(period: i32) -> (i64, i64) {
    let length = i128::from(limits::PERIOD_NS);
    let first = i128::from(period) * length;
    let clamp = |nanos: i128| i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX });
    (clamp(first), clamp(first + length - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_meet_without_a_gap_before_and_after_1970() {
        for period in [-3000, -2, -1, 0, 1, 600, 3000] {
            let ((first, last), (next, _)) = (period_bounds(period), period_bounds(period + 1));
            assert_eq!(last + 1, next);
            assert_eq!(first.div_euclid(limits::PERIOD_NS), i64::from(period));
            assert_eq!(last.div_euclid(limits::PERIOD_NS), i64::from(period));
        }
        assert_eq!(period_bounds(3558).1, i64::MAX);
        assert_eq!(period_bounds(-3559).0, i64::MIN);
    }

    #[test]
    fn a_group_of_bars_comes_apart() {
        let group = SeriesGroup::split("1m/raw/A/B").unwrap();
        assert_eq!((group.interval, group.adjustment, group.prefix), ("1m", "raw", "A/B"));
        assert_eq!(SeriesGroup::split("1m"), None);
    }
}
