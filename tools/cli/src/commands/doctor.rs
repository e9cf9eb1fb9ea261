//! `barkeeper doctor`: is this machine, this folder and this store fit to be relied on?

use std::path::PathBuf;

use barkeeper_host::doctor::{CheckState, DoctorReport, DoctorSettings, examine, write_bundle};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, counted, shown};
use crate::env;
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};
use crate::progress::Progress;

/// Look at the machine, the folder and the store, and say what to do about what is found
///
/// The folder and its disk, free space, the time of a rename and of a flush, the clock, who has the store, its
/// bytes and files, the last backup and its last test, the targets. Works while another process has the store,
/// and says what it could not see. Ends with 0 when nothing failed, 7 when bytes are damaged, 1 otherwise.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Read everything that is stored
    #[arg(long)]
    full: bool,
    /// The same as --format json
    #[arg(long)]
    json: bool,
    /// Write what was seen to a new zip file to hand to others: without accounts, trades, positions and paths
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

impl Doctor {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let settings = DoctorSettings {
            folder: context.folder()?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            full: self.full,
            cloud_folders: env::cloud_folders(),
            with_store: context.with_store(),
        };
        let bar = Progress::new(context, "parts");
        let report = examine(&settings, &mut |done, all| bar.set(done, all));
        drop(bar);
        if self.json || context.format == Format::Json {
            output::json(out, &report)?;
        } else {
            output::rows(out, context.format, &rows(&report))?;
            for check in report.checks.iter().filter(|check| check.state != CheckState::Ok) {
                if let Some(hint) = &check.hint {
                    context.say(format_args!("hint: {}: {hint}", check.name));
                }
            }
        }
        if let Some(path) = &self.bundle {
            write_bundle(&report, &settings, env::home().as_deref(), path)?;
            context.say(format_args!("{} was written; look into it before you hand it on.", shown(path)));
        }
        let failed = report.count(CheckState::Failed);
        context.say(format_args!(
            "{}, {}, {} skipped.",
            if failed == 0 { "nothing failed".to_owned() } else { format!("{failed} failed") },
            counted(report.count(CheckState::Warning), "warning"),
            report.count(CheckState::Skipped)
        ));
        Ok(match failed {
            0 => Exit::Done,
            _ if report.is_damaged() => Exit::Damaged,
            _ => Exit::Findings,
        })
    }
}

fn rows(report: &DoctorReport) -> Rows {
    let mut rows = Rows::new(["check", "state", "detail"]);
    for check in &report.checks {
        rows.push([Cell::text(check.name), Cell::text(check.state.as_str()), Cell::text(&check.detail)]);
    }
    rows
}
