//! Tokens, as far as they show themselves without a PIN.

use super::{Checks, look_into};
use crate::{
    commands::token::{
        how_to_change, how_to_change_so, how_to_make, how_to_unblock, so_tries_text, tries_text,
    },
    context::Context,
    modules::{self, Found, Way},
};
use claviger_gate::ErrorClass;
use claviger_token::{PinKind, PinTries, Uri};
use std::collections::BTreeMap;

/// Everything about the token that a URI means: its module, itself, its PINs. Nothing, where it cannot be used.
pub(crate) fn of_uri(checks: &mut Checks, uri: &Uri, context: &Context) -> Option<Found> {
    let mut all = Vec::new();
    if let Some(way) = Way::of(uri) {
        all = look_into(checks, &way, context)?;
    }
    let found = checks.need("token", modules::find(None, uri, context));
    if found.is_none() {
        duplicates(checks, &all);
    }
    let found = found?;
    checks.ok("token", format!("`{}`, serial {}", found.token.label, found.token.serial));
    pins(checks, &found).then_some(found)
}

/// The state of a token's PINs; whether the user's can be given.
pub(crate) fn pins(checks: &mut Checks, found: &Found) -> bool {
    let (token, details) = (&found.token, &found.token.details);
    let usable = match token.tries {
        _ if token.pin_pad => {
            checks.ok("PIN", "typed at the reader");
            true
        }
        _ if !token.pin_set => {
            let help = how_to_unblock(found);
            checks.fail("PIN", ErrorClass::Locked, "the token has none yet", help);
            false
        }
        PinTries::Locked => {
            checks.fail("PIN", ErrorClass::Locked, "the token has locked it", how_to_unblock(found));
            false
        }
        PinTries::Normal if details.pin_is_due => {
            let detail = match details.pin_kind {
                PinKind::Piv => "it is still its maker's, which everybody knows",
                PinKind::Token => "it has to be changed before use",
            };
            checks.warn("PIN", detail, how_to_change(found));
            true
        }
        PinTries::Normal => {
            checks.ok("PIN", tries_text(PinTries::Normal));
            true
        }
        few => {
            checks.warn("PIN", tries_text(few), "make sure of the PIN before the next try");
            true
        }
    };
    let so = if details.pin_kind == PinKind::Piv { "PUK" } else { "SO PIN" };
    match details.so_tries {
        PinTries::Locked => checks.warn(
            so,
            "the token has locked it: a PIN that is lost cannot be set anew",
            "see that the vault opens by another token, too: claviger token enroll",
        ),
        PinTries::Normal if details.so_pin_is_due => {
            checks.warn(so, "it is still its maker's, which anybody can look up", how_to_change_so(found));
        }
        PinTries::Normal => checks.ok(so, so_tries_text(details)),
        few => checks.warn(so, tries_text(few).replace("PIN", so), "make sure of it before the next try"),
    }
    if !details.writable {
        checks.warn("writing", "the token takes no new keys", "see its papers on how to make it writable");
    }
    usable
}

/// Tokens that are none yet, and none that are: what is missing is made by one command.
pub(crate) fn unfinished(checks: &mut Checks, tokens: &[Found]) {
    if tokens.iter().any(|found| found.token.initialised) {
        return;
    }
    for found in tokens {
        checks.fail(
            "token",
            ErrorClass::TokenAbsent,
            format!("there is none yet in {}", found.token.slot_description.trim()),
            how_to_make(found, tokens),
        );
    }
}

/// Tokens of one module that go by the same name.
pub(crate) fn duplicates(checks: &mut Checks, tokens: &[Found]) {
    let mut by_label: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for found in tokens.iter().filter(|found| found.token.initialised) {
        by_label.entry(&found.token.label).or_default().push(found);
    }
    for (label, same) in by_label.into_iter().filter(|(_, same)| same.len() > 1) {
        let mut serials: Vec<_> = same.iter().map(|found| &found.token.serial).collect();
        serials.sort();
        serials.dedup();
        let detail = format!("{} tokens are called `{label}`", same.len());
        if serials.len() == same.len() {
            let uris: Vec<_> = serials
                .iter()
                .map(|serial| Uri { serial: Some((*serial).clone()), ..Uri::default() }.to_string())
                .collect();
            checks.warn("names", detail, format!("say which by its serial number: {}", uris.join(" or ")));
        } else {
            checks.warn(
                "names",
                format!("{detail} and have the same serial number: nothing tells them apart"),
                "pull all but one, or name the slot: pkcs11:slot-description=",
            );
        }
    }
}
