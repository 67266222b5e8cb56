//! `claviger doctor`.

mod checks;
mod machine;
mod module;
mod needs;
mod rights;
mod softhsm;
pub(crate) mod token;
mod vault;

pub(crate) use checks::Checks;
pub(crate) use machine::clock;
pub(crate) use module::look_into;
pub(crate) use token::{duplicates, pins, unfinished};

use crate::{config::Config, context::Context, error::CliError};
use claviger_token::Uri;

const EXAMPLES: &str = "\
Examples:
  claviger doctor
  claviger doctor --json

Looks for the usual trouble, from the configuration to the vault, and says what to type. Changes nothing. A PIN is asked \
for only on a terminal. Exits with the code of the first check that failed.";

/// Look for what keeps claviger from working, and say what to do
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    let mut checks = Checks::default();
    machine::process(&mut checks);
    clock(&mut checks);
    let path = context.config_path();
    if let Some(config) = checks.need("configuration", path.and_then(|path| Ok((Config::read(&path)?, path))))
    {
        let (config, path) = config;
        checks.ok("configuration", path.to_string_lossy());
        vault::anchors(&mut checks, &config);
        if let Ok(directory) = context.paths().audit(config.vault) {
            vault::audit(&mut checks, &directory);
        }
        let store = checks.need("store", claviger_store::open_url(&config.store));
        if store.is_some() {
            checks.ok("store", config.store.as_str());
        }
        if let Some(uri) = checks.need("token", config.token.uri.parse::<Uri>())
            && token::of_uri(&mut checks, &uri, context).is_some()
            && let Some(opened) = vault::key(&mut checks, &config, &uri, context)
            && store.is_some()
        {
            vault::vault(&mut checks, &config, opened, context);
        }
        vault::backups(&mut checks, &config, context);
    }
    checks.tell(context)
}
