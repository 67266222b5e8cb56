//! The ciphers that contents are sealed with, working in place.

use crate::EnvelopeError;
use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};
use chacha20poly1305::ChaCha20Poly1305;
use claviger_types::{Entropy, EntropyError, Key256};
use std::fmt;

/// A nonce: 96 bits.
pub(crate) type Nonce = [u8; 12];

/// The bytes that sealing adds: the authentication tag of either cipher.
pub(crate) const TAG_BYTES: usize = 16;

/// How contents are sealed: a COSE content-encryption algorithm (RFC 9053 sections 4.1, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentAlg {
    /// AES-256-GCM; COSE 3.
    A256Gcm,
    /// ChaCha20/Poly1305; COSE 24.
    ChaCha20Poly1305,
}

impl ContentAlg {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::A256Gcm, Self::ChaCha20Poly1305];

    /// The COSE algorithm number.
    pub const fn cose_alg(self) -> i64 {
        match self {
            Self::A256Gcm => 3,
            Self::ChaCha20Poly1305 => 24,
        }
    }

    /// The algorithm with a COSE number, if it is one of ours.
    pub fn from_cose_alg(alg: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.cose_alg() == alg)
    }

    /// The name in the IANA COSE registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A256Gcm => "A256GCM",
            Self::ChaCha20Poly1305 => "ChaCha20/Poly1305",
        }
    }
}

impl fmt::Display for ContentAlg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A cipher with its key schedule, which both implementations wipe on drop. Boxed, so that a move copies no key.
pub(crate) enum Cipher {
    A256Gcm(Box<Aes256Gcm>),
    ChaCha20Poly1305(Box<ChaCha20Poly1305>),
}

impl Cipher {
    pub(crate) fn new(alg: ContentAlg, key: &Key256) -> Self {
        match alg {
            ContentAlg::A256Gcm => Self::A256Gcm(Box::new(Aes256Gcm::new(key.expose().into()))),
            ContentAlg::ChaCha20Poly1305 => {
                Self::ChaCha20Poly1305(Box::new(ChaCha20Poly1305::new(key.expose().into())))
            }
        }
    }

    /// Encrypts in place and returns the tag.
    pub(crate) fn seal(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], EnvelopeError> {
        let limit = buffer.len();
        match self {
            Self::A256Gcm(cipher) => cipher.encrypt_inout_detached(nonce.into(), aad, buffer.into()),
            Self::ChaCha20Poly1305(cipher) => cipher.encrypt_inout_detached(nonce.into(), aad, buffer.into()),
        }
        .map(Into::into)
        .map_err(|_| EnvelopeError::TooLarge { limit })
    }

    /// Decrypts in place; the buffer is not changed unless the tag is right.
    pub(crate) fn open(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), EnvelopeError> {
        match self {
            Self::A256Gcm(cipher) => {
                cipher.decrypt_inout_detached(nonce.into(), aad, buffer.into(), tag.into())
            }
            Self::ChaCha20Poly1305(cipher) => {
                cipher.decrypt_inout_detached(nonce.into(), aad, buffer.into(), tag.into())
            }
        }
        .map_err(|_| EnvelopeError::Unopened)
    }
}

impl fmt::Debug for Cipher {
    // Redacted by hand: what it holds is the key in another shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

/// A fresh random nonce.
pub(crate) fn random_nonce(entropy: &dyn Entropy) -> Result<Nonce, EntropyError> {
    let mut nonce = Nonce::default();
    entropy.fill(&mut nonce)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests;
