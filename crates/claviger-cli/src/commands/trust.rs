//! `claviger trust`.

use crate::{args, context::Context, error::CliError, open, output};
use claviger_types::Digest;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  claviger verify                 shows the digest of the head in the store
  claviger trust --head DIGEST    accepts it, and nothing older from now on

Only for a vault that you put back yourself, knowing what was written since is lost. Who else could have put an older \
copy there could also give you back a key that was revoked.";

/// Accept a vault that this host has seen newer or different before
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The digest of the head to accept
    #[arg(long, value_name = "DIGEST", value_parser = args::digest)]
    head: Digest,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let api = open::trusting(context.config()?, context, args.head)?;
    let status = api.status()?;
    if context.json() {
        return output::print_json(&json!({"head": status.head.to_string(), "epoch": status.epoch}));
    }
    output::print(&format!("this host now trusts the head {}, epoch {}\n", status.head, status.epoch))
}
