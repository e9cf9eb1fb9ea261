//! The chart of the README: bars on a logarithmic scale, readable on light and on dark pages.

use std::fmt::Write as _;

use super::page::{SHARED, shown};
use super::peers;
use super::results::{OURS, Results, Row};

/// Workloads that are drawn.
const DRAWN: [&str; 7] =
    ["hundred_positions", "last_60", "last_60_of_100", "day_sealed", "append_day", "ma20", "import_csv"];
const WIDTH: f64 = 860.0;
/// Where bars begin, and the room for the figure behind the longest.
const LEFT: f64 = 110.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 15.0;
const TITLE: f64 = 30.0;
const TOP: f64 = 44.0;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}\
.title{font-weight:600}.small{fill:#59636e}\
.ours{fill:#0969da}.peer{fill:#afb8c1}.line{stroke:#d1d9e0}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}\
.ours{fill:#4493f8}.peer{fill:#59636e}.line{stroke:#3d444d}}";

/// One bar: whose, and how many nanoseconds.
type Bar<'a> = (&'a str, f64);

fn bars<'a>(results: &'a Results, workload: &str) -> Vec<Bar<'a>> {
    let names = std::iter::once(OURS).chain(peers::NAMES);
    let mut found: Vec<Bar<'a>> = names
        .filter_map(|name| results.of(name, workload))
        .filter_map(|row| Some((row.who.as_str(), Row::median(row)?)))
        .collect();
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    found
}

/// Draws all groups that anybody measured.
pub(super) fn draw(results: &Results) -> String {
    let groups: Vec<(&str, Vec<Bar<'_>>)> = SHARED
        .into_iter()
        .filter(|(workload, _)| DRAWN.contains(workload))
        .map(|(workload, name)| (name, bars(results, workload)))
        .filter(|(_, bars)| !bars.is_empty())
        .collect();
    let all = || groups.iter().flat_map(|(_, bars)| bars.iter().map(|(_, ns)| ns.max(1.0)));
    let least = all().fold(f64::MAX, f64::min).log10().floor();
    let most = all().fold(1.0, f64::max).log10().ceil().max(least + 1.0);
    let scale = (WIDTH - LEFT - RIGHT) / (most - least);
    let x = |ns: f64| LEFT + (ns.max(1.0).log10() - least) * scale;

    let lines: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let height = TOP + groups.len() as f64 * TITLE + lines as f64 * BAR + 14.0;
    let mut svg = String::new();
    let mut put = |text: std::fmt::Arguments<'_>| {
        // Writing to a text cannot fail.
        svg.write_fmt(text).unwrap_or_default();
        svg.push('\n');
    };
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Median times of Barkeeper and of others\">"
    ));
    put(format_args!("<style>{STYLE}</style>"));
    put(format_args!(
        "<text class=\"small\" x=\"0\" y=\"14\">Median time, shorter is better; each line is ten times the one before</text>"
    ));
    let mut decade = least;
    while decade <= most {
        let at = x(10_f64.powf(decade));
        let label = shown(10_f64.powf(decade)).replace(".00", "").replace(".0 ", " ");
        put(format_args!("<line class=\"line\" x1=\"{at:.1}\" y1=\"36\" x2=\"{at:.1}\" y2=\"{height}\"/>"));
        put(format_args!(
            "<text class=\"small\" x=\"{at:.1}\" y=\"31\" text-anchor=\"middle\">{label}</text>"
        ));
        decade += 1.0;
    }
    let mut y = TOP;
    for (name, bars) in &groups {
        put(format_args!("<text class=\"title\" x=\"0\" y=\"{:.1}\">{name}</text>", y + 17.0));
        y += TITLE - 6.0;
        for (who, ns) in bars {
            let (class, end) = (if *who == OURS { "ours" } else { "peer" }, x(*ns));
            let width = (end - LEFT).max(2.0);
            let middle = y + 10.0;
            put(format_args!(
                "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{who}</text>",
                LEFT - 8.0
            ));
            put(format_args!(
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"11\" rx=\"2\"/>"
            ));
            put(format_args!(
                "<text class=\"small\" x=\"{:.1}\" y=\"{middle:.1}\">{}</text>",
                LEFT + width + 6.0,
                shown(*ns)
            ));
            y += BAR;
        }
        y += 6.0;
    }
    put(format_args!("</svg>"));
    svg
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_measured_bar_is_drawn_without_a_script() {
        let mut results = Results::default();
        for (who, ns) in [("barkeeper", 900), ("sqlite", 36_000), ("duckdb", 1_300_000)] {
            results.take(json!({"who": who, "workload": "last_60", "median_ns": ns}));
        }
        let svg = draw(&results);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert_eq!(svg.matches("class=\"ours\"").count(), 1);
        assert!(svg.contains(">36.0 us</text>") && svg.contains("prefers-color-scheme:dark"), "{svg}");
        assert!(!svg.contains("script") && svg.trim_end().ends_with("</svg>"));
    }
}
