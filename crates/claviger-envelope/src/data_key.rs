//! Data keys, and the `COSE_Key` in which one lies sealed.

use crate::{
    ContentAlg, EnvelopeError,
    cipher::{Cipher, TAG_BYTES},
    codec::{Encode, Sink, Writer},
    derive,
};
use claviger_types::{Digest, Entropy, Key256};
use std::{fmt, sync::OnceLock};
use subtle::ConstantTimeEq;

/// A DEK, or the vault key: a key, what it is for, and its id, which is computed once.
pub struct DataKey {
    alg: ContentAlg,
    key: Key256,
    kid: Digest,
    /// The key schedule, made at the first use; the vault key never has one.
    cipher: OnceLock<Cipher>,
}

impl DataKey {
    /// A fresh random key.
    pub fn generate(alg: ContentAlg, entropy: &dyn Entropy) -> Result<Self, EnvelopeError> {
        Self::new(alg, Key256::random(entropy)?)
    }

    /// The data key with these bytes.
    pub fn new(alg: ContentAlg, key: Key256) -> Result<Self, EnvelopeError> {
        Ok(Self { alg, kid: derive::kid(&key)?, key, cipher: OnceLock::new() })
    }

    /// What the key seals with.
    pub const fn alg(&self) -> ContentAlg {
        self.alg
    }

    /// HKDF-Expand-SHA256(key, "claviger/v1/dek-kid", 32): id, check value and key commitment in one.
    pub const fn kid(&self) -> Digest {
        self.kid
    }

    /// The key.
    pub const fn key(&self) -> &Key256 {
        &self.key
    }

    pub(crate) fn cipher(&self) -> &Cipher {
        self.cipher.get_or_init(|| Cipher::new(self.alg, &self.key))
    }
}

impl fmt::Debug for DataKey {
    // Redacted by hand: the id names the key and is no secret, the key itself stays out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("alg", &self.alg).field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The plaintext of a data-key envelope (RFC 9052 section 7): `{1: 4, 2: kid, 3: alg, -1: key}`.
pub(crate) struct CoseKey<'a>(pub(crate) &'a DataKey);

impl Encode for CoseKey<'_> {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.raw(&template(self.0.alg, &self.0.kid)).raw(self.0.key.expose());
    }
}

/// The length of a sealed `COSE_Key`, which for each algorithm has only one.
pub(crate) fn sealed_len(alg: ContentAlg) -> usize {
    template(alg, &Digest::from_bytes([0; 32])).len() + 32 + TAG_BYTES
}

/// Reads the `COSE_Key` of a data key that has this algorithm and id. All but the key's own bytes is known beforehand, so
/// it is compared, not parsed: no other label, type, algorithm or spelling gets through.
pub(crate) fn read_cose_key(
    plaintext: &[u8],
    alg: ContentAlg,
    kid: &Digest,
) -> Result<DataKey, EnvelopeError> {
    let key = plaintext
        .strip_prefix(template(alg, kid).as_slice())
        .and_then(Key256::from_slice)
        .ok_or(EnvelopeError::Unopened)?;
    let key = DataKey::new(alg, key)?;
    if key.kid.as_bytes().ct_eq(kid.as_bytes()).into() { Ok(key) } else { Err(EnvelopeError::Unopened) }
}

/// Everything before the key's bytes.
fn template(alg: ContentAlg, kid: &Digest) -> Vec<u8> {
    const SYMMETRIC: u64 = 4;
    let mut out = Writer(Vec::with_capacity(48));
    out.map(4).int(1).unsigned(SYMMETRIC).int(2).bytes(kid.as_bytes()).int(3).int(alg.cose_alg());
    out.int(-1).bytes_head(32);
    out.0
}

#[cfg(test)]
mod tests;
