//! `COSE_Mac0` with HMAC 256/256 (RFC 9052 section 6.2, RFC 9053 section 3.1).

use super::{Headers, message::expect};
use crate::{
    EnvelopeError,
    codec::{Encode, Reader, Sink, Writer},
};
use claviger_types::Key256;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The COSE number of HMAC 256/256.
pub(crate) const HMAC_256_256: i64 = 5;

/// A message that anybody may read and only a holder of the key can make; tag 17.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mac0<'a> {
    pub(crate) headers: Headers<'a>,
    pub(crate) payload: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Mac0<'a> {
    const TAG: u64 = 17;
    const ITEMS: usize = 4;

    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        expect(&mut reader, Self::TAG, Self::ITEMS)?;
        let headers = Headers::read(&mut reader)?;
        let (payload, tag) = (reader.bytes()?, reader.bytes()?);
        reader.finish()?;
        if tag.len() == 32 {
            Ok(Self { headers, payload, tag })
        } else {
            Err(EnvelopeError::Malformed("a tag that is not of 32 bytes"))
        }
    }

    /// Whether the tag is this key's, compared in constant time.
    pub(crate) fn verify(&self, key: &Key256, external_aad: &[u8]) -> Result<(), EnvelopeError> {
        let structure =
            MacStructure { protected: self.headers.protected_bytes, external_aad, payload: self.payload };
        structure.mac(key)?.verify_slice(self.tag).map_err(|_| EnvelopeError::Unopened)
    }

    /// Makes a message with an empty unprotected header.
    pub(crate) fn make(
        key: &Key256,
        protected: &[u8],
        external_aad: &[u8],
        payload: &[u8],
    ) -> Result<Vec<u8>, EnvelopeError> {
        let tag = MacStructure { protected, external_aad, payload }.mac(key)?.finalize().into_bytes();
        let mut out = Writer(Vec::with_capacity(protected.len() + payload.len() + tag.len() + 32));
        out.tag(Self::TAG).array(Self::ITEMS).bytes(protected).map(0).bytes(payload).bytes(&tag);
        Ok(out.0)
    }
}

/// `["MAC0", protected, external_aad, payload]` (RFC 9052 section 6.3).
struct MacStructure<'a> {
    protected: &'a [u8],
    external_aad: &'a [u8],
    payload: &'a [u8],
}

impl MacStructure<'_> {
    fn mac(&self, key: &Key256) -> Result<Hmac<Sha256>, EnvelopeError> {
        // HMAC takes keys of any length; the error cannot occur.
        let mac = Hmac::<Sha256>::new_from_slice(key.expose()).map_err(|_| EnvelopeError::Unopened)?;
        let mut out = Writer(MacSink(mac));
        self.encode(&mut out);
        Ok(out.0.0)
    }
}

impl Encode for MacStructure<'_> {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.array(4).text("MAC0").bytes(self.protected).bytes(self.external_aad).bytes(self.payload);
    }
}

/// The structure goes straight into the MAC; it is never built.
struct MacSink(Hmac<Sha256>);

impl Sink for MacSink {
    fn put(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
