//! `barkeeper`: the command line. It reads arguments, asks the store, and prints; nothing else.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to people and to pipes is what it is for"
)]

mod cli;
mod commands;
mod context;
mod env;
mod exit;
mod failure;
mod output;
mod progress;
mod values;
mod warnings;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output::Encoder;

/// redb panics on some damaged pages, polars on some queries. The engine makes errors of that, which are told with a
/// hint; the panic itself says nothing to people.
fn silence_panics() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info
            .location()
            .is_some_and(|place| ["redb-", "polars-"].iter().any(|one| place.file().contains(one)))
        {
            loud(info);
        }
    }));
}

fn main() -> ExitCode {
    silence_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout and is no failure; a closed pipe is none either.
            error.print().unwrap_or_default();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let context = cli.context();
    warnings::show(cli.context());
    let mut out = io::BufWriter::new(Encoder::new(io::stdout().lock(), cli.encoding()));
    let result = cli.command.run(&context, &mut out).and_then(|exit| Ok(out.flush().map(|()| exit)?));
    match result {
        Ok(exit) => exit.into(),
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => {
            drop(out.into_parts());
            Exit::Done.into()
        }
        Err(error) => {
            out.flush().unwrap_or_default();
            context.fail(&error);
            failure::exit(&error).into()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let of = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(of)
}
