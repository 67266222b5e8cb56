//! `claviger token init`: a token is made.

use crate::{
    args,
    commands::token::{
        list::{how_to_change_so, how_to_unblock},
        pin::refuse_one_for_two,
    },
    context::Context,
    error::CliError,
    modules::{self, Found, Way},
    output::{self, text},
    pin::{self, Once},
    prompt, report,
};
use claviger_token::{
    Erase, NewToken, PinKind, PinOwner, PinPrompt, PinSource as _, PinTries, TokenError, Uri,
};
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  claviger token list                     which there are, with the command for each
  claviger token init --label lab         both PINs are asked for, twice
  claviger token init --label lab --module /usr/lib/softhsm/libsofthsm2.so
  claviger token init --label lab --so-pin-fd 3 --new-pin-fd 4 3<so-pin 4<pin
  claviger token init --label lab --token 'pkcs11:token=old' --yes

A token has two PINs. The user's opens the keys on it. The security officer's (SO PIN) sees no key; it sets the user's PIN \
anew when that is forgotten or locked. Keep it elsewhere than the user's. Some tokens come with an SO PIN of their maker's \
(openCryptoki: 87654321): then give that one, and change it with `claviger token pin change --so`.

Without --token the one token that is none yet is meant. One that is initialised already has to be named, and is erased only \
with --yes or after a question; its present SO PIN is needed. Before that it is logged in to, to see that no vault's key is on \
it: where one is, or where the PIN is lost and nobody can look, it takes --destroy-vault-keys as well. What only such a key \
opens is lost then.";

/// Make a token: give it a name, a security officer's PIN and a user's PIN
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InitArgs {
    /// Its name, at most 32 bytes long
    #[arg(long, value_name = "LABEL")]
    label: String,
    /// Which token, where there are several, or one to erase; `claviger token list` shows URIs
    #[arg(long, value_name = "URI")]
    token: Option<String>,
    /// Its module, a shared library [default: the URI's module-path, else the usual places]
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// The number of its slot, where several cannot be told apart; it changes with every restart
    #[arg(long, value_name = "N")]
    slot_id: Option<u64>,
    /// Read the SO PIN from this file descriptor
    #[arg(long, value_name = "N", value_parser = args::pin_fd)]
    so_pin_fd: Option<u32>,
    /// Read the user's new PIN from this file descriptor
    #[arg(long, value_name = "N", value_parser = args::pin_fd)]
    new_pin_fd: Option<u32>,
    /// Erase a token that is initialised, without asking
    #[arg(long)]
    yes: bool,
    /// Erase it also where keys of a vault are on it, or may be
    #[arg(long, requires = "token")]
    destroy_vault_keys: bool,
}

pub(super) fn init(args: &InitArgs, context: &Context) -> Result<(), CliError> {
    refuse_one_for_two(&[context.pin_fd(), args.so_pin_fd, args.new_pin_fd])?;
    let uri = args.token.as_deref().map_or(Ok(Uri::default()), args::token)?;
    let found = choose(&uri, args, context)?;
    not_a_yubikey(&found)?;
    let admin = context.admin(&found.way)?;
    let old = &found.token;
    let erase = match (old.initialised, args.destroy_vault_keys) {
        (false, _) => Erase::Nothing,
        (true, true) => Erase::Everything,
        (true, false) => Erase::UnlessKeys(pin::sources(&uri, context.pin_fd())),
    };
    if old.initialised && !args.yes {
        confirm(&found, args.destroy_vault_keys)?;
    }
    let lengths = || old.details.pin_lengths();
    // A new token's SO PIN is new; an old one's is what it is.
    let so_pin = if old.initialised {
        pin::so_pin(args.so_pin_fd)
    } else {
        pin::new_pin(args.so_pin_fd, PinOwner::SecurityOfficer, lengths())
    };
    let new_pin = pin::new_pin(args.new_pin_fd, PinOwner::User, lengths());
    if !old.pin_pad {
        ask(&found, &args.label, &so_pin, &new_pin)?;
    }

    let new = NewToken { uri: &old.uri, slot: args.slot_id, label: &args.label, so_pin: &so_pin, erase };
    tracing::info!(way = %found.way, label = args.label, "initialising the token");
    let erased = old.initialised;
    let token = admin.init_token(&new).map_err(|error| maybe_makers(error, erased))?;
    let made = Found { token, ..found };
    let name =
        Uri { serial: made.token.uri.serial.clone(), token: made.token.uri.token.clone(), ..Uri::default() };
    if let Err(error) = admin.set_pin(&name, &so_pin, &new_pin) {
        report::warning(&format!(
            "token `{}` is made but has no PIN yet; set one: {}",
            made.token.label,
            how_to_unblock(&made)
        ));
        return Err(error.into());
    }
    let is_alike = |other: &Found| other.token.initialised && other.token.label == made.token.label;
    if modules::list(&made.way, context).is_ok_and(|all| all.iter().filter(|it| is_alike(it)).count() > 1) {
        report::warning(&format!(
            "another token is called `{}`, too: name this one with its serial number, as below",
            text::plain(&made.token.label)
        ));
    }
    tell(&made, erased, context)
}

/// The one token that is meant, among those of every module that is looked into.
fn choose(uri: &Uri, args: &InitArgs, context: &Context) -> Result<Found, CliError> {
    let all = modules::list_all(&modules::to_search(args.module.as_deref(), Some(uri), context)?, context)?;
    let named = args.token.is_some();
    let (mut fitting, mut others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|Found { token, .. }| (named || !token.initialised) && modules::names(uri, token));
    let shown = |found: &[Found]| -> Vec<String> {
        found.iter().map(|found| format!("{} (slot {})", found.uri(), found.token.details.slot)).collect()
    };
    if let Some(number) = args.slot_id {
        let all_uris: BTreeSet<_> = fitting.iter().map(|found| found.uri().to_string()).collect();
        if all_uris.len() > 1 {
            return Err(CliError::usage(
                format!("the number of a slot names no token: {} fit, and go by other names", fitting.len()),
                format!("name one with --token: {}", all_uris.into_iter().collect::<Vec<_>>().join(", ")),
            ));
        }
        let (at_number, elsewhere) =
            fitting.into_iter().partition(|found| found.token.details.slot == number);
        fitting = at_number;
        others.extend::<Vec<_>>(elsewhere);
    }
    match fitting.pop() {
        Some(found) if fitting.is_empty() => Ok(found),
        Some(found) => {
            fitting.push(found);
            Err(CliError::SeveralToMake { choices: shown(&fitting) })
        }
        None if named => {
            Err(TokenError::TokenAbsent { uri: uri.of_token().to_string(), present: shown(&others) }.into())
        }
        None => Err(CliError::NoneToMake { present: shown(&others) }),
    }
}

/// Nobody is asked for PINs in vain: what a YubiKey comes with is changed, and what it holds is erased by its maker's tool.
fn not_a_yubikey(found: &Found) -> Result<(), CliError> {
    if found.way != Way::Piv {
        return Ok(());
    }
    Err(CliError::usage(
        format!(
            "`{}` is a YubiKey, which is ready for use as it comes and is not initialised",
            text::plain(&found.token.label)
        ),
        format!(
            "for a vault: claviger init --yubikey, and claviger token pin change for its PIN. If everything in its PIV application \
             may go: ykman --device {} piv reset",
            text::shell(&found.token.serial)
        ),
    ))
}

fn confirm(found: &Found, with_keys: bool) -> Result<(), CliError> {
    let token = &found.token;
    if !prompt::possible() {
        return Err(TokenError::AlreadyInitialised { token: token.label.clone() }.into());
    }
    let with = if with_keys { "with every key on it, also those of vaults" } else { "with everything on it" };
    let question = format!("Erase token `{}`, serial {}, {with}?", token.label, token.serial);
    if prompt::confirm(&question)? {
        return Ok(());
    }
    Err(CliError::Declined { what: "the token was not erased" })
}

/// Everything is asked for before anything is done: a token with half its PINs is no use.
fn ask(found: &Found, label: &str, so_pin: &Once, new_pin: &Once) -> Result<(), CliError> {
    let token = &found.token;
    let tries = token.details.so_tries;
    if tries == PinTries::Locked {
        return Err(TokenError::SoPinLocked.into());
    }
    let label = if token.initialised { &token.label } else { label };
    let prompt = PinPrompt {
        token_label: label.to_owned(),
        token_serial: token.serial.clone(),
        tries,
        left: None,
        kind: PinKind::Token,
    };
    so_pin.pin(&prompt).map_err(|error| match error {
        TokenError::PinUnavailable { reason } => TokenError::SoPinUnavailable { reason },
        error => error,
    })?;
    let new = new_pin.pin(&PinPrompt { tries: PinTries::Normal, ..prompt }).map_err(|error| match error {
        TokenError::PinUnavailable { reason } => TokenError::NewPinRefused { reason },
        error => error,
    })?;
    Ok(token.details.takes(&new)?)
}

/// A token that was never initialised and refuses an SO PIN has one already.
fn maybe_makers(error: TokenError, erased: bool) -> CliError {
    match error {
        TokenError::SoPinIncorrect { .. } if !erased => CliError::MakersSoPin { source: error },
        error => error.into(),
    }
}

fn tell(made: &Found, erased: bool, context: &Context) -> Result<(), CliError> {
    let (token, uri) = (&made.token, made.uri().to_string());
    if context.json() {
        return output::print_json(&json!({
            "label": token.label,
            "serial": token.serial,
            "module": made.way.to_string(),
            "uri": uri,
            "erased": erased,
        }));
    }
    if token.details.so_pin_is_due {
        report::warning(&format!("the SO PIN is still its maker's; change it: {}", how_to_change_so(made)));
    }
    output::print(&format!(
        "token `{}` is {}\n  serial  {}\n  module  {}\n  uri     {}\nNext: claviger init --token {}\n",
        text::plain(&token.label),
        if erased { "erased and made anew" } else { "made" },
        text::plain(&token.serial),
        text::plain(&made.way.to_string()),
        text::plain(&uri),
        text::shell(&uri),
    ))
}
