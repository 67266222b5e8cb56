//! The head: a `COSE_Mac0` (RFC 9052 section 6.2) that anybody may read and only a holder of the vault key can make.

use crate::{
    EnvelopeError,
    codec::Encode as _,
    context::HeadContext,
    cose::{HMAC_256_256, Mac0},
    profile::{KeyName, ProtectedHeader, Type},
};
use claviger_types::{Digest, Key256, VaultId};

/// The most bytes that a head may carry, so that with its headers and tag it stays within 64 KiB.
pub const MAX_HEAD_PAYLOAD_BYTES: usize = (64 << 10) - 256;

/// A head with this payload. `fingerprint` is the id of the vault key that `head_key` comes from.
pub fn mac_head(
    head_key: &Key256,
    vault: VaultId,
    fingerprint: &Digest,
    payload: &[u8],
) -> Result<Vec<u8>, EnvelopeError> {
    if payload.len() > MAX_HEAD_PAYLOAD_BYTES {
        return Err(EnvelopeError::TooLarge { limit: MAX_HEAD_PAYLOAD_BYTES });
    }
    let header = ProtectedHeader { alg: HMAC_256_256, key: KeyName::Kid(*fingerprint), typ: Type::Head };
    Mac0::make(head_key, &header.to_cbor(), &HeadContext { vault }.to_cbor(), payload)
}

/// A head as it was read. Until [`UnverifiedHead::verify`] has said yes, nothing in it may be believed; what leads to
/// the vault key must be read before, and proves itself by the pinned fingerprint.
#[derive(Debug, Clone, Copy)]
pub struct UnverifiedHead<'a> {
    message: Mac0<'a>,
    fingerprint: Digest,
}

impl<'a> UnverifiedHead<'a> {
    /// Reads a head, all of it and nothing else.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        const LIMIT: usize = MAX_HEAD_PAYLOAD_BYTES + 256;
        if bytes.len() > LIMIT {
            return Err(EnvelopeError::TooLarge { limit: LIMIT });
        }
        let message = Mac0::parse(bytes)?;
        let header = ProtectedHeader::read(&message.headers, Type::Head)?;
        // The program fixes the algorithm; the header may only agree.
        if header.alg != HMAC_256_256 {
            return Err(EnvelopeError::UnsupportedAlgorithm(header.alg));
        }
        let fingerprint = header.kid()?;
        if !message.headers.unprotected.has_exactly(&[]) {
            return Err(EnvelopeError::Malformed("unprotected labels"));
        }
        Ok(Self { message, fingerprint })
    }

    /// The id of the vault key that the head claims to hang under.
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// The payload, of which nothing is proven yet.
    pub const fn payload_unverified(&self) -> &'a [u8] {
        self.message.payload
    }

    /// The payload, once the MAC under this key and for this vault is found right, in constant time.
    pub fn verify(&self, head_key: &Key256, vault: VaultId) -> Result<&'a [u8], EnvelopeError> {
        self.message.verify(head_key, &HeadContext { vault }.to_cbor())?;
        Ok(self.message.payload)
    }
}
