//! The audit key pair: the public half seals segment keys and may lie in the open, the private half is kept sealed in
//! the vault.

use crate::AuditError;
use claviger_token::{PublicKey, software};
use claviger_types::{Digest, EcPoint, Entropy, Key256, RecipientId, WrappedCek};
use p256::{FieldBytes, PublicKey as Point, SecretKey, elliptic_curve::sec1::ToSec1Point};
use zeroize::Zeroizing;

/// How often a random scalar may be out of range before the random source is blamed.
const TRIES: usize = 8;

/// The public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPublicKey(EcPoint);

impl AuditPublicKey {
    /// The key at this point on P-256; whether it is one is checked when it is used.
    pub const fn new(point: EcPoint) -> Self {
        Self(point)
    }

    /// The point.
    pub const fn point(&self) -> &EcPoint {
        &self.0
    }

    /// The recipient id in envelopes sealed to this key: the first half of the hash of its coordinates.
    pub(crate) fn recipient(&self) -> RecipientId {
        let digest = Digest::of(&[self.0.x, self.0.y].concat());
        let mut id = [0; 16];
        id.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        RecipientId::from_bytes(id)
    }

    pub(crate) fn wrap(
        &self,
        cek: &Key256,
        context: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<WrappedCek, AuditError> {
        let scheme = claviger_types::Scheme::EcdhEsA256Kw;
        let key = PublicKey::P256(self.0);
        software::wrap_to_public_key(self.recipient(), scheme, &key, cek, context, entropy)
            .map_err(|_| AuditError::Key)
    }
}

/// Makes a key pair: the private scalar, and the public point.
pub fn generate_audit_key(entropy: &dyn Entropy) -> Result<(Key256, AuditPublicKey), AuditError> {
    for _ in 0..TRIES {
        let private = Key256::random(entropy)?;
        if let Ok(public) = public_of(&private) {
            return Ok((private, public));
        }
    }
    Err(AuditError::Key)
}

fn secret_key(private: &Key256) -> Result<SecretKey, AuditError> {
    SecretKey::from_bytes(&FieldBytes::from(*private.expose())).map_err(|_| AuditError::Key)
}

/// The public half of a private key.
pub fn public_of(private: &Key256) -> Result<AuditPublicKey, AuditError> {
    let point = secret_key(private)?.public_key().to_sec1_point(false);
    let coordinate = |bytes: Option<&FieldBytes>| bytes.map(|bytes| (*bytes).into()).ok_or(AuditError::Key);
    Ok(AuditPublicKey(EcPoint { x: coordinate(point.x())?, y: coordinate(point.y())? }))
}

/// Unwraps a segment's content-encryption key with the private half.
pub(crate) fn unwrap(private: &Key256, wrapped: &WrappedCek, context: &[u8]) -> Result<Key256, AuditError> {
    let ephemeral = wrapped.ephemeral.ok_or(AuditError::Key)?;
    let mut encoded = [4; 65];
    encoded.iter_mut().skip(1).zip(ephemeral.x.iter().chain(&ephemeral.y)).for_each(|(to, from)| *to = *from);
    let point = Point::from_sec1_bytes(&encoded).map_err(|_| AuditError::Key)?;
    let shared = p256::ecdh::diffie_hellman(secret_key(private)?.to_nonzero_scalar(), point.as_affine());
    let bytes = Zeroizing::new(<[u8; 32]>::from(*shared.raw_secret_bytes()));
    let shared = Key256::from_slice(bytes.as_slice()).ok_or(AuditError::Key)?;
    software::finish_ecdh(&shared, context, &wrapped.ciphertext).map_err(|_| AuditError::Key)
}
