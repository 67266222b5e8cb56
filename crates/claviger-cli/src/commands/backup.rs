//! `claviger backup`.

use crate::{
    commands::verify,
    context::Context,
    error::CliError,
    output::{self, text},
    progress::Bar,
    report,
};
use claviger_gate::BackupReport;
use serde_json::{Value, json};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  claviger backup create /mnt/usb/vault-2027-01.backup
  claviger backup verify /mnt/usb/vault-2027-01.backup
  claviger backup rewrap OLD NEW     for the tokens of today
  claviger backup forget NAME        when its file is destroyed
  claviger restore /mnt/usb/vault-2027-01.backup

A backup is one file with everything in it, sealed as in the store: without a token that was a recipient when it was made, it \
shows nothing. It can be made while others write. Note the fingerprint somewhere: a machine that has never seen the vault \
needs it to restore.";

/// Put everything into one file, check such a file, or wrap it for today's tokens
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write everything into a new file
    Create {
        /// The file, which must not exist
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Read a backup from its beginning to its end
    Verify {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Take a backup that you have destroyed off the record, so that nothing warns of it any more
    Forget {
        /// The name of its file
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make a new backup of an old one, wrapped to the recipients of today
    Rewrap {
        /// The old backup; destroy it afterwards
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The new one, which must not exist
        #[arg(value_name = "NEW")]
        new: PathBuf,
    },
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let api = context.open()?;
    let bar = Bar::new();
    match &args.command {
        Command::Create { file } => {
            let made = api.backup(file, &bar)?;
            drop(bar);
            if context.json() {
                return output::print_json(&as_json(&made));
            }
            output::print(&as_text(&made))
        }
        Command::Verify { file } => {
            let found = api.verify_backup(file, &bar)?;
            drop(bar);
            verify::print(found, context)
        }
        Command::Forget { name } => {
            drop(bar);
            match api.forget_backup(name)? {
                0 => Err(CliError::usage(
                    format!("no backup of the name `{}` is on record", text::plain(name)),
                    "`claviger status --json` lists those that are, by the names of their files",
                )),
                count if context.json() => output::print_json(&json!({"forgotten": count})),
                count => {
                    output::print(&format!("{} taken off the record\n", text::count(count as u64, "backup")))
                }
            }
        }
        Command::Rewrap { old, new } => {
            let (made, rewrapped) = api.rewrap_backup(old, new, &bar)?;
            drop(bar);
            let ids =
                |ids: &[claviger_types::RecipientId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
            report::warning("the old backup still opens with the tokens of its time: destroy it");
            if context.json() {
                let mut shown = as_json(&made);
                if let Value::Object(members) = &mut shown {
                    members.insert("added".into(), ids(&rewrapped.added).into());
                    members.insert("dropped".into(), ids(&rewrapped.dropped).into());
                }
                return output::print_json(&shown);
            }
            output::print(&as_text(&made))?;
            for (what, which) in [("added", ids(&rewrapped.added)), ("dropped", ids(&rewrapped.dropped))] {
                if !which.is_empty() {
                    output::print(&format!("recipients {what}: {}\n", which.join(", ")))?;
                }
            }
            Ok(())
        }
    }
}

fn as_json(made: &BackupReport) -> Value {
    json!({
        "head": made.head.digest.to_string(),
        "epoch": made.head.epoch,
        "fingerprint": made.fingerprint.to_string(),
        "services": made.services,
        "objects": made.objects,
        "bytes": made.bytes,
    })
}

fn as_text(made: &BackupReport) -> String {
    format!(
        "{} in {}, {} bytes\nhead {}, epoch {}\nfingerprint {}\n",
        text::count(made.services, "service"),
        text::count(made.objects, "object"),
        made.bytes,
        made.head.digest,
        made.head.epoch,
        made.fingerprint,
    )
}
