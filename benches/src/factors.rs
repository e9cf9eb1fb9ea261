//! Fourteen factors of an instrument's bars, in plain loops: what frames and peers have to sum up to.
//!
//! A factor is empty where its window is not full yet.

use barkeeper_records::Bar;

type Windowed = fn(&[Bar]) -> f64;

/// Bars that a factor looks at, the newest of them last, and what it makes of them.
const FACTORS: [(usize, Windowed); 14] = [
    (2, gain),
    (6, gain),
    (21, gain),
    (5, distance),
    (10, distance),
    (20, distance),
    (60, distance),
    (20, spread),
    (1, |bars| each(bars, |bar| (bar.high - bar.low) / bar.open)),
    (1, |bars| each(bars, |bar| (bar.close - bar.open) / bar.open)),
    (20, |bars| highest(bars) / close(bars)),
    (20, |bars| lowest(bars) / close(bars)),
    (20, |bars| mean(bars.get(15..).unwrap_or(bars), |bar| bar.volume) / mean(bars, |bar| bar.volume)),
    (1, |bars| each(bars, |bar| bar.turnover / bar.volume / bar.close)),
];

/// The sum of all factors at all bars of one instrument.
pub(crate) fn sum_of(bars: &[Bar]) -> f64 {
    FACTORS.iter().map(|(window, factor)| bars.windows(*window).map(factor).sum::<f64>()).sum()
}

fn each(bars: &[Bar], of: impl Fn(&Bar) -> f64) -> f64 {
    bars.last().map_or(f64::NAN, of)
}

fn close(bars: &[Bar]) -> f64 {
    each(bars, |bar| bar.close)
}

fn mean(bars: &[Bar], of: impl Fn(&Bar) -> f64) -> f64 {
    bars.iter().map(of).sum::<f64>() / bars.len() as f64
}

fn gain(bars: &[Bar]) -> f64 {
    close(bars) / bars.first().map_or(f64::NAN, |bar| bar.close) - 1.0
}

fn distance(bars: &[Bar]) -> f64 {
    mean(bars, |bar| bar.close) / close(bars)
}

fn spread(bars: &[Bar]) -> f64 {
    let middle = mean(bars, |bar| bar.close);
    let squares = bars.iter().map(|bar| (bar.close - middle).powi(2)).sum::<f64>();
    (squares / (bars.len() as f64 - 1.0)).sqrt() / close(bars)
}

fn highest(bars: &[Bar]) -> f64 {
    bars.iter().map(|bar| bar.high).fold(f64::MIN, f64::max)
}

fn lowest(bars: &[Bar]) -> f64 {
    bars.iter().map(|bar| bar.low).fold(f64::MAX, f64::min)
}
