//! Signing keys in retired slots: with the PIN once, and without a touch, because a log is signed while nobody is there.

use super::{destroy, enrol, fault::Failure, key::Key};
use crate::{Signer, TokenError, software};
use claviger_types::{Digest, EcPoint, SignerId};
use p256::ecdsa::Signature;
use std::fmt;

pub(super) struct PivSigner {
    key: Key,
}

/// The signer that a key on a card is.
pub(super) fn id(point: &EcPoint) -> SignerId {
    SignerId::from_bytes(software::name_of(point))
}

/// Makes one on the card that `beside` is on.
pub(super) fn generate(beside: &Key, entropy: &dyn claviger_types::Entropy) -> Result<PivSigner, TokenError> {
    let key = enrol::make_signer(beside, entropy)?;
    let signer = PivSigner { key };
    // What a first signature shows is worth more than what the card says.
    match signer.sign(&Digest::of(b"claviger/token/self-test")) {
        Ok(_) => Ok(signer),
        Err(error) => {
            if signer.destroy_key().is_err() {
                signer.key.say_that_one_stayed(signer.key.home().slot);
            }
            Err(error)
        }
    }
}

/// The signer that this key is, ready to sign.
pub(super) fn open(key: Key) -> Result<PivSigner, TokenError> {
    key.log_in()?;
    Ok(PivSigner { key })
}

impl Signer for PivSigner {
    fn id(&self) -> SignerId {
        id(&self.key.point)
    }

    fn public_key(&self) -> EcPoint {
        self.key.point
    }

    fn sign(&self, digest: &Digest) -> Result<[u8; 64], TokenError> {
        let mut found = false;
        loop {
            let der = self.key.sign(digest.as_bytes())?;
            let signature = Signature::from_der(&der)
                .map_err(|_| Failure::Nonsense { command: "GENERAL AUTHENTICATE" })?;
            let signature: [u8; 64] = signature.to_bytes().into();
            if software::verify_signature(&self.key.point, digest, &signature) {
                return Ok(signature);
            }
            // Another key may have taken the slot.
            self.key.find()?;
            if found {
                return Err(TokenError::CardFailed {
                    command: "GENERAL AUTHENTICATE".into(),
                    answer: "a signature that is not the key's".to_owned(),
                });
            }
            found = true;
        }
    }

    fn destroy_key(&self) -> Result<(), TokenError> {
        let home = self.key.find()?;
        destroy::own(&self.key, home, &self.key.point)
    }
}

impl fmt::Debug for PivSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PivSigner").field("key", &self.key).finish()
    }
}
