//! Ephemeral-static ECDH on P-256, HKDF-SHA256 and AES-256 key wrap: COSE -31 (RFC 9053, section 6.4).

use super::{EntropyRng, keywrap};
use crate::TokenError;
use claviger_types::{EcPoint, Entropy, Key256};
use hkdf::Hkdf;
use p256::{PublicKey, ecdh::EphemeralSecret, elliptic_curve::Generate as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// What a token's `C_DeriveKey` or a card's key agreement leaves to software: from the shared secret (the x coordinate, 32
/// bytes) to the content-encryption key.
///
/// HKDF-SHA256 without salt, info = `context`, 32 bytes; then RFC 3394. Anything that does not fit is
/// [`TokenError::CorruptWrappedKey`].
pub fn finish_ecdh(shared_secret: &Key256, context: &[u8], ciphertext: &[u8]) -> Result<Key256, TokenError> {
    keywrap::unwrap(&wrapping_key(shared_secret.expose(), context)?, ciphertext)
        .ok_or(TokenError::CorruptWrappedKey)
}

/// Wraps to a point: the fresh ephemeral public key, and the wrapped key.
pub(super) fn wrap(
    to: &EcPoint,
    cek: &Key256,
    context: &[u8],
    entropy: &dyn Entropy,
) -> Result<(EcPoint, Vec<u8>), TokenError> {
    let to = check_point(to)?;
    let secret = EphemeralSecret::try_generate_from_rng(&mut EntropyRng(entropy))?;
    let shared = secret.diffie_hellman(&to);
    let kek = wrapping_key(shared.raw_secret_bytes(), context)?;
    let wrapped = keywrap::wrap(&kek, cek).ok_or(TokenError::CorruptWrappedKey)?;
    Ok((point_of(&secret.public_key())?, wrapped))
}

/// One end of an agreement whose other end is this point: a fresh point, and the shared secret that the point's key has to
/// find for it.
#[cfg(feature = "piv")]
pub(crate) fn half_of(point: &EcPoint, entropy: &dyn Entropy) -> Result<(EcPoint, Key256), TokenError> {
    let point = check_point(point)?;
    let secret = EphemeralSecret::try_generate_from_rng(&mut EntropyRng(entropy))?;
    let shared = Key256::from_slice(secret.diffie_hellman(&point).raw_secret_bytes());
    Ok((point_of(&secret.public_key())?, shared.ok_or(TokenError::CorruptWrappedKey)?))
}

/// The point, if it lies on the curve and is not the identity.
pub(crate) fn check_point(point: &EcPoint) -> Result<PublicKey, TokenError> {
    PublicKey::from_sec1_bytes(&sec1(point))
        .map_err(|_| TokenError::PublicKeyUnusable { reason: "it is no point on P-256".into() })
}

/// The uncompressed encoding (SEC 1, section 2.3.3).
pub(crate) fn sec1(point: &EcPoint) -> [u8; 65] {
    let mut bytes = [4; 65];
    bytes.iter_mut().skip(1).zip(point.x.iter().chain(&point.y)).for_each(|(to, from)| *to = *from);
    bytes
}

/// What stands before the point in the `SubjectPublicKeyInfo` of a key on P-256 (RFC 5480, section 2).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The name of a key that has no place for a name beside it: the first 16 bytes of the SHA-256 of its
/// `SubjectPublicKeyInfo`. Whoever sees the public half finds it by that, through whatever driver.
pub fn name_of(point: &EcPoint) -> [u8; 16] {
    let hash = Sha256::new().chain_update(SPKI).chain_update(sec1(point)).finalize();
    let mut name = [0; 16];
    name.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    name
}

pub(crate) fn point_of(key: &PublicKey) -> Result<EcPoint, TokenError> {
    let bytes = key.to_sec1_bytes();
    let unusable = TokenError::PublicKeyUnusable { reason: "it is no point on P-256".into() };
    // `to_sec1_bytes` compresses by the curve's default, which for P-256 is not to.
    let Some((&4, coordinates)) = bytes.split_first() else { return Err(unusable) };
    let Some((x, y)) = coordinates.split_at_checked(32) else { return Err(unusable) };
    match (x.try_into(), y.try_into()) {
        (Ok(x), Ok(y)) => Ok(EcPoint { x, y }),
        _ => Err(unusable),
    }
}

pub(super) fn wrapping_key(shared_secret: &[u8], context: &[u8]) -> Result<Key256, TokenError> {
    let (mut prk, hkdf) = Hkdf::<Sha256>::extract(None, shared_secret);
    prk.as_mut_slice().zeroize();
    // 32 bytes are within what HKDF gives; its error cannot occur.
    Key256::build(|key| hkdf.expand(context, key)).map_err(|_| TokenError::CorruptWrappedKey)
}
