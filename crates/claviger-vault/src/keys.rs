//! Data keys: made, wrapped to every recipient, unwrapped by the token once and kept while the vault is open; and how
//! often each key that takes random nonces was used.

use crate::{
    VaultError,
    format::{KeyRecord, RecipientRecord},
    snapshot::Snapshot,
};
use claviger_envelope::{DataKey, DataKeyContext, DataKeyEnvelope, DataKeySealer};
use claviger_token::{Token, TokenError, Unwrapped, software::wrap_to_public_key};
use claviger_types::{Digest, Entropy, Key256, RecipientId, Scheme, ServiceId, VaultId, WrappedCek};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The number of the vault key in its envelope's context: its kid alone tells one from the next.
const VAULT_KEY_NUMBER: u64 = 1;

/// After so many uses a key is refused: a sixteenth of what random 96-bit nonces allow (NIST SP 800-38D section 8.3),
/// which leaves room for counts lost in crashes.
pub(crate) const MOST_USES: u64 = 1 << 28;

/// The token with the keys that it has for this vault, and the data keys that it has unwrapped.
pub(crate) struct KeyRing {
    token: Arc<dyn Token>,
    recipient: RecipientId,
    /// Other keys of the same token; `None` for a recipient that lies elsewhere.
    siblings: Mutex<HashMap<RecipientId, Option<Arc<dyn Token>>>>,
    opened: Mutex<HashMap<Digest, Arc<DataKey>>>,
    /// Seals by each data key that no head counts yet, failed attempts included.
    seals: Mutex<HashMap<Digest, u64>>,
    /// Wrappings with a random nonce that no head counts yet.
    wraps: AtomicU64,
}

impl KeyRing {
    pub(crate) fn new(token: Arc<dyn Token>, recipient: RecipientId) -> Self {
        Self {
            token,
            recipient,
            siblings: Mutex::default(),
            opened: Mutex::default(),
            seals: Mutex::default(),
            wraps: AtomicU64::new(0),
        }
    }

    pub(crate) const fn recipient(&self) -> RecipientId {
        self.recipient
    }

    /// The token by which the vault was opened.
    pub(crate) fn token(&self) -> &dyn Token {
        self.token.as_ref()
    }

    /// The same, to be shared.
    pub(crate) fn token_arc(&self) -> Arc<dyn Token> {
        Arc::clone(&self.token)
    }

    /// The context of the vault key's envelope.
    pub(crate) const fn vault_key_context(vault: VaultId) -> DataKeyContext {
        DataKeyContext { vault, service: ServiceId::VAULT_KEY, n: VAULT_KEY_NUMBER }
    }

    /// The token's key for this recipient, if it has one: the one that was named, or one beside it. After a rotation on
    /// the same token what was named is the former one.
    pub(crate) fn key_of(
        &self,
        recipient: RecipientId,
        scheme: Scheme,
    ) -> Result<Option<Arc<dyn Token>>, VaultError> {
        if recipient == self.recipient {
            return Ok(Some(Arc::clone(&self.token)));
        }
        if let Some(known) = lock(&self.siblings).get(&recipient) {
            return Ok(known.clone());
        }
        let found = match self.token.sibling(recipient, scheme) {
            Ok(key) => Some(key),
            Err(TokenError::KeyMissing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        lock(&self.siblings).insert(recipient, found.clone());
        Ok(found)
    }

    /// Takes note of a key that was just made on the token.
    pub(crate) fn learn(&self, key: Arc<dyn Token>) {
        lock(&self.siblings).insert(key.describe().recipient, Some(key));
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
        let (own, others): (Vec<_>, Vec<_>) =
            envelope.recipients().iter().partition(|wrapped| wrapped.recipient == self.recipient);
        for wrapped in own.into_iter().chain(others) {
            let Some(key) = self.key_of(wrapped.recipient, wrapped.scheme)? else { continue };
            let binding = envelope.wrap_context(wrapped, context);
            match key.unwrap(wrapped, &binding) {
                Ok(Unwrapped::Key(cek)) => return Ok(envelope.open(&cek, context, kid)?),
                // A key that was destroyed since it was opened: another of the recipients may be here.
                Ok(Unwrapped::NotMine) | Err(TokenError::KeyMissing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(VaultError::NotARecipient)
    }

    /// A service's data key, unwrapped at most once while the vault is open.
    pub(crate) fn data_key(
        &self,
        snapshot: &Snapshot,
        service: ServiceId,
        record: &KeyRecord,
    ) -> Result<Arc<DataKey>, VaultError> {
        if let Some(key) = lock(&self.opened).get(&record.kid) {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(self.unwrap_record(snapshot, service, record)?);
        self.remember(&key);
        Ok(key)
    }

    /// The same for once: the key is not kept.
    pub(crate) fn unwrap_record(
        &self,
        snapshot: &Snapshot,
        service: ServiceId,
        record: &KeyRecord,
    ) -> Result<DataKey, VaultError> {
        let bytes = snapshot.read("data key", &record.envelope)?;
        let context = DataKeyContext { vault: snapshot.payload.vault, service, n: record.n };
        self.unwrap(&bytes, context, &record.kid)
    }

    /// Keeps a data key at hand.
    pub(crate) fn remember(&self, key: &Arc<DataKey>) {
        lock(&self.opened).insert(key.kid(), Arc::clone(key));
    }

    /// Forgets a data key that is no more.
    pub(crate) fn forget(&self, kid: &Digest) {
        lock(&self.opened).remove(kid);
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
        let token = self.key_of(recipient.id, scheme)?.ok_or_else(|| unreachable_recipient(recipient))?;
        if scheme == Scheme::A256Gcm {
            let before = self.wraps.fetch_add(1, Ordering::SeqCst);
            if recipient.wraps.saturating_add(before) >= MOST_USES {
                return Err(VaultError::MasterKeyExhausted { recipient: recipient.id });
            }
        }
        Ok(token.wrap(cek, binding)?)
    }

    /// Counts one more seal by a data key, before it is made.
    pub(crate) fn count_seal(&self, kid: &Digest) {
        *lock(&self.seals).entry(*kid).or_default() += 1;
    }

    /// Seals by this key that no head counts yet.
    pub(crate) fn uncounted_seals(&self, kid: &Digest) -> u64 {
        lock(&self.seals).get(kid).copied().unwrap_or_default()
    }

    /// Wrappings under the vault's A256GCM recipient that no head counts yet.
    pub(crate) fn uncounted_wraps(&self) -> u64 {
        self.wraps.load(Ordering::SeqCst)
    }

    /// A head counts these now.
    pub(crate) fn counted(&self, seals: &[(Digest, u64)], wraps: u64) {
        let mut open = lock(&self.seals);
        for (kid, counted) in seals {
            if let Some(count) = open.get_mut(kid) {
                *count = count.saturating_sub(*counted);
                if *count == 0 {
                    open.remove(kid);
                }
            }
        }
        drop(open);
        self.wraps.fetch_sub(wraps, Ordering::SeqCst);
    }
}

// A poisoned lock means that a thread died while it held a map of finished things; the map is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unreachable_recipient(recipient: &RecipientRecord) -> VaultError {
    VaultError::Unwritable { recipient: recipient.id, token: recipient.token_label.clone() }
}

#[cfg(test)]
mod tests;
