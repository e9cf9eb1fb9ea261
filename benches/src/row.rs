//! `Row`: one measured workload, printed as one JSON object a line.

use serde::Serialize;

use crate::goals::{Of, goal};
use crate::measure::{Timing, resident_mb};

/// What a workload is compared with, measured in the same run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    pub(crate) what: &'static str,
    pub(crate) timing: Timing,
}

/// A measured workload.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    who: &'static str,
    workload: &'static str,
    what: String,
    n: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    median_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    rss_mb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_reach: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl Row {
    fn empty(workload: &'static str, what: impl Into<String>) -> Self {
        Self {
            who: "barkeeper",
            workload,
            what: what.into(),
            n: 1,
            median_ns: None,
            p99_ns: None,
            most_ns: None,
            value: None,
            unit: None,
            floor: None,
            floor_ns: None,
            ratio: None,
            rss_mb: resident_mb(),
            to_reach: None,
            reached: None,
            why: None,
        }
    }

    /// A row of times.
    pub(crate) fn of(workload: &'static str, what: impl Into<String>, timing: Timing) -> Self {
        let empty = Self::empty(workload, what);
        let (median, p99, most) = (timing.median_ns, timing.p99_ns, timing.most_ns);
        Self { n: timing.calls, median_ns: Some(median), p99_ns: Some(p99), most_ns: Some(most), ..empty }
    }

    /// A row of something that is no time.
    pub(crate) fn value(
        workload: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self { value: Some(rounded(value)), unit: Some(unit), ..Self::empty(workload, what) }
    }

    /// Puts a floor beside it.
    pub(crate) fn beside(mut self, floor: Floor) -> Self {
        self.floor = Some(floor.what);
        self.floor_ns = Some(floor.timing.median_ns);
        self.ratio = self.median_ns.map(|ns| rounded(ns as f64 / floor.timing.median_ns.max(1) as f64));
        self
    }

    /// Says how many measurements stand behind a value.
    pub(crate) const fn out_of(mut self, n: usize) -> Self {
        self.n = n;
        self
    }

    /// Compares the row with its goal and prints it.
    #[allow(clippy::print_stdout, reason = "a bench prints what it measured")]
    pub(crate) fn print(mut self) -> anyhow::Result<()> {
        if let Some(goal) = goal(self.workload) {
            let found = match goal.of {
                Of::Median => self.median_ns.map(|ns| ns as f64),
                Of::Ratio => self.ratio,
                Of::Value => self.value,
            };
            let reached =
                found.map(|found| if goal.at_least { found >= goal.limit } else { found <= goal.limit });
            self.to_reach = Some(format!("{} {}", if goal.at_least { ">=" } else { "<=" }, goal.text));
            self.reached = reached;
            self.why = (reached == Some(false) && !goal.why.is_empty()).then_some(goal.why);
        }
        println!("{}", serde_json::to_string(&self)?);
        Ok(())
    }
}
