//! The sealed list of recipients.

use claviger_token::{KeyDescription, PublicKey};
use claviger_types::{EcPoint, RecipientId, Scheme};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// An enrolled token key.
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
}

impl RecipientRecord {
    /// The record of a key on a token.
    pub(crate) fn of(key: &KeyDescription) -> Self {
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
}
