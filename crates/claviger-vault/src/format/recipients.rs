//! A recipient as the register keeps it.

use crate::{VaultError, report::RecipientState};
use claviger_token::{KeyDescription, PublicKey, Token};
use claviger_types::{Digest, EcPoint, RecipientId, Scheme, SignerId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The signer on a recipient's token: `[id, x, y]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(SignerId, Digest, Digest)", into = "(SignerId, Digest, Digest)")]
pub(crate) struct SignerRecord {
    /// Its id.
    pub(crate) id: SignerId,
    /// Its public key.
    pub(crate) public_key: EcPoint,
}

impl From<(SignerId, Digest, Digest)> for SignerRecord {
    fn from((id, x, y): (SignerId, Digest, Digest)) -> Self {
        Self { id, public_key: EcPoint { x: *x.as_bytes(), y: *y.as_bytes() } }
    }
}

impl From<SignerRecord> for (SignerId, Digest, Digest) {
    fn from(signer: SignerRecord) -> Self {
        let EcPoint { x, y } = signer.public_key;
        (signer.id, Digest::from_bytes(x), Digest::from_bytes(y))
    }
}

/// A token key: a map with labels 0 to 11.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecipientRecord {
    /// Its id.
    pub(crate) id: RecipientId,
    /// The COSE algorithm by which keys are wrapped to it.
    pub(crate) alg: i64,
    /// The public half: `[x, y]` of a point on P-256, `[modulus, exponent]` of an RSA key, nothing for a secret key.
    pub(crate) public_key: Vec<ByteBuf>,
    /// The label of its token.
    pub(crate) token_label: String,
    /// The serial number of its token.
    pub(crate) token_serial: String,
    /// The label of the key on the token.
    pub(crate) key_label: String,
    /// Its state, as in NIST SP 800-57 part 1, section 7.
    pub(crate) state: RecipientState,
    /// When it was proposed.
    pub(crate) created: Timestamp,
    /// When it came into its present state.
    pub(crate) changed: Timestamp,
    /// How often keys were wrapped under it, where each wrapping takes a random nonce (A256GCM); else 0.
    pub(crate) wraps: u64,
    /// While it is pre-active: SHA-256 of the answer to its challenge.
    pub(crate) answer: Option<Digest>,
    /// The signer on the same token, if there is one.
    pub(crate) signer: Option<SignerRecord>,
}

impl RecipientRecord {
    /// The record of a key on a token.
    pub(crate) fn of(key: &KeyDescription, state: RecipientState, now: Timestamp) -> Self {
        let public_key = match &key.public_key {
            None => Vec::new(),
            Some(PublicKey::P256(point)) => vec![ByteBuf::from(point.x), ByteBuf::from(point.y)],
            Some(PublicKey::Rsa { modulus, exponent }) => {
                vec![ByteBuf::from(modulus.as_slice()), ByteBuf::from(exponent.as_slice())]
            }
        };
        Self {
            id: key.recipient,
            alg: key.scheme.cose_alg(),
            public_key,
            token_label: key.token_label.clone(),
            token_serial: key.token_serial.clone(),
            key_label: key.key_label.clone(),
            state,
            created: now,
            changed: now,
            wraps: 0,
            answer: None,
            signer: None,
        }
    }

    /// The scheme, if this program knows it.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        Scheme::from_cose_alg(self.alg)
    }

    /// The public half, in the form that the scheme asks for.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        let [first, second] = self.public_key.as_slice() else { return None };
        match self.scheme()? {
            Scheme::EcdhEsA256Kw => Some(PublicKey::P256(EcPoint {
                x: first.as_slice().try_into().ok()?,
                y: second.as_slice().try_into().ok()?,
            })),
            Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
                Some(PublicKey::Rsa { modulus: first.to_vec(), exponent: second.to_vec() })
            }
            Scheme::A256Kw | Scheme::A256Gcm => None,
        }
    }

    /// Whether only its own token can wrap to it.
    pub(crate) fn is_symmetric(&self) -> bool {
        self.scheme().is_some_and(Scheme::is_symmetric)
    }

    /// Whether its key is on the token that has the other's.
    pub(crate) fn is_on_token_of(&self, other: &Self) -> bool {
        (&self.token_label, &self.token_serial) == (&other.token_label, &other.token_serial)
    }

    /// Destroys its key on this token, where it may be gone already; `false` where the key lies on another token.
    pub(crate) fn destroy_on(&self, token: &dyn Token) -> Result<bool, VaultError> {
        let here = token.describe();
        if (&here.token_label, &here.token_serial) != (&self.token_label, &self.token_serial) {
            return Ok(false);
        }
        let scheme = self.scheme().ok_or_else(|| VaultError::Invalid {
            reason: format!("the recipient {} has no scheme that is known", self.id),
        })?;
        token.destroy_sibling(self.id, scheme)?;
        Ok(true)
    }

    /// Brings it into another state.
    pub(crate) fn become_state(&mut self, state: RecipientState, now: Timestamp) {
        if self.state != state {
            self.state = state;
            self.changed = now;
        }
    }
}
