//! Making tokens, and their PINs.

mod refusal;

use self::refusal::{incorrect, locked, refused, refused_to_set};
use super::{
    fault::Fault,
    ffi::Session,
    login::Login,
    module::{Module, with_patience},
    slots,
};
use crate::{
    Erase, MAX_LABEL_BYTES, NewToken, PinKind, PinOwner, PinPrompt, PinSource, PinTries, TokenError,
    TokenSummary, Uri,
};
use claviger_types::Pin;
use cryptoki::{
    error::RvError,
    object::{Attribute, AttributeType},
};
use cryptoki_sys::{CK_SLOT_ID as Slot, CKU_SO, CKU_USER};
use std::sync::Arc;

/// What the labels of this program's keys, and the application of its other objects, begin with.
const OURS: &[u8] = b"claviger";
/// Objects that are looked at before a token is erased; no token has more.
const MOST_OBJECTS: usize = 1 << 16;

/// See [`crate::TokenAdmin::init_token`].
pub(super) fn init_token(module: &Arc<Module>, new: &NewToken<'_>) -> Result<TokenSummary, TokenError> {
    let label = padded(new.label)?;
    let (slot, token) = choose(module, new.uri, new.slot)?;
    if token.initialised {
        may_be_erased(module, slot, &token, &new.erase)?;
    }
    if !token.details.writable {
        return Err(TokenError::TokenReadOnly);
    }
    let pin = ask(new.so_pin, &token, PinOwner::SecurityOfficer)?;
    if !token.initialised {
        pin.as_ref().map_or(Ok(()), |pin| token.details.takes(pin))?;
    }
    module.raw.init_token(slot, pin.as_ref().map(Pin::expose), label).map_err(|fault| match fault.rv {
        // tpm2-pkcs11 1.9: a token is initialised once.
        RvError::ArgumentsBad | RvError::FunctionNotSupported if token.initialised => {
            TokenError::EraseRefused { token: token.label.clone() }
        }
        _ => refused_to_set(fault, PinOwner::SecurityOfficer, module, slot),
    })?;
    drop(pin);
    let made = with_patience(|| slots::summary(module, slot))?;
    // SoftHSM shows a new token in another slot, and a new free one, only after this. Where it cannot be done because others
    // use the module, or does not help, the token is where it was made, and its URI is the same.
    let uri = Uri { serial: made.uri.serial.clone(), token: made.uri.token.clone(), ..Uri::default() };
    match module.restart().and_then(|_| slots::select(module, &uri)) {
        Ok((_, token)) => Ok(token),
        Err(_) => Ok(made),
    }
}

/// See [`crate::TokenAdmin::set_pin`].
pub(super) fn set_pin(
    module: &Module,
    uri: &Uri,
    so_pin: &dyn PinSource,
    new: &dyn PinSource,
) -> Result<(), TokenError> {
    let mut desk = Desk::open(module, uri, PinOwner::SecurityOfficer, so_pin, new)?;
    desk.log_in()?;
    let (raw, session) = (&module.raw, desk.session.handle());
    let set = raw.init_pin(session, desk.new.as_ref().map(Pin::expose));
    set.map_err(|fault| refused_to_set(fault, desk.whose, module, desk.slot))
}

/// See [`crate::TokenAdmin::change_pin`].
pub(super) fn change_pin(
    module: &Module,
    uri: &Uri,
    whose: PinOwner,
    old: &dyn PinSource,
    new: &dyn PinSource,
) -> Result<(), TokenError> {
    let mut desk = Desk::open(module, uri, whose, old, new)?;
    // Many modules would change it without a login. With one, what they refuse is the old PIN here and the new one below.
    desk.log_in()?;
    let (old, new) = (desk.old.as_ref().map(Pin::expose), desk.new.as_ref().map(Pin::expose));
    let set = module.raw.set_pin(desk.session.handle(), old, new);
    set.map_err(|fault| refused_to_set(fault, whose, module, desk.slot))
}

/// A session on which a PIN is about to be set, with all that is needed for it. Whoever it logs in is logged out at its end;
/// a login that others in this process stand on is left alone.
struct Desk<'a> {
    module: &'a Module,
    slot: Slot,
    whose: PinOwner,
    old: Option<Pin>,
    new: Option<Pin>,
    session: Session,
    logged_in: bool,
}

impl<'a> Desk<'a> {
    /// Everything is asked for before anything is tried.
    fn open(
        module: &'a Module,
        uri: &Uri,
        whose: PinOwner,
        old: &dyn PinSource,
        new: &dyn PinSource,
    ) -> Result<Self, TokenError> {
        let (slot, token) = slots::select(module, uri)?;
        if !token.details.writable {
            return Err(TokenError::TokenReadOnly);
        }
        let old = ask(old, &token, whose)?;
        let new = ask_new(new, &token)?;
        new.as_ref().map_or(Ok(()), |pin| token.details.takes(pin))?;
        let session = with_patience(|| Session::open(&module.raw, slot, true))?;
        Ok(Self { module, slot, whose, old, new, session, logged_in: false })
    }

    /// Tries the PIN, once.
    fn log_in(&mut self) -> Result<(), TokenError> {
        let user = match self.whose {
            PinOwner::User => CKU_USER,
            PinOwner::SecurityOfficer => CKU_SO,
        };
        let pin = self.old.as_ref().map(Pin::expose);
        match self.module.raw.login_as(self.session.handle(), user, pin) {
            Ok(()) => {
                self.logged_in = true;
                Ok(())
            }
            // What a PIN must be, this one is not: so it is not the right one.
            Err(Fault { rv: RvError::PinInvalid | RvError::PinLenRange, .. }) => {
                Err(incorrect(self.whose, self.module, self.slot))
            }
            // One that has expired is changed without a login: its owner is at it.
            Err(Fault { rv: RvError::UserAlreadyLoggedIn | RvError::PinExpired, .. }) => Ok(()),
            Err(fault) => Err(refused(fault, self.whose, self.module, self.slot)),
        }
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        if self.logged_in {
            // Closing the session would do it, unless this process has another.
            let _ = self.module.raw.logout(self.session.handle());
        }
    }
}

/// The one token that is meant: by the URI or the slot, or else the only one that is none yet.
fn choose(module: &Module, uri: &Uri, slot: Option<u64>) -> Result<(Slot, TokenSummary), TokenError> {
    let anything = Uri { module_path: uri.module_path.clone(), ..Uri::default() };
    let named = slot.is_some() || uri.of_token() != anything;
    let mut fitting = slots::all(module)?;
    let free = |token: &TokenSummary| !token.initialised;
    let present = fitting.iter().filter(|(_, token)| free(token)).map(shown).collect();
    fitting.retain(|(number, token)| {
        (named || free(token)) && slots::fits(uri, token) && slot.is_none_or(|slot| slot == *number)
    });
    match fitting.pop() {
        Some(one) if fitting.is_empty() => Ok(one),
        Some(one) => {
            fitting.push(one);
            let matches = fitting.iter().map(shown).collect();
            Err(TokenError::AmbiguousUri { uri: uri.of_token().to_string(), matches })
        }
        None => Err(TokenError::TokenAbsent { uri: uri.of_token().to_string(), present }),
    }
}

fn shown((slot, token): &(Slot, TokenSummary)) -> String {
    format!("{} (slot {slot})", token.uri)
}

/// Refuses what nobody said may be lost.
fn may_be_erased(module: &Module, slot: Slot, token: &TokenSummary, erase: &Erase) -> Result<(), TokenError> {
    let pin = match erase {
        Erase::Nothing => return Err(TokenError::AlreadyInitialised { token: token.label.clone() }),
        Erase::Everything => return Ok(()),
        Erase::UnlessKeys(pin) => pin,
    };
    let session = with_patience(|| Session::open(&module.raw, slot, false))?;
    // Without a user PIN nobody can have made a private object.
    if token.pin_set {
        Login::new(pin).log_in(module, &session, slot, || {})?;
    }
    let keys = ours(&session)?;
    if keys.is_empty() { Ok(()) } else { Err(TokenError::KeysOnToken { token: token.label.clone(), keys }) }
}

/// The labels of the objects that look like a vault's, each once.
fn ours(session: &Session) -> Result<Vec<String>, Fault> {
    let mut labels = Vec::new();
    for object in session.find(&[], MOST_OBJECTS)? {
        let label = match session.attribute(object, AttributeType::Label)? {
            Some(Attribute::Label(label)) => label,
            _ => Vec::new(),
        };
        let application = match session.attribute(object, AttributeType::Application)? {
            Some(Attribute::Application(application)) => application,
            _ => Vec::new(),
        };
        if label.starts_with(OURS) || application.starts_with(OURS) {
            labels.push(String::from_utf8_lossy(&label).into_owned());
        }
    }
    labels.sort();
    labels.dedup();
    Ok(labels)
}

/// The PIN that is to be tried; none where it is typed at the reader.
fn ask(source: &dyn PinSource, token: &TokenSummary, whose: PinOwner) -> Result<Option<Pin>, TokenError> {
    let tries = match whose {
        PinOwner::User => token.tries,
        PinOwner::SecurityOfficer => token.details.so_tries,
    };
    if tries == PinTries::Locked {
        return Err(locked(whose));
    }
    if whose == PinOwner::User && !token.pin_set {
        let reason = format!("token `{}` has none yet, so there is none to change", token.label);
        return Err(TokenError::PinUnavailable { reason });
    }
    if token.pin_pad {
        return Ok(None);
    }
    let asked = source.pin(&prompt(token, tries)).map(Some);
    asked.map_err(|error| match (whose, error) {
        (PinOwner::SecurityOfficer, TokenError::PinUnavailable { reason }) => {
            TokenError::SoPinUnavailable { reason }
        }
        (_, error) => error,
    })
}

/// The PIN that is to be set; none where it is typed at the reader.
fn ask_new(source: &dyn PinSource, token: &TokenSummary) -> Result<Option<Pin>, TokenError> {
    if token.pin_pad {
        return Ok(None);
    }
    source.pin(&prompt(token, PinTries::Normal)).map(Some).map_err(|error| match error {
        TokenError::PinUnavailable { reason } => TokenError::NewPinRefused { reason },
        error => error,
    })
}

fn prompt(token: &TokenSummary, tries: PinTries) -> PinPrompt {
    PinPrompt {
        token_label: token.label.clone(),
        token_serial: token.serial.clone(),
        tries,
        left: None,
        kind: PinKind::Token,
    }
}

/// A label as C takes it: 32 bytes, filled up with blanks.
fn padded(label: &str) -> Result<[u8; MAX_LABEL_BYTES], TokenError> {
    let unusable = |reason: &'static str| TokenError::LabelUnusable { reason: reason.into() };
    if label.trim() != label || label.is_empty() {
        return Err(unusable("it is empty, or begins or ends with a blank"));
    }
    if label.chars().any(char::is_control) {
        return Err(unusable("it has a character that is none to see"));
    }
    let mut padded = [b' '; MAX_LABEL_BYTES];
    let bytes = padded.get_mut(..label.len());
    bytes.ok_or_else(|| unusable("it has more than 32 bytes"))?.copy_from_slice(label.as_bytes());
    Ok(padded)
}

#[cfg(test)]
mod tests;
