//! What parts and peers printed: one file of JSON lines each, in the target folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// One measured row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) who: String,
    pub(super) workload: String,
    fields: Value,
}

impl Row {
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        self.fields.get(field).and_then(Value::as_f64)
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    pub(super) fn reached(&self) -> Option<bool> {
        self.fields.get("reached").and_then(Value::as_bool)
    }

    pub(super) fn median(&self) -> Option<f64> {
        self.number("median_ns")
    }
}

/// Everything that is kept of a shape.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) rows: Vec<Row>,
    /// What each peer says of itself.
    pub(super) about: BTreeMap<String, String>,
    /// When and on what was measured, the earliest first.
    pub(super) machines: Vec<Value>,
}

impl Results {
    /// Reads all files of a folder.
    pub(super) fn load(folder: &Path) -> Result<Self> {
        let mut found = Self::default();
        let mut names: Vec<_> = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
        // Ours in the order in which they run, then the peers.
        let place =
            |name: &str| super::PARTS.iter().position(|part| name.strip_suffix(".jsonl") == Some(*part));
        names.sort_by_key(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (place(&name).unwrap_or(usize::MAX), name)
        });
        for entry in names {
            let text = fs::read_to_string(entry.path())?;
            for line in text.lines() {
                found
                    .take(serde_json::from_str(line).with_context(|| format!("{}", entry.path().display()))?);
            }
        }
        found.machines.sort_by_key(|machine| machine.get("at").and_then(Value::as_str).map(str::to_owned));
        Ok(found)
    }

    pub(super) fn take(&mut self, line: Value) {
        let text = |field: &str| line.get(field).and_then(Value::as_str).map(str::to_owned);
        if let Some(machine) = line.get("machine") {
            self.machines.push(machine.clone());
        } else if let (Some(who), Some(about)) = (text("who"), text("about")) {
            self.about.insert(who, about);
        } else if let (Some(who), Some(workload)) = (text("who"), text("workload")) {
            self.rows.push(Row { who, workload, fields: line });
        }
    }

    /// What somebody measured of a workload.
    pub(super) fn of(&self, who: &str, workload: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.who == who && row.workload == workload)
    }

    /// Our rows in the order in which they were measured.
    pub(super) fn ours(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.who == OURS)
    }
}

/// Who we are in rows.
pub(super) const OURS: &str = "barkeeper";

/// Runs a part or a peer, shows what it prints and keeps it; what came before a failure is kept as well.
pub(super) fn keep(folder: &Path, name: &str, command: &mut Command, longest: Duration) -> Result<()> {
    println!("xtask bench: {name}");
    let begun = Instant::now();
    let machine = machine();
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {name}"))?;
    let output = child.stdout.take().context("no output")?;
    let (sender, lines) = channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut text = format!("{}\n", json!({ "machine": machine }));
    let late = loop {
        match lines.recv_timeout(longest.saturating_sub(begun.elapsed())) {
            Ok(line) => {
                println!("{line}");
                if line.starts_with('{') {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if late {
        child.kill().context("cannot end it")?;
    }
    let status = child.wait()?;
    reader.join().ok().context("a reader panicked")?;
    let mut file = fs::File::create(folder.join(format!("{name}.jsonl")))?;
    file.write_all(text.as_bytes())?;
    println!("xtask bench: {name}: {:.0} s", begun.elapsed().as_secs_f64());
    if late {
        bail!("ended after {} s", longest.as_secs());
    }
    if status.success() { Ok(()) } else { bail!("{status}") }
}

/// When and on what is measured.
fn machine() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let line_of = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let kilobytes = line_of(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kilobytes: u64 = kilobytes.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    json!({
        "at": jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string(),
        "cores": thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "cpu": line_of(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "memory_gb": kilobytes / 1_000_000,
        "system": format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
        "load": read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse::<f64>().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind_are_taken() {
        let mut results = Results::default();
        for line in [
            json!({"machine": {"at": "2026-01-05 10:00"}}),
            json!({"who": "sqlite", "about": "sqlite 3"}),
            json!({"who": "sqlite", "workload": "last_60", "median_ns": 5}),
            json!({"who": "barkeeper", "workload": "last_60", "median_ns": 1, "reached": true}),
        ] {
            results.take(line);
        }
        assert_eq!(results.of("sqlite", "last_60").and_then(Row::median), Some(5.0));
        assert_eq!(results.ours().next().and_then(Row::reached), Some(true));
        assert_eq!((results.about.len(), results.machines.len()), (1, 1));
    }

    #[test]
    fn what_a_child_printed_is_kept() {
        let folder = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("cargo");
        command.arg("--version");
        keep(&folder, "one", &mut command, Duration::from_secs(60)).unwrap();
        let text = fs::read_to_string(folder.join("one.jsonl")).unwrap();
        assert!(text.starts_with("{\"machine\":") && text.lines().count() == 1, "{text}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
