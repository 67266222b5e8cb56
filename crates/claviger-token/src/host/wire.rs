//! What goes over the socket.

use super::{Backend, Sandbox};
use crate::{
    KeyDescription, NewKek, NewKey, PinPrompt, SelfTestReport, TokenError, TokenName, TokenSummary, Uri,
};
use claviger_types::{Digest, EcPoint, Key256, RecipientId, Scheme, SecretBytes, SignerId, WrappedCek};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use zeroize::Zeroizing;

/// Counts up with every change of what is here.
pub(super) const VERSION: u32 = 3;

/// An object in the child: a key, a signer, a place for anchors.
pub(super) type Handle = u64;

/// Towards the child: a request's number and what is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// The first of all: the child answers [`Told::Ready`] once it has given up its rights.
    Hello {
        version: u32,
        backend: Backend,
        sandbox: Sandbox,
    },
    List,
    Generate {
        uri: Uri,
        new: NewKek,
    },
    Open {
        uri: Uri,
        recipient: RecipientId,
        scheme: Scheme,
        profile: String,
    },
    Sibling {
        of: Handle,
        recipient: RecipientId,
        scheme: Scheme,
    },
    GenerateSibling {
        of: Handle,
        new: NewKey,
    },
    DestroySibling {
        of: Handle,
        recipient: RecipientId,
        scheme: Scheme,
    },
    Wrap {
        key: Handle,
        cek: Secret,
        context: Bytes,
    },
    Unwrap {
        key: Handle,
        wrapped: WrappedCek,
        context: Bytes,
    },
    SelfTest {
        key: Handle,
    },
    DestroyKey {
        key: Handle,
    },
    GenerateSigner {
        uri: Uri,
        id: SignerId,
        label: String,
    },
    OpenSigner {
        uri: Uri,
        id: SignerId,
    },
    Sign {
        signer: Handle,
        digest: Digest,
    },
    DestroySigner {
        signer: Handle,
    },
    OpenAnchors {
        uri: Uri,
    },
    AnchorsOf {
        key: Handle,
    },
    ReadAnchor {
        anchors: Handle,
        name: String,
    },
    WriteAnchor {
        anchors: Handle,
        name: String,
        value: Bytes,
    },
    RemoveAnchor {
        anchors: Handle,
        name: String,
    },
    /// The object is not needed any more. Without a reply.
    Close {
        object: Handle,
    },
    /// The answer to a [`Told::PinWanted`] or [`Told::ManagementKeyWanted`] of the same number. Without a reply.
    Secret(Secret),
    /// The same where there is none.
    NoSecret(TokenError),
    Owns {
        of: Handle,
        recipient: RecipientId,
        scheme: Scheme,
    },
    #[cfg(feature = "piv")]
    PivKey {
        uri: Uri,
        recipient: RecipientId,
    },
}

/// From the child: the number of the request that it belongs to, and what there is to tell.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) number: u64,
    pub(super) told: Told,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// The child's version, and what of its sandbox the kernel does not enforce.
    Ready {
        version: u32,
        unenforced: Vec<String>,
    },
    /// Before the reply: the token wants its PIN.
    PinWanted(PinPrompt),
    /// Before the reply: the card wants its management key.
    ManagementKeyWanted(TokenName),
    /// Before the reply: the token is about to wait for a touch. Without an answer.
    TouchWanted(TokenName),
    Done,
    Failed(TokenError),
    Tokens(Vec<TokenSummary>),
    Key {
        key: Handle,
        description: KeyDescription,
        report: Option<SelfTestReport>,
    },
    Wrapped(WrappedCek),
    /// `None`: not this key's.
    Unwrapped(Option<Secret>),
    Report(SelfTestReport),
    Was(bool),
    Signer {
        signer: Handle,
        id: SignerId,
        public_key: EcPoint,
    },
    Signature(Bytes),
    Anchors {
        anchors: Handle,
        location: String,
    },
    Values(Vec<Bytes>),
    #[cfg(feature = "piv")]
    PivKey(Option<Box<crate::piv::PivKeyInfo>>),
    /// Before the reply: a key stayed in this slot. Without an answer.
    Stayed {
        token: TokenName,
        slot: String,
    },
}

/// Bytes that are nobody's secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bytes(#[serde(with = "serde_bytes")] pub(super) Vec<u8>);

/// Bytes that are: wiped, and not shown.
pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) fn of_key(key: &Key256) -> Self {
        Self(Zeroizing::new(key.expose().to_vec()))
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    pub(super) fn key(&self) -> Option<Key256> {
        Key256::from_slice(&self.0)
    }

    pub(super) fn bytes(&self) -> SecretBytes {
        SecretBytes::copy_of(&self.0)
    }
}

impl fmt::Debug for Secret {
    // Redacted by hand: a derive would print it wherever a request is logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            // Copied from the frame, which is wiped, straight into what is wiped, too.
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Secret, E> {
                Ok(Secret(Zeroizing::new(bytes.to_vec())))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, _: Vec<u8>) -> Result<Secret, E> {
                Err(E::custom("a secret in a buffer that nobody wipes"))
            }
        }

        from.deserialize_bytes(Visitor)
    }
}

/// Whether these bytes are a request, and whether they are a reply.
pub(super) fn reads(bytes: &[u8]) -> [bool; 2] {
    [claviger_codec::from_slice::<Request>(bytes).is_ok(), claviger_codec::from_slice::<Reply>(bytes).is_ok()]
}

#[cfg(test)]
mod tests;
