//! `barkeeper verify`: reads everything and says what does not fit.

use barkeeper::{Store, VerifyReport};
use barkeeper_host::{Config, store_options};
use clap::Args;

use crate::cli::Out;
use crate::context::{Context, PROGRAM, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};
use crate::progress::Progress;

/// Read everything that is stored, and say what is damaged or does not fit
///
/// Every checksum, every segment, the manifest against the folder, both axes against each other, digests
/// computed anew. Ends with 0 when all is well, 1 when parts do not fit each other, 7 when bytes are damaged.
#[derive(Debug, Args)]
pub(crate) struct Verify {}

impl Verify {
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let folder = context.folder()?;
        let config = Config::load(&folder)?;
        let bar = Progress::new(context, "parts");
        let report =
            Store::verify(&folder, store_options(&config, PROGRAM), &mut |done, all| bar.set(done, all))?;
        drop(bar);
        print(&report, context, out)?;
        let damaged = report.findings.iter().any(|finding| finding.damage);
        Ok(match report.findings.len() {
            0 => Exit::Done,
            _ if damaged => Exit::Damaged,
            _ => Exit::Findings,
        })
    }
}

fn print(report: &VerifyReport, context: &Context, out: Out<'_>) -> anyhow::Result<()> {
    match context.format {
        Format::Json => output::json(out, report)?,
        Format::Table => {
            let record = vec![
                ("lsn", Cell::Count(report.lsn.0)),
                ("values", Cell::Count(report.values)),
                ("segments", Cell::Count(report.segments)),
                ("segment_bytes", Cell::Count(report.segment_bytes)),
                ("bars", Cell::Count(report.bars)),
                ("trades", Cell::Count(report.trades)),
                ("positions", Cell::Count(report.positions)),
                ("buckets", Cell::Count(report.buckets)),
                ("findings", Cell::Count(report.findings.len() as u64)),
            ];
            output::record(out, context.format, &record)?;
            if !report.findings.is_empty() {
                writeln!(out)?;
                output::rows(out, context.format, &findings(report))?;
            }
        }
        Format::Csv | Format::Jsonl => output::rows(out, context.format, &findings(report))?,
    }
    if report.findings.is_empty() {
        context.say("Everything that is stored was read, and all of it fits.");
    } else {
        context.warn(counted(report.findings.len(), "finding"));
        let hint = barkeeper_host::way_on(report, &context.folder()?, &context.with_store());
        context.say(format_args!("hint: {hint}"));
    }
    Ok(())
}

fn findings(report: &VerifyReport) -> Rows {
    let mut rows = Rows::new(["place", "damage", "detail"]);
    for finding in &report.findings {
        rows.push([Cell::text(&finding.place), Cell::Bool(finding.damage), Cell::text(&finding.detail)]);
    }
    rows
}
