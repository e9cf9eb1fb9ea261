//! Timing: medians and 99th percentiles over many calls, and what the process holds in memory.

use std::time::{Duration, Instant};

/// Times of many calls, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) calls: usize,
    pub(crate) median_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) most_ns: u64,
}

impl Timing {
    pub(crate) fn of(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        let calls = nanos.len();
        let at = |place: usize| nanos.get(place.min(calls.saturating_sub(1))).copied().unwrap_or(0);
        Self { calls, median_ns: at(calls / 2), p99_ns: at(calls * 99 / 100), most_ns: at(calls) }
    }

    /// A time that was measured once.
    pub(crate) const fn once(ns: u64) -> Self {
        Self { calls: 1, median_ns: ns, p99_ns: ns, most_ns: ns }
    }
}

/// The longest that one workload is timed; a slow machine makes fewer calls and says how many.
const LONGEST: Duration = Duration::from_secs(30);

/// Times `calls` calls after a tenth as many for warming up. The argument is the number of the call.
pub(crate) fn time<E>(calls: usize, mut work: impl FnMut(usize) -> Result<(), E>) -> Result<Timing, E> {
    for call in 0..calls / 10 {
        work(call)?;
    }
    cold(calls, work)
}

/// Times `calls` calls without warming up.
pub(crate) fn cold<E>(calls: usize, mut work: impl FnMut(usize) -> Result<(), E>) -> Result<Timing, E> {
    let begun = Instant::now();
    let mut all = Vec::with_capacity(calls);
    for call in 0..calls {
        if begun.elapsed() > LONGEST {
            break;
        }
        let start = Instant::now();
        work(call)?;
        all.push(nanos(start.elapsed()));
    }
    Ok(Timing::of(all))
}

/// Times two kinds of calls in turn, so that both see the same disk and the same neighbours.
pub(crate) fn in_turn<E>(
    calls: usize,
    mut one: impl FnMut(usize) -> Result<(), E>,
    mut other: impl FnMut(usize) -> Result<(), E>,
) -> Result<(Timing, Timing), E> {
    let begun = Instant::now();
    let (mut ones, mut others) = (Vec::with_capacity(calls), Vec::with_capacity(calls));
    for call in 0..calls + calls / 10 {
        if begun.elapsed() > LONGEST {
            break;
        }
        let start = Instant::now();
        one(call)?;
        let middle = Instant::now();
        other(call)?;
        if call >= calls / 10 {
            ones.push(nanos(middle - start));
            others.push(nanos(middle.elapsed()));
        }
    }
    Ok((Timing::of(ones), Timing::of(others)))
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn status_mb(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024)
}

/// Resident memory of this process in megabytes, where the system says.
pub(crate) fn resident_mb() -> Option<u64> {
    status_mb("VmRSS:")
}

/// The most that was resident so far.
pub(crate) fn peak_mb() -> Option<u64> {
    status_mb("VmHWM:")
}
