//! `claviger rotate master --token`: the master key moves to another token.

use super::{
    enroll::{add, has_lost_it, is_on, services, tell_of_yubikey},
    retire::{forget, gone, named, to_be_destroyed, warn_of_a_lone_one},
    yubikey::{self, Alone, not_too_many_touches},
};
use crate::{
    args,
    context::Context,
    enrol::{Schemes, Wanted},
    error::CliError,
    modules::{self, Found},
    open::{self, PinOf},
    output::{self, jobs, text},
    progress::Bar,
    report,
};
use claviger_gate::{KeyFate, RecipientInfo, RecipientState, Retire};
use claviger_token::piv::policies;
use claviger_types::Scheme;
use serde_json::json;
use std::path::Path;

/// How the master key moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) compromised: bool,
    pub(crate) destroy_old: bool,
    /// Also to one YubiKey alone.
    pub(crate) accept_loss: bool,
}

/// How a vault comes under one YubiKey alone here.
const ALONE: Alone = Alone {
    instead: "enroll another token first (claviger token enroll), or give --accept-loss if you mean it",
    better: "enrol another token first: claviger token enroll",
    declined: "the master key was not moved",
};

/// Has a YubiKey that would be left as the only recipient be meant as that.
fn not_alone(
    found: &Found,
    former: &RecipientInfo,
    recipients: &[RecipientInfo],
    how: Move,
) -> Result<(), CliError> {
    let stays = |info: &RecipientInfo| {
        info.state == RecipientState::Active && info.id != former.id && !is_on(info, found)
    };
    if gone(former) || recipients.iter().any(stays) {
        return Ok(());
    }
    yubikey::accept_loss(found, how.accept_loss, &ALONE)
}

/// The move was made before, unless more is wanted than that.
fn on_it_already(former: &RecipientInfo, how: Move, context: &Context) -> Result<(), CliError> {
    let what = format!("the master key is on token `{}` already", text::plain(&former.token_label));
    if how.compromised {
        return Err(CliError::usage(what, "leave --token out to replace it there"));
    }
    report::note(&format!("{what}, and nothing was changed; without --token it gets a new key there"));
    if context.json() { output::print_json(&json!({"job": null})) } else { Ok(()) }
}

/// Moves the master key to another token: enrolled first, then everything is sealed anew without the old one.
pub(crate) fn move_master(
    uri: &str,
    module: Option<&Path>,
    scheme: Option<Scheme>,
    how: Move,
    context: &Context,
) -> Result<(), CliError> {
    let uri = args::token(uri)?;
    context.config_file()?.check_writable()?;
    let config = context.config()?;
    let old = config.token.recipient;
    let found = modules::find(module, &uri, context)?;
    yubikey::may_accept_loss(&found, how.accept_loss)?;
    let api = context.open_as_owner()?;
    // Whatever was cut short is finished first: a token that is being enrolled does not open everything yet.
    let bar = Bar::new();
    let resumed = api.resume(&bar)?;
    drop(bar);
    let former = named(&old.to_string(), &api.status()?.recipients)?;
    if is_on(&former, &found) && !has_lost_it(&former, &found) {
        return on_it_already(&former, how, context);
    }
    // An attempt that was cut short has come as far as this: its key is used, and no second one made.
    let left_over = api.status()?.recipients.into_iter().find(|info| {
        info.state == RecipientState::Active
            && scheme.is_none_or(|it| it == info.scheme)
            && is_on(info, &found)
            && !has_lost_it(info, &found)
    });
    if let Some(info) = &left_over {
        // By it alone everything is opened to be sealed anew.
        let entry = config.backup_tokens.iter().find(|entry| entry.recipient == info.id);
        let touch = entry.and_then(|entry| policies(&entry.profile)).map(|(_, touch)| touch);
        not_too_many_touches(touch, services(api.as_ref())?)?;
    }
    let pin = PinOf::of(&found, config)?;
    not_alone(&found, &former, &api.status()?.recipients, how)?;
    let new = if let Some(info) = left_over {
        report::note(&format!(
            "token `{}` opens the vault already, by its key there",
            text::plain(&info.token_label)
        ));
        info.id
    } else {
        let wanted = Wanted { pin, ..scheme.map_or(Schemes::Pairs, Schemes::One).into() };
        let (new, enrolled) = add(api.as_ref(), &found, &uri, &wanted, context)?;
        if !context.json() {
            output::print(&format!("recipient {new} is active\n{}", jobs::as_text(&enrolled)))?;
        }
        tell_of_yubikey(&found, new, context);
        new
    };
    drop(api);
    let key = if how.destroy_old {
        to_be_destroyed(&former, PinOf::TheTokenMeant, context)?
    } else {
        KeyFate::Kept
    };
    // By the new token alone, from a configuration that names it.
    let mut config = context.config_file()?.read()?;
    // Others may stand before it, whose PIN is not the one that was given.
    config.backup_tokens.sort_by_key(|entry| entry.recipient != new);
    let api = open::vault_without(&config, context, old, pin)?;
    let bar = Bar::new();
    let retire = Retire { compromised: how.compromised, key };
    let is_done = gone(&former) && (former.state == RecipientState::Destroyed || !how.destroy_old);
    let done = if is_done { resumed } else { api.retire(old, &retire, &bar)? };
    drop(bar);
    forget(old, context)?;
    warn_of_a_lone_one(api.as_ref())?;
    let to_change = crate::commands::rotate::to_be_changed(api.as_ref(), how.compromised)?;
    done.map_or(Ok(()), |done| jobs::print(&done, to_change.as_deref(), context.json()))
}
