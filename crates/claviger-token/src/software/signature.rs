//! ECDSA on P-256 over a SHA-256 digest: COSE -7 (RFC 9053, section 2.1).

use super::check_point;
use claviger_types::{Digest, EcPoint};
use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};

/// Whether this is the signature, r and s, of what has this digest, by the key with this public half.
///
/// r and s lie between 1 and the curve's order less 1. Both values of s that fit are taken: COSE does not ask for the lower
/// one, and tokens give either.
pub fn verify_signature(point: &EcPoint, digest: &Digest, signature: &[u8; 64]) -> bool {
    let (Ok(point), Ok(signature)) = (check_point(point), Signature::from_slice(signature)) else {
        return false;
    };
    VerifyingKey::from(point).verify_prehash(digest.as_bytes(), &signature).is_ok()
}
