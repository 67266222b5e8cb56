//! Reads the key file of the Python `ApiKeyManager` that claviger replaces: a Fernet token around JSON. No I/O.
//!
//! The old program answered "empty" when it could not read its file. Here every such case is an error of its own, and
//! [`Contents::NeverWritten`] says apart that there is nothing to read.

mod error;
mod fernet;
mod json;
mod key;

pub use error::{LegacyError, Place};
/// The plaintext's parser by itself, for fuzzing.
#[doc(hidden)]
pub use json::entries as plaintext_entries;
pub use key::LegacyKey;

use claviger_types::{CredentialName, SecretBytes, ServiceName, Value};

/// The most bytes of a file: several million entries.
pub const MAX_FILE_BYTES: usize = 256 << 20;

/// The name under which an API key is taken over.
pub const API_KEY: &str = "api_key";

/// The name under which an OAuth token is taken over.
pub const OAUTH_TOKEN: &str = "oauth_token";

/// What a file holds.
#[derive(Debug)]
pub enum Contents {
    /// The file has no bytes: the old program made it, or somebody did, and nothing was ever stored.
    NeverWritten,
    /// These, in the order of the file.
    Entries(Vec<LegacyEntry>),
}

/// One API key or OAuth token.
#[derive(Debug)]
pub struct LegacyEntry {
    /// The service, its name as it was.
    pub service: ServiceName,
    /// [`API_KEY`] or [`OAUTH_TOKEN`].
    pub name: CredentialName,
    /// An API key's text, or an OAuth token's members as the verbatim text of their JSON.
    pub value: Value,
}

/// Reads a file.
pub fn read(file: &[u8], key: &LegacyKey) -> Result<Contents, LegacyError> {
    if file.is_empty() {
        return Ok(Contents::NeverWritten);
    }
    if file.len() > MAX_FILE_BYTES {
        return Err(LegacyError::TooLarge);
    }
    let plain: SecretBytes = fernet::open(file, key)?;
    json::entries(plain.expose()).map(Contents::Entries)
}

#[cfg(test)]
mod tests;
