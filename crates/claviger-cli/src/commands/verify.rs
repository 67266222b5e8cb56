//! `claviger verify`.

use crate::{
    context::Context,
    error::CliError,
    output::{self, text},
    progress::Bar,
};
use claviger_gate::{Damage, VerifyReport};
use claviger_types::{CredentialName, Reference, ServiceName};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  claviger verify
  claviger verify --json

Exits 7 when anything that the vault reaches is missing or altered, 8 when the vault is older than this host has seen \
it or another branch of its history. What nothing reaches is garbage: it is counted, and no error.";

/// Read everything in the vault and name what is damaged
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    let api = context.open_to_inspect()?;
    let bar = Bar::new();
    let report = api.verify(&bar)?;
    drop(bar);
    print(report, context)
}

/// Prints what was found; anything wrong is an error.
pub(crate) fn print(report: VerifyReport, context: &Context) -> Result<(), CliError> {
    if context.json() {
        output::print_json(&as_json(&report))?;
    } else {
        output::print(&as_text(&report))?;
    }
    match (report.damage.len(), report.rolled_back) {
        (_, Some(what)) => Err(CliError::RollbackFound { what }),
        (0, None) => Ok(()),
        (count, None) => Err(CliError::DamageFound { count }),
    }
}

/// Something damaged, as JSON.
pub(crate) fn damage_json(damage: &Damage) -> Value {
    json!({
        "what": damage.what,
        "object": damage.object.to_string(),
        "fault": damage.fault.name(),
        "service": damage.service.as_ref().map(ServiceName::as_str),
        "name": damage.credential.as_ref().map(CredentialName::as_str),
        "version": damage.version,
    })
}

fn as_json(report: &VerifyReport) -> Value {
    json!({
        "head": report.head.map(|head| head.digest.to_string()),
        "epoch": report.head.map(|head| head.epoch),
        "objects": report.objects,
        "services": report.services,
        "credentials": report.credentials,
        "damage": report.damage.iter().map(damage_json).collect::<Value>(),
        "garbage": report.garbage,
        "kept_heads": report.kept_heads,
        "rolled_back": report.rolled_back,
    })
}

fn as_text(report: &VerifyReport) -> String {
    let mut lines = vec![format!(
        "{} in {}: {} read, {} kept",
        text::count(report.credentials, "credential"),
        text::count(report.services, "service"),
        text::count(report.objects, "object"),
        text::count(report.kept_heads, "earlier head"),
    )];
    lines.extend(report.head.map(|head| format!("head {}, epoch {}", head.digest, head.epoch)));
    if report.garbage > 0 {
        let garbage = text::count(report.garbage, "object");
        lines.push(format!(
            "{garbage} that nothing reaches; `claviger gc` removes them a day later, `claviger gc --now` at once"
        ));
    }
    let rows: Vec<_> = report.damage.iter().map(|damage| damage_row("DAMAGED", damage)).collect();
    lines.extend(text::table(&rows).lines().map(str::to_owned));
    match (&report.rolled_back, report.damage.is_empty()) {
        (Some(what), _) => lines.push(format!("ROLLED BACK: {}", text::plain(what))),
        (None, true) => lines.push("everything is whole".to_owned()),
        (None, false) => {}
    }
    lines.join("\n") + "\n"
}

/// Something damaged, as a row of a table.
pub(crate) fn damage_row(word: &str, damage: &Damage) -> Vec<String> {
    let whose = match (&damage.service, &damage.credential) {
        (Some(service), name) => text::reference(&Reference { service: service.clone(), name: name.clone() }),
        (None, _) => "?".to_owned(),
    };
    let version = damage.version.map_or_else(String::new, |version| format!(" version {version}"));
    vec![
        format!("{word}  {whose}{version}"),
        format!("{} {}", damage.what, damage.fault.name()),
        format!("object {}", damage.object),
    ]
}
