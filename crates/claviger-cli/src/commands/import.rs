//! `claviger import`.

use crate::{context::Context, error::CliError};

/// Not yet
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args, _context: &Context) -> Result<(), CliError> {
    Err(CliError::usage("not yet", "wait"))
}
