//! The README's tables, between two markers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::peers;
use super::results::{OURS, Results, Row};

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Workloads that peers are asked for as well, and what they are called in the table.
pub(super) const SHARED: [(&str, &str); 12] = [
    ("one_position", "one position"),
    ("hundred_positions", "100 positions of an account"),
    ("last_60", "last 60 daily bars of one instrument"),
    ("all_sealed", "all daily bars of one instrument"),
    ("last_60_of_100", "last 60 daily bars of 100 instruments"),
    ("day_sealed", "one day of all instruments"),
    ("append_day", "append one day of all instruments, durable"),
    ("commit", "a trade and its position, durable"),
    ("ma20", "average over 20 bars of every instrument, all rows, summed"),
    ("factors", "14 factors of 800 instruments x 3,400 days, summed"),
    ("import_csv", "import a CSV file an instrument, durable"),
    ("bytes_bar", "bytes on disk of a daily bar (ours on both axes)"),
];

/// Workloads that have to take less time than a peer takes, and what is known of why they do not.
const FASTER: [(&str, &str, &str); 1] = [(
    "factors",
    "polars",
    "most of it is polars computing the factors, which is the same work on both sides",
)];

/// `840 ns`, `12.3 us`, `4.56 ms`, `1.23 s`: three digits.
pub(super) fn shown(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => return format!("{ns:.0} ns"),
        ns if ns < 1e6 => (ns / 1e3, "us"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$} {unit}")
}

/// `1.5 x`, `24 x`: how many times as long.
fn times(ratio: f64) -> String {
    let places = if ratio < 1.0 { 2 } else { usize::from(ratio < 10.0) };
    format!("{ratio:.places$} x")
}

fn measured(row: &Row) -> String {
    match (row.median(), row.number("value")) {
        (Some(ns), _) => shown(ns),
        (None, Some(value)) => {
            let unit = row.text("unit").unwrap_or_default();
            let value = if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value}") };
            format!("{value} {unit}")
        }
        (None, None) => "-".to_owned(),
    }
}

/// All that the README says of what was measured.
pub(super) fn table(results: &Results) -> Result<String> {
    let mut text = String::new();
    heading(&mut text, results)?;
    ours(&mut text, results)?;
    missed(&mut text, results)?;
    if !results.about.is_empty() {
        beside(&mut text, results)?;
    }
    Ok(text)
}

fn heading(text: &mut String, results: &Results) -> Result<()> {
    let (Some(first), Some(last)) = (results.machines.first(), results.machines.last()) else {
        return Ok(());
    };
    let of = |machine: &Value, field: &str| match machine.get(field) {
        Some(Value::String(value)) => value.clone(),
        Some(value) => value.to_string(),
        None => "?".to_owned(),
    };
    let (from, to) = (of(first, "at"), of(last, "at"));
    let load = results.machines.iter().filter_map(|machine| machine.get("load")?.as_f64());
    let load = load.fold(0.0_f64, f64::max);
    let fsync =
        results.of(OURS, "append_day").and_then(|row| row.number("floor_ns")).map_or("?".to_owned(), shown);
    writeln!(
        text,
        "Measured from {from} to {to} UTC on {} cores ({}), {} GB, {}; one write and fsync of this disk took \
         {fsync}; the load of the machine was {load:.1} at the most when a part began. 5,000 instruments x 1,250 \
         days of daily bars, 6.2 million rows. `cargo xtask bench --compare` measures all of it and writes this part; \
         `--sustain 600` keeps up the pace of a market for ten minutes.\n",
        of(last, "cores"),
        of(last, "cpu"),
        of(last, "memory_gb"),
        of(last, "system"),
    )?;
    Ok(())
}

fn ours(text: &mut String, results: &Results) -> Result<()> {
    writeln!(text, "| work | to reach | median | p99 | calls | beside the floor of the same run |")?;
    writeln!(text, "|---|---|---|---|---|---|")?;
    for row in results.ours() {
        let goal = match (row.text("to_reach"), row.reached()) {
            (Some(goal), Some(true)) => goal.to_owned(),
            (Some(goal), _) => format!("{goal}: **missed**"),
            (None, _) => String::new(),
        };
        let p99 = row.number("p99_ns").filter(|_| row.number("n") > Some(1.0)).map_or(String::new(), shown);
        let floor = match (row.text("floor"), row.number("floor_ns"), row.number("ratio")) {
            (Some(floor), Some(ns), Some(ratio)) => format!("{} {floor} ({})", times(ratio), shown(ns)),
            _ => String::new(),
        };
        let what = row.text("what").unwrap_or_default();
        let calls = row.number("n").unwrap_or(1.0);
        writeln!(text, "| {what} | {goal} | {} | {p99} | {calls:.0} | {floor} |", measured(row))?;
    }
    writeln!(text)?;
    Ok(())
}

fn missed(text: &mut String, results: &Results) -> Result<()> {
    let missed: Vec<&Row> = results.ours().filter(|row| row.reached() == Some(false)).collect();
    let slower: Vec<_> = FASTER
        .into_iter()
        .filter_map(|(workload, peer, why)| {
            let ours = results.of(OURS, workload)?;
            let theirs = results.of(peer, workload)?;
            (ours.median()? >= theirs.median()?).then_some((ours, peer, theirs, why))
        })
        .collect();
    if missed.is_empty() && slower.is_empty() {
        return Ok(());
    }
    writeln!(text, "Missed, and why:\n")?;
    for row in missed {
        let what = row.text("what").unwrap_or_default();
        writeln!(text, "- {what}: {}.", row.text("why").unwrap_or("not looked into yet"))?;
    }
    for (ours, peer, theirs, why) in slower {
        let what = ours.text("what").unwrap_or_default();
        writeln!(text, "- {what}: asked below {peer}, which took {}: {why}.", measured(theirs))?;
    }
    writeln!(text)?;
    Ok(())
}

/// What a peer measured, and how many times ours that is.
fn cell(results: &Results, peer: &str, workload: &str) -> String {
    let Some(row) = results.of(peer, workload) else { return "-".to_owned() };
    let figure = |row: &Row| row.median().or_else(|| row.number("value"));
    match (figure(row), results.of(OURS, workload).and_then(figure)) {
        (Some(theirs), Some(ours)) => format!("{} ({})", measured(row), times(theirs / ours)),
        (Some(_), None) => measured(row),
        (None, _) => "-".to_owned(),
    }
}

fn beside(text: &mut String, results: &Results) -> Result<()> {
    writeln!(
        text,
        "The same questions to others, on the same files and in the same run, through their Python packages \
         with two threads. In brackets: how many times our figure. A dash: not what it is for.\n"
    )?;
    let peers: Vec<&str> =
        peers::NAMES.into_iter().filter(|peer| results.about.contains_key(*peer)).collect();
    writeln!(text, "| work | Barkeeper | {} |", peers.join(" | "))?;
    writeln!(text, "|---|---|{}", "---|".repeat(peers.len()))?;
    for (workload, name) in SHARED {
        let ours = results.of(OURS, workload).map_or("-".to_owned(), measured);
        let cells: Vec<String> = peers.iter().map(|peer| cell(results, peer, workload)).collect();
        writeln!(text, "| {name} | {ours} | {} |", cells.join(" | "))?;
    }
    writeln!(text)?;
    for peer in peers {
        let Some(about) = results.about.get(peer) else { continue };
        writeln!(text, "- `{peer}`: {about}.")?;
    }
    writeln!(text, "\n![How long each takes, on a logarithmic scale](benches/compare.svg)")?;
    Ok(())
}

/// Puts the tables between the markers of a page.
pub(super) fn write(page: &Path, results: &Results) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let new = replaced(&text, &table(results)?)?;
    fs::write(page, new).with_context(|| format!("cannot write {}", page.display()))
}

fn replaced(page: &str, table: &str) -> Result<String> {
    let missing = || format!("the page lacks {BEGIN} or {END}");
    let (before, rest) = page.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", table.trim_end()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        for line in [
            json!({"machine": {"at": "2026-01-05 10:00", "cores": 2, "cpu": "c", "memory_gb": 24, "system": "s", "load": 0.5}}),
            json!({"who": "barkeeper", "workload": "last_60", "what": "last 60", "n": 10, "median_ns": 900, "p99_ns": 1500,
                   "floor": "copy", "floor_ns": 90, "ratio": 10.0, "to_reach": "<= 5 us", "reached": true}),
            json!({"who": "barkeeper", "workload": "bytes_by_day", "what": "bytes", "n": 1, "value": 32.5, "unit": "bytes",
                   "to_reach": "<= 20 bytes", "reached": false, "why": "volumes are random"}),
            json!({"who": "sqlite", "about": "sqlite 3"}),
            json!({"who": "sqlite", "workload": "last_60", "n": 10, "median_ns": 36_000, "p99_ns": 40_000}),
        ] {
            results.take(line);
        }
        results
    }

    #[test]
    fn the_tables_say_what_was_measured_and_what_was_missed() {
        let text = table(&results()).unwrap();
        assert!(text.contains("| last 60 | <= 5 us | 900 ns | 1.50 us | 10 | 10 x copy (90 ns) |"), "{text}");
        assert!(text.contains("| bytes | <= 20 bytes: **missed** | 32.5 bytes |"), "{text}");
        assert!(text.contains("- bytes: volumes are random."), "{text}");
        assert!(
            text.contains("| last 60 daily bars of one instrument | 900 ns | 36.0 us (40 x) |"),
            "{text}"
        );
    }

    #[test]
    fn a_peer_that_must_be_slower_and_is_not_is_told() {
        let page = |ours: u64| {
            let mut results = results();
            for (who, ns) in [("barkeeper", ours), ("polars", 701_000_000)] {
                results.take(
                    json!({"who": who, "workload": "factors", "what": "14 factors", "n": 5, "median_ns": ns}),
                );
            }
            table(&results).unwrap()
        };
        assert!(!page(700_000_000).contains("asked below"));
        let text = page(702_000_000);
        assert!(text.contains("- 14 factors: asked below polars, which took 701 ms: most of it"), "{text}");
    }

    #[test]
    fn only_what_stands_between_the_markers_is_written() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replaced(&page, "new\n").unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert!(replaced("a", "new").is_err());
    }

    #[test]
    fn numbers_are_shown_in_three_digits() {
        for (ns, text) in
            [(7.0, "7 ns"), (1_234.0, "1.23 us"), (56_780.0, "56.8 us"), (1.23e8, "123 ms"), (2e9, "2.00 s")]
        {
            assert_eq!(shown(ns), text);
        }
    }
}
