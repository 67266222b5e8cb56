//! The composition root: configuration -> store -> PIN -> token -> vault -> policy and audit log -> gate.

use crate::{
    config::{self, Config, TokenConfig},
    context::Context,
    error::{CliError, Missed},
    host::ConfigHost,
    modules::{self, Found, Way},
    output::text,
    pin, report, turns,
};
use claviger_audit::{Actor, AuditLog, AuditPublicKey, Durability, Entry, Outcome};
use claviger_gate::{Api, ApiError, Caller, Gate};
use claviger_policy::{Policy, Principal};
use claviger_store::Store;
use claviger_token::{Access, Driver, Kek, Signer, TokenError, Uri};
use claviger_types::{Digest, HostId, OsEntropy, RecipientId, Scheme, SignerId, SystemClock, VaultId};
use claviger_vault::{Accept, Anchor, FileAnchor, MemoryHost, Parts, Pinned, TokenAnchor, Vault};
use std::sync::Arc;

/// The vault that the configuration names, behind its gate.
pub(crate) fn vault(config: &Config, context: &Context) -> Result<Box<dyn Api>, CliError> {
    gate(Vault::open(all_parts(config, context)?)?, config, context)
}

/// The same, after this host has pinned the signers that the vault names.
pub(crate) fn vault_as_owner(config: &Config, context: &Context) -> Result<Box<dyn Api>, CliError> {
    let vault = Vault::open(all_parts(config, context)?)?;
    believe(&vault);
    gate(vault, config, context)
}

/// Pins the signers that the vault names.
fn believe(vault: &Vault) {
    if let Err(error) = vault.believe_signers() {
        // A configuration of the whole machine may not be this user's to write.
        tracing::info!(%error, "the signers that the vault names were not pinned");
    }
}

/// The same by another of this host's tokens than this one.
pub(crate) fn vault_without(
    config: &Config,
    context: &Context,
    without: RecipientId,
    whose: PinOf,
) -> Result<Box<dyn Api>, CliError> {
    let store = claviger_store::open_url(&config.store)?;
    let token = token_of(config, context, store.as_ref(), Some(without), whose)?;
    gate(Vault::open(assemble(config, store, token, context)?)?, config, context)
}

/// The same, also where an anchor says that it was rolled back: to look at, not to write on.
pub(crate) fn vault_to_inspect(config: &Config, context: &Context) -> Result<Box<dyn Api>, CliError> {
    gate(Vault::open_accepting(all_parts(config, context)?, Accept::Inspect)?, config, context)
}

/// The same with the head that an administrator vouches for, to which the anchors are set.
pub(crate) fn trusting(config: &Config, context: &Context, head: Digest) -> Result<Box<dyn Api>, CliError> {
    let parts = all_parts(config, context)?;
    // On record before it happens: from then on the anchors no longer show that it did.
    record("trust", format!("head {head}"), config, context)?;
    let vault = Vault::open_accepting(parts, Accept::Trust(head))?;
    believe(&vault);
    gate(vault, config, context)
}

/// The same with the vault key that an administrator vouches for, which is pinned if the vault opens by it.
pub(crate) fn trusting_key(
    config: &Config,
    context: &Context,
    fingerprint: Digest,
    head: Option<Digest>,
) -> Result<Box<dyn Api>, CliError> {
    if config.fingerprint == fingerprint && head.is_none() {
        return Err(CliError::usage(
            "this host trusts that vault key already",
            "nothing was changed; `claviger status` shows the vault's fingerprint",
        ));
    }
    let parts = all_parts(config, context)?;
    record("trust", format!("fingerprint {fingerprint}"), config, context)?;
    let host = Arc::clone(&parts.host);
    host.expect(fingerprint)?;
    let opened = Vault::open_accepting(parts, head.map_or(Accept::Anchored, Accept::Trust));
    let right =
        opened.as_ref().is_ok_and(|vault| vault.fingerprint().is_ok_and(|found| found == fingerprint));
    if !right {
        // As it was before, a successor that was expected included.
        host.settle(config.fingerprint)?;
        if let Some(expected) = config.next_fingerprint {
            host.expect(expected)?;
        }
    }
    let vault = opened?;
    if !right {
        return Err(CliError::usage(
            format!("the vault's fingerprint is {}, not {fingerprint}", vault.fingerprint()?),
            "nothing was changed",
        ));
    }
    host.settle(fingerprint)?;
    believe(&vault);
    gate(vault, config, context)
}

/// Puts on record what an administrator overrides.
pub(crate) fn record(
    action: &str,
    detail: String,
    config: &Config,
    context: &Context,
) -> Result<(), CliError> {
    let caller = caller();
    let entry = Entry {
        actor: Actor {
            principal: caller.principal.to_string(),
            uid: caller.uid,
            pid: caller.pid,
            program: caller.program,
        },
        action: action.to_owned(),
        reference: None,
        version: None,
        outcome: Outcome::Allowed,
        detail: Some(detail),
    };
    audit(config, context)?.append(&entry).map_err(ApiError::Audit)?;
    Ok(())
}

/// A token that opens the vault, logged in, and what the configuration says of it.
pub(crate) struct Opened {
    pub(crate) token: Arc<dyn Kek>,
    pub(crate) entry: TokenConfig,
    pub(crate) pin: PinOf,
}

/// For which token a PIN that was given in passing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PinOf {
    /// This one.
    TheTokenMeant,
    /// Another: on this one it would spend a try.
    AStandIn,
}

impl PinOf {
    /// Of one that is found beside the vault's: such a PIN is for the token that the configuration names first.
    pub(crate) fn of(found: &Found, config: &Config) -> Result<Self, CliError> {
        let first: Uri = config.token.uri.parse()?;
        let is_first = first.serial.as_ref().is_none_or(|serial| *serial == found.token.serial)
            && first.token.as_ref().is_none_or(|label| *label == found.token.label);
        Ok(if is_first { Self::TheTokenMeant } else { Self::AStandIn })
    }
}

/// The key that opens the vault, on its token, logged in.
pub(crate) fn token(config: &Config, context: &Context) -> Result<Opened, CliError> {
    open_entry(&config.token, context)
}

/// The first of this host's tokens that is there and whose key is a recipient. A key that was rotated away, and whose
/// successor the configuration does not know yet, is looked for by the names in the vault's head.
pub(crate) fn token_of(
    config: &Config,
    context: &Context,
    store: &dyn Store,
    without: Option<RecipientId>,
    whose: PinOf,
) -> Result<Opened, CliError> {
    let (mut missed, mut retired): (Vec<Missed>, Option<Opened>) = (Vec::new(), None);
    // Only a hint, for which another token is taken: what it opens proves itself by the vault key that is pinned.
    let named = if config.backup_tokens.is_empty() { Vec::new() } else { Vault::recipients_in(store)? };
    let entries = config.tokens();
    // Nobody means a later one's PIN.
    let mut whose = whose;
    let mut why = None;
    for entry in entries.filter(|entry| without != Some(entry.recipient)) {
        let uri: Uri = entry.uri.parse()?;
        // Before anybody is asked for another PIN than they think.
        if let Some(why) = why.take() {
            report::warning(&format!("{why}; going on with `{}`", uri.of_token()));
        }
        let open = |entry: &TokenConfig| open_entry_as(entry, whose, context);
        let outcome = open(entry).or_else(|error| successor(entry, config, &open, store, error, context));
        whose = PinOf::AStandIn;
        match outcome {
            Ok(opened) if !has_a_key(&opened, &named) => {
                why = Some(format!(
                    "the key on token `{}` is no recipient of this vault any more",
                    text::plain(&opened.token.describe().token_label)
                ));
                retired.get_or_insert(opened);
            }
            Ok(opened) => return Ok(opened),
            Err(CliError::Api(error)) if is_absent(&error) => {
                let this = Missed::new(uri.of_token().to_string(), error);
                why = Some(this.to_string());
                missed.push(this);
            }
            Err(error) => {
                // The error itself cannot say it, and there is more than one that it may be.
                if !config.backup_tokens.is_empty() && is_a_wrong_pin(&error) {
                    report::note(&format!("that PIN was tried on `{}`", uri.of_token()));
                }
                return Err(error);
            }
        }
    }
    if let Some(opened) = retired {
        return Ok(opened);
    }
    Err(CliError::none_opens(missed).unwrap_or_else(|| {
        CliError::usage(
            "no other token of this host opens the vault",
            "enroll another one first: claviger token enroll --token URI",
        )
    }))
}

/// Whether a token has the key of one of the recipients that are named, as far as any are.
fn has_a_key(opened: &Opened, named: &[(RecipientId, Scheme)]) -> bool {
    let has = |id, scheme| opened.entry.recipient == id || opened.token.sibling(id, scheme).is_ok();
    named.is_empty() || named.iter().any(|(id, scheme)| has(*id, *scheme))
}

/// Whether another token may be tried: this one is not there or not to be had, and no PIN was spent on it.
pub(crate) const fn is_absent(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::Vault(claviger_vault::VaultError::Token(
            TokenError::TokenAbsent { .. }
                | TokenError::KeyMissing { .. }
                | TokenError::ModuleUnusable { .. }
                | TokenError::CardServiceDown
                | TokenError::CardServiceDenied
                | TokenError::CardHeld { .. }
                | TokenError::CardFailed { .. }
        ))
    )
}

const fn is_a_wrong_pin(error: &CliError) -> bool {
    matches!(
        error,
        CliError::Api(ApiError::Vault(claviger_vault::VaultError::Token(
            TokenError::PinIncorrect { .. } | TokenError::PinLocked
        )))
    )
}

/// Whether the token is there and the key is not.
pub(crate) fn is_key_missing(error: &CliError) -> bool {
    matches!(
        error,
        CliError::Api(ApiError::Vault(claviger_vault::VaultError::Token(TokenError::KeyMissing { .. })))
    )
}

fn successor(
    entry: &TokenConfig,
    config: &Config,
    open: &dyn Fn(&TokenConfig) -> Result<Opened, CliError>,
    store: &dyn Store,
    error: CliError,
    context: &Context,
) -> Result<Opened, CliError> {
    if !is_key_missing(&error) {
        return Err(error);
    }
    // Only a hint: whether it is a recipient is shown by the vault key that it opens, which is pinned.
    for (recipient, scheme) in Vault::recipients_in(store)? {
        // Another entry's key is on its own token, which may fit this one's URI: by that entry it has its own PIN.
        if recipient != entry.recipient && config.tokens().any(|other| other.recipient == recipient) {
            continue;
        }
        let uri: Uri = entry.uri.parse()?;
        if let Some(way) = Way::of(&uri)
            && is_elsewhere(context.driver(&way)?.as_ref(), &way, &uri, recipient)
        {
            continue;
        }
        match open(&renamed(entry, recipient, scheme)?) {
            Err(other) if is_key_missing(&other) => {}
            outcome => return outcome,
        }
    }
    Err(error)
}

/// Whether a YubiKey has no such key. The driver would look for it on all others, and try this one's PIN there.
pub(crate) fn is_elsewhere(driver: &dyn Driver, way: &Way, uri: &Uri, recipient: RecipientId) -> bool {
    *way == Way::Piv && matches!(driver.piv_key(uri, recipient), Err(TokenError::KeyMissing { .. }))
}

/// The same token with another key.
fn renamed(entry: &TokenConfig, recipient: RecipientId, scheme: Scheme) -> Result<TokenConfig, CliError> {
    let uri: Uri = entry.uri.parse()?;
    let uri = modules::renamed(&uri, recipient);
    Ok(TokenConfig { uri: uri.to_string(), recipient, scheme, profile: String::new(), ..entry.clone() })
}

pub(crate) fn open_entry(entry: &TokenConfig, context: &Context) -> Result<Opened, CliError> {
    open_entry_as(entry, PinOf::TheTokenMeant, context)
}

pub(crate) fn open_entry_as(
    entry: &TokenConfig,
    whose: PinOf,
    context: &Context,
) -> Result<Opened, CliError> {
    let uri: Uri = entry.uri.parse()?;
    let Some(way) = Way::of(&uri) else {
        return Err(TokenError::Uri {
            uri: uri.of_token().to_string(),
            reason: "module-path= is missing, and only the configuration may say what code is loaded"
                .to_owned(),
        }
        .into());
    };
    // Nobody shall wait for a person who looks for a PIN.
    let turn = pin::unattended(&uri, context.pin_fd()).then(|| context.paths().token_lock());
    let _turn = turn.transpose()?.and_then(|lock| turns::take(&lock));
    tracing::info!(%way, scheme = %entry.scheme, "opening the token");
    let access = access_as(&uri, whose, context);
    let driver = context.driver(&way)?;
    let token = driver.open(&uri, &access, entry.recipient, entry.scheme, &entry.profile)?;
    tracing::info!(recipient = %entry.recipient, "logged in");
    Ok(Opened { token, entry: entry.clone(), pin: whose })
}

/// By which a token is reached.
pub(crate) fn access(uri: &Uri, context: &Context) -> Access {
    access_as(uri, PinOf::TheTokenMeant, context)
}

/// The same where it may be another than the one that whoever gave a PIN had in mind.
pub(crate) fn access_as(uri: &Uri, whose: PinOf, context: &Context) -> Access {
    let sources = match whose {
        PinOf::TheTokenMeant => pin::sources(uri, context.pin_fd()),
        PinOf::AStandIn => pin::sources_of_stand_in(uri, context.pin_fd()),
    };
    Access::new(sources, Arc::new(OsEntropy)).attended(context.attendant())
}

/// What the vault is made of.
pub(crate) fn all_parts(config: &Config, context: &Context) -> Result<Parts, CliError> {
    tracing::info!(url = %config.store, "opening the store");
    // The store first: when it is not there, no PIN need be asked for.
    let store = claviger_store::open_url(&config.store)?;
    let token = token_of(config, context, store.as_ref(), None, PinOf::TheTokenMeant)?;
    assemble(config, store, token, context)
}

/// What the vault is made of, around a token that is open already.
pub(crate) fn parts(config: &Config, token: Opened, context: &Context) -> Result<Parts, CliError> {
    assemble(config, claviger_store::open_url(&config.store)?, token, context)
}

/// What the vault is made of, around a store and a token that are open already.
pub(crate) fn assemble(
    config: &Config,
    store: Arc<dyn Store>,
    opened: Opened,
    context: &Context,
) -> Result<Parts, CliError> {
    let mut anchors: Vec<Box<dyn Anchor>> =
        config.anchors.iter().map(|path| Box::new(FileAnchor::new(path)) as _).collect();
    if opened.entry.anchor {
        anchors.push(Box::new(token_anchor(config.vault, config.host.id, opened.token.as_ref(), context)?));
    }
    Ok(Parts {
        store,
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock),
        anchors,
        pinned: Pinned { vault: config.vault, recipient: opened.entry.recipient },
        host: Arc::new(host(config, &opened, context)?),
        token: opened.token,
    })
}

/// The same before there is a configuration file: what this host pins is in memory.
pub(crate) fn assemble_joining(config: &Config, store: Arc<dyn Store>, opened: &Opened) -> Parts {
    Parts {
        store,
        token: Arc::clone(&opened.token) as _,
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock),
        anchors: config.anchors.iter().map(|path| Box::new(FileAnchor::new(path)) as _).collect(),
        pinned: Pinned { vault: config.vault, recipient: opened.entry.recipient },
        host: Arc::new(MemoryHost::new(config.host.id, vec![config.fingerprint]).named(&config.host.name)),
    }
}

/// This host's anchor on a token.
pub(crate) fn token_anchor(
    vault: VaultId,
    host: HostId,
    token: &dyn Kek,
    context: &Context,
) -> Result<TokenAnchor, CliError> {
    let lock = context.paths().anchors(vault)?.join("token.lock");
    Ok(TokenAnchor::new(token.anchors()?, vault, host, lock))
}

/// A signer on the token that an entry names.
pub(crate) fn signer(
    entry: &TokenConfig,
    id: SignerId,
    whose: PinOf,
    context: &Context,
) -> Result<Arc<dyn Signer>, CliError> {
    let uri: Uri = entry.uri.parse()?;
    let access = access_as(&uri, whose, context);
    let way = Way::of(&uri).ok_or_else(|| TokenError::KeyMissing { key: id.to_string() })?;
    Ok(context.driver(&way)?.open_signer(&Uri { id: None, object: None, ..uri }, &access, id)?)
}

fn host(config: &Config, opened: &Opened, context: &Context) -> Result<ConfigHost, CliError> {
    let uri: Uri = opened.entry.uri.parse()?;
    let (access, signer) = (access_as(&uri, opened.pin, context), opened.entry.signer);
    let driver = Way::of(&uri).map(|way| context.driver(&way)).transpose()?;
    // The token stays logged in as long as its signer may be asked for, so that no second PIN is.
    let token = Arc::clone(&opened.token);
    let signers = move || -> Vec<Arc<dyn Signer>> {
        let _logged_in = &token;
        let (Some(id), Some(driver)) = (signer, &driver) else { return Vec::new() };
        match driver.open_signer(&Uri { id: None, object: None, ..uri.clone() }, &access, id) {
            Ok(signer) => vec![signer],
            Err(error) => {
                report::warning(&format!("the signer of this token cannot be used: {error}"));
                Vec::new()
            }
        }
    };
    Ok(ConfigHost::new(context.config_file()?, config, Box::new(signers)))
}

/// Puts the gate before a vault: its policy, and its audit log.
pub(crate) fn gate(vault: Vault, config: &Config, context: &Context) -> Result<Box<dyn Api>, CliError> {
    Ok(Box::new(Gate::new(vault, Policy::owner_only(), audit(config, context)?, caller())))
}

fn audit(config: &Config, context: &Context) -> Result<AuditLog, CliError> {
    let log = AuditLog::open(
        context.paths().audit(config.vault)?,
        config.vault,
        AuditPublicKey::new(config.audit.public_key),
        Arc::new(OsEntropy),
        Arc::new(SystemClock),
        config.audit.durability.into(),
    );
    Ok(log.map_err(ApiError::Audit)?)
}

/// Whoever runs this program and has the PIN: the owner.
fn caller() -> Caller {
    Caller {
        principal: Principal::owner(),
        uid: rustix::process::getuid().as_raw(),
        pid: std::process::id(),
        program: std::env::current_exe()
            .map_or_else(|_| "?".to_owned(), |path| path.to_string_lossy().into_owned()),
    }
}

impl From<config::Durability> for Durability {
    fn from(durability: config::Durability) -> Self {
        match durability {
            config::Durability::WriteThrough => Self::WriteThrough,
            config::Durability::Fsync => Self::Fsync,
        }
    }
}
