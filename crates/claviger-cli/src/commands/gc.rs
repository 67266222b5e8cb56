//! `claviger gc`.

use crate::{
    context::Context,
    error::CliError,
    output::{self, text},
    progress::Bar,
};
use claviger_gate::GcOptions;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  claviger gc --dry-run    only count what would be deleted
  claviger gc              delete what nothing reaches and is older than a day
  claviger gc --now        whatever its age; only while no other host writes";

/// Delete what the vault no longer reaches
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Ignore ages; only right while no other host writes
    #[arg(long)]
    now: bool,
    /// Only count
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let options = GcOptions { now: args.now, dry_run: args.dry_run };
    let api = context.open()?;
    let bar = Bar::new();
    let report = api.gc(options, &bar)?;
    drop(bar);
    if context.json() {
        return output::print_json(&json!({
            "dry_run": args.dry_run,
            "deleted": report.deleted,
            "young": report.young,
            "reached": report.reached,
            "kept_heads": report.kept_heads,
        }));
    }
    output::print(&format!(
        "{} {}; left {} younger than a day; {} in use, {} kept\n",
        if args.dry_run { "would delete" } else { "deleted" },
        text::count(report.deleted, "unreached object"),
        report.young,
        text::count(report.reached, "object"),
        text::count(report.kept_heads, "earlier head"),
    ))
}
