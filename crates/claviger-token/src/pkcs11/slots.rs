//! The tokens that a module shows, and the one that a URI means.

use super::module::{Module, with_patience};
use crate::{PinKind, PinTries, TokenDetails, TokenError, TokenSummary, Uri, pkcs11::fault::Fault};
use cryptoki_sys::{
    CK_FLAGS, CK_SLOT_ID as Slot, CK_TOKEN_INFO, CK_UNAVAILABLE_INFORMATION, CK_VERSION, CKF_LOGIN_REQUIRED,
    CKF_PROTECTED_AUTHENTICATION_PATH, CKF_SO_PIN_COUNT_LOW, CKF_SO_PIN_FINAL_TRY, CKF_SO_PIN_LOCKED,
    CKF_SO_PIN_TO_BE_CHANGED, CKF_TOKEN_INITIALIZED, CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_INITIALIZED, CKF_USER_PIN_LOCKED, CKF_USER_PIN_TO_BE_CHANGED, CKF_WRITE_PROTECTED,
};

/// The tokens that the module shows, initialised or not.
pub(super) fn list(module: &Module) -> Result<Vec<TokenSummary>, TokenError> {
    Ok(all(module)?.into_iter().map(|(_, summary)| summary).collect())
}

/// The one initialised token that fits the URI.
pub(super) fn select(module: &Module, uri: &Uri) -> Result<(Slot, TokenSummary), TokenError> {
    let present = all(module)?;
    let shown =
        |tokens: &mut dyn Iterator<Item = &TokenSummary>| tokens.map(|token| token.uri.to_string()).collect();
    let mut fitting = present.iter().filter(|(_, token)| token.initialised && fits(uri, token));
    match (fitting.next(), fitting.next()) {
        (Some((slot, token)), None) => Ok((*slot, token.clone())),
        (None, _) => Err(TokenError::TokenAbsent {
            uri: uri.of_token().to_string(),
            present: shown(&mut present.iter().map(|(_, token)| token).filter(|token| token.initialised)),
        }),
        (Some(_), Some(_)) => Err(TokenError::AmbiguousUri {
            uri: uri.of_token().to_string(),
            matches: shown(
                &mut present
                    .iter()
                    .map(|(_, token)| token)
                    .filter(|token| token.initialised && fits(uri, token)),
            ),
        }),
    }
}

/// What the token in this slot says about itself now.
pub(super) fn summary(module: &Module, slot: Slot) -> Result<TokenSummary, Fault> {
    let info = module.raw.token_info(slot)?;
    let slot_info = module.raw.slot_info(slot)?;
    let has = |flag: CK_FLAGS| info.flags & flag != 0;
    let (label, manufacturer) = (padded(&info.label), padded(&info.manufacturerID));
    let (model, serial) = (padded(&info.model), padded(&info.serialNumber));
    let initialised = has(CKF_TOKEN_INITIALIZED);
    let slot_description = padded(&slot_info.slotDescription);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let uri = Uri {
        // A token that is none yet may have no other name than its slot's.
        slot_description: some(&slot_description).filter(|_| !initialised),
        model: some(&model),
        manufacturer: some(&manufacturer),
        serial: some(&serial),
        token: some(&label),
        ..Uri::default()
    };
    Ok(TokenSummary {
        label,
        serial,
        manufacturer,
        model,
        slot_description,
        slot_manufacturer: padded(&slot_info.manufacturerID),
        initialised,
        pin_set: has(CKF_USER_PIN_INITIALIZED),
        pin_pad: has(CKF_PROTECTED_AUTHENTICATION_PATH),
        tries: tries(info.flags),
        uri,
        details: details(slot, &info),
    })
}

fn details(slot: Slot, info: &CK_TOKEN_INFO) -> TokenDetails {
    // SoftHSM says of a token that is none yet that its PINs are locked.
    let flags = if info.flags & CKF_TOKEN_INITIALIZED == 0 { 0 } else { info.flags };
    let has = |flag: CK_FLAGS| flags & flag != 0;
    let version = |version: &CK_VERSION| format!("{}.{}", version.major, version.minor);
    // What a token does not tell it gives as all ones, and some as nothing of nothing.
    let told = |bytes| bytes != CK_UNAVAILABLE_INFORMATION && info.ulTotalPrivateMemory != 0;
    TokenDetails {
        slot,
        hardware: version(&info.hardwareVersion),
        firmware: version(&info.firmwareVersion),
        free_memory: Some(info.ulFreePrivateMemory).filter(|free| told(*free)),
        writable: info.flags & CKF_WRITE_PROTECTED == 0,
        tries_left: None,
        so_tries: so_tries(flags),
        so_tries_left: None,
        pin_kind: PinKind::Token,
        pin_is_due: has(CKF_USER_PIN_TO_BE_CHANGED),
        so_pin_is_due: has(CKF_SO_PIN_TO_BE_CHANGED),
        shortest_pin: info.ulMinPinLen,
        longest_pin: info.ulMaxPinLen,
    }
}

/// Whether the token in this slot wants a login at all.
pub(super) fn wants_login(module: &Module, slot: Slot) -> Result<bool, Fault> {
    Ok(module.raw.token_info(slot)?.flags & CKF_LOGIN_REQUIRED != 0)
}

/// What the token's flags say about tries: the worst of what is set.
pub(super) const fn tries(flags: CK_FLAGS) -> PinTries {
    if flags & CKF_USER_PIN_LOCKED != 0 {
        PinTries::Locked
    } else if flags & CKF_USER_PIN_FINAL_TRY != 0 {
        PinTries::Final
    } else if flags & CKF_USER_PIN_COUNT_LOW != 0 {
        PinTries::Low
    } else {
        PinTries::Normal
    }
}

/// The same of the security officer's PIN.
const fn so_tries(flags: CK_FLAGS) -> PinTries {
    if flags & CKF_SO_PIN_LOCKED != 0 {
        PinTries::Locked
    } else if flags & CKF_SO_PIN_FINAL_TRY != 0 {
        PinTries::Final
    } else if flags & CKF_SO_PIN_COUNT_LOW != 0 {
        PinTries::Low
    } else {
        PinTries::Normal
    }
}

/// Every token, with the slot that it is in.
pub(super) fn all(module: &Module) -> Result<Vec<(Slot, TokenSummary)>, TokenError> {
    let slots = with_patience(|| module.raw.slots())?;
    // A token that cannot say who it is (it was just pulled, its reader is sick) does not hide the others.
    Ok(slots.into_iter().filter_map(|slot| Some((slot, summary(module, slot).ok()?))).collect())
}

/// Whether this is what the URI says of a token and its slot.
pub(super) fn fits(uri: &Uri, token: &TokenSummary) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
    same(&uri.token, &token.label)
        && same(&uri.serial, &token.serial)
        && same(&uri.manufacturer, &token.manufacturer)
        && same(&uri.model, &token.model)
        && same(&uri.slot_description, &token.slot_description)
        && same(&uri.slot_manufacturer, &token.slot_manufacturer)
}

/// Text that PKCS#11 pads with blanks, and some modules with zeros.
fn padded(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches([' ', '\0']).to_owned()
}

#[cfg(test)]
mod tests;
