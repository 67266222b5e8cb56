//! RSAES-OAEP with an empty label: COSE -41 and -40 (RFC 8230; RFC 8017, section 7.1).

use super::EntropyRng;
use crate::TokenError;
use claviger_types::{Entropy, Key256, Scheme};
use rsa::{BoxedUint, PublicKey};
use sha1::Sha1;
use sha2::Sha256;

/// The smallest modulus that a key may be wrapped to (SP 800-131A), in bits.
const MIN_BITS: u32 = 2048;

pub(super) fn wrap(
    scheme: Scheme,
    modulus: &[u8],
    exponent: &[u8],
    cek: &Key256,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, TokenError> {
    let unusable = |reason: &'static str| TokenError::PublicKeyUnusable { reason: reason.into() };
    let n = BoxedUint::from_be_slice_vartime(modulus);
    if n.bit_width_vartime() < MIN_BITS {
        return Err(unusable("its RSA modulus is shorter than 2048 bits"));
    }
    let key = PublicKey::new(n, BoxedUint::from_be_slice_vartime(exponent))
        .map_err(|_| unusable("it is no RSA key"))?;
    let rng = &mut EntropyRng(entropy);
    let wrapped = match scheme {
        Scheme::RsaOaepSha1 => key.oaep_encrypt_with_rng::<Sha1, _>(rng, cek.expose()),
        _ => key.oaep_encrypt_with_rng::<Sha256, _>(rng, cek.expose()),
    };
    wrapped.map_err(|error| match error {
        rsa::Error::Rng => TokenError::Entropy(claviger_types::EntropyError),
        _ => unusable("RSA encryption fails with it"),
    })
}
