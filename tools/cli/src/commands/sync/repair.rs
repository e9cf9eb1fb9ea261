//! `barkeeper sync repair`: mends what differs at a target.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use barkeeper_host::{Target, TargetName};
use barkeeper_sync::{RepairOptions, RepairReport, Verdict};
use clap::Args;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell, Format};

/// Send what differs at a target, and nothing else
///
/// What exists only there, or was edited there, is saved to a JSON file first and then replaced: the store
/// is the truth. More than 5 % of a bucket is not mended without --allow-large.
#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Which
    target: TargetName,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Mend also where more than 5 % of a bucket differ
    #[arg(long)]
    allow_large: bool,
    /// Where rows are saved that are replaced or removed [default: a new file below sync/ in the store]
    #[arg(long, value_name = "FILE")]
    save_to: Option<PathBuf>,
}

impl Repair {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let mut target = Target::to_compare(&opened, &self.target)?;
        let options = RepairOptions {
            save_to: self.save_to.clone().unwrap_or_else(|| target.default_save()),
            allow_large: self.allow_large,
            dry_run: self.dry_run,
        };
        let (done, after) = target.repair(&options, &AtomicBool::new(false))?;
        target.close()?;
        print(&done, after.verdict, context, out)?;
        Ok(match after.verdict {
            Verdict::Agree => Exit::Done,
            Verdict::Differ => Exit::Findings,
            Verdict::CouldNotTell => Exit::Unknown,
        })
    }
}

fn print(done: &RepairReport, verdict: Verdict, context: &Context, out: Out<'_>) -> anyhow::Result<()> {
    if context.format == Format::Json {
        output::json(out, done)?;
    } else {
        let record = vec![
            ("dry_run", Cell::Bool(done.dry_run)),
            ("differences", Cell::Count(done.kinds.total())),
            ("written", Cell::Count(done.written)),
            ("removed", Cell::Count(done.removed)),
            ("saved", Cell::Count(done.saved)),
            ("left", Cell::Count(done.left_rows)),
        ];
        output::record(out, context.format, &record)?;
    }
    if let Some(file) = &done.saved_to {
        context.say(format_args!("What was replaced is in {}.", file.display()));
    }
    for left in &done.left {
        context.warn(format_args!(
            "left as it is: {}: {}",
            serde_json::to_string(&left.difference)?,
            left.why
        ));
    }
    context.say(match (done.dry_run, verdict) {
        (true, Verdict::Agree) => "Nothing differs.",
        (true, _) => "Nothing was changed: this was a dry run.",
        (false, Verdict::Agree) => "Store and target agree.",
        (false, _) => "Store and target do not agree yet; run it again.",
    });
    Ok(())
}
