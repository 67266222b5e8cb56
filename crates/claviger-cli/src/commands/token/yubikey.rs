//! What only YubiKeys are asked: where on one a key goes, when it asks its owner, and what it says of itself.

use crate::{
    args,
    context::Context,
    error::CliError,
    modules::{self, Found, Way},
    output::text,
    prompt, report,
};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use claviger_gate::ApiError;
use claviger_token::{
    Driver, PivKek, TokenError, Uri,
    piv::{
        PinPolicy, PivKeyInfo, Slot, TouchPolicy,
        attestation::{self, Attested},
    },
};
use claviger_types::RecipientId;
use claviger_vault::VaultError;
use serde_json::{Value, json};
use std::{path::Path, str::FromStr as _};

/// More services than anybody would touch a key for, one after the other.
pub(crate) const MOST_TOUCHES: usize = 50;

/// Why a card could not be looked at where others could: another program may have it for itself.
pub(super) fn unseen(driver: &dyn Driver) -> Option<TokenError> {
    // No card has this number.
    modules::unseen_card(driver, &Uri { serial: Some("none".to_owned()), ..Uri::default() })
}

/// Which YubiKey, and what its key is to be like.
#[derive(Debug, clap::Args)]
pub(crate) struct YubiKeyArgs {
    /// A YubiKey, without any module: the only one that is plugged in, or --serial
    #[arg(long, conflicts_with_all = ["token", "module"], help_heading = "YubiKey")]
    yubikey: bool,
    /// Which YubiKey, by the number that is printed on it
    #[arg(long, value_name = "N", requires = "yubikey", help_heading = "YubiKey")]
    serial: Option<u32>,
    /// Its slot for the key: 9d, or 82 to 95 [default: the first that is free]
    #[arg(long, value_name = "SLOT", value_parser = slot, help_heading = "YubiKey")]
    slot: Option<Slot>,
    /// When the key wants the PIN [default: once, until the YubiKey is unplugged]
    #[arg(long, value_name = "WHEN", value_parser = pin_policy(), help_heading = "YubiKey")]
    pin_policy: Option<PinPolicy>,
    /// When the key wants a touch [default: cached, at most every 15 seconds]
    #[arg(long, value_name = "WHEN", value_parser = touch_policy(), help_heading = "YubiKey")]
    touch_policy: Option<TouchPolicy>,
    /// Take the key that is in the slot instead of making one
    #[arg(long, conflicts_with_all = ["pin_policy", "touch_policy"], help_heading = "YubiKey")]
    existing: bool,
}

fn slot(text: &str) -> Result<Slot, String> {
    let slot = Slot::from_str(text).ok().filter(|slot| slot.is_home());
    slot.ok_or_else(|| "a master key goes into slot 9d, or 82 to 95".to_owned())
}

fn pin_policy() -> impl clap::builder::TypedValueParser<Value = PinPolicy> {
    let usual = [PinPolicy::Once, PinPolicy::Always, PinPolicy::Never];
    PossibleValuesParser::new(usual.map(PinPolicy::name)).try_map(|name| name.parse::<PinPolicy>())
}

fn touch_policy() -> impl clap::builder::TypedValueParser<Value = TouchPolicy> {
    let all = [TouchPolicy::Cached, TouchPolicy::Always, TouchPolicy::Never];
    PossibleValuesParser::new(all.map(TouchPolicy::name)).try_map(|name| name.parse::<TouchPolicy>())
}

impl YubiKeyArgs {
    /// The token that is meant: a YubiKey, or what `--token` says.
    pub(crate) fn uri(&self, token: Option<&str>) -> Result<Uri, CliError> {
        if !self.yubikey {
            // The parser lets it pass beside --token, with which --yubikey cannot be.
            if self.serial.is_some() {
                return Err(CliError::usage(
                    "--serial says which YubiKey, and --token says which token by itself",
                    "say --yubikey in place of --token, or serial=N in its URI",
                ));
            }
            return args::token(token.unwrap_or_default());
        }
        let serial = self.serial.map(|serial| serial.to_string());
        Ok(Way::Piv.to(&Uri { serial, ..Uri::default() }))
    }

    /// The one that is there.
    pub(crate) fn find(
        &self,
        module: Option<&Path>,
        uri: &Uri,
        context: &Context,
    ) -> Result<Found, CliError> {
        let serials = |uris: &[String]| -> Vec<String> {
            uris.iter().filter_map(|uri| uri.parse::<Uri>().ok()?.serial).collect()
        };
        let found = modules::find(module, uri, context).map_err(|error| match error {
            CliError::Api(ApiError::Vault(VaultError::Token(error))) if self.yubikey => match error {
                TokenError::AmbiguousUri { matches, .. } => CliError::usage(
                    format!("more than one YubiKey is plugged in: {}", serials(&matches).join(", ")),
                    "say which with --serial N: the number is printed on it",
                ),
                TokenError::TokenAbsent { present, .. } => {
                    CliError::NoYubiKey { serial: self.serial, present: serials(&present) }
                }
                error => error.into(),
            },
            error => error,
        })?;
        // Where nothing says which, one that cannot be seen may be meant as well.
        let is_named = uri.serial.is_some() || uri.token.is_some() || uri.slot_description.is_some();
        if found.way == Way::Piv
            && !is_named
            && let Some(error) = unseen(found.driver.as_ref())
        {
            return Err(error.into());
        }
        Ok(found)
    }

    /// What its key is to be like. Of any other token none of that may be asked.
    pub(crate) fn wish(&self, found: &Found, context: &Context) -> Result<PivKek, CliError> {
        let Self { slot, pin_policy, touch_policy, existing, .. } = self;
        let wish = PivKek {
            slot: slot.map(|slot| slot.to_string()),
            pin_policy: pin_policy.map(|policy| policy.to_string()),
            touch_policy: touch_policy.map(|policy| policy.to_string()),
            existing: *existing,
        };
        // It would be found out by the key that was made.
        if *pin_policy == Some(PinPolicy::Always) && context.pin_fd().is_some() {
            return Err(CliError::usage(
                "a key that wants the PIN at each use cannot have it from --pin-fd, which is read once",
                "leave --pin-fd out: name a file with pin-source=file:PATH in the token's URI, or be asked at each use; or take \
                 --pin-policy once",
            ));
        }
        if found.way == Way::Piv || wish == PivKek::default() {
            return Ok(wish);
        }
        Err(CliError::usage(
            "--slot, --pin-policy, --touch-policy and --existing are for YubiKeys, by the PIV driver",
            "say --yubikey, or module-name=piv in the token's URI",
        ))
    }
}

/// Refuses a key that wants a touch at each use where there would be too many, as at each rotation of the master key.
pub(crate) fn not_too_many_touches(touch: Option<TouchPolicy>, services: usize) -> Result<(), CliError> {
    if touch != Some(TouchPolicy::Always) || services <= MOST_TOUCHES {
        return Ok(());
    }
    Err(CliError::usage(
        format!(
            "the key wants a touch at each use, and the vault has {services} services: a rotation would take that many"
        ),
        format!("take --touch-policy cached; always is for at most {MOST_TOUCHES} services"),
    ))
}

/// What is said where a vault would be under one YubiKey alone.
pub(crate) struct Alone {
    /// What to give where nobody can be asked.
    pub(crate) instead: &'static str,
    /// What is better.
    pub(crate) better: &'static str,
    /// What was not done where it is declined.
    pub(crate) declined: &'static str,
}

/// Refuses the acceptance of a loss where nobody would be asked for it.
pub(crate) fn may_accept_loss(found: &Found, accepted: bool) -> Result<(), CliError> {
    if found.way == Way::Piv || !accepted {
        return Ok(());
    }
    Err(CliError::usage(
        "--accept-loss is for a vault under one YubiKey alone",
        "leave it out; any other token is warned about, and taken",
    ))
}

/// Has whoever puts a vault under one YubiKey alone say that they know what that means.
pub(crate) fn accept_loss(found: &Found, accepted: bool, alone: &Alone) -> Result<(), CliError> {
    const SENTENCE: &str = "I accept to lose everything";

    if found.way != Way::Piv || accepted {
        return Ok(());
    }
    if !prompt::possible() {
        return Err(CliError::NoTerminal {
            question: "whether a vault under one YubiKey alone is meant",
            instead: alone.instead,
            pin: false,
        });
    }
    report::warning(&format!(
        "`{}` alone would open the vault: a YubiKey that is lost or breaks takes everything in it along. Better {}",
        found.token.label, alone.better
    ));
    if prompt::line(&format!("To go on with one, type: {SENTENCE}"))?.trim() == SENTENCE {
        return Ok(());
    }
    Err(CliError::Declined { what: alone.declined })
}

/// What a YubiKey proves of a key.
pub(crate) enum Proof {
    /// That it made the key.
    Attested(Box<Attested>),
    /// Nothing that holds, and why.
    Unproven(String),
}

/// What a YubiKey says of a key, and who vouches for that.
pub(crate) type Inspected = (PivKeyInfo, Proof);

/// What is known of the vault's key on a YubiKey, and whether its maker vouches for that; nothing of any other token.
pub(crate) fn inspect(
    found: &Found,
    recipient: RecipientId,
    context: &Context,
) -> Result<Option<Inspected>, CliError> {
    let Some(info) = found.driver.piv_key(&found.token.uri, recipient)? else { return Ok(None) };
    let proof = prove(&info, found, recipient, context)?;
    Ok(Some((info, proof)))
}

/// Refuses a new key of which a YubiKey, in its maker's name, says something else than it shows. What else goes wrong with
/// looking is said when the key is taken up.
pub(crate) fn not_contradicted(
    found: &Found,
    recipient: RecipientId,
    context: &Context,
) -> Result<(), CliError> {
    match inspect(found, recipient, context) {
        Err(error @ CliError::Api(ApiError::Vault(VaultError::Token(TokenError::Refused { .. })))) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn prove(
    info: &PivKeyInfo,
    found: &Found,
    recipient: RecipientId,
    context: &Context,
) -> Result<Proof, CliError> {
    let Some((statement, signer)) = &info.attestation else {
        return Ok(Proof::Unproven("the YubiKey certifies nothing of it".to_owned()));
    };
    let attested = match attestation::verify(statement, signer, &context.modules()?.attestation_roots()?) {
        Ok(attested) => attested,
        Err(error) => return Ok(Proof::Unproven(error.to_string())),
    };
    if is_of(&attested, info, &found.token.serial, recipient) {
        return Ok(Proof::Attested(Box::new(attested)));
    }
    Err(TokenError::Refused {
        finding: "what it certifies of the key in that slot is another key's, another card's, or says other policies"
            .to_owned(),
    }
    .into())
}

/// Whether what is certified is this key in this card: one key certifies for a whole batch of cards.
fn is_of(attested: &Attested, info: &PivKeyInfo, serial: &str, recipient: RecipientId) -> bool {
    let name = claviger_token::software::name_of(&attested.public_key);
    RecipientId::from_bytes(name) == recipient
        && attested.slot == info.slot.byte()
        && attested.serial.is_none_or(|stated| stated.to_string() == serial)
        && (attested.pin_policy, attested.touch_policy) == (info.pin_policy, info.touch_policy)
}

impl Proof {
    /// In words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Attested(attested) => {
                format!(
                    "made in this YubiKey and nowhere else, by the word of {}",
                    text::plain(&attested.root)
                )
            }
            Self::Unproven(why) => format!("not proven to be made in a YubiKey: {}", text::plain(why)),
        }
    }
}

/// Rows about the vault's key for `token info`.
pub(crate) fn rows(info: &PivKeyInfo, proof: &Proof) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("slot", info.slot.to_string()),
        ("PIN policy", info.pin_policy.to_string()),
        ("touch policy", info.touch_policy.to_string()),
        ("origin", origin(info).to_owned()),
        ("attestation", proof.text()),
    ];
    if let Proof::Attested(attested) = proof
        && let Some(form) = &attested.form_factor
    {
        rows.push(("form", form.name().to_owned()));
    }
    rows.push(("management", management(info)));
    rows
}

fn origin(info: &PivKeyInfo) -> &'static str {
    match info.made_there {
        Some(true) => "made there",
        Some(false) => "brought there: there may be copies of it elsewhere",
        None => "not told by this firmware",
    }
}

/// The management key's state, and what is amiss with it.
fn management(info: &PivKeyInfo) -> String {
    let name = info.management.name();
    match (info.management_is_default, info.management_is_on_card) {
        (Some(true), _) => format!(
            "{name}, still its maker's: whoever has the YubiKey in hand can overwrite its keys; change it: ykman piv access \
             change-management-key --generate --protect"
        ),
        (_, true) => format!("{name}, kept on the YubiKey behind the PIN"),
        (None, false) => format!("{name}, not told whether it is still its maker's"),
        (Some(false), false) => format!("{name}, its owner's"),
    }
}

fn firmware((major, minor, patch): (u8, u8, u8)) -> String {
    format!("{major}.{minor}.{patch}")
}

/// The same as JSON.
pub(crate) fn as_json(info: &PivKeyInfo, proof: &Proof) -> Value {
    let attested = match proof {
        Proof::Attested(attested) => json!({
            "proven": true,
            "root": attested.root,
            "serial": attested.serial,
            "firmware": firmware(attested.firmware),
            "form_factor": attested.form_factor.map(attestation::FormFactor::name),
        }),
        Proof::Unproven(why) => json!({"proven": false, "reason": why}),
    };
    json!({
        "slot": info.slot.to_string(),
        "pin_policy": info.pin_policy.name(),
        "touch_policy": info.touch_policy.name(),
        "made_there": info.made_there,
        "attestation": attested,
        "management_key": {
            "algorithm": info.management.name(),
            "default": info.management_is_default,
            "on_card": info.management_is_on_card,
        },
    })
}

#[cfg(test)]
mod tests;
