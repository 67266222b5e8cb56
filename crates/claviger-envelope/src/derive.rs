//! Keys and ids that are derived from keys: HKDF-Expand with SHA-256 (RFC 5869 section 2.3), one label each.

use crate::{DataKey, EnvelopeError};
use claviger_types::{Digest, Key256, ServiceName};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What the vault key is used for, and nothing else is: to derive these.
#[derive(Debug)]
pub struct VaultKeys {
    /// The vault key's own id.
    pub fingerprint: Digest,
    /// Of [`name_hmac`], by which the index finds a service.
    pub index: Key256,
    /// Of the head's MAC.
    pub head: Key256,
    /// Of the one-time keys under which objects are sealed.
    pub metadata: Key256,
}

impl VaultKeys {
    /// The keys of a vault key.
    pub fn derive(vault_key: &DataKey) -> Result<Self, EnvelopeError> {
        let key = |label: &[u8]| expand(vault_key.key(), &[label]);
        Ok(Self {
            fingerprint: vault_key.kid(),
            index: key(b"claviger/v1/index")?,
            head: key(b"claviger/v1/head")?,
            metadata: key(b"claviger/v1/metadata")?,
        })
    }
}

/// HMAC-SHA256 of a service's name under the name-index key: where the index keeps the service.
pub fn name_hmac(index_key: &Key256, name: &ServiceName) -> Result<Digest, EnvelopeError> {
    // HMAC takes keys of any length; the error cannot occur.
    let mut mac = Hmac::<Sha256>::new_from_slice(index_key.expose()).map_err(|_| EnvelopeError::WrongKey)?;
    mac.update(name.as_str().as_bytes());
    Ok(Digest::from_bytes(mac.finalize().into_bytes().into()))
}

/// The id of a data key, its check value and its commitment in one. It is no secret.
pub(crate) fn kid(key: &Key256) -> Result<Digest, EnvelopeError> {
    expand(key, &[b"claviger/v1/dek-kid"]).map(|kid| Digest::from_bytes(*kid.expose()))
}

/// What only a holder of this data key can say, and what tells nobody the key: the answer to a challenge that holds it.
pub fn answer(key: &DataKey) -> Result<Digest, EnvelopeError> {
    expand(key.key(), &[b"claviger/v1/answer"]).map(|answer| Digest::from_bytes(*answer.expose()))
}

/// Thirty-two bytes from a key and the concatenation of the parts of `info`.
pub(crate) fn expand(key: &Key256, info: &[&[u8]]) -> Result<Key256, EnvelopeError> {
    // Neither length can be wrong: the key and the output are as long as the hash.
    let hkdf = Hkdf::<Sha256>::from_prk(key.expose()).map_err(|_| EnvelopeError::WrongKey)?;
    Key256::build(|out| hkdf.expand_multi_info(info, out).map_err(|_| EnvelopeError::WrongKey))
}

#[cfg(test)]
mod tests;
