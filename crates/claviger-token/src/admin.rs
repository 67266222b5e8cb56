//! What an administrator does to a token: make one, and set, unblock and change its PINs.

use crate::{PinSource, TokenError, TokenSummary, Uri};
use std::sync::Arc;

/// The administrator's way to one module's tokens.
///
/// A PIN is tried once and never again by itself. What the token says about tries is looked at before a source is asked; where
/// the PIN is typed at the reader, no source is. Whatever the caller wants of a new PIN, the token's own limits hold.
pub trait TokenAdmin: Send + Sync {
    /// Makes a token: gives it a label and a security officer's PIN, and with that erases whatever was on it.
    ///
    /// It has no user PIN then; [`TokenAdmin::set_pin`] sets one. The answer is the token as it is found again afterwards:
    /// some modules show it in another slot.
    fn init_token(&self, new: &NewToken<'_>) -> Result<TokenSummary, TokenError>;

    /// Sets the user's PIN with the security officer's, whether it was never set, forgotten or locked.
    fn set_pin(&self, uri: &Uri, so_pin: &dyn PinSource, new: &dyn PinSource) -> Result<(), TokenError>;

    /// Changes a PIN by whoever knows it.
    fn change_pin(
        &self,
        uri: &Uri,
        whose: PinOwner,
        old: &dyn PinSource,
        new: &dyn PinSource,
    ) -> Result<(), TokenError>;
}

/// Whose PIN is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinOwner {
    /// Who uses the keys.
    User,
    /// The security officer (SO), who makes the token and unblocks the user's PIN, and sees no private key.
    SecurityOfficer,
}

/// A token that is to be made.
pub struct NewToken<'a> {
    /// Which one, by what it or its slot says of itself. A URI that says nothing means the one that is not initialised yet.
    pub uri: &'a Uri,
    /// The slot's number now, for tokens that say the same of themselves: it may be another one after any restart.
    pub slot: Option<u64>,
    /// The label, at most [`MAX_LABEL_BYTES`] long.
    pub label: &'a str,
    /// The security officer's PIN: a new one for a new token, the present one for a token that is initialised.
    pub so_pin: &'a dyn PinSource,
    /// What may be lost.
    pub erase: Erase,
}

/// The longest label of a token, in bytes (`CK_TOKEN_INFO`).
pub const MAX_LABEL_BYTES: usize = 32;

/// What may be lost when a token is initialised.
#[derive(Clone)]
pub enum Erase {
    /// Nothing: only a token that was never initialised is.
    Nothing,
    /// What is on it, unless a look at all of it, logged in by this PIN, finds keys of a vault.
    UnlessKeys(Arc<dyn PinSource>),
    /// Whatever is on it.
    Everything,
}
