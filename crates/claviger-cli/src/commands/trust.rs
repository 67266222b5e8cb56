//! `claviger trust`.

use crate::{args, context::Context, error::CliError, open, output};
use claviger_types::Digest;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  claviger verify                 shows the digest of the head in the store
  claviger trust --head DIGEST    accepts it, and nothing older from now on
  claviger trust FINGERPRINT      accepts a new vault key, that another host made

A fingerprint: only after comparing it with what `claviger status` shows on the host that replaced the vault key. A head: only for a vault that you put back yourself, knowing what was written since is lost. Who else could have put an older \
copy there could also give you back a key that was revoked.";

/// Accept a vault that this host has seen newer or different before
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The fingerprint of the vault key to accept
    #[arg(value_name = "FINGERPRINT", value_parser = args::digest, required_unless_present = "head")]
    fingerprint: Option<Digest>,
    /// The digest of the head to accept
    #[arg(long, value_name = "DIGEST", value_parser = args::digest)]
    head: Option<Digest>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let api = match (args.fingerprint, args.head) {
        (Some(fingerprint), head) => open::trusting_key(config, context, fingerprint, head)?,
        (None, Some(head)) => open::trusting(config, context, head)?,
        (None, None) => return Err(CliError::usage("nothing to trust", "give a fingerprint or --head")),
    };
    let status = api.status()?;
    if context.json() {
        return output::print_json(&json!({
            "head": status.head.to_string(),
            "epoch": status.epoch,
            "fingerprint": status.fingerprint.to_string(),
        }));
    }
    if let Some(fingerprint) = args.fingerprint {
        output::print(&format!("this host now trusts the vault key {fingerprint}\n"))?;
    }
    output::print(&format!("this host now trusts the head {}, epoch {}\n", status.head, status.epoch))
}
