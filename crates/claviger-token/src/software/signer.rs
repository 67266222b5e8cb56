//! A signer that is made of memory, for tests.

use super::{EntropyRng, ecdh};
use crate::{Signer, TokenError};
use claviger_types::{Digest, EcPoint, Entropy, SignerId};
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner as _},
    elliptic_curve::Generate as _,
};
use std::fmt;

/// A signing key in memory. Only with the feature `software-token`; it protects nothing.
pub struct SoftwareSigner {
    id: SignerId,
    public_key: EcPoint,
    key: SigningKey,
}

impl SoftwareSigner {
    /// A fresh key.
    pub fn generate(id: SignerId, entropy: &dyn Entropy) -> Result<Self, TokenError> {
        let key = SecretKey::try_generate_from_rng(&mut EntropyRng(entropy))?;
        Ok(Self { id, public_key: ecdh::point_of(&key.public_key())?, key: SigningKey::from(&key) })
    }
}

impl Signer for SoftwareSigner {
    fn id(&self) -> SignerId {
        self.id
    }

    fn public_key(&self) -> EcPoint {
        self.public_key
    }

    /// The same signature each time (RFC 6979).
    fn sign(&self, digest: &Digest) -> Result<[u8; 64], TokenError> {
        let signature: Option<Signature> = self.key.sign_prehash(digest.as_bytes()).ok();
        let signature = signature.map(|signature| signature.to_bytes().into());
        signature.ok_or(TokenError::PublicKeyUnusable { reason: "it does not sign".into() })
    }
}

impl fmt::Debug for SoftwareSigner {
    // By hand, because the key beside the id must not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareSigner").field("id", &self.id).finish_non_exhaustive()
    }
}
