//! `barkeeper sync run`: brings targets up, once or for as long as it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Context as _;
use barkeeper_host::{Target, TargetName};
use barkeeper_sync::State;
use clap::Args;

use super::{bar, exit_of, explain, targets};
use crate::cli::Out;
use crate::context::{Context, counted};
use crate::exit::Exit;
use crate::output::{self, Cell, Rows};

/// Bring targets up to the last commit
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Only this one
    target: Option<TargetName>,
    /// Go on until Ctrl-C, and take over changes of barkeeper.toml
    #[arg(long)]
    follow: bool,
}

impl Run {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let targets = targets(&opened, self.target.as_ref())?;
        if self.follow { follow(targets, context) } else { once(targets, context, out) }
    }
}

fn once(targets: Vec<Target>, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
    let mut rows = Rows::new(["target", "state", "lsn", "lag", "rows_sent"]);
    let mut worst = Exit::Done;
    for mut target in targets {
        let (progress, show) = bar(context);
        let mut sent = 0;
        let reached = target.run(&AtomicBool::new(false), &mut |at| {
            sent = at.rows;
            show(&progress, at);
        })?;
        drop(progress);
        let status = target.status();
        // A target that is switched off was not asked where it stands.
        let known = status.state != State::LocalOnly;
        rows.push([
            Cell::text(target.name()),
            Cell::text(barkeeper_host::state_name(&status.state)),
            Cell::maybe(known.then_some(status.acknowledged.0), Cell::Count),
            Cell::maybe(known.then_some(status.lag), Cell::Count),
            Cell::Count(sent),
        ]);
        let exit = exit_of(&reached, &target);
        if exit != Exit::Done || !known {
            explain(&status, context);
        }
        if status.poisoned > 0 {
            context.warn(format_args!(
                "{}: {} refused by the target; `barkeeper sync check {}` names what differs",
                status.target,
                counted(status.poisoned, "row"),
                status.target
            ));
        }
        let exit = if exit == Exit::Done && status.poisoned > 0 { Exit::Findings } else { exit };
        worst = if worst == Exit::Done { exit } else { worst };
        target.close()?;
    }
    output::rows(out, context.format, &rows)?;
    Ok(worst)
}

fn follow(targets: Vec<Target>, context: &Context) -> anyhow::Result<Exit> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed)).context("Ctrl-C cannot be heard")?;
    context.say("Following; Ctrl-C ends it.");
    thread::scope(|scope| {
        let threads: Vec<_> = targets
            .into_iter()
            .map(|mut target| {
                let stop = &stop;
                scope.spawn(move || {
                    target.follow(stop, &mut |status| {
                        let why = status.history.last().map_or("", |last| last.why.as_str());
                        let state = barkeeper_host::state_name(&status.state);
                        context.say(format_args!(
                            "{}: {state}, LSN {} of {}: {why}",
                            status.target, status.acknowledged, status.head
                        ));
                    })
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(done) => done?,
                Err(_) => anyhow::bail!("following a target failed inside the program"),
            }
        }
        Ok(Exit::Done)
    })
}
