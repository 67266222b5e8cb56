//! Credential envelopes: one version of a credential under its service's data key, a `COSE_Encrypt0` (RFC 9052
//! section 5.2).

mod plaintext;

use crate::{
    ContentAlg, CredentialContext, DataKey, EnvelopeError,
    cipher::random_nonce,
    codec::Encode as _,
    cose::{Encrypt0, NewBody},
    profile::{KeyName, ProtectedHeader, Type, expect_iv_only},
};
use claviger_types::{Entropy, MAX_VALUE_BYTES, Value};
use plaintext::Plaintext;

/// More than the envelope of any value has: field names and contents are counted in [`MAX_VALUE_BYTES`], and their
/// CBOR heads cost about two thirds of that at worst (many empty fields, with names of three bytes).
const MAX_BYTES: usize = 2 * MAX_VALUE_BYTES;

/// Seals a value for its place.
pub fn seal_credential(
    data_key: &DataKey,
    context: CredentialContext,
    value: &Value,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, EnvelopeError> {
    let plaintext = Plaintext::of(value)?;
    let header = ProtectedHeader {
        alg: data_key.alg().cose_alg(),
        key: KeyName::Kid(data_key.kid()),
        typ: Type::Credential,
    };
    let body = NewBody {
        protected: &header.to_cbor(),
        external_aad: &context.to_cbor(),
        iv: random_nonce(entropy)?,
    };
    Encrypt0::seal(&body, data_key.cipher(), &plaintext)
}

/// Opens what [`seal_credential`] sealed with this key for this place.
///
/// [`EnvelopeError::WrongKey`] where the envelope itself names another key, before this one is used.
pub fn open_credential(
    data_key: &DataKey,
    context: CredentialContext,
    bytes: &[u8],
) -> Result<Value, EnvelopeError> {
    if bytes.len() > MAX_BYTES {
        return Err(EnvelopeError::TooLarge { limit: MAX_BYTES });
    }
    let message = Encrypt0::parse(bytes)?;
    let headers = &message.body.headers;
    let header = ProtectedHeader::read(headers, Type::Credential)?;
    let alg = ContentAlg::from_cose_alg(header.alg).ok_or(EnvelopeError::UnsupportedAlgorithm(header.alg))?;
    let kid = header.kid()?;
    expect_iv_only(headers)?;
    if kid != data_key.kid() || alg != data_key.alg() {
        return Err(EnvelopeError::WrongKey);
    }
    let plaintext = message.open(data_key.cipher(), &context.to_cbor())?;
    plaintext::read(plaintext.expose())
}
