//! `claviger audit`.

use crate::{
    context::Context,
    error::CliError,
    output::{self, text},
};
use claviger_gate::AuditRecord;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  claviger audit show
  claviger audit show --limit 1000 --json";

/// Read the record of who asked for what
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(ShowArgs),
}

/// Show the newest records, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct ShowArgs {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let Command::Show(show) = &args.command;
    let records = context.open()?.audit(show.limit)?;
    if context.json() { output::print_json(&as_json(&records)) } else { output::print(&as_text(&records)) }
}

fn as_json(records: &[AuditRecord]) -> Value {
    let line = |record: &AuditRecord| {
        json!({
            "time": text::time(record.time),
            "principal": record.principal,
            "uid": record.uid,
            "program": record.program,
            "action": record.action,
            "reference": record.reference,
            "version": record.version,
            "outcome": record.outcome,
            "detail": record.detail,
        })
    };
    records.iter().map(line).collect()
}

fn as_text(records: &[AuditRecord]) -> String {
    let row = |record: &AuditRecord| {
        let about = [
            record.reference.as_deref().map(text::name),
            record.version.map(|version| format!("version {version}")),
            record.detail.as_deref().map(|detail| format!("({})", text::plain(detail))),
        ];
        vec![
            text::time(record.time),
            text::plain(&record.principal),
            format!("uid {}", record.uid),
            text::plain(&record.program),
            text::plain(&record.action),
            text::plain(&record.outcome),
            about.into_iter().flatten().collect::<Vec<_>>().join(" "),
        ]
    };
    text::table(&records.iter().map(row).collect::<Vec<_>>())
}
