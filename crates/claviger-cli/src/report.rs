//! Errors as people and programs read them: what failed, why, and what to do next. The one place that prints them.

mod token;

use crate::{error::CliError, output::text::plain};
use claviger_gate::ApiError;
use claviger_legacy::LegacyError;
use claviger_store::StoreError;
use claviger_token::TokenError;
use claviger_vault::{Missing, VaultError};
use std::{error::Error, io::Write as _};

/// Prints an error to standard error and returns the exit code.
pub(crate) fn failure(error: &CliError, json: bool) -> u8 {
    let class = error.class();
    if !is_closed_pipe(error) {
        let text = if json { as_json(error) } else { as_text(error) };
        // Nothing is left to be told to whoever closed standard error.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    class.exit_code()
}

/// Prints a note that is no error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {}", plain(text));
}

/// Prints a warning.
pub(crate) fn warning(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {}", plain(text));
}

/// Whoever read our output has seen enough: no reason to complain.
fn is_closed_pipe(error: &CliError) -> bool {
    matches!(error, CliError::Stream { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
}

fn as_text(error: &CliError) -> String {
    let line = |what: &str, text: &str| format!("{what}: {}\n", plain(text));
    let causes = causes(error).iter().map(|cause| line("caused by", cause)).collect::<String>();
    line("error", &error.to_string()) + &causes + &line("help", &help(error))
}

fn as_json(error: &CliError) -> String {
    let body = serde_json::json!({"error": {
        "code": error.class().exit_code(),
        "class": error.class().name(),
        "message": error.to_string(),
        "causes": causes(error),
        "help": help(error),
    }});
    format!("{body}\n")
}

/// The chain below an error, each link once: some libraries repeat the cause in their own text.
fn causes(error: &CliError) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut shown = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !text.is_empty() && !shown.contains(&text) {
            causes.push(text.clone());
        }
        shown = text;
        next = cause.source();
    }
    causes
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &CliError) -> String {
    std::iter::once(error.to_string()).chain(causes(error)).collect::<Vec<_>>().join(": ")
}

/// What to do next.
pub(crate) fn help(error: &CliError) -> String {
    let fixed = match error {
        CliError::NoHome { variable } => return format!("set HOME, or {variable} to an absolute path"),
        CliError::ConfigExposed { mend, .. } => return mend.clone(),
        CliError::Usage { help, .. } => return help.clone(),
        CliError::NoTerminal { instead, .. } => instead,
        CliError::NoneOpens { first: error, .. } | CliError::Api(error) => return help_for_api(error),
        CliError::ConfigMissing { .. } => {
            "make a vault with `claviger init --token URI` (`claviger token list` shows URIs), or name the file with \
             --config or CLAVIGER_CONFIG"
        }
        CliError::ConfigExists { .. } => {
            "nothing was changed; use that vault, or name another file with --config to make a second one"
        }
        CliError::ConfigInvalid { path, .. } if path.ends_with(crate::config::MODULES_FILE) => {
            "correct the file: it has [[module]] for each PKCS#11 module, and [piv] for YubiKeys; docs/tokens.md names what \
             belongs in them"
        }
        CliError::ConfigInvalid { .. } => "correct the file; `claviger init --help` names what belongs in it",
        CliError::File { action: "read" | "run", .. } => "check the path and who may read it",
        CliError::File { .. } => "check the path, who may write there, and the space left",
        CliError::Stream { .. } => "check where input comes from and output goes to",
        CliError::Fields { .. } => {
            "give a JSON object, such as {\"username\": \"...\", \"password\": \"...\"}, or --field NAME=@FILE for each field"
        }
        CliError::NoField { present, .. } => return format!("it has: {}", present.join(", ")),
        CliError::Declined { .. } => "nothing was changed",
        CliError::DamageFound { .. } => {
            "what is not named above is whole and can be read; `claviger repair --from BACKUP` mends what a backup has; else \
             set these credentials anew"
        }
        CliError::RollbackFound { .. } => ROLLED_BACK,
        CliError::ImportDiffers { .. } => {
            "compare them, then run again with --overwrite to make the imported values the newest versions (the \
             present ones stay in `claviger history`)"
        }
        CliError::NothingToImport { .. } => {
            "check the path; the old program's file is ~/.apex_agent_api_keys.enc"
        }
        CliError::Legacy { source, .. } => help_for_legacy(source),
        CliError::StoreExists { .. } => {
            "nothing was changed; give another --store, or move away what is there"
        }
        CliError::StoreBusy { .. } => {
            "nothing was changed; wait until it has ended (it may ask for a PIN in another terminal), or give another --store"
        }
        CliError::NoTokenYet { label, .. } => {
            let label = crate::output::text::shell(label.as_deref().unwrap_or("lab"));
            return format!(
                "plug it in, or correct the URI (`claviger token list` shows what there is). A token is made with: claviger \
                 token init --label {label}"
            );
        }
        CliError::NoYubiKey { .. } => {
            "plug it in; if it is, `claviger token doctor` looks for what keeps it from being seen. It must have firmware 5 or \
             later, and its PIV application switched on (ykman config usb --enable PIV)"
        }
        CliError::NoneToMake { present } if present.is_empty() => {
            "plug one in, or name its module with --module; `claviger token doctor` looks for what is wrong. For trying things \
             out: apt-get install softhsm2"
        }
        CliError::NoneToMake { .. } => {
            "plug one in. Only where one of these may be erased, with everything on it: name it with --token URI"
        }
        CliError::SeveralToMake { .. } => {
            "name one with --token URI; where their URIs are the same, with --slot-id N as well"
        }
        CliError::MakersSoPin { .. } => {
            "it is in the token's papers (openCryptoki: 87654321). Give that one with --so-pin-fd or at the question, and change \
             it then: claviger token pin change --so"
        }
        CliError::NewSoPinRefused { .. } => {
            "nothing was changed: choose another, and type it twice at a terminal or give it with --new-pin-fd N"
        }
        CliError::ChecksFailed { .. } => "do what the lines marked FAIL say, from the top, and run it again",
    };
    fixed.to_owned()
}

const fn help_for_legacy(error: &LegacyError) -> &'static str {
    match error {
        LegacyError::Key(_) => {
            "the key is what APEX_AGENT_MASTER_KEY held: 32 bytes in base64, 44 characters"
        }
        LegacyError::Unopened => {
            "try the key that the old program used last; if it is right, the file is damaged: use a copy of it"
        }
        LegacyError::Damaged(_) => "use a copy of the file from before it was damaged",
        LegacyError::Name { .. } => "rename the service with the old program: a name has at most 1024 bytes",
        LegacyError::Entry { .. } => {
            "write that entry again with the old program, or take it out, and import again"
        }
        LegacyError::Shape { .. } => {
            "if it is the old program's file, it was edited since: put that part right, or use a copy from before"
        }
        _ => "name the old program's file: ~/.apex_agent_api_keys.enc",
    }
}

const ROLLED_BACK: &str = "someone put an older copy of the store in its place, or an anchor is missing; put the newest \
     copy back. Only if you know that this one is right: `claviger restore --accept-rollback` goes on with it where nothing \
     newer is left; where another host restored it, `claviger trust --head DIGEST` accepts what `claviger verify` shows there";

fn help_for_api(error: &ApiError) -> String {
    match error {
        ApiError::Denied { .. } => "ask whoever keeps the vault's policy".into(),
        ApiError::Audit(_) => {
            "see that the audit directory exists, is yours and has space left: `claviger doctor` says where it is".into()
        }
        ApiError::Vault(error) => help_for_vault(error),
        _ => GENERAL.into(),
    }
}

const GENERAL: &str = "`claviger doctor` looks for the usual causes";

fn help_for_vault(error: &VaultError) -> String {
    let fixed = match error {
        VaultError::NotFound { what: Missing::Deleted(_), reference } => {
            return format!("`claviger undelete {}` brings it back", shown(reference));
        }
        VaultError::NotFound {
            what: Missing::Version(_) | Missing::Expired(_) | Missing::Destroyed(_),
            reference,
        } => {
            return format!("`claviger history {}` shows the versions that there are", shown(reference));
        }
        VaultError::NotFound { what: Missing::Credential, reference } => {
            let service = claviger_types::Reference::escape(reference.service.as_str());
            return format!("`claviger list {}` shows what there is", crate::output::text::shell(&service));
        }
        VaultError::NotFound { .. } => "`claviger list` shows what there is",
        VaultError::NameNeeded { .. } => "name one of them: SERVICE/NAME",
        VaultError::Invalid { .. } => "`--help` after the command's name shows what it takes",
        VaultError::CasMismatch { .. } => {
            "someone else wrote first: look at it, and give its version with --cas"
        }
        VaultError::Contended => "try again when the other writers are done",
        VaultError::VaultExists => {
            "give another --store, or use the configuration of the vault that is there"
        }
        VaultError::ForeignVault { .. } => {
            "check `store` in the configuration: that is not the vault it was made for"
        }
        VaultError::ForeignFingerprint { .. } => {
            "if somebody replaced the vault key on purpose, compare this fingerprint with what `claviger status` shows on \
             the host that did it, and say `claviger trust FINGERPRINT`. If nobody did, somebody planted this vault: check \
             `store` in the configuration, and do not use it"
        }
        VaultError::NotARecipient => {
            "check `token` in the configuration: which key on which token opens this vault. If the token was retired, open \
             the vault by another one"
        }
        VaultError::NoVault => "check `store` in the configuration; `claviger init` makes a vault",
        VaultError::NewerFormat { .. } => "install a newer claviger",
        VaultError::Root { .. } => {
            "nothing can be read without it: put a copy of the store back, or `claviger restore` a backup"
        }
        VaultError::Damaged { .. } | VaultError::Object { .. } | VaultError::Envelope(_) => {
            "`claviger verify` names everything that is damaged; what it does not name can still be read"
        }
        VaultError::RolledBack { .. } => ROLLED_BACK,
        VaultError::Anchor { .. } => {
            "check the file under `anchors` in the configuration, and who may write it"
        }
        VaultError::Unanchored { .. } => {
            "do not write it again: it is in the vault. Make room for the anchor, or see who may write it; the next command \
             raises it"
        }
        VaultError::WorkUnderWay { .. } => {
            "wait until it has ended; `claviger status` shows how far it is. If its process has died, the same command goes \
             on where it stopped"
        }
        VaultError::Unwritable { .. } => {
            "reach that token, make it a key pair where it is reached (claviger rotate master --scheme ECDH-ES+A256KW), or, \
             if it is lost, retire it (claviger token retire; during a restoration: --lost RECIPIENT)"
        }
        VaultError::WrongAnswer { .. } => {
            "answer the newest challenge with the token that the request was made on"
        }
        VaultError::Host { .. } => {
            "see that the configuration file is yours to write, and that there is space left"
        }
        VaultError::KeyExhausted { .. } => "claviger rotate service SERVICE",
        VaultError::MasterKeyExhausted { .. } => "claviger rotate master",
        VaultError::Scratch(_) => "check TMPDIR and the space left there",
        VaultError::Token(TokenError::PinFileExposed { path }) => {
            return format!("chmod 600 {}", crate::config::shell_word(std::path::Path::new(path)));
        }
        VaultError::Token(error) => token::help(error),
        VaultError::Store(error) => return help_for_store(error),
        VaultError::Entropy(_) => {
            "the operating system gives no random bytes; nothing can be sealed until it does"
        }
        _ => GENERAL,
    };
    fixed.to_owned()
}

fn help_for_store(error: &StoreError) -> String {
    match error {
        StoreError::Absent { .. } => {
            "check `store` in the configuration, and that its disk is mounted; `claviger init` makes a new vault"
        }
        StoreError::Exposed { mend, .. } => return mend.clone(),
        StoreError::Unreachable { .. } => {
            "the store is busy, full, read-only or away: see what else uses it and try again"
        }
        StoreError::Ambiguous { .. } => "it may have been written or not: look with `claviger history`, then go on",
        StoreError::Damaged { .. } => {
            "put a copy of the store, or of the backup, in its place; `verify` then says whether it is whole"
        }
        StoreError::Exists { .. } => "name another file; what is there is never replaced",
        StoreError::ReadOnly { .. } => "a backup is not written to: `claviger restore` makes a vault of it",
        StoreError::NewerFormat { .. } => "install a newer claviger",
        StoreError::TooLarge { .. } => "a credential holds at most 1 MiB",
        StoreError::Url { .. } => "write it as sqlite:///absolute/path/vault.db",
        _ => GENERAL,
    }
    .to_owned()
}

fn shown(reference: &claviger_types::Reference) -> String {
    crate::output::text::shell(&reference.to_string())
}

#[cfg(test)]
mod tests;
