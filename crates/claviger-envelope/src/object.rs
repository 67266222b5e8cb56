//! Sealed objects: everything the vault keeps besides credentials and data keys, each under a key of its own that is
//! used once. A `COSE_Encrypt0` (RFC 9052 section 5.2).

use crate::{
    ContentAlg, EnvelopeError, ObjectContext,
    cipher::{Cipher, Nonce},
    codec::Encode as _,
    cose::{Encrypt0, NewBody},
    derive::expand,
    profile::{KeyName, ProtectedHeader, Salt, Type, expect_iv_only},
};
use claviger_types::{Entropy, Key256, SecretBytes};

/// The most bytes that a sealed object may hold.
pub const MAX_OBJECT_PLAINTEXT_BYTES: usize = (2 << 20) - 1024;

/// Objects are sealed with AES-256-GCM in every vault.
const ALG: ContentAlg = ContentAlg::A256Gcm;

/// A key that is used once needs no random nonce; a reader refuses any other than this.
const NONCE: Nonce = [0; 12];

/// Seals an object for its place, under a one-time key.
pub fn seal_object(
    metadata_key: &Key256,
    context: ObjectContext,
    plaintext: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, EnvelopeError> {
    if plaintext.len() > MAX_OBJECT_PLAINTEXT_BYTES {
        return Err(EnvelopeError::TooLarge { limit: MAX_OBJECT_PLAINTEXT_BYTES });
    }
    let mut salt = Salt::default();
    entropy.fill(&mut salt)?;
    let header =
        ProtectedHeader { alg: ALG.cose_alg(), key: KeyName::Salt(salt), typ: Type::Object(context.kind) };
    let body = NewBody { protected: &header.to_cbor(), external_aad: &context.to_cbor(), iv: NONCE };
    Encrypt0::seal(&body, &one_time_cipher(metadata_key, &salt)?, plaintext)
}

/// Opens what [`seal_object`] sealed with this key for this place.
pub fn open_object(
    metadata_key: &Key256,
    context: ObjectContext,
    bytes: &[u8],
) -> Result<SecretBytes, EnvelopeError> {
    const LIMIT: usize = MAX_OBJECT_PLAINTEXT_BYTES + 1024;
    if bytes.len() > LIMIT {
        return Err(EnvelopeError::TooLarge { limit: LIMIT });
    }
    let message = Encrypt0::parse(bytes)?;
    let headers = &message.body.headers;
    let header = ProtectedHeader::read(headers, Type::Object(context.kind))?;
    if header.alg != ALG.cose_alg() {
        return Err(EnvelopeError::UnsupportedAlgorithm(header.alg));
    }
    let salt = header.salt()?;
    expect_iv_only(headers)?;
    if message.body.iv()? != NONCE {
        return Err(EnvelopeError::Malformed("a nonce other than zero under a one-time key"));
    }
    message.open(&one_time_cipher(metadata_key, &salt)?, &context.to_cbor())
}

/// HKDF-Expand-SHA256(metadata key, "claviger/v1/object" followed by the salt, 32).
fn one_time_cipher(metadata_key: &Key256, salt: &Salt) -> Result<Cipher, EnvelopeError> {
    Ok(Cipher::new(ALG, &expand(metadata_key, &[b"claviger/v1/object", salt])?))
}
