//! `barkeeper sync check`: whether a target holds what the store holds.

use std::sync::atomic::AtomicBool;

use barkeeper_host::{Target, TargetName};
use barkeeper_sync::CheckOptions;
use clap::Args;

use super::compared;
use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;

/// Prove by digest that a target holds what the store holds
///
/// Reads every row there and hashes it again, so that a column that was edited by hand is found. Ends with
/// 0 when they agree, 1 when they differ, 5 when it could not be told, 6 when the target cannot be reached.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Which
    target: TargetName,
    /// Compare digests only: proves which rows are there, and not that nobody edited them
    #[arg(long)]
    shallow: bool,
}

impl Check {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let mut target = Target::to_compare(&opened, &self.target)?;
        let options = CheckOptions { deep: !self.shallow, ..CheckOptions::default() };
        let report = target.check(&options, &AtomicBool::new(false))?;
        target.close()?;
        compared(&report, &self.target, context, out)
    }
}
