//! `claviger status`.

use crate::{
    context::Context,
    error::CliError,
    output::{self, jobs, text},
};
use claviger_gate::{RecipientInfo, RecipientState, Status};
use serde_json::{Value, json};

/// How many things that are due are shown to people.
const MOST_DUE: usize = 10;

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
    let status = context.open_as_owner()?.status()?;
    if context.json() {
        return output::print_json(&as_json(&status, &config.store));
    }
    output::print(&as_text(&status, &config.store))
}

fn as_json(status: &Status, store: &str) -> Value {
    json!({
        "vault": status.vault.to_string(),
        "fingerprint": status.fingerprint.to_string(),
        "store": store,
        "epoch": status.epoch,
        "head": status.head.to_string(),
        "services": status.services,
        "credentials": status.credentials,
        "recipients": status.recipients.iter().map(jobs::recipient_json).collect::<Value>(),
        "hosts": status.hosts.iter().map(jobs::host_json).collect::<Value>(),
        "backups": status.backups.iter().map(jobs::backup_json).collect::<Value>(),
        "job": status.job.as_ref().map(jobs::job_json),
        "due": status.due.iter().map(jobs::due_json).collect::<Value>(),
        "intervals": {"master_days": status.intervals.0, "service_days": status.intervals.1},
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
    rows.extend(
        status.recipients.iter().filter(|info| shown(info)).map(|info| ("recipient", recipient_text(info))),
    );
    rows.extend(status.hosts.iter().map(|host| {
        let since =
            if host.fingerprint == status.fingerprint { "" } else { ", has not seen the present vault key" };
        ("host", format!("{}{since}", text::plain(&host.name)))
    }));
    rows.extend(status.backups.last().map(|backup| {
        (
            "last backup",
            format!("{}, epoch {}, {}", text::time(backup.made), backup.epoch, text::plain(&backup.file)),
        )
    }));
    rows.extend(status.due.iter().take(MOST_DUE).map(|due| ("due", jobs::due_text(due))));
    if let Some(more) = status.due.len().checked_sub(MOST_DUE).filter(|more| *more > 0) {
        rows.push(("due", format!("and {more} more; `claviger status --json` lists all")));
    }
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let warnings = status.warnings.iter().map(|warning| format!("warning: {}", text::plain(warning)));
    text::table(&rows) + &text::lines(warnings)
}

/// Keys that are gone for good are left to `claviger token recipients`.
fn shown(recipient: &RecipientInfo) -> bool {
    recipient.state != RecipientState::Destroyed
}

fn recipient_text(recipient: &RecipientInfo) -> String {
    let state = match recipient.state {
        RecipientState::Active => String::new(),
        state => format!(", {}", state.name()),
    };
    let local = if recipient.local { " (this configuration's)" } else { "" };
    format!("{}{state}{local}", jobs::recipient_text(recipient))
}
