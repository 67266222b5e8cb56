//! `claviger status`.

use crate::{
    context::Context,
    error::CliError,
    output::{self, text},
};
use claviger_gate::{RecipientInfo, Status};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  claviger status
  claviger status --json";

/// Show the state of the vault
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let status = context.open()?.status()?;
    if context.json() {
        return output::print_json(&as_json(&status, &config.store));
    }
    output::print(&as_text(&status, &config.store))
}

fn as_json(status: &Status, store: &str) -> Value {
    let recipient = |recipient: &RecipientInfo| {
        json!({
            "id": recipient.id.to_string(),
            "scheme": recipient.scheme.name(),
            "token_label": recipient.token_label,
            "token_serial": recipient.token_serial,
            "local": recipient.local,
        })
    };
    json!({
        "vault": status.vault.to_string(),
        "fingerprint": status.fingerprint.to_string(),
        "store": store,
        "epoch": status.epoch,
        "head": status.head.to_string(),
        "services": status.services,
        "credentials": status.credentials,
        "recipients": status.recipients.iter().map(recipient).collect::<Value>(),
        "warnings": status.warnings,
    })
}

fn as_text(status: &Status, store: &str) -> String {
    let mut rows = vec![
        ("vault", status.vault.to_string()),
        ("fingerprint", status.fingerprint.to_string()),
        ("store", text::plain(store)),
        (
            "contents",
            format!(
                "{} in {}",
                text::count(status.credentials, "credential"),
                text::count(status.services, "service")
            ),
        ),
        ("epoch", status.epoch.to_string()),
        ("head", status.head.to_string()),
    ];
    rows.extend(status.recipients.iter().map(|recipient| ("recipient", recipient_text(recipient))));
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let warnings = status.warnings.iter().map(|warning| format!("warning: {}", text::plain(warning)));
    text::table(&rows) + &text::lines(warnings)
}

fn recipient_text(recipient: &RecipientInfo) -> String {
    format!(
        "{} on token `{}`, serial {}, id {}{}",
        recipient.scheme,
        text::plain(&recipient.token_label),
        text::plain(&recipient.token_serial),
        recipient.id,
        if recipient.local { " (this configuration's)" } else { "" }
    )
}
