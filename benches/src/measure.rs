//! Timing: medians and 99th percentiles over many calls, printed as one JSON object a line.

use std::time::Instant;

use serde_json::json;

/// The median and the 99th percentile of a workload, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) calls: usize,
    pub(crate) median_ns: u64,
    pub(crate) p99_ns: u64,
}

/// Times `calls` calls after a tenth as many for warming up. The argument is the number of the call.
pub(crate) fn time<E>(calls: usize, mut work: impl FnMut(usize) -> Result<(), E>) -> Result<Timing, E> {
    for call in 0..calls / 10 {
        work(call)?;
    }
    let mut nanos = Vec::with_capacity(calls);
    for call in 0..calls {
        let start = Instant::now();
        work(call)?;
        nanos.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    nanos.sort_unstable();
    let at =
        |part: usize| nanos.get(calls * part / 100).or_else(|| nanos.last()).copied().unwrap_or_default();
    Ok(Timing { calls, median_ns: at(50), p99_ns: at(99) })
}

/// Prints a workload beside its floor, measured in the same run.
pub(crate) fn print(workload: &str, timing: Timing, floor: &str, floor_ns: u64) {
    let ratio = timing.median_ns as f64 / (floor_ns.max(1)) as f64;
    let line = json!({
        "workload": workload,
        "n": timing.calls,
        "median_ns": timing.median_ns,
        "p99_ns": timing.p99_ns,
        "floor": floor,
        "floor_ns": floor_ns,
        "ratio": (ratio * 100.0).round() / 100.0,
        "rss_mb": resident_mb(),
    });
    println!("{line}");
}

/// Resident memory of this process in megabytes, where the system says.
fn resident_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024)
}
