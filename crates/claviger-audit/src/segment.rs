//! Segments: a fresh key for every writer's start, sealed to the audit key, and the entries sealed under it.

use crate::{AuditError, AuditPublicKey, Recorded, frame::Body, key};
use aes_gcm::{Aes256Gcm, KeyInit as _, aead::Aead as _, aead::Payload};
use claviger_envelope::{ContentAlg, DataKey, DataKeyContext, DataKeyEnvelope, DataKeySealer, codec};
use claviger_types::{Digest, Entropy, Key256, Scheme, ServiceId, VaultId};

/// A segment that is being written or read.
pub(crate) struct Segment {
    vault: VaultId,
    id: ServiceId,
    key: DataKey,
}

/// Segment keys stand where a service's data key number 0 would, which no service has.
const fn context(vault: VaultId, id: ServiceId) -> DataKeyContext {
    DataKeyContext { vault, service: id, n: 0 }
}

impl Segment {
    /// A new segment, and the body that begins it.
    pub(crate) fn begin(
        vault: VaultId,
        public: &AuditPublicKey,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Body), AuditError> {
        let id = ServiceId::random(entropy)?;
        let key = DataKey::generate(ContentAlg::A256Gcm, entropy).map_err(|_| AuditError::Key)?;
        let envelope = Self::seal_key(&key, context(vault, id), public, entropy)?;
        Ok((Self { vault, id, key }, Body::Segment { id, envelope }))
    }

    fn seal_key(
        key: &DataKey,
        context: DataKeyContext,
        public: &AuditPublicKey,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, AuditError> {
        let mut sealer = DataKeySealer::begin(key, context, entropy).map_err(|_| AuditError::Key)?;
        let binding = sealer.wrap_context(public.recipient(), Scheme::EcdhEsA256Kw);
        let wrapped = public.wrap(sealer.cek(), &binding, entropy)?;
        sealer.add(wrapped).map_err(|_| AuditError::Key)?;
        sealer.finish().map_err(|_| AuditError::Key)
    }

    /// Opens a segment with the private audit key.
    pub(crate) fn open(
        vault: VaultId,
        id: ServiceId,
        envelope: &[u8],
        private: &Key256,
    ) -> Result<Self, AuditError> {
        let envelope = DataKeyEnvelope::parse(envelope).map_err(|_| AuditError::Key)?;
        let wrapped = envelope.recipients().first().ok_or(AuditError::Key)?;
        let context = context(vault, id);
        let cek = key::unwrap(private, wrapped, &envelope.wrap_context(wrapped, context))?;
        // Nothing vouches for a segment's key but the chain: its kid is what it says it is.
        let key = envelope.open(&cek, context, &envelope.kid()).map_err(|_| AuditError::Key)?;
        Ok(Self { vault, id, key })
    }

    /// The segment's id.
    pub(crate) const fn id(&self) -> ServiceId {
        self.id
    }

    /// Seals an entry into its place: after the frame with this chain hash. Each index is used once: the nonce is made
    /// of it.
    pub(crate) fn seal(&self, index: u64, before: &Digest, recorded: &Recorded) -> Result<Body, AuditError> {
        let plain = codec::to_vec(recorded).map_err(|_| AuditError::Key)?;
        let (nonce, aad) = self.binding(index, before)?;
        let sealed = self
            .cipher()
            .encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad })
            .map_err(|_| AuditError::Key)?;
        Ok(Body::Entry { segment: self.id, index, sealed })
    }

    /// Opens an entry that stands in its place.
    pub(crate) fn unseal(&self, index: u64, before: &Digest, sealed: &[u8]) -> Result<Recorded, AuditError> {
        let (nonce, aad) = self.binding(index, before)?;
        let plain = self
            .cipher()
            .decrypt(&nonce.into(), Payload { msg: sealed, aad: &aad })
            .map_err(|_| AuditError::Key)?;
        codec::from_slice(&plain).map_err(|_| AuditError::Key)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.key.key().expose().into())
    }

    fn binding(&self, index: u64, before: &Digest) -> Result<([u8; 12], Vec<u8>), AuditError> {
        let mut nonce = [0; 12];
        nonce.iter_mut().skip(4).zip(index.to_be_bytes()).for_each(|(to, from)| *to = from);
        let aad = codec::to_vec(&("claviger/audit/v1", self.vault, self.id, index, *before))
            .map_err(|_| AuditError::Key)?;
        Ok((nonce, aad))
    }
}
