//! The composition root: configuration -> store -> PIN -> token -> vault -> policy and audit log -> gate.

use crate::{config::Config, context::Context, error::CliError};
use claviger_gate::Api;

/// The vault that the configuration names, behind its gate.
pub(crate) fn vault(_config: &Config, _context: &Context) -> Result<Box<dyn Api>, CliError> {
    Err(CliError::usage("not yet", "wait"))
}

/// The same, also where an anchor says that it was rolled back.
pub(crate) fn vault_to_inspect(_config: &Config, _context: &Context) -> Result<Box<dyn Api>, CliError> {
    Err(CliError::usage("not yet", "wait"))
}
