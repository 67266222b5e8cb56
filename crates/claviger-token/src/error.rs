//! What can go wrong with a token, by what the caller can do about it.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why the token could not do what was asked.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TokenError {
    /// The PIN is wrong; it is never tried again by itself.
    #[error("the PIN is wrong{}", tries_text(*tries_left))]
    PinIncorrect {
        /// How many tries the token has left, where it tells.
        tries_left: Option<u8>,
    },
    /// The token has locked its PIN.
    #[error("the token has locked its PIN; unblock it with the SO PIN or PUK")]
    PinLocked,
    /// No PIN could be had.
    #[error("no PIN: {reason}")]
    PinUnavailable {
        /// Why, and what to do.
        reason: String,
    },
    /// The file that holds the PIN can be read by others.
    #[error("the PIN file {path} is open to others; run: chmod 600 {path}")]
    PinFileExposed {
        /// Its path.
        path: String,
    },
    /// The security officer's PIN is wrong; it is never tried again by itself.
    #[error("the SO PIN is wrong{}", tries_text(*tries_left))]
    SoPinIncorrect {
        /// How many tries the token has left, where it tells.
        tries_left: Option<u8>,
    },
    /// The token has locked the security officer's PIN.
    #[error("the token has locked its SO PIN")]
    SoPinLocked,
    /// The security officer's PIN could not be had.
    #[error("no SO PIN: {reason}")]
    SoPinUnavailable {
        /// Why.
        reason: String,
    },
    /// A PIN that is to be the new one cannot be; the present one was not spent or has been right.
    #[error("the new PIN cannot be set: {reason}")]
    NewPinRefused {
        /// Why not.
        reason: String,
    },
    /// The token is initialised, and nobody said that it may be erased.
    #[error("token `{token}` is initialised already: doing it again would erase everything on it")]
    AlreadyInitialised {
        /// Its label.
        token: String,
    },
    /// The token that was to be erased has keys of a vault on it.
    #[error("token `{token}` has keys of a vault on it, which would be lost for ever: {}", keys.join(", "))]
    KeysOnToken {
        /// Its label.
        token: String,
        /// Their labels.
        keys: Vec<String>,
    },
    /// The token's module initialises no token a second time.
    #[error("token `{token}` cannot be erased: its module does not initialise a token twice")]
    EraseRefused {
        /// Its label.
        token: String,
    },
    /// Somebody else is using the token, and what was asked for wants it alone.
    #[error("the token is in use: another program, or another part of this one, has a session on it")]
    TokenBusy,
    /// The token takes no changes.
    #[error("the token is write-protected")]
    TokenReadOnly,
    /// A token cannot have this label.
    #[error("a token cannot have this label: {reason}")]
    LabelUnusable {
        /// Why not.
        reason: Cow<'static, str>,
    },
    /// No token fits the URI.
    #[error("no token fits `{uri}`{}", present_text(present))]
    TokenAbsent {
        /// What was looked for, without any PIN.
        uri: String,
        /// The tokens that are there.
        present: Vec<String>,
    },
    /// More than one token or key fits the URI.
    #[error("`{uri}` fits more than one: {}", matches.join(", "))]
    AmbiguousUri {
        /// What was looked for.
        uri: String,
        /// All that fit.
        matches: Vec<String>,
    },
    /// The URI is not one.
    #[error("`{uri}` is no PKCS#11 URI (RFC 7512): {reason}")]
    Uri {
        /// The text, without any PIN.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The token is there, the key is not.
    #[error("the token has no key {key}")]
    KeyMissing {
        /// Which key.
        key: String,
    },
    /// The wrapped key is this recipient's but does not unwrap: it was changed or damaged.
    #[error("the wrapped key is damaged: the token refuses it")]
    CorruptWrappedKey,
    /// Nobody touched the token in time.
    #[error("the token was not touched in time")]
    TouchTimeout,
    /// The module cannot be loaded.
    #[error("the PKCS#11 module {module} cannot be loaded: {reason}")]
    ModuleUnusable {
        /// Its path.
        module: String,
        /// Why.
        reason: String,
    },
    /// A call into the module failed.
    #[error("the PKCS#11 module failed: {function} answered {ckr}")]
    ModuleFailed {
        /// The C function.
        function: Cow<'static, str>,
        /// The return value by name, such as `CKR_GENERAL_ERROR`.
        ckr: String,
    },
    /// The process that holds the module ended under the call: its C code crashed, or did not answer in time.
    #[error("{module} {how}; what was asked of it may or may not have happened")]
    ModuleCrashed {
        /// What it was, in words.
        module: String,
        /// How it ended.
        how: String,
    },
    /// The process that is to hold the module cannot be had now.
    #[error("the token's process cannot be used: {reason}")]
    HostUnusable {
        /// Why, and until when.
        reason: String,
    },
    /// The token may not be the home of a key of the vault's: the self-test, or reading the key back, found this.
    #[error("this token is refused as the home of a key: {finding}")]
    Refused {
        /// What it did.
        finding: String,
    },
    /// The token has no room for another object.
    #[error("the token is full: it takes no further object")]
    TokenFull,
    /// What is to be kept on the token as an anchor, or is kept there, is none.
    #[error("the token's anchor `{name}` cannot be used: {reason}")]
    AnchorUnusable {
        /// The anchor's name.
        name: String,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// A card, or the way to it, failed.
    #[error("the card failed: {command} answered {answer}")]
    CardFailed {
        /// The card's command, or the PC/SC call.
        command: Cow<'static, str>,
        /// The status word, or the service's words.
        answer: String,
    },
    /// Another program has the card for itself alone.
    #[error("another program has the card for itself: {by}")]
    CardHeld {
        /// Who that may be. Nobody is ended.
        by: String,
    },
    /// The service through which cards are reached does not answer.
    #[error("the smart-card service (pcscd) does not answer")]
    CardServiceDown,
    /// The slot has a key, and nothing is overwritten.
    #[error("slot {slot} has a key already, and nothing is overwritten{}", free_text(free))]
    SlotOccupied {
        /// The slot.
        slot: String,
        /// Slots that are free.
        free: Vec<String>,
    },
    /// The slot has no key that could be taken as it is.
    #[error("slot {slot} has no key that can be the vault's: {reason}")]
    SlotUnusable {
        /// The slot.
        slot: String,
        /// Why not.
        reason: Cow<'static, str>,
    },
    /// A key that was there before it became a vault's may be somebody else's too: it is not destroyed.
    #[error(
        "the key in {key} was not made by this program: it may be somebody else's too, and is not destroyed"
    )]
    KeyNotOurs {
        /// Where it is.
        key: String,
    },
    /// The card cannot say what is in its slots, so that a key could be made over another, or another one destroyed.
    #[error("firmware {firmware} does not tell what is in a slot, so no key is made or destroyed on it")]
    FirmwareTooOld {
        /// Its version.
        firmware: String,
    },
    /// Whoever keeps the smart-card service lets this user not reach it.
    #[error("the smart-card service (pcscd) does not let this user reach cards")]
    CardServiceDenied,
    /// The card refused its management key.
    #[error("the card's management key is wrong")]
    ManagementKeyIncorrect,
    /// The card's management key could not be had.
    #[error("no management key: {reason}")]
    ManagementKeyUnavailable {
        /// Why, and what to do.
        reason: String,
    },
    /// A card's PUK is wrong; it is never tried again by itself.
    #[error("the PUK is wrong{}", tries_text(*tries_left))]
    PukIncorrect {
        /// How many tries are left, where it tells.
        tries_left: Option<u8>,
    },
    /// A card has locked its PUK.
    #[error("the card has locked its PUK")]
    PukLocked,
    /// No scheme works on this token.
    #[error("none of the schemes works on this token: {}", tried.join("; "))]
    NoScheme {
        /// What was tried and how it failed.
        tried: Vec<String>,
    },
    /// A public key cannot be wrapped to.
    #[error("the recipient's public key cannot be used: {reason}")]
    PublicKeyUnusable {
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] claviger_types::EntropyError),
    /// A PIN was being changed when the token was lost.
    #[error("the card went away while its {which} was changed: it has the new one, or still the old one")]
    PinInDoubt {
        /// What its owner calls it.
        which: Cow<'static, str>,
    },
}

fn tries_text(tries_left: Option<u8>) -> String {
    match tries_left {
        None => String::new(),
        Some(1) => "; 1 try left".to_owned(),
        Some(tries) => format!("; {tries} tries left"),
    }
}

fn present_text(present: &[String]) -> String {
    if present.is_empty() {
        "; none is there that is ready for use".to_owned()
    } else {
        format!("; there are: {}", present.join(", "))
    }
}

fn free_text(free: &[String]) -> String {
    match free {
        [] => "; no slot is free".to_owned(),
        [first, rest @ ..] => {
            let rest = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            format!("; free are: {first}{rest}")
        }
    }
}
