//! `claviger gc`.

use crate::{
    context::Context,
    error::CliError,
    output::{self, jobs, text},
    progress::Bar,
};
use claviger_gate::GcOptions;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  claviger gc --dry-run    only count what would be deleted
  claviger gc              delete what nothing reaches and is older than a day
  claviger gc --now        whatever its age; only while no other host writes
  claviger gc --erase      and have the bytes of what is gone go too";

/// Delete what the vault no longer reaches
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Ignore ages; only right while no other host writes
    #[arg(long)]
    now: bool,
    /// Have the bytes of everything that is gone go too, where an earlier command could not
    #[arg(long)]
    erase: bool,
    /// Only count
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let options = GcOptions { now: args.now, erase: args.erase, dry_run: args.dry_run };
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
            "erasure": report.erasure.as_ref().map(jobs::erasure_json),
        }));
    }
    report
        .erasure
        .iter()
        .filter_map(jobs::erasure_warning)
        .for_each(|warning| crate::report::warning(&warning));
    output::print(&format!(
        "{} {}; left {} younger than a day; {} in use, {} kept\n",
        if args.dry_run { "would delete" } else { "deleted" },
        text::count(report.deleted, "unreached object"),
        report.young,
        text::count(report.reached, "object"),
        text::count(report.kept_heads, "earlier head"),
    ))
}
