//! `claviger restore`.

use crate::{
    args,
    config::{AuditConfig, Config, HostConfig, TokenConfig},
    context::Context,
    error::CliError,
    modules,
    open::{self, PinOf},
    output::{self, jobs, text},
    progress::Bar,
    report,
};
use claviger_store::{ArchiveStore, Store, StoreError};
use claviger_token::{TokenError, Uri};
use claviger_types::{Digest, RecipientId};
use claviger_vault::{Parts, RestoreReport, Vault, VaultError, can_restore, restore};
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

const EXAMPLES: &str = "\
Examples:
  claviger restore vault.backup                     this host lost its store
  claviger restore vault.backup --accept-rollback   and had seen a newer one
  claviger restore --accept-rollback                go on with the older store that lies there
  claviger restore vault.backup --token 'pkcs11:token=backup' --fingerprint FP
                                                    on a machine that has never seen the vault
  claviger restore vault.backup --lost 5c76...      and its first token is lost

Everything in the backup is read first. The restored vault's epoch is above everything that this host has seen, it is marked \
as restored, and every other host refuses it until it is told `claviger trust --head DIGEST`. Every service gets a new data \
key, because the counts of uses in a backup are older than the truth. What was cut short is gone on with by the same command.";

/// Bring a vault back from a backup
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The backup; without one, the older store that lies there
    #[arg(value_name = "FILE", required_unless_present = "accept_rollback")]
    file: Option<PathBuf>,
    /// Even though this host has seen a newer state, which is lost then
    #[arg(long)]
    accept_rollback: bool,
    /// A token that the backup opens by, on a machine that has no configuration
    #[arg(long, value_name = "URI", requires = "fingerprint")]
    token: Option<String>,
    /// Its module
    #[arg(long, value_name = "PATH", requires = "token")]
    module: Option<PathBuf>,
    /// The vault key in the backup, as `backup create` showed it
    #[arg(long, value_name = "FINGERPRINT", value_parser = args::digest)]
    fingerprint: Option<Digest>,
    /// A recipient whose token is lost: it is retired with the restoration. Needed where it is the secret key of the vault,
    /// to which nobody else can wrap
    #[arg(long, value_name = "RECIPIENT", value_parser = args::recipient)]
    lost: Vec<RecipientId>,
    /// Where the vault shall lie, on a machine that has no configuration
    #[arg(long, value_name = "URL", requires = "token")]
    store: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    if args.token.is_some() {
        return elsewhere(args, context);
    }
    let config = context.config()?;
    let bar = Bar::new();
    let (done, old_key) = if let Some(file) = &args.file {
        let source = open_archive(file)?;
        let token = open::token_of(config, context, source.as_ref(), None, PinOf::TheTokenMeant)?;
        record(args, config, context)?;
        let mut parts = open::assemble(config, Arc::clone(&source), token, context)?;
        let old_key = pin(&parts, args.fingerprint)?;
        can_restore(&parts, &source)?;
        parts.store = target(&config.store)?;
        (restore(parts, &source, args.accept_rollback, &args.lost, &bar)?.1, old_key)
    } else {
        record(args, config, context)?;
        let parts = open::all_parts(config, context)?;
        let source = Arc::clone(&parts.store);
        (restore(parts, &source, args.accept_rollback, &args.lost, &bar)?.1, false)
    };
    drop(bar);
    if old_key {
        report::warning("the backup is under an earlier vault key, which this host trusts again from now on");
    }
    print(&done, context)
}

/// Accepts the vault key that an administrator vouches for, beside the one that is pinned.
fn pin(parts: &Parts, fingerprint: Option<Digest>) -> Result<bool, CliError> {
    let Some(fingerprint) = fingerprint else { return Ok(false) };
    if parts.host.pins()?.fingerprints.contains(&fingerprint) {
        return Ok(false);
    }
    parts.host.expect(fingerprint)?;
    Ok(true)
}

fn record(args: &Args, config: &Config, context: &Context) -> Result<(), CliError> {
    let file = args.file.as_deref().and_then(|file| file.file_name());
    let what = file.map_or_else(|| "the store itself".to_owned(), |name| name.to_string_lossy().into_owned());
    let how = if args.accept_rollback { ", accepting a roll-back" } else { "" };
    open::record("restore", format!("from {what}{how}"), config, context)
}

fn open_archive(file: &std::path::Path) -> Result<Arc<dyn Store>, CliError> {
    Ok(Arc::new(ArchiveStore::open(file)?))
}

/// The store to restore into: a new one, or one that an earlier attempt has begun.
fn target(url: &str) -> Result<Arc<dyn Store>, CliError> {
    match claviger_store::create_url(url) {
        Ok(store) => Ok(store),
        Err(StoreError::Exists { .. }) => Ok(claviger_store::open_url(url)?),
        Err(error) => Err(error.into()),
    }
}

/// On a machine that has never seen the vault: what the configuration would say is given, and it is written in the end.
fn elsewhere(args: &Args, context: &Context) -> Result<(), CliError> {
    let path = context.new_config_path()?;
    if path.symlink_metadata().is_ok() {
        return Err(CliError::ConfigExists { path });
    }
    let (Some(uri), Some(file), Some(fingerprint)) = (&args.token, &args.file, args.fingerprint) else {
        return Err(CliError::usage(
            "a machine without a configuration needs the backup, --token and --fingerprint",
            "`claviger backup create` showed the fingerprint; so does `claviger status` on another host",
        ));
    };
    let source = open_archive(file)?;
    let uri = args::token(uri)?;
    let found = modules::find(args.module.as_deref(), &uri, context)?;
    let (vault, candidates) = (Vault::id_in(source.as_ref())?, Vault::recipients_in(source.as_ref())?);
    let (mut opened, mut unknown) = (None, None);
    for (recipient, scheme) in candidates {
        if open::is_elsewhere(found.driver.as_ref(), &found.way, &found.uri(), recipient) {
            continue;
        }
        let uri = Uri { pin_file: uri.pin_file.clone(), ..found.way.to_key(&found.token.uri, recipient) };
        let access = open::access(&uri, context);
        match found.driver.open(&uri, &access, recipient, scheme, "") {
            Ok(token) => {
                let entry = TokenConfig {
                    uri: uri.to_string(),
                    recipient,
                    scheme,
                    profile: token.describe().profile.clone(),
                    anchor: false,
                    signer: None,
                };
                opened = Some(open::Opened { token, entry, pin: PinOf::TheTokenMeant });
                break;
            }
            Err(TokenError::KeyMissing { .. }) => {}
            // A card that does not tell: it may have the next one.
            Err(error @ TokenError::CardFailed { .. }) => drop(unknown.get_or_insert(error)),
            Err(error) => return Err(error.into()),
        }
    }
    let opened = opened.ok_or_else(|| unknown.map_or(VaultError::NotARecipient, VaultError::Token))?;
    let store = args
        .store
        .clone()
        .map_or_else(|| context.paths().store().map(|path| claviger_store::sqlite_url(&path)), Ok)?;
    let config = Config {
        vault,
        fingerprint,
        next_fingerprint: None,
        store,
        anchors: vec![context.paths().anchors(vault)?.join("head")],
        host: HostConfig::here()?,
        token: opened.entry.clone(),
        backup_tokens: Vec::new(),
        signers: Vec::new(),
        // Filled in below: the audit key lies in the vault.
        audit: AuditConfig {
            public_key: claviger_types::EcPoint { x: [0; 32], y: [0; 32] },
            durability: crate::config::Durability::default(),
        },
    };
    let bar = Bar::new();
    let mut parts = open::assemble_joining(&config, Arc::clone(&source), &opened);
    can_restore(&parts, &source)?;
    parts.store = target(&config.store)?;
    let (vault, done) = restore(parts, &source, args.accept_rollback, &args.lost, &bar)?;
    drop(bar);
    let public = claviger_audit::public_of(&vault.audit_key()?).map_err(claviger_gate::ApiError::Audit)?;
    let mut config = Config {
        fingerprint: vault.fingerprint()?,
        audit: AuditConfig { public_key: *public.point(), ..config.audit },
        signers: vault
            .signers()?
            .into_iter()
            .map(|signer| crate::config::SignerConfig { id: signer.id, public_key: signer.public_key })
            .collect(),
        ..config
    };
    if let Ok(anchor) = open::token_anchor(config.vault, config.host.id, opened.token.as_ref(), context)
        && claviger_vault::Anchor::reset(&anchor, done.head).is_ok()
    {
        config.token.anchor = true;
    }
    config.write_new(&path)?;
    open::record("restore", "on a new machine".to_owned(), &config, context)?;
    print(&done, context)
}

fn print(done: &RestoreReport, context: &Context) -> Result<(), CliError> {
    if context.json() {
        output::print_json(&json!({
            "from": {"head": done.from.digest.to_string(), "epoch": done.from.epoch},
            "head": done.head.digest.to_string(),
            "epoch": done.head.epoch,
            "lost_after_epoch": done.lost_after.map(|_| done.from.epoch),
            "job": jobs::as_json(&done.job),
        }))?;
    } else {
        output::print(&format!(
            "restored from epoch {}; head {}, epoch {}\n{}",
            done.from.epoch,
            done.head.digest,
            done.head.epoch,
            jobs::as_text(&done.job)
        ))?;
    }
    if let Some(seen) = done.lost_after {
        report::warning(&format!(
            "this host had seen epoch {seen}: what was written after epoch {} is lost",
            done.from.epoch
        ));
    }
    report::note(&format!(
        "every other host refuses this vault until it is told: claviger trust --head {}",
        text::plain(&done.head.digest.to_string())
    ));
    Ok(())
}
