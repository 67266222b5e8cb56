//! The half of the schemes that needs no token: wrapping to a public key, what remains to be done in software after a token
//! derived a shared secret, and verifying what a token signed.

#[cfg(feature = "software-token")]
mod anchors;
mod ecdh;
mod gcm;
mod keywrap;
mod oaep;
mod signature;
#[cfg(feature = "software-token")]
mod signer;
#[cfg(feature = "software-token")]
mod token;

#[cfg(feature = "software-token")]
pub use anchors::SoftwareAnchors;
pub(crate) use ecdh::check_point;
#[cfg(feature = "piv")]
pub(crate) use ecdh::half_of;
#[cfg(any(feature = "pkcs11", feature = "piv"))]
pub(crate) use ecdh::sec1;
pub use ecdh::{finish_ecdh, name_of};
pub use signature::verify_signature;
#[cfg(feature = "software-token")]
pub use signer::SoftwareSigner;
#[cfg(feature = "software-token")]
pub use token::SoftwareToken;

use crate::{PublicKey, TokenError};
use claviger_types::{Entropy, EntropyError, Key256, RecipientId, Scheme, WrappedCek};
use rand_core::{TryCryptoRng, TryRng};

/// Bytes of a 256-bit key under AES key wrap (RFC 3394, section 2.2.1: one more 64-bit block).
pub(crate) const KW_BYTES: usize = 40;
/// Bytes of a 256-bit key under AES-GCM: ciphertext and 128-bit tag.
#[cfg(any(test, feature = "pkcs11", feature = "software-token"))]
pub(crate) const GCM_BYTES: usize = 48;
/// The most bytes of an anchor's value.
#[cfg(any(test, feature = "pkcs11", feature = "software-token"))]
pub(crate) const MAX_ANCHOR_BYTES: usize = 4096;

/// Wraps a content-encryption key to a public key, without any token.
///
/// `context` is the `COSE_KDF_Context` for ECDH-ES (RFC 9053, section 5.2); OAEP binds none. Refuses a symmetric scheme, a
/// key of the wrong kind, a point that is not on P-256, and an RSA modulus shorter than 2048 bits.
pub fn wrap_to_public_key(
    recipient: RecipientId,
    scheme: Scheme,
    public_key: &PublicKey,
    cek: &Key256,
    context: &[u8],
    entropy: &dyn Entropy,
) -> Result<WrappedCek, TokenError> {
    let wrapped = |ephemeral, ciphertext| WrappedCek { recipient, scheme, iv: None, ephemeral, ciphertext };
    match (scheme, public_key) {
        (Scheme::EcdhEsA256Kw, PublicKey::P256(point)) => {
            let (ephemeral, ciphertext) = ecdh::wrap(point, cek, context, entropy)?;
            Ok(wrapped(Some(ephemeral), ciphertext))
        }
        (Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1, PublicKey::Rsa { modulus, exponent }) => {
            Ok(wrapped(None, oaep::wrap(scheme, modulus, exponent, cek, entropy)?))
        }
        _ => Err(TokenError::PublicKeyUnusable { reason: "it is not of the scheme's kind".into() }),
    }
}

/// The caller's entropy in the shape that the cryptographic crates take. It remembers no failure: each call reports its own.
pub(crate) struct EntropyRng<'a>(pub(crate) &'a dyn Entropy);

impl TryRng for EntropyRng<'_> {
    type Error = EntropyError;

    fn try_next_u32(&mut self) -> Result<u32, EntropyError> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, EntropyError> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill(out)
    }
}

impl TryCryptoRng for EntropyRng<'_> {}

#[cfg(test)]
mod tests;
