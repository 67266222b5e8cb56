//! `claviger rollback`.

use crate::{args, commands::set, context::Context, error::CliError};
use claviger_types::Reference;

const EXAMPLES: &str = "\
Examples:
  claviger history openai       which versions there are
  claviger rollback openai 3    make version 3's value the newest version";

/// Make an earlier version's value the newest version
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The credential: SERVICE or SERVICE/NAME
    #[arg(value_name = "REF", value_parser = args::reference)]
    reference: Reference,
    /// The version to go back to
    #[arg(value_name = "N")]
    to: u64,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let written = context.open()?.rollback(&args.reference, args.to)?;
    set::report(&written, context)
}
