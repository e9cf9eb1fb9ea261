//! Times of calls: medians and 99th percentiles, and floors measured the same way.

use std::fs::OpenOptions;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Bytes of the write with which a commit is compared, and places for it in the file.
const WRITE_BYTES: usize = 4096;
const PLACES: usize = 256;

/// Times of many calls of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// How many calls.
    pub calls: u64,
    /// Half of them took at most this long, in nanoseconds.
    pub median_ns: u64,
    /// 99 of 100 took at most this long, in nanoseconds.
    pub p99_ns: u64,
}

impl Timing {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let calls = times.len();
        let at = |place: usize| times.get(place.min(calls.saturating_sub(1))).copied().unwrap_or(0);
        Self { calls: calls as u64, median_ns: at(calls / 2), p99_ns: at(calls * 99 / 100) }
    }
}

/// Times `calls` calls; each gets its number.
pub(super) fn measure<E>(calls: usize, mut call: impl FnMut(usize) -> Result<(), E>) -> Result<Timing, E> {
    measure_for(calls, Duration::MAX, &mut call)
}

/// Times at most `calls` calls, and no more once `limit` is over.
pub(super) fn measure_for<E>(
    calls: usize,
    limit: Duration,
    mut call: impl FnMut(usize) -> Result<(), E>,
) -> Result<Timing, E> {
    let begun = Instant::now();
    let mut times = Vec::with_capacity(calls);
    for number in 0..calls {
        if begun.elapsed() > limit {
            break;
        }
        let start = Instant::now();
        call(number)?;
        times.push(nanos(start.elapsed()));
    }
    Ok(Timing::of(times))
}

/// Times a floor that cannot fail.
pub(super) fn floor(calls: usize, mut call: impl FnMut(usize)) -> Timing {
    let timed: Result<Timing, std::convert::Infallible> = measure(calls, |number| {
        call(number);
        Ok(())
    });
    match timed {
        Ok(timing) => timing,
        Err(never) => match never {},
    }
}

/// Times writes of 4 KB that are forced to the disk, in place in a file of their own in the folder: what a
/// commit costs at the least, whatever it does besides.
pub(super) fn forced_writes(folder: &Path, calls: usize, limit: Duration) -> io::Result<Timing> {
    let path = folder.join("floor.bin");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all(&vec![0; WRITE_BYTES * PLACES])?;
    file.sync_all()?;
    let bytes = [0x5a; WRITE_BYTES];
    let timing = measure_for(calls, limit, |call| {
        file.seek(SeekFrom::Start((call % PLACES * WRITE_BYTES) as u64))?;
        file.write_all(&bytes)?;
        file.sync_data()
    })?;
    drop(file);
    std::fs::remove_file(&path)?;
    Ok(timing)
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// `840 ns`, `12.3 us`, `4.56 ms`, `1.23 s`: three digits.
pub(super) fn shown(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$} {unit}")
}

/// A count with commas.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_of_the_times() {
        let timing = Timing::of((1..=1000).rev().collect());
        assert_eq!((timing.calls, timing.median_ns, timing.p99_ns), (1000, 501, 991));
        assert_eq!(Timing::of(Vec::new()).median_ns, 0);
    }

    #[test]
    fn numbers_are_shown_in_three_digits() {
        let cases = [
            (7, "7 ns"),
            (1_234, "1.23 us"),
            (56_780, "56.8 us"),
            (4_500_000, "4.50 ms"),
            (123_000_000, "123 ms"),
        ];
        for (ns, text) in cases {
            assert_eq!(shown(ns), text);
        }
        assert_eq!(
            (grouped(0), grouped(999), grouped(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
    }

    #[test]
    fn a_write_is_forced_and_its_file_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let timing = forced_writes(folder.path(), 3, Duration::MAX).unwrap();
        assert!(timing.calls == 3 && timing.median_ns > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
