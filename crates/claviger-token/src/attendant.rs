//! Whoever is beside a token: what else than a PIN it may want of a person.

use crate::TokenError;
use claviger_types::SecretBytes;
use serde::{Deserialize, Serialize};

/// Which token it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenName {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
}

/// Is told what a token waits for, and asked for what only its administrator has.
pub trait Attendant: Send + Sync {
    /// The token is about to wait for a touch, for as long as it has the patience.
    fn touch(&self, token: &TokenName);

    /// The key by which a card lets keys be made on it, as its owner wrote it down: hexadecimal digits.
    /// [`TokenError::ManagementKeyUnavailable`] where there is none to be had.
    fn management_key(&self, token: &TokenName) -> Result<SecretBytes, TokenError>;

    /// A key that was made, came to nothing, and could not be taken out again, is in this slot still.
    fn stayed(&self, token: &TokenName, slot: &str);
}

/// Nobody is there.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Attendant for Nobody {
    fn touch(&self, _: &TokenName) {}

    fn management_key(&self, _: &TokenName) -> Result<SecretBytes, TokenError> {
        Err(TokenError::ManagementKeyUnavailable { reason: "nobody was named who has it".to_owned() })
    }

    fn stayed(&self, _: &TokenName, _: &str) {}
}
