//! An open vault: the newest verified head, reads that follow it, and writes that swap it.

use crate::{
    Anchor, Fault, Pinned, Seen, VaultError, chain,
    draft::Draft,
    format::{HeadPayload, encode, head::archive_id},
    keys::KeyRing,
    open::Accept,
    snapshot::Snapshot,
};
use claviger_envelope::{DataKeyEnvelope, UnverifiedHead, VaultKeys, mac_head};
use claviger_store::{Commit, Object, Store, StoreError};
use claviger_types::{Clock, Digest, Entropy, ObjectId};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a writer that keeps losing tries again.
const CONTENTION_LIMIT: Duration = Duration::from_secs(30);

/// How many objects go into the transaction that swaps the head; what does not fit goes before or after.
pub(crate) const MOST_PER_COMMIT: usize = 500;

/// How many objects go into one call of any other kind.
pub(crate) const BATCH: usize = 1000;

/// An open vault. Callable from many threads at once.
pub struct Vault {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keyring: KeyRing,
    pub(crate) pinned: Pinned,
    pub(crate) anchors: Vec<Box<dyn Anchor>>,
    pub(crate) accept: Accept,
    newest: Mutex<Option<Arc<Snapshot>>>,
}

/// What one step of a write decided.
pub(crate) enum Step<T> {
    /// Swap the head for one with this payload; epoch and predecessor are filled in.
    Commit(Box<HeadPayload>, T),
    /// There is nothing to write.
    Nothing(T),
}

impl std::fmt::Debug for Vault {
    // Keys and snapshots are nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("pinned", &self.pinned).finish_non_exhaustive()
    }
}

impl Vault {
    pub(crate) fn assemble(parts: crate::Parts, accept: Accept) -> Self {
        Self {
            store: parts.store,
            entropy: parts.entropy,
            clock: parts.clock,
            keyring: KeyRing::new(parts.token, parts.pinned.recipient),
            pinned: parts.pinned,
            anchors: parts.anchors,
            accept,
            newest: Mutex::default(),
        }
    }

    /// The newest head, verified. What was verified already is not verified again.
    pub(crate) fn fresh(&self) -> Result<Arc<Snapshot>, VaultError> {
        loop {
            let Some(bytes) = self.store.head()? else { return Err(VaultError::NoVault) };
            let known = self.newest().clone();
            if let Some(known) = known.as_ref().filter(|known| known.bytes == bytes) {
                return Ok(Arc::clone(known));
            }
            match self.verify_head(bytes.clone(), known.as_deref()) {
                Ok(snapshot) => {
                    let snapshot = Arc::new(snapshot);
                    *self.newest() = Some(Arc::clone(&snapshot));
                    return Ok(snapshot);
                }
                // Another process may have committed and raised the anchor while this one held the older head.
                Err(VaultError::RolledBack { .. }) if self.store.head()?.as_ref() != Some(&bytes) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The opening order: bounded parse, vault id, fingerprint before any call to the token, unwrap, kid, MAC, anchors.
    fn verify_head(&self, bytes: Vec<u8>, known: Option<&Snapshot>) -> Result<Snapshot, VaultError> {
        let head = UnverifiedHead::parse(&bytes)?;
        let claimed = HeadPayload::decode(head.payload_unverified())?;
        if claimed.vault != self.pinned.vault {
            return Err(VaultError::ForeignVault {
                found: claimed.vault.to_string(),
                expected: self.pinned.vault.to_string(),
            });
        }
        let fingerprint = self.pinned.fingerprint.ok_or(VaultError::NoVault)?;
        let root = claimed.root()?.clone();
        for found in [head.fingerprint(), root.fingerprint] {
            if found != fingerprint {
                return Err(VaultError::ForeignFingerprint { found, pinned: fingerprint });
            }
        }
        let keys = match known {
            Some(known) => Arc::clone(&known.keys),
            None => Arc::new(self.unwrap_vault_key(&root, &fingerprint)?),
        };
        head.verify(&keys.head, claimed.vault)
            .map_err(|_| VaultError::Damaged { what: "the head's MAC does not fit".to_owned() })?;
        let digest = Digest::of(&bytes);
        self.check_anchors(&claimed, &digest)?;
        Ok(Snapshot { store: Arc::clone(&self.store), keys, payload: claimed, digest, bytes })
    }

    fn unwrap_vault_key(
        &self,
        root: &crate::format::Root,
        fingerprint: &Digest,
    ) -> Result<VaultKeys, VaultError> {
        const WHAT: &str = "vault key";
        let object = root.envelope.id;
        let bytes = self.store.get(&[object])?.pop().flatten().ok_or(VaultError::Object {
            what: WHAT,
            object,
            fault: Fault::Missing,
        })?;
        if !root.envelope.fits(&bytes) {
            return Err(VaultError::Object { what: WHAT, object, fault: Fault::Altered });
        }
        let found = DataKeyEnvelope::parse(&bytes)?.kid();
        if found != *fingerprint {
            return Err(VaultError::ForeignFingerprint { found, pinned: *fingerprint });
        }
        let context = KeyRing::vault_key_context(self.pinned.vault);
        Ok(VaultKeys::derive(&self.keyring.unwrap(&bytes, context, fingerprint)?)?)
    }

    fn check_anchors(&self, head: &HeadPayload, digest: &Digest) -> Result<(), VaultError> {
        let seen = Seen { epoch: head.epoch, digest: *digest };
        match self.accept {
            Accept::Inspect => return Ok(()),
            Accept::Trust(trusted) if trusted == *digest => {
                return self.anchors.iter().try_for_each(|anchor| anchor.reset(seen));
            }
            Accept::Trust(trusted) => {
                return Err(VaultError::RolledBack {
                    what: format!("the store's head is {digest}, not {trusted}"),
                });
            }
            Accept::Anchored => {}
        }
        for anchor in &self.anchors {
            let known = chain::check(self.store.as_ref(), head, digest, anchor.as_ref())?;
            if known != seen {
                anchor.raise(seen, false)?;
            }
        }
        Ok(())
    }

    /// Reads from one head. An object that is not there any more means that the head has moved on; the same head and
    /// still missing is damage.
    pub(crate) fn read<T>(
        &self,
        mut step: impl FnMut(&Snapshot) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        loop {
            let snapshot = self.fresh()?;
            match step(&snapshot) {
                Err(error @ VaultError::Object { fault: Fault::Missing, .. }) => {
                    if self.fresh()?.digest == snapshot.digest {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }

    /// Writes by swapping the head. `step` works on a fresh head each time (its last argument counts from 1); when
    /// another writer was there first it starts again, for thirty seconds.
    pub(crate) fn write<T>(
        &self,
        mut step: impl FnMut(&Snapshot, &mut Draft, u64) -> Result<Step<T>, VaultError>,
    ) -> Result<T, VaultError> {
        if self.accept == Accept::Inspect {
            return Err(VaultError::Invalid {
                reason: "the vault was opened for inspection only".to_owned(),
            });
        }
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let snapshot = self.fresh()?;
            let mut draft = Draft::default();
            let outcome = step(&snapshot, &mut draft, attempt);
            if !matches!(outcome, Ok(Step::Commit(..))) {
                self.discard(&draft.staged);
            }
            match outcome {
                Ok(Step::Nothing(answer)) => return Ok(answer),
                Ok(Step::Commit(payload, answer)) => {
                    if self.commit(&snapshot, payload, draft)? {
                        return Ok(answer);
                    }
                }
                Err(error @ VaultError::Object { fault: Fault::Missing, .. }) => {
                    if self.fresh()?.digest == snapshot.digest {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            if started.elapsed() > CONTENTION_LIMIT {
                return Err(VaultError::Contended);
            }
            self.pause(attempt)?;
            attempt += 1;
        }
    }

    /// Waits a random time that grows with the attempts, so that writers who met once do not meet again.
    fn pause(&self, attempt: u64) -> Result<(), VaultError> {
        let mut random = [0; 2];
        self.entropy.fill(&mut random)?;
        let most = 2_u64 << attempt.min(7);
        std::thread::sleep(Duration::from_millis(u64::from(u16::from_le_bytes(random)) % most));
        Ok(())
    }

    /// Swaps the head; `false` when another writer was there first. Whatever goes wrong, the store holds the old head
    /// or the new one, each with all its objects.
    pub(crate) fn commit(
        &self,
        snapshot: &Snapshot,
        mut payload: Box<HeadPayload>,
        mut draft: Draft,
    ) -> Result<bool, VaultError> {
        payload.epoch = snapshot.payload.epoch + 1;
        payload.previous = Some(snapshot.digest);
        let fingerprint = payload.root()?.fingerprint;
        let bytes =
            mac_head(&snapshot.keys.head, payload.vault, &fingerprint, &encode("the head", &payload)?)?;
        let digest = Digest::of(&bytes);
        draft.puts.push(Object { id: archive_id(&digest), bytes: bytes.clone() });

        let seen = Seen { epoch: payload.epoch, digest };
        for anchor in &self.anchors {
            anchor.prepare()?;
        }

        let late = draft.deletes.split_off(draft.deletes.len().min(MOST_PER_COMMIT));
        let early = draft.puts.len().saturating_sub(MOST_PER_COMMIT);
        let outcome = draft.stage(self.store.as_ref(), early).and_then(|()| {
            match self.store.commit(Some(&snapshot.bytes), &bytes, &draft.puts, &draft.deletes) {
                Err(StoreError::Ambiguous { source }) => self.was_committed(snapshot, &seen, source),
                other => Ok(other? == Commit::Done),
            }
        });
        match outcome {
            Ok(true) => {}
            // Whether the head was swapped is not known: what was staged may be what it reaches. `gc` will tell.
            Err(error) if error.may_be_done() => return Err(error),
            other => {
                self.discard(&draft.staged);
                return other;
            }
        }
        // From here on the commit has happened; what is left cannot undo it.
        self.discard(&late);
        *self.newest() = Some(Arc::new(Snapshot {
            store: Arc::clone(&self.store),
            keys: Arc::clone(&snapshot.keys),
            payload: *payload,
            digest,
            bytes,
        }));
        for anchor in &self.anchors {
            anchor.raise(seen, false).map_err(|source| VaultError::Unanchored {
                location: anchor.location(),
                source: Box::new(source),
            })?;
        }
        Ok(true)
    }

    /// Deletes what no head reaches. What stays behind is garbage that `gc` will find, so an error changes nothing.
    pub(crate) fn discard(&self, ids: &[ObjectId]) {
        for batch in ids.chunks(BATCH) {
            if let Err(error) = self.store.delete(batch) {
                tracing::warn!(%error, "objects that nothing reaches stay behind until `gc`");
                return;
            }
        }
    }

    /// After a lost connection: whether our head is the present one or among its ancestors. What cannot be told is an
    /// error, never a "no".
    fn was_committed(
        &self,
        before: &Snapshot,
        ours: &Seen,
        cause: claviger_store::Cause,
    ) -> Result<bool, VaultError> {
        let known = self.store.head().ok().flatten().and_then(|bytes| {
            if bytes == before.bytes {
                return Some(false);
            }
            let head = UnverifiedHead::parse(&bytes).ok()?;
            let payload = HeadPayload::decode(head.payload_unverified()).ok()?;
            chain::descends(self.store.as_ref(), &payload, &Digest::of(&bytes), ours).ok()?
        });
        known.ok_or_else(|| StoreError::Ambiguous { source: cause }.into())
    }

    // A poisoned lock means that a thread died while it swapped one whole snapshot for another.
    fn newest(&self) -> std::sync::MutexGuard<'_, Option<Arc<Snapshot>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
