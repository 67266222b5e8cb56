//! Token drivers: a key-encryption key that never leaves its token, and what the vault needs of it.
//!
//! [`Token`] is the border: wrap, unwrap, describe; [`AnchorSlot`] and [`Signer`] are for what only some tokens can. A
//! [`Driver`] finds and makes them: [`pkcs11`] drives real tokens (feature `pkcs11`, on by default), [`software`] is the half
//! of the schemes that needs none. [`Uri`] says which token is meant, [`PinSource`] where its PIN comes from, [`ModuleSpec`]
//! what code is loaded for it. [`TokenAdmin`] makes tokens and changes their
//! PINs.

mod admin;
mod attendant;
mod driver;
mod error;
#[cfg(feature = "pkcs11")]
pub mod host;
mod module;
mod pin;
#[cfg(feature = "piv")]
pub mod piv;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod software;
mod uri;

pub use admin::{Erase, MAX_LABEL_BYTES, NewToken, PinOwner, TokenAdmin};
pub use attendant::{Attendant, Nobody, TokenName};
pub use driver::{
    Access, Driver, Kek, NewKek, PivKek, SelfTestCheck, SelfTestReport, TokenDetails, TokenSummary,
};
pub use error::TokenError;
pub use module::{IvSource, Mechanisms, ModuleSettings, ModuleSpec};
pub use pin::{PinChain, PinCredential, PinFd, PinFile, PinKind, PinPrompt, PinSource, PinTries};
pub use uri::Uri;

use claviger_types::{Digest, EcPoint, Key256, RecipientId, Scheme, SignerId, WrappedCek};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The public half of a key pair on a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicKey {
    /// A point on P-256, for [`Scheme::EcdhEsA256Kw`].
    P256(EcPoint),
    /// An RSA key, big-endian, for the OAEP schemes.
    Rsa {
        /// The modulus.
        #[serde(with = "serde_bytes")]
        modulus: Vec<u8>,
        /// The public exponent.
        #[serde(with = "serde_bytes")]
        exponent: Vec<u8>,
    },
}

/// What a KEK is and where it lies. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDescription {
    /// The recipient that this key opens data keys for.
    pub recipient: RecipientId,
    /// How keys are wrapped to it.
    pub scheme: Scheme,
    /// The public half, for asymmetric schemes: with it any program can wrap without the token.
    pub public_key: Option<PublicKey>,
    /// The token's label.
    pub token_label: String,
    /// The token's serial number.
    pub token_serial: String,
    /// The key's label on the token.
    pub key_label: String,
    /// What the self-test found out about the module (which unwrap template it takes, ...): opaque text that whoever
    /// enrols keeps and gives back at the next open.
    pub profile: String,
}

/// How an unwrap ended, when the token could be asked at all. (A blob that is this recipient's but bad is
/// [`TokenError::CorruptWrappedKey`].)
#[derive(Debug)]
#[must_use]
pub enum Unwrapped {
    /// It worked.
    Key(Key256),
    /// This wrapped key is for another recipient, or of a scheme that this key does not have.
    NotMine,
}

/// One KEK on one token, cut at what the vault needs and not at mechanisms.
///
/// Synchronous and callable from many threads at once; sessions, handles and logins are the driver's own business, and
/// it survives a token that is pulled and put back.
///
/// `context` is what the scheme binds into the wrapping: nothing for key wrap and OAEP, the `Enc_structure` as AAD for
/// A256GCM, the `COSE_KDF_Context` as HKDF info for ECDH-ES (RFC 9053 sections 5.2, 6.3).
pub trait Token: Send + Sync {
    /// What this key is.
    fn describe(&self) -> &KeyDescription;

    /// Wraps a content-encryption key under this KEK.
    fn wrap(&self, cek: &Key256, context: &[u8]) -> Result<WrappedCek, TokenError>;

    /// Unwraps what [`Token::wrap`], or anybody with the public key, wrapped.
    fn unwrap(&self, wrapped: &WrappedCek, context: &[u8]) -> Result<Unwrapped, TokenError>;

    /// Another key on the same token, by the recipient that it is (its `CKA_ID`) and without a second login.
    /// [`TokenError::KeyMissing`] where the token has none.
    fn sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<Arc<dyn Token>, TokenError> {
        let _ = scheme;
        Err(TokenError::KeyMissing { key: recipient.to_string() })
    }

    /// Makes another key on the same token, self-tested, without a second login.
    fn generate_sibling(&self, new: &NewKey) -> Result<Arc<dyn Token>, TokenError> {
        let _ = new;
        Err(TokenError::Refused { finding: "no keys are made on it through this driver".to_owned() })
    }

    /// Whether a key on the same token was made by this program, so that nobody else misses it. One that is absent is nobody's.
    fn owns(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        let _ = (recipient, scheme);
        Ok(true)
    }

    /// Destroys another key on the same token, both halves of a pair, and reads back that it is absent. Whether it was
    /// there: one that is absent already is no error. [`TokenError::KeyNotOurs`] where this program did not make it.
    fn destroy_sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        let _ = (recipient, scheme);
        Err(TokenError::Refused { finding: "no keys are destroyed on it through this driver".to_owned() })
    }
}

/// A KEK that is to be made on a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Whose key it will be; its bytes become the `CKA_ID`.
    pub recipient: RecipientId,
    /// The key's label on the token.
    pub label: String,
    /// The scheme that it is for.
    pub scheme: Scheme,
}

/// Small private objects that a token keeps for the vault: anchors.
pub trait AnchorSlot: Send + Sync + std::fmt::Debug {
    /// Where that is, for messages: the token's label and serial number.
    fn location(&self) -> String;

    /// Every value kept under this name: none, one, or more where a write was cut short between keeping the new and
    /// removing the old, or where several wrote at once. In no order.
    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, TokenError>;

    /// Keeps this value under the name, and then removes those that were there before. Where it fails, the earlier ones are
    /// still there, or the new one is.
    fn write(&self, name: &str, value: &[u8]) -> Result<(), TokenError>;

    /// Removes all values under the name.
    fn remove(&self, name: &str) -> Result<(), TokenError>;
}

/// A P-256 key on a token that signs for the vault: ECDSA with SHA-256, ES256 (RFC 9053, section 2.1).
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// Which signer it is; its bytes are the key's `CKA_ID`.
    fn id(&self) -> SignerId;

    /// The public half.
    fn public_key(&self) -> EcPoint;

    /// The signature of what has this SHA-256 digest: r and s, big-endian, 32 bytes each.
    fn sign(&self, digest: &Digest) -> Result<[u8; 64], TokenError>;

    /// Destroys the key, both halves. What it has signed stays signed.
    fn destroy_key(&self) -> Result<(), TokenError> {
        Err(TokenError::Refused { finding: "no keys are destroyed on it through this driver".to_owned() })
    }
}
