//! `claviger token enroll`: another token opens the vault too.

use super::{
    retire::forget,
    yubikey::{self, YubiKeyArgs},
};
use crate::{
    context::Context,
    enrol::{NewKeys, Schemes, Wanted},
    error::CliError,
    modules::{Found, Way},
    open::{self, PinOf},
    output::{self, jobs, text},
    progress::Bar,
    report,
};
use claviger_gate::{Api, RecipientInfo, RecipientState, Retire, RotateMaster};
use claviger_token::{
    KeyDescription, TokenError, Uri,
    piv::{PinPolicy, TouchPolicy, policies},
};
use claviger_types::{RecipientId, Scheme};
use claviger_vault::{Anchor as _, answer_challenge};
use serde_json::json;
use std::{path::PathBuf, str::FromStr};

const ENROLL_EXAMPLES: &str = "\
Examples:
  claviger token enroll --token 'pkcs11:token=backup?pin-source=file:/home/ada/pin2'
  claviger token enroll --token 'pkcs11:token=backup' --move
  claviger token enroll --request request.json    a key pair on another host
  claviger token enroll --yubikey                 the YubiKey that is plugged in
  claviger token enroll --yubikey --serial 12345678 --touch-policy always
  claviger token enroll --yubikey --management-key-fd 3 3<key

Makes a key pair on the token, has it answer a challenge, and wraps every data key to it too: from then on either token opens \
the vault. Where the vault's first key is a secret key (A256KW, A256GCM), only a host that reaches that token can make new \
services; --move makes it a key pair as well.";

/// Have another token open the vault too
#[derive(Debug, clap::Args)]
#[command(after_help = ENROLL_EXAMPLES)]
pub(super) struct EnrollArgs {
    /// The other token
    #[arg(long, value_name = "URI", required_unless_present_any = ["request", "yubikey"])]
    token: Option<String>,
    /// Its module
    #[arg(long, value_name = "PATH", requires = "token")]
    module: Option<PathBuf>,
    /// How keys are wrapped to it: a key pair's scheme
    #[arg(long, value_name = "SCHEME", value_parser = Scheme::from_str, conflicts_with = "request")]
    scheme: Option<Scheme>,
    /// Make the vault's secret key a key pair as well
    #[arg(long = "move")]
    make_pair: bool,
    /// Make a second key on a token that has one already
    #[arg(long)]
    again: bool,
    /// A request that `token request` made on another host
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "make_pair", "yubikey"])]
    request: Option<PathBuf>,
    #[command(flatten)]
    yubikey: YubiKeyArgs,
}

pub(super) fn enroll(args: &EnrollArgs, context: &Context) -> Result<(), CliError> {
    if let Some(request) = &args.request {
        return super::offline::propose(request, context);
    }
    let uri = args.yubikey.uri(args.token.as_deref())?;
    if let Some(scheme) = args.scheme.filter(|scheme| scheme.is_symmetric()) {
        return Err(CliError::usage(
            format!(
                "{scheme} is a secret key, to which only its own token can wrap; at most one recipient may be that"
            ),
            "leave --scheme out, or take ECDH-ES+A256KW. To make the secret key one on this token: claviger rotate master \
             --token URI",
        ));
    }
    context.config_file()?.check_writable()?;
    let found = args.yubikey.find(args.module.as_deref(), &uri, context)?;
    let api = context.open_as_owner()?;
    if args.make_pair {
        make_pair(api.as_ref(), context)?;
    }
    if !args.again && already(api.as_ref(), &found, context)? {
        return Ok(());
    }
    let piv = args.yubikey.wish(&found, context)?;
    let pin = PinOf::of(&found, context.config()?)?;
    let wanted = Wanted { piv, pin, ..args.scheme.map_or(Schemes::Pairs, Schemes::One).into() };
    let (id, done) = add(api.as_ref(), &found, &uri, &wanted, context)?;
    report(id, &done, context)?;
    tell_of_yubikey(&found, id, context);
    offer_pair(api.as_ref())
}

/// Where the vault has a secret key, says what that means for its other tokens, and what mends it.
pub(super) fn offer_pair(api: &dyn Api) -> Result<(), CliError> {
    if let Some(secret) = secret_key(api)? {
        report::note(&format!(
            "the key on token `{}` is a secret key: only a host that reaches that token can make new services. `claviger \
             rotate master --scheme ECDH-ES+A256KW` makes it a key pair",
            text::plain(&secret.token_label)
        ));
    }
    Ok(())
}

fn secret_key(api: &dyn Api) -> Result<Option<RecipientInfo>, CliError> {
    let is_secret = |info: &RecipientInfo| info.state == RecipientState::Active && info.scheme.is_symmetric();
    Ok(api.status()?.recipients.into_iter().find(is_secret))
}

fn report(id: RecipientId, done: &claviger_gate::JobReport, context: &Context) -> Result<(), CliError> {
    if context.json() {
        return output::print_json(&json!({"recipient": id.to_string(), "job": jobs::as_json(done)}));
    }
    output::print(&format!("recipient {id} is active\n{}", jobs::as_text(done)))
}

/// Two keys on one token are lost together, so a second one helps nobody. Where an earlier attempt was cut short, its work
/// is finished instead.
fn already(api: &dyn Api, found: &Found, context: &Context) -> Result<bool, CliError> {
    let mut present = api.status()?.recipients;
    present.retain(|info| info.state == RecipientState::Active && is_on(info, found));
    // One that works counts, whatever was lost before it.
    present.sort_by_key(|info| has_lost_it(info, found));
    let Some(info) = present.into_iter().next() else { return Ok(false) };
    if has_lost_it(&info, found) {
        report::warning(&format!(
            "the key of the recipient {} is not on `{}` any more, as after a reset; it gets another one. Then: claviger token retire {}",
            info.id,
            text::plain(&info.token_label),
            info.id
        ));
        return Ok(false);
    }
    let bar = Bar::new();
    let left_over = api.resume(&bar)?;
    drop(bar);
    if let Some(done) = left_over {
        report(info.id, &done, context)?;
        return Ok(true);
    }
    report::note(&format!(
        "token `{}` opens the vault already, and got no second key; --again gives it one",
        text::plain(&info.token_label)
    ));
    if context.json() {
        output::print_json(&json!({"recipient": info.id.to_string(), "job": null}))?;
    } else {
        output::print(&format!("recipient {} is active\n", info.id))?;
    }
    Ok(true)
}

/// Whether a YubiKey has its recipient's key no more. It keeps its serial number when it is reset, which any other token does not.
pub(super) fn has_lost_it(info: &RecipientInfo, found: &Found) -> bool {
    found.way == Way::Piv
        && matches!(found.driver.piv_key(&found.uri(), info.id), Err(TokenError::KeyMissing { .. }))
}

pub(super) fn is_on(info: &RecipientInfo, found: &Found) -> bool {
    (&info.token_label, &info.token_serial) == (&found.token.label, &found.token.serial)
}

/// Clears away what an earlier attempt on this token left that was cut short before it answered.
fn clear_left_over(api: &dyn Api, found: &Found, keys: &NewKeys, context: &Context) -> Result<(), CliError> {
    for info in api.status()?.recipients {
        if info.state == RecipientState::PreActive && is_on(&info, found) {
            // A key that was there before is proposed by the same name again.
            if info.id != keys.description()?.recipient {
                match keys.token()?.destroy_sibling(info.id, info.scheme) {
                    // Somebody else's stays.
                    Ok(_) | Err(TokenError::KeyNotOurs { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            api.retire(info.id, &Retire::default(), &claviger_gate::Silent)?;
            forget(info.id, context)?;
        }
    }
    Ok(())
}

/// A key that was there before may be the vault's already, or have been.
fn is_new(api: &dyn Api, key: &KeyDescription) -> Result<(), CliError> {
    let Some(info) = api.status()?.recipients.into_iter().find(|info| info.id == key.recipient) else {
        return Ok(());
    };
    let help = match info.state {
        RecipientState::Active => "nothing is to be done: it opens the vault",
        _ => "have a new key made: leave --existing out. One that was retired is not taken again",
    };
    Err(CliError::usage(
        format!(
            "the key in {} of `{}` is known to the vault: recipient {}, {}",
            text::plain(&key.key_label),
            text::plain(&key.token_label),
            info.id,
            info.state.name()
        ),
        help,
    ))
}

/// Whether the vault has certainly not taken a recipient up. Where it has, or may have, only that key opens what is sealed to it,
/// and the job goes on another time.
fn is_only_proposed(api: &dyn Api, id: RecipientId) -> bool {
    let is_it = |info: &RecipientInfo| info.id == id && info.state == RecipientState::PreActive;
    api.status().is_ok_and(|status| status.recipients.iter().any(is_it))
}

/// How many services the vault has.
pub(crate) fn services(api: &dyn Api) -> Result<usize, CliError> {
    let mut names: Vec<_> = api.list(None)?.into_iter().map(|info| info.service).collect();
    names.dedup();
    Ok(names.len())
}

/// What a YubiKey proves of its new key, and what is amiss with it.
pub(crate) fn tell_of_yubikey(found: &Found, id: RecipientId, context: &Context) {
    let (info, proof) = match yubikey::inspect(found, id, context) {
        Ok(Some(known)) => known,
        Ok(None) => return,
        // What was asked for is done; that nothing contradicts the key was seen before.
        Err(error) => {
            report::warning(&format!(
                "what the YubiKey proves of its new key was not seen: {error}; later: claviger token info"
            ));
            return;
        }
    };
    let label = &found.token.label;
    report::note(&format!("the key is in slot {} of `{label}`, {}", info.slot, proof.text()));
    if (info.pin_policy, info.touch_policy) == (PinPolicy::Never, TouchPolicy::Never) {
        report::warning(&format!(
            "this key asks for neither PIN nor touch: whoever has `{label}`, or may talk to pcscd while it is plugged in, opens the \
             vault's data keys"
        ));
    }
    if info.management_is_default == Some(true) {
        report::warning(&format!(
            "the management key of `{label}` is still its maker's: whoever has it in hand can overwrite its keys. Change it: ykman \
             --device {} piv access change-management-key --generate --protect",
            found.token.serial
        ));
    }
    if found.token.details.pin_is_due {
        report::warning(&format!(
            "the PIN of `{label}` is still its maker's, which everybody knows. Change it: {}",
            super::how_to_change(found)
        ));
    }
    if found.token.details.so_pin_is_due {
        report::warning(&format!(
            "the PUK of `{label}` is still its maker's: whoever has it in hand can set its PIN anew. Change it: {}",
            super::how_to_change_so(found)
        ));
    }
}

/// Makes the vault's secret key a key pair.
fn make_pair(api: &dyn Api, context: &Context) -> Result<(), CliError> {
    if secret_key(api)?.is_some() {
        let how = RotateMaster { scheme: Some(Scheme::EcdhEsA256Kw), ..RotateMaster::default() };
        let bar = Bar::new();
        let done = api.rotate_master(how, &bar)?;
        drop(bar);
        if !context.json() {
            output::print(&jobs::as_text(&done))?;
        }
    }
    Ok(())
}

/// Makes keys on a token, has them answer, takes them up, and notes the token in the configuration.
pub(crate) fn add(
    api: &dyn Api,
    found: &Found,
    uri: &Uri,
    wanted: &Wanted,
    context: &Context,
) -> Result<(RecipientId, claviger_gate::JobReport), CliError> {
    let config = context.config()?;
    let services = services(api)?;
    // Before anybody has to touch anything; what a key that is there wants shows only then.
    let asked = wanted.piv.touch_policy.as_deref().and_then(|policy| policy.parse().ok());
    yubikey::not_too_many_touches(asked, services)?;
    let keys = NewKeys::make(found, uri.pin_file.clone(), wanted, context)?;
    let description = keys.description()?;
    let touch = policies(&description.profile).map(|(_, touch)| touch);
    yubikey::not_too_many_touches(touch, services)?;
    clear_left_over(api, found, &keys, context)?;
    is_new(api, &description)?;
    let proposal = api.propose(&description, keys.pinned_signer())?;
    let answer = answer_challenge(keys.token()?.as_ref(), config.vault, &proposal.challenge)?;
    // In the configuration before the first data key is wrapped to it, so that a crash leaves no key without a name.
    let mut entry = keys.entry()?;
    if keys.keeps_anchors {
        let anchor = open::token_anchor(config.vault, config.host.id, keys.token()?.as_ref(), context)?;
        let seen = api.status()?;
        anchor.reset(claviger_vault::Seen { epoch: seen.epoch, digest: seen.head })?;
    } else {
        entry.anchor = false;
    }
    let signer = keys.signer_entry();
    context.config_file()?.edit(|draft| {
        let now = context.config_file()?.read()?;
        let mut others = now.backup_tokens.clone();
        others.push(entry.clone());
        draft.tokens(&now.token, &others)?;
        let mut signers = now.signers.clone();
        signers.extend(signer.clone());
        draft.signers(&signers)
    })?;
    let bar = Bar::new();
    let done = api.activate(proposal.recipient, answer, &bar);
    drop(bar);
    if done.is_ok() {
        keys.keep();
    } else if !is_only_proposed(api, proposal.recipient) {
        keys.keep();
        report::note(
            "the new key stays, because the vault may have taken it up: the same again, or `claviger rotate resume`, finishes it",
        );
    }
    Ok((proposal.recipient, done?))
}
