//! The composition root: configuration -> store -> PIN -> token -> vault -> policy and audit log -> gate.

use crate::{
    config::{self, Config},
    context::Context,
    error::CliError,
    pin, turns,
};
use claviger_audit::{Actor, AuditLog, AuditPublicKey, Durability, Entry, Outcome};
use claviger_gate::{Api, ApiError, Caller, Gate};
use claviger_policy::{Policy, Principal};
use claviger_store::Store;
use claviger_token::{
    TokenError, Uri,
    pkcs11::{self, Access, Pkcs11Token},
};
use claviger_types::{Digest, OsEntropy, SystemClock};
use claviger_vault::{Accept, FileAnchor, Parts, Pinned, Vault};
use std::sync::Arc;

/// The vault that the configuration names, behind its gate.
pub(crate) fn vault(config: &Config, context: &Context) -> Result<Box<dyn Api>, CliError> {
    gate(Vault::open(all_parts(config, context)?)?, config, context)
}

/// The same, also where an anchor says that it was rolled back: to look at, not to write on.
pub(crate) fn vault_to_inspect(config: &Config, context: &Context) -> Result<Box<dyn Api>, CliError> {
    gate(Vault::open_accepting(all_parts(config, context)?, Accept::Inspect)?, config, context)
}

/// The same with the head that an administrator vouches for, to which the anchors are set.
pub(crate) fn trusting(config: &Config, context: &Context, head: Digest) -> Result<Box<dyn Api>, CliError> {
    let parts = all_parts(config, context)?;
    // On record before it happens: from then on the anchors no longer show that it did.
    let caller = caller();
    let entry = Entry {
        actor: Actor {
            principal: caller.principal.to_string(),
            uid: caller.uid,
            pid: caller.pid,
            program: caller.program,
        },
        action: "trust".to_owned(),
        reference: None,
        version: None,
        outcome: Outcome::Allowed,
        detail: Some(format!("head {head}")),
    };
    audit(config, context)?.append(&entry).map_err(ApiError::Audit)?;
    gate(Vault::open_accepting(parts, Accept::Trust(head))?, config, context)
}

/// The key that opens the vault, on its token, logged in.
pub(crate) fn token(config: &Config, context: &Context) -> Result<Pkcs11Token, CliError> {
    let uri: Uri = config.token.uri.parse()?;
    let Some(module) = &uri.module_path else {
        return Err(TokenError::Uri {
            uri: uri.of_token().to_string(),
            reason: "module-path= is missing, and only the configuration may say what code is loaded"
                .to_owned(),
        }
        .into());
    };
    let access = Access { pin: pin::sources(&uri, context.pin_fd()), entropy: Arc::new(OsEntropy) };
    // Nobody shall wait for a person who looks for a PIN.
    let turn = pin::unattended(&uri, context.pin_fd()).then(|| context.paths().token_lock());
    let _turn = turn.transpose()?.and_then(|lock| turns::take(&lock));
    let key = &config.token;
    tracing::info!(module = %module.display(), scheme = %key.scheme, "opening the token");
    let token = pkcs11::open(module, &uri, &access, key.recipient, key.scheme, &key.profile)?;
    tracing::info!(recipient = %key.recipient, "logged in");
    Ok(token)
}

fn all_parts(config: &Config, context: &Context) -> Result<Parts, CliError> {
    tracing::info!(url = %config.store, "opening the store");
    // The store first: when it is not there, no PIN need be asked for.
    let store = claviger_store::open_url(&config.store)?;
    Ok(assemble(config, store, Arc::new(token(config, context)?)))
}

/// What the vault is made of, around a token that is open already.
pub(crate) fn parts(config: &Config, token: Arc<Pkcs11Token>) -> Result<Parts, CliError> {
    Ok(assemble(config, claviger_store::open_url(&config.store)?, token))
}

fn assemble(config: &Config, store: Arc<dyn Store>, token: Arc<Pkcs11Token>) -> Parts {
    Parts {
        store,
        token,
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock),
        anchors: config.anchors.iter().map(|path| Box::new(FileAnchor::new(path)) as _).collect(),
        pinned: Pinned {
            vault: config.vault,
            fingerprint: Some(config.fingerprint),
            recipient: config.token.recipient,
        },
    }
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
