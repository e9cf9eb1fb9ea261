//! `barkeeper backup restore`: a backup becomes the store.

use std::path::{Path, PathBuf};

use barkeeper::{
    BackupRepository, DatasetChange, Finding, RestoreOptions, RestorePlan, TestOutcome, UndoPlan,
    former_states,
};
use barkeeper_host::{Config, Restored, SystemClock, restore_backup, store_options};
use barkeeper_records::Clock as _;
use barkeeper_sync::Mode;
use clap::Args;

use super::{From, time};
use crate::cli::Out;
use crate::context::{Context, PROGRAM, agree, counted, shown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Cell, Format, Rows};
use crate::progress::Progress;

/// Put a backup in place of the store, or into another folder
///
/// Everything is copied beside and checked before anything changes; killed at any moment, the store is the old
/// one or the restored one. What it replaces is kept, and the command that brings it back is printed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Restore {
    /// Which: a name, a number, or latest; with --undo a former state, such as before-restore-0001
    #[arg(required_unless_present = "undo")]
    backup: Option<String>,
    #[command(flatten)]
    from: From,
    /// The folder to restore into [default: the store's own]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Restore into a folder that is not empty
    #[arg(long)]
    force: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Put back what the last restore has replaced, or the former state that is named; asks where commits were made
    /// since
    #[arg(long, conflicts_with = "force")]
    undo: bool,
    /// Do not ask
    #[arg(long, requires = "undo")]
    yes: bool,
}

impl Restore {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let into = match &self.to {
            Some(folder) => folder.clone(),
            None => context.folder()?,
        };
        let (repository, config) = self.from.open(context)?;
        let Some(backup) = self.backup.as_ref().filter(|_| !self.undo) else {
            return self.take_back(&repository, &config, &into, context, out);
        };
        if self.dry_run {
            let bar = Progress::new(context, "parts");
            let options = store_options(&config, PROGRAM);
            let plan = repository.plan_restore(backup, &into, options, &mut |at, all| bar.set(at, all))?;
            drop(bar);
            print_plan(&plan, config.calendar.zone(), context, out)?;
            let known = repository.list()?.into_iter().find(|one| one.name == plan.backup);
            let tested = known.and_then(|one| one.tested).map(|test| test.outcome);
            if let Some(TestOutcome::Failed { file, detail }) = tested {
                context.warn(format_args!("this backup was found bad: {file}: {detail}"));
                return Ok(Exit::Damaged);
            }
            return Ok(Exit::Done);
        }
        let bar = Progress::new(context, "bytes");
        let options = RestoreOptions { force: self.force };
        let done = restore_backup(&repository, backup, &into, options, &mut |at, all| bar.set(at, all));
        drop(bar);
        let restored = done.map_err(|error| match error {
            barkeeper_host::BackupFailure::Backup(barkeeper::BackupError::NotEmpty { path }) if path == into => {
                Failure::new(Exit::Findings, format!("{} is not empty", path.display()))
                    .hint("--dry-run shows what would change; --force restores and keeps the former state aside")
                    .into()
            }
            other => anyhow::Error::from(other),
        })?;
        self.print(&restored, context, out)?;
        Ok(Exit::Done)
    }

    /// Undoes the last restore.
    fn take_back(
        &self,
        repository: &BackupRepository,
        config: &Config,
        into: &Path,
        context: &Context,
        out: Out<'_>,
    ) -> anyhow::Result<Exit> {
        let bar = Progress::new(context, "parts");
        let options = store_options(config, PROGRAM);
        let former = self.backup.as_deref();
        let plan = repository.plan_undo(into, former, options, true, &mut |at, all| bar.set(at, all))?;
        drop(bar);
        if self.dry_run {
            print_undo(&plan, context, out)?;
            return Ok(Exit::Done);
        }
        warn_of_undo(&plan, context);
        if plan.commits != Some(0) {
            let lost = plan.commits.map_or_else(
                || "What was committed since the restore".to_owned(),
                |commits| format!("{} made since the restore", counted(commits, "commit")),
            );
            if !agree(&format!("{lost} would be taken away, and kept aside."), self.yes)? {
                context.say("Nothing was changed.");
                return Ok(Exit::Findings);
            }
        }
        let kept = repository.undo_restore_to(into, former, SystemClock.now())?;
        let kept_cell = Cell::maybe(kept.as_ref(), |kept| Cell::text(kept.display()));
        let count = |lsn: Option<barkeeper_records::Lsn>| Cell::maybe(lsn, |lsn| Cell::Count(lsn.0));
        let record = vec![
            ("into", Cell::text(into.display())),
            ("lsn", count(plan.lsn_then)),
            ("lsn_before", count(plan.lsn_now)),
            ("former_state", kept_cell),
        ];
        output::record(out, context.format, &record)?;
        context.say(if former.is_some() {
            format!("{} is back.", shown(&plan.former))
        } else {
            "The state before the last restore is back.".to_owned()
        });
        if config.targets.values().any(|target| target.mode != Mode::LocalOnly) {
            self.say_targets(context);
        }
        self.say_undo(kept.as_deref(), context);
        Ok(Exit::Done)
    }

    fn say_targets(&self, context: &Context) {
        context.say(format_args!(
            "Targets that hold newer commits are not touched before you decide: `barkeeper sync run{}` tells.",
            self.store_option(context)
        ));
    }

    fn print(&self, restored: &Restored, context: &Context, out: Out<'_>) -> anyhow::Result<()> {
        let report = &restored.report;
        if context.format == Format::Json {
            output::json(out, restored)?;
        } else {
            let record = vec![
                ("backup", Cell::text(&report.backup)),
                ("into", Cell::text(report.into.display())),
                ("lsn", Cell::Count(report.lsn.0)),
                ("epoch", Cell::Count(report.epoch)),
                ("next_lsn", Cell::Count(report.next_behind.0 + 1)),
                ("files", Cell::Count(report.files)),
                ("bytes", Cell::Count(report.bytes)),
                ("former_state", Cell::maybe(report.safety_copy.as_ref(), |kept| Cell::text(kept.display()))),
            ];
            output::record(out, context.format, &record)?;
        }
        context.say(format_args!(
            "Commits go on at LSN {}: no number is given twice, so that targets can tell what was made after the backup.",
            report.next_behind.0 + 1
        ));
        let store = self.store_option(context);
        for target in &restored.switched_off {
            context.say(format_args!(
                "Target {target} is switched off (local-only): the store that was backed up may still send to it. \
                 If this one goes on: barkeeper sync mode {target} replicate{store}"
            ));
        }
        if restored.switched_off.is_empty() && !restored.targets.is_empty() {
            self.say_targets(context);
        }
        self.say_undo(report.safety_copy.as_deref(), context);
        Ok(())
    }

    fn say_undo(&self, kept: Option<&Path>, context: &Context) {
        if let Some(kept) = kept {
            let to = self
                .to
                .as_ref()
                .map_or_else(|| self.store_option(context), |to| format!(" --to {}", shown(to)));
            let remove = format!("`barkeeper trash --empty --former-states{}`", self.store_option(context));
            if kept.join("store.redb").is_file() {
                context.say(format_args!(
                    "The former state is kept in {} until {remove}.\nundo: barkeeper backup restore --undo{to}",
                    shown(kept)
                ));
            } else {
                context.say(format_args!(
                    "There was no store.redb; the files that were there are kept in {} until {remove}.",
                    shown(kept)
                ));
                let states = kept.parent().and_then(|folder| former_states(folder).ok()).unwrap_or_default();
                if let Some(state) = states.iter().rfind(|state| state.undoable) {
                    context.say(format_args!(
                        "An earlier former state goes back further: barkeeper backup restore --undo {}{to}",
                        state.name
                    ));
                }
            }
        }
    }

    /// `--store DIR` where the command line named one.
    fn store_option(&self, context: &Context) -> String {
        let named = self.to.as_deref().map(Path::to_owned).or_else(|| context.folder().ok());
        named.map_or_else(String::new, |folder| format!(" --store {}", shown(&folder)))
    }
}

fn print_plan(plan: &RestorePlan, zone: &'static str, context: &Context, out: Out<'_>) -> anyhow::Result<()> {
    if context.format == Format::Json {
        output::json(out, plan)?;
        return Ok(());
    }
    let mut rows = Rows::new(["what", "now", "then", "same"]);
    rows.push([
        Cell::text("lsn"),
        Cell::maybe(plan.lsn_now, |lsn| Cell::Count(lsn.0)),
        Cell::Count(plan.lsn_then.0),
        Cell::Bool(plan.lsn_now == Some(plan.lsn_then)),
    ]);
    push_changes(&mut rows, &plan.datasets);
    output::rows(out, context.format, &rows)?;
    if let Some(why) = &plan.unreadable {
        context.warn(format_args!("what is stored now cannot be read: {why}"));
    } else {
        warn_of(&plan.findings, "what is stored now", context);
    }
    context.say(format_args!(
        "Nothing was changed. {} was made at {}.",
        plan.backup,
        time(plan.at, zone).for_people()
    ));
    Ok(())
}

fn warn_of(findings: &[Finding], what: &str, context: &Context) {
    if let Some(first) = findings.first() {
        let count = counted(findings.len(), "finding");
        context.warn(format_args!(
            "{what} does not verify: {count}, the first: {}: {}",
            first.place, first.detail
        ));
    }
}

fn warn_of_undo(plan: &UndoPlan, context: &Context) {
    if let Some(why) = &plan.unreadable {
        context.warn(format_args!("it cannot all be read: {why}"));
    } else {
        warn_of(&plan.findings, "what would come back", context);
    }
}

fn push_changes(rows: &mut Rows, datasets: &[DatasetChange]) {
    for one in datasets {
        rows.push([
            Cell::text(&one.dataset),
            Cell::maybe(one.now, Cell::Count),
            Cell::Count(one.then),
            Cell::maybe(one.same, Cell::Bool),
        ]);
    }
}

fn print_undo(plan: &UndoPlan, context: &Context, out: Out<'_>) -> anyhow::Result<()> {
    if context.format == Format::Json {
        output::json(out, plan)?;
        return Ok(());
    }
    let mut rows = Rows::new(["what", "now", "then", "same"]);
    rows.push([
        Cell::text("lsn"),
        Cell::maybe(plan.lsn_now, |lsn| Cell::Count(lsn.0)),
        Cell::maybe(plan.lsn_then, |lsn| Cell::Count(lsn.0)),
        Cell::Bool(plan.lsn_now.is_some() && plan.lsn_now == plan.lsn_then),
    ]);
    push_changes(&mut rows, &plan.datasets);
    output::rows(out, context.format, &rows)?;
    warn_of_undo(plan, context);
    if let Some(commits) = plan.commits {
        context
            .say(format_args!("{} made since the restore would be taken away.", counted(commits, "commit")));
    }
    context.say(format_args!("Nothing was changed. The former state is in {}.", shown(&plan.former)));
    Ok(())
}
