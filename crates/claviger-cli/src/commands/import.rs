//! `claviger import`.

mod after;

use crate::{
    context::Context,
    error::CliError,
    output::{self, Unbuffered, text},
    progress::Bar,
    report,
};
use after::After;
use claviger_gate::{ImportEntry, ImportOptions, ImportReport};
use claviger_legacy::{Contents, LegacyEntry, LegacyKey, MAX_FILE_BYTES};
use claviger_types::{Reference, SecretBytes};
use serde_json::{Value, json};
use std::{
    env,
    fs::File,
    io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// No key, in whatever encoding, is longer.
const MAX_KEY_BYTES: usize = 4096;

const EXAMPLES: &str = "\
Examples:
  claviger import apex old.enc --key-env APEX_AGENT_MASTER_KEY --dry-run
  claviger import apex ~/.apex_agent_api_keys.enc --key-file key --after bak
  claviger import apex old.enc --key-stdin --overwrite < key.txt

Each API key becomes SERVICE/api_key, each OAuth token SERVICE/oauth_token. Everything that is written is opened again \
and compared before anything becomes visible; then all of it does at once. Running it again changes nothing. Where the \
vault has another value, nothing at all is written, the credentials are listed, and the exit code is 9, unless \
--overwrite is given.

A file that does not exist or has no bytes holds no credentials (exit code 3): the old program made none. A file that \
does not open is damaged, or the key is another one (exit code 7): it is never taken for an empty one.

--after shred writes zeros over the file before it removes it. On an SSD, or a file system that copies on write or keeps \
snapshots, the old bytes may survive that; replace the credentials at their issuers if that matters.";

/// Take over credentials from another program
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Apex(ApexArgs),
}

/// Take over the key file of the old `ApiKeyManager`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("key").required(true))]
struct ApexArgs {
    /// The old program's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Read its key from a file
    #[arg(long, value_name = "FILE", group = "key")]
    key_file: Option<PathBuf>,
    /// Read its key from this environment variable
    #[arg(long, value_name = "NAME", group = "key")]
    key_env: Option<String>,
    /// Read its key from standard input
    #[arg(long, group = "key")]
    key_stdin: bool,
    /// Write new versions of credentials that the vault has with another value
    #[arg(long)]
    overwrite: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// What becomes of the old file once everything is in the vault
    #[arg(long, value_enum, default_value_t = After::Keep)]
    after: After,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let Command::Apex(args) = args.command;
    let entries = read(&args, context)?;
    let found = entries.len();
    let options = ImportOptions { overwrite: args.overwrite, dry_run: args.dry_run };
    let api = context.open()?;
    let bar = Bar::new();
    let imported = api.import(entries, options, &bar);
    drop(bar);
    let report = imported.inspect_err(|_| {
        if !args.dry_run {
            report::note(
                "the old file is as it was; the same command goes on, and passes over what is in the vault already",
            );
        }
    })?;

    let refused = !report.differing.is_empty();
    let after = if refused || args.dry_run { None } else { args.after.apply(&args.file)? };
    if context.json() {
        output::print_json(&as_json(&report, args.dry_run, after.as_deref()))?;
    } else {
        output::print(&as_text(&report, found, args.dry_run))?;
    }
    if refused {
        return Err(CliError::ImportDiffers { count: report.differing.len() });
    }
    if !args.dry_run {
        args.after.tell(&args.file, after.as_deref());
    }
    Ok(())
}

fn read(args: &ApexArgs, context: &Context) -> Result<Vec<ImportEntry>, CliError> {
    let legacy = |source| CliError::Legacy { path: args.file.clone(), source };
    let key = LegacyKey::parse(&key(args, context)?).map_err(legacy)?;
    let file = match File::open(&args.file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CliError::NothingToImport { path: args.file.clone(), what: "does not exist" });
        }
        Err(source) => return Err(CliError::file("read", &args.file, source)),
    };
    let bytes = bounded(&mut Unbuffered(file), MAX_FILE_BYTES)
        .map_err(|source| CliError::file("read", &args.file, source))?
        .ok_or(claviger_legacy::LegacyError::TooLarge)
        .map_err(legacy)?;
    match claviger_legacy::read(bytes.expose(), &key).map_err(legacy)? {
        Contents::NeverWritten => {
            Err(CliError::NothingToImport { path: args.file.clone(), what: "has no bytes" })
        }
        Contents::Entries(entries) => Ok(entries.into_iter().map(entry).collect()),
    }
}

fn entry(entry: LegacyEntry) -> ImportEntry {
    ImportEntry { service: entry.service, name: entry.name, value: entry.value }
}

fn key(args: &ApexArgs, context: &Context) -> Result<SecretBytes, CliError> {
    let too_long = || {
        CliError::usage("what is given for a key is no key: it is too long", "give the key and nothing else")
    };
    if let Some(path) = &args.key_file {
        let failed = |source| CliError::file("read", path, source);
        let file = File::open(path).map_err(failed)?;
        return bounded(&mut Unbuffered(file), MAX_KEY_BYTES).map_err(failed)?.ok_or_else(too_long);
    }
    if let Some(name) = &args.key_env {
        let value = env::var_os(name).ok_or_else(|| {
            CliError::usage(
                format!("the environment variable {name} is not set"),
                "name the variable that holds the old program's key, without a `$`",
            )
        })?;
        return Ok(SecretBytes::new(value.into_vec()));
    }
    if context.pin_is_stdin() {
        return Err(CliError::usage(
            "the key and the PIN cannot both come from standard input",
            "give the PIN on another descriptor: --pin-fd 3 3<FILE",
        ));
    }
    bounded(&mut Unbuffered(rustix::stdio::stdin()), MAX_KEY_BYTES)
        .map_err(|source| CliError::Stream { action: "read standard input", source })?
        .ok_or_else(too_long)
}

fn bounded(from: &mut dyn io::Read, limit: usize) -> io::Result<Option<SecretBytes>> {
    SecretBytes::read_from(from, limit)
}

fn as_json(report: &ImportReport, dry_run: bool, after: Option<&Path>) -> Value {
    let names = |references: &[Reference]| references.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "dry_run": dry_run,
        "applied": report.applied,
        "created": names(&report.created),
        "updated": names(&report.updated),
        "differing": names(&report.differing),
        "unchanged": report.unchanged,
        "verified": report.verified,
        "verified_by_token": report.verified_by_token,
        "old_file": after.map(Path::to_string_lossy),
    })
}

fn as_text(report: &ImportReport, found: usize, dry_run: bool) -> String {
    let found = u64::try_from(found).unwrap_or(u64::MAX);
    let listed = |what: &str, references: &[Reference]| {
        text::lines(references.iter().map(|one| format!("{what} {}", text::reference(one))))
    };
    let (created, updated) = (report.created.len(), report.updated.len());
    let counts = format!("{created} new, {updated} updated, {} unchanged", report.unchanged);
    if !report.differing.is_empty() {
        return listed("differs ", &report.differing);
    }
    if dry_run {
        let lists = listed("new     ", &report.created) + &listed("updates ", &report.updated);
        return format!("{lists}would import {}: {counts}\n", text::count(found, "credential"));
    }
    if !report.applied {
        return format!("unchanged: the vault has all of {} already\n", text::count(found, "credential"));
    }
    format!(
        "imported {}: {counts}\n{} opened again and compared, {} unwrapped again by the token\n",
        text::count(found, "credential"),
        report.verified,
        text::count(report.verified_by_token, "data key"),
    )
}

#[cfg(test)]
mod tests;
