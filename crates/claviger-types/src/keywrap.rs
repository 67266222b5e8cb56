//! The vocabulary of key wrapping, shared by the envelope that carries a wrapped key and the token that makes it.

use crate::RecipientId;
use serde::{Deserialize, Serialize, de::Error as _};
use std::{fmt, str::FromStr};

/// How a content-encryption key is wrapped to a recipient: a standard COSE key-management algorithm (RFC 9053,
/// RFC 8230).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// AES-256 key wrap (RFC 3394); COSE -5.
    A256Kw,
    /// AES-256-GCM as key encryption; COSE 3.
    A256Gcm,
    /// Ephemeral-static ECDH on P-256, HKDF-SHA256, AES-256 key wrap; COSE -31.
    EcdhEsA256Kw,
    /// RSAES-OAEP with SHA-256; COSE -41.
    RsaOaepSha256,
    /// RSAES-OAEP with SHA-1; COSE -40; for tokens that can do no other.
    RsaOaepSha1,
}

impl Scheme {
    /// Every scheme, in the order of preference for a lone recipient.
    pub const ALL: [Self; 5] =
        [Self::A256Kw, Self::A256Gcm, Self::EcdhEsA256Kw, Self::RsaOaepSha256, Self::RsaOaepSha1];

    /// The COSE algorithm number.
    pub const fn cose_alg(self) -> i64 {
        match self {
            Self::A256Kw => -5,
            Self::A256Gcm => 3,
            Self::EcdhEsA256Kw => -31,
            Self::RsaOaepSha256 => -41,
            Self::RsaOaepSha1 => -40,
        }
    }

    /// The scheme of a COSE algorithm number, if it is one of ours.
    pub fn from_cose_alg(alg: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.cose_alg() == alg)
    }

    /// The name in the IANA COSE registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A256Kw => "A256KW",
            Self::A256Gcm => "A256GCM",
            Self::EcdhEsA256Kw => "ECDH-ES+A256KW",
            Self::RsaOaepSha256 => "RSAES-OAEP-SHA256",
            Self::RsaOaepSha1 => "RSAES-OAEP-SHA1",
        }
    }

    /// Whether wrapping needs the token itself (a secret key), not just a public key.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::A256Kw | Self::A256Gcm)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Self, UnknownScheme> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == text).ok_or(UnknownScheme)
    }
}

/// As its COSE algorithm number.
impl Serialize for Scheme {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.cose_alg().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Scheme {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::from_cose_alg(i64::deserialize(from)?).ok_or_else(|| D::Error::custom(UnknownScheme))
    }
}

/// The text names no scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the schemes are A256KW, A256GCM, ECDH-ES+A256KW, RSAES-OAEP-SHA256 and RSAES-OAEP-SHA1")]
pub struct UnknownScheme;

/// A point on P-256 as its two coordinates; whether it lies on the curve is checked by whoever uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcPoint {
    /// The x coordinate, big-endian.
    #[serde(with = "serde_bytes")]
    pub x: [u8; 32],
    /// The y coordinate, big-endian.
    #[serde(with = "serde_bytes")]
    pub y: [u8; 32],
}

/// A content-encryption key as one recipient can unwrap it: what a `COSE_recipient` carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedCek {
    /// Whose key opens it.
    pub recipient: RecipientId,
    /// By which scheme.
    pub scheme: Scheme,
    /// The nonce, for [`Scheme::A256Gcm`] only.
    pub iv: Option<[u8; 12]>,
    /// The ephemeral public key, for [`Scheme::EcdhEsA256Kw`] only.
    pub ephemeral: Option<EcPoint>,
    /// The wrapped key: 40 bytes under key wrap, 48 under GCM, the modulus' length under OAEP.
    #[serde(with = "serde_bytes")]
    pub ciphertext: Vec<u8>,
}
