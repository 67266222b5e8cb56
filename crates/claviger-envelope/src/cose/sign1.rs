//! `COSE_Sign1` with ES256 (RFC 9052 section 4.2, RFC 9053 section 2.1).

use super::{Headers, message::expect};
use crate::{
    EnvelopeError,
    codec::{Encode, Reader, Sink, Writer},
};
use claviger_types::{Digest, EcPoint};
use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
use sha2::{Digest as _, Sha256};

/// The COSE number of ECDSA on P-256 with SHA-256.
pub(crate) const ES256: i64 = -7;

/// A message that anybody may read and check, and only the holder of a private key can make; tag 18.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sign1<'a> {
    pub(crate) headers: Headers<'a>,
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8; 64],
}

impl<'a> Sign1<'a> {
    const TAG: u64 = 18;
    const ITEMS: usize = 4;

    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        expect(&mut reader, Self::TAG, Self::ITEMS)?;
        let headers = Headers::read(&mut reader)?;
        let (payload, signature) = (reader.bytes()?, reader.bytes()?);
        reader.finish()?;
        let signature = signature
            .try_into()
            .map_err(|_| EnvelopeError::Malformed("a signature that is not of 64 bytes"))?;
        Ok(Self { headers, payload, signature })
    }

    /// Puts a message together, with an empty unprotected header.
    pub(crate) fn make(protected: &[u8], payload: &[u8], signature: &[u8; 64]) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(protected.len() + payload.len() + signature.len() + 16));
        out.tag(Self::TAG).array(Self::ITEMS).bytes(protected).map(0).bytes(payload).bytes(signature);
        out.0
    }
}

/// `["Signature1", protected, external_aad, payload]` (RFC 9052 section 4.4).
pub(crate) struct SigStructure<'a> {
    pub(crate) protected: &'a [u8],
    pub(crate) external_aad: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl SigStructure<'_> {
    /// What is signed.
    pub(crate) fn digest(&self) -> Digest {
        let mut out = Writer(HashSink(Sha256::new()));
        self.encode(&mut out);
        Digest::from_bytes(out.0.0.finalize().into())
    }
}

impl Encode for SigStructure<'_> {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.array(4).text("Signature1").bytes(self.protected).bytes(self.external_aad).bytes(self.payload);
    }
}

/// The structure goes straight into the hash; it is never built.
struct HashSink(Sha256);

impl Sink for HashSink {
    fn put(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// Whether the signature of this digest is that of the key with this public half: a point on the curve, r and s between 1
/// and the curve's order less 1. Either s that fits is taken: COSE does not ask for the lower one, and tokens give both.
pub(crate) fn verify(
    public_key: &EcPoint,
    digest: &Digest,
    signature: &[u8; 64],
) -> Result<(), EnvelopeError> {
    let sec1 = [[4].as_slice(), &public_key.x, &public_key.y].concat();
    let key = VerifyingKey::from_sec1_bytes(&sec1).map_err(|_| EnvelopeError::Unopened)?;
    let signature = Signature::from_slice(signature).map_err(|_| EnvelopeError::Unopened)?;
    key.verify_prehash(digest.as_bytes(), &signature).map_err(|_| EnvelopeError::Unopened)
}
