//! `claviger get`.

use crate::{
    args,
    context::Context,
    error::CliError,
    output::{self, json},
};
use claviger_gate::Credential;
use claviger_types::{Reference, SecretBytes};

const EXAMPLES: &str = "\
Examples:
  claviger get openai                        the API key, nothing else
  claviger get google                        all its fields as JSON
  claviger get google --field access_token   one field, without quotes
  claviger get openai --version 2            an earlier version
  export OPENAI_API_KEY=\"$(claviger get openai)\"

A newline follows the value on a terminal only, so that a pipe gets exactly the value's bytes.";

/// Print a credential's value
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The credential: SERVICE or SERVICE/NAME
    #[arg(value_name = "REF", value_parser = args::reference)]
    reference: Reference,
    /// An earlier version
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// One field alone
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let credential = context.open()?.get(&args.reference, args.version)?;
    let (secret, whole_line) = shown(credential, args.field.as_deref(), context.json())?;
    if whole_line { output::print_bytes(&secret) } else { output::print_secret(&secret) }
}

/// What is printed, and whether it is text with a newline of its own.
fn shown(
    mut credential: Credential,
    field: Option<&str>,
    as_json: bool,
) -> Result<(SecretBytes, bool), CliError> {
    if let Some(name) = field {
        let Some(value) = credential.value.fields.remove(name) else {
            return Err(CliError::NoField {
                field: name.to_owned(),
                present: credential.value.fields.into_keys().collect(),
            });
        };
        if !as_json {
            return Ok((json::raw_field(&value), false));
        }
        credential.value.fields = [(name.to_owned(), value)].into();
    }
    if as_json {
        return Ok((json::credential(&credential), true));
    }
    if let Some(value) =
        credential.value.kind.single_field().and_then(|name| credential.value.fields.get(name))
    {
        return Ok((json::raw_field(value), false));
    }
    let mut fields = json::fields(&credential.value.fields);
    fields.extend(b"\n");
    Ok((fields, true))
}

#[cfg(test)]
mod tests;
