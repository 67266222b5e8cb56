//! `claviger init`.

mod unfinished;

use self::unfinished::{NewAnchor, NewDirectories, NewStore};
use crate::{
    args,
    commands::token::{
        self, enroll,
        yubikey::{self, Alone, YubiKeyArgs},
    },
    config::{AuditConfig, Config, Durability, HostConfig},
    context::Context,
    enrol::{NewKeys, Schemes, Wanted},
    error::CliError,
    modules::{self, Found, Way},
    open::{self, PinOf},
    output::{self, text},
    prompt, report,
};
use claviger_gate::ApiError;
use claviger_token::{PivKek, SelfTestReport, TokenError, Uri};
use claviger_types::{Digest, OsEntropy, RecipientId, Scheme, VaultId};
use claviger_vault::{MemoryHost, Vault, VaultError};
use serde_json::json;
use std::{
    env, fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

const EXAMPLES: &str = "\
Examples:
  claviger token list                        which tokens there are, with URIs
  claviger init --token 'pkcs11:token=lab'   the PIN is asked for at each use
  claviger init --token 'pkcs11:token=lab?pin-source=file:/home/ada/pin'
  claviger init --token 'pkcs11:token=lab' --store sqlite:///srv/vault.db
  claviger init --yubikey --serial 11111111 --backup 'pkcs11:serial=22222222?module-name=piv'

A YubiKey's management key is asked for where it is neither its maker's nor on the card; or give it in hexadecimal digits: \
--management-key-fd 3 3<key.

Makes a master key on the token, a vault under it, and a configuration file that names both. It makes no token: that is \
done with

  claviger token init --label lab

The configuration is TOML and holds no secret:
  vault, fingerprint   which vault this is; never taken from the store
  store                where it lies
  anchors              files that remember its newest state seen here
  [host]               this machine and user, as the vault lists who has written
  [token]              uri, recipient, scheme, profile, anchor, signer
  [[backup-token]]     the same of tokens that stand in for it
  [[signer]]           whose word is taken for a new vault key
  [audit]              public-key; durability = \"write-through\" (a record
                       survives the process) or \"fsync\" (a power loss, too)";

/// Make a vault under a new master key on a token
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The token, as a PKCS#11 URI; `claviger token list` shows them
    #[arg(long, value_name = "URI", required_unless_present = "yubikey")]
    token: Option<String>,
    /// Where the vault shall lie [default: sqlite:// in the XDG data directory]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How keys are wrapped [default: the first scheme that passes the token's self-test]
    #[arg(long, value_name = "SCHEME", value_parser = Scheme::from_str)]
    scheme: Option<Scheme>,
    /// The token's module, a shared library [default: the URI's module-path, else the usual places]
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// A second token that opens the vault, too, should the first be lost
    #[arg(long, value_name = "URI")]
    backup: Option<String>,
    /// Make it under one YubiKey alone: if that is lost or breaks, so is everything
    #[arg(long, conflicts_with = "backup", help_heading = "YubiKey")]
    accept_loss: bool,
    #[command(flatten)]
    yubikey: YubiKeyArgs,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let uri = args.yubikey.uri(args.token.as_deref())?;
    let backup = args.backup.as_deref().map(args::token).transpose()?;
    let path = context.new_config_path()?;
    if path.symlink_metadata().is_ok() {
        return Err(CliError::ConfigExists { path });
    }
    let store = match args.store {
        Some(url) => url,
        None => claviger_store::sqlite_url(&context.paths().store()?),
    };
    let found = args.yubikey.find(args.module.as_deref(), &uri, context).map_err(|error| match error {
        CliError::Api(ApiError::Vault(VaultError::Token(absent @ TokenError::TokenAbsent { .. }))) => {
            CliError::NoTokenYet { absent, label: uri.token.clone() }
        }
        error => error,
    })?;
    let backup = backup.map(|uri| second_token(uri, &found, context)).transpose()?;
    yubikey::may_accept_loss(&found, args.accept_loss)?;
    if backup.is_none() {
        yubikey::accept_loss(&found, args.accept_loss, &ALONE)?;
    }
    let (vault, host) = (VaultId::random(&OsEntropy)?, HostConfig::here()?);
    // To a secret key only its own token can wrap: beside another token it must be a pair.
    let preferred = if backup.is_some() { Schemes::Pairs } else { Schemes::Any };
    let wanted = Wanted {
        piv: args.yubikey.wish(&found, context)?,
        ..args.scheme.map_or(preferred, Schemes::One).into()
    };
    let plan = Plan { vault, host, uri, wanted, store, found };
    let made = make(&plan, &path, context)?;
    let backup =
        backup.map(|(uri, found)| enrol_second(&uri, &found, &plan.wanted.piv, context)).transpose()?;
    report(&plan, &made, backup, &path, context)
}

/// The second token, which must not be the first: two keys on one token are lost together.
fn second_token(uri: Uri, first: &Found, context: &Context) -> Result<(Uri, Found), CliError> {
    let second = modules::find(None, &uri, context)?;
    if (&second.token.label, &second.token.serial) == (&first.token.label, &first.token.serial) {
        return Err(CliError::usage(
            "--backup names the token that the vault is made on",
            "name another one: `claviger token list` shows them",
        ));
    }
    // Now, and not when the vault is made and the second token still to be enrolled.
    if uri.pin_file.is_none() && !second.token.pin_pad && !prompt::possible() {
        return Err(CliError::usage(
            "the second token's PIN cannot be asked for without a terminal",
            "say where it is, in the URI that --backup names: pin-source=file:PATH",
        ));
    }
    Ok((uri, second))
}

/// How a vault comes under one YubiKey alone here.
const ALONE: Alone = Alone {
    instead: "name a second token with --backup URI (for YubiKeys: pkcs11:serial=N?module-name=piv), or give --accept-loss if \
              you mean it",
    better: "plug in a second one and say --backup URI; a second one can also be enrolled later: claviger token enroll --yubikey",
    declined: "no vault was made",
};

/// Has the second token open the vault, too. The vault stays if that fails: the same is done again by `token enroll`.
fn enrol_second(
    uri: &Uri,
    found: &Found,
    first: &PivKek,
    context: &Context,
) -> Result<RecipientId, CliError> {
    // When keys ask is said once for both; where they lie is the first one's alone.
    let piv = if found.way == Way::Piv {
        PivKek { slot: None, existing: false, ..first.clone() }
    } else {
        PivKek::default()
    };
    let done = context.open_as_owner().and_then(|api| {
        let wanted = Wanted { pin: PinOf::AStandIn, piv, ..Schemes::Pairs.into() };
        let (id, _) = enroll::add(api.as_ref(), found, uri, &wanted, context)?;
        enroll::tell_of_yubikey(found, id, context);
        Ok(id)
    });
    done.inspect_err(|_| {
        report::warning("the vault is made, and opens by its first token alone; the second is still to be enrolled: claviger \
                         token enroll --token URI");
    })
}

/// What is to be made.
struct Plan {
    vault: VaultId,
    host: HostConfig,
    uri: Uri,
    wanted: Wanted,
    store: String,
    found: Found,
}

/// What was made.
struct Made {
    config: Config,
    fingerprint: Digest,
    key_label: String,
    self_test: SelfTestReport,
}

/// Makes store, keys, vault and configuration, in the order in which they can be taken back.
fn make(plan: &Plan, path: &Path, context: &Context) -> Result<Made, CliError> {
    let store = NewStore::create(&plan.store, plan.vault)?;
    let keys = NewKeys::make(&plan.found, plan.uri.pin_file.clone(), &plan.wanted, context)?;
    let anchors = context.paths().anchors(plan.vault)?;
    let anchor = anchors.join("head");
    let directories = NewDirectories(vec![anchors, context.paths().audit(plan.vault)?]);
    let slot = NewAnchor::of(plan, &keys, context)?;
    let config = found_vault(plan, &keys, anchor, context)?;
    config.write_new(path)?;
    // Through the gate once, so that an audit log that cannot be written shows now.
    let checked = check(&config, &keys, context);
    if let Err(error) = checked {
        // What was written last goes first; that it may stay is said by the next `init`.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    let (fingerprint, self_test) = (config.fingerprint, keys.self_test.clone());
    let key_label = keys.description()?.key_label;
    store.keep();
    slot.keep();
    keys.keep();
    directories.keep();
    Ok(Made { config, fingerprint, key_label, self_test })
}

fn found_vault(plan: &Plan, keys: &NewKeys, anchor: PathBuf, context: &Context) -> Result<Config, CliError> {
    let (audit_key, public_key) = claviger_audit::generate_audit_key(&OsEntropy).map_err(ApiError::Audit)?;
    let token = keys.entry()?;
    let mut config = Config {
        vault: plan.vault,
        // Filled in below, when the vault has made its key.
        fingerprint: Digest::from_bytes([0; 32]),
        next_fingerprint: None,
        store: plan.store.clone(),
        anchors: vec![anchor],
        host: plan.host.clone(),
        token,
        backup_tokens: Vec::new(),
        signers: keys.signer_entry().into_iter().collect(),
        audit: AuditConfig { public_key: *public_key.point(), durability: Durability::default() },
    };
    let store = claviger_store::open_url(&plan.store)?;
    let opened =
        open::Opened { token: keys.token()?, entry: config.token.clone(), pin: PinOf::TheTokenMeant };
    let mut parts = open::assemble_joining(&config, store, &opened);
    parts.host = Arc::new(
        MemoryHost::new(config.host.id, Vec::new()).named(&config.host.name).with_signers(keys.signers()),
    );
    if keys.keeps_anchors {
        parts.anchors.push(Box::new(open::token_anchor(
            config.vault,
            config.host.id,
            opened.token.as_ref(),
            context,
        )?));
    }
    config.fingerprint = Vault::init(parts, audit_key)?.fingerprint()?;
    Ok(config)
}

fn check(config: &Config, keys: &NewKeys, context: &Context) -> Result<(), CliError> {
    let opened =
        open::Opened { token: keys.token()?, entry: config.token.clone(), pin: PinOf::TheTokenMeant };
    let vault = Vault::open(open::parts(config, opened, context)?)?;
    open::gate(vault, config, context)?.status()?;
    Ok(())
}

fn report(
    plan: &Plan,
    made: &Made,
    backup: Option<RecipientId>,
    path: &Path,
    context: &Context,
) -> Result<(), CliError> {
    let (config, softhsm) = (&made.config, modules::is_softhsm(&plan.found));
    if context.json() {
        output::print_json(&json!({
            "vault": config.vault.to_string(),
            "fingerprint": made.fingerprint.to_string(),
            "config": path.to_string_lossy(),
            "store": config.store,
            "anchors": config.anchors.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            "audit": context.paths().audit(config.vault)?.to_string_lossy(),
            "token": config.token.uri,
            "recipient": config.token.recipient.to_string(),
            "key": made.key_label,
            "backup": backup.map(|id| id.to_string()),
            "self_test": token::report_json(&made.self_test),
        }))?;
    } else {
        let shown = |path: &Path| text::plain(&path.to_string_lossy());
        let mut rows = vec![
            ("vault", config.vault.to_string()),
            ("fingerprint", made.fingerprint.to_string()),
            ("config", shown(path)),
            ("store", text::plain(&config.store)),
            ("audit log", shown(&context.paths().audit(config.vault)?)),
        ];
        rows.extend(config.anchors.iter().map(|anchor| ("anchor", shown(anchor))));
        rows.push((
            "master key",
            format!(
                "`{}` on token `{}`, scheme {}",
                text::plain(&made.key_label),
                text::plain(&plan.found.token.label),
                config.token.scheme
            ),
        ));
        let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
        output::print(&format!(
            "Self-test of the token: {}\n{}\nNext: claviger set SERVICE, or claviger import apex FILE --key-file KEY\n",
            token::report_text(&made.self_test),
            text::table(&rows),
        ))?;
    }
    enroll::tell_of_yubikey(&plan.found, config.token.recipient, context);
    if backup.is_none() {
        report::warning(
            "this is the vault's only recipient: if this token is lost or breaks, everything in the vault is lost",
        );
    }
    if softhsm {
        report::warning(
            "SoftHSM is software: its keys are files, as safe as the disk they lie on. It is for trying things out",
        );
    }
    if let Some(conf) = env::var_os("SOFTHSM2_CONF").filter(|_| softhsm) {
        report::note(&format!(
            "SOFTHSM2_CONF names this token's directory: keep it set to {} for every command",
            conf.to_string_lossy()
        ));
    }
    Ok(())
}
