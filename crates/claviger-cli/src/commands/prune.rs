//! `claviger prune`.

use crate::{args, commands::set, context::Context, error::CliError, report};
use claviger_types::Reference;

const EXAMPLES: &str = "\
Examples:
  claviger prune openai             keep the newest version only
  claviger prune openai --keep 3

Pruning makes room. It is no erasure: who has an old copy of the store and a token can open what was pruned. `claviger \
destroy` is for that.";

/// Let the oldest versions of a credential go
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The credential: SERVICE or SERVICE/NAME
    #[arg(value_name = "REF", value_parser = args::reference)]
    reference: Reference,
    /// How many of the newest versions stay
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    keep: u32,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let written = context.open()?.prune(&args.reference, args.keep)?;
    set::report(&written, context)?;
    if !written.pruned.is_empty() {
        report::note(
            "pruning is no erasure: `claviger destroy` or `claviger rotate service` make old copies useless",
        );
    }
    Ok(())
}
