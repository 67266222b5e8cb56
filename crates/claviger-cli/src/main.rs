//! The `claviger` program: parsing, prompts, output and exit codes around [`claviger_gate::Api`].

mod args;
mod attendant;
mod commands;
mod config;
mod context;
mod enrol;
mod error;
mod host;
mod hygiene;
mod modules;
mod open;
mod output;
mod paths;
mod pin;
mod progress;
mod prompt;
mod report;
mod trace;
mod turns;

use crate::{args::Cli, context::Context, error::CliError};
use clap::Parser as _;
use std::{ffi::OsStr, process::ExitCode};
use zeroizing_alloc::ZeroAlloc;

/// Every buffer is wiped when it is freed, so that those of libraries leave nothing either.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<mimalloc::MiMalloc> = ZeroAlloc(mimalloc::MiMalloc);

fn main() -> ExitCode {
    hygiene::harden();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    trace::start(cli.global.verbose);
    let json = cli.global.json;
    match commands::run(cli.command, &Context::new(cli.global)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(report::failure(&error, json)),
    }
}

/// Words that are no command line, or a question for help, which is no error.
fn refused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|word| word == OsStr::new("--json")) {
        let text = error.render().to_string();
        let said =
            text.trim_start_matches("error: ").lines().map(str::trim).take_while(|line| !line.is_empty());
        let error = CliError::usage(said.collect::<Vec<_>>().join(" "), "`--help` shows what can be said");
        return ExitCode::from(report::failure(&error, true));
    }
    // Nobody is left to be told when this fails.
    let _ = error.print();
    ExitCode::from(u8::from(error.use_stderr()) * 2)
}
