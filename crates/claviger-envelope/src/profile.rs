//! The headers that claviger writes, and no others that it reads.

use crate::{
    EnvelopeError, ObjectKind,
    codec::{Encode, Sink, Writer},
    cose::{Headers, label},
};
use claviger_types::{Digest, RecipientId, Scheme, SignerId};

/// The number of the format that this version writes, in every protected header.
pub const FORMAT: u64 = 1;

/// Labels of private use (below -65536, RFC 9052 section 11.1).
const LABEL_FORMAT: i64 = -65537;
const LABEL_SALT: i64 = -65540;

/// What an envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    DataKey,
    Credential,
    Object(ObjectKind),
    Head,
    Succession,
}

impl Type {
    /// The media type in the `typ` header (RFC 9596).
    const fn media_type(self) -> &'static str {
        match self {
            Self::DataKey => "application/vnd.claviger.dek+cose",
            Self::Credential => "application/vnd.claviger.credential+cose",
            Self::Object(kind) => kind.media_type(),
            Self::Head => "application/vnd.claviger.head+cose",
            Self::Succession => "application/vnd.claviger.succession+cose",
        }
    }

    /// The content type, where the contents have one that is registered: application/cose-key is 101 (RFC 9052
    /// section 11.3.2).
    const fn content_type(self) -> Option<u64> {
        match self {
            Self::DataKey => Some(101),
            _ => None,
        }
    }
}

/// The thirty-two random bytes of an object from which its one-time key is derived.
pub(crate) type Salt = [u8; 32];

/// Which key an envelope is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyName {
    /// The key with this id.
    Kid(Digest),
    /// The one-time key that belongs to this salt.
    Salt(Salt),
    /// This signer's.
    Signer(SignerId),
}

/// A protected header: `{1: alg, 3: content type, 4: kid, 16: typ, -65537: format}`, or with `-65540: salt` and no kid;
/// the content type only where there is one. The kid of a signed message is its signer's id.
pub(crate) struct ProtectedHeader {
    pub(crate) alg: i64,
    pub(crate) key: KeyName,
    pub(crate) typ: Type,
}

impl ProtectedHeader {
    /// Reads the protected header of an envelope that must be of type `typ`, and refuses whatever this version would
    /// have written otherwise. The format comes first: all else may mean something new in another one.
    pub(crate) fn read(headers: &Headers<'_>, typ: Type) -> Result<Self, EnvelopeError> {
        let header = headers.protected;
        if header.int(LABEL_FORMAT).and_then(|format| u64::try_from(format).ok()) != Some(FORMAT) {
            return Err(EnvelopeError::UnsupportedFormat);
        }
        if header.text(label::TYP) != Some(typ.media_type()) {
            return Err(EnvelopeError::Malformed("another type of envelope"));
        }
        let alg = header.int(label::ALG).ok_or(EnvelopeError::Malformed("no algorithm"))?;
        let key = if let Some(kid) = header.bytes(label::KID) {
            match typ {
                Type::Succession => SignerId::try_from(kid).ok().map(KeyName::Signer),
                _ => Digest::try_from(kid).ok().map(KeyName::Kid),
            }
        } else {
            header.bytes(LABEL_SALT).and_then(|salt| salt.try_into().ok()).map(KeyName::Salt)
        };
        let key = key.ok_or(EnvelopeError::Malformed("no key id or salt of its length"))?;
        let read = Self { alg, key, typ };
        if read.to_cbor() == headers.protected_bytes {
            Ok(read)
        } else {
            Err(EnvelopeError::Malformed("unknown header labels"))
        }
    }

    /// The id of the key, for envelopes that must name it so.
    pub(crate) fn kid(&self) -> Result<Digest, EnvelopeError> {
        match self.key {
            KeyName::Kid(kid) => Ok(kid),
            _ => Err(EnvelopeError::Malformed("a salt instead of a key id")),
        }
    }

    /// The signer, for messages that must name one.
    pub(crate) fn signer(&self) -> Result<SignerId, EnvelopeError> {
        match self.key {
            KeyName::Signer(signer) => Ok(signer),
            _ => Err(EnvelopeError::Malformed("a salt instead of a signer")),
        }
    }

    /// The salt, for envelopes that must have one.
    pub(crate) fn salt(&self) -> Result<Salt, EnvelopeError> {
        match self.key {
            KeyName::Salt(salt) => Ok(salt),
            _ => Err(EnvelopeError::Malformed("a key id instead of a salt")),
        }
    }
}

impl Encode for ProtectedHeader {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        let content_type = self.typ.content_type();
        out.map(4 + usize::from(content_type.is_some())).int(label::ALG).int(self.alg);
        if let Some(content_type) = content_type {
            out.int(label::CONTENT_TYPE).unsigned(content_type);
        }
        match &self.key {
            KeyName::Kid(kid) => {
                out.int(label::KID).bytes(kid.as_bytes());
            }
            KeyName::Signer(signer) => {
                out.int(label::KID).bytes(signer.as_bytes());
            }
            KeyName::Salt(_) => {}
        }
        out.int(label::TYP).text(self.typ.media_type()).int(LABEL_FORMAT).unsigned(FORMAT);
        if let KeyName::Salt(salt) = &self.key {
            out.int(LABEL_SALT).bytes(salt);
        }
    }
}

/// That the unprotected header of a body holds the nonce and nothing else.
pub(crate) fn expect_iv_only(headers: &Headers<'_>) -> Result<(), EnvelopeError> {
    if headers.unprotected.has_exactly(&[label::IV]) {
        Ok(())
    } else {
        Err(EnvelopeError::Malformed("unprotected labels other than the IV"))
    }
}

/// `{1: alg, 4: recipient id}`: protected for the schemes that can authenticate it, unprotected for the others, whose
/// algorithms take no associated data (RFC 9053 sections 6.2, 6.3; RFC 8230 section 3).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecipientHeader {
    pub(crate) recipient: RecipientId,
    pub(crate) scheme: Scheme,
}

impl RecipientHeader {
    pub(crate) const fn is_protected(self) -> bool {
        matches!(self.scheme, Scheme::A256Gcm | Scheme::EcdhEsA256Kw)
    }

    /// The contents of the protected bucket.
    pub(crate) fn protected(self) -> Vec<u8> {
        if self.is_protected() { self.to_cbor() } else { Vec::new() }
    }
}

impl Encode for RecipientHeader {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.map(2)
            .int(label::ALG)
            .int(self.scheme.cose_alg())
            .int(label::KID)
            .bytes(self.recipient.as_bytes());
    }
}
