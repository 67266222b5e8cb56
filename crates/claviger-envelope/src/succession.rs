//! Succession records: a signer that a host believes says which vault key comes after the one that the host pins. A
//! `COSE_Sign1` (RFC 9052 section 4.2), because it must be believed before the new vault key can be.

use crate::{
    EnvelopeError,
    codec::{CodecError, Encode, Reader, Sink, Writer},
    context::SuccessionContext,
    cose::{ES256, SigStructure, Sign1, verify_es256},
    profile::{KeyName, ProtectedHeader, Type},
};
use claviger_types::{Digest, EcPoint, Link, ObjectId, SignerId, VaultId};

/// More bytes than any record has.
const LIMIT: usize = 512;

/// That one vault key took the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succession {
    /// The vault.
    pub vault: VaultId,
    /// The fingerprint of the vault key that ended.
    pub old: Digest,
    /// The fingerprint of the one that took its place.
    pub new: Digest,
    /// The epoch of the head from which the new key goes on.
    pub epoch: u64,
    /// That head's digest.
    pub head: Digest,
    /// The record of the succession before this one, if there was any.
    pub previous: Option<Link>,
}

impl Succession {
    /// What this signer has to sign: the SHA-256 of the `Sig_structure`.
    pub fn to_be_signed(&self, signer: SignerId) -> Digest {
        self.digest(&header(signer).to_cbor(), &self.to_cbor())
    }

    /// The record, with this signer's signature (r and s) of [`Succession::to_be_signed`].
    pub fn signed(&self, signer: SignerId, signature: &[u8; 64]) -> Vec<u8> {
        Sign1::make(&header(signer).to_cbor(), &self.to_cbor(), signature)
    }

    fn digest(&self, protected: &[u8], payload: &[u8]) -> Digest {
        let external_aad = SuccessionContext { vault: self.vault }.to_cbor();
        SigStructure { protected, external_aad: &external_aad, payload }.digest()
    }

    fn read(payload: &[u8]) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(payload);
        if reader.map()? != 6 {
            return Err(CodecError.into());
        }
        let mut labels = 0..;
        let mut next = || {
            let found = reader.unsigned()?;
            let item = reader.item()?;
            if labels.next() == Some(found) { Ok(Reader::new(item)) } else { Err(CodecError) }
        };
        let read = Self {
            vault: id(&mut next()?)?,
            old: id(&mut next()?)?,
            new: id(&mut next()?)?,
            epoch: next()?.unsigned()?,
            head: id(&mut next()?)?,
            previous: link(next()?)?,
        };
        reader.finish()?;
        Ok(read)
    }
}

/// `{0: vault id, 1: old fingerprint, 2: new fingerprint, 3: epoch, 4: head digest, 5: link / null}`.
impl Encode for Succession {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.map(6).unsigned(0).bytes(self.vault.as_bytes());
        out.unsigned(1).bytes(self.old.as_bytes()).unsigned(2).bytes(self.new.as_bytes());
        out.unsigned(3).unsigned(self.epoch).unsigned(4).bytes(self.head.as_bytes()).unsigned(5);
        match &self.previous {
            Some(Link { id, digest }) => out.array(2).bytes(id.as_bytes()).bytes(digest.as_bytes()),
            None => out.null(),
        };
    }
}

const fn header(signer: SignerId) -> ProtectedHeader {
    ProtectedHeader { alg: ES256, key: KeyName::Signer(signer), typ: Type::Succession }
}

fn id<'a, T: TryFrom<&'a [u8]>>(reader: &mut Reader<'a>) -> Result<T, CodecError> {
    T::try_from(reader.bytes()?).map_err(|_| CodecError)
}

fn link(mut reader: Reader<'_>) -> Result<Option<Link>, CodecError> {
    if reader.null() {
        return Ok(None);
    }
    if reader.array()? != 2 {
        return Err(CodecError);
    }
    Ok(Some(Link { id: id::<ObjectId>(&mut reader)?, digest: id(&mut reader)? }))
}

/// A succession record as it was read. Until [`UnverifiedSuccession::verify`] has said yes, nothing in it may be believed.
#[derive(Debug, Clone, Copy)]
pub struct UnverifiedSuccession {
    claims: Succession,
    signer: SignerId,
    digest: Digest,
    signature: [u8; 64],
}

impl UnverifiedSuccession {
    /// Reads a record, all of it and nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > LIMIT {
            return Err(EnvelopeError::TooLarge { limit: LIMIT });
        }
        let message = Sign1::parse(bytes)?;
        let header = ProtectedHeader::read(&message.headers, Type::Succession)?;
        // The program fixes the algorithm; the header may only agree.
        if header.alg != ES256 {
            return Err(EnvelopeError::UnsupportedAlgorithm(header.alg));
        }
        let signer = header.signer()?;
        if !message.headers.unprotected.has_exactly(&[]) {
            return Err(EnvelopeError::Malformed("unprotected labels"));
        }
        let claims = Succession::read(message.payload)?;
        let digest = claims.digest(message.headers.protected_bytes, message.payload);
        Ok(Self { claims, signer, digest, signature: *message.signature })
    }

    /// Who claims to have signed it. The caller looks up this signer's public key among those that it believes.
    pub const fn signer(&self) -> SignerId {
        self.signer
    }

    /// What it says, of which nothing is proven yet.
    pub const fn claims_unverified(&self) -> &Succession {
        &self.claims
    }

    /// What it says, once the signature is found to be that of this public key. Which vault it is about, the caller
    /// compares: the signature binds it twice, in the record and in the external AAD.
    pub fn verify(&self, public_key: &EcPoint) -> Result<Succession, EnvelopeError> {
        verify_es256(public_key, &self.digest, &self.signature)?;
        Ok(self.claims)
    }
}

#[cfg(test)]
mod tests;
