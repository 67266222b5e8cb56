//! `claviger init`.

use crate::{
    args,
    commands::token,
    config::{AuditConfig, Config, Durability, TokenConfig},
    context::Context,
    error::CliError,
    modules::{self, Found},
    open,
    output::{self, text},
    pin, report,
};
use claviger_gate::ApiError;
use claviger_store::StoreError;
use claviger_token::{
    Token as _, TokenError, Uri,
    pkcs11::{self, Access, NewKek, Pkcs11Token, SelfTestReport},
};
use claviger_types::{Digest, OsEntropy, RecipientId, Scheme, SystemClock, VaultId};
use claviger_vault::{FileAnchor, Parts, Pinned, Vault, VaultError};
use serde_json::json;
use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt as _,
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

Makes a master key on the token, a vault under it, and a configuration file that names both. It makes no token: that is \
done with its vendor's tool, for SoftHSM with

  softhsm2-util --init-token --free --label lab

The configuration is TOML and holds no secret:
  vault, fingerprint   which vault this is; never taken from the store
  store                where it lies
  anchors              files that remember its newest state seen here
  [token]              uri, recipient, scheme, profile
  [audit]              public-key; durability = \"write-through\" (a record
                       survives the process) or \"fsync\" (a power loss, too)";

/// Make a vault under a new master key on a token
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The token, as a PKCS#11 URI; `claviger token list` shows them
    #[arg(long, value_name = "URI")]
    token: String,
    /// Where the vault shall lie [default: sqlite:// in the XDG data directory]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How keys are wrapped [default: the first scheme that passes the token's self-test]
    #[arg(long, value_name = "SCHEME", value_parser = Scheme::from_str)]
    scheme: Option<Scheme>,
    /// The token's module, a shared library [default: the URI's module-path, else the usual places]
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let uri = args::token(&args.token)?;
    let path = context.new_config_path()?;
    if path.symlink_metadata().is_ok() {
        return Err(CliError::ConfigExists { path });
    }
    let store = match args.store {
        Some(url) => url,
        None => claviger_store::sqlite_url(&context.paths().store()?),
    };
    let found = modules::find(args.module.as_deref(), &uri).map_err(|error| match error {
        CliError::Api(ApiError::Vault(VaultError::Token(absent @ TokenError::TokenAbsent { .. }))) => {
            CliError::NoTokenYet { absent, label: uri.token.clone() }
        }
        error => error,
    })?;
    let plan = Plan {
        vault: VaultId::random(&OsEntropy)?,
        recipient: RecipientId::random(&OsEntropy)?,
        uri,
        scheme: args.scheme,
        store,
        found,
    };
    let made = make(&plan, &path, context)?;
    report(&plan, &made, &path, context)
}

/// What is to be made.
struct Plan {
    vault: VaultId,
    recipient: RecipientId,
    uri: Uri,
    scheme: Option<Scheme>,
    store: String,
    found: Found,
}

/// What was made.
struct Made {
    config: Config,
    fingerprint: Digest,
    self_test: SelfTestReport,
}

/// Makes store, key, vault and configuration, in the order in which they can be taken back.
fn make(plan: &Plan, path: &Path, context: &Context) -> Result<Made, CliError> {
    let store = NewStore::create(&plan.store)?;
    let access = Access { pin: pin::sources(&plan.uri, context.pin_fd()), entropy: Arc::new(OsEntropy) };
    let new = NewKek {
        recipient: plan.recipient,
        label: key_label(plan.recipient),
        scheme: plan.scheme,
        allow_sha1: plan.scheme == Some(Scheme::RsaOaepSha1),
    };
    let (key, self_test) = pkcs11::generate(&plan.found.module, &plan.found.uri(), &access, &new)?;
    let key = NewKey(Some(Arc::new(key)));
    let anchors = context.paths().anchors(plan.vault)?;
    let anchor = anchors.join("head");
    let directories = NewDirectories(vec![anchors, context.paths().audit(plan.vault)?]);
    let config = found_vault(plan, key.token()?, anchor, context)?;
    config.write_new(path)?;
    let fingerprint = config.fingerprint;
    store.keep();
    key.keep();
    directories.keep();
    Ok(Made { config, fingerprint, self_test })
}

fn found_vault(
    plan: &Plan,
    token: Arc<Pkcs11Token>,
    anchor: PathBuf,
    context: &Context,
) -> Result<Config, CliError> {
    let description = token.describe();
    let (scheme, profile) = (description.scheme, description.profile.clone());
    let (audit_key, public_key) = claviger_audit::generate_audit_key(&OsEntropy).map_err(ApiError::Audit)?;
    let vault = Vault::init(
        Parts {
            store: claviger_store::open_url(&plan.store)?,
            token,
            entropy: Arc::new(OsEntropy),
            clock: Arc::new(SystemClock),
            anchors: vec![Box::new(FileAnchor::new(&anchor))],
            pinned: Pinned { vault: plan.vault, fingerprint: None, recipient: plan.recipient },
        },
        audit_key,
    )?;
    let uri = Uri {
        id: Some(plan.recipient.as_bytes().to_vec()),
        pin_file: plan.uri.pin_file.clone(),
        ..plan.found.uri()
    };
    let config = Config {
        vault: plan.vault,
        fingerprint: vault.fingerprint()?,
        store: plan.store.clone(),
        anchors: vec![anchor],
        token: TokenConfig { uri: uri.to_string(), recipient: plan.recipient, scheme, profile },
        audit: AuditConfig { public_key: *public_key.point(), durability: Durability::default() },
    };
    // Through the gate once, so that an audit log that cannot be written shows now.
    open::gate(vault, &config, context)?.status()?;
    Ok(config)
}

fn key_label(recipient: RecipientId) -> String {
    let id = recipient.to_string();
    format!("claviger {}", id.get(..8).unwrap_or(&id))
}

/// A store that goes away again unless it is kept.
struct NewStore {
    url: String,
    kept: bool,
}

impl NewStore {
    fn create(url: &str) -> Result<Self, CliError> {
        claviger_store::create_url(url).map_err(|error| match error {
            StoreError::Exists { location } => CliError::StoreExists { location },
            error => error.into(),
        })?;
        Ok(Self { url: url.to_owned(), kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewStore {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = remove(&self.url) {
            report::warning(&format!("the unfinished store {} stayed behind: {error}", self.url));
        }
    }
}

/// Removes the files of a SQLite store that nobody has open.
fn remove(url: &str) -> std::io::Result<()> {
    let path = url
        .strip_prefix("sqlite://")
        .map(|path| percent_encoding::percent_decode_str(path).collect::<Vec<u8>>());
    let Some(path) = path.map(OsString::from_vec) else { return Ok(()) };
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.clone();
        file.push(suffix);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A master key that is destroyed again unless it is kept.
struct NewKey(Option<Arc<Pkcs11Token>>);

impl NewKey {
    fn token(&self) -> Result<Arc<Pkcs11Token>, CliError> {
        self.0.clone().ok_or_else(|| TokenError::KeyMissing { key: "just made".to_owned() }.into())
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewKey {
    fn drop(&mut self) {
        let Some(key) = self.0.take() else { return };
        let label = key.describe().key_label.clone();
        let destroyed = Arc::into_inner(key).is_some_and(|key| key.destroy_key().is_ok());
        if !destroyed {
            report::warning(&format!(
                "the unused key `{label}` stayed on the token; remove it with the token's tool"
            ));
        }
    }
}

/// Directories that bear the new vault's id, and go away again unless they are kept.
struct NewDirectories(Vec<PathBuf>);

impl NewDirectories {
    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewDirectories {
    fn drop(&mut self) {
        for directory in &self.0 {
            // What was never made need not go away.
            let _ = fs::remove_dir_all(directory);
        }
    }
}

fn report(plan: &Plan, made: &Made, path: &Path, context: &Context) -> Result<(), CliError> {
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
            "key": key_label(plan.recipient),
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
                key_label(plan.recipient),
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
    report::warning(
        "this is the vault's only recipient: if this token is lost or breaks, everything in the vault is lost",
    );
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
