//! The vault: its anchors, its audit log, its key, and whether it opens.

use super::Checks;
use crate::{
    config::Config, context::Context, error::CliError, modules::Way, open, output::text, pin, prompt,
};
use claviger_gate::ErrorClass;
use claviger_token::{TokenError, Uri};
use claviger_vault::{Anchor as _, FileAnchor, Vault};
use std::{
    fs::File,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

pub(super) fn anchors(checks: &mut Checks, config: &Config) {
    const NAME: &str = "anchor";
    if config.anchors.is_empty() {
        checks.warn(
            NAME,
            "there is none: an older copy of the store would not be noticed",
            "name a file under `anchors` in the configuration, then: claviger trust --head DIGEST",
        );
    }
    for path in &config.anchors {
        match FileAnchor::new(path).read() {
            Ok(Some(seen)) => checks.ok(NAME, format!("{}: epoch {}", path.display(), seen.epoch)),
            Ok(None) => checks.fail(
                NAME,
                ErrorClass::RolledBack,
                format!("{} is gone", path.display()),
                "put it back; only if you know that the store is the newest: claviger verify, then claviger trust --head \
                 DIGEST",
            ),
            Err(error) => drop(checks.need::<()>(NAME, Err(error))),
        }
    }
}

pub(super) fn audit(checks: &mut Checks, directory: &Path) {
    const NAME: &str = "audit log";
    let outcome = directory.metadata().and_then(|meta| tempfile::tempfile_in(directory).map(|_| meta));
    match outcome {
        Ok(meta) if meta.mode() & 0o077 != 0 => checks.fail(
            NAME,
            ErrorClass::AuditUnavailable,
            format!("{} is open to others", directory.display()),
            format!("chmod 700 {}", crate::config::shell_word(directory)),
        ),
        Ok(_) => checks.ok(NAME, directory.to_string_lossy()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => checks.warn(
            NAME,
            format!("{} does not exist yet", directory.display()),
            "nothing: it is made at the first use",
        ),
        Err(error) => checks.fail(
            NAME,
            ErrorClass::AuditUnavailable,
            format!("{} cannot be written: {error}", directory.display()),
            format!("ls -ld {}; df {0}", crate::config::shell_word(directory)),
        ),
    }
}

/// The PIN's file, the key and its self-test; the key if it could be opened.
pub(super) fn key(
    checks: &mut Checks,
    config: &Config,
    uri: &Uri,
    context: &Context,
) -> Option<open::Opened> {
    if let Some(file) = &uri.pin_file {
        pin_file(checks, file)?;
    }
    if !pin::unattended(uri, context.pin_fd()) && !prompt::possible() {
        checks.warn(
            "key",
            "not looked for: the PIN would have to be asked for",
            "run it on a terminal, or give --pin-fd",
        );
        return None;
    }
    let token = checks.need("key", open::token(config, context))?;
    checks.ok("key", format!("{} under {}", config.token.recipient, config.token.scheme));
    let report = checks.need("self-test", token.token.self_test())?;
    checks.ok("self-test", format!("{} checks passed", report.checks.len()));
    Some(token)
}

/// Whether the YubiKeys that stand by still have their keys, which they show without a PIN. One that is not here is where a backup
/// belongs.
pub(super) fn backups(checks: &mut Checks, config: &Config, context: &Context) {
    const NAME: &str = "backup";
    for entry in &config.backup_tokens {
        let Some((uri, way @ Way::Piv)) =
            entry.uri.parse::<Uri>().ok().and_then(|uri| Way::of(&uri).map(|way| (uri, way)))
        else {
            continue;
        };
        let (name, id) = (text::plain(&uri.of_token().to_string()), entry.recipient);
        let Some(driver) = checks.need(NAME, context.driver(&way)) else { return };
        match driver.piv_key(&uri, id) {
            Ok(_) => checks.ok(NAME, format!("`{name}` has its key {id}")),
            Err(TokenError::TokenAbsent { .. }) => {
                checks.ok(NAME, format!("`{name}` is not here, and was not looked at"));
            }
            Err(TokenError::KeyMissing { .. }) => checks.fail(
                NAME,
                ErrorClass::TokenAbsent,
                format!("`{name}` has its key {id} no more, as after a reset: it does not open the vault"),
                format!("claviger token enroll --token '{name}'; then claviger token retire {id}"),
            ),
            Err(error) => checks.warn(NAME, format!("`{name}`: {error}"), "claviger token doctor says why"),
        }
    }
}

fn pin_file(checks: &mut Checks, file: &Path) -> Option<()> {
    let meta = File::open(file).and_then(|file| file.metadata());
    let meta = checks.need("PIN file", meta.map_err(|source| CliError::file("read", file, source)))?;
    if meta.permissions().mode() & 0o077 != 0 {
        checks.fail(
            "PIN file",
            ErrorClass::Locked,
            format!("{} is open to others", file.display()),
            format!("chmod 600 {}", crate::config::shell_word(file)),
        );
        return None;
    }
    checks.ok("PIN file", file.to_string_lossy());
    Some(())
}

pub(super) fn vault(checks: &mut Checks, config: &Config, token: open::Opened, context: &Context) {
    let opened = open::parts(config, token, context).and_then(|parts| Ok(Vault::open(parts)?));
    if let Some(head) = checks.need("vault", opened.and_then(|vault| Ok(vault.head()?))) {
        checks.ok("vault", format!("opens, epoch {}", head.epoch));
        recipients(checks, config);
    }
}

/// Of a vault that opens: whether more than one token does that.
fn recipients(checks: &mut Checks, config: &Config) {
    const NAME: &str = "recipients";
    let named = claviger_store::open_url(&config.store)
        .map_err(CliError::from)
        .and_then(|store| Ok(Vault::recipients_in(store.as_ref())?));
    match checks.need(NAME, named).map(|named| named.len()) {
        Some(0 | 1) => checks.warn(
            NAME,
            "one token alone opens this vault: if it is lost or breaks, everything is lost",
            "claviger token enroll --token URI",
        ),
        Some(several) => checks.ok(NAME, format!("{several} tokens open this vault, each by itself")),
        None => {}
    }
}
