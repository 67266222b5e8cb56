//! The envelope in which a data key lies, wrapped to every recipient: a `COSE_Encrypt` whose payload is a `COSE_Key`
//! (RFC 9052 sections 5.1, 7). Sealing and opening each have two halves, so that the token stays outside.

mod recipient;

use crate::{
    ContentAlg, DataKey, DataKeyContext, EnvelopeError,
    cipher::{Cipher, random_nonce},
    codec::{Encode as _, Writer},
    cose::{Encrypt, NewBody},
    data_key::{CoseKey, read_cose_key, sealed_len},
    profile::{KeyName, ProtectedHeader, Type, expect_iv_only},
};
use claviger_types::{Digest, Entropy, Key256, RecipientId, Scheme, WrappedCek};
use recipient::{NewRecipient, fits_scheme, read_recipient};

/// The most recipients of one data key.
pub const MAX_RECIPIENTS: usize = 64;

/// More than any envelope with that many recipients has.
const MAX_BYTES: usize = 96 << 10;

/// A data key on its way into an envelope: wrap [`DataKeySealer::cek`] to each recipient, add what comes out, finish.
#[derive(Debug)]
pub struct DataKeySealer {
    context: DataKeyContext,
    cek: Key256,
    /// The envelope up to its recipients, already sealed.
    body: Vec<u8>,
    recipients: Vec<WrappedCek>,
}

impl DataKeySealer {
    /// Seals the data key under a fresh one-time content-encryption key.
    pub fn begin(
        data_key: &DataKey,
        context: DataKeyContext,
        entropy: &dyn Entropy,
    ) -> Result<Self, EnvelopeError> {
        let cek = Key256::random(entropy)?;
        let iv = random_nonce(entropy)?;
        let header = ProtectedHeader {
            alg: data_key.alg().cose_alg(),
            key: KeyName::Kid(data_key.kid()),
            typ: Type::DataKey,
        };
        let body = NewBody { protected: &header.to_cbor(), external_aad: &context.to_cbor(), iv };
        let body = Encrypt::seal(&body, &Cipher::new(data_key.alg(), &cek), &CoseKey(data_key))?;
        Ok(Self { context, cek, body, recipients: Vec::new() })
    }

    /// The key to wrap to each recipient.
    pub const fn cek(&self) -> &Key256 {
        &self.cek
    }

    /// What the wrapping to a recipient must bind: [`DataKeyContext::wrap_context`].
    pub fn wrap_context(&self, recipient: RecipientId, scheme: Scheme) -> Vec<u8> {
        self.context.wrap_context(recipient, scheme)
    }

    /// Adds a recipient.
    pub fn add(&mut self, wrapped: WrappedCek) -> Result<(), EnvelopeError> {
        if !fits_scheme(&wrapped) {
            return Err(EnvelopeError::UnfitWrappedCek);
        }
        if self.recipients.iter().any(|other| other.recipient == wrapped.recipient) {
            return Err(EnvelopeError::DuplicateRecipient);
        }
        if self.recipients.len() == MAX_RECIPIENTS {
            return Err(EnvelopeError::RecipientCount);
        }
        self.recipients.push(wrapped);
        Ok(())
    }

    /// The envelope, with its recipients in the order in which they were added.
    pub fn finish(self) -> Result<Vec<u8>, EnvelopeError> {
        if self.recipients.is_empty() {
            return Err(EnvelopeError::RecipientCount);
        }
        let mut out = Writer(self.body);
        out.array(self.recipients.len());
        self.recipients.iter().for_each(|wrapped| NewRecipient(wrapped).encode(&mut out));
        Ok(out.0)
    }
}

/// A data-key envelope as it was read: well formed, and not yet believed in anything.
#[derive(Debug, Clone)]
pub struct DataKeyEnvelope {
    bytes: Vec<u8>,
    alg: ContentAlg,
    kid: Digest,
    recipients: Vec<WrappedCek>,
}

impl DataKeyEnvelope {
    /// Reads an envelope, all of it and nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_BYTES {
            return Err(EnvelopeError::TooLarge { limit: MAX_BYTES });
        }
        let message = Encrypt::parse(bytes, MAX_RECIPIENTS)?;
        let header = ProtectedHeader::read(&message.body.headers, Type::DataKey)?;
        let alg =
            ContentAlg::from_cose_alg(header.alg).ok_or(EnvelopeError::UnsupportedAlgorithm(header.alg))?;
        let kid = header.kid()?;
        expect_iv_only(&message.body.headers)?;
        message.body.iv()?;
        if message.body.ciphertext.len() != sealed_len(alg) {
            return Err(EnvelopeError::Malformed("a payload that is not as long as a sealed key"));
        }
        let mut recipients: Vec<WrappedCek> = Vec::new();
        for received in &message.recipients {
            let wrapped = read_recipient(received)?;
            if recipients.iter().any(|other| other.recipient == wrapped.recipient) {
                return Err(EnvelopeError::Malformed("a recipient that is named twice"));
            }
            recipients.push(wrapped);
        }
        Ok(Self { bytes: bytes.to_vec(), alg, kid, recipients })
    }

    /// The id that the envelope claims for its data key.
    pub const fn kid(&self) -> Digest {
        self.kid
    }

    /// The algorithm that the envelope claims for itself and its data key.
    pub const fn alg(&self) -> ContentAlg {
        self.alg
    }

    /// The wrapped content-encryption keys. COSE does not authenticate this list.
    pub fn recipients(&self) -> &[WrappedCek] {
        &self.recipients
    }

    /// What the unwrapping by this recipient must bind, in this place: [`DataKeyContext::wrap_context`].
    #[allow(clippy::unused_self, reason = "the mirror of the sealer's")]
    pub fn wrap_context(&self, wrapped: &WrappedCek, context: DataKeyContext) -> Vec<u8> {
        context.wrap_context(wrapped.recipient, wrapped.scheme)
    }

    /// Opens the envelope with the unwrapped content-encryption key, and accepts only the data key with this id.
    ///
    /// [`EnvelopeError::WrongKey`] where the envelope itself names another id, before the key is used.
    pub fn open(
        &self,
        cek: &Key256,
        context: DataKeyContext,
        expected_kid: &Digest,
    ) -> Result<DataKey, EnvelopeError> {
        if self.kid != *expected_kid {
            return Err(EnvelopeError::WrongKey);
        }
        let message = Encrypt::parse(&self.bytes, MAX_RECIPIENTS)?;
        let plaintext = message.open(&Cipher::new(self.alg, cek), &context.to_cbor())?;
        read_cose_key(plaintext.expose(), self.alg, expected_kid)
    }
}

#[cfg(test)]
mod tests;
