//! Data keys: made, wrapped to every recipient, unwrapped by the token once and kept while the vault is open.

use crate::{
    VaultError,
    format::{KeyRecord, RecipientRecord},
    snapshot::Snapshot,
};
use claviger_envelope::{DataKey, DataKeyContext, DataKeyEnvelope, DataKeySealer};
use claviger_token::{Token, Unwrapped, software::wrap_to_public_key};
use claviger_types::{Digest, Entropy, Key256, RecipientId, Scheme, ServiceId, VaultId, WrappedCek};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The number of the vault key in its envelope's context: its kid alone tells one from the next.
const VAULT_KEY_NUMBER: u64 = 1;

/// After so many seals a data key is refused: a quarter of what random 96-bit nonces allow (NIST SP 800-38D section
/// 8.3), which leaves room for counts lost in crashes.
pub(crate) const MOST_SEALS: u64 = 1 << 28;

/// The token, and the data keys that it has unwrapped.
pub(crate) struct KeyRing {
    token: Arc<dyn Token>,
    recipient: RecipientId,
    opened: Mutex<HashMap<Digest, Arc<DataKey>>>,
}

impl KeyRing {
    pub(crate) fn new(token: Arc<dyn Token>, recipient: RecipientId) -> Self {
        Self { token, recipient, opened: Mutex::default() }
    }

    pub(crate) const fn recipient(&self) -> RecipientId {
        self.recipient
    }

    /// The context of the vault key's envelope.
    pub(crate) const fn vault_key_context(vault: VaultId) -> DataKeyContext {
        DataKeyContext { vault, service: ServiceId::VAULT_KEY, n: VAULT_KEY_NUMBER }
    }

    /// Opens a data-key envelope through the token. The kid is compared before the token is asked, and computed again
    /// from the key that comes out.
    pub(crate) fn unwrap(
        &self,
        bytes: &[u8],
        context: DataKeyContext,
        kid: &Digest,
    ) -> Result<DataKey, VaultError> {
        let envelope = DataKeyEnvelope::parse(bytes)?;
        if envelope.kid() != *kid {
            return Err(VaultError::Damaged {
                what: "an envelope holds another data key than it should".to_owned(),
            });
        }
        let wrapped = envelope
            .recipients()
            .iter()
            .find(|wrapped| wrapped.recipient == self.recipient)
            .ok_or(VaultError::NotARecipient)?;
        let binding = envelope.wrap_context(wrapped, context);
        match self.token.unwrap(wrapped, &binding)? {
            Unwrapped::Key(cek) => Ok(envelope.open(&cek, context, kid)?),
            Unwrapped::NotMine => Err(VaultError::NotARecipient),
        }
    }

    /// A service's data key, unwrapped at most once while the vault is open.
    pub(crate) fn data_key(
        &self,
        snapshot: &Snapshot,
        service: ServiceId,
        record: &KeyRecord,
    ) -> Result<Arc<DataKey>, VaultError> {
        if let Some(key) = self.opened().get(&record.kid) {
            return Ok(Arc::clone(key));
        }
        let bytes = snapshot.read("data key", &record.envelope)?;
        let context = DataKeyContext { vault: snapshot.payload.vault, service, n: record.n };
        let key = Arc::new(self.unwrap(&bytes, context, &record.kid)?);
        self.remember(&key);
        Ok(key)
    }

    /// Keeps a data key at hand.
    pub(crate) fn remember(&self, key: &Arc<DataKey>) {
        self.opened().insert(key.kid(), Arc::clone(key));
    }

    /// Forgets a data key that is no more.
    pub(crate) fn forget(&self, kid: &Digest) {
        self.opened().remove(kid);
    }

    /// Seals a data key to every recipient.
    pub(crate) fn seal(
        &self,
        key: &DataKey,
        context: DataKeyContext,
        recipients: &[RecipientRecord],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, VaultError> {
        let mut sealer = DataKeySealer::begin(key, context, entropy)?;
        for recipient in recipients {
            let scheme = recipient.scheme().ok_or_else(|| unreachable_recipient(recipient))?;
            let binding = sealer.wrap_context(recipient.id, scheme);
            let wrapped = self.wrap(recipient, scheme, sealer.cek(), &binding, entropy)?;
            sealer.add(wrapped)?;
        }
        Ok(sealer.finish()?)
    }

    fn wrap(
        &self,
        recipient: &RecipientRecord,
        scheme: Scheme,
        cek: &Key256,
        binding: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<WrappedCek, VaultError> {
        if let Some(public_key) = recipient.public_key() {
            return Ok(wrap_to_public_key(recipient.id, scheme, &public_key, cek, binding, entropy)?);
        }
        if recipient.id != self.recipient {
            return Err(unreachable_recipient(recipient));
        }
        Ok(self.token.wrap(cek, binding)?)
    }

    // A poisoned lock means that a thread died while it held a map of finished keys; the map is whole.
    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<DataKey>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreachable_recipient(recipient: &RecipientRecord) -> VaultError {
    VaultError::Invalid {
        reason: format!(
            "new data keys must be wrapped to the recipient {} (token `{}`), whose key only its own token holds",
            recipient.id, recipient.token_label
        ),
    }
}
