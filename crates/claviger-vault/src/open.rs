//! Making a vault, and opening one.

use crate::{
    Anchor, Host, RecipientState, Seen, Vault, VaultError,
    draft::Draft,
    format::{
        AuditSlot, FORMAT, HeadPayload, RecipientRecord, Registry, Root, SignerRecord, encode,
        head::archive_id,
    },
    keys::KeyRing,
    snapshot::Snapshot,
};
use claviger_envelope::{
    ContentAlg, DataKey, DataKeyEnvelope, ObjectKind, UnverifiedHead, VaultKeys, mac_head,
};
use claviger_store::{Commit, Object, Store};
use claviger_token::Token;
use claviger_types::{Clock, Digest, Entropy, Key256, Link, ObjectId, RecipientId, Scheme, VaultId};
use std::sync::Arc;

/// Which vault is meant, and by which key it is opened; not taken from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// Which vault.
    pub vault: VaultId,
    /// Which recipient this host's token is.
    pub recipient: RecipientId,
}

/// What a vault is made of.
pub struct Parts {
    /// Where its bytes lie.
    pub store: Arc<dyn Store>,
    /// The key that opens it.
    pub token: Arc<dyn Token>,
    /// The source of randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// What remembers the newest head.
    pub anchors: Vec<Box<dyn Anchor>>,
    /// What is meant.
    pub pinned: Pinned,
    /// What this host believes, and the vault keys that it pins.
    pub host: Arc<dyn Host>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("pinned", &self.pinned).finish_non_exhaustive()
    }
}

/// Which heads are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Only those that descend from every anchor.
    Anchored,
    /// Any that carries the right MAC, to look at and not to write on.
    Inspect,
    /// The one with this digest, which an administrator vouches for; the anchors are set to it.
    Trust(Digest),
}

impl Vault {
    /// Makes a vault in a store that has none: vault key, recipient list, audit key, first head, anchors.
    ///
    /// `audit_key` is the private key by which the audit log is read; it is sealed into the vault.
    pub fn init(parts: Parts, audit_key: Key256) -> Result<Self, VaultError> {
        if parts.store.head()?.is_some() {
            return Err(VaultError::VaultExists);
        }
        let vault = parts.pinned.vault;
        let now = parts.clock.now();
        let entropy = Arc::clone(&parts.entropy);
        let entropy = entropy.as_ref();
        let key = DataKey::generate(ContentAlg::A256Gcm, entropy)?;
        let keys = VaultKeys::derive(&key)?;
        let fingerprint = keys.fingerprint;
        let mut first = RecipientRecord::of(parts.token.describe(), RecipientState::Active, now);
        first.signer = parts
            .host
            .signers()
            .first()
            .map(|signer| SignerRecord { id: signer.id(), public_key: signer.public_key() });
        let mut registry = Registry::new(vec![first]);
        registry.note_host(parts.host.as_ref(), fingerprint, now);

        let keyring = KeyRing::new(Arc::clone(&parts.token), parts.pinned.recipient);
        let context = KeyRing::vault_key_context(vault);
        let envelope = keyring.seal(&key, context, &registry.recipients, entropy)?;
        // The envelope must open by the token before anything is entrusted to it.
        keyring.unwrap(&envelope, context, &fingerprint)?;
        registry.count_wraps(keyring.uncounted_wraps());

        let mut draft = Draft::default();
        let envelope = draft.put(envelope, entropy)?;
        let mut seal =
            |kind, plain: &[u8]| draft.put_sealed_under(&keys.metadata, vault, kind, plain, entropy);
        let recipients: Link = seal(ObjectKind::Recipients, &encode("the list of recipients", &registry)?)?;
        let audit: Link = seal(ObjectKind::AuditKey, audit_key.expose())?;
        drop(audit_key);

        let payload = HeadPayload {
            format: FORMAT,
            vault,
            epoch: 1,
            previous: None,
            roots: vec![Root { fingerprint, envelope, index: None }],
            recipients,
            policy: None,
            plugins: None,
            audit: AuditSlot { key: audit, checkpoints: Vec::new() },
            rotation: None,
            succession: None,
            restored: None,
            milestone: None,
        };
        let head = mac_head(&keys.head, vault, &fingerprint, &encode("the head", &payload)?)?;
        let digest = Digest::of(&head);
        let id: ObjectId = archive_id(&digest);
        draft.puts.push(Object { id, bytes: head.clone() });
        if parts.store.commit(None, &head, &draft.puts, &[])? == Commit::Conflict {
            return Err(VaultError::VaultExists);
        }
        for anchor in &parts.anchors {
            anchor.raise(Seen { epoch: 1, digest }, true)?;
        }
        parts.host.settle(fingerprint)?;
        Self::open(parts)
    }

    /// Opens a vault. Nothing in the store is believed before the pinned fingerprint, the head's MAC and every anchor
    /// agree.
    pub fn open(parts: Parts) -> Result<Self, VaultError> {
        Self::open_accepting(parts, Accept::Anchored)
    }

    /// Opens a vault whose head the anchors would refuse, to inspect it or to trust it from now on.
    pub fn open_accepting(parts: Parts, accept: Accept) -> Result<Self, VaultError> {
        let mut vault = Self::assemble(parts, accept);
        vault.fresh()?;
        if matches!(accept, Accept::Trust(_)) {
            vault.accept = Accept::Anchored;
        }
        Ok(vault)
    }

    /// The recipients that the head in a store names, and how keys are wrapped to them. Nothing of it is proven: it serves to
    /// look for a key on a token, and what the key opens proves itself by the pinned fingerprint.
    pub fn recipients_in(store: &dyn Store) -> Result<Vec<(RecipientId, Scheme)>, VaultError> {
        let Some(bytes) = store.head()? else { return Err(VaultError::NoVault) };
        let payload = HeadPayload::decode(UnverifiedHead::parse(&bytes)?.payload_unverified())?;
        let Some(bytes) = store.get(&[payload.root()?.envelope.id])?.pop().flatten() else {
            return Ok(Vec::new());
        };
        let envelope = DataKeyEnvelope::parse(&bytes)?;
        Ok(envelope.recipients().iter().map(|wrapped| (wrapped.recipient, wrapped.scheme)).collect())
    }

    /// The vault that the head in a store claims to be of.
    pub fn id_in(store: &dyn Store) -> Result<VaultId, VaultError> {
        let Some(bytes) = store.head()? else { return Err(VaultError::NoVault) };
        Ok(HeadPayload::decode(UnverifiedHead::parse(&bytes)?.payload_unverified())?.vault)
    }

    /// The signers that the vault names, for a host to believe.
    pub fn signers(&self) -> Result<Vec<crate::PinnedSigner>, VaultError> {
        self.read(Snapshot::signers)
    }

    /// Has this host believe the signers that the vault names, if it does not already.
    pub fn believe_signers(&self) -> Result<(), VaultError> {
        let snapshot = self.fresh()?;
        self.believe(&snapshot)
    }

    pub(crate) fn believe(&self, snapshot: &Snapshot) -> Result<(), VaultError> {
        let named = snapshot.signers()?;
        let pins = self.host.pins()?;
        let same =
            named.len() == pins.signers.len() && named.iter().all(|signer| pins.signers.contains(signer));
        if same { Ok(()) } else { self.host.believe(&named) }
    }

    /// The vault key's kid, to be pinned in the configuration of every host.
    pub fn fingerprint(&self) -> Result<Digest, VaultError> {
        Ok(self.fresh()?.root.fingerprint)
    }

    /// The digest and epoch of the newest head.
    pub fn head(&self) -> Result<Seen, VaultError> {
        let snapshot = self.fresh()?;
        Ok(Seen { epoch: snapshot.payload.epoch, digest: snapshot.digest })
    }

    /// The private key by which the audit log is read.
    pub fn audit_key(&self) -> Result<Key256, VaultError> {
        self.read(|snapshot| {
            let plain =
                snapshot.read_sealed("audit key", ObjectKind::AuditKey, &snapshot.payload.audit.key)?;
            Key256::from_slice(plain.expose())
                .ok_or_else(|| VaultError::Damaged { what: "the audit key is none".to_owned() })
        })
    }
}

#[cfg(test)]
mod tests;
