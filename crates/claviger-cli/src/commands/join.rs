//! `claviger join`: a configuration for another host, from what an enrolled host wrote for it.

use crate::{
    args,
    commands::token::offline,
    config::{AuditConfig, Config, HostConfig, SignerConfig, TokenConfig},
    context::Context,
    error::CliError,
    modules,
    open::{self, PinOf},
    output::{self, text},
};
use claviger_token::Uri;
use claviger_types::{Digest, EcPoint, RecipientId, Scheme, SignerId, VaultId};
use claviger_vault::{Anchor as _, Vault};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{path::PathBuf, str::FromStr};

const EXAMPLES: &str = "\
Examples:
  claviger join invitation.json --token 'pkcs11:token=new'
  claviger join invitation.json --token 'pkcs11:token=new' --store sqlite:///srv/vault.db

An invitation holds no secret, but it says which vault is the right one: take it over a way that nobody else can write to, or \
compare the fingerprint with what `claviger status` shows on the other host.";

/// Use a vault on this host, by an invitation that `token activate` wrote
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The invitation
    #[arg(value_name = "FILE")]
    invitation: PathBuf,
    /// The token that was enrolled
    #[arg(long, value_name = "URI")]
    token: String,
    /// Its module
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// Where the vault lies for this host [default: where the invitation says]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// What a host must know of a vault, and must not take from its store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Invitation {
    #[serde(rename = "claviger-invitation", deserialize_with = "offline::format_1")]
    format: u8,
    vault: VaultId,
    fingerprint: Digest,
    store: String,
    recipient: RecipientId,
    scheme: String,
    audit_public_key: [Digest; 2],
    signers: Vec<InvitedSigner>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct InvitedSigner {
    id: SignerId,
    x: Digest,
    y: Digest,
}

impl Invitation {
    /// An invitation for this recipient, from a host that has the vault.
    pub(crate) fn new(config: &Config, recipient: RecipientId, scheme: Scheme) -> Self {
        let half = |point: &EcPoint| (Digest::from_bytes(point.x), Digest::from_bytes(point.y));
        let (x, y) = half(&config.audit.public_key);
        Self {
            format: 1,
            vault: config.vault,
            fingerprint: config.fingerprint,
            store: config.store.clone(),
            recipient,
            scheme: scheme.name().to_owned(),
            audit_public_key: [x, y],
            signers: config
                .signers
                .iter()
                .map(|signer| {
                    let (x, y) = half(&signer.public_key);
                    InvitedSigner { id: signer.id, x, y }
                })
                .collect(),
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let path = context.new_config_path()?;
    if path.symlink_metadata().is_ok() {
        return Err(CliError::ConfigExists { path });
    }
    let invitation: Invitation = offline::read(&args.invitation)?;
    let scheme = Scheme::from_str(&invitation.scheme)
        .map_err(|error| CliError::usage(error.to_string(), "ask for the invitation anew"))?;
    let uri = args::token(&args.token)?;
    let found = modules::find(args.module.as_deref(), &uri, context)?;
    let point = |x: Digest, y: Digest| EcPoint { x: *x.as_bytes(), y: *y.as_bytes() };
    let [x, y] = invitation.audit_public_key;
    let anchor = context.paths().anchors(invitation.vault)?.join("head");
    let uri = Uri { pin_file: uri.pin_file, ..found.way.to_key(&found.token.uri, invitation.recipient) };
    let access = open::access(&uri, context);
    let token = found.driver.open(&uri, &access, invitation.recipient, scheme, "")?;
    let profile = token.describe().profile.clone();
    let mut config = Config {
        vault: invitation.vault,
        fingerprint: invitation.fingerprint,
        next_fingerprint: None,
        store: args.store.clone().unwrap_or(invitation.store),
        anchors: vec![anchor],
        host: HostConfig::here()?,
        token: TokenConfig {
            uri: uri.to_string(),
            recipient: invitation.recipient,
            scheme,
            profile,
            anchor: false,
            signer: None,
        },
        backup_tokens: Vec::new(),
        signers: invitation
            .signers
            .iter()
            .map(|signer| SignerConfig { id: signer.id, public_key: point(signer.x, signer.y) })
            .collect(),
        audit: AuditConfig { public_key: point(x, y), durability: crate::config::Durability::default() },
    };
    // The vault must open before anything is written; there is no anchor yet, and what is found becomes the first.
    let opened = open::Opened { token, entry: config.token.clone(), pin: PinOf::TheTokenMeant };
    let seen = {
        let store = claviger_store::open_url(&config.store)?;
        let mut parts = open::assemble_joining(&config, store, &opened);
        parts.anchors.clear();
        Vault::open(parts)?.head()?
    };
    claviger_vault::FileAnchor::new(config.anchors.first().cloned().unwrap_or_default()).reset(seen)?;
    if let Ok(anchor) = open::token_anchor(config.vault, config.host.id, opened.token.as_ref(), context)
        && anchor.reset(seen).is_ok()
    {
        config.token.anchor = true;
    }
    config.write_new(&path)?;
    if context.json() {
        return output::print_json(&json!({
            "vault": config.vault.to_string(),
            "fingerprint": config.fingerprint.to_string(),
            "config": path.to_string_lossy(),
            "store": config.store,
            "epoch": seen.epoch,
        }));
    }
    let rows = [
        ("vault", config.vault.to_string()),
        ("fingerprint", config.fingerprint.to_string()),
        ("config", text::plain(&path.to_string_lossy())),
        ("store", text::plain(&config.store)),
        ("epoch", seen.epoch.to_string()),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    output::print(&text::table(&rows))
}
