//! Where the token's PIN comes from: `--pin-fd`, the URI's `pin-source`, the service manager, a person; in that order.

mod new;

pub(crate) use new::{Once, new_pin, so_pin};

use crate::{output::text::plain, prompt};
use claviger_token::{
    PinChain, PinCredential, PinFd, PinFile, PinKind, PinOwner, PinPrompt, PinSource, PinTries, TokenError,
    Uri,
};
use claviger_types::Pin;
use std::{ops::RangeInclusive, sync::Arc};

/// Why a person gave no PIN, for the advice that follows.
const NOT_CONFIRMED: &str = "the last try was not confirmed";
const NO_PIV_PIN: &str = "a PIV PIN has 6 to 8 bytes, and what was given has not; it was not tried";
/// How long a card's PIN is.
const PIV_PIN: RangeInclusive<usize> = 6..=8;

/// Whether a PIN was wanted of somebody, or given, and none was spent.
pub(crate) fn is_unspent(reason: &str) -> bool {
    [NOT_CONFIRMED, NO_PIV_PIN, prompt::INTERRUPTED].iter().any(|known| reason.contains(known))
}

/// The sources of the PIN of the token that this URI names. A descriptor that was named is the only one: another PIN in
/// its place would spend a try on what nobody meant.
pub(crate) fn sources(uri: &Uri, fd: Option<u32>) -> Arc<dyn PinSource> {
    let mut sources: Vec<Box<dyn PinSource>> = Vec::new();
    if let Some(fd) = fd {
        sources.push(only_of(uri, PinFd::new(fd)));
        return Arc::new(Possible(PinChain::new(sources)));
    }
    if let Some(file) = &uri.pin_file {
        sources.push(only_of(uri, PinFile::new(file.clone())));
    }
    if let Some(credential) = PinCredential::from_environment() {
        sources.push(only_of(uri, credential));
    }
    sources.push(Box::new(Person(PinOwner::User)));
    Arc::new(Possible(PinChain::new(sources)))
}

/// The same of a token that stands in for another one, or comes second: a PIN that was given in passing is the other's, and would
/// spend a try here.
pub(crate) fn sources_of_stand_in(uri: &Uri, fd: Option<u32>) -> Arc<dyn PinSource> {
    let mut sources: Vec<Box<dyn PinSource>> = Vec::new();
    if let Some(file) = &uri.pin_file {
        sources.push(only_of(uri, PinFile::new(file.clone())));
    }
    sources.push(Box::new(Person(PinOwner::User)));
    if fd.is_some() || PinCredential::from_environment().is_some() {
        sources.push(Box::new(Anothers));
    }
    Arc::new(Possible(PinChain::new(sources)))
}

/// A PIN of the token that a URI names by its number, and of no other: a key that is looked for may turn up on another card.
fn only_of(uri: &Uri, source: impl PinSource + 'static) -> Box<dyn PinSource> {
    Box::new(OnlyOf { serial: uri.serial.clone(), source })
}

struct OnlyOf<S> {
    serial: Option<String>,
    source: S,
}

impl<S: PinSource> PinSource for OnlyOf<S> {
    fn pin(&self, token: &PinPrompt) -> Result<Pin, TokenError> {
        match &self.serial {
            Some(serial) if *serial != token.token_serial => Err(unavailable(&format!(
                "the PIN that was given is of the token with serial number {}, and is not tried on another",
                plain(serial)
            ))),
            _ => self.source.pin(token),
        }
    }
}

/// A PIN that a token of its kind can have: the driver calls any other wrong, as if it had cost a try.
struct Possible(PinChain);

impl PinSource for Possible {
    fn pin(&self, token: &PinPrompt) -> Result<Pin, TokenError> {
        let pin = self.0.pin(token)?;
        if token.kind == PinKind::Piv && !PIV_PIN.contains(&pin.expose().len()) {
            return Err(unavailable(NO_PIV_PIN));
        }
        Ok(pin)
    }
}

/// A PIN that is not this token's.
struct Anothers;

impl PinSource for Anothers {
    fn pin(&self, _: &PinPrompt) -> Result<Pin, TokenError> {
        Err(unavailable(
            "the PIN of --pin-fd, or the service's, is the first token's and is not tried on another; name this one's with \
             pin-source=file:PATH in its URI",
        ))
    }
}

/// Whether a PIN can be had without asking anybody.
pub(crate) fn unattended(uri: &Uri, fd: Option<u32>) -> bool {
    fd.is_some() || uri.pin_file.is_some() || PinCredential::from_environment().is_some()
}

/// Whoever sits at the terminal, and whose PIN is wanted of them.
struct Person(PinOwner);

impl PinSource for Person {
    fn pin(&self, token: &PinPrompt) -> Result<Pin, TokenError> {
        if !prompt::possible() {
            return Err(unavailable("there is no terminal to ask at"));
        }
        let ask = || {
            let what = name(self.0, token.kind);
            let left = token.left.map_or_else(String::new, |left| format!(", {left} tries left"));
            let state = match token.tries {
                PinTries::Final => {
                    let question = format!("One try is left: another wrong {what} locks the token. Use it?");
                    if !prompt::confirm(&format!("{}: {question}", named(token)))? {
                        return Ok(None);
                    }
                    ", last try"
                }
                _ if token.left.is_some() => &left,
                PinTries::Low => match self.0 {
                    PinOwner::User => ", a wrong PIN was given before",
                    PinOwner::SecurityOfficer => ", a wrong one was given before",
                },
                PinTries::Normal | PinTries::Locked => "",
            };
            prompt::secret(&format!("{what} of {}{state}", named(token))).map(Some)
        };
        match ask() {
            Ok(Some(pin)) => Ok(Pin::new(pin)),
            Ok(None) => Err(unavailable(NOT_CONFIRMED)),
            Err(error) => Err(unavailable(&error.to_string())),
        }
    }
}

/// What a PIN is called.
pub(crate) const fn name(whose: PinOwner, kind: PinKind) -> &'static str {
    match (whose, kind) {
        (PinOwner::User, PinKind::Token) => "PIN",
        (PinOwner::SecurityOfficer, PinKind::Token) => "SO PIN",
        // A YubiKey has other PINs besides.
        (PinOwner::User, PinKind::Piv) => "PIV PIN",
        (PinOwner::SecurityOfficer, PinKind::Piv) => "PUK",
    }
}

fn named(token: &PinPrompt) -> String {
    format!("token `{}`, serial {}", plain(&token.token_label), plain(&token.token_serial))
}

fn unavailable(reason: &str) -> TokenError {
    TokenError::PinUnavailable { reason: reason.to_owned() }
}
