//! `claviger repair`.

use crate::{
    commands::verify,
    context::Context,
    error::CliError,
    output::{self, text},
    progress::Bar,
};
use claviger_gate::{Damage, RepairReport};
use serde_json::json;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  claviger verify
  claviger repair --from vault.backup

Objects of the backup whose hash fits are put back as they were. Where none does, the same version of the same credential is \
opened in the backup and sealed anew. What cannot be mended is listed and stays as it is; nothing is ever dropped. Exits 7 \
while anything is still damaged.";

/// Mend what `verify` names, from a backup
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let api = context.open()?;
    let bar = Bar::new();
    let done = api.repair(&args.from, &bar)?;
    drop(bar);
    if context.json() {
        let list = |list: &[Damage]| list.iter().map(verify::damage_json).collect::<serde_json::Value>();
        output::print_json(&json!({
            "restored": list(&done.restored),
            "resealed": list(&done.resealed),
            "left": list(&done.left),
        }))?;
    } else {
        output::print(&as_text(&done))?;
    }
    match done.left.len() {
        0 => Ok(()),
        count => Err(CliError::DamageFound { count }),
    }
}

fn as_text(done: &RepairReport) -> String {
    let rows = |word: &str, list: &[Damage]| {
        text::table(&list.iter().map(|damage| verify::damage_row(word, damage)).collect::<Vec<_>>())
    };
    let mended = done.restored.len() + done.resealed.len();
    let end = match (mended, done.left.len()) {
        (0, 0) => "nothing was damaged\n",
        (_, 0) => "everything is whole\n",
        _ => "",
    };
    rows("PUT BACK", &done.restored)
        + &rows("SEALED ANEW", &done.resealed)
        + &rows("DAMAGED", &done.left)
        + end
}
