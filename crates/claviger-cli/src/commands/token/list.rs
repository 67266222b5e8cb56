//! `claviger token list` and `info`: what tokens there are, in words.

use super::yubikey;
use crate::{
    args,
    config::{Config, TokenConfig},
    context::Context,
    error::{CliError, Missed},
    modules::{self, Family, Found, Way},
    open,
    output::{self, text},
    report,
};
use claviger_token::{PinKind, PinTries, TokenDetails, Uri};
use serde_json::{Value, json};
use std::path::PathBuf;

const LIST_EXAMPLES: &str = "\
Examples:
  claviger token list
  claviger token list --module /usr/lib/softhsm/libsofthsm2.so

A token is a small safe for keys: a smart card, a USB key, a network appliance, or for tests a directory of files. A \
program talks to it through a module, a shared library that comes with the token. Without --module the usual places are \
looked through. Nothing is asked of a token but what it says of itself; no PIN is needed.

Shown of each:
  module    the library that shows it, and the slot that it is in
  PIN       what its user gives to use the keys on it
  SO PIN    what its security officer (SO), who made it, gives to unblock the PIN
  uri       its name, to copy; a token that is none yet has the command to type";

const INFO_EXAMPLES: &str = "\
Examples:
  claviger token info
  claviger token info --token pkcs11:token=backup   another that the configuration names
  claviger token info --json";

/// Show the tokens that there are, with URIs to copy
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct ListArgs {
    /// Look into this module
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
}

/// Show a token that opens the vault, without logging in to it
#[derive(Debug, clap::Args)]
#[command(after_help = INFO_EXAMPLES)]
pub(super) struct InfoArgs {
    /// Which of those that the configuration names [default: the first that is there]
    #[arg(long, value_name = "URI")]
    token: Option<String>,
}

/// A token that opens the vault: itself, what the configuration says of it, and a YubiKey's key.
struct Described<'a> {
    found: Found,
    entry: &'a TokenConfig,
    on_yubikey: Option<yubikey::Inspected>,
}

impl<'a> Described<'a> {
    fn new(found: Found, entry: &'a TokenConfig, context: &Context) -> Result<Self, CliError> {
        let on_yubikey = yubikey::inspect(&found, entry.recipient, context)?;
        Ok(Self { found, entry, on_yubikey })
    }

    /// One that the configuration names.
    fn named(uri: &str, config: &'a Config, context: &Context) -> Result<Self, CliError> {
        let found = modules::find(None, &args::token(uri)?, context)?;
        let mut entries = config.tokens();
        let is_it = |entry: &&TokenConfig| {
            entry.uri.parse::<Uri>().is_ok_and(|uri| modules::fits(&uri, &found.token))
        };
        match entries.find(is_it) {
            Some(entry) => Self::new(found, entry, context),
            None => Err(CliError::usage(
                format!("the configuration does not name token `{}`", text::plain(&found.token.label)),
                "`claviger token list` shows any token; one is made to open the vault too with `claviger token enroll`",
            )),
        }
    }

    /// The one that opens the vault when nothing else is said, as far as can be seen without its PIN.
    fn first_there(config: &'a Config, context: &Context) -> Result<Self, CliError> {
        let mut missed = Vec::new();
        for entry in config.tokens() {
            let uri: Uri = entry.uri.parse()?;
            match modules::find(None, &uri, context).and_then(|found| Self::new(found, entry, context)) {
                Ok(described) => {
                    for one in &missed {
                        report::warning(&format!("{one}; shown is another that opens the vault"));
                    }
                    return Ok(described);
                }
                Err(CliError::Api(error)) if open::is_absent(&error) => {
                    missed.push(Missed::new(uri.of_token().to_string(), error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(CliError::none_opens(missed).unwrap_or_else(|| {
            CliError::usage(
                "the configuration names no token",
                "enroll one: claviger token enroll --token URI",
            )
        }))
    }
}

pub(super) fn list(args: &ListArgs, context: &Context) -> Result<(), CliError> {
    let ways = modules::to_search(args.module.as_deref(), None, context)?;
    let mut found = Vec::new();
    for way in &ways {
        match modules::list(way, context) {
            Ok(tokens) => {
                // That none could be seen, the driver says itself.
                if let Some(one) = tokens.first().filter(|one| one.way == Way::Piv)
                    && let Some(error) = yubikey::unseen(one.driver.as_ref())
                {
                    report::warning(&format!("{error}; claviger token doctor says why"));
                }
                found.extend(tokens);
            }
            Err(error) if args.module.is_some() => return Err(error),
            Err(error) => {
                let (way, error) = (way.to_string(), error.to_string());
                // Some errors name it themselves.
                let named = if error.contains(&way) { error } else { format!("{way}: {error}") };
                report::warning(&format!("{named}; claviger token doctor says why"));
            }
        }
    }
    let found = modules::once(found);
    if context.json() {
        return output::print_json(&found.iter().map(|one| as_json(one, &found)).collect());
    }
    if found.iter().all(|found| !found.token.initialised) {
        report::note(if ways.is_empty() {
            "no PKCS#11 module was found in the usual places; name one with --module, or install one (for trying \
             things out: apt-get install softhsm2)"
        } else if found.is_empty() {
            "no token is there: plug one in; claviger token doctor looks for what may be wrong"
        } else {
            "no token is ready for use; one is made with the command after `next`"
        });
    }
    output::print(&found.iter().map(|one| as_text(one, &found)).collect::<Vec<_>>().join("\n"))
}

pub(super) fn info(args: &InfoArgs, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let Described { found, entry, on_yubikey } = match &args.token {
        Some(uri) => Described::named(uri, config, context)?,
        None => Described::first_there(config, context)?,
    };
    if context.json() {
        let mut shown = as_json(&found, &[]);
        if let Value::Object(members) = &mut shown {
            members.insert("uri".into(), entry.uri.clone().into());
            members.insert("recipient".into(), entry.recipient.to_string().into());
            members.insert("scheme".into(), entry.scheme.name().into());
            if let Some((info, proof)) = &on_yubikey {
                members.insert("yubikey".into(), yubikey::as_json(info, proof));
            }
        }
        return output::print_json(&shown);
    }
    let mut rows = vec![("recipient", entry.recipient.to_string()), ("scheme", entry.scheme.to_string())];
    if let Some((info, proof)) = &on_yubikey {
        rows.extend(yubikey::rows(info, proof));
    }
    rows.push(("uri", text::plain(&entry.uri)));
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![format!("  {name}"), value]).collect();
    // Elsewhere whether the key is there shows only after a login.
    let where_from = if on_yubikey.is_some() { "on it" } else { "on it, by the configuration" };
    output::print(&format!(
        "{}\nThe vault's master key {where_from}:\n{}",
        as_text(&found, &[]),
        text::table(&rows)
    ))
}

const fn tries(tries: PinTries) -> &'static str {
    match tries {
        PinTries::Normal => "normal",
        PinTries::Low => "low",
        PinTries::Final => "final",
        PinTries::Locked => "locked",
    }
}

/// What the tries mean, in words.
pub(crate) const fn tries_text(tries: PinTries) -> &'static str {
    match tries {
        PinTries::Normal => "no wrong PIN lately",
        PinTries::Low => "a wrong PIN was given before",
        PinTries::Final => "ONE try left: the next wrong PIN locks it",
        PinTries::Locked => "LOCKED",
    }
}

/// The command that makes a token of what is none yet; by its slot's number only where another says the same of itself.
pub(crate) fn how_to_make(found: &Found, among: &[Found]) -> String {
    let uri = found.uri();
    let alike = among.iter().filter(|other| other.uri() == uri).count() > 1;
    let slot = if alike { format!(" --slot-id {}", found.token.details.slot) } else { String::new() };
    format!("claviger token init --label lab --token {}{slot}", text::shell(&uri.to_string()))
}

/// The command that sets the user's PIN, whatever became of it.
pub(crate) fn how_to_unblock(found: &Found) -> String {
    format!("claviger token pin unblock --token {}", text::shell(&found.uri().to_string()))
}

/// The command that changes the user's PIN.
pub(crate) fn how_to_change(found: &Found) -> String {
    format!("claviger token pin change --token {}", text::shell(&found.uri().to_string()))
}

/// The command that changes the security officer's.
pub(crate) fn how_to_change_so(found: &Found) -> String {
    format!("claviger token pin change --so --token {}", text::shell(&found.uri().to_string()))
}

fn as_json(found: &Found, among: &[Found]) -> Value {
    let (token, details) = (&found.token, &found.token.details);
    json!({
        "label": token.label,
        "serial": token.serial,
        "manufacturer": token.manufacturer,
        "model": token.model,
        "hardware": details.hardware,
        "firmware": details.firmware,
        "slot": token.slot_description,
        "slot_id": details.slot,
        "module": found.way.to_string(),
        "initialised": token.initialised,
        "writable": details.writable,
        "free_memory": details.free_memory,
        "pin_set": token.pin_set,
        "pin_pad": token.pin_pad,
        "pin_is_due": details.pin_is_due,
        "tries": tries(token.tries),
        "tries_left": details.tries_left,
        "so_tries": tries(details.so_tries),
        "so_tries_left": details.so_tries_left,
        "so_pin_is_due": details.so_pin_is_due,
        "uri": token.initialised.then(|| found.uri().to_string()),
        "next": (!token.initialised).then(|| how_to_make(found, among)),
    })
}

fn as_text(found: &Found, among: &[Found]) -> String {
    let (token, details) = (&found.token, &found.token.details);
    let place =
        format!("{}, {}", text::plain(&found.way.to_string()), text::plain(token.slot_description.trim()));
    if !token.initialised {
        return format!(
            "(no token yet)\n  module  {place}\n  next    {}\n",
            text::plain(&how_to_make(found, among))
        );
    }
    let mut rows = vec![
        ("made by", made_by(found)),
        ("module", place),
        ("PIN", pin_text(found)),
        (if details.pin_kind == PinKind::Piv { "PUK" } else { "SO PIN" }, so_pin_text(found)),
    ];
    if let Some(free) = details.free_memory {
        rows.push(("room", format!("{free} bytes free")));
    }
    if !details.writable {
        rows.push(("writing", "refused: it takes no new keys".to_owned()));
    }
    rows.push(("uri", text::plain(&found.uri().to_string())));
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![format!("  {name}"), value]).collect();
    let what = match found.way.family() {
        Family::SoftHsm => " (files on this machine, not a device)",
        _ => "",
    };
    format!("{}{what}\n{}", text::plain(&token.label), text::table(&rows))
}

fn made_by(found: &Found) -> String {
    let (token, details) = (&found.token, &found.token.details);
    format!(
        "{}, {}, serial {}, hardware {}, firmware {}",
        text::plain(&token.manufacturer),
        text::plain(&token.model),
        text::plain(&token.serial),
        details.hardware,
        details.firmware,
    )
}

fn pin_text(found: &Found) -> String {
    let token = &found.token;
    match (token.pin_pad, token.pin_set, token.tries) {
        (true, ..) => "typed at the reader".to_owned(),
        (false, false, _) => format!("not set yet; set one: {}", how_to_unblock(found)),
        (false, true, PinTries::Locked) => format!("LOCKED; set a new one: {}", how_to_unblock(found)),
        (false, true, tries) if token.details.pin_is_due => {
            let why = match token.details.pin_kind {
                PinKind::Piv => "still its maker's, which everybody knows; change it",
                PinKind::Token => "to be changed",
            };
            format!("set, {}, and {why}: {}", tries_text(tries), how_to_change(found))
        }
        (false, true, tries) => match token.details.tries_left {
            Some(left) if tries != PinTries::Final => format!("set, {left} tries left"),
            _ => format!("set, {}", tries_text(tries)),
        },
    }
}

/// What is known of a security officer's PIN of which nothing is amiss.
pub(crate) const fn so_tries_text(details: &TokenDetails) -> &'static str {
    match (details.pin_kind, details.so_tries_left) {
        (PinKind::Piv, None) => "not told by this firmware",
        _ => "no wrong one lately",
    }
}

fn so_pin_text(found: &Found) -> String {
    match (found.token.details.so_tries, found.token.details.so_pin_is_due) {
        (PinTries::Locked, _) => "LOCKED: a PIN that is lost cannot be set anew".to_owned(),
        (PinTries::Final, _) => "ONE try left: the next wrong one locks it for good".to_owned(),
        (PinTries::Low, _) => "a wrong one was given before".to_owned(),
        (PinTries::Normal, true) => format!("still its maker's; change it: {}", how_to_change_so(found)),
        (PinTries::Normal, false) => so_tries_text(&found.token.details).to_owned(),
    }
}
