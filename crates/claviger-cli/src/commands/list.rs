//! `claviger list`.

use crate::{
    args,
    context::Context,
    error::CliError,
    output::{self, text},
};
use claviger_gate::{CredentialInfo, VersionState};
use claviger_types::ServiceName;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  claviger list               everything
  claviger list openai        one service
  claviger list --json        for programs: [] when there is nothing";

/// Show which credentials there are, without their values
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only this service
    #[arg(value_name = "SERVICE", value_parser = args::service)]
    service: Option<ServiceName>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let credentials = context.open()?.list(args.service.as_ref())?;
    if context.json() {
        return output::print_json(&as_json(&credentials));
    }
    output::print(&as_text(&credentials))
}

fn as_json(credentials: &[CredentialInfo]) -> Value {
    let line = |info: &CredentialInfo| {
        json!({
            "service": info.service.as_str(),
            "name": info.name.as_str(),
            "kind": info.kind.name(),
            "version": info.current,
        })
    };
    credentials.iter().map(line).collect()
}

fn as_text(credentials: &[CredentialInfo]) -> String {
    let row = |info: &CredentialInfo| {
        let hidden = info.newest().filter(|newest| newest.state != VersionState::Live);
        let state = hidden.map_or_else(String::new, |newest| format!(" ({})", newest.state.name()));
        vec![text::reference(&info.reference()), info.kind.to_string(), format!("{}{state}", info.current)]
    };
    text::table(&credentials.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
