//! `barkeeper sync`: copies of the store in other databases.

mod add;
mod check;
mod mode;
mod remove;
mod repair;
mod resolve;
mod run;
mod status;

use barkeeper_host::{Opened, SyncProgress, Target, TargetName};
use barkeeper_sync::{CheckReport, Reached, State, TargetStatus, Verdict};
use clap::Subcommand;

use crate::cli::Out;
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Record};
use crate::progress::Progress;

/// Copies of the store in other databases: bring up, compare, mend
#[derive(Debug, Subcommand)]
pub(crate) enum Sync {
    Add(add::Add),
    Run(run::Run),
    Status(status::Status),
    Check(check::Check),
    Repair(repair::Repair),
    Mode(mode::SetMode),
    Resolve(resolve::Resolve),
    Remove(remove::Remove),
}

impl Sync {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::Add(command) => command.run(context, out),
            Self::Run(command) => command.run(context, out),
            Self::Status(command) => command.run(context, out),
            Self::Check(command) => command.run(context, out),
            Self::Repair(command) => command.run(context, out),
            Self::Mode(command) => command.run(context, out),
            Self::Resolve(command) => command.run(context, out),
            Self::Remove(command) => command.run(context, out),
        }
    }
}

/// The target that is meant: the one that was named, else all.
fn targets(opened: &Opened, named: Option<&TargetName>) -> anyhow::Result<Vec<Target>> {
    let names: Vec<TargetName> = match named {
        Some(name) => vec![name.clone()],
        None => opened.config.targets.keys().cloned().collect(),
    };
    if names.is_empty() {
        return Err(crate::failure::Failure::new(Exit::NotFound, "no target is configured")
            .hint("`barkeeper sync add replica --sqlite FILE` adds one")
            .into());
    }
    names.iter().map(|name| Ok(Target::new(opened, name)?)).collect()
}

/// A progress bar of a run.
fn bar(context: &Context) -> (Progress, fn(&Progress, SyncProgress)) {
    (Progress::new(context, "commits"), |bar, at| bar.set(at.at, at.head))
}

/// How a run ended.
fn exit_of(reached: &Reached, target: &Target) -> Exit {
    match reached {
        Reached::Current => Exit::Done,
        Reached::Waiting { .. } if target.is_unreachable() => Exit::Unreachable,
        Reached::Blocked if target.status().state == State::LocalOnly => Exit::Done,
        _ => Exit::Findings,
    }
}

/// Says why a target is not current.
fn explain(status: &TargetStatus, context: &Context) {
    let why = status.history.last().map_or("", |last| last.why.as_str());
    if let State::Quarantine(_) = status.state {
        context.warn(format_args!("{}: a person has to decide: {why}", status.target));
        context.say("hint: `barkeeper sync resolve --help` lists what can be decided");
    } else if status.state == State::LocalOnly {
        context.say(format_args!("{} is switched off (local-only).", status.target));
    } else {
        context.warn(format_args!("{}: {why}", status.target));
    }
}

/// Prints a comparison and answers how the program ends.
fn compared(
    report: &CheckReport,
    target: &TargetName,
    context: &Context,
    out: Out<'_>,
) -> anyhow::Result<Exit> {
    if context.format == Format::Json {
        output::json(out, report)?;
    } else {
        output::record(out, context.format, &check_record(report, target))?;
    }
    let kinds = report.kinds;
    if report.verdict == Verdict::Differ {
        context.warn(format_args!("{} not the same there", counted(kinds.total(), "row")));
        for one in report.differences.iter().take(20) {
            let line = serde_json::to_string(one)?;
            context.say(format_args!("  {line}"));
        }
        if report.differences.len() > 20 {
            context.say("  and more; --format json lists them");
        }
        context
            .say(format_args!("hint: `barkeeper sync repair {target} --dry-run` shows what would be mended"));
    }
    Ok(match report.verdict {
        Verdict::Agree => Exit::Done,
        Verdict::Differ => Exit::Findings,
        Verdict::CouldNotTell => Exit::Unknown,
    })
}

fn check_record(report: &CheckReport, target: &TargetName) -> Record {
    let verdict = match report.verdict {
        Verdict::Agree => "agree",
        Verdict::Differ => "differ",
        Verdict::CouldNotTell => "could not tell",
    };
    let kinds = report.kinds;
    let count = Cell::Count;
    vec![
        ("target", Cell::text(target)),
        ("verdict", Cell::text(verdict)),
        ("deep", Cell::Bool(report.deep)),
        ("rows_here", count(report.rows_here)),
        ("rows_there", count(report.rows_there)),
        ("buckets_agreeing", count(report.agreeing)),
        ("buckets_differing", count(report.differing.len() as u64)),
        ("buckets_unsettled", count(report.unsettled.len() as u64)),
        ("missing_there", count(kinds.missing_there)),
        ("extra_there", count(kinds.extra_there)),
        ("older_there", count(kinds.older_there)),
        ("newer_there", count(kinds.newer_there)),
        ("edited_there", count(kinds.same_version_other_content + kinds.derived)),
    ]
}
